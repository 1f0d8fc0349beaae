package export

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/profiles"
)

// full is small with resources that have more to them.
func full() *double {
	d := small()
	for i := range d.rows {
		w := &d.rows[i]
		switch w.typ {
		case "Patient":
			w.json = fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"lastUpdated":"2026-01-01T00:00:00Z"},"name":[{"family":"secret-%s"}],"gender":"female","birthDate":"1980-01-0%s"}`, w.id, w.patient, w.id[1:])
		case "Claim":
			w.json = fmt.Sprintf(`{"resourceType":"Claim","id":%q,"status":"active","type":{"coding":[{"code":"oral"}]},"use":"claim","patient":{"reference":"Patient/%s"},`+
				`"created":"2026-01-0%s","provider":{"reference":"Organization/o1"},"priority":{"text":"x"},"insurance":[{"sequence":1,"focal":true,"coverage":{"display":"x"}}],"total":{"value":1}}`, w.id, "p"+w.id[1:2], w.id[2:])
		}
	}
	return d
}

// mandatory asks the bundled definitions.
func mandatory(t *testing.T) func(string) ([]string, error) {
	t.Helper()
	set, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set.Mandatory
}

// BE-130, BE-131: each type filters by itself, its queries join by OR, and what
// the grant allows joins by AND.
func TestBE130_TypeFilter(t *testing.T) {
	t.Parallel()
	e := newBench(t, full()).engine()
	all := []string{"c11", "c12", "c21", "c22", "c31", "c32"}
	for _, tc := range []struct {
		name            string
		filters, grants []string
		want            []string
	}{
		{"none", nil, nil, all},
		{"one", []string{"Claim?created=2026-01-01"}, nil, []string{"c11", "c21", "c31"}},
		{"BE-131 queries are or", []string{"Claim?_id=c11", "Claim?_id=c32"}, nil, []string{"c11", "c32"}},
		{"BE-131 commas are or", []string{"Claim?_id=c11,c32"}, nil, []string{"c11", "c32"}},
		{"BE-131 parameters are and", []string{"Claim?_id=c11,c32&created=2026-01-01"}, nil, []string{"c11"}},
		{"nothing matches", []string{"Claim?status=draft"}, nil, nil},
		{"granted", nil, []string{"Claim?patient=p2"}, []string{"c21", "c22"}},
		{"granted and asked for", []string{"Claim?created=2026-01-02"}, []string{"Claim?patient=p2", "Claim?patient=p3"}, []string{"c22", "c32"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := Request{Types: []string{"Claim", "Patient"}}
			if tc.filters != nil {
				r.TypeFilters = map[string][]string{"Claim": tc.filters}
			}
			if tc.grants != nil {
				r.Restrict = map[string][]string{"Claim": tc.grants}
			}
			id := export(t, e, r)
			same(t, "claims", tc.want, ids(t, e, id, "Claim"))
			same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
			rep, err := e.Report(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if got := rep.Filtered["Claim"]; got != int64(len(all)-len(tc.want)) {
				t.Errorf("%d claims counted as filtered", got)
			}
		})
	}
}

// A filter that cannot be read must not let everything through.
func TestBE130_UnreadableFilter(t *testing.T) {
	t.Parallel()
	e := newBench(t, full()).engine()
	for _, r := range []Request{
		{TypeFilters: map[string][]string{"Claim": {"Claim?nonsense=1"}}}, {Restrict: map[string][]string{"Claim": {"Patient?_id=1"}}},
	} {
		id := kickoff(t, e, r)
		if st := wait(t, e, id); st.State != StateFailed {
			t.Errorf("export ends as %s", st.State)
		}
	}
}

// BE-101, BE-102, BE-104: mandatory and modifier elements stay, what was trimmed
// says so, and other types stay whole.
func TestBE101_Elements(t *testing.T) {
	t.Parallel()
	b := newBench(t, full())
	b.change = func(o *Options) { o.Mandatory = mandatory(t) }
	e := b.engine()
	id := export(t, e, Request{Types: []string{"Claim", "Patient"}, Elements: map[string][]string{"Claim": {"id", "total"}}})
	all := lines(t, e, id)
	want := `{"resourceType":"Claim","id":"c11","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},` +
		`"status":"active","type":{"coding":[{"code":"oral"}]},"use":"claim","patient":{"reference":"Patient/p1"},"created":"2026-01-01",` +
		`"provider":{"reference":"Organization/o1"},"priority":{"text":"x"},"insurance":[{"sequence":1,"focal":true,"coverage":{"display":"x"}}],"total":{"value":1}}`
	same(t, "claim", want, all["Claim.1.ndjson"][0])
	t.Run("BE-102 only what was trimmed is tagged", func(t *testing.T) {
		for name, list := range all {
			for _, line := range list {
				if strings.Contains(line, `"code":"SUBSETTED"`) != strings.HasPrefix(name, "Claim.") {
					t.Errorf("%s: %s", name, line)
				}
			}
		}
		if p := all["Patient.1.ndjson"][0]; !strings.Contains(p, "gender") {
			t.Errorf("patient is %s", p)
		}
	})
	id = export(t, e, Request{Types: []string{"Patient"}, Elements: map[string][]string{"Patient": {}}})
	same(t, "BE-102, BE-104: patient, whose tag stands beside the meta that was there", `{"resourceType":"Patient","id":"p1","meta":{"lastUpdated":"2026-01-01T00:00:00Z","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}}`,
		lines(t, e, id)["Patient.1.ndjson"][0])
}

// What is gone is told once, as a transaction that deletes it, and never beside the
// resource itself, be it of another chunk.
func TestBE190_Deletions(t *testing.T) {
	t.Parallel()
	e, read := deletions(t, maxDigests)
	id := export(t, e, Request{Since: firstAsOf.Add(-time.Hour)})
	t.Run("BE-191 transactions of DELETE", func(t *testing.T) { same(t, "deleted", []string{"Claim/gone1", "Patient/gone2"}, read(id)) })
	t.Run("BE-192 not in the output", func(t *testing.T) {
		same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
		same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	})
	rep, err := e.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "report", map[string]int64{"Claim": 1, "Patient": 1}, rep.Deleted)

	// BE-193: by type and by patient as everything else; and none without _since.
	same(t, "deleted patients", []string{"Patient/gone2"}, read(export(t, e, Request{Types: []string{"Patient"}, Since: firstAsOf.Add(-time.Hour)})))
	same(t, "deleted of a group", []string{"Claim/gone1"}, read(export(t, e, Request{Level: LevelGroup, Group: "g2", Since: firstAsOf.Add(-time.Hour)})))
	same(t, "deleted of everything", nil, read(export(t, e, Request{})))
}

// deletions is an engine that holds no more digests than the bound, over a
// warehouse that tells of deletions, and a reader of those of an export.
func deletions(t *testing.T, bound int) (e *Engine, read func(id string) []string) {
	t.Helper()
	d := full()
	d.rows = append(d.rows,
		row{pass: 1, typ: "Claim", id: "gone1", patient: "m1", gone: true},
		row{pass: 1, typ: "Claim", id: "gone1", patient: "m2", gone: true}, // told by two chunks
		row{pass: 1, typ: "Claim", id: "c31", patient: "m1", gone: true},   // moved to another chunk
		row{pass: 1, typ: "Claim", id: "c11", patient: "m1", gone: true},   // of the same chunk
		row{pass: 0, typ: "Patient", id: "gone2", patient: "m3", gone: true},
	)
	slices.SortStableFunc(d.rows, func(a, b row) int { return strings.Compare(a.patient, b.patient) })
	e = newBench(t, d).engine()
	e.digests = bound
	return e, func(id string) (deleted []string) {
		m, err := e.Manifest(t.Context(), id, "https://x/", true)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Deleted {
			if f.Type != "Bundle" {
				t.Errorf("deleted item %+v", f)
			}
			var n int64
			for _, l := range readFile(t, e, id, f.Name) {
				n++
				var b bundle
				if err := json.Unmarshal([]byte(l), &b); err != nil || b.Type != "transaction" || b.ResourceType != "Bundle" || len(b.Entry) != 1 || b.Entry[0].Request.Method != "DELETE" {
					t.Fatalf("line %s: %v", l, err)
				}
				deleted = append(deleted, b.Entry[0].Request.URL)
			}
			if n != f.Count {
				t.Errorf("%s has %d lines, the manifest says %d", f.Name, n, f.Count)
			}
		}
		slices.Sort(deleted)
		return deleted
	}
}

// The status is read by every poll: it does not carry the members of a group.
func TestStatusWithoutMembers(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	id := export(t, e, Request{Level: LevelGroup, Group: "g1"})
	x, err := b.control.Export(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(x.Request), "m1") {
		t.Errorf("the stored request holds members: %s", x.Request)
	}
	members, err := b.control.Members(t.Context(), id)
	if err != nil || string(members) != `{"members":["m1","m3"]}` {
		t.Errorf("members are %s, %v", members, err)
	}
	same(t, "patients", []string{"p1", "p3"}, ids(t, e, id, "Patient"))
}

// Progress tells what is done, and what is to be expected (BE-159).
func TestBE159_Progress(t *testing.T) {
	t.Parallel()
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	b.change = func(o *Options) { o.Workers = 1 }
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	st, err := e.Status(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if st.Done > 0 && (st.Expected < st.Exported || st.ExpectedBytes < st.Bytes || st.Bytes == 0) {
		t.Errorf("status %+v", st)
	}
	if err := e.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if scale(10, 4, 1) != 40 || scale(10, 3, 2) != 15 || scale(0, 3, 1) != 0 {
		t.Error("scale is wrong")
	}
}

// readFile reads the lines of one file of a complete export.
func readFile(t *testing.T, e *Engine, id, name string) []string {
	t.Helper()
	f, err := e.OpenFile(t.Context(), id, name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// BE-120, BE-123: Provenance of what is exported, of each resource the newest or
// all; without the parameter whatever the set makes.
func TestBE120_Provenance(t *testing.T) {
	t.Parallel()
	provenances(t, maxDigests)
}

func provenances(t *testing.T, bound int) {
	d := full()
	d.types = append(d.types, program.Type{Name: "Provenance", Reach: program.PatientData, Tracked: true})
	for i, p := range []struct{ id, patient, recorded, targets string }{
		{"v1", "m1", "2026-01-01T00:00:00Z", `{"reference":"Claim/c11"}`},
		{"v2", "m1", "2026-01-02T00:00:00+01:00", `{"reference":"Claim/c11"},{"reference":"Claim/c12"}`},
		{"v3", "m2", "2026-01-01T23:30:00Z", `{"reference":"Claim/c12"}`},
		{"v4", "m3", "2026-01-01T00:00:00Z", `{"reference":"Coverage/other"}`},
		{"v5", "m3", "2026-01-01T00:00:00Z", `{"reference":"Patient/p3"}`},
	} {
		d.rows = append(d.rows, row{pass: 4, typ: "Provenance", id: p.id, patient: p.patient, key: fmt.Sprintf("trail=%d", i),
			json: fmt.Sprintf(`{"resourceType":"Provenance","id":%q,"target":[%s],"recorded":%q,"agent":[{"who":{"display":"x"}}]}`, p.id, p.targets, p.recorded)})
	}
	e := newBench(t, d).engine()
	e.digests = bound
	types := []string{"Claim", "Provenance"}
	for _, tc := range []struct {
		which Associated
		types []string
		want  []string
	}{
		{NoAssociated, types, []string{"v1", "v2", "v3", "v4", "v5"}},
		{AllProvenance, types, []string{"v1", "v2", "v3"}},
		{LatestProvenance, types, []string{"v2", "v3"}},
		{LatestProvenance, []string{"Patient", "Provenance"}, []string{"v5"}},
		{LatestProvenance, []string{"Organization", "Provenance"}, nil},
	} {
		id := export(t, e, Request{Types: tc.types, Associated: tc.which})
		got := ids(t, e, id, "Provenance")
		slices.Sort(got)
		same(t, string(tc.which), tc.want, got)
		rep, err := e.Report(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if n := rep.Exported["Provenance"]; n != int64(len(tc.want)) {
			t.Errorf("%s: report says %d", tc.which, n)
		}
	}
}
