// Package plan turns checked mappings into passes: all mappings of one source
// read the same ordered streams, one query for each source, with only the
// columns that somebody needs; an unpivot is folded into its parent's query where
// that holds all that is asked of it. It knows no dialect; the adapter renders what
// it asks for.
package plan

import (
	"slices"
	"strings"
	"time"

	"remit/mapping/check"
	"remit/sql/source"
)

// Slot is a column of a stream of the pass.
type Slot struct{ Stream, Column int }

// noSlot stands where no column is needed.
var noSlot = Slot{Stream: -1}

// None says that the slot is none.
func (s Slot) None() bool { return s.Stream < 0 }

// Pass is one merge of ordered streams. It is immutable.
type Pass struct {
	From     *check.Source
	Mappings []*check.Mapping
	// Streams of the pass: the parent first, then its children, each behind
	// its own parent.
	Streams []*Stream
	// Slots tells where each expression of the mappings is read.
	Slots map[*check.Expr]Slot
	// Where is, for each mapping, the column that tells whether a row is its
	// own; none where every row is or where the condition is pushed down.
	Where []Slot
	// Narrowed says that the condition of the only mapping is pushed down.
	Narrowed bool
}

// Stream is one ordered query of a pass.
type Stream struct {
	Source *check.Source
	// Parent is the index of the parent's stream, -1 for the first.
	Parent int
	// Query holds everything but the narrowing of a run.
	Query source.Query
	// Fold, where not nil, makes the rows of the parent's row: Query is not
	// asked.
	Fold *Fold
	// Key and Order are the columns of the key and the order.
	Key, Order []int
	// Updated is the column of the last change, -1 where none is declared.
	Updated int

	index map[string]int
}

// Options change how a pass is planned.
type Options struct {
	// KeepWhere reads every row of the source, the condition of a mapping as a
	// column beside it: for those who must see the rows that no mapping takes.
	KeepWhere bool
	// Apart asks the warehouse for the rows of every source, also for those that
	// could be made of their parent's: for those who must see them as they stand.
	Apart bool
}

// Of makes the pass over mappings, which share their source.
func Of(mappings []*check.Mapping) *Pass { return With(mappings, Options{}) }

// With is Of with options.
func With(mappings []*check.Mapping, o Options) *Pass {
	p := &Pass{From: mappings[0].From, Mappings: mappings, Slots: map[*check.Expr]Slot{}}
	// Rows of one header must all be seen to be held against each other.
	keep := o.KeepWhere || p.From.Header != check.NoHeader
	root := p.stream(p.From)
	for _, m := range mappings {
		switch {
		case m.Where == nil:
			p.Where = append(p.Where, noSlot)
		case len(mappings) == 1 && !keep:
			p.Where = append(p.Where, noSlot)
			p.Streams[root].Query.Where = append(p.Streams[root].Query.Where, source.Expr{SQL: m.Where.SQL})
			p.Narrowed = true
		default:
			p.expr(m.Where)
			p.Where = append(p.Where, p.Slots[m.Where])
		}
		p.parts(m.ID.Parts)
		p.node(m.Root)
	}
	if !o.Apart {
		p.fold()
	}
	return p
}

// Stream finds the stream of a source, or -1.
func (p *Pass) Stream(s *check.Source) int {
	return slices.IndexFunc(p.Streams, func(st *Stream) bool { return st.Source == s })
}

func (p *Pass) stream(s *check.Source) int {
	if i := p.Stream(s); i >= 0 {
		return i
	}
	st := &Stream{Source: s, Parent: -1, Updated: -1, index: map[string]int{}}
	if s.Parent != nil {
		st.Parent = p.stream(s.Parent)
	}
	// Rows with a NULL key part come, so that they are counted (rule 20).
	st.Query = source.Query{From: s.Relation, Key: s.Key, Order: s.Order, NullKeys: true}
	for _, w := range s.Where {
		st.Query.Where = append(st.Query.Where, source.Expr{SQL: w.SQL})
	}
	for _, k := range s.Key {
		st.Key = append(st.Key, st.column(check.QuoteName(k.Name)))
	}
	for _, k := range s.Order {
		st.Order = append(st.Order, st.column(check.QuoteName(k.Name)))
	}
	if s.Updated != nil {
		st.Updated = st.column(check.QuoteName(s.Updated.Name))
	}
	p.Streams = append(p.Streams, st)
	return len(p.Streams) - 1
}

func (st *Stream) column(sql string) int {
	if i, ok := st.index[sql]; ok {
		return i
	}
	i := len(st.Query.Columns)
	st.index[sql] = i
	st.Query.Columns = append(st.Query.Columns, source.Expr{SQL: sql})
	return i
}

func (p *Pass) expr(e *check.Expr) {
	if e == nil {
		return
	}
	i := p.stream(e.Source)
	sql := e.SQL
	if e.Column != "" {
		sql = check.QuoteName(e.Column)
	}
	p.Slots[e] = Slot{Stream: i, Column: p.Streams[i].column(sql)}
}

func (p *Pass) value(v *check.Value) {
	if v == nil {
		return
	}
	p.expr(v.Expr)
	for _, e := range v.Of {
		p.expr(e)
	}
}

func (p *Pass) parts(parts []check.Part) {
	for _, part := range parts {
		p.value(part.Value)
	}
}

func (p *Pass) node(n *check.Node) {
	if n == nil {
		return
	}
	if n.Each != nil {
		p.stream(n.Each)
	}
	p.expr(n.EachWhere)
	p.expr(n.When)
	p.parts(n.Key)
	p.value(n.Value)
	p.value(n.SystemOf)
	if n.RefKey != nil {
		p.parts(n.RefKey.Parts)
	}
	for _, c := range n.Children {
		p.node(c)
	}
	p.node(n.Assumed)
	p.node(n.Absent)
}

// Tracked says that the pass's parent declares updated, so that a run since an
// instant can leave rows out.
func (p *Pass) Tracked() bool { return p.From.Updated != nil }

// Directory says that mappings of one source make what belongs to nobody from
// rows that belong to patients (rule 40): where some of them are listed, their
// pass is narrowed to what those rows name. A roster is no directory, it has all
// its members.
func Directory(mappings ...*check.Mapping) bool {
	if len(mappings) == 0 {
		return false
	}
	if from := mappings[0].From; from.Patient != nil || !owned(from.Relation) {
		return false
	}
	return !slices.ContainsFunc(mappings, func(m *check.Mapping) bool { return slices.Contains(m.References, "Patient") })
}

// ByOwner says that limits make the pass a directory of the patients listed.
func (p *Pass) ByOwner(limits source.Narrow) bool {
	return limits.Patients != nil && Directory(p.Mappings...)
}

// owned says that the rows of a relation, or of the one that it unpivots, come
// from a query that tells whose data they are.
func owned(rel *source.Relation) bool {
	for ; rel.Unpivot != nil; rel = rel.Unpivot.Of {
	}
	return len(rel.Owned) > 0
}

// Narrow gives the queries of the pass, one a stream, with the limits of a run:
// the patients, the keys of the pass's source, Since and Until of limits.
// Limits that the pass's source cannot meet (it declares no patient, or no
// updated) are left out, and so is Since for a directory narrowed to patients. A
// stream that is folded has that of its constants, or nil.
func (p *Pass) Narrow(limits source.Narrow) []*source.Query {
	root := p.Streams[0].Query
	byOwner := p.ByOwner(limits)
	if byOwner {
		// An entry may be new to the receiver although it did not change.
		root.Narrow.Owners, limits.Since = limits.Patients, time.Time{}
	}
	byPatient := false
	if p.From.Patient != nil {
		root.Narrow.Patient = *p.From.Patient
		root.Narrow.Patients, root.Narrow.PatientAfter, root.Narrow.PatientUpTo = limits.Patients, limits.PatientAfter, limits.PatientUpTo
		root.Narrow.PatientNull, root.Narrow.PatientsNot = limits.PatientNull, limits.PatientsNot
		byPatient = patients(limits)
	}
	byTime := false
	if p.From.Updated != nil && (!limits.Since.IsZero() || !limits.Until.IsZero()) {
		byTime = true
		root.Narrow.Updated = *p.From.Updated
		root.Narrow.Since, root.Narrow.Until, root.Narrow.UntilInclusive = limits.Since, limits.Until, limits.UntilInclusive
		if !limits.Since.IsZero() {
			root.Narrow.SinceAlso = p.since(limits)
		}
	}
	byKey := keys(limits)
	root.Narrow.Keys, root.Narrow.KeyAfter, root.Narrow.KeyUpTo = limits.Keys, limits.KeyAfter, limits.KeyUpTo
	out := make([]*source.Query, len(p.Streams))
	out[0] = &root
	for i, st := range p.Streams[1:] {
		if st.Fold != nil {
			out[i+1] = st.Fold.Constants
			continue
		}
		q := st.Query
		direct := false
		if byKey {
			// A child's key begins with its root's.
			q.Narrow.KeyAfter, q.Narrow.KeyUpTo = limits.KeyAfter, limits.KeyUpTo
			if len(st.Source.Key) == len(p.From.Key) {
				q.Narrow.Keys = limits.Keys
			} else if limits.Keys != nil {
				q.Parent, q.NullKeys = &root, false
			}
		}
		if byPatient {
			if col := p.ownPatient(st.Source); col != nil {
				direct = true
				q.Narrow.Patient, q.Narrow.PatientNull = *col, limits.PatientNull
				q.Narrow.Patients, q.Narrow.PatientAfter, q.Narrow.PatientUpTo = limits.Patients, limits.PatientAfter, limits.PatientUpTo
				q.Narrow.PatientsNot = limits.PatientsNot
			}
		}
		if byOwner {
			q.Narrow.Owners = limits.Patients
		}
		if byTime || byOwner || byPatient && !direct || p.Narrowed && !direct {
			// Rows without a key have no parent; Nulls tells them.
			q.Parent, q.NullKeys = &root, false
		}
		out[i+1] = &q
	}
	return out
}

func patients(limits source.Narrow) bool {
	return limits.Patients != nil || limits.PatientAfter != nil || limits.PatientUpTo != nil || limits.PatientNull || len(limits.PatientsNot) > 0
}

func keys(limits source.Narrow) bool {
	return limits.Keys != nil || limits.KeyAfter != nil || limits.KeyUpTo != nil
}

// Nulls gives, by stream, the queries that yield one row for each row without
// a full key that the queries of Narrow leave out because they ask for the
// parent; nil where nothing is left out. A run that is narrowed to patients,
// to keys or to a time leaves them to the run without.
func (p *Pass) Nulls(limits source.Narrow) []*source.Query {
	byPatient := p.From.Patient != nil && patients(limits)
	byTime := p.From.Updated != nil && (!limits.Since.IsZero() || !limits.Until.IsZero())
	if byTime || keys(limits) || p.ByOwner(limits) || byPatient && !limits.PatientNull || !byPatient && !p.Narrowed {
		return nil
	}
	out := make([]*source.Query, len(p.Streams))
	for i, st := range p.Streams[1:] {
		if st.Fold != nil {
			continue // the parent's row tells
		}
		if byPatient && p.ownPatient(st.Source) != nil {
			continue // its own query tells
		}
		q := &source.Query{From: st.Source.Relation, Columns: []source.Expr{{SQL: "1"}}}
		q.Where = append(q.Where, st.Query.Where...)
		null := make([]string, len(st.Source.Key))
		for k, col := range st.Source.Key {
			null[k] = check.QuoteName(st.Source.Name) + "." + check.QuoteName(col.Name) + " IS NULL"
		}
		q.Where = append(q.Where, source.Expr{SQL: strings.Join(null, " OR ")})
		out[i+1] = q
	}
	return out
}

// Ownerless gives the queries for rows of children that name no patient where
// the pass's source has patients, as many as there are such children. No run for
// some patients reads them.
func (p *Pass) Ownerless() []*source.Query {
	var out []*source.Query
	for _, st := range p.Streams[1:] {
		if p.From.Patient == nil || st.Source.Relation.Unpivot != nil {
			continue
		}
		if col := p.ownPatient(st.Source); col != nil {
			out = append(out, &source.Query{
				From: st.Source.Relation, Columns: []source.Expr{{SQL: "1"}}, Where: st.Query.Where,
				Narrow: source.Narrow{Patient: *col, PatientNull: true},
			})
		}
	}
	return out
}

// since lists the child queries whose later rows select their parent, too.
func (p *Pass) since(limits source.Narrow) []*source.Query {
	var out []*source.Query
	for _, st := range p.Streams[1:] {
		if st.Updated < 0 {
			continue
		}
		q := st.Query
		q.Narrow = source.Narrow{Updated: *st.Source.Updated, Since: limits.Since}
		out = append(out, &q)
	}
	return out
}

// ownPatient is the column by which a child can be narrowed to patients
// without asking for its parent: the declared one where it is named like the
// parent's, and the parent's own in an unpivot, whose rows are the parent's.
func (p *Pass) ownPatient(s *check.Source) *source.KeyColumn {
	if s.Relation.Unpivot != nil && s.Parent == p.From {
		return p.From.Patient
	}
	if s.Patient != nil && strings.EqualFold(s.Patient.Name, p.From.Patient.Name) {
		return s.Patient
	}
	return nil
}
