package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Complete returns a copy of q in which every relation knows its Columns, as
// columns tells them for tables and SQL: names are then matched without regard
// to case, and key columns without a type take the column's. columns may
// replace Table in the relation it is given by the name in the engine's own
// spelling.
// Errors are those of columns, and *SQLError for a key column that is missing.
func Complete(ctx context.Context, q *Query, columns func(context.Context, *Relation) ([]Column, error)) (*Query, error) {
	if q == nil {
		return nil, nil
	}
	if q.From == nil {
		return nil, errors.New("a query without a relation")
	}
	out := *q
	rel, err := CompleteRelation(ctx, q.From, columns)
	if err != nil {
		return nil, err
	}
	out.From = rel
	for _, keys := range [3][]KeyColumn{q.Key, q.Order, {q.Narrow.Patient, q.Narrow.Updated}} {
		for _, k := range keys {
			if _, ok := FindColumn(rel.Columns, k.Name); !ok && k.Name != "" {
				return nil, &SQLError{Part: PartRelation, Offset: -1, Code: "unknown-column", Name: k.Name,
					Message: fmt.Sprintf("key, order, patient or updated column %q is not in %s", k.Name, rel.Name)}
			}
		}
	}
	if out.Parent, err = Complete(ctx, q.Parent, columns); err != nil {
		return nil, err
	}
	out.Narrow.SinceAlso = nil
	for _, c := range q.Narrow.SinceAlso {
		child, err := Complete(ctx, c, columns)
		if err != nil {
			return nil, err
		}
		out.Narrow.SinceAlso = append(out.Narrow.SinceAlso, child)
	}
	return &out, nil
}

// CompleteRelation is Complete for one relation.
func CompleteRelation(ctx context.Context, rel *Relation, columns func(context.Context, *Relation) ([]Column, error)) (*Relation, error) {
	out := *rel
	if rel.Unpivot != nil {
		if rel.Unpivot.Of == nil {
			return nil, fmt.Errorf("unpivot %s: no relation", rel.Name)
		}
		of, err := CompleteRelation(ctx, rel.Unpivot.Of, columns)
		if err != nil {
			return nil, err
		}
		u := *rel.Unpivot
		u.Of = of
		out.Unpivot = &u
		if out.Columns, err = u.columns(rel.Name); err != nil {
			return nil, err
		}
		return &out, nil
	}
	bare := Relation{Name: rel.Name, Table: rel.Table, SQL: rel.SQL}
	var err error
	if out.Columns, err = columns(ctx, &bare); err != nil {
		return nil, err
	}
	out.Table = bare.Table
	return &out, nil
}

// columns are those of Of, then n, then the unpivot's own with the types of
// the first columns they are made of.
func (u *Unpivot) columns(name string) ([]Column, error) {
	numbers, err := u.Numbers()
	if err != nil {
		return nil, fmt.Errorf("unpivot %s: %w", name, err)
	}
	out := make([]Column, 0, len(u.Of.Columns)+1+len(u.Columns))
	for _, c := range u.Of.Columns {
		// The wrap has dropped the padding of char(n) by now.
		c.Type.Padded = false
		out = append(out, c)
	}
	out = append(out, Column{Name: "n", Type: Type{Kind: KindInteger, Name: "integer"}, NotNull: true})
	for _, c := range u.Columns {
		pattern := strings.ReplaceAll(c.Pattern, "{n}", numbers[0].Text)
		found, ok := FindColumn(u.Of.Columns, pattern)
		if !ok {
			return nil, &SQLError{Part: PartRelation, Offset: -1, Code: "unknown-column", Name: pattern,
				Message: fmt.Sprintf("column %q of an unpivot is not in %s", pattern, u.Of.Name)}
		}
		found.Type.Padded = false
		out = append(out, Column{Name: c.Name, Type: found.Type})
	}
	return out, nil
}

// Prepare prepares a statement without running it and tells its columns'
// types. Its error is *SQLError where the SQL is at fault.
type Prepare func(ctx context.Context, st *Statement) ([]Type, error)

// DescribeAll does the work of Source.Describe for an adapter: it guards every
// expression, prepares all of them in two statements (types, and the rule that
// they are scalar: mapping language, rule 5), and goes through them one by one
// only where that fails. q must be complete. volatile names the engine's
// volatile functions in lower case.
//
// The error is *SQLError with PartRelation where the relation is at fault.
func DescribeAll(ctx context.Context, d *Dialect, q *Query, volatile map[string]bool, prepare Prepare) ([]Described, error) {
	n := len(q.Columns)
	all := make([]Described, n+len(q.Where))
	fine := true
	text := func(i int) string {
		if i < n {
			return q.Columns[i].SQL
		}
		return q.Where[i-n].SQL
	}
	for i := range all {
		if err := CheckExpr(text(i), volatile); err != nil {
			all[i].Err, fine = place(err, i, n), false
		}
	}
	if fine && len(all) > 0 {
		// Binding a source's own SQL is most of the cost: once, where all is well.
		var types []Type
		st, err := d.TypesOfScalars(q)
		if err == nil {
			types, err = prepare(ctx, st)
		}
		if err == nil && len(types) != len(all) {
			return nil, fmt.Errorf("describe: %d types for %d expressions", len(types), len(all))
		}
		if err == nil {
			for i := range all {
				all[i] = judge(types[i], i, n)
			}
			return all, nil
		}
		var fault *SQLError
		if !errors.As(err, &fault) {
			return nil, err
		}
	}

	// Something is wrong. Is it the relation?
	bare, err := d.Types(&Query{From: q.From, Columns: []Expr{{SQL: "1"}}})
	if err != nil {
		return nil, err
	}
	if _, err := prepare(ctx, bare); err != nil {
		var fault *SQLError
		if errors.As(err, &fault) {
			fault.Part, fault.Index = PartRelation, 0
		}
		return nil, err
	}
	for i := range all {
		if all[i].Err != nil {
			continue
		}
		one := &Query{From: q.From}
		if i < n {
			one.Columns = q.Columns[i : i+1]
		} else {
			one.Where = q.Where[i-n : i-n+1]
		}
		types, err := describeTogether(ctx, d, one, prepare)
		var fault *SQLError
		switch {
		case err == nil:
			all[i] = judge(types[0], i, n)
		case errors.As(err, &fault):
			copied := *fault
			all[i].Err = place(&copied, i, n)
		default:
			return nil, err
		}
	}
	return all, nil
}

func describeTogether(ctx context.Context, d *Dialect, q *Query, prepare Prepare) ([]Type, error) {
	st, err := d.Types(q)
	if err != nil {
		return nil, err
	}
	types, err := prepare(ctx, st)
	if err != nil {
		return nil, err
	}
	if want := len(q.Columns) + len(q.Where); len(types) != want {
		return nil, fmt.Errorf("describe: %d types for %d expressions", len(types), want)
	}
	if st, err = d.Scalars(q); err != nil {
		return nil, err
	}
	if _, err := prepare(ctx, st); err != nil {
		var fault *SQLError
		if errors.As(err, &fault) {
			// It prepares as a column and not in WHERE: an aggregate, a
			// window or a function that gives many rows.
			copied := *fault
			copied.Code = "not-scalar"
			return nil, &copied
		}
		return nil, err
	}
	return types, nil
}

// place says that a fault belongs to expression i of n columns and the rest.
func place(err *SQLError, i, n int) *SQLError {
	err.Part, err.Index = PartColumn, i
	if i >= n {
		err.Part, err.Index = PartWhere, i-n
	}
	return err
}

// judge refuses types that no value of a resource can come from, and
// conditions that are no conditions.
func judge(t Type, i, n int) Described {
	d := Described{Type: t}
	switch {
	case t.Kind == KindComposite:
		d.Err = place(&SQLError{Code: "not-scalar", Message: fmt.Sprintf("the expression gives %s, not a scalar", t.Name)}, i, n)
	case i >= n && t.Kind != KindBoolean:
		d.Err = place(&SQLError{Code: "type", Message: fmt.Sprintf("a condition must be boolean, this is %s", t.Name)}, i, n)
	}
	return d
}

// Guard refuses a query any of whose pieces of SQL CheckExpr or CheckRelation
// refuses, so that nothing reaches an engine that was not described first.
func Guard(q *Query, volatile map[string]bool) error {
	if q == nil {
		return nil
	}
	for i, e := range q.Columns {
		if err := CheckExpr(e.SQL, volatile); err != nil {
			return place(err, i, len(q.Columns))
		}
	}
	for i, e := range q.Where {
		if err := CheckExpr(e.SQL, volatile); err != nil {
			return place(err, i, 0)
		}
	}
	for rel := q.From; rel != nil; {
		if rel.Unpivot != nil {
			rel = rel.Unpivot.Of
			continue
		}
		if rel.Table == "" {
			if err := CheckRelation(rel.SQL, volatile); err != nil {
				return err
			}
		}
		break
	}
	for _, child := range q.Narrow.SinceAlso {
		if err := Guard(child, volatile); err != nil {
			return err
		}
	}
	return Guard(q.Parent, volatile)
}
