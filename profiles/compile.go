package profiles

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"remit/profiles/r4"
)

// compiler makes programs and keeps them for the life of a Set.
type compiler struct {
	set *Set

	mu    sync.Mutex
	bases map[*r4.Type]*table
	progs map[*Profile]*program
	roots map[*r4.Type]*program
	refs  map[*Element]*table

	expressions map[expressionID]*expression
}

// root is the base program of a type. Types that have no definition in R4 core
// (there are none in practice) demand nothing.
func (c *compiler) root(t *r4.Type) *program {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.roots[t]; ok {
		return p
	}
	p := &program{typ: t, base: true, kids: c.baseTable(t)}
	if el := c.definition(t); el != nil {
		p.el = el
		p.invariants = c.invariants(el.Constraints, nil, el, t)
	}
	if c.roots == nil {
		c.roots = map[*r4.Type]*program{}
	}
	c.roots[t] = p
	return p
}

// definition is the element that R4 defines t by: the root of its definition,
// or the backbone element in its resource.
func (c *compiler) definition(t *r4.Type) *Element {
	name, _, _ := strings.Cut(t.Name(), ".")
	p, err := c.set.core(name)
	if err != nil {
		return nil
	}
	return p.byID[t.Name()]
}

// baseTable is what R4 demands of the children of a t. c.mu is held.
func (c *compiler) baseTable(t *r4.Type) *table {
	if tab, ok := c.bases[t]; ok {
		return tab
	}
	if c.bases == nil {
		c.bases = map[*r4.Type]*table{}
	}
	tab := &table{}
	tab.fill = func() []group {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.baseGroups(t)
	}
	c.bases[t] = tab
	return tab
}

func (c *compiler) baseGroups(t *r4.Type) []group {
	def := c.definition(t)
	if def == nil {
		return nil
	}
	children := def.children
	if len(children) == 0 {
		children = def.unfold()
	}
	var out []group
	for _, el := range children {
		alts := alternatives(t, el)
		if len(alts) == 0 {
			continue // a primitive's own value
		}
		g := span(el, alts)
		g.min, g.max = el.Min, el.Max
		for _, a := range alts {
			p := &program{el: el, typ: a.Type(), base: true}
			if a.Type() == nil {
				p.resource = true
			} else {
				p.kids = c.baseTable(a.Type())
				c.demands(p, el, nil)
				if top := c.definition(a.Type()); top != nil && a.Type().Kind() != r4.KindBackbone {
					p.invariants = append(p.invariants, c.invariants(top.Constraints, el.Constraints, top, a.Type())...)
				}
			}
			g.progs[a.Index()-alts[0].Index()] = p

		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b group) int { return a.lo - b.lo })
	return out
}

// alternatives are the R4 elements that an element of a definition stands for.
func alternatives(t *r4.Type, el *Element) []*r4.Element {
	if alts := t.Choice(el.Base); alts != nil {
		return alts
	}
	if e := t.Element(el.Base); e != nil {
		return []*r4.Element{e}
	}
	return nil
}

func span(el *Element, alts []*r4.Element) group {
	lo, hi := alts[0].Index(), alts[0].Index()
	for _, a := range alts {
		lo, hi = min(lo, a.Index()), max(hi, a.Index())
	}
	return group{el: el, lo: lo, hi: hi, max: Unbounded, progs: make([]*program, hi-lo+1)}
}

// profile is the program of a profile: what it demands beyond R4. nil if that is
// nothing.
func (c *compiler) profile(p *Profile) *program {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.profileLocked(p)
}

func (c *compiler) profileLocked(p *Profile) *program {
	if prog, ok := c.progs[p]; ok {
		return prog
	}
	if c.progs == nil {
		c.progs = map[*Profile]*program{}
	}
	t := r4.Lookup(p.Type)
	if t == nil || !p.Derived {
		c.progs[p] = nil
		return nil
	}
	// It stands in the map before it is filled: a profile may come back to
	// itself (an extension within an extension).
	prog := &program{typ: t, el: p.root, kids: &table{}}
	c.progs[p] = prog
	c.compile(prog, p.root, c.definition(t), t)
	return prog
}

// compile fills prog with what el demands of a node of type t beyond what
// baseline demands: for a profile's element R4's own, for a slice the unsliced
// element.
func (c *compiler) compile(prog *program, el, baseline *Element, t *r4.Type) {
	prog.el, prog.typ = el, t
	c.demands(prog, el, baseline)
	if prog.kids == nil {
		prog.kids = &table{}
	}
	if len(el.children) == 0 && baseline != nil && baseline.Profile != el.Profile && el.content != "" {
		// A profile that refers to an element of its own means that with all it
		// demands there, level after level.
		if of := el.referenced(); of != nil && of.Profile == el.Profile {
			prog.kids = c.content(of, t)
		}
		return
	}
	if len(el.children) == 0 || t == nil {
		return
	}
	for _, child := range el.children {
		alts := alternatives(t, child)
		if len(alts) == 0 {
			continue
		}
		var under *Element
		if baseline != nil {
			under = baseline.Child(child.Base)
		}
		if under == nil {
			if def := c.definition(t); def != nil {
				under = def.Child(child.Base)
			}
		}
		if g, ok := c.group(child, under, alts); ok {
			prog.kids.groups = append(prog.kids.groups, g)
		}
	}
	slices.SortStableFunc(prog.kids.groups, func(a, b group) int { return a.lo - b.lo })
}

// content is the table of an element that contentReferences lead to.
func (c *compiler) content(of *Element, t *r4.Type) *table {
	if tab := c.refs[of]; tab != nil {
		return tab
	}
	if c.refs == nil {
		c.refs = map[*Element]*table{}
	}
	prog := &program{kids: &table{}}
	c.refs[of] = prog.kids
	c.compile(prog, of, c.definition(t), t)
	return prog.kids
}

// group compiles one child element; ok is false if it demands nothing beyond
// baseline.
func (c *compiler) group(el, baseline *Element, alts []*r4.Element) (g group, ok bool) {
	g = span(el, alts)
	if baseline == nil || el.Min > baseline.Min {
		g.min = el.Min
	}
	if el.Max != Unbounded && (baseline == nil || baseline.Max == Unbounded || el.Max < baseline.Max) {
		g.max = el.Max
	}
	ok = g.min > 0 || g.max != Unbounded
	for _, a := range alts {
		i := a.Index() - g.lo
		if len(alts) > 1 && !allows(el, a.Type()) {
			if baseline == nil || allows(baseline, a.Type()) {
				if g.barred == nil {
					g.barred = make([]bool, len(g.progs))
				}
				g.barred[i] = true
				ok = true
			}
			continue
		}
		if a.Type() == nil {
			if p := c.anyResource(el, baseline); p != nil {
				g.progs[i] = p
				ok = true
			}
			continue
		}
		narrowed, under := el, baseline
		if len(alts) > 1 {
			narrowed = el.narrow(a.Type().Name())
			if baseline != nil {
				under = baseline.narrow(a.Type().Name())
			}
		}
		p := &program{}
		c.compile(p, narrowed, under, a.Type())
		if !p.idle() {
			g.progs[i] = p
			ok = true
		}
	}
	if len(el.slices) > 0 {
		g.slicing = c.slicing(el, alts)
		ok = ok || g.slicing != nil
	}
	return g, ok
}

// anyResource compiles an element that holds a resource, narrowed to a type or
// a profile (Bundle.entry.resource in a slice).
func (c *compiler) anyResource(el, baseline *Element) *program {
	p := &program{el: el}
	c.typeProfiles(p, el, baseline)
	if p.idle() {
		return nil
	}
	return p
}

// narrow is As for the compiler: the type's own slice is compiled as a slice,
// so a choice keeps its own children and drops its slices.
func (e *Element) narrow(typeCode string) *Element {
	if len(e.Types) <= 1 {
		return e
	}
	c := e.copy()
	c.Types = nil
	for _, t := range e.Types {
		if t.Code == typeCode {
			c.Types = []TypeRef{t}
		}
	}
	c.template = nil
	c.children = e.children
	return c
}

func allows(el *Element, t *r4.Type) bool {
	if len(el.Types) == 0 || t == nil {
		return true
	}
	for _, ref := range el.Types {
		if ref.Code == t.Name() {
			return true
		}
	}
	return false
}

// demands compiles what el says of the node itself.
func (c *compiler) demands(p *program, el, baseline *Element) {
	same := func(a, b *Literal) bool {
		return a == b || a != nil && b != nil && bytes.Equal(a.JSON, b.JSON)
	}
	var b Element
	if baseline != nil {
		b = Element{Fixed: baseline.Fixed, Pattern: baseline.Pattern, MinValue: baseline.MinValue, MaxValue: baseline.MaxValue,
			MaxLength: baseline.MaxLength, Binding: baseline.Binding, Constraints: baseline.Constraints}
	}
	fits := func(l *Literal) bool {
		return l != nil && (p.typ == nil || l.Tree.Type() == p.typ || literalFits(l, p.typ))
	}
	if !same(el.Fixed, b.Fixed) && fits(el.Fixed) {
		p.fixed = el.Fixed
	}
	if !same(el.Pattern, b.Pattern) && fits(el.Pattern) {
		p.pattern = el.Pattern
	}
	p.overrides = c.soft(el)
	p.coded = kindOfCoded(p.typ) != codedNot && (statesCode(p.fixed) || statesCode(p.pattern))
	if !same(el.MinValue, b.MinValue) {
		p.minValue = el.MinValue
	}
	if !same(el.MaxValue, b.MaxValue) {
		p.maxValue = el.MaxValue
	}
	if el.MaxLength != b.MaxLength {
		p.maxLength = el.MaxLength
	}
	if el.Binding != nil && !sameBinding(el.Binding, b.Binding) {
		p.binding, p.widest = c.bind(el.Binding, p.typ)
	}
	if p.typ == words().referenceT {
		p.targets = c.targets(el, baseline)
	}
	c.typeProfiles(p, el, baseline)
	p.invariants = append(p.invariants, c.invariants(el.Constraints, b.Constraints, el, p.typ)...)
}

// soft says that R4's own binding of an element is extensible, or that R4's
// definition of the resource does not tell.
func (c *compiler) soft(el *Element) bool {
	resource, _, below := strings.Cut(el.Path, ".")
	core, err := c.set.core(resource)
	if err != nil || !below {
		return true // a datatype's root: the element that has it may be bound
	}
	own := core.byID[el.Path]
	return own == nil || own.Binding != nil && own.Binding.Strength == "extensible"
}

// statesCode says that a literal is or holds a code.
func statesCode(l *Literal) bool { return literalCode(l) != nil }

// literalCode is the code that a literal is or holds, the first of several; nil
// for none.
func literalCode(l *Literal) []byte {
	if l == nil {
		return nil
	}
	w, n := words(), r4.Root
	if l.Tree.Type() == w.conceptCoding.Owner() {
		if n = l.Tree.Find(n, w.conceptCoding); n == r4.None {
			return nil
		}
	}
	if l.Tree.TypeOf(n) == w.coding {
		n = l.Tree.Find(n, w.codingCode)
	}
	if n == r4.None {
		return nil
	}
	return l.Tree.Value(n)
}

// literalFits lets a literal of one primitive type stand for another of the
// same form: patternUri on a canonical, fixedString on a code.
func literalFits(l *Literal, t *r4.Type) bool {
	return l.Tree.Type().Kind() == r4.KindPrimitive && t.Kind() == r4.KindPrimitive && l.Tree.Type().Form() == t.Form()
}

func sameBinding(a, b *Binding) bool {
	return b != nil && a.ValueSet == b.ValueSet && a.Strength == b.Strength && a.Max == b.Max
}

// bind compiles a binding; only those that can give a finding.
func (c *compiler) bind(b *Binding, t *r4.Type) (binding, widest *bound) {
	kind := kindOfCoded(t)
	if kind == codedNot {
		return nil, nil
	}
	if b.Strength == "required" || b.Strength == "extensible" {
		binding = newBound(b.Strength, b.ValueSet, kind, c.set.terms)
	}
	if b.Max != "" {
		widest = newBound("required", b.Max, kind, c.set.terms)
	}
	return binding, widest
}

// typeProfiles compiles the profiles that the datatype itself must meet.
func (c *compiler) typeProfiles(p *program, el, baseline *Element) {
	for _, ref := range el.Types {
		if len(ref.Profiles) == 0 || p.typ != nil && ref.Code != p.typ.Name() {
			continue
		}
		if baseline != nil && slices.ContainsFunc(baseline.Types, func(b TypeRef) bool {
			return b.Code == ref.Code && slices.Equal(b.Profiles, ref.Profiles)
		}) {
			continue
		}
		var list []*program
		for _, canon := range ref.Profiles {
			def, err := c.set.find(canon, el.Profile.pkg)
			if err != nil {
				return // one that is not loaded may be the one that holds
			}
			if prog := c.profileLocked(def); prog != nil {
				list = append(list, prog)
			}
		}
		switch {
		case len(ref.Profiles) == 1:
			p.also = append(p.also, list...)
		case len(list) == len(ref.Profiles):
			p.anyOf = append(p.anyOf, list...)
		}
	}
}
