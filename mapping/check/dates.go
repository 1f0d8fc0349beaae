package check

import (
	"fmt"
	"strings"
	"time"
)

// DateFormat reads dates written as text: YYYY-MM-DD, YYYYMMDD, DD-MON-YYYY,
// MM/DD/YYYY HH:MI:SS ... (rule 25).
type DateFormat struct {
	Text   string
	fields []dateField
	timed  bool
}

type dateField struct {
	kind    byte // Y M N(ame) D h m s, or 0 for literal text
	literal string
}

var dateWords = []struct {
	word string
	kind byte
}{{"YYYY", 'Y'}, {"MON", 'N'}, {"MM", 'M'}, {"DD", 'D'}, {"HH24", 'h'}, {"HH", 'h'}, {"MI", 'm'}, {"SS", 's'}}

// ParseDateFormat compiles a format; it needs year, month and day.
func ParseDateFormat(s string) (*DateFormat, error) {
	f := &DateFormat{Text: s}
	rest := s
	if strings.EqualFold(s, "ISO") {
		rest = "YYYY-MM-DD"
	}
	seen := map[byte]bool{}
next:
	for rest != "" {
		for _, w := range dateWords {
			if len(rest) >= len(w.word) && strings.EqualFold(rest[:len(w.word)], w.word) {
				kind := w.kind
				if seen[kind] || kind == 'M' && seen['N'] || kind == 'N' && seen['M'] {
					return nil, fmt.Errorf("date format %q names %s twice", s, w.word)
				}
				seen[kind] = true
				f.timed = f.timed || kind == 'h'
				f.fields = append(f.fields, dateField{kind: kind})
				rest = rest[len(w.word):]
				continue next
			}
		}
		c := rest[0]
		if c >= 'A' && c <= 'Z' && c != 'T' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return nil, fmt.Errorf("date format %q: %q is none of YYYY MM MON DD HH MI SS", s, rest)
		}
		f.fields = append(f.fields, dateField{literal: rest[:1]})
		rest = rest[1:]
	}
	if !seen['Y'] || !seen['M'] && !seen['N'] || !seen['D'] {
		return nil, fmt.Errorf("date format %q needs YYYY, MM or MON, and DD", s)
	}
	return f, nil
}

// Timed says that the format tells an hour.
func (f *DateFormat) Timed() bool { return f.timed }

const monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"

// Parse reads text; ok is false where it does not have the format or is no day
// of the calendar.
func (f *DateFormat) Parse(text []byte) (year, month, day, hour, minute, second int, ok bool) {
	number := func(width int) (int, bool) {
		if len(text) < width {
			return 0, false
		}
		n := 0
		for _, c := range text[:width] {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + int(c-'0')
		}
		text = text[width:]
		return n, true
	}
	for _, field := range f.fields {
		good := false
		switch field.kind {
		case 'Y':
			year, good = number(4)
		case 'M':
			month, good = number(2)
		case 'D':
			day, good = number(2)
		case 'h':
			hour, good = number(2)
		case 'm':
			minute, good = number(2)
		case 's':
			second, good = number(2)
		case 'N':
			if len(text) >= 3 {
				for m := 0; m < 12 && !good; m++ {
					if name := monthNames[m*3 : m*3+3]; text[0]|0x20 == name[0] && text[1]|0x20 == name[1] && text[2]|0x20 == name[2] {
						month, good = m+1, true
						text = text[3:]
					}
				}
			}
		default:
			if len(text) > 0 && text[0] == field.literal[0] {
				text, good = text[1:], true
			}
		}
		if !good {
			return 0, 0, 0, 0, 0, 0, false
		}
	}
	if len(text) > 0 || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, 0, 0, 0, 0, false
	}
	return year, month, day, hour, minute, second, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
