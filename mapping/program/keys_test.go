package program_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
)

// TestTableKeys: each table has the keys of every source that reads it, and
// none that leads another.
func TestTableKeys(t *testing.T) {
	p, _, w := tuva(t)
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []program.TableKey{
		{Table: "tuva.eligibility", Columns: []string{"data_source", "patient_id", "enrollment_start_date"}},
		{Table: "tuva.eligibility", Columns: []string{"patient_id"}},
		{Table: "tuva.eligibility", Columns: []string{"payer", "data_source", "patient_id"}},
		{Table: "tuva.medical_claim", Columns: []string{"data_source", "claim_id", "claim_line_number"}},
		{Table: "tuva.medical_claim", Columns: []string{"patient_id"}},
		{Table: "tuva.pharmacy_claim", Columns: []string{"data_source", "claim_id", "claim_line_number"}},
		{Table: "tuva.pharmacy_claim", Columns: []string{"patient_id"}},
	}
	if diff := cmp.Diff(want, p.TableKeys(catalog)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
