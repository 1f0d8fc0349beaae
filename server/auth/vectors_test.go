package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/sql/control"
)

const tokenURL = "https://payer.example.org/fhir/auth/token"

// signer makes assertions without the library that reads them.
type signer struct {
	kid     string
	alg     string
	private crypto.Signer
}

var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	var keys []*rsa.PrivateKey
	for range 2 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	return keys
})

func rsaSigner(kid string, n int) signer { return signer{kid, "RS384", rsaKeys()[n]} }

func ecSigner(t *testing.T, kid string) signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, "ES384", k}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public key as JWK members.
func (s signer) jwk() map[string]any {
	switch k := s.private.(type) {
	case *rsa.PrivateKey:
		return map[string]any{"kty": "RSA", "kid": s.kid, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PrivateKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		return map[string]any{"kty": "EC", "kid": s.kid, "crv": k.Curve.Params().Name,
			"x": b64(k.X.FillBytes(make([]byte, size))), "y": b64(k.Y.FillBytes(make([]byte, size)))}
	}
	panic("unknown key")
}

func jwks(members ...map[string]any) []byte {
	data, err := json.Marshal(map[string]any{"keys": members})
	if err != nil {
		panic(err)
	}
	return data
}

func keySet(t *testing.T, members ...map[string]any) *KeySet {
	t.Helper()
	set, err := ParseKeySet(jwks(members...), false)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// compact signs header and claims as the header's alg says.
func (s signer) compact(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	part := func(m map[string]any) string {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b64(data)
	}
	input := part(header) + "." + part(claims)
	sum := sha512.Sum384([]byte(input))
	var signature []byte
	var err error
	switch k := s.private.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA384, sum[:])
	case *ecdsa.PrivateKey:
		var r, v *big.Int
		if r, v, err = ecdsa.Sign(rand.Reader, k, sum[:]); err == nil {
			size := (k.Curve.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

// memory is the stores as maps.
type memory struct {
	mu      sync.Mutex
	clients map[string]*Client
	used    map[string]time.Time
	tokens  map[string]Token
	fail    error
}

func (m *memory) Client(_ context.Context, id string) (*Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	c, ok := m.clients[id]
	if !ok {
		return nil, ErrUnknownClient
	}
	copied := *c
	return &copied, nil
}

func (m *memory) Recent(ctx context.Context, id string) (*Client, error) { return m.Client(ctx, id) }

func (m *memory) Spend(_ context.Context, u control.Use) (control.Used, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	if c := m.clients[u.ClientID]; c == nil || c.Revision != u.Revision {
		return control.Stale, nil
	}
	if _, ok := m.used[u.ClientID+"\n"+u.JTI]; ok {
		return control.Replayed, nil
	}
	m.used[u.ClientID+"\n"+u.JTI] = u.Until
	if t := u.Token; t != nil {
		m.tokens[t.Hash] = Token{ID: t.Hash, ClientID: t.ClientID, Scope: strings.Join(t.Scopes, " "), Issued: t.Issued, Expires: t.Expires}
	}
	return control.Fresh, nil
}

func (m *memory) Token(_ context.Context, id string) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tokens[id]
	if !ok {
		return Token{}, ErrUnknownToken
	}
	return t, nil
}

func (m *memory) RevokeToken(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, id)
	return nil
}

// bench is an authority on memory stores with a clock that stands still.
type bench struct {
	t         *testing.T
	authority *Authority
	memory    *memory
	log       *bytes.Buffer
	mu        sync.Mutex
	time      time.Time
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.time
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.time = b.time.Add(d)
}

func scopes(list string) Scopes {
	s, _ := ParseScopes(list)
	return s
}

// setup registers client "alpha" with an RSA and an EC key of their own.
func setup(t *testing.T, change func(*Options)) (b *bench, r, e signer) {
	t.Helper()
	b = &bench{t: t, time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), log: &bytes.Buffer{},
		memory: &memory{clients: map[string]*Client{}, used: map[string]time.Time{}, tokens: map[string]Token{}}}
	o := Options{Clients: b.memory, Ledger: b.memory, Tokens: b.memory, TokenURL: tokenURL, Clock: b.now,
		Failures: -1, Log: slog.New(slog.NewJSONHandler(b.log, nil))}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.authority = a
	r, e = rsaSigner("r1", 0), ecSigner(t, "e1")
	b.memory.clients["alpha"] = &Client{ID: "alpha", Keys: keySet(t, r.jwk(), e.jwk()), Scopes: scopes("system/*.rs"), Enabled: true}
	return b, r, e
}

// claims are those of a good assertion, with changes; nil removes a member.
func (b *bench) claims(changes map[string]any) map[string]any {
	m := map[string]any{"iss": "alpha", "sub": "alpha", "aud": tokenURL, "exp": b.now().Unix() + 300, "jti": rand.Text()}
	return changed(m, changes)
}

func changed(m, changes map[string]any) map[string]any {
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func (s signer) header(changes map[string]any) map[string]any {
	return changed(map[string]any{"alg": s.alg, "kid": s.kid, "typ": "JWT"}, changes)
}

func form(assertion string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"},
		"client_assertion_type": {AssertionType}, "client_assertion": {assertion}}
}

// answered is an answer of an endpoint.
type answered struct {
	status int
	header http.Header
	body   map[string]any
}

func (b *bench) post(h http.HandlerFunc, values url.Values, header http.Header) answered {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, tokenURL, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(r.Header, header)
	return b.do(h, r)
}

func (b *bench) do(h http.HandlerFunc, r *http.Request) answered {
	b.t.Helper()
	w := httptest.NewRecorder()
	h(w, r)
	a := answered{status: w.Code, header: w.Header()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			b.t.Fatalf("body is not JSON: %v", err)
		}
	}
	return a
}

func (b *bench) token(values url.Values) answered {
	return b.post(b.authority.ServeToken, values, nil)
}

// wantToken asks for a token and fails the test without one.
func (b *bench) wantToken(values url.Values) string {
	b.t.Helper()
	a := b.token(values)
	if a.status != http.StatusOK {
		b.t.Fatalf("status %d: %v\n%s", a.status, a.body, b.log)
	}
	return a.body["access_token"].(string)
}

// wantError asks for a token and wants a 400 with the OAuth error and the
// reason in the log.
func (b *bench) wantError(values url.Values, code, reason string) {
	b.t.Helper()
	b.log.Reset()
	a := b.token(values)
	if a.status != http.StatusBadRequest || a.body["error"] != code {
		b.t.Errorf("status %d, error %v, want 400 %s", a.status, a.body["error"], code)
	}
	if d, _ := a.body["error_description"].(string); d == "" {
		b.t.Error("no error_description")
	}
	if !strings.Contains(b.log.String(), `"reason":"`+reason) {
		b.t.Errorf("log lacks reason %q: %s", reason, b.log)
	}
}

// TestSBVectors are assertions that must be taken, and such that must not.
func TestSBVectors(t *testing.T) {
	t.Parallel()
	type change = map[string]any
	good := ""
	for _, tc := range []struct {
		name           string
		header, claims change
		ec             bool   // signed with the EC key
		code, reason   string // "" where accepted
	}{
		{name: "SB-040 valid RS384", code: good},
		{name: "SB-040 valid ES384", ec: true, code: good},
		{name: "SB-050 wrong kid", header: change{"kid": "r9"}, code: "invalid_client", reason: "0-keys-for-kid"},
		{name: "SB-041 no kid", header: change{"kid": nil}, code: "invalid_client", reason: "kid-missing"},
		{name: "SB-050 RSA key with ES384 header", header: change{"alg": "ES384"}, code: "invalid_client", reason: "0-keys-for-kid"},
		{name: "SB-046 expired", claims: change{"exp": -61}, code: "invalid_client", reason: "expired"},
		{name: "SB-046 expired within skew", claims: change{"exp": -59}, code: good},
		{name: "SB-046 exp 301 s ahead", claims: change{"exp": 301}, code: good},
		{name: "SB-046 exp 360 s ahead", claims: change{"exp": 360}, code: good},
		{name: "SB-046 exp 400 s ahead", claims: change{"exp": 400}, code: "invalid_client", reason: "exp-far"},
		{name: "SB-046 exp as string", claims: change{"exp": "1777863000"}, code: "invalid_client", reason: "exp-form"},
		{name: "SB-046 exp as fraction", claims: change{"exp": 1777863000.5}, code: "invalid_client", reason: "exp-form"},
		{name: "SB-046 no exp", claims: change{"exp": nil}, code: "invalid_client", reason: "exp-form"},
		{name: "SB-044 iss != sub", claims: change{"sub": "beta"}, code: "invalid_client", reason: "sub"},
		{name: "SB-044 no sub", claims: change{"sub": nil}, code: "invalid_client", reason: "sub"},
		{name: "SB-044 no iss", claims: change{"iss": nil}, code: "invalid_client", reason: "iss-missing"},
		{name: "SB-044 unknown client", claims: change{"iss": "nobody", "sub": "nobody"}, code: "invalid_client", reason: "unknown-client"},
		{name: "SB-045 aud = base URL", claims: change{"aud": "https://payer.example.org/fhir"}, code: "invalid_client", reason: "aud"},
		{name: "SB-045 aud with slash", claims: change{"aud": tokenURL + "/"}, code: "invalid_client", reason: "aud"},
		{name: "SB-045 no aud", claims: change{"aud": nil}, code: "invalid_client", reason: "aud"},
		{name: "SB-045 aud array", claims: change{"aud": []string{"https://other.example.org", tokenURL}}, code: good},
		{name: "SB-045 aud array without", claims: change{"aud": []string{"https://other.example.org"}}, code: "invalid_client", reason: "aud"},
		{name: "SB-040 alg none", header: change{"alg": "none"}, code: "invalid_client", reason: "alg"},
		{name: "SB-040 alg RS256 not configured", header: change{"alg": "RS256"}, code: "invalid_client", reason: "alg"},
		{name: "SB-040 no alg", header: change{"alg": nil}, code: "invalid_client", reason: "alg"},
		{name: "SB-042 typ jwt in lower case", header: change{"typ": "jwt"}, code: good},
		{name: "SB-042 no typ", header: change{"typ": nil}, code: good},
		{name: "SB-042 typ JWE", header: change{"typ": "JWE"}, code: "invalid_client", reason: "typ"},
		{name: "SB-052 unknown crit", header: change{"crit": []string{"x"}, "x": 1}, code: "invalid_client", reason: "crit"},
		{name: "SB-050 jku with inline registration", header: change{"jku": "https://alpha.example.org/jwks"}, code: "invalid_client", reason: "jku"},
		{name: "SB-051 key in header is not used", header: change{"jwk": rsaSigner("r2", 1).jwk(), "kid": "r2"}, code: "invalid_client", reason: "0-keys-for-kid"},
		{name: "SB-048 nbf ahead", claims: change{"nbf": 90}, code: "invalid_client", reason: "nbf"},
		{name: "SB-048 nbf within skew", claims: change{"nbf": 50}, code: good},
		{name: "SB-048 iat as string", claims: change{"iat": "now"}, code: "invalid_client", reason: "iat-form"},
		{name: "SB-047 no jti", claims: change{"jti": nil}, code: "invalid_client", reason: "jti-form"},
		{name: "SB-047 jti of 256", claims: change{"jti": strings.Repeat("j", 256)}, code: good},
		{name: "SB-047 jti of 257", claims: change{"jti": strings.Repeat("j", 257)}, code: "invalid_client", reason: "jti-form"},
		{name: "SB-047 jti with NUL", claims: change{"jti": "a\x00"}, code: "invalid_client", reason: "jti-form"},
		{name: "SB-046 Exp is not exp", claims: change{"exp": nil, "Exp": 100}, code: "invalid_client", reason: "exp-form"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, r, e := setup(t, nil)
			s := r
			if tc.ec {
				s = e
			}
			for _, name := range []string{"exp", "nbf"} {
				if n, ok := tc.claims[name].(int); ok {
					tc.claims[name] = b.now().Unix() + int64(n)
				}
			}
			compact := s.compact(t, s.header(tc.header), b.claims(tc.claims))
			if tc.code == good {
				b.wantToken(form(compact))
				return
			}
			b.wantError(form(compact), tc.code, tc.reason)
			if len(b.memory.used) != 0 {
				t.Error("a refused assertion spent its jti")
			}
		})
	}
}

// TestSB040SymmetricForgery signs with the public key as secret.
func TestSB040SymmetricForgery(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	public, err := json.Marshal(r.jwk())
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(r.compact(t, map[string]any{"alg": "HS384", "kid": "r1", "typ": "JWT"}, b.claims(nil)), ".")
	mac := hmac.New(sha512.New384, public)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	b.wantError(form(parts[0]+"."+parts[1]+"."+b64(mac.Sum(nil))), "invalid_client", "alg")
}

// TestSB052RawSignature refuses an ES384 signature in DER, and any change of a
// signature or payload.
func TestSB052RawSignature(t *testing.T) {
	t.Parallel()
	b, r, e := setup(t, nil)
	good := e.compact(t, e.header(nil), b.claims(nil))
	parts := strings.Split(good, ".")
	sum := sha512.Sum384([]byte(parts[0] + "." + parts[1]))
	der, err := e.private.Sign(rand.Reader, sum[:], crypto.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	b.wantError(form(parts[0]+"."+parts[1]+"."+b64(der)), "invalid_client", "signature")
	other := strings.Split(e.compact(t, e.header(nil), b.claims(nil)), ".")
	b.wantError(form(parts[0]+"."+other[1]+"."+parts[2]), "invalid_client", "signature")
	b.wantError(form(parts[0]+"."+parts[1]+"."), "invalid_client", "signature")
	swapped := rsaSigner("r1", 1) // another key under the registered kid
	b.wantError(form(swapped.compact(t, swapped.header(nil), b.claims(nil))), "invalid_client", "signature")
	b.wantToken(form(good))
	b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
}

func TestSB041DuplicateKid(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["alpha"].Keys = keySet(t, r.jwk(), rsaSigner("r1", 1).jwk())
	b.wantError(form(r.compact(t, r.header(nil), b.claims(nil))), "invalid_client", "2-keys-for-kid")
	t.Run("SB-050 told apart by kty", func(t *testing.T) {
		b.t = t
		e := ecSigner(t, "r1")
		b.memory.clients["alpha"].Keys = keySet(t, r.jwk(), e.jwk())
		b.wantToken(form(r.compact(t, r.header(nil), b.claims(nil))))
		b.wantToken(form(e.compact(t, e.header(nil), b.claims(nil))))
	})
}

func TestSB047Replay(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["beta"] = &Client{ID: "beta", Keys: keySet(t, r.jwk()), Scopes: scopes("system/*.rs"), Enabled: true}
	compact := r.compact(t, r.header(nil), b.claims(map[string]any{"jti": "once"}))
	b.wantToken(form(compact))
	b.wantError(form(compact), "invalid_client", "jti-replayed")
	// The same jti of another client is another jti.
	b.wantToken(form(r.compact(t, r.header(nil), b.claims(map[string]any{"jti": "once", "iss": "beta", "sub": "beta"}))))
	if until := b.memory.used["alpha\nonce"]; !until.Equal(b.now().Add(360 * time.Second)) {
		t.Errorf("jti is kept until %v", until)
	}
}

// TestSB047SpentAfterSignature keeps strangers from spending a client's jti.
func TestSB047SpentAfterSignature(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	claims := b.claims(map[string]any{"jti": "mine"})
	forged := signer{"r1", "RS384", rsaKeys()[1]}
	b.wantError(form(forged.compact(t, forged.header(nil), claims)), "invalid_client", "signature")
	b.wantToken(form(r.compact(t, r.header(nil), claims)))
}

// TestSB037NoLeak compares what a client can see for each way not to be
// recognised.
func TestSB037NoLeak(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["off"] = &Client{ID: "off", Keys: keySet(t, r.jwk()), Scopes: scopes("system/*.rs")}
	forged := signer{"r1", "RS384", rsaKeys()[1]}
	var seen []string
	for _, compact := range []string{
		r.compact(t, r.header(nil), b.claims(map[string]any{"iss": "nobody", "sub": "nobody"})),
		r.compact(t, r.header(nil), b.claims(map[string]any{"iss": "off", "sub": "off"})),
		r.compact(t, r.header(map[string]any{"kid": "x"}), b.claims(nil)),
		forged.compact(t, forged.header(nil), b.claims(nil)),
	} {
		a := b.token(form(compact))
		text, err := json.Marshal(a.body)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(text))
	}
	for _, s := range seen[1:] {
		if s != seen[0] {
			t.Errorf("answers differ: %s and %s", seen[0], s)
		}
	}
}

func FuzzAssertion(f *testing.F) {
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"RS384","kid":"r1"}`)) + "." + b64([]byte(`{"iss":"alpha","sub":"alpha","exp":1}`)) + ".AA")
	f.Add("...")
	f.Add(b64([]byte(`null`)) + "." + b64([]byte(`[]`)) + ".")
	f.Fuzz(func(t *testing.T, compact string) {
		b := &bench{t: t, time: time.Unix(1_777_000_000, 0), log: &bytes.Buffer{},
			memory: &memory{clients: map[string]*Client{}, used: map[string]time.Time{}, tokens: map[string]Token{}}}
		a, err := New(Options{Clients: b.memory, Ledger: b.memory, Tokens: b.memory, TokenURL: tokenURL, Clock: b.now, Failures: -1})
		if err != nil {
			t.Fatal(err)
		}
		b.authority = a
		if got := b.token(form(compact)); got.status != http.StatusBadRequest {
			t.Errorf("status %d", got.status)
		}
	})
}
