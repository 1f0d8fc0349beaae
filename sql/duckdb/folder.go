package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"remit/sql/source"
)

// fingerprint is what a folder's files look like from outside: as long as it
// stays equal, so does their content.
type fingerprint map[string]fileState

type fileState struct {
	size    int64
	changed time.Time
}

func fingerprintOf(dir string) (fingerprint, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	out := fingerprint{}
	for _, e := range entries {
		if _, format := splitName(e.Name()); format == "" && e.Name() != configName && !isText(e.Name()) {
			continue
		}
		// Stat, not Lstat: a link's target is what is read.
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", e.Name(), err)
		}
		out[e.Name()] = fileState{size: info.Size(), changed: info.ModTime()}
	}
	return out, nil
}

func (f fingerprint) equal(other fingerprint) bool {
	if len(f) != len(other) {
		return false
	}
	for name, state := range f {
		if o, ok := other[name]; !ok || o.size != state.size || !o.changed.Equal(state.changed) {
			return false
		}
	}
	return true
}

// importAttempts bounds how often a folder is read again because files changed
// while they were read.
const importAttempts = 3

// importFolder reads all files of the folder into data's database.
func (w *Warehouse) importFolder(ctx context.Context, data *imported) error {
	for attempt := 1; ; attempt++ {
		before, err := fingerprintOf(w.path)
		if err != nil {
			return err
		}
		cfg, err := readConfig(w.path)
		if err != nil {
			return err
		}
		files, err := cfg.tables(w.path)
		if err != nil {
			return err
		}
		warnings, err := importFiles(ctx, data.db, cfg, files)
		after, errAfter := fingerprintOf(w.path)
		if errAfter != nil {
			return errAfter
		}
		if before.equal(after) {
			data.config, data.seen, data.warnings = cfg, before, warnings
			return err
		}
		// A fault may come from a file that was half written: try again.
		if attempt == importAttempts {
			return errors.Join(errors.New("files of the folder change while they are read"), err)
		}
	}
}

// importFiles reads the tables; warnings say what was mended on the way, by
// file, never by value.
func importFiles(ctx context.Context, db *database, cfg *config, files []dataFile) (warnings []string, err error) {
	c, err := db.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer db.giveBack(c)
	zone := cfg.timeZone
	if zone == "" {
		zone = "UTC"
	}
	quotedZone, err := source.QuoteLiteral(zone)
	if err != nil {
		return nil, err
	}
	if err := c.exec(ctx, "SET TimeZone = "+quotedZone); err != nil {
		return nil, err
	}
	schema := cfg.schema
	if schema == "" {
		schema = "main"
	}
	quoted, err := source.QuoteIdent(schema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if err := c.exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted); err != nil {
		return nil, fmt.Errorf("create schema %s: %w", schema, err)
	}
	var faults []error
	for _, f := range files {
		l := &loader{conn: c, schema: quoted, file: f}
		if err := l.load(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return nil, cause
			}
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(l.file.path), err))
		}
		warnings = append(warnings, l.warnings...)
	}
	if err := errors.Join(faults...); err != nil {
		return warnings, err
	}
	// The import's zone must not outlive it: lock sets UTC for all.
	return warnings, c.exec(ctx, "RESET TimeZone")
}

// loader reads the files of one table; file.path is the one at hand.
type loader struct {
	conn     *conn
	schema   string // quoted
	file     dataFile
	header   []string // of the file at hand, as far as it has one
	warnings []string
}

func (l *loader) load(ctx context.Context) error {
	table, err := source.QuoteIdent(l.file.table)
	if err != nil {
		return err
	}
	target := l.schema + "." + table
	stage := l.schema + `."remit import"`
	if err := l.conn.exec(ctx, "DROP TABLE IF EXISTS "+target); err != nil {
		return err
	}
	if err := l.stage(ctx, stage); err != nil {
		return err
	}
	for _, path := range l.file.more {
		l.file.path, l.header = path, nil
		if err := l.add(ctx, stage); err != nil {
			return err
		}
	}
	if err := l.number(ctx, stage); err != nil {
		return err
	}
	if len(l.file.columns) == 0 {
		return l.conn.exec(ctx, "ALTER TABLE "+stage+" RENAME TO "+table)
	}
	if err := l.cast(ctx, stage, target); err != nil {
		return err
	}
	return l.conn.exec(ctx, "DROP TABLE "+stage)
}

// stage reads the file at hand into a table of its own.
func (l *loader) stage(ctx context.Context, stage string) (err error) {
	if err := l.conn.exec(ctx, "DROP TABLE IF EXISTS "+stage); err != nil {
		return err
	}
	switch l.file.format {
	case "csv":
		err = l.loadCSV(ctx, stage)
	case "ndjson":
		err = l.loadNDJSON(ctx, stage)
	case "parquet":
		err = l.loadParquet(ctx, stage)
	}
	if err != nil || l.file.fileColumn == "" {
		return err
	}
	column, err := source.QuoteIdent(l.file.fileColumn)
	if err != nil {
		return fmt.Errorf("file_column: %w", err)
	}
	name, err := source.QuoteLiteral(filepath.Base(l.file.path))
	if err != nil {
		return err
	}
	if err := l.conn.exec(ctx, "ALTER TABLE "+stage+" ADD COLUMN "+column+" VARCHAR DEFAULT "+name); err != nil {
		return fmt.Errorf("file_column %q: %w", l.file.fileColumn, err)
	}
	return nil
}

// add appends the file at hand to what is staged. Columns are matched by name;
// one that only some of the files have is NULL in the rows of the others, since
// layouts grow over the years.
func (l *loader) add(ctx context.Context, stage string) error {
	next, both := l.schema+`."remit import next"`, l.schema+`."remit import both"`
	if err := l.stage(ctx, next); err != nil {
		return err
	}
	for _, sql := range []string{
		"CREATE TABLE " + both + " AS SELECT * FROM " + stage + " UNION ALL BY NAME SELECT * FROM " + next,
		"DROP TABLE " + next,
		"DROP TABLE " + stage,
		"ALTER TABLE " + both + ` RENAME TO "remit import"`,
	} {
		if err := l.conn.exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// number adds the column that holds each row's place in the files, from 1, where
// one is declared: order is all that some extracts have to tell rows apart.
func (l *loader) number(ctx context.Context, stage string) error {
	if l.file.rowColumn == "" {
		return nil
	}
	column, err := source.QuoteIdent(l.file.rowColumn)
	if err != nil {
		return err
	}
	if err := l.conn.exec(ctx, "ALTER TABLE "+stage+" ADD COLUMN "+column+" BIGINT"); err != nil {
		return fmt.Errorf("row_column: %w", err)
	}
	return l.conn.exec(ctx, "UPDATE "+stage+" SET "+column+" = rowid + 1")
}

func (l *loader) loadParquet(ctx context.Context, stage string) error {
	path, err := source.QuoteLiteral(l.file.path)
	if err != nil {
		return err
	}
	if err := l.conn.exec(ctx, "CREATE TABLE "+stage+" AS SELECT * FROM read_parquet("+path+")"); err != nil {
		return fmt.Errorf("read as Parquet: %w", err)
	}
	return nil
}

// cast makes the declared table from the staged one. A value that does not fit
// its declared type, or that would be rounded by it, is a fault that tells the
// column, how many there are, and the first row; never the value.
func (l *loader) cast(ctx context.Context, stage, target string) error {
	var names, types []string
	err := l.conn.query(ctx, "SELECT column_name, column_type FROM (DESCRIBE "+stage+")", nil, func(row []string) error {
		names, types = append(names, row[0]), append(types, row[1])
		return nil
	})
	if err != nil {
		return err
	}
	var faults []error
	declared := map[string]declaredColumn{}
	for _, d := range l.file.columns {
		found := false
		for _, name := range names {
			if strings.EqualFold(name, d.name) {
				declared[name], found = d, true
			}
		}
		if !found {
			faults = append(faults, d.at.fault("column %q is not in %s", d.name, filepath.Base(l.file.path)))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	var out []string
	var checked []declaredColumn
	var quoted []string
	for i, name := range names {
		x, err := source.QuoteIdent(name)
		if err != nil {
			return err
		}
		d, ok := declared[name]
		if !ok || d.kind == types[i] {
			out = append(out, x)
			continue
		}
		out = append(out, fmt.Sprintf("TRY_CAST(%s AS %s) AS %s", x, d.kind, x))
		checked = append(checked, d)
		quoted = append(quoted, x)
	}
	if err := l.conn.exec(ctx, "CREATE TABLE "+target+" AS SELECT "+strings.Join(out, ", ")+" FROM "+stage); err != nil {
		return err
	}
	if len(checked) == 0 {
		return nil
	}
	given, err := l.counts(ctx, quoted, stage)
	if err != nil {
		return err
	}
	kept, err := l.counts(ctx, quoted, target)
	if err != nil {
		return err
	}
	lossy := make([]string, len(checked))
	for i, d := range checked {
		lossy[i] = fmt.Sprintf("CASE WHEN bool_or(%s) THEN 1 END", lossyCast(quoted[i], d.kind))
	}
	changed, err := l.counts(ctx, lossy, stage)
	if err != nil {
		return err
	}
	for i, d := range checked {
		if given[i] != kept[i] {
			faults = append(faults, l.tell(ctx, d, stage, fmt.Sprintf("%s IS NOT NULL AND TRY_CAST(%s AS %s) IS NULL", quoted[i], quoted[i], d.kind), "are no %s"))
		}
		if changed[i] != "" {
			faults = append(faults, l.tell(ctx, d, stage, lossyCast(quoted[i], d.kind), "have more digits than %s holds"))
		}
	}
	return errors.Join(faults...)
}

// counts counts the values that are not NULL of each column; an expression that
// is an aggregate already is taken as it is.
func (l *loader) counts(ctx context.Context, columns []string, from string) ([]string, error) {
	list := make([]string, len(columns))
	for i, x := range columns {
		if list[i] = "count(" + x + ")"; strings.HasPrefix(x, "CASE ") {
			list[i] = x
		}
	}
	var out []string
	err := l.conn.query(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+from, nil, func(row []string) error {
		out = row
		return nil
	})
	return out, err
}

// tell counts the rows of a fault: how many, and the first.
func (l *loader) tell(ctx context.Context, d declaredColumn, stage, condition, what string) error {
	var n, first string
	err := l.conn.query(ctx, "SELECT count(*), min(rowid) + 1 FROM "+stage+" WHERE "+condition, nil, func(row []string) error {
		n, first = row[0], row[1]
		return nil
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("column %q: %s values "+what+", the first in row %s", d.name, n, d.kind, first)
}

// lossyCast is true for a value that the cast would change: nothing is rounded
// in silence. The first condition is cheap and false for nearly every value, so
// that the casts behind it are seldom made.
func lossyCast(x, kind string) string {
	wider, cheap := "", ""
	switch {
	case strings.HasPrefix(kind, "DECIMAL"):
		var precision, scale int
		if _, err := fmt.Sscanf(kind, "DECIMAL(%d,%d)", &precision, &scale); err != nil {
			return "false"
		}
		wider = fmt.Sprintf("DECIMAL(38,%d)", 38-(precision-scale))
		t := "CAST(" + x + " AS VARCHAR)"
		cheap = fmt.Sprintf("(contains(%s, '.') AND strlen(%s) - strpos(%s, '.') > %d OR contains(lower(%s), 'e'))", t, t, t, scale, t)
	case strings.HasSuffix(kind, "INT") || kind == "INTEGER":
		wider = "DECIMAL(38,10)"
		cheap = fmt.Sprintf("(contains(CAST(%s AS VARCHAR), '.') OR contains(lower(CAST(%s AS VARCHAR)), 'e'))", x, x)
	case kind == "DATE":
		wider = "TIMESTAMP"
		cheap = fmt.Sprintf("strlen(CAST(%s AS VARCHAR)) > 10", x)
	default:
		return "false"
	}
	return fmt.Sprintf("(%s AND TRY_CAST(%s AS %s) <> TRY_CAST(TRY_CAST(%s AS %s) AS %s))", cheap, x, wider, x, kind, wider)
}
