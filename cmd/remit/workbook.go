package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/workbook"
	"remit/sql/source"
)

type workbookCmd struct {
	Export workbookExportCmd `cmd:"" help:"Write a mapping set as a workbook: a sheet per mapping, one row per element."`
	Import workbookImportCmd `cmd:"" help:"Take what an analyst filled in back into the mapping set."`
}

type workbookExportCmd struct {
	Mappings  string   `help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET" required:""`
	Out       string   `help:"File to write." placeholder:"FILE.xlsx" required:""`
	Warehouse string   `help:"Claims warehouse, to check against and take column types from: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS"`
	Examples  bool     `help:"Show an example of each value. They are health data: keep the workbook as you keep the claims."`
	Report    string   `help:"Report of an export (remit export --json), for the quality sheet." placeholder:"FILE.json"`
	Layout    string   `help:"remit, or cpcds for the layout of CARIN's CPCDS workbook." enum:"remit,cpcds" default:"remit"`
	Package   []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
}

// Help shows a worked line.
func (workbookExportCmd) Help() string {
	return "Example: remit workbook export --warehouse duckdb:fixtures/tuva --mappings tuva --out tuva.xlsx"
}

// Run writes the workbook. Exit code 1 says that the set is refused.
func (c *workbookExportCmd) Run(ctx context.Context, a *app) error {
	if c.Examples && c.Warehouse == "" {
		return usagef("--examples needs --warehouse to take them from")
	}
	files, err := openMappingFiles(c.Mappings)
	if err != nil {
		return err
	}
	var diags diag.List
	set, err := workbook.Open(files, filepath.Base(filepath.Clean(c.Mappings)), &diags)
	if err != nil {
		return err
	}
	if set == nil {
		return diags.Err()
	}
	defs, err := openProfiles(c.Package)
	if err != nil {
		return err
	}
	o := workbook.Options{Layout: workbook.Layout(c.Layout), Prepared: a.now()}
	if c.Report != "" {
		if o.Quality, err = readQuality(c.Report); err != nil {
			return err
		}
	}
	if c.Warehouse != "" {
		warehouse, err := openWarehouse(ctx, c.Warehouse)
		if err != nil {
			return err
		}
		defer func() { _ = warehouse.Close() }()
		checked, err := check.Check(ctx, files, set.Sources, set.Mappings, check.Env{Warehouse: warehouse, Profiles: defs, Sheets: workbook.Rows}, &diags)
		if err != nil {
			return fmt.Errorf("check mappings: %w", err)
		}
		if checked == nil {
			return diags.Err()
		}
		o.Proof = check.Prove(checked)
		if o.Facts, err = facts(ctx, warehouse, checked, c.Examples); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	if err := workbook.Write(&out, set, defs, o, &diags); err != nil {
		return err
	}
	if diags.HasErrors() {
		return diags.Err()
	}
	return writeWhole(c.Out, out.Bytes(), 0o600)
}

func readQuality(name string) (*workbook.Quality, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("--report: %w", err)
	}
	defer func() { _ = f.Close() }()
	q, err := workbook.ReadQuality(f)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return q, nil
}

// exampleRows is how many rows of a source are looked through for examples.
const exampleRows = 5000

// facts tells the type of each expression and, where asked for, its first value
// that is not NULL.
func facts(ctx context.Context, warehouse source.Source, set *check.Set, examples bool) (workbook.Facts, error) {
	out := workbook.Facts{}
	all := workbook.Expressions(set)
	for _, e := range all {
		out[e.Pos] = workbook.Fact{Source: e.Source.Name, Type: strings.ToLower(e.Type.Name)}
	}
	if !examples {
		return out, nil
	}
	snapshot, err := warehouse.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	defer func() { _ = snapshot.Close() }()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Source == all[0].Source {
			n++
		}
		if err := addExamples(ctx, snapshot, all[:n], out); err != nil {
			return nil, fmt.Errorf("read examples of source %s: %w", all[0].Source.Name, err)
		}
		all = all[n:]
	}
	return out, nil
}

// addExamples reads the examples of one source's expressions.
func addExamples(ctx context.Context, snapshot source.Snapshot, list []*check.Expr, out workbook.Facts) error {
	from := list[0].Source
	q := &source.Query{From: from.Relation, Key: from.Key, Order: from.Order}
	var asked []string
	for _, e := range list {
		if !slices.Contains(asked, e.SQL) {
			asked = append(asked, e.SQL)
			q.Columns = append(q.Columns, source.Expr{SQL: e.SQL})
		}
	}
	rows, err := snapshot.Stream(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	found := make(map[string]string, len(asked))
	for n := 0; n < exampleRows && len(found) < len(asked) && rows.Next(); n++ {
		for i, v := range rows.Row() {
			if i < len(asked) && !v.IsNull() && len(v.Bytes()) > 0 && found[asked[i]] == "" {
				found[asked[i]] = string(v.Bytes())
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, e := range list {
		f := out[e.Pos]
		f.Example = found[e.SQL]
		out[e.Pos] = f
	}
	return nil
}

type workbookImportCmd struct {
	File     string   `arg:"" help:"Workbook that was filled in." placeholder:"FILE.xlsx" type:"existingfile"`
	Mappings string   `help:"Folder of the mapping set that is changed." placeholder:"DIR" required:""`
	Layout   string   `help:"cpcds reads the layout of CARIN's CPCDS workbook; a workbook of ours says its own." enum:"remit,cpcds,auto" default:"auto"`
	DryRun   bool     `help:"List the changes and make none."`
	Package  []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
}

// Help shows a worked line.
func (workbookImportCmd) Help() string {
	return "Takes Column, SQL, Literal, Map, Each (the source an element repeats over) and When (the SQL on which it appears), and the keys of maps.\n\n" +
		"Example: remit workbook import tuva.xlsx --mappings mappings/tuva --dry-run"
}

// Run lists each change and makes it in the YAML. Nothing is written where one
// of them is refused; exit code 1 says so.
func (c *workbookImportCmd) Run(a *app) error {
	if info, err := os.Stat(c.Mappings); err != nil || !info.IsDir() {
		return usagef("mappings %q: not a folder; an import changes the files of a set of your own", c.Mappings)
	}
	var diags diag.List
	set, err := workbook.Open(os.DirFS(c.Mappings), filepath.Base(filepath.Clean(c.Mappings)), &diags)
	if err != nil {
		return err
	}
	if set == nil {
		return diags.Err()
	}
	defs, err := openProfiles(c.Package)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return usagef("%w", err)
	}
	defer func() { _ = f.Close() }()
	layout := workbook.Layout(c.Layout)
	if c.Layout == "auto" {
		layout = ""
	}
	changes, err := workbook.Read(f, filepath.Base(c.File), set, defs, layout, &diags)
	if err != nil {
		return err
	}
	if changes == nil {
		return diags.Err()
	}
	if err := diags.WriteText(a.stderr); err != nil {
		return err
	}
	for _, change := range changes.Changes {
		fmt.Fprintln(a.stdout, change)
	}
	if c.DryRun {
		return nil
	}
	for _, name := range fileNames(changes.Files) {
		path := filepath.Join(c.Mappings, filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("change %s: %w", name, err)
		}
		if err := writeWhole(path, changes.Files[name], info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

func fileNames(m map[string][]byte) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// openMappingFiles is the files of a mapping set.
func openMappingFiles(name string) (fs.FS, error) {
	files, _, err := openMappings(name)
	return files, err
}
