package server

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"remit/server/auth"
)

type members = map[string]any

// forge makes a compact JWS without the library that reads it. sign gets the
// signing input.
func forge(t *testing.T, header, claims members, sign func(input []byte) []byte) string {
	t.Helper()
	part := func(m members) string {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func signES(t *testing.T, key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha512.Sum384(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
}

func signRS(t *testing.T, key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha512.Sum384(input)
		s, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA384, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func jwkOf(kid string, key crypto.Signer) members {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return members{"kty": "RSA", "kid": kid, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PrivateKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		return members{"kty": "EC", "kid": kid, "crv": k.Curve.Params().Name, "x": b64(k.X.FillBytes(make([]byte, size))), "y": b64(k.Y.FillBytes(make([]byte, size)))}
	}
	panic("unknown key")
}

// rows counts the rows of the tables that a request could leave something in.
func (h *house) rows(db *sql.DB) map[string]int {
	h.t.Helper()
	out := map[string]int{}
	for _, table := range []string{"assertions", "tokens", "exports", "clients", "client_use", "chunks", "files", "audit"} {
		var n int
		if err := db.QueryRowContext(h.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			h.t.Fatal(err)
		}
		out[table] = n
	}
	return out
}

// TestNegativeSuite shows the server assertions and tokens that are forged,
// stale, replayed, mistyped, oversized, of another algorithm, audience, key or
// client: each is refused with the right error, none by a fault of the server,
// and none leaves a row but the line of the audit trail (SB-034, SB-040..052,
// SB-081).
func TestNegativeSuite(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...members) []byte {
		data, err := json.Marshal(members{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	register := func(r auth.Registration) {
		r.Scope = "system/*.rs"
		if _, err := h.store.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	register(auth.Registration{ID: "gamma", Keys: set(jwkOf("e1", ec), jwkOf("r1", rs))})
	register(auth.Registration{ID: "off", Keys: set(jwkOf("e1", ec))})
	register(auth.Registration{ID: "ended", Keys: set(jwkOf("e1", ec))})
	register(auth.Registration{ID: "late", Keys: set(jwkOf("e1", ec)), Expires: h.clock.Now()})
	register(auth.Registration{ID: "byurl", KeysURL: "https://127.0.0.1:1/jwks"})
	if err := h.db.DisableClient(t.Context(), "off", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if err := h.db.RevokeClient(t.Context(), "ended", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", h.dbFile)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	now := h.clock.Now().Unix()
	tokenURL := h.base + TokenPath
	change := func(m, changes members) members {
		maps.Copy(m, changes)
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		return m
	}
	header := func(changes members) members {
		return change(members{"alg": "ES384", "kid": "e1", "typ": "JWT"}, changes)
	}
	claims := func(changes members) members {
		return change(members{"iss": "gamma", "sub": "gamma", "aud": tokenURL, "exp": now + 300, "jti": rand.Text()}, changes)
	}
	es := signES(t, ec)
	post := func(form url.Values, headers ...string) answer {
		if len(headers) == 0 {
			headers = []string{"Content-Type", "application/x-www-form-urlencoded"}
		}
		return h.do(http.MethodPost, TokenPath, "", form.Encode(), headers...)
	}
	form := func(assertion string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}, "client_assertion_type": {auth.AssertionType}, "client_assertion": {assertion}}
	}

	// What is good is taken, so that the refusals below mean something.
	replayed := forge(t, header(nil), claims(members{"jti": "once"}), es)
	if a := post(form(replayed)); a.status != http.StatusOK {
		t.Fatalf("a good assertion: %d %s", a.status, a.body)
	}
	if a := post(form(forge(t, header(members{"alg": "RS384", "kid": "r1"}), claims(nil), signRS(t, rs)))); a.status != http.StatusOK {
		t.Fatalf("a good RS384 assertion: %d %s", a.status, a.body)
	}

	type refusal struct {
		name string
		form url.Values
		code string
	}
	var refusals []refusal
	bad := func(name string, f url.Values, code string) { refusals = append(refusals, refusal{name, f, code}) }
	assertion := func(name string, hc, cc members) {
		bad(name, form(forge(t, header(hc), claims(cc), es)), "invalid_client")
	}
	// Algorithms.
	public, err := x509.MarshalPKIXPublicKey(&rs.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	jwkText := set(jwkOf("r1", rs))
	for alg, mac := range map[string]func(key []byte) func([]byte) []byte{
		"HS256": func(key []byte) func([]byte) []byte {
			return func(in []byte) []byte { m := hmac.New(sha256.New, key); m.Write(in); return m.Sum(nil) }
		},
		"HS384": func(key []byte) func([]byte) []byte {
			return func(in []byte) []byte { m := hmac.New(sha512.New384, key); m.Write(in); return m.Sum(nil) }
		},
	} {
		for name, key := range map[string][]byte{"public key in DER": public, "public key in PEM": publicPEM, "public JWK Set": jwkText, "empty key": nil} {
			bad(alg+" with the "+name, form(forge(t, header(members{"alg": alg, "kid": "r1"}), claims(nil), mac(key))), "invalid_client")
		}
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "RS256", "RS512", "ES256", "ES512", "PS384", "EdDSA", "es384", "ES384 "} {
		bad("alg "+alg, form(forge(t, header(members{"alg": alg}), claims(nil), es)), "invalid_client")
		if strings.EqualFold(alg, "none") {
			bad("alg "+alg+" without signature", form(forge(t, header(members{"alg": alg}), claims(nil), func([]byte) []byte { return nil })), "invalid_client")
		}
	}
	assertion("no alg", members{"alg": nil}, nil)
	assertion("alg is a number", members{"alg": 384}, nil)
	assertion("alg is a list", members{"alg": []string{"ES384"}}, nil)
	// Keys.
	assertion("wrong kid", members{"kid": "e9"}, nil)
	assertion("no kid", members{"kid": nil}, nil)
	assertion("empty kid", members{"kid": ""}, nil)
	assertion("kid is a number", members{"kid": 1}, nil)
	assertion("kid of the RSA key", members{"kid": "r1"}, nil)
	assertion("EC key under RS384", members{"alg": "RS384"}, nil)
	assertion("kid like SQL", members{"kid": "e1' OR '1'='1"}, nil)
	assertion("kid like a path", members{"kid": "../../etc/passwd"}, nil)
	bad("swapped key", form(forge(t, header(nil), claims(nil), signES(t, stranger))), "invalid_client")
	bad("key of another curve", form(forge(t, header(nil), claims(nil), signES(t, p256))), "invalid_client")
	bad("RSA signature under ES384", form(forge(t, header(nil), claims(nil), signRS(t, rs))), "invalid_client")
	bad("key in the header", form(forge(t, header(members{"kid": "s1", "jwk": jwkOf("s1", stranger)}), claims(nil), signES(t, stranger))), "invalid_client")
	bad("key in the header under a known kid", form(forge(t, header(members{"jwk": jwkOf("e1", stranger)}), claims(nil), signES(t, stranger))), "invalid_client")
	assertion("x5u", members{"kid": "x", "x5u": "https://evil.example/cert.pem"}, nil)
	assertion("jku of somebody else", members{"jku": "https://evil.example/jwks.json"}, nil)
	assertion("jku is a number", members{"jku": 1}, nil)
	assertion("keys by URL in a private network", nil, members{"iss": "byurl", "sub": "byurl"})
	// Headers.
	assertion("typ JWE", members{"typ": "JWE"}, nil)
	assertion("typ at+jwt", members{"typ": "at+jwt"}, nil)
	assertion("typ is null in a list", members{"typ": []any{nil}}, nil)
	assertion("unknown crit", members{"crit": []string{"exp"}}, nil)
	assertion("b64 false", members{"b64": false, "crit": []string{"b64"}}, nil)
	// Whose.
	assertion("no iss", nil, members{"iss": nil})
	assertion("no sub", nil, members{"sub": nil})
	assertion("iss is not sub", nil, members{"sub": "alpha"})
	assertion("sub of another client", nil, members{"iss": "alpha", "sub": "alpha"})
	assertion("iss is a list", nil, members{"iss": []string{"gamma"}})
	assertion("iss in another case", nil, members{"iss": "Gamma", "sub": "Gamma"})
	assertion("iss with a blank", nil, members{"iss": "gamma ", "sub": "gamma "})
	assertion("iss with NUL", nil, members{"iss": "gamma\x00", "sub": "gamma\x00"})
	assertion("unknown client", nil, members{"iss": "nobody", "sub": "nobody"})
	assertion("client that is off", nil, members{"iss": "off", "sub": "off"})
	assertion("client that was revoked", nil, members{"iss": "ended", "sub": "ended"})
	assertion("registration that expired", nil, members{"iss": "late", "sub": "late"})
	assertion("iss of 10,000 characters", nil, members{"iss": strings.Repeat("g", 10_000), "sub": strings.Repeat("g", 10_000)})
	// For whom.
	for name, aud := range map[string]any{
		"missing": nil, "the base URL": h.base, "with a slash": tokenURL + "/", "with a query": tokenURL + "?x", "a number": 1, "an empty list": []string{},
		"another server": "https://evil.example/auth/token", "by another scheme": strings.Replace(tokenURL, "http", "https", 1), "a list without us": []string{"https://a", "https://b"},
		"upper case": strings.ToUpper(tokenURL), "nested": []any{[]string{tokenURL}},
	} {
		assertion("aud "+name, nil, members{"aud": aud})
	}
	// When.
	for name, exp := range map[string]any{
		"missing": nil, "past": now - 61, "long past": 1, "an hour ahead": now + 3600, "400 s ahead": now + 400, "a text": fmt.Sprint(now + 100), "a fraction": float64(now) + 100.5,
		"negative": -1, "huge": int64(1) << 53, "a list": []int64{now + 100}, "true": true,
	} {
		assertion("exp "+name, nil, members{"exp": exp})
	}
	assertion("nbf ahead", nil, members{"nbf": now + 120})
	assertion("nbf a text", nil, members{"nbf": "now"})
	assertion("iat a text", nil, members{"iat": "now"})
	// Which.
	for name, jti := range map[string]any{
		"missing": nil, "empty": "", "a number": 7, "a list": []string{"x"}, "of 257 characters": strings.Repeat("j", 257), "with NUL": "a\x00b",
	} {
		assertion("jti "+name, nil, members{"jti": jti})
	}
	bad("replayed", form(replayed), "invalid_client")
	bad("replayed jti under another signature", form(forge(t, header(nil), claims(members{"jti": "once"}), es)), "invalid_client")
	bad("replayed jti under another key", form(forge(t, header(members{"alg": "RS384", "kid": "r1"}), claims(members{"jti": "once"}), signRS(t, rs))), "invalid_client")
	// Changed after signing.
	good := strings.Split(forge(t, header(nil), claims(nil), es), ".")
	other := strings.Split(forge(t, header(nil), claims(nil), es), ".")
	flipped := bytes.Clone([]byte(good[2]))
	flipped[10] ^= 1
	raw, err := base64.RawURLEncoding.DecodeString(good[2])
	if err != nil {
		t.Fatal(err)
	}
	der, err := ec.Sign(rand.Reader, func() []byte { s := sha512.Sum384([]byte(good[0] + "." + good[1])); return s[:] }(), crypto.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for name, compact := range map[string]string{
		"other claims":            good[0] + "." + other[1] + "." + good[2],
		"no signature":            good[0] + "." + good[1] + ".",
		"two parts":               good[0] + "." + good[1],
		"four parts":              strings.Join(good, ".") + ".x",
		"a flipped bit":           good[0] + "." + good[1] + "." + string(flipped),
		"half a signature":        good[0] + "." + good[1] + "." + b64(raw[:48]),
		"a longer signature":      good[0] + "." + good[1] + "." + b64(append(bytes.Clone(raw), 0)),
		"a signature in DER":      good[0] + "." + good[1] + "." + b64(der),
		"a signature of zeros":    good[0] + "." + good[1] + "." + b64(make([]byte, 96)),
		"padded base64":           good[0] + "=." + good[1] + "." + good[2],
		"standard base64":         "+/+/." + good[1] + "." + good[2],
		"claims that are a list":  good[0] + "." + b64([]byte("[]")) + "." + good[2],
		"claims that are null":    good[0] + "." + b64([]byte("null")) + "." + good[2],
		"claims that are no JSON": good[0] + "." + b64([]byte("{")) + "." + good[2],
		"nothing":                 "..",
		"a text":                  "not a token",
		"20 kB":                   strings.Repeat("x", 20_000),
	} {
		bad(name, form(compact), "invalid_client")
	}
	// Around the assertion.
	with := func(name, code string, set func(url.Values)) {
		f := form(forge(t, header(nil), claims(nil), es))
		set(f)
		bad(name, f, code)
	}
	with("no grant_type", "invalid_request", func(f url.Values) { f.Del("grant_type") })
	with("grant_type password", "unsupported_grant_type", func(f url.Values) { f.Set("grant_type", "password") })
	with("no assertion", "invalid_request", func(f url.Values) { f.Del("client_assertion") })
	with("no assertion type", "invalid_request", func(f url.Values) { f.Del("client_assertion_type") })
	with("another assertion type", "invalid_request", func(f url.Values) {
		f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
	})
	with("two assertions", "invalid_request", func(f url.Values) { f["client_assertion"] = append(f["client_assertion"], "x") })
	with("two scopes", "invalid_request", func(f url.Values) { f["scope"] = []string{"system/*.rs", "system/*.rs"} })
	with("another client_id", "invalid_client", func(f url.Values) { f.Set("client_id", "alpha") })
	with("a client secret", "invalid_client", func(f url.Values) { f.Set("client_secret", "x") })

	seen := map[string]bool{}
	for _, r := range refusals {
		if seen[r.name] {
			t.Errorf("two cases are called %q", r.name)
		}
		seen[r.name] = true
		before := h.rows(db)
		a := post(r.form, "Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", "192.0.2."+fmt.Sprint(len(seen)))
		var body struct {
			Error       string
			Description string `json:"error_description"`
		}
		if err := json.Unmarshal(a.body, &body); err != nil || a.status != http.StatusBadRequest || body.Error != r.code || body.Description == "" {
			t.Errorf("%s: %d %s; want 400 %s", r.name, a.status, a.body, r.code)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", r.name)
		}
		after := h.rows(db)
		before["audit"]++
		if !maps.Equal(before, after) {
			t.Errorf("%s leaves rows: %v, want %v", r.name, after, before)
		}
	}
	n := len(refusals)

	// Bearer tokens.
	live := h.token("alpha", "")
	h.clock.Pass(301 * time.Second)
	expired := live
	live = h.token("alpha", "")
	revoked := h.token("alpha", "")
	if err := h.db.RevokeToken(t.Context(), auth.TokenID(revoked), h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.register("fired", "system/*.rs", nil)
	fired := h.token("fired", "")
	if err := h.db.DisableClient(t.Context(), "fired", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for name, headers := range map[string][]string{
		"token expired":             {"Authorization", "Bearer " + expired},
		"token revoked":             {"Authorization", "Bearer " + revoked},
		"token of a client off":     {"Authorization", "Bearer " + fired},
		"token unknown":             {"Authorization", "Bearer " + rand.Text()},
		"token empty":               {"Authorization", "Bearer "},
		"token without scheme":      {"Authorization", live},
		"token as Basic":            {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("alpha:"+live))},
		"token twice":               {"Authorization", "Bearer " + live, "Authorization", "Bearer " + live},
		"token cut short":           {"Authorization", "Bearer " + live[:len(live)-1]},
		"token with more":           {"Authorization", "Bearer " + live + "x"},
		"token in upper case":       {"Authorization", "Bearer " + strings.ToUpper(live)},
		"token's digest":            {"Authorization", "Bearer " + auth.TokenID(live)},
		"token of 5,000 characters": {"Authorization", "Bearer " + strings.Repeat("x", 5000)},
		"token is an assertion":     {"Authorization", "Bearer " + forge(t, header(nil), claims(nil), es)},
		"token unsigned":            {"Authorization", "Bearer " + forge(t, members{"alg": "none"}, members{"client_id": "alpha", "scope": "system/*.rs", "exp": now + 10_000}, func([]byte) []byte { return nil })},
		"token like SQL":            {"Authorization", "Bearer ' OR ''='"},
		"no token":                  {},
	} {
		for method, path := range map[string]string{http.MethodGet: "/$export?_type=Patient", http.MethodDelete: StatusPath + "x"} {
			before := h.rows(db)
			a := h.do(method, path, "", "", headers...)
			if a.status != http.StatusUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s: %d %q", method, name, a.status, a.header.Get("WWW-Authenticate"))
			}
			if after := h.rows(db); !maps.Equal(before, after) {
				t.Errorf("%s %s leaves rows: %v, want %v", method, name, after, before)
			}
			n++
		}
	}
	if a := h.do(http.MethodGet, "/$export?access_token="+live, "", ""); a.status != http.StatusUnauthorized {
		t.Errorf("a token in the query: %d", a.status)
	}
	if a := h.do(http.MethodGet, "/$export?_type=Patient", live, ""); a.status != http.StatusAccepted {
		t.Errorf("the live token: %d %s", a.status, a.body)
	}
	if n < 80 {
		t.Errorf("only %d cases", n)
	}
	t.Logf("%d forged, stale or malformed assertions and tokens refused", n)
	if log := h.log.String(); strings.Contains(log, live) || strings.Contains(log, replayed) || strings.Contains(log, good[2]) {
		t.Error("the log holds a token or an assertion")
	}
}
