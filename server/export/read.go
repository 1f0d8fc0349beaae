package export

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/search"
	"remit/sql/source"
)

// Finder is what reads ask of a program beside Runner; *program.Program is one.
type Finder interface {
	Runner
	Rows(ctx context.Context, snap source.Snapshot, r program.Request, limit int, found func(*program.Found) error) error
	Index(ctx context.Context, snap source.Snapshot, r program.Request, room program.Room) (*program.Index, error)
	Recover(resourceType, view, id string) (rows []program.Row, ok bool)
	PassesOf(resourceType, view string) []int
	Columns(resourceType, view, path string) (columns map[int][]source.KeyColumn, ok bool)
}

// Bounds are what a client may have at all, by its registration and token. They
// never come from a request.
type Bounds struct {
	ClientID string
	// Groups lists the rosters whose members' data the client may have; nil
	// means everybody's.
	Groups []string
	// View names the view of the data, "" for the full one.
	View string
	// Restrict lists, by resource type, the filters of which a resource must
	// match one; a type that is not named is not restricted.
	Restrict map[string][]*search.Filter
}

// Resource is one resource on its way to a reader. JSON is the caller's.
type Resource struct {
	Type, ID string
	// Version is the version of what the server itself keeps, 0 of what a
	// mapping makes.
	Version int64
	Updated time.Time
	JSON    []byte
}

// ReadOptions of a Reader. The zero value takes the defaults.
type ReadOptions struct {
	// Life is how old a snapshot may be that reads see; default 30 s.
	Life time.Duration
	// IndexBytes bounds the memory of the indexes of all types and views together;
	// default 128 MiB, about four million resources. Larger types are scanned, see
	// Reader.
	IndexBytes int64
	// Scans is how many walks over a type's keys may run at once; default 2.
	Scans int
	// Budget bounds the time in which a search gathers a page; default 5 s. A
	// page that is not full by then is handed out as it is, with a next.
	Budget time.Duration
}

// Reader answers reads and searches through the program and the validator that
// exports use: one row is run anew for each answer, and what an export would
// withhold is not read. There is no second store.
//
// Cost. An id is a hash of the business key. Where the id is plain, its key is
// read from it and asked for directly. Otherwise the first read of a type walks
// the keys of all its rows once, and keeps them in an index; from then on a
// read is a keyed query of each of its sources. An id that the index lacks
// makes it be built anew, but not more often than once in Life and type, so
// that asking for ids that are not there costs no more than asking for those
// that are. All indexes share IndexBytes, and the one used least recently gives
// way. A type too large for them is walked at each read that its key does not
// answer, by no more than Scans at once.
//
// It is safe for concurrent use.
type Reader struct {
	engine *Engine
	o      ReadOptions
	scans  chan struct{}

	indexes *indexes
	opening singleflight.Group

	mu   sync.Mutex
	view *view
	// closing ends the openings of snapshots that are under way.
	closing context.Context
	close   context.CancelCauseFunc
}

// Reader makes a reader over the engine's program and warehouse.
func (e *Engine) Reader(o ReadOptions) *Reader {
	if o.Life <= 0 {
		o.Life = 30 * time.Second
	}
	if o.IndexBytes <= 0 {
		o.IndexBytes = 128 << 20
	}
	if o.Scans <= 0 {
		o.Scans = 2
	}
	if o.Budget <= 0 {
		o.Budget = 5 * time.Second
	}
	r := &Reader{engine: e, o: o, scans: make(chan struct{}, o.Scans), indexes: newIndexes(o.IndexBytes)}
	r.closing, r.close = context.WithCancelCause(context.Background())
	return r
}

// Read reads one resource. Errors: ErrNotFound, be it that there is none, that
// it is withheld, or that the client may not have it.
func (r *Reader) Read(ctx context.Context, b Bounds, resourceType, id string) (*Resource, error) {
	ctx, v, leave, err := r.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	defer leave()
	fence, err := r.fence(ctx, v, &b)
	if err != nil {
		return nil, fmt.Errorf("read: %w", because(ctx, err))
	}
	found, err := r.byID(ctx, v, &b, fence, nil, resourceType, []string{id}, nil)
	if err != nil {
		return nil, fmt.Errorf("read: %w", because(ctx, err))
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return &found[0], nil
}

// byID reads the resources of some ids, in their order, that pass the filter
// and belong to the patients, where these are not nil. What the client may not
// have is left out.
func (r *Reader) byID(ctx context.Context, v *view, b *Bounds, f *fence, filter *search.Filter, resourceType string, ids, patients []string) ([]Resource, error) {
	t, ok := v.typeOf(resourceType, b.View)
	if !ok {
		return nil, nil
	}
	var out []Resource
	for _, id := range ids {
		if t.Reach == program.Roster && b.Groups != nil && !slices.Contains(b.Groups, id) {
			continue
		}
		rows, err := r.rowsOf(ctx, v, b.View, resourceType, id)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			res, err := r.one(ctx, v, b, filter, f, patients, resourceType, id, row)
			if err != nil {
				return nil, err
			}
			if res != nil {
				out = append(out, *res)
				break
			}
		}
	}
	return out, nil
}

// errEnough stops a run that has given what was wanted.
var errEnough = errors.New("enough")

// one makes the resource of one row; nil where the row makes it no more, where
// it is withheld or fenced off.
func (r *Reader) one(ctx context.Context, v *view, b *Bounds, filter *search.Filter, f *fence, patients []string, resourceType, id string, row program.Row) (*Resource, error) {
	request := program.Request{Pass: row.Pass, Types: []string{resourceType}, Keys: [][]string{row.Key}, Views: []string{b.View}}
	if f.closed() || patients != nil {
		may := false
		err := v.finder.Rows(ctx, v.session.snap, request, 0, func(found *program.Found) error {
			if string(found.ID) == id && f.admits(found.Patient, found.Owned) && (patients == nil || found.Owned && slices.Contains(patients, found.Patient)) {
				may = true
			}
			return nil
		})
		if err != nil || !may {
			return nil, err
		}
	}
	struck, err := r.engine.strikeFrom(ctx, v.session, f.consent, request)
	if err != nil {
		return nil, err
	}
	var out *Resource
	_, err = v.finder.Run(ctx, v.session.snap, request, func(m *program.Emitted) error {
		if out == nil && !m.Deleted && string(m.ID) == id {
			struck.from(m)
			out = r.fit(v, b, filter, m)
		}
		return nil
	})
	return out, err
}

// fit lays a resource down, or gives nil where an export would withhold it or
// the filter or the client's grant leaves it out.
func (r *Reader) fit(v *view, b *Bounds, filter *search.Filter, m *program.Emitted) *Resource {
	if filter != nil && !filter.Match(m.Resource) {
		return nil
	}
	if filters, ok := b.Restrict[m.Type]; ok && !search.Match(filters, m.Resource) {
		return nil
	}
	findings := slices.Clone(m.Findings)
	if v.session.validator != nil {
		findings = v.session.validator.Validate(m.Resource, findings)
	}
	if r.engine.Policy != Flag && slices.ContainsFunc(findings, func(f profiles.Finding) bool { return f.Severity == profiles.Error }) {
		return nil
	}
	line := m.Resource.AppendJSON(nil)
	if len(line) > maxLine {
		return nil
	}
	return &Resource{Type: m.Type, ID: string(m.ID), Updated: m.Updated, JSON: line}
}

// rowsOf lists the rows that may make the resource.
func (r *Reader) rowsOf(ctx context.Context, v *view, viewName, resourceType, id string) ([]program.Row, error) {
	if rows, ok := v.finder.Recover(resourceType, viewName, id); ok {
		return rows, nil
	}
	var out []program.Row
	index, err := r.index(ctx, v, viewName, resourceType, id)
	if err != nil {
		return nil, err
	}
	if index != nil {
		for _, f := range index.Find(id) {
			out = append(out, f.Row)
		}
		return out, nil
	}
	// Too large to remember: this read pays for itself.
	if err := r.scan(ctx); err != nil {
		return nil, err
	}
	defer r.scanned()
	err = v.finder.Rows(ctx, v.session.snap, r.all(viewName, resourceType), 0, func(f *program.Found) error {
		if string(f.ID) == id {
			out = append(out, f.Row)
		}
		return nil
	})
	return out, err
}

// scan waits for leave to walk a type.
func (r *Reader) scan(ctx context.Context) error {
	select {
	case r.scans <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Reader) scanned() { <-r.scans }

func (r *Reader) all(viewName, resourceType string) program.Request {
	return program.Request{Types: []string{resourceType}, Views: []string{viewName}}
}

// index is the index of a type, fit to answer for id: it knows the id, or is as
// new as the view. It is nil where the type is too large for one.
func (r *Reader) index(ctx context.Context, v *view, viewName, resourceType, id string) (*program.Index, error) {
	key := indexKey{v.session.fingerprint, resourceType, viewName}
	slot := r.indexes.slot(key)
	fit := func() (*program.Index, bool) {
		index, built := r.indexes.use(slot)
		return index, built != nil && !built.born.Before(v.born) || index != nil && len(index.Find(id)) > 0
	}
	if index, ok := fit(); ok {
		return index, nil
	}
	if err := slot.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer slot.gate.leave()
	if index, ok := fit(); ok {
		return index, nil // another has built it
	}
	if err := r.scan(ctx); err != nil {
		return nil, err
	}
	defer r.scanned()
	index, err := v.finder.Index(ctx, v.session.snap, r.all(viewName, resourceType), r.indexes.room)
	if err != nil && !errors.Is(err, program.ErrIndexTooLarge) {
		return nil, err
	}
	r.indexes.keep(key, slot, index, v)
	return index, nil
}

// patients finds the warehouse's values of some Patient ids; those that nobody
// has are left out.
func (r *Reader) patients(ctx context.Context, v *view, ids []string) ([]string, error) {
	out := []string{}
	for _, id := range ids {
		index, err := r.index(ctx, v, "", program.PatientType, id)
		if err != nil {
			return nil, err
		}
		if index == nil {
			known, err := v.finder.Patients(ctx, v.session.snap, ids)
			if err != nil {
				return nil, err
			}
			for _, value := range known {
				out = append(out, value)
			}
			break
		}
		for _, f := range index.Find(id) {
			// A stale hint names a patient that is there no more; the query
			// that follows finds nothing of theirs.
			if f.Owned {
				out = append(out, f.Patient)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// fence keeps a client to the members of its groups, and to those whose own
// choice lets it have their data.
type fence struct {
	members [][]string // sorted, by group; nil for no fence by groups
	consent *Consent   // nil asks nobody
}

func (f *fence) closed() bool { return f.members != nil || f.consent.asks() }

// admits says whether the client may have a row of the patient. A row that
// belongs to nobody is no member's secret.
func (f *fence) admits(patient string, owned bool) bool {
	if !owned {
		return true
	}
	if !f.consent.may(patient) {
		return false
	}
	return f.members == nil || slices.ContainsFunc(f.members, func(m []string) bool {
		_, ok := slices.BinarySearch(m, patient)
		return ok
	})
}

// size is how many members lie inside the fence, some counted twice.
func (f *fence) size() int {
	if f.members == nil && f.consent.asks() {
		if f.consent.Only {
			return len(f.consent.Members)
		}
		return math.MaxInt // all but a few
	}
	n := 0
	for _, m := range f.members {
		n += len(m)
	}
	return n
}

// within lists the members inside the fence, sorted. It is for fences whose size
// is one.
func (f *fence) within() []string {
	if f.members == nil && f.consent.asks() {
		return f.consent.Members
	}
	out := []string{}
	for _, m := range f.members {
		out = append(out, m...)
	}
	slices.Sort(out)
	return f.consent.of(slices.Compact(out))
}

// fence reads the members' choices, and the rosters of the bounds, these once
// for each view.
func (r *Reader) fence(ctx context.Context, v *view, b *Bounds) (*fence, error) {
	consent, err := r.engine.consent(ctx, b.ClientID)
	if err != nil {
		return nil, err
	}
	if b.Groups == nil {
		return &fence{consent: consent}, nil
	}
	f := &fence{members: [][]string{}, consent: consent}
	for _, g := range b.Groups {
		members, err := v.roster(ctx, g)
		if err != nil {
			return nil, fmt.Errorf("read roster: %w", err)
		}
		f.members = append(f.members, members)
	}
	return f, nil
}
