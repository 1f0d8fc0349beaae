package program

import (
	"bytes"
	"fmt"
	"slices"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/sql/source"
)

// headRow is the one row that stands for the rows of a key, where a source
// repeats its header on each of them.
type headRow struct {
	row   source.Row
	cells [][]byte // the bytes behind row
	// differs is the first column in which the rows of the key at hand differ.
	differs string
	// differing counts the keys whose rows differ.
	differing int64
}

// set copies a value: the stream's own is gone with its next row.
func (h *headRow) set(i int, v source.Value) {
	if v.IsNull() {
		h.row[i] = source.Value{}
		return
	}
	h.cells[i] = append(h.cells[i][:0], v.Bytes()...)
	h.row[i] = source.Text(h.cells[i])
}

// HeaderError says that rows of one key differ in what should be the same.
type HeaderError struct {
	Source string
	Row    int64 // ordinal in the stream, from 1
	Column string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("source %q: row %d differs from the first of its key in %s; the source says header: assert", e.Source, e.Row, e.Column)
}

// header takes all rows that share the key of the row at hand: the first one
// stands for them, with the latest of their changes.
func (r *runner) header(root *plan.Stream) error {
	h := &r.head
	if len(h.row) != len(r.row) {
		h.row, h.cells = make(source.Row, len(r.row)), make([][]byte, len(r.row))
	}
	for i, v := range r.row {
		h.set(i, v)
	}
	r.row, h.differs = h.row, ""
	for r.root.Next() {
		next := r.root.Row()
		for i, col := range root.Key {
			if next[col].IsNull() || compareKey(r.last[i], next[col].Bytes(), root.Query.Key[i].Type.Kind) != 0 {
				r.ahead = true
				return nil
			}
		}
		r.rows++
		r.report.Rows++
		for i, v := range next {
			if i == root.Updated {
				r.later(i, v, root)
				continue
			}
			if h.differs != "" || slices.Contains(root.Order, i) || v.IsNull() == h.row[i].IsNull() && bytes.Equal(v.Bytes(), h.row[i].Bytes()) {
				continue
			}
			h.differs = root.Query.Columns[i].SQL
			h.differing++
			if r.c.plan.From.Header == check.HeaderAssert {
				return &HeaderError{Source: r.c.plan.From.Name, Row: r.rows, Column: h.differs}
			}
		}
	}
	return nil
}

// later keeps the later of two changes.
func (r *runner) later(i int, v source.Value, root *plan.Stream) {
	if v.IsNull() {
		return
	}
	a, had := parseTimestamp(r.head.row[i].Bytes(), root.Source.Zone)
	b, ok := parseTimestamp(v.Bytes(), root.Source.Zone)
	if ok && (!had || b.After(a)) {
		r.head.set(i, v)
	}
}
