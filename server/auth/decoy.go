package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// decoys are public keys that belong to nobody. An assertion for which there is
// no key is checked against one, so that the time of the answer does not tell
// an unknown client from a wrong signature (SB-037).
type decoys map[string]any // by name of the algorithm

func newDecoys(accepted []algorithm) (decoys, error) {
	d := decoys{}
	for _, alg := range accepted {
		key, err := decoyKey(alg)
		if err != nil {
			return nil, fmt.Errorf("make decoy key: %w", err)
		}
		d[alg.name] = key
	}
	return d, nil
}

func decoyKey(alg algorithm) (any, error) {
	if alg.kty == "RSA" {
		// Nobody need hold the private key, so any odd number of the usual
		// length will do, and costs nothing to make.
		n := make([]byte, 256)
		if _, err := rand.Read(n); err != nil {
			return nil, err
		}
		n[0] |= 0x80
		n[255] |= 1
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, nil
	}
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[alg.curve]
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}

// spend takes the time of checking the assertion's signature.
func (d decoys) spend(s *assertion) error {
	_, err := jws.VerifyCompactFast(d[s.alg.name], s.compact, s.alg.jws)
	return err
}
