package main

import (
	"context"
	"fmt"
	"io/fs"

	"remit/mapping/diag"
)

type checkCmd struct {
	Warehouse     string   `help:"Claims warehouse: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS" required:""`
	Package       []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	NoAssumptions bool     `help:"Check as if assumed values were off."`
	JSON          bool     `help:"Print one JSON object a diagnostic."`
	Mappings      string   `arg:"" help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET"`
}

// Help shows a worked line.
func (checkCmd) Help() string {
	return "Example: remit check --warehouse duckdb:fixtures/tuva tuva"
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
	return nil
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
