// Package postgres makes a PostgreSQL database a claims warehouse. Rows are
// streamed by pgx at connection level, as text; the catalogue and what is
// introspected go through sqlx and lib/pq.
//
// The room knows PostgreSQL. It must not know FHIR, mappings or jobs.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"remit/sql/source"
)

// Options are the settings of a warehouse. The zero value is fine.
type Options struct {
	// SearchPath lists the schemas in which unqualified names are looked up;
	// nil leaves the server's own.
	SearchPath []string
	// Streams is how many idle connections a snapshot keeps for its next
	// streams; 0 means 8. More streams than that may be open at once.
	Streams int
	// StatementTimeout and LockTimeout bound each statement on the server; 0
	// means no bound.
	StatementTimeout, LockTimeout time.Duration
	// ConnectTimeout bounds a connection attempt; 0 means 10 seconds.
	ConnectTimeout time.Duration
	// Loaded is the warehouse's declared load instant, zero where none is.
	Loaded time.Time
	// Application is the name shown in pg_stat_activity; "" means remit.
	Application string
}

// Warehouse is a claims warehouse on a PostgreSQL server. It meets
// source.Source.
type Warehouse struct {
	options Options
	config  *pgconn.Config
	db      *sqlx.DB

	mu       sync.Mutex
	closed   bool
	volatile map[string]bool
}

var _ source.Source = (*Warehouse)(nil)

// Open connects to a server. dsn is a URL (postgres://...) or a list of
// keywords (PostgreSQL 15, 34.1.1 Connection Strings). Its errors name host
// and database, never the password.
func Open(ctx context.Context, dsn string, options Options) (*Warehouse, error) {
	if options.Streams <= 0 {
		options.Streams = 8
	}
	if options.ConnectTimeout <= 0 {
		options.ConnectTimeout = 10 * time.Second
	}
	if options.Application == "" {
		options.Application = "remit"
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		// The parser's own text may quote the connection string.
		return nil, errors.New("open warehouse: the connection string is not valid")
	}
	where := fmt.Sprintf("postgres %s/%s", config.Host, config.Database)
	session, err := options.session()
	if err != nil {
		return nil, fmt.Errorf("open warehouse %s: %w", where, err)
	}
	for name, value := range session {
		config.RuntimeParams[name] = value
	}
	config.ConnectTimeout = options.ConnectTimeout
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		// Cancelling stops the query on the server at once; the deadline
		// is for a server that does not answer.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 5 * time.Second}
	}

	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, errors.New("open warehouse: the connection string is not valid")
	}
	if !strings.Contains(dsn, "sslmode") {
		// As pgx and libpq have it; lib/pq alone would insist on TLS.
		cfg.SSLMode = pq.SSLModePrefer
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	for name, value := range session {
		switch name {
		case "application_name":
			cfg.ApplicationName = value
		case "client_encoding":
			cfg.ClientEncoding = value
		case "datestyle":
			cfg.Datestyle = value
		case "timezone":
			cfg.TZ = value
		default:
			cfg.Runtime[name] = value
		}
	}
	cfg.ConnectTimeout = options.ConnectTimeout
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("open warehouse %s: %w", where, err)
	}
	w := &Warehouse{options: options, config: config, db: sqlx.NewDb(sql.OpenDB(connector), "postgres")}
	w.db.SetMaxOpenConns(4)
	w.db.SetMaxIdleConns(1)
	w.db.SetConnMaxIdleTime(time.Minute)
	if err := w.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open warehouse %s: %w", where, err), w.db.Close())
	}
	return w, nil
}

// session pins the settings that the text of values and the meaning of names
// hang on (mapping language, rule 37).
func (o Options) session() (map[string]string, error) {
	out := map[string]string{
		"timezone":                            "UTC",
		"datestyle":                           "ISO, YMD",
		"extra_float_digits":                  "1",
		"client_encoding":                     "UTF8",
		"standard_conforming_strings":         "on",
		"default_transaction_read_only":       "on",
		"idle_in_transaction_session_timeout": "0",
		"application_name":                    o.Application,
	}
	if o.StatementTimeout > 0 {
		out["statement_timeout"] = strconv.FormatInt(max(1, o.StatementTimeout.Milliseconds()), 10)
	}
	if o.LockTimeout > 0 {
		out["lock_timeout"] = strconv.FormatInt(max(1, o.LockTimeout.Milliseconds()), 10)
	}
	if o.SearchPath != nil {
		path := make([]string, len(o.SearchPath))
		for i, s := range o.SearchPath {
			var err error
			if path[i], err = source.QuoteIdent(s); err != nil {
				return nil, err
			}
		}
		out["search_path"] = strings.Join(path, ", ")
	}
	return out, nil
}

// load asks the server what must be known before the first query.
func (w *Warehouse) load(ctx context.Context) error {
	var names []string
	err := w.db.SelectContext(ctx, &names, `SELECT DISTINCT lower(proname) FROM pg_catalog.pg_proc
WHERE provolatile = 'v' AND prokind = 'f' AND pronamespace = 'pg_catalog'::regnamespace`)
	if err != nil {
		return connectError(err)
	}
	w.volatile = make(map[string]bool, len(names))
	for _, n := range names {
		w.volatile[n] = true
	}
	return nil
}

// connectError tells a failed connection in plain words.
func connectError(err error) error {
	var e *pq.Error
	if errors.As(err, &e) {
		switch e.Code {
		case "28P01", "28000":
			return fmt.Errorf("the server refuses the login (SQLSTATE %s)", e.Code)
		case "3D000":
			return errors.New("no such database")
		}
		return fmt.Errorf("server error (SQLSTATE %s)", e.Code)
	}
	return err
}

// Dialect is "postgres".
func (w *Warehouse) Dialect() string { return dialect.Name }

// Close releases the warehouse. It may be called twice.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	return w.db.Close()
}

func (w *Warehouse) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	return nil
}

// connect opens a connection for statements of the mapping.
func (w *Warehouse) connect(ctx context.Context) (*pgconn.PgConn, error) {
	if err := w.open(); err != nil {
		return nil, err
	}
	c, err := pgconn.ConnectConfig(ctx, w.config)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// disconnect closes a connection without waiting long for a server that is gone.
func disconnect(c *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Close(ctx)
}

// run executes a statement of our own without rows.
func run(ctx context.Context, c *pgconn.PgConn, sql string) error {
	if err := c.Exec(ctx, sql).Close(); err != nil {
		return sqlError(ctx, err, nil, true)
	}
	return nil
}
