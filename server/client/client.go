// Package client is the other end of the exchange: it discovers a Bulk Data
// server, authenticates by SMART Backend Services, kicks off an export, polls
// it, and downloads what the manifest lists. It works against any server of
// the guide, and knows nothing of this one's inside.
//
// Source: Bulk Data 3.0.0; SMART App Launch 2.2.0, Backend Services.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configures a Client. BaseURL is required; without Key the client
// speaks to an open server.
type Options struct {
	// BaseURL is the server's FHIR base.
	BaseURL string
	// ClientID is the id that the server gave at registration.
	ClientID string
	// Key signs the client's assertions.
	Key *Key
	// Scope is asked for with each token; "" means system/*.rs.
	Scope string
	// TokenURL replaces what discovery would find.
	TokenURL string
	// TokenHosts lists further hosts ("files.example.org:443") that may be
	// shown the token where a manifest requires it; the base's own host always
	// may (SB-086).
	TokenHosts []string
	// Attempts is how often a request is tried that fails in a way that may
	// pass; 0 means 5.
	Attempts int
	// HTTP sends the requests; nil means a client of its own. It must not
	// decompress by itself.
	HTTP *http.Client
	// UserAgent is sent with each request; "" means "remit".
	UserAgent string
	// Clock is the time; nil means the system's clock.
	Clock func() time.Time
	// Wait pauses; nil means a timer. Tests replace it.
	Wait func(ctx context.Context, d time.Duration) error
}

// Client is one client of one server. It is safe for concurrent use.
type Client struct {
	options Options
	base    *url.URL
	prefix  string // base without trailing slash

	mu       sync.Mutex
	tokenURL string
	token    string
	expires  time.Time
}

// New makes a Client; it sends nothing yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return nil, fmt.Errorf("client: base URL %q is not an absolute http or https URL", o.BaseURL)
	}
	if o.Key != nil && o.ClientID == "" {
		return nil, errors.New("client: a key needs a client id")
	}
	if o.Scope == "" {
		o.Scope = "system/*.rs"
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true
		t.ResponseHeaderTimeout = 2 * time.Minute
		o.HTTP = &http.Client{Transport: t}
	}
	if o.UserAgent == "" {
		o.UserAgent = "remit"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	return &Client{options: o, base: u, prefix: strings.TrimRight(o.BaseURL, "/"), tokenURL: o.TokenURL}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Error is an answer that is no success. It shows what the server says about
// it: an OperationOutcome or an OAuth error.
type Error struct {
	Op     string
	Status int
	// Code is the OAuth error code, or the first issue's code.
	Code string
	// Messages are the texts of the answer.
	Messages []string
	// RetryAfter is the wait that the server asks for; 0 if it does not.
	RetryAfter time.Duration
	// transient says that every issue is of the transient family (BE-163).
	transient bool
}

// Error is "poll: 500: the export failed".
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %d", e.Op, e.Status)
	if name := http.StatusText(e.Status); name != "" {
		text += " " + name
	}
	if e.Code != "" {
		text += " [" + e.Code + "]"
	}
	if len(e.Messages) > 0 {
		text += ": " + strings.Join(e.Messages, "; ")
	}
	return text
}

// passing says that trying again may help.
func (e *Error) passing() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.transient
}

// maxError bounds what is read of an answer that is no success.
const maxError = 1 << 20

// failure reads an answer that is no success. It does not close the body.
func (c *Client) failure(op string, resp *http.Response) *Error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		body = nil // the status alone must do
	}
	e := readFailure(op, resp.StatusCode, body)
	e.RetryAfter = c.retryAfter(resp.Header)
	return e
}

func readFailure(op string, status int, body []byte) *Error {
	e := &Error{Op: op, Status: status}
	var answer struct {
		Issue []struct {
			Code        string
			Diagnostics string
			Details     struct{ Text string }
		}
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return e
	}
	if answer.Error != "" {
		e.Code = answer.Error
		if answer.Description != "" {
			e.Messages = append(e.Messages, answer.Description)
		}
		return e
	}
	transient := []string{"transient", "lock-error", "no-store", "timeout", "incomplete", "throttled"}
	e.transient = len(answer.Issue) > 0
	for i, issue := range answer.Issue {
		if i == 0 {
			e.Code = issue.Code
		}
		e.transient = e.transient && slices.Contains(transient, issue.Code)
		switch {
		case issue.Details.Text != "":
			e.Messages = append(e.Messages, issue.Details.Text)
		case issue.Diagnostics != "":
			e.Messages = append(e.Messages, issue.Diagnostics)
		}
	}
	return e
}

// retryAfter reads Retry-After as seconds or as a date; 0 without one.
func (c *Client) retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(c.options.Clock()), 0)
	}
	return 0
}

// backoff is the pause before try n+1, from 1: 0.5, 1, 2, 4 ... seconds, at
// most 30, unless the server asks for more.
func backoff(n int, asked time.Duration) time.Duration {
	d := min(500*time.Millisecond<<min(n-1, 10), 30*time.Second)
	return max(d, asked)
}

// again runs try until it succeeds, fails for good, or the attempts are over.
func (c *Client) again(ctx context.Context, try func(context.Context) error) error {
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || ctx.Err() != nil || n >= c.options.Attempts {
			return err
		}
		var answered *Error
		var asked time.Duration
		switch {
		case errors.As(err, &answered):
			unauthorized := answered.Status == http.StatusUnauthorized && c.options.Key != nil && n == 1
			if unauthorized {
				c.forgetToken()
			} else if !answered.passing() {
				return err
			}
			asked = answered.RetryAfter
		case permanent(err):
			return err
		}
		if err := c.options.Wait(ctx, backoff(n, asked)); err != nil {
			return err
		}
	}
}

// lasting marks an error that no second try mends.
type lasting struct{ err error }

func (l lasting) Error() string { return l.err.Error() }
func (l lasting) Unwrap() error { return l.err }

func permanent(err error) bool {
	var l lasting
	return errors.As(err, &l)
}

// send makes one request. The caller closes the body. With authorize, the token
// goes along if there is a key.
func (c *Client) send(ctx context.Context, op, method, target string, h http.Header, body io.Reader, authorize bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, lasting{fmt.Errorf("%s: %w", op, err)}
	}
	for name, values := range h {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.options.UserAgent)
	if authorize && c.options.Key != nil && c.trusted(req.URL) {
		token, err := c.Token(ctx)
		if err != nil {
			return nil, lasting{err}
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.options.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return resp, nil
}

// trusted says whether the token may be shown to the URL's host: a token shown
// to a stranger is a token lost (SB-086).
func (c *Client) trusted(u *url.URL) bool {
	return u.Scheme == c.base.Scheme && u.Host == c.base.Host || u.Scheme == "https" && slices.Contains(c.options.TokenHosts, u.Host)
}

// Level is where an export is kicked off.
type Level string

// The levels.
const (
	System  Level = "system"
	Patient Level = "patient"
	Group   Level = "group"
)

// Kickoff says what to export.
type Kickoff struct {
	// Level is where; "" means Group where a group is named, else System.
	Level Level
	Group string
	Types []string
	Since string // FHIR instant, as given
	Until string
	// Patients are ids or references "Patient/id"; naming any makes the
	// kick-off a POST.
	Patients []string
	// Lenient asks the server to pass over what it does not support.
	Lenient bool
	// Post uses POST without need.
	Post bool
	// Extra are further parameters, such as _typeFilter.
	Extra url.Values
}

// Kickoff starts an export and returns its status URL.
func (c *Client) Kickoff(ctx context.Context, k Kickoff) (statusURL string, err error) {
	target, body, err := c.kickoffRequest(k)
	if err != nil {
		return "", err
	}
	h := http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}}
	if k.Lenient {
		h.Set("Prefer", "respond-async, handling=lenient")
	}
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
		h.Set("Content-Type", "application/fhir+json")
	}
	err = c.again(ctx, func(ctx context.Context) error {
		resp, err := c.send(ctx, "kick off", method, target, h, strings.NewReader(string(body)), true)
		if err != nil {
			// The server may have begun the export; asking again could begin
			// a second.
			return lasting{err}
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
			return c.failure("kick off", resp)
		}
		at, err := resp.Request.URL.Parse(resp.Header.Get("Content-Location"))
		if err != nil || resp.Header.Get("Content-Location") == "" {
			return lasting{errors.New("kick off: the answer has no Content-Location")}
		}
		statusURL = at.String()
		return nil
	})
	return statusURL, err
}

func (c *Client) kickoffRequest(k Kickoff) (target string, body []byte, err error) {
	if k.Level == "" {
		k.Level = System
		if k.Group != "" {
			k.Level = Group
		}
	}
	switch k.Level {
	case System:
		target = c.prefix + "/$export"
	case Patient:
		target = c.prefix + "/Patient/$export"
	case Group:
		if k.Group == "" {
			return "", nil, errors.New("kick off: a group export needs a group")
		}
		target = c.prefix + "/Group/" + url.PathEscape(k.Group) + "/$export"
	default:
		return "", nil, fmt.Errorf("kick off: unknown level %q", k.Level)
	}
	if len(k.Patients) == 0 && !k.Post {
		query := url.Values{}
		for name, values := range k.Extra {
			query[name] = slices.Clone(values)
		}
		if len(k.Types) > 0 {
			query.Set("_type", strings.Join(k.Types, ","))
		}
		if k.Since != "" {
			query.Set("_since", k.Since)
		}
		if k.Until != "" {
			query.Set("_until", k.Until)
		}
		if len(query) > 0 {
			target += "?" + query.Encode()
		}
		return target, nil, nil
	}
	parameters := []parameter{}
	for _, name := range slices.Sorted(maps.Keys(k.Extra)) {
		for _, value := range k.Extra[name] {
			form, v := "valueString", any(value)
			if name == "allowPartialManifests" && (value == "true" || value == "false") {
				form, v = "valueBoolean", value == "true"
			}
			parameters = append(parameters, parameter{"name": name, form: v})
		}
	}
	for _, t := range k.Types {
		parameters = append(parameters, parameter{"name": "_type", "valueString": t})
	}
	if k.Since != "" {
		parameters = append(parameters, parameter{"name": "_since", "valueInstant": k.Since})
	}
	if k.Until != "" {
		parameters = append(parameters, parameter{"name": "_until", "valueInstant": k.Until})
	}
	for _, p := range k.Patients {
		if !strings.Contains(p, "/") {
			p = "Patient/" + p
		}
		parameters = append(parameters, parameter{"name": "patient", "valueReference": map[string]string{"reference": p}})
	}
	body, err = parametersJSON(parameters)
	if err != nil {
		return "", nil, fmt.Errorf("kick off: %w", err)
	}
	return target, body, nil
}

// Progress is one poll that found the export running.
type Progress struct {
	// Text is what the server says, such as "42% complete".
	Text string
	// Percent is what Text begins with; -1 where it tells none.
	Percent int
	// Next is the pause before the next poll.
	Next time.Duration
}

// maxPause caps the pause between polls.
const maxPause = time.Minute

// Poll asks for the status until the export is done, and returns the manifest
// with the pages it links to. progress may be nil.
func (c *Client) Poll(ctx context.Context, statusURL string, progress func(Progress)) (*Manifest, error) {
	var whole *Manifest
	seen := map[string]bool{}
	for next := statusURL; next != ""; {
		if seen[next] {
			return nil, errors.New("poll: the manifest's links go in a circle")
		}
		seen[next] = true
		page, err := c.pollOne(ctx, next, progress)
		if err != nil {
			return nil, err
		}
		next = page.next()
		if whole == nil {
			whole = page
			continue
		}
		whole.add(page)
	}
	whole.Link = nil
	return whole, nil
}

func (c *Client) pollOne(ctx context.Context, target string, progress func(Progress)) (*Manifest, error) {
	h := http.Header{"Accept": {"application/json"}}
	for quiet := time.Second; ; quiet = min(quiet*2, 10*time.Second) {
		var manifest *Manifest
		var running Progress
		err := c.again(ctx, func(ctx context.Context) error {
			resp, err := c.send(ctx, "poll", http.MethodGet, target, h, nil, true)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusAccepted:
				running = Progress{Text: resp.Header.Get("X-Progress"), Percent: percentOf(resp.Header.Get("X-Progress")), Next: c.retryAfter(resp.Header)}
				return nil
			case http.StatusOK:
				manifest, err = readManifest(resp)
				return err
			}
			return c.failure("poll", resp)
		})
		if err != nil || manifest != nil {
			return manifest, err
		}
		if running.Next == 0 {
			running.Next = quiet
		}
		running.Next = min(running.Next, maxPause)
		if progress != nil {
			progress(running)
		}
		if err := c.options.Wait(ctx, running.Next); err != nil {
			return nil, fmt.Errorf("poll: %w", err)
		}
	}
}

// percentOf reads the number before the first percent sign; -1 without one.
func percentOf(text string) int {
	before, _, ok := strings.Cut(text, "%")
	if !ok {
		return -1
	}
	digits := before[strings.LastIndexFunc(before, func(r rune) bool { return r < '0' || r > '9' })+1:]
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}

// Delete cancels a running export, or tells the server that its files are no
// longer needed.
func (c *Client) Delete(ctx context.Context, statusURL string) error {
	return c.again(ctx, func(ctx context.Context) error {
		resp, err := c.send(ctx, "delete", http.MethodDelete, statusURL, http.Header{"Accept": {"application/json"}}, nil, true)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return c.failure("delete", resp)
		}
		return nil
	})
}
