package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"remit/sql/control"
)

// SigningKeys keeps the keys of a Signer for all servers; *control.Store does.
type SigningKeys interface {
	AddSigningKey(ctx context.Context, k control.SigningKey) error
	SigningKeys(ctx context.Context) ([]control.SigningKey, error)
}

// SignerOptions configures a Signer. Keys, Secret and Issuer are required.
type SignerOptions struct {
	Keys SigningKeys
	// Secret seals the private keys in the store: at least 32 bytes, the same
	// on all servers, from outside the store.
	Secret []byte
	// Issuer is the iss and aud of the tokens: the FHIR base URL.
	Issuer string
	// Rotate is how long a key signs; 0 means a day.
	Rotate time.Duration
	// Clock is the time; nil means the system's clock.
	Clock func() time.Time
}

// Times of signing keys.
const (
	rotateEvery = 24 * time.Hour
	// publishAhead is how long a new key is published before it signs, so that
	// whoever caches the key set has it in time.
	publishAhead = 10 * time.Minute
	keysFresh    = time.Minute
	minSecret    = 32
)

// Signer makes access tokens that are JWTs (RFC 9068), signed by ES256 with keys
// that follow each other without a gap. A token of it is kept like an opaque
// one, and ends like one; its signature is for others, a gateway say, that
// check it by the published key set. It is safe for concurrent use.
type Signer struct {
	options SignerOptions
	seal    cipher.AEAD

	mu     sync.Mutex
	keys   []signingKey // by age, oldest first
	loaded time.Time
}

type signingKey struct {
	id      string
	created time.Time
	private *ecdsa.PrivateKey
	public  json.RawMessage // JWK
}

// NewSigner makes a Signer.
func NewSigner(o SignerOptions) (*Signer, error) {
	if o.Keys == nil || o.Issuer == "" {
		return nil, errors.New("auth: a signer needs Keys and Issuer")
	}
	if len(o.Secret) < minSecret {
		return nil, fmt.Errorf("auth: the secret of signing keys has %d bytes, at least %d are needed", len(o.Secret), minSecret)
	}
	if o.Rotate == 0 {
		o.Rotate = rotateEvery
	}
	if o.Rotate < 2*publishAhead {
		return nil, fmt.Errorf("auth: signing keys must last at least %v", 2*publishAhead)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	key, err := hkdf.Key(sha256.New, o.Secret, nil, "remit signing keys", 32)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	s := &Signer{options: o}
	if s.seal, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return s, nil
}

// load reads the keys, at least once a minute, and adds one when the newest
// grows old. The lock is held.
func (s *Signer) load(ctx context.Context, again bool) error {
	now := s.options.Clock()
	if age := now.Sub(s.loaded); !again && s.keys != nil && age >= 0 && age < keysFresh {
		return nil
	}
	rows, err := s.options.Keys.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	keys := make([]signingKey, 0, len(rows)+1)
	for _, row := range rows {
		if now.After(row.Retires) {
			continue
		}
		k, err := s.open(row)
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 || !now.Before(keys[len(keys)-1].created.Add(s.options.Rotate-publishAhead)) {
		k, row, err := s.generate(now)
		if err != nil {
			return err
		}
		if err := s.options.Keys.AddSigningKey(ctx, row); err != nil {
			return fmt.Errorf("keep signing key: %w", err)
		}
		keys = append(keys, k)
	}
	s.keys, s.loaded = keys, now
	return nil
}

func (s *Signer) generate(now time.Time) (signingKey, control.SigningKey, error) {
	fail := func(err error) (signingKey, control.SigningKey, error) {
		return signingKey{}, control.SigningKey{}, fmt.Errorf("make signing key: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	k := signingKey{id: strings.ToLower(rand.Text()), created: now.UTC().Truncate(time.Millisecond), private: private}
	public, err := jwk.Import(&private.PublicKey)
	if err != nil {
		return fail(err)
	}
	for name, value := range map[string]any{jwk.KeyIDKey: k.id, jwk.AlgorithmKey: jwa.ES256(), jwk.KeyUsageKey: "sig"} {
		if err := public.Set(name, value); err != nil {
			return fail(err)
		}
	}
	if k.public, err = json.Marshal(public); err != nil {
		return fail(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return fail(err)
	}
	nonce := make([]byte, s.seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return fail(err)
	}
	return k, control.SigningKey{
		ID: k.id, Public: string(k.public), Created: k.created, Retires: k.created.Add(s.options.Rotate + publishAhead + MaxTokenLife),
		Sealed: base64.StdEncoding.EncodeToString(s.seal.Seal(nonce, nonce, der, []byte(k.id))),
	}, nil
}

// open unseals a key. Its error says what to do, since it means that this
// server was given another secret.
func (s *Signer) open(row control.SigningKey) (signingKey, error) {
	sealed, err := base64.StdEncoding.DecodeString(row.Sealed)
	n := s.seal.NonceSize()
	if err != nil || len(sealed) < n {
		return signingKey{}, errors.New("a signing key in the control store is damaged")
	}
	der, err := s.seal.Open(nil, sealed[:n], sealed[n:], []byte(row.ID))
	if err != nil {
		return signingKey{}, errors.New("the signing keys in the control store were sealed with another secret")
	}
	private, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return signingKey{}, errors.New("a signing key in the control store is damaged")
	}
	return signingKey{id: row.ID, created: row.Created, private: private, public: json.RawMessage(row.Public)}, nil
}

// current is the key that signs now: the newest that was published long enough
// ago, or the only one.
func (s *Signer) current(ctx context.Context) (signingKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(ctx, false); err != nil {
		return signingKey{}, err
	}
	ready := s.options.Clock().Add(-publishAhead)
	for _, k := range slices.Backward(s.keys) {
		if !k.created.After(ready) {
			return k, nil
		}
	}
	return s.keys[0], nil
}

// sign makes a token of what is to be kept.
func (s *Signer) sign(ctx context.Context, t *control.Token) (string, error) {
	key, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": s.options.Issuer, "aud": s.options.Issuer, "sub": t.ClientID, "client_id": t.ClientID,
		"scope": strings.Join(t.Scopes, " "), "iat": t.Issued.Unix(), "exp": t.Expires.Unix(), "jti": rand.Text(),
	})
	if err != nil {
		return "", err
	}
	header := jws.NewHeaders()
	for name, value := range map[string]any{jws.KeyIDKey: key.id, jws.TypeKey: "at+jwt"} {
		if err := header.Set(name, value); err != nil {
			return "", err
		}
	}
	signed, err := jws.Sign(claims, jws.WithKey(jwa.ES256(), key.private, jws.WithProtectedHeaders(header)))
	if err != nil {
		return "", errors.New("sign access token")
	}
	if len(signed) > maxTokenBytes {
		return "", fmt.Errorf("the token would have %d bytes, more than headers hold", len(signed))
	}
	return string(signed), nil
}

// check verifies the signature of a token. Whether it is still good, the store
// knows. Error: ErrInvalidToken.
func (s *Signer) check(ctx context.Context, compact string) error {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return ErrInvalidToken
	}
	header, err := jsonPart(parts[0])
	if err != nil {
		return ErrInvalidToken
	}
	kid, _ := stringMember(header, "kid")
	alg, _ := stringMember(header, "alg")
	if alg != "ES256" || header["crit"] != nil || header["b64"] != nil {
		return ErrInvalidToken
	}
	key, err := s.find(ctx, kid)
	if err != nil {
		return err
	}
	if _, err := jws.VerifyCompactFast(&key.private.PublicKey, []byte(compact), jwa.ES256()); err != nil {
		return ErrInvalidToken
	}
	return nil
}

// find is the key of that id. Another server may have made it since this one
// last looked.
func (s *Signer) find(ctx context.Context, kid string) (signingKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, again := range []bool{false, true} {
		if again && s.options.Clock().Sub(s.loaded) < time.Second {
			break // strangers do not make us read at their pace
		}
		if err := s.load(ctx, again); err != nil {
			return signingKey{}, err
		}
		if i := slices.IndexFunc(s.keys, func(k signingKey) bool { return k.id == kid }); i >= 0 {
			return s.keys[i], nil
		}
	}
	return signingKey{}, ErrInvalidToken
}

// KeySet is the JWK Set of the public keys, for those who check tokens by
// signature.
func (s *Signer) KeySet(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(ctx, false); err != nil {
		return nil, err
	}
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{}
	for _, k := range s.keys {
		set.Keys = append(set.Keys, k.public)
	}
	return json.Marshal(set)
}
