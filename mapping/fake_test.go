package mapping_test

import (
	"context"
	"strings"
	"time"

	"remit/sql/source"
)

// fake is a warehouse in memory: tables of rows in order, expressions that are
// plain columns. It lets a test break the contract of a warehouse, and a
// benchmark leave its cost out.
type fake struct {
	tables map[string]*fakeTable
}

type fakeTable struct {
	columns []source.Column
	rows    [][]string // "" is NULL
}

func (f *fake) Dialect() string { return "fake" }
func (f *fake) Close() error    { return nil }

func (f *fake) Catalog(context.Context) (*source.Catalog, error) {
	c := &source.Catalog{}
	for name, t := range f.tables {
		c.Tables = append(c.Tables, source.Table{Name: name, Columns: t.columns})
	}
	return c, nil
}

func (f *fake) Columns(_ context.Context, rel *source.Relation) ([]source.Column, error) {
	t := f.tables[rel.Table]
	if t == nil {
		return nil, &source.SQLError{Part: source.PartRelation, Offset: -1, Code: "unknown-table", Message: "no such table", Name: rel.Table}
	}
	return t.columns, nil
}

// column finds a plain, quoted or qualified column, or -1.
func (t *fakeTable) column(sql string) int {
	name := strings.Trim(sql[strings.LastIndexByte(sql, '.')+1:], `"`)
	for i, c := range t.columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}

func (f *fake) Describe(_ context.Context, q *source.Query) ([]source.Described, error) {
	t := f.tables[q.From.Table]
	var out []source.Described
	for i, e := range append(append([]source.Expr(nil), q.Columns...), q.Where...) {
		if c := t.column(e.SQL); c >= 0 {
			out = append(out, source.Described{Type: t.columns[c].Type})
			continue
		}
		out = append(out, source.Described{Err: &source.SQLError{Index: i, Offset: -1, Code: "syntax", Message: "no plain column"}})
	}
	return out, nil
}

func (f *fake) Snapshot(context.Context) (source.Snapshot, error) { return &fakeSnapshot{f}, nil }

type fakeSnapshot struct{ f *fake }

func (s *fakeSnapshot) AsOf() time.Time   { return time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) }
func (s *fakeSnapshot) Loaded() time.Time { return time.Time{} }
func (s *fakeSnapshot) Close() error      { return nil }
func (s *fakeSnapshot) Explain(context.Context, *source.Query) (*source.Explanation, error) {
	return &source.Explanation{EstimatedRows: -1}, nil
}

func (s *fakeSnapshot) Stream(_ context.Context, q *source.Query) (source.RowStream, error) {
	t := s.f.tables[q.From.Table]
	out := &fakeRows{}
	for _, r := range t.rows {
		row := make(source.Row, len(q.Columns))
		for i, e := range q.Columns {
			if v := r[t.column(e.SQL)]; v != "" {
				row[i] = source.Text([]byte(v))
			}
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

type fakeRows struct {
	rows []source.Row
	at   int
}

func (r *fakeRows) Next() bool      { r.at++; return r.at <= len(r.rows) }
func (r *fakeRows) Row() source.Row { return r.rows[r.at-1] }
func (r *fakeRows) Err() error      { return nil }
func (r *fakeRows) Close() error    { return nil }

func column(name string, kind source.Kind) source.Column {
	return source.Column{Name: name, Type: source.Type{Kind: kind}}
}
