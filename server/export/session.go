package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"remit/mapping/program"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// session is one view of the warehouse that the chunks of an export share in
// this process, with the program and validator the export began with.
type session struct {
	epoch, generation int64 // whose chunks run on it
	snap              source.Snapshot
	release           context.CancelFunc // of the context the snapshot was opened with
	runner            Runner
	validator         Validator
	fingerprint       string
	// token lets other nodes join snap; "" where the engine offers none.
	token string
	// joined says that the snapshot is that of the export's owner.
	joined bool
	// asOf, where not zero, is the cut of a session that resumes an older
	// export on a newer snapshot.
	asOf time.Time

	mu      sync.Mutex
	refs    int
	ended   bool
	faults  int // attempts that failed on it
	nextKey int
	running map[int]context.CancelCauseFunc
}

// slot holds the session of an export; its mutex lets one chunk open it while
// the others wait.
type slot struct {
	mu sync.Mutex
	s  *session
}

// maxGenerations bounds how often an export starts over.
const maxGenerations = 4

func (e *Engine) slot(id string) *slot {
	e.mu.Lock()
	defer e.mu.Unlock()
	sl := e.slots[id]
	if sl == nil {
		sl = &slot{}
		e.slots[id] = sl
	}
	return sl
}

// fingerprint tells programs apart: by their own word where they have one, else
// by what they emit.
func fingerprint(r Runner) string {
	if f, ok := r.(interface{ Fingerprint() string }); ok {
		return f.Fingerprint()
	}
	text, err := json.Marshal(r.Types())
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// newSession opens a session with what open gives. It outlives ctx, which
// bounds only the opening.
func (e *Engine) newSession(ctx context.Context, epoch, generation int64, open func(context.Context) (source.Snapshot, error)) (*session, error) {
	runner, validator := e.Program()
	if runner == nil {
		return nil, errors.New("no mapping set is loaded")
	}
	life, release := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, release)
	snap, err := open(life)
	if err == nil && !stop() {
		err = errors.Join(context.Cause(ctx), snap.Close())
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	s := &session{epoch: epoch, generation: generation, snap: snap, release: release, runner: runner, validator: validator,
		fingerprint: fingerprint(runner), running: map[int]context.CancelCauseFunc{}}
	if sharer, ok := snap.(source.Sharer); ok {
		s.token = sharer.Share()
	}
	return s, nil
}

// openSession makes sure that the export has a session for chunks of that epoch
// and generation, and returns it.
func (e *Engine) openSession(ctx context.Context, id string, epoch, generation int64) (*session, error) {
	sl := e.slot(id)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if s := sl.s; s != nil {
		if s.epoch == epoch && s.generation == generation && !s.over() {
			return s, nil
		}
		s.end(errEnded)
		sl.s = nil
	}
	s, err := e.newSession(ctx, epoch, generation, e.Warehouse.Snapshot)
	if err != nil {
		return nil, err
	}
	sl.s = s
	return s, nil
}

// errStartOver says that the rest of an export cannot be cut at its
// transaction time, so that it must begin anew.
var errStartOver = errors.New("export starts over")

// errPlanning says that an export is being cut anew, so that the chunks of its
// former cut are of no use.
var errPlanning = errors.New("export is being planned anew")

// resume returns the session on which a chunk of x runs: the one that planned
// it, or after a crash a new one cut at the transaction time. Errors:
// errStartOver where the cut is not possible; errPlanning.
func (e *Engine) resume(ctx context.Context, x *control.Export, o *order) (*session, error) {
	sl := e.slot(x.ID)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if s := sl.s; s != nil {
		if s.epoch == x.Epoch && s.generation > x.Generation && !s.over() {
			return nil, errPlanning
		}
		if s.epoch == x.Epoch && s.generation == x.Generation && !s.over() && s.sound() {
			return s, nil
		}
		s.end(errEnded)
		sl.s = nil
	}
	runner, _ := e.Program()
	if runner == nil {
		return nil, errors.New("no mapping set is loaded")
	}
	if fingerprint(runner) != x.Program || !tracked(runner.TypesOf(o.View), o.request(runner.TypesOf(o.View)).Types) {
		return nil, errStartOver
	}
	s, err := e.newSession(ctx, x.Epoch, x.Generation, e.Warehouse.Snapshot)
	if err != nil {
		return nil, err
	}
	s.asOf = x.TransactionTime
	if s.fingerprint != x.Program {
		s.end(errEnded)
		return nil, errStartOver // exchanged between the look and the opening
	}
	sl.s = s
	e.Log.InfoContext(ctx, "export resumed on a new snapshot", "job_id", x.ID, "epoch", x.Epoch)
	return s, nil
}

// join returns the session of an export that another node owns: its snapshot is
// the owner's. Errors: source.ErrNotShared; errForeign.
func (e *Engine) join(ctx context.Context, x *control.Export) (*session, error) {
	joiner, ok := e.Warehouse.(source.Joiner)
	if !ok || x.Snapshot == "" {
		return nil, source.ErrNotShared
	}
	sl := e.slot(x.ID)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if s := sl.s; s != nil {
		if s.epoch == x.Epoch && s.generation == x.Generation && !s.over() && s.sound() {
			return s, nil
		}
		s.end(errEnded)
		sl.s = nil
	}
	s, err := e.newSession(ctx, x.Epoch, x.Generation, func(ctx context.Context) (source.Snapshot, error) { return joiner.Join(ctx, x.Snapshot) })
	if err != nil {
		return nil, err
	}
	s.joined = true
	if s.fingerprint != x.Program {
		s.end(errEnded)
		return nil, errForeign
	}
	if !s.snap.AsOf().UTC().Truncate(time.Millisecond).Equal(x.TransactionTime) {
		s.asOf = x.TransactionTime // the owner resumed on a newer snapshot
	}
	sl.s = s
	e.Log.InfoContext(ctx, "snapshot joined", "job_id", x.ID, "epoch", x.Epoch)
	return s, nil
}

// errForeign says that this node runs another program than the export's owner.
var errForeign = errors.New("export is of another mapping set or version")

// adopt makes the joined session of an export that this node has taken over its
// own, so that the work goes on from the same snapshot.
func (e *Engine) adopt(x *control.Export) {
	sl := e.slot(x.ID)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if s := sl.s; s != nil && s.joined && s.generation == x.Generation && s.fingerprint == x.Program && !s.over() && s.sound() {
		s.epoch, s.joined = x.Epoch, false
	}
}

// tracked says that every wanted type can be cut at an instant.
func tracked(types []program.Type, wanted []string) bool {
	for _, t := range types {
		if !t.Tracked && slices.Contains(wanted, t.Name) {
			return false
		}
	}
	return true
}

// end closes the export's session, cancelling what runs on it.
func (e *Engine) end(id string, cause error) {
	e.mu.Lock()
	sl := e.slots[id]
	delete(e.slots, id)
	delete(e.turns.admitted, id)
	e.mu.Unlock()
	if sl != nil {
		sl.close(cause)
	}
}

// close ends the slot's session.
func (sl *slot) close(cause error) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.s != nil {
		sl.s.end(cause)
		sl.s = nil
	}
}

// typesOf lists the resource types of a view of the program that x runs with.
func (e *Engine) typesOf(x *control.Export, view string) []program.Type {
	sl := e.slot(x.ID)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.s != nil {
		return sl.s.runner.TypesOf(view)
	}
	if runner, _ := e.Program(); runner != nil {
		return runner.TypesOf(view)
	}
	return nil
}

func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// sound says that the session may be tried once more: a snapshot on which
// attempts keep failing may be lost.
func (s *session) sound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults < 2
}

func (s *session) fault() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults++
}

// enter takes a share in the session; the context ends when the session does.
// ok is false where it is over. The caller calls leave.
func (s *session) enter(ctx context.Context) (inner context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, nil, false
	}
	inner, cancel := context.WithCancelCause(ctx)
	key := s.nextKey
	s.nextKey++
	s.refs++
	s.running[key] = cancel
	return inner, func() {
		cancel(nil)
		s.mu.Lock()
		delete(s.running, key)
		s.refs--
		last := s.ended && s.refs == 0
		s.mu.Unlock()
		if last {
			s.close()
		}
	}, true
}

// retire lets nobody enter any more; what runs goes on, and the snapshot closes
// with the last of it.
func (s *session) retire() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	idle := s.refs == 0
	s.mu.Unlock()
	if idle {
		s.close()
	}
}

// end cancels what runs on the session; the snapshot closes with the last.
func (s *session) end(cause error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	for _, cancel := range s.running {
		cancel(cause)
	}
	idle := s.refs == 0
	s.mu.Unlock()
	if idle {
		s.close()
	}
}

func (s *session) close() {
	// A read-only view has nothing to lose, and nobody is left to be told.
	_ = s.snap.Close()
	s.release()
}

// args are the identity of a chunk's job.
func args(x *control.Export, n int) jobs.Args {
	return jobs.Args{Export: x.ID, Epoch: x.Epoch, Generation: x.Generation, Chunk: n}
}
