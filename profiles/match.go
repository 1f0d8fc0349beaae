package profiles

import (
	"bytes"
	"slices"

	"remit/profiles/r4"
)

// equal says that node n is exactly the subtree m of a fixed value.
//
// Source: R4 ElementDefinition.fixed[x]: "SHALL be exactly the value".
func equal(r *r4.Resource, n r4.Node, lit *r4.Resource, m r4.Node) bool {
	if !bytes.Equal(r.Value(n), lit.Value(m)) {
		return false
	}
	c, d := r.First(n), lit.First(m)
	for c != r4.None && d != r4.None {
		if m != r4.Root && r.ElementOf(c) != lit.ElementOf(d) {
			return false
		}
		if m == r4.Root && r.ElementOf(c).Name() != lit.ElementOf(d).Name() {
			return false
		}
		if !equal(r, c, lit, d) {
			return false
		}
		c, d = r.Next(c), lit.Next(d)
	}
	return c == d
}

// within says that node n holds all of the subtree m of a pattern; what it has
// besides does not matter, and each repetition in the pattern may be met by any
// of the node's.
//
// Source: R4 ElementDefinition.pattern[x].
func within(r *r4.Resource, n r4.Node, lit *r4.Resource, m r4.Node) bool {
	if lit.HasValue(m) && !bytes.Equal(r.Value(n), lit.Value(m)) {
		return false
	}
	for d := lit.First(m); d != r4.None; d = lit.Next(d) {
		e := lit.ElementOf(d)
		found := false
		for c := r.Find(n, e); c != r4.None; c = r.NextSame(c) {
			if within(r, c, lit, d) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// meets says whether n is what a slice fixes.
func (s *state) meets(n r4.Node, c *cond) Tri {
	if c.fixed != nil && !equal(s.r, n, c.fixed.Tree, r4.Root) {
		return No
	}
	if c.pattern != nil && !within(s.r, n, c.pattern.Tree, r4.Root) {
		return No
	}
	answer := Yes
	if c.bound != nil {
		switch t, _ := s.member(n, c.bound); t {
		case No:
			return No
		case Unknown:
			answer = Unknown
		}
	}
	for i := range c.kids {
		switch s.anyMeets(n, &c.kids[i]) {
		case No:
			return No
		case Unknown:
			answer = Unknown
		}
	}
	return answer
}

func (s *state) anyMeets(n r4.Node, k *condKid) Tri {
	best := No
	for c := s.r.Find(n, k.alts[0]); c != r4.None; c = s.r.NextSame(c) {
		switch s.meets(c, k.cond) {
		case Yes:
			return Yes
		case Unknown:
			best = Unknown
		}
	}
	return best
}

// passes says whether n, a repetition of a sliced element, passes a test.
func (s *state) passes(n r4.Node, t *test) Tri {
	if t.unknown {
		return Unknown
	}
	if t.exists != 0 {
		if (s.walk(n, t.steps, nil) != No) == (t.exists > 0) {
			return Yes
		}
		return No
	}
	return s.walk(n, t.steps, t)
}

// walk goes along steps and says whether a node at their end passes; with a nil
// test whether there is one.
func (s *state) walk(n r4.Node, steps []step, t *test) Tri {
	if len(steps) == 0 {
		if t == nil {
			return Yes
		}
		return s.arrives(n, t)
	}
	best := No
	for _, a := range steps[0].alts {
		for c := s.r.Find(n, a); c != r4.None; c = s.r.NextSame(c) {
			if url := steps[0].url; url != "" && string(s.r.Value(s.r.Find(c, words().extensionURL))) != url {
				continue
			}
			switch s.walk(c, steps[1:], t) {
			case Yes:
				return Yes
			case Unknown:
				best = Unknown
			}
		}
	}
	return best
}

func (s *state) arrives(n r4.Node, t *test) Tri {
	switch {
	case t.cond != nil:
		return s.meets(n, t.cond)
	case t.resolve:
		name, known := s.targetType(n)
		switch {
		case !known:
			return Unknown
		case slices.Contains(t.types, name):
			return Yes
		}
		return No
	case len(t.types) > 0:
		typ := s.r.TypeOf(n)
		if typ == nil || !slices.Contains(t.types, typ.Name()) {
			return No
		}
		if t.profile == nil || s.conforms(n, t.profile) {
			return Yes
		}
		return No
	}
	return Unknown
}

// conforms runs a program and throws away what it finds.
func (s *state) conforms(n r4.Node, p *program) bool {
	before, soft := len(s.out), s.soft
	s.trial++
	s.node(n, p)
	s.trial--
	s.soft = soft
	ok := !slices.ContainsFunc(s.out[before:], func(f Finding) bool { return f.Severity == Error })
	s.out = s.out[:before]
	return ok
}

// member says whether the concept in n is in the value set of a binding; stated
// is false if n holds no code at all.
//
// Source: R4 Terminologies, 4.1.5 "Binding Strengths" and 4.1.7 on
// CodeableConcept: one of the codings must be from the value set, text alone is
// not enough; a coding without a system names no concept.
func (s *state) member(n r4.Node, b *bound) (answer Tri, stated bool) {
	w := words()
	switch b.kind {
	case codedCode:
		v := s.r.Value(n)
		if v == nil {
			return No, false
		}
		if b.set == nil {
			return Unknown, true
		}
		return b.set.Member(nil, v), true
	case codedCoding:
		return s.coding(n, b, w.codingSystem, w.codingCode)
	case codedQuantity:
		// Age and the like are types of their own, with elements of their own.
		t := s.r.TypeOf(n)
		if t == w.quantT {
			return s.coding(n, b, w.quantitySystem, w.quantityCode)
		}
		return s.coding(n, b, t.Element("system"), t.Element("code"))
	case codedConcept:
		answer = No
		for c := s.r.Find(n, w.conceptCoding); c != r4.None; c = s.r.NextSame(c) {
			one, has := s.coding(c, b, w.codingSystem, w.codingCode)
			stated = stated || has
			switch one {
			case Yes:
				return Yes, true
			case Unknown:
				answer = Unknown
			}
		}
		return answer, stated
	}
	return Unknown, true
}

func (s *state) coding(n r4.Node, b *bound, system, code *r4.Element) (answer Tri, stated bool) {
	c := s.r.Find(n, code)
	if c == r4.None || !s.r.HasValue(c) {
		return No, false
	}
	if b.set == nil {
		return Unknown, true
	}
	sys := s.r.Find(n, system)
	if sys == r4.None || !s.r.HasValue(sys) {
		return No, true
	}
	return b.set.Member(s.r.Value(sys), s.r.Value(c)), true
}

// targetType is the resource type a Reference leads to, as far as the reference
// itself, a contained resource, or an entry of the same Bundle tell.
//
// Source: R4 References, 2.3.0.1 "Literal References", Reference.type.
func (s *state) targetType(n r4.Node) (name string, known bool) {
	w := words()
	if c := s.r.Find(n, w.reference); c != r4.None && s.r.HasValue(c) {
		if name, known = s.literalTarget(s.r.Value(c)); known {
			return name, true
		}
	}
	if c := s.r.Find(n, w.referenceType); c != r4.None && s.r.HasValue(c) {
		v := s.r.Value(c)
		if after, ok := bytes.CutPrefix(v, []byte(coreURL)); ok {
			v = after
		}
		if t := resourceType(v); t != "" {
			return t, true
		}
	}
	return "", false
}

func (s *state) literalTarget(ref []byte) (name string, known bool) {
	if len(ref) > 1 && ref[0] == '#' {
		return s.containedType(ref[1:])
	}
	if len(ref) == 1 && ref[0] == '#' {
		return s.r.TypeOf(s.container()).Name(), true
	}
	// [base/]Type/id[/_history/version]
	if i := bytes.Index(ref, []byte("/_history/")); i >= 0 {
		ref = ref[:i]
	}
	slash := bytes.LastIndexByte(ref, '/')
	if slash <= 0 || slash == len(ref)-1 {
		return "", false
	}
	from := bytes.LastIndexByte(ref[:slash], '/') + 1
	name = resourceType(ref[from:slash])
	return name, name != ""
}

// container is the resource whose contained resources the node in hand may
// refer to.
func (s *state) container() r4.Node {
	n := s.resource
	for p := s.r.Parent(n); p != r4.None && s.r.ElementOf(n).Name() == "contained"; p = s.r.Parent(n) {
		n = p
	}
	return n
}

func (s *state) containedType(id []byte) (string, bool) {
	n := s.container()
	t := s.r.TypeOf(n)
	contained := t.Element("contained")
	if contained == nil {
		return "", false
	}
	for c := s.r.Find(n, contained); c != r4.None; c = s.r.NextSame(c) {
		ct := s.r.TypeOf(c)
		if ct == nil {
			continue
		}
		if i := s.r.Find(c, ct.Element("id")); i != r4.None && bytes.Equal(s.r.Value(i), id) {
			return ct.Name(), true
		}
	}
	return "", false
}

// resourceType gives the name of a resource type, or "".
func resourceType(name []byte) string {
	if len(name) == 0 || name[0] < 'A' || name[0] > 'Z' {
		return ""
	}
	i, ok := slices.BinarySearchFunc(r4.Resources(), name, func(a string, b []byte) int {
		return compareText(a, b)
	})
	if !ok {
		return ""
	}
	return r4.Resources()[i]
}

func compareText(a string, b []byte) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}
