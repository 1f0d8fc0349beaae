// Package syntax reads the YAML of a mapping set into trees whose every node
// knows its place. It checks the form of a file (keys, kinds of values, the
// traps of YAML) and reports everything it finds at once; what the names mean
// is for the checker. The room knows neither FHIR nor SQL.
package syntax

import (
	"strings"
	"unicode/utf8"

	"remit/mapping/diag"
)

// style is how a scalar is written.
type style uint8

const (
	plain style = iota
	singleQuoted
	doubleQuoted
	literalBlock
	foldedBlock
)

// Text is a scalar as written: never a number, a boolean or a null.
type Text struct {
	Pos   diag.Pos
	Value string
	style style
	doc   *document
}

// IsSQL says that the text is SQL: it starts with one equals sign.
func (t *Text) IsSQL() bool {
	return strings.HasPrefix(t.Value, "=") && !strings.HasPrefix(t.Value, "==")
}

// SQL is the text after the equals sign, and the offset in Value at which it
// starts.
func (t *Text) SQL() (sql string, offset int) {
	rest := strings.TrimLeft(t.Value[1:], " \t\n")
	return strings.TrimRight(rest, " \t\n"), len(t.Value) - len(rest)
}

// Literal is the text as a literal: "==x" stands for "=x".
func (t *Text) Literal() string {
	if strings.HasPrefix(t.Value, "==") {
		return t.Value[1:]
	}
	return t.Value
}

// At is the place of the byte at offset in Value, through quotes, escapes,
// folded lines and block indentation. An offset beyond the text is its end.
func (t *Text) At(offset int) diag.Pos {
	if t.doc == nil || offset <= 0 && t.style == plain {
		return t.Pos
	}
	offset = min(max(offset, 0), len(t.Value))
	c := cursor{doc: t.doc, line: t.Pos.Line - 1, column: t.Pos.Column - 1}
	switch t.style {
	case singleQuoted, doubleQuoted:
		c.next()
	case literalBlock, foldedBlock:
		c.line++
		c.column = 0
		c.skipBlank()
		c.indent = c.column
	}
	for i := 0; i < offset; {
		r, size := utf8.DecodeRuneInString(t.Value[i:])
		c.take(r, t.style)
		i += size
	}
	c.settle(t.Value[offset:], t.style)
	return diag.Pos{File: t.Pos.File, Line: c.line + 1, Column: c.column + 1}
}

// document is the source of a file as lines of characters.
type document struct {
	name  string
	lines [][]rune
}

func newDocument(name string, data []byte) *document {
	d := &document{name: name}
	for line := range strings.SplitSeq(string(data), "\n") {
		d.lines = append(d.lines, []rune(strings.TrimSuffix(line, "\r")))
	}
	return d
}

// line is the text of a 1-based line.
func (d *document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return string(d.lines[n-1])
}

// cursor walks the source beside the decoded text.
type cursor struct {
	doc          *document
	line, column int // 0-based
	indent       int // of a block
}

func (c *cursor) rune() (rune, bool) {
	if c.line >= len(c.doc.lines) {
		return 0, false
	}
	if l := c.doc.lines[c.line]; c.column < len(l) {
		return l[c.column], true
	}
	return '\n', true
}

func (c *cursor) next() {
	if r, ok := c.rune(); ok && r == '\n' {
		c.line++
		c.column = 0
		return
	}
	c.column++
}

// skipBlank moves over blank lines and indentation.
func (c *cursor) skipBlank() {
	for {
		r, ok := c.rune()
		if !ok || r != ' ' && r != '\t' && r != '\n' {
			return
		}
		c.next()
	}
}

// take moves over the source of one decoded character.
func (c *cursor) take(want rune, s style) {
	r, ok := c.rune()
	if !ok {
		return
	}
	if want == ' ' || want == '\n' {
		if r == '\n' {
			// A folded line: the break and the next line's indentation.
			c.next()
			if s == literalBlock && want == '\n' {
				c.skipIndent()
				return
			}
			c.skipBlank()
			return
		}
		if s == plain || s == singleQuoted || s == doubleQuoted {
			// Blanks before a break belong to the break.
			at := *c
			for r == ' ' || r == '\t' {
				c.next()
				r, _ = c.rune()
			}
			if r == '\n' {
				c.next()
				c.skipBlank()
				return
			}
			*c = at
			r, _ = c.rune()
		}
	}
	switch {
	case s == singleQuoted && r == '\'':
		c.next()
		c.next()
	case s == doubleQuoted && r == '\\':
		c.next()
		e, _ := c.rune()
		c.next()
		digits := 0
		switch e {
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		}
		for range digits {
			c.next()
		}
	default:
		c.next()
	}
}

// skipIndent moves over the indentation of a block's line.
func (c *cursor) skipIndent() {
	for {
		r, ok := c.rune()
		if !ok || r != ' ' || c.column >= c.indent {
			return
		}
		c.next()
	}
}

// settle moves from a line's end to the character that follows it in the text.
func (c *cursor) settle(rest string, s style) {
	if rest == "" {
		return
	}
	if r, ok := c.rune(); ok && r == '\n' && rest[0] != ' ' && rest[0] != '\n' && s != plain {
		c.next()
		c.skipBlank()
	}
}
