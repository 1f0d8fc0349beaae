package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"remit/server/client"
)

type pullCmd struct {
	remoteFlags
	Type      []string `help:"Resource types to export; all where none is given." placeholder:"TYPE"`
	Since     string   `help:"Only what changed after this instant." placeholder:"INSTANT"`
	Until     string   `help:"Only what changed before this instant." placeholder:"INSTANT"`
	Group     string   `help:"Export the members of this Group." placeholder:"ID"`
	Patient   []string `help:"Export these patients only (id or Patient/id)." placeholder:"ID"`
	Patients  bool     `help:"Export at Patient level instead of system level."`
	Lenient   bool     `help:"Let the server pass over what it does not support."`
	Param     []string `help:"Further kick-off parameter, such as _typeFilter=Coverage?status=active; may be repeated." placeholder:"NAME=VALUE" sep:"none"`
	Post      bool     `help:"Kick off by POST."`
	Published bool     `help:"Download what the server publishes ($bulk-publish), if it changed since the last time."`
	Keep      bool     `help:"Leave the export on the server."`
	OutFolder string   `help:"Folder to write to." placeholder:"DIR" required:"" name:"out"`
}

// Help shows a worked line.
func (pullCmd) Help() string {
	return "Example: remit pull --url http://127.0.0.1:8080/fhir --client-id ID --key key.json --type Patient --out claims"
}

// Run does the whole exchange and lists what it saved.
func (c *pullCmd) Run(ctx context.Context, a *app) error {
	remote, err := c.client(a)
	if err != nil {
		return err
	}
	if c.Published {
		return c.published(ctx, a, remote)
	}
	k := client.Kickoff{
		Group: c.Group, Types: c.Type, Since: c.Since, Until: c.Until, Patients: c.Patient, Lenient: c.Lenient, Post: c.Post, Extra: url.Values{},
	}
	for _, p := range c.Param {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return usagef("--param %q: use NAME=VALUE", p)
		}
		k.Extra.Add(name, value)
	}
	if c.Group == "" && (c.Patients || len(c.Patient) > 0) {
		k.Level = client.Patient
	}
	manifest, saved, statusURL, err := exchange(ctx, a, remote, k, c.OutFolder)
	if err != nil {
		return err
	}
	if !c.Keep {
		if err := remote.Delete(ctx, statusURL); err != nil {
			fmt.Fprintf(a.stderr, "remit: the export stays on the server until it expires: %v\n", err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.OutFolder, "manifest.json"), manifest.Raw, 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return writeSaved(a.stdout, saved)
}

// tagFile keeps the entity tag of the publication that a folder holds.
const tagFile = "publication.etag"

// published downloads a publication into the folder, unless it holds it
// already.
func (c *pullCmd) published(ctx context.Context, a *app, remote *client.Client) error {
	tag, err := os.ReadFile(filepath.Join(c.OutFolder, tagFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read entity tag: %w", err)
	}
	m, newTag, err := remote.Published(ctx, string(tag))
	if err != nil {
		return err
	}
	if m == nil {
		_, err := fmt.Fprintln(a.stdout, "not modified")
		return err
	}
	if err := dropEarlier(c.OutFolder); err != nil {
		return err
	}
	saved, err := remote.Fetch(ctx, m, client.Download{Dir: c.OutFolder})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.OutFolder, "manifest.json"), m.Raw, 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.OutFolder, tagFile), []byte(newTag), 0o600); err != nil {
		return fmt.Errorf("write entity tag: %w", err)
	}
	return writeSaved(a.stdout, saved)
}

// exchange kicks off an export, polls it with progress, and downloads its
// files into dir.
func exchange(ctx context.Context, a *app, remote *client.Client, k client.Kickoff, dir string) (*client.Manifest, []client.Saved, string, error) {
	statusURL, err := remote.Kickoff(ctx, k)
	if err != nil {
		return nil, nil, "", err
	}
	bar := startProgress(a.stderr, "exporting", a.now)
	manifest, err := remote.Poll(ctx, statusURL, func(p client.Progress) { bar.set(p.Percent) })
	bar.done(err == nil)
	if err != nil {
		return nil, nil, statusURL, err
	}
	if err := dropEarlier(dir); err != nil {
		return nil, nil, statusURL, err
	}
	bar = startProgress(a.stderr, "downloading", a.now)
	saved, err := remote.Fetch(ctx, manifest, client.Download{
		Dir: dir,
		Progress: func(_ int64, done, all int) {
			if all > 0 {
				bar.set(100 * done / all)
			}
		},
	})
	bar.done(err == nil)
	return manifest, saved, statusURL, err
}

func writeSaved(w io.Writer, saved []client.Saved) error {
	rows := [][]string{{"type", "kind", "resources", "bytes", "file"}}
	for _, f := range saved {
		rows = append(rows, []string{f.Type, f.Kind, strconv.FormatInt(f.Lines, 10), strconv.FormatInt(f.Bytes, 10), f.Path})
	}
	return writeColumns(w, rows)
}
