package export

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/server/files"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// Runner is what the engine asks of a program; *program.Program is one. It is
// safe for concurrent use.
type Runner interface {
	Types() []program.Type
	// TypesOf lists the types of a view, "" the full one; nil where there is no
	// such view.
	TypesOf(view string) []program.Type
	Split(ctx context.Context, snap source.Snapshot, r program.Request, size int) ([]program.Request, error)
	Run(ctx context.Context, snap source.Snapshot, r program.Request, emit program.Emit) (*program.Report, error)
	Patients(ctx context.Context, snap source.Snapshot, ids []string) (map[string]string, error)
	Roster(ctx context.Context, snap source.Snapshot, id string) (patients []string, found bool, err error)
	Position(o r4.Origin) diag.Pos
}

// Validator judges a resource; *profiles.Validator is one. It is safe for
// concurrent use.
type Validator interface {
	Validate(r *r4.Resource, dst []profiles.Finding) []profiles.Finding
}

// Warehouse opens snapshots; every source.Source does.
type Warehouse interface {
	Snapshot(ctx context.Context) (source.Snapshot, error)
}

// Policy says what happens to a resource with an error among its findings.
type Policy string

// The policies. Either way the resource is counted and listed in the error
// files (BE-195).
const (
	Withhold Policy = "withhold" // it is left out
	Flag     Policy = "flag"     // it is exported none the less
)

// Options of an Engine.
type Options struct {
	// Program gives the program and the validator that belongs to it. Both may
	// change between exports; an export keeps those it began with. A nil
	// Validator leaves only the findings of placement.
	Program   func() (Runner, Validator)
	Warehouse Warehouse
	// Mandatory lists the root elements of a resource type that _elements never
	// takes away: mandatory ones and modifiers. Nil makes _elements fail.
	Mandatory func(resourceType string) ([]string, error)
	Control   *control.Store
	Files     *files.Store
	// Consent tells, at kick-off and again whenever a part of the export runs,
	// whose data a client may have by the members' own choices; its answer nil
	// asks nobody. Whoever is not covered looks like a member who is unknown
	// (PR-006, PR-007, PR-046). Nil asks nobody ever.
	Consent func(ctx context.Context, clientID string) (*Consent, error)
	// Queue is the address of the job queue (see jobs.Beside).
	Queue string
	// Node names this process, [a-z0-9]{1,40}; random where empty.
	Node   string
	Policy Policy // default Withhold
	// ChunkSize is about how many parent rows a chunk reads; default 20,000.
	ChunkSize int
	// Workers is how many chunks run at once; 0 means GOMAXPROCS, and a negative
	// number none, which leaves them to other nodes: that needs a warehouse whose
	// snapshots can be joined.
	Workers int
	// Version is what the other nodes are told of this one.
	Version string
	// Drain is how long Stop lets running chunks go on before it cancels them;
	// default none.
	Drain time.Duration
	// MaxActive is how many exports this node runs at once; further ones wait
	// without a snapshot, and their clients take turns; default 8 (BE-018).
	MaxActive int
	// Limits split output files (BE-209); default 100,000 resources or 1 GiB.
	Limits files.Limits
	// Keep is how long a finished export stays; default 24 h.
	Keep time.Duration
	// Lease is how long the exports of a silent node stay its own; default 15 s.
	Lease time.Duration
	// Attempts and Backoff bound the retries of a chunk; see jobs.Options.
	Attempts int
	Backoff  time.Duration
	Poll     time.Duration
	// Observe is told of every attempt at a chunk that this node ends; nil tells
	// nobody. It must not block.
	Observe func(ChunkEnd)
	Clock   func() time.Time
	Log     *slog.Logger
}

// ChunkEnd is the end of an attempt at a chunk, as Options.Observe hears of it.
// A failed one has no figures.
type ChunkEnd struct {
	Failed             bool
	Took               time.Duration
	Rows, Bytes        int64            // read; written, before compression
	Exported, Withheld map[string]int64 // resources by type
}

// Causes of a cancelled chunk, beside jobs.ErrStopping.
var (
	// ErrCancelled: the client deleted the export.
	ErrCancelled = errors.New("export was cancelled")
	// ErrLeaseLost: another node took the export over.
	ErrLeaseLost = errors.New("export has another owner")
	// errEnded: the export came to its end, good or bad.
	errEnded = errors.New("export has ended")
)

// What callers decide on.
var (
	// ErrNotFound: there is no such export, file or none any more.
	ErrNotFound = errors.New("export not found")
	// ErrExpired: the export's files are gone because their time is over.
	ErrExpired = errors.New("export has expired")
	// ErrNotReady: the export is not complete.
	ErrNotReady = errors.New("export is not complete")
	// ErrUnknownView: the mapping set has no view of the name that the request
	// bears; nothing is exported in its place.
	ErrUnknownView = errors.New("the mapping set has no such view")
	// ErrUnknownGroup: no roster has the id that the request names (BE-040).
	ErrUnknownGroup = errors.New("group not found")
)

// UnknownPatientsError says that some patients of a request do not exist, or
// are not members of its group (BE-112). Its text does not name them.
type UnknownPatientsError struct {
	IDs []string // Patient ids as requested
}

func (e *UnknownPatientsError) Error() string {
	return fmt.Sprintf("%d of the patients asked for are unknown", len(e.IDs))
}

// Engine runs exports. It is safe for concurrent use.
type Engine struct {
	Options
	queue   *jobs.Queue
	digests int // in memory at once, see maxDigests
	fan     int // files of digests open at once, see maxRuns

	started time.Time

	mu       sync.Mutex
	slots    map[string]*slot
	turns    turns
	reading  map[string]int               // open files, by export
	running  map[control.Attempt]struct{} // on this node
	removed  map[string]struct{}          // expired exports whose files are gone
	stopBeat chan struct{}
	beating  sync.WaitGroup

	turning   sync.Mutex    // one look at a time who is next
	resolving chan struct{} // a place for each kick-off that looks into the warehouse
}

// New makes an engine and opens its queue; nothing runs before Start. The
// engine closes the queue, and nothing else of o.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Program == nil || o.Warehouse == nil || o.Control == nil || o.Files == nil {
		return nil, errors.New("export engine: program, warehouse, control and files are required")
	}
	if o.Policy == "" {
		o.Policy = Withhold
	}
	if o.ChunkSize <= 0 {
		o.ChunkSize = 20_000
	}
	switch _, joins := o.Warehouse.(source.Joiner); {
	case o.Workers == 0:
		o.Workers = runtime.GOMAXPROCS(0)
	case o.Workers < 0 && !joins:
		return nil, errors.New("export engine: a node without workers needs a warehouse whose snapshots other nodes can join")
	case o.Workers < 0:
		o.Workers = 0
	}
	if o.MaxActive <= 0 {
		o.MaxActive = 8
	}
	if o.Limits == (files.Limits{}) {
		o.Limits = files.Limits{Lines: 100_000, Bytes: 1 << 30}
	}
	if o.Keep <= 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Lease <= 0 {
		o.Lease = 15 * time.Second
	}
	if o.Observe == nil {
		o.Observe = func(ChunkEnd) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Node == "" {
		o.Node = strings.ToLower(rand.Text())
	}
	e := &Engine{Options: o, slots: map[string]*slot{}, turns: turns{admitted: map[string]place{}, last: map[string]int64{}}, removed: map[string]struct{}{},
		resolving: make(chan struct{}, o.MaxActive), reading: map[string]int{}, running: map[control.Attempt]struct{}{}, digests: maxDigests, fan: maxRuns, started: o.Clock()}
	var err error
	e.queue, err = jobs.Open(ctx, jobs.Options{
		Address: o.Queue, Node: o.Node, Workers: o.Workers, Attempts: o.Attempts, Backoff: o.Backoff, Poll: o.Poll, Log: o.Log,
		Handlers: map[jobs.Kind]jobs.Handler{jobs.Plan: e.plan, jobs.Chunk: e.chunk, jobs.Finish: e.finish},
		Duties: []jobs.Duty{
			{Name: "expire_exports", Every: time.Minute, Do: e.expire},
			{Name: "clean_tokens", Every: 10 * time.Minute, Do: e.clean},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("export engine: %w", err)
	}
	return e, nil
}

// Start begins to run exports, those first that an earlier process left
// unfinished. It may be called twice, and after Stop.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	if e.stopBeat != nil {
		e.mu.Unlock()
		return nil
	}
	stop := make(chan struct{})
	e.stopBeat = stop
	e.mu.Unlock()
	err := e.announce(ctx)
	if err == nil {
		err = e.queue.Start(ctx)
	}
	if err != nil {
		e.mu.Lock()
		e.stopBeat = nil
		e.mu.Unlock()
		return err
	}
	e.beating.Go(func() { e.beat(context.WithoutCancel(ctx), stop) })
	return nil
}

// announce tells the other nodes that this one lives.
func (e *Engine) announce(ctx context.Context) error {
	return e.Control.Announce(ctx, control.Node{ID: e.Node, Version: e.Version, Workers: e.Workers, Started: e.started, Seen: e.Clock()})
}

// Stop lets running jobs go on for Drain, cancels what then still runs, gives
// this node's exports up so that any node may go on with them, and waits as
// long as ctx allows. It may be called twice.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	stop := e.stopBeat
	e.stopBeat = nil
	e.mu.Unlock()
	if stop == nil {
		return nil
	}
	// The heart beats on while jobs drain, or other nodes would take them over.
	err := e.queue.Stop(ctx, e.Drain)
	close(stop)
	e.beating.Wait()
	err = errors.Join(err, e.Control.Release(ctx, e.Node), e.Control.Leave(ctx, e.Node), e.queue.Drop(ctx, e.Node))
	e.mu.Lock()
	ids := make([]string, 0, len(e.slots))
	for id := range e.slots {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	for _, id := range ids {
		e.end(id, jobs.ErrStopping)
	}
	return err
}

// Close stops the engine where it runs, and closes its queue.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(e.Stop(ctx), e.queue.Close())
}

// ending is the end of an export with the line of the audit trail that tells of
// it.
func (e *Engine) ending(x *control.Export, at time.Time, outcome, detail string) control.End {
	return control.End{At: at, Expires: at.Add(e.Keep), Event: &control.Event{
		At: at, ClientID: x.ClientID, ExportID: x.ID, Action: "export", Outcome: outcome, Detail: detail}}
}

// order is a request as stored: what was asked, and whom it came down to.
type order struct {
	Request
	// Limited says that only the members are exported, however few they are.
	Limited bool `json:"limited,omitempty"`
	// Picked says that the request named patients; the names themselves are not
	// kept.
	Picked bool `json:"picked,omitempty"`

	// Made says that the group is one that the client made, which no mapping
	// tells of.
	Made bool `json:"made,omitempty"`

	// members are the warehouse's own patient values, sorted. They may be many
	// and are stored apart from the order; only kick-off and plan have them.
	members []string
	// joined are those members who joined the group after Since, and whose
	// history comes, too (BE-078).
	joined []string
}

// whom is whom an order comes down to, as stored.
type whom struct {
	Members []string `json:"members"`
	Joined  []string `json:"joined,omitempty"`
}

// readWhom reads what Kickoff stored apart from the order.
func (o *order) readWhom(text []byte) error {
	var w whom
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	o.members, o.joined = w.Members, w.Joined
	return nil
}

// Kickoff accepts a request and returns the new export's id, which cannot be
// guessed (BE-154). The export is committed when it returns: it will run, be it
// after a crash. With lenient, unknown patients become notes as long as one is
// left. Errors: ErrUnknownGroup; ErrUnknownView; *UnknownPatientsError.
func (e *Engine) Kickoff(ctx context.Context, r Request, lenient bool) (id string, err error) {
	if len(r.Types) == 0 {
		return "", errors.New("kick-off: no resource types")
	}
	if err := e.viewed(r.View); err != nil {
		return "", fmt.Errorf("kick-off: %w", err)
	}
	id = newID()
	o := order{Request: r}
	if r.Level == LevelGroup || r.Patients != nil {
		// The snapshot that answers who is meant is the one that is exported,
		// where the export has its turn at once. Many kick-offs at one moment open
		// only so many of them.
		select {
		case e.resolving <- struct{}{}:
			defer func() { <-e.resolving }()
		case <-ctx.Done():
			return "", fmt.Errorf("kick-off: %w", context.Cause(ctx))
		}
		if err := e.resolve(ctx, id, &o, lenient); err != nil {
			e.end(id, errEnded)
			return "", err
		}
	}
	o.Picked, o.Patients = o.Patients != nil, nil
	text, err := json.Marshal(o)
	var members []byte
	if err == nil && o.Limited {
		members, err = json.Marshal(whom{o.members, o.joined})
	}
	small := o.Limited && len(o.members) <= smallMembers
	if err == nil {
		err = e.Control.AddExport(ctx, &control.Export{ID: id, ClientID: r.ClientID, Request: text, Members: members,
			Small: small, Owner: e.Node, Created: e.Clock()})
	}
	if err != nil {
		e.end(id, errEnded)
		return "", fmt.Errorf("kick-off: %w", err)
	}
	e.Log.InfoContext(ctx, "export accepted", "job_id", id, "client_id", r.ClientID, "level", string(r.Level), "types", len(r.Types))
	if e.open(small) {
		e.next(ctx)
	}
	e.park(id)
	return id, nil
}

// viewed says whether the mapping set at hand has a view.
func (e *Engine) viewed(view string) error {
	if view == "" {
		return nil
	}
	if runner, _ := e.Program(); runner != nil && runner.TypesOf(view) == nil {
		return ErrUnknownView
	}
	return nil
}

// newID is 130 random bits, in lower case.
func newID() string { return strings.ToLower(rand.Text()) }

// resolve finds the members that a request comes down to, on the snapshot that
// the export will read.
func (e *Engine) resolve(ctx context.Context, id string, o *order, lenient bool) error {
	s, err := e.openSession(ctx, id, 0, 1)
	if err != nil {
		return err
	}
	consent, err := e.consent(ctx, o.ClientID)
	if err != nil {
		return err
	}
	o.Limited = true
	if o.Level == LevelGroup {
		if err := e.resolveGroup(ctx, s, o); err != nil {
			return err
		}
		o.members = consent.of(o.members)
	}
	if o.Patients == nil {
		return nil
	}
	known, err := s.runner.Patients(ctx, s.snap, o.Patients)
	if err != nil {
		return fmt.Errorf("find patients: %w", err)
	}
	var unknown, wanted []string
	for _, p := range o.Patients {
		value, ok := known[p]
		ok = ok && consent.may(value)
		if ok && o.Level == LevelGroup {
			_, ok = slices.BinarySearch(o.members, value)
		}
		if ok {
			wanted = append(wanted, value)
		} else {
			unknown = append(unknown, p)
		}
	}
	if unknown != nil {
		if !lenient || wanted == nil {
			return &UnknownPatientsError{IDs: unknown}
		}
		for _, p := range unknown {
			o.Notes = append(slices.Clip(o.Notes), Note{Severity: "warning", Code: "not-found", Expression: "patient",
				Text: "Patient/" + p + " is unknown, or not a member of the group, and was left out."})
		}
	}
	slices.Sort(wanted)
	o.members = slices.Compact(wanted)
	return nil
}

// request is the order in the program's words: the types of its view by the rule
// of reach, and the members where limited.
func (o *order) request(types []program.Type) program.Request {
	r := program.Request{Since: o.Since, Until: o.Until, Types: []string{}, Deletions: !o.Since.IsZero()}
	if o.View != "" {
		r.Views = []string{o.View}
	}
	if o.Limited {
		r.Patients = append([]string{}, o.members...)
	}
	if o.Level == LevelGroup && !o.Picked && !o.Made {
		r.Roster = o.Group
	}
	for _, t := range types {
		if !slices.Contains(o.Types, t.Name) {
			continue
		}
		if t.Reach == program.Roster && o.Level != LevelSystem && r.Roster == "" {
			continue // it would name patients outside the request (BE-111)
		}
		r.Types = append(r.Types, t.Name)
	}
	return r
}

// chunkRequest is a program's request as stored with a chunk. Limited keeps an
// empty list of patients apart from none: the one means nobody, the other
// everybody.
type chunkRequest struct {
	program.Request
	Limited bool `json:"limited,omitempty"`
}

func encodeRequest(r program.Request) ([]byte, error) {
	return json.Marshal(chunkRequest{r, r.Patients != nil})
}

func decodeRequest(text string) (program.Request, error) {
	var c chunkRequest
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return program.Request{}, fmt.Errorf("read chunk request: %w", err)
	}
	if c.Limited && c.Patients == nil {
		c.Patients = []string{}
	}
	return c.Request, nil
}
