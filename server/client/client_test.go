package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/server/client"
)

// far is a Bulk Data server as the test wants it: each path has a queue of
// answers, of which the last stays.
type far struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex
	// handlers by path; requests lists "METHOD path?query" in order.
	handlers map[string][]http.HandlerFunc
	requests []string
	waits    []time.Duration
	now      time.Time
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{t: t, handlers: map[string][]http.HandlerFunc{}, now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
		queue := f.handlers[r.URL.Path]
		if len(queue) > 1 {
			f.handlers[r.URL.Path] = queue[1:]
		}
		f.mu.Unlock()
		if len(queue) == 0 {
			http.NotFound(w, r)
			return
		}
		queue[0](w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *far) on(path string, h ...http.HandlerFunc) { f.handlers[path] = h }

func (f *far) client(change func(*client.Options)) *client.Client {
	f.t.Helper()
	o := client.Options{BaseURL: f.URL + "/fhir",
		Clock: func() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now },
		Wait: func(ctx context.Context, d time.Duration) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.waits = append(f.waits, d)
			f.now = f.now.Add(d)
			return ctx.Err()
		}}
	if change != nil {
		change(&o)
	}
	c, err := client.New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// says answers with a status, headers as name, value pairs, and a body.
func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const throttled = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled","details":{"text":"slow down"}}]}`

func TestKickoffRequests(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		k    client.Kickoff
		want string // request line
		body string
	}{
		{name: "system", want: "GET /fhir/$export"},
		{name: "patient", k: client.Kickoff{Level: client.Patient, Types: []string{"Patient", "Coverage"}}, want: "GET /fhir/Patient/$export?_type=Patient%2CCoverage"},
		{name: "group", k: client.Kickoff{Group: "g1", Since: "2024-01-01T00:00:00+05:00"}, want: "GET /fhir/Group/g1/$export?_since=2024-01-01T00%3A00%3A00%2B05%3A00"},
		{name: "extra", k: client.Kickoff{Extra: url.Values{"_typeFilter": {"Patient?active=true"}}}, want: "GET /fhir/$export?_typeFilter=Patient%3Factive%3Dtrue"},
		{name: "patients go by POST", k: client.Kickoff{Level: client.Patient, Patients: []string{"p1", "Patient/p2"}, Types: []string{"Coverage"}, Until: "2024-01-01T00:00:00Z"},
			want: "POST /fhir/Patient/$export",
			body: `{"parameter":[{"name":"_type","valueString":"Coverage"},{"name":"_until","valueInstant":"2024-01-01T00:00:00Z"},{"name":"patient","valueReference":{"reference":"Patient/p1"}},{"name":"patient","valueReference":{"reference":"Patient/p2"}}],"resourceType":"Parameters"}`},
		{name: "POST without parameters", k: client.Kickoff{Post: true}, want: "POST /fhir/$export", body: `{"parameter":[],"resourceType":"Parameters"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t)
			var got string
			h := func(w http.ResponseWriter, r *http.Request) {
				data, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = string(data)
				if r.Header.Get("Prefer") != "respond-async" || r.Header.Get("Authorization") != "" {
					t.Errorf("headers %v", r.Header)
				}
				w.Header().Set("Content-Location", "/fhir/status/1") // relative, as some servers do
				w.WriteHeader(http.StatusAccepted)
			}
			for _, path := range []string{"/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/g1/$export"} {
				f.on(path, h)
			}
			status, err := f.client(nil).Kickoff(t.Context(), tc.k)
			if err != nil {
				t.Fatal(err)
			}
			if status != f.URL+"/fhir/status/1" {
				t.Errorf("status URL %s", status)
			}
			if diff := cmp.Diff([]string{tc.want}, f.requests); diff != "" || got != tc.body {
				t.Errorf("request (-want +got):\n%s\nbody %s", diff, got)
			}
		})
	}
}

func TestKickoffRefused(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	c := f.client(nil)
	f.on("/fhir/$export", says(400, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","diagnostics":"no such parameter"},{"severity":"error","code":"value","details":{"text":"bad instant"}}]}`))
	_, err := c.Kickoff(t.Context(), client.Kickoff{})
	var answered *client.Error
	if !errors.As(err, &answered) || err.Error() != "kick off: 400 Bad Request [not-supported]: no such parameter; bad instant" {
		t.Errorf("error %v", err)
	}
	f.on("/fhir/$export", says(202, ""))
	if _, err := c.Kickoff(t.Context(), client.Kickoff{}); err == nil || !strings.Contains(err.Error(), "no Content-Location") {
		t.Errorf("error %v", err)
	}
	f.on("/fhir/$export", says(429, throttled, "Retry-After", "7"), says(202, "", "Content-Location", f.URL+"/s"))
	f.waits = nil
	if _, err := c.Kickoff(t.Context(), client.Kickoff{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]time.Duration{7 * time.Second}, f.waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}

const manifest = `{"transactionTime":"2026-01-01T00:00:00Z","request":"x","requiresAccessToken":false,"output":[{"type":"Patient","url":"/f/Patient.1.ndjson","count":2}],"error":[]%s}`

func TestPoll(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	c := f.client(nil)
	f.on("/s",
		says(202, "", "X-Progress", "12% complete", "Retry-After", "3"),
		says(503, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient"}]}`, "Retry-After", "5"),
		says(202, "", "X-Progress", "in progress"),
		says(202, "", "Retry-After", f.now.Add(100*time.Second).Format(http.TimeFormat)),
		says(200, fmt.Sprintf(manifest, fmt.Sprintf(`,"link":[{"relation":"next","url":"%s/s2"}]`, f.URL)), "Content-Type", "application/json"))
	f.on("/s2", says(202, ""), says(200, `{"output":[{"type":"Coverage","url":"https://files.example.org/c.ndjson"}],"error":[{"type":"OperationOutcome","url":"e"}]}`))
	var seen []int
	m, err := c.Poll(t.Context(), f.URL+"/s", func(p client.Progress) { seen = append(seen, p.Percent) })
	if err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, item := range append(m.Output, m.Error...) {
		urls = append(urls, item.URL)
	}
	if diff := cmp.Diff([]string{f.URL + "/f/Patient.1.ndjson", "https://files.example.org/c.ndjson", f.URL + "/e"}, urls); diff != "" {
		t.Errorf("urls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{12, -1, -1, -1}, seen); diff != "" {
		t.Errorf("percents (-want +got):\n%s", diff)
	}
	if f.waits[0] != 3*time.Second || f.waits[1] != 5*time.Second || f.waits[3] < 30*time.Second || f.waits[3] > time.Minute {
		t.Errorf("waits %v", f.waits)
	}
}

func TestPollFailure(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	c := f.client(nil)
	f.on("/s", says(500, `{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception","details":{"text":"the warehouse is gone"}}]}`))
	if _, err := c.Poll(t.Context(), f.URL+"/s", nil); err == nil || !strings.Contains(err.Error(), "the warehouse is gone") || len(f.requests) != 1 {
		t.Errorf("error %v after %v", err, f.requests)
	}
	for _, body := range []string{"", "[]", "{}", `{"output":[{"type":"Patient","url":""}]}`} {
		f.on("/s", says(200, body))
		if _, err := c.Poll(t.Context(), f.URL+"/s", nil); err == nil {
			t.Errorf("body %q is a manifest", body)
		}
	}
	f.on("/s", says(200, fmt.Sprintf(manifest, fmt.Sprintf(`,"link":[{"relation":"next","url":"%s/s"}]`, f.URL))))
	if _, err := c.Poll(t.Context(), f.URL+"/s", nil); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.on("/s", says(202, ""))
	if _, err := c.Poll(ctx, f.URL+"/s", func(client.Progress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// lines makes n resources.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"Patient","id":"p%d"}`+"\n", i)
	}
	return b.String()
}

func zipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// cut sends a part of a longer body and breaks the connection.
func cut(body string, at int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body[:at])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func count(n int64) *int64 { return &n }

func TestFetch(t *testing.T) {
	t.Parallel()
	body := lines(5000)
	// rest sends what the Range header asks for; how much of the broken answer
	// came through is the network's affair.
	rest := func(w http.ResponseWriter, r *http.Request) {
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil || from <= 0 || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("Range %q, Accept-Encoding %q", r.Header.Get("Range"), r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, body[from:])
	}
	for _, tc := range []struct {
		name     string
		answers  []http.HandlerFunc
		count    *int64
		want     string // in the error; "" for success
		requests int
	}{
		{name: "identity", answers: []http.HandlerFunc{says(200, body)}, count: count(5000), requests: 1},
		{name: "gzip", answers: []http.HandlerFunc{says(200, zipped(t, body), "Content-Encoding", "gzip")}, count: count(5000), requests: 1},
		{name: "no count", answers: []http.HandlerFunc{says(200, body)}, requests: 1},
		{name: "no final newline", answers: []http.HandlerFunc{says(200, strings.TrimSuffix(body, "\n"))}, count: count(5000), requests: 1},
		{name: "block headers do not count", answers: []http.HandlerFunc{says(200, `{"resourceType":"Parameters","parameter":[]}`+"\n"+body+"\n\n")}, count: count(5000), requests: 1},
		{name: "one too few", answers: []http.HandlerFunc{says(200, body)}, count: count(5001), want: "5000 resources, but the manifest says 5001", requests: 1},
		{name: "broken and resumed", answers: []http.HandlerFunc{cut(body, 100_000), rest}, count: count(5000), requests: 2},
		{name: "broken and begun anew", answers: []http.HandlerFunc{cut(body, 100_000), says(200, body)}, count: count(5000), requests: 2},
		{name: "broken, then no range", answers: []http.HandlerFunc{cut(body, 100_000), says(416, ""), says(200, body)}, count: count(5000), requests: 3},
		{name: "throttled", answers: []http.HandlerFunc{says(429, throttled), says(503, ""), says(200, body)}, count: count(5000), requests: 3},
		{name: "broken for ever", answers: []http.HandlerFunc{cut(body, 0)}, want: "EOF", requests: 5},
		{name: "gone", answers: []http.HandlerFunc{says(404, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","diagnostics":"no such file"}]}`)}, want: "no such file", requests: 1},
		{name: "strange encoding", answers: []http.HandlerFunc{says(200, body, "Content-Encoding", "br")}, want: "content encoding", requests: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t)
			f.on("/f/Patient.1.ndjson", tc.answers...)
			dir := filepath.Join(t.TempDir(), "new")
			var bytesSeen int64
			saved, err := f.client(nil).Fetch(t.Context(), &client.Manifest{Output: []client.Item{{Type: "Patient", URL: f.URL + "/f/Patient.1.ndjson", Count: tc.count}}},
				client.Download{Dir: dir, Progress: func(n int64, _, _ int) { bytesSeen = n }})
			if len(f.requests) != tc.requests {
				t.Errorf("%d requests, want %d", len(f.requests), tc.requests)
			}
			entries, dirErr := os.ReadDir(dir)
			if dirErr != nil {
				t.Fatal(dirErr)
			}
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
				if len(entries) != 0 {
					t.Errorf("the folder holds %v", entries)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "Patient.1.ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), strings.TrimSuffix(body, "\n")) || len(entries) != 1 || bytesSeen != int64(len(data)) || saved[0].Lines != 5000 || saved[0].Bytes != int64(len(data)) {
				t.Errorf("%d bytes of %d, told %d, saved %+v", len(data), len(body), bytesSeen, saved)
			}
		})
	}
}

func TestFetchNames(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	m := &client.Manifest{}
	for _, path := range []string{"/a/Patient.1.ndjson", "/b/Patient.1.ndjson", "/b/patient.1.ndjson", "/c/..%2f..%2fevil.ndjson", "/d/blob", "/e/.hidden.ndjson"} {
		m.Output = append(m.Output, client.Item{Type: "Patient", URL: f.URL + path})
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatal(err)
		}
		f.on(decoded, says(200, lines(1)))
	}
	m.Error = []client.Item{{Type: "../x", URL: f.URL + "/f/Patient.1.ndjson"}}
	f.on("/f/Patient.1.ndjson", says(200, `{"resourceType":"OperationOutcome"}`+"\n"))
	dir := t.TempDir()
	saved, err := f.client(nil).Fetch(t.Context(), m, client.Download{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range saved {
		if filepath.Dir(s.Path) != dir {
			t.Errorf("%s is outside the folder", s.Path)
		}
		names = append(names, s.Kind+" "+filepath.Base(s.Path))
	}
	want := []string{"output Patient.1.ndjson", "output Patient.2.ndjson", "output Patient.3.ndjson", "output evil.ndjson", "output Patient.4.ndjson", "output Patient.5.ndjson", "error file.1.ndjson"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// TestSB086_TokenStaysHome shows the token to the server's own host alone.
func TestSB086_TokenStaysHome(t *testing.T) {
	t.Parallel()
	f, other := newFar(t), newFar(t)
	key, err := client.GenerateKey("ES384")
	if err != nil {
		t.Fatal(err)
	}
	c := f.client(func(o *client.Options) { o.Key, o.ClientID, o.TokenURL = key, "me", f.URL+"/token" })
	f.on("/token", says(200, `{"access_token":"T","token_type":"bearer","expires_in":"300"}`)) // a string is tolerated
	auth := func(want string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("%s: Authorization %q, want %q", r.URL, got, want)
			}
			_, _ = io.WriteString(w, lines(1))
		}
	}
	f.on("/Patient.1.ndjson", auth("Bearer T"))
	other.on("/Patient.2.ndjson", auth(""))
	m := &client.Manifest{RequiresAccessToken: true, Output: []client.Item{{Type: "Patient", URL: f.URL + "/Patient.1.ndjson"}, {Type: "Patient", URL: other.URL + "/Patient.2.ndjson"}}}
	if _, err := c.Fetch(t.Context(), m, client.Download{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	f.on("/Patient.1.ndjson", auth("")) // BE-205
	m.RequiresAccessToken = false
	if _, err := c.Fetch(t.Context(), m, client.Download{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	key, err := client.GenerateKey("RS384")
	if err != nil {
		t.Fatal(err)
	}
	c := f.client(func(o *client.Options) { o.Key, o.ClientID = key, "me" })
	f.on("/fhir/.well-known/smart-configuration", says(200, fmt.Sprintf(`{"token_endpoint":"%s/token"}`, f.URL)))
	n := 0
	f.on("/token", func(w http.ResponseWriter, r *http.Request) {
		n++
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if r.PostForm.Get("scope") != "system/*.rs" || r.PostForm.Get("client_assertion") == "" {
			t.Errorf("form %v", r.PostForm)
		}
		fmt.Fprintf(w, `{"access_token":"T%d","token_type":"bearer","expires_in":300,"scope":"system/*.rs"}`, n)
	})
	want := func(token string) {
		t.Helper()
		got, err := c.Token(t.Context())
		if err != nil || got != token {
			t.Errorf("token %q, %v, want %q", got, err, token)
		}
	}
	want("T1")
	f.now = f.now.Add(269 * time.Second)
	want("T1")
	f.now = f.now.Add(2 * time.Second) // renewed before it expires
	want("T2")
	// A token that the server no longer takes is replaced once.
	f.on("/s", says(401, ""), says(200, fmt.Sprintf(manifest, "")))
	if _, err := c.Poll(t.Context(), f.URL+"/s", nil); err != nil {
		t.Error(err)
	}
	want("T3")
	f.now = f.now.Add(time.Hour)
	f.on("/token", says(400, `{"error":"invalid_client","error_description":"the client or its signature is not recognised"}`))
	if _, err := c.Token(t.Context()); err == nil || err.Error() != "token: 400 Bad Request [invalid_client]: the client or its signature is not recognised" {
		t.Errorf("error %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS384", "ES384"} {
		key, err := client.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		private, err := key.PrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		again, err := client.ParseKey(private)
		if err != nil || again.ID() != key.ID() || again.Algorithm() != alg {
			t.Errorf("%s: read back %v, %v", alg, again, err)
		}
		public, err := key.PublicJWKS()
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(public, &set); err != nil || len(set.Keys) != 1 || set.Keys[0]["kid"] != key.ID() || set.Keys[0]["d"] != nil {
			t.Errorf("%s: public set %s", alg, public)
		}
		if _, err := client.ParseKey(public); err == nil {
			t.Errorf("%s: a public set is taken for a private key", alg)
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, key); text != alg+" key "+key.ID() {
				t.Errorf("%s prints %s", format, text)
			}
		}
	}
	if _, err := client.GenerateKey("HS384"); err == nil {
		t.Error("a key for HS384")
	}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	der := func(data []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	p384, p256 := ec(elliptic.P384()), ec(elliptic.P256())
	for _, tc := range []struct {
		kind string
		der  []byte
		ok   bool
	}{
		{"PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(p384)), true},
		{"EC PRIVATE KEY", der(x509.MarshalECPrivateKey(p384)), true},
		{"PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(p256)), false},
		{"PRIVATE KEY", []byte("x"), false},
		{"ENCRYPTED PRIVATE KEY", []byte("x"), false},
		{"PUBLIC KEY", der(x509.MarshalPKIXPublicKey(&p384.PublicKey)), false},
	} {
		if _, err := client.ParseKey(pem.EncodeToMemory(&pem.Block{Type: tc.kind, Bytes: tc.der})); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.kind, err)
		}
	}
	for _, bad := range []string{"", "{", "{}", "hello", `{"keys":[]}`, `{"kty":"EC","d":"AA"}`} {
		if _, err := client.ParseKey([]byte(bad)); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(`{"kty":"EC","crv":"P-384","d":"AA","x":"AA","y":"AA"}`))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := client.ParseKey(data); (key == nil) == (err == nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}
