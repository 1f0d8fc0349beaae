package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"remit/sql/control"
	"remit/sql/postgres/postgrestest"
)

// on is a bench on a control store, as server name.
func on(t *testing.T, address, name string, clock func() time.Time, change func(*Options)) (*bench, *Store, *control.Store) {
	t.Helper()
	db, err := control.OpenAs(t.Context(), address, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := NewStore(db, clock)
	b, _, _ := setup(t, nil)
	o := Options{Clients: s, Ledger: s, Tokens: s, TokenURL: tokenURL, Clock: clock, Audit: db.AddEvent, Failures: -1}
	if change != nil {
		change(&o)
	}
	if b.authority, err = New(o); err != nil {
		t.Fatal(err)
	}
	b.time = clock()
	return b, s, db
}

// stores runs a test on both control stores.
func stores(t *testing.T, do func(t *testing.T, address string)) {
	t.Run("SQLite", func(t *testing.T) { t.Parallel(); do(t, "sqlite:"+t.TempDir()+"/control.db") })
	t.Run("PostgreSQL", func(t *testing.T) { t.Parallel(); do(t, postgrestest.DSN(t)) })
}

// TestSB047_TwoServers shows one assertion to two servers at once, many times,
// and again after both were started anew: it is taken once.
func TestSB047_TwoServers(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, address string) {
		now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
		clock := func() time.Time { return now }
		b1, s1, db1 := on(t, address, "n1", clock, nil)
		b2, _, db2 := on(t, address, "n2", clock, nil)
		key := ecSigner(t, "e1")
		id, err := s1.Register(t.Context(), Registration{Name: "partner", Keys: jwks(key.jwk()), Scope: "system/*.rs"})
		if err != nil {
			t.Fatal(err)
		}
		var compacts []string
		for range 10 {
			compact := key.compact(t, key.header(nil), b1.claims(map[string]any{"iss": id, "sub": id}))
			compacts = append(compacts, compact)
			var taken atomic.Int64
			var wg sync.WaitGroup
			for _, b := range []*bench{b1, b2, b1, b2} {
				wg.Go(func() {
					if b.token(form(compact)).status == http.StatusOK {
						taken.Add(1)
					}
				})
			}
			wg.Wait()
			if n := taken.Load(); n != 1 {
				t.Errorf("an assertion was taken %d times", n)
			}
		}
		if err := db1.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db2.Close(); err != nil {
			t.Fatal(err)
		}
		b3, _, db3 := on(t, address, "n3", clock, nil)
		for _, compact := range compacts {
			if a := b3.token(form(compact)); a.status != http.StatusBadRequest {
				t.Errorf("after a restart: %d", a.status)
			}
		}
		v, err := db3.VerifyEvents(t.Context())
		if err != nil || len(v.Breaks) > 0 || v.Events != 50 {
			t.Errorf("audit trail: %+v, %v", v, err)
		}
	})
}

// TestSB028_DisabledEverywhere turns a client off at one server: its token and
// its assertions are worth nothing at the other, which knew it well.
func TestSB028_DisabledEverywhere(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, address string) {
		now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
		clock := func() time.Time { return now }
		b1, s1, db1 := on(t, address, "n1", clock, nil)
		b2, s2, _ := on(t, address, "n2", clock, nil)
		key, next := ecSigner(t, "e1"), ecSigner(t, "e2")
		id, err := s1.Register(t.Context(), Registration{Name: "partner", Keys: jwks(key.jwk()), Scope: "system/*.rs"})
		if err != nil {
			t.Fatal(err)
		}
		show := func(b *bench, k signer) int {
			return b.token(form(k.compact(t, k.header(nil), b.claims(map[string]any{"iss": id, "sub": id})))).status
		}
		secret := b2.token(form(key.compact(t, key.header(nil), b2.claims(map[string]any{"iss": id, "sub": id})))).body["access_token"].(string)
		// New keys, too, are known at once.
		if err := s1.Rotate(t.Context(), id, KeyChange{Keys: jwks(next.jwk()), Add: true}); err != nil {
			t.Fatal(err)
		}
		if a, b := show(b2, key), show(b2, next); a != 200 || b != 200 {
			t.Errorf("old and new key: %d, %d", a, b)
		}
		if err := s2.Rotate(t.Context(), id, KeyChange{Drop: []string{"e1"}}); err != nil {
			t.Fatal(err)
		}
		if a, b := show(b1, key), show(b2, key); a != 400 || b != 400 {
			t.Errorf("a dropped key: %d, %d", a, b)
		}
		if err := db1.DisableClient(t.Context(), id, now); err != nil {
			t.Fatal(err)
		}
		if got := show(b2, next); got != 400 {
			t.Errorf("assertion at the other server: %d", got)
		}
		if _, err := b2.authority.Authenticate(t.Context(), bearer(secret)); err != ErrInvalidToken {
			t.Errorf("token at the other server: %v", err)
		}
		if err := db1.EnableClient(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := show(b2, next); got != 200 {
			t.Errorf("enabled again: %d", got)
		}
		if _, err := b2.authority.Authenticate(t.Context(), bearer(secret)); err != ErrInvalidToken {
			t.Errorf("the old token after all that: %v", err)
		}
		// An expired registration ends like a disabled one.
		if err := s1.Change(t.Context(), id, Rules{}, func(r *Registration) { r.Expires = now }); err != nil {
			t.Fatal(err)
		}
		if got := show(b2, next); got != 400 {
			t.Errorf("expired: %d", got)
		}
	})
}

// TestSB023_RotationUnderLoad keeps requests coming while the client's keys at
// its JWKS URL change from old over both to new, and our own signing key is
// succeeded: not one request of a valid client is refused.
func TestSB023_RotationUnderLoad(t *testing.T) {
	t.Parallel()
	const requests, callers = 900, 8
	old, next := ecSigner(t, "old"), ecSigner(t, "next")
	var stage atomic.Int32 // 0 old, 1 both, 2 new alone
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sets := [][]byte{jwks(old.jwk()), jwks(old.jwk(), next.jwk()), jwks(next.jwk())}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write(sets[stage.Load()])
	}))
	defer keys.Close()
	var offset atomic.Int64 // seconds that the clock is ahead
	start := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	clock := func() time.Time { return start.Add(time.Duration(offset.Load()) * time.Second) }
	fetch := FetchOptions{AllowHosts: []string{"127.0.0.1"}, RootCAs: keys.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	var signer *Signer
	b, s, db := on(t, "sqlite:"+t.TempDir()+"/control.db", "n", clock, func(o *Options) { o.Fetch = fetch })
	var err error
	signer, err = NewSigner(SignerOptions{Keys: db, Secret: []byte(strings.Repeat("s", 32)), Issuer: "https://payer.example.org/fhir", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	b.authority.options.Signer = signer
	id, err := s.Register(t.Context(), Registration{Name: "partner", KeysURL: keys.URL, Scope: "system/*.rs", Rules: Rules{Fetch: fetch}})
	if err != nil {
		t.Fatal(err)
	}
	var sent, refused atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				n := sent.Add(1)
				if n > requests {
					return
				}
				// The client signs with the new key once it has published it.
				switch n {
				case requests / 3:
					stage.Store(1)
					offset.Add(31) // an unknown kid is a reason to fetch once in 30 s
				case 2 * requests / 3:
					stage.Store(2)
					offset.Add(int64(rotateEvery / time.Second)) // our key's successor is due
				}
				k := old
				if stage.Load() > 0 && n > requests/3+callers {
					k = next
				}
				compact := k.compact(t, k.header(nil), map[string]any{"iss": id, "sub": id, "aud": tokenURL, "exp": clock().Unix() + 300, "jti": fmt.Sprint(n)})
				a := b.token(form(compact))
				if a.status != http.StatusOK {
					// A caller may have signed by a clock that jumped meanwhile.
					if d := fmt.Sprint(a.body); !strings.Contains(d, "expired") && !strings.Contains(d, "ahead") {
						refused.Add(1)
						t.Errorf("request %d: %d %v", n, a.status, a.body)
					}
					continue
				}
				if offset.Load() == 0 {
					if _, err := b.authority.Authenticate(t.Context(), bearer(a.body["access_token"].(string))); err != nil {
						t.Errorf("request %d: its token: %v", n, err)
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d token requests at %.0f a second through the rotation, %d refused", requests, requests/time.Since(began).Seconds(), refused.Load())
	set, err := signer.KeySet(t.Context())
	if err != nil || strings.Count(string(set), `"kid"`) != 2 {
		t.Errorf("after a day there are the keys %s, %v", set, err)
	}
}

// TestSB063_SignedTokens are JWTs by a published key, ended like opaque ones,
// and no forgery of them is looked up.
func TestSB063_SignedTokens(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	var ahead atomic.Int64
	clock := func() time.Time { return now.Add(time.Duration(ahead.Load())) }
	address := "sqlite:" + t.TempDir() + "/control.db"
	secret := []byte(strings.Repeat("s", 32))
	server := func(name string, secret []byte) (*bench, *Store, *Signer, error) {
		b, s, db := on(t, address, name, clock, nil)
		signer, err := NewSigner(SignerOptions{Keys: db, Secret: secret, Issuer: "https://payer.example.org/fhir", Clock: clock})
		if err != nil {
			return nil, nil, nil, err
		}
		b.authority.options.Signer = signer
		return b, s, signer, nil
	}
	b, s, signer, err := server("n1", secret)
	if err != nil {
		t.Fatal(err)
	}
	key := ecSigner(t, "e1")
	id, err := s.Register(t.Context(), Registration{Name: "partner", Keys: jwks(key.jwk()), Scope: "system/*.rs"})
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]any{"iss": id, "sub": id}
	get := func(b *bench) string {
		t.Helper()
		claims := b.claims(who)
		claims["exp"] = clock().Unix() + 300
		return b.wantToken(form(key.compact(t, key.header(nil), claims)))
	}
	token := get(b)
	parts := strings.Split(token, ".")
	claims, err := jsonPart(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"iss": `"https://payer.example.org/fhir"`, "client_id": `"` + id + `"`, "scope": `"system/*.rs"`, "exp": fmt.Sprint(now.Unix() + 300)} {
		if string(claims[name]) != want {
			t.Errorf("claim %s is %s, want %s", name, claims[name], want)
		}
	}
	if len(token) > maxTokenBytes {
		t.Errorf("%d bytes", len(token))
	}
	// Another server with the same secret takes it, by a key that it did not make.
	b2, _, _, err := server("n2", secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*bench{b, b2} {
		if _, err := x.authority.Authenticate(t.Context(), bearer(token)); err != nil {
			t.Errorf("a good token: %v", err)
		}
	}
	forged := ecSigner(t, "f")
	for name, bad := range map[string]string{
		"no signature":   parts[0] + "." + parts[1] + ".",
		"other claims":   parts[0] + "." + b64([]byte(`{"client_id":"alpha"}`)) + "." + parts[2],
		"alg none":       b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"of a stranger":  forged.compact(t, map[string]any{"alg": "ES384", "kid": "f"}, map[string]any{"client_id": id}),
		"unknown kid":    b64([]byte(`{"alg":"ES256","kid":"x"}`)) + "." + parts[1] + "." + parts[2],
		"two parts":      "a.b",
		"another's kid":  b64([]byte(`{"alg":"ES384","kid":"e1"}`)) + "." + parts[1] + "." + parts[2],
		"header is null": b64([]byte(`null`)) + "." + parts[1] + "." + parts[2],
	} {
		if _, err := b.authority.Authenticate(t.Context(), bearer(bad)); err != ErrInvalidToken {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.RevokeToken(t.Context(), TokenID(token)); err != nil {
		t.Fatal(err)
	}
	if _, err := b2.authority.Authenticate(t.Context(), bearer(token)); err != ErrInvalidToken {
		t.Errorf("revoked: %v", err)
	}
	// A successor is published before it signs, and the old key as long as its
	// tokens may live.
	keys := func() (kids []string) {
		var set struct{ Keys []struct{ Kid string } }
		text, err := signer.KeySet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			kids = append(kids, k.Kid)
		}
		return kids
	}
	kidOf := func(token string) string {
		h, _ := jsonPart(strings.Split(token, ".")[0])
		kid, _ := stringMember(h, "kid")
		return kid
	}
	first := keys()
	ahead.Store(int64(rotateEvery - publishAhead))
	both := keys()
	if len(first) != 1 || len(both) != 2 || kidOf(get(b)) != first[0] {
		t.Errorf("keys %v, then %v; the old one signs on", first, both)
	}
	ahead.Store(int64(rotateEvery))
	if kidOf(get(b)) != both[1] {
		t.Error("the successor does not sign")
	}
	if _, _, stranger, err := server("n3", []byte(strings.Repeat("x", 32))); err != nil {
		t.Fatal(err)
	} else if _, err := stranger.KeySet(context.Background()); err == nil || !strings.Contains(err.Error(), "another secret") {
		t.Errorf("another secret: %v", err)
	}
	if _, _, _, err := server("n4", []byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}

// TestSB075_GrantedOnlyWhatIsEnforced asks for granular scopes.
func TestSB075_GrantedOnlyWhatIsEnforced(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, func(o *Options) {
		o.Query = func(resource, query string) error {
			if query == "type=pharmacy" || query == "type=pharmacy&use=claim" {
				return nil
			}
			return fmt.Errorf("%s has no such parameter", resource)
		}
	})
	ask := func(scope string) any {
		return b.token(with(form(r.compact(t, r.header(nil), b.claims(nil))), "scope", scope)).body["scope"]
	}
	for scope, want := range map[string]any{
		"system/Claim.rs?type=pharmacy":                     "system/Claim.rs?type=pharmacy",
		"system/Claim.rs?type=pharmacy&use=claim":           "system/Claim.rs?type=pharmacy&use=claim",
		"system/Claim.rs?colour=red system/Patient.rs":      "system/Patient.rs",
		"system/Claim.rs?colour=red":                        nil,
		"system/*.rs?type=pharmacy":                         nil,
		"system/Claim.rs?type=pharmacy system/Claim.rs":     "system/Claim.rs?type=pharmacy system/Claim.rs",
		"system/Claim.cruds?type=pharmacy system/Claim.dus": "system/Claim.rs?type=pharmacy",
	} {
		if got := ask(scope); got != want {
			t.Errorf("%q grants %v, want %v", scope, got, want)
		}
	}
}

// TestSB039_TokenRate bounds the token requests of one client.
func TestSB039_TokenRate(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	b.memory.clients["alpha"].TokenRate = 2
	ask := func() answered { return b.token(form(r.compact(t, r.header(nil), b.claims(nil)))) }
	if a, c := ask(), ask(); a.status != 200 || c.status != 200 {
		t.Errorf("within the rate: %d, %d", a.status, c.status)
	}
	if a := ask(); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "60" {
		t.Errorf("beyond it: %d %v", a.status, a.header)
	}
	b.pass(time.Minute)
	if a := ask(); a.status != 200 {
		t.Errorf("a minute later: %d", a.status)
	}
}
