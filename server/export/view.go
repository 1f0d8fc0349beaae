package export

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"remit/mapping/program"
)

// view is the snapshot that reads share, with what was learnt of it.
type view struct {
	session *session
	finder  Finder
	born    time.Time

	mu      sync.Mutex
	rosters map[string]*roster // by group
}

// roster is a group's members. Who passes its gate reads them, while the others
// wait.
type roster struct {
	gate    gate
	known   bool
	members []string // sorted; nil for no such group
}

// Close ends the snapshot that reads share, and waits for one that is being
// opened. Reads may come after it.
func (r *Reader) Close() {
	r.mu.Lock()
	r.close(errEnded)
	r.closing, r.close = context.WithCancelCause(context.Background())
	v := r.view
	r.view = nil
	r.mu.Unlock()
	if v != nil {
		v.session.end(errEnded)
	}
	// To open nothing, after what is under way has ended.
	_, _, _ = r.opening.Do(theView, func() (any, error) { return (*view)(nil), nil })
}

// theView is the one key of Reader.opening.
const theView = "view"

// openWithin bounds the opening of a snapshot: a connection that hangs must not
// keep readers from trying another.
const openWithin = 30 * time.Second

// enter finds the view for one request, or opens one; the caller calls leave.
// Who comes while one is being opened waits for that, and no longer than ctx.
func (r *Reader) enter(ctx context.Context) (context.Context, *view, func(), error) {
	for {
		v := r.current()
		if v == nil {
			opened := r.opening.DoChan(theView, func() (any, error) { return r.open(context.WithoutCancel(ctx)) })
			select {
			case o := <-opened:
				if o.Err != nil {
					return nil, nil, nil, o.Err
				}
				v = o.Val.(*view)
			case <-ctx.Done():
				return nil, nil, nil, context.Cause(ctx)
			}
		}
		if v == nil {
			continue // of Close
		}
		// However long the opening took, the view is as new as can be had; but the
		// mapping set may have been exchanged.
		if runner, _ := r.engine.Program(); runner != v.session.runner {
			r.retire(v)
			continue
		}
		if inner, leave, ok := v.session.enter(ctx); ok {
			return inner, v, leave, nil
		}
		r.retire(v)
	}
}

// current is the view at hand, nil where it is too old.
func (r *Reader) current() *view {
	r.mu.Lock()
	v := r.view
	r.mu.Unlock()
	if v == nil {
		return nil
	}
	if now := r.engine.Clock(); now.Sub(v.born) >= r.o.Life || now.Before(v.born) {
		r.retire(v)
		return nil
	}
	return v
}

// retire lets nobody enter the view any more. An idle server must not hold a
// snapshot: it keeps the warehouse from cleaning up.
func (r *Reader) retire(v *view) {
	r.mu.Lock()
	if r.view == v {
		r.view = nil
	}
	r.mu.Unlock()
	v.session.retire()
}

// open opens the next view, unless that has been done since the caller looked.
func (r *Reader) open(ctx context.Context) (*view, error) {
	if v := r.current(); v != nil {
		return v, nil
	}
	r.mu.Lock()
	closing := r.closing
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(closing, func() { end(context.Cause(closing)) })()
	born := r.engine.Clock()
	s, err := r.engine.newSession(ctx, 0, 0, r.engine.Warehouse.Snapshot)
	if err != nil {
		return nil, because(ctx, err)
	}
	finder, ok := s.runner.(Finder)
	if !ok {
		s.end(errEnded)
		return nil, errors.New("the program cannot be searched")
	}
	v := &view{session: s, finder: finder, born: born, rosters: map[string]*roster{}}
	r.mu.Lock()
	if closing.Err() != nil {
		r.mu.Unlock()
		s.end(errEnded)
		return nil, context.Cause(closing)
	}
	r.view = v
	r.mu.Unlock()
	time.AfterFunc(r.o.Life, func() { r.retire(v) })
	r.indexes.only(s.fingerprint)
	return v, nil
}

// typeOf finds a type of the program, in the view of the bounds.
func (v *view) typeOf(resourceType, name string) (program.Type, bool) {
	types := v.finder.TypesOf(name)
	i := slices.IndexFunc(types, func(t program.Type) bool { return t.Name == resourceType })
	if i < 0 {
		return program.Type{}, false
	}
	return types[i], true
}

// roster lists the members of a group, nil for no such group.
func (v *view) roster(ctx context.Context, group string) ([]string, error) {
	v.mu.Lock()
	of := v.rosters[group]
	if of == nil {
		of = &roster{gate: newGate()}
		v.rosters[group] = of
	}
	v.mu.Unlock()
	if err := of.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer of.gate.leave()
	if of.known {
		return of.members, nil
	}
	members, _, err := v.finder.Roster(ctx, v.session.snap, group)
	if err != nil {
		return nil, err
	}
	of.members, of.known = members, true
	return members, nil
}
