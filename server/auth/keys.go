package auth

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// maxKeys bounds a JWK Set (SB-024).
const maxKeys = 100

// minRSABits is the shortest RSA modulus that is accepted (SB-026).
const minRSABits = 2048

// algorithm is a signature algorithm with the keys that fit it.
type algorithm struct {
	name  string
	jws   jwa.SignatureAlgorithm
	kty   string
	curve string // of EC keys
}

// algorithms are those that a configuration may allow. Symmetric ones and
// "none" are absent on purpose (SB-040).
func algorithms() []algorithm {
	return []algorithm{
		{"RS384", jwa.RS384(), "RSA", ""},
		{"ES384", jwa.ES384(), "EC", "P-384"},
		{"RS256", jwa.RS256(), "RSA", ""},
		{"RS512", jwa.RS512(), "RSA", ""},
		{"PS256", jwa.PS256(), "RSA", ""},
		{"PS384", jwa.PS384(), "RSA", ""},
		{"PS512", jwa.PS512(), "RSA", ""},
		{"ES256", jwa.ES256(), "EC", "P-256"},
		{"ES512", jwa.ES512(), "EC", "P-521"},
	}
}

// publicKey is one usable key of a set.
type publicKey struct {
	kid, kty, alg, curve string
	raw                  any // *rsa.PublicKey or *ecdsa.PublicKey
}

// KeySet is the public keys of a client. It is immutable.
type KeySet struct{ keys []publicKey }

// Len is the number of usable keys.
func (s *KeySet) Len() int { return len(s.keys) }

// ParseKeySet reads a client's JWK Set as given at registration, or at its
// JWKS URL.
//
// Strict reading, for registration, refuses the set for any key that is
// private, symmetric, too short, without kid, of an unknown kind or a second
// one of the same kid and kty. Lenient reading, for fetched sets that may
// serve other purposes as well, passes over such keys but still keeps
// duplicates, so that they fail when used.
//
// Errors name the key by its place in the set, never its material.
//
// Source: RFC 7517; SMART App Launch 2.2.0, Registering a Client; SB-026,
// SB-051.
func ParseKeySet(data []byte, strict bool) (*KeySet, error) {
	var set map[string]json.RawMessage
	if err := json.Unmarshal(data, &set); err != nil || set == nil {
		return nil, errors.New("jwks: not a JSON object")
	}
	var members []map[string]json.RawMessage
	if raw, ok := set["keys"]; !ok || json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, errors.New(`jwks: no array "keys"`)
	}
	if len(members) > maxKeys {
		return nil, fmt.Errorf("jwks: more than %d keys", maxKeys)
	}
	out := &KeySet{}
	for i, m := range members {
		key, err := parseKey(m)
		if err != nil {
			if strict {
				return nil, fmt.Errorf("jwks: key %d: %w", i+1, err)
			}
			continue
		}
		if strict && slices.ContainsFunc(out.keys, func(k publicKey) bool { return k.kid == key.kid && k.kty == key.kty }) {
			return nil, fmt.Errorf("jwks: key %d: kid is not unique", i+1)
		}
		out.keys = append(out.keys, key)
	}
	if strict && len(out.keys) == 0 {
		return nil, errors.New("jwks: no keys")
	}
	return out, nil
}

// parseKey reads one JWK and refuses what may not verify signatures.
func parseKey(m map[string]json.RawMessage) (publicKey, error) {
	var key publicKey
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := m[member]; ok {
			return key, errors.New("holds private or symmetric key material")
		}
	}
	text := func(name string) (string, error) {
		raw, ok := m[name]
		if !ok {
			return "", nil
		}
		var s *string
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			return "", fmt.Errorf("%s is not a string", name)
		}
		return *s, nil
	}
	var use string
	for _, f := range []struct {
		name string
		into *string
	}{{"kid", &key.kid}, {"kty", &key.kty}, {"alg", &key.alg}, {"use", &use}, {"crv", &key.curve}} {
		v, err := text(f.name)
		if err != nil {
			return key, err
		}
		*f.into = v
	}
	if key.kid == "" {
		return key, errors.New("has no kid")
	}
	if use != "" && use != "sig" {
		return key, errors.New("use is not sig")
	}
	if raw, ok := m["key_ops"]; ok {
		var ops []string
		if json.Unmarshal(raw, &ops) != nil || !slices.Contains(ops, "verify") {
			return key, errors.New("key_ops lacks verify")
		}
	}
	whole, err := json.Marshal(m)
	if err != nil {
		return key, errors.New("not JSON")
	}
	switch key.kty {
	case "RSA":
		modulus, err := text("n")
		if err != nil {
			return key, err
		}
		if n, err := base64.RawURLEncoding.DecodeString(modulus); err == nil && new(big.Int).SetBytes(n).BitLen() < minRSABits {
			return key, fmt.Errorf("is an RSA key of less than %d bits", minRSABits)
		}
		parsed, err := jwk.ParseKey(whole)
		if err != nil {
			return key, errors.New("is not a valid RSA key")
		}
		var raw rsa.PublicKey
		if err := jwk.Export(parsed, &raw); err != nil {
			return key, errors.New("is not a valid RSA key")
		}
		if raw.E < 3 || raw.E%2 == 0 {
			return key, errors.New("has no fit RSA exponent")
		}
		key.curve = ""
		key.raw = &raw
	case "EC":
		if !slices.ContainsFunc(algorithms(), func(a algorithm) bool { return a.kty == "EC" && a.curve == key.curve }) {
			return key, errors.New("is of a curve that is not accepted")
		}
		parsed, err := jwk.ParseKey(whole)
		if err != nil {
			return key, errors.New("is not a valid EC key")
		}
		var raw ecdsa.PublicKey
		if err := jwk.Export(parsed, &raw); err != nil {
			return key, errors.New("is not a valid EC key")
		}
		key.raw = &raw
	default:
		return key, errors.New("kty is neither RSA nor EC")
	}
	if key.alg != "" && !slices.ContainsFunc(algorithms(), func(a algorithm) bool {
		return a.name == key.alg && a.kty == key.kty && a.curve == key.curve
	}) {
		return key, errors.New("alg does not fit the key")
	}
	return key, nil
}

// find selects the keys that may verify a signature by kid and alg (SB-050
// step 3, SB-051).
func (s *KeySet) find(kid string, a algorithm) []publicKey {
	var out []publicKey
	for _, k := range s.keys {
		if k.kid == kid && k.kty == a.kty && k.curve == a.curve && (k.alg == "" || k.alg == a.name) {
			out = append(out, k)
		}
	}
	return out
}

// has says whether any key bears the kid, whatever its kind.
func (s *KeySet) has(kid string) bool {
	return slices.ContainsFunc(s.keys, func(k publicKey) bool { return k.kid == kid })
}
