package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// sealer makes tokens that hold what the next request needs: nobody can read,
// change or guess them, and nobody but the client they were made for can use
// them. What they hold may be health data (the business key at which a page
// ended).
type sealer struct{ aead cipher.AEAD }

// SecretBytes is the size of Options.Secret: a key of AES-256.
const SecretBytes = 32

// newSealer makes a sealer of a secret; nil makes one of its own, whose tokens
// end with the process.
func newSealer(secret []byte) (*sealer, error) {
	if secret == nil {
		secret = make([]byte, SecretBytes)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
	}
	if len(secret) != SecretBytes {
		return nil, fmt.Errorf("server: the secret has %d bytes, not %d", len(secret), SecretBytes)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return &sealer{aead}, nil
}

// sealed is the inside of a token.
type sealed struct {
	Until int64           `json:"u"` // Unix seconds
	What  json.RawMessage `json:"w"`
}

// seal makes a token of v for a client and a purpose.
func (s *sealer) seal(clientID, purpose string, until time.Time, v any) (string, error) {
	what, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	text, err := json.Marshal(sealed{until.Unix(), what})
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(text)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, bound(clientID, purpose))), nil
}

// errSeal says that a token is not of this server, client and purpose, or not
// good any more.
var errSeal = errors.New("token is not valid")

// open reads a token into v. Error: errSeal.
func (s *sealer) open(token, clientID, purpose string, now time.Time, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(data) < s.aead.NonceSize() {
		return errSeal
	}
	text, err := s.aead.Open(nil, data[:s.aead.NonceSize()], data[s.aead.NonceSize():], bound(clientID, purpose))
	if err != nil {
		return errSeal
	}
	var in sealed
	if json.Unmarshal(text, &in) != nil || now.Unix() >= in.Until || json.Unmarshal(in.What, v) != nil {
		return errSeal
	}
	return nil
}

// bound is what a token is bound to beside its content.
func bound(clientID, purpose string) []byte { return []byte(clientID + "\x00" + purpose) }
