package r4

import (
	"encoding/binary"
	"unicode/utf8"
)

// maxString is the greatest length of a string in characters (R4, 2.24.0.1).
const maxString = 1 << 20

// ValidPrimitive says that text is a value of the primitive t: its lexical
// rule, the range of integers (32 bits) and the calendar of dates. Empty text
// is never a value. It is false for a t that is no primitive.
//
// Beyond the specification's regular expressions a date must exist (2023-02-30
// does not), base64 must be whole with its padding in place, text must be valid
// UTF-8 without control characters, and xhtml must be a well-formed div. White
// space in expressions is that of ASCII.
//
// Source: R4, 2.24.0.1 "Primitive Types".
func ValidPrimitive(t *Type, text []byte) bool {
	return t != nil && t.valid != nil && len(text) > 0 && t.valid(text)
}

// lexical returns the rule of a primitive.
func lexical(name string) func([]byte) bool {
	switch name {
	case "base64Binary":
		return validBase64
	case "boolean":
		return isBool
	case "canonical", "uri", "url":
		return validURI
	case "code":
		return validCode
	case "date":
		return validDate
	case "dateTime":
		return validDateTime
	case "decimal":
		return isNumber
	case "id":
		return validID
	case "instant":
		return validInstant
	case "integer":
		return validInteger
	case "markdown", "string":
		return validString
	case "oid":
		return validOID
	case "positiveInt":
		return func(b []byte) bool { return b[0] != '0' && natural(b, 1<<31-1) }
	case "time":
		return func(b []byte) bool { return timeLen(b) == len(b) }
	case "unsignedInt":
		return func(b []byte) bool { return natural(b, 1<<31-1) }
	case "uuid":
		return validUUID
	case "xhtml":
		return validXHTML
	}
	return nil
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// isSpace is \s in the specification's expressions.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// pair is the value of two digits at i, -1 if there are none.
func pair(b []byte, i int) int {
	if i+2 > len(b) || !isDigit(b[i]) || !isDigit(b[i+1]) {
		return -1
	}
	return int(b[i]-'0')*10 + int(b[i+1]-'0')
}

func validDate(b []byte) bool { return dateLen(b) == len(b) }

func validDateTime(b []byte) bool {
	n := dateLen(b)
	return n == len(b) || n == len("2006-01-02") && zonedTime(b[n:])
}

func validInstant(b []byte) bool {
	return dateLen(b) == len("2006-01-02") && zonedTime(b[len("2006-01-02"):])
}

// dateLen is the length of the year, month or day at the beginning of b, 0 if
// there is none that exists.
func dateLen(b []byte) int {
	century, decade := pair(b, 0), pair(b, 2)
	if century < 0 || decade < 0 {
		return 0
	}
	year := century*100 + decade
	if year == 0 {
		return 0
	}
	if len(b) == 4 || b[4] != '-' {
		return 4
	}
	month := pair(b, 5)
	if month < 1 || month > 12 {
		return 0
	}
	if len(b) == 7 || b[7] != '-' {
		return 7
	}
	day := pair(b, 8)
	if day < 1 || day > daysIn(year, month) {
		return 0
	}
	return 10
}

// daysIn counts the days of a month in the proleptic Gregorian calendar.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// timeLen is the length of the time of day at the beginning of b, 0 if there
// is none. A leap second is allowed in every minute.
func timeLen(b []byte) int {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0
	}
	h, m, s := pair(b, 0), pair(b, 3), pair(b, 6)
	if h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60 {
		return 0
	}
	if len(b) == 8 || b[8] != '.' {
		return 8
	}
	if n := digits(b, 9); n > 9 {
		return n
	}
	return 0
}

// zonedTime says that b is "T", a time and a zone.
func zonedTime(b []byte) bool {
	if len(b) == 0 || b[0] != 'T' {
		return false
	}
	n := timeLen(b[1:])
	if n == 0 {
		return false
	}
	zone := b[1+n:]
	if len(zone) == 1 {
		return zone[0] == 'Z'
	}
	if len(zone) != 6 || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
		return false
	}
	h, m := pair(zone, 1), pair(zone, 4)
	return h >= 0 && m >= 0 && (h <= 13 && m <= 59 || h == 14 && m == 0)
}

func validInteger(b []byte) bool {
	if b[0] == '-' {
		return natural(b[1:], 1<<31)
	}
	return natural(b, 1<<31-1)
}

// natural says that b is a number without sign and leading zeros, at most
// limit.
func natural(b []byte, limit uint64) bool {
	if len(b) == 0 || len(b) > 10 || b[0] == '0' && len(b) > 1 {
		return false
	}
	var v uint64
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
		v = v*10 + uint64(c-'0')
	}
	return v <= limit
}

func validID(b []byte) bool {
	if len(b) > 64 {
		return false
	}
	for _, c := range b {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// allASCII says that b has only ASCII from low on: no control characters, and
// with a low of '!' no white space. It looks at eight bytes at a time.
func allASCII(b []byte, low byte) bool {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		// A byte below low borrows from its highest bit.
		w := binary.LittleEndian.Uint64(b[i:])
		if (w|(w-lows*uint64(low)))&highs != 0 {
			return false
		}
	}
	for ; i < len(b); i++ {
		if b[i] < low || b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validCode allows single white space inside, none at the ends.
func validCode(b []byte) bool {
	if allASCII(b, '!') {
		return true
	}
	space := true
	for _, c := range b {
		if isSpace(c) {
			if space {
				return false
			}
			space = true
			continue
		}
		if c < ' ' {
			return false
		}
		space = false
	}
	return !space && utf8.Valid(b)
}

func validURI(b []byte) bool {
	if allASCII(b, '!') {
		return true
	}
	for _, c := range b {
		if c <= ' ' {
			return false
		}
	}
	return utf8.Valid(b)
}

func validString(b []byte) bool {
	if len(b) <= maxString && allASCII(b, ' ') {
		return true
	}
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return utf8.Valid(b) && (len(b) <= maxString || utf8.RuneCount(b) <= maxString)
}

func validOID(b []byte) bool {
	const prefix = "urn:oid:"
	if len(b) < len(prefix)+3 || string(b[:len(prefix)]) != prefix {
		return false
	}
	b = b[len(prefix):]
	if b[0] < '0' || b[0] > '2' {
		return false
	}
	for i := 1; i < len(b); {
		if b[i] != '.' {
			return false
		}
		n := digits(b, i+1)
		if n == i+1 || b[i+1] == '0' && n > i+2 {
			return false
		}
		i = n
	}
	return true
}

func validUUID(b []byte) bool {
	const form = "urn:uuid:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(b) != len(form) {
		return false
	}
	for i := range b {
		if c := b[i]; form[i] != 'x' {
			if c != form[i] {
				return false
			}
		} else if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validBase64 allows white space between groups of four characters (R4: "white
// space is allowed ... but should be avoided"), as the expression does.
func validBase64(b []byte) bool {
	count, padding := 0, 0
	for _, c := range b {
		switch {
		case isSpace(c):
			if count%4 != 0 {
				return false
			}
			continue
		case c == '=':
			padding++
		case isDigit(c), c|0x20 >= 'a' && c|0x20 <= 'z', c == '+', c == '/':
			if padding > 0 {
				return false
			}
		default:
			return false
		}
		count++
	}
	return count > 0 && count%4 == 0 && padding <= 2
}
