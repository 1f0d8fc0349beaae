package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"remit/sql/source"
)

// Copied is what a Copy moved.
type Copied struct {
	Rows, Bytes int64
}

// Copy runs q by COPY ... TO STDOUT on the snapshot and throws the rows away:
// the fastest way in which the server hands rows out, as a measure beside
// Stream. COPY takes no bound values, so that those of q are written as
// literals. Cancelling ctx stops it.
func (s *Snapshot) Copy(ctx context.Context, q *source.Query) (Copied, error) {
	st, err := s.literal(ctx, q)
	if err != nil {
		return Copied{}, fmt.Errorf("copy %s: %w", relationName(q), err)
	}
	return s.CopySQL(ctx, st.SQL)
}

// literal renders q with its values in the text, each where its parameter would
// stand: the first rendering tells the values, the second writes them.
func (s *Snapshot) literal(ctx context.Context, q *source.Query) (*source.Statement, error) {
	full, err := s.complete(ctx, q)
	if err != nil {
		return nil, err
	}
	bound, err := dialect.Select(full, s.asOf)
	if err != nil {
		return nil, err
	}
	var failed error
	inline := func(text string, n int) string {
		value := bound.Args[n-1].Text
		if list := bound.Args[n-1].List; list != nil {
			value = string(listText(list))
		}
		quoted, err := source.QuoteLiteral(value)
		if err != nil {
			failed = err
		}
		return strings.Replace(text, "$"+strconv.Itoa(n)+"::", quoted+"::", 1)
	}
	d := dialect
	d.Param = func(n int, t source.Type) string { return inline(dialect.Param(n, t), n) }
	d.Any = func(column string, n, length int, t source.Type) string {
		return inline(dialect.Any(column, n, length, t), n)
	}
	d.Rows = func(n int, types []source.Type) string {
		text := dialect.Rows(n, types)
		for i := range types {
			text = inline(text, n+i)
		}
		return text
	}
	out, err := d.Select(full, s.asOf)
	if err != nil {
		return nil, err
	}
	return out, failed
}

// CopySQL is Copy for one statement of the caller's own, without semicolon.
func (s *Snapshot) CopySQL(ctx context.Context, sql string) (Copied, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return Copied{}, err
	}
	var sink counter
	tag, err := c.CopyTo(ctx, &sink, "COPY (\n"+sql+"\n) TO STDOUT")
	s.giveBack(c, err == nil)
	if err != nil {
		return Copied{}, fmt.Errorf("copy: %w", sqlError(ctx, err, nil, true))
	}
	return Copied{Rows: tag.RowsAffected(), Bytes: int64(sink)}, nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
