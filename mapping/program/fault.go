package program

import (
	"context"
	"errors"
	"fmt"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/plan"
	"remit/sql/source"
)

// SQLError is an error of the warehouse in the middle of a run, led back to the
// place in the mapping set whose SQL makes it (rule 35).
type SQLError struct {
	Pos diag.Pos
	Err error
}

func (e *SQLError) Error() string { return fmt.Sprintf("%s: %v", e.Pos, e.Err) }

// Unwrap gives the warehouse's own error.
func (e *SQLError) Unwrap() error { return e.Err }

// fault finds the expression that makes the warehouse fail: engines do not tell
// it at run time, so that the query is run again with one expression at a time.
// Where none fails alone the error stays as it is.
func (r *runner) fault(ctx context.Context, snap source.Snapshot, st *plan.Stream, q *source.Query, err error) error {
	var bad *source.SQLError
	if ctx.Err() != nil || !errors.As(err, &bad) {
		return err
	}
	fails := func(columns, where []source.Expr) bool {
		one := *q
		one.Columns, one.Where = columns, where
		rows, err := snap.Stream(ctx, &one)
		if err != nil {
			return errors.As(err, &bad)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			continue // the fault may lie in any row
		}
		return errors.As(rows.Err(), &bad)
	}
	bare := []source.Expr{{SQL: "1"}}
	if fails(bare, nil) {
		return &SQLError{Pos: st.Source.Pos, Err: err} // the source's own SQL
	}
	for i := range q.Where {
		if fails(bare, q.Where[i:i+1]) {
			return &SQLError{Pos: r.wherePos(st, q.Where[i].SQL), Err: err}
		}
	}
	for i, e := range q.Columns {
		if fails(q.Columns[i:i+1], q.Where) {
			if pos := r.exprPos(st, i); pos.IsValid() {
				return &SQLError{Pos: pos, Err: err}
			}
			return fmt.Errorf("expression %q: %w", e.SQL, err)
		}
	}
	return err
}

// exprPos is the first place in the mapping set whose expression is a column of
// a stream.
func (r *runner) exprPos(st *plan.Stream, column int) diag.Pos {
	var first diag.Pos
	for e, slot := range r.c.plan.Slots {
		of := r.c.plan.Streams[slot.Stream]
		reads := of == st && slot.Column == column || st == r.c.plan.Streams[0] && of.Fold.Reads(slot.Column, column)
		if reads && (!first.IsValid() || e.Pos.Compare(first) < 0) {
			first = e.Pos
		}
	}
	return first
}

func (r *runner) wherePos(st *plan.Stream, sql string) diag.Pos {
	find := func(list ...*check.Expr) (diag.Pos, bool) {
		for _, e := range list {
			if e != nil && e.SQL == sql {
				return e.Pos, true
			}
		}
		return diag.Pos{}, false
	}
	if pos, ok := find(st.Source.Where...); ok {
		return pos
	}
	for _, m := range r.c.plan.Mappings {
		if pos, ok := find(m.Where); ok {
			return pos
		}
	}
	return st.Source.Pos
}
