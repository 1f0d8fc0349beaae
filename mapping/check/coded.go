package check

import (
	"slices"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// codeTable is a value set whose codes bring their system: complete, and each
// code in exactly one system.
type codeTable struct {
	codes    []profiles.Coding
	systems  map[string]string // by code; "" where the code lies in several systems
	complete bool
}

func (c *checker) codeTable(valueSet string) *codeTable {
	if t := c.codes[valueSet]; t != nil {
		return t
	}
	t := &codeTable{systems: map[string]string{}}
	t.codes, t.complete = c.env.Profiles.Codes(valueSet)
	for _, code := range t.codes {
		if old, ok := t.systems[code.Code]; ok && old != code.System {
			t.systems[code.Code] = ""
			continue
		}
		t.systems[code.Code] = code.System
	}
	c.codes[valueSet] = t
	return t
}

// tableFor finds the value set from which a bare code takes its system, or
// reports why there is none (rule 14).
func (p *placer) tableFor(at spot, pos diag.Pos) *codeTable {
	if at.profile == nil || at.profile.Binding == nil || at.profile.Binding.ValueSet == "" {
		p.diags.Errorf(pos, "no-system", "no value set tells the system of a code at %s", at.element.Name()).
			WithHint("write {system: ..., code: ...}")
		return nil
	}
	t := p.codeTable(at.profile.Binding.ValueSet)
	if !t.complete || len(t.codes) == 0 {
		p.diags.Errorf(pos, "no-system", "the value set of %s is not fully known here, so a code alone has no system", at.element.Name()).
			WithHint("write {system: ..., code: ...}")
		return nil
	}
	return t
}

// concept places a CodeableConcept.
func (p *placer) concept(at spot, n *syntax.Node, sc *scope) []*Node {
	if n.Codes != nil {
		return p.codesList(at, n, sc)
	}
	if n.Text != nil || n.Map != nil {
		return p.bare(at, n, sc)
	}
	var coding, rest []*syntax.Entry
	natural := false
	for _, e := range n.Entries {
		switch e.Path[0].Name {
		case "system", "code", "version", "display", "userSelected":
			coding = append(coding, e)
		case "coding":
			natural = true
			rest = append(rest, e)
		default:
			rest = append(rest, e)
		}
	}
	if len(coding) > 0 {
		if natural {
			p.diags.Errorf(coding[0].Path[0].Pos, "second-writer", "coding and %s both write the coding", coding[0].Path[0].Name)
			return nil
		}
		inner := &syntax.Node{Pos: n.Pos, Entries: coding, Raw: n.Raw}
		rest = append(rest, &syntax.Entry{Path: syntax.Path{{Pos: coding[0].Path[0].Pos, Name: "coding"}}, Node: inner})
	}
	return p.group(at, n, rest, sc)
}

// codesList places {system: S, codes: [a, b]}: a repetition for each value.
func (p *placer) codesList(at spot, n *syntax.Node, sc *scope) []*Node {
	if !at.element.Repeats() {
		p.diags.Errorf(n.Codes[0].Pos, "list-at-single", "%s takes one value; write code", at.element.Name())
		return nil
	}
	var out []*Node
	for _, code := range n.Codes {
		one := &syntax.Node{Pos: code.Pos, Raw: n.Raw, Entries: append(slices.Clone(n.Entries),
			&syntax.Entry{Path: syntax.Path{{Pos: code.Pos, Name: "code"}}, Node: code})}
		out = append(out, p.concept(at, one, sc)...)
	}
	return out
}

// bare places a code alone at CodeableConcept or Coding.
func (p *placer) bare(at spot, n *syntax.Node, sc *scope) []*Node {
	literal, v, ok := p.value(n, sc)
	if !ok {
		return nil
	}
	pos := n.Pos
	if n.Map != nil {
		pos = n.Map.Pos
	}
	t := p.tableFor(at, pos)
	if t == nil {
		return nil
	}
	check := func(code, what string) bool {
		system, in := t.systems[code]
		switch {
		case !in:
			d := p.diags.Errorf(pos, "not-in-value-set", "%s %q, which is not in the value set of %s", what, code, at.element.Name())
			p.codeHint(d, code, t.codes)
			return false
		case system == "":
			p.diags.Errorf(pos, "no-system", "code %q lies in several systems of the value set of %s", code, at.element.Name()).
				WithHint("write {system: ..., code: ...}")
			return false
		}
		return true
	}
	if literal != nil {
		code := literal.Literal()
		if !check(code, "found") {
			return nil
		}
		out := p.node(Literal, at, n, nil)
		out.Template = p.conceptTemplate(at, code, t.systems[code], out.Origin)
		return []*Node{out}
	}
	if v.Map != nil {
		for _, target := range v.Map.Targets(v.Get) {
			check(target, "map "+v.Map.Name+" yields")
		}
	} else {
		p.textual(v.Expr, at)
		for _, l := range caseLiterals(v.Expr.SQL) {
			pos = v.Expr.at(l.offset)
			check(l.text, "CASE yields")
		}
	}
	out := p.node(Coded, at, n, nil)
	out.Value, out.Data = v, true
	out.Codes = make(map[string]*r4.Resource, len(t.systems))
	for code, system := range t.systems {
		if system != "" {
			out.Codes[code] = p.conceptTemplate(at, code, system, out.Origin)
		}
	}
	return []*Node{out}
}

// textual asks that an expression yields something that can be a code.
func (p *placer) textual(e *Expr, at spot) {
	p.deferred = append(p.deferred, func() {
		switch e.Type.Kind {
		case source.KindText, source.KindInteger, source.KindUnknown:
			return
		}
		p.diags.Errorf(e.Pos, "type", "%s takes a code, this is %s", at.element.Name(), typeName(e.Type))
	})
}

// conceptTemplate is the constant for one code, the pattern's codings beside
// it.
func (p *placer) conceptTemplate(at spot, code, system string, o r4.Origin) *r4.Resource {
	tree := new(r4.Resource)
	tree.Start(at.typ, o)
	coding := r4.Root
	if at.typ.Name() == "CodeableConcept" {
		coding = tree.Add(r4.Root, at.typ.Element("coding"), o)
	}
	t := r4.Lookup("Coding")
	tree.SetString(tree.Add(coding, t.Element("system"), o), system)
	tree.SetString(tree.Add(coding, t.Element("code"), o), code)
	if at.typ.Name() == "CodeableConcept" {
		for _, extra := range patternCodings(at.profile) {
			if !extra.is(system, code) {
				tree.Graft(r4.Root, at.typ.Element("coding"), extra.tree, extra.node, o)
			}
		}
	}
	return tree
}

// patternCoding is one coding of a profile's pattern.
type patternCoding struct {
	tree         *r4.Resource
	node         r4.Node
	system, code string
}

func (c patternCoding) is(system, code string) bool { return c.system == system && c.code == code }

// patternCodings lists the codings that the profile's pattern or fixed value
// demands of a CodeableConcept.
func patternCodings(e *profiles.Element) []patternCoding {
	if e == nil {
		return nil
	}
	var out []patternCoding
	for _, l := range []*profiles.Literal{e.Fixed, e.Pattern} {
		if l == nil || l.Tree == nil || l.Tree.Type() == nil || l.Tree.Type().Name() != "CodeableConcept" {
			continue
		}
		t := r4.Lookup("Coding")
		n := l.Tree.Find(r4.Root, l.Tree.Type().Element("coding"))
		for ; n != r4.None; n = l.Tree.NextSame(n) {
			c := patternCoding{tree: l.Tree, node: n}
			if s := l.Tree.Find(n, t.Element("system")); s != r4.None {
				c.system = string(l.Tree.Value(s))
			}
			if s := l.Tree.Find(n, t.Element("code")); s != r4.None {
				c.code = string(l.Tree.Value(s))
			}
			out = append(out, c)
		}
	}
	return out
}

// coding places a Coding: system and code stand or fall together.
func (p *placer) coding(at spot, n *syntax.Node, sc *scope) []*Node {
	if n.Text != nil || n.Map != nil {
		return p.bare(at, n, sc)
	}
	out := p.node(Coding, at, n, nil)
	if n.Raw != nil {
		if n.Raw.Value != "true" && n.Raw.Value != "false" {
			p.diags.Errorf(n.Raw.Pos, "not-boolean", "expected true or false")
		}
		out.Raw = n.Raw.Value == "true"
	}
	var system, code *syntax.Node
	var rest []*syntax.Entry
	for _, pl := range p.merge(n.Entries) {
		switch pl.step.Name {
		case "system":
			system = pl.node
		case "code":
			code = pl.node
		default:
			rest = append(rest, &syntax.Entry{Path: syntax.Path{pl.step}, Node: pl.node})
		}
	}
	if code == nil {
		p.diags.Errorf(n.Pos, "code-missing", "a coding without a code says nothing; write code")
		return nil
	}
	if code.Assumed != nil && code.IsMap() && code.Map == nil {
		return p.assumedCode(at, n, code, sc)
	}
	literal, v, ok := p.alone(code, "the code of a coding", sc)
	if !ok {
		return nil
	}
	out.Value = v
	if v != nil && v.Expr != nil {
		p.textual(v.Expr, at)
	}
	if literal != nil {
		out.CodeText = literal.Literal()
	}
	if !p.codingSystem(out, at, system, sc) {
		return nil
	}
	p.children(out, at, rest, sc)
	out.Data = v != nil || out.SystemOf != nil
	p.codingAllowed(out, at, n)
	return []*Node{out}
}

// assumedCode places a coding whose code is {value: ..., assumed: ...}: the
// whole coding stands or falls with it.
func (p *placer) assumedCode(at spot, n, code *syntax.Node, sc *scope) []*Node {
	with := func(c *syntax.Node) *syntax.Node {
		out := *n
		out.Entries = nil
		for _, e := range n.Entries {
			if e.Path[0].Name != "code" {
				out.Entries = append(out.Entries, e)
			}
		}
		out.Entries = append(out.Entries, &syntax.Entry{Path: syntax.Path{{Pos: c.Pos, Name: "code"}}, Node: c})
		return &out
	}
	out := p.node(Nothing, at, n, nil)
	for _, e := range code.Entries {
		if len(e.Path) != 1 || e.Path[0].Name != "value" {
			p.diags.Errorf(e.Path[0].Pos, "unknown-element", "a code takes value and assumed, found %q", e.Path)
			return nil
		}
		nodes := p.coding(at, with(e.Node), sc)
		if len(nodes) != 1 {
			return nil
		}
		out = nodes[0]
	}
	p.assume(out, at, with(code.Assumed), sc)
	return []*Node{out}
}

func (p *placer) codingSystem(out *Node, at spot, n *syntax.Node, sc *scope) bool {
	if n == nil {
		// The one system of the value set, where it has but one.
		if at.profile != nil && at.profile.Binding != nil {
			if systems := p.env.Profiles.Systems(at.profile.Binding.ValueSet); len(systems) == 1 {
				out.SystemURL = systems[0]
				return true
			}
		}
		p.diags.Errorf(out.Pos, "no-system", "the code has no system, and no value set tells the one it must be").
			WithHint("write {system: ..., code: ...}")
		return false
	}
	literal, v, ok := p.alone(n, "the system of a coding", sc)
	if !ok {
		return false
	}
	if literal != nil {
		out.System, out.SystemURL, ok = p.namedSystem(literal.Pos, literal.Literal())
		return ok
	}
	out.SystemOf = v
	if e := v.Expr; e != nil {
		p.deferred = append(p.deferred, func() {
			if k := e.Type.Kind; k != source.KindText && k != source.KindUnknown {
				p.diags.Errorf(e.Pos, "type", "system takes the name or the URL of a code system, this is %s", typeName(e.Type))
			}
		})
	}
	if v.Map != nil {
		for _, target := range v.Map.Targets(v.Get) {
			if _, _, good := p.namedSystem(n.Map.Pos, target); !good {
				ok = false
			}
		}
	}
	return ok
}

// codingAllowed holds constant codings against a required binding.
func (p *placer) codingAllowed(out *Node, at spot, n *syntax.Node) {
	if out.CodeText == "" || out.SystemURL == "" {
		return
	}
	binding := p.conceptBinding(at)
	if binding == nil || binding.Strength != "required" {
		return
	}
	if p.env.Profiles.Member(binding.ValueSet, out.SystemURL, out.CodeText) == profiles.No {
		p.diags.Errorf(n.Pos, "not-in-value-set", "code %q of %s is not in the value set of %s", out.CodeText, out.SystemURL, at.element.Name())
	}
}

// conceptBinding is the binding on a coding itself; that of a CodeableConcept
// asks for one coding among several and is left to the validator, but for
// concepts with a single coding.
func (p *placer) conceptBinding(at spot) *profiles.Binding {
	if at.profile == nil {
		return nil
	}
	return at.profile.Binding
}

// addPattern adds, at a CodeableConcept that the mapping writes, the codings
// of the profile's pattern that are not written (rule 10).
func (p *placer) addPattern(n *Node, at spot) {
	if at.typ.Name() != "CodeableConcept" {
		return
	}
	e := at.typ.Element("coding")
	for _, c := range patternCodings(at.profile) {
		if slices.ContainsFunc(n.Children, func(k *Node) bool {
			return k.Kind == Coding && k.Value == nil && k.SystemOf == nil && c.is(k.SystemURL, k.CodeText)
		}) {
			continue
		}
		tree := new(r4.Resource)
		tree.Start(e.Type(), n.Origin)
		for k := c.tree.First(c.node); k != r4.None; k = c.tree.Next(k) {
			tree.Graft(r4.Root, c.tree.ElementOf(k), c.tree, k, n.Origin)
		}
		n.Children = append(n.Children, &Node{Kind: Literal, Fixed: true, Pos: n.Pos, Origin: n.Origin, Element: e, Type: e.Type(), Path: n.Path + ".coding", Template: tree, Repeat: -1})
	}
}
