package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
	"remit/profiles/opinion"
	"remit/sql/postgres/postgrestest"
)

// runRemit runs the command line in this process and returns what it printed.
func runRemit(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: os.Getenv, now: time.Now}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// tuvaExport exports the whole fixture into a folder.
func tuvaExport(t *testing.T, warehouse string, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := runRemit(t, append([]string{"export", "--warehouse", warehouse, "--mappings", "tuva", "--out", dir}, args...)...)
	if code != exitFine {
		t.Fatalf("export ended with %d:\n%s", code, stderr)
	}
	return dir
}

const tuvaDuckDB = "duckdb:../../fixtures/tuva"

// tuva is one export of the fixture as read back.
type tuva struct {
	dir       string
	resources map[string][]map[string]any // by type
	lines     map[string][][]byte         // by type, as written
	outcomes  []map[string]any
	manifest  struct {
		Output []struct {
			Type, URL string
			Count     int
		}
		Error []struct {
			Type, URL string
			Count     int
		}
	}
	report struct {
		Withheld, Absent, Assumed map[string]int
	}
}

func readExport(t *testing.T, dir string) *tuva {
	t.Helper()
	x := &tuva{dir: dir, resources: map[string][]map[string]any{}, lines: map[string][][]byte{}}
	readJSON(t, filepath.Join(dir, "manifest.json"), &x.manifest)
	readJSON(t, filepath.Join(dir, "report.json"), &x.report)
	for _, f := range x.manifest.Output {
		rows, lines := readNDJSON(t, filepath.Join(dir, f.URL))
		if len(rows) != f.Count {
			t.Errorf("%s has %d lines, the manifest says %d", f.URL, len(rows), f.Count)
		}
		x.resources[f.Type] = append(x.resources[f.Type], rows...)
		x.lines[f.Type] = append(x.lines[f.Type], lines...)
	}
	for _, f := range x.manifest.Error {
		rows, _ := readNDJSON(t, filepath.Join(dir, f.URL))
		if len(rows) != f.Count {
			t.Errorf("%s has %d lines, the manifest says %d", f.URL, len(rows), f.Count)
		}
		x.outcomes = append(x.outcomes, rows...)
	}
	return x
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readNDJSON(t *testing.T, path string) (rows []map[string]any, lines [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		line := bytes.Clone(s.Bytes())
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		rows, lines = append(rows, m), append(lines, line)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return rows, lines
}

// table reads a table of the fixture as the publisher wrote it.
func table(t *testing.T, name string) []map[string]string {
	t.Helper()
	f, err := fixtures.Tuva().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	all, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]map[string]string, 0, len(all)-1)
	for _, record := range all[1:] {
		row := make(map[string]string, len(record))
		for i, v := range record {
			row[all[0][i]] = v
		}
		rows = append(rows, row)
	}
	return rows
}

func TestTuvaExport(t *testing.T) {
	t.Parallel()
	x := readExport(t, tuvaExport(t, tuvaDuckDB))
	medical, pharmacy := table(t, "medical_claim.csv.gz"), table(t, "pharmacy_claim.csv")

	t.Run("counts", func(t *testing.T) {
		got := map[string]int{}
		for name, rows := range x.resources {
			got[name] = len(rows)
		}
		want := map[string]int{
			"Patient": 100, "Coverage": 219, "Claim": 3512, "ExplanationOfBenefit": 3512 - 76,
			"Group": 1, "Organization": 141, "Practitioner": 2231,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resources (-want +got):\n%s", diff)
		}
	})
	t.Run("withheld", func(t *testing.T) { checkWithheld(t, x, medical) })
	t.Run("money", func(t *testing.T) { checkMoney(t, x, medical, pharmacy) })
	t.Run("references", func(t *testing.T) { checkReferences(t, x) })
	t.Run("absent and assumed", func(t *testing.T) {
		if x.report.Assumed["ExplanationOfBenefit.supportingInfo[dawcode].code.coding"] != 406 {
			t.Errorf("assumed DAW codes: %v", x.report.Assumed)
		}
		if x.report.Absent["ExplanationOfBenefit.created"] != 3106 {
			t.Errorf("absent created: %v", x.report.Absent)
		}
	})
	t.Run("validate", func(t *testing.T) {
		args := []string{"validate", "--level", "error"}
		for _, f := range x.manifest.Output {
			args = append(args, filepath.Join(x.dir, f.URL))
		}
		if code, stdout, stderr := runRemit(t, args...); code != exitFine {
			t.Errorf("validate ended with %d:\n%.2000s%s", code, stdout, stderr)
		}
	})
	t.Run("second opinion", func(t *testing.T) { checkOpinion(t, x) })
}

var keyOfOutcome = regexp.MustCompile(`claim_id=([^,;]+)`)

// withheldClaims are the claim ids that the error files list.
func withheldClaims(t *testing.T, x *tuva) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for _, o := range x.outcomes {
		issue := o["issue"].([]any)[0].(map[string]any)
		m := keyOfOutcome.FindStringSubmatch(fmt.Sprint(issue["diagnostics"]))
		if m == nil {
			t.Fatalf("an outcome without business key: %v", issue["diagnostics"])
		}
		ids[m[1]] = true
	}
	return ids
}

// Every medical claim without any diagnosis, and no other, is withheld, listed
// by key with the reason and the mapping that made it.
func checkWithheld(t *testing.T, x *tuva, medical []map[string]string) {
	want := map[string]bool{}
	has := map[string]bool{}
	for _, row := range medical {
		want[row["claim_id"]] = true
		for i := 1; i <= 25; i++ {
			if row[fmt.Sprintf("diagnosis_code_%d", i)] != "" {
				has[row["claim_id"]] = true
			}
		}
	}
	for id := range has {
		delete(want, id)
	}
	if len(want) != 76 {
		t.Fatalf("the fixture has %d claims without diagnosis", len(want))
	}
	if diff := cmp.Diff(want, withheldClaims(t, x)); diff != "" {
		t.Errorf("withheld claims (-want +got):\n%s", diff)
	}
	for _, o := range x.outcomes {
		issue := o["issue"].([]any)[0].(map[string]any)
		text := fmt.Sprint(issue["details"], issue["diagnostics"])
		if !strings.Contains(text, "diagnosis") || !strings.Contains(text, "mapping eob-") {
			t.Errorf("an outcome tells neither reason nor mapping: %s", text)
		}
	}
}

// cents reads an exact amount; pharmacy amounts carry binary tails and are
// rounded half away from zero, as the mapping does.
func cents(t *testing.T, text string) int64 {
	t.Helper()
	if text == "" {
		return 0
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("an amount is no number")
	}
	r.Mul(r, big.NewRat(100, 1))
	half := big.NewRat(1, 2)
	if r.Sign() < 0 {
		half.Neg(half)
	}
	r.Add(r, half)
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64()
}

// What was exported and what was withheld add up to the warehouse's sums, to
// the cent: paid over all claims, submitted over medical ones; at the lines
// and in the totals.
func checkMoney(t *testing.T, x *tuva, medical, pharmacy []map[string]string) {
	withheld := withheldClaims(t, x)
	var paid, submitted, paidWithheld, submittedWithheld int64
	for _, row := range medical {
		p, s := cents(t, row["paid_amount"]), cents(t, row["charge_amount"])
		paid += p
		submitted += s
		if withheld[row["claim_id"]] {
			paidWithheld += p
			submittedWithheld += s
		}
	}
	for _, row := range pharmacy {
		paid += cents(t, row["paid_amount"])
	}
	sums := map[string]int64{}
	add := func(where string, list any) {
		for _, a := range asList(list) {
			for _, c := range asList(a["category"].(map[string]any)["coding"]) {
				if amount, ok := a["amount"].(map[string]any); ok {
					if amount["currency"] != "USD" {
						t.Errorf("an amount in %v", amount["currency"])
					}
					sums[where+" "+c["code"].(string)] += cents(t, amount["value"].(json.Number).String())
				}
			}
		}
	}
	for _, eob := range x.resources["ExplanationOfBenefit"] {
		add("total", eob["total"])
		for _, item := range asList(eob["item"]) {
			add("item", item["adjudication"])
		}
	}
	for _, where := range []string{"item", "total"} {
		if got := sums[where+" benefit"]; got+paidWithheld != paid {
			t.Errorf("%s: paid %d exported + %d withheld = %d cents, the warehouse has %d", where, got, paidWithheld, got+paidWithheld, paid)
		}
		if got := sums[where+" submitted"]; got+submittedWithheld != submitted {
			t.Errorf("%s: submitted %d exported + %d withheld = %d cents, the warehouse has %d", where, got, submittedWithheld, got+submittedWithheld, submitted)
		}
	}
	if paid == 0 || submitted == 0 || paidWithheld == 0 {
		t.Errorf("nothing to compare: paid %d, submitted %d, withheld %d", paid, submitted, paidWithheld)
	}
	var claimTotal int64
	for _, c := range x.resources["Claim"] {
		if amount, ok := c["total"].(map[string]any); ok {
			claimTotal += cents(t, amount["value"].(json.Number).String())
		}
	}
	if claimTotal != submitted {
		t.Errorf("Claim.total: %d cents, the warehouse has %d", claimTotal, submitted)
	}
}

func asList(v any) []map[string]any {
	items, _ := v.([]any)
	out := make([]map[string]any, 0, len(items))
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Every reference leads to an exported resource.
func checkReferences(t *testing.T, x *tuva) {
	ids := map[string]bool{}
	for name, rows := range x.resources {
		for _, r := range rows {
			id := name + "/" + r["id"].(string)
			if ids[id] {
				t.Errorf("%s occurs twice", name)
			}
			ids[id] = true
		}
	}
	dangling := map[string]int{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["reference"].(string); ok && !ids[ref] {
				dangling[path]++
			}
			for k, child := range v {
				walk(path+"."+k, child)
			}
		case []any:
			for _, child := range v {
				walk(path, child)
			}
		}
	}
	for name, rows := range x.resources {
		for _, r := range rows {
			walk(name, r)
		}
	}
	if len(dangling) > 0 {
		t.Errorf("dangling references: %v", dangling)
	}
}

// google/fhir/go reads a resource of every type, and at least one with each
// element path and each coded slice that the export uses.
func checkOpinion(t *testing.T, x *tuva) {
	judge, err := opinion.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	judged := 0
	for _, name := range slices.Sorted(mapKeys(x.resources)) {
		for i, r := range x.resources[name] {
			if !addFeatures(seen, name, r) {
				continue
			}
			judged++
			if err := judge.Judge(x.lines[name][i]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if judged < 10 {
		t.Errorf("only %d resources were judged", judged)
	}
}

// addFeatures notes the element paths of v, with the codes that tell slices
// apart, and says whether one is new.
func addFeatures(seen map[string]bool, path string, v any) (added bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, tag := range []string{"category", "type"} {
			if c, ok := v[tag].(map[string]any); ok {
				for _, coding := range asList(c["coding"]) {
					path += fmt.Sprintf("[%v]", coding["code"])
				}
			}
		}
		for k, child := range v {
			if addFeatures(seen, path+"."+k, child) {
				added = true
			}
		}
	case []any:
		for _, child := range v {
			if addFeatures(seen, path, child) {
				added = true
			}
		}
	}
	if !seen[path] {
		seen[path], added = true, true
	}
	return added
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Without assumptions, whatever needs one is withheld and nothing else changes.
func TestTuvaNoAssumptions(t *testing.T) {
	t.Parallel()
	x := readExport(t, tuvaExport(t, tuvaDuckDB, "--no-assumptions"))
	want := map[string]int{"Claim": 3512, "Coverage": 219, "Organization": 141, "ExplanationOfBenefit": 76 + 406}
	if diff := cmp.Diff(want, x.report.Withheld); diff != "" {
		t.Errorf("withheld (-want +got):\n%s", diff)
	}
	if len(x.report.Assumed) != 0 {
		t.Errorf("assumed values: %v", x.report.Assumed)
	}
}

// What the load proved is the same as what judging finds: with proofs and
// without, the same resources are withheld for the same rules.
func TestTuvaProofsChangeNothing(t *testing.T) {
	t.Parallel()
	with, without := tuvaExport(t, tuvaDuckDB), tuvaExport(t, tuvaDuckDB, "--no-proofs")
	var a, b struct {
		Exported, Withheld, Reasons map[string]int
		Findings                    []map[string]any
	}
	readJSON(t, filepath.Join(with, "report.json"), &a)
	readJSON(t, filepath.Join(without, "report.json"), &b)
	byRule := func(x, y map[string]any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) }
	slices.SortFunc(a.Findings, byRule)
	slices.SortFunc(b.Findings, byRule)
	if diff := cmp.Diff(b, a); diff != "" {
		t.Errorf("report (-without proofs +with):\n%s", diff)
	}
}

var lastUpdated = regexp.MustCompile(`"lastUpdated":"[^"]*"`)

// The export from PostgreSQL equals the one from DuckDB byte for byte but for
// meta.lastUpdated.
func TestTuvaPostgresEqualsDuckDB(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.LoadCSV(t.Context(), dsn, "tuva", fixtures.Tuva()); err != nil {
		t.Fatal(err)
	}
	fromPostgres, fromDuckDB := tuvaExport(t, dsn), tuvaExport(t, tuvaDuckDB)
	names := func(dir string) (out []string) {
		files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			out = append(out, filepath.Base(f))
		}
		return out
	}
	if diff := cmp.Diff(names(fromDuckDB), names(fromPostgres)); diff != "" {
		t.Fatalf("files (-duckdb +postgres):\n%s", diff)
	}
	for _, name := range names(fromDuckDB) {
		a, b := normalized(t, fromDuckDB, name), normalized(t, fromPostgres, name)
		if bytes.Equal(a, b) {
			continue
		}
		al, bl := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
		for i := range al {
			if i >= len(bl) || al[i] != bl[i] {
				t.Errorf("%s differs first in line %d of %d and %d", name, i+1, len(al), len(bl))
				break
			}
		}
	}
}

func normalized(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(os.DirFS(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	return lastUpdated.ReplaceAll(data, []byte(`"lastUpdated":""`))
}
