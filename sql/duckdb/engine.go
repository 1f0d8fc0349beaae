package duckdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"remit/sql/source"
)

// errClosed is returned by everything that uses a closed warehouse.
var errClosed = errors.New("warehouse is closed")

// database is one DuckDB database in this process, with idle connections kept
// for the next stream. Its holders (warehouse, snapshots, open streams) count
// references; the last one closes it.
//
// It stands on the engine's C interface and not on database/sql: the driver
// keeps a whole result in memory and boxes each value, which a stream of a
// warehouse cannot afford.
type database struct {
	handle bindings.Database

	mu   sync.Mutex
	refs int
	idle []*conn
	// setup runs on each new connection.
	setup []string
}

// openDatabase opens path ("" for a database in memory) with one reference
// held. options are engine settings that must be given at the start.
func openDatabase(path string, options map[string]string) (*database, error) {
	var config bindings.Config
	if bindings.CreateConfig(&config) == bindings.StateError {
		bindings.DestroyConfig(&config)
		return nil, errors.New("create engine configuration")
	}
	defer bindings.DestroyConfig(&config)
	for name, value := range options {
		if bindings.SetConfig(config, name, value) == bindings.StateError {
			return nil, fmt.Errorf("set engine option %s", name)
		}
	}
	db := &database{refs: 1}
	var message string
	if bindings.OpenExt(path, &db.handle, config, &message) == bindings.StateError {
		bindings.Close(&db.handle)
		return nil, newEngineError(message)
	}
	return db, nil
}

func (db *database) hold() {
	db.mu.Lock()
	db.refs++
	db.mu.Unlock()
}

func (db *database) release() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.refs--; db.refs > 0 {
		return
	}
	for _, c := range db.idle {
		bindings.Disconnect(&c.handle)
	}
	db.idle = nil
	bindings.Close(&db.handle)
}

// maxIdle bounds the connections kept for later; it does not bound those in use.
const maxIdle = 16

// connect takes an idle connection or opens one. The caller holds a reference
// for as long as it has the connection.
func (db *database) connect(ctx context.Context) (*conn, error) {
	db.mu.Lock()
	if n := len(db.idle); n > 0 {
		c := db.idle[n-1]
		db.idle = db.idle[:n-1]
		db.mu.Unlock()
		return c, nil
	}
	db.mu.Unlock()
	c := &conn{}
	if bindings.Connect(db.handle, &c.handle) == bindings.StateError {
		return nil, errors.New("open engine connection")
	}
	for _, sql := range db.setup {
		if err := c.exec(ctx, sql); err != nil {
			bindings.Disconnect(&c.handle)
			return nil, err
		}
	}
	return c, nil
}

// giveBack returns a connection whose results are all destroyed.
func (db *database) giveBack(c *conn) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.idle) < maxIdle {
		db.idle = append(db.idle, c)
		return
	}
	bindings.Disconnect(&c.handle)
}

// conn is one engine connection, used by one goroutine at a time.
type conn struct {
	handle bindings.Connection
}

// interruptEvery is how often a cancelled call is interrupted again: the engine
// clears the flag when a new phase of a query begins.
const interruptEvery = 5 * time.Millisecond

// guarded runs call and interrupts the engine while ctx is done. It returns
// the cause of ctx where that has ended the call.
func (c *conn) guarded(ctx context.Context, call func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return call()
	}
	done := make(chan struct{})
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		tick := time.NewTicker(interruptEvery)
		defer tick.Stop()
		for {
			bindings.Interrupt(c.handle)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	err := call()
	close(done)
	if !stop() {
		// The interrupter runs: it must be gone before the connection is
		// used for anything else.
		<-stopped
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return err
}

func (c *conn) exec(ctx context.Context, sql string) error {
	return c.guarded(ctx, func() error {
		var res bindings.Result
		defer bindings.DestroyResult(&res)
		if bindings.Query(c.handle, sql, &res) == bindings.StateError {
			return newEngineError(bindings.ResultError(&res))
		}
		return nil
	})
}

// statement is a prepared statement.
type statement struct {
	conn   *conn
	handle bindings.PreparedStatement
}

// prepare prepares one SELECT (or EXPLAIN). The error is *engineError.
func (c *conn) prepare(ctx context.Context, sql string) (*statement, error) {
	s := &statement{conn: c}
	err := c.guarded(ctx, func() error {
		if bindings.Prepare(c.handle, sql, &s.handle) == bindings.StateError {
			return newEngineError(bindings.PrepareError(s.handle))
		}
		return nil
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *statement) close() { bindings.DestroyPrepare(&s.handle) }

// selects says that the statement is a query, and no statement of another kind.
func (s *statement) selects() bool {
	return bindings.PreparedStatementType(s.handle) == bindings.StatementTypeSelect
}

// columns tells the types and names of the statement's columns.
func (s *statement) columns() []engineColumn {
	n := bindings.PreparedStatementColumnCount(s.handle)
	out := make([]engineColumn, 0, n)
	for i := range n {
		t := bindings.PreparedStatementColumnLogicalType(s.handle, i)
		out = append(out, newEngineColumn(bindings.PreparedStatementColumnName(s.handle, i), t))
		bindings.DestroyLogicalType(&t)
	}
	return out
}

func (s *statement) bind(args []source.Arg) error {
	for i, a := range args {
		text := a.Text
		if a.List != nil {
			var err error
			if text, err = listText(a.List); err != nil {
				return fmt.Errorf("bind value %d: %w", i+1, err)
			}
		}
		if bindings.BindVarchar(s.handle, bindings.IdxT(i+1), text) == bindings.StateError {
			return fmt.Errorf("bind value %d: refused by the engine", i+1)
		}
	}
	return nil
}

// run starts the statement; its rows are made while they are fetched, not
// before. The statement must stay open until the result is closed.
func (s *statement) run(ctx context.Context) (*result, error) {
	r := &result{conn: s.conn}
	err := s.conn.guarded(ctx, func() error {
		var pending bindings.PendingResult
		defer func() { bindings.DestroyPending(&pending) }()
		if bindings.PendingPreparedStreaming(s.handle, &pending) == bindings.StateError {
			return newEngineError(bindings.PendingError(pending))
		}
		if bindings.ExecutePending(pending, &r.handle) == bindings.StateError {
			return newEngineError(bindings.ResultError(&r.handle))
		}
		return nil
	})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// result is a running query.
type result struct {
	conn   *conn
	handle bindings.Result
	chunk  bindings.DataChunk
}

// fetch replaces the chunk by the next one and returns its rows, 0 at the end.
func (r *result) fetch(ctx context.Context) (rows int, err error) {
	bindings.DestroyDataChunk(&r.chunk)
	err = r.conn.guarded(ctx, func() error {
		r.chunk = bindings.FetchChunk(r.handle)
		if r.chunk.Ptr != nil {
			rows = int(bindings.DataChunkGetSize(r.chunk))
			return nil
		}
		if message := bindings.ResultError(&r.handle); message != "" {
			return newEngineError(message)
		}
		return nil
	})
	return rows, err
}

func (r *result) close() {
	bindings.DestroyDataChunk(&r.chunk)
	bindings.DestroyResult(&r.handle)
}

// query runs a statement of our own and gives all rows to scan as texts in
// canonical form ("" for NULL).
func (c *conn) query(ctx context.Context, sql string, args []source.Arg, scan func(row []string) error) error {
	s, err := c.prepare(ctx, sql)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.bind(args); err != nil {
		return err
	}
	res, err := s.run(ctx)
	if err != nil {
		return err
	}
	defer res.close()
	reader := newReader(s.columns())
	for {
		n, err := res.fetch(ctx)
		if err != nil || n == 0 {
			return err
		}
		reader.chunk(res.chunk)
		for i := range n {
			row := reader.row(i)
			texts := make([]string, len(row))
			for j, v := range row {
				texts[j] = string(v.Bytes())
			}
			if err := scan(texts); err != nil {
				return err
			}
		}
	}
}
