package main

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
)

const tuvaDuckDB = "duckdb:../../fixtures/tuva"

// unzipped reads a file of the fixture that may be gzipped.
func unzipped(t *testing.T, name string, f io.Reader) io.Reader {
	t.Helper()
	if !strings.HasSuffix(name, ".gz") {
		return f
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// table reads a table of the fixture as the publisher wrote it.
func table(t *testing.T, name string) []map[string]string {
	t.Helper()
	f, err := fixtures.Tuva().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(unzipped(t, name, f)).ReadAll()
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

// TestTuvaExport shows BE-235.
func TestTuvaExport(t *testing.T) {
	t.Parallel()
	x := readExport(t, exportSet(t, tuvaDuckDB, "tuva"))
	medical, pharmacy := table(t, "medical_claim.csv.gz"), table(t, "pharmacy_claim.csv")

	t.Run("withheld", func(t *testing.T) { checkWithheld(t, x, medical) })
	t.Run("money", func(t *testing.T) { checkMoney(t, x, medical, pharmacy) })
}

var keyOfOutcome = regexp.MustCompile(`claim_id=([^,;]+)`)

// withheldClaims are the claim ids that the error files list.
func withheldClaims(t *testing.T, x *exported) map[string]bool {
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
func checkWithheld(t *testing.T, x *exported, medical []map[string]string) {
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

// What was exported and what was withheld add up to the warehouse's sums, to
// the cent: paid over all claims, submitted over medical ones; at the lines
// and in the totals.
func checkMoney(t *testing.T, x *exported, medical, pharmacy []map[string]string) {
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

// Without assumptions, whatever needs one is withheld and nothing else changes.
func TestTuvaNoAssumptions(t *testing.T) {
	t.Parallel()
	x := readExport(t, exportSet(t, tuvaDuckDB, "tuva", "--no-assumptions"))
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
	with, without := exportSet(t, tuvaDuckDB, "tuva"), exportSet(t, tuvaDuckDB, "tuva", "--no-proofs")
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
