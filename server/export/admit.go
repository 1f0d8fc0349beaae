package export

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"remit/server/jobs"
	"remit/sql/control"
)

// smallMembers is how many members an export comes down to at most that waits
// in the line of the small ones.
const smallMembers = 100

// turns says whose exports run on this node, and who is next. An export that
// waits costs a row in the control store and nothing else: no snapshot, no job.
//
// The lines of small and of large exports are kept apart: a quarter of the
// places is kept for either, so that a member's own export never waits behind
// millions, nor those behind any number of small ones. For the other places the
// clients take turns: who has the fewest exports running is next, then who waits
// longest since its last turn, and of its exports a small one, then the oldest.
type turns struct {
	admitted map[string]place // exports that run, or whose plan is queued
	last     map[string]int64 // the turn that a client had last
	count    int64            // of turns
}

// place is what an export takes while it runs.
type place struct {
	client string
	small  bool
}

// reserved is how many of the places are kept for either line.
func (e *Engine) reserved() int {
	if e.MaxActive < 2 {
		return 0
	}
	return max(1, e.MaxActive/4)
}

// lines lists the lines that may give an export now, by whether they are the
// small ones'. Those of one element are one line, and an element is before the
// next.
func (e *Engine) lines() [][]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	small, large := 0, 0
	for _, p := range e.turns.admitted {
		if p.small {
			small++
		} else {
			large++
		}
	}
	switch kept := e.reserved(); {
	case small+large >= e.MaxActive:
		return nil
	case large >= e.MaxActive-kept:
		return [][]bool{{true}}
	case small < kept:
		return [][]bool{{true}, {false}}
	case large < kept:
		return [][]bool{{false}, {true}}
	}
	return [][]bool{{true, false}}
}

// open says whether a small or a large export could be given a place now.
func (e *Engine) open(small bool) bool {
	return slices.ContainsFunc(e.lines(), func(line []bool) bool { return slices.Contains(line, small) })
}

// take gives an export a place, whether or not there is one: one that has begun
// is never made to wait.
func (e *Engine) take(x *control.Export) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turns.admitted[x.ID] = place{x.ClientID, x.Small}
}

// begun says whether an export has a place.
func (e *Engine) begun(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, in := e.turns.admitted[id]
	return in
}

// admit lets an export run, or says that it must wait for others to end.
func (e *Engine) admit(ctx context.Context, x *control.Export) bool {
	if x.State != control.Accepted {
		e.take(x)
		return true
	}
	if !e.begun(x.ID) {
		e.next(ctx) // others may be before it
	}
	return e.begun(x.ID)
}

// next gives the free places to those whose turn it is, and queues their plans.
// What it misses the sweep finds.
func (e *Engine) next(ctx context.Context) {
	if e.lines() == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	e.turning.Lock()
	defer e.turning.Unlock()
	for {
		x, err := e.pick(ctx)
		if x != nil {
			err = e.queue.Insert(ctx, jobs.Plan, again(args(x, 0), e.Clock(), x.Created))
		}
		if err != nil {
			e.Log.WarnContext(ctx, "waiting exports not queued yet", "error", err)
		}
		if x == nil || err != nil {
			return
		}
	}
}

// pick gives a place to the export whose turn it is; nil where nobody waits, or
// no place is free.
func (e *Engine) pick(ctx context.Context) (*control.Export, error) {
	for _, line := range e.lines() {
		var clients []string
		for _, small := range line {
			ids, err := e.Control.WaitingClients(ctx, e.Node, small)
			if err != nil {
				return nil, err
			}
			clients = append(clients, ids...)
		}
		slices.Sort(clients)
		clients = slices.Compact(clients)
		e.order(clients)
		for _, c := range clients {
			for _, small := range line {
				// Those that have a place already, and are not planned yet, still
				// wait by the store's word.
				all, err := e.Control.WaitingOf(ctx, e.Node, c, small, e.MaxActive+1)
				if err != nil {
					return nil, err
				}
				for _, x := range all {
					if e.place(x) {
						return x, nil
					}
				}
			}
		}
	}
	return nil, nil
}

// order puts those clients first whose turn it is.
func (e *Engine) order(clients []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	running := map[string]int{}
	for _, p := range e.turns.admitted {
		running[p.client]++
	}
	slices.SortFunc(clients, func(a, b string) int {
		return cmp.Or(cmp.Compare(running[a], running[b]), cmp.Compare(e.turns.last[a], e.turns.last[b]), cmp.Compare(a, b))
	})
}

// place gives x a place as its client's turn, unless it has one.
func (e *Engine) place(x *control.Export) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, in := e.turns.admitted[x.ID]; in {
		return false
	}
	e.turns.admitted[x.ID] = place{x.ClientID, x.Small}
	e.turns.count++
	e.turns.last[x.ClientID] = e.turns.count
	return true
}

// park closes the snapshot on which a kick-off has looked who is meant, unless
// the export has its turn at once.
func (e *Engine) park(id string) {
	e.mu.Lock()
	sl := e.slots[id]
	if _, in := e.turns.admitted[id]; in || sl == nil {
		e.mu.Unlock()
		return
	}
	delete(e.slots, id)
	e.mu.Unlock()
	sl.close(errEnded)
}

// review frees the places of exports that ended elsewhere, queues the plans
// that a crash of the queue lost, and lets those next whose turn it is.
func (e *Engine) review(ctx context.Context, now time.Time) error {
	e.mu.Lock()
	var ids []string
	for id := range e.turns.admitted {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	for _, id := range ids {
		if e.runs(control.Attempt{ExportID: id, N: planning}) {
			continue
		}
		x, err := e.Control.Export(ctx, id)
		switch {
		case errors.Is(err, control.ErrNotFound), err == nil && (!x.State.Active() || x.Owner != e.Node):
			e.mu.Lock()
			delete(e.turns.admitted, id)
			e.mu.Unlock()
		case err != nil:
			return err
		case x.State == control.Accepted:
			if err := e.queue.Insert(ctx, jobs.Plan, again(args(x, 0), now, x.Created)); err != nil {
				return err
			}
		}
	}
	e.next(ctx)
	return nil
}
