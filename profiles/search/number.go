package search

import (
	"math/big"
	"strings"
)

// number is a decimal and the least it may be off at its precision.
type number struct {
	lo, hi, at *big.Rat
}

// maxDigits bounds a decimal; an exponent is not taken, since it could ask for
// a number without end.
const maxDigits = 64

func parseNumber(s string) (number, bool) {
	body := strings.TrimLeft(s, "+-")
	if len(s)-len(body) > 1 || body == "" || len(body) > maxDigits ||
		strings.Trim(body, "0123456789.") != "" || strings.Count(body, ".") > 1 {
		return number{}, false
	}
	at, ok := new(big.Rat).SetString(s)
	if !ok {
		return number{}, false
	}
	_, fraction, _ := strings.Cut(body, ".")
	half := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Mul(big.NewInt(2), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(fraction))), nil)))
	return number{lo: new(big.Rat).Sub(at, half), hi: new(big.Rat).Add(at, half), at: at}, true
}

// numberValue reads [prefix]number and, for a quantity, |system|unit behind it
// (R4, 3.1.1.4.6 and 3.1.1.4.13).
func numberValue(text string, quantity bool) (Value, *Problem) {
	p, rest, ok := prefix(text)
	if !ok {
		return Value{}, problem(Unsupported, "a number begins with a prefix that is not supported")
	}
	v := Value{Prefix: p}
	parts := split(rest, '|')
	switch {
	case len(parts) == 1:
	case quantity && len(parts) == 3:
		v.System, v.Code, v.HasSystem = unescape(parts[1]), unescape(parts[2]), parts[1] != ""
	default:
		return Value{}, problem(BadValue, "a value is not a number, or a quantity without its two |")
	}
	if v.number, ok = parseNumber(parts[0]); !ok {
		return Value{}, problem(BadValue, "a value is not a decimal number")
	}
	return v, nil
}

// number compares the decimal text of an element.
func (v *Value) compare(text string) bool {
	n, ok := parseNumber(text)
	if !ok {
		return false
	}
	q := &v.number
	inside := n.at.Cmp(q.lo) >= 0 && n.at.Cmp(q.hi) < 0
	switch v.Prefix {
	case EQ:
		return inside
	case NE:
		return !inside
	case GT, SA:
		return n.at.Cmp(q.at) > 0
	case GE:
		return n.at.Cmp(q.at) >= 0
	case LT, EB:
		return n.at.Cmp(q.at) < 0
	case LE:
		return n.at.Cmp(q.at) <= 0
	}
	return false
}
