package check

import (
	"slices"
	"strings"

	"remit/profiles"
	"remit/profiles/r4"
)

const (
	coreURL   = "http://hl7.org/fhir/StructureDefinition/"
	npiSystem = "http://hl7.org/fhir/sid/us-npi"
)

// simpleQuantity is the one datatype profile that R4's own definitions ask for in
// many places: a Quantity without comparator.
var simpleQuantity = []string{coreURL + "SimpleQuantity"}

// provedContent gives the elements of R4's own definitions whose content no row
// can break, wherever the set writes them: literals that are sound by themselves,
// values whose form the program holds, and what is put together of those. Beside
// it, which elements that may stand once have one writer at most; whether that
// writes anything is judged.
//
// A Validator judges the elements of a backbone type alike wherever the type
// stands (item.detail.adjudication has that of item.adjudication); so all writers
// in all mappings and views count for one.
func provedContent(set *Set) []profiles.ProvedRule {
	v, err := set.profiles.Validator(profiles.ValidatorOptions{SkipNotes: true})
	if err != nil {
		return nil // without profiles there is nothing that could fail, and nothing is proved
	}
	type place struct {
		owner *r4.Type
		base  string
	}
	var order []place
	writers, twice := map[place][]writer{}, map[place]bool{}
	for _, m := range set.Mappings {
		for _, m := range append([]*Mapping{m}, m.Views...) {
			p := &prover{set: set, mapping: m}
			var walk func(n *Node)
			walk = func(n *Node) {
				if e := n.Element; e != nil && (e.Owner().Kind() == r4.KindResource || e.Owner().Kind() == r4.KindBackbone) {
					at := place{e.Owner(), e.Base()}
					if writers[at] == nil {
						order = append(order, at)
					}
					writers[at] = append(writers[at], writer{p, n})
				}
				for _, c := range n.Children {
					if n.Type != nil && (len(under(n, c.Element.Base())) > 1 || c.Each != nil) {
						twice[place{n.Type, c.Element.Base()}] = true
					}
					walk(c)
				}
				for _, other := range []*Node{n.Assumed, n.Absent} {
					if other != nil {
						walk(other)
					}
				}
			}
			walk(m.Root)
		}
	}
	var out []profiles.ProvedRule
	for _, at := range order {
		el := definitionOf(set.profiles, at.owner, at.base)
		if el == nil {
			continue
		}
		if el.Max == 1 && !twice[at] {
			out = append(out, profiles.ProvedRule{Profile: el.Profile.Canonical(), Element: el.ID, Code: "cardinality-max"})
		}
		if !slices.ContainsFunc(writers[at], func(w writer) bool { return !w.sound(v, w.node, el) }) {
			out = append(out, profiles.ProvedRule{Profile: el.Profile.Canonical(), Element: el.ID, Code: profiles.ProvedContent})
		}
	}
	return out
}

// definitionOf is R4's element of a resource or backbone type.
func definitionOf(set *profiles.Set, owner *r4.Type, base string) *profiles.Element {
	el := definition(set, owner)
	if el == nil {
		return nil
	}
	return el.Child(base)
}

// definition is what R4 defines a type by: the root of its definition, or for a
// backbone type the element in its resource.
func definition(set *profiles.Set, t *r4.Type) *profiles.Element {
	path := strings.Split(t.Name(), ".")
	p, err := set.Profile(coreURL + path[0])
	if err != nil {
		return nil
	}
	el := p.Root()
	for _, step := range path[1:] {
		if el = el.Child(step); el == nil {
			return nil
		}
	}
	return el
}

// writer is one node that writes an element, in its mapping.
type writer struct {
	*prover
	node *Node
}

// sound says that whatever n writes is what el, of R4's definitions, and el's
// datatype demand.
func (w writer) sound(v *profiles.Validator, n *Node, el *profiles.Element) bool {
	for _, other := range []*Node{n.Absent, n.Assumed} {
		if other != nil && !w.sound(v, other, el) {
			return false
		}
	}
	switch n.Kind {
	case First:
		return !slices.ContainsFunc(n.Children, func(c *Node) bool { return !w.sound(v, c, el) })
	case Nothing:
		return true
	}
	if n.Type == nil || n.Type.Kind() == r4.KindResource || n.Type.Name() == "Extension" || !w.demands(n, el) {
		return false
	}
	clean := func(r *r4.Resource) bool { return r != nil && len(v.Validate(r, nil)) == 0 }
	switch n.Kind {
	case Literal:
		return clean(n.Template)
	case Coded:
		for _, template := range n.Codes {
			if !clean(template) {
				return false
			}
		}
		return true
	case Primitive, Sequence, Link, Reference:
		// The program writes no text that is not in the form of the type.
		return n.Type.Kind() == r4.KindPrimitive && len(n.Children) == 0
	case Coding:
		return n.SystemOf == nil && len(n.Children) == 0 && r4.ValidPrimitive(r4.Lookup("uri"), []byte(n.SystemURL))
	case Group:
		return w.composed(v, n)
	}
	return false
}

// demands says that what el demands of the node itself is met.
func (w writer) demands(n *Node, el *profiles.Element) bool {
	if el.Fixed != nil || el.Pattern != nil || el.MinValue != nil || el.MaxValue != nil || el.MaxLength > 0 || len(el.Slices()) > 0 || !holds(n, el.Constraints) {
		return false
	}
	for _, t := range el.Types {
		if len(t.Profiles) > 0 && !(slices.Equal(t.Profiles, simpleQuantity) && n.Kind == Group && len(under(n, "comparator")) == 0) {
			return false
		}
	}
	if b := el.Binding; b != nil && b.ValueSet != "" {
		if b.Max != "" {
			return false
		}
		if b.Strength == "required" || b.Strength == "extensible" {
			if code, constant := constantText(n); constant {
				return w.set.profiles.Member(b.ValueSet, "", code) == profiles.Yes
			}
			if status, _ := w.bound(n, b); status != ProvedAtLoad {
				return false
			}
		}
	}
	return true
}

// composed says that a datatype put together of children is sound.
func (w writer) composed(v *profiles.Validator, n *Node) bool {
	def := definition(w.set.profiles, n.Type)
	if def == nil || !holds(n, def.Constraints) {
		return false
	}
	if n.Type.Name() == "Identifier" && !slices.ContainsFunc(under(n, "system"), func(c *Node) bool {
		text, constant := constantText(c)
		return constant && text != npiSystem
	}) {
		return false // it may be an NPI, which has a form
	}
	if n.Type.Name() == "Reference" && len(under(n, "type")) > 0 {
		return false // it may name another type than the address
	}
	children := 0
	for _, el := range def.Children() {
		at := under(n, el.Base)
		children += len(at)
		if el.Min > 0 && !slices.ContainsFunc(at, w.unconditional) && !(el.Min == 1 && soleContent(n, el.Base, "")) || len(at) > 1 && el.Max == 1 {
			return false
		}
		for _, c := range at {
			if el.Max == 1 && c.Each != nil || !w.sound(v, c, el) {
				return false
			}
		}
	}
	return children > 0
}

// holds says that n meets invariants of R4's by the way it is put together.
func holds(n *Node, list []profiles.Constraint) bool {
	for _, k := range list {
		switch k.Key {
		case "ele-1": // no empty element is written
		case "ref-1":
			if n.Kind != Group || slices.ContainsFunc(under(n, "reference"), func(c *Node) bool { return c.Kind != Reference }) {
				return false // else it is Type/id, and no contained resource is meant
			}
		case "per-1":
			if n.Kind != Group || len(under(n, "start")) > 0 && len(under(n, "end")) > 0 {
				return false
			}
		case "qty-3":
			if n.Kind != Group || len(under(n, "code")) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}
