package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"remit/server"
	"remit/server/auth"
	"remit/server/client"
	"remit/server/export"
)

type submitCmd struct {
	config
	Receiver     string   `arg:"" help:"FHIR base URL of the receiver." placeholder:"URL"`
	Submitter    string   `help:"Who submits, as agreed with the receiver: VALUE or SYSTEM|VALUE." placeholder:"IDENTIFIER" required:""`
	ID           string   `help:"Id of the submission; a new one where none is given." placeholder:"ID" name:"id"`
	Manifest     []string `help:"URL of a manifest that the receiver can fetch; none makes an export." placeholder:"URL" sep:"none"`
	FHIRBase     string   `help:"FHIR base of the manifest's resources; the public URL where none is given." placeholder:"URL" name:"fhir-base"`
	Replaces     string   `help:"URL of an earlier manifest whose data this one replaces." placeholder:"URL"`
	OAuth        string   `help:"URL at which the receiver learns how to get a token for the files." placeholder:"URL" name:"oauth-metadata"`
	Stop         bool     `help:"Tell the receiver to drop the submission --id."`
	For          string   `help:"Registered client as which the receiver fetches the export's files." placeholder:"CLIENT"`
	Group        string   `help:"Export the members of this Group." placeholder:"ID"`
	Type         []string `help:"Resource types to export; all that the client may have where none is given." placeholder:"TYPE"`
	ClientID     string   `help:"Client id that the receiver gave at registration." placeholder:"ID"`
	Key          string   `help:"Private key: JWK, JWK Set or PEM file." placeholder:"FILE"`
	Kid          string   `help:"Key id under which the receiver knows the key." placeholder:"KID"`
	TokenURL     string   `help:"The receiver's token endpoint, where discovery does not tell it." placeholder:"URL" name:"token-url"`
	NoStatus     bool     `help:"Do not wait for the receiver's word."`
	StatusFolder string   `help:"Folder for what the receiver answers." placeholder:"DIR" name:"out"`
}

// Help shows a worked line.
func (submitCmd) Help() string {
	return "Example: remit submit https://receiver.example/fhir --submitter acme --client-id ID --key key.json --config remit.yaml --for CLIENT --group g1"
}

// Run submits, and waits for what the receiver says. It exits with 1 where the
// receiver tells of errors.
func (c *submitCmd) Run(ctx context.Context, a *app) error {
	remote, err := (&remoteFlags{URL: c.Receiver, ClientID: c.ClientID, Key: c.Key, Kid: c.Kid, Scope: client.SubmitScope, TokenURL: c.TokenURL}).client(a)
	if err != nil {
		return err
	}
	s := client.Submission{ID: c.ID}
	if system, value, ok := strings.Cut(c.Submitter, "|"); ok {
		s.Submitter = client.Identifier{System: system, Value: value}
	} else {
		s.Submitter = client.Identifier{Value: c.Submitter}
	}
	if c.Stop {
		if s.ID == "" {
			return usagef("--stop needs --id")
		}
		return remote.Submit(ctx, s, nil, client.SubmissionStopped)
	}
	if s.ID == "" {
		s.ID = strings.ToLower(rand.Text())
	}
	manifests := c.Manifest
	if len(manifests) == 0 {
		url, err := c.export(ctx, a)
		if err != nil {
			return err
		}
		manifests = []string{url}
	} else if c.FHIRBase == "" {
		return usagef("--manifest needs --fhir-base")
	}
	for i, url := range manifests {
		state := client.SubmissionInProgress
		if i == len(manifests)-1 {
			state = client.SubmissionCompleted
		}
		m := &client.SubmittedManifest{URL: url, FHIRBase: c.FHIRBase, Replaces: c.Replaces, OAuthMetadata: c.OAuth}
		if err := remote.Submit(ctx, s, m, state); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "submitted %s\n", s.ID)
	if c.NoStatus {
		return nil
	}
	return c.status(ctx, a, remote, s)
}

// export makes an export that the receiver may fetch as its own client, and
// returns its manifest's URL.
func (c *submitCmd) export(ctx context.Context, a *app) (url string, err error) {
	if c.For == "" {
		return "", usagef("give --manifest, or --for: the registered client as which the receiver fetches the files")
	}
	setDefault(&c.LogLevel, "warn")
	if err := c.resolve(a); err != nil {
		return "", err
	}
	if c.PublicURL == "" {
		return "", usagef("--public-url tells the receiver where the files are")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	setDefault(&c.FHIRBase, c.PublicURL)
	setDefault(&c.OAuth, c.PublicURL+"/.well-known/smart-configuration")
	n, err := openNode(ctx, a, &c.config, c.logger(a.stderr))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	request, err := c.request(ctx, n)
	if err != nil {
		return "", err
	}
	bar := startProgress(a.stderr, "exporting", a.now)
	st, err := n.engine.Run(ctx, *request, func(s *export.Status) { bar.set(s.Percent) })
	bar.done(err == nil)
	if err != nil {
		return "", explain(err, n.log)
	}
	return c.PublicURL + server.StatusPath + st.ID, nil
}

// request is an export of what the receiver, as a client of ours, may have.
func (c *submitCmd) request(ctx context.Context, n *node) (*export.Request, error) {
	who, err := auth.NewStore(n.control, nil).Client(ctx, c.For)
	if errors.Is(err, auth.ErrUnknownClient) {
		return nil, usagef("client %q is not registered; remit client list shows those that are", c.For)
	}
	if err != nil {
		return nil, err
	}
	access := &auth.Access{Client: who, Scopes: who.Scopes}
	r := &export.Request{ClientID: who.ID, Level: export.LevelSystem, View: who.View, Fenced: who.Groups != nil, Fence: who.Groups,
		URL: c.PublicURL + "/$export", Base: c.base(), Restrict: server.Restrict(access, serviceDate, typesOf(n)...)}
	if c.Group != "" {
		r.Level, r.Group, r.URL = export.LevelGroup, c.Group, c.PublicURL+"/Group/"+c.Group+"/$export"
	} else if who.Groups != nil {
		return nil, usagef("client %q may have its groups only: give --group", c.For)
	}
	for _, t := range typesOf(n) {
		if access.MayExport(t) && (len(c.Type) == 0 || contains(c.Type, t)) {
			r.Types = append(r.Types, t)
		}
	}
	for _, t := range c.Type {
		if !contains(r.Types, t) {
			return nil, usagef("resource type %q is not exported, or client %q may not have it", t, c.For)
		}
	}
	if len(r.Types) == 0 {
		return nil, usagef("client %q may have no resource type of the mapping set", c.For)
	}
	return r, nil
}

func typesOf(n *node) []string {
	var out []string
	for _, t := range n.reloader.Types() {
		out = append(out, t.Name)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return x == s
		}
	}
	return false
}

// status waits for the receiver's word and saves it.
func (c *submitCmd) status(ctx context.Context, a *app, remote *client.Client, s client.Submission) error {
	url, err := remote.SubmitStatus(ctx, s)
	if err != nil {
		return err
	}
	bar := startProgress(a.stderr, "receiving", a.now)
	m, err := remote.Poll(ctx, url, func(p client.Progress) { bar.set(p.Percent) })
	bar.done(err == nil)
	if err != nil {
		return err
	}
	if m.SubmissionID != s.ID {
		return errors.New("submit status: the receiver tells of another submission")
	}
	failed := int64(0)
	for _, item := range m.Error {
		for _, n := range item.Severities {
			if n.Code == "error" || n.Code == "fatal" {
				failed += n.Count
			}
		}
	}
	if c.StatusFolder != "" {
		saved, err := remote.Fetch(ctx, m, client.Download{Dir: c.StatusFolder})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.StatusFolder, "manifest.json"), m.Raw, 0o600); err != nil {
			return fmt.Errorf("write manifest: %w", err)
		}
		if err := writeSaved(a.stdout, saved); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "received: %d files of outcomes, %d errors\n", len(m.Error), failed)
	if failed > 0 {
		return exitCode(exitFindings)
	}
	return nil
}
