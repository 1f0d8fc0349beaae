package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"remit/server"
	"remit/server/admin"
	"remit/server/auth"
	"remit/sql/control"
)

// face makes the HTTP server of a node.
func (n *node) face(ctx context.Context, a *app, c *config) (*server.Server, error) {
	base := c.base()
	secret, err := n.control.Secret(ctx, "links", server.SecretBytes)
	if err != nil {
		return nil, err
	}
	o := server.Options{
		Reads: n.reader, Groups: n.groups, Search: n.search, Secret: secret, Publications: server.FromPublications(n.engine.Publications()),
		PublicURL: base, Exports: server.FromEngine(n.engine), Types: n.reloader.Types, KnownType: knownType, ServiceDate: serviceDate,
		AppLaunchStub: c.AppLaunchStub, Software: server.Software{Name: "Remit", Version: buildInfo().Version},
		Audit: n.control.AddEvent, Observe: n.ops.Request, Log: n.log, Clock: a.now,
	}
	if o.TLS, err = c.tls(n.log, a.now); err != nil {
		return nil, err
	}
	switch {
	case c.NoAuth:
		n.log.WarnContext(ctx, "NO AUTHORIZATION: whoever reaches this address gets all members' data; never use this with real data", slog.String("addr", c.Addr))
		fmt.Fprintln(a.stderr, "remit: WARNING: --insecure-no-auth: everybody on this machine is served without asking")
	case c.AuthToken != "":
		o.External, err = c.external(n.control, a.now, base)
	default:
		err = n.authority(ctx, a, c, base, &o)
	}
	if err != nil {
		return nil, err
	}
	if o.FileURLKey, err = c.fileURLKey(); err != nil {
		return nil, err
	}
	o.BulkVersion = c.BulkVersion
	return server.New(o)
}

// fetch says which JWKS URLs of clients may be fetched.
func (c *config) fetch() auth.FetchOptions {
	return auth.FetchOptions{AllowHosts: c.JWKSHost, AllowLoopbackHTTP: c.JWKSLoopback}
}

// authority makes the built-in authorization server.
func (n *node) authority(ctx context.Context, a *app, c *config, base string, o *server.Options) error {
	store := auth.NewStore(n.control, a.now)
	options := auth.Options{
		Clients: store, Ledger: store, Tokens: store, TokenURL: base + server.TokenPath, KnownType: knownType, Query: knownQuery,
		Fetch: c.fetch(), Audit: n.control.AddEvent, Log: n.log, Clock: a.now,
	}
	if c.TokenSecret != "" {
		secret, err := os.ReadFile(c.TokenSecret)
		if err != nil {
			return &usageError{fmt.Errorf("read token secret: %w", err)}
		}
		options.Signer, err = auth.NewSigner(auth.SignerOptions{Keys: n.control, Secret: secret, Issuer: base, Clock: a.now})
		if err != nil {
			return &usageError{err}
		}
		if _, err := options.Signer.KeySet(ctx); err != nil {
			return &usageError{err} // another secret than the store's
		}
		o.TokenKeys = options.Signer.KeySet
	}
	var err error
	o.Authority, err = auth.New(options)
	return err
}

// external makes the face of another authorization server.
func (c *config) external(store *control.Store, now func() time.Time, base string) (*auth.External, error) {
	audience := c.AuthAudience
	if audience == "" {
		audience = base
	}
	o := auth.ExternalOptions{
		Clients: auth.NewStore(store, now), Audience: audience, TokenURL: c.AuthToken, Issuer: c.AuthIssuer, JWKSURL: c.AuthJWKS,
		IntrospectURL: c.AuthCheck, ClientID: c.AuthClient, Scopes: c.AuthScopes, Fetch: c.fetch(), Clock: now,
	}
	if c.AuthSecret != "" {
		secret, err := os.ReadFile(c.AuthSecret)
		if err != nil {
			return nil, &usageError{fmt.Errorf("read secret: %w", err)}
		}
		o.Secret = strings.TrimRight(string(secret), "\r\n")
	}
	x, err := auth.NewExternal(o)
	if err != nil {
		return nil, &usageError{err}
	}
	return x, nil
}

// tls is nil where the server speaks plain HTTP.
func (c *config) tls(log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	t, err := server.TLSFiles{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}.Config(log, now)
	if err != nil {
		return nil, &usageError{err}
	}
	return t, nil
}

// serveAdmin opens the administrators' API on an address of its own, where one
// is configured. The function returned ends it.
func (n *node) serveAdmin(a *app, c *config) (stop func(), err error) {
	if c.AdminAddr == "" {
		return func() {}, nil
	}
	if err := c.mayBind(c.AdminAddr); err != nil {
		return nil, err
	}
	file, err := os.ReadFile(c.AdminKeys)
	if err != nil {
		return nil, &usageError{fmt.Errorf("read admin credentials: %w", err)}
	}
	credentials, err := admin.ParseCredentials(file)
	if err != nil {
		return nil, &usageError{err}
	}
	keys := keyRules{JWKSHost: c.JWKSHost, JWKSLoopback: c.JWKSLoopback}
	desk := keys.desk(a, n.control)
	desk.Rules.KnownView = func(view string) bool {
		runner, _ := n.reloader.Program()
		return runner.TypesOf(view) != nil
	}
	desk.Types = n.typeNames
	o := admin.Options{Desk: desk, Credentials: credentials, Log: n.log}
	if o.TLS, err = c.tls(n.log, a.now); err != nil {
		return nil, err
	}
	api, err := admin.NewAPI(o)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.AdminAddr, err)
	}
	done := make(chan error, 1)
	go func() { done <- api.Serve(l) }()
	fmt.Fprintf(a.stderr, "remit: administrators' API on %s\n", l.Addr())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if err := api.Stop(ctx); err != nil {
			n.log.Error("admin API not stopped gently", slog.String("error", err.Error()))
		}
		if err := <-done; err != nil {
			n.log.Error("admin API ended", slog.String("error", err.Error()))
		}
	}, nil
}

// typeNames lists the resource types that are exported now.
func (n *node) typeNames() []string {
	var names []string
	for _, t := range n.reloader.Types() {
		names = append(names, t.Name)
	}
	return names
}

// trimAudit removes what is older than the days that the trail is kept, at once
// and then daily, until ctx ends.
func (n *node) trimAudit(ctx context.Context, now func() time.Time, days int) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		removed, err := n.control.TrimEvents(ctx, now().AddDate(0, 0, -days))
		if err == nil && removed > 0 {
			err = n.control.AddEvent(ctx, control.Event{At: now(), Action: "audit-trim", Outcome: "ok", Actor: "server",
				Detail: fmt.Sprintf("%d events older than %d days", removed, days)})
		}
		if err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "audit trail not trimmed", slog.String("error", err.Error()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
