package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"remit/mapping"
	"remit/mapping/diag"
	"remit/mapping/library"
	"remit/mapping/program"
	"remit/mapping/workbook"
	"remit/profiles"
	"remit/sql/duckdb"
	"remit/sql/postgres"
	"remit/sql/source"
)

// openWarehouse opens a warehouse by address: duckdb:DIR|FILE or postgres://...
// A plain path is a duckdb one.
func openWarehouse(ctx context.Context, address string) (source.Source, error) {
	scheme, rest, ok := strings.Cut(address, ":")
	switch {
	case address == "":
		return nil, usagef("no warehouse given; use --warehouse duckdb:DIR or --warehouse postgres://...")
	case ok && scheme == "duckdb":
		return duckdb.Open(ctx, rest, duckdb.Options{})
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return postgres.Open(ctx, address, postgres.Options{})
	case !ok:
		return duckdb.Open(ctx, address, duckdb.Options{})
	}
	return nil, usagef("unknown warehouse address scheme %q; use duckdb:DIR|FILE or postgres://...", scheme)
}

// openMappings finds a mapping set: the name of a shipped one, or a folder.
// The label is what diagnostics put before a file's name.
func openMappings(name string) (fsys fs.FS, label string, err error) {
	if name == "" {
		return nil, "", usagef("no mappings given; use --mappings DIR or --mappings NAME, with a shipped set: %s", strings.Join(library.Names(), ", "))
	}
	if !strings.ContainsRune(name, os.PathSeparator) {
		if set, ok := library.Set(name); ok {
			return set, "", nil
		}
	}
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		hint := diag.DidYouMean(name, library.Names())
		if hint == "" {
			hint = "shipped sets: " + strings.Join(library.Names(), ", ")
		}
		return nil, "", usagef("mappings %q: neither a folder nor a shipped set; %s", name, hint)
	}
	return os.DirFS(name), name, nil
}

// loaded is a mapping set ready to run, with the world it was checked against.
type loaded struct {
	warehouse source.Source
	profiles  *profiles.Set
	program   *program.Program
	list      *diag.List // warnings at most, where program is not nil
	files     fs.FS
}

func (l *loaded) Close() error { return l.warehouse.Close() }

// warnings tells what reading the warehouse's files mended; other warehouses
// have none.
func (l *loaded) warnings() []string {
	if w, ok := l.warehouse.(interface{ Warnings() []string }); ok {
		return w.Warnings()
	}
	return nil
}

// loadOptions choose what to load.
type loadOptions struct {
	warehouse     string
	mappings      string
	packages      []string
	idKey         []byte
	noAssumptions bool
}

// load opens a warehouse and compiles a mapping set against it. Where the set
// has errors, program is nil and list tells them; the caller closes loaded in
// any case but an error.
func load(ctx context.Context, o loadOptions) (*loaded, error) {
	fsys, _, err := openMappings(o.mappings)
	if err != nil {
		return nil, err
	}
	set, err := openProfiles(o.packages)
	if err != nil {
		return nil, err
	}
	warehouse, err := openWarehouse(ctx, o.warehouse)
	if err != nil {
		return nil, err
	}
	prog, list, err := mapping.Load(ctx, fsys, mapping.Env{
		Warehouse: warehouse, Profiles: set, IDKey: o.idKey, NoAssumptions: o.noAssumptions,
		Sheets: workbook.Rows,
	})
	if err != nil {
		_ = warehouse.Close()
		return nil, fmt.Errorf("load mappings: %w", err)
	}
	return &loaded{warehouse: warehouse, profiles: set, program: prog, list: list, files: fsys}, nil
}

// openProfiles opens the bundled definitions and the user's own packages, each
// a folder or a .tgz.
func openProfiles(packages []string) (*profiles.Set, error) {
	var o profiles.Options
	for _, p := range packages {
		fsys, err := packageFS(p)
		if err != nil {
			return nil, err
		}
		o.Packages = append(o.Packages, fsys)
	}
	return profiles.Open(o)
}
