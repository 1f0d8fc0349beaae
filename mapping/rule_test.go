package mapping_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"remit/mapping"
	"remit/mapping/program"
)

// TestRule runs the mappings of testdata/rule, each named for the rule of the
// language that it shows, over the small warehouse: rows in, NDJSON, findings
// and the report out.
func TestRule(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	names, err := filepath.Glob("testdata/rule/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range names {
		file := filepath.Base(name)
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			set := base(t)
			for other := range set {
				if strings.HasSuffix(other, ".yaml") && other != "sources.yaml" {
					delete(set, other)
				}
			}
			set[file] = &fstest.MapFile{Data: data}
			p, diags := load(t, w, set)
			silent(t, diags)
			lines, report := run(t, w, p, program.Request{})
			text, err := json.Marshal(report)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".out", fmt.Sprintf("%s\n%s\n", strings.Join(lines, "\n"), text))
		})
	}
}

// TestRule36_NoAssumptions turns assumptions off: what needs one stays empty.
func TestRule36_NoAssumptions(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	for name := range set {
		if strings.HasSuffix(name, ".yaml") && name != "sources.yaml" {
			delete(set, name)
		}
	}
	set["m.yaml"] = &fstest.MapFile{Data: []byte("resource: Patient\nfrom: member\nwhere: member_id = 'M3'\nset: {gender: {assumed: unknown}, birthDate: =born}\n")}
	for _, off := range []bool{false, true} {
		p, diags, err := mapping.Load(t.Context(), set, mapping.Env{Warehouse: w, Profiles: profileSet(t), NoAssumptions: off})
		if err != nil || p == nil {
			t.Fatal(err, diags.Err())
		}
		lines, report := run(t, w, p, program.Request{})
		if has := strings.Contains(lines[0], `"gender"`); has == off || (report.Assumed["Patient.gender"] == 1) == off {
			t.Errorf("assumptions off: %v, written: %v, counted: %v", off, has, report.Assumed)
		}
	}
}

// TestRule22_KeyedIDs asks that a key changes every id, and ids and references
// alike.
func TestRule22_KeyedIDs(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	ids := map[string]bool{}
	for _, key := range []string{"", "secret", "other"} {
		p, diags, err := mapping.Load(t.Context(), base(t), mapping.Env{Warehouse: w, Profiles: profileSet(t), IDKey: []byte(key)})
		if err != nil || p == nil {
			t.Fatal(err, diags.Err())
		}
		patients, _ := run(t, w, p, program.Request{Types: []string{"Patient"}})
		coverages, _ := run(t, w, p, program.Request{Types: []string{"Coverage"}})
		_, rest, _ := strings.Cut(patients[0], `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if len(id) != 32 || ids[id] {
			t.Errorf("id of %d characters, seen before: %v", len(id), ids[id])
		}
		ids[id] = true
		if !strings.Contains(coverages[0], `"Patient/`+id+`"`) {
			t.Error("the reference is not the id")
		}
	}
}
