package mapping_test

import (
	"encoding/csv"
	"io/fs"
	"regexp"
	"testing"

	"remit/mapping/library"
)

// TestDiagnosisMapsAgree holds the two maps of SNOMED CT diagnoses to ICD-10-CM
// to one form, the code with its dot, and to one answer for a concept that both
// hold.
func TestDiagnosisMapsAgree(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$`)
	read := func(set, file string) map[string]string {
		files, _ := library.Set(set)
		f, err := files.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func(f fs.File) { _ = f.Close() }(f)
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, row := range rows[1:] {
			if !form.MatchString(row[1]) {
				t.Errorf("%s/%s: %s of %s is not written as ICD-10-CM is", set, file, row[1], row[0])
			}
			out[row[0]] = row[1]
		}
		return out
	}
	synthea, both := read("synthea", "icd10cm.csv"), 0
	for concept, code := range read("cpcds", "snomed-icd10cm.csv") {
		other, ok := synthea[concept]
		if !ok {
			continue
		}
		if both++; other != code {
			t.Errorf("SNOMED CT %s is %s in cpcds and %s in synthea", concept, code, other)
		}
	}
	if both == 0 {
		t.Error("the maps share no concept")
	}
}
