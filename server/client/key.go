package client

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Key is a private key that signs assertions: RSA for RS384, or EC on P-384 for
// ES384. It is immutable; its text form shows nothing secret.
type Key struct {
	id      string
	alg     jwa.SignatureAlgorithm
	private crypto.Signer
}

// ID is the key's kid.
func (k *Key) ID() string { return k.id }

// WithID is the same key under another kid: that of the JWK Set which the
// server was given. A PEM file tells no kid, so a Key read from one bears its
// thumbprint (RFC 7638).
func (k *Key) WithID(id string) *Key { return &Key{id: id, alg: k.alg, private: k.private} }

// Algorithm is RS384 or ES384.
func (k *Key) Algorithm() string { return k.alg.String() }

// String names the key without its secret.
func (k *Key) String() string { return k.Algorithm() + " key " + k.id }

// GoString is String, so that no format verb shows the secret.
func (k *Key) GoString() string { return k.String() }

// GenerateKey makes a key for RS384 (RSA, 3072 bits) or ES384 (EC, P-384).
func GenerateKey(alg string) (*Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case "RS384":
		private, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, fmt.Errorf("generate key: algorithm %q is neither RS384 nor ES384", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return newKey(private, "")
}

// newKey finds the algorithm for a private key; a key without id is known by
// its thumbprint (RFC 7638).
func newKey(private any, id string) (*Key, error) {
	k := &Key{id: id}
	switch p := private.(type) {
	case *rsa.PrivateKey:
		if p.N.BitLen() < 2048 {
			return nil, errors.New("key: an RSA key of less than 2048 bits")
		}
		k.alg, k.private = jwa.RS384(), p
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P384() {
			return nil, errors.New("key: an EC key on another curve than P-384")
		}
		k.alg, k.private = jwa.ES384(), p
	default:
		return nil, errors.New("key: neither an RSA nor an EC private key")
	}
	if k.id == "" {
		public, err := jwk.Import(k.private.Public())
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		sum, err := public.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		k.id = base64.RawURLEncoding.EncodeToString(sum)
	}
	return k, nil
}

// ParseKey reads a private key: a JWK, a JWK Set with one private key, or PEM
// (PKCS 8, PKCS 1 or SEC 1). Errors never hold key material.
func ParseKey(data []byte) (*Key, error) {
	data = bytes.TrimSpace(data)
	if bytes.HasPrefix(data, []byte("{")) {
		return parseJWK(data)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("key: the PEM block is no PKCS 8 private key")
			}
			return newKey(private, "")
		case "RSA PRIVATE KEY":
			private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("key: the PEM block is no PKCS 1 private key")
			}
			return newKey(private, "")
		case "EC PRIVATE KEY":
			private, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("key: the PEM block is no EC private key")
			}
			return newKey(private, "")
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("key: the private key is encrypted")
		}
	}
	return nil, errors.New("key: neither a JWK nor a PEM private key")
}

func parseJWK(data []byte) (*Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New("key: not JSON")
	}
	candidates := set.Keys
	if candidates == nil {
		candidates = []json.RawMessage{data}
	}
	var found *Key
	for _, raw := range candidates {
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil || members["d"] == nil {
			continue
		}
		parsed, err := jwk.ParseKey(raw)
		if err != nil {
			return nil, errors.New("key: the JWK is not a valid private key")
		}
		var private any
		if err := jwk.Export(parsed, &private); err != nil {
			return nil, errors.New("key: the JWK is not a valid private key")
		}
		id, _ := parsed.KeyID()
		key, err := newKey(private, id)
		if err != nil {
			return nil, err
		}
		if found != nil {
			return nil, errors.New("key: the JWK Set holds several private keys")
		}
		found = key
	}
	if found == nil {
		return nil, errors.New("key: the JWK holds no private key")
	}
	return found, nil
}

// PrivateJWK is the private key as a JWK; keep it secret.
func (k *Key) PrivateJWK() ([]byte, error) { return k.jwk(k.private, "sign") }

// PublicJWKS is the public key as a JWK Set, to be given to the server.
func (k *Key) PublicJWKS() ([]byte, error) {
	public, err := k.jwk(k.private.Public(), "verify")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, append(append([]byte(`{"keys":[`), public...), `]}`...), "", "  "); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func (k *Key) jwk(raw any, operation string) ([]byte, error) {
	key, err := jwk.Import(raw)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	for name, value := range map[string]any{
		jwk.KeyIDKey: k.id, jwk.AlgorithmKey: k.alg, jwk.KeyOpsKey: jwk.KeyOperationList{jwk.KeyOperation(operation)},
	} {
		if err := key.Set(name, value); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
	}
	data, err := json.MarshalIndent(key, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return data, nil
}
