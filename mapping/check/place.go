package check

import (
	"cmp"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
)

// placer turns the tree of one mapping's set into nodes.
type placer struct {
	*checker
	mapping *Mapping
	count   int // repeat tables handed out
	// repeats are the tables of the root's own elements, by element name.
	repeats map[string]int
	links   []pendingLink
}

// pendingLink is a seq: whose element may be written further down.
type pendingLink struct {
	node *Node
	step syntax.Step
}

// spot is a place in the tree: the profile's element where it is known, the
// element of the resource shape, and its readable path.
type spot struct {
	profile *profiles.Element // nil where no profile speaks of it
	// inner is where the children are looked up: profile itself, but for one
	// type of a choice the datatype.
	inner   *profiles.Element
	element *r4.Element
	typ     *r4.Type
	path    string
	slice   string
	depth   int
	repeat  int  // repeat table, -1 for none
	broken  bool // an entry was refused, so that nothing is told as missing
}

// root builds the resource itself.
func (p *placer) root(pe *profiles.Element, m *syntax.Mapping, sc *scope) *Node {
	n := &Node{Kind: Group, Pos: m.Resource.Pos, Origin: p.mapping.Origin, Type: p.mapping.Type, Path: p.mapping.Type.Name(), Data: true, Repeat: -1}
	if m.Set.Each != nil || m.Set.When != nil || m.Set.Key != nil || m.Set.Absent != nil || m.Set.First != nil || m.Set.Ref != nil || m.Set.Map != nil {
		p.diags.Errorf(m.Set.Pos, "misplaced-word", "set holds element paths only")
	}
	at := spot{profile: pe, inner: pe, typ: n.Type, path: n.Path, repeat: -1}
	at.broken = m.Set.Broken
	p.children(n, at, m.Set.Entries, sc)
	p.automatic(n)
	return n
}

// automatic adds id and the parts of meta that Remit writes.
func (p *placer) automatic(root *Node) {
	t := root.Type
	for _, c := range root.Children {
		if c.Element.Name() == "id" {
			p.diags.Errorf(c.Pos, "id-in-set", "the id is made by the key under id:, not in set")
			return
		}
	}
	id := &Node{Kind: ID, Pos: root.Pos, Origin: root.Origin, Element: t.Element("id"), Path: root.Path + ".id", Data: true, Repeat: -1}
	if id.Element == nil || t.Element("meta") == nil {
		return
	}
	id.Type = id.Element.Type()
	var meta *Node
	for _, c := range root.Children {
		if c.Element.Name() == "meta" {
			meta = c
		}
	}
	if meta == nil {
		e := t.Element("meta")
		meta = &Node{Kind: Group, Pos: root.Pos, Origin: root.Origin, Element: e, Type: e.Type(), Path: root.Path + ".meta", Repeat: -1}
		root.Children = append(root.Children, meta)
	}
	if meta.Kind != Group {
		p.diags.Errorf(meta.Pos, "bad-meta", "meta takes the elements source, security and tag")
		return
	}
	meta.Data = true
	for _, c := range meta.Children {
		if name := c.Element.Name(); name == "lastUpdated" || name == "profile" || name == "versionId" {
			p.diags.Errorf(c.Pos, "bad-meta", "meta.%s is written by the program", name)
		}
	}
	last := meta.Type.Element("lastUpdated")
	meta.Children = append(meta.Children, &Node{Kind: LastUpdated, Pos: root.Pos, Origin: root.Origin, Element: last, Type: last.Type(), Path: meta.Path + ".lastUpdated", Data: true, Repeat: -1})
	for _, prof := range p.mapping.Profiles {
		meta.Children = append(meta.Children, constant(meta.Type.Element("profile"), prof.Canonical(), root.Pos, root.Origin, meta.Path+".profile"))
	}
	sortChildren(meta)
	root.Children = append(root.Children, id)
	sortChildren(root)
}

func sortChildren(n *Node) {
	slices.SortStableFunc(n.Children, func(a, b *Node) int { return cmp.Compare(a.Element.Index(), b.Element.Index()) })
}

// constant is a literal primitive.
func constant(e *r4.Element, text string, pos diag.Pos, o r4.Origin, path string) *Node {
	tree := new(r4.Resource)
	tree.Start(e.Type(), o)
	tree.SetString(r4.Root, text)
	return &Node{Kind: Literal, Pos: pos, Origin: o, Element: e, Type: e.Type(), Path: path, Template: tree, Repeat: -1}
}

// place is one element, or slice of one, and all that is written there.
type place struct {
	step syntax.Step
	node *syntax.Node
}

// merge gathers paths that start alike: a.b and a.c, or a: {b} and a.c. Two
// writers of one place are told.
func (p *placer) merge(entries []*syntax.Entry) []place {
	var out []place
	for _, e := range entries {
		step, node := e.Path[0], e.Node
		if len(e.Path) > 1 {
			node = &syntax.Node{Pos: e.Path[1].Pos, Entries: []*syntax.Entry{{Path: e.Path[1:], Node: e.Node}}}
		}
		at := slices.IndexFunc(out, func(q place) bool { return q.step.Name == step.Name && q.step.Slice == step.Slice })
		if at < 0 {
			out = append(out, place{step, node})
			continue
		}
		if joined := join(out[at].node, node); joined != nil {
			out[at].node = joined
			continue
		}
		p.diags.Errorf(step.Pos, "second-writer", "%s is written a second time", step).WithRelated(out[at].step.Pos, "first written at")
	}
	return out
}

// join makes one map of two, or returns nil where they are not two maps of
// elements.
func join(a, b *syntax.Node) *syntax.Node {
	if !a.IsMap() || !b.IsMap() || hasWords(b) {
		if !b.IsMap() || !a.IsMap() || hasWords(a) {
			return nil
		}
		a, b = b, a
	}
	out := *a
	out.Broken = a.Broken || b.Broken
	out.Entries = append(slices.Clone(a.Entries), b.Entries...)
	return &out
}

func hasWords(n *syntax.Node) bool {
	return n.Each != nil || n.Where != nil || n.When != nil || n.Key != nil || n.Absent != nil || n.Assumed != nil || n.First != nil ||
		n.Ref != nil || n.Map != nil || n.Of != nil || n.Get != nil || n.Seq != nil || n.Raw != nil || n.Codes != nil
}

// children places the entries of a map under n, and the fixed parts beside
// them.
func (p *placer) children(n *Node, at spot, entries []*syntax.Entry, sc *scope) {
	written := map[string]syntax.Step{} // base name -> first writer without slice
	sliced := map[string]bool{}         // base[slice]
	tables := map[string]int{}
	for _, pl := range p.merge(entries) {
		child, ok := p.step(at, pl.step)
		if !ok {
			// What failed is written, under the name that was meant.
			written[pl.step.Name] = pl.step
			if e := at.typ.Element(pl.step.Name); e != nil {
				written[e.Base()] = pl.step
			} else if at.inner != nil {
				written[p.meant(at, pl.step.Name)] = pl.step
			}
			continue
		}
		base := child.element.Base()
		if pl.step.Slice == "" {
			written[base] = pl.step
		} else {
			sliced[base+"["+pl.step.Slice+"]"] = true
		}
		child.repeat = p.table(n, child, tables)
		n.Children = append(n.Children, p.element(child, pl.node, sc)...)
	}
	p.choices(n)
	p.fixedParts(n, at, written, sliced, tables)
	sortChildren(n)
	for _, c := range n.Children {
		n.Data = n.Data || c.Data
	}
}

// choices refuses an alternative of a choice that is always there beside
// another: a constant, or one that absent or assumed fills. Of alternatives
// bound to data the rows decide (rule 8).
func (p *placer) choices(n *Node) {
	for i, c := range n.Children {
		for _, b := range n.Children[:i] {
			if c.Element == b.Element || !c.Element.Choice() || c.Element.Base() != b.Element.Base() {
				continue
			}
			if steady(c) || steady(b) {
				p.diags.Errorf(c.Pos, "second-writer", "%s is one type of a choice, and %s another", c.Element.Name(), b.Element.Name()).WithRelated(b.Pos, "first written at")
			}
		}
	}
}

// steady says that a writer is there whatever its rows hold.
func steady(n *Node) bool {
	if n.When != nil || n.Each != nil {
		return false
	}
	return !n.Data || n.Absent != nil || n.Assumed != nil || n.Kind == First && slices.ContainsFunc(n.Children, steady)
}

// meant is the base name of the element nearest to a name that is none.
func (p *placer) meant(at spot, name string) string {
	var all []string
	for _, c := range at.inner.Children() {
		all = append(all, c.Base)
	}
	if slices.Contains(all, name) {
		return name
	}
	if near := diag.Nearest(name, all); near != "" {
		return near
	}
	// One type of a choice: diagnosisCodeableConcept stands for diagnosis.
	var names []string
	for _, e := range at.typ.Elements() {
		names = append(names, e.Name())
	}
	if e := at.typ.Element(diag.Nearest(name, names)); e != nil {
		return e.Base()
	}
	return ""
}

// table hands out the repeat table of a repeating element under n.
func (p *placer) table(n *Node, child spot, tables map[string]int) int {
	if !child.element.Repeats() || child.typ == nil || child.typ.Kind() != r4.KindBackbone {
		return -1
	}
	name := child.element.Name()
	if i, ok := tables[name]; ok {
		return i
	}
	i := p.count
	p.count++
	tables[name] = i
	n.Resets = append(n.Resets, i)
	if n.Element == nil {
		p.repeats[name] = i
	}
	return i
}

// step finds the element that a step of a path names.
func (p *placer) step(at spot, s syntax.Step) (spot, bool) {
	e := at.typ.Element(s.Name)
	if e == nil {
		d := p.diags.Errorf(s.Pos, "unknown-element", "%s has no element %q", at.typ.Name(), s.Name)
		if alternatives := at.typ.Choice(s.Name); len(alternatives) > 0 {
			var all []string
			for _, a := range alternatives {
				if !p.excluded(at, a) {
					all = append(all, a.Name())
				}
			}
			_ = d.WithHint("write one of %s", strings.Join(all, ", "))
			return spot{}, false
		}
		var all []string
		for _, c := range at.typ.Elements() {
			all = append(all, c.Name())
		}
		_ = d.WithHint("%s", diag.DidYouMean(s.Name, all))
		return spot{}, false
	}
	out := spot{element: e, typ: e.Type(), path: at.path + "." + s.String(), slice: s.Slice, depth: at.depth + 1, repeat: -1}
	if e.Type() == nil {
		p.diags.Errorf(s.Pos, "contained", "%s holds whole resources, which a mapping does not write", e.Name())
		return spot{}, false
	}
	if at.inner == nil {
		if s.Slice != "" {
			p.diags.Errorf(s.Pos, "unknown-slice", "%s has no slices here; declare a profile", s.Name)
			return spot{}, false
		}
		return out, true
	}
	out.profile = at.inner.Child(e.Base())
	if out.profile == nil {
		if s.Slice != "" {
			p.diags.Errorf(s.Pos, "unknown-slice", "%s has no slice %q", s.Name, s.Slice)
			return spot{}, false
		}
		return out, true
	}
	out.inner = out.profile
	forbidden := func() (spot, bool) {
		p.diags.Errorf(s.Pos, "forbidden-element", "the profile %s forbids %s", out.profile.Profile.Name, s)
		return spot{}, false
	}
	if out.profile.Max == 0 {
		return forbidden()
	}
	if s.Slice != "" {
		slice := out.profile.SliceNamed(s.Slice)
		if slice == nil {
			var all []string
			for _, sl := range out.profile.Slices() {
				all = append(all, sl.Slice)
			}
			d := p.diags.Errorf(s.Pos, "unknown-slice", "%s has no slice %q", s.Name, s.Slice)
			if len(all) > 0 {
				if d.WithHint("%s", diag.DidYouMean(s.Slice, all)); d.Hint == "" {
					_ = d.WithHint("expected one of %s", strings.Join(all, ", "))
				}
			}
			return spot{}, false
		}
		out.profile, out.inner = slice, slice
	}
	if e.Choice() {
		whole := out.profile
		if slice := whole.SliceNamed(e.Name()); slice != nil {
			out.profile = slice
		}
		if p.excluded(at, e) {
			p.diags.Errorf(s.Pos, "choice-type", "the profile does not allow %s", e.Name()).
				WithHint("allowed: %s", strings.Join(p.allowed(at, e), ", "))
			return spot{}, false
		}
		if len(whole.Types) > 1 && out.profile == whole {
			// What the profile says of the whole choice, narrowed to this type.
			if out.inner = whole.As(e.Type().Name()); out.inner == nil {
				out.inner = p.datatype(e.Type())
			}
		}
	}
	if out.profile.Max == 0 {
		return forbidden()
	}
	return out, true
}

// datatype is the base definition of a type, or nil.
func (p *placer) datatype(t *r4.Type) *profiles.Element {
	prof, err := p.env.Profiles.Profile("http://hl7.org/fhir/StructureDefinition/" + t.Name())
	if err != nil {
		return nil
	}
	return prof.Root()
}

// excluded says that the profile leaves out this alternative of a choice.
func (p *placer) excluded(at spot, e *r4.Element) bool {
	if at.inner == nil || !e.Choice() {
		return false
	}
	pe := at.inner.Child(e.Base())
	if pe == nil || len(pe.Types) == 0 {
		return false
	}
	return !slices.ContainsFunc(pe.Types, func(t profiles.TypeRef) bool {
		return strings.EqualFold(e.Base()+t.Code, e.Name())
	})
}

func (p *placer) allowed(at spot, e *r4.Element) []string {
	var out []string
	for _, a := range at.typ.Choice(e.Base()) {
		if !p.excluded(at, a) {
			out = append(out, a.Name())
		}
	}
	return out
}

// maxNesting is how deep each may stand in each (rule 34).
const maxNesting = 4

// element places what stands at one element: a list makes several writers.
func (p *placer) element(at spot, n *syntax.Node, sc *scope) []*Node {
	list := []*syntax.Node{n}
	if n.List != nil {
		list = n.List
		switch {
		case !at.element.Repeats():
			p.diags.Errorf(n.Pos, "list-at-single", "%s takes one value, found a list", at.element.Name())
			return nil
		case at.profile != nil && at.profile.Max == 1 && len(list) > 1:
			p.diags.Errorf(n.Pos, "cardinality", "the profile allows one %s, found a list of %d", at.path[strings.LastIndexByte(at.path, '.')+1:], len(list))
			return nil
		}
	}
	var out []*Node
	for _, entry := range list {
		if entry.List != nil {
			p.diags.Errorf(entry.Pos, "list-at-single", "a list inside a list")
			continue
		}
		out = append(out, p.one(at, entry, sc)...)
	}
	return out
}

// one places one writer, with each, when, key, assumed and absent around it.
func (p *placer) one(at spot, n *syntax.Node, sc *scope) []*Node {
	var each *Source
	if n.Each != nil {
		each = p.each(at, n, sc)
		sc = &scope{source: each, outer: sc}
	}
	var where *Expr
	if n.Where != nil {
		if each == nil {
			p.diags.Errorf(n.Where.Pos, "where-without-each", "where stands beside each; use when to say whether a node appears")
			return nil
		}
		if where = p.condition(n.Where, sc); where == nil {
			return nil
		}
	}
	var when *Expr
	if n.When != nil {
		if when = p.expr(n.When, sc); when == nil {
			return nil
		}
		p.boolean(when)
	}
	nodes := p.body(at, n, sc)
	for _, out := range nodes {
		out.Each, out.EachWhere, out.When = each, where, when
		out.Repeat, out.Slice = at.repeat, at.slice
		if n.Each != nil {
			out.Data = true
		}
		if n.Key != nil && n.Ref == nil && n.Seq == nil {
			if at.repeat < 0 {
				p.diags.Errorf(n.KeyPos, "misplaced-key", "key tells repetitions apart, and %s is none", at.element.Name())
			} else {
				out.Key = p.parts(n.Key, sc)
			}
		}
		if n.Assumed != nil {
			p.assume(out, at, n.Assumed, sc)
		}
		if n.Absent != nil {
			p.absent(out, at, n.Absent)
		}
	}
	return nodes
}

// each is the source of an each, or a stand-in; what is told of it does not end
// the check of what it stands around.
func (p *placer) each(at spot, n *syntax.Node, sc *scope) *Source {
	s := p.standIn(n.Each)
	switch {
	case s.lost:
	case s.Parent == nil:
		p.diags.Errorf(n.Each.Pos, "each-without-parent", "source %q has no parent; each takes a child of %q", s.Name, sc.source.Name)
		s = lost(n.Each)
	case sc.find(s.Parent.Name) == nil && !sc.lost():
		p.diags.Errorf(n.Each.Pos, "each-out-of-reach", "source %q is a child of %q, which does not enclose this", s.Name, s.Parent.Name)
		s = lost(n.Each)
	case !at.element.Repeats():
		p.diags.Errorf(n.Each.Pos, "each-at-single", "%s takes one value, each may give several", at.element.Name())
	case at.profile != nil && at.profile.Max == 1:
		p.diags.Errorf(n.Each.Pos, "each-at-single", "the profile allows one %s, each may give several", at.path[strings.LastIndexByte(at.path, '.')+1:])
	}
	depth := 1
	for o := sc; o.outer != nil; o = o.outer {
		depth++
	}
	if depth > maxNesting {
		p.diags.Errorf(n.Each.Pos, "too-deep", "each stands in each more than %d deep", maxNesting)
	}
	return s
}

// assume attaches the value of assumed: (rule 36).
func (p *placer) assume(out *Node, at spot, n *syntax.Node, sc *scope) {
	nodes := p.body(at, n, sc)
	if len(nodes) != 1 {
		return
	}
	if nodes[0].Data {
		p.diags.Errorf(n.Pos, "assumed-data", "assumed takes a literal; a value of the data is no assumption")
		return
	}
	out.Data = true
	out.NoAssumption = p.env.NoAssumptions
	out.Assumed = nodes[0]
}

// absent attaches the data-absent-reason (rule 13).
func (p *placer) absent(out *Node, at spot, code *syntax.Text) {
	if p.env.Profiles.Member("http://hl7.org/fhir/ValueSet/data-absent-reason", dataAbsentReason, code.Value) == profiles.No || !absentCodes[code.Value] {
		p.diags.Errorf(code.Pos, "unknown-reason", "%q is no data-absent-reason", code.Value).WithHint("%s", diag.DidYouMean(code.Value, absentNames()))
		return
	}
	o := p.origin(code.Pos)
	tree := new(r4.Resource)
	tree.Start(at.typ, o)
	name := at.typ.Name()
	coded := (name == "CodeableConcept" || name == "Coding") && at.profile != nil && at.profile.Binding != nil &&
		p.env.Profiles.Member(at.profile.Binding.ValueSet, dataAbsentReason, code.Value) == profiles.Yes
	if coded {
		coding := r4.Root
		if name == "CodeableConcept" {
			coding = tree.Add(r4.Root, at.typ.Element("coding"), o)
		}
		t := r4.Lookup("Coding")
		tree.SetString(tree.Add(coding, t.Element("system"), o), dataAbsentReason)
		tree.SetString(tree.Add(coding, t.Element("code"), o), code.Value)
	} else {
		ext := tree.Add(r4.Root, at.typ.Element("extension"), o)
		t := r4.Lookup("Extension")
		tree.SetString(tree.Add(ext, t.Element("url"), o), dataAbsentExtension)
		tree.SetString(tree.Add(ext, t.Element("valueCode"), o), code.Value)
	}
	out.Data = true
	out.Absent = &Node{Kind: Literal, Pos: code.Pos, Origin: o, Element: at.element, Type: at.typ, Path: at.path, Template: tree, Repeat: -1}
}

var absentCodes = map[string]bool{
	"unknown": true, "asked-unknown": true, "temp-unknown": true, "not-asked": true, "asked-declined": true, "masked": true,
	"not-applicable": true, "unsupported": true, "as-text": true, "error": true, "not-a-number": true, "negative-infinity": true,
	"positive-infinity": true, "not-performed": true, "not-permitted": true,
}

func absentNames() []string {
	var out []string
	for k := range absentCodes {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// finish resolves the links, once every repetition is known.
func (p *placer) finish() {
	for _, l := range p.links {
		table, ok := p.repeats[l.step.Name]
		if !ok {
			var all []string
			for name := range p.repeats {
				all = append(all, name)
			}
			slices.Sort(all)
			p.diags.Errorf(l.step.Pos, "unknown-sequence", "the mapping writes no %s to refer to", l.step.Name).WithHint("%s", diag.DidYouMean(l.step.Name, all))
			continue
		}
		l.node.LinkRepeat, l.node.LinkSlice = table, l.step.Slice
		if l.step.Slice != "" && !writesSlice(p.mapping.Root, l.step) {
			p.diags.Errorf(l.step.Pos, "unknown-sequence", "the mapping writes no %s to refer to", l.step)
		}
	}
}

func writesSlice(root *Node, s syntax.Step) bool {
	return slices.ContainsFunc(root.Children, func(c *Node) bool { return c.Element.Name() == s.Name && c.Slice == s.Slice })
}
