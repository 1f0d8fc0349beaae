package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"remit/sql/source"
)

// Snapshot is one exported snapshot of the server (PostgreSQL 15, 9.27.5
// Snapshot Synchronization Functions). Its owner connection keeps it alive;
// each open stream has a connection of its own that has joined it. It meets
// source.Snapshot.
type Snapshot struct {
	w     *Warehouse
	token string // as the server exported it
	id    string // token, quoted
	asOf  time.Time

	// learn guards what is asked of the server through the owner connection.
	learn sync.Mutex
	owner *session

	mu     sync.Mutex
	closed bool
	idle   []*pgconn.PgConn
}

// Snapshot opens one consistent view of the whole warehouse: a REPEATABLE READ,
// READ ONLY transaction that lasts until Close. While it is open the server
// keeps the row versions it can see: a long snapshot delays vacuum.
func (w *Warehouse) Snapshot(ctx context.Context) (source.Snapshot, error) {
	s, err := w.snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return s, nil
}

func (w *Warehouse) snapshot(ctx context.Context) (*Snapshot, error) {
	// now() is the start of the transaction, which lies before the first query
	// and so before the snapshot: nothing later than it is missed by a client
	// that asks for changes since.
	return w.hold(ctx, beginReading, `to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
}

// beginReading begins the transaction of a snapshot's owner and of its streams.
const beginReading = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

// hold opens a connection that keeps a snapshot alive and exports it. instant
// is SQL for the time of the snapshot.
func (w *Warehouse) hold(ctx context.Context, begin, instant string) (_ *Snapshot, err error) {
	owner, err := w.session(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			owner.close()
		}
	}()
	if err := beginOn(ctx, owner.conn, begin); err != nil {
		return nil, err
	}
	row, err := oneRow(ctx, owner.conn, "SELECT pg_export_snapshot(), "+instant)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, row[1])
	if err != nil {
		return nil, fmt.Errorf("read the server's time: %w", err)
	}
	s := &Snapshot{w: w, owner: owner, token: row[0], asOf: at.UTC().Truncate(time.Millisecond)}
	if s.id, err = source.QuoteLiteral(row[0]); err != nil {
		return nil, err
	}
	return s, nil
}

// Share names the snapshot to other processes; see source.Sharer.
func (s *Snapshot) Share() string { return s.asOf.Format(time.RFC3339Nano) + " " + s.token }

// Alive asks the server over the connection that holds the snapshot; see
// source.Sharer. While that connection is being used it is alive.
func (s *Snapshot) Alive(ctx context.Context) error {
	if !s.learn.TryLock() {
		return nil
	}
	defer s.learn.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errors.New("snapshot is closed")
	}
	return run(ctx, s.owner.conn, "SELECT 1")
}

// Join opens a hold of its own on a snapshot that another process shares; see
// source.Joiner. It exports the snapshot anew, so that its streams do not hang
// on the process that it was joined from.
func (w *Warehouse) Join(ctx context.Context, token string) (source.Snapshot, error) {
	instant, id, ok := strings.Cut(token, " ")
	at, err := time.Parse(time.RFC3339Nano, instant)
	if !ok || err != nil {
		return nil, fmt.Errorf("join snapshot: %w: malformed token", source.ErrNotShared)
	}
	quoted, err := source.QuoteLiteral(id)
	if err != nil {
		return nil, fmt.Errorf("join snapshot: %w: malformed token", source.ErrNotShared)
	}
	literal, err := source.QuoteLiteral(at.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return nil, fmt.Errorf("join snapshot: %w", err)
	}
	s, err := w.hold(ctx, beginReading+"; SET TRANSACTION SNAPSHOT "+quoted, literal)
	if err != nil {
		return nil, fmt.Errorf("join snapshot: %w", err)
	}
	return s, nil
}

// joinOn begins a transaction of a connection on an exported snapshot.
func joinOn(ctx context.Context, c *pgconn.PgConn, quoted string) error {
	return beginOn(ctx, c, beginReading+"; SET TRANSACTION SNAPSHOT "+quoted)
}

// beginOn begins a transaction. A snapshot that the server has forgotten is no
// fault of anybody's SQL: source.ErrNotShared.
func beginOn(ctx context.Context, c *pgconn.PgConn, begin string) error {
	err := c.Exec(ctx, begin).Close()
	if err == nil {
		return nil
	}
	if gone(err) {
		return source.ErrNotShared
	}
	return sqlError(ctx, err, nil, true)
}

// gone says that the server knows no snapshot of the name asked for: malformed,
// unknown, or its owner has ended.
func gone(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "22023" || e.Code == "42704" || e.Code == "55000")
}

// oneRow runs a statement of our own that gives one row.
func oneRow(ctx context.Context, c *pgconn.PgConn, sql string, args ...[]byte) ([]string, error) {
	r := c.ExecParams(ctx, sql, args, nil, nil, nil)
	var out []string
	for r.NextRow() {
		out = out[:0]
		for _, v := range r.Values() {
			out = append(out, string(v))
		}
	}
	if _, err := r.Close(); err != nil {
		return nil, sqlError(ctx, err, nil, false)
	}
	if out == nil {
		return nil, errors.New("the server gave no row")
	}
	return out, nil
}

// AsOf is the start of the snapshot's transaction by the server's clock.
func (s *Snapshot) AsOf() time.Time { return s.asOf }

// Loaded is the load instant declared in Options.
func (s *Snapshot) Loaded() time.Time { return s.w.options.Loaded }

// Close ends the snapshot. Streams that are still open may be read to their
// end: their transactions hold the snapshot themselves.
func (s *Snapshot) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		_ = disconnect(c) // nothing was written
	}
	s.learn.Lock()
	defer s.learn.Unlock()
	s.owner.close()
	return nil
}

// connect takes an idle connection that has joined the snapshot, or makes one.
func (s *Snapshot) connect(ctx context.Context) (*pgconn.PgConn, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.New("snapshot is closed")
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	c, err := s.w.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := joinOn(ctx, c, s.id); err != nil {
		return nil, errors.Join(fmt.Errorf("join snapshot: %w", err), disconnect(c))
	}
	return c, nil
}

// giveBack keeps a connection for the next stream, or closes it where its
// transaction is broken or enough are kept.
func (s *Snapshot) giveBack(c *pgconn.PgConn, sound bool) {
	s.mu.Lock()
	if sound && !s.closed && len(s.idle) < s.w.options.Streams && c.TxStatus() == 'T' {
		s.idle = append(s.idle, c)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	_ = disconnect(c) // nothing was written
}

// write completes, guards and renders a query.
func (s *Snapshot) write(ctx context.Context, q *source.Query) (*source.Statement, error) {
	full, err := s.complete(ctx, q)
	if err != nil {
		return nil, err
	}
	return dialect.Select(full, s.asOf)
}

// complete tells what the rendering of q must know, and guards its SQL.
func (s *Snapshot) complete(ctx context.Context, q *source.Query) (*source.Query, error) {
	s.learn.Lock()
	full, err := source.Complete(ctx, q, s.columns)
	s.learn.Unlock()
	if err != nil {
		return nil, err
	}
	return full, source.Guard(full, s.w.volatile)
}

// columns asks the owner connection. A savepoint keeps a refused statement from
// ending the transaction that owns the snapshot.
func (s *Snapshot) columns(ctx context.Context, rel *source.Relation) ([]source.Column, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, errors.New("snapshot is closed")
	}
	if columns, ok := s.owner.remembered(rel); ok {
		return columns, nil
	}
	if err := run(ctx, s.owner.conn, "SAVEPOINT remit"); err != nil {
		return nil, err
	}
	columns, err := s.owner.columns(ctx, rel)
	// Undone in any case, and also when the caller has gone.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return columns, errors.Join(err, run(undo, s.owner.conn, "ROLLBACK TO SAVEPOINT remit; RELEASE SAVEPOINT remit"))
}

// values are a statement's bound values in the protocol's text form.
func values(args []source.Arg) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		if a.List != nil {
			out[i] = listText(a.List)
		} else {
			out[i] = []byte(a.Text)
		}
	}
	return out
}

// Stream runs q. See source.Snapshot.
func (s *Snapshot) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	stream, err := s.stream(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", relationName(q), err)
	}
	return stream, nil
}

func (s *Snapshot) stream(ctx context.Context, q *source.Query) (*stream, error) {
	st, err := s.write(ctx, q)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	// Prepared first, so that faults of the SQL are told here; running it then
	// does not wait for the first row, so that several streams sort at once.
	d, err := c.Prepare(ctx, "", st.SQL, nil)
	if err != nil {
		s.giveBack(c, false)
		return nil, sqlError(ctx, err, st, true)
	}
	out := &stream{snapshot: s, conn: c, text: st, oids: make([]uint32, len(d.Fields)), row: make(source.Row, len(d.Fields))}
	for i, f := range d.Fields {
		out.oids[i] = f.DataTypeOID
	}
	out.ctx, out.cancel = context.WithCancelCause(ctx)
	out.rows = c.ExecPrepared(out.ctx, "", values(st.Args), nil, nil)
	return out, nil
}

func relationName(q *source.Query) string {
	if q.From == nil {
		return "a query"
	}
	return q.From.Name
}

// stream is an open query. The context is that of Stream, made cancellable so
// that closing early stops the server.
type stream struct {
	snapshot *Snapshot
	conn     *pgconn.PgConn
	text     *source.Statement
	ctx      context.Context
	cancel   context.CancelCauseFunc
	rows     *pgconn.ResultReader
	oids     []uint32
	row      source.Row
	buf      []byte
	err      error
	ended    bool // the server has nothing more to say
	closed   bool
}

// Next moves to the next row.
func (s *stream) Next() bool {
	if s.ended || s.closed {
		return false
	}
	if s.rows.NextRow() {
		return true
	}
	s.ended = true
	if _, err := s.rows.Close(); err != nil {
		s.err = fmt.Errorf("read rows: %w", sqlError(s.ctx, err, s.text, false))
	}
	return false
}

// Row reads the current row.
func (s *stream) Row() source.Row {
	s.buf = s.buf[:0]
	for i, v := range s.rows.Values() {
		if v == nil {
			s.row[i] = source.Value{}
			continue
		}
		v, s.buf = canonical(s.oids[i], v, s.buf)
		s.row[i] = source.Text(v)
	}
	return s.row
}

// Err is the error that ended the stream.
func (s *stream) Err() error { return s.err }

// Close ends the query on the server where it still runs.
func (s *stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	sound := s.ended && s.err == nil
	if !s.ended {
		s.stop()
	}
	s.snapshot.giveBack(s.conn, sound)
	s.cancel(nil)
	return nil
}

// stopping bounds how long a stream that is closed early waits for the server.
const stopping = 5 * time.Second

// stop ends the query on the server and gives its connection up. To cancel the
// context would do so, too, but pgconn then waits for a tenth of a second, lest
// the cancel meet the next query of a connection that is used again.
func (s *stream) stop() {
	ctx, done := context.WithTimeout(context.WithoutCancel(s.ctx), stopping)
	defer done()
	if s.conn.CancelRequest(ctx) != nil {
		return // the server notices that nobody reads
	}
	if s.conn.Conn().SetDeadline(time.Now().Add(stopping)) == nil {
		_, _ = s.rows.Close() // it says that the query was cancelled
	}
}

// Explain tells what Stream would run. The plan may quote bound values: it is
// for the person who asks, not for logs.
func (s *Snapshot) Explain(ctx context.Context, q *source.Query) (*source.Explanation, error) {
	out, err := s.explain(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", relationName(q), err)
	}
	return out, nil
}

func (s *Snapshot) explain(ctx context.Context, q *source.Query) (*source.Explanation, error) {
	st, err := s.write(ctx, q)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	sound := false
	defer func() { s.giveBack(c, sound) }()
	out := &source.Explanation{SQL: st.SQL, EstimatedRows: -1}
	var lines []string
	r := c.ExecParams(ctx, "EXPLAIN "+st.SQL, values(st.Args), nil, nil, nil)
	for r.NextRow() {
		lines = append(lines, string(r.Values()[0]))
	}
	if _, err := r.Close(); err != nil {
		return nil, sqlError(ctx, err, nil, true)
	}
	out.Plan = strings.Join(lines, "\n")
	row, err := oneRow(ctx, c, "EXPLAIN (FORMAT JSON) "+st.SQL, values(st.Args)...)
	if err != nil {
		return nil, err
	}
	var plan []struct {
		Plan struct {
			Rows int64 `json:"Plan Rows"`
		} `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(row[0]), &plan); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if len(plan) > 0 {
		out.EstimatedRows = plan[0].Plan.Rows
	}
	sound = true
	return out, nil
}
