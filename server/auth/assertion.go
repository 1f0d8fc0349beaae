package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// AssertionType is the one client_assertion_type (RFC 7523, 2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits of a client assertion.
const (
	maxAssertionBytes = 16 << 10
	maxLifetime       = 5 * time.Minute // SB-046
	clockSkew         = 60 * time.Second
	maxJTI            = 256
)

// Refusal is an OAuth error (RFC 6749, 5.2). Description is for the client and
// says nothing about whether a client exists; Reason is a short code for the
// operator's log.
type Refusal struct {
	Code        string // invalid_client, invalid_request ...
	Description string
	Reason      string
}

// Error is the code and the reason.
func (r *Refusal) Error() string { return r.Code + ": " + r.Reason }

// assertion is what a client assertion says, before anybody believes it.
type assertion struct {
	compact []byte
	kid     string
	alg     algorithm
	jku     string
	hasJKU  bool
	client  string
	jti     string
	expires time.Time
}

func badClient(reason, description string) *Refusal {
	return &Refusal{Code: "invalid_client", Reason: reason, Description: description}
}

// unrecognised answers alike for an unknown or disabled client, a key that is
// not there or cannot be fetched, and a wrong signature (SB-037).
func unrecognised(reason string) *Refusal {
	return badClient(reason, "the client or its signature is not recognised")
}

// readAssertion checks everything that can be checked without knowing the
// client, so that these answers may be exact without telling who exists.
//
// Source: SMART App Launch 2.2.0, Client Authentication: Asymmetric;
// SB-040..048.
func (a *Authority) readAssertion(compact string, audiences []string) (*assertion, *Refusal) {
	if len(compact) > maxAssertionBytes {
		return nil, badClient("assertion-size", "the assertion is too long")
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, badClient("assertion-form", "the assertion is not a compact JWS")
	}
	header, err1 := jsonPart(parts[0])
	claims, err2 := jsonPart(parts[1])
	if err1 != nil || err2 != nil {
		return nil, badClient("assertion-form", "the assertion is not a compact JWS of JSON")
	}
	out := &assertion{compact: []byte(compact)}

	alg, _ := stringMember(header, "alg")
	i := slices.IndexFunc(a.algorithms, func(x algorithm) bool { return x.name == alg })
	if i < 0 {
		return nil, badClient("alg", "the algorithm is not accepted")
	}
	out.alg = a.algorithms[i]
	var ok bool
	if out.kid, ok = stringMember(header, "kid"); !ok || out.kid == "" {
		return nil, badClient("kid-missing", "the assertion's header has no kid")
	}
	if _, present := header["typ"]; present {
		if typ, ok := stringMember(header, "typ"); !ok || !strings.EqualFold(typ, "JWT") {
			return nil, badClient("typ", "typ is not JWT")
		}
	}
	for _, name := range []string{"crit", "b64"} {
		if _, present := header[name]; present {
			return nil, badClient(name, "the header's "+name+" is not understood")
		}
	}
	if _, out.hasJKU = header["jku"]; out.hasJKU {
		if out.jku, ok = stringMember(header, "jku"); !ok {
			return nil, badClient("jku-form", "jku is not a string")
		}
	}

	if out.client, ok = stringMember(claims, "iss"); !ok || out.client == "" {
		return nil, badClient("iss-missing", "iss is missing")
	}
	if sub, ok := stringMember(claims, "sub"); !ok || sub != out.client {
		return nil, badClient("sub", "sub is not equal to iss")
	}
	if !audienceFits(claims["aud"], audiences) {
		return nil, badClient("aud", "aud is not the URL of the token endpoint")
	}
	now := a.now()
	exp, ok := secondsMember(claims, "exp")
	if !ok {
		return nil, badClient("exp-form", "exp is missing or not an integer")
	}
	out.expires = exp
	if !now.Before(exp.Add(clockSkew)) {
		return nil, badClient("expired", "the assertion has expired")
	}
	if exp.After(now.Add(maxLifetime + clockSkew)) {
		return nil, badClient("exp-far", "exp is more than 5 minutes ahead")
	}
	for _, name := range []string{"nbf", "iat"} {
		if _, present := claims[name]; !present {
			continue
		}
		at, ok := secondsMember(claims, name)
		if !ok {
			return nil, badClient(name+"-form", name+" is not an integer")
		}
		if name == "nbf" && at.After(now.Add(clockSkew)) {
			return nil, badClient("nbf", "nbf lies in the future")
		}
	}
	if out.jti, ok = stringMember(claims, "jti"); !ok || out.jti == "" || len(out.jti) > maxJTI || strings.ContainsRune(out.jti, 0) {
		return nil, badClient("jti-form", fmt.Sprintf("jti is missing, longer than %d characters or no text", maxJTI))
	}
	return out, nil
}

// verifyAssertion finds the client and its key and checks the signature. It
// spends nothing (SB-047, SB-050). A registration that was read a short while
// ago serves to say yes, since the ledger looks again; to say no, or where the
// ledger found it stale, it is read anew.
func (a *Authority) verifyAssertion(ctx context.Context, s *assertion, stale bool) (*Client, *Refusal, error) {
	read := a.options.Clients.Recent
	if stale {
		read = a.options.Clients.Client
	}
	recent, err := read(ctx, s.client)
	if err != nil && !errors.Is(err, ErrUnknownClient) {
		return nil, nil, fmt.Errorf("look up client: %w", err)
	}
	refusal, err := a.verifyBy(ctx, s, recent)
	if refusal == nil || err != nil {
		return recent, refusal, err
	}
	now, err := a.options.Clients.Client(ctx, s.client)
	switch {
	case errors.Is(err, ErrUnknownClient):
		return nil, refusal, nil
	case err != nil:
		return nil, nil, fmt.Errorf("look up client: %w", err)
	case recent != nil && recent.Revision == now.Revision:
		return nil, refusal, nil
	}
	refusal, err = a.verifyBy(ctx, s, now)
	return now, refusal, err
}

// verifyBy checks the signature by one reading of the registration; nil is an
// unknown client.
func (a *Authority) verifyBy(ctx context.Context, s *assertion, client *Client) (*Refusal, error) {
	keyless := func(reason string) (*Refusal, error) {
		_ = a.decoys.spend(s) // it fails; only its time matters
		return unrecognised(reason), nil
	}
	switch {
	case client == nil:
		return keyless("unknown-client")
	case !client.Enabled:
		return keyless("client-disabled")
	case !client.Live(a.now()):
		return keyless("client-expired")
	}
	if s.hasJKU && (client.KeysURL == "" || s.jku != client.KeysURL) {
		return keyless("jku")
	}
	set := client.Keys
	if client.KeysURL != "" {
		var err error
		if set, err = a.fetcher.keys(ctx, client.KeysURL, s.kid); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return unrecognised(err.Error()), nil
		}
	}
	if set == nil {
		return keyless("no-keys")
	}
	keys := set.find(s.kid, s.alg)
	if len(keys) != 1 {
		return keyless(fmt.Sprintf("%d-keys-for-kid", len(keys)))
	}
	if _, err := jws.VerifyCompactFast(keys[0].raw, s.compact, s.alg.jws); err != nil {
		return unrecognised("signature"), nil
	}
	return nil, nil
}

// jsonPart decodes one part of a compact JWS; members keep their exact names.
func jsonPart(s string) (map[string]json.RawMessage, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("not an object")
	}
	return m, nil
}

func stringMember(m map[string]json.RawMessage, name string) (string, bool) {
	var s *string
	if json.Unmarshal(m[name], &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// secondsMember reads a NumericDate that is an integer.
func secondsMember(m map[string]json.RawMessage, name string) (time.Time, bool) {
	var n *int64
	if json.Unmarshal(m[name], &n) != nil || n == nil || *n < 0 || *n > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(*n, 0), true
}

func audienceFits(raw json.RawMessage, audiences []string) bool {
	var list []string
	var one *string
	if json.Unmarshal(raw, &one) == nil && one != nil {
		list = []string{*one}
	} else if json.Unmarshal(raw, &list) != nil {
		return false
	}
	return slices.ContainsFunc(list, func(aud string) bool { return slices.Contains(audiences, aud) })
}
