package program

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Split cuts a request for everything into requests that can run apart and be
// retried: one or more for each pass that emits a wanted type, each of about
// size parent rows where the pass can be cut by patient. Where only some patients
// are wanted, each part names those it is for, and every one of them is in one
// part of each pass. Order is stable.
//
// Every row is in one part, whatever the rows are: any rising list of patients
// cuts a pass into ranges without gap or overlap, and rows without a patient
// have a part of their own. Only how large a part is, is an estimate: a pass that
// is large beside the list of members is cut at members of that list by what a
// sample of them owns (see splitter.sampled); all others are listed row by row,
// and a part of theirs ends with the patient who makes it size rows or more.
func (p *Program) Split(ctx context.Context, snap source.Snapshot, r Request, size int) ([]Request, error) {
	s := &splitter{p: p, snap: snap, r: &r, size: size, lists: map[*check.Source]*memberList{}}
	var out []Request
	for i := range p.passes {
		if r.Pass != 0 && r.Pass != i+1 {
			continue
		}
		mappings := p.wanted(i, &r)
		if len(mappings) == 0 {
			continue
		}
		one := r
		one.Pass = i + 1
		from := mappings[0].From
		if from.Patient == nil || size <= 0 {
			out = append(out, one)
			continue
		}
		if r.Patients != nil {
			parts, err := s.share(ctx, from)
			if err != nil {
				return nil, err
			}
			for _, patients := range parts {
				one.Patients = patients
				out = append(out, one)
			}
			continue
		}
		cuts, rest, err := s.cuts(ctx, from)
		if err != nil {
			return nil, err
		}
		if len(cuts) > 0 && !rest {
			if rest, err = p.keyless(ctx, snap, mappings); err != nil {
				return nil, err
			}
		}
		after := r.After
		for _, c := range cuts {
			part := one
			part.After, part.UpTo = after, &c
			after = part.UpTo
			out = append(out, part)
		}
		one.After, one.UpTo = after, r.UpTo
		out = append(out, one)
		if rest && one.After != nil {
			one.After, one.UpTo, one.Unowned = nil, nil, true
			out = append(out, one)
		}
	}
	return out, nil
}

// keyless says that the children of a pass have rows without a full key, or
// without a patient, which no part of a split would count (rules 20 and 28).
func (p *Program) keyless(ctx context.Context, snap source.Snapshot, mappings []*check.Mapping) (bool, error) {
	pass := p.compile(mappings).plan
	for _, q := range append(pass.Nulls(source.Narrow{PatientNull: true}), pass.Ownerless()...) {
		if q == nil {
			continue
		}
		one := *q
		one.Limit = 1
		some, err := hasRows(ctx, snap, &one)
		if err != nil {
			return false, fmt.Errorf("look for rows of source %q without a key or patient: %w", q.From.Name, err)
		}
		if some {
			return true, nil
		}
	}
	return false, nil
}

// hasRows says that a query has rows.
func hasRows(ctx context.Context, snap source.Snapshot, q *source.Query) (bool, error) {
	rows, err := snap.Stream(ctx, q)
	if err != nil {
		return false, err
	}
	some := rows.Next()
	err = rows.Err()
	_ = rows.Close() // the error of the rows counts
	return some, err
}

// splitter is one Split under way.
type splitter struct {
	p    *Program
	snap source.Snapshot
	r    *Request
	size int
	// lists are the member lists read so far, by their source.
	lists map[*check.Source]*memberList
	// named are the request's patients, sorted, each once; see patients.
	named []string
}

// cuts lists the patients at which a pass is cut: the last of each part but
// the last. unowned says that rows have no patient at all.
func (s *splitter) cuts(ctx context.Context, from *check.Source) (cuts []string, unowned bool, err error) {
	l, err := s.members(ctx, from)
	if err != nil {
		return nil, false, err
	}
	if l != nil && l.from == from {
		return l.cuts, l.unowned, nil
	}
	if l != nil {
		cuts, ok, err := s.sampled(ctx, from, l)
		if err != nil {
			return nil, false, err
		}
		if ok {
			unowned, err := s.unowned(ctx, from)
			return cuts, unowned, err
		}
	}
	c := s.cutter(from)
	unowned, err = s.owners(ctx, s.ownersOf(from, s.r), c.row)
	return c.cuts, unowned, err
}

// cutter cuts a walk over patients, in their order, into parts of about size
// rows.
type cutter struct {
	size float64
	kind source.Kind
	// last is the patient that the walk is at, rows those of the part at hand.
	last  []byte
	begun bool
	rows  float64
	cuts  []string
}

func (s *splitter) cutter(from *check.Source) *cutter {
	return &cutter{size: float64(s.size), kind: from.Patient.Type.Kind}
}

// row takes one row of a patient.
func (c *cutter) row(patient []byte) { c.add(patient, 1) }

// add takes rows of a patient, and says whether he comes for the first time.
func (c *cutter) add(patient []byte, rows float64) (first bool) {
	c.rows += rows
	if c.begun && !c.behind(patient) {
		return false
	}
	if c.begun && c.rows > c.size {
		c.cuts = append(c.cuts, string(c.last))
		c.rows = rows
	}
	c.last, c.begun = append(c.last[:0], patient...), true
	return true
}

// behind says that a patient comes behind the last: cuts must rise, or rows
// would be in two parts. A warehouse that sorts in an order other than that in
// which it compares is not cut there.
func (c *cutter) behind(patient []byte) bool {
	if ordered(c.kind) {
		return compareKey(patient, c.last, c.kind) > 0
	}
	return !bytes.Equal(patient, c.last)
}

// ordered says that patients of the kind have an order that is known here, too:
// that of compareKey.
func ordered(kind source.Kind) bool {
	return kind == source.KindText || kind == source.KindInteger || kind == source.KindUUID
}

// share deals out the patients of a request, as many to a part as have about
// size rows together. Whom no row names is in a part all the same: children may.
func (s *splitter) share(ctx context.Context, from *check.Source) ([][]string, error) {
	parts, ok, err := s.sampledShare(ctx, from)
	if ok || err != nil {
		return parts, err
	}
	left := make(map[string]bool, len(s.r.Patients))
	for _, patient := range s.r.Patients {
		left[patient] = true
	}
	part := []string{}
	var last string
	n := 0
	_, err = s.owners(ctx, s.ownersOf(from, s.r), func(patient []byte) {
		if n++; string(patient) == last {
			return
		}
		last = string(patient)
		if !left[last] {
			return // the same patient written in another way, who is dealt out at the end
		}
		if n > s.size {
			parts, part = append(parts, part), []string{}
			n = 1
		}
		part = append(part, last)
		delete(left, last)
	})
	if err != nil {
		return nil, err
	}
	return append(parts, append(part, slices.Sorted(maps.Keys(left))...)), nil
}

// ownersOf asks for the patient of each row of a source that a request wants, in
// their order.
func (s *splitter) ownersOf(from *check.Source, r *Request) *source.Query {
	q := &source.Query{
		NullKeys: true,
		From:     from.Relation, Columns: []source.Expr{{SQL: check.QuoteName(from.Patient.Name)}}, Key: []source.KeyColumn{*from.Patient},
		Narrow: source.Narrow{Patient: *from.Patient, Patients: r.Patients, PatientsNot: r.without(from), PatientAfter: r.After, PatientUpTo: r.UpTo},
	}
	for _, w := range from.Where {
		q.Where = append(q.Where, source.Expr{SQL: w.SQL})
	}
	return q
}

// owners walks the patients that a query of ownersOf asks for, row by row.
func (s *splitter) owners(ctx context.Context, q *source.Query, tell func(patient []byte)) (unowned bool, err error) {
	rows, err := s.snap.Stream(ctx, q)
	if err != nil {
		return false, fmt.Errorf("list the patients of source %q: %w", q.From.Name, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if rows.Row()[0].IsNull() {
			unowned = true
			break // NULLs stand behind all others
		}
		tell(rows.Row()[0].Bytes())
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("list the patients of source %q: %w", q.From.Name, err)
	}
	return unowned, nil
}

// Patients tells the warehouse's patient value for FHIR Patient ids. Ids that
// no patient has are absent from the answer. Plain ids (rule 22) are looked up by
// their keys; hashes tell nothing of theirs and cost a walk over all patients,
// with no more of each than its key.
func (p *Program) Patients(ctx context.Context, snap source.Snapshot, ids []string) (map[string]string, error) {
	found := map[string]string{}
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	for _, m := range p.set.Mappings {
		if m.Type.Name() != "Patient" || m.From.Patient == nil {
			continue
		}
		limits := source.Narrow{}
		if keys, ok := keysOf(m, want); ok {
			if len(keys) == 0 {
				continue // no id reads like one of this mapping
			}
			limits.Keys = keys
		}
		if err := p.scanPatients(ctx, snap, m, limits, want, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// maxLookups bounds the ids that are looked up by their keys: a walk over all
// rows is soon cheaper.
const maxLookups = 1000

// keysOf tells the keys of the rows that can make the ids; ok is false where
// the ids do not tell them, as hashes do not, or are too many.
func keysOf(m *check.Mapping, want map[string]bool) (keys [][]string, ok bool) {
	if len(want) > maxLookups {
		return nil, false
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		of, ok := recoverKeys(m, id)
		if !ok {
			return nil, false
		}
		keys = append(keys, of...)
	}
	return keys, true
}

// scanPatients walks the rows of a Patient mapping within limits, with no more
// of each than its id and its patient value.
func (p *Program) scanPatients(ctx context.Context, snap source.Snapshot, m *check.Mapping, limits source.Narrow, want map[string]bool, found map[string]string) error {
	bare := *m
	patient := &check.Expr{SQL: check.QuoteName(m.From.Patient.Name), Source: m.From, Type: m.From.Patient.Type, Column: m.From.Patient.Name}
	bare.Root = &check.Node{Kind: check.Primitive, Type: r4.Lookup("string"), Value: &check.Value{Expr: patient}, Repeat: -1}
	pass := plan.Of([]*check.Mapping{&bare})
	c := compilePass(p.set, pass)
	r := newRunner(c, &Report{Skipped: map[string]int64{}})
	rows, err := snap.Stream(ctx, pass.Narrow(limits)[0])
	if err != nil {
		return fmt.Errorf("list the patients: %w", err)
	}
	defer func() { _ = rows.Close() }()
	slot := pass.Slots[patient]
	r.res.Start(m.Type, m.Origin)
	for rows.Next() && len(found) < len(want) {
		r.row = rows.Row()
		r.unit = c.mappings[0]
		id, ok := r.makeID(&c.mappings[0].id)
		if !ok || !want[string(id)] || r.row[slot.Column].IsNull() {
			continue
		}
		found[string(id)] = string(r.row[slot.Column].Bytes())
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list the patients: %w", err)
	}
	return nil
}

// Roster tells the patient values of the members of a roster resource
// (Group/id), sorted; found is false where no such resource is.
func (p *Program) Roster(ctx context.Context, snap source.Snapshot, id string) (patients []string, found bool, err error) {
	members := map[string]bool{}
	r := Request{Roster: id}
	for _, t := range p.Types() {
		if t.Reach == Roster {
			r.Types = append(r.Types, t.Name)
		}
	}
	if r.Types == nil {
		return nil, false, nil
	}
	_, err = p.Run(ctx, snap, r, func(e *Emitted) error {
		found = true
		for _, id := range Patients(e.Resource) {
			members[id] = true
		}
		return nil
	})
	if err != nil || !found {
		return nil, false, err
	}
	byID, err := p.Patients(ctx, snap, slices.Collect(maps.Keys(members)))
	if err != nil {
		return nil, false, err
	}
	patients = slices.Compact(slices.Sorted(maps.Values(byID)))
	if patients == nil {
		patients = []string{}
	}
	return patients, true, nil
}
