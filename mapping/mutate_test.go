package mapping_test

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"remit/mapping"
	"remit/profiles"
	"remit/profiles/r4"
)

// mutation is one mistake in one file of a set.
type mutation struct {
	class string
	file  string
	line  int
	text  string // the file with the mistake
	was   string // what stood there
}

// mutator walks the YAML of a mapping and makes every mistake of every class
// that applies, one at a time.
type mutator struct {
	file  string
	lines []string
	out   []mutation
	prof  *profiles.Profile
}

// edit replaces the text of a scalar where it stands.
func (m *mutator) edit(class string, n *yaml.Node, to string) {
	line := m.lines[n.Line-1]
	at := n.Column - 1
	if n.Style == yaml.SingleQuotedStyle || n.Style == yaml.DoubleQuotedStyle {
		at++
	}
	if !strings.HasPrefix(line[at:], n.Value) || to == n.Value {
		return // folded or escaped: another leaf of the class stands for it
	}
	m.add(class, n.Line, n.Value, line[:at]+to+line[at+len(n.Value):])
}

// add keeps a mutation that replaces one line.
func (m *mutator) add(class string, line int, was, replaced string) {
	lines := slices.Clone(m.lines)
	lines[line-1] = replaced
	m.out = append(m.out, mutation{class, m.file, line, strings.Join(lines, "\n"), was})
}

// without keeps a mutation that leaves out an entry of a block map, up to the
// line of what follows.
func (m *mutator) without(class string, key *yaml.Node, next int) {
	lines := slices.Concat(m.lines[:key.Line-1], m.lines[min(next-1, len(m.lines)):])
	m.out = append(m.out, mutation{class, m.file, key.Line, strings.Join(lines, "\n"), key.Value})
}

func pairs(n *yaml.Node, visit func(k, v *yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(n.Content[i], n.Content[i+1])
		}
	}
}

func (m *mutator) mapping(top *yaml.Node, set *profiles.Set) {
	var resource string
	pairs(top, func(k, v *yaml.Node) {
		switch k.Value {
		case "resource":
			resource = v.Value
			m.edit("resource", v, v.Value+"x")
		case "profile":
			m.edit("profile", v, v.Value[:strings.IndexByte(v.Value+"|", '|')]+"x")
			m.prof, _ = set.Profile(v.Value)
		case "from":
			m.edit("source", v, v.Value+"x")
		case "where":
			m.sql(v, "")
		case "id":
			pairs(v, func(k, v *yaml.Node) {
				if k.Value == "form" {
					m.edit("form", v, v.Value+"x")
				}
			})
		case "views":
			pairs(v, func(_, view *yaml.Node) { m.view(view) })
		}
		m.edit("top key", k, k.Value+"x")
	})
	pairs(top, func(k, v *yaml.Node) {
		if k.Value == "set" {
			m.required(v, top)
			m.node(v, r4.Lookup(resource))
		}
	})
}

// view makes the mistakes of one view.
func (m *mutator) view(view *yaml.Node) {
	pairs(view, func(k, v *yaml.Node) {
		switch k.Value {
		case "profile":
			m.edit("view profile", v, v.Value[:strings.IndexByte(v.Value+"|", '|')]+"x")
		case "drop":
			for i, d := range v.Content {
				m.edit("view drop", d, "zz"+d.Value)
				if i > 0 && v.Style&yaml.FlowStyle != 0 && d.Line == v.Content[i-1].Line {
					// What is no longer dropped shows money.
					m.edit("view shows money", d, v.Content[0].Value)
				}
			}
		}
	})
}

// brackets leaves a flow collection open, once for each line that ends in one.
func (m *mutator) brackets() {
	for i, line := range m.lines {
		if rest, ok := strings.CutSuffix(line, "}"); ok && strings.Contains(line, "{") && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			m.add("open bracket", i+1, line, rest)
		}
	}
}

// required leaves out, one at a time, the elements that the profile requires.
func (m *mutator) required(set, top *yaml.Node) {
	if m.prof == nil {
		return
	}
	written, unsliced := map[string]int{}, map[string]bool{}
	pairs(set, func(k, _ *yaml.Node) {
		first := strings.SplitN(k.Value, ".", 2)[0]
		written[first]++
		if name(first) != first {
			written[name(first)]++
			return
		}
		unsliced[first] = true // it may turn out to be the slice
	})
	for i := 0; i+1 < len(set.Content); i += 2 {
		k := set.Content[i]
		name, slice, _ := strings.Cut(strings.TrimSuffix(strings.SplitN(k.Value, ".", 2)[0], "]"), "[")
		next := len(m.lines) + 1
		if i+2 < len(set.Content) {
			next = set.Content[i+2].Line
		} else if at := slices.Index(top.Content, set); at+1 < len(top.Content) {
			next = top.Content[at+1].Line
		}
		e := m.prof.Root().Child(name)
		if e == nil || k.Line == next || written[strings.SplitN(k.Value, ".", 2)[0]] > 1 {
			continue
		}
		if slice != "" {
			if unsliced[name] {
				continue
			}
			if e = e.SliceNamed(slice); e == nil {
				continue
			}
		}
		// What the profile fixes whole is written without the mapping (rule 10).
		if e.Min > 0 && e.Fixed == nil && e.Pattern == nil {
			m.without("removed required element", k, next)
		}
	}
}

// sql makes the mistakes of SQL; prefix is "=" in set.
func (m *mutator) sql(v *yaml.Node, prefix string) {
	body := strings.TrimPrefix(v.Value, prefix)
	m.edit("sql semicolon", v, v.Value+";")
	m.edit("sql parenthesis", v, prefix+"("+body)
	m.edit("sql comment", v, v.Value+"/*")
	m.edit("sql volatile", v, prefix+"now()")
	m.edit("sql aggregate", v, prefix+"max(1)")
	if !strings.ContainsAny(body, " ()'") {
		m.edit("column", v, v.Value+"x")
	}
}

// wrong is an expression of a type that an element of a primitive type refuses.
func wrong(t *r4.Type) string {
	if t == nil || t.Kind() != r4.KindPrimitive {
		return ""
	}
	switch t.Name() {
	case "date", "dateTime", "instant", "boolean", "decimal", "integer", "positiveInt", "unsignedInt":
		return "=CAST(1 AS DOUBLE)"
	}
	return "=1 = 1"
}

// node walks a value in set, t being the type of the element it stands at.
func (m *mutator) node(n *yaml.Node, t *r4.Type) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			m.node(c, t)
		}
	case yaml.ScalarNode:
		m.scalar(n, t)
	case yaml.MappingNode:
		pairs(n, func(k, v *yaml.Node) { m.entry(n, k, v, t) })
	}
}

func (m *mutator) scalar(n *yaml.Node, t *r4.Type) {
	switch {
	case strings.HasPrefix(n.Value, "="):
		m.sql(n, "=")
		if w := wrong(t); w != "" {
			m.edit("wrong type", n, w)
		}
	case t != nil && (t.Name() == "CodeableConcept" || t.Name() == "Coding"):
		m.edit("code outside the value set", n, "zz-none")
	case t != nil && t.Kind() == r4.KindPrimitive && wrong(t) == "=CAST(1 AS DOUBLE)":
		m.edit("literal of a wrong type", n, "zz-none")
	}
}

func (m *mutator) entry(in, k, v *yaml.Node, t *r4.Type) {
	switch k.Value {
	case "each":
		m.edit("source", v, v.Value+"x")
		return
	case "map":
		m.edit("map", v, v.Value+"x")
		return
	case "ref":
		m.edit("unknown reference type", v, v.Value+"x")
		m.edit("wrong reference type", v, "Medication")
		return
	case "seq":
		m.edit("sequence", v, v.Value+"x")
		return
	case "absent":
		m.edit("absent reason", v, v.Value+"x")
		return
	case "when":
		m.sql(v, "=")
		return
	case "key", "of":
		for _, c := range v.Content {
			if strings.HasPrefix(c.Value, "=") {
				m.sql(c, "=")
			}
		}
		if v.Kind == yaml.SequenceNode && len(v.Content) > 0 && has(in, "ref") {
			if first := v.Content[0]; first.Style == 0 {
				m.edit("reference key", first, "zz, "+first.Value)
			}
		}
		return
	case "codes":
		for _, c := range v.Content {
			m.sql(c, "=")
		}
		return
	case "first", "assumed":
		m.node(v, t)
		return
	case "get", "raw", "where":
		return
	}
	m.edit("path", k, strings.Replace(k.Value, name(k.Value), name(k.Value)+"x", 1))
	if strings.Contains(k.Value, "[") {
		m.edit("slice", k, strings.Replace(k.Value, "]", "x]", 1))
	}
	if in.Style&yaml.FlowStyle == 0 && v.Line == k.Line {
		m.add("second writer", k.Line, k.Value, strings.Repeat(" ", k.Column-1)+k.Value+": zz\n"+m.lines[k.Line-1])
	}
	at := descend(t, k.Value)
	if k.Value == "system" && v.Kind == yaml.ScalarNode && !strings.Contains(v.Value, ":") && !strings.HasPrefix(v.Value, "=") {
		m.edit("system", v, v.Value+"x")
		return
	}
	// Of a Quantity's code the system alone says what it is: units are no list.
	unbound := t != nil && (t.Name() == "Coding" || t.Name() == "Quantity")
	if at != nil && at.Name() == "code" && v.Kind == yaml.ScalarNode && !strings.HasPrefix(v.Value, "=") && t != nil && !unbound {
		m.edit("code outside the value set", v, "zz-none")
		return
	}
	m.node(v, at)
}

func has(n *yaml.Node, key string) (found bool) {
	pairs(n, func(k, _ *yaml.Node) { found = found || k.Value == key })
	return found
}

func name(path string) string { return path[:strings.IndexAny(path+"[", "[.")] }

// descend is the type at the end of a path; nil where the walk is lost, as in
// the short forms of CodeableConcept and of primitives with value.
func descend(t *r4.Type, path string) *r4.Type {
	for _, step := range strings.Split(path, ".") {
		if t == nil {
			return nil
		}
		if t.Kind() == r4.KindPrimitive && step == "value" {
			continue
		}
		e := t.Element(name(step))
		if e == nil {
			return nil
		}
		t = e.Type()
	}
	return t
}

// sources makes the mistakes of sources.yaml.
func (m *mutator) sources(top *yaml.Node) {
	pairs(top, func(k, v *yaml.Node) {
		switch k.Value {
		case "timezone":
			m.edit("timezone", v, v.Value+"x")
		case "currency":
			m.edit("currency", v, v.Value+"x")
		case "with":
			pairs(v, func(_, q *yaml.Node) {
				pairs(q, func(k, v *yaml.Node) {
					m.edit("source key", k, k.Value+"x")
					if k.Value == "patient" {
						m.edit("column", v, v.Value+"x")
					}
				})
			})
		case "sources":
			pairs(v, func(_, s *yaml.Node) {
				pairs(s, func(k, v *yaml.Node) {
					m.edit("source key", k, k.Value+"x")
					switch k.Value {
					case "table":
						m.edit("table", v, v.Value+"x")
					case "sql":
						m.edit("file", v, strings.Replace(v.Value, ".sql", "x.sql", 1))
					case "parent", "unpivot":
						m.edit("source", v, v.Value+"x")
					case "patient", "updated":
						m.edit("column", v, v.Value+"x")
					case "key", "order":
						for _, c := range v.Content {
							m.edit("column", c, c.Value+"x")
						}
					case "where":
						m.edit("column", v, "zz_none IS NULL")
					case "columns":
						pairs(v, func(_, p *yaml.Node) { m.edit("column", p, "zz_"+p.Value) })
					}
				})
			})
		case "maps":
			pairs(v, func(_, e *yaml.Node) {
				pairs(e, func(k, v *yaml.Node) {
					switch k.Value {
					case "csv":
						m.edit("file", v, "x"+v.Value)
					case "key", "value":
						m.edit("column", v, v.Value+"x")
					case "missing":
						m.edit("policy", v, v.Value+"x")
					}
				})
			})
		}
	})
}

// TestMutations makes, in the shipped mapping sets and in that of the tests,
// every applicable mistake at every leaf. The load promises to catch each class
// that is listed: all of them, in the file where the mistake stands. Mistakes in
// different mappings are loaded at once; those of references one by one, since a
// mapping that fails takes its ids along. Of a shipped set each run takes some
// forty mistakes, evenly spread; MUTATE=all takes all of them (a minute or
// two a set).
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("loads the sets some hundred times")
	}
	for _, tc := range append([]shippedSet{{"base", os.DirFS("testdata/base"), "testdata/warehouse"}}, shipped(t)...) {
		t.Run(tc.name, func(t *testing.T) {
			w := warehouse(t, tc.fixture)
			env := mapping.Env{Warehouse: w, Profiles: profileSet(t)}
			dir := tc.files
			all := fstest.MapFS{}
			queues := map[string][]mutation{}
			var alone []mutation
			names, err := fs.Glob(dir, "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range names {
				data, err := fs.ReadFile(dir, file)
				if err != nil {
					continue // a folder of the set's own tests
				}
				all[file] = &fstest.MapFile{Data: data}
				if !strings.HasSuffix(file, ".yaml") {
					continue
				}
				var doc yaml.Node
				if err := yaml.Unmarshal(data, &doc); err != nil {
					t.Fatal(err)
				}
				m := &mutator{file: file, lines: strings.Split(string(data), "\n")}
				m.brackets()
				if file == "sources.yaml" {
					m.sources(doc.Content[0])
					alone = append(alone, m.out...)
					continue
				}
				m.mapping(doc.Content[0], profileSet(t))
				for _, x := range m.out {
					if x.class == "reference key" {
						alone = append(alone, x)
						continue
					}
					queues[file] = append(queues[file], x)
				}
			}
			made, caught := map[string]int{}, map[string]int{}
			try := func(batch []mutation) {
				set := maps.Clone(all)
				for _, x := range batch {
					set[x.file] = &fstest.MapFile{Data: []byte(x.text)}
				}
				_, diags, err := mapping.Load(context.Background(), set, env)
				if err != nil {
					t.Fatal(err)
				}
				hit := map[string]bool{}
				for _, d := range diags.All() {
					hit[d.Pos.File] = hit[d.Pos.File] || d.Severity == 0
				}
				for _, x := range batch {
					made[x.class]++
					if hit[x.file] || x.file == "sources.yaml" && diags.HasErrors() {
						caught[x.class]++
						continue
					}
					t.Errorf("uncaught: %s at %s:%d (%s)", x.class, x.file, x.line, x.was)
				}
			}
			if tc.name != "base" && os.Getenv("MUTATE") != "all" {
				total := len(alone)
				for _, q := range queues {
					total += len(q)
				}
				step := max(1, total/40)
				thin := func(list []mutation, from int) (out []mutation) {
					for i := from % step; i < len(list); i += step {
						out = append(out, list[i])
					}
					return out
				}
				alone = thin(alone, 0)
				for i, file := range slices.Sorted(maps.Keys(queues)) {
					queues[file] = thin(queues[file], i)
				}
			}
			for _, x := range alone {
				try([]mutation{x})
			}
			for {
				var batch []mutation
				for file, q := range queues {
					if len(q) > 0 {
						batch = append(batch, q[0])
						queues[file] = q[1:]
					}
				}
				if len(batch) == 0 {
					break
				}
				try(batch)
			}
			total := 0
			for _, class := range slices.Sorted(maps.Keys(made)) {
				total += made[class]
				t.Logf("%4d of %4d caught: %s", caught[class], made[class], class)
			}
			t.Logf("%d mutations", total)
		})
	}
}
