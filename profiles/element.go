package profiles

import (
	"strings"

	"remit/profiles/r4"
)

// unfold gives e's children: those the snapshot states; for a slice, also those
// that only the element it slices states; and where nothing is stated, copies of
// the children of what e's type or contentReference leads to. Copies are made
// once, level by level, so that datatypes that contain each other come to an
// end.
func (e *Element) unfold() []*Element {
	e.unfolding.Do(func() { e.unfolded = e.expand() })
	return e.unfolded
}

func (e *Element) expand() []*Element {
	stated := e.children
	if e.template != nil && len(stated) == 0 {
		return e.complete(nil, e.template.unfold())
	}
	if e.whole != nil && e.typeProfile() == nil {
		inherited := e.whole
		if t := e.only(); t != "" && len(e.whole.Types) > 1 {
			inherited = e.whole.narrow(t) // a type slice: the children of that type
		}
		return e.complete(stated, inherited.unfold())
	}
	if len(stated) > 0 {
		return stated
	}
	if source := e.source(); source != nil {
		return e.complete(nil, source.unfold())
	}
	return nil
}

// source is the element whose children e has where it states none itself: the
// target of its contentReference, the root of its type's profile or of its
// type. nil for a primitive system type, an open choice, any resource.
func (e *Element) source() *Element {
	if e.content != "" {
		return e.referenced()
	}
	if p := e.typeProfile(); p != nil {
		return p.root
	}
	code := e.only()
	if code == "" || code == "BackboneElement" || code == "Element" && len(e.children) > 0 {
		return nil
	}
	if t := r4.Lookup(code); t == nil || t.Kind() == r4.KindResource {
		return nil
	}
	if p, err := e.Profile.set.core(code); err == nil && p.root != e {
		return p.root
	}
	return nil
}

// referenced finds the element a contentReference names: "#Bundle.link" in the
// same definition, or "http://hl7.org/fhir/StructureDefinition/Bundle#Bundle.link".
func (e *Element) referenced() *Element {
	url, id, _ := strings.Cut(e.content, "#")
	if url == "" || url == e.Profile.URL {
		return e.Profile.byID[id]
	}
	if p, err := e.Profile.set.find(url, e.Profile.pkg); err == nil {
		return p.byID[id]
	}
	return nil
}

// only is the code of e's type where it has but one.
func (e *Element) only() string {
	if len(e.Types) != 1 {
		return ""
	}
	return e.Types[0].Code
}

// typeProfile is the one profile that e's datatype must meet, or nil.
func (e *Element) typeProfile() *Profile {
	if len(e.Types) != 1 || len(e.Types[0].Profiles) != 1 {
		return nil
	}
	p, err := e.Profile.set.find(e.Types[0].Profiles[0], e.Profile.pkg)
	if err != nil {
		return nil
	}
	return p
}

// complete gives stated, in the order of model, with copies of what only model
// has.
func (e *Element) complete(stated, model []*Element) []*Element {
	if len(model) == 0 {
		return stated
	}
	out := make([]*Element, 0, max(len(stated), len(model)))
	used := 0
	for _, m := range model {
		found := false
		for _, c := range stated {
			if c.Base == m.Base {
				out = append(out, c)
				found = true
				used++
			}
		}
		if !found {
			out = append(out, e.adopt(m))
		}
	}
	if used < len(stated) {
		for _, c := range stated {
			if !contains(model, c.Base) {
				out = append(out, c)
			}
		}
	}
	return out
}

func contains(list []*Element, base string) bool {
	for _, c := range list {
		if c.Base == base {
			return true
		}
	}
	return false
}

// adopt copies m, an element of another place, as a child of e: what it demands
// stays, its id and path become those of the place.
func (e *Element) adopt(m *Element) *Element {
	last := m.ID[strings.LastIndexByte(m.ID, '.')+1:]
	c := m.copy()
	c.Profile = e.Profile
	c.ID = e.ID + "." + last
	c.Path = e.Path + "." + m.Path[strings.LastIndexByte(m.Path, '.')+1:]
	// A reference within the datatype's own definition stays there.
	c.content = ""
	for _, s := range m.slices {
		t := e.adopt(s)
		t.whole = c
		c.slices = append(c.slices, t)
	}
	return c
}

// copy copies what an element demands; its children are unfolded from m's.
func (m *Element) copy() *Element {
	return &Element{
		Profile: m.Profile, ID: m.ID, Path: m.Path, Base: m.Base, Slice: m.Slice, Min: m.Min, Max: m.Max,
		Types: m.Types, Fixed: m.Fixed, Pattern: m.Pattern, Binding: m.Binding,
		MinValue: m.MinValue, MaxValue: m.MaxValue, MaxLength: m.MaxLength,
		MustSupport: m.MustSupport, Modifier: m.Modifier, Short: m.Short, Slicing: m.Slicing, Constraints: m.Constraints,
		template: m,
	}
}

// Choice says that e is a choice of types: value[x].
func (e *Element) Choice() bool { return strings.HasSuffix(e.Path, "[x]") }

// As gives e narrowed to one of its types: the type slice where the profile has
// one, else a copy of e with that type alone, whose Children are the type's. It
// is e itself where e has no other type, and nil if the type is not allowed. A
// copy is new on every call.
func (e *Element) As(typeCode string) *Element {
	var ref *TypeRef
	for i := range e.Types {
		if e.Types[i].Code == typeCode {
			ref = &e.Types[i]
		}
	}
	if ref == nil {
		return nil
	}
	for _, s := range e.slices {
		if s.only() == typeCode && e.slicedByType() {
			return s
		}
	}
	if len(e.Types) == 1 {
		return e
	}
	c := e.copy()
	c.Types = []TypeRef{*ref}
	c.template = nil
	c.children = e.children
	if e.template != nil && len(e.children) == 0 {
		// The type may bring its own profile from the place e was copied from.
		if narrowed := e.template.As(typeCode); narrowed != nil {
			c.template = narrowed
		}
	}
	return c
}

// slicedByType says that e's slices are told apart by their own type.
func (e *Element) slicedByType() bool {
	return e.Slicing != nil && len(e.Slicing.Discriminators) == 1 &&
		e.Slicing.Discriminators[0].Type == "type" && e.Slicing.Discriminators[0].Path == "$this"
}

// shape is the type of e's nodes in the R4 tree; nil for a choice not narrowed,
// or any resource.
func (e *Element) shape(parent *r4.Type) *r4.Type {
	if parent == nil {
		return nil
	}
	if el := parent.Element(e.Base); el != nil {
		return el.Type()
	}
	for _, alt := range parent.Choice(e.Base) {
		if alt.Type() != nil && alt.Type().Name() == e.only() {
			return alt.Type()
		}
	}
	return nil
}
