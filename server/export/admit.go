package export

import (
	"context"

	"remit/server/jobs"
	"remit/sql/control"
)

// admit lets an export run, or says that it must wait for others to end. One
// that has begun is never made to wait.
func (e *Engine) admit(x *control.Export) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, in := e.admitted[x.ID]; !in && x.State == control.Accepted && len(e.admitted) >= e.MaxActive {
		return false
	}
	e.admitted[x.ID] = struct{}{}
	return true
}

// next queues the oldest exports that wait for their turn, as far as there is
// room. What it misses the sweep finds.
func (e *Engine) next(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	e.mu.Lock()
	room := e.MaxActive - len(e.admitted)
	e.mu.Unlock()
	if room <= 0 {
		return
	}
	waiting, err := e.Control.Exports(ctx, control.Accepted)
	for _, x := range waiting {
		if room == 0 || err != nil {
			break
		}
		if x.Owner != e.Node {
			continue
		}
		room--
		err = e.queue.Insert(ctx, jobs.Plan, again(args(x, 0), e.Clock(), x.Created))
	}
	if err != nil {
		e.Log.WarnContext(ctx, "waiting exports not queued yet", "error", err)
	}
}
