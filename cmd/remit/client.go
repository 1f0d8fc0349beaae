package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"remit/server/auth"
	"remit/server/client"
	"remit/sql/control"
)

type clientCmd struct {
	Add    clientAddCmd    `cmd:"" help:"Register a client and print its id."`
	List   clientListCmd   `cmd:"" help:"List the registered clients."`
	Revoke clientRevokeCmd `cmd:"" help:"Turn a client off; its tokens die at once."`
	Token  clientTokenCmd  `cmd:"" help:"Get an access token as a client, and print it."`
}

// controlFlags are the settings that find the control store.
type controlFlags struct {
	Config  string `help:"YAML file with the settings." placeholder:"FILE"`
	Data    string `help:"Folder of the default control store." placeholder:"DIR"`
	Control string `help:"Control store: sqlite:FILE or postgres://..." placeholder:"ADDRESS"`
}

// address is the control store's, as flags and file tell it.
func (f *controlFlags) address(a *app) (string, error) {
	c := config{Config: f.Config, Data: f.Data, Control: f.Control}
	err := c.resolve(a)
	return c.Control, err
}

// open opens the control store, and makes it where it is missing.
func (f *controlFlags) open(ctx context.Context, a *app) (*control.Store, error) {
	address, err := f.address(a)
	if err != nil {
		return nil, err
	}
	return control.Open(ctx, address)
}

// openExisting is open for verbs that make no sense on a new store: a mistyped
// folder is told instead of made.
func (f *controlFlags) openExisting(ctx context.Context, a *app) (*control.Store, error) {
	address, err := f.address(a)
	if err != nil {
		return nil, err
	}
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		if _, err := os.Stat(file); err != nil {
			return nil, usagef("there is no control store at %s; --data or --control tells where it is", file)
		}
	}
	return control.Open(ctx, address)
}

type clientAddCmd struct {
	controlFlags
	JWKS         string   `help:"Public keys: a JWK Set file, or the URL where the client publishes it." placeholder:"FILE|URL" required:"" name:"jwks"`
	Scope        []string `help:"Scopes the client may be granted at most (default ${default})." placeholder:"SCOPE" default:"system/*.rs"`
	Group        []string `help:"Groups the client may export; all where none is given." placeholder:"ID"`
	JWKSHost     []string `help:"Private host from which the JWKS URL may be fetched." placeholder:"HOST" name:"jwks-host" sep:"none"`
	JWKSLoopback bool     `help:"Allow a JWKS URL of plain HTTP on loopback." name:"jwks-loopback"`
	Name         string   `arg:"" help:"The client's name."`
}

// Help shows a worked line.
func (clientAddCmd) Help() string {
	return "Example: remit client add --data remit-data --jwks acme-jwks.json --scope 'system/*.rs' 'Acme EHR'"
}

// Run registers the client; a server beside it sees it at once.
func (c *clientAddCmd) Run(ctx context.Context, a *app) error {
	r := auth.Registration{
		Name: c.Name, Scope: strings.Join(c.Scope, " "), Groups: c.Group,
		Fetch: auth.FetchOptions{AllowHosts: c.JWKSHost, AllowLoopbackHTTP: c.JWKSLoopback},
	}
	if strings.HasPrefix(c.JWKS, "https://") || strings.HasPrefix(c.JWKS, "http://") {
		r.KeysURL = c.JWKS
	} else {
		data, err := os.ReadFile(c.JWKS)
		if err != nil {
			return &usageError{fmt.Errorf("jwks: %w", err)}
		}
		r.Keys = data
	}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	id, err := register(ctx, a, store, r)
	if err != nil {
		return &usageError{err}
	}
	_, err = fmt.Fprintln(a.stdout, id)
	return err
}

// register adds a client and notes it in the audit trail.
func register(ctx context.Context, a *app, store *control.Store, r auth.Registration) (string, error) {
	id, err := auth.NewStore(store, a.now).Register(ctx, r)
	if err != nil {
		return "", err
	}
	return id, store.AddEvent(ctx, control.Event{At: a.now(), ClientID: id, Action: "client-add", Outcome: "ok"})
}

type clientListCmd struct {
	controlFlags
	JSON bool `help:"Print one JSON object a client."`
}

// Help shows a worked line.
func (clientListCmd) Help() string { return "Example: remit client list --data remit-data --json" }

// Run lists the clients, oldest first.
func (c *clientListCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	all, err := store.Clients(ctx)
	if err != nil {
		return fmt.Errorf("list clients: %w", err)
	}
	if c.JSON {
		enc := json.NewEncoder(a.stdout)
		for _, r := range all {
			if err := enc.Encode(struct {
				ID      string    `json:"id"`
				Name    string    `json:"name"`
				Enabled bool      `json:"enabled"`
				Keys    string    `json:"keys"`
				Scopes  []string  `json:"scopes"`
				Groups  []string  `json:"groups,omitempty"`
				Created time.Time `json:"created"`
			}{r.ID, r.Name, r.Enabled, keysOf(r), r.Scopes, r.Groups, r.Created}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tKEYS\tSCOPES\tCREATED")
	for _, r := range all {
		state := "enabled"
		if !r.Enabled {
			state = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, state, keysOf(r), strings.Join(r.Scopes, " "), r.Created.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

func keysOf(r *control.Client) string {
	if r.JWKSURL != "" {
		return r.JWKSURL
	}
	return "inline"
}

type clientRevokeCmd struct {
	controlFlags
	ID string `arg:"" help:"The client's id."`
}

// Help shows a worked line.
func (clientRevokeCmd) Help() string {
	return "Example: remit client revoke --data remit-data gm3tqmzsgq2tmnzy"
}

// Run turns the client off.
func (c *clientRevokeCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.RevokeClient(ctx, c.ID, a.now())
	switch {
	case errors.Is(err, control.ErrNotFound):
		return usagef("client %q is not registered; remit client list shows those that are", c.ID)
	case errors.Is(err, control.ErrConflict):
		return usagef("client %q is revoked already", c.ID)
	case err != nil:
		return fmt.Errorf("revoke client: %w", err)
	}
	return store.AddEvent(ctx, control.Event{At: a.now(), ClientID: c.ID, Action: "client-revoke", Outcome: "ok"})
}

// remoteFlags say which server to speak to, and as whom.
type remoteFlags struct {
	URL      string `help:"FHIR base URL of the server." placeholder:"URL" required:"" name:"url"`
	ClientID string `help:"Client id that the server gave at registration." placeholder:"ID"`
	Key      string `help:"Private key: JWK, JWK Set or PEM file." placeholder:"FILE"`
	Kid      string `help:"Key id under which the server knows the key; a PEM key without it goes by its RFC 7638 thumbprint." placeholder:"KID"`
	Scope    string `help:"Scopes to ask for." placeholder:"SCOPES" default:"system/*.rs"`
	TokenURL string `help:"Token endpoint, where discovery does not tell it." placeholder:"URL" name:"token-url"`
}

// client makes the Bulk Data client of the flags.
func (f *remoteFlags) client(a *app) (*client.Client, error) {
	o := client.Options{BaseURL: f.URL, ClientID: f.ClientID, Scope: f.Scope, TokenURL: f.TokenURL, Clock: a.now}
	switch {
	case f.Key == "" && f.ClientID != "":
		return nil, usagef("--client-id needs --key")
	case f.Key != "" && f.ClientID == "":
		return nil, usagef("--key needs --client-id")
	case f.Key != "":
		data, err := os.ReadFile(f.Key)
		if err != nil {
			return nil, &usageError{fmt.Errorf("read key: %w", err)}
		}
		if o.Key, err = client.ParseKey(data); err != nil {
			return nil, &usageError{fmt.Errorf("key %s: %w", f.Key, err)}
		}
		if f.Kid != "" {
			o.Key = o.Key.WithID(f.Kid)
		}
	}
	c, err := client.New(o)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

type clientTokenCmd struct {
	remoteFlags
}

// Help shows a worked line.
func (clientTokenCmd) Help() string {
	return "Example: remit client token --url http://127.0.0.1:8080/fhir --client-id ID --key key.json"
}

// Run prints an access token, for use with other tools.
func (c *clientTokenCmd) Run(ctx context.Context, a *app) error {
	if c.Key == "" {
		return usagef("a token needs --client-id and --key")
	}
	remote, err := c.client(a)
	if err != nil {
		return err
	}
	token, err := remote.Token(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}
