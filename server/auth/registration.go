package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"remit/sql/control"
)

// Purpose is what a client uses data for, with the rule for members who said
// nothing about it.
type Purpose struct {
	Name string
	// Asks says that members' choices count.
	Asks bool
	// Shared is what holds for members who did not choose.
	Shared bool
}

// The purposes of CMS-0057-F: Provider Access is opt-out (PR-006),
// Payer-to-Payer opt-in (PR-007).
const (
	ProviderAccess = "provider-access"
	PayerToPayer   = "payer-to-payer"
)

// Purposes lists the purposes that a client may have.
func Purposes() []Purpose {
	return []Purpose{
		{Name: ProviderAccess, Asks: true, Shared: true},
		{Name: PayerToPayer, Asks: true, Shared: false},
		{Name: "patient-access"},
		{Name: "operations"},
		{Name: "oversight"},
	}
}

// FindPurpose finds a purpose by name; "" is one that asks nobody.
func FindPurpose(name string) (Purpose, error) {
	if name == "" {
		return Purpose{}, nil
	}
	var names []string
	for _, p := range Purposes() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Purpose{}, fmt.Errorf("purpose %q is not one of %s", name, strings.Join(names, ", "))
}

// InvalidError is what is wrong with what an operator says of a client or of
// members' choices, in words for the operator. Any other error is a fault of
// ours or of the store.
type InvalidError struct{ Err error }

// Error implements error.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *InvalidError) Unwrap() error { return e.Err }

// Registration is what an operator says of a client.
type Registration struct {
	// ID is the client id; "" makes one.
	ID   string
	Name string
	// Keys is a JWK Set as JSON; KeysURL names one instead. Both are empty for
	// a client of an authorization server elsewhere (External).
	Keys     []byte
	KeysURL  string
	External bool
	// Scope lists what the client may be granted at most, separated by spaces.
	Scope string
	// Groups lists the only groups the client may export; nil means no limit.
	Groups []string
	// Types lists the only resource types for the client; nil means no limit.
	Types    []string
	View     string
	Purpose  string
	Earliest string // first date of service, 2016-01-01
	Contact  string
	Notes    string
	Expires  time.Time
	// MaxExports and TokenRate bound the client; 0 leaves it to the server.
	MaxExports int
	TokenRate  int
	// Rules check what only others know; see Rules.
	Rules Rules
}

// Rules check parts of a registration. Nil members let pass.
type Rules struct {
	Fetch     FetchOptions // which key URLs are allowed
	KnownType func(resourceType string) bool
	Query     func(resourceType, query string) error // of granular scopes
	KnownView func(view string) bool
}

// row checks the registration but for its keys, and makes a row of it. Errors
// name what is wrong, all at once.
func (r *Registration) row() (*control.Client, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.HasPrefix(r.ID, "$") {
		wrong("client ids that begin with $ are kept for the server itself")
	}
	scopes, dropped := ParseScopes(r.Scope)
	for _, word := range dropped {
		wrong("scope %q is not understood", word)
	}
	if len(scopes) == 0 && len(dropped) == 0 {
		wrong("no scope")
	}
	for _, s := range scopes {
		if s.Resource != "*" && r.Rules.KnownType != nil && !r.Rules.KnownType(s.Resource) {
			wrong("scope %q: there is no resource type %s", s, s.Resource)
		} else if s.Query != "" && r.Rules.Query != nil {
			if err := r.Rules.Query(s.Resource, s.Query); err != nil {
				wrong("scope %q: %w", s, err)
			}
		}
		if s.Query != "" && s.Resource == "*" {
			wrong("scope %q: a query needs one resource type", s)
		}
	}
	for _, t := range r.Types {
		if r.Rules.KnownType != nil && !r.Rules.KnownType(t) {
			wrong("there is no resource type %q", t)
		}
	}
	if _, err := FindPurpose(r.Purpose); err != nil {
		errs = append(errs, err)
	}
	if r.View != "" && r.Rules.KnownView != nil && !r.Rules.KnownView(r.View) {
		wrong("the mapping set has no view %q", r.View)
	}
	if r.Earliest != "" {
		if _, err := time.Parse(time.DateOnly, r.Earliest); err != nil {
			wrong("earliest date of service %q is not a date like 2016-01-01", r.Earliest)
		}
	}
	if r.MaxExports < 0 || r.TokenRate < 0 {
		wrong("a limit is negative")
	}
	if len(errs) > 0 {
		return nil, &InvalidError{errors.Join(errs...)}
	}
	return &control.Client{
		ID: r.ID, Name: r.Name, Scopes: strings.Fields(scopes.String()), Groups: r.Groups, View: r.View, Purpose: r.Purpose,
		Types: r.Types, Earliest: r.Earliest, Contact: r.Contact, Notes: r.Notes, Enabled: true, Expires: r.Expires,
		MaxExports: r.MaxExports, TokenRate: r.TokenRate,
	}, nil
}

// checkKeys checks keys or their URL (SB-020, SB-026).
func checkKeys(keys []byte, url string, o FetchOptions) error {
	switch {
	case (keys == nil) == (url == ""):
		return errors.New("give either keys or a URL of keys")
	case url != "":
		return CheckKeysURL(url, o)
	}
	_, err := ParseKeySet(keys, true)
	return err
}

// newClientID makes an id that says nothing and collides with none.
func newClientID() string { return strings.ToLower(rand.Text()) }

// Register checks what an operator says of a client and keeps it under a new
// id, or the id given (SB-020, SB-026..028). Keys are either inline, as a JWK
// Set, or a URL of one.
//
// Error: InvalidError, which names what is wrong, all at once.
func (s *Store) Register(ctx context.Context, r Registration) (id string, err error) {
	row, err := r.row()
	if !r.External || r.Keys != nil || r.KeysURL != "" {
		err = errors.Join(err, checkKeys(r.Keys, r.KeysURL, r.Rules.Fetch))
	} else if r.ID == "" {
		err = errors.Join(err, errors.New("a client of another authorization server needs its id there"))
	}
	if err != nil {
		return "", fmt.Errorf("register client: %w", &InvalidError{err})
	}
	if row.ID == "" {
		row.ID = newClientID()
	}
	row.JWKS, row.JWKSURL, row.Created = string(r.Keys), r.KeysURL, s.now()
	if err = s.store.AddClient(ctx, row); err != nil {
		if _, taken := s.store.Client(ctx, row.ID); taken == nil {
			err = &InvalidError{fmt.Errorf("the id %q is taken", row.ID)}
		}
		return "", fmt.Errorf("register client: %w", err)
	}
	return row.ID, nil
}

// Change gives a client's registration, without its keys, to change, and keeps
// what that makes of it. Errors: ErrUnknownClient; control.ErrConflict where
// somebody else changed it meanwhile, or it is revoked; InvalidError.
func (s *Store) Change(ctx context.Context, id string, rules Rules, change func(*Registration)) error {
	row, err := s.row(ctx, id)
	if err != nil {
		return err
	}
	r := Registration{
		ID: id, Name: row.Name, Scope: strings.Join(row.Scopes, " "), Groups: row.Groups, Types: row.Types, View: row.View,
		Purpose: row.Purpose, Earliest: row.Earliest, Contact: row.Contact, Notes: row.Notes, Expires: row.Expires,
		MaxExports: row.MaxExports, TokenRate: row.TokenRate, Rules: rules,
	}
	change(&r)
	changed, err := r.row()
	if err != nil {
		return fmt.Errorf("change client: %w", err)
	}
	changed.ID, changed.Revision = id, row.Revision
	return s.store.SetClientPolicy(ctx, changed)
}

func (s *Store) row(ctx context.Context, id string) (*control.Client, error) {
	row, err := s.store.Client(ctx, id)
	if errors.Is(err, control.ErrNotFound) {
		return nil, ErrUnknownClient
	}
	return row, err
}

// KeyChange is what becomes of a client's keys.
type KeyChange struct {
	// Keys is a JWK Set, KeysURL the URL of one; one of the two, or neither
	// where keys are only dropped.
	Keys    []byte
	KeysURL string
	// Add keeps the inline keys beside the new ones, so that both are good
	// until the old ones are dropped (SB-025).
	Add bool
	// Drop lists kids of inline keys that go.
	Drop  []string
	Fetch FetchOptions
}

// Rotate changes a client's keys. Tokens that it holds stay good, and
// assertions are checked by the new keys from then on at every server. Errors:
// as Change.
func (s *Store) Rotate(ctx context.Context, id string, k KeyChange) error {
	row, err := s.row(ctx, id)
	if err != nil {
		return err
	}
	set := k.Keys
	if k.Add || k.Keys == nil && k.KeysURL == "" {
		if set, err = mergeKeys(row.JWKS, k.Keys, k.Drop); err != nil {
			return fmt.Errorf("change keys: %w", &InvalidError{err})
		}
	}
	if err := checkKeys(set, k.KeysURL, k.Fetch); err != nil {
		return fmt.Errorf("change keys: %w", &InvalidError{err})
	}
	return s.store.SetClientKeys(ctx, row, string(set), k.KeysURL)
}

// mergeKeys puts the keys of two JWK Sets together, without those that are
// dropped.
func mergeKeys(old string, added []byte, drop []string) ([]byte, error) {
	var out struct {
		Keys []json.RawMessage `json:"keys"`
	}
	gone := map[string]bool{}
	for _, text := range [][]byte{[]byte(old), added} {
		if len(text) == 0 {
			continue
		}
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(text, &set); err != nil {
			return nil, errors.New("jwks: not a JSON object with keys")
		}
		for _, key := range set.Keys {
			var head struct {
				Kid string `json:"kid"`
			}
			if err := json.Unmarshal(key, &head); err != nil {
				return nil, errors.New("jwks: not a JSON object with keys")
			}
			if slices.Contains(drop, head.Kid) {
				gone[head.Kid] = true
				continue
			}
			out.Keys = append(out.Keys, key)
		}
	}
	for _, kid := range drop {
		if !gone[kid] {
			return nil, fmt.Errorf("there is no key %q to drop", kid)
		}
	}
	return json.Marshal(out)
}

// Check is one thing that was looked at in a client's registration.
type Check struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// Test looks at a registration as the token endpoint would: whether the client
// may come at all, whether its keys can be had and used, and what it could be
// granted of the types. It fetches the client's JWKS URL, if it has one. Error:
// ErrUnknownClient.
func (s *Store) Test(ctx context.Context, id string, o FetchOptions, types []string) ([]Check, error) {
	c, err := s.Client(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []Check
	look := func(what string, ok bool, format string, args ...any) {
		out = append(out, Check{what, ok, fmt.Sprintf(format, args...)})
	}
	now := s.now()
	switch {
	case !c.Enabled:
		look("registration", false, "the client is turned off")
	case !c.Live(now):
		look("registration", false, "it expired at %s", c.Expires.UTC().Format(time.RFC3339))
	case c.Expires.IsZero():
		look("registration", true, "enabled")
	default:
		look("registration", true, "enabled until %s", c.Expires.UTC().Format(time.RFC3339))
	}
	set := c.Keys
	if c.KeysURL != "" {
		fetched, keep, err := newKeyFetcher(o, s.now).fetch(ctx, c.KeysURL)
		if err != nil {
			look("JWKS URL", false, "%v", err)
		} else {
			look("JWKS URL", true, "fetched, may be kept for %v", keep)
		}
		set = fetched
	}
	switch {
	case set == nil && c.KeysURL == "":
		look("keys", false, "none here: only another authorization server can authenticate it")
	case set != nil:
		var names []string
		for _, k := range set.keys {
			names = append(names, k.kid+" ("+strings.TrimSpace(k.kty+" "+k.curve)+")")
		}
		look("keys", len(names) > 0, "%d usable: %s", len(names), strings.Join(names, ", "))
	}
	var may []string
	for _, t := range types {
		if _, ok := c.Scopes.Queries(t, Read|Search); ok {
			may = append(may, t)
		}
	}
	if types != nil {
		look("types", len(may) > 0, "may export %s", strings.Join(may, ", "))
	}
	return out, nil
}
