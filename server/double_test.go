package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/server/auth"
	"remit/server/client"
	"remit/server/export"
	"remit/sql/control"
)

// double is an engine in memory: each export runs as the test says.
type double struct {
	mu      sync.Mutex
	now     func() time.Time
	exports map[string]*doubleExport
	// polls is how many status reads find a new export running.
	polls int
	fail  error
	// lenient is what the last kick-off was told.
	lenient bool
}

type doubleExport struct {
	status   export.Status
	left     int
	manifest export.Manifest
	files    map[string][]byte
}

var doubleTypes = []program.Type{
	{Name: "Patient", Profiles: []string{"http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Patient|2.1.0"}},
	{Name: "Coverage"},
	{Name: "Organization", Reach: program.Shared},
	{Name: "Group", Reach: program.Roster},
}

func (d *double) Kickoff(_ context.Context, r export.Request, lenient bool) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lenient = lenient
	if d.fail != nil {
		return "", d.fail
	}
	if r.Level == export.LevelGroup && r.Group != "g1" && r.Group != "g2" {
		return "", export.ErrUnknownGroup
	}
	var unknown []string
	for _, p := range r.Patients {
		if p == "nobody" {
			unknown = append(unknown, p)
		}
	}
	if len(unknown) > 0 && (!lenient || len(unknown) == len(r.Patients)) {
		return "", &export.UnknownPatientsError{IDs: unknown}
	}
	id := strings.ToLower(rand.Text())
	x := &doubleExport{left: d.polls, files: map[string][]byte{}, status: export.Status{ID: id, Request: r, State: export.StateRunning, Percent: 40, Created: d.now()}}
	x.manifest = export.Manifest{TransactionTime: "2026-05-04T03:02:01.000Z", Request: r.URL, Output: []export.ManifestFile{}, Error: []export.ManifestFile{}}
	for _, kind := range r.Types {
		var lines bytes.Buffer
		for i := range 1000 {
			fmt.Fprintf(&lines, `{"resourceType":%q,"id":"%s-%d"}`+"\n", kind, strings.ToLower(kind), i)
		}
		name := kind + ".1.ndjson"
		x.files[name] = lines.Bytes()
		x.manifest.Output = append(x.manifest.Output, export.ManifestFile{Type: kind, Name: name, Count: 1000})
	}
	if len(r.Notes) > 0 {
		x.files["OperationOutcome.1.ndjson"] = append(outcome(issue{severity: "warning", code: "not-supported", text: r.Notes[0].Text}), '\n')
		x.manifest.Error = append(x.manifest.Error, export.ManifestFile{Type: "OperationOutcome", Name: "OperationOutcome.1.ndjson", Count: 1})
	}
	d.exports[id] = x
	return id, nil
}

func (d *double) Running(_ context.Context, clientID string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, x := range d.exports {
		if x.status.Request.ClientID == clientID && x.status.State == export.StateRunning {
			n++
		}
	}
	return n, nil
}

func (d *double) find(id string) (*doubleExport, error) {
	x, ok := d.exports[id]
	if !ok {
		return nil, export.ErrNotFound
	}
	return x, d.fail
}

func (d *double) Status(_ context.Context, id string) (*export.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, err := d.find(id)
	if err != nil {
		return nil, err
	}
	if x.status.State == export.StateRunning {
		if x.left == 0 {
			x.status.State, x.status.Percent, x.status.Expires = export.StateComplete, 100, d.now().Add(time.Hour)
		}
		x.left--
	}
	copied := x.status
	return &copied, nil
}

func (d *double) Manifest(_ context.Context, id, base string, token bool) (*export.Manifest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, err := d.find(id)
	if err != nil {
		return nil, err
	}
	m := x.manifest
	m.RequiresAccessToken = token
	m.Output, m.Error = slices.Clone(m.Output), slices.Clone(m.Error)
	for _, list := range [][]export.ManifestFile{m.Output, m.Error} {
		for i := range list {
			list[i].URL = base + list[i].Name
		}
	}
	return &m, nil
}

func (d *double) Delete(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.find(id); err != nil {
		return err
	}
	delete(d.exports, id)
	return nil
}

// readSeekCloser is a reader in memory.
type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

func (d *double) OpenFile(_ context.Context, id, name string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, err := d.find(id)
	if err != nil {
		return nil, err
	}
	data, ok := x.files[name]
	if !ok {
		return nil, export.ErrNotFound
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	open := func(b []byte) func(context.Context) (io.ReadSeekCloser, error) {
		return func(context.Context) (io.ReadSeekCloser, error) { return readSeekCloser{bytes.NewReader(b)}, nil }
	}
	return &File{Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Identity: open(data),
		Stored: int64(zipped.Len()), Gzip: open(zipped.Bytes())}, nil
}

// set changes an export under the lock.
func (d *double) set(id string, change func(*doubleExport)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.exports[id])
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is a server on a double with an authority on a real control store.
type house struct {
	t      *testing.T
	clock  *clock
	double *double
	server *Server
	http   *httptest.Server
	base   string
	store  *auth.Store
	db     *control.Store
	dbFile string
	log    *lockedBuffer
	keys   map[string]*client.Key // by client id
}

// setup starts a server at the path /fhir of a loopback port, with the clients
// alpha and beta.
func setup(t *testing.T, change func(*Options)) *house {
	t.Helper()
	h := &house{t: t, clock: &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}, log: &lockedBuffer{}, keys: map[string]*client.Key{}}
	h.double = &double{now: h.clock.Now, exports: map[string]*doubleExport{}}
	h.dbFile = t.TempDir() + "/control.db"
	db, err := control.Open(t.Context(), "sqlite:"+h.dbFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h.db = db
	h.store = auth.NewStore(db, h.clock.Now)
	h.http = httptest.NewUnstartedServer(nil)
	h.base = "http://" + h.http.Listener.Addr().String() + "/fhir"
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	authority, err := auth.New(auth.Options{Clients: h.store, Ledger: h.store, Tokens: h.store, TokenURL: h.base + TokenPath, Clock: h.clock.Now, Audit: db.AddEvent, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{PublicURL: h.base + "/", Exports: h.double, Types: func() []program.Type { return doubleTypes }, Authority: authority,
		Audit: db.AddEvent, Log: log, Clock: h.clock.Now, Software: Software{Name: "Remit", Version: "1.2.3", Released: "2026-05-01"}}
	if change != nil {
		change(&o)
	}
	if h.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	h.http.Config.Handler = h.server.Handler()
	h.http.Start()
	t.Cleanup(h.server.settle) // before the store that it writes to is closed
	t.Cleanup(h.http.Close)
	h.register("alpha", "system/*.rs", nil)
	h.register("beta", "system/*.rs", []string{"g2"})
	return h
}

// in is the house for a subtest.
func (h *house) in(t *testing.T) *house {
	sub := *h
	sub.t = t
	return &sub
}

// register keeps a client with a key of its own.
func (h *house) register(id, scope string, groups []string) {
	h.t.Helper()
	key, err := client.GenerateKey("ES384")
	if err != nil {
		h.t.Fatal(err)
	}
	set, err := key.PublicJWKS()
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.store.Register(h.t.Context(), auth.Registration{ID: id, Name: id, Keys: set, Scope: scope, Groups: groups}); err != nil {
		h.t.Fatal(err)
	}
	h.keys[id] = key
}

// client is a Bulk Data client of this server; waiting moves the clock.
func (h *house) client(id, scope string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Options{BaseURL: h.base, ClientID: id, Key: h.keys[id], Scope: scope, Clock: h.clock.Now,
		Wait: func(_ context.Context, d time.Duration) error { h.clock.Pass(d); return nil }})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) token(id, scope string) string {
	h.t.Helper()
	token, err := h.client(id, scope).Token(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

// answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request as is; headers are name, value pairs. The transport adds
// no Accept-Encoding.
func (h *house) do(method, target, token, body string, headers ...string) answer {
	h.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = h.base + target
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1] // what net/http sends
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, data}
}

// wantOutcome checks an OperationOutcome with the status and the first issue's
// code.
func (h *house) wantOutcome(a answer, status int, code string) {
	h.t.Helper()
	var o struct {
		ResourceType string
		Issue        []struct {
			Severity, Code string
			Details        struct{ Text string }
		}
	}
	if err := json.Unmarshal(a.body, &o); err != nil {
		h.t.Fatalf("status %d, body is not JSON: %v: %s", a.status, err, a.body)
	}
	if a.status != status || a.header.Get("Content-Type") != fhirJSON || o.ResourceType != "OperationOutcome" || len(o.Issue) == 0 {
		h.t.Fatalf("status %d %s, body %s; want %d with an outcome", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	if o.Issue[0].Code != code || o.Issue[0].Details.Text == "" || o.Issue[0].Severity == "" {
		h.t.Errorf("issue %+v, want code %s", o.Issue[0], code)
	}
}

// kickoff starts an export and returns its status URL.
func (h *house) kickoff(token, path string, headers ...string) string {
	h.t.Helper()
	a := h.do(http.MethodGet, path, token, "", headers...)
	h.wantOutcome(a, http.StatusAccepted, "informational")
	if v := a.header.Values("Content-Location"); len(v) != 1 {
		h.t.Fatalf("Content-Location %q", v)
	}
	return a.header.Get("Content-Location")
}

func exportID(statusURL string) string {
	id, _, _ := strings.Cut(statusURL[strings.LastIndex(statusURL, "/")+1:], "?")
	return id
}

var errAway = errors.New("store is away")
