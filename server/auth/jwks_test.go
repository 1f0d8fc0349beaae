package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSB026KeyConstraints(t *testing.T) {
	t.Parallel()
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // the very key that must be refused
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func(changes map[string]any) map[string]any { return changed(rsaSigner("r1", 0).jwk(), changes) }
	ec := func(changes map[string]any) map[string]any { return changed(ecSigner(t, "e1").jwk(), changes) }
	for _, tc := range []struct {
		name, want string
		set        []byte
	}{
		{"RSA and EC", "", jwks(good(nil), ec(nil))},
		{"with use, alg and key_ops", "", jwks(good(map[string]any{"use": "sig", "alg": "RS384", "key_ops": []string{"verify"}}))},
		{"no kid", "has no kid", jwks(good(map[string]any{"kid": nil}))},
		{"kid is a number", "kid is not a string", jwks(good(map[string]any{"kid": 7}))},
		{"private", "private or symmetric", jwks(good(map[string]any{"d": "AQAB"}))},
		{"symmetric", "private or symmetric", jwks(map[string]any{"kty": "oct", "kid": "s", "k": "c2VjcmV0"})},
		{"short RSA", "less than 2048", jwks(signer{"s", "RS384", short}.jwk())},
		{"even exponent", "RSA", jwks(good(map[string]any{"e": "Ag"}))},
		{"P-224", "curve", jwks(signer{"s", "ES384", p224}.jwk())},
		{"point off the curve", "EC key", jwks(ec(map[string]any{"x": strings.Repeat("A", 64)}))},
		{"no modulus", "less than", jwks(good(map[string]any{"n": nil}))},
		{"OKP", "neither RSA nor EC", jwks(map[string]any{"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AA"})},
		{"use enc", "use is not sig", jwks(good(map[string]any{"use": "enc"}))},
		{"key_ops sign", "lacks verify", jwks(good(map[string]any{"key_ops": []string{"sign"}}))},
		{"alg of another kind", "alg does not fit", jwks(good(map[string]any{"alg": "ES384"}))},
		{"alg HS384", "alg does not fit", jwks(good(map[string]any{"alg": "HS384"}))},
		{"same kid twice", "not unique", jwks(good(nil), rsaSigner("r1", 1).jwk())},
		{"empty", "no keys", []byte(`{"keys":[]}`)},
		{"no keys member", "no array", []byte(`{}`)},
		{"null", "not a JSON object", []byte(`null`)},
		{"html", "not a JSON object", []byte(`<html>`)},
	} {
		set, err := ParseKeySet(tc.set, true)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		case tc.want == "" && set.Len() == 0:
			t.Errorf("%s: no keys", tc.name)
		}
	}
	many := make([]map[string]any, maxKeys+1)
	for i := range many {
		many[i] = map[string]any{}
	}
	if _, err := ParseKeySet(jwks(many...), false); err == nil {
		t.Error("101 keys were read")
	}
	// What is fetched may hold keys for other uses beside ours.
	set, err := ParseKeySet(jwks(good(map[string]any{"use": "enc", "kid": "x"}), good(nil)), false)
	if err != nil || set.Len() != 1 {
		t.Errorf("fetched set: %v", err)
	}
}

// keyHost serves a key set over TLS and counts.
type keyHost struct {
	*httptest.Server
	hits  atomic.Int64
	serve atomic.Value // http.HandlerFunc
}

func newKeyHost(t *testing.T, h http.HandlerFunc) *keyHost {
	t.Helper()
	k := &keyHost{}
	k.serve.Store(h)
	k.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.hits.Add(1)
		k.serve.Load().(http.HandlerFunc)(w, r)
	}))
	k.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the test
	k.StartTLS()
	t.Cleanup(k.Close)
	return k
}

func serveSet(set []byte, cacheControl string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if cacheControl != "" {
			w.Header().Set("Cache-Control", cacheControl)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set)
	}
}

func (k *keyHost) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(k.Certificate())
	return pool
}

// setupURL registers "alpha" by URL on a host in the test's own network.
func setupURL(t *testing.T, h http.HandlerFunc, change func(*Options)) (*bench, *keyHost, signer) {
	t.Helper()
	k := newKeyHost(t, h)
	b, r, _ := setup(t, func(o *Options) {
		o.Fetch = FetchOptions{AllowHosts: []string{"127.0.0.0/8"}, RootCAs: k.pool()}
		if change != nil {
			change(o)
		}
	})
	c := b.memory.clients["alpha"]
	c.Keys, c.KeysURL = nil, k.URL+"/jwks"
	return b, k, r
}

func TestSB022Cache(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cacheControl  string
		fresh, beyond time.Duration // still cached; fetched again
	}{
		{"", 299 * time.Second, 2 * time.Second},
		{"max-age=60", 59 * time.Second, 2 * time.Second},
		{"public, max-age=120, must-revalidate", 119 * time.Second, 2 * time.Second},
		{"no-store", -1, 0},
		{"max-age=0", -1, 0},
		{"no-cache", -1, 0},
		{"max-age=ever", -1, 0},
	} {
		t.Run(tc.cacheControl, func(t *testing.T) {
			t.Parallel()
			b, k, r := setupURL(t, serveSet(jwks(rsaSigner("r1", 0).jwk()), tc.cacheControl), nil)
			get := func() { b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil)))) }
			get()
			want := int64(1)
			if tc.fresh >= 0 {
				b.pass(tc.fresh)
				get()
			}
			if got := k.hits.Load(); got != want {
				t.Errorf("%d fetches, want %d", got, want)
			}
			b.pass(tc.beyond)
			get()
			if got := k.hits.Load(); got != want+1 {
				t.Errorf("%d fetches, want %d", got, want+1)
			}
		})
	}
}

func TestSB023Rotation(t *testing.T) {
	t.Parallel()
	older, newer := rsaSigner("old", 0), rsaSigner("new", 1)
	b, k, _ := setupURL(t, serveSet(jwks(older.jwk()), "max-age=3600"), nil)
	token := func(s signer) presenter { return presenter{b, s} }
	token(older).want(t)
	// The successor is not there yet: one fetch, and no more for 30 seconds.
	token(newer).refused(t)
	token(newer).refused(t)
	if got := k.hits.Load(); got != 2 {
		t.Fatalf("%d fetches, want 2", got)
	}
	k.serve.Store(serveSet(jwks(older.jwk(), newer.jwk()), "max-age=3600"))
	token(newer).refused(t)
	b.pass(31 * time.Second)
	token(newer).want(t)
	token(older).want(t)
	// A removed key works until the cache ends, and not after.
	k.serve.Store(serveSet(jwks(newer.jwk()), "max-age=3600"))
	token(older).want(t)
	b.pass(time.Hour)
	token(older).refused(t)
	token(newer).want(t)
}

// presenter asks for a token signed by one of several keys.
type presenter struct {
	b *bench
	s signer
}

func (u presenter) want(t *testing.T) {
	t.Helper()
	u.b.wantToken(form(u.s.compact(t, u.s.header(nil), u.b.claims(nil))))
}

func (u presenter) refused(t *testing.T) {
	t.Helper()
	u.b.wantError(form(u.s.compact(t, u.s.header(nil), u.b.claims(nil))), "invalid_client", "0-keys-for-kid")
}

func TestSB024FetchSafety(t *testing.T) {
	t.Parallel()
	set := jwks(rsaSigner("r1", 0).jwk())
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for _, tc := range []struct {
		name, reason string
		serve        http.HandlerFunc
		change       func(*Options)
	}{
		{name: "404", reason: "jwks fetch: status 404", serve: http.NotFound},
		{name: "HTML", reason: "jwks fetch: html", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>")
		}},
		{name: "not JSON", reason: "jwks fetch: jwks: not a JSON object", serve: serveSet([]byte("hello"), "")},
		{name: "2 MiB", reason: "jwks fetch: more than", serve: serveSet([]byte(`{"keys":[],"x":"`+strings.Repeat("x", 2<<20)+`"}`), "")},
		{name: "redirect to http", reason: "jwks fetch: jwks url is not https", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1/jwks", http.StatusFound)
		}},
		{name: "redirects without end", reason: "jwks fetch: too many redirects", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String()+"x", http.StatusFound)
		}},
		{name: "slow", reason: "jwks fetch: ", serve: func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, change: func(o *Options) { o.Fetch.Timeout = 50 * time.Millisecond }},
		{name: "private network", reason: "jwks fetch: ", serve: serveSet(set, ""), change: func(o *Options) { o.Fetch.AllowHosts = nil }},
		{name: "unknown authority", reason: "jwks fetch: ", serve: serveSet(set, ""), change: func(o *Options) { o.Fetch.RootCAs = x509.NewCertPool() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, k, r := setupURL(t, tc.serve, tc.change)
			b.wantError(form(r.compact(t, r.header(nil), b.claims(nil))), "invalid_client", tc.reason)
			if strings.Contains(b.log.String(), k.URL) {
				t.Error("the log holds the client's URL")
			}
		})
	}
}

func TestSB024PublicAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "100.64.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "::": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:db8::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestSB043JKU(t *testing.T) {
	t.Parallel()
	b, k, r := setupURL(t, serveSet(jwks(rsaSigner("r1", 0).jwk()), "max-age=3600"), nil)
	b.wantToken(form(r.compact(t, r.header(map[string]any{"jku": k.URL + "/jwks"}), b.claims(nil))))
	for _, jku := range []any{k.URL + "/jwks/", k.URL + "/other", "", "https://evil.example.org/jwks"} {
		b.wantError(form(r.compact(t, r.header(map[string]any{"jku": jku}), b.claims(nil))), "invalid_client", "jku")
	}
	b.wantError(form(r.compact(t, r.header(map[string]any{"jku": 7}), b.claims(nil))), "invalid_client", "jku-form")
	if got := k.hits.Load(); got != 1 {
		t.Errorf("%d fetches, want 1", got)
	}
}

func TestSB021KeysURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"https://partner.example.org/jwks": true,
		"http://partner.example.org/jwks":  false,
		"https://user:x@example.org/jwks":  false,
		"file:///etc/passwd":               false,
		"/jwks":                            false,
		"https://":                         false,
		"http://127.0.0.1:8080/jwks":       false,
	} {
		if err := CheckKeysURL(raw, FetchOptions{}); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if err := CheckKeysURL("http://127.0.0.1:8080/jwks", FetchOptions{AllowLoopbackHTTP: true}); err != nil {
		t.Errorf("loopback where allowed: %v", err)
	}
	if err := CheckKeysURL("http://10.0.0.1/jwks", FetchOptions{AllowLoopbackHTTP: true}); err == nil {
		t.Error("http beyond loopback passed")
	}
}
