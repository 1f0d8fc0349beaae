package r4

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// AppendJSON appends r as compact JSON on one line, without a newline at its
// end: "resourceType" first, then the elements in the tree's order, the
// `_name` sibling of a primitive right after it (R4, 2.6.2). Nodes with neither
// value nor content are left out. Strings are escaped as little as JSON allows;
// numbers are written as given. The memory between the end of the result and
// dst's capacity may be written to as well.
//
// The result is JSON whatever the tree holds: text that is no number or
// boolean where one belongs is written as a string, a second value of an
// element that does not repeat makes an array, and bytes that are not UTF-8
// become U+FFFD.
func (r *Resource) AppendJSON(dst []byte) []byte {
	if len(r.nodes) > manyNodes {
		// About what it comes to, in place of many steps that each leave their
		// megabytes behind.
		dst = slices.Grow(dst, len(r.text)+12*len(r.nodes))
	}
	return r.AppendNodeJSON(dst, Root)
}

// manyNodes is what few resources have beside rosters.
const manyNodes = 4096

// AppendNodeJSON appends n alone: an object, or a primitive's value. A
// primitive without a value is written as the object of its id and extensions.
func (r *Resource) AppendNodeJSON(dst []byte, n Node) []byte {
	nd := &r.nodes[n]
	t := shapes.types[nd.typ]
	switch {
	case t == nil:
		return append(dst, "null"...)
	case nd.size > 0 && t.kind == KindPrimitive:
		if t.form == FormString {
			dst = append(dst, '"')
			dst = appendText(dst, r.text[nd.off:nd.off+nd.size])
			return append(dst, '"')
		}
		return appendBare(dst, t.form, r.text[nd.off:nd.off+nd.size])
	}
	start := len(dst)
	dst = r.appendObject(dst, nd, t.head)
	if len(dst) > start {
		return dst
	}
	if t.head != "" {
		return append(append(dst, t.head...), '}')
	}
	return append(dst, '{', '}')
}

// headOf is the resourceType with which the object of a node of element e
// begins: nothing unless e holds any resource.
func headOf(e *Element, n *node) string {
	if t := shapes.types[n.typ]; e.typ == nil && t != nil {
		return t.head
	}
	return ""
}

// appendObject appends n's children as an object, or nothing if they are all
// empty. Every member is written with a comma before it; the first comma then
// becomes the opening brace, where no head ({"resourceType":"Patient") stands.
func (r *Resource) appendObject(dst []byte, n *node, head string) []byte {
	start := len(dst)
	c := n.first
	if c == None {
		return dst
	}
	if head != "" {
		dst = append(dst, head...)
	}
	members := len(dst)
	for c != None {
		nd := &r.nodes[c]
		e := shapes.elements[nd.elem]
		if e.repeats || nd.next != None && r.nodes[nd.next].elem == nd.elem {
			dst, c = r.appendArray(dst, c, e)
			continue
		}
		c = nd.next
		if nd.size == 0 {
			if nd.first == None {
				continue
			}
			before := len(dst)
			if e.form != FormNone {
				dst = append(dst, e.under...)
			} else {
				dst = appendKey(dst, e)
			}
			value := len(dst)
			dst = r.appendObject(dst, nd, headOf(e, nd))
			if len(dst) == value {
				dst = dst[:before]
			}
			continue
		}
		dst = appendKey(dst, e)
		if e.form == FormString {
			dst = appendSpan(dst, r.text, int(nd.off), int(nd.size))
			dst = append(dst, '"')
		} else {
			dst = appendBare(dst, e.form, r.text[nd.off:nd.off+nd.size])
		}
		if nd.first != None {
			before := len(dst)
			dst = append(dst, e.under...)
			value := len(dst)
			dst = r.appendObject(dst, nd, "")
			if len(dst) == value {
				dst = dst[:before]
			}
		}
	}
	if len(dst) == members {
		return dst[:start]
	}
	if members == start {
		dst[start] = '{'
	}
	return append(dst, '}')
}

// appendArray appends the run of repetitions that begins with c as one member,
// and returns the first node behind it.
func (r *Resource) appendArray(dst []byte, c Node, e *Element) ([]byte, Node) {
	if e.form != FormNone {
		return r.appendPrimitives(dst, c, e)
	}
	before := len(dst)
	dst = appendKey(dst, e)
	values := len(dst)
	for {
		nd := &r.nodes[c]
		if nd.elem != e.id {
			break
		}
		comma := len(dst)
		dst = append(dst, ',')
		dst = r.appendObject(dst, nd, headOf(e, nd))
		if len(dst) == comma+1 {
			dst = dst[:comma]
		}
		if c = nd.next; c == None {
			break
		}
	}
	if len(dst) == values {
		return dst[:before], c
	}
	dst[values] = '['
	return append(dst, ']'), c
}

// appendPrimitives is appendArray for primitives: values in one array, their
// ids and extensions in another, null where one of the two has nothing. An
// entry that has neither stands in no array.
func (r *Resource) appendPrimitives(dst []byte, first Node, e *Element) ([]byte, Node) {
	before := len(dst)
	dst = appendKey(dst, e)
	if e.form == FormString {
		dst = dst[:len(dst)-1] // the key's opening quote
	}
	values := len(dst)
	var anyValue, anyBelow bool
	c := first
	for c != None {
		nd := &r.nodes[c]
		if nd.elem != e.id {
			break
		}
		switch {
		case nd.size > 0:
			anyValue = true
			if e.form == FormString {
				dst = append(dst, ',', '"')
				dst = appendSpan(dst, r.text, int(nd.off), int(nd.size))
				dst = append(dst, '"')
			} else {
				dst = append(dst, ',')
				dst = appendBare(dst, e.form, r.text[nd.off:nd.off+nd.size])
			}
		case r.filled(nd):
			dst = append(dst, ",null"...)
		}
		anyBelow = anyBelow || nd.first != None && r.filled(nd)
		c = nd.next
	}
	if anyValue {
		dst[values] = '['
		dst = append(dst, ']')
	} else {
		dst = dst[:before]
	}
	if !anyBelow {
		return dst, c
	}
	dst = append(dst, e.under...)
	values = len(dst)
	for b := first; b != c; b = r.nodes[b].next {
		nd := &r.nodes[b]
		switch {
		case nd.first != None && r.filled(nd):
			dst = append(dst, ',')
			dst = r.appendObject(dst, nd, "")
		case nd.size > 0:
			dst = append(dst, ",null"...)
		}
	}
	dst[values] = '['
	return append(dst, ']'), c
}

// filled says that there is a value somewhere below n.
func (r *Resource) filled(n *node) bool {
	for c := n.first; c != None; {
		nd := &r.nodes[c]
		if nd.size > 0 || r.filled(nd) {
			return true
		}
		c = nd.next
	}
	return false
}

// appendBare appends a number or boolean as given, or as a string where it is
// neither.
func appendBare(dst []byte, form JSONForm, text []byte) []byte {
	if form == FormNumber && isNumber(text) || form == FormBool && isBool(text) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	dst = appendText(dst, text)
	return append(dst, '"')
}

func isBool(text []byte) bool { return string(text) == "true" || string(text) == "false" }

// isNumber says that text is a number by JSON's grammar (RFC 8259, 6).
func isNumber(text []byte) bool { return len(text) > 0 && numberLen(text) == len(text) }

// numberLen is the length of the JSON number at the beginning of b, 0 if there
// is none.
func numberLen(b []byte) int {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i == len(b) || b[i] < '0' || b[i] > '9':
		return 0
	case b[i] == '0':
		i++
	default:
		i = digits(b, i)
	}
	if i < len(b) && b[i] == '.' {
		j := digits(b, i+1)
		if j == i+1 {
			return 0
		}
		i = j
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		k := digits(b, j)
		if k == j {
			return 0
		}
		i = k
	}
	return i
}

// digits is the index of the first byte at or after i that is no digit.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// appendKey appends a comma, e's name, a colon and for strings the quote. A
// short key is copied as a block of fixed size, whose surplus is overwritten by
// what follows.
func appendKey(dst []byte, e *Element) []byte {
	n := len(dst)
	if e.keyLen > 0 && cap(dst)-n >= keySize {
		*(*[keySize]byte)(dst[n : n+keySize]) = e.short
		return dst[:n+int(e.keyLen)]
	}
	return append(dst, e.key...)
}

// special marks, by the highest bit of its bytes, what in eight bytes of a
// string is a quote, a backslash, a control character or not ASCII. Only the
// lowest mark is sure: a byte below 0x20, or equal to zero after the exclusive
// or, borrows its highest bit from the next byte.
func special(w uint64) uint64 {
	return (w | (w - lows*0x20) | ((w ^ lows*'"') - lows) | ((w ^ lows*'\\') - lows)) & highs
}

// appendSpan is appendText for text[at:at+size]. While there is room behind
// source and target it looks at eight bytes and copies them in one go; the
// surplus of the last eight is overwritten by what follows.
func appendSpan(dst, text []byte, at, size int) []byte {
	n := len(dst)
	from, to := text[at:cap(text)], dst[n:cap(dst)]
	if len(from) < size+8 || len(to) < size+8 {
		return appendText(dst, text[at:at+size])
	}
	i := 0
	for ; i+8 <= size; i += 8 {
		w := binary.LittleEndian.Uint64(from[i:])
		if special(w) != 0 {
			return appendEscaped(dst, text[at:at+size], plain(text[at:at+size], i))
		}
		binary.LittleEndian.PutUint64(to[i:], w)
	}
	w := binary.LittleEndian.Uint64(from[i:])
	if special(w)&(1<<(8*uint(size-i))-1) != 0 {
		return appendEscaped(dst, text[at:at+size], plain(text[at:at+size], i))
	}
	binary.LittleEndian.PutUint64(to[i:], w)
	return dst[:n+size]
}

// plain is the index of the first byte of s at or after i that is a quote, a
// backslash, a control character or not ASCII, len(s) if there is none. It
// looks at eight bytes at a time.
func plain(s []byte, i int) int {
	for ; i+8 <= len(s); i += 8 {
		if special(binary.LittleEndian.Uint64(s[i:])) != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

// appendText appends s without quotes, escaped where JSON demands it.
func appendText(dst, s []byte) []byte {
	i := plain(s, 0)
	if i == len(s) {
		return append(dst, s...)
	}
	return appendEscaped(dst, s, i)
}

func appendEscaped(dst, s []byte, i int) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i < len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			if _, size := utf8.DecodeRune(s[i:]); size > 1 {
				i += size
			} else {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				i++
				start = i
			}
			if i < len(s) && s[i] < utf8.RuneSelf {
				i = plain(s, i)
			}
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
		i = plain(s, i)
	}
	return append(dst, s[start:]...)
}
