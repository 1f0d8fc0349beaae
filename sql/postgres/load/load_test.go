package load_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"

	"remit/sql/duckdb"
	"remit/sql/postgres"
	"remit/sql/postgres/load"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// folder makes a warehouse of files and opens it.
func folder(t *testing.T, files map[string]string) (*source.Catalog, source.Snapshot) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := duckdb.Open(t.Context(), dir, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snap.Close() })
	return catalog, snap
}

func rows(t *testing.T, snap source.Snapshot, table string, columns ...string) [][]string {
	t.Helper()
	q := &source.Query{From: &source.Relation{Name: "r", Table: table}}
	for _, c := range columns {
		q.Columns = append(q.Columns, source.Expr{SQL: c})
	}
	stream, err := snap.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out [][]string
	for stream.Next() {
		var row []string
		for _, v := range stream.Row() {
			if v.IsNull() {
				row = append(row, "NULL")
			} else {
				row = append(row, string(v.Bytes()))
			}
		}
		out = append(out, row)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

var types = map[string]string{
	"warehouse.yaml": `schema: claims
time_zone: America/New_York
tables:
  t:
    columns: {Small: SMALLINT, Whole: BIGINT, Money: "DECIMAL(12,2)", Wide: "DECIMAL(28,15)", Ratio: DOUBLE, Flag: BOOLEAN, Day: DATE, Moment: TIMESTAMP, Instant: TIMESTAMPTZ, U: UUID}
`,
	"t.csv": `Id,Small,Whole,Money,Wide,Ratio,Flag,Day,Moment,Instant,U,Text,end
1,-7,9007199254740993,12.50,1018.099999999999900,0.1,true,2018-11-02,2018-11-02 10:20:30.123456,2018-11-02 10:20:30,6f8a5c5e-0e7a-4f44-9f0e-0d6f4f2a5b11,"a	b \N \\ "" c
d",é
2,,,,,,,,,,,,
3,0,0,0.00,0.000000000000000,1e300,false,0001-01-01,1999-12-31 00:00:00,1999-12-31 23:59:59.5,00000000-0000-0000-0000-000000000000," ",0450
`,
	"nested.ndjson": `{"id":"a","lines":[{"n":1,"amount":1.10},{"n":2,"amount":null}],"head":{"x":"ü\t"}}
{"id":"b","lines":[],"head":null}
`,
}

// What is read back from PostgreSQL is, value for value, what the folder's
// engine reads, and the types have the same kind.
func TestIntoKeepsEveryValue(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	catalog, snap := folder(t, types)
	var told int64
	report, err := load.Into(t.Context(), dsn, snap, catalog.Tables, load.Options{
		Schema: "Claims", Progress: func(n int64) { told = n },
		Indexes: []load.Index{{Table: "t", Columns: []string{"Text", "Id"}}, {Table: "t", Columns: []string{"text", "id"}}, {Table: "nested", Columns: []string{"id"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &load.Report{Schema: "claims", Rows: 5, Indexes: []string{"nested (id)", "t (text, id)"},
		Tables: []load.Table{{Name: "nested", Rows: 2, Columns: 3}, {Name: "t", Rows: 3, Columns: 13}}}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if told != 5 {
		t.Errorf("progress ended at %d rows, want 5", told)
	}

	w, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	back, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	columns := []string{"id", "small", "whole", "money", "wide", "ratio", "flag", "day", "moment", "instant", "u", "text", `"end"`}
	if diff := cmp.Diff(rows(t, snap, "claims.t", columns...), rows(t, back, "claims.t", columns...)); diff != "" {
		t.Errorf("rows (-duckdb +postgres):\n%s", diff)
	}
	if diff := cmp.Diff(rows(t, snap, "claims.nested", "id", "lines", "head"), rows(t, back, "claims.nested", "id", "lines", "head")); diff != "" {
		t.Errorf("nested (-duckdb +postgres):\n%s", diff)
	}

	read, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range catalog.Tables {
		at := slices.IndexFunc(read.Tables, func(o source.Table) bool { return o.Name == table.Name })
		if at < 0 {
			t.Errorf("table %s is missing", table.Name)
			continue
		}
		for i, c := range table.Columns {
			got := read.Tables[at].Columns[i]
			if got.Name != strings.ToLower(c.Name) || got.Type.Kind != c.Type.Kind || got.Type.Scale != c.Type.Scale {
				t.Errorf("%s.%s is %s %v, want the kind of %s", table.Name, got.Name, got.Type.Name, got.Type.Kind, c.Type.Name)
			}
		}
	}
	// Texts sort by bytes, whatever the database's own collation.
	if got := rows(t, back, "claims.t", "text < 'A'"); got[2][0] != "true" {
		t.Errorf("a blank does not sort before a letter: %v", got)
	}
}

// Structures and lists of an engine that has them become jsonb.
func TestIntoKeepsNestedValues(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	file := filepath.Join(t.TempDir(), "claims.duckdb")
	db, err := sql.Open("duckdb", file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `CREATE TABLE nested AS SELECT 1 AS id, [{'n': 1}, {'n': 2}] AS lines, {'x': 'ü', 'd': DATE '2020-02-29'} AS head
UNION ALL SELECT 2, NULL, NULL`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	w, err := duckdb.Open(t.Context(), file, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if _, err := load.Into(t.Context(), dsn, snap, catalog.Tables, load.Options{Schema: "claims"}); err != nil {
		t.Fatal(err)
	}
	there, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	back, err := there.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	want := [][]string{{"1", "2", "ü", "2020-02-29"}, {"2", "NULL", "NULL", "NULL"}}
	got := rows(t, back, "claims.nested", "id", "lines->1->>'n'", "head->>'x'", "CAST(head->>'d' AS date)")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nested (-want +got):\n%s", diff)
	}
}

// A schema that is there is refused and left as it is; so are two loads at once.
func TestIntoRefusesAnExistingSchema(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, "CREATE SCHEMA claims; CREATE TABLE claims.t (mine int)"); err != nil {
		t.Fatal(err)
	}
	catalog, snap := folder(t, types)
	_, err := load.Into(t.Context(), dsn, snap, catalog.Tables, load.Options{Schema: "claims"})
	if !errors.Is(err, load.ErrSchemaExists) {
		t.Fatalf("error %v, want ErrSchemaExists", err)
	}
	if err := postgrestest.Exec(t.Context(), dsn, "INSERT INTO claims.t VALUES (1)"); err != nil {
		t.Errorf("the table that was there is not: %v", err)
	}
}

// failing ends every stream with an error after its rows.
type failing struct {
	source.Snapshot
	table string
	err   error
}

func (f failing) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	s, err := f.Snapshot.Stream(ctx, q)
	if err != nil || q.From.Table != f.table {
		return s, err
	}
	return failingStream{s, f.err}, nil
}

type failingStream struct {
	source.RowStream
	err error
}

func (f failingStream) Err() error { return f.err }

// Whatever stops a load, nothing of it stays, and the same load then works.
func TestIntoIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	catalog, snap := folder(t, types)
	broken := errors.New("the disk is gone")
	into := func(ctx context.Context, from source.Snapshot, o load.Options) error {
		o.Schema = "claims"
		_, err := load.Into(ctx, dsn, from, catalog.Tables, o)
		return err
	}
	if err := into(t.Context(), failing{snap, "claims.t", broken}, load.Options{}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the stream's own", err)
	}
	if err := into(t.Context(), snap, load.Options{Indexes: []load.Index{{Table: "t", Columns: []string{"nothing"}}}}); err == nil || !strings.Contains(err.Error(), "table t has no column nothing") {
		t.Errorf("an index on a column that is not there: error %v", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	err := into(gone, snap, load.Options{Progress: func(int64) { cancel(stopped) }})
	if !errors.Is(err, stopped) {
		t.Errorf("error %v, want the cause of the cancelled context", err)
	}
	if err := into(t.Context(), snap, load.Options{}); err != nil {
		t.Errorf("after loads that failed: %v", err)
	}
}

// rowsOf is a snapshot of one table of given rows.
type rowsOf struct {
	source.Snapshot
	rows [][]source.Value
}

func (r *rowsOf) Stream(context.Context, *source.Query) (source.RowStream, error) {
	return &rowsStream{rows: r.rows}, nil
}
func (r *rowsOf) AsOf() time.Time { return time.Time{} }

type rowsStream struct {
	rows [][]source.Value
	at   int
}

func (s *rowsStream) Next() bool      { s.at++; return s.at <= len(s.rows) }
func (s *rowsStream) Row() source.Row { return s.rows[s.at-1] }
func (s *rowsStream) Err() error      { return nil }
func (s *rowsStream) Close() error    { return nil }

// A value that PostgreSQL cannot keep, or would keep otherwise, stops the load;
// the error tells where it stands and never what it is. So do faults that the
// server finds.
func TestIntoTellsPlacesNotValues(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	for _, c := range []struct {
		name, value, want string
		kind              source.Type
	}{
		{"NUL", "sesame\x00", "row 2, column c: a NUL character", source.Type{Kind: source.KindText, Name: "VARCHAR"}},
		{"nanoseconds", "2020-01-01T00:00:00.123456789", "row 2, column c: a timestamp finer than a microsecond", source.Type{Kind: source.KindTimestamp, Name: "TIMESTAMP_NS"}},
		{"not a date", "sesame", "server error (SQLSTATE 22007)", source.Type{Kind: source.KindDate, Name: "DATE"}},
		{"too large", "99999", "server error (SQLSTATE 22003)", source.Type{Kind: source.KindInteger, Name: "SMALLINT"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tables := []source.Table{{Schema: "main", Name: "t", Columns: []source.Column{{Name: "c", Type: c.kind}}}}
			from := &rowsOf{rows: [][]source.Value{{{}}, {source.Text([]byte(c.value))}}}
			_, err := load.Into(t.Context(), dsn, from, tables, load.Options{Schema: "s"})
			if err == nil || !strings.Contains(err.Error(), "table t: "+c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), strings.Trim(c.value, "\x00")) {
				t.Errorf("the error quotes the value")
			}
		})
	}
}

// Names that would be cut or would fall together are refused before anything
// is touched, all at once.
func TestIntoRefusesNames(t *testing.T) {
	t.Parallel()
	text := source.Type{Kind: source.KindText, Name: "VARCHAR"}
	long := strings.Repeat("n", 64)
	tables := []source.Table{
		{Schema: "main", Name: "a", Columns: []source.Column{{Name: "x", Type: text}, {Name: "X", Type: text}, {Name: long, Type: text}}},
		{Schema: "main", Name: "b"}, {Schema: "main", Name: "B"},
		{Schema: "main", Name: "c", Columns: []source.Column{{Name: "x", Type: source.Type{Kind: source.KindComposite, Name: "BLOB"}}}},
	}
	_, err := load.Into(t.Context(), "postgres://nobody@127.0.0.1:1/none", nil, tables, load.Options{})
	for _, want := range []string{"schema: the name is empty", "column X: differs from x in case alone", "has 64 bytes, PostgreSQL keeps 63",
		"tables b and B differ in case alone", "type BLOB is not loaded"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell %q", err, want)
		}
	}
}

// A password never shows, whatever is wrong with the address.
func TestIntoHidesThePassword(t *testing.T) {
	t.Parallel()
	catalog, snap := folder(t, map[string]string{"t.csv": "id\n1\n"})
	for _, dsn := range []string{"postgres://user:opensesame@127.0.0.1:1/db", "postgres://user:opensesame@127.0.0.1:port/db"} {
		_, err := load.Into(t.Context(), dsn, snap, catalog.Tables, load.Options{Schema: "s"})
		if err == nil || strings.Contains(err.Error(), "opensesame") {
			t.Errorf("error %v", err)
		}
	}
}
