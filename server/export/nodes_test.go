package export

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/sql/source"
)

// sharedWarehouse is a warehouse whose snapshots can be joined.
type sharedWarehouse struct {
	warehouse
	mu     sync.Mutex
	alive  map[string]*sharedSnapshot
	joined int
}

type sharedSnapshot struct {
	snapshot
	w     *sharedWarehouse
	token string
}

func (s *sharedSnapshot) Share() string { return s.token }

func (s *sharedSnapshot) Alive(context.Context) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.alive[s.token] == nil {
		return source.ErrNotShared
	}
	return nil
}

// restart forgets every snapshot, as a server does that crashed.
func (w *sharedWarehouse) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.alive)
}

func (s *sharedSnapshot) Close() error {
	s.w.mu.Lock()
	delete(s.w.alive, s.token)
	s.w.mu.Unlock()
	return s.snapshot.Close()
}

func (w *sharedWarehouse) hold(asOf time.Time) *sharedSnapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &sharedSnapshot{snapshot: snapshot{asOf: asOf, w: &w.warehouse}, w: w, token: newID()}
	w.alive[s.token] = s
	return s
}

func (w *sharedWarehouse) Snapshot(ctx context.Context) (source.Snapshot, error) {
	s, err := w.warehouse.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return w.hold(s.AsOf()), nil
}

func (w *sharedWarehouse) Join(_ context.Context, token string) (source.Snapshot, error) {
	w.mu.Lock()
	from := w.alive[token]
	w.joined++
	w.mu.Unlock()
	if from == nil {
		return nil, source.ErrNotShared
	}
	w.warehouse.mu.Lock()
	w.warehouse.open++
	w.warehouse.mu.Unlock()
	return w.hold(from.asOf), nil
}

// several makes a bench on which several engines share one view. Their leases
// outlast any load of the machine: what a node does when its next heartbeat or
// sweep is due, the test does.
func several(t *testing.T, d *double) (*bench, *sharedWarehouse) {
	b := newBench(t, d)
	w := &sharedWarehouse{alive: map[string]*sharedSnapshot{}}
	b.wh = &w.warehouse
	b.change = func(o *Options) { o.Warehouse, o.Workers, o.Lease = w, 1, time.Hour }
	return b, w
}

// front makes an engine that only accepts, plans and finishes.
func (b *bench) front() *Engine {
	change := b.change
	defer func() { b.change = change }()
	b.change = func(o *Options) { change(o); o.Workers = -1 }
	return b.engine()
}

func wholeExport(t *testing.T, e *Engine, id string) {
	t.Helper()
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
	same(t, "organizations", []string{"o1", "o2"}, ids(t, e, id, "Organization"))
}

func TestNodes_WorkersJoinTheSnapshot(t *testing.T) {
	t.Parallel()
	d := small()
	var mu sync.Mutex
	both := make(chan struct{})
	began := 0
	d.before = func(ctx context.Context, _ program.Request) error {
		mu.Lock()
		if began++; began == 2 {
			close(both) // one worker each: two nodes are at it
		}
		mu.Unlock()
		select {
		case <-both:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b, w := several(t, d)
	front := b.front()
	b.engine()
	b.engine()
	id := kickoff(t, front, Request{})
	st := wait(t, front, id)
	if st.State != StateComplete || st.Restarts != 0 {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, front, id)
	if _, opened := b.wh.stats(); opened != 1 {
		t.Errorf("%d snapshots were opened, want one that is joined", opened)
	}
	w.mu.Lock()
	joined := w.joined
	w.mu.Unlock()
	if joined < 2 {
		t.Errorf("the snapshot was joined %d times, want by both workers", joined)
	}
	nodes, err := b.control.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "nodes", 3, len(nodes))
}

func TestNodes_OneNeedsWorkersWhereSnapshotsCannotBeJoined(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	_, err := New(t.Context(), Options{Program: func() (Runner, Validator) { return b.double, nil }, Warehouse: b.wh,
		Control: b.control, Files: b.store, Queue: b.queue, Workers: -1})
	if err == nil || !strings.Contains(err.Error(), "join") {
		t.Errorf("a node without workers gives %v", err)
	}
}

func TestNodes_LostWorker(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	reached := hold(d)
	b, _ := several(t, d)
	front, worker := b.front(), b.engine()
	id := kickoff(t, front, Request{})
	<-reached
	b.crash(worker)
	// The clock has moved past every lease: the owner must be heard before
	// another node looks.
	if err := front.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.engine()
	if err := front.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := wait(t, front, id)
	if st.State != StateComplete || st.Restarts != 0 {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, front, id)
	if _, opened := b.wh.stats(); opened > 2 {
		t.Errorf("%d snapshots were opened", opened)
	}
}

// A worker that has joined the snapshot goes on from it when the owner is lost,
// also where changes are not tracked.
func TestNodes_LostOwner(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.before = func(ctx context.Context, _ program.Request) error {
		once.Do(func() { close(started) })
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b, _ := several(t, d)
	front, worker := b.front(), b.engine()
	id := kickoff(t, front, Request{})
	<-started
	b.crash(front)
	if err := worker.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := worker.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	st := wait(t, worker, id)
	if st.State != StateComplete || st.Restarts != 0 || !st.TransactionTime.Equal(firstAsOf) {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, worker, id)
	if _, opened := b.wh.stats(); opened != 1 {
		t.Errorf("%d snapshots were opened, want one that outlives its owner", opened)
	}
}

// other is a program of another version.
type other struct{ *double }

func (other) Fingerprint() string { return "other" }

func TestNodes_AnotherVersionLeavesTheChunk(t *testing.T) {
	t.Parallel()
	d := small()
	b, _ := several(t, d)
	change := b.change
	b.change = func(o *Options) {
		change(o)
		o.Program = func() (Runner, Validator) { return other{d}, nil }
	}
	b.engine()
	b.change = change
	front := b.front()
	id := kickoff(t, front, Request{})
	b.engine()
	st := wait(t, front, id)
	if st.State != StateComplete || st.Restarts != 0 {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, front, id)
}

// BE-214: a deleted export stops on every node.
func TestBE214_DeleteStopsOtherNodes(t *testing.T) {
	t.Parallel()
	d := small()
	started, ended := make(chan struct{}, 10), make(chan error, 10)
	d.before = func(ctx context.Context, _ program.Request) error {
		started <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}
	b, _ := several(t, d)
	front := b.front()
	worker := b.engine()
	id := kickoff(t, front, Request{})
	<-started
	if err := front.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := worker.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrCancelled) {
		t.Errorf("the worker's chunk ended with %v, want ErrCancelled", err)
	}
}

// What the store takes for running on a living node, and is not, is set free.
func TestNodes_ChunkWithoutJob(t *testing.T) {
	t.Parallel()
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	// The attempt that hangs is forgotten, as if the queue had lost its end.
	e.mu.Lock()
	clear(e.running)
	e.mu.Unlock()
	b.clock.forward(lost + time.Minute)
	if err := e.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := wait(t, e, id)
	if st.State != StateComplete {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, e, id)
	if n := len(slices.DeleteFunc(d.ran(), func(r program.Request) bool { return r.Pass != 0 || r.UpTo != nil })); n < 2 {
		t.Errorf("the lost chunk ran %d times, want again", n)
	}
}

// A front that runs no chunks notices that the warehouse was restarted, and
// plans anew.
func TestNodes_LostSnapshot(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	b, w := several(t, d)
	front := b.front()
	id := kickoff(t, front, Request{})
	until(t, front, id, planned)
	w.restart()
	b.engine()
	// A sweep that meets the plan at its last steps leaves the rest to the next.
	until(t, front, id, func(st *Status) bool {
		if err := front.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return st.Restarts > 0
	})
	st := wait(t, front, id)
	if st.State != StateComplete || st.Restarts != 1 {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, front, id)
}

// A process that was lost between taking a job and beginning its chunk left
// nothing but a job that the queue takes for running.
func TestNodes_LostBeforeTheChunkBegan(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[0].Tracked = false
	b, _ := several(t, d)
	front := b.front()
	id := kickoff(t, front, Request{})
	until(t, front, id, planned)
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(b.queue, "sqlite:")+"?_pragma=busy_timeout(15000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var jobs int
	for jobs == 0 {
		res, err := db.ExecContext(t.Context(), "UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP WHERE kind = 'export_chunk' AND state = 'available'")
		if err != nil {
			t.Fatal(err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			t.Fatal(err)
		}
		jobs = int(n)
		time.Sleep(time.Millisecond)
	}
	b.clock.forward(lost + time.Second)
	if err := front.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := front.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.engine()
	st := wait(t, front, id)
	if st.State != StateComplete || st.Restarts != 0 {
		t.Fatalf("export ends as %+v", st)
	}
	wholeExport(t, front, id)
}
