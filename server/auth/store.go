package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"remit/sql/control"
)

// Store is the control store as an Authority needs it: Clients, Ledger and
// Tokens in one. It is safe for concurrent use.
type Store struct {
	store *control.Store
	now   func() time.Time

	mu     sync.Mutex
	recent map[string]reading
}

// reading is a registration as it was read at an instant.
type reading struct {
	client *Client
	at     time.Time
}

// Bounds of what Recent remembers.
const (
	recentFor  = 30 * time.Second
	maxRecents = 10_000
)

// NewStore fits a control store. A nil clock means the system's.
func NewStore(s *control.Store, clock func() time.Time) *Store {
	if clock == nil {
		clock = time.Now
	}
	return &Store{store: s, now: clock, recent: map[string]reading{}}
}

// Client reads a registration. Error: ErrUnknownClient.
func (s *Store) Client(ctx context.Context, id string) (*Client, error) {
	row, err := s.store.Client(ctx, id)
	if errors.Is(err, control.ErrNotFound) {
		s.forget(id)
		return nil, ErrUnknownClient
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	have := s.recent[id].client
	s.mu.Unlock()
	if have == nil || have.Revision != row.Revision {
		if have, err = clientOf(row); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recent) >= maxRecents {
		clear(s.recent)
	}
	s.recent[id] = reading{have, s.now()}
	return have, nil
}

// Recent is Client, as read within the last 30 seconds. Error:
// ErrUnknownClient.
func (s *Store) Recent(ctx context.Context, id string) (*Client, error) {
	s.mu.Lock()
	r, ok := s.recent[id]
	s.mu.Unlock()
	if age := s.now().Sub(r.at); ok && age >= 0 && age < recentFor {
		return r.client, nil
	}
	return s.Client(ctx, id)
}

func (s *Store) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recent, id)
}

// clientOf turns a row into a registration.
func clientOf(row *control.Client) (*Client, error) {
	scopes, _ := ParseScopes(strings.Join(row.Scopes, " "))
	if row.Types != nil {
		scopes = scopes.Within(row.Types)
	}
	c := &Client{
		ID: row.ID, Name: row.Name, KeysURL: row.JWKSURL, Scopes: scopes, Groups: row.Groups, View: row.View, Purpose: row.Purpose,
		Earliest: row.Earliest, Enabled: row.Enabled, Expires: row.Expires, MaxExports: row.MaxExports, TokenRate: row.TokenRate,
		Revision: row.Revision,
	}
	if row.JWKS != "" {
		var err error
		// Sets were read strictly at registration; what a later version no
		// longer takes must lose that key only.
		if c.Keys, err = ParseKeySet([]byte(row.JWKS), false); err != nil {
			return nil, fmt.Errorf("keys of client %s: %w", row.ID, err)
		}
	}
	return c, nil
}

// Spend spends an assertion; see control.Store.
func (s *Store) Spend(ctx context.Context, u control.Use) (control.Used, error) {
	return s.store.Spend(ctx, u)
}

// Token reads a token that was not revoked. Error: ErrUnknownToken.
func (s *Store) Token(ctx context.Context, id string) (Token, error) {
	row, err := s.store.Token(ctx, id)
	if errors.Is(err, control.ErrNotFound) || err == nil && !row.Revoked.IsZero() {
		return Token{}, ErrUnknownToken
	}
	if err != nil {
		return Token{}, err
	}
	return Token{ID: row.Hash, ClientID: row.ClientID, Scope: strings.Join(row.Scopes, " "), Issued: row.Issued, Expires: row.Expires}, nil
}

// RevokeToken ends a token.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	if err := s.store.RevokeToken(ctx, id, s.now()); err != nil && !errors.Is(err, control.ErrConflict) && !errors.Is(err, control.ErrNotFound) {
		return err
	}
	return nil
}
