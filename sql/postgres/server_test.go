package postgres_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
	"remit/sql/duckdb"
	"remit/sql/postgres"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

func open(t testing.TB, dsn string, options postgres.Options) *postgres.Warehouse {
	t.Helper()
	w, err := postgres.Open(t.Context(), dsn, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func snap(t testing.TB, w source.Source) source.Snapshot {
	t.Helper()
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func read(t *testing.T, s source.Snapshot, q *source.Query) []string {
	t.Helper()
	stream, err := s.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out []string
	for stream.Next() {
		var row strings.Builder
		for _, v := range stream.Row() {
			if v.IsNull() {
				row.WriteString("<null>")
			}
			row.Write(v.Bytes())
			row.WriteByte('|')
		}
		out = append(out, row.String())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSameAsDuckDB reads the whole fixture from both engines: every column of
// every row must be the same text in the same order.
func TestSameAsDuckDB(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.LoadCSV(t.Context(), dsn, "tuva", fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tuva")
	if err := fixtures.Write(dir, fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	embedded, err := duckdb.Open(t.Context(), dir, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	server := open(t, dsn, postgres.Options{})
	a, b := snap(t, server), snap(t, embedded)
	for table, keys := range map[string][]string{
		"tuva.eligibility":    {"data_source", "patient_id", "enrollment_start_date"},
		"tuva.medical_claim":  {"data_source", "claim_id", "claim_line_number"},
		"tuva.pharmacy_claim": {"data_source", "claim_id", "claim_line_number"},
	} {
		q := &source.Query{From: &source.Relation{Name: "r", Table: table}}
		columns, err := server.Columns(t.Context(), q.From)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range columns {
			q.Columns = append(q.Columns, source.Expr{SQL: c.Name})
		}
		for _, k := range keys {
			q.Key = append(q.Key, source.KeyColumn{Name: k})
		}
		if diff := cmp.Diff(read(t, b, q), read(t, a, q)); diff != "" {
			t.Errorf("%s (-duckdb +postgres):\n%s", table, diff)
		}
		described := map[string][]source.Described{}
		for name, w := range map[string]source.Source{"duckdb": embedded, "postgres": server} {
			if described[name], err = w.Describe(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		for i := range q.Columns {
			d, p := described["duckdb"][i].Type, described["postgres"][i].Type
			if d.Kind != p.Kind || d.Scale != p.Scale {
				t.Errorf("%s.%s is %s and %s", table, q.Columns[i].SQL, d.Name, p.Name)
			}
		}
	}
}

const numbers = "CREATE TABLE numbers AS SELECT n FROM generate_series(0, 999) AS g(n)"

// endless gives rows, but has not given its last for an hour.
func endless(name string) *source.Query {
	return &source.Query{From: &source.Relation{Name: name, SQL: "SELECT a.n FROM numbers a CROSS JOIN numbers b CROSS JOIN numbers c CROSS JOIN numbers d"}, Columns: []source.Expr{{SQL: "n"}}}
}

// TestServerStops asks the server itself whether a query still runs after its
// context ended, and after its stream was closed early.
func TestServerStops(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, numbers); err != nil {
		t.Fatal(err)
	}
	w := open(t, dsn, postgres.Options{Application: "remit-stops"})
	s := snap(t, w)
	running := func() string {
		watch := open(t, dsn, postgres.Options{Application: "watch"})
		rows := read(t, snap(t, watch), &source.Query{From: &source.Relation{Name: "p", SQL: "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'remit-stops' AND state = 'active'"},
			Columns: []source.Expr{{SQL: "n"}}})
		return rows[0]
	}
	stopping := errors.New("stopping")
	ctx, cancel := context.WithCancelCause(t.Context())
	stream, err := s.Stream(ctx, endless("a"))
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Next() {
		t.Fatalf("no row: %v", stream.Err())
	}
	if got := running(); got != "1|" {
		t.Errorf("%s queries run, want 1", got)
	}
	cancel(stopping)
	for stream.Next() {
	}
	if !errors.Is(stream.Err(), stopping) {
		t.Errorf("ended with %v, want the context's cause", stream.Err())
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if got := running(); got != "0|" {
		t.Errorf("%s queries run after the context ended", got)
	}
	if stream, err = s.Stream(t.Context(), endless("b")); err != nil {
		t.Fatal(err)
	}
	if !stream.Next() {
		t.Fatalf("no row: %v", stream.Err())
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if got := running(); got != "0|" {
		t.Errorf("%s queries run after Close", got)
	}
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, numbers); err != nil {
		t.Fatal(err)
	}
	s := snap(t, open(t, dsn, postgres.Options{StatementTimeout: 300 * time.Millisecond}))
	q := endless("a")
	q.Key = []source.KeyColumn{{Name: "n"}}
	stream, err := s.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Next() {
	}
	if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "statement timeout") {
		t.Errorf("error %v, want the statement timeout", err)
	}
}

func TestSearchPath(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, `CREATE SCHEMA "Pay"; CREATE TABLE "Pay".claim (k text); INSERT INTO "Pay".claim VALUES ('1'); CREATE DOMAIN money2 AS numeric(12,2);
CREATE TYPE side AS ENUM ('left', 'right'); CREATE TABLE public.typed (k text, m money2, s side, b bytea, r int4range, c varchar(3), ch "char");
INSERT INTO public.typed VALUES ('1', 1.5, 'left', 'x', '[1,2]', 'abc', 'q')`); err != nil {
		t.Fatal(err)
	}
	w := open(t, dsn, postgres.Options{SearchPath: []string{"Pay"}, Loaded: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)})
	s := snap(t, w)
	q := &source.Query{From: &source.Relation{Name: "c", Table: "CLAIM"}, Columns: []source.Expr{{SQL: "k"}}, Key: []source.KeyColumn{{Name: "K"}}}
	if diff := cmp.Diff([]string{"1|"}, read(t, s, q)); diff != "" {
		t.Error(diff)
	}
	if s.Loaded().Year() != 2024 {
		t.Errorf("Loaded %v", s.Loaded())
	}
	typed := &source.Query{From: &source.Relation{Name: "t", Table: "public.typed"}, Columns: []source.Expr{{SQL: "m"}, {SQL: "s"}, {SQL: "c"}, {SQL: "ch"}, {SQL: "b"}, {SQL: "r"}}, Key: []source.KeyColumn{{Name: "k"}}}
	described, err := w.Describe(t.Context(), typed)
	if err != nil {
		t.Fatal(err)
	}
	want := []source.Kind{source.KindDecimal, source.KindText, source.KindText, source.KindText, source.KindComposite, source.KindComposite}
	for i, d := range described {
		if d.Type.Kind != want[i] || (d.Err != nil) != (want[i] == source.KindComposite) {
			t.Errorf("%s: kind %d, error %v; want kind %d", typed.Columns[i].SQL, d.Type.Kind, d.Err, want[i])
		}
	}
	typed.Columns = typed.Columns[:4]
	if diff := cmp.Diff([]string{"1.50|left|abc|q|"}, read(t, s, typed)); diff != "" {
		t.Error(diff)
	}
}

// Some patients' rows of a source that numbers rows are found by the index: else
// one patient's export would read the warehouse.
func TestPatientsBelowWindow(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, `CREATE TABLE public.visit AS SELECT (i % 5000)::text COLLATE "C" AS patient, i AS n FROM generate_series(1, 50000) AS g(i);
CREATE INDEX visit_patient ON public.visit (patient); ANALYZE public.visit`); err != nil {
		t.Fatal(err)
	}
	s := snap(t, open(t, dsn, postgres.Options{}))
	q := &source.Query{
		From:    &source.Relation{Name: "v", SQL: "SELECT x.*, row_number() OVER (PARTITION BY patient ORDER BY n) AS rank FROM public.visit x"},
		Columns: []source.Expr{{SQL: "rank"}}, Key: []source.KeyColumn{{Name: "n"}},
		Narrow: source.Narrow{Patient: source.KeyColumn{Name: "patient"}, Patients: []string{"7", "4711"}},
	}
	rows := read(t, s, q)
	if len(rows) != 20 {
		t.Errorf("%d rows, want 20", len(rows))
	}
	e, err := s.Explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(e.Plan, "Index Cond: (patient = ANY") {
		t.Errorf("the index on patient is not used:\n%s", e.Plan)
	}

	// One patient is found so on the other side of a join, too.
	q.From = &source.Relation{Name: "v", SQL: `SELECT x.*, y.last AS rank FROM public.visit x
LEFT JOIN (SELECT patient, max(n) AS last FROM public.visit GROUP BY patient) y ON y.patient = x.patient`}
	q.Narrow.Patients = []string{"7"}
	if rows := read(t, s, q); len(rows) != 10 {
		t.Errorf("%d rows, want 10", len(rows))
	}
	if e, err = s.Explain(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(e.Plan, "Index Cond: (patient = '7'"); n != 2 {
		t.Errorf("the index on patient is used %d times, want 2:\n%s", n, e.Plan)
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	for name, test := range map[string]struct{ dsn, want string }{
		"no server":      {"postgres://someone:hushhush@127.0.0.1:1/db?sslmode=disable", "open warehouse postgres 127.0.0.1/db: "},
		"no database":    {strings.Replace(dsn, "/test", "/none", 1), "no such database"},
		"not an address": {"postgres://someone:hushhush@[::1", "the connection string is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), test.dsn, postgres.Options{ConnectTimeout: 5 * time.Second})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "hushhush") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// BenchmarkStream reads 200,475 claim lines in key order, 40 columns of each.
func BenchmarkStream(b *testing.B) {
	dsn := postgrestest.DSN(b)
	if err := postgrestest.LoadCSV(b.Context(), dsn, "tuva", fixtures.Tuva()); err != nil {
		b.Fatal(err)
	}
	if err := postgrestest.Exec(b.Context(), dsn, `CREATE TABLE tuva.many AS SELECT m.* FROM tuva.medical_claim m, generate_series(1, 33) AS g(i);
ANALYZE tuva.many`); err != nil {
		b.Fatal(err)
	}
	s := snap(b, open(b, dsn, postgres.Options{}))
	q := &source.Query{From: &source.Relation{Name: "line", Table: "tuva.many"},
		Key: []source.KeyColumn{{Name: "data_source"}, {Name: "claim_id"}}, Order: []source.KeyColumn{{Name: "claim_line_number"}}}
	for _, c := range strings.Fields(`claim_id claim_line_number patient_id claim_start_date claim_end_date place_of_service_code service_unit_quantity
hcpcs_code rendering_npi paid_amount allowed_amount charge_amount revenue_center_code bill_type_code data_source`) {
		q.Columns = append(q.Columns, source.Expr{SQL: c})
	}
	for _, n := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25") {
		q.Columns = append(q.Columns, source.Expr{SQL: "diagnosis_code_" + n})
	}
	b.ReportAllocs()
	rows, size := 0, 0
	for b.Loop() {
		stream, err := s.Stream(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		for stream.Next() {
			rows++
			for _, v := range stream.Row() {
				size += len(v.Bytes())
			}
		}
		if err := stream.Err(); err != nil {
			b.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if rows%200475 != 0 || size == 0 {
		b.Fatalf("%d rows of %d bytes", rows, size)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
