package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/sql/control"
)

func with(values url.Values, name string, v ...string) url.Values {
	if v == nil {
		values.Del(name)
	} else {
		values[name] = v
	}
	return values
}

// TestSB030TokenRequest shows SB-030, SB-031, SB-032, SB-033, SB-034, SB-035 and SB-038.
func TestSB030TokenRequest(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	good := func() url.Values { return form(r.compact(t, r.header(nil), b.claims(nil))) }
	for _, tc := range []struct {
		name, code, reason string
		values             url.Values
	}{
		{"SB-031 no grant_type", "invalid_request", "grant-type-missing", with(good(), "grant_type")},
		{"SB-032 wrong grant_type", "unsupported_grant_type", "grant-type", with(good(), "grant_type", "not_a_grant_type")},
		{"SB-031 no assertion type", "invalid_request", "assertion-type-missing", with(good(), "client_assertion_type")},
		{"SB-033 wrong assertion type", "invalid_request", "assertion-type", with(good(), "client_assertion_type", "not_an_assertion_type")},
		{"SB-031 no assertion", "invalid_request", "assertion-missing", with(good(), "client_assertion")},
		{"SB-034 no JWS", "invalid_client", "assertion-form", with(good(), "client_assertion", "x.y")},
		{"SB-034 too long", "invalid_client", "assertion-size", with(good(), "client_assertion", strings.Repeat("x", maxAssertionBytes+1))},
		{"SB-036 no scope", "invalid_scope", "scope-missing", with(good(), "scope")},
		{"SB-035 foreign scopes only", "invalid_scope", "nothing-granted", with(good(), "scope", "patient/*.read launch openid")},
		{"SB-070 letters out of order", "invalid_scope", "nothing-granted", with(good(), "scope", "system/*.sr")},
		{"SB-038 duplicate", "invalid_request", "duplicate-parameter", with(good(), "scope", "system/*.rs", "system/*.rs")},
		{"SB-038 other client_id", "invalid_client", "client-id", with(good(), "client_id", "beta")},
		{"SB-038 secret", "invalid_client", "client-secret", with(good(), "client_secret", "x")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			b.wantError(tc.values, tc.code, tc.reason)
		})
	}
	b.t = t
	b.wantToken(with(good(), "client_id", "alpha"))

	get := b.do(b.authority.ServeToken, httptest.NewRequest(http.MethodGet, tokenURL, nil))
	if get.status != http.StatusMethodNotAllowed || get.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", get.status, get.header.Get("Allow"))
	}
	for media, want := range map[string]int{
		"application/x-www-form-urlencoded; charset=utf-8": http.StatusOK,
		"application/json": http.StatusBadRequest,
		"":                 http.StatusBadRequest,
	} {
		got := b.post(b.authority.ServeToken, good(), http.Header{"Content-Type": {media}})
		if got.status != want {
			t.Errorf("content type %q: %d, want %d", media, got.status, want)
		}
	}
}

// TestSB060TokenResponse shows SB-060, SB-063 and SB-064.
func TestSB060TokenResponse(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	a := b.token(form(r.compact(t, r.header(nil), b.claims(nil))))
	secret, _ := a.body["access_token"].(string)
	if len(secret) < 40 || len(secret) > 4096 {
		t.Errorf("access_token of %d characters", len(secret))
	}
	delete(a.body, "access_token")
	want := map[string]any{"token_type": "bearer", "expires_in": float64(300), "scope": "system/*.rs"}
	if diff := cmp.Diff(want, a.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	// SB-064, and SB-063: the store holds the digest alone.
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("cache headers %v", a.header)
	}
	if _, ok := b.memory.tokens[secret]; ok || b.memory.tokens[TokenID(secret)].ClientID != "alpha" {
		t.Error("the token is not kept by digest")
	}
	if strings.Contains(b.log.String(), secret) {
		t.Error("the log holds the token")
	}
}

// TestSB061TokenLife shows SB-061 and SB-040: the bounds of what can be configured.
func TestSB061TokenLife(t *testing.T) {
	t.Parallel()
	m := &memory{}
	for life, ok := range map[time.Duration]bool{0: true, time.Minute: true, 300 * time.Second: true, 301 * time.Second: false, -1: false} {
		_, err := New(Options{Clients: m, Ledger: m, Tokens: m, TokenURL: tokenURL, TokenLife: life})
		if (err == nil) != ok {
			t.Errorf("life %v: %v", life, err)
		}
	}
	if _, err := New(Options{Clients: m, Ledger: m, Tokens: m, TokenURL: tokenURL, Algorithms: []string{"HS384"}}); err == nil {
		t.Error("HS384 can be configured")
	}
}

func TestSB036DefaultScope(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, func(o *Options) { o.GrantDefault = true })
	a := b.token(with(form(r.compact(t, r.header(nil), b.claims(nil))), "scope"))
	if a.body["scope"] != "system/*.rs" {
		t.Errorf("scope %v", a.body["scope"])
	}
}

func TestSB077UnknownType(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, func(o *Options) { o.KnownType = func(s string) bool { return s == "Patient" } })
	a := b.token(with(form(r.compact(t, r.header(nil), b.claims(nil))), "scope", "system/Pateint.rs system/Patient.rs"))
	if a.body["scope"] != "system/Patient.rs" {
		t.Errorf("scope %v", a.body["scope"])
	}
	b.wantError(with(form(r.compact(t, r.header(nil), b.claims(nil))), "scope", "system/Pateint.rs"), "invalid_scope", "nothing-granted")
}

func TestSB039Throttle(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, func(o *Options) { o.Failures = 3 })
	for range 3 {
		b.wantError(form("x.y.z"), "invalid_client", "assertion-form")
	}
	good := func() answered { return b.token(form(r.compact(t, r.header(nil), b.claims(nil)))) }
	if a := good(); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "60" {
		t.Errorf("status %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	b.pass(time.Minute)
	if a := good(); a.status != http.StatusOK {
		t.Errorf("status %d after a minute", a.status)
	}
}

// Behind a proxy one caller's refusals do not shut the others out, and nobody
// from the internet chooses the address that is counted.
func TestSB039_RemoteAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"plain", "203.0.113.9:4711", nil, "203.0.113.9"},
		{"header from the internet", "203.0.113.9:4711", []string{"198.51.100.1"}, "203.0.113.9"},
		{"proxy on loopback", "127.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"proxy on a private network", "10.1.2.3:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"the proxy's own word is the last", "127.0.0.1:4711", []string{"1.1.1.1, 2.2.2.2", "3.3.3.3, 198.51.100.1"}, "198.51.100.1"},
		{"no address", "127.0.0.1:4711", []string{"unknown"}, "127.0.0.1"},
		{"IPv6", "[::1]:4711", []string{"2001:db8::1"}, "2001:db8::1"},
		{"no proxy", "[::1]:4711", nil, "::1"},
		{"no port", "@", []string{"198.51.100.1"}, "@"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
		if got := RemoteAddress(r); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestSB080Authenticate(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	secret := b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
	check := func(h http.Header) error {
		_, err := b.authority.Authenticate(t.Context(), h)
		return err
	}
	for _, tc := range []struct {
		name string
		h    http.Header
		want error
	}{
		{"none", http.Header{}, ErrNoToken},
		{"basic", http.Header{"Authorization": {"Basic YWxwaGE6eA=="}}, ErrNoToken},
		{"empty", http.Header{"Authorization": {"Bearer "}}, ErrInvalidToken},
		{"unknown", bearer("x"), ErrInvalidToken},
		{"digest of a token", bearer(TokenID(secret)), ErrInvalidToken},
		{"two headers", http.Header{"Authorization": {"Bearer " + secret, "Bearer " + secret}}, ErrInvalidToken},
		{"good", bearer(secret), nil},
		{"scheme in lower case", http.Header{"Authorization": {"bearer " + secret}}, nil},
	} {
		if err := check(tc.h); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	b.memory.clients["alpha"].Enabled = false // SB-028
	if err := check(bearer(secret)); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("disabled client: %v", err)
	}
	b.memory.clients["alpha"].Enabled = true
	b.pass(299 * time.Second)
	if err := check(bearer(secret)); err != nil {
		t.Errorf("after 299 s: %v", err)
	}
	b.pass(time.Second)
	if err := check(bearer(secret)); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("after 300 s: %v", err)
	}
	b.memory.fail = errors.New("store is away")
	if a := b.token(form(r.compact(t, r.header(nil), b.claims(nil)))); a.status != http.StatusServiceUnavailable {
		t.Errorf("store away: status %d", a.status)
	}
}

// TestSB084Shrink bounds an old token by what the client may have by now.
func TestSB084Shrink(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	secret := b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
	b.memory.clients["alpha"].Scopes = scopes("system/Patient.rs system/Group.r")
	b.memory.clients["alpha"].Groups = []string{"g1"}
	access, err := b.authority.Authenticate(t.Context(), bearer(secret))
	if err != nil {
		t.Fatal(err)
	}
	got := []bool{access.MayExport("Patient"), access.MayExport("Coverage"), access.MayExport("Group"), access.MayRead("Group"),
		access.MayHaveGroup("g1"), access.MayHaveGroup("g2")}
	if diff := cmp.Diff([]bool{true, false, false, true, true, false}, got); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

// TestSB091Introspection shows SB-090, SB-091 and SB-092.
func TestSB091Introspection(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["beta"] = &Client{ID: "beta", Keys: keySet(t, r.jwk()), Scopes: scopes("system/*.rs"), Enabled: true}
	secret := b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
	foreign := b.wantToken(form(r.compact(t, r.header(nil), b.claims(map[string]any{"iss": "beta", "sub": "beta"}))))
	ask := func(token, with string) answered {
		return b.post(b.authority.ServeIntrospection, url.Values{"token": {token}}, bearer(with))
	}
	active := map[string]any{"active": true, "scope": "system/*.rs", "client_id": "alpha", "token_type": "bearer",
		"iat": float64(b.now().Unix()), "exp": float64(b.now().Unix() + 300)}
	inactive := map[string]any{"active": false} // and nothing else
	byAssertion := func() answered {
		f := form(r.compact(t, r.header(nil), b.claims(nil)))
		f.Set("token", secret)
		return b.post(b.authority.ServeIntrospection, f, nil)
	}
	for _, tc := range []struct {
		name string
		got  answered
		want map[string]any
	}{
		{"SB-090 asked with a bearer token", ask(secret, secret), active},
		{"SB-090 asked with an assertion", byAssertion(), active},
		{"SB-092 unknown", ask("x", secret), inactive},
		{"SB-092 of another client", ask(foreign, secret), inactive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got.body); diff != "" || tc.got.status != http.StatusOK {
				t.Errorf("%d (-want +got):\n%s", tc.got.status, diff)
			}
		})
	}
	if a := ask(secret, "x"); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("stranger: %d", a.status)
	}
	if a := ask("", secret); a.status != http.StatusBadRequest {
		t.Errorf("no token: %d", a.status)
	}
	b.pass(301 * time.Second)
	t.Run("SB-092 expired", func(t *testing.T) {
		b.t = t
		if diff := cmp.Diff(inactive, byAssertion().body); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestSB093Revocation(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["beta"] = &Client{ID: "beta", Keys: keySet(t, r.jwk()), Scopes: scopes("system/*.rs"), Enabled: true}
	secret := b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
	foreign := b.wantToken(form(r.compact(t, r.header(nil), b.claims(map[string]any{"iss": "beta", "sub": "beta"}))))
	for _, token := range []string{"unknown", foreign, secret} {
		if a := b.post(b.authority.ServeRevocation, url.Values{"token": {token}}, bearer(secret)); a.status != http.StatusOK {
			t.Errorf("status %d", a.status)
		}
	}
	if _, err := b.authority.Authenticate(t.Context(), bearer(secret)); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("revoked token: %v", err)
	}
	if _, err := b.authority.Authenticate(t.Context(), bearer(foreign)); err != nil {
		t.Errorf("another client's token: %v", err)
	}
}

// TestSB047Restart spends a jti, and keeps a token, over a restart and beside a
// second server on the same store.
func TestSB047Restart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := "sqlite:" + t.TempDir() + "/control.db"
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	clock := func() time.Time { return now }
	r := rsaSigner("r1", 0)
	open := func() (*bench, *Store, *control.Store) {
		db, err := control.Open(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		s := NewStore(db, clock)
		a, err := New(Options{Clients: s, Ledger: s, Tokens: s, TokenURL: tokenURL, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		b, _, _ := setup(t, nil)
		b.authority = a
		b.time = now
		return b, s, db
	}
	b1, s1, db1 := open()
	b2, _, db2 := open()
	defer db2.Close()
	id, err := s1.Register(ctx, Registration{Name: "partner", Keys: jwks(r.jwk()), Scope: "system/*.rs", Groups: []string{"g1"}})
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]any{"iss": id, "sub": id, "jti": "once"}
	compact := r.compact(t, r.header(nil), b1.claims(who))
	secret := b1.wantToken(form(compact))
	if a := b2.token(form(compact)); a.status != http.StatusBadRequest {
		t.Errorf("replay at a second server: %d", a.status)
	}
	if err := db1.Close(); err != nil {
		t.Fatal(err)
	}
	b3, s3, db3 := open()
	defer db3.Close()
	if a := b3.token(form(compact)); a.status != http.StatusBadRequest {
		t.Errorf("replay after restart: %d", a.status)
	}
	access, err := b3.authority.Authenticate(ctx, bearer(secret))
	if err != nil {
		t.Fatalf("token after restart: %v", err)
	}
	if access.Client.Name != "partner" || !access.MayHaveGroup("g1") || access.MayHaveGroup("g2") {
		t.Errorf("client %+v", access.Client)
	}
	for range 2 {
		if err := s3.RevokeToken(ctx, TokenID(secret)); err != nil {
			t.Errorf("revoke: %v", err)
		}
	}
	if _, err := b2.authority.Authenticate(ctx, bearer(secret)); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("revoked at another server: %v", err)
	}
}

// TestSB020Register shows SB-020 and SB-027.
func TestSB020Register(t *testing.T) {
	t.Parallel()
	db, err := control.Open(context.Background(), "sqlite:"+t.TempDir()+"/control.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := NewStore(db, nil)
	keys := jwks(rsaSigner("r1", 0).jwk())
	for _, tc := range []struct {
		name string
		r    Registration
		want string // in the error; "" for success
	}{
		{"inline keys", Registration{Keys: keys, Scope: "system/*.rs"}, ""},
		{"keys by URL", Registration{KeysURL: "https://partner.example.org/jwks", Scope: "system/*.read"}, ""},
		{"both", Registration{Keys: keys, KeysURL: "https://partner.example.org/jwks", Scope: "system/*.rs"}, "either keys or a URL"},
		{"neither", Registration{Scope: "system/*.rs"}, "either keys or a URL"},
		{"http URL", Registration{KeysURL: "http://partner.example.org/jwks", Scope: "system/*.rs"}, "not https"},
		{"no scope", Registration{Keys: keys}, "no scope"},
		{"bad scope", Registration{Keys: keys, Scope: "system/*.sr"}, `scope "system/*.sr"`},
		{"the publisher's name", Registration{ID: "$bulk-publish", External: true, Scope: "system/*.rs"}, "begin with $"},
		{"bad keys", Registration{Keys: []byte(`{"keys":[]}`), Scope: "system/*.rs"}, "no keys"},
	} {
		id, err := s.Register(t.Context(), tc.r)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want == "":
			if _, err := s.Client(t.Context(), id); err != nil {
				t.Errorf("%s: read back: %v", tc.name, err)
			}
		case err == nil || !strings.Contains(err.Error(), tc.want):
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := s.Client(t.Context(), "nobody"); !errors.Is(err, ErrUnknownClient) {
		t.Errorf("unknown client: %v", err)
	}
	t.Run("SB-027 an id for each registration", func(t *testing.T) {
		had := map[string]bool{}
		for range 3 {
			id, err := s.Register(t.Context(), Registration{Keys: keys, Scope: "system/*.rs"})
			if err != nil || len(id) < 26 || had[id] {
				t.Errorf("id %q, %v", id, err)
			}
			had[id] = true
		}
	})
	t.Run("SB-025 keys change by compare-and-set", func(t *testing.T) {
		id, err := s.Register(t.Context(), Registration{Keys: keys, Scope: "system/*.rs"})
		if err != nil {
			t.Fatal(err)
		}
		read, err := s.row(t.Context(), id) // what somebody else read before the keys changed
		if err != nil {
			t.Fatal(err)
		}
		next := jwks(ecSigner(t, "e2").jwk())
		if err := s.Rotate(t.Context(), id, KeyChange{Keys: next, Add: true}); err != nil {
			t.Fatal(err)
		}
		if err := db.SetClientKeys(t.Context(), read, string(jwks(rsaSigner("r9", 1).jwk())), ""); err == nil {
			t.Error("keys are written over a change that was not seen")
		}
		c, err := s.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if n := c.Keys.Len(); n != 2 {
			t.Errorf("%d keys, want the old and the next", n)
		}
	})
}
