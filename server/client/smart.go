package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// Configuration is a server's SMART configuration, as far as a backend client
// needs it (SMART App Launch 2.2.0, Conformance).
type Configuration struct {
	TokenEndpoint string   `json:"token_endpoint"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms    []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	Scopes        []string `json:"scopes_supported"`
	Capabilities  []string `json:"capabilities"`
}

// Discover reads the server's SMART configuration.
func (c *Client) Discover(ctx context.Context) (*Configuration, error) {
	var configuration Configuration
	err := c.again(ctx, func(ctx context.Context) error {
		resp, err := c.send(ctx, "discover", http.MethodGet, c.prefix+"/.well-known/smart-configuration",
			http.Header{"Accept": {"application/json"}}, nil, false)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return c.failure("discover", resp)
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxError)).Decode(&configuration); err != nil {
			return lasting{fmt.Errorf("discover: %w", err)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if configuration.TokenEndpoint == "" {
		return nil, errors.New("discover: the server names no token endpoint")
	}
	return &configuration, nil
}

// Times of assertions and tokens.
const (
	assertionLife = 4 * time.Minute  // below the 5 minutes that servers allow
	renewBefore   = 30 * time.Second // a token about to expire is renewed
)

// Token returns an access token that is good for a while yet, and gets a new
// one where needed. It is "" for a client without key.
func (c *Client) Token(ctx context.Context) (string, error) {
	if c.options.Key == nil {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && c.options.Clock().Before(c.expires) {
		return c.token, nil
	}
	if c.tokenURL == "" {
		configuration, err := c.Discover(ctx)
		if err != nil {
			return "", err
		}
		c.tokenURL = configuration.TokenEndpoint
	}
	u, err := url.Parse(c.tokenURL)
	if err != nil || u.Host == "" || u.Scheme == "http" && c.base.Scheme == "https" {
		return "", errors.New("token: the token endpoint is no URL that a secret may go to")
	}
	err = c.again(ctx, func(ctx context.Context) error { return c.requestToken(ctx) })
	if err != nil {
		return "", err
	}
	return c.token, nil
}

// forgetToken makes the next request get a new token.
func (c *Client) forgetToken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = ""
}

// requestToken asks once. The lock is held.
func (c *Client) requestToken(ctx context.Context) error {
	assertion, err := c.assertion()
	if err != nil {
		return lasting{err}
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"scope":                 {c.options.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	resp, err := c.send(ctx, "token", http.MethodPost, c.tokenURL, http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"},
	}, strings.NewReader(form.Encode()), false)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		e := c.failure("token", resp)
		if e.Status == http.StatusUnauthorized {
			return lasting{e} // a second assertion fares no better
		}
		return e
	}
	var answer struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxError)).Decode(&answer); err != nil {
		return lasting{fmt.Errorf("token: %w", err)}
	}
	if answer.AccessToken == "" {
		return lasting{errors.New("token: the answer has no access_token")}
	}
	life := 5 * time.Minute
	if n, err := answer.ExpiresIn.Int64(); err == nil && n > 0 {
		life = time.Duration(n) * time.Second
	}
	c.token = answer.AccessToken
	c.expires = c.options.Clock().Add(life - min(renewBefore, life/2))
	return nil
}

// assertion makes a client assertion for one use (SMART App Launch 2.2.0,
// Client Authentication: Asymmetric).
func (c *Client) assertion() (string, error) {
	now := c.options.Clock()
	claims, err := json.Marshal(map[string]any{
		"iss": c.options.ClientID,
		"sub": c.options.ClientID,
		"aud": c.tokenURL,
		"exp": now.Add(assertionLife).Unix(),
		"iat": now.Unix(),
		"jti": rand.Text() + rand.Text(),
	})
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]string{jws.TypeKey: "JWT", jws.KeyIDKey: c.options.Key.ID()} {
		if err := headers.Set(name, value); err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
	}
	signed, err := jws.Sign(claims, jws.WithKey(c.options.Key.alg, c.options.Key.private, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", fmt.Errorf("token: sign assertion: %w", err)
	}
	return string(signed), nil
}
