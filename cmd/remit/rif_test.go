package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"remit/fixtures"
)

// rifDelivery writes the CMS claims files into a folder, with one file of the
// publisher's later deliveries beside them.
func rifDelivery(t *testing.T, update string) string {
	t.Helper()
	dir := t.TempDir()
	i := slices.IndexFunc(fixtures.All(), func(f fixtures.Fixture) bool { return f.Name == "cms-rif" })
	if err := fixtures.Write(dir, fixtures.All()[i].Files); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("../../fixtures/cms-rif/updates", update))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, update), text, 0o666); err != nil {
		t.Fatal(err)
	}
	return "duckdb:" + dir
}

// A later delivery of a member replaces the earlier one: one Patient, with the
// new name, and the identifier of before as a historic one.
func TestRIFUpdate(t *testing.T) {
	t.Parallel()
	x := readExport(t, exportSet(t, rifDelivery(t, "sample-u-beneficiaries.txt"), "cms-rif", "--type", "Patient"))
	var found []map[string]any
	for _, p := range x.resources["Patient"] {
		if p["id"] == "567834" {
			found = append(found, p)
		}
	}
	if len(found) != 1 || len(x.resources["Patient"]) != 4 {
		t.Fatalf("%d Patients, %d of them the member; want 4 and 1", len(x.resources["Patient"]), len(found))
	}
	if got := pick(found[0], []string{"name", "family"}); !slices.Equal(got, []string{"Johnson"}) {
		t.Errorf("names %q", got)
	}
	standing := map[string]string{}
	for _, id := range asList(found[0]["identifier"]) {
		for _, s := range pick(id, []string{"type", "coding", "extension", "valueCoding", "code"}) {
			standing[id["value"].(string)] = s
		}
	}
	if standing["SSSS"] != "current" || standing["3456789"] != "historic" {
		t.Errorf("identifiers: %v", standing)
	}
}

// A row with a value too many does not line up with its header: the load stops,
// tells file, number and line, and quotes no value.
func TestRIFMisaligned(t *testing.T) {
	t.Parallel()
	code, _, stderr := runRemit(t, "export", "--warehouse", rifDelivery(t, "sample-u-bcarrier.txt"), "--mappings", "cms-rif", "--out", filepath.Join(t.TempDir(), "out"))
	if want := "sample-u-bcarrier.txt: 1 rows have more fields than the header names columns, the first in line 2"; code == exitFine || !strings.Contains(stderr, want) {
		t.Errorf("export ended with %d, without %q:\n%s", code, want, stderr)
	}
	if strings.Contains(stderr, "H12345") || strings.Contains(stderr, "GG443333HH") {
		t.Error("the message quotes a value")
	}
}
