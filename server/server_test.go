package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/server/export"
)

// golden compares with testdata/name; UPDATE=1 rewrites it. The port is not
// part of it.
func (h *house) golden(name string, got []byte) {
	h.t.Helper()
	got = []byte(strings.ReplaceAll(string(got), h.base, "https://payer.example.org/fhir"))
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") == "1" {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestBE240_CapabilityStatement(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	a := h.do(http.MethodGet, "/metadata", "", "", "Accept", "application/fhir+json")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != fhirJSON || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("status %d, header %v", a.status, a.header)
	}
	h.golden("metadata.json", a.body)
	h.wantOutcome(h.do(http.MethodGet, "/metadata", "", "", "Accept", "application/fhir+xml"), http.StatusNotAcceptable, "not-supported")
	type operation struct{ Name, Definition string }
	var doc struct {
		Instantiates []string
		Rest         []struct {
			Operation []operation
			Resource  []struct {
				Type      string
				Operation []operation
			}
		}
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Rest) != 1 {
		t.Fatalf("%v, %d rests", err, len(doc.Rest))
	}
	if diff := cmp.Diff([]string{"http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"}, doc.Instantiates); diff != "" {
		t.Errorf("instantiates (-want +got):\n%s", diff)
	}
	t.Run("BE-241 the operations that are there", func(t *testing.T) {
		const definition = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
		got := map[string][]operation{"system": doc.Rest[0].Operation}
		for _, r := range doc.Rest[0].Resource {
			if r.Operation != nil {
				got[r.Type] = r.Operation
			}
		}
		want := map[string][]operation{
			"system": {{"export", definition + "export"}}, "Patient": {{"export", definition + "patient-export"}}, "Group": {{"export", definition + "group-export"}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
	})
}

func TestBE245_OperationDefinitions(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for _, name := range []string{"export", "patient-export", "group-export"} {
		h.golden("operation-"+name+".json", h.do(http.MethodGet, "/OperationDefinition/"+name, "", "").body)
	}
	h.wantOutcome(h.do(http.MethodGet, "/OperationDefinition/other", "", ""), http.StatusNotFound, "not-found")
}

func TestSB001_SmartConfiguration(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	a := h.do(http.MethodGet, "/.well-known/smart-configuration", "", "", "Accept", "application/fhir+xml") // SB-002
	if a.status != http.StatusOK || a.header.Get("Content-Type") != plain || !strings.Contains(a.header.Get("Cache-Control"), "max-age") {
		t.Errorf("status %d, header %v", a.status, a.header)
	}
	h.golden("smart-configuration.json", a.body)
	root := h.do(http.MethodGet, strings.TrimSuffix(h.base, "/fhir")+"/.well-known/smart-configuration", "", "") // SB-011
	if string(root.body) != string(a.body) {
		t.Errorf("at the host's root: %d %s", root.status, root.body)
	}
	if p := h.do(http.MethodOptions, "/.well-known/smart-configuration", "", ""); p.status != http.StatusNoContent || p.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: %d", p.status)
	}
}

// TestBE020_NoToken asks every kind of endpoint without a token, with one that is
// no good and with one in the query.
func TestBE020_NoToken(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	status := h.kickoff(h.token("alpha", ""), "/$export")
	h.double.set(exportID(status), func(x *doubleExport) { x.status.State = export.StateComplete })
	file := h.base + filePath + exportID(status) + "/Patient.1.ndjson"
	for _, tc := range []struct{ name, method, target string }{
		{"SB-081 system kick-off", "GET", "/$export"}, {"SB-081 kick-off by POST", "POST", "/$export"},
		{"SB-081 patient kick-off", "GET", "/Patient/$export"}, {"SB-081 group kick-off", "GET", "/Group/g1/$export"},
		{"BE-013 status", "GET", status}, {"BE-213 deletion", "DELETE", status}, {"BE-204 file", "GET", file},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			a := h.do(tc.method, tc.target, "", "")
			h.wantOutcome(a, http.StatusUnauthorized, "login")
			if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("WWW-Authenticate %q", got)
			}
			a = h.do(tc.method, tc.target, "wrong", "")
			h.wantOutcome(a, http.StatusUnauthorized, "expired")
			if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="invalid_token"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
	t.Run("SB-080 a token in the query", func(t *testing.T) {
		h := h.in(t)
		for _, target := range []string{status, file, h.base + "/$export"} {
			h.wantOutcome(h.do(http.MethodGet, target+"?access_token="+h.token("alpha", ""), "", ""), http.StatusUnauthorized, "login")
		}
	})
}

// TestBE030_Levels kicks off at every level, by the plain and the encoded path,
// and looks at what the engine is asked for.
func TestBE030_Levels(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	for _, tc := range []struct {
		name, path string
		want       export.Request
	}{
		{"BE-030 system", "/$export", export.Request{Level: export.LevelSystem, Types: []string{"Coverage", "Group", "Organization", "Patient"}}},
		{"BE-041 system, encoded", "/%24export", export.Request{Level: export.LevelSystem, Types: []string{"Coverage", "Group", "Organization", "Patient"}}},
		{"BE-031 all patients", "/Patient/$export", export.Request{Level: export.LevelPatient, Types: []string{"Coverage", "Organization", "Patient"}}},
		{"BE-032 group", "/Group/g1/$export", export.Request{Level: export.LevelGroup, Group: "g1", Types: []string{"Coverage", "Group", "Organization", "Patient"}}},
		{"BE-041 group, encoded", "/Group/g1/%24export", export.Request{Level: export.LevelGroup, Group: "g1", Types: []string{"Coverage", "Group", "Organization", "Patient"}}},
		{"BE-033 an empty query", "/Patient/$export?", export.Request{Level: export.LevelPatient, Types: []string{"Coverage", "Organization", "Patient"}}},
		{"BE-033 a query", "/$export?_type=Group&_since=2024-01-01T00:00:00Z", export.Request{Level: export.LevelSystem, Types: []string{"Group"}, Since: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			status := h.kickoff(token, tc.path, "Host", "evil.example.org")
			tc.want.ClientID = "alpha"
			tc.want.URL = h.base + strings.TrimSuffix(strings.ReplaceAll(tc.path, "%24", "$"), "?")
			if diff := cmp.Diff(tc.want, h.double.exports[exportID(status)].status.Request); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.path, diff)
			}
			t.Run("BE-173 request is the kick-off's URL by the public base", func(t *testing.T) {
				h := h.in(t)
				if m := h.manifest(token, status); m.Request != tc.want.URL {
					t.Errorf("request %q, want %q", m.Request, tc.want.URL)
				}
			})
			h.wantOutcome(h.do(http.MethodDelete, status, token, ""), http.StatusAccepted, "informational")
		})
	}
}

func TestBE034_Post(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	good := `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/p1"}}]}`
	for _, media := range []string{fhirJSON, plain, "application/json+fhir", "application/fhir+json; charset=utf-8"} {
		a := h.do(http.MethodPost, "/Patient/$export", token, good, "Content-Type", media)
		h.wantOutcome(a, http.StatusAccepted, "informational")
		id := exportID(a.header.Get("Content-Location"))
		r := h.double.exports[id].status.Request
		if diff := cmp.Diff([]string{"p1"}, r.Patients); diff != "" || r.URL != h.base+"/Patient/$export" {
			t.Errorf("%s: URL %s, patients (-want +got):\n%s", media, r.URL, diff)
		}
		h.double.set(id, func(x *doubleExport) { x.status.State = export.StateComplete })
	}
	h.wantOutcome(h.do(http.MethodPost, "/$export", token, "<x/>", "Content-Type", "application/xml"), http.StatusUnsupportedMediaType, "not-supported")
	h.wantOutcome(h.do(http.MethodPost, "/$export?_type=Patient", token, "", "Content-Type", plain), http.StatusBadRequest, "structure")
	h.wantOutcome(h.do(http.MethodPost, "/$export", token, `{"resourceType":"Bundle"}`, "Content-Type", plain), http.StatusBadRequest, "structure")
	h.wantOutcome(h.do(http.MethodPost, "/$export", token, strings.Repeat(" ", maxBody+1), "Content-Type", plain), http.StatusRequestEntityTooLarge, "too-long")
	h.wantOutcome(h.do(http.MethodPost, "/$export", token, ""), http.StatusAccepted, "informational")
}

func TestBE040_UnknownGroup(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.wantOutcome(h.do(http.MethodGet, "/Group/g9/$export", h.token("alpha", ""), ""), http.StatusNotFound, "not-found")
	h.wantOutcome(h.do(http.MethodGet, "/Group/a%2Fb/$export", h.token("alpha", ""), ""), http.StatusNotFound, "not-found")
}

// TestBE016_OwnGroups lets beta have the roster g2 and nothing else; what it may
// not have looks like what does not exist.
func TestBE016_OwnGroups(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("beta", "")
	h.kickoff(token, "/Group/g2/$export")
	foreign := h.do(http.MethodGet, "/Group/g1/$export", token, "")
	none := h.do(http.MethodGet, "/Group/g9/$export", token, "")
	h.wantOutcome(foreign, http.StatusNotFound, "not-found")
	if string(foreign.body) != string(none.body) {
		t.Errorf("a foreign group answers %s, no group %s", foreign.body, none.body)
	}
	h.wantOutcome(h.do(http.MethodGet, "/$export", token, ""), http.StatusForbidden, "forbidden")
	h.wantOutcome(h.do(http.MethodGet, "/Patient/$export", token, ""), http.StatusForbidden, "forbidden")
}

func TestBE015_GroupScope(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	a := h.do(http.MethodGet, "/Group/g1/$export", h.token("alpha", "system/Patient.rs"), "")
	h.wantOutcome(a, http.StatusForbidden, "forbidden")
	if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_scope"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	h.kickoff(h.token("alpha", "system/Patient.rs system/Group.r"), "/Group/g1/$export")
}

// TestBE095_Scopes grants less than there is: what is left out of a request for
// everything is refused where it is asked for.
func TestBE095_Scopes(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "system/Patient.read")
	t.Run("BE-091 every type within the scope", func(t *testing.T) {
		h := h.in(t)
		for _, tc := range []struct {
			token string
			want  []string
		}{
			{token, []string{"Patient"}},
			{h.token("alpha", "system/Coverage.rs system/Patient.rs system/Observation.rs"), []string{"Coverage", "Patient"}},
			{h.token("alpha", "system/*.read"), []string{"Coverage", "Group", "Organization", "Patient"}},
		} {
			status := h.kickoff(tc.token, "/$export")
			if diff := cmp.Diff(tc.want, h.double.exports[exportID(status)].status.Request.Types); diff != "" {
				t.Errorf("types (-want +got):\n%s", diff)
			}
			h.manifest(tc.token, status)
		}
	})
	t.Run("SB-083 a type beyond the scope", func(t *testing.T) {
		h := h.in(t)
		for _, query := range []string{"_type=Coverage", "_type=Patient,Coverage"} {
			a := h.do(http.MethodGet, "/$export?"+query, token, "", "Prefer", "handling=lenient")
			h.wantOutcome(a, http.StatusForbidden, "forbidden")
			if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_scope"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
		}
	})
	h.wantOutcome(h.do(http.MethodGet, "/$export", h.token("alpha", "system/Observation.rs"), ""), http.StatusForbidden, "forbidden")
}

func TestBE041_Methods(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for _, tc := range []struct{ method, path, allow string }{
		{"PUT", "/$export", "GET, POST"}, {"PATCH", "/Patient/$export", "GET, POST"}, {"DELETE", "/Group/g1/$export", "GET, POST"},
		{"HEAD", "/$export", "GET, POST"}, {"POST", "/$export-status/x", "DELETE, GET"}, {"PUT", "/$export-file/x/y", "GET, HEAD"},
		{"POST", "/metadata", "GET, HEAD, OPTIONS"},
	} {
		a := h.do(tc.method, tc.path, "", "")
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d, Allow %q", tc.method, tc.path, a.status, a.header.Get("Allow"))
		}
		if tc.method != http.MethodHead {
			h.wantOutcome(a, http.StatusMethodNotAllowed, "not-supported")
		}
	}
	h.wantOutcome(h.do("BREW", "/$export", "", ""), http.StatusNotImplemented, "not-supported")
	if a := h.do(http.MethodGet, "/auth/token", "", ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("GET token: %d", a.status)
	}
}

func TestBE050_Accept(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.MaxRunning = 100 })
	token := h.token("alpha", "")
	for accept, ok := range map[string]bool{
		"": true, "*/*": true, "application/fhir+json": true, "application/json": true, "application/fhir+json;q=0.9, text/html": true,
		"Application/FHIR+JSON": true, "application/*": true,
		"application/fhir+xml": false, "text/html": false, "application/fhir+json;q=0": false,
	} {
		want := http.StatusAccepted
		if !ok {
			want = http.StatusNotAcceptable
		}
		var headers []string
		if accept != "" {
			headers = []string{"Accept", accept}
		}
		if a := h.do(http.MethodGet, "/$export", token, "", headers...); a.status != want {
			t.Errorf("Accept %q: %d, want %d", accept, a.status, want)
		}
	}
}

func TestBE051_RequireAsync(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.RequireAsync = true })
	token := h.token("alpha", "")
	h.wantOutcome(h.do(http.MethodGet, "/$export", token, ""), http.StatusBadRequest, "required")
	h.kickoff(token, "/$export", "Prefer", "respond-async")
}

func TestBE052_Prefer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lines []string
		want  preferences
	}{
		{nil, preferences{}},
		{[]string{"respond-async"}, preferences{async: true}},
		{[]string{"respond-async, handling=lenient"}, preferences{async: true, lenient: true}},
		{[]string{"respond-async;handling=lenient"}, preferences{async: true, lenient: true}},
		{[]string{"respond-async", "handling=lenient"}, preferences{async: true, lenient: true}},
		{[]string{"Respond-Async , Handling = \"Lenient\""}, preferences{async: true, lenient: true}},
		{[]string{"handling=strict, handling=lenient"}, preferences{strict: true}},
		{[]string{"respond-async,separate-export-status"}, preferences{async: true, separate: true}},
		{[]string{"wait=10, return=minimal"}, preferences{}},
	} {
		if got := parsePrefer(http.Header{"Prefer": tc.lines}); got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.lines, got, tc.want)
		}
	}
}

func TestBE054_Lenient(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	h.wantOutcome(h.do(http.MethodGet, "/$export?_foo=1", token, ""), http.StatusBadRequest, "not-supported")
	a := h.do(http.MethodGet, "/$export?_foo=1&_outputFormat=application/fhir+ndjson;charset=utf-8", token, "", "Prefer", "respond-async, handling=lenient")
	h.wantOutcome(a, http.StatusAccepted, "informational")
	if got := a.header.Get("Preference-Applied"); got != "respond-async, handling=lenient" { // BE-056
		t.Errorf("Preference-Applied %q", got)
	}
	m := h.manifest(token, a.header.Get("Content-Location"))
	if len(m.Error) != 1 || m.Error[0].Type != "OperationOutcome" {
		t.Errorf("error files %+v", m.Error)
	}
}

func TestBE112_UnknownPatients(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	body := `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/p1"}},{"name":"patient","valueReference":{"reference":"Patient/nobody"}}]}`
	a := h.do(http.MethodPost, "/Patient/$export", token, body, "Content-Type", plain)
	h.wantOutcome(a, http.StatusBadRequest, "not-found")
	if !strings.Contains(string(a.body), "Patient/nobody") || strings.Contains(string(a.body), "Patient/p1") {
		t.Errorf("body %s", a.body)
	}
	if strings.Contains(h.log.String(), "nobody") {
		t.Error("the log names a patient")
	}
	h.wantOutcome(h.do(http.MethodPost, "/Patient/$export", token, body, "Content-Type", plain, "Prefer", "handling=lenient"), http.StatusAccepted, "informational")
	if !h.double.lenient {
		t.Error("the engine was not told to be lenient")
	}
}

func TestBE151_KickoffAnswer(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	status := h.kickoff(h.token("alpha", ""), "/$export", "Host", "evil.example.org", "X-Forwarded-Host", "evil.example.org")
	if !strings.HasPrefix(status, h.base+"/$export-status/") || len(exportID(status)) < 26 { // BE-154
		t.Errorf("Content-Location %q", status)
	}
	t.Run("BE-037 no data in the answer", func(t *testing.T) {
		h := h.in(t) // its exports are done as soon as they begin
		for _, headers := range [][]string{nil, {"Prefer", "respond-async"}, {"Prefer", "wait=60"}} {
			a := h.do(http.MethodGet, "/Patient/$export?_type=Patient", h.token("alpha", ""), "", headers...)
			h.wantOutcome(a, http.StatusAccepted, "informational")
			h.manifest(h.token("alpha", ""), a.header.Get("Content-Location"))
		}
	})
}

func TestBE153_TooMany(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.MaxRunning = 3 })
	h.double.polls = 100
	token := h.token("alpha", "")
	var first string
	for range 3 {
		first = h.kickoff(token, "/$export")
	}
	a := h.do(http.MethodGet, "/$export", token, "")
	h.wantOutcome(a, http.StatusTooManyRequests, "throttled")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.kickoff(h.token("beta", ""), "/Group/g2/$export") // others are not in the way
	h.do(http.MethodDelete, first, token, "")
	h.kickoff(token, "/$export")
	if _, err := New(Options{PublicURL: "http://x/", Exports: h.double, Types: func() []program.Type { return nil }, MaxRunning: 2}); err == nil {
		t.Error("a limit of 2 is accepted")
	}
}

// TestBE153_AtOnce starts many at once; the limit holds.
func TestBE153_AtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.MaxRunning = 3 })
	h.double.polls = 100
	token := h.token("alpha", "")
	statuses := make(chan int)
	for range 12 {
		go func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/fhir/$export", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			h.server.Handler().ServeHTTP(w, r)
			statuses <- w.Code
		}()
	}
	accepted := 0
	for range 12 {
		if <-statuses == http.StatusAccepted {
			accepted++
		}
	}
	if accepted != 3 {
		t.Errorf("%d accepted", accepted)
	}
}

// TestBE152_Faults takes the store away from under the server.
func TestBE152_Faults(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export")
	h.double.fail = fmt.Errorf("%w: SECRET", errAway)
	for _, tc := range []struct{ name, method, target string }{
		{"BE-152 kick-off", "GET", "/$export"}, {"BE-163 poll", "GET", status}, {"BE-213 deletion", "DELETE", status},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := h.in(t)
			a := h.do(tc.method, tc.target, token, "")
			h.wantOutcome(a, http.StatusServiceUnavailable, "transient")
			if strings.Contains(string(a.body), "SECRET") {
				t.Error("the answer tells of the inside")
			}
			if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		})
	}
	h.double.fail = nil
	h.manifest(token, status) // the export was well all the time
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for _, path := range []string{"/", "/Patient", "/Patient/1", "/$export/", "/x", strings.TrimSuffix(h.base, "/fhir") + "/other"} {
		h.wantOutcome(h.do(http.MethodGet, path, "", ""), http.StatusNotFound, "not-found")
	}
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.Types = func() []program.Type { panic("row value SECRET") } })
	h.wantOutcome(h.do(http.MethodGet, "/metadata", "", ""), http.StatusInternalServerError, "exception")
	if log := h.log.String(); !strings.Contains(log, "handler panicked") || strings.Contains(log, "SECRET") {
		t.Errorf("log %s", log)
	}
}

// TestAccessLog checks what the log says of a request, and what it must not.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	a := h.do(http.MethodGet, "/Group/SECRET1/$export?_type=SECRET2", token, "", "X-Request-Id", "abc-1")
	if a.header.Get("X-Request-Id") != "abc-1" {
		t.Errorf("X-Request-Id %q", a.header.Get("X-Request-Id"))
	}
	b := h.do(http.MethodGet, "/metadata", "", "", "X-Request-Id", "not a good id")
	if got := b.header.Get("X-Request-Id"); got == "" || strings.Contains(got, " ") {
		t.Errorf("X-Request-Id %q", got)
	}
	log := h.log.String()
	for _, secret := range []string{"SECRET", token, "not a good id"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	found := false
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["msg"] == "request" && fields["request_id"] == "abc-1" {
			found = fields["route"] == "/fhir/Group/{id}/$export" && fields["client_id"] == "alpha" && fields["method"] == "GET"
		}
	}
	if !found {
		t.Errorf("no access line in %s", log)
	}
}

// TestOpenServer serves without an authority (SB-102).
func TestOpenServer(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.Authority = nil })
	status := h.kickoff("", "/$export")
	if m := h.manifest("", status); m.RequiresAccessToken || len(m.Output) == 0 {
		t.Errorf("manifest %+v", m)
	}
	h.wantOutcome(h.do(http.MethodGet, "/.well-known/smart-configuration", "", ""), http.StatusNotFound, "not-found")
	if a := h.do(http.MethodPost, "/auth/token", "", ""); a.status != http.StatusNotFound {
		t.Errorf("token endpoint: %d", a.status)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	d := &double{now: time.Now, exports: map[string]*doubleExport{}}
	o := Options{PublicURL: "http://127.0.0.1/fhir", Exports: d, Types: func() []program.Type { return doubleTypes }}
	unstarted, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := unstarted.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/fhir/metadata")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	d := &double{now: time.Now, exports: map[string]*doubleExport{}}
	for raw, ok := range map[string]bool{"http://x": true, "https://x/fhir/": true, "x": false, "ftp://x": false, "http://x?y=1": false, "": false, "http://u:p@x": false} {
		if _, err := New(Options{PublicURL: raw, Exports: d, Types: func() []program.Type { return nil }}); (err == nil) != ok {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
