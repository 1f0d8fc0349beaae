package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/sql/source"
)

// takenID is the id of a resource that the rows at hand make.
type takenID struct {
	typ, view string
	id        []byte
}

// take notes that the resource just made is there. The bytes of earlier rows
// are used again.
func (r *runner) take(u *unit) {
	n := len(r.taken)
	if n < cap(r.taken) {
		r.taken = r.taken[:n+1]
	} else {
		r.taken = append(r.taken, takenID{})
	}
	t := &r.taken[n]
	t.typ, t.view, t.id = u.typ, u.view, append(t.id[:0], r.id...)
}

// has says that the rows at hand make a resource of that type and id.
func (r *runner) has(u *unit, id []byte) bool {
	for _, t := range r.taken {
		if t.typ == u.typ && t.view == u.view && bytes.Equal(t.id, id) {
			return true
		}
	}
	return false
}

// vanished tells that a mapping takes the changed row at hand no more, unless
// another one makes the same resource of it (rule 30).
func (r *runner) vanished(u *unit) error {
	r.unit = u
	id, ok := r.makeID(&u.id)
	if !ok || r.has(u, id) || u.id.plain && !validID(id) {
		return r.err
	}
	r.id = id
	r.stamp(u)
	if r.narrowed && u.tracked && !r.updated.After(r.request.Since) {
		return nil // it did not change since then
	}
	if err := r.delete(u, r.updated); err != nil {
		return err
	}
	// Two mappings that leave the row could tell the same resource twice.
	r.take(u)
	return nil
}

// delete emits one deletion; r.id and r.row are its own.
func (r *runner) delete(u *unit, at time.Time) error {
	r.name()
	r.out.Type, r.out.Pos, r.out.Resource, r.out.Findings = u.typ, u.pos, nil, nil
	r.out.Updated, r.out.Tracked, r.out.View, r.out.Deleted = at, true, u.view, true
	if err := r.emit(&r.out); err != nil {
		return err
	}
	r.report.Deleted[u.typ]++
	return nil
}

// removedBatch is how many removed keys are looked up at once.
const removedBatch = 500

// removedRow is one row of a removed relation: its key, and the id of each
// mapping of the pass.
type removedRow struct {
	key []string
	ids [][]byte // nil where a part is NULL
	at  time.Time
}

// removed tells the rows that the source's removed relation lists since the
// run's since. A key that is still there is no deletion.
func (r *runner) removed(ctx context.Context, snap source.Snapshot, limits source.Narrow, chosen bool) error {
	from := r.c.plan.From
	if chosen && ownerless(from) {
		return nil
	}
	gone := from.Removed
	narrowed := limits.Patients != nil || limits.PatientAfter != nil || limits.PatientUpTo != nil || limits.PatientNull || len(limits.PatientsNot) > 0
	q := &source.Query{From: gone.Relation, Key: gone.Key}
	q.Narrow.Updated, q.Narrow.Since, q.Narrow.Until, q.Narrow.UntilInclusive = *gone.Updated, limits.Since, limits.Until, limits.UntilInclusive
	switch {
	case narrowed && gone.Patient != nil:
		q.Narrow.Patient, q.Narrow.Patients, q.Narrow.PatientsNot = *gone.Patient, limits.Patients, limits.PatientsNot
		q.Narrow.PatientAfter, q.Narrow.PatientUpTo, q.Narrow.PatientNull = limits.PatientAfter, limits.PatientUpTo, limits.PatientNull
	case narrowed && (limits.Patients != nil || limits.PatientUpTo != nil || limits.PatientNull):
		return nil // nobody knows whose they are: the last part of a split tells them all
	}
	plan := plan.Removed(gone, r.c.removedKeys())
	q.Columns = plan.Columns
	rows, err := snap.Stream(ctx, q)
	if err != nil {
		return fmt.Errorf("open removed of source %q: %w", from.Name, err)
	}
	defer func() { _ = rows.Close() }()
	sub := newRunner(r.c.overRemoved(plan), r.report)
	var batch []removedRow
	for rows.Next() {
		sub.row = rows.Row()
		batch = append(batch, sub.removedRow(plan, r.base, gone))
		if len(batch) == removedBatch {
			if err := r.tell(ctx, snap, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read removed of source %q: %w", from.Name, err)
	}
	return r.tell(ctx, snap, batch)
}

// removedKeys lists the ids of the pass's mappings over removed rows.
func (c *compiled) removedKeys() []*check.Key {
	keys := make([]*check.Key, len(c.mappings))
	for i, u := range c.mappings {
		keys[i] = u.mapping.RemovedID
	}
	return keys
}

// overRemoved is the code that makes the ids of removed rows: the units of c
// with nothing but their id.
func (c *compiled) overRemoved(p *plan.RemovedPlan) *compiled {
	out := *c
	out.plan = &plan.Pass{From: c.plan.From, Streams: c.plan.Streams[:1], Slots: p.Slots}
	out.maps, out.memos, out.mappings = nil, 0, nil
	comp := &compiler{out: &out, pass: out.plan, maps: map[*check.Map]*mapTable{}}
	for _, u := range c.mappings {
		one := *u
		one.id = comp.key(u.mapping.RemovedID)
		out.mappings = append(out.mappings, &one)
	}
	return &out
}

func (r *runner) removedRow(p *plan.RemovedPlan, base time.Time, gone *check.Source) removedRow {
	out := removedRow{at: base}
	for i := range gone.Key {
		out.key = append(out.key, string(r.row[i].Bytes()))
	}
	if v := r.row[p.At]; !v.IsNull() {
		if t, ok := parseTimestamp(v.Bytes(), gone.Zone); ok {
			out.at = t.UTC()
		}
	}
	for _, u := range r.c.mappings {
		var id []byte
		if r.unit = u; u.mapping.RemovedID != nil {
			if made, ok := r.makeID(&u.id); ok && (!u.id.plain || validID(made)) {
				id = bytes.Clone(made)
			}
		}
		out.ids = append(out.ids, id)
	}
	return out
}

// tell emits the deletions of a batch, but for the ids that the rows still
// there make.
func (r *runner) tell(ctx context.Context, snap source.Snapshot, batch []removedRow) error {
	if len(batch) == 0 {
		return nil
	}
	there, err := r.stillThere(ctx, snap, batch)
	if err != nil {
		return err
	}
	for _, row := range batch {
		r.taken = r.taken[:0]
		for i, u := range r.c.mappings {
			id := row.ids[i]
			if id == nil || there[u.typ+"\x00"+u.view+"\x00"+string(id)] || r.has(u, id) {
				continue
			}
			r.id = id
			r.row = make(source.Row, len(r.c.plan.Streams[0].Query.Columns))
			for k, col := range r.c.plan.Streams[0].Key {
				r.row[col] = source.Text([]byte(row.key[k]))
			}
			if err := r.delete(u, row.at); err != nil {
				return err
			}
			r.take(u) // several mappings may make the same resource
		}
	}
	return nil
}

// stillThere lists the ids that the rows of a batch's keys still make.
func (r *runner) stillThere(ctx context.Context, snap source.Snapshot, batch []removedRow) (map[string]bool, error) {
	q := r.c.plan.Streams[0].Query
	q.NullKeys = false
	for _, row := range batch {
		q.Narrow.Keys = append(q.Narrow.Keys, row.key)
	}
	rows, err := snap.Stream(ctx, &q)
	if err != nil {
		return nil, fmt.Errorf("look up removed keys of source %q: %w", r.c.plan.From.Name, err)
	}
	defer func() { _ = rows.Close() }()
	there := map[string]bool{}
	for rows.Next() {
		r.row = rows.Row()
		for _, u := range r.c.mappings {
			if !u.where.None() && !r.isTrue(u.where) {
				continue
			}
			r.unit = u
			if id, ok := r.makeID(&u.id); ok {
				there[u.typ+"\x00"+u.view+"\x00"+string(id)] = true
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up removed keys of source %q: %w", r.c.plan.From.Name, err)
	}
	return there, errors.Join(r.err)
}
