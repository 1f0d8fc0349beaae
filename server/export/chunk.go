package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"remit/mapping/program"
	"remit/profiles"
	"remit/server/files"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// maxLine is the longest line a client is sure to read (BE-201).
const maxLine = 10_000_000 - 1

// Waits of a chunk that this node cannot run now.
const (
	notShared = 500 * time.Millisecond // the owner is opening the snapshot, or lost
	foreign   = 500 * time.Millisecond // another version of the program is to take it
)

// maxStarts bounds how often a chunk is started, whatever lost the attempts.
const maxStarts = 30

// chunk is the handler of chunk jobs: it runs one chunk into files, which
// nobody sees before the whole export is complete. Where the export's snapshot
// can be joined, the node need not be its owner.
func (e *Engine) chunk(ctx context.Context, j jobs.Job) error {
	x, o, err := e.loadAny(ctx, j.Args)
	if x == nil || err != nil {
		return err
	}
	if taken, err := e.taken(ctx, j); taken || err != nil {
		return err
	}
	var s *session
	if x.Owner == e.Node {
		s, err = e.resume(ctx, x, o)
	} else {
		s, err = e.join(ctx, x)
	}
	switch {
	case errors.Is(err, errPlanning):
		return nil // the plan queues the chunks that take its place
	case errors.Is(err, errStartOver):
		return e.settle(ctx, x, j, "chunk", e.queue.Insert(ctx, jobs.Plan, args(x, 0)))
	case errors.Is(err, source.ErrNotShared):
		return jobs.Later(notShared)
	case errors.Is(err, errForeign):
		return jobs.Later(foreign)
	case err != nil:
		return e.settle(ctx, x, j, "chunk", err)
	}
	inner, leave, ok := s.enter(ctx)
	if !ok {
		return nil // ended since; whoever ended it knows why
	}
	defer leave()
	err = e.runChunk(inner, x, o, s, j.Chunk)
	if err != nil && inner.Err() == nil {
		s.fault()
		e.Observe(ChunkEnd{Failed: true})
	}
	return e.settle(ctx, x, j, "chunk", err)
}

// taken says that another job is at the chunk: one for it was inserted once more
// because the first was slow to be taken. What River tries again is no such job.
func (e *Engine) taken(ctx context.Context, j jobs.Job) (bool, error) {
	if j.Attempt > 1 {
		return false, nil
	}
	c, err := e.Control.Chunk(ctx, j.Export, j.Chunk)
	if errors.Is(err, control.ErrNotFound) {
		return true, nil
	}
	if err != nil || c.State != "running" {
		return false, err
	}
	if c.Node == e.Node {
		return e.runs(control.Attempt{ExportID: j.Export, N: j.Chunk, Attempt: c.Attempt}), nil
	}
	nodes, err := e.Control.Nodes(ctx)
	alive := e.Clock().Add(-e.Lease)
	return slices.ContainsFunc(nodes, func(n control.Node) bool { return n.ID == c.Node && !n.Seen.Before(alive) }), err
}

// runChunk does one attempt at chunk n.
func (e *Engine) runChunk(ctx context.Context, x *control.Export, o *order, s *session, n int) (err error) {
	began := e.Clock()
	attempt, err := e.Control.StartChunk(ctx, x, n, e.Node, began)
	if errors.Is(err, control.ErrConflict) {
		return nil // done already, or the export moved on
	}
	if err != nil {
		return because(ctx, err)
	}
	if done, free := e.enter(control.Attempt{ExportID: x.ID, N: n, Attempt: attempt}); free {
		defer done()
	}
	if attempt > maxStarts {
		return jobs.Permanent(fmt.Errorf("chunk %d: %w: %d times, and never ended", n, errTooOften, maxStarts))
	}
	c, err := e.Control.Chunk(ctx, x.ID, n)
	if err != nil {
		return because(ctx, err)
	}
	request, err := decodeRequest(c.Request)
	if err != nil {
		return jobs.Permanent(err)
	}
	request.AsOf = s.asOf
	// Members may have chosen otherwise since the export was planned.
	consent, err := e.consent(ctx, x.ClientID)
	if err != nil {
		return because(ctx, err)
	}
	consent.narrow(&request)
	struck, err := e.strikeFrom(ctx, s, consent, request)
	if err != nil {
		return because(ctx, fmt.Errorf("read rosters: %w", err))
	}

	shape, err := e.shape(o)
	if err != nil {
		return jobs.Permanent(err)
	}

	r := &run{engine: e, session: s, shape: shape, struck: struck, tally: newTally(), digests: newDigests(e.digests),
		set: e.Files.NewSet(fmt.Sprintf("%s/c%d-%d-%d", folder(x.ID, x.Generation), n, x.Epoch, attempt), e.Limits)}
	kept := false
	defer func() {
		if kept {
			return
		}
		// Removing and setting free must work although ctx is over.
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, r.set.Abort(ctx))
		if errors.Is(err, errEnded) {
			// The session gave way to another; the queue knows of no failure.
			err = errors.Join(err, e.giveBack(ctx, x, control.Attempt{ExportID: x.ID, N: n, Attempt: attempt}))
		}
	}()
	counts, err := s.runner.Run(ctx, s.snap, request, func(m *program.Emitted) error { return r.take(ctx, m) })
	if err != nil {
		return because(ctx, fmt.Errorf("run chunk: %w", err))
	}
	if err := r.writeBlocks(ctx); err != nil {
		return because(ctx, err)
	}
	if err := r.writeDeletions(ctx); err != nil {
		return because(ctx, err)
	}
	// The end of the export finds by them what two chunks share.
	if x.ChunksTotal > 1 || o.Associated != NoAssociated || r.digests.spilled {
		if err := r.digests.write(ctx, r.set); err != nil {
			return because(ctx, err)
		}
	}
	parts, err := r.set.Commit()
	if err != nil {
		return because(ctx, fmt.Errorf("commit chunk: %w", err))
	}
	report := r.tally.close(counts)
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("write counts: %w", err)
	}
	exported := total(report.Exported)
	left, err := e.Control.FinishChunk(ctx, x, n, attempt, text, exported, total(report.Bytes), fileRows(parts, n), e.Clock())
	if errors.Is(err, control.ErrConflict) {
		return because(ctx, nil)
	}
	if err != nil {
		return because(ctx, err)
	}
	kept = true
	e.Observe(ChunkEnd{Took: e.Clock().Sub(began), Rows: report.Rows, Bytes: r.set.Bytes(), Exported: report.Exported, Withheld: report.Withheld})
	e.Log.InfoContext(ctx, "chunk done", "job_id", x.ID, "chunk", n, "attempt", attempt, "rows", report.Rows, "resources", exported,
		"withheld", total(report.Withheld), "bytes", r.set.Bytes(), "elapsed_ms", e.Clock().Sub(began).Milliseconds())
	if left > 0 {
		return e.feed(ctx, x)
	}
	return e.conclude(ctx, x)
}

// giveBack lets any node start a chunk anew whose attempt was cut short.
func (e *Engine) giveBack(ctx context.Context, x *control.Export, a control.Attempt) error {
	err := e.Control.FreeChunk(ctx, a)
	if errors.Is(err, control.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.feed(ctx, x)
}

// Series of a chunk's file set: kind, then resource type.
const seriesMark = "-"

func seriesOf(kind, typ string) string { return kind + seriesMark + typ }

// fileRows turns the parts of a chunk's set into rows of the control store.
func fileRows(parts []files.Part, chunk int) []control.File {
	rows := make([]control.File, len(parts))
	for i, p := range parts {
		kind, typ, _ := strings.Cut(p.Series, seriesMark)
		rows[i] = control.File{Object: p.Object, Chunk: chunk, Seq: p.Seq, Type: typ, Kind: kind,
			Count: p.Info.Count, Bytes: p.Info.Bytes, Stored: p.Info.Stored, SHA256: p.Info.SHA256}
	}
	return rows
}

// run is one attempt at a chunk. It is used by one goroutine.
type run struct {
	engine   *Engine
	session  *session
	shape    *shape
	set      *files.Set
	struck   *strike // nil where rosters stay as they are
	tally    *tally
	digests  *digests          // of what was exported
	gone     []deletion        // in the order told
	blocks   map[string]*block // by owner's id, where organized
	owner    []byte            // id of the block of the resource at hand
	findings []profiles.Finding
	rejects  []reject
	line     []byte
	since    int // resources since ctx was looked at
}

// take judges one resource and writes it, or says why not.
func (r *run) take(ctx context.Context, m *program.Emitted) error {
	if r.since++; r.since >= 256 {
		r.since = 0
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if m.Deleted {
		r.gone = append(r.gone, deletion{m.Type, string(m.ID)})
		return nil
	}
	r.struck.from(m)
	if !r.shape.matches(m.Type, m.Resource) {
		r.tally.Filtered[m.Type]++
		return nil
	}
	r.rejects = r.rejects[:0]
	r.findings = append(r.findings[:0], m.Findings...)
	if r.session.validator != nil {
		r.findings = r.session.validator.Validate(m.Resource, r.findings)
	}
	for i := range r.findings {
		f := &r.findings[i]
		r.tally.finding(f)
		if f.Severity == profiles.Error {
			r.rejects = append(r.rejects, rejected(f, r.session.runner.Position(f.Origin)))
		}
	}
	if len(r.rejects) > 0 && r.engine.Policy != Flag {
		return r.withhold(ctx, m)
	}
	flagged := len(r.rejects) > 0
	if r.shape.organize != "" && !r.findOwner(m) {
		r.tally.Filtered[m.Type]++
		return nil
	}
	r.shape.trim(m.Type, m.Resource)
	r.line = m.Resource.AppendJSON(r.line[:0])
	if len(r.line) > maxLine {
		r.rejects = append(r.rejects, reject{code: "line-too-long", kind: issueType("line-too-long"),
			text: fmt.Sprintf("its line has %d bytes, more than clients read", len(r.line))})
		return r.withhold(ctx, m)
	}
	d := digestOf(m.Type, m.ID)
	if r.digests.has(m.Type, d) {
		r.rejects = append(r.rejects, duplicate())
		return r.withhold(ctx, m)
	}
	if err := r.digests.add(ctx, r.set, m.Type, d); err != nil {
		return err
	}
	if r.shape.organize != "" {
		r.place(m)
	} else if err := r.set.Write(ctx, seriesOf(control.KindOutput, m.Type), r.line); err != nil {
		return err
	}
	r.tally.Exported[m.Type]++
	r.tally.Bytes[m.Type] += int64(len(r.line)) + 1
	if flagged {
		r.tally.Flagged[m.Type]++
		return r.tell(ctx, m, false)
	}
	return nil
}

func duplicate() reject {
	return reject{code: "duplicate-id", kind: issueType("duplicate-id"), text: "another resource of this export has the same id"}
}

// withhold counts a resource that is not exported, and lists it.
func (r *run) withhold(ctx context.Context, m *program.Emitted) error {
	r.tally.Withheld[m.Type]++
	r.tally.Reasons[r.rejects[0].code]++
	return r.tell(ctx, m, true)
}

func (r *run) tell(ctx context.Context, m *program.Emitted, withheld bool) error {
	line, err := outcome(subject{m.Type, string(m.ID), string(m.Key), m.Pos}, withheld, r.rejects).line()
	if err != nil {
		return err
	}
	return r.set.Write(ctx, seriesOf(control.KindError, outcomeType), line)
}

// resumedAt names the cut of an export, for notes.
func resumedAt(t time.Time) string { return t.UTC().Format(instantLayout) }
