package control

import (
	"context"
	"strings"
	"time"
)

// Token is an access token as kept: its hash, never its text.
type Token struct {
	Hash            string
	ClientID        string
	Scopes          []string
	Issued, Expires time.Time
	Revoked         time.Time // zero while good
}

type tokenRow struct {
	Hash     string `db:"hash"`
	ClientID string `db:"client_id"`
	Scopes   string `db:"scopes"`
	Issued   int64  `db:"issued"`
	Expires  int64  `db:"expires"`
	Revoked  int64  `db:"revoked"`
}

// Token finds a token by its hash, good or not. Error: ErrNotFound.
func (s *Store) Token(ctx context.Context, hash string) (*Token, error) {
	var r tokenRow
	if err := s.get(ctx, s.read, &r, "token-by-hash", hash); err != nil {
		return nil, err
	}
	return &Token{Hash: r.Hash, ClientID: r.ClientID, Scopes: strings.Fields(r.Scopes), Issued: instant(r.Issued),
		Expires: instant(r.Expires), Revoked: instant(r.Revoked)}, nil
}

// RevokeToken makes a token useless. Error: ErrConflict where it is unknown or
// revoked already.
func (s *Store) RevokeToken(ctx context.Context, hash string, at time.Time) error {
	return s.cas(ctx, s.db, "token-revoke", millis(at), hash)
}

// CleanTokens removes tokens, assertions and signing keys that were over before
// the instant.
func (s *Store) CleanTokens(ctx context.Context, before time.Time) error {
	for _, name := range []string{"token-clean", "assertion-clean", "signing-key-clean"} {
		if _, err := s.exec(ctx, s.db, name, millis(before)); err != nil {
			return err
		}
	}
	return nil
}

// SigningKey is a key that signs access tokens. Its private half is sealed by
// its user; the store cannot open it.
type SigningKey struct {
	ID      string
	Public  string // JWK
	Sealed  string
	Created time.Time
	// Retires is when nothing that it signed can be good any more.
	Retires time.Time
}

// AddSigningKey keeps a key. Error: a plain one where the id is taken.
func (s *Store) AddSigningKey(ctx context.Context, k SigningKey) error {
	_, err := s.exec(ctx, s.db, "signing-key-add", k.ID, k.Public, k.Sealed, millis(k.Created), millis(k.Retires))
	return err
}

// SigningKeys lists the keys, oldest first.
func (s *Store) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	var rows []struct {
		ID      string `db:"kid"`
		Public  string `db:"public"`
		Sealed  string `db:"sealed"`
		Created int64  `db:"created"`
		Retires int64  `db:"retires"`
	}
	if err := s.list(ctx, &rows, "signing-key-list"); err != nil {
		return nil, err
	}
	keys := make([]SigningKey, len(rows))
	for i, r := range rows {
		keys[i] = SigningKey{ID: r.ID, Public: r.Public, Sealed: r.Sealed, Created: instant(r.Created), Retires: instant(r.Retires)}
	}
	return keys, nil
}
