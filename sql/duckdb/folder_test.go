package duckdb_test

import (
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
	"remit/sql/duckdb"
	"remit/sql/source"
	"remit/sql/source/sourcetest"
)

// folder writes files; a name ending in .gz is packed.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z := gzip.NewWriter(f)
		_, err1 := z.Write([]byte(text))
		err = errors.Join(err1, z.Close())
	} else {
		_, err = f.WriteString(text)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// rows reads columns of a table in the order of its first column.
func rows(t *testing.T, s source.Snapshot, table string, columns ...string) [][]string {
	t.Helper()
	q := &source.Query{From: &source.Relation{Name: "r", Table: table}, Key: []source.KeyColumn{{Name: columns[0]}}}
	for _, c := range columns {
		q.Columns = append(q.Columns, source.Expr{SQL: c})
	}
	stream, err := s.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out [][]string
	for stream.Next() {
		var row []string
		for _, v := range stream.Row() {
			if v.IsNull() {
				row = append(row, "<null>")
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

func snap(t *testing.T, w *duckdb.Warehouse) source.Snapshot {
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

// TestSourceFolder runs the suite on a folder of Parquet files: each table of
// the script becomes a file.
func TestSourceFolder(t *testing.T) {
	sourcetest.Run(t, sourcetest.Target{Open: func(t *testing.T, script string) (source.Source, func(string) error) {
		if strings.Contains(script, "CREATE SCHEMA") {
			t.Skip("a folder has one schema")
		}
		dir := t.TempDir()
		db := filepath.Join(t.TempDir(), "w.duckdb")
		export := func(sql string) error {
			run(t, db, sql+`; EXPORT DATABASE '`+dir+`' (FORMAT parquet)`)
			return nil
		}
		if err := export(script); err != nil {
			t.Fatal(err)
		}
		// The export names files in lower case, with underscores for spaces.
		if from := filepath.Join(dir, "mixed_case.parquet"); fileExists(from) {
			if err := os.Rename(from, filepath.Join(dir, "Mixed Case.parquet")); err != nil {
				t.Fatal(err)
			}
		}
		return open(t, dir), export
	}})
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestFolderFormats(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{
		"plain.csv":      "id,zip,name\n2,00501,\"a \"\"b\"\", c\"\n1,,\"two\nlines\"\n",
		"packed.csv.gz":  "\xef\xbb\xbfid|zip\r\n1|007\r\n",
		"tabs.tsv":       "id\tv\n1\tx,y\n",
		"ragged.csv":     "id,a,b\n1,x\n2,x,y,,\n3,x,y\n",
		"lines.ndjson":   `{"id":2,"amount":12.50,"ok":true,"list":[1, {"a":"é"}]}` + "\n\n" + `{"id":1,"amount":123456789012345678901234567890.10,"name":"é"}` + "\n",
		"ignored.txt":    "nothing",
		".hidden.csv":    "nothing",
		"warehouse.yaml": "loaded: 2023-05-09T02:00:00+02:00\nnulls: [\"\", \"NULL\"]\n",
		"nulls.csv":      "id,v\n1,NULL\n2,null\n",
	}))
	s := snap(t, w)
	for _, test := range []struct {
		table   string
		columns []string
		want    [][]string
	}{
		{"plain", []string{"id", "zip", "name"}, [][]string{{"1", "<null>", "two\nlines"}, {"2", "00501", `a "b", c`}}},
		{"packed", []string{"id", "zip"}, [][]string{{"1", "007"}}},
		{"tabs", []string{"id", "v"}, [][]string{{"1", "x,y"}}},
		{"ragged", []string{"id", "a", "b"}, [][]string{{"1", "x", "<null>"}, {"2", "x", "y"}, {"3", "x", "y"}}},
		{"lines", []string{"id", "amount", "ok", "list", "name"}, [][]string{
			{"1", "123456789012345678901234567890.10", "<null>", "<null>", "é"}, {"2", "12.50", "true", `[1,{"a":"é"}]`, "<null>"}}},
		{"nulls", []string{"id", "v"}, [][]string{{"1", "<null>"}, {"2", "null"}}},
	} {
		if diff := cmp.Diff(test.want, rows(t, s, test.table, test.columns...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.table, diff)
		}
	}
	if got, want := s.Loaded(), time.Date(2023, 5, 9, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("Loaded %v, want %v", got, want)
	}
}

func TestFolderTypes(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{
		"claims_2024.csv": "id,day,paid,n,seen,code\n1,2024-02-29,12.5,7,2024-01-01 10:00:00,007\n2,,,,,\n",
		"warehouse.yaml": `schema: pay
search_path: [pay]
time_zone: America/New_York
tables:
  claim:
    file: claims_2024.csv
    columns: {day: date, paid: "decimal(18, 2)", N: integer, seen: timestamptz}
    text: [code]
`}))
	s := snap(t, w)
	for _, table := range []string{"claim", "pay.claim"} {
		want := [][]string{{"1", "2024-02-29", "12.50", "7", "2024-01-01T15:00:00Z", "007"}, {"2", "<null>", "<null>", "<null>", "<null>", "<null>"}}
		if diff := cmp.Diff(want, rows(t, s, table, "id", "day", "paid", "n", "seen", "code")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(catalog.Tables) != 1 || catalog.Tables[0].Name != "claim" || catalog.Tables[0].Schema != "pay" || catalog.Tables[0].EstimatedRows != 2 {
		t.Errorf("catalogue %+v", catalog.Tables)
	}
}

func TestFolderSniffed(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{
		"r.csv":          "id,n,zip\n1,5,00501\n2,6,10001\n",
		"warehouse.yaml": "types: sniff\ntables: {r: {text: [zip]}}\n"}))
	described, err := w.Describe(t.Context(), &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Columns: []source.Expr{{SQL: "n"}, {SQL: "zip"}}})
	if err != nil || described[0].Type.Kind != source.KindInteger || described[1].Type.Kind != source.KindText {
		t.Errorf("%+v, %v", described, err)
	}
	if diff := cmp.Diff([][]string{{"1", "00501"}, {"2", "10001"}}, rows(t, snap(t, w), "r", "id", "zip")); diff != "" {
		t.Error(diff)
	}
}

// TestFolderRowColumn numbers the rows of a table in the order of its files,
// typed or not.
func TestFolderRowColumn(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{
		"a.csv":          "id,n\nz,10\ny,20\nx,30\n",
		"b_1.csv":        "id\nq\np\n",
		"b_2.csv":        "id\no\n",
		"c.ndjson":       "{\"id\":\"2\"}\n{\"id\":\"1\"}\n",
		"d.csv":          "id\n1\n",
		"warehouse.yaml": "row_column: row_no\ntables:\n  a: {columns: {n: integer}}\n  b: {files: [\"b_*.csv\"]}\n  d: {row_column: \"\"}\n",
	}))
	s := snap(t, w)
	for table, want := range map[string][][]string{
		"a": {{"x", "3"}, {"y", "2"}, {"z", "1"}}, "b": {{"o", "3"}, {"p", "2"}, {"q", "1"}}, "c": {{"1", "2"}, {"2", "1"}},
	} {
		if diff := cmp.Diff(want, rows(t, s, table, "id", "row_no")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
	if diff := cmp.Diff([][]string{{"1"}}, rows(t, s, "d", "id")); diff != "" {
		t.Errorf("d (-want +got):\n%s", diff)
	}
}

// TestFolderFiles reads tables that come in several files: columns are matched
// by name, a layout may have grown, and what was ragged is told.
func TestFolderFiles(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{
		"person_2020.csv": "ID|NAME\n1|Ann\n",
		"person_2021.csv": "ID|ZIP|NAME\n2|00501|Bob|\n3\n4|00502|Cid||\n",
		"claim-a.txt":     "ID|AMT\n1|1.50\n",
		"notes.txt":       "not a table",
		"warehouse.yaml":  "file_column: delivery\ntables:\n  person: {files: [\"person_*.csv\"]}\n  claim: {files: [claim-a.txt], columns: {AMT: \"decimal(9,2)\"}}\n",
	}))
	s := snap(t, w)
	if diff := cmp.Diff([][]string{
		{"1", "Ann", "<null>", "person_2020.csv"},
		{"2", "Bob", "00501", "person_2021.csv"},
		{"3", "<null>", "<null>", "person_2021.csv"},
		{"4", "Cid", "00502", "person_2021.csv"},
	}, rows(t, s, "person", "id", "name", "zip", "delivery")); diff != "" {
		t.Errorf("person (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{{"1", "1.50", "claim-a.txt"}}, rows(t, s, "claim", "id", "amt", "delivery")); diff != "" {
		t.Errorf("claim (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"person_2021.csv: 2 rows have empty fields behind the last column, which were dropped; the first is line 2",
		"person_2021.csv: 1 row ends before the last column, and the columns that are lacking are NULL; the first is line 3",
	}, w.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestFolderFaults holds each fault to the words its reader needs, and to
// saying nothing of the data.
func TestFolderFaults(t *testing.T) {
	t.Parallel()
	typed := func(column, kind string) string { return "tables: {r: {columns: {" + column + ": " + kind + "}}}\n" }
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no table", map[string]string{"readme.txt": "x"}, []string{"no table: the folder holds no .csv"}},
		{"two files", map[string]string{"r.csv": "a\n", "r.parquet": "x"}, []string{"r.csv and r.parquet are both table r"}},
		{"empty file", map[string]string{"r.csv": ""}, []string{"r.csv: the file is empty; a header line is expected"}},
		{"two columns", map[string]string{"r.csv": "id,ID\n1,2\n"}, []string{`r.csv: columns 1 and 2 are both named "ID"`}},
		{"row column twice", map[string]string{"r.csv": "id,ROW_NO\n1,2\n", "warehouse.yaml": "row_column: row_no\n"}, []string{`r.csv: row_column`}},
		{"no name", map[string]string{"r.csv": "id,\n1,2\n"}, []string{"r.csv: column 2 has no name"}},
		{"extra fields", map[string]string{"r.csv": "id,a\n1,x\n2,x,SECRET\n3,x,,SECRET\n"}, []string{"r.csv: 2 rows have more fields than the header names columns, the first in line 3"}},
		{"open quote", map[string]string{"r.csv": "id,a\n1,\"SECRET\n"}, []string{"r.csv: line "}},
		{"not UTF-8", map[string]string{"r.csv": "id,a\n1,x\n2,SECRET\xff\n"}, []string{`r.csv: line 3: column "a" is not UTF-8`}},
		{"not gzip", map[string]string{"r.csv": "a\n", "s.csv.gz.csv": "a\n", "warehouse.yaml": "tables: {x: {file: nothing.csv}}"}, []string{`warehouse.yaml:1:10: table "x" has no file`}},
		{"no date", map[string]string{"r.csv": "id,d\n1,2020-01-01\n2,SECRET\n3,SECRET\n", "warehouse.yaml": typed("d", "date")}, []string{`r.csv: column "d": 2 values are no DATE, the first in row 2`}},
		{"rounded", map[string]string{"r.csv": "id,d\n1,1.50\n2,1.005\n", "warehouse.yaml": typed("d", `"decimal(9,2)"`)}, []string{`column "d": 1 values have more digits than DECIMAL(9,2) holds, the first in row 2`}},
		{"cut", map[string]string{"r.csv": "id,d\n1,1.5\n", "warehouse.yaml": typed("d", "integer")}, []string{`column "d": 1 values have more digits than INTEGER holds`}},
		{"clock lost", map[string]string{"r.csv": "id,d\n1,2020-01-01 10:00:00\n", "warehouse.yaml": typed("d", "date")}, []string{`column "d": 1 values`}},
		{"missing column", map[string]string{"r.csv": "id\n1\n", "warehouse.yaml": typed("d", "date")}, []string{`warehouse.yaml:1:24: column "d" is not in r.csv`}},
		{"several files", map[string]string{"r.csv": "", "s.csv": ""}, []string{"r.csv: the file is empty", "s.csv: the file is empty"}},
		{"extra fields in a later file", map[string]string{"a.txt": "id\n1\n", "b.txt": "id\n1|SECRET\n", "warehouse.yaml": "delimiter: \"|\"\ntables: {r: {files: [\"?.txt\"]}}\n"},
			[]string{"b.txt: 1 rows have more fields than the header names columns, the first in line 2"}},
		{"two formats", map[string]string{"a1.csv": "id\n1\n", "a2.ndjson": "{}\n", "warehouse.yaml": "tables: {r: {files: [\"a*\"]}}\n"}, []string{"a1.csv and a2.ndjson are both table r, in two formats"}},
		{"file and files", map[string]string{"a.csv": "id\n", "warehouse.yaml": "tables: {r: {file: a.csv, files: [\"../a*\", \"[\"]}}\n"},
			[]string{`warehouse.yaml:1:10: table "r" has both file and files`, "warehouse.yaml:1:35: files must be names", "warehouse.yaml:1:44: files must be names"}},
		{"broken parquet", map[string]string{"r.parquet": "SECRET"}, []string{"r.parquet: read as Parquet"}},
		{"broken JSON", map[string]string{"r.ndjson": "{\"a\":1}\n{\"a\":SECRET}\n"}, []string{`r.ndjson: line 2: the value of "a" is not JSON`}},
		{"JSON array", map[string]string{"r.ndjson": "[1]\n"}, []string{"r.ndjson: line 1: a JSON object is expected"}},
		{"config", map[string]string{"r.csv": "id\n1\n", "warehouse.yaml": "schema: pay\nsearchpath: x\nloaded: yesterday\ntypes: guess\ntables:\n  r:\n    columns:\n      id: number\n      Id: decimal(50,2)\n    delimiter: ab\n"},
			[]string{`warehouse.yaml:2:1: unknown key "searchpath"; expected delimiter, file_column, loaded, nulls, row_column`, "warehouse.yaml:3:9: loaded must be", "warehouse.yaml:4:8: types must be", `warehouse.yaml:8:11: type "number" is not known`,
				`warehouse.yaml:9:7: key "Id" stands here twice`, "warehouse.yaml:10:16: delimiter must be one character"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, err := duckdb.Open(t.Context(), folder(t, test.files), duckdb.Options{})
			if err == nil {
				defer w.Close()
				_, err = w.Snapshot(t.Context())
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nlacks %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error quotes a value: %v", err)
			}
		})
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.duckdb"), "this is no database, whatever its name")
	for path, want := range map[string]string{
		filepath.Join(dir, "nowhere"):        `nowhere": no such folder`,
		filepath.Join(dir, "nowhere.duckdb"): `nowhere.duckdb": no such file`,
		filepath.Join(dir, "x.duckdb"):       "the file cannot be read or is no database",
	} {
		_, err := duckdb.Open(t.Context(), path, duckdb.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "open warehouse") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := duckdb.Open(ctx, dir, duckdb.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open under a cancelled context: %v", err)
	}
}

// TestFolderChanges reads a folder whose file changes between snapshots.
func TestFolderChanges(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"r.csv": "id\n1\n"})
	w := open(t, dir)
	first := snap(t, w)
	same := snap(t, w)
	write(t, filepath.Join(dir, "r.csv"), "id\n1\n22\n")
	second := snap(t, w)
	for _, s := range []source.Snapshot{first, same} {
		if diff := cmp.Diff([][]string{{"1"}}, rows(t, s, "r", "id")); diff != "" {
			t.Errorf("a snapshot changed (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([][]string{{"1"}, {"22"}}, rows(t, second, "r", "id")); diff != "" {
		t.Errorf("the new snapshot (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, "r.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot of an empty folder")
	}
	if diff := cmp.Diff([][]string{{"1"}, {"22"}}, rows(t, second, "r", "id")); diff != "" {
		t.Errorf("the snapshot after the file is gone (-want +got):\n%s", diff)
	}
}

// TestPortableFunctions holds the macros that stand in for PostgreSQL's functions.
func TestPortableFunctions(t *testing.T) {
	t.Parallel()
	w := open(t, folder(t, map[string]string{"r.csv": "id,d\n1,20240229\n"}))
	want := [][]string{{"1", "2024-02-29", "02/29/2024", "a", "a", "3"}}
	got := rows(t, snap(t, w), "r", "id", "to_date(d, 'YYYYMMDD')", "to_char(DATE '2024-02-29', 'MM/DD/YYYY')", "btrim(' a ')", "btrim('xax', 'x')", "7 / 2")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTuva reads the fixture and counts, and adds its money up.
func TestTuva(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := fixtures.Write(dir, fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	s := snap(t, open(t, dir))
	q := &source.Query{From: &source.Relation{Name: "r", SQL: `SELECT 'medical' AS t, count(*) AS n, count(DISTINCT claim_id) AS claims, sum(paid_amount) AS paid FROM tuva.medical_claim
UNION ALL SELECT 'pharmacy', count(*), count(DISTINCT claim_id), sum(paid_amount) FROM tuva.pharmacy_claim UNION ALL SELECT 'eligibility', count(*), count(DISTINCT patient_id), NULL FROM tuva.eligibility`},
		Columns: []source.Expr{{SQL: "t"}, {SQL: "n"}, {SQL: "claims"}}, Key: []source.KeyColumn{{Name: "t"}}}
	stream, err := s.Stream(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var got []string
	for stream.Next() {
		var row []string
		for _, v := range stream.Row() {
			row = append(row, string(v.Bytes()))
		}
		got = append(got, strings.Join(row, " "))
	}
	want := []string{"eligibility 219 100", "medical 6075 3106", "pharmacy 612 406"}
	if diff := cmp.Diff(want, got); diff != "" || stream.Err() != nil {
		t.Errorf("error %v (-want +got):\n%s", stream.Err(), diff)
	}
}
