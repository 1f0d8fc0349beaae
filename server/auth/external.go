package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// ExternalOptions say which authorization server elsewhere makes the tokens.
// Clients, Audience and TokenURL are required, and either Issuer with JWKSURL
// (tokens are JWTs) or IntrospectURL (they are asked for).
type ExternalOptions struct {
	Clients Clients
	// Audience is what aud must hold: our FHIR base URL, as a rule.
	Audience string
	// TokenURL is where clients get tokens, for discovery.
	TokenURL string
	// Issuer is the iss of JWTs, and JWKSURL where the keys are that sign them.
	Issuer  string
	JWKSURL string
	// Algorithms lists the accepted signature algorithms; nil means all
	// asymmetric ones that are known here.
	Algorithms []string
	// IntrospectURL answers RFC 7662 to ClientID with Secret (HTTP Basic).
	IntrospectURL    string
	ClientID, Secret string
	// Scopes lists scopes that every token must have beside those of FHIR.
	Scopes []string
	// Fetch says how to reach the authorization server. The operator names it,
	// so it may lie in a private network.
	Fetch FetchOptions
	// Clock is the time; nil means the system's clock.
	Clock func() time.Time
}

// External takes the tokens of an authorization server elsewhere (SB-100).
// Which clients there are, and what each may have, is still registered here; a
// token never gives more than the registration. It is safe for concurrent use.
type External struct {
	options    ExternalOptions
	algorithms []algorithm
	fetcher    *keyFetcher
	base       *Authority // for what both have in common
}

// maxIntrospection bounds the answer of an introspection endpoint.
const maxIntrospection = 64 << 10

// NewExternal makes an External.
func NewExternal(o ExternalOptions) (*External, error) {
	if o.Clients == nil || o.Audience == "" || o.TokenURL == "" {
		return nil, errors.New("auth: an external authorization server needs Clients, Audience and TokenURL")
	}
	if (o.JWKSURL == "") == (o.IntrospectURL == "") || o.JWKSURL != "" && o.Issuer == "" {
		return nil, errors.New("auth: an external authorization server needs either an issuer with a JWKS URL or an introspection URL")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Fetch.AllowPrivate = true
	x := &External{options: o, fetcher: newKeyFetcher(o.Fetch, o.Clock), base: &Authority{options: Options{Clients: o.Clients, Clock: o.Clock}}}
	for _, raw := range []string{o.JWKSURL, o.IntrospectURL} {
		if raw == "" {
			continue
		}
		if err := CheckKeysURL(raw, o.Fetch); err != nil {
			return nil, errors.New("auth: the URLs of the external authorization server must be https")
		}
	}
	for _, a := range algorithms() {
		if o.Algorithms == nil || slices.Contains(o.Algorithms, a.name) {
			x.algorithms = append(x.algorithms, a)
		}
	}
	if len(x.algorithms) == 0 {
		return nil, errors.New("auth: no algorithm is accepted")
	}
	return x, nil
}

// TokenURL is where clients get tokens.
func (x *External) TokenURL() string { return x.options.TokenURL }

// Algorithms lists the algorithms for client assertions that discovery names:
// the authorization server's own matter, so those of the profile.
func (x *External) Algorithms() []string { return []string{"RS384", "ES384"} }

// Authenticate checks the Authorization headers of a request. Errors: as
// Authority.Authenticate.
func (x *External) Authenticate(ctx context.Context, h http.Header) (*Access, error) {
	secret, err := bearerToken(h)
	if err != nil {
		return nil, err
	}
	var claims map[string]json.RawMessage
	if x.options.IntrospectURL != "" {
		claims, err = x.introspect(ctx, secret)
	} else {
		claims, err = x.verify(ctx, secret)
	}
	if err != nil {
		return nil, err
	}
	return x.access(ctx, claims)
}

// Registered is Authority.Registered.
func (x *External) Registered(ctx context.Context, clientID string) (*Access, error) {
	return x.base.Registered(ctx, clientID)
}

// verify checks a JWT's form and signature and returns its claims.
func (x *External) verify(ctx context.Context, compact string) (map[string]json.RawMessage, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, ErrInvalidToken
	}
	header, err1 := jsonPart(parts[0])
	claims, err2 := jsonPart(parts[1])
	if err1 != nil || err2 != nil || header["crit"] != nil || header["b64"] != nil {
		return nil, ErrInvalidToken
	}
	if _, present := header["typ"]; present {
		typ, _ := stringMember(header, "typ")
		if !slices.Contains([]string{"jwt", "at+jwt", "application/at+jwt"}, strings.ToLower(typ)) {
			return nil, ErrInvalidToken
		}
	}
	name, _ := stringMember(header, "alg")
	i := slices.IndexFunc(x.algorithms, func(a algorithm) bool { return a.name == name })
	kid, ok := stringMember(header, "kid")
	if i < 0 || !ok {
		return nil, ErrInvalidToken
	}
	set, err := x.fetcher.keys(ctx, x.options.JWKSURL, kid)
	if err != nil {
		return nil, fmt.Errorf("keys of the authorization server: %w", err)
	}
	keys := set.find(kid, x.algorithms[i])
	if len(keys) != 1 {
		return nil, ErrInvalidToken
	}
	if _, err := jws.VerifyCompactFast(keys[0].raw, []byte(compact), x.algorithms[i].jws); err != nil {
		return nil, ErrInvalidToken
	}
	if iss, ok := stringMember(claims, "iss"); !ok || iss != x.options.Issuer {
		return nil, ErrInvalidToken
	}
	if !audienceFits(claims["aud"], []string{x.options.Audience}) {
		return nil, ErrInvalidToken
	}
	if _, present := claims["exp"]; !present {
		return nil, ErrInvalidToken
	}
	return claims, nil
}

// introspect asks the authorization server about a token (RFC 7662).
func (x *External) introspect(ctx context.Context, secret string) (map[string]json.RawMessage, error) {
	form := url.Values{"token": {secret}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.options.IntrospectURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("introspection: malformed URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(x.options.ClientID), url.QueryEscape(x.options.Secret))
	resp, err := x.fetcher.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("introspection: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("introspection: status %d", resp.StatusCode)
	}
	var claims map[string]json.RawMessage
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxIntrospection)).Decode(&claims); err != nil {
		return nil, errors.New("introspection: the answer is not JSON")
	}
	var active bool
	if json.Unmarshal(claims["active"], &active) != nil || !active {
		return nil, ErrInvalidToken
	}
	if iss, present := stringMember(claims, "iss"); present && x.options.Issuer != "" && iss != x.options.Issuer {
		return nil, ErrInvalidToken
	}
	if aud := claims["aud"]; aud != nil && !audienceFits(aud, []string{x.options.Audience}) {
		return nil, ErrInvalidToken
	}
	return claims, nil
}

// access turns good claims into what the request may do.
func (x *External) access(ctx context.Context, claims map[string]json.RawMessage) (*Access, error) {
	now := x.options.Clock()
	expires := now.Add(clockSkew)
	if _, present := claims["exp"]; present {
		exp, ok := secondsMember(claims, "exp")
		if !ok || !now.Before(exp.Add(clockSkew)) {
			return nil, ErrInvalidToken
		}
		expires = exp
	}
	if _, present := claims["nbf"]; present {
		if nbf, ok := secondsMember(claims, "nbf"); !ok || nbf.After(now.Add(clockSkew)) {
			return nil, ErrInvalidToken
		}
	}
	id := ""
	for _, name := range []string{"client_id", "azp", "sub"} {
		if v, ok := stringMember(claims, name); ok && v != "" {
			id = v
			break
		}
	}
	var words []string
	if list, ok := stringMember(claims, "scope"); ok {
		words = strings.Fields(list)
	} else if raw := claims["scp"]; raw != nil {
		if json.Unmarshal(raw, &words) != nil {
			list, _ := stringMember(claims, "scp")
			words = strings.Fields(list)
		}
	}
	for _, s := range x.options.Scopes {
		if !slices.Contains(words, s) {
			return nil, ErrInvalidToken
		}
	}
	if id == "" || len(words) == 0 {
		return nil, ErrInvalidToken
	}
	scopes, _ := ParseScopes(strings.Join(words, " "))
	a, err := x.base.access(ctx, id, scopes, expires)
	if a != nil {
		a.Claims = claims
	}
	return a, err
}

// SubjectID is who the client acts for by a UDAP B2B token, an NPI as a rule; ""
// where the token does not say (SB-101).
func (a *Access) SubjectID() string {
	var extensions struct {
		B2B struct {
			SubjectID string `json:"subject_id"`
		} `json:"hl7-b2b"`
	}
	if raw := a.Claims["extensions"]; raw == nil || json.Unmarshal(raw, &extensions) != nil {
		return ""
	}
	return extensions.B2B.SubjectID
}
