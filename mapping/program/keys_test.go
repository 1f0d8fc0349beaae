package program_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
	"remit/sql/duckdb"
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

// A column that the SQL gives another name is an index under its own.
func TestTableKeys_Renamed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"claim.csv": "claim_id,Person_ID,born\n1,2,3\n", "span.csv": "patient_id,day\n1,2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := duckdb.Open(t.Context(), dir, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	set, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, diags, err := mapping.Load(t.Context(), fstest.MapFS{
		"sources.yaml": {Data: []byte("with:\n  claims: {sql: \"SELECT c.claim_id, c.person_id AS patient_id, c.born || '' AS day FROM claim c\", patient: patient_id}\n" +
			"sources:\n  head: {sql: SELECT * FROM claims, key: [patient_id, day], patient: patient_id}\n  span: {table: span, key: [patient_id, day]}\n")},
		"claim.yaml": {Data: []byte("resource: Basic\nfrom: head\nset: {code: {text: =day}}\n")},
		"span.yaml":  {Data: []byte("resource: Basic\nfrom: span\nid: {key: [s, =patient_id, =day]}\nset: {code: {text: =day}}\n")},
	}, mapping.Env{Warehouse: w, Profiles: set})
	if err != nil || p == nil {
		t.Fatal(err, diags.Err())
	}
	catalog, err := w.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []program.TableKey{{Table: "claim", Columns: []string{"Person_ID"}}, {Table: "span", Columns: []string{"patient_id", "day"}}}
	if diff := cmp.Diff(want, p.TableKeys(catalog)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
