package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// held is what a client got of an export: the ids of each type, and the patients
// that any line refers to.
type held struct {
	status    string
	manifest  completed
	ids       map[string]map[string]bool
	mentioned map[string]bool
}

var patientReference = regexp.MustCompile(`"reference":"Patient/([A-Za-z0-9.-]+)"`)

func (h *house) holds(t *testing.T, path, token string) *held {
	t.Helper()
	x := &held{status: h.kickoff(t, path, token), ids: map[string]map[string]bool{}, mentioned: map[string]bool{}}
	x.manifest = h.manifest(t, x.status, token)
	for _, f := range x.manifest.Output {
		if x.ids[f.Type] == nil {
			x.ids[f.Type] = map[string]bool{}
		}
		for _, line := range h.file(t, f.URL, token, f.Count) {
			var r struct{ ID string }
			if err := json.Unmarshal([]byte(line), &r); err != nil || x.ids[f.Type][r.ID] {
				t.Fatalf("%s/%s comes twice, or %v", f.Type, r.ID, err)
			}
			x.ids[f.Type][r.ID] = true
			for _, m := range patientReference.FindAllStringSubmatch(line, -1) {
				x.mentioned[m[1]] = true
			}
		}
	}
	return x
}

// Two clients have one half each of a payer's members. What both export is
// disjoint, adds up to all that there is, and mentions nobody else; and whatever
// one has, its job, files, group and members, is to the other as what does not
// exist, byte for byte. With an expired token, without one and with too small a
// scope nothing is answered to either (BE-012, BE-013, BE-014, BE-016, BE-020,
// BE-040, BE-114, BE-213, SB-082).
func TestBE016_TwoRosters(t *testing.T) {
	t.Parallel()
	const scope = "system/*.rs system/Group.cud"
	h := openHouse(t)
	h.register("all")
	h.register("even", "even")
	h.register("odd", "odd")
	all := h.holds(t, "/$export", h.token("all", "system/*.rs"))
	token := map[string]string{"even": h.token("even", scope), "odd": h.token("odd", scope)}
	own := map[string]*held{}
	for name, tok := range token {
		own[name] = h.holds(t, "/Group/"+name+"/$export", tok)
	}

	t.Run("BE-012 disjoint and complete", func(t *testing.T) {
		for _, typ := range []string{"Patient", "Coverage", "Claim", "ExplanationOfBenefit", "Group"} {
			even, odd, both := own["even"].ids[typ], own["odd"].ids[typ], map[string]bool{}
			maps.Copy(both, even)
			maps.Copy(both, odd)
			if len(even) == 0 || len(odd) == 0 || len(both) != len(even)+len(odd) {
				t.Errorf("%s: %d and %d, together %d", typ, len(even), len(odd), len(both))
			}
			if !maps.Equal(both, all.ids[typ]) {
				t.Errorf("%s: together %d, there are %d", typ, len(both), len(all.ids[typ]))
			}
		}
		for name, x := range own {
			if want := len(h.roster(t, name)); len(x.ids["Patient"]) != want {
				t.Errorf("%s has %d patients, its roster %d members", name, len(x.ids["Patient"]), want)
			}
			if !x.ids["Group"][name] || len(x.ids["Group"]) != 1 {
				t.Errorf("%s has the groups %v", name, x.ids["Group"])
			}
			for id := range x.mentioned {
				if !x.ids["Patient"][id] {
					t.Fatalf("%s is told of Patient/%s", name, id)
				}
			}
		}
	})

	for name, other := range map[string]string{"even": "odd", "odd": "even"} {
		t.Run(name, func(t *testing.T) {
			x, stranger := own[name], token[other]
			job := x.status[strings.LastIndex(x.status, "/")+1:]
			file := x.manifest.Output[0].URL
			patient := slices.Sorted(maps.Keys(x.ids["Patient"]))[0]
			claim := slices.Sorted(maps.Keys(x.ids["ExplanationOfBenefit"]))[0]
			// Each with something in it that does not exist, in its place.
			for _, e := range []struct{ method, path, id string }{
				{http.MethodGet, x.status, job}, {http.MethodDelete, x.status, job}, {http.MethodGet, file, job}, {http.MethodHead, file, job},
				{http.MethodGet, "/Group/" + name, name}, {http.MethodGet, "/Group/" + name + "/$export", name}, {http.MethodDelete, "/Group/" + name, name},
				{http.MethodGet, "/Patient/" + patient, patient}, {http.MethodGet, "/ExplanationOfBenefit/" + claim, claim},
			} {
				foreign := h.want(t, http.StatusNotFound, e.method, e.path, stranger)
				none := h.want(t, http.StatusNotFound, e.method, strings.Replace(e.path, e.id, "none", 1), stranger)
				if !bytes.Equal(bytes.ReplaceAll(foreign.body, []byte(e.id), []byte("none")), none.body) {
					t.Errorf("%s %s answers\n%s\nand where there is nothing\n%s", e.method, e.path, foreign.body, none.body)
				}
			}
			for _, search := range []string{"/Patient?_id=" + patient, "/Coverage?patient=" + patient, "/Group?_id=" + name, "/Group?identifier=" + name} {
				if a := h.want(t, http.StatusOK, http.MethodGet, search, stranger); bytes.Contains(a.body, []byte(`"entry"`)) {
					t.Errorf("%s finds %.200s", search, a.body)
				}
				if a := h.want(t, http.StatusOK, http.MethodGet, search, token[name]); !bytes.Contains(a.body, []byte(`"entry"`)) {
					t.Errorf("%s of its own finds %.200s", search, a.body)
				}
			}
			ask := func(id string) reply {
				body := `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/` + id + `"}}]}`
				return h.do(t, http.MethodPost, "/Group/"+other+"/$export", stranger, body, "Content-Type", "application/fhir+json")
			}
			foreign, none := ask(patient), ask("none")
			if foreign.code != http.StatusBadRequest || none.code != foreign.code || !bytes.Equal(bytes.ReplaceAll(foreign.body, []byte(patient), []byte("none")), none.body) {
				t.Errorf("a patient of the other: %d %s\nand nobody: %d %s", foreign.code, foreign.body, none.code, none.body)
			}
			h.want(t, http.StatusForbidden, http.MethodGet, "/$export", stranger)
			h.want(t, http.StatusForbidden, http.MethodGet, "/Patient/$export", stranger)
			// It is still there for who has it.
			h.want(t, http.StatusOK, http.MethodGet, x.status, token[name])
			h.want(t, http.StatusOK, http.MethodGet, file, token[name])
		})
	}

	x := own["even"]
	type ask struct{ method, path string }
	protected := []ask{
		{http.MethodGet, x.status}, {http.MethodGet, x.manifest.Output[0].URL}, {http.MethodDelete, x.status},
		{http.MethodGet, "/Group/even/$export"}, {http.MethodGet, "/Group/even"}, {http.MethodGet, "/Group"}, {http.MethodGet, "/Patient"},
	}
	refused := func(t *testing.T, code int, token string) {
		t.Helper()
		for _, e := range protected {
			h.want(t, code, e.method, e.path, token)
		}
	}
	t.Run("no token", func(t *testing.T) { refused(t, http.StatusUnauthorized, "") })
	t.Run("small scope", func(t *testing.T) { refused(t, http.StatusForbidden, h.token("even", "system/Organization.rs")) })
	t.Run("expired token", func(t *testing.T) {
		old := h.token("even", "system/*.rs")
		h.want(t, http.StatusOK, http.MethodGet, x.status, old)
		h.late.Add(int64(301 * time.Second))
		refused(t, http.StatusUnauthorized, old)
	})
	h.want(t, http.StatusAccepted, http.MethodDelete, x.status, h.token("even", "system/*.rs"))
}
