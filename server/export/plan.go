package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"remit/mapping/program"
	"remit/server/files"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// load reads the export that a job is about. It is nil where the job is of no
// use any more: finished, deleted, planned anew, or taken over by a node other
// than the one that the job was meant for.
func (e *Engine) load(ctx context.Context, a jobs.Args) (*control.Export, *order, error) {
	x, o, err := e.loadAny(ctx, a)
	if x != nil && x.Owner != e.Node {
		return nil, nil, nil
	}
	return x, o, err
}

// loadAny is load for jobs that any node may do.
func (e *Engine) loadAny(ctx context.Context, a jobs.Args) (*control.Export, *order, error) {
	x, err := e.Control.Export(ctx, a.Export)
	if errors.Is(err, control.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !x.State.Active() || x.Owner == "" || x.Epoch != a.Epoch || x.Generation != a.Generation {
		return nil, nil, nil
	}
	o := new(order)
	if err := json.Unmarshal(x.Request, o); err != nil {
		return nil, nil, jobs.Permanent(fmt.Errorf("read request of export: %w", err))
	}
	return x, o, nil
}

// plan is the handler of plan jobs: it opens the snapshot and cuts the export
// into chunks, or goes on with those of an export whose snapshot was lost. Its
// arguments name the generation that it ends.
func (e *Engine) plan(ctx context.Context, j jobs.Job) error {
	x, o, err := e.load(ctx, j.Args)
	if x == nil || err != nil {
		return err
	}
	done, free := e.enter(control.Attempt{ExportID: x.ID, N: planning})
	if !free {
		return nil
	}
	defer done()
	if x.State == control.Running {
		e.take(x)
		s, err := e.resume(ctx, x, o)
		switch {
		case errors.Is(err, errPlanning):
			return nil
		case err == nil:
			return e.settle(ctx, x, j, "plan", e.goOn(ctx, x, s))
		case !errors.Is(err, errStartOver):
			return e.settle(ctx, x, j, "plan", err)
		}
	}
	if !e.admit(ctx, x) {
		// No snapshot is held while it waits.
		e.end(x.ID, errEnded)
		return nil
	}
	err = e.planExport(ctx, x, o)
	return e.settle(ctx, x, j, "plan", err)
}

// planning and finishing stand for the number of a chunk among what runs.
const (
	planning  = -1
	finishing = -2
)

// goOn queues what is left of an export that runs on s, and tells the other
// nodes how to join it.
func (e *Engine) goOn(ctx context.Context, x *control.Export, s *session) error {
	if s.token != x.Snapshot {
		err := e.Control.ShareExport(ctx, x, s.token)
		if errors.Is(err, control.ErrConflict) {
			return nil // deleted or taken over in the meantime
		}
		if err != nil {
			return err
		}
	}
	return e.feed(ctx, x)
}

// enter notes that this node works on a, unless it does so already; done notes
// the end.
func (e *Engine) enter(a control.Attempt) (done func(), free bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.running[a]; ok {
		return nil, false
	}
	e.running[a] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.running, a)
	}, true
}

// runs says whether this node works on a.
func (e *Engine) runs(a control.Attempt) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.running[a]
	return ok
}

func (e *Engine) planExport(ctx context.Context, x *control.Export, o *order) error {
	if x.Generation >= maxGenerations {
		return jobs.Permanent(errTooOften)
	}
	if x.Generation > 0 {
		e.Log.WarnContext(ctx, "export starts over", "job_id", x.ID, "generation", x.Generation)
	}
	s, err := e.openSession(ctx, x.ID, x.Epoch, x.Generation+1)
	if err != nil {
		return err
	}
	inner, leave, ok := s.enter(ctx)
	if !ok {
		return ErrCancelled
	}
	defer leave()
	types := s.runner.TypesOf(o.View)
	if o.View != "" && types == nil {
		return jobs.Permanent(ErrUnknownView) // the set was exchanged since the kick-off
	}
	if o.Limited {
		text, err := e.Control.Members(inner, x.ID)
		if err == nil {
			err = o.readWhom(text)
		}
		if err != nil {
			return because(inner, fmt.Errorf("read members of export: %w", err))
		}
	}
	consent, err := e.consent(inner, x.ClientID)
	if err != nil {
		return because(inner, err)
	}
	size := e.ChunkSize
	if o.Organize != "" {
		size = max(1, size/organizedParts)
	}
	shape, err := e.shape(o)
	if err != nil {
		return jobs.Permanent(err)
	}
	var chunks [][]byte
	for _, request := range o.requests(types) {
		if o.Organize != "" {
			request.Types = owned(request.Types, types)
		}
		if len(request.Types) == 0 {
			continue
		}
		consent.narrow(&request)
		request.Bounds = shape.bounds()
		cuts, err := s.runner.Split(inner, s.snap, request, size)
		if err != nil {
			return because(inner, fmt.Errorf("cut export into chunks: %w", err))
		}
		if o.Organize != "" {
			cuts = organizedCuts(cuts)
		}
		for _, c := range cuts {
			c.Without = nil // asked for again when the chunk runs
			text, err := encodeRequest(c)
			if err != nil {
				return fmt.Errorf("write chunk request: %w", err)
			}
			chunks = append(chunks, text)
		}
	}
	before := x.Generation
	err = e.Control.PlanExport(inner, x, control.Plan{
		Program: s.fingerprint, Snapshot: s.token, TransactionTime: s.snap.AsOf().UTC().Truncate(time.Millisecond), Chunks: chunks, At: e.Clock(),
	})
	if errors.Is(err, control.ErrConflict) {
		return nil // deleted or taken over in the meantime
	}
	if err != nil {
		return because(inner, err)
	}
	e.Log.InfoContext(ctx, "export planned", "job_id", x.ID, "chunks", len(chunks), "generation", x.Generation)
	if before > 0 {
		if err := e.Files.RemoveAll(ctx, folder(x.ID, before)); err != nil {
			e.Log.WarnContext(ctx, "files of an earlier start remain", "job_id", x.ID, "error", err)
		}
	}
	return e.feed(ctx, x)
}

// owned keeps the types whose resources belong to one patient each.
func owned(names []string, types []program.Type) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !slices.ContainsFunc(types, func(t program.Type) bool { return t.Name == name && t.Reach == program.PatientData })
	})
}

// feedAtOnce is how many chunks of an export lie in the shared queue.
const feedAtOnce = 32

// tryStep is more than the attempts at a chunk, see maxStarts. A job taken by a
// process that was lost before it began the chunk left no trace but itself; the
// next step lets another take its place.
const tryStep = 1000

// feed queues the next chunks of an export, or its end. It queues only a few at
// a time, so that exports take turns; where other nodes can join the snapshot,
// for all of them.
func (e *Engine) feed(ctx context.Context, x *control.Export) error {
	limit := 2 * e.Workers
	if x.Snapshot != "" {
		limit = feedAtOnce
	}
	open, waiting, err := e.Control.OpenChunks(ctx, x.ID, e.Node, e.Clock().Add(-e.Lease), limit)
	if err != nil {
		return err
	}
	if open == 0 {
		return e.conclude(ctx, x)
	}
	all := make([]jobs.Args, len(waiting))
	for i, c := range waiting {
		all[i] = args(x, c.N)
		all[i].Try = c.Attempt + tryStep*again(jobs.Args{}, e.Clock(), x.Started).Try
	}
	if x.Snapshot != "" {
		return e.queue.Share(ctx, urgency(x), jobs.Chunk, all...)
	}
	return e.queue.Insert(ctx, jobs.Chunk, all...)
}

// conclude queues the end of an export whose chunks are all done.
func (e *Engine) conclude(ctx context.Context, x *control.Export) error {
	return e.queue.Send(ctx, x.Owner, jobs.Finish, again(args(x, 0), e.Clock(), x.Created))
}

// urgency lets small exports pass large ones, so that one member's claims do
// not wait behind those of millions.
func urgency(x *control.Export) jobs.Urgency {
	switch {
	case x.ChunksTotal <= 4:
		return jobs.Small
	case x.ChunksTotal <= 64:
		return jobs.Medium
	}
	return jobs.Large
}

// because prefers the reason for which a context ended to the error that its
// end brought about.
func because(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// settle decides what an error of a job means: nothing, another attempt, or the
// end of the export. Nobody else logs it.
func (e *Engine) settle(ctx context.Context, x *control.Export, j jobs.Job, step string, err error) error {
	log := e.Log.With("job_id", x.ID, "step", step, "chunk", j.Chunk, "attempt", j.Attempt)
	var sqlError *source.SQLError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCancelled), errors.Is(err, ErrLeaseLost), errors.Is(err, errEnded):
		log.InfoContext(ctx, "job cancelled", "reason", err.Error())
		return nil
	case errors.Is(err, jobs.ErrStopping):
		log.InfoContext(ctx, "job interrupted")
		return err
	case !j.Last && !jobs.IsPermanent(err) && !errors.As(err, &sqlError):
		log.WarnContext(ctx, "job failed, will be tried again", "error", err)
		return err
	}
	log.ErrorContext(ctx, "job failed", "error", err)
	if failErr := e.fail(ctx, x, err); failErr != nil {
		// The sweep finds the export still active and tries again.
		return errors.Join(err, failErr)
	}
	return jobs.Permanent(err)
}

// Failure is why an export failed.
type Failure struct {
	Code string `json:"code"` // FHIR issue type
	Text string `json:"text"` // for the client
	// Detail is for the operator; it never holds row values.
	Detail string `json:"detail"`
}

// errTooOften says that an export, or a chunk of it, is given up: it was begun
// as often as that is tried.
var errTooOften = errors.New("begun too often")

// fail ends an export for good.
func (e *Engine) fail(ctx context.Context, x *control.Export, reason error) error {
	f := Failure{Code: "exception", Text: "The export failed because of an internal error.", Detail: reason.Error()}
	var sqlError *source.SQLError
	switch {
	case errors.Is(reason, errTooOften):
		f.Code, f.Text = "transient", "The export failed: it was begun again and again, because the server's processes or its view of the warehouse were lost each time. Ask for it once more."
	case errors.As(reason, &sqlError):
		f.Code, f.Text = "processing", "The export failed because a query of the mapping set failed."
	case errors.Is(reason, ErrUnknownView):
		f.Code, f.Text = "processing", "The export failed because the mapping set has no such view of the data any more."
	case errors.Is(reason, files.ErrFull):
		f.Code, f.Text = "no-store", "The export failed because the server has no room left for its files."
	case !jobs.IsPermanent(reason):
		f.Code, f.Text = "transient", "The export failed: one of its steps was tried several times in vain, as when the warehouse or a store of the server cannot be reached. Ask for it once more."
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write failure: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	err = e.Control.FailExport(ctx, x.ID, x.Epoch, text, nil, e.ending(x, e.Clock(), "failed", f.Code))
	if errors.Is(err, control.ErrConflict) {
		return nil // over, or another's by now: its files are not this failure's
	}
	if err != nil {
		return err
	}
	e.end(x.ID, errEnded)
	e.next(ctx)
	if err := e.Files.RemoveAll(ctx, x.ID); err != nil {
		e.Log.WarnContext(ctx, "files of a failed export remain", "job_id", x.ID, "error", err)
	}
	return nil
}

// folder is where the files of one generation of an export lie.
func folder(id string, generation int64) string { return fmt.Sprintf("%s/g%d", id, generation) }
