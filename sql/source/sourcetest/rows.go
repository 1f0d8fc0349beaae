package sourcetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/sql/source"
)

// pair is a composite key of the nasty table.
type pair struct {
	k string
	n int
}

// nastyTable holds every nasty key twice, under negative and positive
// numbers, in an order of no meaning.
func nastyTable() (script string, sorted []pair) {
	for i, k := range nasty {
		sorted = append(sorted, pair{k, i - 20}, pair{k, 1000 - i})
	}
	shuffled := slices.Clone(sorted)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	var b strings.Builder
	b.WriteString("CREATE TABLE nasty (k text, n bigint, v text);\nINSERT INTO nasty VALUES ")
	for i, p := range shuffled {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%s, %d, 'v%d')", quote(p.k), p.n, i)
	}
	b.WriteString(", (NULL, 1, 'null key'), ('a', NULL, 'null part');\n")
	slices.SortFunc(sorted, comparePairs)
	return b.String(), sorted
}

func comparePairs(a, b pair) int { return cmp.Or(strings.Compare(a.k, b.k), cmp.Compare(a.n, b.n)) }

func nastyQuery() *source.Query {
	return &source.Query{
		From:    &source.Relation{Name: "r", Table: "nasty"},
		Columns: exprs("k", "n"),
		Key:     []source.KeyColumn{{Name: "k", Type: textType}, {Name: "n", Type: integerType}},
	}
}

func pairRows(pairs []pair, keep func(pair) bool) [][]string {
	var out [][]string
	for _, p := range pairs {
		if keep(p) {
			out = append(out, []string{p.k, strconv.Itoa(p.n)})
		}
	}
	return out
}

func testByteOrder(t *testing.T, target Target) {
	script, sorted := nastyTable()
	w, _ := target.Open(t, script)
	s := snapshot(t, w)
	wantRows(t, read(t, s, nastyQuery()), pairRows(sorted, func(pair) bool { return true }))

	// Key (k), then order (n): the same rows but for the NULL in the order.
	q := nastyQuery()
	q.Order, q.Key = q.Key[1:], q.Key[:1]
	q.Where = exprs("n IS NOT NULL")
	wantRows(t, read(t, s, q), pairRows(sorted, func(pair) bool { return true }))

	// By number first.
	q = nastyQuery()
	slices.Reverse(q.Key)
	slices.SortFunc(sorted, func(a, b pair) int { return cmp.Or(cmp.Compare(a.n, b.n), strings.Compare(a.k, b.k)) })
	wantRows(t, read(t, s, q), pairRows(sorted, func(pair) bool { return true }))
}

func testCanonicalText(t *testing.T, target Target) {
	w, _ := target.Open(t, "CREATE TABLE one (k text, padded char(6)); INSERT INTO one VALUES ('1', 'ab');")
	tests := []struct {
		sql  string
		want string
		kind source.Kind
	}{
		{"CAST(7 AS smallint)", "7", source.KindInteger},
		{"CAST(-2147483648 AS integer)", "-2147483648", source.KindInteger},
		{"CAST(9223372036854775807 AS bigint)", "9223372036854775807", source.KindInteger},
		{"CAST(12.5 AS decimal(18,2))", "12.50", source.KindDecimal},
		{"CAST(-0.05 AS decimal(4,2))", "-0.05", source.KindDecimal},
		{"CAST(0 AS decimal(9,2))", "0.00", source.KindDecimal},
		{"CAST('1018.0999999999999' AS decimal(28,13))", "1018.0999999999999", source.KindDecimal},
		{"CAST('-12345678901234567890123456789012345.678' AS decimal(38,3))", "-12345678901234567890123456789012345.678", source.KindDecimal},
		{"CAST('99999999999999999999999999999999999999' AS decimal(38,0))", "99999999999999999999999999999999999999", source.KindDecimal},
		{"CAST(0.1 AS double precision)", "0.1", source.KindFloat},
		{"CAST(1234567.5 AS double precision)", "1234567.5", source.KindFloat},
		{"CAST('1e300' AS double precision)", "1e+300", source.KindFloat},
		{"CAST('NaN' AS double precision)", "NaN", source.KindFloat},
		{"CAST(0.1 AS real)", "0.1", source.KindFloat},
		{"1 = 1", "true", source.KindBoolean},
		{"1 = 2", "false", source.KindBoolean},
		{"DATE '2018-11-02'", "2018-11-02", source.KindDate},
		{"DATE '0001-01-01'", "0001-01-01", source.KindDate},
		{"DATE '2000-02-29'", "2000-02-29", source.KindDate},
		{"DATE '9999-12-31'", "9999-12-31", source.KindDate},
		{"CAST('infinity' AS date)", "infinity", source.KindDate},
		{"TIMESTAMP '2018-11-02 10:20:30'", "2018-11-02T10:20:30", source.KindTimestamp},
		{"TIMESTAMP '2018-11-02 10:20:30.5'", "2018-11-02T10:20:30.5", source.KindTimestamp},
		{"TIMESTAMP '1969-12-31 23:59:59.123456'", "1969-12-31T23:59:59.123456", source.KindTimestamp},
		{"CAST('infinity' AS timestamp)", "infinity", source.KindTimestamp},
		{"CAST('2018-11-02 10:20:30.25+02:00' AS timestamptz)", "2018-11-02T08:20:30.25Z", source.KindInstant},
		{"CAST('2018-11-02 10:20:30' AS timestamptz)", "2018-11-02T10:20:30Z", source.KindInstant},
		{"CAST('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' AS uuid)", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", source.KindUUID},
		{"CAST('7fffffff-0000-0000-0000-000000000001' AS uuid)", "7fffffff-0000-0000-0000-000000000001", source.KindUUID},
		{"'é 日本 '", "é 日本 ", source.KindText},
		{"''", "", source.KindText},
		{"'a long text of more than twelve bytes, é'", "a long text of more than twelve bytes, é", source.KindText},
		{"padded", "ab", source.KindText},
		{"padded || 'c'", "abc", source.KindText},
		{"CAST('10:20:30' AS time)", "10:20:30", source.KindText},
		{"CAST(NULL AS text)", null, source.KindText},
		{"CAST(NULL AS decimal(9,2))", null, source.KindDecimal},
		{"CAST(NULL AS date)", null, source.KindDate},
	}
	q := &source.Query{From: &source.Relation{Name: "one", Table: "one"}, Key: textKey("k")}
	var want []string
	for _, test := range tests {
		q.Columns = append(q.Columns, source.Expr{SQL: test.sql})
		want = append(want, test.want)
	}
	described, err := w.Describe(t.Context(), q)
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	got := read(t, snapshot(t, w), q)
	if len(got) != 1 {
		t.Fatalf("%d rows, want 1", len(got))
	}
	for i, test := range tests {
		if got[0][i] != want[i] {
			t.Errorf("%s: text %q, want %q", test.sql, got[0][i], want[i])
		}
		if described[i].Err != nil || described[i].Type.Kind != test.kind {
			t.Errorf("%s: kind %d (error %v), want %d", test.sql, described[i].Type.Kind, described[i].Err, test.kind)
		}
	}

	// Sums, whose type is wider than their argument's on both engines.
	sums := &source.Query{From: &source.Relation{Name: "s", SQL: `SELECT '1' AS k, sum(b) AS big, sum(d) AS money FROM
  (SELECT CAST(9223372036854775807 AS bigint) AS b, CAST(0.10 AS decimal(18,2)) AS d UNION ALL SELECT 9223372036854775807, 0.20) AS x`},
		Columns: exprs("big", "money"), Key: textKey("k")}
	wantRows(t, read(t, snapshot(t, w), sums), [][]string{{"18446744073709551614", "0.30"}})
}

func testKeyRanges(t *testing.T, target Target) {
	script, sorted := nastyTable()
	w, _ := target.Open(t, script)
	s := snapshot(t, w)
	bounds := [][]string{nil, {""}, {"07"}, {"Z"}, {"é"}, {"😀"}, {"nothing"}}
	for _, i := range []int{0, 17, 40, len(sorted) - 1} {
		bounds = append(bounds, []string{sorted[i].k, strconv.Itoa(sorted[i].n)})
	}
	bounds = append(bounds, []string{"a", "-999"}, []string{"a", "5000"})
	side := func(p pair, bound []string) int {
		if len(bound) == 1 {
			return strings.Compare(p.k, bound[0])
		}
		n, err := strconv.Atoi(bound[1])
		if err != nil {
			t.Fatal(err)
		}
		return comparePairs(p, pair{bound[0], n})
	}
	for _, after := range bounds {
		for _, upTo := range bounds {
			q := nastyQuery()
			q.Narrow.KeyAfter, q.Narrow.KeyUpTo = after, upTo
			want := pairRows(sorted, func(p pair) bool {
				return (after == nil || side(p, after) > 0) && (upTo == nil || side(p, upTo) <= 0)
			})
			t.Run(fmt.Sprintf("after %q up to %q", after, upTo), func(t *testing.T) { wantRows(t, read(t, s, q), want) })
		}
	}
}

func testIntegerKeyRanges(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE keyed (a bigint, b date, c text);
INSERT INTO keyed VALUES (-10, '2020-01-02', 'x'), (-9, '2020-01-01', 'y'), (-9, '2020-01-01', 'z'), (-9, '2020-02-01', 'a'), (2, '2019-12-31', 'b'), (10, '2020-01-01', 'c');`)
	s := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "keyed", Table: "keyed"}, Columns: exprs("a", "b", "c"),
		// Without types: the adapter takes the columns'.
		Key:    []source.KeyColumn{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Narrow: source.Narrow{KeyAfter: []string{"-9", "2020-01-01", "y"}, KeyUpTo: []string{"2", "2019-12-31", "b"}},
	}
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "z"}, {"-9", "2020-02-01", "a"}, {"2", "2019-12-31", "b"}})
	q.Narrow = source.Narrow{KeyAfter: []string{"-9", "2020-01-01"}}
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-02-01", "a"}, {"2", "2019-12-31", "b"}, {"10", "2020-01-01", "c"}})
	q.Narrow = source.Narrow{KeyAfter: []string{"-10"}, KeyUpTo: []string{"-9"}}
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "y"}, {"-9", "2020-01-01", "z"}, {"-9", "2020-02-01", "a"}})
	q.Narrow = source.Narrow{Any: []source.ColumnValues{{Column: source.KeyColumn{Name: "c"}, Values: []string{"y", "nothing"}}, {Column: source.KeyColumn{Name: "a"}, Values: []string{"10"}}}}
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "y"}, {"10", "2020-01-01", "c"}})
	q.Narrow.Any = []source.ColumnValues{}
	wantRows(t, read(t, s, q), [][]string{})
	q.Narrow = source.Narrow{KeyAfter: []string{"-10"}, KeyUpTo: []string{"-9"}}
	q.Limit = 2
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "y"}, {"-9", "2020-01-01", "z"}})
	q.Distinct = true
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "y"}, {"-9", "2020-01-01", "z"}})
	q.Limit, q.Distinct = 0, false
	q.Narrow = source.Narrow{Keys: [][]string{{"10", "2020-01-01", "c"}, {"-9", "2020-01-01", "z"}, {"-9", "2020-02-01", "z"}}}
	wantRows(t, read(t, s, q), [][]string{{"-9", "2020-01-01", "z"}, {"10", "2020-01-01", "c"}})
}

// testNullKeys asks that rows with a NULL key part come where they are asked
// for, each behind all rows of its own level, and that rows without a patient
// can be asked for alone.
func testNullKeys(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE nk (k text, l integer, n integer, p text);
INSERT INTO nk VALUES (NULL, 1, 1, 'p1'), ('z', NULL, 1, 'p1'), ('z', 2, 1, NULL), ('a', 1, NULL, 'p2'), ('a', 1, 5, 'p1'), ('a', NULL, 2, NULL), (NULL, NULL, 1, 'p2');`)
	s := snapshot(t, w)
	q := &source.Query{
		From: &source.Relation{Name: "nk", Table: "nk"}, Columns: exprs("k", "l", "n"),
		Key: append(textKey("k"), source.KeyColumn{Name: "l", Type: integerType}), Order: []source.KeyColumn{{Name: "n", Type: integerType}},
	}
	wantRows(t, read(t, s, q), [][]string{{"a", "1", "5"}, {"a", "1", null}, {"z", "2", "1"}})
	q.NullKeys = true
	wantRows(t, read(t, s, q), [][]string{
		{"a", "1", "5"}, {"a", "1", null}, {"a", null, "2"}, {"z", "2", "1"}, {"z", null, "1"}, {null, "1", "1"}, {null, null, "1"},
	})
	q.Narrow.Patient, q.Narrow.PatientNull = textKey("p")[0], true
	wantRows(t, read(t, s, q), [][]string{{"a", null, "2"}, {"z", "2", "1"}})
}

func testPatients(t *testing.T, target Target) {
	script, sorted := nastyTable()
	w, _ := target.Open(t, script)
	s := snapshot(t, w)
	narrow := source.Narrow{Patient: source.KeyColumn{Name: "k", Type: textType}}
	for _, test := range []struct {
		name         string
		after, upTo  *string
		patients     []string
		without      []string
		keep         func(string) bool
		wantNoRowsAt bool
	}{
		{name: "after", after: pointer("Z"), keep: func(k string) bool { return k > "Z" }},
		{name: "up to", upTo: pointer("Z"), keep: func(k string) bool { return k <= "Z" }},
		{name: "between", after: pointer("07"), upTo: pointer("ab"), keep: func(k string) bool { return k > "07" && k <= "ab" }},
		{name: "after the empty text", after: pointer(""), keep: func(k string) bool { return k > "" }},
		{name: "list", patients: []string{`"`, `\`, "{a,b}", "NULL", "é", "", "nobody", "a\nb"},
			keep: func(k string) bool { return slices.Contains([]string{`"`, `\`, "{a,b}", "NULL", "é", "", "a\nb"}, k) }},
		{name: "all but a list", without: []string{`"`, `\`, "{a,b}", "NULL", "é", "", "nobody", "a\nb"},
			keep: func(k string) bool { return !slices.Contains([]string{`"`, `\`, "{a,b}", "NULL", "é", "", "a\nb"}, k) }},
		{name: "all but an empty list", without: []string{}, keep: func(string) bool { return true }},
		{name: "a list but for another", patients: []string{"A", "B"}, without: []string{"B", "C"}, keep: func(k string) bool { return k == "A" }},
		{name: "a long list", patients: append(slices.Repeat([]string{"nobody"}, 5000), "é", "nobody else"), keep: func(k string) bool { return k == "é" }},
		{name: "all but a long list", without: append(slices.Repeat([]string{"nobody"}, 5000), "é"), keep: func(k string) bool { return k != "é" }},
		{name: "empty list", patients: []string{}, keep: func(string) bool { return false }},
		{name: "list in a range", after: pointer("A"), patients: []string{"A", "B"}, keep: func(k string) bool { return k == "B" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := nastyQuery()
			q.Narrow = narrow
			q.Narrow.PatientAfter, q.Narrow.PatientUpTo, q.Narrow.Patients = test.after, test.upTo, test.patients
			q.Narrow.PatientsNot = test.without
			wantRows(t, read(t, s, q), pairRows(sorted, func(p pair) bool { return test.keep(p.k) }))
		})
	}
	if _, err := s.Stream(t.Context(), &source.Query{From: &source.Relation{Name: "r", Table: "nasty"}, Columns: exprs("k"),
		Narrow: source.Narrow{Patients: []string{"a"}}}); err == nil {
		t.Error("patients without a patient column were accepted")
	}
}

// testOwners narrows what belongs to nobody to the rows of some owners, by way
// of the queries that tell whose data a row is, and an unpivot of such rows.
func testOwners(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE seen (who VARCHAR, npi VARCHAR, npi_2 VARCHAR);
INSERT INTO seen VALUES ('m1', 'a', 'x'), ('m1', 'b', 'y'), ('m2', 'b', 'x'), ('m3', 'c', 'z'), (NULL, 'd', 'z');
CREATE TABLE known (npi VARCHAR);
INSERT INTO known VALUES ('k')`)
	s := snapshot(t, w)
	sql := "WITH named AS NOT MATERIALIZED (\nSELECT * FROM seen -- all\n)\nSELECT DISTINCT npi, npi_2 FROM named UNION ALL SELECT npi, npi FROM known"
	start := strings.Index(sql, "SELECT * FROM seen")
	directory := &source.Relation{Name: "r", SQL: sql, Columns: []source.Column{{Name: "npi", Type: textType}, {Name: "npi_2", Type: textType}},
		Owned: []source.Owned{{Start: start, End: strings.Index(sql, "\n)"), Patient: textKey("who")[0]}}}
	for _, test := range []struct {
		name   string
		owners []string
		want   [][]string
	}{
		{"everybody", nil, [][]string{{"a"}, {"b"}, {"b"}, {"c"}, {"d"}, {"k"}}},
		{"one", []string{"m2"}, [][]string{{"b"}, {"k"}}},
		{"several", []string{"m1", "m3", "nobody"}, [][]string{{"a"}, {"b"}, {"c"}, {"k"}}},
		{"nobody", []string{}, [][]string{{"k"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := &source.Query{From: directory, Columns: exprs("npi"), Key: textKey("npi"), Narrow: source.Narrow{Owners: test.owners}}
			wantRows(t, read(t, s, q), test.want)
		})
	}
	unpivot := &source.Query{
		From: &source.Relation{Name: "each", Unpivot: &source.Unpivot{Of: directory, From: "2", To: "2", Columns: []source.UnpivotColumn{{Name: "other", Pattern: "npi_{n}"}}}},
		// A child of it is narrowed as its parent is.
		Columns: exprs("other"), Key: textKey("npi"), Order: []source.KeyColumn{{Name: "n", Type: integerType}}, Narrow: source.Narrow{Owners: []string{"m1"}},
		Parent: &source.Query{From: directory, Key: textKey("npi"), Narrow: source.Narrow{Owners: []string{"m2"}}},
	}
	wantRows(t, read(t, s, unpivot), [][]string{{"y"}, {"k"}})
}

func testKeys(t *testing.T, target Target) {
	script, sorted := nastyTable()
	w, _ := target.Open(t, script)
	s := snapshot(t, w)
	q := nastyQuery()
	wanted := map[pair]bool{}
	for i := 0; i < len(sorted); i += 7 {
		wanted[sorted[i]] = true
		q.Narrow.Keys = append(q.Narrow.Keys, []string{sorted[i].k, strconv.Itoa(sorted[i].n)})
	}
	// A pair whose parts occur, but not together.
	q.Narrow.Keys = append(q.Narrow.Keys, []string{"a", "424242"})
	wantRows(t, read(t, s, q), pairRows(sorted, func(p pair) bool { return wanted[p] }))

	q.Narrow.Keys = [][]string{}
	wantRows(t, read(t, s, q), nil)
	q.Narrow.Keys = [][]string{{"a"}}
	if _, err := s.Stream(t.Context(), q); err == nil {
		t.Error("a key of one part was accepted where the key has two")
	}
}

const changes = `CREATE TABLE parent (k text, naive timestamp, zoned timestamptz, day date);
INSERT INTO parent VALUES
 ('a', '2024-01-01 00:00:00', '2024-01-01 00:00:00+00', '2024-01-01'),
 ('b', '2024-01-02 00:00:00', '2024-01-02 00:00:00+00', '2024-01-02'),
 ('c', '2024-01-03 00:00:00', '2024-01-03 00:00:00+00', '2024-01-03'),
 ('d', NULL, NULL, NULL);
CREATE TABLE child (k text, n integer, changed timestamptz);
INSERT INTO child VALUES ('a', 1, '2024-01-01 00:00:00+00'), ('a', 2, '2024-02-01 00:00:00+00'), ('b', 1, NULL), ('c', 1, '2023-01-01 00:00:00+00'), ('x', 1, '2024-03-01 00:00:00+00');`

func testUpdated(t *testing.T, target Target) {
	w, _ := target.Open(t, changes)
	s := snapshot(t, w)
	at := func(day int) time.Time { return time.Date(2024, 1, day, 0, 0, 0, 0, time.UTC) }
	for _, column := range []string{"naive", "zoned", "day"} {
		for _, test := range []struct {
			name         string
			since, until time.Time
			inclusive    bool
			want         string
		}{
			{name: "none", want: "abcd"},
			{name: "since", since: at(2), want: "cd"},
			{name: "since a millisecond before", since: at(2).Add(-time.Millisecond), want: "bcd"},
			{name: "until", until: at(2), want: "ad"},
			{name: "until inclusive", until: at(2), inclusive: true, want: "abd"},
			{name: "both", since: at(1), until: at(3), want: "bd"},
			{name: "another zone", since: at(2).In(time.FixedZone("", 3600)), want: "cd"},
		} {
			t.Run(column+" "+test.name, func(t *testing.T) {
				q := &source.Query{From: &source.Relation{Name: "p", Table: "parent"}, Columns: exprs("k"), Key: textKey("k"),
					Narrow: source.Narrow{Updated: source.KeyColumn{Name: column}, Since: test.since, Until: test.until, UntilInclusive: test.inclusive}}
				var got strings.Builder
				for _, row := range read(t, s, q) {
					got.WriteString(row[0])
				}
				if got.String() != test.want {
					t.Errorf("rows %s, want %s", got.String(), test.want)
				}
			})
		}
	}
}

func testSinceAlso(t *testing.T, target Target) {
	w, _ := target.Open(t, changes)
	s := snapshot(t, w)
	child := &source.Query{From: &source.Relation{Name: "ch", Table: "child"}, Key: textKey("k"), Order: []source.KeyColumn{{Name: "n"}},
		Narrow: source.Narrow{Updated: source.KeyColumn{Name: "changed"}}}
	q := &source.Query{From: &source.Relation{Name: "p", Table: "parent"}, Columns: exprs("k"), Key: textKey("k"),
		Narrow: source.Narrow{Updated: source.KeyColumn{Name: "zoned"}, Since: time.Date(2024, 1, 2, 12, 0, 0, 0, time.UTC), SinceAlso: []*source.Query{child}}}
	// a by its child, c by itself, d by NULL.
	wantRows(t, read(t, s, q), [][]string{{"a"}, {"c"}, {"d"}})

	child.Where = exprs("n = 1")
	wantRows(t, read(t, s, q), [][]string{{"c"}, {"d"}})

	// A parent that declares no last change of its own.
	child.Where = nil
	q.Narrow.Updated = source.KeyColumn{}
	wantRows(t, read(t, s, q), [][]string{{"a"}})
}

func testParent(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE parent (a text, b integer, who text, kind text);
INSERT INTO parent VALUES ('1', 1, 'p1', 'x'), ('1', 2, 'p2', 'y'), ('2', 1, 'p1', 'y');
CREATE TABLE child (a text, b integer, n integer, kind text);
INSERT INTO child VALUES ('1', 1, 2, 'm'), ('1', 1, 1, 'm'), ('1', 2, 1, 'm'), ('2', 1, 1, 'm'), ('3', 1, 1, 'x');`)
	s := snapshot(t, w)
	key := []source.KeyColumn{{Name: "a"}, {Name: "b"}}
	q := &source.Query{From: &source.Relation{Name: "ch", SQL: "SELECT c.* FROM child c"}, Columns: exprs("a", "ch.b", "n"), Key: key, Order: []source.KeyColumn{{Name: "n"}},
		Parent: &source.Query{From: &source.Relation{Name: "pa", Table: "parent"}, Key: key, Where: exprs("kind = 'y'")}}
	// kind is a column of both: the condition must mean the parent's.
	wantRows(t, read(t, s, q), [][]string{{"1", "2", "1"}, {"2", "1", "1"}})

	q.Parent.Where = nil
	q.Parent.Narrow = source.Narrow{Patient: source.KeyColumn{Name: "who"}, Patients: []string{"p1"}}
	wantRows(t, read(t, s, q), [][]string{{"1", "1", "1"}, {"1", "1", "2"}, {"2", "1", "1"}})

	// The same alias on both sides must not turn the condition into a tautology.
	q.From.Name, q.Parent.From.Name = "same", "same"
	q.Columns = exprs("a", "same.b", "n")
	wantRows(t, read(t, s, q), [][]string{{"1", "1", "1"}, {"1", "1", "2"}, {"2", "1", "1"}})

	// A grandchild of a narrowed grandparent.
	q.Parent = &source.Query{From: &source.Relation{Name: "mid", Table: "child"}, Key: key, Parent: q.Parent}
	q.Parent.Parent.Narrow.Patients = []string{"p2"}
	wantRows(t, read(t, s, q), [][]string{{"1", "2", "1"}})
}

func testUnpivot(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE wide (k text, dx_01 text, dx_02 text, dx_03 text, poa_01 text, poa_02 text, poa_03 text, paid decimal(9,2));
INSERT INTO wide VALUES ('b', 'B1', '', 'B3', 'Y', 'N', '~', 1.50), ('a', 'A1', NULL, 'A3', 'Y', NULL, 'N', 2);`)
	s := snapshot(t, w)
	wide := &source.Relation{Name: "wide", Table: "wide", Empty: source.Empty{Text: []string{"", "~"}}, Keep: []string{"k"}}
	q := &source.Query{
		From: &source.Relation{Name: "dx", Unpivot: &source.Unpivot{Of: wide, From: "01", To: "03",
			Columns: []source.UnpivotColumn{{Name: "code", Pattern: "dx_{n}"}, {Name: "poa", Pattern: "POA_{n}"}}}},
		Columns: exprs("k", "n", "dx.code", "poa", "paid", "dx.dx_01"),
		Where:   exprs("code IS NOT NULL"),
		Key:     textKey("k"), Order: []source.KeyColumn{{Name: "n", Type: integerType}},
	}
	wantRows(t, read(t, s, q), [][]string{
		{"a", "1", "A1", "Y", "2.00", "A1"}, {"a", "3", "A3", "N", "2.00", "A1"},
		{"b", "1", "B1", "Y", "1.50", "B1"}, {"b", "3", "B3", null, "1.50", "B1"},
	})
	columns, err := w.Columns(t.Context(), q.From)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	if got, want := strings.Join(names, " "), "k dx_01 dx_02 dx_03 poa_01 poa_02 poa_03 paid n code poa"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	q.From.Unpivot.To = "04"
	_, err = s.Stream(t.Context(), q)
	var fault *source.SQLError
	if !errors.As(err, &fault) || fault.Code != "unknown-column" || fault.Name != "dx_04" {
		t.Errorf("a missing column of an unpivot: %v", err)
	}
}

func testEmptyAndTrim(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE raw (k text, v text, d date, ts timestamp, n integer, c char(4));
INSERT INTO raw VALUES (' ~ ', ' ~ ', '9999-12-31', '9999-12-31 13:00:00', 1, ''), ('', 'x ', '1900-01-01', '2020-01-01 00:00:00', NULL, 'a'), ('~', '', '2020-01-01', NULL, 3, '~');`)
	s := snapshot(t, w)
	rel := &source.Relation{Name: "raw", Table: "raw", Trim: true, Keep: []string{"k"},
		Empty: source.Empty{Text: []string{"", "~"}, Date: []string{"9999-12-31", "1900-01-01"}}}
	q := &source.Query{From: rel, Columns: exprs("k", "v", "d", "ts", "n", "c"), Key: textKey("k")}
	wantRows(t, read(t, s, q), [][]string{
		{"", "x", null, "2020-01-01T00:00:00", null, "a"},
		{" ~ ", null, null, null, "1", null},
		{"~", null, "2020-01-01", null, "3", null},
	})
	rel.Trim = false
	rel.Empty = source.Empty{Text: []string{"~"}}
	q.Columns = exprs("v", "c", "d")
	wantRows(t, read(t, s, q), [][]string{{"x ", "a", "1900-01-01"}, {" ~ ", "", "9999-12-31"}, {"", null, "2020-01-01"}})
	// A token with a quote in it stays a token.
	rel.Empty = source.Empty{Text: []string{"x ' OR '1'='1", "x "}}
	q.Columns = exprs("v")
	wantRows(t, read(t, s, q), [][]string{{null}, {" ~ "}, {""}})
}

func testDistinct(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE dup (a text, b integer, c text);
INSERT INTO dup VALUES ('B', 2, 'x'), ('a', 1, 'x'), ('B', 1, 'y'), ('B', 2, 'x'), ('a', 1, 'z'), (NULL, 1, 'x');`)
	s := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "dup", Table: "dup"}, Columns: exprs("upper(a)", "a", "b", "'fixed'"), Distinct: true,
		Key: textKey("a"), Order: []source.KeyColumn{{Name: "b"}}}
	wantRows(t, read(t, s, q), [][]string{{"B", "B", "1", "fixed"}, {"B", "B", "2", "fixed"}, {"A", "a", "1", "fixed"}})
}

func testWhere(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE r (k text, v integer); INSERT INTO r VALUES ('1', 1), ('2', NULL), ('3', 3);`)
	s := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Columns: exprs("k"), Key: textKey("k"), Where: exprs("v > 0 OR v < 0", "v <> 3 OR 1 = 2")}
	wantRows(t, read(t, s, q), [][]string{{"1"}})
	q = &source.Query{From: &source.Relation{Name: "r", SQL: "SELECT * FROM r -- the last line is a comment"}, Columns: exprs("k"), Key: textKey("k")}
	wantRows(t, read(t, s, q), [][]string{{"1"}, {"2"}, {"3"}})
	// No columns at all: one row each, to be counted.
	q = &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Key: textKey("k")}
	if got := read(t, s, q); len(got) != 3 {
		t.Errorf("%d rows without columns, want 3", len(got))
	}
}

func testSnapshotRelation(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE r (k text, d date); INSERT INTO r VALUES ('1', '2020-01-01');`)
	s := snapshot(t, w)
	if at := s.AsOf(); at.Location() != time.UTC || at.Nanosecond()%1_000_000 != 0 || at.IsZero() {
		t.Errorf("AsOf %v: not UTC in whole milliseconds", at)
	}
	want := s.AsOf()
	text := string(source.AppendTimestamp(nil, want.UnixMicro(), 0, true))
	day := want.Format("2006-01-02")
	q := &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Key: textKey("k"),
		Columns: exprs("snapshot.as_of", "SNAPSHOT.as_of_date", "CASE WHEN d < snapshot.as_of_date THEN 'past' END")}
	wantRows(t, read(t, s, q), [][]string{{text, day, "past"}})
	described, err := w.Describe(t.Context(), q)
	if err != nil || described[0].Type.Kind != source.KindInstant || described[1].Type.Kind != source.KindDate {
		t.Errorf("Describe: %v, %v", described, err)
	}
	q = &source.Query{From: &source.Relation{Name: "r", SQL: "SELECT r.*, snapshot.as_of AS seen FROM r CROSS JOIN snapshot"}, Key: textKey("k"), Columns: exprs("seen")}
	wantRows(t, read(t, s, q), [][]string{{text}})
}

func testNamesInAnyCase(t *testing.T, target Target) {
	w, _ := target.Open(t, `CREATE TABLE "Mixed Case" ("Claim Id" text, "LINE" integer); INSERT INTO "Mixed Case" VALUES ('b', 2), ('b', 1), ('A', 3);`)
	s := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "m", Table: `"mixed case"`}, Columns: exprs(`"Claim Id"`),
		Key: []source.KeyColumn{{Name: "claim id"}}, Order: []source.KeyColumn{{Name: "line"}},
		Narrow: source.Narrow{Patient: source.KeyColumn{Name: "CLAIM ID"}, Patients: []string{"b"}}}
	wantRows(t, read(t, s, q), [][]string{{"b"}, {"b"}})
}

// testManyRows reads across the engine's batches and checks the rows'
// contents, not only their number.
func testManyRows(t *testing.T, target Target) {
	w, _ := target.Open(t, numbers)
	s := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "r", SQL: "SELECT a.n * 100 + b.n AS n FROM numbers a CROSS JOIN numbers b"}, Key: []source.KeyColumn{{Name: "n"}},
		Columns: exprs("n", "CASE WHEN n % 3 = 0 THEN NULL ELSE 'a text that is longer than twelve bytes ' || n END", "CAST(n AS decimal(9,2))")}
	stream, err := s.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	n := 0
	for ; stream.Next(); n++ {
		got := texts(stream.Row())
		want := []string{strconv.Itoa(n), null, strconv.Itoa(n) + ".00"}
		if n%3 != 0 {
			want[1] = "a text that is longer than twelve bytes " + strconv.Itoa(n)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("row %d: %q, want %q", n, got, want)
		}
	}
	if err := stream.Err(); err != nil || n != 10000 {
		t.Errorf("%d rows and error %v, want 10000", n, err)
	}
	if stream.Next() {
		t.Error("Next after the end is true")
	}
}

// numbers is a table of 0..99.
var numbers = func() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE numbers (n integer); INSERT INTO numbers VALUES (0)")
	for i := 1; i < 100; i++ {
		fmt.Fprintf(&b, ", (%d)", i)
	}
	return b.String() + ";"
}()

func testConcurrentStreams(t *testing.T, target Target) {
	w, _ := target.Open(t, numbers)
	s := snapshot(t, w)
	query := func(i int) *source.Query {
		return &source.Query{From: &source.Relation{Name: "r", Table: "numbers"}, Columns: exprs(fmt.Sprintf("n * %d", i)), Key: []source.KeyColumn{{Name: "n"}}}
	}
	// More open streams than any pool, read in turns by one goroutine, as the
	// merge join does.
	const many = 20
	streams := make([]source.RowStream, many)
	for i := range streams {
		var err error
		if streams[i], err = s.Stream(t.Context(), query(i)); err != nil {
			t.Fatal(err)
		}
		defer streams[i].Close()
	}
	for n := range 100 {
		for i, stream := range streams {
			if !stream.Next() {
				t.Fatalf("stream %d ended at row %d: %v", i, n, stream.Err())
			}
			if got := texts(stream.Row())[0]; got != strconv.Itoa(n*i) {
				t.Fatalf("stream %d row %d: %s", i, n, got)
			}
		}
	}
	// And by goroutines of their own, opening and closing.
	var group sync.WaitGroup
	for g := range 6 {
		group.Go(func() {
			for range 5 {
				rows, err := tryRead(t.Context(), s, query(g))
				if err != nil || len(rows) != 100 {
					t.Errorf("goroutine %d: %d rows, error %v", g, len(rows), err)
				}
			}
		})
	}
	group.Wait()
}

func testIsolation(t *testing.T, target Target) {
	w, change := target.Open(t, `CREATE TABLE r (k text); INSERT INTO r VALUES ('1');`)
	if change == nil {
		t.Skip("the warehouse cannot change while it is open")
	}
	before := snapshot(t, w)
	q := &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Columns: exprs("k"), Key: textKey("k")}
	if err := change("INSERT INTO r VALUES ('2')"); err != nil {
		t.Fatal(err)
	}
	wantRows(t, read(t, before, q), [][]string{{"1"}})
	after := snapshot(t, w)
	wantRows(t, read(t, after, q), [][]string{{"1"}, {"2"}})
	wantRows(t, read(t, before, q), [][]string{{"1"}})
	if after.AsOf().Before(before.AsOf()) {
		t.Errorf("the later snapshot is of %v, the earlier of %v", after.AsOf(), before.AsOf())
	}
}

// A shared snapshot is one view, whoever reads it, and lives as long as
// anybody holds it.
func testShare(t *testing.T, target Target) {
	w, change := target.Open(t, `CREATE TABLE r (k text); INSERT INTO r VALUES ('1');`)
	joiner, ok := w.(source.Joiner)
	first := snapshot(t, w)
	sharer, shares := first.(source.Sharer)
	if ok != shares {
		t.Fatalf("the warehouse joins snapshots: %v; its snapshots are shared: %v", ok, shares)
	}
	if !ok {
		t.Skip("the engine shares no snapshots")
	}
	q := &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Columns: exprs("k"), Key: textKey("k")}
	if err := change("INSERT INTO r VALUES ('2')"); err != nil {
		t.Fatal(err)
	}
	joined := func(token string) source.Snapshot {
		t.Helper()
		s, err := joiner.Join(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		if !s.AsOf().Equal(first.AsOf()) {
			t.Errorf("joined as of %v, shared as of %v", s.AsOf(), first.AsOf())
		}
		wantRows(t, read(t, s, q), [][]string{{"1"}})
		return s
	}
	second := joined(sharer.Share())
	token := sharer.Share()
	if err := sharer.Alive(t.Context()); err != nil {
		t.Errorf("an open snapshot is not alive: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sharer.Alive(t.Context()); err == nil {
		t.Error("a closed snapshot is alive")
	}
	wantRows(t, read(t, second, q), [][]string{{"1"}})
	third := joined(second.(source.Sharer).Share())
	wantRows(t, read(t, third, q), [][]string{{"1"}})
	for _, gone := range []string{token, "", "nonsense", first.AsOf().Format(time.RFC3339Nano) + " ../x'"} {
		if s, err := joiner.Join(t.Context(), gone); !errors.Is(err, source.ErrNotShared) {
			t.Errorf("joining %q gives %v, %v; want ErrNotShared", gone, s, err)
		}
	}
}

// endless is a query whose first row is an hour away: ten thousand million rows
// must be sorted before.
func endless() *source.Query {
	return &source.Query{From: &source.Relation{Name: "r", SQL: "SELECT a.n + b.n * c.n - d.n + e.n AS n FROM numbers a CROSS JOIN numbers b CROSS JOIN numbers c CROSS JOIN numbers d CROSS JOIN numbers e"},
		Columns: exprs("n"), Key: []source.KeyColumn{{Name: "n"}}}
}

func testCancel(t *testing.T, target Target) {
	w, _ := target.Open(t, numbers)
	s := snapshot(t, w)
	stopping := errors.New("stopping")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 150*time.Millisecond, stopping)
	defer cancel()
	start := time.Now()
	_, err := tryRead(ctx, s, endless())
	if !errors.Is(err, stopping) {
		t.Errorf("a query cut off by its context ended with %v, want the context's cause", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the query ran on for %v", took)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := s.Stream(ctx, endless()); !errors.Is(err, context.Canceled) {
		t.Errorf("Stream under a cancelled context: %v", err)
	}
	// The snapshot is still good.
	q := &source.Query{From: &source.Relation{Name: "r", Table: "numbers"}, Columns: exprs("n"), Key: []source.KeyColumn{{Name: "n"}}}
	if got := read(t, s, q); len(got) != 100 {
		t.Errorf("%d rows after a cancelled query, want 100", len(got))
	}
}

func testClose(t *testing.T, target Target) {
	w, _ := target.Open(t, numbers)
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := &source.Query{From: &source.Relation{Name: "r", SQL: "SELECT a.n * 10000 + b.n * 100 + c.n AS n FROM numbers a CROSS JOIN numbers b CROSS JOIN numbers c"},
		Columns: exprs("n"), Key: []source.KeyColumn{{Name: "n"}}}
	for range 3 {
		stream, err := s.Stream(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if !stream.Next() {
			t.Fatalf("no row: %v", stream.Err())
		}
		for range 2 {
			if err := stream.Close(); err != nil {
				t.Errorf("close stream: %v", err)
			}
		}
		if stream.Next() {
			t.Error("Next after Close is true")
		}
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close snapshot: %v", err)
		}
	}
	if _, err := s.Stream(t.Context(), q); err == nil {
		t.Error("a closed snapshot gave a stream")
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("close warehouse: %v", err)
		}
	}
	if _, err := w.Snapshot(t.Context()); err == nil {
		t.Error("a closed warehouse gave a snapshot")
	}
	if _, err := w.Catalog(t.Context()); err == nil {
		t.Error("a closed warehouse gave a catalogue")
	}
}
