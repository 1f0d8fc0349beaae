package profiles

import (
	"sync"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

// invariant is a constraint at an element, with its expression.
type invariant struct {
	*Constraint
	el         *Element
	expression *expression
}

// expression is a constraint's FHIRPath, compiled when first evaluated.
type expression struct {
	text string
	typ  *r4.Type

	once sync.Once
	code *fhirpath.Expression // nil if it does not compile
}

// native are constraints that the validator judges itself.
func native(key string) bool { return key == "ele-1" || key == "ext-1" }

// invariants compiles the constraints of list, which stand on nodes of type t,
// that are not in known. c.mu is held.
func (c *compiler) invariants(list, known []Constraint, el *Element, t *r4.Type) []invariant {
	var out []invariant
	for i := range list {
		k := &list[i]
		if native(k.Key) || k.Expression == "" || hasKey(known, k.Key) {
			continue
		}
		id := expressionID{k.Expression, t}
		x := c.expressions[id]
		if x == nil {
			x = &expression{text: k.Expression, typ: t}
			if c.expressions == nil {
				c.expressions = map[expressionID]*expression{}
			}
			c.expressions[id] = x
		}
		out = append(out, invariant{k, el, x})
	}
	return out
}

type expressionID struct {
	text string
	typ  *r4.Type
}

func hasKey(list []Constraint, key string) bool {
	for i := range list {
		if list[i].Key == key {
			return true
		}
	}
	return false
}

// check evaluates the expression on node n.
func (x *expression) check(s *state, n r4.Node) fhirpath.Outcome {
	x.once.Do(func() {
		code, err := fhirpath.Compile(x.text, fhirpath.Options{Type: x.typ, AsFilters: true})
		if err == nil {
			x.code = code
		}
	})
	if x.code == nil {
		return fhirpath.Fault
	}
	outcome, _ := x.code.Check(&s.env, s.r, n)
	return outcome
}

// invariant judges n by a constraint. One that cannot be decided, or whose
// expression cannot be evaluated, never fails the resource.
func (s *state) invariant(n r4.Node, inv *invariant) {
	if inv.BestPractice && s.v.skipNotes {
		return // it gives a note at most
	}
	outcome := inv.expression.check(s, n)
	switch outcome {
	case fhirpath.True:
		return
	case fhirpath.False:
		sev := Error
		switch {
		case inv.BestPractice:
			sev = Note
		case inv.Severity == "warning":
			sev = Warning
		}
		message := inv.Human
		if inv.Erratum != "" && inv.BestPractice {
			message += " (the rule as published is known to be wrong: it " + inv.Erratum + ")"
		}
		s.constrained(sev, "constraint", n, inv, message)
	case fhirpath.Undecidable:
		s.constrained(Note, "constraint-undecided", n, inv, "cannot be judged with what is at hand: "+inv.Human)
	case fhirpath.Fault:
		s.constrained(Note, "constraint-fault", n, inv, "cannot be judged, its expression fails: "+inv.Human)
	}
}

func (s *state) constrained(sev Severity, code string, n r4.Node, inv *invariant, message string) {
	if s.add(sev, code, n, inv.el, message) {
		s.out[len(s.out)-1].Constraint = inv.Key
	}
}

// membership answers memberOf() from a Set.
type membership struct{ s *Set }

func (m membership) Member(valueSet, system, code string) fhirpath.Tri {
	return fhirpathTri(m.s.Member(valueSet, system, code))
}

// conformance answers conformsTo(). It judges with a state of its own, since the
// one that asks is in the midst of an evaluation.
type conformance struct {
	v    *Validator
	asks *state // nil for one outside of a validation
}

func (c conformance) Conforms(r *r4.Resource, n r4.Node, profile string) fhirpath.Tri {
	p, err := c.v.set.find(profile, nil)
	if err != nil {
		return fhirpath.Unknown
	}
	t := r.TypeOf(n)
	if t == nil || t.Name() != p.Type {
		return fhirpath.No
	}
	// A resource whose own invariants ask whether it conforms would never come to
	// an end.
	depth := 1
	if c.asks != nil {
		depth = c.asks.asking + 1
	}
	if depth > maxAsking {
		return fhirpath.Unknown
	}
	s := c.v.begin(r, nil)
	defer c.v.end(s)
	s.asking = depth
	s.resource = resourceOf(r, n)
	for _, prog := range []*program{c.v.base(t), c.v.set.compiler.profile(p)} {
		if prog != nil && !s.conforms(n, prog) {
			return fhirpath.No
		}
	}
	return fhirpath.Yes
}

// maxAsking bounds how deep conformsTo() may lead to conformsTo().
const maxAsking = 8

// resourceOf is the nearest resource at or above n.
func resourceOf(r *r4.Resource, n r4.Node) r4.Node {
	for r.TypeOf(n).Kind() != r4.KindResource && r.Parent(n) != r4.None {
		n = r.Parent(n)
	}
	return n
}

// Environment is for evaluating FHIRPath beside the Validator: memberOf() and
// conformsTo() are answered by its Set. The caller owns it and may add to it; it
// belongs to one evaluation at a time.
func (v *Validator) Environment() *fhirpath.Env {
	return &fhirpath.Env{Membership: membership{v.set}, Conformance: conformance{v: v}}
}

func fhirpathTri(t Tri) fhirpath.Tri {
	switch t {
	case Yes:
		return fhirpath.Yes
	case No:
		return fhirpath.No
	}
	return fhirpath.Unknown
}
