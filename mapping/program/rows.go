package program

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Row names a row of the warehouse that makes resources: a pass, from 1, and
// the key of its source in canonical texts. The key is health data: it belongs
// into no log, and reaches no client.
type Row struct {
	Pass int      `json:"pass"`
	Key  []string `json:"key"`
}

// Found is a row that makes a resource.
type Found struct {
	Row
	// ID is the resource's id, nil where the row makes none. Its bytes are
	// valid until the callback returns.
	ID []byte
	// N is the number of the row in its pass, from 1.
	N int
	// Patient is the warehouse's patient value of the row; Owned is false
	// where the row belongs to no patient.
	Patient string
	Owned   bool
}

// Rows walks the rows that make resources of a type, pass by pass in key
// order, and reads no more of them than key, id, patient and the condition of
// the mapping. r says which rows, as for Run; limit, where above 0, ends each
// pass after that many rows. A row that makes several resources of the type
// comes once for each, and one that makes none once with a nil ID.
func (p *Program) Rows(ctx context.Context, snap source.Snapshot, r Request, limit int, found func(*Found) error) error {
	for i := range p.passes {
		if r.Pass != 0 && r.Pass != i+1 {
			continue
		}
		mappings := p.wanted(i, &r)
		if len(mappings) == 0 {
			continue
		}
		if err := p.walk(ctx, snap, &r, i, mappings, limit, found); err != nil {
			return err
		}
	}
	return nil
}

// PassesOf lists the numbers of the passes that make a type in a view, in
// order.
func (p *Program) PassesOf(resourceType, view string) []int {
	var out []int
	r := Request{Types: []string{resourceType}, Views: []string{view}}
	for i := range p.passes {
		if len(p.wanted(i, &r)) > 0 {
			out = append(out, i+1)
		}
	}
	return out
}

// Columns tells which columns of their sources the mappings of a type write
// into an element below the resource ("identifier.value"), by pass: a row whose
// columns have none of some values makes no resource whose element has one. ok
// is false where some mapping writes the element by more than plain text
// columns of the resource's own row, so that nothing can be said.
func (p *Program) Columns(resourceType, view, path string) (columns map[int][]source.KeyColumn, ok bool) {
	columns = map[int][]source.KeyColumn{}
	r := Request{Types: []string{resourceType}, Views: []string{view}}
	for i := range p.passes {
		for _, m := range p.wanted(i, &r) {
			if !plainColumns(m, m.Root, resourceType+"."+path, func(c source.KeyColumn) {
				if !slices.ContainsFunc(columns[i+1], func(h source.KeyColumn) bool { return h.Name == c.Name }) {
					columns[i+1] = append(columns[i+1], c)
				}
			}) {
				return nil, false
			}
			if columns[i+1] == nil {
				columns[i+1] = []source.KeyColumn{} // the element is never written
			}
		}
	}
	return columns, true
}

// plainColumns tells the columns behind the nodes of a path; ok is false where
// one is no plain column.
func plainColumns(m *check.Mapping, n *check.Node, path string, tell func(source.KeyColumn)) (ok bool) {
	if n == nil {
		return true
	}
	if at := check.PlainPath(n.Path); at == path || n.Kind == check.Literal && strings.HasPrefix(path, at) {
		if n.Kind == check.Nothing && n.Path != "" {
			return true // an absent: or assumed: alone, which holds no value of a row
		}
		v := n.Value
		if at != path || n.Kind != check.Primitive || v == nil || v.Expr == nil || v.Expr.Column == "" || v.Expr.Source != m.From ||
			n.Coerce != check.AsIs || v.Expr.Type.Kind != source.KindText {
			return false
		}
		tell(source.KeyColumn{Name: v.Expr.Column, Type: v.Expr.Type})
		return n.Assumed == nil
	}
	for _, c := range n.Children {
		if !plainColumns(m, c, path, tell) {
			return false
		}
	}
	return plainColumns(m, n.Assumed, path, tell)
}

func (p *Program) walk(ctx context.Context, snap source.Snapshot, req *Request, pass int, mappings []*check.Mapping, limit int, found func(*Found) error) error {
	c, owner := p.walker(mappings)
	r := newRunner(c, &Report{Skipped: map[string]int64{}})
	query := c.plan.Narrow(req.limits(c.plan.From))[0]
	query.Narrow.Any = req.Any
	query.Limit, query.NullKeys = limit, false // a row without a key makes nothing
	rows, err := snap.Stream(ctx, query)
	if err != nil {
		return fmt.Errorf("walk source %q: %w", c.plan.From.Name, err)
	}
	defer func() { _ = rows.Close() }()
	root := c.plan.Streams[0]
	f := Found{Row: Row{Pass: pass + 1}}
	for n := 0; rows.Next(); n++ {
		if n%rowsPerCheck == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.row = rows.Row()
		f.N = n + 1
		f.Key = make([]string, len(root.Key))
		for k, col := range root.Key {
			f.Key[k] = string(r.row[col].Bytes())
		}
		f.Patient, f.Owned = "", false
		if owner >= 0 && !r.row[owner].IsNull() {
			f.Patient, f.Owned = string(r.row[owner].Bytes()), true
		}
		made := false
		for _, u := range c.mappings {
			if !u.where.None() && !r.isTrue(u.where) {
				continue
			}
			r.unit = u
			r.res.Start(u.mapping.Type, u.mapping.Origin)
			id, ok := r.makeID(&u.id)
			if !ok || u.roster && req.Roster != "" && string(id) != req.Roster {
				continue
			}
			made = true
			f.ID = id
			if err := found(&f); err != nil {
				return err
			}
		}
		if !made {
			f.ID = nil
			if err := found(&f); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("walk source %q: %w", c.plan.From.Name, err)
	}
	return nil
}

// walker is the code that makes the ids of mappings and nothing else; owner is
// the column of the patient, -1 where the source declares none.
func (p *Program) walker(mappings []*check.Mapping) (c *compiled, owner int) {
	var key strings.Builder
	key.WriteString("walk\x00")
	bare := make([]*check.Mapping, len(mappings))
	for i, m := range mappings {
		key.WriteString(m.Name + "\x00" + m.View + "\x00")
		b := *m
		b.Root = &check.Node{Kind: check.Nothing, Type: m.Type, Repeat: -1}
		if m.From.Patient != nil && i == 0 {
			patient := &check.Expr{SQL: check.QuoteName(m.From.Patient.Name), Source: m.From, Type: m.From.Patient.Type, Column: m.From.Patient.Name}
			b.Root = &check.Node{Kind: check.Primitive, Type: r4.Lookup("string"), Value: &check.Value{Expr: patient}, Repeat: -1}
		}
		bare[i] = &b
	}
	made, ok := p.compiled.Load(key.String())
	if !ok {
		made, _ = p.compiled.LoadOrStore(key.String(), compilePass(p.set, plan.Of(bare)))
	}
	c = made.(*compiled)
	owner = -1
	if patient := c.plan.From.Patient; patient != nil {
		owner = slices.IndexFunc(c.plan.Streams[0].Query.Columns, func(e source.Expr) bool { return e.SQL == check.QuoteName(patient.Name) })
	}
	return c, owner
}
