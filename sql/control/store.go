// Package control keeps what Remit itself must remember: clients and their
// tokens, members' choices, exports with their chunks and files, the groups that
// clients make, what is published, the nodes, and the audit trail. It lives in
// SQLite beside a single server, or in PostgreSQL for several.
//
// Every change of state is a compare-and-set: it names the state it expects,
// and says so when another hand was quicker. The room knows no warehouse, no
// FHIR and no queue.
package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"  // driver of postgres: addresses
	_ "modernc.org/sqlite" // driver of sqlite: addresses
)

// ErrNotFound says that there is no such row, or none any more.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a row was not in the state that a change expects:
// somebody else changed it first.
var ErrConflict = errors.New("state has changed")

// Store is the control store. It is safe for concurrent use, and several
// processes may open the same address.
type Store struct {
	db       *sqlx.DB
	read     *sqlx.DB // for reads outside of transactions, db itself on PostgreSQL
	postgres bool
	server   string
	raw      map[string]string // statements as written
	sql      map[string]string // rebound to the dialect

	ledger   ledger
	chaining sync.Mutex // from the append to the audit trail until follow was told
	follow   func([]Event)

	manyMu    sync.Mutex
	manyTexts map[manyKey]string

	choicesMu sync.Mutex
	choices   map[string]*Choices

	preparing  sync.Mutex
	statements map[string]*sqlx.Stmt // of read, by name
}

// Open opens the store at address, "sqlite:FILE" or "postgres://...", and
// brings its schema to the newest version. A missing SQLite file is made,
// readable by its owner alone. The audit trail names the machine as server.
func Open(ctx context.Context, address string) (*Store, error) { return OpenAs(ctx, address, "") }

// OpenAs is Open for a server of that name in the audit trail; "" is the
// machine's name. Servers of one name share a chain, which is right but slower.
func OpenAs(ctx context.Context, address, server string) (*Store, error) {
	s, err := connect(ctx, address)
	if err != nil {
		return nil, err
	}
	if s.server = server; server == "" {
		if s.server, err = os.Hostname(); err != nil {
			s.server = "localhost"
		}
	}
	if err := s.Migrate(ctx, -1); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// connect opens the store and leaves its schema alone.
func connect(ctx context.Context, address string) (*Store, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	s := &Store{postgres: scheme == "postgres" || scheme == "postgresql"}
	var err error
	switch {
	case s.postgres:
		if s.db, err = sqlx.Open("postgres", address); err != nil {
			// The driver's own words may repeat the address and its password.
			return nil, errors.New("open control store: malformed postgres address")
		}
		s.db.SetMaxOpenConns(8)
		s.db.SetMaxIdleConns(8)
		s.read = s.db
	case scheme == "sqlite" && rest != "":
		if err := touch(rest); err != nil {
			return nil, fmt.Errorf("open control store: %w", err)
		}
		if s.db, err = sqlx.Open("sqlite", sqliteDSN(rest)); err != nil {
			return nil, fmt.Errorf("open control store: %w", err)
		}
		// One connection is one writer: within the process nobody meets a
		// busy database, and between processes busy_timeout waits.
		s.db.SetMaxOpenConns(1)
		// Readers do not wait for the writer's disk.
		if s.read, err = sqlx.Open("sqlite", sqliteDSN(rest)+"&_pragma=query_only(1)"); err != nil {
			return nil, errors.Join(fmt.Errorf("open control store: %w", err), s.db.Close())
		}
		s.read.SetMaxOpenConns(4)
	default:
		return nil, fmt.Errorf("control store address has scheme %q, want sqlite:FILE or postgres://", scheme)
	}
	texts, err := queries()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.raw = texts
	s.sql = make(map[string]string, len(texts))
	for name, text := range texts {
		s.sql[name] = s.db.Rebind(text)
	}
	if err := s.db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open control store: %w", err), s.Close())
	}
	return s, nil
}

// Close waits for what is being written and releases the store.
func (s *Store) Close() error {
	s.ledger.idle.Wait()
	var errs []error
	s.preparing.Lock()
	for _, st := range s.statements {
		errs = append(errs, st.Close())
	}
	s.statements = nil
	s.preparing.Unlock()
	err := errors.Join(append(errs, s.db.Close())...)
	if s.read != nil && s.read != s.db {
		err = errors.Join(err, s.read.Close())
	}
	return err
}

// ServerName is this server's name in the audit trail.
func (s *Store) ServerName() string { return s.server }

// touch makes the file and its folder, so that health data in chunk bounds is
// readable by the owner alone from the first byte.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// sqliteDSN is the driver's address of a file: write-ahead log, so that readers
// of another process do not wait; full sync, so that an accepted export
// survives a power cut; immediate transactions, so that two writers queue
// instead of failing half way.
func sqliteDSN(path string) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout(15000)")
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(1)")
	q.Set("_txlock", "immediate")
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// text is the statement of that name in the store's dialect.
func (s *Store) text(name string) string {
	t, ok := s.sql[name]
	if !ok {
		panic("control: no statement named " + name)
	}
	return t
}

// inTx runs f in a transaction and names op in its errors.
func (s *Store) inTx(ctx context.Context, op string, f func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error says more
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// execer is what a database and a transaction have in common.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// exec runs a statement and tells how many rows it changed.
func (s *Store) exec(ctx context.Context, on execer, name string, args ...any) (int64, error) {
	res, err := on.ExecContext(ctx, s.text(name), args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// cas runs a statement that must change exactly one row. Error: ErrConflict.
func (s *Store) cas(ctx context.Context, on execer, name string, args ...any) error {
	n, err := s.exec(ctx, on, name, args...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", name, ErrConflict)
	}
	return err
}

// get reads one row into dst. Error: ErrNotFound.
func (s *Store) get(ctx context.Context, on sqlx.QueryerContext, dst any, name string, args ...any) error {
	for _, a := range args {
		// PostgreSQL keeps no such text and would call the question a fault,
		// but ids come from callers, who may ask for anything.
		if text, ok := a.(string); ok && (strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
			return fmt.Errorf("%s: %w", name, ErrNotFound)
		}
	}
	var err error
	if on == sqlx.QueryerContext(s.read) {
		var st *sqlx.Stmt
		if st, err = s.prepared(ctx, name); err == nil {
			err = st.GetContext(ctx, dst, args...)
		}
	} else {
		err = sqlx.GetContext(ctx, on, dst, s.text(name), args...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// prepared is the statement of that name, prepared once for the readers: what
// every status request and download asks is then not parsed anew.
func (s *Store) prepared(ctx context.Context, name string) (*sqlx.Stmt, error) {
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if st := s.statements[name]; st != nil {
		return st, nil
	}
	st, err := s.read.PreparexContext(ctx, s.text(name))
	if err != nil {
		return nil, err
	}
	if s.statements == nil {
		s.statements = map[string]*sqlx.Stmt{}
	}
	s.statements[name] = st
	return st, nil
}

// list reads all rows into dst, a pointer to a slice.
func (s *Store) list(ctx context.Context, dst any, name string, args ...any) error {
	st, err := s.prepared(ctx, name)
	if err == nil {
		err = st.SelectContext(ctx, dst, args...)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// millis is t as stored: milliseconds since 1970 UTC, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// instant reads what millis wrote.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
