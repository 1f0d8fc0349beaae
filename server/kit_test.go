package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"remit/server/auth"
)

// TestKit_Token asserts what ONC's test kits assert of the token endpoint and of
// introspection, with the requests that they send.
func TestKit_Token(t *testing.T) {
	t.Parallel()
	h := setup(t, nil)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(members{"keys": []members{jwkOf("e", ec), jwkOf("r", rs)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Register(t.Context(), auth.Registration{ID: "kit", Keys: set, Scope: "system/*.rs"}); err != nil {
		t.Fatal(err)
	}
	// form is a good token request with the changes that a test makes.
	form := func(alg, iss string, changes ...string) url.Values {
		jti := make([]byte, 32)
		if _, err := rand.Read(jti); err != nil {
			t.Fatal(err)
		}
		header := members{"alg": alg, "typ": "JWT", "kid": map[string]string{"ES384": "e", "RS384": "r"}[alg]}
		claims := members{"iss": iss, "sub": "kit", "aud": h.base + TokenPath, "exp": h.clock.Now().Unix() + 300, "jti": hex.EncodeToString(jti)}
		sign := signES(t, ec)
		if alg == "RS384" {
			sign = signRS(t, rs)
		}
		f := url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.read"},
			"client_assertion_type": {auth.AssertionType}, "client_assertion": {forge(t, header, claims, sign)}}
		for i := 0; i < len(changes); i += 2 {
			f.Set(changes[i], changes[i+1])
		}
		return f
	}
	post := func(f url.Values) answer {
		return h.do(http.MethodPost, TokenPath, "", f.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json")
	}
	t.Run("invalid_grant_type", func(t *testing.T) {
		if a := post(form("ES384", "kit", "grant_type", "not_a_grant_type")); a.status != http.StatusBadRequest {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("invalid_client_assertion", func(t *testing.T) {
		if a := post(form("ES384", "kit", "client_assertion_type", "not_an_assertion_type")); a.status != http.StatusBadRequest {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("invalid_jwt", func(t *testing.T) {
		if a := post(form("ES384", "not_a_valid_iss")); a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	var token string
	t.Run("auth_request_success", func(t *testing.T) {
		for _, alg := range []string{"RS384", "ES384"} {
			a := post(form(alg, "kit"))
			if a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", alg, a.status, a.body)
			}
			t.Run("auth_response_body", func(t *testing.T) {
				var r struct {
					Token   string `json:"access_token"`
					Type    string `json:"token_type"`
					Expires int    `json:"expires_in"`
					Scope   string `json:"scope"`
				}
				if err := json.Unmarshal(a.body, &r); err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
					t.Fatalf("%s %v", a.header.Get("Content-Type"), err)
				}
				if r.Token == "" || !strings.EqualFold(r.Type, "bearer") || r.Expires <= 0 || r.Expires > 300 || r.Scope != "system/*.read" {
					t.Errorf("type %q, expires %d, scope %q", r.Type, r.Expires, r.Scope)
				}
				token = r.Token
			})
		}
	})
	introspect := func(t *testing.T, of string) members {
		t.Helper()
		a := h.do(http.MethodPost, introspectPath, token, url.Values{"token": {of}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		var r members
		if err := json.Unmarshal(a.body, &r); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %v", a.status, err)
		}
		return r
	}
	t.Run("introspect_active", func(t *testing.T) {
		r := introspect(t, token)
		exp, _ := r["exp"].(float64)
		if r["active"] != true || r["client_id"] != "kit" || r["scope"] != "system/*.read" || int64(exp) < h.clock.Now().Unix() {
			t.Errorf("%v", r)
		}
	})
	t.Run("introspect_invalid", func(t *testing.T) {
		if r := introspect(t, "not-a-token"); r["active"] != false || len(r) != 1 {
			t.Errorf("%v", r)
		}
	})
}
