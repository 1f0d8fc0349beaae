// Package auth is SMART Backend Services: it checks client assertions, issues
// short-lived access tokens, and tells for a token which client it belongs to
// and what that client may read. It knows nothing of exports.
//
// Secrets (assertions, tokens, keys) never enter logs, errors or the store: a
// token is kept as its SHA-256 digest only, so that a stolen store opens
// nothing.
//
// Source: SMART App Launch 2.2.0, Backend Services and Client Authentication:
// Asymmetric; the numbers SB- are those of Remit's list of requirements.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"remit/sql/control"
)

// Errors that the stores and Authenticate answer with.
var (
	// ErrUnknownClient says that no client has the id.
	ErrUnknownClient = errors.New("unknown client")
	// ErrUnknownToken says that no token of the digest is kept.
	ErrUnknownToken = errors.New("unknown token")
	// ErrNoToken says that a request bears no token.
	ErrNoToken = errors.New("no bearer token")
	// ErrInvalidToken says that a token is malformed, unknown, expired,
	// revoked, or of a client that is disabled.
	ErrInvalidToken = errors.New("invalid token")
)

// Client is one registration (SB-028). It is not changed once handed out.
type Client struct {
	ID   string
	Name string
	// Keys are the inline keys; KeysURL names a JWKS URL instead. Exactly one
	// of the two is set.
	Keys    *KeySet
	KeysURL string
	// Scopes are those the client may be granted at most.
	Scopes Scopes
	// Groups lists the only groups whose members' data the client may have;
	// nil means no such limit.
	Groups []string
	// View names the view of the data that the client is given; "" is the full
	// one. It comes from policy, never from the client.
	View string
	// Purpose is what the client may use the data for; see Purposes.
	Purpose string
	// Earliest is the first date of service that the client may have, "" for no
	// such bound.
	Earliest string
	Enabled  bool
	// Expires ends the registration; zero means never.
	Expires time.Time
	// MaxExports is how many exports may run for the client at once; 0 means
	// the server's own limit.
	MaxExports int
	// TokenRate is how many token requests the client may make in a minute at
	// one server; 0 means no limit.
	TokenRate int
	// Revision rises with each change of the registration.
	Revision int64
}

// Live says whether the client may do anything at the instant.
func (c *Client) Live(at time.Time) bool {
	return c.Enabled && (c.Expires.IsZero() || at.Before(c.Expires))
}

// Clients finds registrations.
type Clients interface {
	// Client returns the registration as it is now, also of a disabled client,
	// or ErrUnknownClient.
	Client(ctx context.Context, id string) (*Client, error)
	// Recent is Client, but may answer as things were a short while ago. What
	// is decided by it is checked by the Ledger.
	Recent(ctx context.Context, id string) (*Client, error)
}

// Ledger spends assertions; *control.Store is one.
type Ledger interface {
	// Spend notes that the client used the jti and keeps the token that it
	// earned, all or nothing, and durably before it returns. It is atomic over
	// all servers that share the store, and survives a restart (SB-047).
	Spend(ctx context.Context, u control.Use) (control.Used, error)
}

// Token is an access token as it is kept.
type Token struct {
	// ID is the SHA-256 digest of the token, in hexadecimal.
	ID       string
	ClientID string
	Scope    string // as granted
	Issued   time.Time
	Expires  time.Time
}

// Tokens keeps tokens, over restarts and for all servers that share it.
type Tokens interface {
	// Token returns the token, expired or not, or ErrUnknownToken where there
	// is none or it was revoked.
	Token(ctx context.Context, id string) (Token, error)
	// RevokeToken forgets the token at once; it is no error if there is none.
	RevokeToken(ctx context.Context, id string) error
}

// MaxTokenLife is the longest life of a token (SB-061).
const MaxTokenLife = 300 * time.Second

// Options configures an Authority. Clients, Ledger, Tokens and TokenURL are
// required.
type Options struct {
	Clients Clients
	Ledger  Ledger
	Tokens  Tokens
	// TokenURL is the public URL of the token endpoint: the aud of assertions
	// (SB-045).
	TokenURL string
	// Audiences lists further accepted aud values, such as a former URL.
	Audiences []string
	// Algorithms lists the accepted signature algorithms; nil means RS384 and
	// ES384.
	Algorithms []string
	// TokenLife is the life of a token; 0 means 300 seconds, which is also the
	// most.
	TokenLife time.Duration
	// KnownType tells names of FHIR R4 resource types from other words in
	// scopes (SB-077); nil takes any word of that form.
	KnownType func(resourceType string) bool
	// Query checks what follows "?" in a granular scope. Only what it takes is
	// ever granted, since only that can be enforced (SB-075); nil takes none.
	Query func(resourceType, query string) error
	// GrantDefault grants all that a client may have where a request names no
	// scope (SB-036).
	GrantDefault bool
	Fetch        FetchOptions
	// Failures is how many refused requests one address may make in a minute
	// (SB-039); 0 means 60, less means no limit.
	Failures int
	// Remote tells the address of the caller; nil means [RemoteAddress].
	Remote func(*http.Request) string
	// Signer makes access tokens that others can check by signature; nil makes
	// opaque ones.
	Signer *Signer
	// Audit appends to the audit trail what was granted and what was refused;
	// nil keeps none. A refused event names the client that the assertion
	// claims, which nobody has verified.
	Audit func(context.Context, control.Event) error
	Log   *slog.Logger
	// Clock is the time; nil means the system's clock.
	Clock func() time.Time
}

// Authority is the authorization server. It is safe for concurrent use.
type Authority struct {
	options    Options
	algorithms []algorithm
	fetcher    *keyFetcher
	failures   *limiter
	rates      *limiter
	decoys     decoys
}

// New makes an Authority.
func New(o Options) (*Authority, error) {
	if o.Clients == nil || o.Ledger == nil || o.Tokens == nil || o.TokenURL == "" {
		return nil, errors.New("auth: Clients, Ledger, Tokens and TokenURL are required")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.TokenLife == 0:
		o.TokenLife = MaxTokenLife
	case o.TokenLife < time.Second || o.TokenLife > MaxTokenLife:
		return nil, fmt.Errorf("auth: a token lives between 1 second and %v", MaxTokenLife)
	}
	if o.Failures == 0 {
		o.Failures = 60
	}
	if o.Remote == nil {
		o.Remote = RemoteAddress
	}
	if o.Query == nil {
		o.Query = func(string, string) error { return errors.New("granular scopes are not enforced") }
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{"RS384", "ES384"}
	}
	a := &Authority{options: o, fetcher: newKeyFetcher(o.Fetch, o.Clock), failures: newLimiter(o.Failures, o.Clock),
		rates: newLimiter(0, o.Clock)}
	known := algorithms()
	for _, name := range o.Algorithms {
		i := slices.IndexFunc(known, func(x algorithm) bool { return x.name == name })
		if i < 0 {
			return nil, fmt.Errorf("auth: algorithm %q is not an accepted asymmetric algorithm", name)
		}
		a.algorithms = append(a.algorithms, known[i])
	}
	if len(a.algorithms) == 0 {
		return nil, errors.New("auth: no algorithm is accepted")
	}
	var err error
	if a.decoys, err = newDecoys(a.algorithms); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return a, nil
}

// Algorithms lists the accepted signature algorithms, for discovery.
func (a *Authority) Algorithms() []string { return slices.Clone(a.options.Algorithms) }

// TokenURL is the public URL of the token endpoint.
func (a *Authority) TokenURL() string { return a.options.TokenURL }

func (a *Authority) now() time.Time { return a.options.Clock() }

// audit notes an event, also when its caller has gone away meanwhile.
func (a *Authority) audit(r *http.Request, action, clientID, outcome, detail string) {
	if a.options.Audit == nil {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	if err := a.options.Audit(ctx, *a.event(r, action, clientID, outcome, detail)); err != nil {
		a.options.Log.ErrorContext(ctx, "audit event lost", slog.String("action", action), slog.String("client_id", clientID),
			slog.String("outcome", outcome), slog.String("error", err.Error()))
	}
}

func (a *Authority) event(r *http.Request, action, clientID, outcome, detail string) *control.Event {
	return &control.Event{At: a.now(), ClientID: clientID, Action: action, Outcome: outcome, Detail: detail, Remote: a.options.Remote(r)}
}

// grant decides what of the requested scopes the client may have (SB-062,
// SB-072).
func (a *Authority) grant(client *Client, requested string) (Scopes, *Refusal) {
	scopes, _ := ParseScopes(requested)
	if strings.TrimSpace(requested) == "" {
		if !a.options.GrantDefault {
			return nil, &Refusal{Code: "invalid_scope", Reason: "scope-missing", Description: "scope is missing"}
		}
		scopes = client.Scopes
	}
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(s Scope) bool {
		return s.Resource != "*" && a.options.KnownType != nil && !a.options.KnownType(s.Resource)
	})
	granted := slices.DeleteFunc(client.Scopes.Grant(scopes), func(s Scope) bool {
		return s.Query != "" && a.options.Query(s.Resource, s.Query) != nil
	})
	if len(granted) == 0 {
		return nil, &Refusal{Code: "invalid_scope", Reason: "nothing-granted",
			Description: "none of the scopes asked for can be granted"}
	}
	return granted, nil
}

// mint makes a token of the scopes: its text, which the client alone gets, and
// what is kept of it.
func (a *Authority) mint(ctx context.Context, client *Client, scopes Scopes) (secret string, token *control.Token, err error) {
	now := a.now().UTC().Truncate(time.Second)
	token = &control.Token{ClientID: client.ID, Scopes: strings.Fields(scopes.String()), Issued: now, Expires: now.Add(a.options.TokenLife)}
	if a.options.Signer != nil {
		secret, err = a.options.Signer.sign(ctx, token)
	} else {
		random := make([]byte, 32)
		_, err = rand.Read(random)
		secret = base64.RawURLEncoding.EncodeToString(random)
	}
	if err != nil {
		return "", nil, fmt.Errorf("make token: %w", err)
	}
	token.Hash = TokenID(secret)
	return secret, token, nil
}

// TokenID is the digest under which a token is kept.
func TokenID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Access is what a request may do: the client and what its token lets it read,
// bounded by what the client may read by now.
type Access struct {
	Client  *Client
	Scopes  Scopes
	Expires time.Time
	// Claims are those of a token that an authorization server elsewhere made,
	// as JSON; nil for a token of our own (SB-101).
	Claims map[string]json.RawMessage
}

// MayExport says whether the scopes cover export of a resource type: reading
// and searching it (SB-074), be it of a part of its resources.
func (a *Access) MayExport(resourceType string) bool {
	_, ok := a.Scopes.Queries(resourceType, Read|Search)
	return ok
}

// MayRead says whether the scopes cover reading a type, be it a part of its
// resources; see Queries.
func (a *Access) MayRead(resourceType string) bool {
	_, ok := a.Scopes.Queries(resourceType, Read)
	return ok
}

// MaySearch says whether the scopes cover searching a type, be it a part of its
// resources; see Queries.
func (a *Access) MaySearch(resourceType string) bool {
	_, ok := a.Scopes.Queries(resourceType, Search)
	return ok
}

// Queries lists the filters of which a resource must pass one to be used with
// all of the permissions; none means that every resource may be. It is to be
// asked for types that may be used so.
func (a *Access) Queries(resourceType string, p Permission) []string {
	queries, _ := a.Scopes.Queries(resourceType, p)
	return queries
}

// MayHaveGroup says whether policy lets the client have the group's data
// (BE-016).
func (a *Access) MayHaveGroup(id string) bool {
	return a.Client.Groups == nil || slices.Contains(a.Client.Groups, id)
}

// Authenticate checks the Authorization headers of a request (SB-080). It
// answers ErrNoToken, ErrInvalidToken, or another error where the check itself
// could not be made.
func (a *Authority) Authenticate(ctx context.Context, h http.Header) (*Access, error) {
	secret, err := bearerToken(h)
	if err != nil {
		return nil, err
	}
	token, err := a.live(ctx, secret)
	if err != nil {
		return nil, err
	}
	scopes, _ := ParseScopes(token.Scope)
	return a.access(ctx, token.ClientID, scopes, token.Expires)
}

// access finds the client of a good token. What the registration no longer
// allows is taken out (SB-084).
func (a *Authority) access(ctx context.Context, clientID string, scopes Scopes, expires time.Time) (*Access, error) {
	client, err := a.options.Clients.Client(ctx, clientID)
	if errors.Is(err, ErrUnknownClient) || err == nil && !client.Live(a.now()) {
		return nil, ErrInvalidToken // disabling a client ends its tokens at once (SB-028)
	}
	if err != nil {
		return nil, fmt.Errorf("look up client: %w", err)
	}
	return &Access{Client: client, Scopes: client.Scopes.Grant(scopes), Expires: expires}, nil
}

// Registered finds a client that may do something now, without a token: what it
// holds otherwise, a signed URL say, is worth no more than its registration.
// Error: ErrInvalidToken where there is no such client, or it is off.
func (a *Authority) Registered(ctx context.Context, clientID string) (*Access, error) {
	return a.access(ctx, clientID, nil, time.Time{})
}

// bearerToken takes the token out of the headers.
func bearerToken(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", ErrNoToken
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoToken
	}
	secret = strings.TrimSpace(secret)
	if len(values) > 1 || secret == "" || len(secret) > maxTokenBytes {
		return "", ErrInvalidToken
	}
	return secret, nil
}

// maxTokenBytes keeps headers small (SB-063).
const maxTokenBytes = 4096

// live finds a token that is neither unknown, revoked nor expired. A token that
// says it was signed must be so by us, or it is not looked up.
func (a *Authority) live(ctx context.Context, secret string) (Token, error) {
	if a.options.Signer != nil && strings.Contains(secret, ".") {
		if err := a.options.Signer.check(ctx, secret); err != nil {
			return Token{}, err
		}
	}
	token, err := a.options.Tokens.Token(ctx, TokenID(secret))
	if errors.Is(err, ErrUnknownToken) || err == nil && !a.now().Before(token.Expires) {
		return Token{}, ErrInvalidToken
	}
	if err != nil {
		return Token{}, fmt.Errorf("look up token: %w", err)
	}
	return token, nil
}
