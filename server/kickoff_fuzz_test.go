package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fuzzKickoffs answers kick-offs of a server that is open to all; it remembers
// nothing, so that no limit is ever reached.
func fuzzKickoffs(f *testing.F, version int) *Server {
	f.Helper()
	d := &forgetful{double{now: time.Now, exports: map[string]*doubleExport{}}}
	s, err := New(Options{PublicURL: "http://127.0.0.1:1/fhir", Exports: d, Types: doubleTypesNow, BulkVersion: version})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// forgetful is a double without running exports.
type forgetful struct{ double }

func (*forgetful) Running(context.Context, string) (int, error) { return 0, nil }

var kickoffPaths = []string{"/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/g1/$export", "/fhir/Group/none/$export"}

// FuzzKickoff: any query string and headers give a job or a refusal with an
// OperationOutcome, never a fault.
func FuzzKickoff(f *testing.F) {
	for _, q := range []string{"", "_type=Patient", "_since=2024-01-01T00:00:00Z&_until=2025-01-01T00:00:00Z", "_typeFilter=Patient%3Fgender%3Dfemale",
		"_elements=id,Patient.name", "organizeOutputBy=Patient&allowPartialManifests=true", "includeAssociatedData=LatestProvenanceResources", "patient=Patient/1",
		"%zz", "_type=Patient;x", "_outputFormat=application/fhir+ndjson;charset=utf-8", "a=1&a=2&%00=%ff"} {
		f.Add(q, "respond-async", "application/fhir+json", uint8(0))
		f.Add(q, "respond-async; handling=lenient,separate-export-status", "*/*", uint8(1))
	}
	s := fuzzKickoffs(f, 3)
	f.Fuzz(func(t *testing.T, query, prefer, accept string, which uint8) {
		if len(query) > 10<<10 {
			return
		}
		r := newRequest(http.MethodGet, kickoffPaths[int(which)%len(kickoffPaths)], "")
		r.URL.RawQuery = query
		r.Header["Prefer"], r.Header["Accept"] = []string{prefer}, []string{accept}
		answered(t, s, r)
	})
}

// FuzzParameters: any body gives a job or a refusal with an OperationOutcome,
// never a fault, in both forms of the interface.
func FuzzParameters(f *testing.F) {
	for _, body := range []string{"", "{}", "null", "[", `{"resourceType":"Parameters"}`,
		`{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"},{"name":"_typeFilter","valueString":"Patient?_id=1"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/p1"}}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"includeAssociatedData","valueCoding":{"code":"x"}},{"name":"_elements","valueString":"id"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"allowPartialManifests","valueBoolean":true},{"name":"_since","valueInstant":"2024-01-01T00:00:00Z"}]}`} {
		f.Add(body, "application/fhir+json", false, uint8(0))
		f.Add(body, "application/json", true, uint8(1))
	}
	servers := map[bool]*Server{false: fuzzKickoffs(f, 3), true: fuzzKickoffs(f, 4)}
	f.Fuzz(func(t *testing.T, body, media string, ballot bool, which uint8) {
		if len(body) > 10<<10 {
			return
		}
		r := newRequest(http.MethodPost, kickoffPaths[int(which)%len(kickoffPaths)], body)
		r.Header["Content-Type"] = []string{media}
		if which&8 != 0 {
			r.Header.Set("Prefer", "handling=lenient")
		}
		answered(t, servers[ballot], r)
	})
}

// answered checks that a kick-off is accepted with its one status URL, or
// refused.
func answered(t *testing.T, s *Server, r *http.Request) {
	t.Helper()
	w := checkAnswer(t, s, r)
	if w.Code != http.StatusAccepted && w.Code < 400 {
		t.Fatalf("a kick-off answers %d", w.Code)
	}
	if l := w.Header().Values("Content-Location"); (len(l) == 1) != (w.Code == http.StatusAccepted) || len(l) == 1 && !strings.HasPrefix(l[0], s.Base()+StatusPath) {
		t.Fatalf("%d with Content-Location %q", w.Code, l)
	}
}
