package program

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/sql/source"
)

// Place is a position in the mapping set, for machines.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

func placeOf(p diag.Pos) Place { return Place{p.File, p.Line, p.Column} }

// String is file:line:column.
func (p Place) String() string {
	return diag.Pos{File: p.File, Line: p.Line, Column: p.Column}.String()
}

// Use is one expression of a mapping: what it reads, and what for.
type Use struct {
	Mapping string `json:"mapping"`
	// Path names the element without indexes, slices in brackets; it is the
	// resource type alone for what concerns the whole resource.
	Path string `json:"path"`
	// Role is what the expression is for: value, code, system, reference, id,
	// key, when, where, each or sequence.
	Role   string `json:"role"`
	Source string `json:"source"`
	SQL    string `json:"sql"`
	// Columns are the columns of Source that SQL names, sorted.
	Columns []string `json:"columns"`
	Map     string   `json:"map,omitempty"`
	Place   Place    `json:"place"`
	// Views are the views of the set, beside the full one, in which it stays.
	Views []string `json:"views,omitempty"`
}

// ColumnUse is one column of a source and where its values go.
type ColumnUse struct {
	Column string `json:"column"`
	// From is the column pattern of the parent, for a column of an unpivot.
	From string `json:"from,omitempty"`
	// Roles tells what the source itself needs it for: key, order, patient,
	// updated, where.
	Roles []string `json:"roles,omitempty"`
	// Paths are the elements that depend on it, each once, in the order of the
	// mappings.
	Paths []string `json:"paths,omitempty"`
}

// SourceUse is one source with the columns that the set reads of it, and those
// that it offers in vain.
type SourceUse struct {
	Source  string      `json:"source"`
	Table   string      `json:"table,omitempty"`
	Parent  string      `json:"parent,omitempty"`
	Columns []ColumnUse `json:"columns"`
	Unused  []string    `json:"unused,omitempty"`
	Place   Place       `json:"place"`
}

// TableUse is one table of the warehouse that the set reads, and its columns
// that nothing in the set names.
type TableUse struct {
	Table   string   `json:"table"`
	Sources []string `json:"sources"`
	Unused  []string `json:"unused,omitempty"`
}

// Unmapped is a must-support element of a profile in use that its mapping does
// not write. Only the topmost of a branch is listed.
type Unmapped struct {
	Mapping string `json:"mapping"`
	View    string `json:"view,omitempty"` // "" for the full one
	Profile string `json:"profile"`
	Element string `json:"element"` // element id
	Path    string `json:"path"`    // the same as a path of the language
	Short   string `json:"short,omitempty"`
	// Reason is why, as the mapping's unmapped says; "" where none is given.
	Reason string `json:"reason,omitempty"`
}

// unmapped lists the must-support elements that a mapping does not write.
func unmapped(m *check.Mapping) []Unmapped {
	var out []Unmapped
	for _, s := range m.Unwritten() {
		out = append(out, Unmapped{
			Mapping: m.Name, View: m.View, Profile: s.Profile.Canonical(), Element: s.Element.ID, Path: s.Path, Short: s.Element.Short, Reason: s.Why,
		})
	}
	return out
}

// Lineage is where every value comes from and where every column goes.
type Lineage struct {
	// Views are the names of the set's views, beside the full one.
	Views   []string    `json:"views,omitempty"`
	Uses    []Use       `json:"uses"`
	Sources []SourceUse `json:"sources"`
	Tables  []TableUse  `json:"tables,omitempty"`
	// MustSupport lists the must-support elements that are not mapped.
	MustSupport []Unmapped `json:"must_support_unmapped,omitempty"`
}

// Lineage follows every expression of the set from its columns to its
// elements. With a catalogue it also tells which columns of the warehouse's
// tables nothing names; for a source that is SQL, names are taken from its
// text, so that a column passed on by * counts as unused unless a mapping or
// another part of the text names it.
func (p *Program) Lineage(catalog *source.Catalog) *Lineage {
	l := &Lineage{Views: p.Views()}
	for _, m := range p.set.Mappings {
		uses := usesOf(m)
		l.MustSupport = append(l.MustSupport, unmapped(m)...)
		for _, v := range m.Views {
			stays := usesOf(v)
			for i := range uses {
				if slices.ContainsFunc(stays, func(u Use) bool { return u.Place == uses[i].Place && u.Path == uses[i].Path && u.Role == uses[i].Role }) {
					uses[i].Views = append(uses[i].Views, v.View)
				}
			}
			if v.Declared() {
				// What the view drops on purpose is not told as lacking.
				whole := *m
				whole.View, whole.Profiles = v.View, v.Profiles
				lacking := unmapped(v)
				for _, u := range unmapped(&whole) {
					if slices.Contains(lacking, u) {
						l.MustSupport = append(l.MustSupport, u)
					}
				}
			}
		}
		l.Uses = append(l.Uses, uses...)
	}
	sources := p.sources()
	for _, s := range sources {
		l.Sources = append(l.Sources, l.sourceUse(s))
	}
	if catalog != nil {
		l.Tables = l.tables(sources, catalog)
	}
	return l
}

// sources lists the sources that some mapping reads, each parent before its
// children, in the order of first use.
func (p *Program) sources() []*check.Source {
	var out []*check.Source
	var add func(s *check.Source)
	add = func(s *check.Source) {
		if s == nil || slices.Contains(out, s) {
			return
		}
		add(s.Parent)
		out = append(out, s)
	}
	for _, m := range p.set.Mappings {
		add(m.From)
		walk(m.Root, func(n *check.Node) { add(n.Each) })
	}
	return out
}

// walk visits n and all below it, assumptions and absent reasons included.
func walk(n *check.Node, visit func(*check.Node)) {
	if n == nil {
		return
	}
	visit(n)
	for _, c := range n.Children {
		walk(c, visit)
	}
	walk(n.Assumed, visit)
	walk(n.Absent, visit)
}

// usesOf lists the expressions of a mapping in the order of its elements.
func usesOf(m *check.Mapping) []Use {
	var out []Use
	root := m.Type.Name()
	add := func(path, role string, e *check.Expr, mapName string) {
		if e == nil {
			return
		}
		out = append(out, Use{
			Mapping: m.Name, Path: path, Role: role, Source: e.Source.Name, SQL: e.SQL,
			Columns: exprColumns(e), Map: mapName, Place: placeOf(e.Pos),
		})
	}
	value := func(path, role string, v *check.Value) {
		if v == nil {
			return
		}
		add(path, role, v.Expr, "")
		for _, e := range v.Of {
			add(path, role, e, v.Map.Name)
		}
	}
	parts := func(path, role string, list []check.Part) {
		for _, part := range list {
			value(path, role, part.Value)
		}
	}
	add(root, "where", m.Where, "")
	parts(root+".id", "id", m.ID.Parts)
	walk(m.Root, func(n *check.Node) {
		path := cmp.Or(n.Path, root)
		add(path, "each", n.EachWhere, "")
		add(path, "when", n.When, "")
		role := "key"
		if n.Kind == check.Link {
			role = "sequence"
		}
		parts(path, role, n.Key)
		switch n.Kind {
		case check.Coding:
			value(path+".code", "code", n.Value)
			value(path+".system", "system", n.SystemOf)
		case check.Coded:
			value(path, "code", n.Value)
		default:
			value(path, "value", n.Value)
		}
		if n.RefKey != nil {
			parts(path, "reference", n.RefKey.Parts)
		}
	})
	return out
}

// exprColumns are the columns of its source that an expression names, sorted.
func exprColumns(e *check.Expr) []string {
	if e.Column != "" {
		return []string{e.Column}
	}
	return columnsNamed(e.SQL, e.Source)
}

func columnsNamed(sql string, s *check.Source) []string {
	var out []string
	names := namesIn(sql)
	for _, col := range s.Columns {
		if names[strings.ToLower(col.Name)] {
			out = append(out, col.Name)
		}
	}
	slices.Sort(out)
	return out
}

// sourceUse gathers the columns of one source.
func (l *Lineage) sourceUse(s *check.Source) SourceUse {
	out := SourceUse{Source: s.Name, Table: s.Relation.Table, Place: placeOf(s.Pos)}
	if s.Parent != nil {
		out.Parent = s.Parent.Name
	}
	index := map[string]int{}
	column := func(name string) *ColumnUse {
		low := strings.ToLower(name)
		i, ok := index[low]
		if !ok {
			i = len(out.Columns)
			index[low] = i
			out.Columns = append(out.Columns, ColumnUse{Column: name, From: unpivotPattern(s, name)})
		}
		return &out.Columns[i]
	}
	role := func(role string, names ...string) {
		for _, n := range names {
			c := column(n)
			c.Roles = appendOnce(c.Roles, role)
		}
	}
	for _, k := range s.Key {
		role("key", k.Name)
	}
	for _, k := range s.Order {
		role("order", k.Name)
	}
	if s.Patient != nil {
		role("patient", s.Patient.Name)
	} else if u := s.Relation.Unpivot; u != nil && s.Parent != nil && s.Parent.Patient != nil {
		role("patient", s.Parent.Patient.Name) // its rows are the parent's own
	}
	if s.Updated != nil {
		role("updated", s.Updated.Name)
	}
	for _, w := range s.Where {
		role("where", exprColumns(w)...)
	}
	for _, u := range l.Uses {
		if u.Source != s.Name {
			continue
		}
		for _, name := range u.Columns {
			c := column(name)
			c.Paths = appendOnce(c.Paths, u.Path)
		}
	}
	slices.SortFunc(out.Columns, func(a, b ColumnUse) int { return cmp.Compare(a.Column, b.Column) })
	for _, c := range s.Columns {
		if _, used := index[strings.ToLower(c.Name)]; !used && !fromParent(s, c.Name) {
			out.Unused = append(out.Unused, c.Name)
		}
	}
	slices.Sort(out.Unused)
	return out
}

// unpivotPattern is the pattern behind a column of an unpivot, or "".
func unpivotPattern(s *check.Source, name string) string {
	if u := s.Relation.Unpivot; u != nil {
		for _, c := range u.Columns {
			if strings.EqualFold(c.Name, name) {
				return c.Pattern
			}
		}
	}
	return ""
}

// fromParent says that an unpivot has the column only because its parent has.
func fromParent(s *check.Source, name string) bool {
	u := s.Relation.Unpivot
	return u != nil && !strings.EqualFold(name, "n") && unpivotPattern(s, name) == ""
}

// tables tells which columns of the tables in use nothing names.
func (l *Lineage) tables(sources []*check.Source, catalog *source.Catalog) []TableUse {
	used := make([]map[string]bool, len(sources)) // names per source, as far down as its SQL
	for i, s := range sources {
		used[i] = map[string]bool{}
		for _, c := range l.Sources[i].Columns {
			used[i][strings.ToLower(c.Column)] = true
		}
		for n := range namesIn(s.Relation.SQL) {
			used[i][n] = true
		}
	}
	// What an unpivot reads, its parent passes on.
	for i := len(sources) - 1; i >= 0; i-- {
		s := sources[i]
		if s.Relation.Unpivot == nil {
			continue
		}
		at := slices.Index(sources, s.Parent)
		for name := range used[i] {
			if pattern := unpivotPattern(s, name); pattern == "" {
				used[at][name] = true
			} else {
				for _, n := range numbers(s.Relation.Unpivot) {
					used[at][strings.ToLower(strings.ReplaceAll(pattern, "{n}", n))] = true
				}
			}
		}
	}
	var out []TableUse
	for _, t := range catalog.Tables {
		full := t.Name
		if t.Schema != "" && !strings.Contains(t.Name, ".") {
			full = t.Schema + "." + t.Name
		}
		use := TableUse{Table: t.Name}
		names := map[string]bool{}
		for i, s := range sources {
			if !reads(s, t.Name, full) {
				continue
			}
			use.Sources = append(use.Sources, s.Name)
			for n := range used[i] {
				names[n] = true
			}
		}
		if use.Sources == nil {
			continue
		}
		for _, c := range t.Columns {
			if !names[strings.ToLower(c.Name)] {
				use.Unused = append(use.Unused, c.Name)
			}
		}
		out = append(out, use)
	}
	slices.SortFunc(out, func(a, b TableUse) int { return cmp.Compare(a.Table, b.Table) })
	return out
}

// numbers are the numbers of an unpivot as written.
func numbers(u *source.Unpivot) []string {
	from, errFrom := strconv.Atoi(u.From)
	to, errTo := strconv.Atoi(u.To)
	if errFrom != nil || errTo != nil {
		return nil // the checker has refused it already
	}
	width := 0
	if strings.HasPrefix(u.From, "0") {
		width = len(u.From)
	}
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("%0*d", width, i))
	}
	return out
}

// reads says that a source's own relation names the table.
func reads(s *check.Source, name, full string) bool {
	switch r := s.Relation; {
	case r.Table != "":
		return strings.EqualFold(r.Table, name) || strings.EqualFold(r.Table, full)
	case r.SQL != "":
		last := full[strings.LastIndexByte(full, '.')+1:]
		return namesIn(r.SQL)[strings.ToLower(last)]
	}
	return false
}

// namesIn lists the identifiers of SQL text in lower case, keywords among
// them; text in quotes and comments are left out.
func namesIn(sql string) map[string]bool {
	out := map[string]bool{}
	skip := func(from int, end string) int {
		if i := strings.Index(sql[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(sql)
	}
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case strings.HasPrefix(sql[i:], "--"):
			i = skip(i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = skip(i+2, "*/")
		case c == '\'':
			i = skip(i+1, "'")
		case c == '"':
			end := skip(i+1, `"`)
			out[strings.ToLower(strings.Trim(sql[i:end], `"`))] = true
			i = end
		case nameByte(c) && (c < '0' || c > '9'):
			start := i
			for i < len(sql) && nameByte(sql[i]) {
				i++
			}
			out[strings.ToLower(sql[start:i])] = true
		case c >= '0' && c <= '9':
			for i < len(sql) && nameByte(sql[i]) {
				i++
			}
		default:
			i++
		}
	}
	return out
}

func nameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}
