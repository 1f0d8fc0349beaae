package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"remit/mapping/program"
	"remit/sql/source"
)

type planCmd struct {
	setFlags
	Type   []string `help:"Plan these resource types only." placeholder:"TYPE"`
	Engine bool     `help:"Print the engine's own plan, too."`
	JSON   bool     `help:"Print JSON."`
}

// Help shows a worked line.
func (planCmd) Help() string {
	return `Prints the passes of a run: which mappings share one, and for each source the ordered query that would run with the engine's estimate of its rows.

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
	Source string   `json:"source"`
	Parent string   `json:"parent,omitempty"`
	Order  []string `json:"order"`
	// EstimatedRows is nil where the engine has no figure.
	EstimatedRows *int64 `json:"estimated_rows"`
	SQL           string `json:"sql"`
	Plan          string `json:"plan,omitempty"`
}

// Run prints what a run would ask.
func (c *planCmd) Run(ctx context.Context, a *app) (err error) {
	for _, t := range c.Type {
		if !knownType(t) {
			return usagef("%q is no FHIR R4 resource type", t)
		}
	}
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	snap, err := l.warehouse.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { _ = snap.Close() }()
	passes, err := c.passes(ctx, snap, l.program.Queries(program.Request{Types: c.Type}))
	if err != nil {
		return err
	}
	if len(passes) == 0 {
		return usagef("no mapping makes %s", strings.Join(c.Type, ", "))
	}
	if c.JSON {
		return writeIndented(a.stdout, passes)
	}
	return writePasses(a.stdout, passes)
}

func (c *planCmd) passes(ctx context.Context, snap source.Snapshot, queries []program.Query) ([]plannedPass, error) {
	var out []plannedPass
	for _, q := range queries {
		if len(out) == 0 || out[len(out)-1].Pass != q.Pass {
			out = append(out, plannedPass{Pass: q.Pass, Mappings: q.Mappings, Types: q.Types})
		}
		would, err := snap.Explain(ctx, q.Query)
		if err != nil {
			return nil, fmt.Errorf("plan source %q: %w", q.Source, err)
		}
		one := plannedQuery{Source: q.Source, Parent: q.Parent, SQL: would.SQL}
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
			fmt.Fprintf(&b, "\n  source %s%s\n    estimated rows: %s\n    order: %s\n    sql:\n%s\n",
				q.Source, below, rows, strings.Join(q.Order, ", "), indented(q.SQL, "      "))
			if q.Plan != "" {
				fmt.Fprintf(&b, "    engine:\n%s\n", indented(q.Plan, "      "))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
