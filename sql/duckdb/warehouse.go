// Package duckdb makes a folder of data files, or a DuckDB file, a claims
// warehouse: the embedded engine that needs no server and no network.
//
// The room knows DuckDB and files. It must not know FHIR, mappings or jobs.
package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"remit/sql/source"
)

// Options are the settings of a warehouse. The zero value is fine.
type Options struct {
	// Threads bounds the engine's threads; 0 means one for each processor.
	Threads int
	// MemoryLimit bounds the engine's memory in its own words ("4GB"); ""
	// leaves the engine's default of 80 % of the machine's.
	MemoryLimit string
	// TempDir is where the engine spills what exceeds its memory; "" means
	// os.TempDir.
	TempDir string
	// Now tells the time of a snapshot; nil means time.Now.
	Now func() time.Time
}

// Warehouse is a claims warehouse on the embedded engine. It meets
// source.Source.
//
// A folder's files are read into a database in memory: at the first use, and
// again at a Snapshot when a file has changed since.
type Warehouse struct {
	path    string
	folder  bool
	options Options

	mu     sync.Mutex
	closed bool
	data   *imported // nil until first used
}

var _ source.Source = (*Warehouse)(nil)

// imported is one state of the warehouse: a database and what was learned of it.
type imported struct {
	db       *database
	config   *config
	seen     fingerprint
	warnings []string
	volatile map[string]bool

	mu      sync.Mutex
	columns map[string][]source.Column // by relation text
}

// Open opens a warehouse at path: a folder whose files each are a table, or a
// file written by DuckDB, opened read-only. It reads warehouse.yaml, but no
// data yet.
//
// Errors: path is missing or neither; the folder holds no table; a fault in
// warehouse.yaml, with its place.
func Open(ctx context.Context, path string, options Options) (*Warehouse, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Threads == 0 {
		options.Threads = runtime.NumCPU()
	}
	if options.TempDir == "" {
		options.TempDir = os.TempDir()
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		what := "folder"
		if filepath.Ext(path) != "" {
			what = "file"
		}
		return nil, fmt.Errorf("open warehouse %q: no such %s", path, what)
	case err != nil:
		return nil, fmt.Errorf("open warehouse %q: %w", path, err)
	}
	w := &Warehouse{path: path, folder: info.IsDir(), options: options}
	if !w.folder {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("open warehouse %q: neither a folder nor a file", path)
		}
		if _, err := w.state(ctx, false); err != nil {
			return nil, err
		}
		return w, nil
	}
	cfg, err := readConfig(path)
	if err != nil {
		return nil, fmt.Errorf("open warehouse %q: %w", path, err)
	}
	if _, err := cfg.tables(path); err != nil {
		return nil, fmt.Errorf("open warehouse %q: %w", path, err)
	}
	return w, nil
}

// Dialect is "duckdb".
func (w *Warehouse) Dialect() string { return dialect.Name }

// Warnings tells what the last import of a folder mended: ragged rows, with
// file, number and first line, never a value. It is empty before the first use.
func (w *Warehouse) Warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.data == nil {
		return nil
	}
	return slices.Clone(w.data.warnings)
}

// Close releases the warehouse; the data live on until the last snapshot and
// stream is closed. It may be called twice.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.data != nil {
		w.data.db.release()
		w.data = nil
	}
	return nil
}

// state returns the warehouse's data with a reference to the database held. It
// reads them where that has not been done yet, or (fresh) where files have
// changed since.
func (w *Warehouse) state(ctx context.Context, fresh bool) (*imported, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed
	}
	if w.data != nil && fresh && w.folder {
		now, err := fingerprintOf(w.path)
		if err != nil {
			return nil, fmt.Errorf("read warehouse %q: %w", w.path, err)
		}
		if !now.equal(w.data.seen) {
			w.data.db.release()
			w.data = nil
		}
	}
	if w.data == nil {
		data, err := w.load(ctx)
		if err != nil {
			return nil, err
		}
		w.data = data
	}
	w.data.db.hold()
	return w.data, nil
}

// load opens a file, or reads a folder.
func (w *Warehouse) load(ctx context.Context) (*imported, error) {
	options := map[string]string{
		"threads":                      strconv.Itoa(w.options.Threads),
		"temp_directory":               filepath.Join(w.options.TempDir, "remit-duckdb-"+strconv.Itoa(os.Getpid())),
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
		"preserve_insertion_order":     "true",
		"duckdb_api":                   "remit",
	}
	if w.options.MemoryLimit != "" {
		options["memory_limit"] = w.options.MemoryLimit
	}
	data := &imported{columns: map[string][]source.Column{}, config: &config{}}
	if !w.folder {
		options["access_mode"] = "READ_ONLY"
		db, err := openDatabase(w.path, options)
		if err != nil {
			return nil, fmt.Errorf("open warehouse %q: %w", w.path, err)
		}
		data.db = db
	} else {
		db, err := openDatabase("", options)
		if err != nil {
			return nil, fmt.Errorf("read warehouse %q: %w", w.path, err)
		}
		data.db = db
		if err := w.importFolder(ctx, data); err != nil {
			db.release()
			return nil, fmt.Errorf("read warehouse %q: %w", w.path, err)
		}
	}
	if err := data.lock(ctx); err != nil {
		data.db.release()
		return nil, fmt.Errorf("open warehouse %q: %w", w.path, err)
	}
	return data, nil
}

// lock pins the session settings (mapping language, rule 37), shuts the engine
// off from files and network, and makes that final.
func (d *imported) lock(ctx context.Context) error {
	c, err := d.db.connect(ctx)
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL integer_division = true",
		"SET GLOBAL errors_as_json = true",
		"SET GLOBAL default_null_order = 'NULLS_LAST_ON_ASC_FIRST_ON_DESC'",
		"SET GLOBAL default_collation = ''",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	} {
		if err := c.exec(ctx, sql); err != nil {
			return fmt.Errorf("pin session: %w", err)
		}
	}
	d.volatile = map[string]bool{}
	err = c.query(ctx, "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'", nil, func(row []string) error {
		d.volatile[strings.ToLower(row[0])] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("list volatile functions: %w", err)
	}
	// error() is volatile only so that it is not folded; it gives no value.
	delete(d.volatile, "error")
	d.db.setup = append(d.db.setup, sessionMacros...)
	if len(d.config.searchPath) > 0 {
		parts := make([]string, len(d.config.searchPath))
		for i, s := range d.config.searchPath {
			if parts[i], err = source.QuoteIdent(s); err != nil {
				return err
			}
		}
		path, err := source.QuoteLiteral(strings.Join(parts, ","))
		if err != nil {
			return err
		}
		d.db.setup = append(d.db.setup, "SET search_path = "+path)
	}
	for _, sql := range d.db.setup {
		if err := c.exec(ctx, sql); err != nil {
			return fmt.Errorf("pin session: %w", err)
		}
	}
	d.db.giveBack(c)
	return nil
}

// sessionMacros give names of PostgreSQL that portable mappings use (mapping
// language, "Portable SQL"). The engine wants constant formats, so to_date and
// to_char know those that claims data use and refuse any other.
var sessionMacros = []string{
	`CREATE TEMP MACRO btrim(s) AS trim(s), (s, chars) AS trim(s, chars)`,
	formatMacro("to_date", "CAST(strptime(s, %s) AS DATE)", dateFormats),
	formatMacro("to_char", "strftime(s, %s)", slices.Concat(dateFormats, timeFormats)),
}

// dateFormats pairs a format of PostgreSQL with the engine's.
var dateFormats = [][2]string{
	{"YYYY-MM-DD", "%Y-%m-%d"}, {"YYYYMMDD", "%Y%m%d"}, {"YYYY/MM/DD", "%Y/%m/%d"},
	{"MM/DD/YYYY", "%m/%d/%Y"}, {"MM-DD-YYYY", "%m-%d-%Y"}, {"MMDDYYYY", "%m%d%Y"},
	{"DD/MM/YYYY", "%d/%m/%Y"}, {"DD.MM.YYYY", "%d.%m.%Y"}, {"DDMMYYYY", "%d%m%Y"},
	{"DD-Mon-YYYY", "%d-%b-%Y"}, {"DD Mon YYYY", "%d %b %Y"}, {"YYYY-MM", "%Y-%m"}, {"YYYYMM", "%Y%m"},
	{"YYYYDDD", "%Y%j"}, {"YYYY", "%Y"},
}

var timeFormats = [][2]string{
	{"MM", "%m"}, {"DD", "%d"}, {"HH24:MI:SS", "%H:%M:%S"}, {"HH24:MI", "%H:%M"}, {"HH24MISS", "%H%M%S"},
	{"YYYY-MM-DD HH24:MI:SS", "%Y-%m-%d %H:%M:%S"}, {`YYYY-MM-DD"T"HH24:MI:SS`, "%Y-%m-%dT%H:%M:%S"},
	{"YYYYMMDDHH24MISS", "%Y%m%d%H%M%S"},
}

func formatMacro(name, call string, formats [][2]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TEMP MACRO %s(s, f) AS CASE f", name)
	for _, f := range formats {
		fmt.Fprintf(&b, "\n  WHEN '%s' THEN %s", f[0], fmt.Sprintf(call, "'"+f[1]+"'"))
	}
	fmt.Fprintf(&b, "\n  ELSE error('%s: this format is not supported') END", name)
	return b.String()
}

// with runs f on a connection of the current data.
func (w *Warehouse) with(ctx context.Context, f func(data *imported, c *conn) error) error {
	data, err := w.state(ctx, false)
	if err != nil {
		return err
	}
	defer data.db.release()
	return data.with(ctx, f)
}

func (d *imported) with(ctx context.Context, f func(d *imported, c *conn) error) error {
	c, err := d.db.connect(ctx)
	if err != nil {
		return err
	}
	defer d.db.giveBack(c)
	return f(d, c)
}

// Catalog lists the tables and views that may be read, by schema and name.
func (w *Warehouse) Catalog(ctx context.Context) (*source.Catalog, error) {
	var out *source.Catalog
	err := w.with(ctx, func(data *imported, c *conn) error {
		var err error
		out, err = catalog(ctx, data, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	return out, nil
}

func catalog(ctx context.Context, data *imported, c *conn) (*source.Catalog, error) {
	onPath := map[string]bool{"main": true}
	for _, s := range data.config.searchPath {
		onPath[s] = true
	}
	byName := map[string]*source.Table{}
	var order []string
	err := c.query(ctx, `SELECT schema_name, table_name, CAST(estimated_size AS VARCHAR), false, comment FROM duckdb_tables()
WHERE NOT internal AND NOT temporary AND database_name = current_database()
UNION ALL SELECT schema_name, view_name, '-1', true, comment FROM duckdb_views()
WHERE NOT internal AND NOT temporary AND database_name = current_database()`, nil, func(row []string) error {
		t := &source.Table{Schema: row[0], Name: row[1], View: row[3] == "true", Comment: row[4], EstimatedRows: -1}
		if n, err := strconv.ParseInt(row[2], 10, 64); err == nil {
			t.EstimatedRows = n
		}
		if !onPath[row[0]] {
			t.Name = row[0] + "." + row[1]
		}
		key := row[0] + "\x00" + row[1]
		byName[key] = t
		order = append(order, key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.query(ctx, `SELECT schema_name, table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE NOT internal AND database_name = current_database() ORDER BY schema_name, table_name, column_index`, nil, func(row []string) error {
		if t := byName[row[0]+"\x00"+row[1]]; t != nil {
			t.Columns = append(t.Columns, source.Column{Name: row[2], Type: declaredType(row[3]), NotNull: row[4] == "false", Comment: row[5]})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(order)
	out := &source.Catalog{}
	for _, key := range order {
		out.Tables = append(out.Tables, *byName[key])
	}
	return out, nil
}

// declaredType reads a type as the engine's catalogue writes it.
func declaredType(name string) source.Type {
	t := source.Type{Name: name}
	base, args, _ := strings.Cut(name, "(")
	switch {
	case strings.HasSuffix(name, "]") || base == "STRUCT" || base == "MAP" || base == "UNION" || base == "JSON" || base == "BLOB" || base == "BIT":
		t.Kind = source.KindComposite
	case base == "DECIMAL":
		t.Kind = source.KindDecimal
		precision, scale, _ := strings.Cut(strings.TrimSuffix(args, ")"), ",")
		t.Precision, _ = strconv.Atoi(precision)
		t.Scale, _ = strconv.Atoi(scale)
	case strings.HasSuffix(base, "INT") || base == "INTEGER" || base == "BIGNUM":
		t.Kind = source.KindInteger
	case base == "FLOAT" || base == "DOUBLE":
		t.Kind = source.KindFloat
	case base == "BOOLEAN":
		t.Kind = source.KindBoolean
	case base == "DATE":
		t.Kind = source.KindDate
	case base == "TIMESTAMP WITH TIME ZONE":
		t.Kind = source.KindInstant
	case strings.HasPrefix(base, "TIMESTAMP"):
		t.Kind = source.KindTimestamp
	case base == "UUID":
		t.Kind = source.KindUUID
	default:
		t.Kind = source.KindText
	}
	return t
}

// Columns tells a relation's columns. See source.Source.
func (w *Warehouse) Columns(ctx context.Context, rel *source.Relation) ([]source.Column, error) {
	var out []source.Column
	err := w.with(ctx, func(data *imported, c *conn) error {
		bare := *rel
		bare.Columns = nil
		full, err := source.CompleteRelation(ctx, &bare, data.columnsOf(c))
		if err == nil {
			out = full.Columns
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", rel.Name, err)
	}
	return out, nil
}

// columnsOf tells columns of tables and of SQL, each asked of the engine once.
func (d *imported) columnsOf(c *conn) func(context.Context, *source.Relation) ([]source.Column, error) {
	return func(ctx context.Context, rel *source.Relation) ([]source.Column, error) {
		key := "t" + rel.Table
		if rel.Table == "" {
			key = "s" + rel.SQL
		}
		d.mu.Lock()
		known, ok := d.columns[key]
		d.mu.Unlock()
		if ok {
			return known, nil
		}
		if rel.Table == "" {
			if err := source.CheckRelation(rel.SQL, d.volatile); err != nil {
				return nil, err
			}
		}
		columns, err := relationColumns(ctx, c, rel)
		if err != nil {
			return nil, err
		}
		var out []source.Column
		for _, col := range columns {
			if _, twice := source.FindColumn(out, col.name); twice {
				return nil, &source.SQLError{Part: source.PartRelation, Offset: -1, Code: "other", Name: col.name,
					Message: fmt.Sprintf("two columns are named %q", col.name)}
			}
			out = append(out, source.Column{Name: col.name, Type: col.kind})
		}
		if rel.Table != "" {
			if err := notNull(ctx, c, rel.Table, out); err != nil {
				return nil, err
			}
		}
		d.mu.Lock()
		d.columns[key] = out
		d.mu.Unlock()
		return out, nil
	}
}

// relationColumns tells the columns of a relation as the engine names them.
func relationColumns(ctx context.Context, c *conn, rel *source.Relation) (out []engineColumn, err error) {
	st, err := dialect.Columns(rel)
	if err != nil {
		return nil, err
	}
	ask := func(sql string) (selects bool, err error) {
		s, err := c.prepare(ctx, sql)
		if err == nil {
			out, selects = s.columns(), s.selects()
			s.close()
		}
		return selects, err
	}
	err = c.bindOnly(ctx, func() error {
		var alone error
		if rel.Table == "" && len(st.Args) == 0 { // one that joins the snapshot cannot stand alone
			// A derived table renames columns of one name; alone the query shows
			// them. A SELECT that binds alone does so as a derived table.
			selects, err := ask(rel.SQL)
			if selects {
				return nil
			}
			alone = err
		}
		if _, err := ask(st.SQL); err != nil {
			return sqlError(err, st, true)
		}
		if alone != nil {
			return sqlError(alone, nil, true)
		}
		return nil
	})
	return out, err
}

// bindOnly runs f, in which statements are prepared for the types of their
// columns alone: these are known once a statement is bound, its optimisation
// would be most of the cost, and is thrown away.
func (c *conn) bindOnly(ctx context.Context, f func() error) (err error) {
	if err := c.exec(ctx, "PRAGMA disable_optimizer"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.exec(context.WithoutCancel(ctx), "PRAGMA enable_optimizer")) }()
	return f()
}

// notNull marks the columns of a base table that are declared NOT NULL.
func notNull(ctx context.Context, c *conn, name string, columns []source.Column) error {
	quoted, err := quoteTable(name)
	if err != nil {
		return err
	}
	literal, err := source.QuoteLiteral(quoted)
	if err != nil {
		return err
	}
	return c.query(ctx, "SELECT name, \"notnull\" FROM pragma_table_info("+literal+")", nil, func(row []string) error {
		for i := range columns {
			if strings.EqualFold(columns[i].Name, row[0]) {
				columns[i].NotNull = row[1] == "true"
			}
		}
		return nil
	})
}

func quoteTable(name string) (string, error) {
	schema, table, err := source.SplitTable(name)
	if err != nil {
		return "", err
	}
	quoted, err := source.QuoteIdent(table)
	if err != nil || schema == "" {
		return quoted, err
	}
	quotedSchema, err := source.QuoteIdent(schema)
	return quotedSchema + "." + quoted, err
}

// Describe prepares the expressions of q. See source.Source.
func (w *Warehouse) Describe(ctx context.Context, q *source.Query) ([]source.Described, error) {
	var out []source.Described
	err := w.with(ctx, func(data *imported, c *conn) error {
		full, err := source.Complete(ctx, q, data.columnsOf(c))
		if err != nil {
			return err
		}
		return c.bindOnly(ctx, func() error {
			out, err = source.DescribeAll(ctx, &dialect, full, data.volatile, func(ctx context.Context, st *source.Statement) ([]source.Type, error) {
				s, err := c.prepare(ctx, st.SQL)
				if err != nil {
					return nil, sqlError(err, st, true)
				}
				defer s.close()
				columns := s.columns()
				types := make([]source.Type, len(columns))
				for i, col := range columns {
					types[i] = col.kind
				}
				return types, nil
			})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", relationName(q), err)
	}
	return out, nil
}

func relationName(q *source.Query) string {
	if q.From == nil {
		return "a query"
	}
	return q.From.Name
}
