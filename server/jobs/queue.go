// Package jobs runs work in the background, on River: kinds of jobs, a queue of
// each node's own, one that all nodes share, bounded attempts, periodic duties.
// The queues live in SQLite or PostgreSQL, as the control store does.
//
// The room does not know what a job does: the caller registers a function for
// each kind. Inserting is idempotent, and the control store stays the one place
// that knows what is done: a job that finds its work done, or given to another
// node, simply returns.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	_ "modernc.org/sqlite" // driver of sqlite: addresses
)

// ErrStopping is the cause of a job's cancelled context when the queue stops.
var ErrStopping = errors.New("queue is stopping")

// Kind says what a job is about.
type Kind string

// The kinds of jobs. A duty comes back on its own, see Duty.
const (
	Plan   Kind = "export_plan"
	Chunk  Kind = "export_chunk"
	Finish Kind = "export_finish"
)

// Args tell a job what to work on. They are plain data without health data, and
// identify the job: while an equal one waits or runs, inserting does nothing.
type Args struct {
	Export     string `json:"export"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"`
	Chunk      int    `json:"chunk"`
	// Try tells a job from an earlier one about the same, whose process was lost
	// while it ran it.
	Try int `json:"try,omitempty"`
}

// Job is one attempt at a job.
type Job struct {
	Args
	Attempt int // from 1
	// Last says that no further attempt follows.
	Last bool
}

// Handler does one attempt. An error means that it is to be tried again, but
// for one wrapped by Permanent. ctx ends with cause ErrStopping when the queue
// stops.
type Handler func(ctx context.Context, j Job) error

// Permanent marks an error that another attempt would only repeat.
func Permanent(err error) error { return river.JobCancel(err) }

// Later puts a job back for any node to take after d, and counts no attempt.
func Later(d time.Duration) error { return river.JobSnooze(d) }

// Duty is work that comes back at an interval, on one node at a time.
type Duty struct {
	Name  string // letters, digits, underscore
	Every time.Duration
	Do    func(ctx context.Context) error
}

// Options of a Queue.
type Options struct {
	// Address is "sqlite:FILE" (made where missing) or "postgres://...".
	Address string
	// Node names this process's own queue, [a-z0-9]{1,40}; no two running
	// processes share one.
	Node string
	// Workers is how many chunks run at once; with 0 this node leaves the
	// chunks of the shared queue to others.
	Workers int
	// Attempts bounds the attempts at a job; default 6, which with the default
	// Backoff outlasts half a minute without a database.
	Attempts int
	// Backoff is the wait before the second attempt, doubled for each further
	// one up to a minute; default 1 s.
	Backoff time.Duration
	// Poll is how often the queue looks for jobs; default 50 ms.
	Poll     time.Duration
	Handlers map[Kind]Handler
	Duties   []Duty
	Log      *slog.Logger
}

// Queue is the job queue. It is safe for concurrent use.
type Queue struct {
	client   client
	close    func() error
	node     string
	attempts int

	mu      sync.Mutex
	running bool
}

// client is what River's client offers whatever the database.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	JobDeleteMany(ctx context.Context, params *river.JobDeleteManyParams) (*river.JobDeleteManyResult, error)
}

// Beside is the address of the queue that belongs to a control store: the same
// PostgreSQL database, or a SQLite file of its own next to the store's, so that
// polling never holds the store's lock.
func Beside(control string) string {
	path, ok := strings.CutPrefix(control, "sqlite:")
	if !ok {
		return control
	}
	ext := filepath.Ext(path)
	return "sqlite:" + strings.TrimSuffix(path, ext) + "-jobs" + ext
}

// Open opens the queue and brings its tables up to date. Nothing runs before
// Start.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Node == "" || o.Workers < 0 {
		return nil, errors.New("open queue: a node is required, and no fewer than 0 workers")
	}
	if o.Attempts == 0 {
		o.Attempts = 6
	}
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	if o.Poll == 0 {
		o.Poll = 50 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{node: o.Node, attempts: o.Attempts}
	scheme, rest, _ := strings.Cut(o.Address, ":")
	var err error
	switch {
	case scheme == "sqlite" && rest != "":
		err = q.openSQLite(ctx, rest, o)
	case scheme == "postgres" || scheme == "postgresql":
		err = q.openPostgres(ctx, o)
	default:
		err = fmt.Errorf("address has scheme %q, want sqlite:FILE or postgres://", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	return q, nil
}

// Migrate brings the queue's tables at address up to date, and nothing else.
func Migrate(ctx context.Context, address string) error {
	q, err := Open(ctx, Options{Address: address, Node: "migrate"})
	if err != nil {
		return err
	}
	return q.Close()
}

func (q *Queue) openSQLite(ctx context.Context, path string, o Options) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	v := url.Values{}
	v.Add("_pragma", "busy_timeout(15000)")
	v.Add("_pragma", "journal_mode(WAL)")
	// A job lost to a power cut is inserted again by the sweep.
	v.Add("_pragma", "synchronous(NORMAL)")
	v.Set("_txlock", "immediate")
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1) // River works in parallel, SQLite writes one by one
	// Another process may be migrating the same file; SQLite has no lock for the
	// whole of it, but what that one has done the next try finds done.
	for try := 1; ; try++ {
		if q.client, err = build(ctx, q, riversqlite.New(db), o); err == nil {
			break
		}
		if try == migrationTries {
			return errors.Join(err, db.Close())
		}
		select {
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), db.Close())
		}
	}
	q.close = db.Close
	return nil
}

func (q *Queue) openPostgres(ctx context.Context, o Options) error {
	config, err := pgxpool.ParseConfig(o.Address)
	if err != nil {
		return errors.New("malformed postgres address")
	}
	config.MaxConns = max(config.MaxConns, 6)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	// River's migrations do not wait for each other, and processes that share a
	// database may well start at one moment.
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
			return fmt.Errorf("lock schema: %w", err)
		}
		defer func() {
			// Where it fails the connection is gone, and the lock with it.
			_, _ = c.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
		}()
		q.client, err = build[pgx.Tx](ctx, q, riverpgxv5.New(pool), o)
		return err
	})
	if err != nil {
		pool.Close()
		return err
	}
	q.close = func() error { pool.Close(); return nil }
	return nil
}

// migrationTries bounds the attempts at migrating a SQLite file.
const migrationTries = 8

// migrationLock is the key of the advisory lock under which the queue's tables
// are migrated.
const migrationLock = 0x72656d6974_6a // "remitj"

// build migrates River's tables and makes its client.
func build[T any](ctx context.Context, q *Queue, driver riverdriver.Driver[T], o Options) (client, error) {
	log := slog.New(newQuiet(o.Log.Handler()))
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	duties := map[string]func(context.Context) error{}
	var periodic []*river.PeriodicJob
	for _, d := range o.Duties {
		duties[d.Name] = d.Do
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(d.Every),
			func() (river.JobArgs, *river.InsertOpts) {
				return dutyArgs{Name: d.Name}, &river.InsertOpts{Queue: dutyQueue, MaxAttempts: 1, UniqueOpts: unique()}
			}, &river.PeriodicJobOpts{RunOnStart: true}))
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, j *river.Job[planArgs]) error {
		return work(ctx, o.Handlers[Plan], j.JobRow, j.Args.Args)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, j *river.Job[chunkArgs]) error {
		return work(ctx, o.Handlers[Chunk], j.JobRow, j.Args.Args)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, j *river.Job[finishArgs]) error {
		return work(ctx, o.Handlers[Finish], j.JobRow, j.Args.Args)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, j *river.Job[dutyArgs]) error {
		do := duties[j.Args.Name]
		if do == nil {
			return nil // a duty of another version of this program
		}
		ctx, done := bind(ctx)
		defer done()
		return do(ctx)
	}))
	queues := map[string]river.QueueConfig{
		queueOf(o.Node): {MaxWorkers: max(o.Workers, minWorkers)},
		dutyQueue:       {MaxWorkers: 1},
	}
	if o.Workers > 0 {
		queues[sharedQueue] = river.QueueConfig{MaxWorkers: o.Workers}
	}
	return river.NewClient(driver, &river.Config{
		FetchCooldown:     min(o.Poll, 10*time.Millisecond),
		FetchPollInterval: o.Poll,
		// A chunk takes as long as it takes; what a crash leaves running is
		// inserted again under a new epoch, so River's rescue only tidies up.
		JobTimeout:           -1,
		RescueStuckJobsAfter: 24 * time.Hour,
		MaxAttempts:          o.Attempts,
		RetryPolicy:          backoff(o.Backoff),
		PeriodicJobs:         periodic,
		Queues:               queues,
		Workers:              workers,
		Logger:               log,
		// It only leaves out the random pause with which many nodes keep from
		// starting maintenance at one moment; SQLite has no many nodes.
		TestOnly: driver.DatabaseName() == riverdriver.DatabaseNameSQLite,
	})
}

// work does one attempt.
func work(ctx context.Context, h Handler, row *rivertype.JobRow, args Args) error {
	if h == nil {
		return Permanent(fmt.Errorf("no handler for %s", row.Kind))
	}
	ctx, done := bind(ctx)
	defer done()
	return h(ctx, Job{Args: args, Attempt: row.Attempt, Last: row.Attempt >= row.MaxAttempts})
}

// bind makes the context of one attempt: it ends when River ends it, which is
// when the queue stops, and then with a cause that says so.
func bind(ctx context.Context) (context.Context, func()) {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(ErrStopping) })
	return inner, func() { stop(); cancel(nil) }
}

// Urgency puts the jobs of small exports before those of large ones.
type Urgency int

// The urgencies, as River's priorities.
const (
	Small  Urgency = 2
	Medium Urgency = 3
	Large  Urgency = 4
)

// Insert puts a job of a kind for each of args into this node's queue; those
// that wait or run already are left alone.
func (q *Queue) Insert(ctx context.Context, kind Kind, args ...Args) error {
	return q.insert(ctx, queueOf(q.node), kind, Small, args)
}

// Send is Insert for the queue of another node.
func (q *Queue) Send(ctx context.Context, node string, kind Kind, args ...Args) error {
	return q.insert(ctx, queueOf(node), kind, Small, args)
}

// Share is Insert for the queue from which all nodes take.
func (q *Queue) Share(ctx context.Context, u Urgency, kind Kind, args ...Args) error {
	return q.insert(ctx, sharedQueue, kind, u, args)
}

func (q *Queue) insert(ctx context.Context, queue string, kind Kind, u Urgency, args []Args) error {
	params := make([]river.InsertManyParams, 0, len(args))
	for _, a := range args {
		p := river.InsertManyParams{InsertOpts: &river.InsertOpts{
			Queue: queue, MaxAttempts: q.attempts, Priority: int(u), UniqueOpts: unique(),
		}}
		switch kind {
		case Plan:
			p.Args, p.InsertOpts.Priority = planArgs{a}, 1
		case Chunk:
			p.Args = chunkArgs{a}
		case Finish:
			p.Args, p.InsertOpts.Priority = finishArgs{a}, 1
		default:
			return fmt.Errorf("insert job: unknown kind %q", kind)
		}
		params = append(params, p)
	}
	if len(params) == 0 {
		return nil
	}
	if _, err := q.client.InsertMany(ctx, params); err != nil {
		return fmt.Errorf("insert %s: %w", kind, err)
	}
	return nil
}

// Drop removes the waiting jobs of a node's queue, once its work was given up
// or taken over.
func (q *Queue) Drop(ctx context.Context, node string) error {
	_, err := q.client.JobDeleteMany(ctx, river.NewJobDeleteManyParams().Queues(queueOf(node)).First(10_000).
		States(rivertype.JobStateAvailable, rivertype.JobStateScheduled, rivertype.JobStateRetryable))
	if err != nil {
		return fmt.Errorf("drop jobs: %w", err)
	}
	return nil
}

// Start begins to run jobs and duties. It may be called twice, and after Stop.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running {
		return nil
	}
	// River takes the end of the context it is started with for a stop; the
	// queue ends by Stop alone.
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	q.running = true
	return nil
}

// Stop takes no further jobs and gives those that run the time of drain, then
// cancels them with cause ErrStopping; it waits for them as long as ctx allows.
// It may be called twice, and before Start.
func (q *Queue) Stop(ctx context.Context, drain time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running {
		return nil
	}
	if drain > 0 {
		soft, cancel := context.WithTimeout(ctx, drain)
		err := q.client.Stop(soft)
		cancel()
		if err == nil {
			q.running = false
			return nil
		}
	}
	if err := q.client.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop queue: %w", err)
	}
	q.running = false
	return nil
}

// Close stops the queue where it runs, and releases its database.
func (q *Queue) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(q.Stop(ctx, 0), q.close())
}

const (
	dutyQueue   = "duties"
	sharedQueue = "shared"
)

// minWorkers is how many jobs of its own queue a node runs at once at least:
// exports are planned and finished where they were accepted.
const minWorkers = 2

func queueOf(node string) string { return "node_" + node }

// unique makes a job unique by its arguments while it waits or runs.
func unique() river.UniqueOpts {
	return river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}
}

type (
	planArgs   struct{ Args }
	chunkArgs  struct{ Args }
	finishArgs struct{ Args }
	dutyArgs   struct {
		Name string `json:"name"`
	}
)

func (planArgs) Kind() string   { return string(Plan) }
func (chunkArgs) Kind() string  { return string(Chunk) }
func (finishArgs) Kind() string { return string(Finish) }
func (dutyArgs) Kind() string   { return "duty" }

// backoff doubles the wait with each attempt, up to a minute, give or take a
// tenth.
type backoff time.Duration

// NextRetry implements River's retry policy.
func (b backoff) NextRetry(job *rivertype.JobRow) time.Time {
	wait := time.Duration(b)
	for range min(max(job.Attempt, len(job.Errors)+1)-1, 10) {
		wait *= 2
	}
	wait = min(wait, time.Minute)
	return time.Now().UTC().Add(wait + time.Duration(float64(wait)*0.1*(rand.Float64()*2-1)))
}

// quiet lets only River's warnings and errors through, and not those about a
// job that failed: its owner logs them. Where the database is away, each poll
// says so; quiet says it every quietFor.
type quiet struct {
	slog.Handler
	said *said
}

// quietFor is how long a message is not repeated.
const quietFor = 10 * time.Second

// said remembers when a message was last let through. River's messages are
// constant, so they are few.
type said struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newQuiet(h slog.Handler) quiet { return quiet{h, &said{last: map[string]time.Time{}}} }

// Handle implements slog.Handler.
func (h quiet) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "JobExecutor: Job ") || h.said.lately(r.Message, r.Time) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (s *said) lately(message string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[message]; ok && at.Sub(last) < quietFor {
		return true
	}
	s.last[message] = at
	return false
}

// Enabled implements slog.Handler.
func (h quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(a), h.said} }

// WithGroup implements slog.Handler.
func (h quiet) WithGroup(name string) slog.Handler { return quiet{h.Handler.WithGroup(name), h.said} }

// IsPermanent says that err was made by Permanent.
func IsPermanent(err error) bool {
	var c *river.JobCancelError
	return errors.As(err, &c)
}
