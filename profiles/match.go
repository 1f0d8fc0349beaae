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
	case t.resolve:
		return s.resolves(n, t)
	case t.cond != nil:
		return s.meets(n, t.cond)
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

// resolves says whether the target of the Reference at n passes a test: by its
// type, and by what lies in it where it is at hand.
func (s *state) resolves(n r4.Node, t *test) Tri {
	name, target, known := s.target(n)
	switch {
	case !known:
		return Unknown
	case !slices.Contains(t.types, name):
		return No
	case t.profile != nil && target != r4.None:
		if s.targetMeets(target, t.profile) {
			return Yes
		}
		return No
	case t.cond == nil:
		return Yes
	case target == r4.None:
		return Unknown
	}
	return s.walk(target, t.then, &test{cond: t.cond})
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
		set := b.set()
		if set == nil {
			return Unknown, true
		}
		return set.Member(nil, v), true
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
	set := b.set()
	if set == nil {
		return Unknown, true
	}
	sys := s.r.Find(n, system)
	if sys == r4.None || !s.r.HasValue(sys) {
		return No, true
	}
	return set.Member(s.r.Value(sys), s.r.Value(c)), true
}
