// Package sourcetest is the suite that every warehouse adapter must pass: the
// contract of sql/source in tests.
package sourcetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/sql/source"
)

// Target is an adapter under test.
type Target struct {
	// Open makes a new warehouse, runs the script on it (CREATE TABLE and
	// INSERT statements in the SQL that all engines share), and opens it. It
	// closes what it opened when the test ends.
	//
	// change runs a further statement on the same warehouse while it is open;
	// nil where the engine does not allow that.
	Open func(t *testing.T, script string) (w source.Source, change func(sql string) error)
}

// Run runs the suite.
func Run(t *testing.T, target Target) {
	tests := []struct {
		name string
		run  func(*testing.T, Target)
	}{
		{"ByteOrder", testByteOrder},
		{"CanonicalText", testCanonicalText},
		{"KeyRanges", testKeyRanges},
		{"KeyRangesOfIntegers", testIntegerKeyRanges},
		{"NullKeys", testNullKeys},
		{"Patients", testPatients},
		{"Owners", testOwners},
		{"Keys", testKeys},
		{"Updated", testUpdated},
		{"SinceAlso", testSinceAlso},
		{"Parent", testParent},
		{"Unpivot", testUnpivot},
		{"EmptyAndTrim", testEmptyAndTrim},
		{"Distinct", testDistinct},
		{"Where", testWhere},
		{"SnapshotRelation", testSnapshotRelation},
		{"NamesInAnyCase", testNamesInAnyCase},
		{"ManyRows", testManyRows},
		{"ConcurrentStreams", testConcurrentStreams},
		{"Isolation", testIsolation},
		{"Share", testShare},
		{"Cancel", testCancel},
		{"CloseEarlyAndTwice", testClose},
		{"Catalog", testCatalog},
		{"Columns", testColumns},
		{"DescribeTypes", testDescribeTypes},
		{"DescribeBareNull", testDescribeBareNull},
		{"DescribeFaults", testDescribeFaults},
		{"DescribeAllFaults", testDescribeAllFaults},
		{"DescribeMany", testDescribeMany},
		{"RelationFaults", testRelationFaults},
		{"ReadOnly", testReadOnly},
		{"NoValueInErrors", testNoValueInErrors},
		{"Explain", testExplain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, target)
		})
	}
}

// null is how the suite writes NULL: no value of its tables is this text.
const null = "<null>"

// snapshot opens a snapshot that the test closes.
func snapshot(t *testing.T, w source.Source) source.Snapshot {
	t.Helper()
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close snapshot: %v", err)
		}
	})
	return s
}

// read reads all rows of a query.
func read(t *testing.T, s source.Snapshot, q *source.Query) [][]string {
	t.Helper()
	rows, err := tryRead(t.Context(), s, q)
	if err != nil {
		t.Fatalf("read %s: %v", q.From.Name, err)
	}
	return rows
}

func tryRead(ctx context.Context, s source.Snapshot, q *source.Query) ([][]string, error) {
	stream, err := s.Stream(ctx, q)
	if err != nil {
		return nil, err
	}
	var out [][]string
	for stream.Next() {
		out = append(out, texts(stream.Row()))
	}
	if err := stream.Err(); err != nil {
		_ = stream.Close() // the first error counts
		return nil, err
	}
	return out, stream.Close()
}

func texts(row source.Row) []string {
	out := make([]string, len(row))
	for i, v := range row {
		out[i] = null
		if !v.IsNull() {
			out[i] = string(v.Bytes())
		}
	}
	return out
}

func wantRows(t *testing.T, got, want [][]string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func exprs(sql ...string) []source.Expr {
	out := make([]source.Expr, len(sql))
	for i, s := range sql {
		out[i].SQL = s
	}
	return out
}

var (
	textType    = source.Type{Kind: source.KindText}
	integerType = source.Type{Kind: source.KindInteger}
)

func textKey(names ...string) []source.KeyColumn {
	out := make([]source.KeyColumn, len(names))
	for i, n := range names {
		out[i] = source.KeyColumn{Name: n, Type: textType}
	}
	return out
}

func pointer(s string) *string { return &s }

// nasty are keys that engines order differently unless told to go by bytes.
var nasty = []string{
	"", " ", "  ", "!", "#1", "-1", "-A", "0", "00", "007", "07", "1", "10", "2", "7", "A", "AB", "Ab", "B", "Z",
	"_x", "a", "a b", "a-b", "a.b", "a_b", "ab", "b", "z", "~", "'", `"`, `\`, "''", "$1", "?", "{a,b}", "a,b", "NULL",
	"é", "e\u0301", "É", "ß", "ss", "Ä", "ä", "ö", "Ø", "ﬀ", "日本", "日", "😀", "\uffee", "ｱ", "a\tb", "a\nb",
}

func quote(s string) string {
	q, err := source.QuoteLiteral(s)
	if err != nil {
		panic(err)
	}
	return q
}
