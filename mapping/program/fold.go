package program

import (
	"bytes"
	"context"

	"remit/mapping/plan"
	"remit/sql/source"
)

// constantRows asks for what a folded stream has beside its parent's row, by
// row. q is nil where it has nothing.
func constantRows(ctx context.Context, snap source.Snapshot, q *source.Query) (out [][]source.Value, err error) {
	if q == nil {
		return nil, nil
	}
	rows, err := snap.Stream(ctx, q)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var row []source.Value
		for _, v := range rows.Row() {
			if !v.IsNull() {
				v = source.Text(bytes.Clone(v.Bytes()))
			}
			row = append(row, v)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// unfold makes the rows of s of the parent row.
func (r *runner) unfold(s *stream) {
	f := s.plan.Fold
	for i := range f.Rows {
		row := &f.Rows[i]
		if !r.isRow(f, row) {
			continue
		}
		s.seen++
		if s.n >= r.rowLimit() {
			s.tooMany = true
			continue
		}
		for _, c := range row.Cells {
			switch c.From {
			case plan.FoldParent:
				s.add(r.row[c.Index])
			case plan.FoldConstant:
				s.add(s.constants[i][c.Index])
			case plan.FoldNumber:
				s.add(source.Text(row.Number))
			}
		}
		s.n++
	}
}

// isRow says that the parent row has the values that make a row of a fold one.
func (r *runner) isRow(f *plan.Fold, row *plan.FoldRow) bool {
	for _, k := range f.HasValue {
		if c := row.Cells[k]; c.From == plan.FoldParent && r.row[c.Index].IsNull() {
			return false
		}
	}
	return true
}

// foldNulls counts the folded rows of a parent row without a key, which have
// none either.
func (r *runner) foldNulls() {
	for _, s := range r.streams[1:] {
		if s.plan.Fold == nil {
			continue
		}
		for i := range s.plan.Fold.Rows {
			if r.isRow(s.plan.Fold, &s.plan.Fold.Rows[i]) {
				s.seen++
				s.nullKeys++
			}
		}
	}
}
