package profiles

import (
	"strings"

	"remit/profiles/r4"
)

// bounds judges minValue[x] and maxValue[x] of primitives. Quantities, and dates
// of different precision, are left undecided.
//
// Source: R4 ElementDefinition.minValue[x], maxValue[x].
func (s *state) bounds(n r4.Node, p *program) {
	v := s.r.Value(n)
	if v == nil {
		return
	}
	if lit := p.minValue; lit != nil {
		if c, ok := compareValues(s.r.TypeOf(n), string(v), string(lit.Tree.Value(r4.Root))); ok && c < 0 {
			s.add(Error, "min-value", n, p.el, "is below the least value allowed, "+brief(lit.JSON))
		}
	}
	if lit := p.maxValue; lit != nil {
		if c, ok := compareValues(s.r.TypeOf(n), string(v), string(lit.Tree.Value(r4.Root))); ok && c > 0 {
			s.add(Error, "max-value", n, p.el, "is above the greatest value allowed, "+brief(lit.JSON))
		}
	}
}

func compareValues(t *r4.Type, a, b string) (c int, ok bool) {
	switch t.Name() {
	case "integer", "positiveInt", "unsignedInt", "decimal":
		return compareNumbers(a, b)
	case "date", "time":
		if len(a) != len(b) {
			return 0, false
		}
		return strings.Compare(a, b), true
	case "dateTime", "instant":
		// Comparable as text only in the same precision and zone.
		if len(a) != len(b) || len(a) > 19 && a[len(a)-1] != b[len(b)-1] || len(a) > 19 && a[len(a)-1] != 'Z' {
			return 0, false
		}
		return strings.Compare(a, b), true
	}
	return 0, false
}

// compareNumbers compares decimal numbers without rounding; exponents are left
// undecided.
func compareNumbers(a, b string) (int, bool) {
	if strings.ContainsAny(a, "eE") || strings.ContainsAny(b, "eE") {
		return 0, false
	}
	na, nb := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-")
	ai, af, _ := strings.Cut(strings.TrimPrefix(a, "-"), ".")
	bi, bf, _ := strings.Cut(strings.TrimPrefix(b, "-"), ".")
	ai, bi = strings.TrimLeft(ai, "0"), strings.TrimLeft(bi, "0")
	af, bf = strings.TrimRight(af, "0"), strings.TrimRight(bf, "0")
	if ai+af == "" {
		na = false
	}
	if bi+bf == "" {
		nb = false
	}
	sign := 1
	switch {
	case na && !nb:
		return -1, true
	case nb && !na:
		return 1, true
	case na:
		sign = -1
	}
	c := len(ai) - len(bi)
	if c == 0 {
		c = strings.Compare(ai, bi)
	}
	if c == 0 {
		c = strings.Compare(af, bf)
	}
	switch {
	case c < 0:
		return -sign, true
	case c > 0:
		return sign, true
	}
	return 0, true
}
