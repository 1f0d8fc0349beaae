package export

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/server/files"
	"remit/server/files/filestest"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/control/controltest"
	"remit/sql/source"
)

func TestCrashBetweenCommitAndInsert(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	text, err := json.Marshal(order{Request: Request{Level: LevelSystem, Types: allTypes}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.control.AddExport(t.Context(), &control.Export{ID: "lost", Request: text, Owner: "dead", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b.clock.forward(time.Minute)
	e := b.engine()
	if st := wait(t, e, "lost"); st.State != StateComplete {
		t.Fatalf("export ends as %s", st.State)
	}
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, "lost", "Patient"))
}

// hold makes the third chunk wait for the end of its context, once.
func hold(d *double) (reached chan struct{}) {
	reached = make(chan struct{})
	held := false
	d.after = func(ctx context.Context, r program.Request) error {
		d.mu.Lock()
		mine := !held && r.Pass == 0 && r.UpTo == nil
		held = held || mine
		d.mu.Unlock()
		if !mine {
			return nil
		}
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	}
	return reached
}

func TestBE168_CrashInAChunk(t *testing.T) {
	t.Parallel()
	for _, tracked := range []bool{true, false} {
		name := map[bool]string{true: "resumes", false: "starts over"}[tracked]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := small()
			d.types[0].Tracked = tracked
			reached := hold(d)
			b := newBench(t, d)
			e := b.engine()
			id := kickoff(t, e, Request{})
			<-reached
			until(t, e, id, func(st *Status) bool { return st.Done >= 7 })
			b.crash(e)
			before := len(d.ran())

			f := b.engine()
			st := wait(t, f, id)
			if st.State != StateComplete {
				t.Fatalf("export ends as %s", st.State)
			}
			same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, f, id, "Patient"))
			same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, f, id, "Claim"))
			again := d.ran()[before:]
			outcomes := lines(t, f, id)["OperationOutcome.1.ndjson"]
			if tracked {
				if len(again) != 1 || !again[0].AsOf.Equal(firstAsOf) || !st.TransactionTime.Equal(firstAsOf) || st.Restarts != 0 {
					t.Errorf("after the crash ran %+v with status %+v, want one chunk cut at the transaction time", again, st)
				}
				same(t, "outcomes", 0, len(outcomes))
			} else {
				if len(again) != 8 || !again[0].AsOf.IsZero() || !st.TransactionTime.After(firstAsOf) || st.Restarts != 1 {
					t.Errorf("after the crash ran %d chunks with status %+v, want all on a new snapshot", len(again), st)
				}
				if len(outcomes) != 1 || !strings.Contains(outcomes[0], "had to start over") {
					t.Errorf("outcomes are %q", outcomes)
				}
			}
			if rows, err := b.control.Files(t.Context(), id); err != nil || len(objects(t, b)) < len(rows) {
				t.Errorf("%d objects for %d files (%v)", len(objects(t, b)), len(rows), err)
			}
		})
	}
}

// While an export is cut anew, chunks of its former cut that are still queued
// do not run on the snapshot of the new one: their work would be thrown away.
func TestFormerChunksDuringPlan(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	reached := hold(d)
	b := newBench(t, d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	b.crash(e)
	before := len(d.ran())

	planning, goOn := make(chan struct{}), make(chan struct{})
	d.split = func() {
		close(planning)
		<-goOn
	}
	f := b.engine()
	<-planning
	x, err := b.control.Export(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.chunk(t.Context(), jobs.Job{Args: args(x, 2), Attempt: 1}); err != nil {
		t.Errorf("chunk of the former cut: %v", err)
	}
	if n := len(d.ran()) - before; n != 0 {
		t.Errorf("%d chunks of the former cut ran while the export was planned anew", n)
	}
	close(goOn)
	if st := wait(t, f, id); st.State != StateComplete || st.Restarts != 1 {
		t.Errorf("export ends as %s after %d restarts", st.State, st.Restarts)
	}
	same(t, "chunks run anew", 8, len(d.ran())-before)
}

func TestRestart(t *testing.T) {
	t.Parallel()
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A plain stop gives the export up, so the next process need not wait for
	// the lease.
	f := b.engine()
	if st := wait(t, f, id); st.State != StateComplete {
		t.Fatalf("export ends as %s", st.State)
	}
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, f, id, "Patient"))
}

func TestBE214_CancelWhileRunning(t *testing.T) {
	t.Parallel()
	d := small()
	cause := make(chan error, 1)
	started := make(chan struct{})
	d.after = func(ctx context.Context, r program.Request) error {
		if r.Pass == 1 && r.After == nil {
			close(started)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		}
		return nil
	}
	b := newBench(t, d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-started
	if _, err := e.Manifest(t.Context(), id, "", true); !errors.Is(err, ErrNotReady) {
		t.Errorf("manifest of a running export gives %v", err)
	}
	if err := e.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	is(t, "the running chunk", <-cause, ErrCancelled)
	_, err := e.Status(t.Context(), id)
	is(t, "status after delete", err, ErrNotFound)
	is(t, "a second delete", e.Delete(t.Context(), id), ErrNotFound)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "objects", nil, objects(t, b))
	if _, err := b.control.Export(t.Context(), id); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("row is still there: %v", err)
	}
}

func TestDeleteElsewhere(t *testing.T) {
	t.Parallel()
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	b.change = func(o *Options) { o.Lease = 50 * time.Millisecond }
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	// As another node does it: this one hears of it with a heartbeat.
	if err := b.control.DeleteExport(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for open, _ := b.wh.stats(); open > 0; open, _ = b.wh.stats() {
		time.Sleep(time.Millisecond)
	}
}

func TestBE212_DeleteAfterCompletion(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	id := export(t, e, Request{})
	f, err := e.OpenFile(t.Context(), id, "Claim.1.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := e.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || int64(len(text)) != f.Bytes {
		t.Errorf("a download that had begun gives %d bytes, %v", len(text), err)
	}
	_, err = e.OpenFile(t.Context(), id, "Claim.1.ndjson")
	is(t, "a file after delete", err, ErrNotFound)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	// The files go with the last download.
	if err := e.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "objects", nil, objects(t, b))
}

func TestBE167_Expiry(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	id := export(t, e, Request{})
	b.clock.forward(23 * time.Hour)
	if err := e.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(lines(t, e, id)) == 0 {
		t.Error("files went early")
	}
	b.clock.forward(2 * time.Hour)
	_, err := e.Status(t.Context(), id)
	is(t, "status past expiry", err, ErrExpired)
	if err := e.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = e.OpenFile(t.Context(), id, "Claim.1.ndjson")
	is(t, "a file past expiry", err, ErrExpired)
	same(t, "objects", nil, objects(t, b))
	b.clock.forward(24 * time.Hour)
	if err := e.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = e.Status(t.Context(), id)
	is(t, "status long after", err, ErrNotFound)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	d := small()
	failed := 0
	d.after = func(_ context.Context, r program.Request) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if r.Pass == 1 && r.After == nil && failed < 3 {
			failed++
			return errors.New("connection reset")
		}
		return nil
	}
	b := newBench(t, d)
	e := b.engine()
	id := export(t, e, Request{})
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
	// The third attempt got a new snapshot, cut at the old transaction time.
	if _, opened := b.wh.stats(); opened != 2 {
		t.Errorf("%d snapshots, want 2", opened)
	}
	st := wait(t, e, id)
	same(t, "transaction time", firstAsOf, st.TransactionTime)
	last := d.ran()[len(d.ran())-1]
	if !last.AsOf.Equal(firstAsOf) {
		t.Errorf("last attempt is cut at %v", last.AsOf)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		code string
		runs int
	}{
		{"fault", errors.New("the wire is cut"), "transient", 4},
		{"bug", jobs.Permanent(errors.New("a request that nobody can read")), "exception", 1},
		{"sql", &source.SQLError{Code: "runtime", Message: "division by zero", Offset: -1}, "processing", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := small()
			n := 0
			d.after = func(_ context.Context, r program.Request) error {
				if r.Pass != 2 {
					return nil
				}
				d.mu.Lock()
				n++
				d.mu.Unlock()
				return c.err
			}
			b := newBench(t, d)
			e := b.engine()
			id := kickoff(t, e, Request{Types: []string{"Organization"}})
			st := wait(t, e, id)
			if st.State != StateFailed || st.Failure.Code != c.code || !strings.Contains(st.Failure.Detail, c.err.Error()) ||
				strings.Contains(st.Failure.Text, c.err.Error()) || st.Percent == 100 || st.Expires.IsZero() {
				t.Errorf("status is %+v, failure %+v", st, st.Failure)
			}
			same(t, "attempts", c.runs, n)
			_, err := e.Manifest(t.Context(), id, "", true)
			is(t, "manifest of a failed export", err, ErrNotReady)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, "objects", nil, objects(t, b))
		})
	}
}

// An export whose snapshot is lost each time it runs ends in the end, and says
// that it is worth asking again.
func TestBegunTooOften(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	b := newBench(t, d)
	reached := hold(d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	for range maxGenerations {
		<-reached
		b.crash(e)
		reached = hold(d)
		e = b.engine()
	}
	st := wait(t, e, id)
	if st.State != StateFailed || st.Failure.Code != "transient" || !strings.Contains(st.Failure.Text, "begun again and again") {
		t.Errorf("status is %+v, failure %+v", st, st.Failure)
	}
	same(t, "restarts", maxGenerations-1, st.Restarts)
}

func TestWarehouseUnreachable(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	b.wh.fail = errors.New("connection refused")
	e := b.engine()
	if st := wait(t, e, kickoff(t, e, Request{})); st.State != StateFailed || !strings.Contains(st.Failure.Detail, "open snapshot: connection refused") {
		t.Errorf("status is %+v", st)
	}
	if _, err := e.Kickoff(t.Context(), Request{Level: LevelGroup, Group: "g1", Types: allTypes}, false); err == nil {
		t.Error("a group kick-off without a warehouse gives no error")
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	full, left := filestest.Full(60)
	b.change = func(o *Options) { o.Files = full }
	e := b.engine()
	id := kickoff(t, e, Request{})
	st := wait(t, e, id)
	if st.State != StateFailed || st.Failure.Code != "no-store" || !strings.Contains(st.Failure.Detail, files.ErrFull.Error()) {
		t.Errorf("status is %+v, failure %+v", st, st.Failure)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "objects", nil, left())
}

// What becomes of an export stands in the audit trail once: where the two cannot be
// written together, neither is, and a further attempt writes both.
func TestEndIsAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	address := "sqlite:" + filepath.Join(b.dir, "control.db")
	trail := func(id string) (lines []string) {
		events, err := b.control.Events(t.Context(), time.Time{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.ExportID == id {
				lines = append(lines, e.Action+" "+e.Outcome+" "+e.Detail)
			}
		}
		return lines
	}
	cuts := make(chan struct{}, 1)
	b.change = func(o *Options) {
		o.Log = slog.New(whenLogged{o.Log.Handler(), func(r slog.Record) {
			if r.Message == "job failed, will be tried again" {
				select {
				case cuts <- struct{}{}:
					controltest.Tamper(t, address, "ALTER TABLE audit_away RENAME TO audit")
				default:
					t.Error("more than one attempt fails")
				}
			}
		}})
	}
	e := b.engine()
	controltest.Tamper(t, address, "ALTER TABLE audit RENAME TO audit_away")
	id := export(t, e, Request{})
	if len(cuts) != 1 {
		t.Fatal("no attempt was cut")
	}
	same(t, "trail", []string{"export ok 13 resources in 8 files"}, trail(id))

	// A job that comes once more, or fails after the end, tells nothing more.
	x, err := b.control.Export(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.finish(t.Context(), jobs.Job{Args: args(x, 0), Attempt: 2}); err != nil {
		t.Error(err)
	}
	if err := e.fail(t.Context(), x, errors.New("late")); err != nil {
		t.Error(err)
	}
	same(t, "trail after another attempt", 1, len(trail(id)))
	lines(t, e, id) // and takes no file away
	b.clock.forward(e.Keep + time.Hour)
	for range 2 {
		if err := e.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "trail after its time", []string{"export ok 13 resources in 8 files", "expire ok "}, trail(id))
}

// whenLogged calls do before each record is logged.
type whenLogged struct {
	slog.Handler
	do func(slog.Record)
}

func (h whenLogged) Handle(ctx context.Context, r slog.Record) error {
	h.do(r)
	return h.Handler.Handle(ctx, r)
}

func (h whenLogged) WithAttrs(attrs []slog.Attr) slog.Handler {
	return whenLogged{h.Handler.WithAttrs(attrs), h.do}
}
