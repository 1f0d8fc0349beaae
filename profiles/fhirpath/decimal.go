package fhirpath

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// Decimals are exact. The digits of a literal or element are kept as written;
// what must round (division, roots, logarithms) does so half away from zero at
// 28 significant digits.
const (
	resultDigits = 28
	guardDigits  = resultDigits + 12
	// maxScale bounds exponents, so that a number of a few characters cannot
	// unfold into millions of digits.
	maxScale  = 400
	maxDigits = 1000
)

// exact is a context that does not round within the bounds above.
func exact() *apd.Context {
	return &apd.Context{Precision: 4 * maxDigits, MaxExponent: 10 * maxDigits, MinExponent: -10 * maxDigits, Rounding: apd.RoundHalfUp}
}

// guarded computes what must round, with digits to spare.
func guarded() *apd.Context {
	c := exact()
	c.Precision = guardDigits
	return c
}

// parseDecimal reads a decimal as FHIR or FHIRPath writes it. It refuses
// numbers beyond the bounds of this room.
func parseDecimal(s string) (*apd.Decimal, bool) {
	if len(s) == 0 || len(s) > maxDigits {
		return nil, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), c == '.', c == 'e', c == 'E', c == '-', c == '+':
		default:
			return nil, false
		}
	}
	d := new(apd.Decimal)
	if _, _, err := exact().SetString(d, s); err != nil || !bounded(d) {
		return nil, false
	}
	return d, true
}

// bounded says that d is a number whose written form is not absurd.
func bounded(d *apd.Decimal) bool {
	return d.Form == apd.Finite && d.Exponent < maxScale && d.Exponent > -maxScale && d.NumDigits() <= maxDigits
}

// settle rounds the result of a computation to the digits we answer for, and
// drops the zeros that the rounding left.
func settle(d *apd.Decimal) (*apd.Decimal, bool) {
	c := exact()
	c.Precision = resultDigits
	out := new(apd.Decimal)
	if _, err := c.Round(out, d); err != nil {
		return nil, false
	}
	out.Reduce(out)
	if out.Exponent > 0 {
		if _, err := exact().Quantize(out, out, 0); err != nil {
			return nil, false
		}
	}
	return out, bounded(out)
}

// fits says that d is a whole number within System.Integer, and gives it.
func fits(d *apd.Decimal) (int64, bool) {
	i := new(apd.Decimal)
	if _, err := exact().RoundToIntegralValue(i, d); err != nil || i.Cmp(d) != 0 {
		return 0, false
	}
	n, err := i.Int64()
	return n, err == nil && inRange(n)
}

// inRange says that n is within System.Integer.
func inRange(n int64) bool { return n >= -1<<31 && n < 1<<31 }

// scaleOf is the number of digits after the decimal point.
func scaleOf(d *apd.Decimal) int { return max(0, -int(d.Exponent)) }

// truncateTo cuts d to whole units toward zero; ceil and floor likewise.
func truncateTo(d *apd.Decimal) *apd.Decimal {
	c := exact()
	c.Rounding = apd.RoundDown
	out := new(apd.Decimal)
	_, _ = c.Quantize(out, d, 0) // bounded numbers fit
	return out
}

// roundTo rounds d half away from zero to scale digits after the point.
func roundTo(d *apd.Decimal, scale int) (*apd.Decimal, bool) {
	if scale < 0 || scale > maxScale {
		return nil, false
	}
	out := new(apd.Decimal)
	if _, err := exact().Quantize(out, d, int32(-scale)); err != nil {
		return nil, false
	}
	return out, true
}

// equivalentDecimals compares after rounding to the scale of the one written
// less finely; trailing zeros do not count (FHIRPath 2.0.0, section 6.1.3).
func equivalentDecimals(a, b *apd.Decimal) bool {
	x, y := new(apd.Decimal), new(apd.Decimal)
	x.Reduce(a)
	y.Reduce(b)
	scale := min(scaleOf(x), scaleOf(y))
	p, ok1 := roundTo(a, scale)
	q, ok2 := roundTo(b, scale)
	return ok1 && ok2 && p.Cmp(q) == 0
}

// boundaryOf is the low or high bound of what d, as written, may stand for, at
// scale digits after the point. The bound nearer to zero is cut and the other
// rounded half away from zero, as the test suite has it.
func boundaryOf(d *apd.Decimal, low bool, scale int) (*apd.Decimal, bool) {
	if scale < 0 || scale > resultDigits {
		return nil, false
	}
	half := apd.New(5, d.Exponent-1)
	out := new(apd.Decimal)
	c := exact()
	var err error
	if low {
		_, err = c.Sub(out, d, half)
	} else {
		_, err = c.Add(out, d, half)
	}
	if err != nil {
		return nil, false
	}
	if d.Sign() != 0 && low != d.Negative {
		c.Rounding = apd.RoundDown
	}
	negative := out.Negative
	if _, err := c.Quantize(out, out, int32(-scale)); err != nil {
		return nil, false
	}
	out.Negative = negative
	return out, true
}

// isInteger and isDecimal are the forms that toInteger and toDecimal read.
func isInteger(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != "" && len(s) < 18
}

func isDecimal(s string) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	whole, fraction, has := strings.Cut(s, ".")
	return allDigits(whole) && (!has || allDigits(fraction))
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
