// Package admin is how operators manage clients and members' choices: by the
// Desk, which the command line uses, and by an HTTP API of its own credential
// over it. Every act is noted in the audit trail, with who did it.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"remit/server/auth"
	"remit/sql/control"
)

// Actor is who acts.
type Actor struct {
	Name string
	// Remote is the network address, "" at the command line.
	Remote string
}

// Desk manages clients and choices. It is safe for concurrent use.
type Desk struct {
	Control *control.Store
	Store   *auth.Store
	Rules   auth.Rules
	// Types lists the resource types that are exported, for Test; nil knows
	// none.
	Types func() []string
	Clock func() time.Time
}

// Client is a registration as operators see it.
type Client struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	State      string     `json:"state"` // enabled, disabled, expired, revoked
	Keys       string     `json:"keys"`  // inline, external, none, or the URL
	Scopes     []string   `json:"scopes"`
	Groups     []string   `json:"groups,omitempty"`
	AllGroups  bool       `json:"all_groups"`
	Types      []string   `json:"types,omitempty"`
	View       string     `json:"view,omitempty"`
	Purpose    string     `json:"purpose,omitempty"`
	Earliest   string     `json:"earliest_service_date,omitempty"`
	Contact    string     `json:"contact,omitempty"`
	Notes      string     `json:"notes,omitempty"`
	MaxExports int        `json:"max_exports,omitempty"`
	TokenRate  int        `json:"token_rate,omitempty"`
	Created    time.Time  `json:"created"`
	Expires    *time.Time `json:"expires,omitempty"`
	Revoked    *time.Time `json:"revoked,omitempty"`
	LastUse    *time.Time `json:"last_use,omitempty"`
}

func (d *Desk) view(c *control.Client) Client {
	v := Client{
		ID: c.ID, Name: c.Name, State: "enabled", Keys: "inline", Scopes: c.Scopes, Groups: c.Groups, AllGroups: c.Groups == nil,
		Types: c.Types, View: c.View, Purpose: c.Purpose, Earliest: c.Earliest, Contact: c.Contact, Notes: c.Notes,
		MaxExports: c.MaxExports, TokenRate: c.TokenRate, Created: c.Created,
		Expires: known(c.Expires), Revoked: known(c.Revoked), LastUse: known(c.LastUse),
	}
	switch {
	case !c.Revoked.IsZero():
		v.State = "revoked"
	case !c.Enabled:
		v.State = "disabled"
	case !c.Expires.IsZero() && !d.Clock().Before(c.Expires):
		v.State = "expired"
	}
	switch {
	case c.JWKSURL != "":
		v.Keys = c.JWKSURL
	case c.JWKS == "" && v.State == "revoked":
		v.Keys = "none"
	case c.JWKS == "":
		v.Keys = "external"
	}
	return v
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// note appends an act to the audit trail.
func (d *Desk) note(ctx context.Context, by Actor, action, clientID, outcome, detail string) error {
	err := d.Control.AddEvent(context.WithoutCancel(ctx), control.Event{At: d.Clock(), Action: action, ClientID: clientID,
		Outcome: outcome, Detail: detail, Actor: by.Name, Remote: by.Remote})
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}

// done notes how an act on a client ended.
func (d *Desk) done(ctx context.Context, by Actor, action, id, detail string, err error) error {
	if errors.Is(err, control.ErrNotFound) {
		err = auth.ErrUnknownClient
	}
	if err != nil {
		if lost := d.note(ctx, by, action, id, "refused", ""); lost != nil {
			// That there is no trail of it outweighs what was wrong with it.
			return fmt.Errorf("%w (of an act that was refused: %v)", lost, err)
		}
		return err
	}
	return d.note(ctx, by, action, id, "ok", detail)
}

// Add registers a client and returns its id.
func (d *Desk) Add(ctx context.Context, by Actor, r auth.Registration) (string, error) {
	r.Rules = d.Rules
	id, err := d.Store.Register(ctx, r)
	return id, d.done(ctx, by, "client-add", id, "", err)
}

// List lists the clients, oldest first.
func (d *Desk) List(ctx context.Context) ([]Client, error) {
	rows, err := d.Control.Clients(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Client, len(rows))
	for i, r := range rows {
		all[i] = d.view(r)
	}
	return all, nil
}

// Show reads one client. Error: auth.ErrUnknownClient.
func (d *Desk) Show(ctx context.Context, id string) (Client, error) {
	c, err := d.Control.Client(ctx, id)
	if errors.Is(err, control.ErrNotFound) {
		return Client{}, auth.ErrUnknownClient
	}
	if err != nil {
		return Client{}, err
	}
	return d.view(c), nil
}

// Change changes what the operator decided about a client. Errors: those of
// auth.Store.Change.
func (d *Desk) Change(ctx context.Context, by Actor, id string, change func(*auth.Registration)) error {
	return d.done(ctx, by, "client-change", id, "", d.Store.Change(ctx, id, d.Rules, change))
}

// Rotate changes a client's keys. Errors: those of auth.Store.Rotate.
func (d *Desk) Rotate(ctx context.Context, by Actor, id string, k auth.KeyChange) error {
	k.Fetch = d.Rules.Fetch
	return d.done(ctx, by, "client-rotate", id, "", d.Store.Rotate(ctx, id, k))
}

// Disable turns a client off; its tokens die at once. Errors:
// auth.ErrUnknownClient; control.ErrConflict where it is off.
func (d *Desk) Disable(ctx context.Context, by Actor, id string) error {
	return d.done(ctx, by, "client-disable", id, "", d.Control.DisableClient(ctx, id, d.Clock()))
}

// Enable turns a client on again. Errors: auth.ErrUnknownClient;
// control.ErrConflict where it is on, or revoked.
func (d *Desk) Enable(ctx context.Context, by Actor, id string) error {
	return d.done(ctx, by, "client-enable", id, "", d.Control.EnableClient(ctx, id))
}

// Revoke ends a registration for good. Errors: auth.ErrUnknownClient;
// control.ErrConflict where it is revoked.
func (d *Desk) Revoke(ctx context.Context, by Actor, id string) error {
	return d.done(ctx, by, "client-revoke", id, "", d.Control.RevokeClient(ctx, id, d.Clock()))
}

// Test looks at a registration as the token endpoint would. Error:
// auth.ErrUnknownClient.
func (d *Desk) Test(ctx context.Context, by Actor, id string) ([]auth.Check, error) {
	var types []string
	if d.Types != nil {
		types = d.Types()
	}
	checks, err := d.Store.Test(ctx, id, d.Rules.Fetch, types)
	return checks, d.done(ctx, by, "client-test", id, "", err)
}

// SetChoices keeps members' choices of a purpose; with replace they take the
// place of all that it had. Error: auth.InvalidError for a purpose that asks
// nobody, and a member given twice.
func (d *Desk) SetChoices(ctx context.Context, by Actor, purpose string, choices []control.Choice, replace bool) error {
	p, err := auth.FindPurpose(purpose)
	if err == nil && !p.Asks {
		err = fmt.Errorf("purpose %q does not ask members", purpose)
	}
	if err != nil {
		err = &auth.InvalidError{Err: err}
	} else {
		err = d.Control.SetChoices(ctx, purpose, choices, replace, d.Clock())
		if errors.Is(err, control.ErrTwice) {
			err = &auth.InvalidError{Err: err}
		}
	}
	return d.done(ctx, by, "member-choices", "", fmt.Sprintf("%s: %d choices", purpose, len(choices)), err)
}
