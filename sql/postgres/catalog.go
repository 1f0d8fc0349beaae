package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"remit/sql/source"
)

type tableRow struct {
	OID     uint32  `db:"oid"`
	Schema  string  `db:"schema"`
	Name    string  `db:"name"`
	View    bool    `db:"view"`
	Visible bool    `db:"visible"`
	Rows    int64   `db:"rows"`
	Comment *string `db:"comment"`
}

type columnRow struct {
	Table    uint32  `db:"table"`
	Name     string  `db:"name"`
	Type     uint32  `db:"type"`
	Mod      int32   `db:"mod"`
	NotNull  bool    `db:"not_null"`
	Comment  *string `db:"comment"`
	TypeName string  `db:"type_name"`
	Kind     string  `db:"kind"`
	Category string  `db:"category"`
}

// readable is true for relations that hold rows and may be read by us.
const readable = `c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`

const columnsQuery = `SELECT a.attrelid AS table, a.attname AS name, coalesce(nullif(t.typbasetype, 0), t.oid) AS type,
  CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END AS mod,
  a.attnotnull AS not_null, col_description(a.attrelid, a.attnum) AS comment,
  format_type(a.atttypid, a.atttypmod) AS type_name, t.typtype AS kind, t.typcategory AS category
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND `

// Catalog lists the tables and views that may be read, by schema and name.
func (w *Warehouse) Catalog(ctx context.Context) (*source.Catalog, error) {
	if err := w.open(); err != nil {
		return nil, err
	}
	var tables []tableRow
	err := w.db.SelectContext(ctx, &tables, `SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind IN ('v', 'm') AS view,
  pg_catalog.pg_table_is_visible(c.oid) AS visible, CASE WHEN c.reltuples < 0 THEN -1 ELSE c.reltuples::int8 END AS rows,
  obj_description(c.oid, 'pg_class') AS comment
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE `+readable+` ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", connectError(err))
	}
	var columns []columnRow
	err = w.db.SelectContext(ctx, &columns, columnsQuery+`a.attrelid IN (SELECT c.oid FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE `+readable+`) ORDER BY a.attrelid, a.attnum`)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", connectError(err))
	}
	byTable := map[uint32][]source.Column{}
	for _, c := range columns {
		byTable[c.Table] = append(byTable[c.Table], c.column())
	}
	out := &source.Catalog{Tables: make([]source.Table, 0, len(tables))}
	for _, t := range tables {
		table := source.Table{Schema: t.Schema, Name: t.Name, Columns: byTable[t.OID], Comment: deref(t.Comment), EstimatedRows: t.Rows, View: t.View}
		if !t.Visible {
			table.Name = t.Schema + "." + t.Name
		}
		out.Tables = append(out.Tables, table)
	}
	return out, nil
}

func (c columnRow) column() source.Column {
	t, ok := typeOf(c.Type, c.Mod)
	if !ok {
		t = otherType(c.TypeName, c.Kind, c.Category)
	}
	return source.Column{Name: c.Name, Type: t, NotNull: c.NotNull, Comment: deref(c.Comment)}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// introspect finds a table by its name in any case and tells its columns. It
// returns the name in the server's spelling, quoted; found is false where
// there is no such table.
func (w *Warehouse) introspect(ctx context.Context, name string) (quoted string, columns []source.Column, found bool, err error) {
	schema, table, err := source.SplitTable(name)
	if err != nil {
		return "", nil, false, &source.SQLError{Part: source.PartRelation, Offset: 0, Code: "syntax", Message: err.Error(), Name: name}
	}
	var hits []tableRow
	// The exact spelling first, then, of several, the one on the search path.
	err = w.db.SelectContext(ctx, &hits, `SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind IN ('v', 'm') AS view,
  pg_catalog.pg_table_is_visible(c.oid) AS visible, 0 AS rows, NULL AS comment
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND lower(c.relname) = lower($1)
  AND CASE WHEN $2 = '' THEN n.nspname = ANY (current_schemas(true)) ELSE lower(n.nspname) = lower($2) END
ORDER BY c.relname <> $1, n.nspname <> $2, array_position(current_schemas(true), n.nspname) NULLS LAST, c.relname COLLATE "C"
LIMIT 1`, table, schema)
	if err != nil {
		return "", nil, false, connectError(err)
	}
	if len(hits) == 0 {
		return "", nil, false, nil
	}
	var rows []columnRow
	if err := w.db.SelectContext(ctx, &rows, columnsQuery+`a.attrelid = $1 ORDER BY a.attnum`, hits[0].OID); err != nil {
		return "", nil, false, connectError(err)
	}
	for _, r := range rows {
		columns = append(columns, r.column())
	}
	quotedSchema, err := source.QuoteIdent(hits[0].Schema)
	if err != nil {
		return "", nil, false, err
	}
	quotedTable, err := source.QuoteIdent(hits[0].Name)
	if err != nil {
		return "", nil, false, err
	}
	return quotedSchema + "." + quotedTable, columns, true, nil
}

// session is a connection on which statements are prepared, with what was
// learned of relations and types there.
type session struct {
	w     *Warehouse
	conn  *pgconn.PgConn
	known map[string]relation
	types map[uint32]source.Type
}

type relation struct {
	table   string // quoted, "" for SQL
	columns []source.Column
}

func (w *Warehouse) session(ctx context.Context) (*session, error) {
	c, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &session{w: w, conn: c, known: map[string]relation{}, types: map[uint32]source.Type{}}, nil
}

func (s *session) close() { _ = disconnect(s.conn) } // nothing was written

// prepare prepares a statement and tells its columns.
func (s *session) prepare(ctx context.Context, st *source.Statement) ([]source.Column, error) {
	d, err := s.conn.Prepare(ctx, "", st.SQL, nil)
	if err != nil {
		return nil, sqlError(ctx, err, st, true)
	}
	out := make([]source.Column, len(d.Fields))
	for i, f := range d.Fields {
		t, err := s.typeOf(ctx, f.DataTypeOID, f.TypeModifier)
		if err != nil {
			return nil, err
		}
		out[i] = source.Column{Name: f.Name, Type: t}
	}
	return out, nil
}

func (s *session) typeOf(ctx context.Context, oid uint32, mod int32) (source.Type, error) {
	if t, ok := typeOf(oid, mod); ok {
		return t, nil
	}
	if t, ok := s.types[oid]; ok {
		return t, nil
	}
	var row struct {
		Name     string `db:"name"`
		Kind     string `db:"kind"`
		Category string `db:"category"`
	}
	err := s.w.db.GetContext(ctx, &row, `SELECT format_type(oid, NULL) AS name, typtype AS kind, typcategory AS category FROM pg_catalog.pg_type WHERE oid = $1`, oid)
	if err != nil {
		return source.Type{}, fmt.Errorf("look up type: %w", connectError(err))
	}
	t := otherType(row.Name, row.Kind, row.Category)
	s.types[oid] = t
	return t, nil
}

func relationKey(rel *source.Relation) string {
	if rel.Table != "" {
		return "t" + rel.Table
	}
	return "s" + rel.SQL
}

// remembered is columns for a relation that was asked for before.
func (s *session) remembered(rel *source.Relation) ([]source.Column, bool) {
	known, ok := s.known[relationKey(rel)]
	if ok && known.table != "" {
		rel.Table = known.table
	}
	return known.columns, ok
}

// columns tells a relation's columns, and a table's name as the server spells it.
func (s *session) columns(ctx context.Context, rel *source.Relation) ([]source.Column, error) {
	if columns, ok := s.remembered(rel); ok {
		return columns, nil
	}
	key := relationKey(rel)
	var found relation
	if rel.Table != "" {
		quoted, columns, ok, err := s.w.introspect(ctx, rel.Table)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &source.SQLError{Part: source.PartRelation, Offset: 0, Code: "unknown-table", Name: rel.Table,
				Message: fmt.Sprintf("table %q does not exist", rel.Table)}
		}
		found = relation{table: quoted, columns: columns}
		rel.Table = quoted
	} else {
		if err := source.CheckRelation(rel.SQL, s.w.volatile); err != nil {
			return nil, err
		}
		st, err := dialect.Columns(rel)
		if err != nil {
			return nil, err
		}
		if found.columns, err = s.prepare(ctx, st); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{}
	for _, c := range found.columns {
		if seen[strings.ToLower(c.Name)] {
			return nil, &source.SQLError{Part: source.PartRelation, Offset: -1, Code: "other", Name: c.Name,
				Message: fmt.Sprintf("two columns are named %q", c.Name)}
		}
		seen[strings.ToLower(c.Name)] = true
	}
	s.known[key] = found
	return found.columns, nil
}

// Columns tells a relation's columns. See source.Source.
func (w *Warehouse) Columns(ctx context.Context, rel *source.Relation) ([]source.Column, error) {
	s, err := w.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", rel.Name, err)
	}
	defer s.close()
	full, err := source.CompleteRelation(ctx, rel, s.columns)
	if err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", rel.Name, err)
	}
	return full.Columns, nil
}

// Describe prepares the expressions of q. See source.Source.
func (w *Warehouse) Describe(ctx context.Context, q *source.Query) ([]source.Described, error) {
	if q.From == nil {
		return nil, errors.New("describe: a query without a relation")
	}
	s, err := w.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", q.From.Name, err)
	}
	defer s.close()
	full, err := source.Complete(ctx, q, s.columns)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", q.From.Name, err)
	}
	out, err := source.DescribeAll(ctx, &dialect, full, w.volatile, func(ctx context.Context, st *source.Statement) ([]source.Type, error) {
		columns, err := s.prepare(ctx, st)
		if err != nil {
			return nil, err
		}
		types := make([]source.Type, len(columns))
		for i, c := range columns {
			types[i] = c.Type
		}
		return types, nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", q.From.Name, err)
	}
	return out, nil
}
