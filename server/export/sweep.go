package export

import (
	"context"
	"errors"
	"time"

	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// sweepEvery is how many heartbeats pass between two sweeps.
const sweepEvery = 4

// beat keeps this node's exports its own, hears of those that were deleted or
// lost, and now and then sweeps. It returns when stop closes.
func (e *Engine) beat(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(e.Lease / 5)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for n := 0; ; n++ {
		err := e.Heartbeat(ctx)
		if err == nil && n%sweepEvery == 0 {
			err = e.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			e.Log.ErrorContext(ctx, "heartbeat failed", "error", err)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// Heartbeat tells the other nodes that this one lives, and ends the sessions of
// exports that are no longer its own.
func (e *Engine) Heartbeat(ctx context.Context) error {
	// Sessions are listed first: one that begins meanwhile is not mistaken for
	// one that was lost.
	type view struct {
		id string
		s  *session
	}
	var views []view
	e.mu.Lock()
	slots := make(map[string]*slot, len(e.slots))
	for id, sl := range e.slots {
		slots[id] = sl
	}
	e.mu.Unlock()
	for id, sl := range slots {
		if !sl.mu.TryLock() {
			continue // opening right now
		}
		if sl.s != nil {
			views = append(views, view{id, sl.s})
		}
		sl.mu.Unlock()
	}
	if err := e.announce(ctx); err != nil {
		return err
	}
	owned, err := e.Control.Beat(ctx, e.Node, e.Clock())
	if err != nil {
		return err
	}
	mine := make(map[string]*control.Export, len(owned))
	for _, x := range owned {
		mine[x.ID] = x
	}
	for _, v := range views {
		if mine[v.id] != nil {
			continue
		}
		cause := ErrLeaseLost
		x, err := e.Control.Export(ctx, v.id)
		switch {
		case errors.Is(err, control.ErrNotFound):
			continue // a kick-off about to commit its row
		case err != nil:
			return err
		case x.Owner == e.Node && x.State.Active():
			continue // it waits, or began just now
		case x.State == control.Deleted:
			cause = ErrCancelled
		case !x.State.Active():
			cause = errEnded
		case v.s.joined && x.Owner != "" && x.Epoch == v.s.epoch && x.Generation == v.s.generation:
			continue // its owner and this node work on it
		}
		e.end(v.id, cause)
	}
	return nil
}

// Sweep takes over the exports of nodes that fell silent, and queues again what
// a crash between control store and queue may have lost. It may be called at
// any time.
func (e *Engine) Sweep(ctx context.Context) error {
	now := e.Clock()
	claimed, err := e.Control.Claim(ctx, e.Node, now, now.Add(-e.Lease))
	dropped := map[string]bool{"": true}
	for _, x := range claimed {
		e.Log.InfoContext(ctx, "export taken over", "job_id", x.ID, "epoch", x.Epoch)
		if dropped[x.Former] {
			continue
		}
		dropped[x.Former] = true
		// Its jobs would wait for ever in a queue that nobody works.
		if err := e.queue.Drop(ctx, x.Former); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for _, x := range claimed {
		e.adopt(x.Export)
	}
	owned, err := e.Control.Beat(ctx, e.Node, now)
	if err != nil {
		return err
	}
	for _, x := range owned {
		switch {
		case e.holds(ctx, x):
			err = e.feed(ctx, x)
		case e.runs(control.Attempt{ExportID: x.ID, N: planning}):
		default:
			err = e.queue.Insert(ctx, jobs.Plan, again(args(x, 0), now, x.Created))
		}
		if err != nil {
			return err
		}
	}
	if err := e.review(ctx, now); err != nil {
		return err
	}
	return e.free(ctx, now)
}

// lost is how long a job of this node may be missing before it is inserted
// anew: its process is alive, but the queue may have lost its end.
const lost = 2 * time.Minute

// again makes the job a new one every while, in case the queue takes an earlier
// one for running that no longer is.
func again(a jobs.Args, now, since time.Time) jobs.Args {
	a.Try = int(now.Sub(since) / lost)
	return a
}

// holds says whether this node has the session that the chunks of x run on,
// its snapshot can still be read, and the other nodes know of it. A node that
// runs no chunks itself would not notice otherwise that it was lost.
func (e *Engine) holds(ctx context.Context, x *control.Export) bool {
	sl := e.slot(x.ID)
	if !sl.mu.TryLock() {
		return true // opening right now
	}
	defer sl.mu.Unlock()
	s := sl.s
	if s == nil || s.epoch != x.Epoch || s.generation != x.Generation || s.over() || s.token != x.Snapshot {
		return false
	}
	sharer, ok := s.snap.(source.Sharer)
	if !ok {
		return true
	}
	if err := sharer.Alive(ctx); err != nil {
		e.Log.WarnContext(ctx, "snapshot lost", "job_id", x.ID, "error", err)
		s.end(errEnded)
		sl.s = nil
		return false
	}
	return true
}

// free sets those chunks free that the store takes for running on this node,
// and that are not.
func (e *Engine) free(ctx context.Context, now time.Time) error {
	all, err := e.Control.ChunksOf(ctx, e.Node, now.Add(-lost))
	if err != nil {
		return err
	}
	for _, a := range all {
		if e.runs(a) {
			continue
		}
		e.Log.WarnContext(ctx, "chunk set free", "job_id", a.ExportID, "chunk", a.N, "attempt", a.Attempt)
		if err := e.Control.FreeChunk(ctx, a); err != nil && !errors.Is(err, control.ErrConflict) {
			return err
		}
	}
	return nil
}

// expire is the duty that removes what is over: exports past their time, and
// what is left of deleted ones.
func (e *Engine) expire(ctx context.Context) error {
	if err := e.Control.ForgetNodes(ctx, e.Clock().Add(-24*time.Hour)); err != nil {
		return err
	}
	now := e.Clock()
	ids, err := e.Control.ExpireExports(ctx, now, func(id string) *control.Event {
		return &control.Event{At: now, ExportID: id, Action: "expire", Outcome: "ok"}
	})
	for _, id := range ids {
		e.Log.InfoContext(ctx, "export expired", "job_id", id)
	}
	if err != nil {
		return err
	}
	for _, state := range []control.State{control.Deleted, control.Expired} {
		over, err := e.Control.Exports(ctx, state)
		if err != nil {
			return err
		}
		for _, x := range over {
			if e.isRead(x.ID) {
				continue // a download that has begun ends well (BE-019)
			}
			if err := e.removeOnce(ctx, x.ID); err != nil {
				return err
			}
			// An expired export is told from an unknown one for as long again
			// as it was kept.
			if state == control.Expired && e.Clock().Before(x.Expires.Add(e.Keep)) {
				continue
			}
			if err := e.Control.ForgetExport(ctx, x.ID); err != nil {
				return err
			}
			e.mu.Lock()
			delete(e.removed, x.ID)
			e.mu.Unlock()
		}
	}
	return nil
}

// removeOnce removes the files of an export that is over. Its row is met again
// every minute for a day, and a store is not asked as often.
func (e *Engine) removeOnce(ctx context.Context, id string) error {
	e.mu.Lock()
	_, gone := e.removed[id]
	e.mu.Unlock()
	if gone {
		return nil
	}
	if err := e.Files.RemoveAll(ctx, id); err != nil {
		return err
	}
	e.mu.Lock()
	e.removed[id] = struct{}{}
	e.mu.Unlock()
	return nil
}

// clean is the duty that forgets expired tokens and assertions.
func (e *Engine) clean(ctx context.Context) error {
	return e.Control.CleanTokens(ctx, e.Clock().Add(-5*time.Minute))
}
