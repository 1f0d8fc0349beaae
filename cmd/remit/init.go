package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"remit/mapping/library"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/sql/source"
)

type initCmd struct {
	Set       string   `help:"Shipped set to copy, in place of a warehouse to start from." placeholder:"NAME"`
	Warehouse string   `help:"Claims warehouse: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS"`
	Profile   []string `help:"Write a mapping skeleton for this profile." placeholder:"PROFILE" sep:"none"`
	Package   []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	Table     []string `help:"Take only these tables." placeholder:"TABLE"`
	Out       string   `help:"Folder to write the set to." placeholder:"DIR" default:"mappings"`
}

// Help shows a worked line.
func (initCmd) Help() string {
	return `Starts a mapping set: sources.yaml with a source for each table of the warehouse and guessed keys, tests/tables.yaml for mapping tests, and for each profile a mapping in which every required element waits for its value and every must-support element stands as a comment. With --set it copies a shipped set instead, tests and README too, to be made one's own. Files that exist are left alone.

Example: remit init --warehouse duckdb:fixtures/tuva --profile "C4BB-Patient|2.1.0" --out mine
Example: remit init --set tuva --out mine`
}

// initFile is a file of a new set.
type initFile struct{ name, text string }

// Run writes the files that are not there yet.
func (c *initCmd) Run(ctx context.Context, a *app) error {
	switch {
	case (c.Set == "") == (c.Warehouse == ""):
		return usagef("give either --warehouse to start from its tables, or --set to copy a shipped set: %s", strings.Join(library.Names(), ", "))
	case c.Set != "" && (c.Profile != nil || c.Package != nil || c.Table != nil):
		return usagef("--set copies a set as it is; --profile, --package and --table go with --warehouse")
	}
	var files []initFile
	var err error
	if c.Set != "" {
		files, err = shippedFiles(c.Set)
	} else {
		files, err = c.scaffold(ctx)
	}
	if err != nil {
		return err
	}
	return c.write(a, files)
}

// shippedFiles are the files of a shipped set, and the schemas that its mappings
// name for editors, which the library keeps beside the sets.
func shippedFiles(name string) ([]initFile, error) {
	set, ok := library.Set(name)
	if !ok {
		return nil, usagef("there is no shipped set %q; there are %s", name, strings.Join(library.Names(), ", "))
	}
	var files []initFile
	if err := fs.WalkDir(set, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(set, path)
		if err != nil {
			return err
		}
		text := string(data)
		if filepath.Ext(path) == ".yaml" {
			text = strings.Replace(text, "$schema=../", "$schema=", 1)
		}
		files = append(files, initFile{filepath.FromSlash(path), text})
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the shipped set: %w", err)
	}
	for _, file := range []string{"sources", "mapping"} {
		data, err := syntax.SchemaOf(file)
		if err != nil {
			return nil, err
		}
		files = append(files, initFile{file + ".schema.json", string(data)})
	}
	return files, nil
}

// scaffold starts a set from a warehouse.
func (c *initCmd) scaffold(ctx context.Context) (_ []initFile, err error) {
	set, err := openProfiles(c.Package)
	if err != nil {
		return nil, err
	}
	var wanted []*profiles.Profile
	for _, name := range c.Profile {
		p, err := set.Profile(name)
		if err != nil {
			return nil, &usageError{err}
		}
		if !knownType(p.Type) {
			return nil, usagef("profile %q is on %s, which is no resource", name, p.Type)
		}
		wanted = append(wanted, p)
	}
	w, err := openWarehouse(ctx, c.Warehouse)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	catalog, err := w.Catalog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	tables, err := c.tables(catalog)
	if err != nil {
		return nil, err
	}
	files := []initFile{
		{"sources.yaml", scaffoldSources(tables)},
		{filepath.Join(testFolder, tablesFile), scaffoldTables(tables)},
	}
	for _, p := range wanted {
		files = append(files, initFile{fileName(p), scaffoldMapping(set, p)})
	}
	return files, nil
}

// write writes the files that are not there yet.
func (c *initCmd) write(a *app, files []initFile) error {
	for _, f := range files {
		name := filepath.Join(c.Out, f.name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("make the set: %w", err)
		}
		// O_EXCL: what an analyst has written is never written over.
		out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			fmt.Fprintf(a.stdout, "kept %s\n", name)
			continue
		}
		if err != nil {
			return fmt.Errorf("make the set: %w", err)
		}
		_, err = out.WriteString(f.text)
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("make the set: %w", err)
		}
		fmt.Fprintf(a.stdout, "wrote %s\n", name)
	}
	return nil
}

// tables are those asked for, else all.
func (c *initCmd) tables(catalog *source.Catalog) ([]source.Table, error) {
	var out []source.Table
	left := slices.Clone(c.Table)
	for _, t := range catalog.Tables {
		at := slices.IndexFunc(left, func(n string) bool { return strings.EqualFold(n, t.Name) })
		if at >= 0 {
			left = slices.Delete(left, at, at+1)
		}
		if at >= 0 || len(c.Table) == 0 {
			out = append(out, t)
		}
	}
	switch {
	case len(left) > 0:
		return nil, usagef("the warehouse has no table %s", strings.Join(left, ", "))
	case len(out) == 0:
		return nil, usagef("the warehouse has no tables")
	}
	return out, nil
}

// fileName names a mapping for a profile: C4BB-Patient becomes
// c4bb-patient.yaml.
func fileName(p *profiles.Profile) string {
	name := p.Name
	if name == "" {
		name = p.Type
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ' ' {
			return '-'
		}
		return r
	}, name)) + ".yaml"
}
