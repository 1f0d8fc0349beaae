package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Explanation tells how one resource came to be. It holds health data (row
// values, element values) for the person who asked; it belongs in no log.
type Explanation struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	// View is the view that the resource is made for, "" for the full one.
	View    string `json:"view,omitempty"`
	Mapping string `json:"mapping"`
	Place   Place  `json:"place"`
	Pass    int    `json:"pass"`
	// Key is the business key, name=value, joined by commas.
	Key   string `json:"key"`
	Reads []Read `json:"reads"`
	// Elements are the values of the resource in document order.
	Elements []Element        `json:"elements"`
	Findings []ExplainedFault `json:"findings,omitempty"`
	Resource json.RawMessage  `json:"resource"`
}

// Read is one query that was run and the rows it gave.
type Read struct {
	Source  string   `json:"source"`
	SQL     string   `json:"sql"`
	Columns []string `json:"columns"` // the expressions, in order
	// Rows hold the canonical texts; nil is NULL.
	Rows [][]*string `json:"rows"`
}

// Element is one value of the resource.
type Element struct {
	Path string `json:"path"` // with indexes
	// Mapped is the path as the mapping has it: without indexes, with slices.
	Mapped string `json:"mapped"`
	Value  string `json:"value"`
	Place  Place  `json:"place"`
	// By says what wrote it: column, sql, map, literal, profile (a fixed
	// part), reference, sequence, id, updated, assumed or absent.
	By string `json:"by"`
	// Reads are the expressions that it depends on.
	Reads []Dependence `json:"reads,omitempty"`
}

// Dependence is one expression behind an element.
type Dependence struct {
	Source  string   `json:"source"`
	SQL     string   `json:"sql"`
	Columns []string `json:"columns"`
	Map     string   `json:"map,omitempty"`
}

// ExplainedFault is a finding with the place of the mapping that wrote the
// node.
type ExplainedFault struct {
	Severity   string `json:"severity"`
	Code       string `json:"code"`
	Path       string `json:"path"`
	Profile    string `json:"profile,omitempty"`
	Element    string `json:"element,omitempty"`
	Constraint string `json:"constraint,omitempty"`
	Message    string `json:"message"`
	Place      Place  `json:"place"`
}

// ErrNoResource says that no row of the warehouse makes the resource asked for.
var ErrNoResource = errors.New("no row makes this resource")

// Judge adds the profile findings of a resource to findings. A nil Judge adds
// none.
type Judge func(r *r4.Resource, findings []profiles.Finding) []profiles.Finding

// Explain tells how the resource resourceType/id is made: it looks the id up
// among the keys, runs the passes that yield it for that key alone, and keeps
// what was read. There is one Explanation for each mapping and view that makes
// it, the full view first; views, where given, lists the only ones wanted. In a
// set without views that is one, unless two rows have one id.
//
// Errors: ErrNoResource, *UnknownTypeError, and those of the warehouse.
func (p *Program) Explain(ctx context.Context, snap source.Snapshot, resourceType, id string, judge Judge, views ...string) ([]*Explanation, error) {
	if views == nil {
		views = append([]string{""}, p.set.Views...)
	}
	known := false
	var out []*Explanation
	for i, mappings := range p.passes {
		var of []*check.Mapping
		for _, m := range mappings {
			if m.Type.Name() == resourceType {
				of = append(of, m)
			}
		}
		known = known || len(of) > 0
		keys, err := p.keysOf(ctx, snap, of, id)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			found, err := p.explainKey(ctx, snap, Request{Pass: i + 1, Types: []string{resourceType}, Views: views, Apart: true}, id, key, judge)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	switch {
	case !known:
		return nil, &UnknownTypeError{Type: resourceType, Known: p.typeNames()}
	case len(out) == 0:
		return nil, fmt.Errorf("%s/%s: %w", resourceType, id, ErrNoResource)
	}
	return out, nil
}

// UnknownTypeError says that no mapping makes a resource type.
type UnknownTypeError struct {
	Type  string
	Known []string
}

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("no mapping makes %s; the set makes %s", e.Type, strings.Join(e.Known, ", "))
}

func (p *Program) typeNames() []string {
	var out []string
	for _, t := range p.Types() {
		out = append(out, t.Name)
	}
	return out
}

// keysOf lists the distinct keys of rows whose id is the one wanted. Only the
// columns of the id are read.
func (p *Program) keysOf(ctx context.Context, snap source.Snapshot, mappings []*check.Mapping, id string) ([][]string, error) {
	var out [][]string
	for _, m := range mappings {
		bare := *m
		bare.Root = &check.Node{Kind: check.Nothing, Type: m.Type, Repeat: -1}
		pass := plan.Of([]*check.Mapping{&bare})
		c := compilePass(p.set, pass)
		r := newRunner(c, &Report{Skipped: map[string]int64{}})
		r.res.Start(m.Type, m.Origin)
		r.unit = c.mappings[0]
		rows, err := snap.Stream(ctx, pass.Narrow(source.Narrow{})[0])
		if err != nil {
			return nil, fmt.Errorf("look for the id in source %q: %w", m.From.Name, err)
		}
		for rows.Next() {
			r.row = rows.Row()
			got, ok := r.makeID(&c.mappings[0].id)
			if !ok || string(got) != id {
				continue
			}
			key := make([]string, len(pass.Streams[0].Key))
			for i, col := range pass.Streams[0].Key {
				key[i] = string(r.row[col].Bytes())
			}
			if !slices.ContainsFunc(out, func(k []string) bool { return slices.Equal(k, key) }) {
				out = append(out, key)
			}
		}
		err = rows.Err()
		_ = rows.Close()
		if err != nil {
			return nil, fmt.Errorf("look for the id in source %q: %w", m.From.Name, err)
		}
	}
	return out, nil
}

// explainKey runs one pass for one key of its parent.
func (p *Program) explainKey(ctx context.Context, snap source.Snapshot, request Request, id string, key []string, judge Judge) ([]*Explanation, error) {
	f := &focus{Snapshot: snap, key: key}
	for _, q := range p.Queries(request) {
		if q.Parent == "" {
			f.root = q.Query
		}
	}
	var out []*Explanation
	_, err := p.Run(ctx, f, request, func(e *Emitted) error {
		if string(e.ID) != id {
			return nil
		}
		x := &Explanation{Type: e.Type, ID: string(e.ID), Key: string(e.Key), View: e.View, Pass: request.Pass, Place: placeOf(e.Pos)}
		m := p.mappingAt(request.Pass-1, e.Type, x.Place)
		if v := viewOf(m, e.View); v != nil {
			m = v
		}
		x.Mapping = m.Name
		x.Resource = e.Resource.AppendJSON(nil)
		x.Elements = p.elements(e.Resource, writersOf(m))
		findings := slices.Clone(e.Findings)
		if judge != nil {
			findings = judge(e.Resource, findings)
		}
		for _, d := range findings {
			x.Findings = append(x.Findings, p.fault(e.Resource, d))
		}
		out = append(out, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, x := range out {
		x.Reads = f.reads
	}
	return out, nil
}

// Elements lists the values of an emitted resource with what wrote them, as
// Explain does. It is for tests and reports, not for the way of many resources.
func (p *Program) Elements(e *Emitted) []Element {
	for _, m := range p.set.Mappings {
		if v := viewOf(m, e.View); v != nil && m.Type.Name() == e.Type && m.Pos == e.Pos {
			return p.elements(e.Resource, writersOf(v))
		}
	}
	return p.elements(e.Resource, nil)
}

func (p *Program) mappingAt(pass int, resourceType string, at Place) *check.Mapping {
	mappings := p.passes[pass]
	for _, m := range mappings {
		if m.Type.Name() == resourceType && placeOf(m.Pos) == at {
			return m
		}
	}
	return mappings[0]
}

func (p *Program) fault(r *r4.Resource, d profiles.Finding) ExplainedFault {
	out := ExplainedFault{
		Severity: d.Severity.String(), Code: d.Code, Path: d.Path, Profile: d.Profile, Element: d.Element,
		Constraint: d.Constraint, Message: d.Message,
	}
	origin := d.Origin
	if origin == 0 && int(d.Node) < r.Len() {
		origin = originOf(r, d.Node)
	}
	out.Place = placeOf(p.Position(origin))
	return out
}

// originOf is who wrote n, or else who wrote what it stands in.
func originOf(r *r4.Resource, n r4.Node) r4.Origin {
	for ; n != r4.None; n = r.Parent(n) {
		if o := r.Origin(n); o != 0 {
			return o
		}
	}
	return 0
}

// writer is a node of the mapping as the writer of elements.
type writer struct {
	node *check.Node
	by   string // "" for the node's own kind
}

// writersOf lists the nodes of a mapping by the origin that they leave.
func writersOf(m *check.Mapping) map[r4.Origin][]writer {
	out := map[r4.Origin][]writer{}
	var visit func(n *check.Node, by string)
	visit = func(n *check.Node, by string) {
		if n == nil {
			return
		}
		out[n.Origin] = append(out[n.Origin], writer{n, by})
		for _, c := range n.Children {
			visit(c, by)
		}
		visit(n.Assumed, "assumed")
		visit(n.Absent, "absent")
	}
	visit(m.Root, "")
	return out
}

// elements lists the values of a resource.
func (p *Program) elements(r *r4.Resource, writers map[r4.Origin][]writer) []Element {
	var out []Element
	var visit func(n r4.Node)
	visit = func(n r4.Node) {
		if r.HasValue(n) {
			origin := originOf(r, n)
			e := Element{Path: r.Path(n), Value: string(r.Value(n)), Place: placeOf(p.Position(origin)), By: "literal"}
			e.Mapped = check.PlainPath(e.Path)
			if w, at := choose(writers[origin], r, n); w.node != nil {
				e.By, e.Reads = w.explain(r.ElementOf(n))
				if w.node.Path != "" {
					e.Mapped = w.node.Path + strings.TrimPrefix(check.PlainPath(e.Path), check.PlainPath(r.Path(at)))
				}
			}
			out = append(out, e)
		}
		for c := r.First(n); c != r4.None; c = r.Next(c) {
			visit(c)
		}
	}
	visit(r4.Root)
	return out
}

// choose finds among the writers of one origin the one that wrote n: that of
// the element itself, else of an element around it, else the first. at is the
// element that the writer made.
func choose(list []writer, r *r4.Resource, n r4.Node) (w writer, at r4.Node) {
	for at = n; at != r4.None; at = r.Parent(at) {
		for _, w := range list {
			if w.node.Element == nil || w.node.Element != r.ElementOf(at) || w.node.Kind == check.Group || w.node.Kind == check.First {
				continue
			}
			return w, at
		}
	}
	for _, w := range list {
		for at = n; at != r4.None; at = r.Parent(at) {
			if w.node.Element != nil && w.node.Element == r.ElementOf(at) {
				return w, at
			}
		}
	}
	if len(list) > 0 && list[0].node.Element == nil {
		return list[0], r4.Root
	}
	return writer{}, r4.None
}

// explain says how w wrote an element, and from what.
func (w writer) explain(e *r4.Element) (by string, reads []Dependence) {
	n := w.node
	by = "literal"
	value := func(v *check.Value) {
		if v == nil {
			return
		}
		if v.Expr != nil {
			by = "sql"
			if v.Expr.Column != "" {
				by = "column"
			}
			reads = append(reads, dependence(v.Expr, ""))
		}
		for _, x := range v.Of {
			by = "map"
			reads = append(reads, dependence(x, v.Map.Name))
		}
	}
	parts := func(list []check.Part) {
		for _, part := range list {
			value(part.Value)
		}
	}
	switch n.Kind {
	case check.Coding:
		if e != nil && e.Name() == "system" {
			value(n.SystemOf)
		} else {
			value(n.Value)
		}
	case check.Reference:
		parts(n.RefKey.Parts)
		by = "reference"
	case check.Link:
		parts(n.Key)
		by = "sequence"
	case check.Sequence:
		by = "sequence"
	case check.ID:
		by = "id"
	case check.LastUpdated:
		by = "updated"
	default:
		value(n.Value)
		if n.Fixed && by == "literal" {
			by = "profile"
		}
	}
	if w.by != "" {
		by = w.by
	}
	return by, reads
}

func dependence(e *check.Expr, mapName string) Dependence {
	return Dependence{Source: e.Source.Name, SQL: e.SQL, Columns: exprColumns(e), Map: mapName}
}

// focus is a snapshot that gives only the rows of one key of a pass, and keeps
// what was read.
type focus struct {
	source.Snapshot
	root  *source.Query
	key   []string
	reads []Read
}

// Stream narrows q to the key.
func (f *focus) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	narrowed := *q
	if q.From == f.root.From {
		narrowed.Narrow.Keys = [][]string{f.key}
	} else {
		narrowed.Parent = &source.Query{From: f.root.From, Key: f.root.Key, Where: f.root.Where, Narrow: source.Narrow{Keys: [][]string{f.key}}}
	}
	would, err := f.Snapshot.Explain(ctx, &narrowed)
	if err != nil {
		return nil, err
	}
	rows, err := f.Snapshot.Stream(ctx, &narrowed)
	if err != nil {
		return nil, err
	}
	read := Read{Source: q.From.Name, SQL: would.SQL, Rows: [][]*string{}}
	for _, c := range q.Columns {
		read.Columns = append(read.Columns, c.SQL)
	}
	f.reads = append(f.reads, read)
	return &witness{RowStream: rows, focus: f, at: len(f.reads) - 1}, nil
}

// witness copies the rows that pass.
type witness struct {
	source.RowStream
	focus *focus
	at    int
}

// Next moves on and copies the row.
func (w *witness) Next() bool {
	if !w.RowStream.Next() {
		return false
	}
	row := make([]*string, 0, len(w.Row()))
	for _, v := range w.Row() {
		if v.IsNull() {
			row = append(row, nil)
			continue
		}
		text := string(v.Bytes())
		row = append(row, &text)
	}
	read := &w.focus.reads[w.at]
	read.Rows = append(read.Rows, row)
	return true
}
