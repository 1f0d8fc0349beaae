// Package jobstest holds the suite that the job queue passes on every database.
package jobstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/server/jobs"
)

// patience bounds every wait; nothing waits that long when all is well.
const patience = 30 * time.Second

// Run runs the suite; address names an empty database for each test.
func Run(t *testing.T, address func(t *testing.T) string) {
	t.Run("RunsWhatIsInserted", func(t *testing.T) { runs(t, address(t)) })
	t.Run("SeveralOpenAtOnce", func(t *testing.T) { together(t, address(t)) })
	t.Run("UniqueWhileItWaitsOrRuns", func(t *testing.T) { unique(t, address(t)) })
	t.Run("RetriesAreBounded", func(t *testing.T) { retries(t, address(t)) })
	t.Run("PermanentIsNotRetried", func(t *testing.T) { permanent(t, address(t)) })
	t.Run("StopCancelsWithCause", func(t *testing.T) { stops(t, address(t)) })
	t.Run("StopDrains", func(t *testing.T) { drains(t, address(t)) })
	t.Run("StartAndStopInAnyOrder", func(t *testing.T) { anyOrder(t, address(t)) })
	t.Run("QueueOfItsOwn", func(t *testing.T) { ownQueue(t, address(t)) })
	t.Run("SharedQueue", func(t *testing.T) { shared(t, address(t)) })
	t.Run("SmallBeforeLarge", func(t *testing.T) { urgency(t, address(t)) })
	t.Run("Later", func(t *testing.T) { later(t, address(t)) })
	t.Run("AnotherTry", func(t *testing.T) { anotherTry(t, address(t)) })
	t.Run("Duty", func(t *testing.T) { duty(t, address(t)) })
}

type handlers = map[jobs.Kind]jobs.Handler

func open(t *testing.T, address, node string, h handlers, duties ...jobs.Duty) *jobs.Queue {
	t.Helper()
	q, err := jobs.Open(t.Context(), jobs.Options{Address: address, Node: node, Workers: 2, Attempts: 3,
		Backoff: time.Millisecond, Poll: 10 * time.Millisecond, Handlers: h, Duties: duties})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func start(t *testing.T, q *jobs.Queue) {
	t.Helper()
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func insert(t *testing.T, q *jobs.Queue, kind jobs.Kind, args ...jobs.Args) {
	t.Helper()
	if err := q.Insert(t.Context(), kind, args...); err != nil {
		t.Fatal(err)
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

type seen struct {
	Kind jobs.Kind
	Job  jobs.Job
}

func runs(t *testing.T, address string) {
	got := make(chan seen, 10)
	note := func(k jobs.Kind) jobs.Handler {
		return func(_ context.Context, j jobs.Job) error {
			got <- seen{k, j}
			return nil
		}
	}
	q := open(t, address, "a", handlers{jobs.Plan: note(jobs.Plan), jobs.Chunk: note(jobs.Chunk), jobs.Finish: note(jobs.Finish)})
	a := jobs.Args{Export: "x", Epoch: 1, Generation: 2, Chunk: 3}
	insert(t, q, jobs.Plan, a) // before Start, too
	start(t, q)
	all := map[jobs.Kind]jobs.Job{}
	s := receive(t, got)
	all[s.Kind] = s.Job
	insert(t, q, jobs.Chunk, a)
	insert(t, q, jobs.Finish, a)
	insert(t, q, jobs.Finish)
	for range 2 {
		s := receive(t, got)
		all[s.Kind] = s.Job
	}
	j := jobs.Job{Args: a, Attempt: 1}
	if diff := cmp.Diff(map[jobs.Kind]jobs.Job{jobs.Plan: j, jobs.Chunk: j, jobs.Finish: j}, all); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if err := q.Insert(t.Context(), "nothing", a); err == nil {
		t.Error("an unknown kind gives no error")
	}
}

func unique(t *testing.T, address string) {
	started, release := make(chan jobs.Args, 10), make(chan struct{})
	q := open(t, address, "a", handlers{jobs.Chunk: func(ctx context.Context, j jobs.Job) error {
		started <- j.Args
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}})
	one, two := jobs.Args{Export: "x", Chunk: 1}, jobs.Args{Export: "x", Chunk: 2}
	insert(t, q, jobs.Chunk, one)
	insert(t, q, jobs.Chunk, one) // while it waits
	start(t, q)
	receive(t, started)
	insert(t, q, jobs.Chunk, one, two) // while it runs
	if got := receive(t, started); got != two {
		t.Errorf("started %v, want %v", got, two)
	}
	close(release)
	// Once it is done, it may be inserted again: the control store decides
	// whether there is anything left to do.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		insert(t, q, jobs.Chunk, one)
		select {
		case <-started:
			return
		case <-time.After(5 * time.Millisecond): // the last run is still being noted
		}
	}
	t.Error("a job that is done cannot be inserted again")
}

func retries(t *testing.T, address string) {
	got := make(chan jobs.Job, 10)
	fault := errors.New("fault")
	q := open(t, address, "a", handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
		got <- j
		return fault
	}})
	start(t, q)
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	for i := range 3 {
		j := receive(t, got)
		if j.Attempt != i+1 || j.Last != (i == 2) {
			t.Errorf("attempt %d, last %v; want attempt %d of 3", j.Attempt, j.Last, i+1)
		}
	}
	// A marker that runs later proves that no fourth attempt came before it.
	insert(t, q, jobs.Chunk, jobs.Args{Export: "y"})
	if j := receive(t, got); j.Export != "y" {
		t.Errorf("a fourth attempt was made")
	}
}

func permanent(t *testing.T, address string) {
	got := make(chan jobs.Job, 10)
	q := open(t, address, "a", handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
		got <- j
		return jobs.Permanent(errors.New("fault"))
	}})
	start(t, q)
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	receive(t, got)
	insert(t, q, jobs.Chunk, jobs.Args{Export: "y"})
	if j := receive(t, got); j.Export != "y" {
		t.Errorf("a second attempt was made")
	}
	if !jobs.IsPermanent(jobs.Permanent(errors.New("x"))) || jobs.IsPermanent(errors.New("x")) {
		t.Error("IsPermanent does not tell")
	}
}

func stops(t *testing.T, address string) {
	started, cause := make(chan struct{}), make(chan error, 1)
	q := open(t, address, "a", handlers{jobs.Chunk: func(ctx context.Context, _ jobs.Job) error {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	}})
	start(t, q)
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	receive(t, started)
	if err := q.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, cause); !errors.Is(err, jobs.ErrStopping) {
		t.Errorf("cause is %v, want ErrStopping", err)
	}
}

func anyOrder(t *testing.T, address string) {
	got := make(chan jobs.Job, 10)
	q := open(t, address, "a", handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
		got <- j
		return nil
	}})
	stop := func() {
		t.Helper()
		if err := q.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	start(t, q)
	start(t, q)
	stop()
	stop()
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	start(t, q)
	receive(t, got)
}

func ownQueue(t *testing.T, address string) {
	got := make(chan string, 10)
	note := func(node string) handlers {
		return handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
			got <- node + " " + j.Export
			return nil
		}}
	}
	a, b := open(t, address, "a", note("a")), open(t, address, "b", note("b"))
	start(t, b)
	insert(t, a, jobs.Chunk, jobs.Args{Export: "x"})
	insert(t, b, jobs.Chunk, jobs.Args{Export: "y"})
	if s := receive(t, got); s != "b y" {
		t.Errorf("first came %q, want b y", s)
	}
	// b takes over: what a had queued is dropped, and b queues its own.
	if err := b.Drop(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	start(t, a)
	insert(t, a, jobs.Chunk, jobs.Args{Export: "z"})
	if s := receive(t, got); s != "a z" {
		t.Errorf("then came %q, want a z", s)
	}
}

func duty(t *testing.T, address string) {
	var n atomic.Int32
	done := make(chan struct{})
	q := open(t, address, "a", nil, jobs.Duty{Name: "tidy", Every: 20 * time.Millisecond, Do: func(context.Context) error {
		if n.Add(1) == 2 {
			close(done)
		}
		return nil
	}})
	start(t, q)
	receive(t, done)
}

// What is shared is run by whoever takes chunks, once; what is sent, by the
// node that it was sent to.
func shared(t *testing.T, address string) {
	type ran struct {
		node string
		kind jobs.Kind
		jobs.Args
	}
	got := make(chan ran, 100)
	note := func(node string, kind jobs.Kind) jobs.Handler {
		return func(_ context.Context, j jobs.Job) error { got <- ran{node, kind, j.Args}; return nil }
	}
	queue := func(node string, workers int) *jobs.Queue {
		q, err := jobs.Open(t.Context(), jobs.Options{Address: address, Node: node, Workers: workers, Poll: 10 * time.Millisecond,
			Handlers: handlers{jobs.Chunk: note(node, jobs.Chunk), jobs.Finish: note(node, jobs.Finish)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})
		start(t, q)
		return q
	}
	front, _, _ := queue("front", 0), queue("a", 1), queue("b", 1)
	args := make([]jobs.Args, 20)
	for i := range args {
		args[i] = jobs.Args{Export: "x", Chunk: i}
	}
	if err := front.Share(t.Context(), jobs.Small, jobs.Chunk, args[:10]...); err != nil {
		t.Fatal(err)
	}
	if err := front.Share(t.Context(), jobs.Large, jobs.Chunk, args[10:]...); err != nil {
		t.Fatal(err)
	}
	if err := front.Send(t.Context(), "b", jobs.Finish, jobs.Args{Export: "y"}); err != nil {
		t.Fatal(err)
	}
	if err := front.Insert(t.Context(), jobs.Finish, jobs.Args{Export: "z"}); err != nil {
		t.Fatal(err)
	}
	chunks := map[int]int{}
	for range 22 {
		switch r := receive(t, got); {
		case r.kind == jobs.Chunk && r.node != "front":
			chunks[r.Chunk]++
		case r.Export == "y" && r.node == "b", r.Export == "z" && r.node == "front":
		default:
			t.Errorf("%s ran %s of %+v", r.node, r.kind, r.Args)
		}
	}
	for i := range args {
		if chunks[i] != 1 {
			t.Errorf("chunk %d ran %d times", i, chunks[i])
		}
	}
}

func urgency(t *testing.T, address string) {
	got := make(chan string, 10)
	q, err := jobs.Open(t.Context(), jobs.Options{Address: address, Node: "a", Workers: 1, Poll: 10 * time.Millisecond,
		Handlers: handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error { got <- j.Export; return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, in := range []struct {
		u      jobs.Urgency
		export string
	}{{jobs.Large, "large"}, {jobs.Medium, "medium"}, {jobs.Small, "small"}} {
		if err := q.Share(t.Context(), in.u, jobs.Chunk, jobs.Args{Export: in.export}, jobs.Args{Export: in.export, Chunk: 1}); err != nil {
			t.Fatal(err)
		}
	}
	start(t, q)
	var order []string
	for range 6 {
		order = append(order, receive(t, got))
	}
	if diff := cmp.Diff([]string{"small", "small", "medium", "medium", "large", "large"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func later(t *testing.T, address string) {
	const often = 5 // more than there are attempts
	got := make(chan jobs.Job, often)
	var ran atomic.Int32
	q := open(t, address, "a", handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
		got <- j
		if ran.Add(1) < often {
			return jobs.Later(time.Millisecond)
		}
		return nil
	}})
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	start(t, q)
	for range often {
		if j := receive(t, got); j.Last {
			t.Error("putting a job back counted as an attempt")
		}
	}
}

// A job that another process may still be running can be inserted once more
// under the next try.
func anotherTry(t *testing.T, address string) {
	started, release := make(chan jobs.Args, 10), make(chan struct{})
	q := open(t, address, "a", handlers{jobs.Chunk: func(_ context.Context, j jobs.Job) error {
		started <- j.Args
		<-release
		return nil
	}})
	defer close(release)
	start(t, q)
	one := jobs.Args{Export: "x", Chunk: 1}
	insert(t, q, jobs.Chunk, one)
	receive(t, started)
	one.Try = 1
	insert(t, q, jobs.Chunk, one)
	if diff := cmp.Diff(one, receive(t, started)); diff != "" {
		t.Errorf("second try (-want +got):\n%s", diff)
	}
}

// A queue that stops with patience lets what runs come to its end, and takes
// nothing further.
func drains(t *testing.T, address string) {
	started, release, ended := make(chan jobs.Args, 10), make(chan struct{}), make(chan error, 10)
	q := open(t, address, "a", handlers{jobs.Chunk: func(ctx context.Context, j jobs.Job) error {
		started <- j.Args
		<-release
		ended <- context.Cause(ctx)
		return nil
	}})
	start(t, q)
	insert(t, q, jobs.Chunk, jobs.Args{Export: "x"})
	receive(t, started)
	stopped := make(chan error, 1)
	go func() { stopped <- q.Stop(t.Context(), patience) }()
	close(release)
	if err := receive(t, stopped); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); err != nil {
		t.Errorf("the job was cancelled: %v", err)
	}
	insert(t, q, jobs.Chunk, jobs.Args{Export: "y"})
	start(t, q)
	if a := receive(t, started); a.Export != "y" {
		t.Errorf("after the stop ran %+v", a)
	}
}

// Processes may find an empty database at one moment.
func together(t *testing.T, address string) {
	var opening sync.WaitGroup
	for i := range 6 {
		opening.Go(func() {
			q, err := jobs.Open(t.Context(), jobs.Options{Address: address, Node: fmt.Sprintf("n%d", i), Workers: 1})
			if err != nil {
				t.Error(err)
				return
			}
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
}
