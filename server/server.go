// Package server is the HTTP face: SMART discovery and tokens, the capability
// statement, the Bulk Data exchange of kick-off, status, manifest, files and
// deletion, reads and searches, the groups that clients make, and what is
// published. It knows no mapping rule, no SQL and no job; it turns requests into
// what the export room answers, within what the client's token and registration
// allow, and answers into FHIR.
//
// Every URL it hands out is made from the configured public URL, never from a
// Host header. Nothing it logs holds a query value, a token or a body.
//
// Source: Bulk Data 3.0.0 and SMART App Launch 2.2.0; the numbers BE- and SB-
// are those of Remit's lists of requirements.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/mapping/program"
	"remit/profiles/search"
	"remit/server/auth"
	"remit/server/export"
	"remit/sql/control"
)

// Paths below the FHIR base that are no FHIR resources (BE-154).
const (
	filePath       = "/$export-file/"
	TokenPath      = "/auth/token"
	StatusPath     = "/$export-status/"
	introspectPath = "/auth/introspect"
	revokePath     = "/auth/revoke"
	authorizePath  = "/auth/authorize"
	keysPath       = "/auth/jwks.json"
	smartPath      = "/.well-known/smart-configuration"
)

// Software is what the capability statement says about the program.
type Software struct {
	Name, Version string
	// Released is the date of the release, "2026-11-23"; "" leaves it out.
	Released string
}

// Options configures a Server. PublicURL, Exports and Types are required.
type Options struct {
	// PublicURL is the FHIR base as clients see it: absolute, with or without
	// a path, no query. Requests are expected at its path.
	PublicURL string
	Exports   Exports
	// Types lists the resource types that are exported now; the mapping set
	// behind it may change between requests.
	Types func() []program.Type
	// KnownType tells names of FHIR R4 resource types from other words; nil
	// goes by form.
	KnownType func(resourceType string) bool
	// Reads answers reads and searches; nil serves none.
	Reads Reads
	// Groups keeps the groups that clients make; nil makes none. It goes with
	// Reads.
	Groups Groups
	// Publications are what is published; nil publishes nothing.
	Publications Publications
	// Search holds the search parameters that searches may use; it goes with
	// Reads.
	Search *search.Parameters
	// Secret keys the links to further pages, 32 bytes; servers that share it
	// take each other's links. Nil makes one that ends with the process.
	Secret []byte
	// Authority authenticates clients. Nil serves everybody without asking,
	// which is for loopback and tests alone (SB-102).
	Authority *auth.Authority
	// External takes the tokens of an authorization server elsewhere, in the
	// Authority's place (SB-100).
	External *auth.External
	// TokenKeys publishes the keys that sign access tokens; nil where they are
	// not signed.
	TokenKeys func(context.Context) ([]byte, error)
	// AppLaunchStub advertises an authorization endpoint that answers every
	// request with an OAuth error, for clients and test kits that insist on one
	// (SB-010).
	AppLaunchStub bool
	Software      Software
	// ServiceDate names the search parameter of a resource type that tells its
	// date of service, "" where the type has none; nil knows none. Clients with
	// an earliest date of service are held to it by that.
	ServiceDate func(resourceType string) string
	// MaxRunning is how many exports may run for one client at once; 0 means
	// 5, and less than 3 is refused (BE-153).
	MaxRunning int
	// BulkVersion is the form of the Bulk Data interface: 3 (also 0), which older
	// clients take too, or 4 for the 4.0.0 ballot, which they do not (BE-002).
	BulkVersion int
	// PageFiles is how many files a page of a manifest lists where the client
	// takes pages (BE-150); 0 means 1,000.
	PageFiles int
	// FileURLKey, where not nil, makes the URLs of a manifest open without a token
	// for FileURLLife (5 minutes where 0): they are signed with it. Servers that
	// share a control store share it, too. At least 32 bytes.
	FileURLKey  []byte
	FileURLLife time.Duration
	// RequireAsync refuses a kick-off without Prefer: respond-async (BE-051).
	RequireAsync bool
	// Audit appends to the audit trail what clients do with exports: kick-off,
	// download and delete, and attempts at another client's. Nil keeps none.
	Audit func(context.Context, control.Event) error
	// Observe is told of every request answered, by route pattern; nil tells
	// nobody. It must not block.
	Observe func(route, method string, status int, took time.Duration)
	// TLS, where not nil, makes Serve speak TLS 1.2 or newer (BE-010).
	TLS *tls.Config
	Log *slog.Logger
	// Clock is the time; nil means the system's clock.
	Clock func() time.Time
}

// Timeouts of connections. Downloads have no limit as a whole; each piece of
// them must be taken within writeTimeout.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 2 * time.Minute
	maxHeader     = 64 << 10
)

// Server answers HTTP requests. It is safe for concurrent use.
type Server struct {
	options  Options
	base     string // PublicURL without trailing slash
	prefix   string // path of base
	root     string // scheme and host of base
	started  time.Time
	handler  http.Handler
	http     *http.Server
	sealer   *sealer
	kickoffs keyedLocks
	polls    pollLimiter

	// trailing are audit lines of downloads under way; trailed guards that none
	// begins while Stop waits for them.
	trailed  sync.Mutex
	trailing sync.WaitGroup
	quiet    bool

	mu      sync.Mutex
	stopped bool
}

// New makes a Server; it neither listens nor starts anything.
func New(o Options) (*Server, error) {
	if o.Exports == nil || o.Types == nil {
		return nil, errors.New("server: Exports and Types are required")
	}
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("server: public URL %q is not an absolute http or https URL without query", o.PublicURL)
	}
	switch {
	case o.MaxRunning == 0:
		o.MaxRunning = 5
	case o.MaxRunning < 3:
		return nil, errors.New("server: fewer than 3 running exports for a client break common clients")
	}
	switch o.BulkVersion {
	case 0:
		o.BulkVersion = 3
	case 3, 4:
	default:
		return nil, fmt.Errorf("server: Bulk Data version %d is not 3 or 4", o.BulkVersion)
	}
	if o.FileURLKey != nil && len(o.FileURLKey) < minimumURLKey {
		return nil, fmt.Errorf("server: the key of file URLs has fewer than %d bytes", minimumURLKey)
	}
	if o.PageFiles <= 0 {
		o.PageFiles = 1000
	}
	if o.FileURLLife <= 0 {
		o.FileURLLife = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Software.Name == "" {
		o.Software.Name = "Remit"
	}
	if o.Reads != nil && o.Search == nil || o.Groups != nil && o.Reads == nil {
		return nil, errors.New("server: Groups need Reads, and Reads need Search")
	}
	seal, err := newSealer(o.Secret)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:  o,
		sealer:   seal,
		base:     strings.TrimRight(o.PublicURL, "/"),
		prefix:   strings.TrimRight(u.Path, "/"),
		root:     u.Scheme + "://" + u.Host,
		started:  o.Clock().UTC(),
		kickoffs: keyedLocks{locks: map[string]*keyedLock{}},
		polls:    pollLimiter{buckets: map[string]*pollBucket{}},
	}
	s.handler = s.routes()
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if o.TLS != nil {
		s.http.TLSConfig = o.TLS.Clone()
		s.http.TLSConfig.MinVersion = max(s.http.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return s, nil
}

// Handler answers requests at the path of the public URL and at the host's
// root.
func (s *Server) Handler() http.Handler { return s.handler }

// Base is the public URL without trailing slash.
func (s *Server) Base() string { return s.base }

// Serve answers requests on the listener until Stop, and then returns nil. The
// listener is closed on return.
func (s *Server) Serve(l net.Listener) error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// Stop takes no new requests and waits for those under way, downloads among
// them, until ctx ends; then it cuts them off. It may be called at any time and
// more than once.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	defer s.settle()
	if err := s.http.Shutdown(ctx); err != nil {
		if closeErr := s.http.Close(); closeErr != nil {
			return errors.Join(err, closeErr)
		}
		return fmt.Errorf("stop: requests were cut off: %w", err)
	}
	return nil
}

// later does work beside what follows on the connection; once the server has
// stopped, at once.
func (s *Server) later(work func()) {
	s.trailed.Lock()
	if s.quiet {
		s.trailed.Unlock()
		work()
		return
	}
	s.trailing.Add(1)
	s.trailed.Unlock()
	go func() {
		defer s.trailing.Done()
		work()
	}()
}

// settle waits for what later began, and lets nothing more begin.
func (s *Server) settle() {
	s.trailed.Lock()
	s.quiet = true
	s.trailed.Unlock()
	s.trailing.Wait()
}

func (s *Server) now() time.Time { return s.options.Clock() }

// methods are the handlers of one path; HEAD is never implied.
type methods map[string]http.HandlerFunc

// route answers the path, and 405 with Allow for other methods (BE-041).
func (s *Server) route(r chi.Router, path string, m methods) { r.HandleFunc(path, s.dispatch(m)) }

func (s *Server) dispatch(m methods) http.HandlerFunc {
	var allowed []string
	for method := range m {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return func(w http.ResponseWriter, req *http.Request) {
		if h, ok := m[req.Method]; ok {
			h(w, req)
			return
		}
		p := fail("not-supported", "the method is not one of %s", allow)
		p.status, p.allow = http.StatusMethodNotAllowed, allow
		s.refuse(w, p)
	}
}

func (s *Server) routes() http.Handler {
	mux := chi.NewRouter()
	mux.Use(s.observe, s.recoverPanics, decodedPath)
	base := func(r chi.Router) {
		public := func(h http.HandlerFunc) methods {
			h = openToAll(h)
			return methods{http.MethodGet: h, http.MethodHead: h, http.MethodOptions: preflight}
		}
		s.route(r, "/metadata", public(s.metadata))
		s.route(r, smartPath, public(s.smartConfiguration))
		s.route(r, "/OperationDefinition/{name}", public(s.operationDefinition))
		if a := s.options.Authority; a != nil {
			if s.options.AppLaunchStub {
				s.route(r, authorizePath, methods{http.MethodGet: s.authorize, http.MethodPost: s.authorize})
			}
			if s.options.TokenKeys != nil {
				s.route(r, keysPath, public(s.tokenKeys))
			}
			r.HandleFunc(TokenPath, a.ServeToken)
			r.HandleFunc(introspectPath, a.ServeIntrospection)
			r.HandleFunc(revokePath, a.ServeRevocation)
		}
		for path, level := range map[string]export.Level{
			"/$export": export.LevelSystem, "/Patient/$export": export.LevelPatient, "/Group/{id}/$export": export.LevelGroup,
		} {
			h := s.kickoff(level)
			m := methods{http.MethodGet: h, http.MethodPost: h}
			if s.options.BulkVersion == 4 {
				delete(m, http.MethodGet) // BE-280
			}
			s.route(r, path, m)
		}
		s.route(r, StatusPath+"{export}", methods{http.MethodGet: s.status, http.MethodDelete: s.cancel})
		s.route(r, filePath+"{export}/{name}", methods{http.MethodGet: s.file, http.MethodHead: s.file})
		if s.options.Publications != nil {
			page := methods{http.MethodGet: s.published, http.MethodHead: s.published}
			s.route(r, publishPath, page)
			s.route(r, publishPath+"/{export}", page)
			s.route(r, publishPath+"/{export}/{name}", methods{http.MethodGet: s.publishedFile, http.MethodHead: s.publishedFile})
		}
		if s.options.Reads != nil {
			if s.options.Groups != nil {
				s.route(r, "/"+groupType, methods{http.MethodGet: s.searchType, http.MethodHead: s.searchType, http.MethodPost: s.createGroup})
				s.route(r, "/"+groupType+"/_search", methods{http.MethodPost: s.searchType})
				s.route(r, "/"+groupType+"/{id}", methods{http.MethodGet: s.instance, http.MethodHead: s.instance,
					http.MethodPut: s.updateGroup, http.MethodDelete: s.deleteGroup})
				s.route(r, groupStatusPath+"{ticket}", methods{http.MethodGet: s.groupStatus, http.MethodDelete: s.cancelGroup})
			}
			r.HandleFunc("/{type}", s.ofType(methods{http.MethodGet: s.searchType, http.MethodHead: s.searchType}))
			r.HandleFunc("/{type}/_search", s.ofType(methods{http.MethodPost: s.searchType}))
			r.HandleFunc("/{type}/{id}", s.ofType(methods{http.MethodGet: s.instance, http.MethodHead: s.instance}))
		}
	}
	if s.prefix == "" {
		base(mux)
	} else {
		mux.Route(s.prefix, base)
		// Some clients look for discovery at the host's root (SB-011).
		h := openToAll(s.smartConfiguration)
		s.route(mux, smartPath, methods{http.MethodGet: h, http.MethodHead: h, http.MethodOptions: preflight})
	}
	mux.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		p := fail("not-supported", "the method is not known")
		p.status = http.StatusNotImplemented
		s.refuse(w, p)
	})
	mux.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, fail("not-found", "there is nothing at this URL"))
	})
	return mux
}

// Challenges of a WWW-Authenticate header (SB-081).
const (
	noToken           = `Bearer`
	invalidToken      = `Bearer error="invalid_token"`
	insufficientScope = `Bearer error="insufficient_scope"`
)

func insufficient(text string) *problem {
	p := fail("forbidden", "%s", text)
	p.challenge = insufficientScope
	return p
}

// authenticator is who knows tokens.
type authenticator interface {
	Authenticate(ctx context.Context, h http.Header) (*auth.Access, error)
	Registered(ctx context.Context, clientID string) (*auth.Access, error)
	TokenURL() string
	Algorithms() []string
}

// authenticator is nil where everybody is served.
func (s *Server) authenticator() authenticator {
	switch {
	case s.options.External != nil:
		return s.options.External
	case s.options.Authority != nil:
		return s.options.Authority
	}
	return nil
}

// access authenticates a request (SB-080..082).
func (s *Server) access(r *http.Request) (*auth.Access, *problem) {
	authenticate := s.authenticator()
	if authenticate == nil {
		all, _ := auth.ParseScopes("system/*.rs")
		return &auth.Access{Client: &auth.Client{Enabled: true}, Scopes: all}, nil
	}
	access, err := authenticate.Authenticate(r.Context(), r.Header)
	switch {
	case err == nil:
		note(r, access.Client.ID)
		return access, nil
	case errors.Is(err, auth.ErrNoToken):
		p := fail("login", "a bearer token is required")
		p.challenge = noToken
		return nil, p
	case errors.Is(err, auth.ErrInvalidToken):
		p := fail("expired", "the token is not valid, or not any more")
		p.challenge = invalidToken
		return nil, p
	}
	return nil, s.transient(r, "authenticate", err)
}

// transient logs an error of our side and makes an answer that tells none of
// it: the same request may well succeed later (BE-163).
func (s *Server) transient(r *http.Request, operation string, err error) *problem {
	s.logFault(r, operation, err)
	p := fail("transient", "the request cannot be answered now; try again")
	p.retry = 5 * time.Second
	return p
}

func (s *Server) logFault(r *http.Request, operation string, err error) {
	if r.Context().Err() != nil {
		return // the client went away
	}
	s.options.Log.ErrorContext(r.Context(), "request fault", slog.String("request_id", requestID(r)),
		slog.String("operation", operation), slog.String("error", err.Error()))
}
