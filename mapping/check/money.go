package check

import (
	"bytes"
	"fmt"
)

// MoneyFormat is a way in which a source writes amounts.
type MoneyFormat uint8

// The formats: 1234.50, 123450 for 1,234.50, $1,234.50, 1.234,50.
const (
	MoneyDecimal MoneyFormat = iota
	MoneyCents
	MoneyGrouped
	MoneyGroupedComma
)

// ParseMoneyFormat reads the name of a format: decimal, cents, or an example
// as it is written, $1,234.50 or 1.234,50.
func ParseMoneyFormat(s string) (MoneyFormat, error) {
	switch s {
	case "decimal", "1234.50":
		return MoneyDecimal, nil
	case "cents", "123450":
		return MoneyCents, nil
	case "$1,234.50", "1,234.50":
		return MoneyGrouped, nil
	case "1.234,50":
		return MoneyGroupedComma, nil
	}
	return 0, fmt.Errorf("money format %q is none of decimal, cents, $1,234.50 and 1.234,50", s)
}

// Append appends the amount in text as a plain decimal; ok is false where the
// text does not have the format. A sign may stand before or behind, a currency
// sign before; parentheses mean less than zero.
func (f MoneyFormat) Append(dst, text []byte) (_ []byte, ok bool) {
	text = bytes.TrimSpace(text)
	negative := false
	if n := len(text); n > 2 && text[0] == '(' && text[n-1] == ')' {
		negative, text = true, bytes.TrimSpace(text[1:n-1])
	} else if n > 1 && (text[n-1] == '-' || text[n-1] == '+') {
		negative, text = text[n-1] == '-', bytes.TrimSpace(text[:n-1])
	} else if n > 1 && (text[0] == '-' || text[0] == '+') {
		negative, text = text[0] == '-', text[1:]
	}
	if f == MoneyGrouped || f == MoneyGroupedComma {
		text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte{'$'}))
	}
	if len(text) == 0 {
		return dst, false
	}
	if negative {
		dst = append(dst, '-')
	}
	if f == MoneyCents {
		return appendCents(dst, text)
	}
	group, point := byte(0), byte('.')
	switch f {
	case MoneyGrouped:
		group = ','
	case MoneyGroupedComma:
		group, point = '.', ','
	}
	return appendGrouped(dst, text, group, point)
}

// appendCents sets the point before the last two digits; a fraction of zeros,
// as numeric columns have it, is no more than the whole.
func appendCents(dst, text []byte) ([]byte, bool) {
	whole, fraction, _ := bytes.Cut(text, []byte{'.'})
	if len(bytes.Trim(fraction, "0")) > 0 || len(whole) == 0 {
		return dst, false
	}
	for _, c := range whole {
		if c < '0' || c > '9' {
			return dst, false
		}
	}
	for len(whole) > 3 && whole[0] == '0' {
		whole = whole[1:]
	}
	switch len(whole) {
	case 1:
		return append(append(dst, "0.0"...), whole...), true
	case 2:
		return append(append(dst, "0."...), whole...), true
	}
	at := len(whole) - 2
	return append(append(append(dst, whole[:at]...), '.'), whole[at:]...), true
}

// appendGrouped drops the group signs, which must stand before three digits.
func appendGrouped(dst, text []byte, group, point byte) ([]byte, bool) {
	whole, fraction, pointed := bytes.Cut(text, []byte{point})
	if pointed && len(fraction) == 0 || len(whole)+len(fraction) == 0 {
		return dst, false
	}
	run, grouped, start := 0, false, len(dst)
	for i, c := range whole {
		switch {
		case c >= '0' && c <= '9':
			run++
			if len(dst) == start+1 && dst[start] == '0' {
				dst = dst[:start] // no needless zero in front
			}
			dst = append(dst, c)
		case group != 0 && c == group && i > 0 && (!grouped && run <= 3 || run == 3):
			grouped, run = true, 0
		default:
			return dst, false
		}
	}
	if grouped && run != 3 {
		return dst, false
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	if !pointed {
		return dst, true
	}
	dst = append(dst, '.')
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return dst, false
		}
	}
	return append(dst, fraction...), true
}
