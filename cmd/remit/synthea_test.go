package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/sql/postgres/postgrestest"
)

// unlicensed makes a warehouse of tables that no licence lets ship: they lie in
// a folder beside the tree, or the test is passed over.
func unlicensed(t *testing.T, tables, declared string) string {
	t.Helper()
	from := filepath.Join("../../../shared/data", tables)
	if !exists(from) {
		t.Skipf("SKIPPED: %s is not on this machine; its licence is not stated, so that it does not ship", tables)
	}
	dir := filepath.Join(t.TempDir(), "warehouse")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "warehouse.yaml"), []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// onPostgres loads a folder and compares what the server's rows make with what
// the files' did.
func onPostgres(t *testing.T, dir, mappings string, fromDuckDB *exported) {
	t.Helper()
	dsn := postgrestest.DSN(t)
	if code, _, stderr := runRemit(t, "load", dir, "--into", dsn, "--mappings", mappings); code != exitFine {
		t.Fatalf("load ended with %d:\n%s", code, stderr)
	}
	fromPostgres := exportSet(t, dsn, mappings)
	for _, f := range fromDuckDB.manifest.Output {
		if !bytes.Equal(normalized(t, fromDuckDB.dir, f.URL), normalized(t, fromPostgres, f.URL)) {
			t.Errorf("%s differs", f.URL)
		}
	}
}

// The run of 2023, all of its columns text, in the layout with START_YEAR: the
// set makes of it what its publisher made, as far as STU3 can be compared.
func TestSynthea2023AgreesWithItsPublisher(t *testing.T) {
	t.Parallel()
	dir := unlicensed(t, "synthea-full/run-2023-11/tables", "schema: synthea\n")
	warehouse := "duckdb:" + dir
	x := readExport(t, exportSet(t, warehouse, "synthea"))
	checkReferences(t, x, nil)
	checkValid(t, x)
	set := syntheaSet("synthea")
	checkTotals(t, &set, warehouse)

	expected := filepath.Join("../../../shared/data/synthea-full/run-2023-11/expected-stu3")
	facts := func(p map[string]any) string {
		name := asList(p["name"])[0]
		address := asList(p["address"])[0]
		died, _ := p["deceasedDateTime"].(string)
		return fmt.Sprint(name["family"], name["given"], name["prefix"], p["gender"], p["birthDate"], died[:min(10, len(died))], address["line"], address["city"])
	}
	ours := map[string]string{}
	ids := map[string]string{}
	for _, p := range x.resources["Patient"] {
		id := personID(p)
		ours[id] = facts(p)
		ids["Patient/"+p["id"].(string)] = id
	}
	theirs := map[string]string{}
	for _, p := range readGzip(t, filepath.Join(expected, "Patient.ndjson.gz")) {
		theirs[p["id"].(string)] = facts(p)
	}
	if diff := cmp.Diff(theirs, ours); diff != "" || len(theirs) != 22 {
		t.Errorf("patients (-publisher +ours):\n%s", diff)
	}

	// Claims have ids of their own there: they pair up by patient and start.
	claim := func(patient string, c map[string]any, amount any) (key, total string) {
		start := c["billablePeriod"].(map[string]any)["start"].(string)
		at, err := time.Parse(time.RFC3339, start)
		if err != nil {
			t.Fatal("a period starts with no instant")
		}
		return patient + " " + at.UTC().Format(time.RFC3339), fmt.Sprint(cents(t, fmt.Sprint(amount)))
	}
	want, got := map[string][]string{}, map[string][]string{}
	for _, c := range readGzip(t, filepath.Join(expected, "Claim.ndjson.gz")) {
		patient := c["patient"].(map[string]any)["reference"].(string)
		key, total := claim(patient[strings.LastIndexAny(patient, ":/")+1:], c, c["total"].(map[string]any)["value"])
		want[key] = append(want[key], total)
	}
	for _, c := range x.resources["Claim"] {
		key, total := claim(ids[c["patient"].(map[string]any)["reference"].(string)], c, c["total"].(map[string]any)["value"])
		got[key] = append(got[key], total)
	}
	pairs, equal := 0, 0
	for key, totals := range want {
		if len(got[key]) != len(totals) {
			t.Errorf("a visit has %d claims, the publisher has %d", len(got[key]), len(totals))
		}
		for _, total := range totals {
			pairs++
			if at := slices.Index(got[key], total); at >= 0 {
				equal++
				got[key] = slices.Delete(got[key], at, at+1)
			}
		}
	}
	if n := len(slices.Collect(maps.Keys(got))); n != len(want) {
		t.Errorf("%d visits have claims, the publisher has %d", n, len(want))
	}
	// The others differ between the publisher's own tables and resources.
	if pairs != 3266 || equal < 2705 {
		t.Errorf("%d of %d claims have the publisher's total, want 2705 of 3266", equal, pairs)
	}
	t.Logf("%d of %d claims have the publisher's total", equal, pairs)
	onPostgres(t, dir, "synthea", x)
}

// The run without a ledger: the order of the claims in their file tells what
// each bills, and every line of an encounter is billed once.
func TestSyntheaWithoutLedger(t *testing.T) {
	t.Parallel()
	dir := unlicensed(t, "synthea-large/tables", "schema: synthea\ntables:\n  claims: {row_column: row_no}\n  medications: {row_column: row_no}\n")
	warehouse := "duckdb:" + dir
	x := readExport(t, exportSet(t, warehouse, "synthea"))
	checkReferences(t, x, nil)
	checkValid(t, x)

	type sum struct {
		Claims, Lines int
		Cents         int64
	}
	want, got := map[string]sum{}, map[string]sum{}
	for _, row := range warehouseRows(t, warehouse, `SELECT p.id AS member, c.claims, e.lines + r.lines + i.lines + m.lines AS lines, e.amount + r.amount + i.amount + m.amount AS amount
FROM synthea.patients p
JOIN (SELECT patientid, count(*) AS claims FROM synthea.claims GROUP BY patientid) c ON c.patientid = p.id
LEFT JOIN (SELECT patient, count(*) AS lines, sum(CAST(base_encounter_cost AS DECIMAL(18,2))) AS amount FROM synthea.encounters GROUP BY patient) e ON e.patient = p.id
LEFT JOIN (SELECT y.id, count(x.patient) AS lines, coalesce(sum(CAST(x.base_cost AS DECIMAL(18,2))), 0) AS amount FROM synthea.patients y LEFT JOIN synthea.procedures x ON x.patient = y.id GROUP BY y.id) r ON r.id = p.id
LEFT JOIN (SELECT y.id, count(x.patient) AS lines, coalesce(sum(CAST(x.base_cost AS DECIMAL(18,2))), 0) AS amount FROM synthea.patients y LEFT JOIN synthea.immunizations x ON x.patient = y.id GROUP BY y.id) i ON i.id = p.id
LEFT JOIN (SELECT y.id, count(x.patient) AS lines, coalesce(sum(CAST(x.base_cost AS DECIMAL(18,2))), 0) AS amount FROM synthea.patients y LEFT JOIN synthea.medications x ON x.patient = y.id GROUP BY y.id) m ON m.id = p.id`,
		"member", "claims", "lines", "amount") {
		var s sum
		if _, err := fmt.Sscan(row[1]+" "+row[2], &s.Claims, &s.Lines); err != nil {
			t.Fatal("a count is no number")
		}
		s.Cents = cents(t, row[3])
		want[row[0]] = s
	}
	ids := map[string]string{}
	for _, p := range x.resources["Patient"] {
		ids["Patient/"+p["id"].(string)] = personID(p)
	}
	for _, c := range x.resources["Claim"] {
		id := ids[c["patient"].(map[string]any)["reference"].(string)]
		s := got[id]
		s.Claims++
		s.Lines += len(asList(c["item"]))
		s.Cents += cents(t, pick(c, []string{"total", "value"})[0])
		got[id] = s
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 112 {
		t.Errorf("%d members (-warehouse +export):\n%.1000s", len(want), diff)
	}
	onPostgres(t, dir, "synthea", x)
}

// Without the order of the files the layout is refused, and said why.
func TestSyntheaWithoutLedgerAndOrder(t *testing.T) {
	t.Parallel()
	dir := unlicensed(t, "synthea-large/tables", "schema: synthea\n")
	code, _, stderr := runRemit(t, "check", "--warehouse", "duckdb:"+dir, "synthea")
	if code != exitFindings || !strings.Contains(stderr, `query "billed" fits no layout of this warehouse: it has none of synthea.claims_transactions.chargeid, synthea.claims.row_no [no-fitting-query]`) {
		t.Errorf("check ended with %d:\n%s", code, stderr)
	}
}

// personID is the warehouse's own id of a patient, the last identifier.
func personID(p map[string]any) string {
	values := pick(p, []string{"identifier", "value"})
	return values[len(values)-1]
}

func readGzip(t *testing.T, name string) (out []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(z)
	dec.UseNumber()
	for {
		var r map[string]any
		if err := dec.Decode(&r); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
}
