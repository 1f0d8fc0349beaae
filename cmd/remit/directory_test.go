package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/server/auth"
	"remit/server/client"
	"remit/sql/control"
)

// npis are those of an export's resources of a type.
func (h *house) npis(t *testing.T, x *held, typ, token string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, f := range x.manifest.Output {
		if f.Type != typ {
			continue
		}
		for _, line := range h.file(t, f.URL, token, f.Count) {
			var r struct {
				Identifier []struct{ System, Value string }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			for _, i := range r.Identifier {
				if i.System == "http://hl7.org/fhir/sid/us-npi" {
					found[i.Value] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// A group's export names the providers that its members' rows name: nobody of
// the other members, and of those who opted out nobody either. What is read by
// itself is there whoever has it named (PR-006, BE-012).
func TestRule40_GroupExport(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	key, err := client.GenerateKey("ES384")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := key.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.NewStore(h.node.control, h.now).Register(t.Context(), auth.Registration{ID: "ehr", Name: "ehr", Keys: keys,
		Scope: "system/*.rs", Groups: []string{"even"}, Purpose: "provider-access"}); err != nil {
		t.Fatal(err)
	}
	h.keys["ehr"] = key
	members := h.roster(t, "even")
	out := slices.Sorted(maps.Keys(members))[:len(members)/2]
	var choices []control.Choice
	for _, m := range out {
		choices = append(choices, control.Choice{Member: m})
		delete(members, m)
	}
	if err := h.node.control.SetChoices(t.Context(), "provider-access", choices, true, h.now()); err != nil {
		t.Fatal(err)
	}
	named := func(members map[string]bool, columns ...string) []string {
		found := map[string]bool{}
		for _, file := range []string{"medical_claim.csv.gz", "pharmacy_claim.csv"} {
			for _, row := range table(t, file) {
				for _, c := range columns {
					if row[c] != "" && (members == nil || members[row["patient_id"]]) {
						found[row[c]] = true
					}
				}
			}
		}
		return slices.Sorted(maps.Keys(found))
	}
	token := h.token("ehr", "system/*.rs")
	x := h.holds(t, "/Group/even/$export", token)
	for typ, columns := range map[string][]string{
		"Practitioner": {"rendering_npi", "prescribing_provider_npi"},
		"Organization": {"facility_npi", "billing_npi", "dispensing_provider_npi"},
	} {
		got, want, all := h.npis(t, x, typ, token), named(members, columns...), named(nil, columns...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-named +exported):\n%s", typ, diff)
		}
		if len(want) == 0 || len(want) == len(all) {
			t.Errorf("%s: %d of %d are named, which proves nothing", typ, len(want), len(all))
		}
		if typ == "Practitioner" {
			for _, npi := range all {
				if !slices.Contains(want, npi) {
					if a := h.want(t, http.StatusOK, http.MethodGet, "/Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|"+npi, token); !bytes.Contains(a.body, []byte(`"entry"`)) {
						t.Errorf("a practitioner whom only others' rows name is not found: %.200s", a.body)
					}
					break
				}
			}
		}
	}
}
