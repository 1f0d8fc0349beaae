package profiles

import (
	"strings"

	"remit/profiles/r4"
)

// made puts a resource together from nothing but a profile: what it requires, with
// the values it fixes, codes of its value sets, and a sound value for the rest. It
// need not meet the profile: invariants are not looked at.
func made(s *Set, p *Profile) []byte {
	var r r4.Resource
	r.Start(r4.Lookup(p.Type), 0)
	m := maker{s, &r}
	m.children(p.Root(), r4.Root, 0)
	return r.AppendJSON(nil)
}

type maker struct {
	set *Set
	r   *r4.Resource
}

func (m maker) children(el *Element, n r4.Node, depth int) {
	t := m.r.TypeOf(n)
	if depth > 8 || t == nil {
		return
	}
	for _, c := range el.Children() {
		alts := alternatives(t, c)
		if len(alts) == 0 {
			continue
		}
		left := c.Min
		if depth == 0 && c.Base == "value" && c.Max == 1 {
			left = 1 // of an Observation: invariants ask for it
		}
		for _, s := range c.Slices() {
			for range s.Min {
				m.add(s, c, n, alts, depth)
				left--
			}
		}
		for ; left > 0; left-- {
			m.add(c, c, n, alts, depth)
		}
	}
	m.r.Sort(n)
}

// add makes one repetition of el, which is whole or one of its slices.
func (m maker) add(el, whole *Element, n r4.Node, alts []*r4.Element, depth int) {
	for _, a := range alts {
		if a.Type() == nil {
			continue // any resource
		}
		if len(alts) > 1 && !allows(el, a.Type()) {
			continue
		}
		if lit := literalOf(el); lit != nil && lit.Tree.Type() != a.Type() && len(alts) > 1 {
			continue
		}
		one := el
		if len(alts) > 1 {
			if as := el.As(a.Type().Name()); as != nil {
				one = as
			}
		}
		m.fill(one, whole, m.r.Add(n, a, 0), depth+1)
		return
	}
}

func literalOf(el *Element) *Literal {
	if el.Fixed != nil {
		return el.Fixed
	}
	return el.Pattern
}

func (m maker) fill(el, whole *Element, n r4.Node, depth int) {
	r := m.r
	if lit := literalOf(el); lit != nil {
		m.copy(lit.Tree, r4.Root, n)
		if lit.Tree.Type().Kind() == r4.KindPrimitive || el.Fixed != nil {
			return
		}
	}
	t := r.TypeOf(n)
	switch {
	case t.Kind() == r4.KindPrimitive:
		value := sound(t.Name())
		if code, ok := m.code(el, whole); ok {
			value = code.Code
		}
		r.SetString(n, value)
	case t == words().referenceT:
		target := "Patient"
		for _, ref := range el.Types {
			for _, canonical := range ref.Targets {
				if p, err := m.set.find(canonical, el.Profile.pkg); err == nil && target == "Patient" && p.Type != "Resource" {
					target = p.Type
				}
			}
		}
		r.SetString(r.Add(n, words().reference, 0), target+"/1")
	default:
		m.children(el, n, depth)
		if code, ok := m.code(el, whole); ok && literalOf(el) == nil {
			at := n
			if t.Name() == "CodeableConcept" {
				if at = r.Find(n, words().conceptCoding); at == r4.None {
					at = r.Add(n, words().conceptCoding, 0)
				}
			}
			if r.TypeOf(at) == words().coding && r.Find(at, words().codingCode) == r4.None {
				r.SetString(r.Add(at, words().codingSystem, 0), code.System)
				r.SetString(r.Add(at, words().codingCode, 0), code.Code)
				r.Sort(at)
			}
		}
		if r.First(n) == r4.None {
			m.something(n)
		}
	}
}

// code is a code that el's value set has.
func (m maker) code(el, whole *Element) (Coding, bool) {
	b := el.Binding
	if b == nil {
		b = whole.Binding
	}
	if b == nil {
		return Coding{}, false
	}
	codes, _ := m.set.Codes(b.ValueSet)
	if len(codes) == 0 {
		if systems := m.set.Systems(b.ValueSet); len(systems) > 0 {
			return Coding{System: systems[0], Code: "1"}, true // licensed: any code may be right
		}
		return Coding{}, false
	}
	return codes[0], true
}

// something puts the first child that can hold a plain value into an empty node.
func (m maker) something(n r4.Node) {
	for _, name := range []string{"text", "value", "display", "start", "family", "url", "data"} {
		if e := m.r.TypeOf(n).Element(name); e != nil && e.Type() != nil && e.Type().Kind() == r4.KindPrimitive {
			m.r.SetString(m.r.Add(n, e, 0), sound(e.Type().Name()))
			return
		}
	}
}

func (m maker) copy(lit *r4.Resource, from, to r4.Node) {
	if lit.HasValue(from) {
		m.r.SetString(to, string(lit.Value(from)))
	}
	for c := lit.First(from); c != r4.None; c = lit.Next(c) {
		name := lit.ElementOf(c).Name()
		if e := m.r.TypeOf(to).Element(name); e != nil {
			m.copy(lit, c, m.r.Add(to, e, 0))
		}
	}
}

// madeName names what is made in the tests' messages.
func madeName(p *Profile) string { return "made from " + strings.TrimPrefix(p.Canonical(), coreURL) }
