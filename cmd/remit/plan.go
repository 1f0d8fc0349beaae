package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/sql/source"
)

type planCmd struct {
	setFlags
	Type   []string `help:"Plan these resource types only." placeholder:"TYPE"`
	View   string   `help:"Plan an export of this view; of the full one where none is given." placeholder:"NAME"`
	Engine bool     `help:"Print the engine's own plan, too."`
	JSON   bool     `help:"Print JSON."`
}

// Help shows a worked line.
func (planCmd) Help() string {
	return `Prints the passes of a run: which mappings share one, and for each source the ordered query that would run with the engine's estimate of its rows; on standard error, the indexes that the set reads by and the tables do not have.

Example: remit plan --warehouse duckdb:fixtures/tuva --mappings tuva --type Patient`
}

// plannedPass is one pass of a run.
type plannedPass struct {
	Pass     int            `json:"pass"`
	Mappings []string       `json:"mappings"`
	Types    []string       `json:"types"`
	Queries  []plannedQuery `json:"queries"`
}

// plannedQuery is one stream of a pass.
type plannedQuery struct {
	Source string `json:"source"`
	Parent string `json:"parent,omitempty"`
	// Makes are the sources below whose rows are made of those of this one.
	Makes []string `json:"makes,omitempty"`
	Order []string `json:"order"`
	// EstimatedRows is nil where the engine has no figure.
	EstimatedRows *int64 `json:"estimated_rows"`
	// Columns is how many columns are asked for; Views how many of them a view
	// asks for.
	Columns int            `json:"columns"`
	Views   map[string]int `json:"views,omitempty"`
	SQL     string         `json:"sql"`
	Plan    string         `json:"plan,omitempty"`
}

// Run prints what a run would ask.
func (c *planCmd) Run(ctx context.Context, a *app) (err error) {
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := c.knownTypes(l.program); err != nil {
		return err
	}
	snap, err := l.warehouse.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { _ = snap.Close() }()
	view := viewNamed(c.View)
	if err := knownView(l.program, view); err != nil {
		return err
	}
	views := map[string][]program.Query{}
	if view == "" {
		for _, v := range l.program.Views() {
			views[v] = l.program.Queries(program.Request{Types: c.Type, Views: []string{v}})
		}
	}
	passes, err := c.passes(ctx, snap, l.program.Queries(program.Request{Types: c.Type, Views: []string{view}}), views)
	if err != nil {
		return err
	}
	if len(passes) == 0 {
		return usagef("no mapping makes %s", strings.Join(c.Type, ", "))
	}
	if err := l.hintIndexes(ctx, a.stderr); err != nil {
		return err
	}
	if c.JSON {
		return writeIndented(a.stdout, passes)
	}
	return writePasses(a.stdout, passes)
}

// knownTypes refuses names that are none of a resource type.
func (c *planCmd) knownTypes(p *program.Program) error {
	var made []string
	for _, t := range p.Types() {
		made = append(made, t.Name)
	}
	for _, t := range c.Type {
		if knownType(t) {
			continue
		}
		if hint := diag.DidYouMean(t, made); hint != "" {
			return usagef("%q is no FHIR R4 resource type; %s", t, hint)
		}
		return usagef("%q is no FHIR R4 resource type", t)
	}
	return nil
}

func (c *planCmd) passes(ctx context.Context, snap source.Snapshot, queries []program.Query, views map[string][]program.Query) ([]plannedPass, error) {
	var out []plannedPass
	for _, q := range queries {
		if len(out) == 0 || out[len(out)-1].Pass != q.Pass {
			out = append(out, plannedPass{Pass: q.Pass, Mappings: q.Mappings, Types: q.Types})
		}
		would, err := snap.Explain(ctx, q.Query)
		if err != nil {
			return nil, fmt.Errorf("plan source %q: %w", q.Source, err)
		}
		one := plannedQuery{Source: q.Source, Parent: q.Parent, Makes: q.Makes, SQL: would.SQL}
		one.Columns = len(q.Query.Columns)
		for name, list := range views {
			for _, o := range list {
				if o.Pass == q.Pass && o.Source == q.Source {
					if one.Views == nil {
						one.Views = map[string]int{}
					}
					one.Views[name] = len(o.Query.Columns)
				}
			}
		}
		for _, k := range q.Query.Key {
			one.Order = append(one.Order, k.Name)
		}
		for _, k := range q.Query.Order {
			one.Order = append(one.Order, k.Name)
		}
		if would.EstimatedRows >= 0 {
			one.EstimatedRows = &would.EstimatedRows
		}
		if c.Engine {
			one.Plan = would.Plan
		}
		p := &out[len(out)-1]
		p.Queries = append(p.Queries, one)
	}
	return out, nil
}

// ofViews tells how many columns each view asks for.
func ofViews(views map[string]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(views)) {
		fmt.Fprintf(&b, ", view %s %d", name, views[name])
	}
	return b.String()
}

func writePasses(w io.Writer, passes []plannedPass) error {
	var b strings.Builder
	for i, p := range passes {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "pass %d: %s\n  mappings: %s\n", p.Pass, strings.Join(p.Types, ", "), strings.Join(p.Mappings, ", "))
		for _, q := range p.Queries {
			below := ""
			if q.Parent != "" {
				below = " below " + q.Parent
			}
			rows := "unknown"
			if q.EstimatedRows != nil {
				rows = strconv.FormatInt(*q.EstimatedRows, 10)
			}
			makes := ""
			if q.Makes != nil {
				makes = "\n    makes the rows of: " + strings.Join(q.Makes, ", ")
			}
			fmt.Fprintf(&b, "\n  source %s%s%s\n    estimated rows: %s\n    order: %s\n    columns: %d%s\n    sql:\n%s\n",
				q.Source, below, makes, rows, strings.Join(q.Order, ", "), q.Columns, ofViews(q.Views), indented(q.SQL, "      "))
			if q.Plan != "" {
				fmt.Fprintf(&b, "    engine:\n%s\n", indented(q.Plan, "      "))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
