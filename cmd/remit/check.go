package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"remit/mapping"
	"remit/mapping/diag"
	"remit/mapping/program"
)

type checkCmd struct {
	Warehouse     string   `help:"Claims warehouse: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS" required:""`
	Package       []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	NoAssumptions bool     `help:"Check as if assumed values were off."`
	Proof         bool     `help:"Print the proof report: what the load proved of each profile, what is judged per resource, what cannot be decided."`
	Data          bool     `help:"Read the warehouse too, and count NULL keys, orphans, doubled keys and ids, and dangling references."`
	JSON          bool     `help:"Print JSON: one object a diagnostic, then the reports asked for."`
	Mappings      string   `arg:"" help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET"`
}

// Help shows a worked line.
func (checkCmd) Help() string {
	return `Loads a mapping set against a warehouse and tells all that is wrong with it. On a server it also hints, on standard error, at indexes that the set reads by and the tables do not have.

Example: remit check --warehouse duckdb:fixtures/tuva tuva`
}

// Run loads the set and prints every diagnostic. Exit code 1 says that the set
// is refused.
func (c *checkCmd) Run(ctx context.Context, a *app) error {
	l, err := load(ctx, loadOptions{
		warehouse: c.Warehouse, mappings: c.Mappings, packages: c.Package, noAssumptions: c.NoAssumptions,
	})
	if err != nil {
		return err
	}
	defer l.Close()
	for _, warning := range l.warnings() {
		fmt.Fprintln(a.stderr, "warning: "+warning)
	}
	if err := writeDiagnostics(a, l, c.JSON); err != nil {
		return err
	}
	if l.program == nil {
		return exitCode(exitFindings)
	}
	if !c.JSON {
		types := l.program.Types()
		fmt.Fprintf(a.stdout, "%s: no errors; %d resource types:", c.Mappings, len(types))
		for _, t := range types {
			fmt.Fprintf(a.stdout, " %s", t.Name)
		}
		fmt.Fprintln(a.stdout)
	}
	if err := l.hintIndexes(ctx, a.stderr); err != nil {
		return err
	}
	if c.Proof {
		if err := c.proof(a, l); err != nil {
			return err
		}
	}
	if c.Data {
		return c.data(ctx, a, l)
	}
	return nil
}

func (c *checkCmd) proof(a *app, l *loaded) error {
	proof := mapping.Proof(l.program)
	if c.JSON {
		return proof.WriteJSON(a.stdout)
	}
	return proof.WriteText(a.stdout)
}

// data reads the warehouse as an export would; anything wrong ends with 1.
func (c *checkCmd) data(ctx context.Context, a *app, l *loaded) error {
	snap, err := l.warehouse.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer snap.Close()
	report, err := l.program.CheckData(ctx, snap, 0)
	if err != nil {
		return fmt.Errorf("check data: %w", err)
	}
	if c.JSON {
		err = json.NewEncoder(a.stdout).Encode(report)
	} else {
		err = writeDataReport(a.stdout, report)
	}
	if err == nil && !report.Clean() {
		return exitCode(exitFindings)
	}
	return err
}

func writeDataReport(w io.Writer, r *program.DataReport) error {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{{"source", "rows", "null keys", "orphans", "doubled keys", ""}}
	for _, s := range r.Sources {
		rows = append(rows, []string{s.Source, number(s.Rows), number(s.NullKeys), number(s.Orphans), number(s.Duplicates), ""})
	}
	if err := writeColumns(w, rows); err != nil {
		return err
	}
	rows = [][]string{{"type", "resources", "doubled ids", ""}}
	for _, i := range r.IDs {
		rows = append(rows, []string{i.Type, number(i.Resources), number(i.Duplicates), ""})
	}
	if err := writeColumns(w, rows); err != nil {
		return err
	}
	rows = [][]string{{"reference to", "written", "dangling", "at"}}
	for _, f := range r.References {
		rows = append(rows, []string{f.Target, number(f.References), number(f.Dangling), f.Pos.String()})
	}
	return writeColumns(w, rows)
}

// writeDiagnostics prints the list of a load: JSON to stdout for a machine,
// else snippets to stderr.
func writeDiagnostics(a *app, l *loaded, asJSON bool) error {
	if asJSON {
		return l.list.WriteJSON(a.stdout)
	}
	return l.list.WriteSnippets(a.stderr, func(file string) []byte {
		data, err := fs.ReadFile(l.files, file)
		if err != nil {
			return nil
		}
		return data
	})
}

// refused turns a set with errors into the error that prints them.
func refused(l *loaded) error {
	if l.program != nil {
		return nil
	}
	return &diag.ListError{List: l.list}
}
