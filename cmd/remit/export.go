package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"remit/mapping/program"
	"remit/server/export"
)

type exportCmd struct {
	config
	Out      string   `help:"Folder to write to." placeholder:"DIR" required:""`
	Type     []string `help:"Resource types to export; all where none is given." placeholder:"TYPE"`
	Since    string   `help:"Only what changed after this instant." placeholder:"INSTANT"`
	Until    string   `help:"Only what changed before this instant." placeholder:"INSTANT"`
	Patient  []string `help:"Export these patients only (Patient id)." placeholder:"ID"`
	Group    string   `help:"Export the members of this Group only." placeholder:"ID"`
	View     string   `help:"Export this view of the mapping set, such as basis; the full one where none is given." placeholder:"NAME"`
	Gzip     bool     `help:"Write NAME.gz files."`
	JSON     bool     `help:"Print the report as JSON instead of a table."`
	Findings bool     `help:"Exit with 1 where a resource was withheld or flagged."`
}

// Help shows a worked line.
func (exportCmd) Help() string {
	return "Example: remit export --warehouse duckdb:fixtures/tuva --mappings tuva --out claims --type Patient"
}

// Run exports into a folder with the engine that also serves the API.
func (c *exportCmd) Run(ctx context.Context, a *app) (err error) {
	request, err := c.request()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return fmt.Errorf("make output folder: %w", err)
	}
	// The engine's own store lies in the same folder, so that a full disk is
	// met before anything is shown.
	scratch, err := os.MkdirTemp(c.Out, ".remit-")
	if err != nil {
		return fmt.Errorf("make output folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if c.Data != "" || c.Control != "" || c.Store != "" {
		return usagef("export keeps nothing: --data, --control and --store are for serve")
	}
	c.Data = scratch
	setDefault(&c.LogLevel, "warn")
	if err := c.resolve(a); err != nil {
		return err
	}
	n, err := openNode(ctx, a, &c.config, c.logger(a.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := chooseTypes(n, request); err != nil {
		return err
	}
	bar := startProgress(a.stderr, "exporting", a.now)
	status, err := n.engine.Run(ctx, *request, func(s *export.Status) { bar.set(s.Percent) })
	bar.done(err == nil)
	if err != nil {
		return explain(err, n.log)
	}
	if err := dropEarlier(c.Out); err != nil {
		return err
	}
	manifest, report, err := n.engine.Save(ctx, status.ID, c.Out, c.Gzip)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeReportJSON(a.stdout, report)
	} else {
		err = writeTable(a.stdout, manifest, report, c.Gzip)
	}
	if err == nil && c.Findings && total(report.Withheld)+total(report.Flagged) > 0 {
		return exitCode(exitFindings)
	}
	return err
}

// dropEarlier removes the files of an earlier export from a folder, those that
// its manifest lists and no other: two snapshots must not lie side by side.
func dropEarlier(dir string) error {
	const name = "manifest.json"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var earlier export.Manifest
	if err == nil {
		err = json.Unmarshal(data, &earlier)
	}
	if err != nil {
		return fmt.Errorf("read the earlier export's manifest: %w", err)
	}
	gone := []string{name}
	for _, list := range [][]export.ManifestFile{earlier.Output, earlier.Deleted, earlier.Error} {
		for _, f := range list {
			base := path.Base(f.URL)
			gone = append(gone, base, base+".gz")
		}
	}
	for _, base := range gone {
		if err := os.Remove(filepath.Join(dir, base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the earlier export: %w", err)
		}
	}
	return nil
}

// request turns the flags into what the engine takes; the types come later.
func (c *exportCmd) request() (*export.Request, error) {
	r := &export.Request{Level: export.LevelSystem, Group: c.Group, Types: slices.Clone(c.Type), View: c.View, URL: "remit export"}
	for _, p := range c.Patient {
		r.Patients = append(r.Patients, strings.TrimPrefix(p, "Patient/"))
	}
	switch {
	case c.Group != "":
		r.Level = export.LevelGroup
	case len(c.Patient) > 0:
		r.Level = export.LevelPatient
	}
	var err error
	if r.Since, err = instant("--since", c.Since); err != nil {
		return nil, err
	}
	if r.Until, err = instant("--until", c.Until); err != nil {
		return nil, err
	}
	if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
		return nil, usagef("--since must lie before --until")
	}
	return r, nil
}

func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%s %q: use an instant such as 2026-11-01T00:00:00Z", flag, text)
	}
	return t, nil
}

// chooseTypes takes every type of the program where none was asked for, and
// refuses those it does not have.
func chooseTypes(n *node, r *export.Request) error {
	if err := knownView(n.loaded.program, r.View); err != nil {
		return err
	}
	var have []string
	for _, t := range n.loaded.program.TypesOf(r.View) {
		have = append(have, t.Name)
	}
	if len(r.Types) == 0 {
		r.Types = have
		return nil
	}
	for _, t := range r.Types {
		if !slices.Contains(have, t) {
			return usagef("type %q: the mapping set makes %s", t, strings.Join(have, ", "))
		}
	}
	return nil
}

// knownView refuses a view that the set does not have.
func knownView(p *program.Program, view string) error {
	views := p.Views()
	switch {
	case view == "" || slices.Contains(views, view):
		return nil
	case len(views) == 0:
		return usagef("view %q: the mapping set declares no views", view)
	}
	return usagef("view %q: the mapping set has %s", view, strings.Join(views, ", "))
}

// explain adds to a failed export's text what the operator alone may see.
func explain(err error, log *slog.Logger) error {
	var failed *export.FailedError
	var unknown *export.UnknownPatientsError
	switch {
	case errors.As(err, &failed):
		log.Debug("export failed", "detail", failed.Failure.Detail)
		if failed.Failure.Detail != "" {
			return fmt.Errorf("%w: %s", err, failed.Failure.Detail)
		}
	case errors.As(err, &unknown):
		return usagef("unknown patients: %s", strings.Join(unknown.IDs, ", "))
	case errors.Is(err, export.ErrUnknownGroup):
		return &usageError{err}
	}
	return err
}

// filePath is where Save put a file.
func filePath(dir, name string, gzip bool) string {
	if gzip {
		name += ".gz"
	}
	return filepath.Join(dir, name)
}
