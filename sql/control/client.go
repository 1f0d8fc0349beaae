package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Client is a registered client of SMART Backend Services, with what the
// operator decided about it.
type Client struct {
	ID   string
	Name string
	// JWKS is the client's key set as registered, or "" where JWKSURL is used.
	// Both are empty for a client that an authorization server elsewhere
	// authenticates, and for one that was revoked.
	JWKS    string
	JWKSURL string
	Scopes  []string
	// Groups lists the Group ids that the client may export; nil means all,
	// an empty list none.
	Groups []string
	// View names the policy's view of the data, "" for the full one.
	View string
	// Purpose is what the client may use the data for; it decides whose
	// choices count (see [Choices]). "" asks nobody.
	Purpose string
	// Types lists the only resource types for the client; nil means all that
	// its scopes name.
	Types []string
	// Earliest is the first date of service that the client may have,
	// "2016-01-01"; "" means no such bound.
	Earliest string
	Contact  string
	Notes    string
	Enabled  bool
	Created  time.Time // UTC, milliseconds, as the other instants
	Expires  time.Time // the registration ends then; zero means never
	Revoked  time.Time // ended for good; zero while not
	LastUse  time.Time // when it was last given a token, to about a minute
	// MaxExports and TokenRate (token requests a minute) bound the client; 0
	// leaves it to the server.
	MaxExports int
	TokenRate  int
	// Revision rises with every change.
	Revision int64
}

type clientRow struct {
	ID         string `db:"id"`
	Name       string `db:"name"`
	JWKS       string `db:"jwks"`
	JWKSURL    string `db:"jwks_url"`
	Scopes     string `db:"scopes"`
	AllGroups  int    `db:"all_groups"`
	Groups     string `db:"group_ids"`
	View       string `db:"view_name"`
	Enabled    int    `db:"enabled"`
	Created    int64  `db:"created"`
	Purpose    string `db:"purpose"`
	Types      string `db:"types"`
	Earliest   string `db:"earliest"`
	Contact    string `db:"contact"`
	Notes      string `db:"notes"`
	Expires    int64  `db:"expires"`
	Revoked    int64  `db:"revoked"`
	MaxExports int    `db:"max_exports"`
	TokenRate  int    `db:"token_rate"`
	Revision   int64  `db:"revision"`
	LastUse    int64  `db:"last_use"`
}

func (r *clientRow) client() (*Client, error) {
	c := &Client{ID: r.ID, Name: r.Name, JWKS: r.JWKS, JWKSURL: r.JWKSURL, Scopes: strings.Fields(r.Scopes),
		View: r.View, Purpose: r.Purpose, Earliest: r.Earliest, Contact: r.Contact, Notes: r.Notes, Enabled: r.Enabled != 0,
		Created: instant(r.Created), Expires: instant(r.Expires), Revoked: instant(r.Revoked), LastUse: instant(r.LastUse),
		MaxExports: r.MaxExports, TokenRate: r.TokenRate, Revision: r.Revision}
	if r.Types != "" {
		c.Types = strings.Fields(r.Types)
	}
	if r.AllGroups == 0 {
		if err := json.Unmarshal([]byte(r.Groups), &c.Groups); err != nil {
			return nil, fmt.Errorf("groups of client %s: %w", r.ID, err)
		}
	}
	return c, nil
}

// groupText is the group list as stored.
func (c *Client) groupText() (string, error) {
	if c.Groups == nil {
		return "[]", nil
	}
	text, err := json.Marshal(c.Groups)
	return string(text), err
}

// AddClient registers c. Error: a plain one where the id is taken.
func (s *Store) AddClient(ctx context.Context, c *Client) error {
	groups, err := c.groupText()
	if err != nil {
		return fmt.Errorf("add client: %w", err)
	}
	_, err = s.exec(ctx, s.db, "client-add", c.ID, c.Name, c.JWKS, c.JWKSURL, strings.Join(c.Scopes, " "),
		number(c.Groups == nil), groups, c.View, number(c.Enabled), millis(c.Created), c.Purpose, strings.Join(c.Types, " "),
		c.Earliest, c.Contact, c.Notes, millis(c.Expires), c.MaxExports, c.TokenRate)
	return err
}

// Client reads one client, enabled or not. Error: ErrNotFound.
func (s *Store) Client(ctx context.Context, id string) (*Client, error) {
	var r clientRow
	if err := s.get(ctx, s.read, &r, "client-by-id", id); err != nil {
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

// changeClient runs a change of a client and what belongs to it in one
// transaction. Error: ErrNotFound.
func (s *Store) changeClient(ctx context.Context, op, id string, change func(*sqlx.Tx) error) error {
	return s.inTx(ctx, op, func(tx *sqlx.Tx) error {
		if err := s.get(ctx, tx, &clientRow{}, "client-by-id", id); err != nil {
			return err
		}
		return change(tx)
	})
}

// SetClientKeys replaces the keys of a client that is still as c was read.
// Tokens that it holds go on. Errors: ErrNotFound; ErrConflict where the client
// changed since, or is revoked.
func (s *Store) SetClientKeys(ctx context.Context, c *Client, jwks, jwksURL string) error {
	return s.changeClient(ctx, "change keys", c.ID, func(tx *sqlx.Tx) error {
		return s.cas(ctx, tx, "client-keys", jwks, jwksURL, c.ID, c.Revision)
	})
}

// SetClientPolicy replaces name, scopes, groups, view, purpose, types, earliest
// date, contact, notes, expiry and limits of a client that is still as c was
// read. Errors: as SetClientKeys.
func (s *Store) SetClientPolicy(ctx context.Context, c *Client) error {
	groups, err := c.groupText()
	if err != nil {
		return fmt.Errorf("change policy: %w", err)
	}
	return s.changeClient(ctx, "change policy", c.ID, func(tx *sqlx.Tx) error {
		return s.cas(ctx, tx, "client-policy", c.Name, strings.Join(c.Scopes, " "), number(c.Groups == nil), groups, c.View, c.Purpose,
			strings.Join(c.Types, " "), c.Earliest, c.Contact, c.Notes, millis(c.Expires), c.MaxExports, c.TokenRate, c.ID, c.Revision)
	})
}

// DisableClient turns a client off and revokes every token it holds, from one
// moment to the next. Errors: ErrNotFound; ErrConflict where it is off already.
func (s *Store) DisableClient(ctx context.Context, id string, at time.Time) error {
	return s.changeClient(ctx, "disable client", id, func(tx *sqlx.Tx) error {
		if err := s.cas(ctx, tx, "client-enable", 0, id, 0); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, "token-revoke-client", millis(at), id)
		return err
	})
}

// RevokeClient ends a registration for good: the client is off, its tokens and
// its keys are gone, and nothing turns it on again. Errors: ErrNotFound;
// ErrConflict where it is revoked already.
func (s *Store) RevokeClient(ctx context.Context, id string, at time.Time) error {
	return s.changeClient(ctx, "revoke client", id, func(tx *sqlx.Tx) error {
		if err := s.cas(ctx, tx, "client-revoke", millis(at), id); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, "token-revoke-client", millis(at), id)
		return err
	})
}

// EnableClient turns a client on again; its old tokens stay revoked. Errors:
// ErrNotFound; ErrConflict where it is on already, or revoked.
func (s *Store) EnableClient(ctx context.Context, id string) error {
	return s.changeClient(ctx, "enable client", id, func(tx *sqlx.Tx) error {
		return s.cas(ctx, tx, "client-enable", 1, id, 1)
	})
}
