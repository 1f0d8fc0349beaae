package profiles

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"remit/profiles/r4"
)

// TestMutations breaks every published example, one rule at a time, and looks
// for an error at or under the element, or at its parent where something is
// missing or too many. The rules are read off the profile's elements, not off
// what was compiled from them.
func TestMutations(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	m := &mutator{t: t, set: s, validators: map[*Profile]*Validator{}, done: map[string]int{}, tried: map[string]int{}, found: map[string]int{}}
	for _, e := range examples(t) {
		if exceptions[e.name] != nil || testing.Short() && e.guide() != "carin-bb-2.1.0" {
			continue
		}
		m.file(e.name, e.raw)
	}
	reached, all := m.others(examples(t))
	t.Logf("%d of %d bundled profiles on resources are met by an example and were broken", reached, all)
	if reached+len(unmet) != all && !testing.Short() {
		t.Errorf("only %d profiles broken", reached)
	}
	for _, kind := range []string{"cardinality-min", "cardinality-max", "fixed-or-pattern", "binding", "reference-target", "primitive-form", "type", "empty", "slice-min", "slice-max"} {
		if m.tried[kind] < 5 {
			t.Errorf("%s: only %d mutations", kind, m.tried[kind])
		}
		t.Logf("%-18s %6d of %6d found", kind, m.found[kind], m.tried[kind])
	}
}

type mutator struct {
	t            *testing.T
	set          *Set
	v            *Validator
	validators   map[*Profile]*Validator
	name         string
	raw          []byte
	whole, copy  r4.Resource
	parser       r4.Parser
	findings     []Finding
	done         map[string]int
	tried, found map[string]int
	failures     int
}

func (m *mutator) file(name string, raw []byte) {
	m.name, m.raw = name, raw
	if problems := m.parser.Parse(raw, &m.whole); len(problems) > 0 {
		m.t.Fatalf("%s: %v", name, problems)
	}
	r := &m.whole
	refs := []string{r.Type().Name()}
	if meta := r.Find(r4.Root, r.Type().Element("meta")); meta != r4.None {
		for c := r.Find(meta, words().metaProfile); c != r4.None; c = r.NextSame(c) {
			refs = append(refs, string(r.Value(c)))
		}
	}
	for _, ref := range refs {
		p, err := m.set.find(ref, nil)
		if err != nil {
			p, err = m.set.Profile(ref)
		}
		if err != nil {
			continue
		}
		if m.v = m.validators[p]; m.v == nil {
			// Named outright, so that the profile holds without its meta.profile.
			if m.v, err = m.set.Validator(ValidatorOptions{Profiles: []string{p.Canonical()}, SkipNotes: true}); err != nil {
				m.t.Fatal(err)
			}
			m.validators[p] = m.v
		}
		m.walk(p.Root(), r4.Root, 0)
	}
}

// unmet are the profiles that nothing can meet, why, and the code of the finding
// that is left of a resource that meets all else: the test asks for that alone.
var unmet = map[string]struct{ why, code string }{
	"cdshooksguidanceresponse": {"it requires an extension whose definition allows it on PlanDefinition alone", "extension-context"},
}

// others breaks the profiles that no example declares, in the first example that
// meets them. It gives how many of all profiles on resources were broken, and how
// many there are.
func (m *mutator) others(list []example) (reached, all int) {
	byType := map[string][]example{}
	for _, e := range list {
		if exceptions[e.name] == nil {
			kind, _, _ := strings.Cut(path.Base(e.name), "-")
			byType[kind] = append(byType[kind], e)
		}
	}
	own, err := filepath.Glob("testdata/instances/*.json")
	if err != nil || len(own) == 0 {
		m.t.Fatal("no instances of our own", err)
	}
	for _, file := range own {
		raw, err := os.ReadFile(file)
		if err != nil {
			m.t.Fatal(err)
		}
		kind, _, _ := strings.Cut(filepath.Base(file), "-")
		byType[kind] = append(byType[kind], example{name: file, raw: raw})
	}
	for _, name := range slices.Sorted(maps.Keys(m.set.byURL)) {
		if !strings.HasPrefix(name, "StructureDefinition ") {
			continue
		}
		for _, d := range m.set.byURL[name] {
			if d.entry.Derivation != "constraint" || d.entry.Kind != "resource" {
				continue
			}
			all++
			p, err := m.set.load(d)
			if err != nil {
				m.t.Fatal(err)
			}
			if m.validators[p] != nil || testing.Short() {
				reached++
				continue
			}
			v, err := m.set.Validator(ValidatorOptions{Profiles: []string{p.Canonical()}, SkipNotes: true})
			if err != nil {
				m.t.Fatal(err)
			}
			met := false
			bodies := append(byType[p.Type], example{name: madeName(p), raw: made(m.set, p)})
			var errors []Finding
			for _, e := range bodies {
				m.parser.Parse(e.raw, &m.whole)
				errors = slices.DeleteFunc(v.Validate(&m.whole, nil), func(f Finding) bool { return f.Severity != Error })
				if len(errors) == 0 {
					m.name, m.raw, m.v, met = e.name, e.raw, v, true
					m.walk(p.Root(), r4.Root, 0)
					break
				}
			}
			if met {
				reached++
			} else {
				never := unmet[p.Name]
				if slices.ContainsFunc(errors, func(f Finding) bool { return f.Code != never.code }) {
					m.t.Errorf("no example meets %s, and what is made of it has %v", p.Canonical(), errors)
				}
				m.t.Logf("cannot be met: %s: %s", p.Canonical(), never.why)
			}
		}
	}
	return reached, all
}

// try applies a change to a copy and looks for an error at path or below.
func (m *mutator) try(kind string, el *Element, path string, change func(r *r4.Resource)) {
	// The same rule of the same element is broken in a few places only.
	rule := kind + " " + el.Profile.Canonical() + " " + el.ID
	if m.done[rule]++; m.done[rule] > 2 {
		return
	}
	m.parser.Parse(m.raw, &m.copy)
	change(&m.copy)
	m.tried[kind]++
	m.findings = m.v.Validate(&m.copy, m.findings[:0])
	for _, f := range m.findings {
		if f.Severity == Error && strings.HasPrefix(f.Path, path) {
			m.found[kind]++
			return
		}
	}
	if m.failures++; m.failures < 40 {
		m.t.Errorf("%s: %s at %s (%s of %s) was not found", m.name, kind, path, el.ID, el.Profile.Canonical())
	}
}

func (m *mutator) nodes(n r4.Node, base string) (out []r4.Node) {
	for c := m.whole.First(n); c != r4.None; c = m.whole.Next(c) {
		if m.whole.ElementOf(c).Base() == base {
			out = append(out, c)
		}
	}
	return out
}

func (m *mutator) walk(el *Element, n r4.Node, depth int) {
	r := &m.whole
	if depth > 12 || r.TypeOf(n) == nil || r.TypeOf(n).Kind() == r4.KindPrimitive {
		return
	}
	for _, c := range el.Children() {
		alts := alternatives(r.TypeOf(n), c)
		if len(alts) == 0 {
			continue
		}
		if tellsApart(el, c.Base) {
			continue // without it the node is in the slice no more, which is no fault
		}
		nodes := m.nodes(n, c.Base)
		path := r.Path(n)
		if len(nodes) > 0 && len(nodes) >= c.Min && c.Min > 0 {
			m.try("cardinality-min", c, m.without(c, n), func(r *r4.Resource) { remove(r, nodes[c.Min-1:]) })
		}
		if len(nodes) == 1 && c.Max == 1 {
			m.try("cardinality-max", c, path, func(r *r4.Resource) { m.double(r, nodes[0]) })
		}
		for _, x := range nodes {
			m.node(c, x)
			one := c
			if c.Choice() {
				one = c.As(r.TypeOf(x).Name())
			}
			if one != nil && r.TypeOf(x) != nil && r.TypeOf(x).Kind() != r4.KindResource {
				m.walk(one, x, depth+1)
			}
		}
		m.types(c, alts, n, nodes)
		for _, s := range c.Slices() {
			m.slice(c, s, n, nodes, depth)
		}
	}
}

// without is where the lack of child c of n shows: at n, or, where c is part of
// what tells a slice apart, at the parent of the sliced node, which belongs to
// the slice no more.
func (m *mutator) without(c *Element, n r4.Node) string {
	r := &m.whole
	steps := strings.Split(c.ID, ".")
	at := n
	for i := len(steps) - 1; i > 0; i-- {
		if strings.Contains(steps[i], ":") && i < len(steps)-1 {
			slice := c.Profile.byID[strings.Join(steps[:i+1], ".")]
			if slice == nil || slice.whole == nil || slice.whole.Slicing == nil || tells(slice.whole.Slicing, steps[i+1:]) {
				at = n
				for range len(steps) - 1 - i {
					if at != r4.Root {
						at = r.Parent(at)
					}
				}
			}
		}
	}
	return r.Path(at)
}

// tells says that a discriminator leads to or through steps, or hangs on what is
// below.
func tells(s *Slicing, steps []string) bool {
	for i := range steps {
		steps[i], _, _ = strings.Cut(steps[i], ":")
	}
	at := strings.ReplaceAll(strings.Join(steps, "."), "[x]", "") + "."
	return slices.ContainsFunc(s.Discriminators, func(d Discriminator) bool {
		path := d.Path + "."
		return d.Path == "$this" || strings.Contains(d.Path, "(") || strings.HasPrefix(path, at) || strings.HasPrefix(at, path)
	})
}

// tellsApart says that slice s, which may be missing, is told by the child base.
func tellsApart(s *Element, base string) bool {
	if s.whole == nil || s.whole.Slicing == nil || s.Min > 0 {
		return false
	}
	return slices.ContainsFunc(s.whole.Slicing.Discriminators, func(d Discriminator) bool {
		first, _, _ := strings.Cut(d.Path, ".")
		return first == base
	})
}

func remove(r *r4.Resource, nodes []r4.Node) {
	for _, x := range nodes {
		r.Remove(x)
	}
}

func (m *mutator) double(r *r4.Resource, x r4.Node) {
	parent := r.Parent(x)
	r.Graft(parent, r.ElementOf(x), &m.whole, x, 0)
	r.Sort(parent)
}

// broken are texts that are not in the form of a primitive.
var broken = map[string]string{
	"boolean": "maybe", "integer": "1.5", "positiveInt": "0", "unsignedInt": "-1", "decimal": "1,5", "date": "2023-02-30", "dateTime": "2023-02-01T10:00",
	"instant": "2023-02-01", "time": "25:00:00", "code": " a", "id": "a b", "uri": "a b", "url": "a b", "canonical": "a b", "oid": "urn:oid:x", "uuid": "urn:uuid:x",
	"base64Binary": "?",
}

// node breaks what el says of node x itself.
func (m *mutator) node(el *Element, x r4.Node) {
	r := &m.whole
	t, path := r.TypeOf(x), r.Path(x)
	if t == nil || t.Kind() == r4.KindResource {
		return
	}
	if bad, ok := broken[t.Name()]; ok && r.HasValue(x) {
		m.try("primitive-form", el, path, func(r *r4.Resource) { r.SetString(x, bad) })
	}
	if t.Kind() != r4.KindPrimitive {
		m.try("empty", el, path, func(r *r4.Resource) {
			for c := r.First(x); c != r4.None; c = r.First(x) {
				r.Remove(c)
			}
		})
	}
	for _, lit := range []*Literal{el.Fixed, el.Pattern} {
		// In a slice the value may be what tells the slice apart, and changing it
		// makes another thing of the node.
		if lit == nil || strings.Contains(el.ID, ":") {
			continue
		}
		m.try("fixed-or-pattern", el, path, func(r *r4.Resource) { spoil(r, x, lit.Tree, r4.Root) })
	}
	if el.Binding != nil && el.Binding.Strength == "required" {
		if _, complete := m.set.Codes(el.Binding.ValueSet); complete {
			m.try("binding", el, path, func(r *r4.Resource) { recode(r, x) })
		}
	}
	if t == words().referenceT && len(el.Types) == 1 {
		if types, ok := m.set.compiler.targetTypes(el); ok && !slices.Contains(types, "Binary") && r.Find(x, words().reference) != r4.None {
			m.try("reference-target", el, path, func(r *r4.Resource) {
				r.SetString(r.Find(x, words().reference), "Binary/1")
				if c := r.Find(x, words().referenceType); c != r4.None {
					r.Remove(c)
				}
			})
		}
	}
}

// spoil changes the first value that a literal demands.
func spoil(r *r4.Resource, n r4.Node, lit *r4.Resource, l r4.Node) bool {
	if lit.HasValue(l) {
		r.SetString(n, string(r.Value(n))+"x")
		return true
	}
	for d := lit.First(l); d != r4.None; d = lit.Next(d) {
		done := false
		for c := r.Find(n, lit.ElementOf(d)); c != r4.None; c = r.NextSame(c) {
			done = spoil(r, c, lit, d) || done
		}
		if done {
			return true
		}
	}
	return false
}

// recode puts a code that is in no value set.
func recode(r *r4.Resource, n r4.Node) {
	if r.TypeOf(n).Kind() == r4.KindPrimitive {
		r.SetString(n, "remit-none")
		return
	}
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		switch r.ElementOf(c).Name() {
		case "code":
			r.SetString(c, "remit-none")
		case "coding":
			recode(r, c)
		}
	}
}

// types replaces a choice by an alternative that the profile does not allow.
func (m *mutator) types(el *Element, alts []*r4.Element, n r4.Node, nodes []r4.Node) {
	if len(nodes) != 1 || len(alts) < 2 {
		return
	}
	for _, a := range alts {
		if allows(el, a.Type()) || a.Type().Kind() != r4.KindPrimitive {
			continue
		}
		m.try("type", el, m.whole.Path(n), func(r *r4.Resource) {
			r.Remove(nodes[0])
			x := r.Add(n, a, 0)
			r.SetString(x, sound(a.Type().Name()))
			r.Sort(n)
		})
		return
	}
}

// sound is a value in the form of a primitive.
func sound(primitive string) string {
	switch primitive {
	case "boolean":
		return "true"
	case "date", "dateTime":
		return "2023-01-01"
	case "instant":
		return "2023-01-01T00:00:00Z"
	case "time":
		return "10:00:00"
	case "base64Binary":
		return "AAAA"
	}
	return "1"
}

// slice removes or doubles the nodes of a slice, told by the values that its
// elements fix.
func (m *mutator) slice(el, s *Element, n r4.Node, nodes []r4.Node, depth int) {
	var in []r4.Node
	for _, x := range nodes {
		if m.holds(s, x, 0) > 0 {
			in = append(in, x)
		}
	}
	path := m.whole.Path(n)
	if s.Min > 0 && len(in) >= s.Min {
		m.try("slice-min", s, path, func(r *r4.Resource) { remove(r, in[s.Min-1:]) })
	}
	if s.Max == 1 && len(in) == 1 && el.Max != 1 {
		m.try("slice-max", s, path, func(r *r4.Resource) { m.double(r, in[0]) })
	}
	for _, x := range in {
		m.walk(s, x, depth+1)
	}
}

// holds counts the fixed values and patterns of s that x holds; -1 if it lacks
// one.
func (m *mutator) holds(s *Element, x r4.Node, depth int) int {
	n := 0
	for _, lit := range []*Literal{s.Fixed, s.Pattern} {
		if lit == nil {
			continue
		}
		if !within(&m.whole, x, lit.Tree, r4.Root) {
			return -1
		}
		n++
	}
	if depth > 2 || m.whole.TypeOf(x) == nil || m.whole.TypeOf(x).Kind() == r4.KindPrimitive {
		return n
	}
	for _, c := range s.Children() {
		if c.Fixed == nil && c.Pattern == nil && len(c.children) == 0 {
			continue
		}
		best := 0
		if c.Min > 0 && (c.Fixed != nil || c.Pattern != nil) {
			best = -1
		}
		for _, y := range m.nodes(x, c.Base) {
			best = max(best, m.holds(c, y, depth+1))
		}
		if best < 0 {
			return -1
		}
		n += best
	}
	return n
}
