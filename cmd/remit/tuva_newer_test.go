package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
)

// elsewhere is the pharmacy claim, of the newer layout, of a payer whom no span names.
const elsewhere = "10429-429f22da-cc83-40b4-9e87-31f0c3ccfb94"

// newerTuva writes the fixture in the newer layout: persons in place of
// patients, a DRG with its type, plans, subscribers, cost sharing. Every tenth
// member depends on the one before.
func newerTuva(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "warehouse")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, renamed map[string]string, added []string, rows []map[string]string, value func(row map[string]string, column string) string) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		old := headerOf(t, name)
		w := csv.NewWriter(f)
		var header []string
		for _, c := range old {
			if to := renamed[c]; to != "" {
				c = to
			}
			header = append(header, c)
		}
		header = append(header, added...)
		if err := w.Write(header); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			record := make([]string, 0, len(header))
			for i, c := range header {
				v := ""
				if i < len(old) {
					v = row[old[i]]
				}
				if own := value(row, c); own != "" {
					v = own
				}
				record = append(record, v)
			}
			if err := w.Write(record); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		if err := w.Error(); err != nil {
			t.Fatal(err)
		}
	}
	payer, number := map[string]string{}, map[string]int{}
	var members []string
	spans := table(t, "eligibility.csv")
	for _, row := range spans {
		id := row["patient_id"]
		if _, known := number[id]; !known {
			number[id], payer[id] = len(members), row["payer"]
			members = append(members, id)
		}
	}
	dependent := func(id string) bool { return number[id]%10 == 9 }
	write("eligibility.csv", map[string]string{"patient_id": "person_id"},
		[]string{"plan", "subscriber_id", "subscriber_relation", "group_id", "group_name", "middle_name", "name_suffix", "email", "ethnicity", "ingest_datetime"}, spans,
		func(row map[string]string, c string) string {
			id := row["patient_id"]
			switch c {
			case "member_id":
				return "M" + id
			case "plan":
				return "gold"
			case "subscriber_id":
				if dependent(id) {
					return "M" + members[number[id]-1]
				}
				return "M" + id
			case "subscriber_relation":
				if dependent(id) {
					return "child"
				}
				return "self"
			}
			return ""
		})
	added := []string{"payer", "plan", "coinsurance_amount", "copayment_amount", "deductible_amount", "in_network_flag", "ingest_datetime"}
	claim := func(row map[string]string, c string) string {
		switch c {
		case "payer":
			if row["claim_id"] == elsewhere {
				return "another payer"
			}
			return payer[row["patient_id"]]
		case "plan":
			return "gold"
		case "copayment_amount":
			return "1.25"
		case "in_network_flag":
			return "1"
		case "drg_code":
			return row["ms_drg_code"]
		case "drg_code_type":
			if row["ms_drg_code"] != "" {
				return "ms-drg"
			}
		}
		return ""
	}
	write("medical_claim.csv", map[string]string{"patient_id": "person_id", "ms_drg_code": "drg_code", "apr_drg_code": "drg_code_type"}, added, table(t, "medical_claim.csv.gz"), claim)
	write("pharmacy_claim.csv", map[string]string{"patient_id": "person_id"}, added, table(t, "pharmacy_claim.csv"), claim)
	declared, err := os.ReadFile("../../fixtures/tuva/warehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shared := "      coinsurance_amount: DECIMAL(18,2)\n      copayment_amount: DECIMAL(18,2)\n      deductible_amount: DECIMAL(18,2)\n      in_network_flag: INTEGER\n"
	text := strings.Replace(string(declared), "      claim_start_date: DATE\n", "      claim_start_date: DATE\n"+shared, 1)
	text = strings.Replace(text, "      dispensing_date: DATE\n", "      dispensing_date: DATE\n"+shared, 1)
	if err := os.WriteFile(filepath.Join(dir, "warehouse.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func headerOf(t *testing.T, name string) []string {
	t.Helper()
	if name == "medical_claim.csv" {
		name += ".gz"
	}
	f, err := fixtures.Tuva().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header, err := csv.NewReader(unzipped(t, name, f)).Read()
	if err != nil {
		t.Fatal(err)
	}
	return header
}

// The newer layout is read by the same set, chosen by the catalogue: the same
// members and claims, and what it tells beside, valid and equal on both engines.
func TestTuvaNewerLayout(t *testing.T) {
	t.Parallel()
	dir := newerTuva(t)
	x := readExport(t, exportSet(t, "duckdb:"+dir, "tuva"))
	checkReferences(t, x, nil)
	checkValid(t, x)
	checkOpinion(t, x)
	want := map[string]int{
		"Patient": 100, "Coverage": 219, "Claim": 3512, "ExplanationOfBenefit": 3436, "Organization": 142, "Practitioner": 2231,
		"RelatedPerson": 10, "Group": 2, // of the payer, of its plan
	}
	if diff := cmp.Diff(want, x.report.Exported); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
	older := readExport(t, exportSet(t, tuvaDuckDB, "tuva"))
	money := func(x *exported) (sum int64) {
		for _, r := range x.resources["ExplanationOfBenefit"] {
			sum += sumOf(t, r, "total[benefit].amount.value")
		}
		return sum
	}
	if a, b := money(older), money(x); a != b || a == 0 {
		t.Errorf("paid: %d cents in the older layout, %d in the newer", a, b)
	}
	copays, inNetwork, related := 0, 0, 0
	for _, r := range x.resources["ExplanationOfBenefit"] {
		copays += len(pick(r, strings.Split("item.adjudication[copay].amount.value", ".")))
		for _, code := range append(pick(r, strings.Split("adjudication.reason.coding.code", ".")), pick(r, strings.Split("item.adjudication.reason.coding.code", "."))...) {
			if code == "innetwork" {
				inNetwork++
			}
		}
	}
	for _, r := range x.resources["Coverage"] {
		related += len(pick(r, strings.Split("subscriber.reference", ".")))
	}
	if copays == 0 || inNetwork == 0 || related == 0 {
		t.Errorf("%d copays, %d in network, %d coverages with a subscriber", copays, inNetwork, related)
	}
	if len(x.report.Assumed) != 4 || x.report.Assumed["Coverage.relationship"] != 0 {
		t.Errorf("assumed: %v; the layout tells the relationship", x.report.Assumed)
	}
	checkMembers(t, &librarySet{mappings: "tuva", narrowed: []string{"Organization", "Practitioner"}}, "duckdb:"+dir, x)
	// The payer of a member's claim comes along although no span of the member's names it.
	for _, r := range x.resources["ExplanationOfBenefit"] {
		if !slices.Contains(pick(r, strings.Split("identifier.value", ".")), elsewhere) {
			continue
		}
		member := strings.TrimPrefix(pick(r, strings.Split("patient.reference", "."))[0], "Patient/")
		one := readExport(t, exportSet(t, "duckdb:"+dir, "tuva", "--patient="+member))
		checkReferences(t, one, nil)
		if !slices.ContainsFunc(one.resources["Organization"], func(r map[string]any) bool { return r["name"] == "another payer" }) {
			t.Error("the payer of a claim is missing")
		}
	}
	onPostgres(t, dir, "tuva", x)
}
