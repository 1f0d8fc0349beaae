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

	"remit/server/admin"
	"remit/server/auth"
	"remit/server/client"
	"remit/sql/control"
)

type clientCmd struct {
	Add     clientAddCmd     `cmd:"" help:"Register a client and print its id."`
	Show    clientShowCmd    `cmd:"" help:"Print what is registered of a client."`
	List    clientListCmd    `cmd:"" help:"List the registered clients."`
	Set     clientSetCmd     `cmd:"" help:"Change what a client may have."`
	Disable clientDisableCmd `cmd:"" help:"Turn a client off; its tokens die at once."`
	Enable  clientEnableCmd  `cmd:"" help:"Turn a client on again."`
	Rotate  clientRotateCmd  `cmd:"" help:"Change a client's keys."`
	Revoke  clientRevokeCmd  `cmd:"" help:"End a registration for good; its tokens die at once."`
	Test    clientTestCmd    `cmd:"" help:"Look at a registration as the token endpoint would."`
	Keygen  clientKeygenCmd  `cmd:"" help:"Make a key pair for a partner."`
	Token   clientTokenCmd   `cmd:"" help:"Get an access token as a client, and print it."`
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

// keyRules say which key URLs may be registered and fetched.
type keyRules struct {
	JWKSHost     []string `help:"Private host, address or range from which the JWKS URL may be fetched." placeholder:"HOST" name:"jwks-host" sep:"none"`
	JWKSLoopback bool     `help:"Allow a JWKS URL of plain HTTP on loopback." name:"jwks-loopback"`
}

// desk is where clients are managed, on an open store.
func (k *keyRules) desk(a *app, store *control.Store) *admin.Desk {
	return &admin.Desk{Control: store, Store: auth.NewStore(store, a.now), Clock: a.now, Rules: auth.Rules{
		Fetch: auth.FetchOptions{AllowHosts: k.JWKSHost, AllowLoopbackHTTP: k.JWKSLoopback}, KnownType: knownType, Query: knownQuery,
	}}
}

// operator is who acts at the command line.
func (a *app) operator() admin.Actor {
	for _, name := range []string{"SUDO_USER", "USER", "USERNAME"} {
		if v := a.getenv(name); v != "" {
			return admin.Actor{Name: "cli:" + v}
		}
	}
	return admin.Actor{Name: "cli"}
}

// keysFrom reads --jwks: a file, or the URL where the client publishes its keys.
func keysFrom(jwks string) (keys []byte, url string, err error) {
	if strings.HasPrefix(jwks, "https://") || strings.HasPrefix(jwks, "http://") {
		return nil, jwks, nil
	}
	if jwks == "" {
		return nil, "", nil
	}
	keys, err = os.ReadFile(jwks)
	if err != nil {
		return nil, "", &usageError{fmt.Errorf("jwks: %w", err)}
	}
	return keys, "", nil
}

// day reads a date or an instant of a flag; a date is the end of that day, UTC.
func day(flag, text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, usagef("--%s %q: use a date like 2027-12-31, or an instant with its zone", flag, text)
	}
	return t.AddDate(0, 0, 1), nil
}

type clientAddCmd struct {
	controlFlags
	keyRules
	JWKS       string   `help:"Public keys: a JWK Set file, or the URL where the client publishes it." placeholder:"FILE|URL" name:"jwks"`
	External   bool     `help:"The client authenticates at another authorization server; --id is its id there, and it needs no keys here."`
	ID         string   `help:"Client id; a random one where none is given." placeholder:"ID" name:"id"`
	Scope      []string `help:"Scopes the client may be granted at most (default ${default})." placeholder:"SCOPE" default:"system/*.rs" sep:"none"`
	Group      []string `help:"Groups the client may export." placeholder:"ID"`
	AllGroups  bool     `help:"The client may export every group, and all members; needed where no --group is given."`
	Type       []string `help:"Resource types the client may have; all of its scopes where none is given." placeholder:"TYPE"`
	Purpose    string   `help:"What the client uses the data for: provider-access, payer-to-payer, patient-access, operations or oversight; it decides whose choices count." placeholder:"PURPOSE"`
	View       string   `help:"View of the data: the full one where none is given." placeholder:"VIEW"`
	Earliest   string   `help:"First date of service that the client may have." placeholder:"DATE"`
	Contact    string   `help:"Whom to call." placeholder:"TEXT"`
	Notes      string   `help:"Notes of the operator." placeholder:"TEXT"`
	Expires    string   `help:"Last day of the registration." placeholder:"DATE"`
	MaxExports int      `help:"Exports that may run at once; 0 leaves it to the server." placeholder:"N"`
	TokenRate  int      `help:"Token requests a minute; 0 is no limit." placeholder:"N"`
	Name       string   `arg:"" help:"The client's name."`
}

// Help shows a worked line.
func (clientAddCmd) Help() string {
	return "Example: remit client add --data remit-data --jwks acme-jwks.json --group acme-members --purpose provider-access --view nonfinancial 'Acme EHR'"
}

// Run registers the client; a server beside it sees it at once.
func (c *clientAddCmd) Run(ctx context.Context, a *app) error {
	if c.JWKS == "" && !c.External {
		return usagef("a client needs keys: give --jwks FILE or --jwks URL")
	}
	if c.AllGroups == (c.Group != nil) {
		return usagef("say whose data the client may have: give --group ID, or --all-groups")
	}
	r := auth.Registration{
		ID: c.ID, Name: c.Name, External: c.External, Scope: strings.Join(c.Scope, " "), Groups: c.Group, Types: c.Type, View: c.View,
		Purpose: c.Purpose, Earliest: c.Earliest, Contact: c.Contact, Notes: c.Notes, MaxExports: c.MaxExports, TokenRate: c.TokenRate,
	}
	var err error
	if r.Keys, r.KeysURL, err = keysFrom(c.JWKS); err != nil {
		return err
	}
	if c.Expires != "" {
		if r.Expires, err = day("expires", c.Expires); err != nil {
			return err
		}
	}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	id, err := c.desk(a, store).Add(ctx, a.operator(), r)
	if err != nil {
		return clientError(id, err)
	}
	_, err = fmt.Fprintln(a.stdout, id)
	return err
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
	all, err := (&keyRules{}).desk(a, store).List(ctx)
	if err != nil {
		return fmt.Errorf("list clients: %w", err)
	}
	out := newListing(a.stdout, c.JSON, "ID", "NAME", "STATE", "KEYS", "SCOPES", "PURPOSE", "CREATED", "LAST USE")
	for _, r := range all {
		if err := out.add(r, r.ID, r.Name, r.State, r.Keys, strings.Join(r.Scopes, " "), orElse(r.Purpose, "-"),
			r.Created.UTC().Format(time.RFC3339), when(r.LastUse, "never")); err != nil {
			return err
		}
	}
	return out.close()
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func when(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return t.UTC().Format(time.RFC3339)
}

type clientShowCmd struct {
	controlFlags
	JSON bool   `help:"Print a JSON object."`
	ID   string `arg:"" help:"The client's id."`
}

// Help shows a worked line.
func (clientShowCmd) Help() string {
	return "Example: remit client show --data remit-data gm3tqmzsgq2tmnzy"
}

// Run prints everything about one client but its keys' material.
func (c *clientShowCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	r, err := (&keyRules{}).desk(a, store).Show(ctx, c.ID)
	if err != nil {
		return clientError(c.ID, err)
	}
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	groups := "all"
	if !r.AllGroups {
		groups = orElse(strings.Join(r.Groups, " "), "none")
	}
	limit := func(n int, what string) string {
		if n == 0 {
			return "the server's"
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", r.ID}, {"name", r.Name}, {"state", r.State}, {"keys", r.Keys}, {"scopes", strings.Join(r.Scopes, " ")}, {"groups", groups},
		{"types", orElse(strings.Join(r.Types, " "), "all of its scopes")}, {"purpose", orElse(r.Purpose, "none")}, {"view", orElse(r.View, "full")},
		{"earliest date of service", orElse(r.Earliest, "none")}, {"running exports", limit(r.MaxExports, "at once")},
		{"token requests", limit(r.TokenRate, "a minute")}, {"contact", orElse(r.Contact, "-")}, {"notes", orElse(r.Notes, "-")},
		{"created", r.Created.UTC().Format(time.RFC3339)}, {"expires", when(r.Expires, "never")}, {"last use", when(r.LastUse, "never")},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	return w.Flush()
}

// clientError is an error about a client in the operator's words.
func clientError(id string, err error) error {
	switch {
	case errors.Is(err, auth.ErrUnknownClient):
		return usagef("client %q is not registered; remit client list shows those that are", id)
	case errors.Is(err, control.ErrConflict):
		return usagef("client %q is in that state already, or was revoked or changed meanwhile; remit client show %s tells", id, id)
	}
	return invalid(err)
}

// invalid tells what an operator can mend from faults.
func invalid(err error) error {
	var wrong *auth.InvalidError
	if errors.As(err, &wrong) {
		return &usageError{err}
	}
	return err
}

// clientActCmd is a verb that does one thing to one client.
type clientActCmd struct {
	controlFlags
	ID string `arg:"" help:"The client's id."`
}

func (c *clientActCmd) act(ctx context.Context, a *app, do func(*admin.Desk, context.Context, admin.Actor, string) error) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	return clientError(c.ID, do((&keyRules{}).desk(a, store), ctx, a.operator(), c.ID))
}

type clientDisableCmd struct{ clientActCmd }

// Help shows a worked line.
func (clientDisableCmd) Help() string {
	return "Example: remit client disable --data remit-data gm3tqmzsgq2tmnzy"
}

// Run turns the client off.
func (c *clientDisableCmd) Run(ctx context.Context, a *app) error {
	return c.act(ctx, a, (*admin.Desk).Disable)
}

type clientEnableCmd struct{ clientActCmd }

// Help shows a worked line.
func (clientEnableCmd) Help() string {
	return "Example: remit client enable --data remit-data gm3tqmzsgq2tmnzy"
}

// Run turns the client on again.
func (c *clientEnableCmd) Run(ctx context.Context, a *app) error {
	return c.act(ctx, a, (*admin.Desk).Enable)
}

type clientRevokeCmd struct{ clientActCmd }

// Help shows a worked line.
func (clientRevokeCmd) Help() string {
	return "Example: remit client revoke --data remit-data gm3tqmzsgq2tmnzy"
}

// Run ends the registration.
func (c *clientRevokeCmd) Run(ctx context.Context, a *app) error {
	return c.act(ctx, a, (*admin.Desk).Revoke)
}

type clientRotateCmd struct {
	clientActCmd
	keyRules
	JWKS string   `help:"New public keys: a JWK Set file, or the URL where the client publishes it." placeholder:"FILE|URL" name:"jwks"`
	Add  bool     `help:"Keep the present inline keys beside the new ones."`
	Drop []string `help:"Key ids of inline keys that go." placeholder:"KID"`
}

// Help shows a worked line.
func (clientRotateCmd) Help() string {
	return "Example: remit client rotate --data remit-data --jwks next-jwks.json --add gm3tqmzsgq2tmnzy\nThen, when the client signs with the new key: remit client rotate --data remit-data --drop OLD-KID gm3tqmzsgq2tmnzy"
}

// Run changes the client's keys; servers use them from the next request on.
func (c *clientRotateCmd) Run(ctx context.Context, a *app) error {
	if c.JWKS == "" && len(c.Drop) == 0 {
		return usagef("give new keys with --jwks, or keys that go with --drop")
	}
	k := auth.KeyChange{Add: c.Add, Drop: c.Drop}
	var err error
	if k.Keys, k.KeysURL, err = keysFrom(c.JWKS); err != nil {
		return err
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	return clientError(c.ID, c.desk(a, store).Rotate(ctx, a.operator(), c.ID, k))
}

type clientSetCmd struct {
	clientActCmd
	Name       *string  `help:"The client's name." placeholder:"TEXT"`
	Scope      []string `help:"Scopes the client may be granted at most." placeholder:"SCOPE" sep:"none"`
	Group      []string `help:"Groups the client may export." placeholder:"ID"`
	AllGroups  bool     `help:"The client may export every group."`
	Type       []string `help:"Resource types the client may have." placeholder:"TYPE"`
	AllTypes   bool     `help:"The client may have every type of its scopes."`
	Purpose    *string  `help:"What the client uses the data for." placeholder:"PURPOSE"`
	View       *string  `help:"View of the data; an empty one is the full one." placeholder:"VIEW"`
	Earliest   *string  `help:"First date of service that the client may have; an empty one is none." placeholder:"DATE"`
	Contact    *string  `help:"Whom to call." placeholder:"TEXT"`
	Notes      *string  `help:"Notes of the operator." placeholder:"TEXT"`
	Expires    *string  `help:"Last day of the registration; an empty one is never." placeholder:"DATE"`
	MaxExports *int     `help:"Exports that may run at once; 0 leaves it to the server." placeholder:"N"`
	TokenRate  *int     `help:"Token requests a minute; 0 is no limit." placeholder:"N"`
}

// Help shows a worked line.
func (clientSetCmd) Help() string {
	return "Example: remit client set --data remit-data --purpose provider-access --earliest 2016-01-01 gm3tqmzsgq2tmnzy"
}

// Run changes what is given and leaves the rest. Tokens that the client holds
// are bounded by it at once.
func (c *clientSetCmd) Run(ctx context.Context, a *app) error {
	var expires *time.Time
	if c.Expires != nil {
		expires = new(time.Time)
		if *c.Expires != "" {
			t, err := day("expires", *c.Expires)
			if err != nil {
				return err
			}
			expires = &t
		}
	}
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	err = (&keyRules{}).desk(a, store).Change(ctx, a.operator(), c.ID, func(r *auth.Registration) {
		for _, f := range []struct {
			into *string
			from *string
		}{{&r.Name, c.Name}, {&r.Purpose, c.Purpose}, {&r.View, c.View}, {&r.Earliest, c.Earliest}, {&r.Contact, c.Contact}, {&r.Notes, c.Notes}} {
			if f.from != nil {
				*f.into = *f.from
			}
		}
		if c.Scope != nil {
			r.Scope = strings.Join(c.Scope, " ")
		}
		if c.Group != nil || c.AllGroups {
			r.Groups = c.Group
		}
		if c.Type != nil || c.AllTypes {
			r.Types = c.Type
		}
		if expires != nil {
			r.Expires = *expires
		}
		if c.MaxExports != nil {
			r.MaxExports = *c.MaxExports
		}
		if c.TokenRate != nil {
			r.TokenRate = *c.TokenRate
		}
	})
	return clientError(c.ID, err)
}

type clientTestCmd struct {
	clientActCmd
	keyRules
	JSON bool `help:"Print one JSON object a check."`
}

// Help shows a worked line.
func (clientTestCmd) Help() string {
	return "Example: remit client test --data remit-data gm3tqmzsgq2tmnzy"
}

// Run looks at the registration as the token endpoint would; a check that fails
// is a finding.
func (c *clientTestCmd) Run(ctx context.Context, a *app) error {
	store, err := c.openExisting(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close()
	checks, err := c.desk(a, store).Test(ctx, a.operator(), c.ID)
	if err != nil {
		return clientError(c.ID, err)
	}
	fine := true
	for _, k := range checks {
		fine = fine && k.OK
		if c.JSON {
			if err := json.NewEncoder(a.stdout).Encode(k); err != nil {
				return err
			}
			continue
		}
		word := "ok"
		if !k.OK {
			word = "FAILS"
		}
		if _, err := fmt.Fprintf(a.stdout, "%-5s  %s: %s\n", word, k.What, k.Text); err != nil {
			return err
		}
	}
	if !fine {
		return exitCode(exitFindings)
	}
	return nil
}

type clientKeygenCmd struct {
	Alg string `help:"Signature algorithm: ES384 or RS384." placeholder:"ALG" default:"ES384"`
	Out string `arg:"" help:"Name of the files: NAME.json, the private key, and NAME-jwks.json, the public JWK Set."`
}

// Help shows a worked line.
func (clientKeygenCmd) Help() string { return "Example: remit client keygen acme" }

// Run makes a key pair for a partner. It replaces no file.
func (c *clientKeygenCmd) Run(a *app) error {
	if c.Alg != "ES384" && c.Alg != "RS384" {
		return usagef("algorithm %q: use ES384 or RS384", c.Alg)
	}
	key, err := client.GenerateKey(c.Alg)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	private, err := key.PrivateJWK()
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	public, err := key.PublicJWKS()
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{c.Out + ".json", private, 0o600}, {c.Out + "-jwks.json", public, 0o644}} {
		file, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return &usageError{fmt.Errorf("write key: %w", err)}
		}
		_, err = file.Write(append(f.data, '\n'))
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s.json: keep it; it signs\n%s-jwks.json: give it to the server's operator, or publish it\n", c.Out, c.Out)
	return err
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
