package profiles

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"remit/profiles/r4"
)

// bounds judges minValue[x] and maxValue[x]. What has no order is left
// undecided: dates that are equal as far as the coarser of them tells,
// quantities of different units, a bound that is a duration from now.
//
// Source: R4 ElementDefinition.minValue[x], maxValue[x]; R4 Datatypes, Quantity.
func (s *state) bounds(n r4.Node, p *program) {
	if lit := p.minValue; lit != nil {
		if c, ok := s.compare(n, lit.Tree); ok && c < 0 {
			s.add(Error, "min-value", n, p.el, "is below the least value allowed, "+brief(lit.JSON))
		}
	}
	if lit := p.maxValue; lit != nil {
		if c, ok := s.compare(n, lit.Tree); ok && c > 0 {
			s.add(Error, "max-value", n, p.el, "is above the greatest value allowed, "+brief(lit.JSON))
		}
	}
}

// compare orders node n and a literal.
func (s *state) compare(n r4.Node, lit *r4.Resource) (c int, ok bool) {
	t := s.r.TypeOf(n)
	if t.Kind() == r4.KindPrimitive {
		if lit.Type().Kind() != r4.KindPrimitive || !s.r.HasValue(n) {
			return 0, false
		}
		return compareValues(t, string(s.r.Value(n)), string(lit.Value(r4.Root)))
	}
	if kindOfCoded(t) != codedQuantity || kindOfCoded(lit.Type()) != codedQuantity {
		return 0, false
	}
	if len(childValue(s.r, n, "comparator")) > 0 || len(childValue(lit, r4.Root, "comparator")) > 0 {
		return 0, false
	}
	// Without a coded unit on both sides the human ones must agree.
	unit := []string{"system", "code"}
	if len(childValue(s.r, n, "code")) == 0 && len(childValue(lit, r4.Root, "code")) == 0 {
		unit = []string{"unit"}
	}
	for _, name := range unit {
		if !bytes.Equal(childValue(s.r, n, name), childValue(lit, r4.Root, name)) {
			return 0, false
		}
	}
	a, b := childValue(s.r, n, "value"), childValue(lit, r4.Root, "value")
	if a == nil || b == nil {
		return 0, false
	}
	return compareNumbers(string(a), string(b))
}

// childValue is the value of a child, or nil.
func childValue(r *r4.Resource, n r4.Node, name string) []byte {
	e := r.TypeOf(n).Element(name)
	if e == nil {
		return nil
	}
	if c := r.Find(n, e); c != r4.None {
		return r.Value(c)
	}
	return nil
}

func compareValues(t *r4.Type, a, b string) (c int, ok bool) {
	switch t.Name() {
	case "integer", "positiveInt", "unsignedInt", "decimal":
		return compareNumbers(a, b)
	case "time":
		return compareSpans("0001-01-01T"+a+"Z", "0001-01-01T"+b+"Z")
	case "date", "dateTime", "instant":
		return compareSpans(a, b)
	}
	return 0, false
}

// compareSpans orders dates by the time they may stand for: one is before the
// other if its last possible instant is.
func compareSpans(a, b string) (int, bool) {
	aFrom, aTo, okA := lasting(a)
	bFrom, bTo, okB := lasting(b)
	const doubt = 14 * time.Hour
	if len(a) <= 10 && len(b) > 10 {
		aFrom, aTo = aFrom.Add(-doubt), aTo.Add(doubt)
	} else if len(b) <= 10 && len(a) > 10 {
		bFrom, bTo = bFrom.Add(-doubt), bTo.Add(doubt)
	}
	switch {
	case !okA || !okB:
		return 0, false
	case aTo.Before(bFrom) || aTo.Equal(bFrom) && !aFrom.Equal(aTo):
		return -1, true
	case bTo.Before(aFrom) || bTo.Equal(aFrom) && !bFrom.Equal(bTo):
		return 1, true
	case aFrom.Equal(bFrom) && aTo.Equal(bTo) || a == b:
		return 0, true
	}
	return 0, false
}

// lasting is the first instant that a date or dateTime may stand for, and the
// first after it; for an exact instant both are that instant. A date bears no
// zone: two dates compare as if both were of the same, a date and an instant
// with fourteen hours of doubt on either side.
func lasting(s string) (from, to time.Time, ok bool) {
	var err error
	switch len(s) {
	case 4:
		from, err = time.Parse("2006", s)
		to = from.AddDate(1, 0, 0)
	case 7:
		from, err = time.Parse("2006-01", s)
		to = from.AddDate(0, 1, 0)
	case 10:
		from, err = time.Parse("2006-01-02", s)
		to = from.AddDate(0, 0, 1)
	default:
		from, err = time.Parse(time.RFC3339Nano, s)
		to = from
	}
	return from, to, err == nil
}

// compareNumbers compares decimal numbers without rounding.
func compareNumbers(a, b string) (int, bool) {
	x, okA := parseNumber(a)
	y, okB := parseNumber(b)
	if !okA || !okB {
		return 0, false
	}
	switch {
	case x.digits == "" && y.digits == "":
		return 0, true
	case x.digits == "":
		return choose(y.negative, 1, -1), true
	case y.digits == "":
		return choose(x.negative, -1, 1), true
	case x.negative != y.negative:
		return choose(x.negative, -1, 1), true
	}
	c := x.point - y.point
	if c == 0 {
		c = strings.Compare(x.digits, y.digits) // as 0.digits: no trailing zeros
	}
	if x.negative {
		c = -c
	}
	switch {
	case c < 0:
		return -1, true
	case c > 0:
		return 1, true
	}
	return 0, true
}

func choose(c bool, yes, no int) int {
	if c {
		return yes
	}
	return no
}

// number is 0.digits times ten to the power of point; without digits it is
// nought.
type number struct {
	negative bool
	digits   string
	point    int
}

func parseNumber(s string) (number, bool) {
	var n number
	s, n.negative = strings.CutPrefix(s, "-")
	mantissa, power := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if power, err = strconv.Atoi(s[i+1:]); err != nil {
			return n, false // beyond any sane power
		}
		mantissa = s[:i]
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	n.digits, n.point = whole+part, len(whole)+power
	trimmed := strings.TrimLeft(n.digits, "0")
	n.point -= len(n.digits) - len(trimmed)
	n.digits = strings.TrimRight(trimmed, "0")
	return n, true
}
