package sourcetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/sql/source"
)

// Render holds the SQL that a dialect's queries become: one golden file for
// each query in dir, rewritten where the environment has UPDATE=1.
func Render(t *testing.T, d *source.Dialect, dir string) {
	asOf := time.Date(2024, 2, 29, 10, 20, 30, 123_000_000, time.UTC)
	for name, q := range renderQueries() {
		t.Run(name, func(t *testing.T) {
			st, err := d.Select(q, asOf)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString(st.SQL + "\n")
			for i, a := range st.Args {
				if a.List != nil {
					fmt.Fprintf(&b, "-- $%d: list %q\n", i+1, a.List)
				} else {
					fmt.Fprintf(&b, "-- $%d: %q\n", i+1, a.Text)
				}
			}
			path := filepath.Join(dir, name+".sql")
			if os.Getenv("UPDATE") == "1" {
				if err := os.MkdirAll(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// ownedSQL reads from two queries that tell whose data their rows are.
const ownedSQL = "WITH claim AS NOT MATERIALIZED (\nSELECT * FROM m\n), rx AS NOT MATERIALIZED (\nSELECT * FROM p -- of the pharmacy\n)\nSELECT npi FROM claim UNION SELECT npi FROM rx"

// renderQueries are queries that together use every part of source.Query.
func renderQueries() map[string]*source.Query {
	claimColumns := []source.Column{
		{Name: "data_source", Type: textType}, {Name: "Claim_ID", Type: textType}, {Name: "patient_id", Type: textType},
		{Name: "paid_date", Type: source.Type{Kind: source.KindDate}}, {Name: "loaded", Type: source.Type{Kind: source.KindInstant}},
		{Name: "status", Type: source.Type{Kind: source.KindText, Padded: true}}, {Name: "paid", Type: source.Type{Kind: source.KindDecimal, Precision: 18, Scale: 2}},
		{Name: "dx_1", Type: textType}, {Name: "dx_2", Type: textType},
	}
	claim := &source.Relation{Name: "claim", Table: "tuva.medical_claim", Columns: claimColumns[:5]}
	wrapped := &source.Relation{Name: "claim", SQL: "SELECT * FROM c", Trim: true, Keep: []string{"data_source", "claim_id"}, Columns: claimColumns,
		Empty: source.Empty{Text: []string{"", "it's"}, Date: []string{"9999-12-31"}}}
	key := textKey("data_source", "claim_id")
	line := &source.Relation{Name: "line", SQL: "SELECT m.*\nFROM tuva.medical_claim m"}
	parent := &source.Query{From: claim, Key: key, Where: exprs("eob_kind = 'professional'"),
		Narrow: source.Narrow{Patient: textKey("patient_id")[0], Patients: []string{"p1", "p2"}}}
	patientRange := source.Narrow{Patient: textKey("patient_id")[0], PatientAfter: pointer("100"), PatientUpTo: pointer("200")}
	return map[string]*source.Query{
		"plain":    {From: claim, Columns: exprs("claim_id", "CASE WHEN paid > 0 THEN 1 END"), Where: exprs("paid IS NOT NULL"), Key: key},
		"snapshot": {From: claim, Columns: exprs("snapshot.as_of_date - paid_date"), Key: key},
		// A wrap writes the columns that are named, and all where any may be meant.
		"wrapped":          {From: wrapped, Columns: exprs("status", "claim.Paid_Date"), Where: exprs("paid * 2 > 1"), Key: key, Order: textKey("loaded")},
		"wrapped-all":      {From: wrapped, Columns: exprs("(SELECT max(x) FROM (SELECT claim.*) AS r(x))"), Key: key},
		"wrapped-constant": {From: wrapped, Columns: exprs("1")},
		"wrapped-unpivot": {From: &source.Relation{Name: "diagnosis", Unpivot: &source.Unpivot{From: "1", To: "2", Columns: []source.UnpivotColumn{{Name: "code", Pattern: "dx_{n}"}},
			Of: wrapped}}, Columns: exprs("code"), Key: key, Order: []source.KeyColumn{{Name: "n", Type: integerType}}},
		"key-range": {From: line, Columns: exprs("n"), Key: append(textKey("data_source", "claim_id"), source.KeyColumn{Name: "n", Type: integerType}),
			Narrow: source.Narrow{KeyAfter: []string{"a", "b", "3"}, KeyUpTo: []string{"a", "z"}}},
		"patients":     {From: line, Columns: exprs("n"), Key: key, Narrow: patientRange},
		"null-keys":    {From: line, Columns: exprs("n"), Key: key, Order: []source.KeyColumn{{Name: "n", Type: integerType}}, NullKeys: true, Parent: parent},
		"patient-null": {From: claim, Columns: exprs("claim_id"), Key: key, Narrow: source.Narrow{Patient: textKey("patient_id")[0], PatientNull: true}},
		"patient-list": {From: line, Columns: exprs("n"), Key: key, Narrow: source.Narrow{Patient: textKey("patient_id")[0], Patients: []string{`a"b`, "c"}}},
		"owners": {From: &source.Relation{Name: "provider", SQL: ownedSQL, Owned: []source.Owned{
			{Start: strings.Index(ownedSQL, "SELECT * FROM m"), End: strings.Index(ownedSQL, "\n), rx"), Patient: textKey("Person")[0]},
			{Start: strings.Index(ownedSQL, "SELECT * FROM p"), End: strings.Index(ownedSQL, "\n)\n"), Patient: source.KeyColumn{Name: "who", Type: integerType}}}},
			Columns: exprs("npi"), Key: textKey("npi"), Narrow: source.Narrow{Owners: []string{"1", "2"}}, Parent: &source.Query{
				From: &source.Relation{Name: "a", SQL: "SELECT 1 AS npi", Owned: []source.Owned{{End: len("SELECT 1 AS npi"), Patient: textKey("npi")[0]}}},
				Key:  textKey("npi"), Narrow: source.Narrow{Owners: []string{"1"}}}},
		"keys":     {From: line, Columns: exprs("n"), Key: key, Narrow: source.Narrow{Keys: [][]string{{"a", "1"}, {"b", "2"}}}},
		"child":    {From: line, Columns: exprs("n"), Key: key, Order: []source.KeyColumn{{Name: "n", Type: integerType}}, Parent: parent},
		"distinct": {From: line, Columns: exprs("data_source", "claim_id", "n"), Key: key, Order: []source.KeyColumn{{Name: "n", Type: integerType}}, Distinct: true},
		"updated": {From: claim, Columns: exprs("claim_id"), Key: key, Narrow: source.Narrow{Updated: source.KeyColumn{Name: "loaded"},
			Since: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC), UntilInclusive: true,
			SinceAlso: []*source.Query{{From: line, Key: key, Where: exprs("n > 0"), Narrow: source.Narrow{Updated: source.KeyColumn{Name: "changed", Type: source.Type{Kind: source.KindTimestamp}}}}}}},
		"unpivot": {From: &source.Relation{Name: "diagnosis", Unpivot: &source.Unpivot{From: "1", To: "2", Columns: []source.UnpivotColumn{{Name: "code", Pattern: "dx_{n}"}},
			Of: &source.Relation{Name: "claim", Table: "claim", Columns: append(claimColumns[:5:5], claimColumns[7:]...)}}}, Columns: exprs("diagnosis.code"), Key: key,
			Order: []source.KeyColumn{{Name: "n", Type: integerType}}},
	}
}
