package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"remit/mapping"
	"remit/mapping/workbook"
	"remit/sql/duckdb"
	pgload "remit/sql/postgres/load"
	"remit/sql/source"
)

type loadCmd struct {
	Into     string   `help:"PostgreSQL database: postgres://..., or env:NAME for the environment variable that holds it." placeholder:"ADDRESS" required:""`
	Schema   string   `help:"Name of the new schema; as in the folder's warehouse.yaml where that names one." placeholder:"NAME"`
	Mappings string   `help:"Mapping set that will read it: the keys of its sources become indexes." placeholder:"DIR|SET"`
	Package  []string `help:"FHIR package of your own (folder or .tgz) that the set needs." placeholder:"DIR" sep:"none"`
	JSON     bool     `help:"Print the report as JSON."`
	Folder   string   `arg:"" help:"Folder of tables, or a .duckdb file." placeholder:"DIR|FILE"`
}

// Help shows a worked line.
func (loadCmd) Help() string {
	return `Copies the tables of a folder, typed as its warehouse.yaml says, into a new schema. It is the only verb that writes to a warehouse; it does so in one transaction, and never into a schema that is there.

Example: remit load fixtures/tuva --into postgres://claims@db/claims --mappings tuva`
}

// Run loads a folder into a schema that is not there yet.
func (c *loadCmd) Run(ctx context.Context, a *app) error {
	address, err := c.address(a)
	if err != nil {
		return err
	}
	from, err := duckdb.Open(ctx, strings.TrimPrefix(c.Folder, "duckdb:"), duckdb.Options{})
	if err != nil {
		return err
	}
	defer from.Close()
	catalog, err := from.Catalog(ctx)
	if err != nil {
		return err
	}
	schema, err := c.schema(catalog)
	if err != nil {
		return err
	}
	options := pgload.Options{Schema: schema}
	if c.Mappings != "" {
		if options.Indexes, err = c.indexes(ctx, a, from, catalog); err != nil {
			return err
		}
	}
	snap, err := from.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer snap.Close()

	bar := startProgress(a.stderr, "loading", a.now)
	options.Progress = rowProgress(bar, catalog)
	report, err := pgload.Into(ctx, address, snap, catalog.Tables, options)
	bar.done(err == nil)
	if errors.Is(err, pgload.ErrSchemaExists) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return c.print(a.stdout, report, catalog)
}

// address is where to load into. A password belongs into the environment,
// not on a command line that others can list.
func (c *loadCmd) address(a *app) (string, error) {
	address := c.Into
	if name, ok := strings.CutPrefix(address, "env:"); ok {
		if address = a.getenv(name); address == "" {
			return "", usagef("--into: environment variable %s is not set", name)
		}
	}
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return "", usagef("--into: use postgres://...; nothing else is loaded into")
	}
	return address, nil
}

// schema is the new schema's name: as told, else as the tables' own. Tables of
// several schemas would meet in one, so that they are refused.
func (c *loadCmd) schema(catalog *source.Catalog) (string, error) {
	var found []string
	for _, t := range catalog.Tables {
		if len(found) == 0 || found[len(found)-1] != t.Schema {
			found = append(found, t.Schema) // the catalogue is sorted
		}
	}
	switch {
	case len(found) > 1:
		return "", usagef("%s has tables in the schemas %s; one is loaded at a time", c.Folder, strings.Join(found, ", "))
	case c.Schema != "":
		return c.Schema, nil
	case len(found) == 1 && found[0] != "main":
		return found[0], nil
	}
	return "", usagef("neither --schema nor schema: in %s/warehouse.yaml names the new schema", c.Folder)
}

// indexes checks the mapping set against the folder and asks it for its keys.
func (c *loadCmd) indexes(ctx context.Context, a *app, from source.Source, catalog *source.Catalog) ([]pgload.Index, error) {
	files, _, err := openMappings(c.Mappings)
	if err != nil {
		return nil, err
	}
	set, err := openProfiles(c.Package)
	if err != nil {
		return nil, err
	}
	prog, list, err := mapping.Load(ctx, files, mapping.Env{Warehouse: from, Profiles: set, Sheets: workbook.Rows})
	if err != nil {
		return nil, fmt.Errorf("load mappings: %w", err)
	}
	l := &loaded{program: prog, list: list, files: files}
	if err := refused(l); err != nil {
		return nil, err
	}
	var out []pgload.Index
	for _, k := range prog.TableKeys(catalog) {
		table := k.Table[strings.LastIndexByte(k.Table, '.')+1:]
		out = append(out, pgload.Index{Table: table, Columns: k.Columns})
	}
	return out, nil
}

// rowProgress turns rows into a percentage of what the catalogue promises.
func rowProgress(bar *progress, catalog *source.Catalog) func(int64) {
	var all int64
	for _, t := range catalog.Tables {
		all += max(t.EstimatedRows, 0)
	}
	return func(rows int64) {
		if all > 0 {
			bar.set(int(min(99, 100*rows/all)))
		}
	}
}

func (c *loadCmd) print(w io.Writer, r *pgload.Report, catalog *source.Catalog) error {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{{"table", "rows", "columns", ""}}
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Name, number(t.Rows), number(int64(t.Columns)), ""})
	}
	if err := writeColumns(w, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d tables, %d rows, %d indexes in the new schema %s\n", len(r.Tables), r.Rows, len(r.Indexes), r.Schema)
	if len(catalog.Tables) > 0 && catalog.Tables[0].Schema == "main" {
		fmt.Fprintf(w, "its tables are named without a schema when the warehouse's address ends in ?search_path=%s\n", r.Schema)
	}
	return nil
}
