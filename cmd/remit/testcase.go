package main

import (
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"remit/mapping/diag"
)

// testFolder holds the mapping tests of a set; tablesFile, in it, the columns
// of the tables that the tests fill.
const (
	testFolder = "tests"
	tablesFile = "tables.yaml"
)

// testFile is one file of mapping tests.
type testFile struct {
	name  string
	cases []*testCase
}

// testCase is one test: rows given, and what is expected of them.
type testCase struct {
	name   string
	pos    diag.Pos
	given  []givenTable
	expect []expectation
	// tables stand in place of those of tests/tables.yaml that have their names:
	// another layout of the warehouse.
	tables []testTable
	// diagnostics, where refuse is set, are the codes with which the set must
	// be refused.
	refuse      bool
	diagnostics []string
}

// givenTable is a table with rows; a column that a row does not name is NULL.
type givenTable struct {
	name string
	pos  diag.Pos
	rows []map[string]string
}

// expectation is what one resource must be, or how many of a type there are.
type expectation struct {
	id       string // of a resource whose ids are plain; "" fits all
	pos      diag.Pos
	resource string
	key      map[string]string
	count    int // -1 where not asked
	values   []expectedValue
	absent   []expectedValue
	// findings are the codes of the findings of severity error.
	findings []string
}

type expectedValue struct {
	pos  diag.Pos
	path string
	want []string
}

// testParser reads test files strictly: every mistake with its place.
type testParser struct {
	file string
	list *diag.List
}

// readTests reads the tests of a mapping set, files in order of their names.
func readTests(set fs.FS, list *diag.List) ([]*testFile, error) {
	names, err := fs.Glob(set, path.Join(testFolder, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	slices.Sort(names)
	var out []*testFile
	for _, name := range names {
		if path.Base(name) == tablesFile {
			continue
		}
		data, err := fs.ReadFile(set, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		p := &testParser{file: name, list: list}
		if f := p.parse(data); f != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

func (p *testParser) root(data []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		p.list.Errorf(yamlErrorPos(p.file, err), "yaml-syntax", "not readable as YAML: %s", yamlErrorText(err))
		return nil
	}
	if len(doc.Content) == 0 {
		p.list.Errorf(diag.Pos{File: p.file}, "empty-file", "the file is empty")
		return nil
	}
	return doc.Content[0]
}

func (p *testParser) pos(n *yaml.Node) diag.Pos {
	return diag.Pos{File: p.file, Line: n.Line, Column: n.Column}
}

// fields walks a map of known keys.
func (p *testParser) fields(n *yaml.Node, where string, known map[string]func(k, v *yaml.Node)) {
	p.pairs(n, where, func(k, v *yaml.Node) {
		if read := known[k.Value]; read != nil {
			read(k, v)
			return
		}
		names := make([]string, 0, len(known))
		for name := range known {
			names = append(names, name)
		}
		slices.Sort(names)
		d := p.list.Errorf(p.pos(k), "unknown-key", "key %q is not known in %s", k.Value, where)
		if d.Hint = diag.DidYouMean(k.Value, names); d.Hint == "" {
			d.Hint = "expected one of " + strings.Join(names, ", ")
		}
	})
}

func (p *testParser) pairs(n *yaml.Node, what string, each func(k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.list.Errorf(p.pos(n), "wrong-kind", "expected a map for %s", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if seen[k.Value] {
			p.list.Errorf(p.pos(k), "duplicate-key", "key %q is written twice", k.Value)
			continue
		}
		seen[k.Value] = true
		each(k, n.Content[i+1])
	}
}

func (p *testParser) items(n *yaml.Node, what string, each func(v *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.list.Errorf(p.pos(n), "wrong-kind", "expected a list of %s", what)
		return
	}
	for _, c := range n.Content {
		each(c)
	}
}

func (p *testParser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode {
		p.list.Errorf(p.pos(n), "wrong-kind", "expected %s", what)
		return ""
	}
	return n.Value
}

// texts reads one text or a list of them.
func (p *testParser) texts(n *yaml.Node, what string) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	out := []string{}
	p.items(n, what, func(v *yaml.Node) { out = append(out, p.text(v, what)) })
	return out
}

func (p *testParser) parse(data []byte) *testFile {
	root := p.root(data)
	if root == nil {
		return nil
	}
	f := &testFile{name: p.file}
	var shared []givenTable
	var tables []testTable
	p.fields(root, "a test file", map[string]func(k, v *yaml.Node){
		"given": func(_, v *yaml.Node) { shared = p.given(v) },
		"tables": func(_, v *yaml.Node) {
			p.pairs(v, "tables by name", func(k, v *yaml.Node) { tables = append(tables, p.table(k, v)) })
		},
		"cases": func(_, v *yaml.Node) {
			p.items(v, "cases", func(v *yaml.Node) { f.cases = append(f.cases, p.testCase(v)) })
		},
	})
	if len(f.cases) == 0 {
		p.list.Errorf(p.pos(root), "no-cases", "the file has no cases")
	}
	for _, c := range f.cases {
		c.tables = tables
		for _, t := range shared {
			if !slices.ContainsFunc(c.given, func(own givenTable) bool { return strings.EqualFold(own.name, t.name) }) {
				c.given = append(c.given, t)
			}
		}
	}
	return f
}

func (p *testParser) testCase(n *yaml.Node) *testCase {
	c := &testCase{pos: p.pos(n)}
	p.fields(n, "a case", map[string]func(k, v *yaml.Node){
		"name":  func(_, v *yaml.Node) { c.name = p.text(v, "a name") },
		"given": func(_, v *yaml.Node) { c.given = p.given(v) },
		"expect": func(_, v *yaml.Node) {
			p.items(v, "expectations", func(v *yaml.Node) { c.expect = append(c.expect, p.expectation(v)) })
		},
		"diagnostics": func(_, v *yaml.Node) { c.refuse, c.diagnostics = true, p.texts(v, "a code") },
	})
	switch {
	case c.name == "":
		p.list.Errorf(c.pos, "missing-key", "the case has no name")
	case len(c.expect) == 0 && !c.refuse:
		p.list.Errorf(c.pos, "missing-key", "the case expects nothing")
	}
	return c
}

func (p *testParser) given(n *yaml.Node) []givenTable {
	var out []givenTable
	p.pairs(n, "tables by name", func(k, v *yaml.Node) {
		t := givenTable{name: k.Value, pos: p.pos(k)}
		p.items(v, "rows", func(v *yaml.Node) {
			row := map[string]string{}
			p.pairs(v, "a row", func(k, v *yaml.Node) {
				if v.Kind == yaml.ScalarNode && v.Tag == "!!null" {
					return
				}
				row[k.Value] = p.text(v, "a value")
			})
			t.rows = append(t.rows, row)
		})
		out = append(out, t)
	})
	return out
}

func (p *testParser) expectation(n *yaml.Node) expectation {
	e := expectation{pos: p.pos(n), count: -1}
	p.fields(n, "an expectation", map[string]func(k, v *yaml.Node){
		"resource": func(_, v *yaml.Node) {
			if e.resource = p.text(v, "a resource type"); !knownType(e.resource) {
				p.list.Errorf(p.pos(v), "unknown-resource", "%q is no resource type", e.resource)
			}
		},
		"id": func(_, v *yaml.Node) { e.id = p.text(v, "an id") },
		"key": func(_, v *yaml.Node) {
			e.key = map[string]string{}
			p.pairs(v, "key columns", func(k, v *yaml.Node) { e.key[strings.ToLower(k.Value)] = p.text(v, "a value") })
		},
		"count": func(_, v *yaml.Node) {
			n, err := strconv.Atoi(p.text(v, "a number"))
			if err != nil || n < 0 {
				p.list.Errorf(p.pos(v), "wrong-kind", "expected a number")
			}
			e.count = n
		},
		"values": func(_, v *yaml.Node) {
			p.pairs(v, "values by path", func(k, v *yaml.Node) {
				e.values = append(e.values, expectedValue{pos: p.pos(k), path: k.Value, want: p.texts(v, "a value")})
			})
		},
		"absent": func(_, v *yaml.Node) {
			p.items(v, "paths", func(v *yaml.Node) {
				e.absent = append(e.absent, expectedValue{pos: p.pos(v), path: p.text(v, "a path")})
			})
		},
		"findings": func(_, v *yaml.Node) { e.findings = p.texts(v, "a code") },
	})
	if e.resource == "" {
		p.list.Errorf(e.pos, "missing-key", "the expectation names no resource")
	}
	return e
}

// testTable is a table that tests fill: its columns with their types in the
// words of warehouse.yaml.
type testTable struct {
	name    string // as mappings write it: schema.table or table
	columns []testColumn
	// absent says that the layout does not have the table.
	absent bool
}

type testColumn struct{ name, kind string }

var columnRange = regexp.MustCompile(`^(.*)\{([0-9]+)\.\.([0-9]+)\}(.*)$`)

// readTables reads tests/tables.yaml; without it, tables have the columns that
// the given rows name, all of them text.
func readTables(set fs.FS, list *diag.List) ([]testTable, error) {
	name := path.Join(testFolder, tablesFile)
	data, err := fs.ReadFile(set, name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := &testParser{file: name, list: list}
	root := p.root(data)
	if root == nil {
		return nil, nil
	}
	var out []testTable
	p.pairs(root, "tables by name", func(k, v *yaml.Node) { out = append(out, p.table(k, v)) })
	return out, nil
}

// table reads the columns of a table, or the word absent.
func (p *testParser) table(k, v *yaml.Node) testTable {
	t := testTable{name: k.Value}
	if v.Kind == yaml.ScalarNode && v.Value == "absent" {
		t.absent = true
		return t
	}
	p.pairs(v, "column types by name", func(k, v *yaml.Node) {
		kind := p.text(v, "a type")
		m := columnRange.FindStringSubmatch(k.Value)
		if m == nil {
			t.columns = append(t.columns, testColumn{k.Value, kind})
			return
		}
		from, errFrom := strconv.Atoi(m[2])
		to, errTo := strconv.Atoi(m[3])
		if errFrom != nil || errTo != nil || from > to || to-from > 1000 {
			p.list.Errorf(p.pos(k), "bad-range", "the range of %q is empty or too wide", k.Value)
			return
		}
		for i := from; i <= to; i++ {
			t.columns = append(t.columns, testColumn{m[1] + strconv.Itoa(i) + m[4], kind})
		}
	})
	return t
}

// layout is the declared tables with a test file's own in their place.
func layout(declared, own []testTable) []testTable {
	if len(own) == 0 {
		return declared
	}
	var out []testTable
	for _, t := range declared {
		if !slices.ContainsFunc(own, func(o testTable) bool { return strings.EqualFold(o.name, t.name) }) {
			out = append(out, t)
		}
	}
	for _, t := range own {
		if !t.absent {
			out = append(out, t)
		}
	}
	return out
}

// fill joins the declared tables with the rows of a case: every declared table
// is there, empty where nothing is given. A row that names an unknown column
// of a declared table is a mistake.
func fill(declared []testTable, given []givenTable, list *diag.List) ([]testTable, map[string][]map[string]string) {
	tables := slices.Clone(declared)
	rows := map[string][]map[string]string{}
	for _, g := range given {
		at := slices.IndexFunc(tables, func(t testTable) bool { return strings.EqualFold(t.name, g.name) })
		if at < 0 {
			t := testTable{name: g.name}
			names := map[string]bool{}
			for _, r := range g.rows {
				for c := range r {
					names[c] = true
				}
			}
			for c := range names {
				t.columns = append(t.columns, testColumn{c, "text"})
			}
			slices.SortFunc(t.columns, func(a, b testColumn) int { return strings.Compare(a.name, b.name) })
			tables, at = append(tables, t), len(tables)
		}
		known := map[string]string{}
		var names []string
		for _, c := range tables[at].columns {
			known[strings.ToLower(c.name)] = c.name
			names = append(names, c.name)
		}
		for _, r := range g.rows {
			row := map[string]string{}
			for c, v := range r {
				name, ok := known[strings.ToLower(c)]
				if !ok {
					d := list.Errorf(g.pos, "unknown-column", "a row of %s has a column %q, which tests/%s does not declare", g.name, c, tablesFile)
					d.Hint = diag.DidYouMean(c, names)
					continue
				}
				row[name] = v
			}
			rows[tables[at].name] = append(rows[tables[at].name], row)
		}
	}
	return tables, rows
}

// nullToken stands for NULL in the files of a test warehouse, so that the empty
// text stays a text.
const nullToken = `\N`

// writeWarehouse writes the tables as a folder that the embedded engine reads.
func writeWarehouse(dir string, tables []testTable, rows map[string][]map[string]string) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	add := func(to *yaml.Node, key string, value *yaml.Node) {
		k := &yaml.Node{}
		k.SetString(key)
		to.Content = append(to.Content, k, value)
	}
	text := func(s string) *yaml.Node { n := &yaml.Node{}; n.SetString(s); return n }
	list := &yaml.Node{Kind: yaml.MappingNode}
	schema := ""
	for i, t := range tables {
		in, name, ok := strings.Cut(t.name, ".")
		if !ok {
			in, name = "", t.name
		}
		if i > 0 && in != schema {
			return usagef("tables %s and %s: the tables of a test lie in one schema", tables[0].name, t.name)
		}
		schema = in
		columns := &yaml.Node{Kind: yaml.MappingNode}
		for _, c := range t.columns {
			add(columns, c.name, text(c.kind))
		}
		table := &yaml.Node{Kind: yaml.MappingNode}
		add(table, "columns", columns)
		add(list, name, table)
		if err := writeCSV(filepath.Join(dir, name+".csv"), t, rows[t.name]); err != nil {
			return err
		}
	}
	if schema != "" {
		add(root, "schema", text(schema))
	}
	add(root, "nulls", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{text(nullToken)}})
	add(root, "tables", list)
	data, err := yaml.Marshal(root)
	if err != nil {
		return fmt.Errorf("write the test warehouse: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "warehouse.yaml"), data, 0o600); err != nil {
		return fmt.Errorf("write the test warehouse: %w", err)
	}
	return nil
}

func writeCSV(file string, t testTable, rows []map[string]string) (err error) {
	f, err := os.Create(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("write the test warehouse: %w", err)
	}
	w := csv.NewWriter(f)
	record := make([]string, len(t.columns))
	for i, c := range t.columns {
		record[i] = c.name
	}
	_ = w.Write(record) // the error stays with w
	for _, row := range rows {
		for i, c := range t.columns {
			v, ok := row[c.name]
			if !ok {
				v = nullToken
			}
			record[i] = v
		}
		_ = w.Write(record)
	}
	w.Flush()
	err = w.Error()
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return fmt.Errorf("write the test warehouse: %w", err)
	}
	return nil
}
