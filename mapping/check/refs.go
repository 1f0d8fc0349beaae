package check

import (
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles/r4"
	"remit/sql/source"
)

// reference places a Reference: {ref: T, key: [...]} or its own elements.
func (p *placer) reference(at spot, n *syntax.Node, sc *scope) []*Node {
	if n.Text != nil || n.Map != nil {
		p.diags.Errorf(n.Pos, "scalar-at-complex", "%s is a Reference; write {ref: T, key: [...]}", at.element.Name())
		return nil
	}
	out := p.node(Group, at, n, nil)
	p.children(out, at, n.Entries, sc)
	if n.Ref == nil {
		return []*Node{out}
	}
	t := r4.Lookup(n.Ref.Value)
	if t == nil || t.Kind() != r4.KindResource {
		p.diags.Errorf(n.Ref.Pos, "unknown-resource", "%q is no resource type", n.Ref.Value).WithHint("%s", diag.DidYouMean(n.Ref.Value, r4.Resources()))
		return nil
	}
	if allowed := p.targets(at); len(allowed) > 0 && !slices.Contains(allowed, n.Ref.Value) {
		p.diags.Errorf(n.Ref.Pos, "reference-target", "%s refers to %s, not to %s", at.element.Name(), strings.Join(allowed, " or "), n.Ref.Value)
		return nil
	}
	if len(n.Key) == 0 {
		p.diags.Errorf(n.Ref.Pos, "missing-key", "a reference needs a key: the id key of the %s", n.Ref.Value)
		return nil
	}
	for _, c := range out.Children {
		if c.Element.Name() == "reference" {
			p.diags.Errorf(c.Pos, "second-writer", "ref writes the reference already")
			return nil
		}
	}
	e := at.typ.Element("reference")
	ref := &Node{
		Kind: Reference, Pos: n.Ref.Pos, Origin: p.origin(n.Ref.Pos), Element: e, Type: e.Type(), Path: at.path + ".reference",
		Data: true, Repeat: -1, Target: n.Ref.Value, RefKey: &Key{Pos: n.Ref.Pos, Parts: p.parts(n.Key, sc)},
	}
	p.mapping.References = append(p.mapping.References, n.Ref.Value)
	out.Children = append(out.Children, ref)
	out.Data = true
	sortChildren(out)
	return []*Node{out}
}

// targets lists the resource types that a reference may point at; nil for any.
func (p *placer) targets(at spot) []string {
	if at.profile == nil {
		return nil
	}
	var out []string
	for _, t := range at.profile.Types {
		if t.Code != "Reference" {
			continue
		}
		for _, canonical := range t.Targets {
			name := canonical[strings.LastIndexByte(canonical, '/')+1:]
			if prof, err := p.env.Profiles.Profile(canonical); err == nil {
				name = prof.Type
			}
			name, _, _ = strings.Cut(name, "|")
			if name == "Resource" {
				return nil
			}
			if r4.Lookup(name) == nil {
				return nil
			}
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// references unifies every reference with the id keys of the mappings of its
// target (rule 23), and the id keys of one type among themselves (rule 22).
func (c *checker) references() {
	byType := map[string][]*Mapping{}
	for _, m := range c.set.Mappings {
		byType[m.Type.Name()] = append(byType[m.Type.Name()], m)
	}
	for _, m := range c.set.Mappings {
		for _, o := range byType[m.Type.Name()] {
			if o == m {
				break
			}
			if o.ID.Plain != m.ID.Plain && unify(o.ID.Parts, m.ID.Parts) {
				c.diags.Errorf(m.ID.Pos, "id-form", "ids of %s could mean the same row, and have another form", m.Type.Name()).WithRelated(o.ID.Pos, "the other at")
			}
		}
		for _, v := range append([]*Mapping{m}, m.Views...) {
			walk(v.Root, func(n *Node) {
				if n.Kind == Reference {
					c.target(n, byType[n.Target])
				}
			})
		}
	}
}

// target finds the mappings that a reference may mean, and the form of its id.
func (c *checker) target(n *Node, targets []*Mapping) {
	if c.failed[n.Target] {
		return
	}
	if len(targets) == 0 {
		c.diags.Errorf(n.Pos, "no-target", "no mapping makes %s", n.Target)
		return
	}
	var found *Mapping
	for _, t := range targets {
		if !unify(n.RefKey.Parts, t.ID.Parts) {
			continue
		}
		if found != nil && found.ID.Plain != t.ID.Plain {
			c.diags.Errorf(n.Pos, "id-form", "the key fits two mappings of %s whose ids have different forms", n.Target).WithRelated(t.ID.Pos, "the other at")
			return
		}
		found = t
	}
	if found == nil {
		d := c.diags.Errorf(n.Pos, "no-such-key", "no mapping of %s has an id key like this", n.Target)
		for _, t := range targets {
			_ = d.WithRelated(t.ID.Pos, "an id key at")
		}
		return
	}
	n.RefKey.Plain = found.ID.Plain
}

// unify says that two keys can be equal: as many parts, equal literals, types
// that compare.
func unify(a, b []Part) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !unifyPart(a[i], b[i]) {
			return false
		}
	}
	return true
}

func unifyPart(a, b Part) bool {
	if a.Value == nil && b.Value == nil {
		return a.Literal == b.Literal
	}
	ta, tb := partTexts(a), partTexts(b)
	switch {
	case ta != nil && tb != nil:
		return slices.ContainsFunc(ta, func(s string) bool { return slices.Contains(tb, s) })
	case ta != nil:
		return partText(b)
	case tb != nil:
		return partText(a)
	}
	return sameKeyKind(a.Value.Expr.Type.Kind, b.Value.Expr.Type.Kind)
}

// partTexts is the set of texts that a literal or a map can be; nil for an
// expression.
func partTexts(p Part) []string {
	if p.Value == nil {
		return []string{p.Literal}
	}
	if p.Value.Map != nil {
		return append([]string{}, p.Value.Map.Targets(p.Value.Get)...)
	}
	return nil
}

func partText(p Part) bool {
	k := p.Value.Expr.Type.Kind
	return k == source.KindText || k == source.KindUnknown
}

// walk visits n and everything below it.
func walk(n *Node, visit func(*Node)) {
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
