package check

import (
	"slices"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
)

// view checks a view as a mapping of its own: what it drops is as if it had
// never been written (rule 33).
func (c *checker) view(full *Mapping, m *syntax.Mapping, v *syntax.View) {
	name := v.Name.Value
	if slices.ContainsFunc(full.Views, func(o *Mapping) bool { return o.View == name }) {
		return // written twice, which the parser told
	}
	if !sourceName.MatchString(name) {
		c.diags.Errorf(v.Name.Pos, "bad-view-name", "view name %q must be a lower-case letter, then letters, digits and _", name)
		return
	}
	one := *m
	one.Views = nil
	if v.Profiles != nil {
		one.Profiles = v.Profiles
	}
	for _, p := range v.Drop {
		set, found := dropped(one.Set, p)
		if !found {
			c.diags.Errorf(p[0].Pos, "unknown-drop", "the mapping does not write %s, so that there is nothing to drop", p)
			continue
		}
		one.Set = set
		if one.Set == nil {
			c.diags.Errorf(p[0].Pos, "unknown-drop", "the view drops all that the mapping writes")
			return
		}
	}
	outer := c.diags
	c.diags = &diag.List{}
	out := c.mapping(&one)
	told := outer.All()
	for _, d := range c.diags.All() {
		if !slices.ContainsFunc(told, func(o *diag.Diagnostic) bool { return o.Pos == d.Pos && o.Code == d.Code }) {
			outer.Add(d.WithRelated(v.Name.Pos, "in view "+name+" at"))
		}
	}
	c.diags = outer
	if out != nil {
		out.View, out.viewPos, out.reasons = name, v.Name.Pos, full.reasons
		full.Views = append(full.Views, out)
	}
}

// dropped is n without what stands at path; nil where nothing is left. n itself
// stays as it is.
func dropped(n *syntax.Node, path syntax.Path) (_ *syntax.Node, found bool) {
	if n == nil || n.Text != nil {
		return n, false
	}
	out := *n
	each := func(list []*syntax.Node) []*syntax.Node {
		var kept []*syntax.Node
		for _, e := range list {
			k, f := dropped(e, path)
			found = found || f
			if k != nil {
				kept = append(kept, k)
			}
		}
		return kept
	}
	if n.List != nil {
		if out.List = each(n.List); len(out.List) == 0 {
			return nil, found
		}
		return &out, found
	}
	if n.First != nil {
		out.First = each(n.First)
	}
	out.Entries = nil
	for _, e := range n.Entries {
		at := min(len(e.Path), len(path))
		switch {
		case !slices.EqualFunc(e.Path[:at], path[:at], drops):
			out.Entries = append(out.Entries, e)
		case len(path) == at:
			found = true
		default:
			k, f := dropped(e.Node, path[at:])
			found = found || f
			if k != nil {
				out.Entries = append(out.Entries, &syntax.Entry{Path: e.Path, Node: k})
			}
		}
	}
	if len(out.Entries) == 0 && len(n.Entries) > 0 && len(out.First) == 0 && n.Ref == nil && n.Map == nil && n.Codes == nil && n.Seq == nil && n.Absent == nil && n.Assumed == nil {
		return nil, found
	}
	// What lost all its data is nothing but literals, as where the data are
	// empty, and goes with them (rule 11).
	if found && hasData(n) && !hasData(&out) {
		return nil, found
	}
	return &out, found
}

// hasData says that a node or one below it takes its value from rows, or makes
// content where rows have none.
func hasData(n *syntax.Node) bool {
	if n.Text != nil {
		return n.Text.IsSQL()
	}
	if n.Each != nil || n.Ref != nil || n.Map != nil || n.Seq != nil || n.Absent != nil || n.Assumed != nil {
		return true
	}
	return slices.ContainsFunc(n.List, hasData) || slices.ContainsFunc(n.First, hasData) || slices.ContainsFunc(n.Codes, hasData) ||
		slices.ContainsFunc(n.Entries, func(e *syntax.Entry) bool { return hasData(e.Node) })
}

// drops says that a step of a dropped path means a step that is written: one
// without a slice means all of them.
func drops(written, path syntax.Step) bool {
	return written.Name == path.Name && (path.Slice == "" || written.Slice == path.Slice)
}

// unviewed gives every view its mappings: one that does not declare the view
// appears in it as it is, unless it writes financial elements. A view hides
// money, so that what nobody looked at stays out.
func (c *checker) unviewed() {
	for _, m := range c.set.Mappings {
		for _, v := range m.Views {
			if !slices.Contains(c.set.Views, v.View) {
				c.set.Views = append(c.set.Views, v.View)
			}
		}
	}
	slices.Sort(c.set.Views)
	for _, m := range c.set.Mappings {
		for _, name := range c.set.Views {
			switch {
			case slices.ContainsFunc(m.Views, func(v *Mapping) bool { return v.View == name }):
			case m.Financial():
				c.notes = append(c.notes, func() {
					c.diags.Warnf(m.Pos, "not-in-view", "the mapping writes financial elements and declares no view %q, so that it is left out of it", name)
				})
			default:
				same := *m
				same.View, same.Views = name, nil
				m.Views = append(m.Views, &same)
			}
		}
	}
	c.basis()
}

// conforms holds the finished tree against a further profile of the mapping
// (rule 32): the first names the slices, all must be met.
func (p *placer) conforms(root *Node, prof *profiles.Profile) {
	p.meets(root, prof.Root(), prof)
}

func (p *placer) meets(n *Node, e *profiles.Element, prof *profiles.Profile) {
	if n.Kind == First {
		for _, c := range n.Children {
			p.meets(c, e, prof)
		}
		return
	}
	if n.Kind != Group {
		return
	}
	writers := map[string]int{}
	for _, c := range n.Children {
		base := c.Element.Base()
		writers[base]++
		child := e.Child(base)
		if child == nil {
			continue
		}
		if c.Element.Choice() {
			narrowed := child.As(c.Element.Type().Name())
			if narrowed == nil {
				p.diags.Errorf(c.Pos, "choice-type", "profile %s does not allow %s", prof.Name, c.Element.Name())
				continue
			}
			child = narrowed
		}
		switch {
		case child.Max == 0:
			p.diags.Errorf(c.Pos, "forbidden-element", "profile %s forbids %s", prof.Name, c.Element.Name())
			continue
		case child.Max == 1 && c.Element.Repeats() && (c.Each != nil || writers[base] == 2):
			p.diags.Errorf(c.Pos, "cardinality", "profile %s allows one %s, the mapping may write several", prof.Name, c.Element.Name())
		}
		if text, ok := constantText(c); ok {
			p.fixedText(c, child, text, prof)
		}
		p.meets(c, child, prof)
	}
	for _, child := range e.Children() {
		if child.Min == 0 || writers[child.Base] > 0 || n.Element == nil && (child.Base == "id" || child.Base == "meta") || n.Type.Name() == "Meta" {
			continue
		}
		p.diags.Errorf(n.Pos, "missing-element", "%s: profile %s requires %s, which the mapping does not write", n.Path, prof.Name, child.Base)
	}
}

// constantText is the text of a node that is always the same primitive.
func constantText(n *Node) (string, bool) {
	if n.Kind != Literal || n.Type.Kind() != r4.KindPrimitive || n.Template == nil || !n.Template.HasValue(r4.Root) {
		return "", false
	}
	return string(n.Template.Value(r4.Root)), true
}

// fixedText holds a constant against what a profile fixes and binds.
func (p *placer) fixedText(n *Node, e *profiles.Element, text string, prof *profiles.Profile) {
	if fixed := primitiveLiteral(e); fixed != "" && fixed != text {
		p.diags.Errorf(n.Pos, "fixed-value", "profile %s fixes %s to %q", prof.Name, n.Element.Name(), fixed)
		return
	}
	p.codeAllowed(spot{profile: e, element: n.Element, typ: n.Type}, n.Pos, text, "profile "+prof.Name+": found")
}
