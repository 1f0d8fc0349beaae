package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/server/audit"
	"remit/server/auth"
	"remit/sql/control"
)

// Limits of the API.
const (
	maxBody      = 64 << 20 // a list of choices may be long
	maxHeader    = 16 << 10
	apiTimeout   = 2 * time.Minute
	minSecret    = 32
	maxFailures  = 10 // wrong credentials an address may show in a minute
	maxAddresses = 10_000
)

// Credential is one administrator's.
type Credential struct {
	Name   string
	digest [sha256.Size]byte
}

// ParseCredentials reads a file of credentials: one a line, "NAME:SECRET", or a
// secret alone, which is that of "admin"; empty lines and lines that begin with #
// are passed over. A secret has at least 32 characters. Errors name lines, never
// what stands there.
func ParseCredentials(file []byte) ([]Credential, error) {
	var all []Credential
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, secret, named := strings.Cut(line, ":")
		if !named {
			name, secret = "admin", line
		}
		if name = strings.TrimSpace(name); name == "" || len(secret) < minSecret {
			return nil, fmt.Errorf("admin credentials: line %d: a name and a secret of at least %d characters are needed", i+1, minSecret)
		}
		all = append(all, Credential{name, sha256.Sum256([]byte(secret))})
	}
	if all == nil {
		return nil, errors.New("admin credentials: there is none")
	}
	return all, nil
}

// Options configures an API. Desk and Credentials are required.
type Options struct {
	Desk        *Desk
	Credentials []Credential
	// TLS, where not nil, makes Serve speak TLS.
	TLS *tls.Config
	Log *slog.Logger
}

// API is the HTTP face of a Desk, for a listener of its own.
type API struct {
	desk        *Desk
	credentials []Credential
	log         *slog.Logger
	http        *http.Server

	mu       sync.Mutex
	since    time.Time
	failures map[string]int
}

// NewAPI makes an API; it does not listen.
func NewAPI(o Options) (*API, error) {
	if o.Desk == nil || len(o.Credentials) == 0 {
		return nil, errors.New("admin: Desk and Credentials are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{desk: o.Desk, credentials: o.Credentials, log: o.Log, failures: map[string]int{}}
	a.http = &http.Server{Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: apiTimeout, WriteTimeout: apiTimeout,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, TLSConfig: o.TLS,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	return a, nil
}

// Handler answers requests below /admin.
func (a *API) Handler() http.Handler { return a.http.Handler }

// Serve answers requests on the listener until Stop.
func (a *API) Serve(l net.Listener) error {
	var err error
	if a.http.TLSConfig != nil {
		err = a.http.ServeTLS(l, "", "")
	} else {
		err = a.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve admin: %w", err)
}

// Stop waits for requests under way until ctx ends.
func (a *API) Stop(ctx context.Context) error {
	if err := a.http.Shutdown(ctx); err != nil {
		return errors.Join(err, a.http.Close())
	}
	return nil
}

func (a *API) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(a.guard)
	r.Route("/admin", func(r chi.Router) {
		r.Get("/clients", a.list)
		r.Post("/clients", a.add)
		r.Get("/clients/{id}", a.show)
		r.Patch("/clients/{id}", a.change)
		r.Put("/clients/{id}/keys", a.rotate)
		r.Post("/clients/{id}/disable", a.act(a.desk.Disable))
		r.Post("/clients/{id}/enable", a.act(a.desk.Enable))
		r.Post("/clients/{id}/revoke", a.act(a.desk.Revoke))
		r.Post("/clients/{id}/test", a.test)
		r.Get("/member-choices", a.countChoices)
		r.Put("/member-choices/{purpose}", a.setChoices(true))
		r.Patch("/member-choices/{purpose}", a.setChoices(false))
		r.Get("/audit", a.trail)
		r.Get("/audit/verify", a.verify)
	})
	return r
}

type actorKey struct{}

// actor is who sent the request.
func actor(r *http.Request) Actor {
	by, _ := r.Context().Value(actorKey{}).(Actor)
	return by
}

// guard lets administrators in. Every credential is compared, in constant time,
// so that the answer's time tells nothing.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		remote := auth.RemoteAddress(r)
		if a.shut(remote, false) {
			h.Set("Retry-After", "60")
			a.fail(w, http.StatusTooManyRequests, "too many wrong credentials")
			return
		}
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		digest := sha256.Sum256([]byte(secret))
		name, found := "", 0
		for _, c := range a.credentials {
			same := subtle.ConstantTimeCompare(digest[:], c.digest[:])
			if same == 1 {
				name = c.Name
			}
			found |= same
		}
		if !strings.EqualFold(scheme, "Bearer") || found == 0 {
			a.shut(remote, true)
			if err := a.desk.note(r.Context(), Actor{Remote: remote}, "admin-login", "", "refused", ""); err != nil {
				a.log.ErrorContext(r.Context(), "audit event lost", slog.String("error", err.Error()))
			}
			h.Set("WWW-Authenticate", "Bearer")
			a.fail(w, http.StatusUnauthorized, "an administrator's credential is required")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, Actor{name, remote})))
	})
}

// shut counts a wrong credential of an address, and says whether there were too
// many within a minute.
func (a *API) shut(remote string, wrong bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.desk.Clock()
	if age := now.Sub(a.since); age < 0 || age >= time.Minute || len(a.failures) > maxAddresses {
		a.since = now
		clear(a.failures)
	}
	if wrong {
		a.failures[remote]++
	}
	return a.failures[remote] >= maxFailures
}

func (a *API) fail(w http.ResponseWriter, status int, text string) {
	a.answer(w, status, map[string]string{"error": text})
}

func (a *API) answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic("admin: an answer is always JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // nobody is left to tell
}

// failed answers an error by what it means. Of a fault of ours no more is told
// than that.
func (a *API) failed(w http.ResponseWriter, r *http.Request, err error) {
	var invalid *auth.InvalidError
	switch {
	case errors.Is(err, auth.ErrUnknownClient):
		a.fail(w, http.StatusNotFound, "there is no such client")
	case errors.Is(err, control.ErrConflict):
		a.fail(w, http.StatusConflict, "the client is in that state already, or was changed meanwhile")
	case errors.As(err, &invalid):
		a.fail(w, http.StatusUnprocessableEntity, err.Error())
	default:
		a.log.ErrorContext(r.Context(), "admin request fault", slog.String("error", err.Error()))
		a.fail(w, http.StatusServiceUnavailable, "the request cannot be answered now")
	}
}

// body is a registration as the API takes it; a member that is absent from a
// change stays.
type body struct {
	ID         *string         `json:"id"`
	Name       *string         `json:"name"`
	JWKS       json.RawMessage `json:"jwks"`
	JWKSURL    string          `json:"jwks_url"`
	External   bool            `json:"external"`
	Scopes     []string        `json:"scopes"`
	Groups     *[]string       `json:"groups"`
	AllGroups  bool            `json:"all_groups"`
	Types      *[]string       `json:"types"`
	View       *string         `json:"view"`
	Purpose    *string         `json:"purpose"`
	Earliest   *string         `json:"earliest_service_date"`
	Contact    *string         `json:"contact"`
	Notes      *string         `json:"notes"`
	Expires    *time.Time      `json:"expires"`
	MaxExports *int            `json:"max_exports"`
	TokenRate  *int            `json:"token_rate"`
	Add        bool            `json:"add"`  // of keys
	Drop       []string        `json:"drop"` // of keys
}

func (a *API) read(w http.ResponseWriter, r *http.Request) (*body, bool) {
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	b := new(body)
	if err := in.Decode(b); err != nil {
		a.fail(w, http.StatusBadRequest, "the body is not JSON of the members known here")
		return nil, false
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		a.fail(w, http.StatusBadRequest, "something follows the body's JSON")
		return nil, false
	}
	return b, true
}

func set[T any](into *T, from *T) {
	if from != nil {
		*into = *from
	}
}

// into writes what the body tells into a registration.
func (b *body) into(r *auth.Registration) {
	set(&r.Name, b.Name)
	if b.Scopes != nil {
		r.Scope = strings.Join(b.Scopes, " ")
	}
	set(&r.Groups, b.Groups)
	if b.AllGroups {
		r.Groups = nil
	}
	set(&r.Types, b.Types)
	if len(r.Types) == 0 {
		r.Types = nil
	}
	set(&r.View, b.View)
	set(&r.Purpose, b.Purpose)
	set(&r.Earliest, b.Earliest)
	set(&r.Contact, b.Contact)
	set(&r.Notes, b.Notes)
	set(&r.Expires, b.Expires)
	set(&r.MaxExports, b.MaxExports)
	set(&r.TokenRate, b.TokenRate)
}

func (a *API) list(w http.ResponseWriter, r *http.Request) {
	all, err := a.desk.List(r.Context())
	if err != nil {
		a.failed(w, r, err)
		return
	}
	a.answer(w, http.StatusOK, map[string]any{"clients": all})
}

func (a *API) show(w http.ResponseWriter, r *http.Request) {
	c, err := a.desk.Show(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		a.failed(w, r, err)
		return
	}
	a.answer(w, http.StatusOK, c)
}

// shown answers with the client as it is now.
func (a *API) shown(w http.ResponseWriter, r *http.Request, status int, id string, err error) {
	if err != nil {
		a.failed(w, r, err)
		return
	}
	c, err := a.desk.Show(r.Context(), id)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	a.answer(w, status, c)
}

func (a *API) add(w http.ResponseWriter, r *http.Request) {
	b, ok := a.read(w, r)
	if !ok {
		return
	}
	reg := auth.Registration{KeysURL: b.JWKSURL, External: b.External}
	if b.JWKS != nil {
		reg.Keys = b.JWKS
	}
	set(&reg.ID, b.ID)
	b.into(&reg)
	if b.AllGroups == (b.Groups != nil) {
		a.fail(w, http.StatusUnprocessableEntity, "say whose data the client may have: give groups, or all_groups as true")
		return
	}
	id, err := a.desk.Add(r.Context(), actor(r), reg)
	a.shown(w, r, http.StatusCreated, id, err)
}

func (a *API) change(w http.ResponseWriter, r *http.Request) {
	b, ok := a.read(w, r)
	if !ok {
		return
	}
	if b.AllGroups && b.Groups != nil {
		a.fail(w, http.StatusUnprocessableEntity, "give groups, or all_groups as true, and not both")
		return
	}
	id := chi.URLParam(r, "id")
	a.shown(w, r, http.StatusOK, id, a.desk.Change(r.Context(), actor(r), id, b.into))
}

func (a *API) rotate(w http.ResponseWriter, r *http.Request) {
	b, ok := a.read(w, r)
	if !ok {
		return
	}
	id := chi.URLParam(r, "id")
	k := auth.KeyChange{KeysURL: b.JWKSURL, Add: b.Add, Drop: b.Drop}
	if b.JWKS != nil {
		k.Keys = b.JWKS
	}
	a.shown(w, r, http.StatusOK, id, a.desk.Rotate(r.Context(), actor(r), id, k))
}

func (a *API) act(do func(context.Context, Actor, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := chi.URLParam(r, "id")
		a.shown(w, r, http.StatusOK, id, do(r.Context(), actor(r), id))
	}
}

func (a *API) test(w http.ResponseWriter, r *http.Request) {
	checks, err := a.desk.Test(r.Context(), actor(r), chi.URLParam(r, "id"))
	if err != nil {
		a.failed(w, r, err)
		return
	}
	a.answer(w, http.StatusOK, map[string]any{"checks": checks})
}

// choiceCount is a count of choices as the API tells it.
type choiceCount struct {
	Purpose  string    `json:"purpose"`
	ClientID string    `json:"client,omitempty"`
	Choice   string    `json:"choice"`
	Members  int64     `json:"members"`
	Changed  time.Time `json:"changed"`
}

func (a *API) countChoices(w http.ResponseWriter, r *http.Request) {
	counts, err := a.desk.Control.ChoiceCounts(r.Context())
	if err != nil {
		a.failed(w, r, err)
		return
	}
	out := make([]choiceCount, len(counts))
	for i, c := range counts {
		out[i] = choiceCount{c.Purpose, c.ClientID, c.Choice, c.Members, c.Changed}
	}
	a.answer(w, http.StatusOK, map[string]any{"choices": out})
}

func (a *API) setChoices(replace bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		choices, err := ReadChoices(r.Body)
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			a.fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the list is longer than %d bytes", maxBody))
			return
		}
		if err != nil {
			err = &auth.InvalidError{Err: err}
		} else {
			err = a.desk.SetChoices(r.Context(), actor(r), chi.URLParam(r, "purpose"), choices, replace)
		}
		if err != nil {
			a.failed(w, r, err)
			return
		}
		a.answer(w, http.StatusOK, map[string]int{"choices": len(choices)})
	}
}

func (a *API) trail(w http.ResponseWriter, r *http.Request) {
	var from time.Time
	if text := r.URL.Query().Get("from"); text != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, text); err != nil {
			a.fail(w, http.StatusBadRequest, "from is not an instant like 2026-01-01T00:00:00Z")
			return
		}
	}
	w.Header().Set("Content-Type", "application/fhir+ndjson")
	if _, err := audit.Write(r.Context(), a.desk.Control, w, from); err != nil {
		a.log.ErrorContext(r.Context(), "audit trail not sent whole", slog.String("error", err.Error()))
		panic(http.ErrAbortHandler) // the status is out
	}
}

func (a *API) verify(w http.ResponseWriter, r *http.Request) {
	v, err := a.desk.Control.VerifyEvents(r.Context())
	if err != nil {
		a.failed(w, r, err)
		return
	}
	a.answer(w, http.StatusOK, map[string]any{"ok": len(v.Breaks) == 0, "events": v.Events, "chains": len(v.Chains), "breaks": v.Breaks})
}
