package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkMembers exports some members with all types: no reference dangles, what
// belongs to nobody reads as it does in an export of everybody, and of the
// types that the set narrows there is exactly what the members' resources name.
func checkMembers(t *testing.T, set *librarySet, warehouse string, full *exported) {
	t.Helper()
	all := map[string]string{}
	for name, lines := range full.lines {
		for i, r := range full.resources[name] {
			all[name+"/"+r["id"].(string)] = unstamped(lines[i])
		}
	}
	patients := full.resources["Patient"]
	for name, chosen := range map[string][]map[string]any{
		"one member":      {patients[len(patients)/2]},
		"several members": {patients[0], patients[len(patients)/3], patients[len(patients)-1]},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(slices.Clone(set.args), "--policy", "flag") // what is withheld would name somebody, too
			ids := map[string]bool{}
			for _, p := range chosen {
				ids[p["id"].(string)] = true
			}
			for id := range ids {
				args = append(args, "--patient="+id)
			}
			x := readExport(t, exportSet(t, warehouse, set.mappings, args...))
			if got := len(x.resources["Patient"]); got != len(ids) {
				t.Errorf("%d patients of %d", got, len(ids))
			}
			dangling := danglingReferences(t, x)
			delete(dangling, "Patient.link.other") // another key of the person, who was not asked for
			if len(dangling) > 0 {
				t.Errorf("dangling references: %v", dangling)
			}
			named := map[string]bool{}
			for _, rows := range x.resources {
				for _, r := range rows {
					references(r, named)
				}
			}
			for _, typ := range []string{"Organization", "Practitioner"} {
				var got, want []string
				for i, r := range x.resources[typ] {
					id := typ + "/" + r["id"].(string)
					got = append(got, id)
					if diff := cmp.Diff(all[id], unstamped(x.lines[typ][i])); diff != "" {
						t.Errorf("%s (-of everybody +of some):\n%s", id, diff)
					}
				}
				if !slices.Contains(set.narrowed, typ) {
					continue
				}
				for id := range named {
					if strings.HasPrefix(id, typ+"/") {
						want = append(want, id)
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-named +exported):\n%s", typ, diff)
				}
			}
		})
	}
}

// unstamped is a line without the instant of its last change.
func unstamped(line []byte) string {
	return string(lastUpdated.ReplaceAll(line, []byte(`"lastUpdated":""`)))
}

// references notes every reference of a resource.
func references(v any, named map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["reference"].(string); ok {
			named[ref] = true
		}
		for _, child := range v {
			references(child, named)
		}
	case []any:
		for _, child := range v {
			references(child, named)
		}
	}
}
