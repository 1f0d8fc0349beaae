package sourcetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/sql/source"
)

const claims = `CREATE TABLE claim (claim_id text NOT NULL, line integer, paid decimal(18,2), day date, note text);
INSERT INTO claim VALUES ('c1', 1, 12.50, '2020-01-01', 'SECRETVALUE'), ('c2', 2, NULL, NULL, '77');
CREATE SCHEMA other;
CREATE TABLE other.lines (claim_id text, n bigint);
CREATE VIEW claims_seen AS SELECT claim_id, paid FROM claim;`

func claimQuery(sql ...string) *source.Query {
	return &source.Query{From: &source.Relation{Name: "cl", Table: "claim"}, Columns: exprs(sql...), Key: textKey("claim_id")}
}

func testCatalog(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]source.Table{}
	for _, table := range catalog.Tables {
		tables[table.Name] = table
	}
	claim, ok := tables["claim"]
	if !ok {
		t.Fatalf("no table claim in %v", catalog.Tables)
	}
	var got []string
	for _, c := range claim.Columns {
		got = append(got, fmt.Sprintf("%s %d", c.Name, c.Type.Kind))
	}
	want := []string{"claim_id 1", "line 2", "paid 3", "day 6", "note 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns of claim (-want +got):\n%s", diff)
	}
	if paid := claim.Columns[2].Type; paid.Precision != 18 || paid.Scale != 2 {
		t.Errorf("paid is %+v", paid)
	}
	if _, ok := tables["other.lines"]; !ok {
		t.Error("a table off the search path is not listed under its schema")
	}
	// Every table can be read under the name it is listed by.
	for _, table := range catalog.Tables {
		if _, err := w.Columns(t.Context(), &source.Relation{Name: "x", Table: table.Name}); err != nil {
			t.Errorf("columns of %s: %v", table.Name, err)
		}
	}
}

func testColumns(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	columns, err := w.Columns(t.Context(), &source.Relation{Name: "x", SQL: "SELECT claim_id AS id, count(*) AS n, sum(paid) AS paid FROM claim GROUP BY claim_id"})
	if err != nil {
		t.Fatal(err)
	}
	table, err := w.Columns(t.Context(), &source.Relation{Name: "x", Table: "claim"})
	if err != nil {
		t.Fatal(err)
	}
	// A Parquet file declares nothing of the kind, hence only one direction.
	for _, c := range table {
		if c.NotNull && c.Name != "claim_id" {
			t.Errorf("column %s is NOT NULL", c.Name)
		}
	}
	var got []string
	for _, c := range columns {
		got = append(got, fmt.Sprintf("%s %d", c.Name, c.Type.Kind))
	}
	if diff := cmp.Diff([]string{"id 1", "n 2", "paid 3"}, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	_, err = w.Columns(t.Context(), &source.Relation{Name: "x", SQL: "SELECT a.line, b.line FROM claim a, claim b"})
	var fault *source.SQLError
	if err == nil {
		t.Error("two columns of one name were accepted")
	} else if !errors.As(err, &fault) || fault.Part != source.PartRelation {
		t.Errorf("two columns of one name: %v", err)
	}
}

func testDescribeTypes(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	q := claimQuery("claim_id", "line", "paid", "day", "cl.note || 'x'", "day + 1", "paid > 1")
	q.Where = exprs("paid > 1", "line IN (1, 2)")
	described, err := w.Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := []source.Kind{source.KindText, source.KindInteger, source.KindDecimal, source.KindDate, source.KindText, source.KindDate, source.KindBoolean,
		source.KindBoolean, source.KindBoolean}
	if len(described) != len(want) {
		t.Fatalf("%d answers, want %d", len(described), len(want))
	}
	for i, d := range described {
		if d.Err != nil || d.Type.Kind != want[i] {
			t.Errorf("expression %d: kind %d, error %v; want kind %d", i, d.Type.Kind, d.Err, want[i])
		}
		if d.Type.Name == "" {
			t.Errorf("expression %d: the type has no name", i)
		}
	}
}

// testDescribeBareNull asks about columns whose type the engine decides where
// they are used, and about those beside which they stand.
func testDescribeBareNull(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	for name, from := range map[string]*source.Relation{
		"sql":     {Name: "cl", SQL: "SELECT claim_id, paid, NULL AS nothing, CAST(note AS varchar(40)) AS note_1, note AS note_2 FROM claim"},
		"unpivot": {Name: "each", Unpivot: &source.Unpivot{Of: &source.Relation{Name: "cl", SQL: "SELECT claim_id, paid, NULL AS nothing, CAST(note AS varchar(40)) AS note_1, note AS note_2 FROM claim"}, From: "1", To: "2", Columns: []source.UnpivotColumn{{Name: "note", Pattern: "note_{n}"}}}},
	} {
		q := &source.Query{From: from, Columns: exprs("coalesce(nothing, 'a')", "paid * 2", "upper(note_1)", "upper(note_2) || claim_id"), Key: textKey("claim_id")}
		want := []source.Kind{source.KindText, source.KindDecimal, source.KindText, source.KindText}
		if name == "unpivot" {
			q.Columns, want = append(q.Columns, exprs("n + 1", "upper(note)")...), append(want, source.KindInteger, source.KindText)
		}
		described, err := w.Describe(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range described {
			if d.Err != nil || d.Type.Kind != want[i] {
				t.Errorf("%s: %s: kind %d, error %v; want kind %d", name, q.Columns[i].SQL, d.Type.Kind, d.Err, want[i])
			}
		}
	}
}

// faults are expressions that must be refused. offsets hold an engine's own
// opinion of the place where it differs.
var faults = []struct {
	name    string
	sql     string
	code    string
	offset  int
	offsets map[string]int
	missing string // SQLError.Name
}{
	{name: "unknown column", sql: "paid + zzz", code: "unknown-column", offset: 7, missing: "zzz"},
	{name: "unknown column behind multi-byte text", sql: "'é日😀' || zzz", code: "unknown-column", offset: 15, missing: "zzz"},
	{name: "unknown column on the second line", sql: "paid +\n  zzz", code: "unknown-column", offset: 9, missing: "zzz"},
	{name: "unknown qualified column", sql: "1 + cl.zzz", code: "unknown-column", offset: 4, missing: "zzz"},
	{name: "unknown relation", sql: "1 + pq.paid", code: "unknown-table", offset: 4, missing: "pq"},
	{name: "unknown function", sql: "1 + frobnicate(paid)", code: "unknown-function", offset: 4, missing: "frobnicate"},
	{name: "unknown type", sql: "CAST(note AS blurb)", code: "type", offset: 13},
	{name: "syntax", sql: "paid + + )(", code: "syntax", offset: 9},
	{name: "syntax of the engine", sql: "paid 12 note", code: "syntax", offset: 5},
	{name: "unfinished", sql: "paid +", code: "syntax", offset: 6},
	{name: "empty", sql: "  ", code: "syntax", offset: 0},
	{name: "semicolon", sql: "paid; DROP TABLE claim", code: "syntax", offset: 4},
	{name: "line comment", sql: "paid -- FROM", code: "syntax", offset: 5},
	{name: "block comment", sql: "paid /* x */", code: "syntax", offset: 5},
	{name: "open quote", sql: "'paid", code: "syntax", offset: 0},
	{name: "bound value", sql: "paid + $1", code: "syntax", offset: 7},
	{name: "escape from the brackets", sql: "1) FROM claim WHERE (1 = 1", code: "syntax", offset: 1},
	{name: "type", sql: "paid + day", code: "type", offset: 5},
	{name: "aggregate", sql: "1 + sum(paid)", code: "not-scalar", offset: 4},
	{name: "window", sql: "1 + row_number() OVER ()", code: "not-scalar", offset: 4},
	{name: "set-returning", sql: "unnest(ARRAY[1, 2])", code: "not-scalar", offset: 0},
	{name: "array", sql: "ARRAY[1, 2]", code: "not-scalar", offset: 0},
	{name: "record", sql: "ROW(1, 2)", code: "not-scalar", offset: 0},
	{name: "whole row", sql: "cl", code: "not-scalar", offset: 0},
	{name: "json", sql: "CAST('[1]' AS json)", code: "not-scalar", offset: 0},
	{name: "now", sql: "paid * 1 + extract(year FROM now())", code: "volatile", offset: 29, missing: "now"},
	{name: "current date", sql: "current_date - 1", code: "volatile", offset: 0, missing: "current_date"},
	{name: "random", sql: "RANDOM()", code: "volatile", offset: 0, missing: "random"},
	{name: "uuid", sql: "CAST(gen_random_uuid() AS text)", code: "volatile", offset: 5, missing: "gen_random_uuid"},
	{name: "sequence", sql: "nextval('s')", code: "volatile", offset: 0, missing: "nextval"},
}

func testDescribeFaults(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	for _, test := range faults {
		t.Run(test.name, func(t *testing.T) {
			// Beside good ones, so that the place in the list is tested too.
			described, err := w.Describe(t.Context(), claimQuery("paid", "'é'", test.sql, "note"))
			if err != nil {
				t.Fatalf("Describe: %v", err)
			}
			for _, i := range []int{0, 1, 3} {
				if described[i].Err != nil {
					t.Errorf("good expression %d: %v", i, described[i].Err)
				}
			}
			fault := described[2].Err
			if fault == nil {
				t.Fatalf("accepted as %+v", described[2].Type)
			}
			want := test.offset
			if own, ok := test.offsets[w.Dialect()]; ok {
				want = own
			}
			if fault.Code != test.code || fault.Offset != want || fault.Part != source.PartColumn || fault.Index != 2 {
				t.Errorf("%v (part %d, index %d, offset %d); want code %s at %d", fault, fault.Part, fault.Index, fault.Offset, test.code, want)
			}
			if test.missing != "" && fault.Name != test.missing {
				t.Errorf("name %q, want %q", fault.Name, test.missing)
			}
			if fault.Message == "" || strings.ContainsAny(fault.Message, "\n") || strings.HasSuffix(fault.Message, ".") {
				t.Errorf("message %q is not one plain line", fault.Message)
			}
		})
	}
}

func testDescribeAllFaults(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	q := claimQuery("paid", "zzz1", "line + 1", "sum(paid)", "now()")
	q.Where = exprs("paid > 0", "zzz2 = 1", "line")
	described, err := w.Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range described {
		if d.Err == nil {
			got = append(got, "ok")
			continue
		}
		got = append(got, fmt.Sprintf("%d %d %s", d.Err.Part, d.Err.Index, d.Err.Code))
	}
	want := []string{"ok", "0 1 unknown-column", "ok", "0 3 not-scalar", "0 4 volatile", "ok", "1 1 unknown-column", "1 2 type"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func testDescribeMany(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	q := claimQuery()
	for i := range 400 {
		q.Columns = append(q.Columns, source.Expr{SQL: fmt.Sprintf("coalesce(note, 'x') || CAST(line + %d AS text)", i)})
	}
	described, err := w.Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range described {
		if d.Err != nil || d.Type.Kind != source.KindText {
			t.Fatalf("expression %d: %+v", i, d)
		}
	}
}

func testRelationFaults(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	for _, test := range []struct {
		name   string
		rel    source.Relation
		code   string
		offset int // -2: anywhere
		word   string
	}{
		{"missing table", source.Relation{Table: "no_such_table"}, "unknown-table", 0, "no_such_table"},
		{"missing schema", source.Relation{Table: "no_schema.claim"}, "unknown-table", 0, ""},
		{"missing table in SQL", source.Relation{SQL: "SELECT * FROM no_such_table"}, "unknown-table", 14, "no_such_table"},
		{"missing column in SQL", source.Relation{SQL: "SELECT 'é', zzz FROM claim"}, "unknown-column", 13, "zzz"},
		{"syntax in SQL", source.Relation{SQL: "SELECT * FORM claim"}, "syntax", -2, ""},
		{"semicolon in SQL", source.Relation{SQL: "SELECT 1 AS a; SELECT 2 AS b"}, "syntax", 13, ""},
		{"no query", source.Relation{SQL: "UPDATE claim SET line = 3"}, "syntax", 0, ""},
		{"volatile SQL", source.Relation{SQL: "SELECT claim_id, now() AS at FROM claim"}, "volatile", 17, "now"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.rel.Name = "r"
			_, columnsErr := w.Columns(t.Context(), &test.rel)
			_, describeErr := w.Describe(t.Context(), &source.Query{From: &test.rel, Columns: exprs("1")})
			_, streamErr := snapshot(t, w).Stream(t.Context(), &source.Query{From: &test.rel, Columns: exprs("1")})
			for _, err := range []error{columnsErr, describeErr, streamErr} {
				var fault *source.SQLError
				if !errors.As(err, &fault) {
					t.Errorf("error %v, want a fault of the SQL", err)
					continue
				}
				if fault.Part != source.PartRelation || fault.Code != test.code || test.offset != -2 && fault.Offset != test.offset || test.word != "" && fault.Name != test.word {
					t.Errorf("%v (part %d, name %q); want %s at %d", fault, fault.Part, fault.Name, test.code, test.offset)
				}
			}
		})
	}
}

func testReadOnly(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	s := snapshot(t, w)
	for _, sql := range []string{
		"WITH gone AS (DELETE FROM claim RETURNING claim_id) SELECT claim_id FROM gone",
		"WITH new AS (INSERT INTO claim (claim_id) VALUES ('x') RETURNING claim_id) SELECT claim_id FROM new",
		"SELECT claim_id FROM claim) AS r; DROP TABLE claim; SELECT * FROM (SELECT 'x' AS claim_id",
		"DELETE FROM claim",
		"COPY claim TO '/tmp/stolen.csv'",
		"SELECT content AS claim_id FROM read_text('/etc/passwd')",
		"SELECT * FROM read_csv('/etc/passwd')",
		"SELECT pg_read_file('/etc/passwd') AS claim_id",
		"SELECT claim_id FROM claim, pg_ls_dir('/')",
		"SELECT claim_id, set_config('search_path', 'x', false) AS c FROM claim",
		"ATTACH '/tmp/x.db' AS x",
		"SELECT query_to_xml('SELECT 1', true, true, '') AS claim_id",
	} {
		q := &source.Query{From: &source.Relation{Name: "r", SQL: sql}, Columns: exprs("claim_id"), Key: textKey("claim_id")}
		if rows, err := tryRead(t.Context(), s, q); err == nil {
			t.Errorf("%s: ran and gave %d rows", sql, len(rows))
		}
		if _, err := w.Columns(t.Context(), q.From); err == nil {
			t.Errorf("%s: prepared", sql)
		}
	}
	for _, sql := range []string{"(SELECT max(content) FROM read_text('/etc/passwd'))", "pg_read_file('/etc/passwd')", "pg_sleep(10)"} {
		if _, err := tryRead(t.Context(), s, claimQuery(sql)); err == nil {
			t.Errorf("%s: ran", sql)
		}
	}
	if got := read(t, snapshot(t, w), claimQuery("claim_id")); len(got) != 2 {
		t.Errorf("%d claims left, want 2", len(got))
	}
}

func testNoValueInErrors(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	s := snapshot(t, w)
	check := func(name string, err error, runtime bool) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", name)
			return
		}
		for _, secret := range []string{"SECRETVALUE", "SECRETPATIENT", "77", "12.5"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds a value", name)
			}
		}
		var fault *source.SQLError
		if runtime && (!errors.As(err, &fault) || fault.Code != "runtime") {
			t.Errorf("%s: %v, want a fault with code runtime", name, err)
		}
	}
	_, err := tryRead(t.Context(), s, claimQuery("CAST(note AS integer)"))
	check("conversion", err, true)
	_, err = tryRead(t.Context(), s, claimQuery("CAST(note AS date)"))
	check("conversion to date", err, true)
	_, err = tryRead(t.Context(), s, claimQuery("CAST(paid * 10000000000 AS integer)"))
	check("overflow", err, true)
	_, err = tryRead(t.Context(), s, claimQuery("(SELECT b.note FROM claim b)"))
	check("subquery", err, true)
	q := claimQuery("claim_id")
	q.Narrow = source.Narrow{Patient: source.KeyColumn{Name: "line"}, Patients: []string{"SECRETPATIENT"}}
	_, err = tryRead(t.Context(), s, q)
	check("bound value", err, true)
	q.Narrow = source.Narrow{KeyAfter: []string{"SECRETPATIENT", "more", "parts"}}
	_, err = tryRead(t.Context(), s, q)
	check("bound key", err, false)
	// The snapshot is still good.
	if got := read(t, s, claimQuery("claim_id")); len(got) != 2 {
		t.Errorf("%d rows after errors, want 2", len(got))
	}
}

func testExplain(t *testing.T, target Target) {
	w, _ := target.Open(t, claims)
	s := snapshot(t, w)
	q := claimQuery("paid", "snapshot.as_of")
	q.Narrow = source.Narrow{Patient: source.KeyColumn{Name: "claim_id"}, Patients: []string{"bound-value"}}
	e, err := s.Explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(e.SQL, "paid") || strings.Contains(e.SQL, "bound-value") {
		t.Errorf("SQL %s: the expression is missing, or a bound value is written out", e.SQL)
	}
	if e.Plan == "" || e.EstimatedRows < 0 {
		t.Errorf("plan of %d bytes, %d rows estimated", len(e.Plan), e.EstimatedRows)
	}
	// A sort may be dressed in operators of which the engine says nothing.
	if e, err = s.Explain(t.Context(), claimQuery("claim_id", "paid")); err != nil || e.EstimatedRows < 1 {
		t.Errorf("%v, %d rows of the whole table estimated", err, e.EstimatedRows)
	}
	if _, err := s.Explain(t.Context(), claimQuery("zzz")); err == nil {
		t.Error("a wrong expression was explained")
	}
}
