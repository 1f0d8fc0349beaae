package r4

import (
	"bytes"
	"unicode/utf8"
)

// validXHTML says that b is one well-formed div element, with white space
// around it: tags balanced, attributes quoted and not twice, references
// closed, no declaration, processing instruction or CDATA. Which elements and
// attributes a narrative may have is the business of its invariants txt-1 and
// txt-2 (R4, 2.4.0 "Narrative").
func validXHTML(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	b = bytes.TrimSpace(b)
	x := xhtml{b: b}
	if !x.tag() || string(b[x.last.from:x.last.to]) != "div" {
		return false
	}
	for len(x.open) > 0 {
		c := x.at(0)
		switch {
		case x.i >= len(b):
			return false
		case c == '&':
			if !x.reference() {
				return false
			}
		case c != '<':
			if c < ' ' && !isSpace(c) {
				return false
			}
			x.i++
		case x.at(1) == '/':
			if !x.end() {
				return false
			}
		case x.at(1) == '!':
			if !x.comment() {
				return false
			}
		default:
			if !x.tag() {
				return false
			}
		}
	}
	return x.i == len(b)
}

// span is a name's place.
type span struct{ from, to int }

// xhtml is a place in a narrative.
type xhtml struct {
	b     []byte
	i     int
	open  []span // elements not yet closed
	attrs []span // attributes of the tag at hand
	last  span   // name of the tag at hand
}

func (x *xhtml) at(n int) byte {
	if x.i+n < len(x.b) {
		return x.b[x.i+n]
	}
	return 0
}

func (x *xhtml) space() bool {
	from := x.i
	for isSpace(x.at(0)) {
		x.i++
	}
	return x.i > from
}

func (x *xhtml) name() (span, bool) {
	from := x.i
	for {
		c := x.at(0)
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':' || c >= utf8.RuneSelf
		if !letter && (x.i == from || !isDigit(c) && c != '-' && c != '.') {
			return span{from, x.i}, x.i > from
		}
		x.i++
	}
}

// tag reads a start tag, or an empty element.
func (x *xhtml) tag() bool {
	if x.at(0) != '<' {
		return false
	}
	x.i++
	name, ok := x.name()
	if !ok {
		return false
	}
	x.last, x.attrs = name, x.attrs[:0]
	for {
		space := x.space()
		switch c := x.at(0); {
		case c == '>':
			x.i++
			x.open = append(x.open, name)
			return true
		case c == '/' && x.at(1) == '>':
			x.i += 2
			return true
		case !space:
			return false
		}
		if !x.attribute() {
			return false
		}
	}
}

func (x *xhtml) attribute() bool {
	name, ok := x.name()
	if !ok {
		return false
	}
	for _, a := range x.attrs {
		if bytes.Equal(x.b[a.from:a.to], x.b[name.from:name.to]) {
			return false
		}
	}
	x.attrs = append(x.attrs, name)
	x.space()
	if x.at(0) != '=' {
		return false
	}
	x.i++
	x.space()
	quote := x.at(0)
	if quote != '"' && quote != '\'' {
		return false
	}
	x.i++
	for {
		switch c := x.at(0); {
		case x.i >= len(x.b) || c == '<' || c < ' ' && !isSpace(c):
			return false
		case c == quote:
			x.i++
			return true
		case c == '&':
			if !x.reference() {
				return false
			}
		default:
			x.i++
		}
	}
}

// end reads an end tag, which must be that of the innermost element.
func (x *xhtml) end() bool {
	x.i += 2
	name, ok := x.name()
	if !ok {
		return false
	}
	x.space()
	last := x.open[len(x.open)-1]
	if x.at(0) != '>' || !bytes.Equal(x.b[last.from:last.to], x.b[name.from:name.to]) {
		return false
	}
	x.i++
	x.open = x.open[:len(x.open)-1]
	return true
}

// reference reads &name; &#10; or &#xA; . Names are HTML's, and not looked up.
func (x *xhtml) reference() bool {
	x.i++
	from := x.i
	number := x.at(0) == '#'
	if number {
		x.i++
		from++
		if x.at(0) == 'x' {
			x.i++
			from++
			for isDigit(x.at(0)) || x.at(0)|0x20 >= 'a' && x.at(0)|0x20 <= 'f' {
				x.i++
			}
		} else {
			x.i = digits(x.b, x.i)
		}
	} else if _, ok := x.name(); !ok {
		return false
	}
	if x.i == from || x.at(0) != ';' {
		return false
	}
	x.i++
	return true
}

// comment reads over a comment, which holds no "--".
func (x *xhtml) comment() bool {
	if !bytes.HasPrefix(x.b[x.i:], []byte("<!--")) {
		return false
	}
	x.i += 4
	n := bytes.Index(x.b[x.i:], []byte("--"))
	if n < 0 {
		return false
	}
	x.i += n + 2
	if x.at(0) != '>' {
		return false
	}
	x.i++
	return true
}
