package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"remit/server/auth"
	"remit/server/client"
)

// house is a whole server over TLS on the Tuva fixture, whose members are split
// in the rosters "even" and "odd", with its clients.
type house struct {
	t     *testing.T
	base  string
	late  atomic.Int64 // how far the server's clock is ahead
	http  *http.Client
	roots *x509.CertPool
	node  *node
	keys  map[string]*client.Key
}

func openHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	if err := splitSet(filepath.Join(dir, "split")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, base: "https://" + l.Addr().String() + "/fhir", keys: map[string]*client.Key{}}
	c := config{
		Warehouse: tuvaDuckDB, Mappings: filepath.Join(dir, "split"), Data: filepath.Join(dir, "data"), PublicURL: h.base,
		TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem"),
	}
	h.certify(c.TLSCert, c.TLSKey)
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: h.now}
	if err := c.resolve(a); err != nil {
		t.Fatal(err)
	}
	if h.node, err = openNode(t.Context(), a, &c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.node.Close(); err != nil {
			t.Error(err)
		}
	})
	face, err := h.node.face(t.Context(), a, &c)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- face.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(face.Stop(t.Context()), <-served); err != nil {
			t.Log(err)
		}
	})
	transport := &http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: h.roots}}
	h.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	return h
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.late.Load())) }

// certify writes a certificate of the loopback address and trusts it.
func (h *house) certify(cert, key string) {
	h.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		h.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		h.t.Fatal(err)
	}
	h.roots = x509.NewCertPool()
	h.roots.AddCert(leaf)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		h.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

// register keeps a client; groups are the rosters that it may have, none means
// every one.
func (h *house) register(id string, groups ...string) {
	h.t.Helper()
	key, err := client.GenerateKey("ES384")
	if err != nil {
		h.t.Fatal(err)
	}
	keys, err := key.PublicJWKS()
	if err != nil {
		h.t.Fatal(err)
	}
	r := auth.Registration{ID: id, Name: id, Keys: keys, Scope: "system/*.cruds", Groups: groups}
	if _, err := auth.NewStore(h.node.control, h.now).Register(h.t.Context(), r); err != nil {
		h.t.Fatal(err)
	}
	h.keys[id] = key
}

func (h *house) token(id, scope string) string {
	h.t.Helper()
	c, err := client.New(client.Options{BaseURL: h.base, ClientID: id, Key: h.keys[id], Scope: scope, HTTP: h.http, Clock: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := c.Token(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

// reply is a response that was read whole.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

// do sends a request; headers are name, value pairs.
func (h *house) do(t *testing.T, method, target, token, body string, headers ...string) reply {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = h.base + target
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, data}
}

// want is do with the status that must come.
func (h *house) want(t *testing.T, code int, method, target, token string, headers ...string) reply {
	t.Helper()
	a := h.do(t, method, target, token, "", headers...)
	if a.code != code {
		t.Errorf("%s %s: %d, want %d: %.300s", method, target, a.code, code, a.body)
	}
	return a
}

// kickoff starts an export as the kit does, and returns its status URL.
func (h *house) kickoff(t *testing.T, path, token string) string {
	t.Helper()
	a := h.want(t, http.StatusAccepted, http.MethodGet, path, token, "Accept", "application/fhir+json", "Prefer", "respond-async")
	status := a.header.Values("Content-Location")
	if len(status) != 1 || !strings.HasPrefix(status[0], h.base+"/") {
		t.Fatalf("Content-Location %q", status)
	}
	return status[0]
}

// poll asks for the status as Retry-After says until it is no longer 202.
func (h *house) poll(t *testing.T, status, token string) reply {
	t.Helper()
	for range 300 {
		a := h.do(t, http.MethodGet, status, token, "", "Accept", "application/json")
		if a.code != http.StatusAccepted {
			return a
		}
		seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || seconds < 1 || seconds > 60 {
			t.Fatalf("Retry-After %q", a.header.Get("Retry-After"))
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	t.Fatal("the export does not end")
	return reply{}
}

// completed is the manifest of an export that is complete.
type completed struct {
	TransactionTime     string
	Request             string
	RequiresAccessToken bool
	Output, Error       []struct {
		Type, URL string
		Count     int
	}
}

func (h *house) manifest(t *testing.T, status, token string) completed {
	t.Helper()
	a := h.poll(t, status, token)
	var m completed
	if err := json.Unmarshal(a.body, &m); err != nil || a.code != http.StatusOK {
		t.Fatalf("%d %v: %.300s", a.code, err, a.body)
	}
	return m
}
