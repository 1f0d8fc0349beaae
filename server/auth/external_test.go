package auth

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	issuer   = "https://login.example.org"
	audience = "https://payer.example.org/fhir"
)

// elsewhere is an authorization server of somebody else's.
type elsewhere struct {
	t      *testing.T
	now    time.Time
	key    signer
	memory *memory
	jwks   *External
	asking *External
	answer atomic.Value // map[string]any: what introspection says; nil is a fault
	asked  atomic.Int64
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{t: t, now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), key: ecSigner(t, "k1"),
		memory: &memory{clients: map[string]*Client{"acme": {ID: "acme", Scopes: scopes("system/Patient.rs system/Claim.rs"), Enabled: true}}}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			_, _ = w.Write(jwks(e.key.jwk()))
			return
		}
		e.asked.Add(1)
		id, secret, _ := r.BasicAuth()
		if id != "remit" || secret != "s%3Acret" || r.PostFormValue("token") == "" || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if answer, _ := e.answer.Load().(map[string]any); answer != nil {
			_ = json.NewEncoder(w).Encode(answer)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	o := ExternalOptions{Clients: e.memory, Audience: audience, TokenURL: issuer + "/token", Issuer: issuer, JWKSURL: server.URL + "/jwks",
		Scopes: []string{"payer"}, Clock: func() time.Time { return e.now },
		Fetch: FetchOptions{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	var err error
	if e.jwks, err = NewExternal(o); err != nil {
		t.Fatal(err)
	}
	o.JWKSURL, o.IntrospectURL, o.ClientID, o.Secret = "", server.URL+"/introspect", "remit", "s:cret"
	if e.asking, err = NewExternal(o); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *elsewhere) claims(changes map[string]any) map[string]any {
	return changed(map[string]any{"iss": issuer, "aud": audience, "client_id": "acme", "exp": e.now.Unix() + 600, "scope": "payer system/*.rs"}, changes)
}

// TestSB100_ExternalJWT takes the tokens of another authorization server by its
// keys, and gives no more than the registration here.
func TestSB100_ExternalJWT(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	type change = map[string]any
	for _, tc := range []struct {
		name           string
		header, claims change
		want           string // the scopes; "" where refused
	}{
		{name: "good", want: "system/Claim.rs system/Patient.rs"},
		{name: "typ at+jwt", header: change{"typ": "at+jwt"}, want: "system/Claim.rs system/Patient.rs"},
		{name: "azp for client_id", claims: change{"client_id": nil, "azp": "acme"}, want: "system/Claim.rs system/Patient.rs"},
		{name: "sub for client_id", claims: change{"client_id": nil, "sub": "acme"}, want: "system/Claim.rs system/Patient.rs"},
		{name: "scp as a list", claims: change{"scope": nil, "scp": []string{"payer", "system/Patient.read"}}, want: "system/Patient.read"},
		{name: "aud as a list", claims: change{"aud": []string{"x", audience}}, want: "system/Claim.rs system/Patient.rs"},
		{name: "narrower scope", claims: change{"scope": "payer system/Patient.rs"}, want: "system/Patient.rs"},
		{name: "unknown client", claims: change{"client_id": "nobody"}},
		{name: "no client", claims: change{"client_id": nil}},
		{name: "another issuer", claims: change{"iss": "https://evil.example"}},
		{name: "no issuer", claims: change{"iss": nil}},
		{name: "another audience", claims: change{"aud": "https://other.example"}},
		{name: "no audience", claims: change{"aud": nil}},
		{name: "expired", claims: change{"exp": e.now.Unix() - 61}},
		{name: "no exp", claims: change{"exp": nil}},
		{name: "exp a text", claims: change{"exp": "soon"}},
		{name: "not yet", claims: change{"nbf": e.now.Unix() + 120}},
		{name: "a scope is missing", claims: change{"scope": "system/*.rs"}},
		{name: "no scope", claims: change{"scope": nil}},
		{name: "an id token", header: change{"typ": "id_token+jwt"}},
		{name: "wrong kid", header: change{"kid": "x"}},
		{name: "alg none", header: change{"alg": "none"}},
		{name: "HS256", header: change{"alg": "HS256"}},
		{name: "another algorithm of the key", header: change{"alg": "ES256"}},
		{name: "crit", header: change{"crit": []string{"x"}}},
	} {
		compact := e.key.compact(t, e.key.header(tc.header), e.claims(tc.claims))
		access, err := e.jwks.Authenticate(t.Context(), bearer(compact))
		if tc.want == "" {
			if !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err != nil || access.Scopes.String() != tc.want {
			t.Errorf("%s: %v, %v; want %q", tc.name, access, err, tc.want)
		}
	}
	other := ecSigner(t, "k1")
	if _, err := e.jwks.Authenticate(t.Context(), bearer(other.compact(t, other.header(nil), e.claims(nil)))); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a swapped key: %v", err)
	}
	for _, bad := range []string{"x", "a.b.c", strings.Repeat("x", 5000)} {
		if _, err := e.jwks.Authenticate(t.Context(), bearer(bad)); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%.10s: %v", bad, err)
		}
	}
	if _, err := e.jwks.Authenticate(t.Context(), http.Header{}); !errors.Is(err, ErrNoToken) {
		t.Errorf("no token: %v", err)
	}
	e.memory.clients["acme"].Enabled = false
	if _, err := e.jwks.Authenticate(t.Context(), bearer(e.key.compact(t, e.key.header(nil), e.claims(nil)))); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a client that is off here: %v", err)
	}
}

// TestSB101_UDAPClaims shows who a client acts for.
func TestSB101_UDAPClaims(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	claims := e.claims(map[string]any{"extensions": map[string]any{"hl7-b2b": map[string]any{"version": "1", "subject_id": "1234567893"}}})
	access, err := e.jwks.Authenticate(t.Context(), bearer(e.key.compact(t, e.key.header(nil), claims)))
	if err != nil || access.SubjectID() != "1234567893" {
		t.Errorf("%+v, %v", access, err)
	}
	access, err = e.jwks.Authenticate(t.Context(), bearer(e.key.compact(t, e.key.header(nil), e.claims(nil))))
	if err != nil || access.SubjectID() != "" {
		t.Errorf("without the extension: %+v, %v", access, err)
	}
}

// TestSB100_ExternalIntrospection asks the other server about each token.
func TestSB100_ExternalIntrospection(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	base := map[string]any{"active": true, "client_id": "acme", "scope": "payer system/*.rs", "exp": e.now.Unix() + 60}
	ask := func(changes map[string]any) (*Access, error) {
		e.answer.Store(changed(maps.Clone(base), changes))
		return e.asking.Authenticate(t.Context(), bearer("opaque"))
	}
	access, err := ask(nil)
	if err != nil || access.Scopes.String() != "system/Claim.rs system/Patient.rs" {
		t.Errorf("good: %v, %v", access, err)
	}
	for name, changes := range map[string]map[string]any{
		"inactive": {"active": false}, "no active": {"active": nil}, "active as text": {"active": "true"}, "expired": {"exp": e.now.Unix() - 61},
		"unknown client": {"client_id": "x"}, "no scope": {"scope": nil}, "for another": {"aud": "https://other.example"}, "by another": {"iss": "https://evil.example"},
	} {
		if _, err := ask(changes); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A fault of the other server is no word about the token.
	e.answer.Store(map[string]any(nil))
	if _, err := e.asking.Authenticate(t.Context(), bearer("opaque")); err == nil || errors.Is(err, ErrInvalidToken) || strings.Contains(err.Error(), "opaque") {
		t.Errorf("fault: %v", err)
	}
	if e.asked.Load() != 10 {
		t.Errorf("asked %d times", e.asked.Load())
	}
}

func TestSB100_Options(t *testing.T) {
	t.Parallel()
	m := &memory{}
	good := ExternalOptions{Clients: m, Audience: audience, TokenURL: issuer, Issuer: issuer, JWKSURL: issuer + "/jwks"}
	var got []bool
	for _, change := range []func(*ExternalOptions){
		func(*ExternalOptions) {}, func(o *ExternalOptions) { o.Issuer = "" }, func(o *ExternalOptions) { o.Audience = "" },
		func(o *ExternalOptions) { o.IntrospectURL = issuer }, func(o *ExternalOptions) { o.JWKSURL = "http://login.example.org/jwks" },
		func(o *ExternalOptions) { o.JWKSURL = "" }, func(o *ExternalOptions) { o.Algorithms = []string{"HS256"} },
	} {
		o := good
		change(&o)
		_, err := NewExternal(o)
		got = append(got, err == nil)
	}
	if diff := cmp.Diff([]bool{true, false, false, false, false, false, false}, got); diff != "" {
		t.Errorf("options taken (-want +got):\n%s", diff)
	}
}
