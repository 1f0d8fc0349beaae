package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"remit/mapping/program"
)

type lineageCmd struct {
	setFlags
	JSON   bool   `help:"Print JSON."`
	View   string `help:"Only what this view holds." placeholder:"NAME"`
	Column string `help:"Only this column." placeholder:"SOURCE.COLUMN"`
	Path   string `help:"Only elements at or below this path." placeholder:"PATH"`
}

// Help shows a worked line.
func (lineageCmd) Help() string {
	return `Prints which columns each element depends on, which elements each column reaches, which columns nothing uses, and which must-support elements a mapping does not write and why, as its unmapped: says.

Example: remit lineage --warehouse duckdb:fixtures/tuva --mappings tuva --path Patient.name`
}

// Run prints the lineage of a set.
func (c *lineageCmd) Run(ctx context.Context, a *app) (err error) {
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	catalog, err := l.warehouse.Catalog(ctx)
	if err != nil {
		return fmt.Errorf("read catalogue: %w", err)
	}
	if err := knownView(l.program, viewNamed(c.View)); err != nil {
		return err
	}
	all := l.program.Lineage(catalog)
	if err := c.narrow(all); err != nil {
		return err
	}
	if c.JSON {
		return writeIndented(a.stdout, all)
	}
	return writeLineage(a.stdout, all)
}

// narrow keeps what the flags ask for.
func (c *lineageCmd) narrow(l *program.Lineage) error {
	if c.View == fullView {
		c.View = ""
		l.MustSupport = slices.DeleteFunc(l.MustSupport, func(m program.Unmapped) bool { return m.View != "" })
	}
	if c.Column == "" && c.Path == "" && c.View == "" {
		return nil
	}
	from, column, ok := strings.Cut(c.Column, ".")
	if c.Column != "" && !ok {
		return usagef("--column %q: expected SOURCE.COLUMN", c.Column)
	}
	out := program.Lineage{Views: l.Views}
	for _, u := range l.Uses {
		if c.Column != "" && (!strings.EqualFold(u.Source, from) || !containsFold(u.Columns, column)) {
			continue
		}
		if c.Path != "" && !below(u.Path, c.Path) {
			continue
		}
		if c.View != "" && !slices.Contains(u.Views, c.View) {
			continue
		}
		out.Uses = append(out.Uses, u)
	}
	if c.Column == "" {
		for _, m := range l.MustSupport {
			if (c.Path == "" || below(m.Path, c.Path)) && (c.View == "" || m.View == c.View) {
				out.MustSupport = append(out.MustSupport, m)
			}
		}
	}
	if len(out.Uses) == 0 && len(out.MustSupport) == 0 {
		return usagef("nothing in the set reads or writes that")
	}
	*l = out
	return nil
}

func containsFold(list []string, s string) bool {
	for _, have := range list {
		if strings.EqualFold(have, s) {
			return true
		}
	}
	return false
}

// below says that path is prefix or lies below it.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// absentFrom names the views of a set that do without a use.
func absentFrom(all, in []string) string {
	var out []string
	for _, v := range all {
		if !slices.Contains(in, v) {
			out = append(out, v)
		}
	}
	if out == nil {
		return ""
	}
	return "  not in view " + strings.Join(out, ", ")
}

func writeLineage(w io.Writer, l *program.Lineage) error {
	var b strings.Builder
	last := ""
	for _, u := range l.Uses {
		if u.Mapping != last {
			if last != "" {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "mapping %s\n", u.Mapping)
			last = u.Mapping
		}
		what := dependence(program.Dependence{Source: u.Source, SQL: u.SQL, Columns: u.Columns, Map: u.Map})
		fmt.Fprintf(&b, "  %s (%s) from %s  %s%s\n", u.Path, u.Role, what, u.Place, absentFrom(l.Views, u.Views))
	}
	for _, s := range l.Sources {
		fmt.Fprintf(&b, "\nsource %s", s.Source)
		if s.Table != "" {
			fmt.Fprintf(&b, " (table %s)", s.Table)
		}
		b.WriteByte('\n')
		for _, c := range s.Columns {
			fmt.Fprintf(&b, "  %s", c.Column)
			if c.From != "" {
				fmt.Fprintf(&b, " (%s)", c.From)
			}
			fmt.Fprintf(&b, " -> %s\n", strings.Join(append(c.Roles, c.Paths...), ", "))
		}
		if len(s.Unused) > 0 {
			fmt.Fprintf(&b, "  unused: %s\n", strings.Join(s.Unused, ", "))
		}
	}
	for _, t := range l.Tables {
		if len(t.Unused) > 0 {
			fmt.Fprintf(&b, "\ntable %s, columns that nothing names: %s\n", t.Table, strings.Join(t.Unused, ", "))
		}
	}
	if len(l.MustSupport) > 0 {
		b.WriteString("\nmust-support elements not mapped\n")
	}
	for _, m := range l.MustSupport {
		fmt.Fprintf(&b, "  %s: %s", m.Mapping, m.Element)
		if m.View != "" {
			fmt.Fprintf(&b, " (view %s)", m.View)
		}
		if m.Short != "" {
			fmt.Fprintf(&b, "  %s", oneLine(m.Short))
		}
		fmt.Fprintf(&b, "  why: %s\n", cmp.Or(oneLine(m.Reason), "no reason given"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
