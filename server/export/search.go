package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"remit/mapping/program"
	"remit/profiles/search"
	"remit/sql/source"
)

// Search asks for resources of one type.
type Search struct {
	Bounds Bounds
	Type   string
	// Filter says which; nil means all of the type.
	Filter *search.Filter
	// Count is how many a page holds at most.
	Count int
	// After is where the page before ended; nil for the first one.
	After *Place
}

// Place is where a page ended. It holds a business key, so that it leaves the
// server encrypted only.
type Place struct {
	Pass int `json:"p"`
	// After is the key of the last row that is done; nil before the first.
	After []string `json:"a,omitempty"`
	// Skip is how many matches of the row behind it were handed out already.
	Skip int `json:"s,omitempty"`
}

// Page is one page of a search, in an order that stays the same: that of the
// passes and their keys.
type Page struct {
	Resources []Resource
	// Next is where the next page begins, nil on the last.
	Next *Place
}

// Rows that a search looks at in one go: at first, and at most.
const (
	firstWindow = 200
	lastWindow  = 20_000
	// maxNarrowed bounds the patients that are written into a query; beyond it
	// rows are compared one by one.
	maxNarrowed = 1000
)

// Search answers one page. Rows are read window by window in key order, so that
// a page costs what lies between its first and its last match and not the whole
// type; an id or a patient in the filter narrows the queries themselves.
func (r *Reader) Search(ctx context.Context, q Search) (*Page, error) {
	ctx, v, leave, err := r.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	defer leave()
	page, err := r.search(ctx, v, &q)
	if err != nil {
		return nil, fmt.Errorf("search: %w", because(ctx, err))
	}
	return page, nil
}

// hints are what the clauses of a filter say of rows, before any is read.
type hints struct {
	ids      []string // nil for any
	patients []string // Patient ids; nil for any
	since    time.Time
	until    time.Time
	// identifiers are the values that an identifier must have one of; nil for
	// any.
	identifiers []string
}

// hintsOf reads the clauses that narrow queries. The filter has the last word.
func hintsOf(f *search.Filter) hints {
	var h hints
	if f == nil {
		return h
	}
	for i := range f.Clauses {
		c := &f.Clauses[i]
		switch {
		case c.Modifier != "" && c.Modifier != program.PatientType:
		case c.Parameter.Code == "_id":
			h.ids = both(h.ids, c.Values, func(v *search.Value) (string, bool) { return v.Code, true })
		case c.Parameter.Code == "patient" && c.Parameter.Kind == search.Reference:
			h.patients = both(h.patients, c.Values, func(v *search.Value) (string, bool) {
				return v.ID, v.URL == "" && (v.TargetType == "" || v.TargetType == program.PatientType)
			})
		case c.Parameter.Code == "identifier" && c.Parameter.Kind == search.Token && c.Modifier == "":
			values := []string{}
			for j := range c.Values {
				if c.Values[j].Code == "" {
					values = nil // any of a system
					break
				}
				values = append(values, c.Values[j].Code)
			}
			if values != nil && h.identifiers == nil {
				h.identifiers = values
			}
		case c.Parameter.Code == "_lastUpdated" && len(c.Values) == 1:
			// A little more than asked for: fractions are cut in between.
			const slack = 2 * time.Millisecond
			v := &c.Values[0]
			lo, hi := time.UnixMicro(v.Range.Lo).UTC().Add(-slack), time.UnixMicro(v.Range.Hi).UTC().Add(slack)
			switch v.Prefix {
			case search.EQ:
				h.since, h.until = latest(h.since, lo), earliest(h.until, hi)
			case search.GT, search.GE, search.SA:
				h.since = latest(h.since, lo)
			case search.LT, search.LE, search.EB:
				h.until = earliest(h.until, hi)
			}
		}
	}
	return h
}

// columns are those that hold the identifiers of a type, by pass; nil where
// rows cannot be told by them.
func (h *hints) columns(v *view, resourceType, viewName string) map[int][]source.KeyColumn {
	if h.identifiers == nil {
		return nil
	}
	columns, ok := v.finder.Columns(resourceType, viewName, "identifier.value")
	if !ok {
		return nil
	}
	return columns
}

// any narrows a pass to the rows whose columns hold an identifier wanted.
func (h *hints) any(columns map[int][]source.KeyColumn, pass int) []source.ColumnValues {
	if columns == nil {
		return nil
	}
	out := []source.ColumnValues{}
	for _, c := range columns[pass] {
		out = append(out, source.ColumnValues{Column: c, Values: h.identifiers})
	}
	return out
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// both keeps of the words had those that the values name, too; nil is any.
func both(had []string, values []search.Value, word func(*search.Value) (string, bool)) []string {
	out := []string{}
	for i := range values {
		w, ok := word(&values[i])
		if ok && w != "" && !slices.Contains(out, w) && (had == nil || slices.Contains(had, w)) {
			out = append(out, w)
		}
	}
	return out
}

func (r *Reader) search(ctx context.Context, v *view, q *Search) (*Page, error) {
	t, ok := v.typeOf(q.Type, q.Bounds.View)
	if !ok {
		return &Page{}, nil
	}
	h := hintsOf(q.Filter)
	g := &gather{reader: r, view: v, search: q, roster: t.Reach == program.Roster, page: &Page{}, deadline: r.engine.Clock().Add(r.o.Budget)}
	var patients []string
	if h.patients != nil {
		var err error
		if patients, err = r.patients(ctx, v, h.patients); err != nil || len(patients) == 0 {
			return g.page, err
		}
	}
	fence, err := r.fence(ctx, v, &q.Bounds)
	if err != nil {
		return nil, err
	}
	g.fence = fence
	if h.ids != nil {
		return g.ids(ctx, h.ids, patients)
	}
	g.request = program.Request{Types: []string{q.Type}, Views: []string{q.Bounds.View}, Since: h.since, Until: h.until}
	switch {
	case g.roster:
	case patients != nil:
		g.request.Patients = slices.DeleteFunc(patients, func(p string) bool { return !fence.admits(p, true) })
		if len(g.request.Patients) == 0 {
			return g.page, nil
		}
	case fence.closed() && t.Reach == program.PatientData && fence.size() <= maxNarrowed:
		g.request.Patients = fence.within()
	}
	columns := h.columns(v, q.Type, q.Bounds.View)
	for _, pass := range v.finder.PassesOf(q.Type, q.Bounds.View) {
		if q.After != nil && pass < q.After.Pass {
			continue
		}
		g.request.Any = h.any(columns, pass)
		full, err := g.pass(ctx, pass)
		if err != nil || full {
			return g.page, err
		}
	}
	return g.page, nil
}

// gather fills one page.
type gather struct {
	reader   *Reader
	view     *view
	search   *Search
	fence    *fence
	roster   bool
	request  program.Request
	page     *Page
	bytes    int
	deadline time.Time
}

// maxPageBytes ends a page of large resources early.
const maxPageBytes = 32 << 20

// full says that the page takes no more.
func (g *gather) full() bool {
	return len(g.page.Resources) >= g.search.Count || g.bytes >= maxPageBytes
}

func (g *gather) add(found ...Resource) {
	for _, f := range found {
		g.bytes += len(f.JSON)
		g.page.Resources = append(g.page.Resources, f)
	}
}

// ids answers a search that names its resources. Pages count in their order.
func (g *gather) ids(ctx context.Context, ids, patients []string) (*Page, error) {
	at := 0
	if g.search.After != nil {
		at = min(g.search.After.Skip, len(ids))
	}
	for first := at; at < len(ids); at++ {
		if g.full() || at > first && !g.reader.engine.Clock().Before(g.deadline) {
			g.page.Next = &Place{Skip: at}
			break
		}
		found, err := g.reader.byID(ctx, g.view, &g.search.Bounds, g.fence, g.search.Filter, g.search.Type, ids[at:at+1], patients)
		if err != nil {
			return nil, err
		}
		g.add(found...)
	}
	return g.page, nil
}

// window is what one walk found: its rows with their ids, in order.
type window struct {
	keys [][]string // distinct keys, in order
	at   map[string]int
	may  [][]string // the keys that the fence admits
	full bool       // more rows may follow
}

// pass looks through one pass; full says that the page is.
func (g *gather) pass(ctx context.Context, pass int) (full bool, err error) {
	place := Place{Pass: pass}
	if after := g.search.After; after != nil && after.Pass == pass {
		place = *after
	}
	size := max(firstWindow, 2*g.search.Count)
	if g.search.Filter == nil && !g.fence.closed() {
		size = g.search.Count + 1 // nearly every row will do
	}
	for {
		w, err := g.walk(ctx, &place, size)
		if err != nil {
			return false, err
		}
		if len(w.may) > 0 {
			if full, err := g.take(ctx, &place, w); err != nil || full {
				return full, err
			}
		}
		if !w.full {
			return false, nil
		}
		place = Place{Pass: pass, After: w.keys[len(w.keys)-1]}
		if !g.reader.engine.Clock().Before(g.deadline) {
			g.page.Next = &place
			return true, nil
		}
		size = min(2*size, lastWindow)
	}
}

// walk reads the keys of the next rows.
func (g *gather) walk(ctx context.Context, place *Place, size int) (*window, error) {
	w := &window{at: map[string]int{}}
	request := g.request
	request.Pass, request.KeyAfter = place.Pass, place.After
	err := g.view.finder.Rows(ctx, g.view.session.snap, request, size, func(f *program.Found) error {
		w.full = f.N >= size
		last := len(w.keys) - 1
		if last < 0 || !slices.Equal(w.keys[last], f.Key) {
			w.keys = append(w.keys, f.Key)
			last++
		}
		switch {
		case f.ID == nil:
			return nil
		case g.roster && g.search.Bounds.Groups != nil && !slices.Contains(g.search.Bounds.Groups, string(f.ID)):
			return nil
		case !g.roster && !g.fence.admits(f.Patient, f.Owned):
			return nil
		}
		if _, twice := w.at[string(f.ID)]; !twice {
			w.at[string(f.ID)] = last
		}
		if n := len(w.may); n == 0 || !slices.Equal(w.may[n-1], f.Key) {
			w.may = append(w.may, f.Key)
		}
		return nil
	})
	return w, err
}

// take runs the rows of a window into the page.
func (g *gather) take(ctx context.Context, place *Place, w *window) (full bool, err error) {
	request := g.request
	request.Pass = place.Pass
	request.Any = nil // the walk has met it
	if g.request.Any == nil && len(w.may) == len(w.keys) || len(w.may) > maxNarrowed {
		request.KeyAfter, request.KeyUpTo = place.After, w.keys[len(w.keys)-1]
	} else {
		request.Keys = w.may
	}
	var last, given int // row of the last match handed out, and how many of it
	last = -1
	skip, seen := place.Skip, map[string]bool{}
	struck, err := g.reader.engine.strikeFrom(ctx, g.view.session, g.fence.consent, request)
	if err != nil {
		return false, err
	}
	_, err = g.view.finder.Run(ctx, g.view.session.snap, request, func(m *program.Emitted) error {
		at, known := w.at[string(m.ID)]
		if m.Deleted || !known {
			return nil // fenced off, or not of this search
		}
		if seen[string(m.ID)] {
			return nil // an export hands out the first alone
		}
		at = max(at, last)
		struck.from(m)
		res := g.reader.fit(g.view, &g.search.Bounds, g.search.Filter, m)
		if res == nil {
			return nil
		}
		seen[string(m.ID)] = true
		if at == 0 && skip > 0 {
			skip--
			return nil
		}
		if g.full() {
			g.page.Next = &Place{Pass: place.Pass, After: before(w, place, at)}
			if at == last {
				g.page.Next.Skip = given
				if at == 0 {
					g.page.Next.Skip += place.Skip
				}
			}
			return errEnough
		}
		if at != last {
			last, given = at, 0
		}
		given++
		g.add(*res)
		return nil
	})
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}

// before is the key of the row before one of a window.
func before(w *window, place *Place, at int) []string {
	if at == 0 {
		return place.After
	}
	return w.keys[at-1]
}

// sweep looks through all resources that pass a filter, for whom they belong
// to.
type sweep struct {
	reader *Reader
	view   *view
	bounds *Bounds
	fence  *fence
	filter *search.Filter
	within []string // the only patients asked about, sorted; nil for all
}

// run tells each patient who owns a resource that passes, maybe more than once.
func (s *sweep) run(ctx context.Context, yield func(patient string)) error {
	h := hintsOf(s.filter)
	request := program.Request{Types: []string{s.filter.Type}, Views: []string{s.bounds.View}, Since: h.since, Until: h.until}
	switch {
	case s.within != nil && len(s.within) <= maxNarrowed:
		request.Patients = s.within
	case s.fence.closed() && s.fence.size() <= maxNarrowed:
		request.Patients = s.fence.within()
	}
	v := s.view
	columns := h.columns(v, s.filter.Type, s.bounds.View)
	for _, pass := range v.finder.PassesOf(s.filter.Type, s.bounds.View) {
		var after []string
		for {
			walk, run := request, request
			walk.Pass, walk.KeyAfter = pass, after
			walk.Any = h.any(columns, pass)
			owners := map[string]string{}
			var keys [][]string
			n := 0
			var last []string
			err := v.finder.Rows(ctx, v.session.snap, walk, lastWindow, func(f *program.Found) error {
				n, last = f.N, f.Key
				if f.ID != nil && f.Owned && s.fence.admits(f.Patient, true) && s.asked(f.Patient) {
					owners[string(f.ID)] = f.Patient
					keys = append(keys, f.Key)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if len(owners) > 0 {
				run.Pass, run.KeyAfter, run.KeyUpTo = pass, after, last
				if walk.Any != nil && len(keys) <= maxNarrowed {
					run.KeyAfter, run.KeyUpTo, run.Keys = nil, nil, keys
				}
				_, err := v.finder.Run(ctx, v.session.snap, run, func(m *program.Emitted) error {
					if owner, ok := owners[string(m.ID)]; ok && !m.Deleted && s.reader.fit(v, s.bounds, s.filter, m) != nil {
						yield(owner)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			if n < lastWindow {
				break
			}
			after = last
		}
	}
	return nil
}

func (s *sweep) asked(patient string) bool {
	if s.within == nil {
		return true
	}
	_, ok := slices.BinarySearch(s.within, patient)
	return ok
}
