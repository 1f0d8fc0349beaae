package profiles

import (
	"slices"
	"strings"

	"remit/profiles/r4"
)

// slicing compiles the slices of el, whose nodes are alts. It gives nil if no
// slice can be told apart: then they demand nothing.
func (c *compiler) slicing(el *Element, alts []*r4.Element) *slicing {
	out := &slicing{el: el}
	if s := el.Slicing; s != nil {
		out.closed = s.Rules == "closed"
		out.openAtEnd = s.Rules == "openAtEnd"
		out.ordered = s.Ordered
	}
	for _, s := range el.slices {
		g, _ := c.group(s, el, alts)
		// A slice's own counts are not compared with those of the whole: one of
		// at least one is no news only if the whole has the same slice.
		g.min, g.max = s.Min, s.Max
		if el.Max != Unbounded && s.Max == el.Max {
			g.max = Unbounded
		}
		sl := slice{group: g, tests: c.tests(el, s, alts)}
		sl.claims = len(alts) == 1 && alts[0].Type() == words().extension && s.typeProfile() != nil
		out.slices = append(out.slices, sl)
	}
	out.findKey()
	return out
}

// findKey looks for a coded child that the first discriminator of every slice
// leads to, and for the code that each slice states there.
func (sl *slicing) findKey() {
	w := words()
	var key *r4.Element
	for i := range sl.slices {
		tests := sl.slices[i].tests
		if len(tests) == 0 || tests[0].cond == nil || tests[0].resolve || len(tests[0].steps) != 1 {
			return
		}
		step := &tests[0].steps[0]
		if len(step.alts) != 1 || step.url != "" || key != nil && key != step.alts[0] {
			return
		}
		key = step.alts[0]
	}
	if key == nil || key.Type() != w.coding && key.Type() != w.conceptCoding.Owner() {
		return
	}
	sl.key = &sliceKey{key}
	for i := range sl.slices {
		cond := sl.slices[i].tests[0].cond
		for _, lit := range []*Literal{cond.fixed, cond.pattern} {
			if lit != nil && lit.Tree.Type() == key.Type() {
				sl.slices[i].code = literalCode(lit)
			}
		}
	}
}

// Fits says whether a repetition that has value, and nothing else, at element at
// can be in a slice, as far as the slice states what must stand there: a fixed
// value, a pattern, a required binding, of the element or of what is below it. Of
// a slice that states nothing it is Unknown.
func (s *Set) Fits(of *Element, at *r4.Element, value *r4.Resource) Tri {
	child := of.Child(at.Base())
	if child == nil || at.Choice() {
		return Unknown
	}
	cond := s.compiler.cond(child, []*r4.Element{at}, 0)
	if cond == nil {
		return Unknown
	}
	return (&state{r: value}).meets(r4.Root, cond)
}

// tests compiles the discriminators of el as slice s answers them. Without
// discriminators nothing tells the slices apart, unless they are extensions,
// which are always sliced by url, or types.
func (c *compiler) tests(el, s *Element, alts []*r4.Element) []test {
	var list []Discriminator
	if el.Slicing != nil {
		list = el.Slicing.Discriminators
	}
	if len(list) == 0 {
		switch {
		case len(alts) == 1 && alts[0].Type() == words().extension:
			list = []Discriminator{{"value", "url"}}
		case len(alts) > 1:
			list = []Discriminator{{"type", "$this"}}
		default:
			return []test{{unknown: true}}
		}
	}
	out := make([]test, len(list))
	for i, d := range list {
		out[i] = c.test(s, alts, d)
	}
	return out
}

// test compiles one discriminator: it goes along the path through the slice's
// elements and through R4's shape side by side.
//
// Source: R4 Profiling FHIR, "Discriminator" and "Slicing".
func (c *compiler) test(s *Element, alts []*r4.Element, d Discriminator) test {
	var (
		t     test
		at    = s
		types = alts

		reference *Element
	)
	// add goes on by one step, within the target if there is one.
	add := func(next step) {
		if t.resolve {
			t.then = append(t.then, next)
		} else {
			t.steps = append(t.steps, next)
		}
		types = next.alts
	}
	for _, part := range pathParts(d.Path) {
		switch {
		case part == "$this" || part == "":
			continue
		case part == "resolve()":
			if t.resolve {
				return test{unknown: true} // a reference in the target of a reference
			}
			t.resolve = true
			reference = at
			continue
		case t.resolve && len(t.then) == 0:
			// An element of the target: it can be judged where the target is at
			// hand, and the slice names one profile for it.
			if at, types = c.behind(reference, part); at == nil || len(types) == 0 {
				return test{unknown: true}
			}
			t.then = append(t.then, step{alts: types})
			t.types, _ = c.targetTypes(reference)
			continue
		case strings.HasPrefix(part, "extension("):
			url := strings.Trim(strings.TrimSuffix(strings.TrimPrefix(part, "extension("), ")"), "'\"")
			next := step{url: url}
			for _, a := range types {
				if a.Type() != nil {
					if x := a.Type().Element("extension"); x != nil {
						next.alts = append(next.alts, x)
					}
				}
			}
			at = extensionSlice(at, url)
			add(next)
		case strings.HasPrefix(part, "ofType("), strings.HasPrefix(part, "as("):
			name := strings.TrimSuffix(part[strings.IndexByte(part, '(')+1:], ")")
			types = slices.DeleteFunc(slices.Clone(types), func(a *r4.Element) bool { return a.Type() == nil || a.Type().Name() != name })
			if len(t.steps) > 0 {
				t.steps[len(t.steps)-1].alts = types
			}
			if at != nil {
				at = at.As(name)
			}
		default:
			// A value fixed higher up says it all; what is below needs no path.
			if at != nil && (at.Fixed != nil || at.Pattern != nil) && (d.Type == "value" || d.Type == "pattern") {
				t.cond = c.cond(at, types, 0)
				return t
			}
			var next step
			for _, a := range types {
				if a.Type() == nil {
					continue
				}
				if e := a.Type().Element(part); e != nil {
					next.alts = append(next.alts, e)
				} else {
					next.alts = append(next.alts, a.Type().Choice(part)...)
				}
			}
			if len(next.alts) == 0 {
				return test{unknown: true}
			}
			if at != nil {
				at = at.Child(part)
			}
			add(next)
		}
	}
	if at == nil {
		return test{unknown: true}
	}
	switch d.Type {
	case "value", "pattern":
		t.cond = c.cond(at, types, 0)
		if t.cond == nil && len(t.steps) > 0 && t.steps[len(t.steps)-1].alts[0].Name() == "url" {
			t.cond = c.extensionURL(s)
		}
		if t.cond == nil {
			t.unknown = true
		}
	case "exists":
		switch {
		case t.resolve:
			t.unknown = true
		case at.Max == 0:
			t.exists = -1
		case at.Min > 0:
			t.exists = 1
		default:
			t.unknown = true
		}
	case "type":
		if len(t.then) > 0 {
			return test{unknown: true}
		}
		t.types = c.discriminatingTypes(at, t.resolve)
		t.unknown = len(t.types) == 0
	case "profile":
		if len(t.then) > 0 {
			return test{unknown: true}
		}
		c.profileTest(&t, at)
	default:
		t.unknown = true
	}
	return t
}

// behind is the element part of the one profile that the target of a reference
// must meet, with what stands for it in R4's shape; nil where there are several
// profiles or none.
func (c *compiler) behind(reference *Element, part string) (*Element, []*r4.Element) {
	if reference == nil {
		return nil, nil
	}
	list := targetCanonicals(reference)
	if len(list) != 1 {
		return nil, nil
	}
	def, err := c.set.find(list[0], reference.Profile.pkg)
	if err != nil {
		return nil, nil
	}
	el, t := def.root.Child(part), r4.Lookup(def.Type)
	if el == nil || t == nil {
		return nil, nil
	}
	return el, alternatives(t, el)
}

// pathParts cuts a discriminator path at its dots, but not within parentheses.
func pathParts(path string) []string {
	var out []string
	depth, from := 0, 0
	for i := range len(path) {
		switch path[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '.':
			if depth == 0 {
				out = append(out, path[from:i])
				from = i + 1
			}
		}
	}
	return append(out, path[from:])
}

// extensionSlice finds the slice of at's extensions that has a url.
func extensionSlice(at *Element, url string) *Element {
	if at == nil {
		return nil
	}
	ext := at.Child("extension")
	if ext == nil {
		return nil
	}
	for _, s := range ext.slices {
		if p := s.typeProfile(); p != nil && p.URL == url {
			return s
		}
		if u := s.Child("url"); u != nil && u.Fixed != nil && string(u.Fixed.Tree.Value(r4.Root)) == url {
			return s
		}
	}
	return nil
}

// extensionURL is the test of an extension slice whose definition is not
// loaded: the canonical it names is the url.
func (c *compiler) extensionURL(s *Element) *cond {
	if len(s.Types) != 1 || len(s.Types[0].Profiles) != 1 {
		return nil
	}
	url, _, _ := strings.Cut(s.Types[0].Profiles[0], "|")
	lit := &Literal{Tree: &r4.Resource{}, JSON: []byte(url)}
	lit.Tree.Start(r4.Lookup("uri"), 0)
	lit.Tree.SetString(r4.Root, url)
	return &cond{fixed: lit}
}

// cond gathers what el and its children fix: the values a node must have to
// belong to the slice. nil if nothing is fixed.
func (c *compiler) cond(el *Element, at []*r4.Element, depth int) *cond {
	var out cond
	switch {
	case el.Fixed != nil:
		out.fixed = el.Fixed
	case el.Pattern != nil:
		out.pattern = el.Pattern
	case el.Binding != nil && el.Binding.Strength == "required" && depth == 0 && len(at) == 1:
		if kind := kindOfCoded(at[0].Type()); kind != codedNot {
			out.bound = newBound("required", el.Binding.ValueSet, kind, c.set.terms)
		}
	}
	if depth < 4 && len(at) == 1 && at[0].Type() != nil {
		children := el.children
		if len(children) == 0 && el.typeProfile() != nil {
			children = el.unfold()
		}
		for _, child := range children {
			alts := alternatives(at[0].Type(), child)
			if len(alts) != 1 {
				continue
			}
			if k := c.cond(child, alts, depth+1); k != nil {
				out.kids = append(out.kids, condKid{alts, k})
			}
		}
	}
	if out.fixed == nil && out.pattern == nil && out.bound == nil && len(out.kids) == 0 {
		return nil
	}
	if len(out.kids) > 0 {
		out.bound = nil // a fixed code is the stronger word
	}
	return &out
}

// discriminatingTypes are the types a slice allows at a place, or behind a
// reference there.
func (c *compiler) discriminatingTypes(at *Element, resolve bool) []string {
	if resolve {
		types, _ := c.targetTypes(at)
		return types
	}
	var out []string
	for _, ref := range at.Types {
		if ref.Code == "Resource" || ref.Code == "DomainResource" {
			for _, canon := range ref.Profiles {
				if name := c.typeOf(canon, at.Profile); name != "" {
					out = append(out, name)
				}
			}
			continue
		}
		out = append(out, ref.Code)
	}
	return out
}

// profileTest compiles a discriminator by profile. Behind a reference whose
// target is not at hand only the type can be told.
func (c *compiler) profileTest(t *test, at *Element) {
	if t.resolve {
		t.types, _ = c.targetTypes(at)
		t.unknown = len(t.types) == 0
		if list := targetCanonicals(at); len(list) == 1 {
			if def, err := c.set.find(list[0], at.Profile.pkg); err == nil {
				t.profile = c.profileLocked(def)
			}
		}
		return
	}
	if len(at.Types) != 1 || len(at.Types[0].Profiles) != 1 {
		t.types = c.discriminatingTypes(at, false)
		t.unknown = len(t.types) == 0
		return
	}
	def, err := c.set.find(at.Types[0].Profiles[0], at.Profile.pkg)
	if err != nil {
		t.unknown = true
		return
	}
	t.types = []string{def.Type}
	t.profile = c.profileLocked(def)
}
