package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/server/export"
	"remit/server/files"
)

// body of a manifest, of any version.
type anyManifest struct {
	Request           *string
	OutputOrganizedBy string
	TransactionTime   string
	Output            []anyItem
	Deleted           []anyItem
	Error             *[]anyItem
	Outcome           *[]anyItem
	Link              []struct{ Relation, URL string }
}

type anyItem struct {
	Type, URL string
	Count     int64
	FileSize  int64
	Extension json.RawMessage
}

func (h *house) anyManifest(token, target string) anyManifest {
	h.t.Helper()
	a := h.do(http.MethodGet, target, token, "")
	if a.status != http.StatusOK {
		h.t.Fatalf("status %d: %s", a.status, a.body)
	}
	var m anyManifest
	if err := json.Unmarshal(a.body, &m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// dress gives an export's manifest what a real one has.
func (h *house) dress(status string, change func(*export.Manifest)) {
	h.double.set(exportID(status), func(x *doubleExport) {
		for i := range x.manifest.Output {
			f := &x.manifest.Output[i]
			f.Kind, f.Info = "output", &files.Info{Count: f.Count, Bytes: 12345, SHA256: "abc"}
		}
		if change != nil {
			change(&x.manifest)
		}
	})
}

// BE-150, BE-182, BE-183, BE-184: pages differ in their files and link alone, the
// last has no link, and nobody gets pages who did not ask.
func TestBE183_Pages(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.PageFiles = 2 })
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export?allowPartialManifests=true", "Prefer", "respond-async, separate-export-status")
	deleted := export.ManifestFile{Type: "Bundle", Name: "Bundle.1.ndjson", Kind: "deleted", URL: "https://x/Bundle.1.ndjson", Count: 1}
	h.dress(status, func(m *export.Manifest) {
		m.Paged = true
		m.Deleted = []export.ManifestFile{deleted}
		m.Error = []export.ManifestFile{{Type: "OperationOutcome", Name: "OperationOutcome.1.ndjson", Kind: "error", Count: 1}}
	})
	var names []string
	pages := 0
	var first anyManifest
	for target := status; target != ""; pages++ {
		m := h.anyManifest(token, target)
		if pages == 0 {
			first = m
		}
		if m.TransactionTime != first.TransactionTime || *m.Request != *first.Request || m.Error == nil || m.Output == nil {
			t.Errorf("page %d: %+v", pages, m)
		}
		n := 0
		for _, list := range [][]anyItem{m.Output, m.Deleted, *m.Error} {
			for _, i := range list {
				n++
				names = append(names, i.URL[strings.LastIndex(i.URL, "/")+1:])
			}
		}
		if n > 2 {
			t.Errorf("page %d has %d files", pages, n)
		}
		target = ""
		if len(m.Link) > 0 {
			if m.Link[0].Relation != "next" || len(m.Link) != 1 || !strings.HasPrefix(m.Link[0].URL, h.base+"/$export-status/") {
				t.Fatalf("link %+v", m.Link)
			}
			target = m.Link[0].URL
			if !strings.Contains(target, separateQuery) {
				t.Errorf("%s forgets separate-export-status", target)
			}
		}
	}
	if diff := cmp.Diff([]string{"Coverage.1.ndjson", "Group.1.ndjson", "Organization.1.ndjson", "Patient.1.ndjson", "Bundle.1.ndjson", "OperationOutcome.1.ndjson"}, names); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	for _, n := range []string{"0", "4", "x", "-1"} {
		h.wantOutcome(h.do(http.MethodGet, status+"&page="+n, token, ""), http.StatusNotFound, "not-found")
	}
	h.dress(status, func(m *export.Manifest) { m.Paged = false })
	if m := h.anyManifest(token, status); len(m.Link) != 0 || len(m.Output) != 4 {
		t.Errorf("a client that takes no pages gets %+v", m)
	}
}

// A page of an export that still runs is not ready, as the export is (BE-184).
func TestBE184_PageWhileRunning(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.double.polls = 1
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export?allowPartialManifests=true")
	if a := h.do(http.MethodGet, status+"?page=2", token, ""); a.status != http.StatusAccepted || len(a.body) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// BE-179: organized output says so, and its items have no type; BE-185: items tell
// size and digest.
func TestBE179_OrganizedManifest(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export?organizeOutputBy=Patient")
	h.dress(status, func(m *export.Manifest) { m.OutputOrganizedBy = "Patient" })
	m := h.anyManifest(token, status)
	if m.OutputOrganizedBy != "Patient" || m.Output[0].Type != "" || (*m.Error)[0].Type != "OperationOutcome" {
		t.Errorf("manifest %+v", m)
	}
	h.dress(status, func(m *export.Manifest) { m.OutputOrganizedBy = "" })
	m = h.anyManifest(token, status)
	if m.OutputOrganizedBy != "" || m.Output[0].Type != "Coverage" {
		t.Errorf("manifest %+v", m)
	}
	if diff := cmp.Diff(`{"urn:remit:file:sha256":"abc","urn:remit:file:size":12345}`, string(m.Output[0].Extension)); diff != "" {
		t.Errorf("extension (-want +got):\n%s", diff)
	}
}

// BE-002, BE-280, BE-281, BE-282: the form of the 4.0.0 ballot, and nothing of it
// where it is not switched on.
func TestBE282_Ballot(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.BulkVersion = 4 })
	token := h.token("alpha", "")
	for _, path := range []string{"/$export", "/Patient/$export", "/Group/g1/$export"} {
		t.Run("BE-280 no kick-off by GET", func(t *testing.T) {
			h := h.in(t)
			a := h.do(http.MethodGet, path, token, "")
			h.wantOutcome(a, http.StatusMethodNotAllowed, "not-supported")
			if a.header.Get("Allow") != "POST" {
				t.Errorf("%s: Allow %q", path, a.header.Get("Allow"))
			}
		})
	}
	list := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Patient,Coverage"}]}` // BE-281
	h.wantOutcome(h.do(http.MethodPost, "/$export", token, list, "Content-Type", fhirJSON), http.StatusBadRequest, "structure")
	good := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Patient"},{"name":"_type","valueCode":"Coverage"},{"name":"_foo","valueString":"1"}]}`
	a := h.do(http.MethodPost, "/$export", token, good, "Content-Type", fhirJSON, "Prefer", "handling=lenient")
	h.wantOutcome(a, http.StatusAccepted, "informational")
	status := a.header.Get("Content-Location")
	h.dress(status, func(m *export.Manifest) {
		m.Deleted = []export.ManifestFile{{Type: "Bundle", Name: "Bundle.1.ndjson", Kind: "deleted", Count: 1}}
	})
	m := h.anyManifest(token, status)
	if m.Request != nil || m.Error != nil || m.Outcome == nil || len(*m.Outcome) != 1 || (*m.Outcome)[0].Type != "" || m.Deleted[0].Type != "" {
		t.Errorf("manifest %+v", m)
	}
	if m.Output[0].Type != "Coverage" || m.Output[0].FileSize != 12345 || string(m.Output[0].Extension) != `[{"url":"urn:remit:file:sha256","valueString":"abc"}]` {
		t.Errorf("item %+v", m.Output[0])
	}
	var capability struct {
		Rest []struct {
			Operation []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(h.do(http.MethodGet, "/metadata", "", "").body, &capability); err != nil {
		t.Fatal(err)
	}
	if o := capability.Rest[0].Operation[0]; o.Name != "export-v4" || !strings.HasSuffix(o.Definition, "/export|4.0.0") {
		t.Errorf("operation %+v", o)
	}
	if _, err := New(Options{PublicURL: "http://x/", Exports: h.double, Types: func() []program.Type { return nil }, BulkVersion: 5}); err == nil {
		t.Error("version 5 is accepted")
	}

	plain := setup(t, nil)
	token = plain.token("alpha", "")
	status = plain.kickoff(token, "/$export?_type=Patient")
	plain.dress(status, nil)
	m = plain.anyManifest(token, status)
	if m.Request == nil || m.Error == nil || m.Outcome != nil || m.Output[0].FileSize != 0 || m.Output[0].Extension[0] != '{' {
		t.Errorf("3.0.0 manifest %+v", m)
	}
}

// BE-174, BE-205: a signed URL opens its file by itself, for five minutes, and
// nothing else; without the signature the token is needed as ever.
func TestBE205_SignedURLs(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.FileURLKey = []byte(strings.Repeat("k", 32)) })
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export?_type=Patient,Coverage")
	var m struct {
		RequiresAccessToken bool
		Output              []anyItem
	}
	if err := json.Unmarshal(h.do(http.MethodGet, status, token, "").body, &m); err != nil {
		t.Fatal(err)
	}
	t.Run("BE-174 requiresAccessToken is false", func(t *testing.T) {
		if m.RequiresAccessToken {
			t.Error("it is true")
		}
	})
	signed, other := m.Output[0].URL, m.Output[1].URL
	if a := h.do(http.MethodGet, signed, "", ""); a.status != http.StatusOK || !strings.Contains(string(a.body), `"Coverage"`) {
		t.Fatalf("%d", a.status)
	}
	// Some clients send a token all the same, be it a bad one.
	if a := h.do(http.MethodGet, signed, "expired", "", "Range", "bytes=0-9"); a.status != http.StatusPartialContent {
		t.Errorf("with a token: %d", a.status)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.TrimSuffix(signed, "?"+u.RawQuery)
	h.wantOutcome(h.do(http.MethodGet, bare, "", ""), http.StatusUnauthorized, "login")
	if a := h.do(http.MethodGet, bare, token, ""); a.status != http.StatusOK {
		t.Errorf("with the token: %d", a.status)
	}
	q := u.Query()
	for name, target := range map[string]string{
		"another file":     strings.Split(other, "?")[0] + "?" + u.RawQuery,
		"another export":   strings.Replace(signed, exportID(status), strings.Repeat("a", 26), 1),
		"a later expiry":   bare + "?" + url.Values{"expires": {q.Get("expires") + "0"}, "signature": {q.Get("signature")}}.Encode(),
		"no expiry":        bare + "?" + url.Values{"signature": {q.Get("signature")}}.Encode(),
		"a made signature": bare + "?" + url.Values{"expires": {q.Get("expires")}, "signature": {"AAAA"}}.Encode(),
	} {
		if a := h.do(http.MethodGet, target, "", ""); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if strings.Contains(h.log.String(), q.Get("signature")) {
		t.Error("the log holds a signature")
	}
	h.clock.Pass(5 * time.Minute)
	h.wantOutcome(h.do(http.MethodGet, signed, "", ""), http.StatusUnauthorized, "expired")
	if _, err := New(Options{PublicURL: "http://x/", Exports: h.double, Types: func() []program.Type { return nil }, FileURLKey: []byte("short")}); err == nil {
		t.Error("a short key is accepted")
	}
	// BE-187: reading the manifest again gives fresh ones.
	if err := json.Unmarshal(h.do(http.MethodGet, status, h.token("alpha", ""), "").body, &m); err != nil {
		t.Fatal(err)
	}
	if a := h.do(http.MethodGet, m.Output[0].URL, "", ""); a.status != http.StatusOK {
		t.Errorf("fresh: %d", a.status)
	}
}

// BE-159: a percentage first, under 100 characters, whatever the numbers.
func TestBE159_Progress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status export.Status
		want   string
	}{
		{export.Status{State: export.StateAccepted}, "0% complete; waiting to start"},
		{export.Status{State: export.StateRunning, Percent: 40}, "40% complete"},
		{export.Status{State: export.StateRunning, Percent: 100}, "99% complete"},
		{export.Status{State: export.StateRunning, Percent: 50, Exported: 1200, Expected: 2400, Bytes: 1_234_567, ExpectedBytes: 2_469_134},
			"50% complete; 1200 of about 2400 resources; 1235 kB of about 2469 kB"},
	} {
		if got := progress(&tc.status); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	huge := export.Status{State: export.StateRunning, Percent: 99, Exported: 1 << 62, Expected: 1 << 62, Bytes: 1 << 62, ExpectedBytes: 1 << 62}
	if got := progress(&huge); len(got) >= 100+30 { // beyond any warehouse
		t.Errorf("%d characters", len(got))
	}
	big := export.Status{State: export.StateRunning, Percent: 99, Exported: 10_000_000_000, Expected: 10_000_000_000, Bytes: 1e14, ExpectedBytes: 1e14}
	if got := progress(&big); len(got) >= 100 {
		t.Errorf("%d characters: %s", len(got), got)
	}
}

// BE-242: the search parameters of _typeFilter stand with the type they are of,
// and each of them is accepted.
func TestBE242_SearchParameters(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.MaxRunning = 1000 })
	var capability struct {
		Rest []struct {
			Resource []struct {
				Type        string
				SearchParam []struct{ Name, Type, Definition string }
			}
		}
	}
	if err := json.Unmarshal(h.do(http.MethodGet, "/metadata", "", "").body, &capability); err != nil {
		t.Fatal(err)
	}
	token := h.token("alpha", "")
	n := 0
	for _, r := range capability.Rest[0].Resource {
		for _, p := range r.SearchParam {
			n++
			h.kickoff(token, "/$export?_typeFilter="+url.QueryEscape(fmt.Sprintf("%s?%s:missing=false", r.Type, p.Name)))
		}
	}
	if n < 40 {
		t.Errorf("only %d parameters", n)
	}
}
