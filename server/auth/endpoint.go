package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"remit/sql/control"
)

// maxFormBytes bounds the body of a token request.
const maxFormBytes = 64 << 10

// ServeToken is the token endpoint (RFC 6749, 4.4; SB-030..064).
func (a *Authority) ServeToken(w http.ResponseWriter, r *http.Request) {
	form, ok := a.open(w, r)
	if !ok {
		return
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		a.refuse(w, r, "", &Refusal{Code: "invalid_request", Reason: "grant-type-missing", Description: "grant_type is missing"})
		return
	case grant != "client_credentials":
		a.refuse(w, r, "", &Refusal{Code: "unsupported_grant_type", Reason: "grant-type", Description: "grant_type is not client_credentials"})
		return
	}
	var secret string
	var token *control.Token
	client, ok := a.admit(w, r, form, func(c *Client) (*control.Token, *Refusal, error) {
		scopes, refusal := a.grant(c, form.Get("scope"))
		if refusal != nil {
			return nil, refusal, nil
		}
		var err error
		secret, token, err = a.mint(r.Context(), c, scopes)
		return token, nil, err
	})
	if !ok {
		return
	}
	scope := strings.Join(token.Scopes, " ")
	a.options.Log.InfoContext(r.Context(), "token issued", slog.String("client_id", client.ID), slog.String("scope", scope))
	answer(w, http.StatusOK, map[string]any{
		"access_token": secret,
		"token_type":   "bearer",
		"expires_in":   int64(a.options.TokenLife / time.Second),
		"scope":        scope,
	})
}

// ServeIntrospection tells a client about a token of its own (RFC 7662;
// SB-090..092). The caller shows a bearer token or a client assertion.
func (a *Authority) ServeIntrospection(w http.ResponseWriter, r *http.Request) {
	form, caller, ok := a.openFor(w, r)
	if !ok {
		return
	}
	token, err := a.live(r.Context(), form.Get("token"))
	if err == nil {
		var access *Client
		access, err = a.options.Clients.Client(r.Context(), token.ClientID)
		if errors.Is(err, ErrUnknownClient) || err == nil && (!access.Live(a.now()) || access.ID != caller.ID) {
			err = ErrInvalidToken
		}
	}
	switch {
	case errors.Is(err, ErrInvalidToken):
		answer(w, http.StatusOK, map[string]any{"active": false})
	case err != nil:
		a.stopped(w, r, nil, err, form)
	default:
		answer(w, http.StatusOK, map[string]any{
			"active":     true,
			"scope":      token.Scope,
			"client_id":  token.ClientID,
			"token_type": "bearer",
			"iat":        token.Issued.Unix(),
			"exp":        token.Expires.Unix(),
		})
	}
}

// ServeRevocation ends a token of the caller's own (RFC 7009; SB-093). The
// answer is the same whether or not there was one.
func (a *Authority) ServeRevocation(w http.ResponseWriter, r *http.Request) {
	form, caller, ok := a.openFor(w, r)
	if !ok {
		return
	}
	id := TokenID(form.Get("token"))
	token, err := a.options.Tokens.Token(r.Context(), id)
	if err == nil && token.ClientID == caller.ID {
		err = a.options.Tokens.RevokeToken(r.Context(), id)
	}
	if err != nil && !errors.Is(err, ErrUnknownToken) {
		a.stopped(w, r, nil, err, form)
		return
	}
	if err == nil && token.ClientID == caller.ID {
		a.audit(r, "token-revoke", caller.ID, "ok", "")
	}
	noStore(w)
	w.WriteHeader(http.StatusOK)
}

// open reads the form of a POST, or answers and returns false.
func (a *Authority) open(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, oauthError("invalid_request", "the method is not POST"))
		return nil, false
	}
	if wait := a.failures.wait(a.options.Remote(r)); wait > 0 {
		a.throttled(w, wait, "too many refused requests")
		return nil, false
	}
	bad := func(reason, description string) (url.Values, bool) {
		a.refuse(w, r, "", &Refusal{Code: "invalid_request", Reason: reason, Description: description})
		return nil, false
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return bad("content-type", "the content type is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFormBytes))
	if err != nil {
		return bad("body", "the body cannot be read or is too long")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return bad("form", "the body is not a form")
	}
	for _, values := range form {
		if len(values) > 1 {
			return bad("duplicate-parameter", "a parameter is given twice")
		}
	}
	return form, true
}

// openFor reads the form of a request about a token, and finds the caller.
func (a *Authority) openFor(w http.ResponseWriter, r *http.Request) (url.Values, *Client, bool) {
	form, ok := a.open(w, r)
	if !ok {
		return nil, nil, false
	}
	var caller *Client
	if form.Has("client_assertion") {
		caller, ok = a.admit(w, r, form, func(*Client) (*control.Token, *Refusal, error) { return nil, nil, nil })
		if !ok {
			return nil, nil, false
		}
	} else {
		access, err := a.Authenticate(r.Context(), r.Header)
		if errors.Is(err, ErrNoToken) || errors.Is(err, ErrInvalidToken) {
			a.failures.refused(a.options.Remote(r))
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, oauthError("invalid_client", "the caller is not authenticated"))
			return nil, nil, false
		}
		if a.stopped(w, r, nil, err, form) {
			return nil, nil, false
		}
		caller = access.Client
	}
	if form.Get("token") == "" {
		a.refuse(w, r, caller.ID, &Refusal{Code: "invalid_request", Reason: "token-missing", Description: "token is missing"})
		return nil, nil, false
	}
	return form, caller, true
}

// maxReadings bounds how often a request is decided anew because its client's
// registration changed meanwhile.
const maxReadings = 4

// admit checks the client assertion of a form, lets decide say what it earns,
// and spends it; or answers and returns false. Nothing is answered before what
// was decided is durable.
func (a *Authority) admit(w http.ResponseWriter, r *http.Request, form url.Values, decide func(*Client) (*control.Token, *Refusal, error)) (*Client, bool) {
	ctx := r.Context()
	s, refusal := a.openAssertion(form)
	if a.stopped(w, r, refusal, nil, form) {
		return nil, false
	}
	for n := range maxReadings {
		client, refusal, err := a.verifyAssertion(ctx, s, n > 0)
		if a.stopped(w, r, refusal, err, form) {
			return nil, false
		}
		if client.TokenRate > 0 {
			if wait := a.rates.take(client.ID, client.TokenRate); wait > 0 {
				a.throttled(w, wait, "too many token requests")
				return nil, false
			}
		}
		token, refusal, err := decide(client)
		if a.stopped(w, r, nil, err, form) {
			return nil, false
		}
		use := control.Use{ClientID: client.ID, Revision: client.Revision, JTI: s.jti, Until: s.expires.Add(clockSkew), Token: token}
		replayed := badClient("jti-replayed", "jti was used before")
		if a.options.Audit != nil {
			use.Replayed = a.event(r, "token", client.ID, "refused", replayed.Error())
			switch {
			case refusal != nil:
				use.Granted = a.event(r, "token", client.ID, "refused", refusal.Error())
			case token != nil:
				use.Granted = a.event(r, "token", client.ID, "ok", strings.Join(token.Scopes, " "))
			default:
				use.Granted = a.event(r, "authenticate", client.ID, "ok", "")
			}
		}
		used, err := a.options.Ledger.Spend(ctx, use)
		switch {
		case err != nil:
			a.stopped(w, r, nil, fmt.Errorf("spend assertion: %w", err), form)
			return nil, false
		case used == control.Stale:
			continue // read it again, and decide anew
		case used == control.Replayed:
			a.refuseAudited(w, r, client.ID, replayed)
			return nil, false
		case refusal != nil:
			a.refuseAudited(w, r, client.ID, refusal)
			return nil, false
		}
		return client, true
	}
	a.stopped(w, r, nil, errors.New("the registration keeps changing"), form)
	return nil, false
}

// openAssertion checks what surrounds a client assertion and reads it.
func (a *Authority) openAssertion(form url.Values) (*assertion, *Refusal) {
	switch kind := form.Get("client_assertion_type"); {
	case form.Has("client_secret"):
		return nil, badClient("client-secret", "clients authenticate by private_key_jwt only")
	case kind == "":
		return nil, &Refusal{Code: "invalid_request", Reason: "assertion-type-missing", Description: "client_assertion_type is missing"}
	case kind != AssertionType:
		return nil, &Refusal{Code: "invalid_request", Reason: "assertion-type", Description: "client_assertion_type is not " + AssertionType}
	case form.Get("client_assertion") == "":
		return nil, &Refusal{Code: "invalid_request", Reason: "assertion-missing", Description: "client_assertion is missing"}
	}
	s, refusal := a.readAssertion(form.Get("client_assertion"), append([]string{a.options.TokenURL}, a.options.Audiences...))
	if refusal != nil {
		return nil, refusal
	}
	if form.Has("client_id") && form.Get("client_id") != s.client {
		return nil, badClient("client-id", "client_id is not equal to sub")
	}
	return s, nil
}

// stopped answers a refusal or a fault, if there is one.
func (a *Authority) stopped(w http.ResponseWriter, r *http.Request, refusal *Refusal, err error, form url.Values) bool {
	switch {
	case err != nil:
		a.options.Log.ErrorContext(r.Context(), "authorization fault", slog.String("error", err.Error()))
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, oauthError("temporarily_unavailable", "the request cannot be answered now"))
	case refusal != nil:
		a.refuse(w, r, claimedClient(form.Get("client_assertion")), refusal)
	default:
		return false
	}
	return true
}

// refuse answers a refusal as 400 (SB-034), counts it and notes it in the audit
// trail.
func (a *Authority) refuse(w http.ResponseWriter, r *http.Request, clientID string, refusal *Refusal) {
	a.audit(r, "token", clientID, "refused", refusal.Error())
	a.refuseAudited(w, r, clientID, refusal)
}

// refuseAudited is refuse for what the trail holds already.
func (a *Authority) refuseAudited(w http.ResponseWriter, r *http.Request, clientID string, refusal *Refusal) {
	a.failures.refused(a.options.Remote(r))
	a.options.Log.WarnContext(r.Context(), "authorization refused",
		slog.String("client_id", clientID), slog.String("code", refusal.Code), slog.String("reason", refusal.Reason))
	answer(w, http.StatusBadRequest, oauthError(refusal.Code, refusal.Description))
}

// throttled answers 429 with the time to wait (SB-039).
func (a *Authority) throttled(w http.ResponseWriter, wait time.Duration, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	answer(w, http.StatusTooManyRequests, oauthError("invalid_request", text))
}

// claimedClient is the issuer that an assertion names, for the log: nobody has
// verified it, so only a plain short word passes.
func claimedClient(compact string) string {
	parts := strings.SplitN(compact, ".", 3)
	if len(parts) != 3 || len(compact) > maxAssertionBytes {
		return ""
	}
	claims, err := jsonPart(parts[1])
	if err != nil {
		return ""
	}
	id, _ := stringMember(claims, "iss")
	plain := func(c rune) bool {
		return c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
	}
	if len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return "?"
	}
	return id
}

func oauthError(code, description string) map[string]any {
	return map[string]any{"error": code, "error_description": description}
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}

// answer writes JSON that no cache may keep (SB-037, SB-064).
func answer(w http.ResponseWriter, status int, body map[string]any) {
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The reader may be gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
