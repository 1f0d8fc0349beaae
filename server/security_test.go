package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/server/auth"
	"remit/server/export"
)

func (h *house) smart() (map[string]any, answer) {
	h.t.Helper()
	a := h.do(http.MethodGet, "/.well-known/smart-configuration", "", "", "Accept", "text/html")
	var doc map[string]any
	if err := json.Unmarshal(a.body, &doc); err != nil {
		h.t.Fatal(err)
	}
	return doc, a
}

func words(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, w := range list {
		out = append(out, fmt.Sprint(w))
	}
	return out
}

// TestSB003_Discovery reads the SMART configuration member by member.
func TestSB003_Discovery(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	doc, a := h.smart()
	t.Run("SB-002 JSON whatever Accept says, with absolute URLs", func(t *testing.T) {
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s", a.status, a.header.Get("Content-Type"))
		}
		for member, value := range doc {
			if text, ok := value.(string); ok && !strings.HasPrefix(text, h.base+"/") {
				t.Errorf("%s: %s", member, text)
			}
		}
	})
	if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Cache-Control"), "max-age=300") {
		t.Errorf("SB-013: %v", a.header)
	}
	for _, tc := range []struct{ name, member string }{
		{"SB-003 token", "token_endpoint"}, {"SB-009 introspection", "introspection_endpoint"}, {"SB-009 revocation", "revocation_endpoint"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if url, _ := doc[tc.member].(string); !strings.HasPrefix(url, h.base+"/") {
				t.Errorf("%s is %v, not an absolute URL below the base", tc.member, doc[tc.member])
			}
		})
	}
	for _, tc := range []struct{ name, member, holds string }{
		{"SB-004 grant", "grant_types_supported", "client_credentials"},
		{"SB-005 asymmetric", "capabilities", "client-confidential-asymmetric"},
		{"SB-005 v1", "capabilities", "permission-v1"},
		{"SB-005 v2", "capabilities", "permission-v2"},
		{"SB-006 private_key_jwt", "token_endpoint_auth_methods_supported", "private_key_jwt"},
		{"SB-006 RS384", "token_endpoint_auth_signing_alg_values_supported", "RS384"},
		{"SB-006 ES384", "token_endpoint_auth_signing_alg_values_supported", "ES384"},
		{"SB-007 everything", "scopes_supported", "system/*.rs"},
		{"SB-078 everything, v1", "scopes_supported", "system/*.read"}, // PR-021
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !slices.Contains(words(doc[tc.member]), tc.holds) {
				t.Errorf("%s is %v, without %s", tc.member, doc[tc.member], tc.holds)
			}
		})
	}
	t.Run("SB-008 S256 alone", func(t *testing.T) {
		if diff := cmp.Diff([]string{"S256"}, words(doc["code_challenge_methods_supported"])); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	for _, member := range []string{"issuer", "jwks_uri", "authorization_endpoint"} {
		if _, present := doc[member]; present {
			t.Errorf("SB-009: %s is there", member)
		}
	}
	t.Run("SB-007 every scope listed is granted", func(t *testing.T) {
		h := h.in(t)
		for _, scope := range words(doc["scopes_supported"]) {
			if h.token("alpha", scope) == "" {
				t.Errorf("%s is not granted", scope)
			}
		}
	})
	t.Run("SB-078 system/*.read exports", func(t *testing.T) {
		h := h.in(t)
		token := h.token("alpha", "system/*.read")
		h.manifest(token, h.kickoff(token, "/Group/g1/$export"))
	})
	// SB-012: the capability statement names the same endpoint.
	if metadata := h.do(http.MethodGet, "/metadata", "", ""); !strings.Contains(string(metadata.body), `"valueUri": "`+h.base+TokenPath+`"`) {
		t.Error("SB-012: no token endpoint in the capability statement")
	}
}

// TestSB010_AppLaunchStub is honest without the switch, and with it offers an
// endpoint that refuses everybody.
func TestSB010_AppLaunchStub(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	h.wantOutcome(h.do(http.MethodGet, authorizePath, "", ""), http.StatusNotFound, "not-found")
	h = setup(t, func(o *Options) { o.AppLaunchStub = true })
	doc, _ := h.smart()
	if doc["authorization_endpoint"] != h.base+authorizePath || !slices.Contains(words(doc["grant_types_supported"]), "authorization_code") {
		t.Errorf("configuration %v", doc)
	}
	a := h.do(http.MethodGet, authorizePath+"?response_type=code", "", "")
	if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"error":"unsupported_response_type"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestSB075_KickoffRestricts gives an export what the scopes, the registration
// and nothing of the request let through (SB-062, SB-075, SB-076; PR-003, PR-009,
// PR-072).
func TestSB075_KickoffRestricts(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) {
		o.ServiceDate = func(resourceType string) string {
			if resourceType == "Coverage" {
				return "service-date"
			}
			return ""
		}
	})
	register := func(id string, r auth.Registration) {
		t.Helper()
		h.register(id, "system/*.rs", nil)
		if err := h.store.Change(t.Context(), id, auth.Rules{}, func(have *auth.Registration) {
			have.View, have.Earliest, have.Types = r.View, r.Earliest, r.Types
			if r.Scope != "" {
				have.Scope = r.Scope
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	register("views", auth.Registration{View: "nonfinancial"})
	register("dated", auth.Registration{Earliest: "2016-01-01"})
	register("both", auth.Registration{Earliest: "2016-01-01", Scope: "system/Coverage.rs?status=active system/Patient.rs"})
	register("typed", auth.Registration{Types: []string{"Patient"}})
	for _, tc := range []struct {
		client   string
		types    []string
		view     string
		restrict map[string][]string
	}{
		{"alpha", []string{"Coverage", "Group", "Organization", "Patient"}, "", nil},
		{"views", []string{"Coverage", "Group", "Organization", "Patient"}, "nonfinancial", nil},
		{"dated", []string{"Coverage", "Group", "Organization", "Patient"}, "", map[string][]string{"Coverage": {"service-date=ge2016-01-01"}}},
		{"both", []string{"Coverage", "Patient"}, "", map[string][]string{"Coverage": {"status=active&service-date=ge2016-01-01"}}},
		{"typed", []string{"Patient"}, "", nil},
	} {
		token := h.token(tc.client, "")
		if tc.client == "both" {
			// This server checks no queries, so the scope is not granted: only
			// what can be enforced is.
			h.wantOutcome(h.do(http.MethodGet, "/$export?_type=Coverage", token, ""), http.StatusForbidden, "forbidden")
			continue
		}
		got := h.double.exports[exportID(h.kickoff(token, "/$export"))].status.Request
		if diff := cmp.Diff(tc.types, got.Types); diff != "" || got.View != tc.view {
			t.Errorf("%s: view %q, types (-want +got):\n%s", tc.client, got.View, diff)
		}
		if diff := cmp.Diff(tc.restrict, got.Restrict); diff != "" {
			t.Errorf("%s: restrictions (-want +got):\n%s", tc.client, diff)
		}
		if tc.restrict != nil && got.Base != h.base { // references are read by it (R4, 3.1.1.4.12)
			t.Errorf("%s: base %q, want %q", tc.client, got.Base, h.base)
		}
	}
	// With queries that can be checked.
	scopes, _ := auth.ParseScopes("system/Coverage.rs?status=active system/Patient.rs")
	access := &auth.Access{Client: &auth.Client{Earliest: "2016-01-01"}, Scopes: scopes}
	got := h.server.restrict(access, auth.Read|auth.Search, "Coverage", "Patient")
	if diff := cmp.Diff(map[string][]string{"Coverage": {"status=active&service-date=ge2016-01-01"}}, got); diff != "" {
		t.Errorf("both (-want +got):\n%s", diff)
	}
}

// TestSB084_LaterQueries needs a token whose queries cover those of the export.
func TestSB084_LaterQueries(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	had := &export.Status{Request: export.Request{Types: []string{"Claim"}, Restrict: map[string][]string{"Claim": {"use=claim&type=pharmacy"}}}}
	free := &export.Status{Request: export.Request{Types: []string{"Claim"}}}
	for _, tc := range []struct {
		scope string
		e     *export.Status
		ok    bool
	}{
		{"system/*.rs", had, true},
		{"system/Claim.rs?use=claim&type=pharmacy", had, true},
		{"system/Claim.rs?use=claim", had, true}, // wider
		{"system/Claim.rs?type=pharmacy", had, true},
		{"system/Claim.rs?use=predetermination", had, false},
		{"system/Claim.rs?use=claim&type=pharmacy&status=active", had, false}, // narrower
		{"system/Claim.rs?use=claim", free, false},
		{"system/Patient.rs", had, false},
		{"system/Claim.r", had, false},
	} {
		scopes, _ := auth.ParseScopes(tc.scope)
		p := h.server.covered(&auth.Access{Client: &auth.Client{}, Scopes: scopes}, tc.e)
		if (p == nil) != tc.ok {
			t.Errorf("%q covers: %v, want %v", tc.scope, p == nil, tc.ok)
		}
	}
}

// TestSB084_LaterRegistration shuts an export to a client whose registration
// gives less by now: another view, or fewer groups (BE-016, PR-059).
func TestSB084_LaterRegistration(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	scopes, _ := auth.ParseScopes("system/*.rs")
	full := export.Request{Level: export.LevelSystem}
	viewed := export.Request{Level: export.LevelSystem, View: "nonfinancial"}
	group := export.Request{Level: export.LevelGroup, Group: "g1"}
	fenced := export.Request{Level: export.LevelGroup, Group: "g1", Fenced: true, Fence: []string{"g1", "g2"}}
	made := export.Request{Level: export.LevelGroup, Group: "own", Fenced: true, Fence: []string{"g1"}}
	for _, tc := range []struct {
		name   string
		client auth.Client
		r      export.Request
		ok     bool
	}{
		{"all", auth.Client{}, full, true},
		{"a wider view", auth.Client{}, viewed, true},
		{"the same view", auth.Client{View: "nonfinancial"}, viewed, true},
		{"a view since", auth.Client{View: "nonfinancial"}, full, false},
		{"another view", auth.Client{View: "minimal"}, viewed, false},
		{"groups since", auth.Client{Groups: []string{"g1"}}, full, false},
		{"its group", auth.Client{Groups: []string{"g1"}}, group, true},
		{"its group, of fewer", auth.Client{Groups: []string{"g1"}}, fenced, true},
		{"another group", auth.Client{Groups: []string{"g2"}}, fenced, false},
		{"no group", auth.Client{Groups: []string{}}, group, false},
		{"a group it made", auth.Client{Groups: []string{"g1", "g2"}}, made, true},
		{"a group it made, of other rosters", auth.Client{Groups: []string{"g2"}}, made, false},
		{"a group it made of everybody", auth.Client{Groups: []string{"g1"}}, export.Request{Level: export.LevelGroup, Group: "own"}, false},
	} {
		p := h.server.covered(&auth.Access{Client: &tc.client, Scopes: scopes}, &export.Status{Request: tc.r})
		if (p == nil) != tc.ok {
			t.Errorf("%s: covered %v, want %v", tc.name, p == nil, tc.ok)
		}
	}
}

// TestPR003_PublicationView keeps what is published, which is of the full view,
// from clients that have another.
func TestPR003_PublicationView(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.Publications = doublePublications{} })
	h.register("views", "system/*.rs", nil)
	view := func(name string) {
		t.Helper()
		if err := h.store.Change(t.Context(), "views", auth.Rules{}, func(have *auth.Registration) { have.View = name }); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{publishPath, publishPath + "/p1", publishPath + "/p1/Organization.1.ndjson"}
	view("nonfinancial")
	for _, path := range paths {
		h.wantOutcome(h.do(http.MethodGet, path, h.token("views", ""), ""), http.StatusForbidden, "forbidden")
	}
	view("")
	for _, path := range paths {
		if a := h.do(http.MethodGet, path, h.token("views", ""), ""); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// Every answer bears the headers that keep browsers from harm, whatever its
// status.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for _, path := range []string{"/metadata", "/$export", "/nothing", TokenPath, "/.well-known/smart-configuration"} {
		a := h.do(http.MethodGet, path, "", "")
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if a.header.Get("Cache-Control") == "" || a.header.Get("X-Request-Id") == "" || a.header.Get("Server") != "" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}

// Limits of what a stranger may send: headers, and how long they may take.
func TestRequestLimits(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for name, got := range map[string]time.Duration{"headers": h.server.http.ReadHeaderTimeout, "request": h.server.http.ReadTimeout, "answer": h.server.http.WriteTimeout, "idle": h.server.http.IdleTimeout} {
		if got <= 0 || got > 5*time.Minute {
			t.Errorf("time for %s: %v", name, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server.http.ReadHeaderTimeout = 3 * time.Second // what a slow client meets, sooner
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(l) }()
	t.Cleanup(func() {
		_ = h.server.Stop(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	send := func(text string) string {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(text)); err != nil {
			return "" // cut off before all was sent
		}
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line
	}
	if line := send("GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(line, "200") {
		t.Errorf("a good request: %q", line)
	}
	if line := send("GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX-Slow: "); line != "" && !strings.Contains(line, "408") {
		t.Errorf("a client that stops in its headers: %q", line)
	}
	if line := send("GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("x", maxHeader+8<<10) + "\r\n\r\n"); line != "" && !strings.Contains(line, "431") {
		t.Errorf("headers too large: %q", line)
	}
	big := "x=" + strings.Repeat("x", 1<<20)
	// By the handler: over a connection the answer may be cut off by what was not read.
	r, w := httptest.NewRequest(http.MethodPost, h.base+TokenPath, strings.NewReader(big)), httptest.NewRecorder()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if h.server.Handler().ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("a form of a megabyte: %d", w.Code)
	}
}

// TestSB085_Public lists what is answered without a token, and that nothing else
// is.
func TestSB085_Public(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	for path, status := range map[string]int{
		"/metadata": 200, "/.well-known/smart-configuration": 200, "/OperationDefinition/export": 200,
		"/$export": 401, "/Patient/$export": 401, "/Group/g1/$export": 401, StatusPath + "x": 401, filePath + "x/y.ndjson": 401,
	} {
		if a := h.do(http.MethodGet, path, "", ""); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
}

// TestSB028_SignedURLsEnd shuts the signed URLs of a client that was turned off,
// at once.
func TestSB028_SignedURLsEnd(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) { o.FileURLKey = []byte(strings.Repeat("k", 32)) })
	token := h.token("alpha", "")
	status := h.kickoff(token, "/$export?_type=Patient")
	var m struct{ Output []struct{ URL string } }
	if err := json.Unmarshal(h.do(http.MethodGet, status, token, "").body, &m); err != nil || len(m.Output) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	if a := h.do(http.MethodGet, m.Output[0].URL, "", ""); a.status != http.StatusOK {
		t.Fatalf("before: %d", a.status)
	}
	if err := h.db.DisableClient(t.Context(), "alpha", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.wantOutcome(h.do(http.MethodGet, m.Output[0].URL, "", ""), http.StatusNotFound, "not-found")
	if err := h.db.EnableClient(t.Context(), "alpha"); err != nil {
		t.Fatal(err)
	}
	if a := h.do(http.MethodGet, m.Output[0].URL, "", ""); a.status != http.StatusOK {
		t.Errorf("enabled again: %d", a.status)
	}
}
