package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/profiles/opinion"
)

// TestKit asserts what ONC's Bulk Data Test Kit (0.13.0, suites v101 and v200)
// asserts of a server, over TLS, on real claims, at each of the three levels,
// and with the requests that the kit sends. A subtest has the name of the kit's
// test; what the kit lets pass as a skip or a warning fails here.
//
// TestKit_Token in remit/server has the kit's tests of the token endpoint.
func TestKit(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.register("kit")
	token := h.token("kit", "system/*.read")

	t.Run("bulk_data_server_tls_version", func(t *testing.T) { h.checkTLS(t, h.base+"/metadata", "") })
	t.Run("smart_backend_services_token_tls_version", func(t *testing.T) { h.checkTLS(t, h.base+"/auth/token", "") })
	t.Run("well_known_endpoint", func(t *testing.T) { h.checkDiscovery(t) })
	t.Run("export_operation_support", func(t *testing.T) { h.checkOperations(t) })
	for name, path := range map[string]string{"group": "/Group/even/$export", "patient": "/Patient/$export", "system": "/$export"} {
		t.Run(name, func(t *testing.T) {
			t.Run("no_auth_reject", func(t *testing.T) {
				if a := h.do(t, http.MethodGet, path, "", "", "Accept", "application/fhir+json", "Prefer", "respond-async"); a.code != 400 && a.code != 401 {
					t.Errorf("%d: %s", a.code, a.body)
				}
			})
			t.Run("output_format_in_export_response", func(t *testing.T) { h.checkFormats(t, path, token) })
			t.Run("since_in_export_response", func(t *testing.T) { h.checkSince(t, path, token) })
			t.Run("export_cancel", func(t *testing.T) { h.checkCancel(t, path, token) })
			h.checkExport(t, path, token)
		})
	}
}

// checkTLS wants TLS 1.2 and 1.3, and neither 1.0 nor 1.1.
func (h *house) checkTLS(t *testing.T, target, token string) {
	t.Helper()
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: h.roots, MinVersion: tls.VersionTLS10, MaxVersion: version}}} //nolint:gosec // the old versions are the test
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := c.Do(r)
		if (err == nil) != ok {
			t.Errorf("TLS %x: %v", version, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

// checkDiscovery covers bulk_data_smart_discovery_v101_contents, too.
func (h *house) checkDiscovery(t *testing.T) {
	t.Helper()
	a := h.want(t, http.StatusOK, http.MethodGet, "/.well-known/smart-configuration", "")
	var doc struct {
		TokenEndpoint string   `json:"token_endpoint"`
		Methods       []string `json:"token_endpoint_auth_methods_supported"`
		Algorithms    []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		Scopes        []string `json:"scopes_supported"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Fatalf("%s %v", a.header.Get("Content-Type"), err)
	}
	if u, err := url.Parse(doc.TokenEndpoint); err != nil || u.Scheme != "https" || u.Host == "" {
		t.Errorf("token_endpoint %q", doc.TokenEndpoint)
	}
	if !slices.Contains(doc.Methods, "private_key_jwt") || !slices.Contains(doc.Algorithms, "RS384") || !slices.Contains(doc.Algorithms, "ES384") || len(doc.Scopes) == 0 {
		t.Errorf("configuration %+v", doc)
	}
}

func (h *house) checkOperations(t *testing.T) {
	t.Helper()
	a := h.want(t, http.StatusOK, http.MethodGet, "/metadata", "", "Accept", "application/fhir+json")
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
	if !slices.ContainsFunc(doc.Instantiates, func(s string) bool {
		return strings.HasPrefix(s, "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data")
	}) {
		t.Errorf("instantiates %q", doc.Instantiates)
	}
	offered := map[string][]operation{"system": doc.Rest[0].Operation}
	for _, r := range doc.Rest[0].Resource {
		offered[r.Type] = r.Operation
	}
	for at, definition := range map[string]string{"system": "export", "Patient": "patient-export", "Group": "group-export"} {
		if !slices.ContainsFunc(offered[at], func(o operation) bool {
			return o.Name == "export" && strings.HasSuffix(o.Definition, "/OperationDefinition/"+definition)
		}) {
			t.Errorf("%s has the operations %+v", at, offered[at])
		}
	}
}

// checkFormats has three exports one after the other, each deleted at once.
func (h *house) checkFormats(t *testing.T, path, token string) {
	t.Helper()
	for _, format := range []string{"application/fhir+ndjson", "application/ndjson", "ndjson"} {
		status := h.kickoff(t, path+"?_outputFormat="+url.QueryEscape(format), token)
		h.want(t, http.StatusAccepted, http.MethodDelete, status, token, "Accept", "application/json")
	}
}

func (h *house) checkSince(t *testing.T, path, token string) {
	t.Helper()
	week := time.Now().AddDate(0, 0, -7).Truncate(time.Second)
	for _, since := range []string{week.UTC().Format(time.RFC3339), week.In(time.FixedZone("", -5*3600)).Format(time.RFC3339), week.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339)} {
		status := h.kickoff(t, path+"?_since="+url.QueryEscape(since), token)
		h.want(t, http.StatusAccepted, http.MethodDelete, status, token, "Accept", "application/json")
	}
}

// checkCancel deletes an export at once; its status is then an OperationOutcome
// that a second library reads.
func (h *house) checkCancel(t *testing.T, path, token string) {
	t.Helper()
	status := h.kickoff(t, path, token)
	h.want(t, http.StatusAccepted, http.MethodDelete, status, token, "Accept", "application/json")
	a := h.want(t, http.StatusNotFound, http.MethodGet, status, token, "Accept", "application/json")
	if !bytes.Contains(a.body, []byte(`"OperationOutcome"`)) {
		t.Errorf("body %s", a.body)
	}
	if err := opinion.Judge(a.body); err != nil {
		t.Error(err)
	}
}

// checkExport runs an export of everything to its end.
func (h *house) checkExport(t *testing.T, path, token string) {
	status := ""
	t.Run("kick_off", func(t *testing.T) { status = h.kickoff(t, path, token) })
	var m completed
	t.Run("status_check", func(t *testing.T) {
		a := h.poll(t, status, token)
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(a.body, &keys); err != nil || a.code != http.StatusOK || !strings.Contains(a.header.Get("Content-Type"), "application/json") {
			t.Fatalf("%d %s %v", a.code, a.header.Get("Content-Type"), err)
		}
		for _, key := range []string{"transactionTime", "request", "requiresAccessToken", "output", "error"} {
			if _, ok := keys[key]; !ok {
				t.Errorf("no %s", key)
			}
		}
		if err := json.Unmarshal(a.body, &m); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339, m.TransactionTime); err != nil || m.Request != h.base+path {
			t.Errorf("transactionTime %q, request %q", m.TransactionTime, m.Request)
		}
	})
	t.Run("output_check", func(t *testing.T) {
		if len(m.Output) == 0 {
			t.Error("no output")
		}
		for _, f := range m.Output {
			if f.Type == "" || !strings.HasPrefix(f.URL, "https://") {
				t.Errorf("%+v", f)
			}
		}
	})
	if t.Failed() {
		return
	}
	t.Run("bulk_file_server_tls_version", func(t *testing.T) { h.checkTLS(t, m.Output[0].URL, token) })
	t.Run("ndjson_download", func(t *testing.T) {
		if !m.RequiresAccessToken {
			t.Error("files need no token")
		}
		h.want(t, http.StatusUnauthorized, http.MethodGet, m.Output[0].URL, "", "Accept", "application/fhir+ndjson")
	})
	patients := map[string]bool{}
	t.Run("valid_resources", func(t *testing.T) {
		judge, err := opinion.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range append(m.Output, m.Error...) {
			for i, line := range h.file(t, f.URL, token, f.Count) {
				var r struct{ ResourceType, ID string }
				if err := json.Unmarshal([]byte(line), &r); err != nil || r.ResourceType != f.Type {
					t.Fatalf("line %d of a file of %s is a %q: %v", i+1, f.Type, r.ResourceType, err)
				}
				if f.Type == "Patient" {
					patients[r.ID] = true
				}
				if i >= 25 {
					continue // TestLibrary judges all of them
				}
				if err := judge.Judge([]byte(line)); err != nil {
					t.Errorf("line %d of a file of %s: %v", i+1, f.Type, err)
				}
			}
		}
	})
	t.Run("multiple_patients", func(t *testing.T) {
		want := 100
		if strings.HasPrefix(path, "/Group") {
			want = len(h.roster(t, "even"))
		}
		if len(patients) != want || want < 2 {
			t.Errorf("%d patients, want %d", len(patients), want)
		}
	})
	h.want(t, http.StatusAccepted, http.MethodDelete, status, token)
}

// file downloads a file as the kit does, and returns its lines.
func (h *house) file(t *testing.T, target, token string, count int) []string {
	t.Helper()
	a := h.want(t, http.StatusOK, http.MethodGet, target, token, "Accept", "application/fhir+ndjson")
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/fhir+ndjson") {
		t.Errorf("%s: Content-Type %q", target, a.header.Get("Content-Type"))
	}
	lines := strings.Split(strings.TrimSuffix(string(a.body), "\n"), "\n")
	if len(lines) != count || slices.Contains(lines, "") {
		t.Errorf("%s: %d lines, the manifest says %d", target, len(lines), count)
	}
	return lines
}

// roster are the members of one half, read from the fixture itself.
func (h *house) roster(t *testing.T, half string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, row := range table(t, "eligibility.csv") {
		id := row["patient_id"]
		if even := (id[len(id)-1]-'0')%2 == 0; even == (half == "even") {
			out[id] = true
		}
	}
	return out
}
