package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedCPCDS is where a CPCDS extract of Synthea lies beside the tree. Its
// publisher states no licence, so that it is not shipped.
const sharedCPCDS = "../../../shared/data/cpcds/synthea-cpcds/rows"

// cpcdsFolder turns the extract's JSON arrays into the tables of the set. The
// extract names a claim's coverage in its payer identifiers.
func cpcdsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string]string{
		"claims": "claims.json.gz", "coverages": "coverages.json", "patients": "patients.json",
		"organization_providers": "organization_providers.json", "practitioners": "practitioners.json",
	} {
		f, err := os.Open(filepath.Join(sharedCPCDS, file))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("SKIPPED: no Synthea CPCDS extract beside the tree: its publisher states no licence, so that it is not shipped")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(file, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		d := json.NewDecoder(r)
		d.UseNumber()
		var rows []map[string]any
		if err := d.Decode(&rows); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for _, row := range rows {
			if name == "claims" {
				row["coverage_id"] = row["claim_payer_identifier"]
			}
			line, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(append(line, '\n'))
		}
		if err := os.WriteFile(filepath.Join(dir, name+".ndjson"), out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "warehouse.yaml"), []byte("schema: cpcds\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSyntheaCPCDS runs the set on a publisher's extract with its traps:
// timestamps for days, the epoch's eve for no day, amounts with binary tails,
// NPIs of 12 digits, leading zeros lost, diagnoses in SNOMED CT.
func TestSyntheaCPCDS(t *testing.T) {
	t.Parallel()
	warehouse := "duckdb:" + cpcdsFolder(t)
	set := &librarySet{
		name: "cpcds", mappings: "cpcds", charge: "total[submitted].amount.value", paid: "total[benefit].amount.value", member: "identifier.value",
	}
	x := readExport(t, exportSet(t, warehouse, set.mappings))
	if got := len(x.resources["Claim"]); got != 52 {
		t.Errorf("%d claims, want 52", got)
	}
	if got := x.report.Exported["ExplanationOfBenefit"] + x.report.Withheld["ExplanationOfBenefit"]; got != 52 {
		t.Errorf("%d explanations of benefit exported or withheld, want 52", got)
	}
	t.Logf("exported %v, withheld %v, reasons %v, absent %v, assumed %v", x.report.Exported, x.report.Withheld, x.report.Reasons, x.report.Absent, x.report.Assumed)
	t.Run("references", func(t *testing.T) { checkReferences(t, x, nil) })
	t.Run("validate", func(t *testing.T) { checkValid(t, x) })
	t.Run("second opinion", func(t *testing.T) { checkOpinion(t, x) })
	t.Run("totals", func(t *testing.T) { checkTotals(t, set, warehouse) })

	t.Run("SNOMED CT is never passed off as ICD", func(t *testing.T) {
		snomed, translated := 0, 0
		for _, c := range x.resources["Claim"] {
			for _, d := range asList(c["diagnosis"]) {
				bySystem := map[string]string{}
				for _, coding := range asList(d["diagnosisCodeableConcept"].(map[string]any)["coding"]) {
					bySystem[coding["system"].(string)] = coding["code"].(string)
				}
				if bySystem["http://snomed.info/sct"] == "" {
					t.Errorf("a diagnosis without its SNOMED CT code: %v", bySystem)
				}
				snomed++
				if icd, ok := bySystem["http://hl7.org/fhir/sid/icd-10-cm"]; ok {
					translated++
					if icd[0] < 'A' || icd[0] > 'Z' {
						t.Errorf("%s is no code of ICD-10-CM", icd)
					}
				}
			}
		}
		if snomed != 55 || translated == 0 || translated == snomed {
			t.Errorf("%d of %d diagnoses are translated", translated, snomed)
		}
		t.Logf("%d of %d diagnoses are translated", translated, snomed)
	})
	t.Run("days and amounts", func(t *testing.T) {
		for _, kind := range []string{"Claim", "Coverage", "Patient"} {
			for _, line := range x.lines[kind] {
				if bytes.Contains(line, []byte("1969-12-31")) {
					t.Errorf("a %s holds the epoch's eve", kind)
				}
			}
		}
		for _, c := range x.resources["Claim"] {
			for _, v := range pick(c, []string{"total", "value"}) {
				if _, tail, ok := strings.Cut(v, "."); ok && len(tail) > 2 {
					t.Errorf("an amount has %d places", len(tail))
				}
			}
		}
	})
}
