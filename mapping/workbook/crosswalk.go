package workbook

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"remit/mapping/syntax"
	"remit/profiles"
)

// Crosswalk is one mapping laid out over its profile.
type Crosswalk struct {
	Mapping *syntax.Mapping
	// Profile is the mapping's first profile, or the resource's own definition;
	// nil where neither is loaded.
	Profile *profiles.Profile
	Rows    []*Row
}

// Crosswalks lays out every mapping of a set. A profile that is not loaded
// leaves what the mapping writes, without cardinalities and what is missing.
func Crosswalks(set *Set, defs *profiles.Set) []*Crosswalk {
	out := make([]*Crosswalk, 0, len(set.Mappings))
	for _, m := range set.Mappings {
		if m.Resource == nil || m.Set == nil {
			continue
		}
		b := &builder{set: set, mapping: m}
		c := &Crosswalk{Mapping: m}
		ref := "http://hl7.org/fhir/StructureDefinition/" + m.Resource.Value
		if len(m.Profiles) > 0 {
			ref = m.Profiles[0].Value
		}
		if p, err := defs.Profile(ref); err == nil {
			c.Profile = p
		}
		b.build(c.Profile)
		c.Rows = b.rows
		out = append(out, c)
	}
	return out
}

// builder walks a profile beside a mapping.
type builder struct {
	set     *Set
	mapping *syntax.Mapping
	rows    []*Row
}

// written is one path of a mapping below a place, and what stands at its end.
type written struct {
	path syntax.Path
	node *syntax.Node
}

// content is what a mapping writes at one place.
type content struct {
	node    *syntax.Node // ends here; nil where longer paths only pass through
	entries []written
	owner   *syntax.Node // the map that holds the place, nil where none can
	rel     syntax.Path  // from owner
	source  string       // whose rows are seen
	sliced  bool         // the slices have rows of their own
	fixed   string       // what the pattern of the element around says of it
}

// empty says that nothing is written here or below.
func (c *content) empty() bool { return c.node == nil && len(c.entries) == 0 }

// place is where a walk stands.
type place struct {
	path, name, slice string
	level             int
}

// below is the place of a child step.
func (p place) below(step string, name, slice string) place {
	out := place{path: step, name: name, slice: slice, level: p.level + 1}
	if p.path != "" {
		out.path = p.path + "." + step
	}
	if slice == "" {
		out.slice = p.slice
	}
	return out
}

func (b *builder) build(p *profiles.Profile) {
	m := b.mapping
	from := ""
	if m.From != nil {
		from = m.From.Value
	}
	root := &Row{Mapping: m, Name: m.Resource.Value, Status: Mapped, Pos: m.Resource.Pos, Source: from, Table: b.set.table(from), Group: true}
	root.Rule = "one resource per row of " + from
	if m.Where != nil {
		root.Rule += " where " + tidy(m.Where.Value)
	}
	for _, v := range m.Views {
		drops := make([]string, len(v.Drop))
		for i, d := range v.Drop {
			drops[i] = d.String()
		}
		root.Rule += "; view " + v.Name.Value
		if len(drops) > 0 {
			root.Rule += " without " + strings.Join(drops, ", ")
		}
	}
	var el *profiles.Element
	if p != nil {
		el = p.Root()
		root.Element = el
	}
	b.rows = append(b.rows, root)
	b.identity(el, from)
	at := content{owner: m.Set, source: from}
	for _, e := range m.Set.Entries {
		at.entries = append(at.entries, written{e.Path, e.Node})
	}
	b.children(el, at, place{})
}

// identity is the row of the id, which the mapping writes outside of set.
func (b *builder) identity(root *profiles.Element, from string) {
	r := &Row{Mapping: b.mapping, Path: "id", Level: 1, Name: "id", Status: Mapped, Source: from, Table: b.set.table(from)}
	if root != nil {
		r.Element = root.Child("id")
	}
	id := b.mapping.ID
	if id == nil || len(id.Key) == 0 {
		r.Status = ByRemit
		r.Rule = "made from the key of " + from
	} else {
		r.Pos = id.Pos
		r.Rule = "made from " + keyText(id.Key)
		if id.Form != nil && id.Form.Value == "plain" {
			r.Rule += ", in plain text"
		}
		r.exprs = expressions(id.Key)
		b.show(r)
	}
	b.rows = append(b.rows, r)
}

// codingParts are the elements of a Coding that may be written at a
// CodeableConcept.
var codingParts = map[string]bool{"system": true, "code": true, "version": true, "display": true, "userSelected": true}

// children lays out what stands below el, in the profile's order, and then
// what the profile does not know.
func (b *builder) children(el *profiles.Element, at content, here place) {
	used := make([]bool, len(at.entries))
	take := func(match func(s syntax.Step) bool) (out []written) {
		for i, w := range at.entries {
			if !used[i] && match(w.path[0]) {
				used[i] = true
				out = append(out, w)
			}
		}
		return out
	}
	if el != nil && !isPrimitive(el) {
		first := len(b.rows)
		for _, c := range el.Children() {
			b.child(el, c, at, here, take)
		}
		for _, r := range b.rows[first:] {
			if hasType(el, "Coding") && r.Level == here.level+1 && (r.Name == "system" || r.Name == "code") {
				r.words, r.holder = nil, nil // they stand or fall together: the coding takes the words
			}
		}
	}
	// What the profile does not speak of is still written, or is a mistake that
	// the check tells.
	for i := range at.entries {
		if used[i] {
			continue
		}
		step := at.entries[i].path[0]
		group := take(func(s syntax.Step) bool { return s.Name == step.Name && s.Slice == step.Slice })
		b.element(nil, b.narrow(at, step, group), here.below(step.String(), step.Name, step.Slice))
	}
}

// narrow is the content of one step below at.
func (b *builder) narrow(at content, step syntax.Step, group []written) content {
	out := content{source: at.source}
	if at.owner != nil {
		out.owner = at.owner
		out.rel = append(slices.Clone(at.rel), syntax.Step{Name: step.Name, Slice: step.Slice})
	}
	for _, w := range group {
		if len(w.path) > 1 {
			out.entries = append(out.entries, written{w.path[1:], w.node})
			continue
		}
		out.node = w.node
	}
	return out
}

// child lays out one child of el: itself, its alternatives, its slices.
func (b *builder) child(el, c *profiles.Element, at content, here place, take func(func(syntax.Step) bool) []written) {
	if hasType(el, "CodeableConcept") && c.Base == "coding" {
		if group := take(func(s syntax.Step) bool { return codingParts[s.Name] && s.Slice == "" }); len(group) > 0 || at.node != nil && len(at.node.Codes) > 0 {
			// system and code stand at the concept, without coding between.
			inner := content{entries: group, owner: at.owner, rel: at.rel, source: at.source}
			p := here.below("coding", "coding", "")
			b.rows = append(b.rows, &Row{Mapping: b.mapping, Path: p.path, Level: p.level, Name: p.name, Slice: p.slice, Element: c, Status: Mapped, Source: at.source, Group: true})
			b.codes(c, at, p)
			b.children(c, inner, p)
			return
		}
	}
	names := []string{c.Base}
	if c.Choice() {
		names = nil
		for _, t := range c.Types {
			names = append(names, c.Base+upper(t.Code))
		}
	}
	for i, name := range names {
		group := take(func(s syntax.Step) bool { return s.Name == name && s.Slice == "" })
		if len(group) == 0 {
			continue
		}
		inner := c
		if c.Choice() {
			inner = c.As(c.Types[i].Code)
		}
		b.element(inner, b.narrow(at, syntax.Step{Name: name}, group), here.below(name, name, ""))
		names[i] = ""
	}
	if c.Max == 0 {
		return
	}
	missing := !slices.Contains(names, "") // nothing is written without a slice
	if missing && b.shown(el, c, &at) {
		name := c.Base
		alone := content{owner: at.owner, source: at.source, fixed: fixedPart(el, c.Base)}
		switch {
		case c.Choice() && len(names) == 1:
			name = names[0]
		case c.Choice():
			name, alone.owner = c.Base+"[x]", nil
		}
		if alone.owner != nil {
			alone.rel = append(slices.Clone(at.rel), syntax.Step{Name: name})
		}
		inner := c
		if c.Choice() && len(names) == 1 {
			inner = c.As(c.Types[0].Code)
		}
		p := here.below(name, name, "")
		switch {
		case slices.ContainsFunc(at.entries, func(w written) bool { return w.path[0].Name == name && w.path[0].Slice != "" }):
			b.rows = append(b.rows, &Row{Mapping: b.mapping, Path: p.path, Level: p.level, Name: p.name, Slice: p.slice, Element: inner, Status: Mapped, Source: at.source, Rule: "written as its slices", Group: true})
		case len(c.Slices()) > 0 && !c.Choice():
			alone.sliced = true
			b.absent(inner, &alone, p, at.empty(), false)
		default:
			b.absent(inner, &alone, p, at.empty(), false)
		}
		if c.Choice() && len(names) > 1 && len(names) <= 4 && (c.MustSupport || c.Min > 0) {
			for i, n := range names {
				one := content{owner: at.owner, source: at.source}
				if at.owner != nil {
					one.rel = append(slices.Clone(at.rel), syntax.Step{Name: n})
				}
				b.absent(c.As(c.Types[i].Code), &one, here.below(n, n, ""), true, true)
			}
		}
	}
	for _, s := range c.Slices() {
		names := []string{c.Base}
		if c.Choice() {
			if len(s.Types) != 1 || s.Slice == c.Base+upper(s.Types[0].Code) {
				continue // a type of a choice, laid out above
			}
			names = []string{c.Base + upper(s.Types[0].Code)}
		}
		name := names[0]
		step := syntax.Step{Name: name, Slice: s.Slice}
		group := take(func(x syntax.Step) bool { return x.Name == name && x.Slice == s.Slice })
		p := here.below(step.String(), name, s.Slice)
		if len(group) > 0 {
			b.element(s, b.narrow(at, step, group), p)
			continue
		}
		if s.Max == 0 || !s.MustSupport && s.Min == 0 && here.level > 0 && fixedText(s) == "" {
			continue
		}
		alone := b.narrow(at, step, nil)
		b.absent(s, &alone, p, at.empty(), false)
	}
}

// shown says that an element which is not written has a row all the same.
func (b *builder) shown(el, c *profiles.Element, at *content) bool {
	root := el.Profile != nil && el == el.Profile.Root()
	switch c.Base {
	case "id":
		return false
	case "extension", "modifierExtension":
		return c.MustSupport || c.Min > 0 && !hasType(el, "Extension")
	case "contained", "implicitRules", "language", "text":
		if root {
			return c.MustSupport || c.Min > 0
		}
	}
	switch {
	case c.MustSupport || c.Min > 0 || fixedText(c) != "" || partOf(el, c):
		return true
	case root:
		return true
	case isBackbone(el) && el.Slice == "":
		return !at.empty()
	}
	return false
}

// absent lays out an element that the mapping does not write. Where its parent
// is not written either, nothing of it is called missing.
func (b *builder) absent(el *profiles.Element, at *content, here place, orphan, alternative bool) {
	if el == nil {
		return
	}
	r := &Row{Mapping: b.mapping, Path: here.path, Level: here.level, Name: here.name, Slice: here.slice, Element: el}
	fixed := cmp.Or(fixedText(el), at.fixed)
	switch {
	case fixed != "":
		r.Status, r.Rule = ByProfile, "fixed: "+fixed
	case here.level == 1 && el.Base == "meta":
		r.Status, r.Rule = ByRemit, "lastUpdated and the profiles of the mapping"
	case here.path == "meta.lastUpdated":
		r.Status, r.Rule = ByRemit, "the last change of the rows"
	case here.path == "meta.profile":
		r.Status, r.Rule = ByRemit, "the profiles of the mapping"
	case at.sliced && slices.ContainsFunc(el.Slices(), func(s *profiles.Element) bool { return s.Min > 0 && fixedText(s) != "" }):
		r.Status, r.Rule = ByProfile, "written as its slices"
	case el.Base == "sequence" && isPrimitive(el):
		r.Status, r.Rule = ByRemit, "numbered from 1"
	case el.Base == "currency" && !orphan:
		r.Status, r.Rule = ByRemit, "the currency of the source"
	case el.Min > 0 && !orphan && !alternative:
		r.Status = Missing
	case el.MustSupport:
		r.Status = MustSupport
	default:
		r.Status = Unmapped
	}
	if why := reason(b.mapping, here.path); why != "" && r.Status != ByRemit {
		r.Rule = strings.TrimSuffix(why+"; "+r.Rule, "; ")
	}
	if r.Status != ByProfile && r.Status != ByRemit && takesScalar(el) {
		r.owner, r.rel = at.owner, at.rel
	}
	r.holder, r.within = at.owner, at.rel
	r.Group = isBackbone(el)
	b.rows = append(b.rows, r)
	if isPrimitive(el) || here.level > 4 || hasType(el, "Reference") || alternative || at.sliced ||
		!(el.MustSupport || el.Min > 0 || at.owner != nil && composed(el)) || here.level == 1 && el.Base == "meta" {
		return
	}
	first := len(b.rows)
	b.children(el, content{owner: at.owner, rel: at.rel, source: at.source}, here)
	required := false
	for _, c := range b.rows[first:] {
		required = required || c.Status != ByProfile && c.Status != ByRemit
	}
	if r.Status == Missing && !required && len(b.rows) > first {
		// All that it needs is fixed: it is written by itself.
		r.Status, r.owner = ByProfile, nil
	}
}

// element lays out what is written at one element.
func (b *builder) element(el *profiles.Element, at content, here place) {
	if n := at.node; n != nil && n.List != nil {
		for i, item := range n.List {
			p := here
			p.path += "#" + strconv.Itoa(i+1)
			one := content{node: item, source: at.source}
			b.one(el, one, p, fmt.Sprintf("repetition %d of %d", i+1, len(n.List)))
		}
		return
	}
	b.one(el, at, here, "")
}

// one lays out one writer of an element and all below it.
func (b *builder) one(el *profiles.Element, at content, here place, note string) {
	n := at.node
	r := &Row{Mapping: b.mapping, Path: here.path, Level: here.level, Name: here.name, Slice: here.slice, Element: el, Status: Mapped}
	var rules []string
	rule := func(format string, args ...any) { rules = append(rules, fmt.Sprintf(format, args...)) }
	if note != "" {
		rule("%s", note)
	}
	inner := content{node: n, entries: at.entries, owner: at.owner, rel: at.rel, source: at.source}
	var alternatives []*syntax.Node
	if n != nil {
		r.Pos, r.Words, r.words = n.Pos, wordsOf(n), n
		if n.Each != nil {
			inner.source = n.Each.Value
			rule("one per row of %s", n.Each.Value)
			if n.Where != nil {
				rule("where %s", tidy(n.Where.Value))
			}
		}
		if n.When != nil {
			sql, _ := n.When.SQL()
			rule("when %s", tidy(sql))
		}
		if n.IsMap() {
			inner.owner, inner.rel = n, nil
			entries := make([]written, 0, len(n.Entries)+len(at.entries))
			for _, e := range n.Entries {
				entries = append(entries, written{e.Path, e.Node})
			}
			inner.entries = append(entries, at.entries...)
		} else {
			inner.owner = nil
		}
		alternatives = b.value(r, el, n, &inner, rule)
		if onlyWords(n) && takesScalar(el) && isPrimitive(el) {
			r.owner, r.rel = n, syntax.Path{{Name: "value"}}
		}
	} else if len(at.entries) > 0 {
		r.Pos = at.entries[0].path[0].Pos
		r.holder, r.within = at.owner, at.rel
	}
	r.Source, r.Table = inner.source, b.set.table(inner.source)
	r.Rule = strings.Join(rules, "; ")
	r.Group = len(inner.entries) > 0 || len(alternatives) > 0
	r.filled = n != nil && !onlyWords(n) || r.Group
	b.show(r)
	b.rows = append(b.rows, r)
	for i, alt := range alternatives {
		p := here
		p.path += "#" + strconv.Itoa(i+1)
		first := len(b.rows)
		b.one(el, content{node: alt, source: inner.source}, p, fmt.Sprintf("choice %d of %d", i+1, len(alternatives)))
		b.rows[first].alternative = true
	}
	if len(inner.entries) == 0 && (n == nil || n.Codes == nil && !onlyWords(n)) {
		return
	}
	if n != nil && len(n.Codes) > 0 && hasType(el, "Coding") {
		b.codes(el, inner, here)
	}
	b.children(el, inner, here)
}

// value reads what a node writes into a row: its expressions, its literal, its
// words. It returns the alternatives of first:.
func (b *builder) value(r *Row, el *profiles.Element, n *syntax.Node, inner *content, rule func(string, ...any)) []*syntax.Node {
	v := n
	if isPrimitive(el) || el == nil && len(n.Entries) == 1 {
		// {value: x, absent: code} at a primitive is x.
		for i, e := range inner.entries {
			if len(e.path) == 1 && e.path[0].Name == "value" && e.path[0].Slice == "" && e.node.List == nil && (isPrimitive(el) || n.Absent != nil) {
				v = e.node
				inner.entries = slices.Delete(slices.Clone(inner.entries), i, i+1)
				break
			}
		}
	}
	r.node = v
	switch {
	case v.Text != nil && v.Text.IsSQL():
		r.exprs = []*syntax.Text{v.Text}
	case v.Text != nil:
		r.literal = v.Text
		r.Status = Constant
	case v.Ref != nil:
		rule("reference to %s by %s", v.Ref.Value, keyText(v.Key))
		r.exprs = expressions(v.Key)
	case v.Map != nil:
		r.mapName = v.Map
		r.exprs = expressions(v.Of)
		if v.Get != nil {
			rule("column %s of the map", v.Get.Value)
		}
	case len(v.Seq) > 0:
		rule("sequence of %s with key %s", v.Seq, keyText(v.Key))
		r.exprs = expressions(v.Key)
	case len(v.First) > 0:
		rule("first of %d choices with content", len(v.First))
		r.node = nil
	}
	if n.Key != nil && n.Ref == nil && len(n.Seq) == 0 {
		rule("distinct by %s", keyText(n.Key))
	}
	for _, x := range []*syntax.Node{v, n} {
		if x.Raw != nil && x.Raw.Value == "true" {
			rule("code left as it is")
		}
		if x.Assumed != nil {
			r.literalAssumed(x.Assumed)
			rule("assumed where the data has none")
		}
		if x.Absent != nil {
			rule("absent: %s", x.Absent.Value)
		}
		if x == n {
			break
		}
	}
	if r.mapName == nil && len(r.exprs) == 0 && (r.literal == nil || r.Status == Assumed) && len(inner.entries) == 0 && len(v.First) == 0 && v.Codes == nil {
		r.bare = v.Absent != nil || v.Assumed != nil
		if r.Status == Mapped && v.Absent != nil {
			r.Status = AbsentOnly
		}
	}
	return v.First
}

// literalAssumed shows an assumed value as the row's literal.
func (r *Row) literalAssumed(n *syntax.Node) {
	if n.Text != nil && len(r.exprs) == 0 && r.literal == nil {
		r.literal = n.Text
		r.Status = Assumed
	}
}

// codes is the row of codes: [=a, =b], which write one coding each.
func (b *builder) codes(el *profiles.Element, at content, here place) {
	n := at.node
	if n == nil || len(n.Codes) == 0 {
		return
	}
	p := here.below("code#codes", "code", "")
	r := &Row{Mapping: b.mapping, Path: p.path, Level: p.level, Name: p.name, Slice: p.slice, Element: el.Child("code"), Status: Mapped, Pos: n.Codes[0].Pos,
		Source: at.source, Table: b.set.table(at.source), Rule: "one repetition per code", exprs: expressions(n.Codes)}
	b.show(r)
	b.rows = append(b.rows, r)
}

// show fills the cells of a row from what is written.
func (b *builder) show(r *Row) {
	if r.mapName != nil {
		r.Cells.Map = r.mapName.Value
	}
	if r.literal != nil {
		r.Cells.Literal = r.literal.Literal()
	}
	if len(r.exprs) == 0 {
		return
	}
	columns, lines := make([]string, 0, len(r.exprs)), make([]string, 0, len(r.exprs))
	plain := true
	for _, t := range r.exprs {
		sql, _ := t.SQL()
		lines = append(lines, sql)
		if q, _, ok := plainColumn(sql); ok {
			if q != "" && len(r.exprs) == 1 && b.set.source(q) != nil {
				r.Source, r.Table = q, b.set.table(q)
			}
			columns = append(columns, sql)
		} else {
			plain = false
		}
	}
	if plain {
		r.Cells.Column = strings.Join(columns, ", ")
		return
	}
	if len(lines) > 1 {
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), " ")
		}
	}
	r.Cells.SQL = strings.Join(lines, "\n")
}

// reason is why a mapping does not write an element: what stands for its path,
// else for the nearest one above (rule 39); "" where nothing does.
func reason(m *syntax.Mapping, path string) string {
	best, depth := "", 0
	for _, r := range m.Unmapped {
		at := r.Path.String()
		if rest, ok := strings.CutPrefix(path, at); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && len(at) > depth {
			best, depth = "not mapped: "+r.Why.Value, len(at)
		}
	}
	return best
}
