package auth

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"testing"
)

// A decoy does all the work of a real key: the refusal is about the signature,
// not about a key that does not fit.
func TestSB037_Decoys(t *testing.T) {
	t.Parallel()
	all, err := newDecoys(algorithms())
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{"RSA": 256, "P-256": 64, "P-384": 96, "P-521": 132}
	for _, alg := range algorithms() {
		size := sizes[alg.kty+alg.curve]
		if alg.kty == "EC" {
			size = sizes[alg.curve]
		}
		signature := make([]byte, size)
		for i := range signature {
			signature[i] = 1
		}
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg.name + `"}`))
		s := &assertion{alg: alg, compact: []byte(header + ".e30." + base64.RawURLEncoding.EncodeToString(signature))}
		err := all.spend(s)
		if err == nil {
			t.Errorf("%s: a signature of nobody is good", alg.name)
		}
		if alg.kty == "RSA" && !errors.Is(err, rsa.ErrVerification) {
			t.Errorf("%s: %v", alg.name, err)
		}
		t.Log(alg.name, err)
	}
}

// An unknown client is answered as a known one with a wrong key, and costs a
// signature check too.
func TestSB037_UnknownClientCostsACheck(t *testing.T) {
	t.Parallel()
	b, r, _ := setup(t, nil)
	for name, claims := range map[string]map[string]any{
		"unknown client": {"iss": "nobody", "sub": "nobody"},
		"wrong key":      nil,
	} {
		other := rsaSigner(r.kid, 1)
		got := b.post(b.authority.ServeToken, form(other.compact(t, other.header(nil), b.claims(claims))), nil)
		if got.status != 400 || got.body["error"] != "invalid_client" || got.body["error_description"] != "the client or its signature is not recognised" {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
}
