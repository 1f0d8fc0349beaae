package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"remit/sql/source"
)

// Snapshot is one consistent state of the warehouse. It meets source.Snapshot.
type Snapshot struct {
	data *imported
	asOf time.Time

	mu     sync.Mutex
	closed bool
}

// Snapshot opens one consistent view. For a folder that is one reading of its
// files: the last one where no file has changed since (by size and time of
// change), else a new one.
func (w *Warehouse) Snapshot(ctx context.Context) (source.Snapshot, error) {
	// Taken before the files are looked at: what is written later is later
	// than the snapshot's instant.
	asOf := w.options.Now().UTC().Truncate(time.Millisecond)
	data, err := w.state(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return &Snapshot{data: data, asOf: asOf}, nil
}

// AsOf is the instant at which the snapshot was opened.
func (s *Snapshot) AsOf() time.Time { return s.asOf }

// Loaded is the instant declared as loaded: in warehouse.yaml.
func (s *Snapshot) Loaded() time.Time { return s.data.config.loaded }

// Close ends the view; streams that are still open may be read to their end.
func (s *Snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.data.db.release()
	}
	return nil
}

// hold takes a reference for a stream.
func (s *Snapshot) hold() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("snapshot is closed")
	}
	s.data.db.hold()
	return nil
}

// Stream runs q. See source.Snapshot.
func (s *Snapshot) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	stream, err := s.open(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", relationName(q), err)
	}
	return stream, nil
}

func (s *Snapshot) open(ctx context.Context, q *source.Query) (*stream, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	db := s.data.db
	c, err := db.connect(ctx)
	if err != nil {
		db.release()
		return nil, err
	}
	out := &stream{ctx: ctx, db: db, conn: c}
	full, err := s.complete(ctx, c, q)
	if err == nil {
		err = out.start(ctx, full, s.asOf)
	}
	if err != nil {
		out.free()
		return nil, err
	}
	return out, nil
}

// complete completes and guards a query.
func (s *Snapshot) complete(ctx context.Context, c *conn, q *source.Query) (*source.Query, error) {
	full, err := source.Complete(ctx, q, s.data.columnsOf(c))
	if err != nil {
		return nil, err
	}
	return full, source.Guard(full, s.data.volatile)
}

// stream is an open query on a connection of its own. The context is that of
// Stream: cancelling it stops the query (source.Snapshot), so it must be at
// hand at each fetch.
type stream struct {
	ctx       context.Context
	db        *database
	conn      *conn
	begun     bool
	statement *statement
	result    *result
	text      *source.Statement
	reader    *reader
	rows, row int
	err       error
	done      bool
}

func (s *stream) start(ctx context.Context, q *source.Query, asOf time.Time) error {
	// Read-only by the engine's word as well: a mapping's SQL cannot change
	// the data that others read.
	if err := s.conn.exec(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return err
	}
	s.begun = true
	var casts map[int]string
	for {
		st, err := dialect.SelectAs(q, asOf, casts)
		if err != nil {
			return err
		}
		s.text = st
		if s.statement, err = s.conn.prepare(ctx, st.SQL); err != nil {
			return sqlError(err, st, true)
		}
		columns := s.statement.columns()
		if casts == nil {
			casts = map[int]string{}
			for i, col := range columns {
				if !col.native {
					casts[i] = "VARCHAR"
				}
			}
			if len(casts) > 0 {
				// The engine must write what has no text form of ours.
				s.statement.close()
				continue
			}
		}
		return s.run(ctx, columns)
	}
}

func (s *stream) run(ctx context.Context, columns []engineColumn) error {
	if err := s.statement.bind(s.text.Args); err != nil {
		return err
	}
	res, err := s.statement.run(ctx)
	if err != nil {
		return sqlError(err, s.text, false)
	}
	s.result = res
	s.reader = newReader(columns)
	return nil
}

// Next moves to the next row.
func (s *stream) Next() bool {
	if s.done {
		return false
	}
	if s.row++; s.row < s.rows {
		return true
	}
	n, err := s.result.fetch(s.ctx)
	if err != nil || n == 0 {
		if err != nil {
			s.err = fmt.Errorf("read rows: %w", sqlError(err, s.text, false))
		}
		s.done = true
		return false
	}
	s.reader.chunk(s.result.chunk)
	s.rows, s.row = n, 0
	return true
}

// Row reads the current row.
func (s *stream) Row() source.Row { return s.reader.row(s.row) }

// Err is the error that ended the stream.
func (s *stream) Err() error { return s.err }

// Close ends the query and frees what it holds.
func (s *stream) Close() error {
	s.done = true
	s.free()
	return nil
}

func (s *stream) free() {
	if s.conn == nil {
		return
	}
	if s.result != nil {
		s.result.close()
	}
	if s.statement != nil {
		s.statement.close()
	}
	if s.begun {
		// Nothing was written; an error here can only say that the
		// transaction has ended already.
		_ = s.conn.exec(context.Background(), "ROLLBACK")
	}
	s.db.giveBack(s.conn)
	s.db.release()
	s.conn = nil
}

// Explain tells what Stream would run. The plan may quote bound values: it is
// for the person who asks, not for logs.
func (s *Snapshot) Explain(ctx context.Context, q *source.Query) (*source.Explanation, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.data.db.release()
	out := &source.Explanation{EstimatedRows: -1}
	err := s.data.with(ctx, func(_ *imported, c *conn) error {
		full, err := s.complete(ctx, c, q)
		if err != nil {
			return err
		}
		st, err := dialect.Select(full, s.asOf)
		if err != nil {
			return err
		}
		out.SQL = st.SQL
		err = c.query(ctx, "EXPLAIN "+st.SQL, st.Args, func(row []string) error {
			out.Plan += row[len(row)-1]
			return nil
		})
		if err != nil {
			return sqlError(err, nil, true)
		}
		var plan string
		err = c.query(ctx, "EXPLAIN (FORMAT json) "+st.SQL, st.Args, func(row []string) error {
			plan += row[len(row)-1]
			return nil
		})
		if err != nil {
			return sqlError(err, nil, true)
		}
		out.EstimatedRows = estimate(plan)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", relationName(q), err)
	}
	return out, nil
}

// estimate reads the row estimate of the first operator that has one. The
// engine says 0 of the projections that it lays around a sort to shorten its
// rows; what stands below them yields as many rows as they do.
func estimate(plan string) int64 {
	type node struct {
		Name     string          `json:"name"`
		Extra    map[string]any  `json:"extra_info"`
		Children json.RawMessage `json:"children"`
	}
	raw, found := json.RawMessage(plan), int64(-1)
	for len(raw) > 0 {
		var nodes []node
		if json.Unmarshal(raw, &nodes) != nil || len(nodes) == 0 {
			break
		}
		if text, ok := nodes[0].Extra["Estimated Cardinality"].(string); ok {
			var n int64
			if _, err := fmt.Sscan(text, &n); err == nil {
				found = n
			}
		}
		if name := strings.TrimSpace(nodes[0].Name); found > 0 || found == 0 && name != "PROJECTION" && name != "ORDER_BY" {
			break
		}
		raw = nodes[0].Children
	}
	return found
}
