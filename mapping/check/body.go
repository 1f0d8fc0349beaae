package check

import (
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// node starts a node of at.
func (p *placer) node(kind Kind, at spot, n *syntax.Node, t *syntax.Text) *Node {
	pos := n.Pos
	if t != nil {
		pos = t.Pos
	}
	return &Node{Kind: kind, Pos: pos, Origin: p.origin(pos), Element: at.element, Type: at.typ, Path: at.path, Repeat: -1}
}

// body places the content of one writer, by the element's type. Several nodes
// come of codes: alone.
func (p *placer) body(at spot, n *syntax.Node, sc *scope) []*Node {
	if n.First != nil {
		return p.first(at, n, sc)
	}
	if n.Seq != nil {
		return p.link(at, n, sc)
	}
	if n.Ref != nil && at.typ.Name() != "Reference" {
		p.diags.Errorf(n.Ref.Pos, "misplaced-ref", "%s is %s, not a Reference", at.element.Name(), at.typ.Name())
		return nil
	}
	if n.Codes != nil && at.typ.Name() != "CodeableConcept" {
		p.diags.Errorf(n.Codes[0].Pos, "misplaced-codes", "codes belongs at a CodeableConcept, %s is %s", at.element.Name(), at.typ.Name())
		return nil
	}
	if n.IsMap() && n.Map == nil && len(n.Entries) == 0 && n.Ref == nil && n.Codes == nil {
		if n.Absent == nil && n.Assumed == nil {
			p.diags.Errorf(n.Pos, "no-content", "nothing says what %s holds", at.element.Name())
			return nil
		}
		return []*Node{p.node(Nothing, at, n, nil)}
	}
	switch {
	case at.typ.Kind() == r4.KindPrimitive:
		return p.primitive(at, n, sc)
	case at.typ.Name() == "CodeableConcept":
		return p.concept(at, n, sc)
	case at.typ.Name() == "Coding":
		return p.coding(at, n, sc)
	case at.typ.Name() == "Reference":
		return p.reference(at, n, sc)
	}
	if n.Text != nil || n.Map != nil {
		return p.shortForm(at, n, sc)
	}
	return p.group(at, n, n.Entries, sc)
}

// group places a complex element by its children.
func (p *placer) group(at spot, n *syntax.Node, entries []*syntax.Entry, sc *scope) []*Node {
	out := p.node(Group, at, n, nil)
	at.broken = n.Broken
	p.children(out, at, entries, sc)
	return []*Node{out}
}

// first places alternatives (rule 12).
func (p *placer) first(at spot, n *syntax.Node, sc *scope) []*Node {
	if len(n.Entries) > 0 {
		p.diags.Errorf(n.Entries[0].Path[0].Pos, "first-and-elements", "beside first no element is written; set it inside the alternatives")
	}
	out := p.node(First, at, n, nil)
	for _, alt := range n.First {
		if alt.Each != nil {
			p.diags.Errorf(alt.Each.Pos, "each-in-first", "an alternative of first takes no each; set each beside first")
			continue
		}
		if alt.Key != nil && alt.Ref == nil && alt.Seq == nil {
			p.diags.Errorf(alt.KeyPos, "misplaced-key", "an alternative of first takes no key; set key beside first")
			continue
		}
		for _, one := range p.one(at, alt, sc) {
			one.Repeat = -1 // the repetition is that of first itself
			out.Children = append(out.Children, one)
		}
	}
	if len(out.Children) == 0 {
		return nil
	}
	for _, c := range out.Children {
		out.Data = out.Data || c.Data
	}
	return []*Node{out}
}

// shortForm places a single value at Money and Quantity (rule 14).
func (p *placer) shortForm(at spot, n *syntax.Node, sc *scope) []*Node {
	t := at.typ
	value := t.Element("value")
	if value == nil || value.Type().Name() != "decimal" {
		d := p.diags.Errorf(n.Pos, "scalar-at-complex", "%s is %s; expected a map of its elements", at.element.Name(), article(t.Name()))
		var all []string
		for _, e := range t.Elements() {
			if e.Name() != "id" && e.Name() != "extension" && e.Name() != "modifierExtension" {
				all = append(all, e.Name())
			}
		}
		_ = d.WithHint("they are %s", strings.Join(all, ", "))
		return nil
	}
	bare := *n
	bare.Each, bare.Where, bare.When, bare.Absent, bare.Assumed = nil, nil, nil, nil, nil
	step := syntax.Step{Pos: n.Pos, Name: "value"}
	return p.group(at, n, []*syntax.Entry{{Path: syntax.Path{step}, Node: &bare}}, sc)
}

func article(s string) string {
	if strings.ContainsAny(s[:1], "AEIOU") {
		return "an " + s
	}
	return "a " + s
}

// money completes a Money whose currency is not written.
func (p *placer) money(n *Node, at spot) {
	if at.typ.Name() != "Money" {
		return
	}
	currency := at.typ.Element("currency")
	var value *Node
	for _, c := range n.Children {
		switch c.Element.Name() {
		case "currency":
			return
		case "value":
			value = c
		}
	}
	if value == nil {
		return
	}
	s := p.mapping.From
	if value.Value != nil && value.Value.Expr != nil {
		s = value.Value.Expr.Source
	}
	if s.Currency == "" {
		p.diags.Errorf(value.Pos, "no-currency", "source %q declares no currency, which Money needs", s.Name)
		return
	}
	n.Children = append(n.Children, constant(currency, s.Currency, value.Pos, value.Origin, at.path+".currency"))
}

// primitive places a value.
func (p *placer) primitive(at spot, n *syntax.Node, sc *scope) []*Node {
	if n.IsMap() && n.Map == nil {
		return p.primitiveMap(at, n, sc)
	}
	if len(n.Entries) > 0 {
		p.diags.Errorf(n.Entries[0].Path[0].Pos, "misplaced-element", "beside map no element is written")
	}
	literal, v, ok := p.value(n, sc)
	if !ok {
		return nil
	}
	if literal != nil {
		return p.literal(at, n, literal)
	}
	out := p.node(Primitive, at, n, nil)
	out.Value, out.Data = v, true
	if v.Expr != nil {
		for _, t := range caseLiterals(v.Expr.SQL) {
			p.codeAllowed(at, v.Expr.at(t.offset), t.text, "CASE yields")
		}
	}
	out.Named = at.typ.Name() == "uri" && at.element.Name() == "system"
	p.coerce(out, at)
	if v.Map != nil {
		for _, target := range v.Map.Targets(v.Get) {
			if out.Named {
				p.systemURL(n.Map.Pos, target)
				continue
			}
			if !r4.ValidPrimitive(at.typ, []byte(target)) {
				p.diags.Errorf(n.Map.Pos, "invalid-value", "map %q yields %q, which is no %s", v.Map.Name, target, at.typ.Name())
				continue
			}
			p.codeAllowed(at, n.Map.Pos, target, "map "+v.Map.Name+" yields")
		}
	}
	return []*Node{out}
}

// primitiveMap places {value: ..., extension: ...} at a primitive.
func (p *placer) primitiveMap(at spot, n *syntax.Node, sc *scope) []*Node {
	var value *syntax.Entry
	var rest []*syntax.Entry
	for _, e := range n.Entries {
		if len(e.Path) == 1 && e.Path[0].Name == "value" && e.Path[0].Slice == "" {
			value = e
			continue
		}
		rest = append(rest, e)
	}
	for _, e := range rest {
		if name := e.Path[0].Name; name != "extension" && name != "id" {
			p.diags.Errorf(e.Path[0].Pos, "unknown-element", "%s is a %s; expected value or extension, found %q", at.element.Name(), at.typ.Name(), name)
			return nil
		}
	}
	if len(rest) == 0 && value != nil {
		return p.body(at, value.Node, sc)
	}
	out := p.node(Group, at, n, nil)
	p.children(out, at, rest, sc)
	if value != nil {
		nodes := p.body(at, value.Node, sc)
		if len(nodes) != 1 || nodes[0].Kind != Primitive && nodes[0].Kind != Literal {
			if len(nodes) == 1 {
				p.diags.Errorf(value.Node.Pos, "misplaced-word", "beside extension the value is a text or SQL")
			}
			return nil
		}
		v := nodes[0]
		v.Children, v.Resets = out.Children, out.Resets
		if v.Kind == Literal {
			v.Data = v.Data || out.Data
		}
		return []*Node{v}
	}
	return []*Node{out}
}

// literal places a constant primitive.
func (p *placer) literal(at spot, n *syntax.Node, t *syntax.Text) []*Node {
	text := t.Literal()
	if at.typ.Name() == "uri" && at.element.Name() == "system" {
		url, ok := p.systemURL(t.Pos, text)
		if !ok {
			return nil
		}
		text = url
	}
	if !r4.ValidPrimitive(at.typ, []byte(text)) {
		p.diags.Errorf(t.Pos, "invalid-value", "%q is no %s", text, at.typ.Name())
		return nil
	}
	if at.profile != nil {
		if fixed := primitiveLiteral(at.profile); fixed != "" && fixed != text {
			p.diags.Errorf(t.Pos, "fixed-value", "the profile fixes %s to %q", at.element.Name(), fixed)
			return nil
		}
	}
	if !p.codeAllowed(at, t.Pos, text, "found") {
		return nil
	}
	out := constant(at.element, text, t.Pos, p.origin(t.Pos), at.path)
	return []*Node{out}
}

// primitiveLiteral is the text that a profile fixes a primitive to, or "".
func primitiveLiteral(e *profiles.Element) string {
	for _, l := range []*profiles.Literal{e.Fixed, e.Pattern} {
		if l != nil && l.Tree != nil && l.Tree.Type().Kind() == r4.KindPrimitive {
			return string(l.Tree.Value(r4.Root))
		}
	}
	return ""
}

// codeAllowed holds a literal code against a required binding.
func (p *placer) codeAllowed(at spot, pos diag.Pos, code, what string) bool {
	if at.profile == nil || at.profile.Binding == nil || at.profile.Binding.Strength != "required" || at.typ.Name() != "code" {
		return true
	}
	codes, complete := p.env.Profiles.Codes(at.profile.Binding.ValueSet)
	if !complete || slices.ContainsFunc(codes, func(c profiles.Coding) bool { return c.Code == code }) {
		return true
	}
	d := p.diags.Errorf(pos, "not-in-value-set", "%s %q, which is not in the value set of %s", what, code, at.element.Name())
	p.codeHint(d, code, codes)
	return false
}

func (p *placer) codeHint(d *diag.Diagnostic, code string, codes []profiles.Coding) {
	var all []string
	for _, c := range codes {
		all = append(all, c.Code)
	}
	if near := diag.DidYouMean(code, all); near != "" {
		_ = d.WithHint("%s", near)
	} else if len(all) > 0 && len(all) <= 12 {
		_ = d.WithHint("expected one of %s", strings.Join(all, ", "))
	}
}

// systemURL turns a named system into its URL, or reports it (rule 15).
func (p *placer) systemURL(pos diag.Pos, name string) (string, bool) {
	s, url, ok := p.namedSystem(pos, name)
	if s != nil {
		return s.URL, ok
	}
	return url, ok
}

func (p *placer) namedSystem(pos diag.Pos, name string) (*System, string, bool) {
	if strings.Contains(name, ":") {
		if p.isValueSet(name) {
			p.diags.Errorf(pos, "value-set-as-system", "%s is a value set; a system is a code system", name)
			return nil, "", false
		}
		for _, s := range p.set.Systems {
			if s.URL == name {
				return s, name, true
			}
		}
		return nil, name, true
	}
	if s := p.set.Systems[strings.ToLower(name)]; s != nil {
		return s, s.URL, true
	}
	var all []string
	for n := range p.set.Systems {
		all = append(all, n)
	}
	slices.Sort(all)
	p.diags.Errorf(pos, "unknown-system", "system %q is not known", name).WithHint("%s", diag.DidYouMean(name, all))
	return nil, "", false
}

// coerce decides, once the types are known, how the value becomes text
// (rule 25).
func (p *placer) coerce(out *Node, at spot) {
	v := out.Value
	kindOf := func() (source.Kind, *Source, string) {
		if v.Map != nil {
			return source.KindText, v.Of[0].Source, "text"
		}
		return v.Expr.Type.Kind, v.Expr.Source, typeName(v.Expr.Type)
	}
	p.deferred = append(p.deferred, func() {
		kind, src, name := kindOf()
		out.Zone, out.Dates = src.Zone, src.Dates
		refuse := func(hint string) {
			d := p.diags.Errorf(out.Pos, "type", "%s takes %s, this is %s", at.element.Name(), at.typ.Name(), name)
			if hint != "" {
				_ = d.WithHint("%s", hint)
			}
		}
		if kind == source.KindUnknown {
			return
		}
		switch target := at.typ.Name(); target {
		case "date", "dateTime", "instant":
			p.coerceDate(out, at, target, kind, src, refuse)
		case "boolean":
			switch kind {
			case source.KindBoolean:
			case source.KindText:
				out.Coerce = AsParsedBoolean
			default:
				refuse("write a comparison, such as flag = 1")
			}
		case "integer", "positiveInt", "unsignedInt":
			switch kind {
			case source.KindInteger, source.KindDecimal, source.KindText:
				out.Coerce = AsInteger
			case source.KindFloat:
				refuse("CAST it to an integer")
			default:
				refuse("")
			}
		case "decimal":
			switch kind {
			case source.KindInteger, source.KindDecimal, source.KindText:
				out.Coerce = AsDecimal
				if money := src.Money; len(money) > 0 && at.element == r4.Lookup("Money").Element("value") {
					out.Coerce, out.Money = AsMoney, money
				}
			case source.KindFloat:
				refuse("floats are not exact; CAST it AS DECIMAL(18,2) or round it")
			default:
				refuse("")
			}
		case "time":
			if kind != source.KindText {
				refuse("")
			}
		default:
			switch kind {
			case source.KindBoolean, source.KindFloat:
				refuse("the text of it differs between engines; CAST it or write CASE")
			case source.KindTimestamp, source.KindInstant:
				refuse("CAST it to text or to a date")
			}
		}
	})
}

func (p *placer) coerceDate(out *Node, at spot, target string, kind source.Kind, src *Source, refuse func(string)) {
	switch kind {
	case source.KindDate:
		if target == "instant" {
			refuse("an instant needs a time and a zone")
		}
		out.Coerce = AsDate
	case source.KindTimestamp:
		if target == "date" {
			refuse("CAST it AS DATE")
			return
		}
		out.Coerce = AsTimestamp
		if src.Zone == nil {
			p.diags.Errorf(out.Pos, "no-timezone", "%s needs a time zone: declare timezone for source %q", at.element.Name(), src.Name)
		}
	case source.KindInstant:
		if target == "date" {
			refuse("CAST it AS DATE")
		}
		out.Coerce = AsInstant
	case source.KindText:
		out.Coerce = AsParsedDate
		for _, f := range src.Dates {
			if f.Timed() && src.Zone == nil {
				p.diags.Errorf(out.Pos, "no-timezone", "date format %q tells an hour: declare timezone for source %q", f.Text, src.Name)
				return
			}
		}
	default:
		refuse("")
	}
}

// link places the sequence of another repetition (rule 18).
func (p *placer) link(at spot, n *syntax.Node, sc *scope) []*Node {
	if name := at.typ.Name(); name != "positiveInt" && name != "integer" && name != "unsignedInt" {
		p.diags.Errorf(n.Pos, "misplaced-seq", "seq gives a number, %s is %s", at.element.Name(), at.typ.Name())
		return nil
	}
	if len(n.Seq) != 1 {
		p.diags.Errorf(n.Seq[0].Pos, "bad-seq", "seq names an element of the resource, such as careTeam or supportingInfo[x]")
		return nil
	}
	step := n.Seq[0]
	if step.Slice == "" && n.Key == nil {
		p.diags.Errorf(step.Pos, "bad-seq", "seq needs a key that tells which %s", step.Name)
		return nil
	}
	out := p.node(Link, at, n, nil)
	out.Data = true
	out.Key = p.parts(n.Key, sc)
	p.links = append(p.links, pendingLink{out, step})
	return []*Node{out}
}
