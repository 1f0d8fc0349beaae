package main

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"remit/profiles/r4"
	"remit/server/auth"
)

// asked is a manifest as clients of the guide read it.
type asked struct {
	completed
	ResourceType string
	Link         []struct{ Relation, URL string }
}

// TestReferenceClient does what the guide's reference client
// (smart-on-fhir/bulk-data-client, 2025) does, over TLS on real claims, and wants
// of each answer what that client cannot do without.
func TestReferenceClient(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.register("reference")
	const lenient = "respond-async, handling=lenient"
	read := func(t *testing.T, target string, v any) reply {
		t.Helper()
		a := h.want(t, http.StatusOK, http.MethodGet, target, "", "Accept", "application/json")
		if err := json.Unmarshal(a.body, v); err != nil {
			t.Fatal(err)
		}
		return a
	}
	t.Run("metadata without a token", func(t *testing.T) {
		var doc struct {
			FHIRVersion string
			Software    struct{ Name, Version, ReleaseDate string }
		}
		if read(t, "/metadata", &doc); doc.FHIRVersion != "4.0.1" || doc.Software.Name == "" || doc.Software.Version == "" {
			t.Errorf("%+v", doc)
		}
	})
	t.Run("token endpoint by both ways", func(t *testing.T) {
		var doc struct {
			TokenEndpoint string `json:"token_endpoint"`
		}
		read(t, strings.TrimSuffix(h.base, "/fhir")+"/.well-known/smart-configuration", &doc) // at the host's root
		type extension struct {
			URL       string
			ValueURI  string
			Extension []struct{ URL, ValueURI string }
		}
		var capability struct {
			Rest []struct {
				Security struct{ Extension []extension }
			}
		}
		read(t, "/metadata", &capability)
		found := ""
		for _, e := range capability.Rest[0].Security.Extension {
			for _, part := range e.Extension {
				if strings.HasSuffix(e.URL, "/oauth-uris") && part.URL == "token" {
					found = part.ValueURI
				}
			}
		}
		if want := h.base + "/auth/token"; doc.TokenEndpoint != want || found != want {
			t.Errorf("%q and %q, want %q", doc.TokenEndpoint, found, want)
		}
	})
	token := h.token("reference", "system/*.rs")
	kickoff := func(t *testing.T, method, target, body string) string {
		t.Helper()
		headers := []string{"Accept", "application/fhir+json", "Prefer", lenient}
		if body != "" {
			headers = append(headers, "Content-Type", "application/json")
		}
		a := h.do(t, method, target, token, body, headers...)
		if a.code >= 400 || a.header.Get("Content-Location") == "" || len(a.body) > 0 && !json.Valid(a.body) {
			t.Fatalf("%d, Content-Location %q: %.300s", a.code, a.header.Get("Content-Location"), a.body)
		}
		return a.header.Get("Content-Location")
	}
	// all polls every page of the manifest to its end.
	all := func(t *testing.T, status string) (m asked, pages int) {
		t.Helper()
		had := map[string]bool{}
		for next := status; next != ""; pages++ {
			a := h.poll(t, next, token)
			var page asked
			if err := json.Unmarshal(a.body, &page); err != nil || a.code != http.StatusOK || page.ResourceType != "" || page.Output == nil {
				t.Fatalf("%d %v %q: %.300s", a.code, err, page.ResourceType, a.body)
			}
			for _, f := range page.Output {
				if had[f.URL] {
					t.Errorf("%s is in two pages", f.URL)
				}
				had[f.URL] = true
			}
			m.Output, m.Error, m.RequiresAccessToken = append(m.Output, page.Output...), append(m.Error, page.Error...), page.RequiresAccessToken
			next = ""
			for _, l := range page.Link {
				if l.Relation == "next" {
					next = l.URL
				}
			}
		}
		return m, pages
	}

	t.Run("GET with every parameter", func(t *testing.T) {
		since := time.Now().AddDate(-10, 0, 0).In(time.FixedZone("", 2*3600)).Format("2006-01-02T15:04:05-07:00")
		q := url.Values{"_type": {"Patient,ExplanationOfBenefit"}, "_elements": {"id,identifier"}, "_since": {since}, "allowPartialManifests": {"true"},
			"_typeFilter": {"Patient?gender=female,ExplanationOfBenefit?type=pharmacy"}, "includeAssociatedData": {"LatestProvenanceResources"}}
		status := kickoff(t, http.MethodGet, "/Patient/$export?"+q.Encode(), "")
		m, _ := all(t, status)
		for _, f := range m.Output {
			for _, line := range h.file(t, f.URL, token, f.Count) {
				if f.Type == "Patient" && strings.Contains(line, `"name":`) || !strings.Contains(line, "SUBSETTED") {
					t.Fatalf("%s: %s", f.Type, line)
				}
			}
		}
		if len(m.Error) == 0 {
			t.Error("nothing tells that includeAssociatedData was passed over")
		}
		h.want(t, http.StatusAccepted, http.MethodDelete, status, token)
	})
	t.Run("organized output", func(t *testing.T) {
		status := kickoff(t, http.MethodGet, "/Group/even/$export?organizeOutputBy=Patient&_type=Patient,Coverage", "")
		m, _ := all(t, status)
		headers := 0
		for _, f := range m.Output {
			a := h.want(t, http.StatusOK, http.MethodGet, f.URL, token)
			resources := 0
			for line := range bytes.Lines(a.body) {
				if bytes.HasPrefix(line, []byte(`{"resourceType":"Parameters"`)) {
					headers++
				} else {
					resources++
				}
			}
			if f.Type != "" || resources != f.Count {
				t.Errorf("type %q, %d resources, count %d", f.Type, resources, f.Count)
			}
		}
		if want := len(h.roster(t, "even")); headers != want {
			t.Errorf("%d blocks, %d members", headers, want)
		}
	})
	t.Run("POST of some patients", func(t *testing.T) {
		two := h.holds(t, "/Group/even/$export?_type=Patient", token)
		var ids []string
		for id := range two.ids["Patient"] {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		body := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"},{"name":"_type","valueString":"Coverage"},` +
			`{"name":"_elements","valueString":"id,identifier"},{"name":"_typeFilter","valueString":"Patient?active=true,Coverage?status=active,cancelled"},` +
			`{"name":"patient","valueReference":{"reference":"Patient/` + ids[0] + `"}},{"name":"patient","valueReference":{"reference":"Patient/` + ids[1] + `"}}]}`
		m, _ := all(t, kickoff(t, http.MethodPost, "/Patient/$export", body))
		for _, f := range m.Output {
			for _, line := range h.file(t, f.URL, token, f.Count) {
				if !strings.Contains(line, ids[0]) && !strings.Contains(line, ids[1]) {
					t.Errorf("%s of somebody else", f.Type)
				}
			}
		}
	})
	status := kickoff(t, http.MethodGet, "/$export", "")
	t.Run("waits and progress", func(t *testing.T) {
		for range 300 {
			a := h.do(t, http.MethodGet, status, token, "", "Accept", "application/json, application/fhir+json")
			if a.code == http.StatusOK {
				return
			}
			seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
			if a.code != http.StatusAccepted || err != nil || seconds < 1 || seconds > 60 || len(a.body) > 0 {
				t.Fatalf("%d, Retry-After %q", a.code, a.header.Get("Retry-After"))
			}
			if p := a.header.Get("X-Progress"); !regexp.MustCompile(`^\d{1,2}%`).MatchString(p) {
				t.Fatalf("X-Progress %q", p)
			}
			time.Sleep(time.Duration(seconds) * time.Second)
		}
		t.Fatal("the export does not end")
	})
	m, _ := all(t, status)
	t.Run("files at once in gzip, line by line", func(t *testing.T) {
		if !m.RequiresAccessToken {
			t.Fatal("no token is asked for")
		}
		slots := make(chan struct{}, 5)
		names, failed := map[string]bool{}, make(chan string, len(m.Output)+len(m.Error))
		for _, f := range append(m.Output, m.Error...) {
			u, err := url.Parse(f.URL)
			if err != nil || names[path.Base(u.Path)] || !strings.HasSuffix(u.Path, ".ndjson") {
				t.Errorf("%s: %v", f.URL, err)
			}
			names[path.Base(u.Path)] = true
			go func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				failed <- h.inGzip(f.URL, token, f.Type, f.Count)
			}()
		}
		for range len(m.Output) + len(m.Error) {
			if why := <-failed; why != "" {
				t.Error(why)
			}
		}
	})
	t.Run("deletion", func(t *testing.T) {
		a := h.want(t, http.StatusAccepted, http.MethodDelete, status, token)
		if len(a.body) > 0 && !json.Valid(a.body) {
			t.Errorf("%.200s", a.body)
		}
	})
}

// inGzip reads a file as its client decodes it, and says what is wrong.
func (h *house) inGzip(target, token, typ string, count int) string {
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/fhir+ndjson")
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, identity")
	resp, err := h.http.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" {
		return target + ": " + resp.Status + " " + resp.Header.Get("Content-Encoding")
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		return err.Error()
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return err.Error()
	}
	n := 0
	for line := range bytes.Lines(data) {
		var head struct{ ResourceType string }
		if err := json.Unmarshal(line, &head); err != nil || head.ResourceType != typ || len(line) > 10_000_000 {
			return target + ": a line is not a " + typ
		}
		n++
	}
	if n != count {
		return target + ": " + strconv.Itoa(n) + " lines, count " + strconv.Itoa(count)
	}
	return ""
}

// TestGoogleClient does what Google's bulk_fhir_fetch (0.1.7) does: RS384 with a
// minute to live and no iat, GET of two levels with _type and _since, the token at
// every file, and the transaction time as the next _since.
func TestGoogleClient(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "g", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.NewStore(h.node.control, h.now).Register(t.Context(), auth.Registration{ID: "google", Keys: set, Scope: "system/*.read"}); err != nil {
		t.Fatal(err)
	}
	ask := func(t *testing.T, headers ...string) reply {
		t.Helper()
		part := func(m map[string]any) string {
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return b64(data)
		}
		input := part(map[string]any{"alg": "RS384", "kid": "g", "typ": "JWT"}) + "." +
			part(map[string]any{"iss": "google", "sub": "google", "aud": h.base + "/auth/token", "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()})
		sum := sha512.Sum384([]byte(input))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA384, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		f := url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.read"},
			"client_assertion_type": {auth.AssertionType}, "client_assertion": {input + "." + b64(signature)}}
		return h.do(t, http.MethodPost, "/auth/token", "", f.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json"}, headers...)...)
	}
	token := ""
	t.Run("token", func(t *testing.T) {
		a := ask(t)
		var r struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int    `json:"expires_in"`
		}
		if err := json.Unmarshal(a.body, &r); err != nil || a.code != http.StatusOK || r.AccessToken == "" || r.ExpiresIn <= 0 {
			t.Fatalf("%d %v", a.code, err)
		}
		token = r.AccessToken
	})
	t.Run("no client secret", func(t *testing.T) {
		a := h.do(t, http.MethodPost, "/auth/token", "", "grant_type=client_credentials&scope=system/*.read",
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("google:secret")))
		if a.code != http.StatusBadRequest && a.code != http.StatusUnauthorized {
			t.Errorf("%d %s", a.code, a.body)
		}
	})
	var m completed
	for name, target := range map[string]string{"BE-031 patient level": "/Patient/$export", "BE-032 group level": "/Group/odd/$export"} {
		t.Run(name, func(t *testing.T) {
			q := url.Values{"_type": {"Patient,Coverage"}, "_since": {"2020-01-02T15:04:05.000-07:00"}}
			status := h.kickoff(t, target+"?"+q.Encode(), token)
			m = h.manifest(t, status, token)
			if len(m.Output) == 0 {
				t.Fatal("no output")
			}
			for _, f := range m.Output {
				if r4.Lookup(f.Type) == nil {
					t.Errorf("type %q", f.Type)
				}
				h.file(t, f.URL, token, f.Count)
			}
		})
	}
	t.Run("transactionTime is the next _since", func(t *testing.T) {
		when, err := time.Parse(time.RFC3339, m.TransactionTime)
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"_since": {when.Format("2006-01-02T15:04:05.000-07:00")}}
		h.manifest(t, h.kickoff(t, "/Patient/$export?"+q.Encode(), token), token)
	})
	t.Run("a new token goes on with the same export", func(t *testing.T) {
		status := h.kickoff(t, "/Patient/$export?_type=Patient", token)
		h.manifest(t, status, token)
		h.late.Add(int64(301 * time.Second))
		h.want(t, http.StatusUnauthorized, http.MethodGet, status, token)
		var r struct {
			AccessToken string `json:"access_token"`
		}
		h.late.Add(-int64(301 * time.Second))
		if err := json.Unmarshal(ask(t).body, &r); err != nil {
			t.Fatal(err)
		}
		h.manifest(t, status, r.AccessToken)
	})
}

// TestUSCore judges what US Core has a profile of by that profile, as the
// certification kit does: by 3.1.1, which the rule names, and by 6.1.0.
func TestUSCore(t *testing.T) {
	t.Parallel()
	dir := exportSet(t, tuvaDuckDB, "tuva")
	for typ, profiles := range map[string][]string{
		"Patient":      {"us-core-patient|3.1.1", "us-core-patient|6.1.0"},
		"Organization": {"us-core-organization|3.1.1", "us-core-organization|6.1.0"},
		"Practitioner": {"us-core-practitioner|3.1.1", "us-core-practitioner|6.1.0"},
		"Coverage":     {"us-core-coverage|6.1.0"},
	} {
		found, err := filepath.Glob(filepath.Join(dir, typ+".*.ndjson"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no file of %s: %v", typ, err)
		}
		for _, profile := range profiles {
			if code, stdout, stderr := runRemit(t, append([]string{"validate", "--summary", "--profile", profile}, found...)...); code != exitFine {
				t.Errorf("%s by %s: %d\n%s%s", typ, profile, code, stdout, stderr)
			}
		}
	}
}
