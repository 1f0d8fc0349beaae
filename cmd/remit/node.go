package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/profiles/search"
	"remit/server"
	"remit/server/audit"
	"remit/server/auth"
	"remit/server/export"
	"remit/server/files"
	"remit/server/jobs"
	"remit/server/ops"
	"remit/sql/control"
)

// node is one running Remit: a loaded mapping set, its stores and its engine.
type node struct {
	loaded  *loaded
	control *control.Store
	files   *files.Store
	engine  *export.Engine
	reader  *export.Reader
	groups  *export.Groups
	search  *search.Parameters
	// auditLog is the copy of the audit trail in a file; nil where there is none.
	auditLog *audit.Log
	log      *slog.Logger
	ops      *ops.Ops
	// reloader holds the mapping set that the next job runs.
	reloader *reloader
	// base is the public FHIR base without trailing slash, "" where the node knows
	// of none.
	base string
}

// stopWithin bounds how long a node waits for what is under way when it stops.
const stopWithin = 20 * time.Second

// drainFor is how long a stopping node lets its chunks go on.
const drainFor = 10 * time.Second

// openNode loads the mapping set, opens the stores and starts the engine.
// Where the set has errors, the error prints its diagnostics.
func openNode(ctx context.Context, a *app, c *config, log *slog.Logger) (_ *node, err error) {
	n := &node{log: log, base: c.base()}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	idKey, err := c.idKey()
	if err != nil {
		return nil, err
	}
	n.loaded, err = load(ctx, loadOptions{
		warehouse: c.Warehouse, mappings: c.Mappings, packages: c.Package, idKey: idKey, noAssumptions: c.NoAssumptions,
	})
	if err != nil {
		return nil, err
	}
	if err := refused(n.loaded); err != nil {
		return nil, err
	}
	for _, warning := range n.loaded.warnings() {
		fmt.Fprintln(a.stderr, "warning: "+warning)
	}
	compile := func(prog *program.Program) (*profiles.Validator, error) { return c.validator(n.loaded.profiles, prog) }
	validator, err := compile(n.loaded.program)
	if err != nil {
		return nil, err
	}
	n.reloader, err = newReloader(n.loaded, validator, reloadOptions{
		profiles: n.loaded.profiles, idKey: idKey, noAssumptions: c.NoAssumptions, version: buildInfo().Version, validator: compile,
	}, log)
	if err != nil {
		return nil, err
	}
	if n.control, err = control.OpenAs(ctx, c.Control, c.ServerName); err != nil {
		return nil, err
	}
	if c.AuditLog != "" {
		if n.auditLog, err = audit.OpenLog(c.AuditLog, log); err != nil {
			return nil, &usageError{err}
		}
		n.control.Follow(n.auditLog.Append)
	}
	if err := makeFolder(c.Store); err != nil {
		return nil, err
	}
	if n.files, err = files.Open(ctx, c.Store); err != nil {
		return nil, err
	}
	version := buildInfo().Version
	n.ops, err = ops.New(ops.Options{Store: n.control, Ready: n.ready, Version: version, Clock: a.now, Log: log})
	if err != nil {
		return nil, err
	}
	lease, err := time.ParseDuration(c.Lease)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	n.engine, err = export.New(ctx, export.Options{
		Program:   n.reloader.Program,
		Warehouse: n.loaded.warehouse, Consent: consent(n.control, n.reloader.Types, a.now), Control: n.control, Files: n.files, Queue: jobs.Beside(c.Control),
		Policy: export.Policy(c.Policy), Workers: c.Workers, Clock: a.now, Log: log,
		ChunkSize: c.ChunkSize, MaxActive: c.MaxActive, Lease: lease, Version: version, Drain: drainFor,
		Observe:   func(c export.ChunkEnd) { n.ops.Chunk(ops.Chunk(c)) },
		Mandatory: n.loaded.profiles.Mandatory,
	})
	if err != nil {
		return nil, err
	}
	if n.search, err = search.Bundled(); err != nil {
		return nil, err
	}
	n.reader = n.engine.Reader(export.ReadOptions{})
	n.groups = n.engine.Groups(n.reader, export.GroupOptions{Search: n.search, Base: n.base, Bounds: n.bounds})
	if err := n.engine.Start(ctx); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	n.groups.Start(ctx)
	return n, nil
}

// validator judges what the set makes. What the load has proved is not judged
// again, unless that is asked for.
func (c *config) validator(set *profiles.Set, prog *program.Program) (*profiles.Validator, error) {
	o := profiles.ValidatorOptions{BareNotes: true} // an export counts them by rule
	if !c.NoProofs {
		o.Proved = mapping.Proof(prog).Proved()
	}
	v, err := set.Validator(o)
	if err != nil {
		return nil, fmt.Errorf("compile profiles: %w", err)
	}
	return v, nil
}

// Close stops the engine and releases everything, in the order opposite to
// opening. It may be called on a node that was opened in part.
func (n *node) Close() error {
	var errs []error
	if n.groups != nil {
		n.groups.Stop()
	}
	if n.reader != nil {
		n.reader.Close()
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.files != nil {
		errs = append(errs, n.files.Close())
	}
	if n.control != nil {
		errs = append(errs, n.control.Close())
	}
	if n.auditLog != nil {
		errs = append(errs, n.auditLog.Close())
	}
	if n.loaded != nil {
		errs = append(errs, n.loaded.Close())
	}
	return errors.Join(errs...)
}

// ready says whether the warehouse answers.
func (n *node) ready(ctx context.Context) error {
	if _, err := n.loaded.warehouse.Catalog(ctx); err != nil {
		return fmt.Errorf("warehouse: %w", err)
	}
	return nil
}

// watched runs work and beside it, where an address is given, the listener of
// metrics and health. It returns when work does.
func (n *node) watched(ctx context.Context, addr string, work func(context.Context) error) error {
	if addr == "" {
		return work(ctx)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	n.log.InfoContext(ctx, "operations listener open", "addr", l.Addr().String())
	group, inner := errgroup.WithContext(ctx)
	ops, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return n.ops.Serve(ops, l) })
	group.Go(func() error {
		defer stop() // last, so that a draining process is still seen
		return work(inner)
	})
	return group.Wait()
}

// makeFolder makes the folder of a file: store; other stores have none.
func makeFolder(store string) error {
	dir, ok := strings.CutPrefix(store, "file:")
	if !ok {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open file store: %w", err)
	}
	return nil
}

// idKey reads the key of the ids from its file, or from REMIT_ID_KEY's file.
func (c *config) idKey() ([]byte, error) {
	if c.IDKeyFile == "" {
		return nil, nil
	}
	key, err := os.ReadFile(filepath.Clean(c.IDKeyFile))
	if err != nil {
		return nil, &usageError{fmt.Errorf("read id key: %w", err)}
	}
	if len(key) < 16 {
		return nil, usagef("id key file %s: at least 16 bytes are needed", c.IDKeyFile)
	}
	return key, nil
}

// fileURLKey reads the key that signs file URLs; nil where there is none.
func (c *config) fileURLKey() ([]byte, error) {
	if c.FileURLKey == "" {
		return nil, nil
	}
	key, err := os.ReadFile(filepath.Clean(c.FileURLKey))
	if err != nil {
		return nil, &usageError{fmt.Errorf("read key of file URLs: %w", err)}
	}
	if len(key) < 32 {
		return nil, usagef("file URL key file %s: at least 32 bytes are needed", c.FileURLKey)
	}
	return key, nil
}

// knownType tells names of R4 resource types from other words.
func knownType(name string) bool {
	t := r4.Lookup(name)
	return t != nil && t.Kind() == r4.KindResource
}

// bounds tells what a client may have by its registration.
func (n *node) bounds(ctx context.Context, clientID string) (export.Bounds, error) {
	if clientID == "" {
		return export.Bounds{}, nil // a server that asks for no authorization
	}
	c, err := auth.NewStore(n.control, nil).Client(ctx, clientID)
	if err != nil {
		return export.Bounds{}, err
	}
	var types []string
	access := &auth.Access{Client: c, Scopes: c.Scopes}
	for _, t := range n.reloader.Types() {
		if access.MayExport(t.Name) {
			types = append(types, t.Name)
		}
	}
	b, err := server.Bounds(access, auth.Read|auth.Search, server.BoundsOptions{Search: n.search, ServiceDate: serviceDate, Base: n.base}, types...)
	if b.Restrict == nil {
		b.Restrict = map[string][]*search.Filter{}
	}
	for _, t := range n.reloader.Types() {
		if !slices.Contains(types, t.Name) {
			b.Restrict[t.Name] = nil // nothing passes
		}
	}
	return b, err
}

// listen opens the address and completes the public URL, which follows the
// address where it is not given. Plain HTTP is for loopback alone: elsewhere
// clients must be shown an https URL, be it of a proxy (BE-010).
func (c *config) listen() (net.Listener, error) {
	if err := c.mayBind(c.Addr); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Addr, err)
	}
	if err := c.completePublicURL(l.Addr()); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// mayBind refuses to speak plain HTTP where others than this machine hear it,
// unless a proxy is said to stand in front; and to serve everybody there at all.
func (c *config) mayBind(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("address %q is not HOST:PORT", addr)
	}
	switch {
	case loopback(host):
		return nil
	case c.NoAuth:
		return usagef("REFUSED: --insecure-no-auth hands the data to everybody who can reach %s; it is for loopback alone, such as 127.0.0.1:8080", addr)
	case c.TLSCert == "" && !c.BehindProxy:
		return usagef("REFUSED: %s would be reached by plain HTTP, and tokens and members' data would go in the clear; give --tls-cert and --tls-key, or --behind-proxy where a proxy in front speaks TLS", addr)
	}
	return nil
}

// base is the public FHIR base without trailing slash.
func (c *config) base() string { return strings.TrimRight(c.PublicURL, "/") }

func (c *config) completePublicURL(addr net.Addr) error {
	if c.PublicURL == "" {
		scheme := "http"
		if c.TLSCert != "" {
			scheme = "https"
		}
		c.PublicURL = scheme + "://" + addr.String() + "/fhir"
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" {
		return usagef("public URL %q is not an absolute URL", c.PublicURL)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return usagef("public URL %s is plain HTTP off loopback; give --tls-cert and --tls-key, or the https URL of the proxy in front with --public-url", c.PublicURL)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// logLevel reads a level's name.
func logLevel(name string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, usagef("log level %q: use debug, info, warn or error", name)
	}
	return level, nil
}

// logger writes to w at the configured level.
func (c *config) logger(w io.Writer) *slog.Logger {
	level, err := logLevel(c.LogLevel)
	if err != nil {
		level = slog.LevelInfo // resolve has refused it already
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// knownQuery says whether a search query can be enforced on a resource type:
// only such may stand in a scope (SB-075).
func knownQuery(resourceType, query string) error {
	params, err := search.Bundled()
	if err != nil {
		return err
	}
	_, problems := params.ParseFor(resourceType, query, search.Options{})
	if len(problems) > 0 {
		return errors.New(problems[0].Text)
	}
	return nil
}

// serviceDate names the search parameter of a type that tells its date of
// service.
func serviceDate(resourceType string) string {
	params, err := search.Bundled()
	if err != nil {
		return ""
	}
	for _, code := range []string{"service-date", "date"} {
		if p := params.Lookup(resourceType, code); p != nil && p.Kind == search.Date {
			return code
		}
	}
	return ""
}

// consent is what a client may have by now: the types of its registration, and
// the members by their choices for its purpose.
func consent(store *control.Store, types func() []program.Type, clock func() time.Time) func(context.Context, string) (*export.Consent, error) {
	clients := auth.NewStore(store, clock)
	return func(ctx context.Context, clientID string) (*export.Consent, error) {
		c, err := clients.Client(ctx, clientID)
		if errors.Is(err, auth.ErrUnknownClient) {
			return &export.Consent{Only: true, Types: []string{}}, nil // nobody's
		}
		if err != nil {
			return nil, err
		}
		now := &export.Consent{Types: []string{}}
		if c.Live(clock()) {
			for _, t := range types() {
				if access := (&auth.Access{Client: c, Scopes: c.Scopes}); access.MayExport(t.Name) {
					now.Types = append(now.Types, t.Name)
				}
			}
		}
		purpose, err := auth.FindPurpose(c.Purpose)
		if err != nil || !purpose.Asks {
			return now, err
		}
		choices, err := store.Choices(ctx, purpose.Name)
		if err != nil {
			return nil, err
		}
		now.Only, now.Members = !purpose.Shared, choices.Members(clientID, !purpose.Shared)
		return now, nil
	}
}
