package fhirpath

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
)

// scalar is a function of one item and single arguments. Where the input or an
// argument is empty so is the result, unless optional arguments say otherwise.
type scalar struct {
	min, max int
	// prepare may look at literal arguments once, at compile time.
	prepare func(e *expr) any
	// call gets the System values of the input and the arguments, and what
	// prepare gave. A result of kind 0 is the empty collection; a non-empty
	// wrong says what was expected instead.
	call func(v []Value, ready any) (out Value, wrong string)
	// convert lets call see an input that has no System value, as kind 0.
	convert bool
	// optional lets the last argument be empty, as if it were not there.
	optional bool
}

func (s scalar) build(c *compiler, e *expr, in code) code {
	args := make([]code, len(e.args))
	for i, a := range e.args {
		args[i] = c.compile(a)
	}
	var ready any
	if s.prepare != nil {
		ready = s.prepare(e)
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		gone := false // an empty input or argument
		unknown := false
		for i := -1; i < len(args); i++ {
			at := &in
			if i >= 0 {
				at = &args[i]
			}
			top := len(m.stack)
			if err := at.eval(m); err != nil {
				return err
			}
			n := len(m.stack) - top
			switch {
			case m.undecided(top, len(m.stack)):
				unknown = true
				m.stack = append(m.stack[:top], Value{})
			case n == 0 && s.optional && i > 0:
			case n == 0:
				gone = true
				m.push(Value{})
			case n > 1:
				what := "its input"
				if i >= 0 {
					what = "its argument"
				}
				return faultf(e.pos, "%s expects one item as %s, found %d", e.name, what, n)
			default:
				v, ok := m.stack[top].system()
				switch {
				case ok:
				case m.stack[top].kind == KindStub:
					unknown = true
				case isValueless(&m.stack[top]) || isQuantityNode(&m.stack[top]):
					gone = true
				case s.convert && i < 0: // a complex item converts to nothing
				default:
					return faultf(e.pos, "%s cannot work on %s", e.name, m.stack[top].Type())
				}
				m.stack[top] = v
			}
		}
		var out Value
		var wrong string
		switch {
		case gone:
		case unknown:
			out = unknownMany
		default:
			out, wrong = s.call(m.stack[base:], ready)
			if wrong != "" {
				return faultf(e.pos, "%s expects %s", e.name, wrong)
			}
		}
		m.stack = m.stack[:base]
		if out.kind != 0 {
			m.push(out)
		}
		return nil
	}}
}

// text makes a scalar of functions on strings: all arguments are strings.
func text(args int, call func(s []string) Value) scalar {
	return scalar{min: args, max: args, call: func(v []Value, _ any) (Value, string) {
		var s [3]string
		for i := range v {
			if v[i].kind != KindString {
				return Value{}, "strings, found " + v[i].Type()
			}
			s[i] = v[i].text
		}
		return call(s[:len(v)]), ""
	}}
}

// number makes a scalar of functions on one number.
func number(call func(d *apd.Decimal) (*apd.Decimal, bool), whole bool) scalar {
	return scalar{call: func(v []Value, _ any) (Value, string) {
		if !v[0].isNumber() {
			return Value{}, "a number, found " + v[0].Type()
		}
		d, ok := call(v[0].decimal())
		if !ok {
			return Value{}, ""
		}
		if whole {
			n, ok := fits(d)
			if !ok {
				return Value{}, ""
			}
			return intValue(n), ""
		}
		return decimalValue(d), ""
	}}
}

// conversion makes toX and convertsToX.
func conversion(to func(v *Value) (Value, bool)) (scalar, scalar) {
	toX := scalar{convert: true, call: func(v []Value, _ any) (Value, string) {
		if v[0].kind == 0 {
			return Value{}, ""
		}
		out, ok := inUnit(to, v)
		if !ok {
			return Value{}, ""
		}
		return out, ""
	}}
	converts := scalar{convert: true, call: func(v []Value, _ any) (Value, string) {
		if v[0].kind == 0 {
			return boolValue(false), ""
		}
		_, ok := inUnit(to, v)
		return boolValue(ok), ""
	}}
	return toX, converts
}

// inUnit converts v[0] and, if v[1] names a unit, the quantity to that.
func inUnit(to func(v *Value) (Value, bool), v []Value) (Value, bool) {
	out, ok := to(&v[0])
	if !ok || len(v) < 2 {
		return out, ok
	}
	unit, calendar := calendarUnit(v[1].text)
	if !calendar {
		unit = v[1].text
	}
	want := quantityValue(out.dec, unit, calendar)
	if out.prec == want.prec && out.text == want.text {
		return out, true
	}
	f, p, ok1 := factorOf(&out)
	g, q, ok2 := factorOf(&want)
	if !ok1 || !ok2 || p != q {
		return Value{}, false
	}
	want.dec = converted(out.dec, f, g)
	return want, want.dec != nil
}

// allScalars makes the functions of FHIRPath 2.0.0, sections 5.5 to 5.7, and
// those of later drafts that the R4 test suite uses.
func allScalars() map[string]scalar {
	all := map[string]scalar{
		"indexOf":     text(1, func(s []string) Value { return intValue(runeIndex(s[0], strings.Index(s[0], s[1]))) }),
		"lastIndexOf": text(1, func(s []string) Value { return intValue(runeIndex(s[0], strings.LastIndex(s[0], s[1]))) }),
		"startsWith":  text(1, func(s []string) Value { return boolValue(strings.HasPrefix(s[0], s[1])) }),
		"endsWith":    text(1, func(s []string) Value { return boolValue(strings.HasSuffix(s[0], s[1])) }),
		"contains":    text(1, func(s []string) Value { return boolValue(strings.Contains(s[0], s[1])) }),
		"upper":       text(0, func(s []string) Value { return stringValue(strings.ToUpper(s[0])) }),
		"lower":       text(0, func(s []string) Value { return stringValue(strings.ToLower(s[0])) }),
		"trim":        text(0, func(s []string) Value { return stringValue(strings.TrimSpace(s[0])) }),
		"length":      text(0, func(s []string) Value { return intValue(int64(utf8.RuneCountInString(s[0]))) }),
		"replace":     text(2, replace),
		"encode":      text(1, encode),
		"decode":      text(1, decode),
		"escape":      text(1, escape),
		"unescape":    text(1, unescape),

		"substring":      {min: 1, max: 2, optional: true, call: substring},
		"matches":        {min: 1, max: 1, prepare: preparePattern, call: matches(false)},
		"matchesFull":    {min: 1, max: 1, prepare: prepareWholePattern, call: matches(true)},
		"replaceMatches": {min: 2, max: 2, prepare: preparePattern, call: replaceMatches},

		"ceiling": number(func(d *apd.Decimal) (*apd.Decimal, bool) {
			out := new(apd.Decimal)
			_, err := exact().Ceil(out, d)
			return out, err == nil
		}, true),
		"floor": number(func(d *apd.Decimal) (*apd.Decimal, bool) {
			out := new(apd.Decimal)
			_, err := exact().Floor(out, d)
			return out, err == nil
		}, true),
		"truncate": number(func(d *apd.Decimal) (*apd.Decimal, bool) { return truncateTo(d), true }, true),
		"sqrt": number(func(d *apd.Decimal) (*apd.Decimal, bool) {
			out := new(apd.Decimal)
			if d.Sign() < 0 {
				return nil, false
			}
			if _, err := guarded().Sqrt(out, d); err != nil {
				return nil, false
			}
			return settle(out)
		}, false),
		"exp": number(func(d *apd.Decimal) (*apd.Decimal, bool) {
			out := new(apd.Decimal)
			if x := new(apd.Decimal).Abs(d); x.Cmp(apd.New(900, 0)) > 0 {
				return nil, false
			}
			if _, err := guarded().Exp(out, d); err != nil {
				return nil, false
			}
			return settle(out)
		}, false),
		"ln": number(func(d *apd.Decimal) (*apd.Decimal, bool) {
			out := new(apd.Decimal)
			if d.Sign() <= 0 {
				return nil, false
			}
			if _, err := guarded().Ln(out, d); err != nil {
				return nil, false
			}
			return settle(out)
		}, false),
		"abs":   {call: abs},
		"round": {max: 1, call: round},
		"log":   {min: 1, max: 1, call: logarithm},
		"power": {min: 1, max: 1, call: power10},

		"lowBoundary":  {max: 1, call: boundary(true)},
		"highBoundary": {max: 1, call: boundary(false)},
		"precision":    {call: precisionOf},
		"comparable":   {min: 1, max: 1, call: comparableTo},
	}
	for name, to := range map[string]func(v *Value) (Value, bool){
		"Boolean": toBoolean, "Integer": toInteger, "Decimal": toDecimal, "String": toString,
		"Date": toDate, "DateTime": toDateTime, "Time": toTime, "Quantity": toQuantity,
	} {
		all["to"+name], all["convertsTo"+name] = conversion(to)
	}
	for _, name := range []string{"toQuantity", "convertsToQuantity"} {
		s := all[name] // the unit asked for
		s.max = 1
		all[name] = s
	}
	return all
}

// runeIndex turns a byte index into one of characters.
func runeIndex(s string, at int) int64 {
	if at < 0 {
		return -1
	}
	return int64(utf8.RuneCountInString(s[:at]))
}

func replace(s []string) Value {
	return stringValue(strings.ReplaceAll(s[0], s[1], s[2]))
}

func substring(v []Value, _ any) (Value, string) {
	if v[0].kind != KindString {
		return Value{}, "a string, found " + v[0].Type()
	}
	n := int64(math.MaxInt32)
	if v[1].kind != KindInteger || len(v) == 3 && v[2].kind != KindInteger {
		return Value{}, "Integers as bounds"
	}
	if len(v) == 3 {
		n = v[2].num
	}
	s, from := v[0].text, v[1].num
	if from < 0 || from >= int64(utf8.RuneCountInString(s)) {
		return Value{}, ""
	}
	var start, end = -1, len(s)
	at := int64(0)
	for i := range s {
		if at == from {
			start = i
		}
		if at >= from && at-from >= n {
			end = i
			break
		}
		at++
	}
	if n <= 0 {
		return stringValue(""), ""
	}
	return stringValue(s[start:end]), ""
}

// preparePattern compiles a literal pattern once.
func preparePattern(e *expr) any { return prepared(e, false) }

func prepareWholePattern(e *expr) any { return prepared(e, true) }

func prepared(e *expr, whole bool) any {
	if a := e.args[0]; a.shape == shLiteral && a.value.kind == KindString {
		if re, err := pattern(a.value.text, whole); err == nil {
			return re
		}
	}
	return nil
}

func expressionOf(v *Value, ready any, whole bool) (*regexp.Regexp, string) {
	if re, ok := ready.(*regexp.Regexp); ok {
		return re, ""
	}
	if v.kind != KindString {
		return nil, "a string as its pattern, found " + v.Type()
	}
	re, err := pattern(v.text, whole)
	if err != nil {
		return nil, "a regular expression in RE2 syntax"
	}
	return re, ""
}

func matches(whole bool) func(v []Value, ready any) (Value, string) {
	return func(v []Value, ready any) (Value, string) {
		if v[0].kind != KindString {
			return Value{}, "a string, found " + v[0].Type()
		}
		re, wrong := expressionOf(&v[1], ready, whole)
		if wrong != "" {
			return Value{}, wrong
		}
		return boolValue(re.MatchString(v[0].text)), ""
	}
}

func replaceMatches(v []Value, ready any) (Value, string) {
	if v[0].kind != KindString || v[2].kind != KindString {
		return Value{}, "strings"
	}
	if v[1].kind == KindString && v[1].text == "" {
		return v[0], ""
	}
	re, wrong := expressionOf(&v[1], ready, false)
	if wrong != "" {
		return Value{}, wrong
	}
	return stringValue(re.ReplaceAllString(v[0].text, substitution(v[2].text))), ""
}

// substitution writes the groups of a PCRE replacement ($1, ${name}) so that
// what follows a number is not taken for a part of it.
func substitution(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(s[i])
		case s[i] == '$' && i+1 < len(s) && isDigit(s[i+1]):
			b.WriteString("${")
			for i+1 < len(s) && isDigit(s[i+1]) {
				i++
				b.WriteByte(s[i])
			}
			b.WriteByte('}')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func encode(s []string) Value {
	switch s[1] {
	case "hex":
		return stringValue(hex.EncodeToString([]byte(s[0])))
	case "base64":
		return stringValue(base64.StdEncoding.EncodeToString([]byte(s[0])))
	case "urlbase64":
		return stringValue(base64.URLEncoding.EncodeToString([]byte(s[0])))
	}
	return Value{}
}

func decode(s []string) Value {
	var b []byte
	var err error
	switch s[1] {
	case "hex":
		b, err = hex.DecodeString(s[0])
	case "base64":
		b, err = base64.StdEncoding.DecodeString(s[0])
	case "urlbase64":
		b, err = base64.URLEncoding.DecodeString(s[0])
	default:
		return Value{}
	}
	if err != nil || !utf8.Valid(b) {
		return Value{}
	}
	return stringValue(string(b))
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func escape(s []string) Value {
	switch s[1] {
	case "html":
		return stringValue(htmlEscapes.Replace(s[0]))
	case "json":
		b := appendQuoted(nil, s[0])
		return stringValue(string(b[1 : len(b)-1]))
	}
	return Value{}
}

func unescape(s []string) Value {
	switch s[1] {
	case "html":
		return stringValue(html.UnescapeString(s[0]))
	case "json":
		l := lexer{src: `"` + s[0] + `"`}
		if out, err := l.quoted('"'); err == nil && l.pos == len(l.src) {
			return stringValue(out)
		}
	}
	return Value{}
}

func abs(v []Value, _ any) (Value, string) {
	switch {
	case v[0].kind == KindInteger:
		if v[0].num < 0 {
			return intValue(-v[0].num), ""
		}
		return v[0], ""
	case v[0].kind == KindDecimal || v[0].kind == KindQuantity:
		out := v[0]
		out.dec = new(apd.Decimal).Abs(v[0].dec)
		return out, ""
	}
	return Value{}, "a number, found " + v[0].Type()
}

func round(v []Value, _ any) (Value, string) {
	if !v[0].isNumber() {
		return Value{}, "a number, found " + v[0].Type()
	}
	scale := int64(0)
	if len(v) == 2 {
		if v[1].kind != KindInteger || v[1].num < 0 {
			return Value{}, "a precision of zero or more"
		}
		scale = v[1].num
	}
	d := v[0].decimal()
	if int(min(scale, maxScale)) >= scaleOf(d) {
		return decimalValue(d), ""
	}
	out, ok := roundTo(d, int(scale))
	if !ok {
		return Value{}, ""
	}
	return decimalValue(out), ""
}

func logarithm(v []Value, _ any) (Value, string) {
	if !v[0].isNumber() || !v[1].isNumber() {
		return Value{}, "numbers"
	}
	x, base := v[0].decimal(), v[1].decimal()
	if x.Sign() <= 0 || base.Sign() <= 0 || base.Cmp(apd.New(1, 0)) == 0 {
		return Value{}, ""
	}
	p, q := new(apd.Decimal), new(apd.Decimal)
	_, err1 := guarded().Ln(p, x)
	_, err2 := guarded().Ln(q, base)
	if err1 != nil || err2 != nil {
		return Value{}, ""
	}
	if _, err := guarded().Quo(p, p, q); err != nil {
		return Value{}, ""
	}
	d, ok := settle(p)
	if !ok {
		return Value{}, ""
	}
	return decimalValue(d), ""
}

// power10 is power(): an Integer from Integers where that is exact.
func power10(v []Value, _ any) (Value, string) {
	if !v[0].isNumber() || !v[1].isNumber() {
		return Value{}, "numbers"
	}
	x, y := v[0].decimal(), v[1].decimal()
	_, whole := fits(y)
	if x.Sign() < 0 && !whole || x.IsZero() && y.Sign() < 0 {
		return Value{}, ""
	}
	if limit := new(apd.Decimal).Abs(y); limit.Cmp(apd.New(100_000, 0)) > 0 {
		return Value{}, ""
	}
	d := new(apd.Decimal)
	c := guarded()
	c.MaxExponent, c.MinExponent = 2*maxScale, -2*maxScale
	if y.IsZero() {
		d.SetInt64(1)
	} else if _, err := c.Pow(d, x, y); err != nil || d.Form != apd.Finite {
		return Value{}, ""
	}
	d, ok := settle(d)
	if !ok {
		return Value{}, ""
	}
	if n, fit := fits(d); fit && v[0].kind == KindInteger && v[1].kind == KindInteger {
		return intValue(n), ""
	}
	return decimalValue(d), ""
}

func boundary(low bool) func(v []Value, _ any) (Value, string) {
	return func(v []Value, _ any) (Value, string) {
		asked := -1
		if len(v) == 2 {
			if v[1].kind != KindInteger {
				return Value{}, "an Integer as its precision"
			}
			asked = int(v[1].num)
			if asked < 0 {
				return Value{}, ""
			}
		}
		switch v[0].kind {
		case KindInteger, KindDecimal, KindQuantity:
			if asked < 0 {
				asked = 8
			}
			d := v[0].dec
			if v[0].kind == KindInteger {
				d = v[0].decimal()
			}
			d, ok := boundaryOf(d, low, asked)
			if !ok {
				return Value{}, ""
			}
			if v[0].kind == KindQuantity {
				out := v[0]
				out.dec = d
				return out, ""
			}
			return decimalValue(d), ""
		case KindDate, KindDateTime, KindTime:
			if asked < 0 {
				asked = map[ValueKind]int{KindDate: 8, KindDateTime: 17, KindTime: 9}[v[0].kind]
			}
			out, ok := v[0].boundary(low, asked)
			if !ok {
				return Value{}, ""
			}
			return out, ""
		}
		return Value{}, "a number, quantity, date or time, found " + v[0].Type()
	}
}

func precisionOf(v []Value, _ any) (Value, string) {
	switch v[0].kind {
	case KindInteger:
		return intValue(0), ""
	case KindDecimal:
		return intValue(int64(scaleOf(v[0].dec))), ""
	case KindDate, KindDateTime, KindTime:
		return intValue(int64(v[0].digitsOf())), ""
	}
	return Value{}, "a number, date or time, found " + v[0].Type()
}

func comparableTo(v []Value, _ any) (Value, string) {
	a, ok1 := v[0].asQuantity()
	b, ok2 := v[1].asQuantity()
	if !ok1 || !ok2 {
		return Value{}, "quantities"
	}
	_, ok := compareQuantities(&a, &b, false)
	return boolValue(ok), ""
}

func toBoolean(v *Value) (Value, bool) {
	switch v.kind {
	case KindBoolean:
		return *v, true
	case KindString:
		switch strings.ToLower(v.text) {
		case "true", "t", "yes", "y", "1", "1.0":
			return boolValue(true), true
		case "false", "f", "no", "n", "0", "0.0":
			return boolValue(false), true
		}
	case KindInteger, KindDecimal:
		d := v.decimal()
		switch {
		case d.Cmp(apd.New(1, 0)) == 0:
			return boolValue(true), true
		case d.IsZero():
			return boolValue(false), true
		}
	}
	return Value{}, false
}

func toInteger(v *Value) (Value, bool) {
	switch v.kind {
	case KindInteger:
		return *v, true
	case KindBoolean:
		return intValue(v.num), true
	case KindString:
		if isInteger(v.text) {
			if d, ok := parseDecimal(v.text); ok {
				n, ok := fits(d)
				return intValue(n), ok
			}
		}
	}
	return Value{}, false
}

func toDecimal(v *Value) (Value, bool) {
	switch v.kind {
	case KindInteger:
		return decimalValue(v.decimal()), true
	case KindDecimal:
		return *v, true
	case KindBoolean:
		return decimalValue(apd.New(v.num*10, -1)), true
	case KindString:
		if isDecimal(v.text) {
			d, ok := parseDecimal(v.text)
			return decimalValue(d), ok
		}
	}
	return Value{}, false
}

func toString(v *Value) (Value, bool) {
	if v.kind == KindType {
		return Value{}, false
	}
	s, ok := v.string()
	return stringValue(s), ok
}

func toDate(v *Value) (Value, bool) {
	switch v.kind {
	case KindDate:
		return *v, true
	case KindDateTime:
		return dateOf(*v), true
	case KindString:
		if d, ok := parseDate(v.text); ok {
			return d, true
		}
		if d, ok := parseDateTime(v.text); ok {
			return dateOf(d), true
		}
	}
	return Value{}, false
}

func toDateTime(v *Value) (Value, bool) {
	switch v.kind {
	case KindDateTime:
		return *v, true
	case KindDate:
		out := *v
		out.kind = KindDateTime
		return out, true
	case KindString:
		return parseDateTime(v.text)
	}
	return Value{}, false
}

func toTime(v *Value) (Value, bool) {
	switch v.kind {
	case KindTime:
		return *v, true
	case KindString:
		return parseTime(strings.TrimPrefix(v.text, "T"))
	}
	return Value{}, false
}

func toQuantity(v *Value) (Value, bool) {
	switch v.kind {
	case KindQuantity:
		return *v, true
	case KindInteger, KindDecimal:
		return v.asQuantity()
	case KindBoolean:
		return quantityValue(apd.New(v.num*10, -1), "1", false), true
	case KindString:
		return parseQuantity(v.text)
	}
	return Value{}, false
}
