// Package load copies a warehouse that another adapter reads into a new schema
// of a PostgreSQL database: the same tables, with their types and with indexes,
// so that a mapping set meets there what it met in the files.
//
// It is the one room that writes to a warehouse, which is why it is a room of
// its own: the adapter beside it stays one that cannot write. It knows rows and
// PostgreSQL; it must not know FHIR, mappings or jobs.
package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"remit/sql/source"
)

// ErrSchemaExists says that the schema is there already. Nothing was changed.
var ErrSchemaExists = errors.New("the schema exists already; load makes a new one and never writes into another's")

// Index asks for an index: the table's name as the catalogue has it, without
// its schema, and the columns in order. Columns that the table lacks are an
// error.
type Index struct {
	Table   string
	Columns []string
}

// Options say where the tables go. Schema is required.
type Options struct {
	// Schema is the name of the new schema.
	Schema string
	// Indexes are made after the rows are in.
	Indexes []Index
	// Progress, where not nil, is told the number of rows copied so far, a few
	// times a second at most; it is called by one goroutine at a time.
	Progress func(rows int64)
	// Application is the name shown in pg_stat_activity; "" means remit.
	Application string
}

// Table is one table that was made.
type Table struct {
	Name    string `json:"table"`
	Rows    int64  `json:"rows"`
	Columns int    `json:"columns"`
}

// Report is what a load made.
type Report struct {
	Schema  string   `json:"schema"`
	Tables  []Table  `json:"tables"`
	Rows    int64    `json:"rows"`
	Indexes []string `json:"indexes"`
}

// Into copies tables of a snapshot into a new schema of the database at dsn, in
// one transaction: all of it is there afterwards, or none.
//
// Names are folded to lower case, as PostgreSQL folds the names of a mapping's
// SQL. Texts compare and sort by bytes (COLLATE "C"), as they do in the
// embedded engine, so that SQL over a total order has one answer on both.
// Structures and lists become jsonb. Rows are streamed: memory does not grow
// with them.
//
// Errors: ErrSchemaExists; two names that differ in case alone, or that
// PostgreSQL would cut; a value that PostgreSQL cannot keep as it is (a NUL
// character, a timestamp finer than a microsecond), told by table, column and
// row number, never by its content. They name host and database, never the
// password.
func Into(ctx context.Context, dsn string, from source.Snapshot, tables []source.Table, o Options) (*Report, error) {
	o.Schema = strings.ToLower(o.Schema)
	plans, err := planTables(tables, o)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	c, where, err := connect(ctx, dsn, o)
	if err != nil {
		return nil, err
	}
	l := &loader{conn: c, from: from, options: o}
	report, err := l.run(ctx, plans)
	// What was not committed, the server forgets with the connection.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.Close(closing)
	if err != nil {
		return nil, fmt.Errorf("load into %s: %w", where, err)
	}
	return report, nil
}

// Drop removes a schema that Into made, and all that is in it. Its caller has
// made it: no other schema is to be dropped.
func Drop(ctx context.Context, dsn, schema string) error {
	name, err := source.QuoteIdent(strings.ToLower(schema))
	if err != nil {
		return fmt.Errorf("drop schema: %w", err)
	}
	c, where, err := connect(ctx, dsn, Options{})
	if err != nil {
		return err
	}
	l := &loader{conn: c}
	err = l.exec(ctx, "DROP SCHEMA "+name+" CASCADE")
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.Close(closing)
	if err != nil {
		return fmt.Errorf("drop schema of %s: %w", where, err)
	}
	return nil
}

func connect(ctx context.Context, dsn string, o Options) (c *pgconn.PgConn, where string, err error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		// The parser's own text may quote the connection string.
		return nil, "", errors.New("load: the connection string is not valid")
	}
	where = fmt.Sprintf("postgres %s/%s", config.Host, config.Database)
	application := o.Application
	if application == "" {
		application = "remit"
	}
	for name, value := range map[string]string{
		"timezone": "UTC", "datestyle": "ISO, YMD", "client_encoding": "UTF8",
		"standard_conforming_strings": "on", "default_transaction_read_only": "off", "application_name": application,
	} {
		config.RuntimeParams[name] = value
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 5 * time.Second}
	}
	c, err = pgconn.ConnectConfig(ctx, config)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, "", cause
		}
		var bad *pgconn.PgError
		if errors.As(err, &bad) {
			return nil, "", fmt.Errorf("connect to %s: %w", where, serverError(err))
		}
		return nil, "", fmt.Errorf("connect to %s: the server does not answer", where)
	}
	return c, where, nil
}

// loader is one load on its way.
type loader struct {
	conn    *pgconn.PgConn
	from    source.Snapshot
	options Options
	rows    int64
	told    time.Time
}

func (l *loader) run(ctx context.Context, plans []*plan) (*Report, error) {
	schema, err := source.QuoteIdent(l.options.Schema)
	if err != nil {
		return nil, err
	}
	if err := l.exec(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	if err := l.exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		var bad *pgconn.PgError
		// Two loads at once meet in the catalogue's own unique index.
		if errors.As(err, &bad) && (bad.Code == "42P06" || bad.Code == "23505") {
			return nil, fmt.Errorf("schema %s: %w", l.options.Schema, ErrSchemaExists)
		}
		return nil, fmt.Errorf("create schema %s: %w", l.options.Schema, serverError(err))
	}
	report := &Report{Schema: l.options.Schema, Indexes: []string{}}
	for _, p := range plans {
		rows, err := l.table(ctx, schema, p)
		if err != nil {
			return nil, err
		}
		report.Tables = append(report.Tables, Table{Name: p.name, Rows: rows, Columns: len(p.columns)})
	}
	for _, p := range plans {
		for _, ix := range p.indexes {
			if err := l.exec(ctx, ix.ddl(schema, p)); err != nil {
				return nil, fmt.Errorf("index %s: %w", ix.name, serverError(err))
			}
			report.Indexes = append(report.Indexes, p.name+" ("+strings.Join(ix.columns, ", ")+")")
		}
		// The planner must not guess the sizes of what was loaded a moment ago.
		if err := l.exec(ctx, "ANALYZE "+schema+"."+p.quoted); err != nil {
			return nil, fmt.Errorf("analyze %s: %w", p.name, serverError(err))
		}
	}
	if err := l.exec(ctx, "COMMIT"); err != nil {
		return nil, fmt.Errorf("commit: %w", serverError(err))
	}
	report.Rows = l.rows
	return report, nil
}

// table makes one table and streams its rows into it.
func (l *loader) table(ctx context.Context, schema string, p *plan) (rows int64, err error) {
	if err := l.exec(ctx, "CREATE TABLE "+schema+"."+p.quoted+" ("+p.definitions()+")"); err != nil {
		return 0, fmt.Errorf("create table %s: %w", p.name, serverError(err))
	}
	stream, err := l.from.Stream(ctx, p.query())
	if err != nil {
		return 0, fmt.Errorf("table %s: %w", p.name, err)
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	r := &copyReader{stream: stream, plan: p, row: func() {
		l.rows++
		if l.options.Progress != nil && l.rows%1024 == 0 && time.Since(l.told) > 200*time.Millisecond {
			l.told = time.Now()
			l.options.Progress(l.rows)
		}
	}}
	_, err = l.conn.CopyFrom(ctx, r, "COPY "+schema+"."+p.quoted+" FROM STDIN")
	if r.err != nil {
		// The server only repeats what stopped the reading.
		return 0, fmt.Errorf("table %s: %w", p.name, r.err)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return 0, cause
		}
		return 0, fmt.Errorf("table %s: %w", p.name, serverError(err))
	}
	if l.options.Progress != nil {
		l.options.Progress(l.rows)
	}
	return r.rows, nil
}

// exec runs a statement of our own without rows.
func (l *loader) exec(ctx context.Context, sql string) error {
	if err := l.conn.Exec(ctx, sql).Close(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

// serverError tells a fault without the server's own text, which may quote a
// value of a row.
func serverError(err error) error {
	var bad *pgconn.PgError
	if !errors.As(err, &bad) {
		return err
	}
	switch bad.Code {
	case "42501":
		return errors.New("the login may not do that (SQLSTATE 42501): it needs CREATE on the database")
	case "28P01", "28000":
		return fmt.Errorf("the server refuses the login (SQLSTATE %s)", bad.Code)
	case "3D000":
		return errors.New("no such database")
	case "25006":
		return errors.New("the server is read-only (SQLSTATE 25006)")
	case "53100":
		return errors.New("the server's disk is full (SQLSTATE 53100)")
	}
	return fmt.Errorf("server error (SQLSTATE %s)", bad.Code)
}
