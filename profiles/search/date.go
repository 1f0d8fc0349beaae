package search

import (
	"math"
	"strings"
	"time"
)

// Range is a span of time [Lo, Hi) in microseconds since 1970 UTC. The least
// and the greatest number stand for no bound.
type Range struct{ Lo, Hi int64 }

const (
	never   = math.MinInt64
	forever = math.MaxInt64
)

// within says that r lies wholly inside s.
func (r Range) within(s Range) bool { return r.Lo >= s.Lo && r.Hi <= s.Hi }

// holds compares the span t of an element with the span q of a query (R4,
// 3.1.1.4.4 and 3.1.1.4.7).
func (p Prefix) holds(t, q Range) bool {
	switch p {
	case EQ:
		return t.within(q)
	case NE:
		return !t.within(q)
	case GT:
		return t.Hi > q.Hi
	case LT:
		return t.Lo < q.Lo
	case GE:
		// Also where the element ends within the given span but began before
		// it, which the table of R4 leaves out.
		return t.Hi > q.Lo
	case LE:
		return t.Lo < q.Hi
	case SA:
		return t.Lo >= q.Hi
	case EB:
		return t.Hi <= q.Lo
	}
	return false
}

// prefix cuts a prefix off; ok is false for one that is not supported.
func prefix(s string) (p Prefix, rest string, ok bool) {
	if len(s) < 2 || s[0] < 'a' || s[0] > 'z' {
		return EQ, s, true
	}
	switch s[:2] {
	case "eq":
		p = EQ
	case "ne":
		p = NE
	case "gt":
		p = GT
	case "ge":
		p = GE
	case "lt":
		p = LT
	case "le":
		p = LE
	case "sa":
		p = SA
	case "eb":
		p = EB
	default:
		return 0, s, false
	}
	return p, s[2:], true
}

// dateValue reads a date with its prefix (R4, 3.1.1.4.7). A space where a plus
// sign stood before decoding is one (BE-063).
func dateValue(text string) (Value, *Problem) {
	p, rest, ok := prefix(text)
	if !ok {
		return Value{}, problem(Unsupported, "a date begins with a prefix that is not supported")
	}
	r, ok := span([]byte(strings.Replace(rest, " ", "+", 1)))
	if !ok {
		return Value{}, problem(BadValue, "a value is not a date")
	}
	return Value{Prefix: p, Range: r}, nil
}

// span is what a FHIR date, dateTime or instant covers. It does not allocate.
func span(s []byte) (Range, bool) {
	y, ok := digits(s, 0, 4)
	if !ok || y == 0 {
		return Range{}, false
	}
	if len(s) == 4 {
		return Range{micros(y, 1, 1), micros(y+1, 1, 1)}, true
	}
	m, ok := digits(s, 5, 2)
	if !ok || s[4] != '-' || m < 1 || m > 12 {
		return Range{}, false
	}
	if len(s) == 7 {
		return Range{micros(y, m, 1), micros(y, m+1, 1)}, true
	}
	d, ok := digits(s, 8, 2)
	if !ok || s[7] != '-' || d < 1 || d > time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return Range{}, false
	}
	lo := micros(y, m, d)
	if len(s) == 10 {
		return Range{lo, lo + 24*hour}, true
	}
	return clock(s, lo)
}

const (
	second int64 = 1e6
	minute       = 60 * second
	hour         = 60 * minute
)

// clock goes on where span found more than a day: Thh:mm[:ss[.f]][zone].
func clock(s []byte, day int64) (Range, bool) {
	h, ok1 := digits(s, 11, 2)
	mi, ok2 := digits(s, 14, 2)
	if !ok1 || !ok2 || s[10] != 'T' || s[13] != ':' || h > 23 || mi > 59 {
		return Range{}, false
	}
	lo, width, at := day+int64(h)*hour+int64(mi)*minute, minute, 16
	if at < len(s) && s[at] == ':' {
		sec, ok := digits(s, at+1, 2)
		if !ok || sec > 60 {
			return Range{}, false
		}
		lo, width, at = lo+int64(sec)*second, second, at+3
		if at < len(s) && s[at] == '.' {
			at++
			first := at
			for ; at < len(s) && s[at] >= '0' && s[at] <= '9'; at++ {
				if width > 1 {
					width /= 10
					lo += int64(s[at]-'0') * width
				}
			}
			if at == first {
				return Range{}, false
			}
		}
	}
	switch rest := s[at:]; {
	case len(rest) == 0, len(rest) == 1 && rest[0] == 'Z':
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		zh, ok1 := digits(rest, 1, 2)
		zm, ok2 := digits(rest, 4, 2)
		if !ok1 || !ok2 || zh > 14 || zm > 59 {
			return Range{}, false
		}
		offset := int64(zh)*hour + int64(zm)*minute
		if rest[0] == '-' {
			offset = -offset
		}
		lo -= offset
	default:
		return Range{}, false
	}
	return Range{lo, lo + width}, true
}

func digits(s []byte, at, n int) (int, bool) {
	if at+n > len(s) {
		return 0, false
	}
	v := 0
	for _, c := range s[at : at+n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func micros(y, m, d int) int64 {
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).UnixMicro()
}
