package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"remit/fixtures"
	"remit/mapping/diag"
	"remit/server/auth"
	"remit/server/client"
)

type demoCmd struct {
	Set      string `help:"Shipped set to run, with its own sample of claims." placeholder:"NAME" default:"tuva"`
	Out      string `help:"Folder to write to." placeholder:"DIR" default:"remit-demo"`
	Addr     string `help:"Address to listen on; port 0 takes a free one." placeholder:"HOST:PORT" default:"127.0.0.1:0"`
	Once     bool   `help:"End after the table instead of serving on."`
	LogLevel string `help:"debug, info, warn or error." placeholder:"LEVEL" default:"warn"`
}

// Help shows a worked line.
func (demoCmd) Help() string {
	text := "Serves a sample of claims that ships with Remit, and fetches them as a client would. The samples, by the name for --set:\n\n"
	for _, f := range fixtures.All() {
		text += fmt.Sprintf("  %-12s %s\n", f.Name, f.About)
	}
	return text + "\nExample: remit demo --once"
}

// sample finds the claims to serve.
func (c *demoCmd) sample() (fixtures.Fixture, error) {
	var names []string
	for _, f := range fixtures.All() {
		if f.Name == c.Set {
			return f, nil
		}
		names = append(names, f.Name)
	}
	hint := diag.DidYouMean(c.Set, names)
	if hint == "" {
		hint = "those that do: " + strings.Join(names, ", ")
	}
	return fixtures.Fixture{}, usagef("--set %q: no sample of claims has this name; %s", c.Set, hint)
}

// demoMark is the file that tells a folder of an earlier demo, which may be
// replaced, from any other, which may not.
const demoMark = ".remit-demo"

// Run serves the shipped claims and fetches them as a client would.
func (c *demoCmd) Run(ctx context.Context, a *app) (err error) {
	sample, err := c.sample()
	if err != nil {
		return err
	}
	if err := prepareDemo(c.Out); err != nil {
		return err
	}
	warehouse := filepath.Join(c.Out, "warehouse")
	if err := os.CopyFS(warehouse, sample.Files); err != nil {
		return fmt.Errorf("unpack claims: %w", err)
	}
	cfg := config{
		Warehouse: "duckdb:" + warehouse, Mappings: sample.Set, Addr: c.Addr,
		Data: filepath.Join(c.Out, "server"), LogLevel: c.LogLevel,
	}
	if err := cfg.resolve(a); err != nil {
		return err
	}
	l, err := cfg.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(a.stdout, "mapping set %s on %s: %s\n", sample.Set, cfg.Warehouse, sample.About)
	n, err := openNode(ctx, a, &cfg, cfg.logger(a.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	face, err := n.face(ctx, a, &cfg)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- serveUntil(serving, face, l) }()

	err = c.exchange(ctx, a, n, face.Base())
	if err == nil && !c.Once {
		fmt.Fprintln(a.stdout, "serving on; interrupt to end")
		select {
		case <-ctx.Done():
		case err := <-served:
			return err
		}
	}
	stop()
	return errors.Join(err, <-served)
}

// prepareDemo makes an empty folder, in place of an earlier demo's.
func prepareDemo(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("prepare %s: %w", dir, err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return usagef("folder %s holds something else; give another with --out", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("prepare %s: %w", dir, err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("prepare %s: %w", dir, err)
	}
	return os.WriteFile(filepath.Join(dir, demoMark), nil, 0o600)
}

// exchange is the client's part: register, discover, get a token, kick off,
// poll, download; then the table and how to do it by hand.
func (c *demoCmd) exchange(ctx context.Context, a *app, n *node, base string) error {
	key, err := client.GenerateKey("ES384")
	if err != nil {
		return fmt.Errorf("make client key: %w", err)
	}
	keyFile := filepath.Join(c.Out, "client-key.json")
	private, err := key.PrivateJWK()
	if err != nil {
		return fmt.Errorf("make client key: %w", err)
	}
	if err := os.WriteFile(keyFile, private, 0o600); err != nil {
		return fmt.Errorf("write client key: %w", err)
	}
	public, err := key.PublicJWKS()
	if err != nil {
		return fmt.Errorf("make client key: %w", err)
	}
	id, err := (&keyRules{}).desk(a, n.control).Add(ctx, a.operator(), auth.Registration{Name: "demo", Keys: public, Scope: "system/*.rs"})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "client %s registered with a fresh %s key\n", id, key.Algorithm())

	remote, err := client.New(client.Options{BaseURL: base, ClientID: id, Key: key, Clock: a.now})
	if err != nil {
		return err
	}
	found, err := remote.Discover(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "discovery: token endpoint %s\n", found.TokenEndpoint)
	if _, err := remote.Token(ctx); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "token granted for system/*.rs")
	manifest, saved, statusURL, err := exchange(ctx, a, remote, client.Kickoff{}, c.Out)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "export complete: transactionTime %s, %d files in %s\n\n", manifest.TransactionTime, len(saved), c.Out)
	if err := os.WriteFile(filepath.Join(c.Out, "manifest.json"), manifest.Raw, 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := c.table(ctx, a, n, path.Base(statusURL)); err != nil {
		return err
	}
	c.byHand(a, base, id, keyFile, statusURL, manifest)
	return nil
}

func (c *demoCmd) table(ctx context.Context, a *app, n *node, id string) error {
	m, err := n.engine.Manifest(ctx, id, "", true)
	if err != nil {
		return err
	}
	r, err := n.engine.Report(ctx, id)
	if err != nil {
		return err
	}
	return writeTable(a.stdout, m, r, false)
}

// byHand prints the same exchange for curl.
func (c *demoCmd) byHand(a *app, base, clientID, keyFile, statusURL string, m *client.Manifest) {
	remit := "remit"
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		remit = "go run ./cmd/remit"
	}
	file := statusURL
	if len(m.Output) > 0 {
		file = m.Output[0].URL
	}
	if c.Once {
		fmt.Fprintf(a.stdout, "\nThe same by hand, while %s demo serves (without --once):\n", remit)
	} else {
		fmt.Fprint(a.stdout, "\nThe same by hand:\n")
	}
	fmt.Fprintf(a.stdout, `  curl -s %[1]s/metadata
  curl -s %[1]s/.well-known/smart-configuration
  TOKEN=$(%[2]s client token --url %[1]s --client-id %[3]s --key %[4]s)
  curl -si -H "Authorization: Bearer $TOKEN" -H "Prefer: respond-async" '%[1]s/$export?_type=Patient'
  curl -si -H "Authorization: Bearer $TOKEN" '%[5]s'
  curl -s --compressed -H "Authorization: Bearer $TOKEN" '%[6]s'
  curl -si -X DELETE -H "Authorization: Bearer $TOKEN" '%[5]s'
`, base, remit, clientID, keyFile, statusURL, file)
}
