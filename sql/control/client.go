package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Client is a registered client of SMART Backend Services.
type Client struct {
	ID   string
	Name string
	// JWKS is the client's key set as registered, or "" where JWKSURL is used.
	JWKS    string
	JWKSURL string
	Scopes  []string
	// Groups lists the Group ids that the client may export; nil means all,
	// an empty list none.
	Groups []string
	// View names the policy's view of the data, "" for the full one.
	View    string
	Enabled bool
	Created time.Time // UTC, milliseconds
}

type clientRow struct {
	ID        string `db:"id"`
	Name      string `db:"name"`
	JWKS      string `db:"jwks"`
	JWKSURL   string `db:"jwks_url"`
	Scopes    string `db:"scopes"`
	AllGroups int    `db:"all_groups"`
	Groups    string `db:"group_ids"`
	View      string `db:"view_name"`
	Enabled   int    `db:"enabled"`
	Created   int64  `db:"created"`
}

func (r *clientRow) client() (*Client, error) {
	c := &Client{ID: r.ID, Name: r.Name, JWKS: r.JWKS, JWKSURL: r.JWKSURL, Scopes: strings.Fields(r.Scopes),
		View: r.View, Enabled: r.Enabled != 0, Created: instant(r.Created)}
	if r.AllGroups == 0 {
		if err := json.Unmarshal([]byte(r.Groups), &c.Groups); err != nil {
			return nil, fmt.Errorf("groups of client %s: %w", r.ID, err)
		}
	}
	return c, nil
}

// AddClient registers c. Error: a plain one where the id is taken.
func (s *Store) AddClient(ctx context.Context, c *Client) error {
	groups := []byte("[]")
	if c.Groups != nil {
		var err error
		if groups, err = json.Marshal(c.Groups); err != nil {
			return fmt.Errorf("add client: %w", err)
		}
	}
	_, err := s.exec(ctx, s.db, "client-add", c.ID, c.Name, c.JWKS, c.JWKSURL, strings.Join(c.Scopes, " "),
		number(c.Groups == nil), string(groups), c.View, number(c.Enabled), millis(c.Created))
	return err
}

// Client reads one client, enabled or not. Error: ErrNotFound.
func (s *Store) Client(ctx context.Context, id string) (*Client, error) {
	var r clientRow
	if err := s.get(ctx, s.db, &r, "client-by-id", id); err != nil {
		return nil, err
	}
	return r.client()
}

// Clients lists all clients, oldest first.
func (s *Store) Clients(ctx context.Context) ([]*Client, error) {
	var rows []clientRow
	if err := s.list(ctx, &rows, "client-list"); err != nil {
		return nil, err
	}
	clients := make([]*Client, len(rows))
	for i := range rows {
		c, err := rows[i].client()
		if err != nil {
			return nil, err
		}
		clients[i] = c
	}
	return clients, nil
}

// RevokeClient turns a client off and revokes every token it holds, from one
// moment to the next. Error: ErrNotFound; ErrConflict where it is off already.
func (s *Store) RevokeClient(ctx context.Context, id string, at time.Time) error {
	return s.inTx(ctx, "revoke client", func(tx *sqlx.Tx) error {
		if err := s.get(ctx, tx, &clientRow{}, "client-by-id", id); err != nil {
			return err
		}
		if err := s.cas(ctx, tx, "client-enable", 0, id, 0); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, "token-revoke-client", millis(at), id)
		return err
	})
}

// EnableClient turns a client on again; its old tokens stay revoked. Error:
// ErrConflict where it is on already or does not exist.
func (s *Store) EnableClient(ctx context.Context, id string) error {
	return s.cas(ctx, s.db, "client-enable", 1, id, 1)
}

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

// AddToken keeps a token.
func (s *Store) AddToken(ctx context.Context, t *Token) error {
	_, err := s.exec(ctx, s.db, "token-add", t.Hash, t.ClientID, strings.Join(t.Scopes, " "), millis(t.Issued), millis(t.Expires))
	return err
}

// Token finds a token by its hash, good or not. Error: ErrNotFound.
func (s *Store) Token(ctx context.Context, hash string) (*Token, error) {
	var r tokenRow
	if err := s.get(ctx, s.db, &r, "token-by-hash", hash); err != nil {
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

// UseAssertion notes that issuer used the assertion jti; fresh is false where it
// was used before (replay). Source: RFC 7523 section 3, SMART App Launch 2.2,
// Backend Services: jti must not be reused.
func (s *Store) UseAssertion(ctx context.Context, issuer, jti string, expires time.Time) (fresh bool, err error) {
	n, err := s.exec(ctx, s.db, "assertion-use", issuer, jti, millis(expires))
	return n == 1, err
}

// CleanTokens removes tokens and assertions that expired before the instant.
func (s *Store) CleanTokens(ctx context.Context, before time.Time) error {
	if _, err := s.exec(ctx, s.db, "token-clean", millis(before)); err != nil {
		return err
	}
	_, err := s.exec(ctx, s.db, "assertion-clean", millis(before))
	return err
}

// Event is one line of the audit trail. It never holds a row value or a token.
type Event struct {
	ID       string // made by AddEvent
	At       time.Time
	ClientID string
	Action   string // kick-off, download, delete, client-add, client-revoke, token ...
	ExportID string
	Outcome  string // ok, refused, failed
	Detail   string
}

type eventRow struct {
	ID       string `db:"id"`
	At       int64  `db:"at"`
	ClientID string `db:"client_id"`
	Action   string `db:"action"`
	ExportID string `db:"export_id"`
	Outcome  string `db:"outcome"`
	Detail   string `db:"detail"`
}

// AddEvent appends to the audit trail.
func (s *Store) AddEvent(ctx context.Context, e Event) error {
	_, err := s.exec(ctx, s.db, "audit-add", rand.Text(), millis(e.At), e.ClientID, e.Action, e.ExportID, e.Outcome, e.Detail)
	return err
}

// Events lists at most limit events from the instant on, oldest first.
func (s *Store) Events(ctx context.Context, from time.Time, limit int) ([]Event, error) {
	var rows []eventRow
	if err := s.list(ctx, &rows, "audit-list", millis(from), limit); err != nil {
		return nil, err
	}
	events := make([]Event, len(rows))
	for i, r := range rows {
		events[i] = Event{ID: r.ID, At: instant(r.At), ClientID: r.ClientID, Action: r.Action, ExportID: r.ExportID,
			Outcome: r.Outcome, Detail: r.Detail}
	}
	return events, nil
}

// CleanEvents removes events older than the instant.
func (s *Store) CleanEvents(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, s.db, "audit-clean", millis(before))
	return err
}
