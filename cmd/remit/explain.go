package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
)

type explainCmd struct {
	setFlags
	View     string `help:"Explain it in this view alone; in all where none is given. full is the view of the whole mapping." placeholder:"NAME"`
	JSON     bool   `help:"Print JSON."`
	Resource string `arg:"" help:"The resource to explain." placeholder:"TYPE/ID"`
}

// setFlags choose a warehouse and a mapping set for the verbs of analysts.
type setFlags struct {
	Warehouse     string   `help:"Claims warehouse: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS" required:""`
	Mappings      string   `help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET" required:""`
	Package       []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	IDKeyFile     string   `name:"id-key-file" help:"File with the key of the ids, as the export has it." placeholder:"FILE"`
	NoAssumptions bool     `help:"As if assumed values were off."`
}

// open loads the set; where it has errors, the error prints them.
func (f *setFlags) open(ctx context.Context) (*loaded, error) {
	c := config{IDKeyFile: f.IDKeyFile}
	key, err := c.idKey()
	if err != nil {
		return nil, err
	}
	l, err := load(ctx, loadOptions{
		warehouse: f.Warehouse, mappings: f.Mappings, packages: f.Package, idKey: key, noAssumptions: f.NoAssumptions,
	})
	if err != nil {
		return nil, err
	}
	if err := refused(l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Help shows a worked line.
func (explainCmd) Help() string {
	return `Prints the rows behind one resource, the SQL that read them, and for each element the mapping line and the columns that it came from; then what each view of the set leaves out of it. The output holds health data.

Example: remit explain --warehouse duckdb:fixtures/tuva --mappings tuva Patient/fnm2thuhjvnmloubtialzjnb25cm4xfw`
}

// Run explains one resource. Exit code 1 says that its findings hold an error,
// or that there is no such resource.
func (c *explainCmd) Run(ctx context.Context, a *app) (err error) {
	resourceType, id, ok := strings.Cut(c.Resource, "/")
	if !ok || !knownType(resourceType) || id == "" {
		return usagef("%q is no TYPE/ID of a FHIR R4 resource", c.Resource)
	}
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	view := viewNamed(c.View)
	if err := knownView(l.program, view); err != nil {
		return err
	}
	validator, err := l.profiles.Validator(profiles.ValidatorOptions{})
	if err != nil {
		return fmt.Errorf("compile profiles: %w", err)
	}
	snap, err := l.warehouse.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { _ = snap.Close() }()
	judge := func(r *r4.Resource, findings []profiles.Finding) []profiles.Finding {
		return validator.Validate(r, findings)
	}
	var views []string
	if c.View != "" {
		views = []string{view}
	}
	found, err := l.program.Explain(ctx, snap, resourceType, id, judge, views...)
	var unknown *program.UnknownTypeError
	switch {
	case errors.As(err, &unknown):
		return &usageError{err}
	case errors.Is(err, program.ErrNoResource):
		fmt.Fprintf(a.stderr, "remit: %v\n", err)
		return exitCode(exitFindings)
	case err != nil:
		return fmt.Errorf("explain %s: %w", resourceType, err)
	}
	if err := c.write(a.stdout, found); err != nil {
		return err
	}
	for _, x := range found {
		for _, f := range x.Findings {
			if f.Severity == profiles.Error.String() {
				return exitCode(exitFindings)
			}
		}
	}
	return nil
}

func (c *explainCmd) write(w io.Writer, found []*program.Explanation) error {
	if c.JSON {
		return writeIndented(w, found)
	}
	var b strings.Builder
	full := map[string]*program.Explanation{} // by business key
	for i, x := range found {
		if i > 0 {
			b.WriteByte('\n')
		}
		if first := full[x.Key]; first != nil && x.View != "" {
			explainView(&b, x, first)
			continue
		}
		full[x.Key] = x
		explainText(&b, x)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeIndented prints JSON for a machine that a person may read, too.
func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fullView is what the verbs call the view without a name.
const fullView = "full"

// viewNamed is a view by the name that the verbs give it.
func viewNamed(name string) string {
	if name == fullView {
		return ""
	}
	return name
}

// explainView tells how the resource of a view differs from that of the full
// view, which stands before it.
func explainView(b *strings.Builder, x, full *program.Explanation) {
	fmt.Fprintf(b, "view %s of %s/%s\n", x.View, x.Type, x.ID)
	if bytes.Equal(x.Resource, full.Resource) {
		b.WriteString("  the same as in the full view\n")
		return
	}
	differ := func(sign string, list, other []program.Element) {
		for _, e := range list {
			if !slices.ContainsFunc(other, func(o program.Element) bool { return o.Mapped == e.Mapped && o.Value == e.Value && o.Place == e.Place }) {
				fmt.Fprintf(b, "  %s %s = %s\n      %s %s\n", sign, strings.TrimPrefix(e.Path, x.Type+"."), oneLine(e.Value), e.Place, e.By)
			}
		}
	}
	b.WriteString("\nelements, - of the full view alone, + of this one\n")
	differ("-", full.Elements, x.Elements)
	differ("+", x.Elements, full.Elements)
	explainFindings(b, x)
}

func explainText(b *strings.Builder, x *program.Explanation) {
	fmt.Fprintf(b, "%s/%s\n", x.Type, x.ID)
	if x.View != "" {
		fmt.Fprintf(b, "in view %s\n", x.View)
	}
	fmt.Fprintf(b, "made by %s (%s), pass %d, key %s\n", x.Mapping, x.Place, x.Pass, x.Key)
	for _, r := range x.Reads {
		rows := "rows"
		if len(r.Rows) == 1 {
			rows = "row"
		}
		fmt.Fprintf(b, "\nsource %s: %d %s\n", r.Source, len(r.Rows), rows)
		for i, row := range r.Rows {
			fmt.Fprintf(b, "  row %d\n", i+1)
			for k, v := range row {
				if v != nil {
					fmt.Fprintf(b, "    %s = %s\n", unquoted(oneLine(r.Columns[k])), oneLine(*v))
				}
			}
		}
		fmt.Fprintf(b, "  sql\n%s\n", indented(r.SQL, "    "))
	}
	b.WriteString("\nelements\n")
	for _, e := range x.Elements {
		fmt.Fprintf(b, "  %s = %s\n    %s %s", strings.TrimPrefix(e.Path, x.Type+"."), oneLine(e.Value), e.Place, e.By)
		for i, r := range e.Reads {
			sep := ", "
			if i == 0 {
				sep = " of "
			}
			fmt.Fprintf(b, "%s%s", sep, dependence(r))
		}
		b.WriteByte('\n')
	}
	explainFindings(b, x)
}

func explainFindings(b *strings.Builder, x *program.Explanation) {
	if len(x.Findings) == 0 {
		b.WriteString("\nno findings\n")
		return
	}
	b.WriteString("\nfindings\n")
	for _, f := range x.Findings {
		name := f.Code
		if f.Constraint != "" {
			name += " " + f.Constraint
		}
		fmt.Fprintf(b, "  %s: %s: %s: %s [%s]\n", f.Place, f.Severity, f.Path, f.Message, name)
	}
}

// dependence is source.column, or the SQL with its source.
func dependence(d program.Dependence) string {
	text := d.Source + ": " + oneLine(d.SQL)
	if len(d.Columns) == 1 && strings.EqualFold(strings.Trim(d.SQL, `"`), d.Columns[0]) {
		text = d.Source + "." + d.Columns[0]
	}
	if d.Map != "" {
		text += " by map " + d.Map
	}
	return text
}

// unquoted is a plain column without the quotes that the program sets.
func unquoted(sql string) string {
	inner := strings.TrimSuffix(strings.TrimPrefix(sql, `"`), `"`)
	if len(inner) == len(sql)-2 && !strings.Contains(inner, `"`) {
		return inner
	}
	return sql
}

// oneLine folds white space, so that a value keeps to its line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func indented(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by)
}
