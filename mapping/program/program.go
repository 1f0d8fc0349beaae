// Package program runs a checked mapping set: it merges the ordered streams of
// a pass, builds each resource in an arena, and hands it on. One pass, bounded
// memory. A run can be cut by patient into parts that run apart ([Program.Split]).
// It knows no jobs, disks or HTTP.
package program

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/plan"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Program is a mapping set ready to run. It is immutable and safe for
// concurrent use.
type Program struct {
	set    *check.Set
	passes [][]*check.Mapping // by source, in order of the first mapping
	// compiled holds *compiled by pass and mappings; it is filled on demand,
	// since a run reads only the columns of the types it wants.
	compiled sync.Map
}

// New makes a Program of a checked set.
func New(set *check.Set) *Program {
	p := &Program{set: set}
	index := map[*check.Source]int{}
	for _, m := range set.Mappings {
		i, ok := index[m.From]
		if !ok {
			i = len(p.passes)
			index[m.From] = i
			p.passes = append(p.passes, nil)
		}
		p.passes[i] = append(p.passes[i], m)
	}
	return p
}

// Proof is the proof report of the set: for each demand of each profile in use,
// whether it is proved, checked per resource, or undecidable.
func (p *Program) Proof() *check.Proof { return check.Prove(p.set) }

// Reach says whose data a resource type holds.
type Reach uint8

// The reaches.
const (
	// PatientData belongs to one patient: its source declares patient.
	PatientData Reach = iota
	// Shared belongs to nobody: Organization, Practitioner. Where patients are
	// listed it is narrowed to whom their rows name, if its source can tell (see
	// Type.Directory).
	Shared
	// Roster refers to many patients: Group. It is left out wherever only
	// some patients are exported, but for the roster asked for.
	Roster
)

// Type is one resource type that the program emits.
type Type struct {
	Name     string
	Profiles []string // canonicals with version
	Reach    Reach
	// Tracked says that every mapping of the type declares updated; others
	// are returned whatever Since says (BE-077).
	Tracked bool
	// Directory says that some mapping of the type is narrowed, where
	// Request.Patients lists patients, to whom their rows name (rule 40). Since
	// then leaves nothing out: what is new to a receiver need not have changed.
	Directory bool
	// Ownerless says that removed rows of some mapping of the type do not tell
	// whose they were: their deletions are told only where no patient is left
	// out (see Request.Patients and Request.Chosen).
	Ownerless bool
}

// Types lists the resource types, sorted by name.
func (p *Program) Types() []Type { return types(p.set.Mappings) }

// Views lists the names of the views beside the full one, sorted (rule 33).
func (p *Program) Views() []string { return slices.Clone(p.set.Views) }

// TypesOf lists the resource types of a view, sorted by name; "" is the full
// view.
func (p *Program) TypesOf(view string) []Type {
	var mappings []*check.Mapping
	for _, m := range p.set.Mappings {
		if v := viewOf(m, view); v != nil {
			mappings = append(mappings, v)
		}
	}
	return types(mappings)
}

// viewOf is a mapping in a view; nil where it is left out of it.
func viewOf(m *check.Mapping, view string) *check.Mapping {
	if view == "" {
		return m
	}
	for _, v := range m.Views {
		if v.View == view {
			return v
		}
	}
	return nil
}

func types(mappings []*check.Mapping) []Type {
	byName := map[string]*Type{}
	var out []*Type
	for _, m := range mappings {
		name := m.Type.Name()
		t := byName[name]
		if t == nil {
			t = &Type{Name: name, Reach: reachOf(m), Tracked: true}
			byName[name] = t
			out = append(out, t)
		}
		for _, prof := range m.Profiles {
			if c := prof.Canonical(); !slices.Contains(t.Profiles, c) {
				t.Profiles = append(t.Profiles, c)
			}
		}
		t.Reach = widest(t.Reach, reachOf(m))
		t.Tracked = t.Tracked && m.From.Updated != nil
		t.Ownerless = t.Ownerless || ownerless(m.From)
		t.Directory = t.Directory || plan.Directory(m)
	}
	slices.SortFunc(out, func(a, b *Type) int { return cmp.Compare(a.Name, b.Name) })
	list := make([]Type, 0, len(out))
	for _, t := range out {
		slices.Sort(t.Profiles)
		list = append(list, *t)
	}
	return list
}

// ownerless says that removed rows of patients' data do not tell whose they were.
func ownerless(from *check.Source) bool {
	return from.Patient != nil && from.Removed != nil && from.Removed.Patient == nil
}

func reachOf(m *check.Mapping) Reach {
	switch {
	case m.From.Patient != nil:
		return PatientData
	case slices.Contains(m.References, "Patient"):
		return Roster
	}
	return Shared
}

// widest keeps the more guarded reach of two mappings of one type.
func widest(a, b Reach) Reach {
	switch {
	case a == Roster || b == Roster:
		return Roster
	case a == PatientData || b == PatientData:
		return PatientData
	}
	return Shared
}

// Request says which rows a run reads. The zero Request means everything. It
// is plain data and survives JSON.
type Request struct {
	// Pass is the number of the pass, from 1; 0 means all of them, one after
	// the other. Requests made by Split have it set.
	Pass int `json:"pass"`
	// Types, where not nil, lists the only resource types wanted.
	Types []string `json:"types,omitempty"`
	// After and UpTo bound the patients (after, upTo], in the pass's key order.
	After *string `json:"after,omitempty"`
	UpTo  *string `json:"up_to,omitempty"`
	// Keys, where not nil, lists the only rows wanted by the key of the pass's
	// source; KeyAfter and KeyUpTo bound a range (after, upTo] of it. They are
	// of one pass and go with Pass.
	Keys     [][]string `json:"keys,omitempty"`
	KeyAfter []string   `json:"key_after,omitempty"`
	KeyUpTo  []string   `json:"key_up_to,omitempty"`
	// Any narrows Rows to rows of which one of the columns has one of its
	// values; Run does not know it. It goes with Pass.
	Any []source.ColumnValues `json:"-"`
	// Patients, where not nil, lists the only patients wanted, by the
	// warehouse's own patient value (see Program.Patients). What belongs to
	// nobody is narrowed to whom their rows name, see Type.Directory.
	Patients []string `json:"patients,omitempty"`
	// Without lists patients, by the same value, whose rows are left out. Rows
	// without a patient stay, and a roster keeps its references (see Strike).
	Without []string `json:"without,omitempty"`
	// Chosen says that patients are left out by their own choice, within the
	// request's range or beyond it: a removed row that does not tell whose it was
	// could be theirs, and is not told.
	Chosen bool `json:"chosen,omitempty"`
	// Roster is the id of the one roster resource wanted, "" for the rule of Reach.
	Roster string    `json:"roster,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	// AsOf, where not zero, cuts at updated <= AsOf (a run resumed on a later
	// snapshot) and is written as transaction time.
	AsOf time.Time `json:"as_of,omitzero"`
	// Unowned asks for the rows without a patient alone, which no part of a
	// split holds.
	Unowned bool `json:"unowned,omitempty"`
	// Bounds, by resource type, narrow the rows read to those that can meet one
	// of the alternatives, each a list of bounds that must all hold. It is a
	// saving and no filter: rows that meet none may still come.
	Bounds map[string][][]Bound `json:"bounds,omitempty"`
	// Views, where not nil, lists the views wanted, "" the full one; nil means
	// that one alone. All are made in one pass.
	Views []string `json:"views,omitempty"`
	// Apart asks the warehouse for the rows of every source, also of an unpivot
	// that would be made of its parent's row: the same resources at a higher
	// price, for those who look at what is read.
	Apart bool `json:"-"`
	// Deletions asks, beside Since, for what is gone since then (rule 30).
	Deletions bool `json:"deletions,omitempty"`

	lenient bool        // count rows that repeat a key, in place of stopping
	sources *sourceData // where such rows are counted by source
}

// deletions says that the run tells what is gone.
func (r *Request) deletions() bool { return r.Deletions && !r.Since.IsZero() }

// options tells how the passes of a request are planned.
func (r *Request) options() plan.Options {
	return plan.Options{KeepWhere: r.lenient || r.deletions(), Apart: r.lenient || r.Apart}
}

// limits is the part of a request that narrows the queries of a pass from a
// source.
func (r *Request) limits(from *check.Source) source.Narrow {
	n := source.Narrow{PatientNull: r.Unowned, PatientAfter: r.After, PatientUpTo: r.UpTo, Patients: r.Patients, PatientsNot: r.without(from),
		Since: r.Since, Until: r.Until, Keys: r.Keys, KeyAfter: r.KeyAfter, KeyUpTo: r.KeyUpTo}
	if !r.AsOf.IsZero() && (n.Until.IsZero() || r.AsOf.Before(n.Until)) {
		n.Until, n.UntilInclusive = r.AsOf, true
	}
	return n
}

// without is the part of Without that can lie in the request's range: a part of
// a split need not tell the warehouse of everybody.
func (r *Request) without(from *check.Source) []string {
	if len(r.Without) == 0 || from.Patient == nil || r.After == nil && r.UpTo == nil {
		return r.Without
	}
	kind := from.Patient.Type.Kind
	if !ordered(kind) {
		return r.Without // the order of such a range is the warehouse's secret
	}
	var out []string
	for _, p := range r.Without {
		if (r.After == nil || compareKey([]byte(p), []byte(*r.After), kind) > 0) && (r.UpTo == nil || compareKey([]byte(p), []byte(*r.UpTo), kind) <= 0) {
			out = append(out, p)
		}
	}
	return out
}

// wanted lists the mappings of a pass that a request asks for.
func (p *Program) wanted(pass int, r *Request) []*check.Mapping {
	var out []*check.Mapping
	for _, m := range p.passes[pass] {
		if r.Types != nil && !slices.Contains(r.Types, m.Type.Name()) {
			continue
		}
		if reachOf(m) == Roster && r.Roster == "" && r.Patients != nil {
			continue
		}
		if r.Views == nil {
			out = append(out, m)
			continue
		}
		for _, name := range r.Views {
			if v := viewOf(m, name); v != nil {
				out = append(out, v)
			}
		}
	}
	return out
}

// Emitted is one resource on its way out.
type Emitted struct {
	Type string
	// ID is valid until the callback returns; empty where the key makes none.
	ID []byte
	// Key is the business key, name=value joined by commas, for error files and
	// reports only (never logs). It is valid until the callback returns.
	Key []byte
	// Pos is the mapping that made it.
	Pos diag.Pos
	// Resource is valid until the callback returns.
	Resource *r4.Resource
	// Findings are faults met while placing values (a text that is no date, an
	// unmapped code, a dangling sequence); profile findings come later. The
	// slice is valid until the callback returns.
	Findings []profiles.Finding
	Updated  time.Time
	Tracked  bool
	// View is the view that the resource is made for, "" for the full one.
	View string
	// Deleted says that the resource Type/ID is no more; Resource is nil and
	// Updated the instant as of which it is gone. It comes only where the
	// request asks for Deletions.
	Deleted bool
}

// Emit takes each resource in turn. An error stops the run.
type Emit func(*Emitted) error

// Report counts what a run did.
type Report struct {
	Rows      int64            `json:"rows"`
	Resources map[string]int64 `json:"resources"`
	// Skipped counts rows that could not become a resource, by reason
	// (null-key, orphan ...).
	Skipped map[string]int64 `json:"skipped,omitempty"`
	// Absent and Assumed count values that the data lack, by path.
	Absent  map[string]int64 `json:"absent,omitempty"`
	Assumed map[string]int64 `json:"assumed,omitempty"`
	// Unmapped counts keys that a map does not hold, by map; never the keys.
	Unmapped map[string]int64 `json:"unmapped,omitempty"`
	// UnmappedKeys counts those keys one by one, by map, the first
	// maxUnmappedKeys of each. They come from rows: they belong into the run's
	// report file and never into a log.
	UnmappedKeys map[string]KeyCounts `json:"unmapped_keys,omitempty"`
	// Headers counts the keys whose rows differ in what they repeat, by source.
	Headers map[string]int64 `json:"headers,omitempty"`
	// Deleted counts the deletions told, by resource type.
	Deleted map[string]int64 `json:"deleted,omitempty"`
}

// KeyCounts counts keys of rows. It prints as [redacted] everywhere but in
// JSON. Parts of a key are joined by |.
type KeyCounts map[string]int64

// Format prints no key.
func (KeyCounts) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue logs no key.
func (KeyCounts) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// maxUnmappedKeys bounds the keys listed for one map.
const maxUnmappedKeys = 1000

func (r *Report) addKey(name, key string, n int64) {
	if r.UnmappedKeys == nil {
		r.UnmappedKeys = map[string]KeyCounts{}
	}
	keys := r.UnmappedKeys[name]
	if keys == nil {
		keys = KeyCounts{}
		r.UnmappedKeys[name] = keys
	}
	if _, ok := keys[key]; ok || len(keys) < maxUnmappedKeys {
		keys[key] += n
	}
}

func newReport() *Report {
	return &Report{
		Resources: map[string]int64{}, Skipped: map[string]int64{}, Absent: map[string]int64{},
		Assumed: map[string]int64{}, Unmapped: map[string]int64{}, Headers: map[string]int64{}, Deleted: map[string]int64{},
	}
}

// Run reads the rows of r and emits the resources they make. The report covers
// what was emitted before an error, too.
func (p *Program) Run(ctx context.Context, snap source.Snapshot, r Request, emit Emit) (*Report, error) {
	report := newReport()
	for i := range p.passes {
		if r.Pass != 0 && r.Pass != i+1 {
			continue
		}
		mappings := p.wanted(i, &r)
		if len(mappings) == 0 {
			continue
		}
		for _, apart := range p.apart(mappings, &r) {
			if err := p.runPass(ctx, snap, &r, p.compileWith(apart, r.options()), emit, report); err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

// apart deals the mappings of a pass out where one reading of its rows cannot
// serve them all: a directory of listed patients sees fewer of them than a
// roster of the same source.
func (p *Program) apart(mappings []*check.Mapping, r *Request) [][]*check.Mapping {
	whole := [][]*check.Mapping{mappings}
	if r.Patients == nil {
		return whole
	}
	var rosters, others []*check.Mapping
	for _, m := range mappings {
		if reachOf(m) == Roster {
			rosters = append(rosters, m)
		} else {
			others = append(others, m)
		}
	}
	if rosters == nil || others == nil || !plan.Directory(others...) {
		return whole
	}
	return [][]*check.Mapping{rosters, others}
}

// Position is the place in the mapping set that an origin stands for.
func (p *Program) Position(o r4.Origin) diag.Pos {
	if int(o) >= len(p.set.Origins) {
		return diag.Pos{}
	}
	return p.set.Origins[o]
}

// compile makes, or finds, the code of a pass over mappings.
func (p *Program) compile(mappings []*check.Mapping) *compiled {
	return p.compileWith(mappings, plan.Options{})
}

func (p *Program) compileWith(mappings []*check.Mapping, o plan.Options) *compiled {
	key := fmt.Sprint(o.KeepWhere, o.Apart, "\x00")
	for _, m := range mappings {
		key += m.Name + "\x00" + m.View + "\x00"
	}
	if c, ok := p.compiled.Load(key); ok {
		return c.(*compiled)
	}
	c, _ := p.compiled.LoadOrStore(key, compilePass(p.set, plan.With(mappings, o)))
	return c.(*compiled)
}
