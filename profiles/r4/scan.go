package r4

import (
	"bytes"
	"unicode/utf8"
)

// scanner reads JSON by RFC 8259, byte by byte, and nothing more lenient.
// Methods that read return false on a fault, with pos where it shows.
type scanner struct {
	data    []byte
	pos     int
	fault   string
	open    []byte // skip: the brackets not yet closed
	scratch []byte // an unescaped key
}

func (s *scanner) reset(data []byte) {
	s.data, s.pos, s.fault = data, 0, ""
}

// syntax notes what is not JSON, and returns false.
func (s *scanner) syntax(fault string) bool {
	if s.pos >= len(s.data) {
		fault = "the text ends too early"
	}
	s.fault = fault
	return false
}

// peek is the byte at pos, 0 at the end. A 0 in the text is nowhere allowed
// where peek looks, so the two need not be told apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// key reads a member's name and goes to its value. The name is borrowed until
// the next key.
func (s *scanner) key() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.syntax("expected a property")
	}
	start := s.pos + 1
	var name []byte
	if end := plain(s.data, start); end < len(s.data) && s.data[end] == '"' {
		name = s.data[start:end]
		s.pos = end + 1
	} else {
		var ok bool
		if name, _, ok = s.text(s.scratch[:0]); !ok {
			return nil, false
		}
		s.scratch = name
	}
	s.space()
	if s.peek() != ':' {
		return nil, s.syntax("expected a colon")
	}
	s.pos++
	s.space()
	return name, true
}

// flaws are what a string may have and still be JSON.
type flaws uint8

const (
	badUTF8 flaws = 1 << iota
	loneSurrogate
	nul
)

// text reads the string at pos and appends it, unescaped, to dst.
func (s *scanner) text(dst []byte) ([]byte, flaws, bool) {
	var f flaws
	s.pos++
	for {
		run := s.pos
		s.pos = plain(s.data, run)
		dst = append(dst, s.data[run:s.pos]...)
		if s.pos >= len(s.data) {
			return dst, f, s.syntax("")
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return dst, f, true
		case c == '\\':
			var ok bool
			if dst, ok = s.escape(dst, &f); !ok {
				return dst, f, false
			}
		case c >= utf8.RuneSelf:
			// Foreign letters come in company: read on until one is plain.
			for s.pos < len(s.data) && s.data[s.pos] >= utf8.RuneSelf {
				c, size := utf8.DecodeRune(s.data[s.pos:])
				if c == utf8.RuneError && size == 1 {
					f |= badUTF8
				}
				dst = utf8.AppendRune(dst, c)
				s.pos += size
			}
		default:
			return dst, f, s.syntax("control character in a string")
		}
	}
}

// escape reads the escape sequence at pos.
func (s *scanner) escape(dst []byte, f *flaws) ([]byte, bool) {
	s.pos++
	c := s.peek()
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(dst, f)
	default:
		return dst, s.syntax("unknown escape in a string")
	}
	s.pos++
	return append(dst, c), true
}

// unicode reads \uXXXX from its u on, and its other half where it is one of a
// surrogate pair.
func (s *scanner) unicode(dst []byte, f *flaws) ([]byte, bool) {
	c, ok := s.hex(s.pos + 1)
	if !ok {
		return dst, s.syntax("expected four hexadecimal digits")
	}
	s.pos += 5
	switch {
	case c == 0:
		*f |= nul
	case c >= 0xD800 && c < 0xE000:
		low := rune(0)
		if c < 0xDC00 && s.pos+1 < len(s.data) && s.data[s.pos] == '\\' && s.data[s.pos+1] == 'u' {
			low, _ = s.hex(s.pos + 2)
		}
		if low >= 0xDC00 && low < 0xE000 {
			s.pos += 6
			c = (c-0xD800)<<10 + (low - 0xDC00) + 0x10000
		} else {
			*f |= loneSurrogate
			c = utf8.RuneError
		}
	}
	return utf8.AppendRune(dst, c), true
}

func (s *scanner) hex(i int) (rune, bool) {
	if i+4 > len(s.data) {
		return 0, false
	}
	var v rune
	for _, c := range s.data[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// skip reads over any value.
func (s *scanner) skip() bool {
	s.open = s.open[:0]
	for {
		s.space()
		switch c := s.peek(); {
		case c == '{':
			s.pos++
			s.open = append(s.open, '}')
			s.space()
			if s.peek() != '}' {
				if !s.skipKey() {
					return false
				}
				continue
			}
		case c == '[':
			s.pos++
			s.open = append(s.open, ']')
			s.space()
			if s.peek() != ']' {
				continue
			}
		case c == '"':
			if !s.skipString() {
				return false
			}
		default:
			if !s.skipScalar() {
				return false
			}
		}
		// Behind a value: close what ends here, or go on to the next one.
		for {
			if len(s.open) == 0 {
				return true
			}
			s.space()
			end := s.open[len(s.open)-1]
			c := s.peek()
			if c == end {
				s.pos++
				s.open = s.open[:len(s.open)-1]
				continue
			}
			if c != ',' {
				if end == '}' {
					return s.syntax("expected a comma or the end of the object")
				}
				return s.syntax("expected a comma or the end of the array")
			}
			s.pos++
			s.space()
			if end == '}' && !s.skipKey() {
				return false
			}
			break
		}
	}
}

func (s *scanner) skipKey() bool {
	if s.peek() != '"' {
		return s.syntax("expected a property")
	}
	if !s.skipString() {
		return false
	}
	s.space()
	if s.peek() != ':' {
		return s.syntax("expected a colon")
	}
	s.pos++
	return true
}

// skipString reads over the string at pos.
func (s *scanner) skipString() bool {
	s.pos++
	for {
		s.pos = plain(s.data, s.pos)
		switch c := s.peek(); {
		case s.pos >= len(s.data):
			return s.syntax("")
		case c == '"':
			s.pos++
			return true
		case c == '\\':
			s.pos++
			switch s.peek() {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				s.pos++
			case 'u':
				if _, ok := s.hex(s.pos + 1); !ok {
					return s.syntax("expected four hexadecimal digits")
				}
				s.pos += 5
			default:
				return s.syntax("unknown escape in a string")
			}
		case c >= utf8.RuneSelf:
			s.pos++
		default:
			return s.syntax("control character in a string")
		}
	}
}

// skipScalar reads over the number, true, false or null at pos.
func (s *scanner) skipScalar() bool {
	rest := s.data[min(s.pos, len(s.data)):]
	for _, word := range [...]string{"null", "true", "false"} {
		if len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.pos += len(word)
			return s.delimited()
		}
	}
	n := numberLen(rest)
	if n == 0 {
		return s.syntax(s.noValue())
	}
	s.pos += n
	return s.delimited()
}

// noValue says what stands where a value should: of the two things that whole files
// begin with by mistake it tells by name.
func (s *scanner) noValue() string {
	switch before := bytes.TrimSpace(s.data[:s.pos]); {
	case len(before) > 0 || s.pos >= len(s.data):
	case bytes.HasPrefix(s.data[s.pos:], []byte("\ufeff")):
		return "begins with a byte order mark, which JSON must not have" // RFC 8259, section 8.1
	case s.data[s.pos] == '<':
		return "expected JSON, found what looks like XML"
	}
	return "expected a value"
}

// delimited says that a number or word ends at pos.
func (s *scanner) delimited() bool {
	switch s.peek() {
	case 0, ' ', '\t', '\n', '\r', ',', ']', '}':
		return true
	}
	return s.syntax("expected a comma or an end")
}

// kindAt names the kind of the value that begins at i.
func (s *scanner) kindAt(i int) string {
	switch c := s.data[i]; c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}
