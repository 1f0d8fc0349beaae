package fhirpath

import (
	"strings"

	"github.com/cockroachdb/apd/v3"

	"remit/profiles/r4"
)

// How the unit of a quantity is meant; kept in Value.prec.
const (
	unitUCUM     precision = 0
	unitCalendar precision = 1 // a calendar duration: 1 year
	unitForeign  precision = 2 // of another system, or words
)

// calendarUnit gives the singular of a calendar unit.
func calendarUnit(word string) (string, bool) {
	switch word {
	case "year", "years":
		return "year", true
	case "month", "months":
		return "month", true
	case "week", "weeks":
		return "week", true
	case "day", "days":
		return "day", true
	case "hour", "hours":
		return "hour", true
	case "minute", "minutes":
		return "minute", true
	case "second", "seconds":
		return "second", true
	case "millisecond", "milliseconds":
		return "millisecond", true
	}
	return "", false
}

// ucumOf is the UCUM unit that a calendar unit is near to; definite says that
// it is the same length (FHIRPath 2.0.0, section 4.1.8.1).
func ucumOf(calendar string) (code string, definite bool) {
	switch calendar {
	case "year":
		return "a", false
	case "month":
		return "mo", false
	case "week":
		return "wk", true
	case "day":
		return "d", true
	case "hour":
		return "h", true
	case "minute":
		return "min", true
	case "second":
		return "s", true
	}
	return "ms", true
}

// monthsOf is the number of months in a calendar year or month, else 0.
func monthsOf(v *Value) int64 {
	if v.prec == unitCalendar {
		switch v.text {
		case "year":
			return 12
		case "month":
			return 1
		}
	}
	return 0
}

// toDuration turns a quantity into what can be added to a date. A UCUM year or
// month is not of calendar length, so it cannot (section 6.6.7); a calendar
// word in quotes is taken as the word.
func toDuration(v *Value) (duration, bool) {
	word := v.text
	if v.prec == unitUCUM {
		switch word {
		case "wk":
			word = "week"
		case "d":
			word = "day"
		case "h":
			word = "hour"
		case "min":
			word = "minute"
		case "s":
			word = "second"
		case "ms":
			word = "millisecond"
		}
	} else if v.prec == unitForeign {
		return duration{}, false
	}
	word, ok := calendarUnit(word)
	if !ok {
		return duration{}, false
	}
	whole, err := truncateTo(v.dec).Int64()
	const limit = 10_000 * 366 * 24 * 3600 * 1000 // ten thousand years in milliseconds
	if err != nil || whole > limit || whole < -limit {
		return duration{}, false
	}
	switch word {
	case "year":
		return duration{months: whole * 12}, whole > -20_000 && whole < 20_000
	case "month":
		return duration{months: whole}, whole > -240_000 && whole < 240_000
	case "week":
		return duration{ticks: whole * 7 * day}, whole > -1_000_000 && whole < 1_000_000
	case "day":
		return duration{ticks: whole * day}, whole > -5_000_000 && whole < 5_000_000
	case "hour":
		return duration{ticks: whole * hour}, whole > -100_000_000 && whole < 100_000_000
	case "minute":
		return duration{ticks: whole * minute}, whole > -6_000_000_000 && whole < 6_000_000_000
	}
	scale := second // seconds and milliseconds keep their fraction
	if word == "millisecond" {
		scale /= 1000
	}
	d := new(apd.Decimal)
	if _, err := exact().Mul(d, v.dec, apd.New(scale, 0)); err != nil {
		return duration{}, false
	}
	ticks, err := truncateTo(d).Int64()
	return duration{ticks: ticks}, err == nil && ticks > -4_000_000_000*second && ticks < 4_000_000_000*second*100
}

// canonical expresses v in base units. Calendar years and months have no fixed
// length; approximate takes them as UCUM's, which equivalence allows.
func canonical(v *Value, approximate bool) (*apd.Decimal, dims, bool) {
	code := unitOrOne(v.text)
	switch v.prec {
	case unitForeign:
		return nil, dims{}, false
	case unitCalendar:
		var definite bool
		if code, definite = ucumOf(v.text); !definite && !approximate {
			return nil, dims{}, false
		}
	}
	u, ok := parseUnit(code)
	if !ok {
		return nil, dims{}, false
	}
	d := new(apd.Decimal)
	if _, err := guarded().Mul(d, v.dec, u.factor); err != nil {
		return nil, dims{}, false
	}
	d, ok = settle(d)
	return d, u.dims, ok
}

// compareQuantities compares a and b; ok is false where their units do not
// allow it.
func compareQuantities(a, b *Value, approximate bool) (order int, ok bool) {
	if a.prec == b.prec && unitOrOne(a.text) == unitOrOne(b.text) {
		return a.dec.Cmp(b.dec), true
	}
	if m, n := monthsOf(a), monthsOf(b); m != 0 && n != 0 {
		x, y := new(apd.Decimal), new(apd.Decimal)
		_, err1 := exact().Mul(x, a.dec, apd.New(m, 0))
		_, err2 := exact().Mul(y, b.dec, apd.New(n, 0))
		return x.Cmp(y), err1 == nil && err2 == nil
	}
	x, p, ok1 := canonical(a, approximate)
	y, q, ok2 := canonical(b, approximate)
	if !ok1 || !ok2 || p != q {
		return 0, false
	}
	return x.Cmp(y), true
}

// equivalentQuantities is ~ on quantities: in one unit, and rounded to the one
// written less finely (FHIRPath 2.0.0, section 6.1.3).
func equivalentQuantities(a, b *Value) bool {
	if a.prec == b.prec && unitOrOne(a.text) == unitOrOne(b.text) {
		return equivalentDecimals(a.dec, b.dec)
	}
	if m, n := monthsOf(a), monthsOf(b); m != 0 && n != 0 {
		order, ok := compareQuantities(a, b, false)
		return ok && order == 0
	}
	x, p, ok1 := canonical(a, true)
	y, q, ok2 := canonical(b, true)
	if !ok1 || !ok2 || p != q {
		return false
	}
	u, ok1 := leastStep(a)
	v, ok2 := leastStep(b)
	if !ok1 || !ok2 {
		return false
	}
	if u.Cmp(v) < 0 {
		u = v
	}
	for _, d := range []*apd.Decimal{x, y} {
		if _, err := guarded().Quo(d, d, u); err != nil {
			return false
		}
	}
	r, ok1 := roundTo(x, 0)
	t, ok2 := roundTo(y, 0)
	return ok1 && ok2 && r.Cmp(t) == 0
}

// leastStep is the last digit of v's value, in base units. Zeros at the end do
// not count as digits.
func leastStep(v *Value) (*apd.Decimal, bool) {
	reduced := new(apd.Decimal)
	reduced.Reduce(v.dec)
	step := *v
	step.dec = apd.New(1, int32(-scaleOf(reduced)))
	d, _, ok := canonical(&step, true)
	return d, ok && d.Sign() > 0
}

// addQuantities adds b to a, or takes it away. The result has the finer unit
// of the two.
func addQuantities(a, b *Value, subtract bool) (Value, bool) {
	x, y := a.dec, b.dec
	out := *a
	if a.prec != b.prec || unitOrOne(a.text) != unitOrOne(b.text) {
		m, n := monthsOf(a), monthsOf(b)
		switch {
		case m != 0 && n != 0:
			x, y = scaled(x, m), scaled(y, n)
			out.text = "month"
		default:
			u, p, ok1 := factorOf(a)
			v, q, ok2 := factorOf(b)
			if !ok1 || !ok2 || p != q {
				return Value{}, false
			}
			if u.Cmp(v) > 0 {
				out.text, out.prec = b.text, b.prec
				x = converted(x, u, v)
			} else {
				y = converted(y, v, u)
			}
		}
		if x == nil || y == nil {
			return Value{}, false
		}
	}
	d := new(apd.Decimal)
	var err error
	if subtract {
		_, err = exact().Sub(d, x, y)
	} else {
		_, err = exact().Add(d, x, y)
	}
	out.dec = d
	return out, err == nil && bounded(d)
}

func scaled(d *apd.Decimal, by int64) *apd.Decimal {
	out := new(apd.Decimal)
	if _, err := exact().Mul(out, d, apd.New(by, 0)); err != nil {
		return nil
	}
	return out
}

// converted turns d of a unit of factor from into one of factor to.
func converted(d, from, to *apd.Decimal) *apd.Decimal {
	out := new(apd.Decimal)
	if _, err := guarded().Mul(out, d, from); err != nil {
		return nil
	}
	if _, err := guarded().Quo(out, out, to); err != nil {
		return nil
	}
	out, ok := settle(out)
	if !ok {
		return nil
	}
	return out
}

func factorOf(v *Value) (*apd.Decimal, dims, bool) {
	code := unitOrOne(v.text)
	switch v.prec {
	case unitForeign:
		return nil, dims{}, false
	case unitCalendar:
		var definite bool
		if code, definite = ucumOf(v.text); !definite {
			return nil, dims{}, false
		}
	}
	u, ok := parseUnit(code)
	return u.factor, u.dims, ok
}

// multiplyQuantities multiplies a by b, or divides it. Where both have units
// the result is in base units.
func multiplyQuantities(a, b *Value, divide bool) (Value, bool) {
	d := new(apd.Decimal)
	apply := func(x, y *apd.Decimal) bool {
		var err error
		if !divide {
			_, err = exact().Mul(d, x, y)
			return err == nil && bounded(d)
		}
		if y.IsZero() {
			return false
		}
		if _, err = guarded().Quo(d, x, y); err != nil {
			return false
		}
		var ok bool
		d, ok = settle(d)
		return ok
	}
	plainB := b.prec == unitUCUM && unitOrOne(b.text) == "1"
	plainA := a.prec == unitUCUM && unitOrOne(a.text) == "1"
	switch {
	case plainB:
		ok := apply(a.dec, b.dec)
		return Value{kind: KindQuantity, prec: a.prec, text: a.text, dec: d}, ok
	case plainA && !divide:
		ok := apply(a.dec, b.dec)
		return Value{kind: KindQuantity, prec: b.prec, text: b.text, dec: d}, ok
	case divide && a.prec == b.prec && a.text == b.text:
		ok := apply(a.dec, b.dec)
		return quantityValue(d, "1", false), ok
	}
	x, p, ok1 := canonical(a, false)
	y, q, ok2 := canonical(b, false)
	if !ok1 || !ok2 || !apply(x, y) {
		return Value{}, false
	}
	for i := range p {
		if divide {
			p[i] -= q[i]
		} else {
			p[i] += q[i]
		}
	}
	return quantityValue(d, p.code(), false), true
}

// parseQuantity reads the string form of a quantity: 4, 4 days, 4 'mg'.
func parseQuantity(s string) (Value, bool) {
	number, rest := s, ""
	if i := strings.IndexAny(s, " \t\n\r'"); i >= 0 {
		number, rest = s[:i], strings.TrimSpace(s[i:])
	}
	if !isDecimal(number) {
		return Value{}, false
	}
	d, ok := parseDecimal(number)
	if !ok {
		return Value{}, false
	}
	switch {
	case rest == "":
		return quantityValue(d, "1", false), number == s
	case rest[0] == '\'':
		if len(rest) < 3 || rest[len(rest)-1] != '\'' || strings.IndexByte(rest[1:len(rest)-1], '\'') >= 0 {
			return Value{}, false
		}
		return quantityValue(d, rest[1:len(rest)-1], false), true
	}
	word, ok := calendarUnit(rest)
	return quantityValue(d, word, true), ok
}

// quantityOf converts a FHIR Quantity to System.Quantity. A quantity with a
// comparator stands for a range and has no such value. UCUM codes of durations
// become calendar units (FHIR R4, FHIRPath page, "Using FHIR types and System
// types").
func quantityOf(r *r4.Resource, n r4.Node) (Value, bool) {
	var value, system, code, words string
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		text := borrow(r.Value(c))
		switch r.ElementOf(c).Name() {
		case "value":
			value = text
		case "comparator":
			return Value{}, false
		case "unit":
			words = text
		case "system":
			system = text
		case "code":
			code = text
		case "currency": // Money is no Quantity, but shares this path in no case
			return Value{}, false
		}
	}
	d, ok := parseDecimal(value)
	if !ok {
		return Value{}, false
	}
	if system == ucumSystem && code != "" {
		if word, ok := durationWord(code); ok {
			return quantityValue(d, word, true), true
		}
		return quantityValue(d, code, false), true
	}
	v := quantityValue(d, words, false)
	if code != "" {
		v.text = code
	}
	if v.text != "" {
		v.prec = unitForeign
	}
	return v, true
}

func durationWord(code string) (string, bool) {
	switch code {
	case "a":
		return "year", true
	case "mo":
		return "month", true
	case "d":
		return "day", true
	case "h":
		return "hour", true
	case "min":
		return "minute", true
	case "s":
		return "second", true
	}
	return "", false
}
