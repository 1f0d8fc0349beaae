package fhirpath

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// Units are read as UCUM's case-sensitive codes: atoms with metric prefixes and
// exponents, joined by "." and "/", with groups and annotations. The table has
// the atoms that health data uses. An atom that is not in it makes the whole
// unit opaque: then only equal text is comparable.

// dims holds the exponents of the base units, in the order of baseUnits.
type dims [7]int8

// unit is a unit in terms of the base units: factor times their product.
type unit struct {
	factor *apd.Decimal
	dims   dims
}

type atom struct {
	factor string
	unit   string // in terms of other atoms; "" for a pure number
	metric bool
}

var baseUnits = [len(dims{})]string{"m", "s", "g", "rad", "K", "C", "cd"}

// atoms defines each unit by others, down to the base units (UCUM 2.1, tables
// 2 and following).
var atoms = map[string]atom{
	"m": {"1", "", true}, "s": {"1", "", true}, "g": {"1", "", true}, "rad": {"1", "", true},
	"K": {"1", "", true}, "C": {"1", "", true}, "cd": {"1", "", true},

	"10*": {"10", "", false}, "10^": {"10", "", false}, "[pi]": {"3.1415926535897932384626433832795", "", false},
	"%": {"0.01", "", false}, "[ppth]": {"0.001", "", false}, "[ppm]": {"0.000001", "", false}, "[ppb]": {"0.000000001", "", false},

	"mol": {"6.0221367e23", "", true}, "sr": {"1", "rad2", true}, "Hz": {"1", "s-1", true},
	"N": {"1", "kg.m/s2", true}, "Pa": {"1", "N/m2", true}, "J": {"1", "N.m", true}, "W": {"1", "J/s", true},
	"A": {"1", "C/s", true}, "V": {"1", "J/C", true}, "F": {"1", "C/V", true}, "Ohm": {"1", "V/A", true},
	"S": {"1", "Ohm-1", true}, "Wb": {"1", "V.s", true}, "T": {"1", "Wb/m2", true}, "H": {"1", "Wb/A", true},
	"lm": {"1", "cd.sr", true}, "lx": {"1", "lm/m2", true}, "Bq": {"1", "s-1", true}, "Gy": {"1", "J/kg", true},
	"Sv": {"1", "J/kg", true}, "kat": {"1", "mol/s", true}, "U": {"1", "umol/min", true},
	"eq": {"1", "mol", true}, "osm": {"1", "mol", true}, "bar": {"100000", "Pa", true}, "atm": {"101325", "Pa", false},
	"u": {"1.6605402e-24", "g", true}, "eV": {"1.60217733e-19", "J", true}, "Ci": {"37000000000", "Bq", true},

	"gon": {"0.9", "deg", false}, "deg": {"2", "[pi].rad/360", false}, "'": {"1", "deg/60", false}, "''": {"1", "'/60", false},
	"l": {"1", "dm3", true}, "L": {"1", "l", true}, "ar": {"100", "m2", true}, "t": {"1000", "kg", true},
	"min": {"60", "s", false}, "h": {"60", "min", false}, "d": {"24", "h", false}, "wk": {"7", "d", false},
	"a_j": {"365.25", "d", false}, "a": {"1", "a_j", false}, "mo_j": {"1", "a_j/12", false}, "mo": {"1", "mo_j", false},

	"[in_i]": {"2.54", "cm", false}, "[ft_i]": {"12", "[in_i]", false}, "[yd_i]": {"3", "[ft_i]", false},
	"[mi_i]": {"5280", "[ft_i]", false}, "[nmi_i]": {"1852", "m", false}, "[in_us]": {"1", "[ft_us]/12", false},
	"[ft_us]": {"1200", "m/3937", false}, "[gr]": {"64.79891", "mg", false}, "[lb_av]": {"7000", "[gr]", false},
	"[oz_av]": {"1", "[lb_av]/16", false}, "[stone_av]": {"14", "[lb_av]", false}, "[ston_av]": {"2000", "[lb_av]", false},
	"[lb_tr]": {"5760", "[gr]", false}, "[oz_tr]": {"480", "[gr]", false},
	"[gal_us]": {"231", "[in_i]3", false}, "[qt_us]": {"1", "[gal_us]/4", false}, "[pt_us]": {"1", "[qt_us]/2", false},
	"[foz_us]": {"1", "[pt_us]/16", false}, "[cup_us]": {"16", "[tbs_us]", false}, "[tbs_us]": {"1", "[foz_us]/2", false},
	"[tsp_us]": {"1", "[tbs_us]/3", false}, "[drp]": {"0.05", "ml", false},
	"m[Hg]": {"133.3220", "kPa", true}, "m[H2O]": {"9.80665", "kPa", true}, "[psi]": {"6894.757293168361", "Pa", false},
	"cal": {"4.184", "J", true}, "[Cal]": {"1", "kcal", false}, "[Btu]": {"1.05505585262", "kJ", false},
}

var prefixes = map[string]int32{
	"Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
	"d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}

// parseUnit reads a UCUM code. ok is false for what the table does not cover.
func parseUnit(code string) (u unit, ok bool) {
	if len(code) > 100 {
		return unit{}, false
	}
	p := unitParser{text: code}
	u, ok = p.term(0)
	return u, ok && p.pos == len(code)
}

type unitParser struct {
	text string
	pos  int
}

func one() unit { return unit{factor: apd.New(1, 0)} }

func (p *unitParser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// term is component {("." | "/") component}, with an optional leading "/".
func (p *unitParser) term(depth int) (unit, bool) {
	if depth > 20 {
		return unit{}, false
	}
	out := one()
	divide := false
	if p.peek() == '/' {
		p.pos++
		divide = true
	}
	for {
		u, ok := p.component(depth)
		if !ok || !out.times(u, divide) {
			return unit{}, false
		}
		switch p.peek() {
		case '.':
			divide = false
		case '/':
			divide = true
		default:
			return out, true
		}
		p.pos++
	}
}

func (p *unitParser) component(depth int) (unit, bool) {
	u := one()
	switch c := p.peek(); {
	case c == '(':
		p.pos++
		var ok bool
		if u, ok = p.term(depth + 1); !ok || p.peek() != ')' {
			return unit{}, false
		}
		p.pos++
	case c == '{':
	default:
		start := p.pos
		for c := p.peek(); c != 0 && !strings.ContainsRune("./(){}", rune(c)); c = p.peek() {
			if c == '[' {
				end := strings.IndexByte(p.text[p.pos:], ']')
				if end < 0 {
					return unit{}, false
				}
				p.pos += end
			}
			p.pos++
		}
		var ok bool
		if u, ok = simpleUnit(p.text[start:p.pos], depth); !ok {
			return unit{}, false
		}
	}
	if p.peek() == '{' {
		end := strings.IndexByte(p.text[p.pos:], '}')
		if end < 0 {
			return unit{}, false
		}
		p.pos += end + 1
	}
	return u, true
}

// simpleUnit is [prefix] atom [exponent], or a whole number.
func simpleUnit(s string, depth int) (unit, bool) {
	if allDigits(s) && len(s) < 20 {
		d, ok := parseDecimal(s)
		return unit{factor: d}, ok
	}
	name, exponent := s, 1
	if _, whole := atoms[s]; !whole {
		i := len(s)
		for i > 0 && isDigit(s[i-1]) {
			i--
		}
		if i < len(s) && len(s)-i <= 2 {
			exponent = 0
			for _, c := range []byte(s[i:]) {
				exponent = exponent*10 + int(c-'0')
			}
			if i > 0 && (s[i-1] == '-' || s[i-1] == '+') {
				if i--; s[i] == '-' {
					exponent = -exponent
				}
			}
			name = s[:i]
		}
	}
	u, ok := atomUnit(name, depth)
	if !ok || exponent < -60 || exponent > 60 {
		return unit{}, false
	}
	out := one()
	for range max(exponent, -exponent) {
		if !out.times(u, exponent < 0) {
			return unit{}, false
		}
	}
	return out, true
}

func atomUnit(name string, depth int) (unit, bool) {
	a, ok := atoms[name]
	scale := int32(0)
	if !ok {
		for _, n := range [...]int{1, 2} {
			if len(name) > n {
				e, isPrefix := prefixes[name[:n]]
				if rest, known := atoms[name[n:]]; isPrefix && known && rest.metric {
					a, scale, name, ok = rest, e, name[n:], true
					break
				}
			}
		}
	}
	if !ok || depth > 20 {
		return unit{}, false
	}
	u := one()
	if a.unit != "" {
		p := unitParser{text: a.unit}
		if u, ok = p.term(depth + 1); !ok {
			return unit{}, false
		}
	}
	for i, base := range baseUnits {
		if base == name {
			u.dims[i] = 1
		}
	}
	f, ok := parseDecimal(a.factor)
	if !ok {
		return unit{}, false
	}
	f.Exponent += scale
	return u, u.times(unit{factor: f}, false)
}

// times multiplies u by v, or divides it.
func (u *unit) times(v unit, divide bool) bool {
	f := new(apd.Decimal)
	var err error
	if divide {
		_, err = guarded().Quo(f, u.factor, v.factor)
	} else {
		_, err = guarded().Mul(f, u.factor, v.factor)
	}
	if err != nil || !bounded(f) {
		return false
	}
	u.factor = f
	for i, d := range v.dims {
		if divide {
			d = -d
		}
		if n := int(u.dims[i]) + int(d); n < -100 || n > 100 {
			return false
		}
		u.dims[i] += d
	}
	return true
}

// code writes the base units of d as a UCUM code: "m2.s-1", or "1".
func (d dims) code() string {
	var b strings.Builder
	for i, e := range d {
		if e == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(baseUnits[i])
		if e != 1 {
			v := intValue(int64(e))
			s, _ := v.string()
			b.WriteString(s)
		}
	}
	if b.Len() == 0 {
		return "1"
	}
	return b.String()
}
