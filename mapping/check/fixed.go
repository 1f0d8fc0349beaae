package check

import (
	"strings"

	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
)

// fixedParts completes the children of n: the currency of Money, the codings
// of patterns, sequences, and the required parts that the profile fixes. What
// is required, not fixed and not written is told.
func (p *placer) fixedParts(n *Node, at spot, written map[string]syntax.Step, sliced map[string]bool, tables map[string]int) {
	p.money(n, at)
	p.addPattern(n, at)
	p.patternParts(n, at, written)
	p.sequence(n, at, written)
	if at.inner == nil || n.Kind == Coding || n.Type.Kind() == r4.KindPrimitive {
		return
	}
	for _, e := range at.inner.Children() {
		_, plain := written[e.Base]
		bySlice := false
		for name := range sliced {
			bySlice = bySlice || strings.HasPrefix(name, e.Base+"[")
		}
		if !bySlice && p.bySelf(n, at, e) {
			continue
		}
		for _, s := range e.Slices() {
			if s.Min == 0 || plain || sliced[e.Base+"["+s.Slice+"]"] || strings.HasSuffix(e.Path, "[x]") {
				continue
			}
			// A slice of which the profile fixes but the category would say
			// nothing: only one that is fixed as a whole is written unasked.
			if node, ok := p.fixedNode(s, n, at, 0); ok && node.Kind == Literal {
				node.Slice = s.Slice
				p.addFixed(n, node, tables)
				bySlice = true
				continue
			}
			p.missing(n, at, "missing-slice", "the profile requires %s, which the mapping does not write", s.Base+"["+s.Slice+"]")
			bySlice = true
		}
		if plain || bySlice || e.Min == 0 || e.Base == "extension" && len(e.Slices()) > 0 {
			continue
		}
		if node, ok := p.fixedNode(e, n, at, 0); ok {
			p.addFixed(n, node, tables)
			continue
		}
		p.missing(n, at, "missing-element", "the profile requires %s, which the mapping does not write", e.Base)
	}
}

// patternParts adds, at a complex element that the profile fixes in part as a
// whole, the children that the mapping does not write (rule 10).
func (p *placer) patternParts(n *Node, at spot, written map[string]syntax.Step) {
	if at.profile == nil || at.typ.Name() == "CodeableConcept" || at.typ.Kind() == r4.KindPrimitive {
		return
	}
	for _, l := range []*profiles.Literal{at.profile.Fixed, at.profile.Pattern} {
		if l == nil || l.Tree == nil || l.Tree.Type() != at.typ {
			continue
		}
		for k := l.Tree.First(r4.Root); k != r4.None; k = l.Tree.Next(k) {
			e := l.Tree.ElementOf(k)
			if _, ok := written[e.Base()]; ok || n.Kind == Coding && (e.Name() == "system" || e.Name() == "code") {
				continue
			}
			tree := new(r4.Resource)
			tree.Start(e.Type(), n.Origin)
			if l.Tree.HasValue(k) {
				tree.SetValue(r4.Root, l.Tree.Value(k))
			}
			for c := l.Tree.First(k); c != r4.None; c = l.Tree.Next(c) {
				tree.Graft(r4.Root, l.Tree.ElementOf(c), l.Tree, c, n.Origin)
			}
			n.Children = append(n.Children, &Node{Kind: Literal, Fixed: true, Pos: n.Pos, Origin: n.Origin, Element: e, Type: e.Type(), Path: n.Path + "." + e.Name(), Template: tree, Repeat: -1})
		}
	}
}

// missing tells what the profile requires and nobody writes.
func (p *placer) missing(n *Node, at spot, code, format, name string) {
	if at.broken {
		return
	}
	p.diags.Errorf(n.Pos, code, "%s: "+format, at.path, name)
}

// bySelf says that the program writes the element without being told.
func (p *placer) bySelf(n *Node, at spot, e *profiles.Element) bool {
	if n.Element == nil && (e.Base == "id" || e.Base == "meta") {
		return true
	}
	if at.typ.Name() == "Meta" && (e.Base == "lastUpdated" || e.Base == "profile") {
		return true
	}
	for _, c := range n.Children {
		if c.Element.Base() == e.Base {
			return true
		}
	}
	return false
}

func (p *placer) addFixed(n, node *Node, tables map[string]int) {
	node.Repeat = p.table(n, spot{element: node.Element, typ: node.Type}, tables)
	for _, c := range node.Children {
		if c.Kind == Sequence {
			c.LinkRepeat = node.Repeat
		}
	}
	n.Children = append(n.Children, node)
}

// maxFixedDepth bounds the search for fixed parts inside required elements.
const maxFixedDepth = 6

// fixedNode builds an element of which the profile fixes every required part;
// ok is false where something is left to say.
func (p *placer) fixedNode(e *profiles.Element, parent *Node, at spot, depth int) (*Node, bool) {
	if depth > maxFixedDepth {
		return nil, false
	}
	shape := at.typ.Element(e.Base)
	if shape == nil {
		if len(e.Types) != 1 {
			return nil, false
		}
		for _, a := range at.typ.Choice(e.Base) {
			if strings.EqualFold(a.Name(), e.Base+e.Types[0].Code) {
				shape = a
			}
		}
	}
	if shape == nil || shape.Type() == nil {
		return nil, false
	}
	node := &Node{Kind: Literal, Fixed: true, Pos: parent.Pos, Origin: parent.Origin, Element: shape, Type: shape.Type(), Path: at.path + "." + e.Base, Repeat: -1}
	if e.Slice != "" {
		node.Path += "[" + e.Slice + "]"
	}
	for _, l := range []*profiles.Literal{e.Fixed, e.Pattern} {
		if l != nil && l.Tree != nil {
			node.Template = l.Tree
			return node, true
		}
	}
	if shape.Type().Kind() == r4.KindPrimitive {
		return nil, false
	}
	node.Kind = Group
	inner := spot{profile: e, inner: e, element: shape, typ: shape.Type(), path: node.Path, depth: at.depth + 1, repeat: -1}
	if shape.Choice() {
		// A choice that is not fixed as a whole is left to the mapping.
		return nil, false
	}
	found := false
	for _, c := range e.Children() {
		if c.Min == 0 {
			continue
		}
		if c.Base == "sequence" && shape.Type().Element("sequence") != nil {
			node.Children = append(node.Children, sequenceNode(node, shape.Type().Element("sequence")))
			continue
		}
		part, ok := p.fixedNode(c, node, inner, depth+1)
		if !ok {
			return nil, false
		}
		found = true
		node.Children = append(node.Children, part)
	}
	sortChildren(node)
	return node, found
}

// sequence adds the automatic number of a repetition (rule 18).
func (p *placer) sequence(n *Node, at spot, written map[string]syntax.Step) {
	if n.Element == nil || n.Type.Kind() != r4.KindBackbone || at.repeat < 0 {
		return
	}
	e := n.Type.Element("sequence")
	if e == nil && n.Element.Name() == "processNote" {
		e = n.Type.Element("number")
	}
	if e == nil || e.Type().Name() != "positiveInt" {
		return
	}
	if _, ok := written[e.Name()]; ok {
		return
	}
	number := sequenceNode(n, e)
	number.LinkRepeat = at.repeat
	n.Children = append(n.Children, number)
}

func sequenceNode(n *Node, e *r4.Element) *Node {
	return &Node{Kind: Sequence, Fixed: true, Pos: n.Pos, Origin: n.Origin, Element: e, Type: e.Type(), Path: n.Path + "." + e.Name(), Repeat: -1}
}
