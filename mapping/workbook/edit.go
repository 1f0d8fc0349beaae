package workbook

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"remit/mapping/diag"
	"remit/mapping/syntax"
)

// edit replaces the bytes [from, to) of a file.
type edit struct {
	from, to int
	text     string
	// indent is that of a line which is added: of those added at one place the
	// deeper belong to what stands before.
	indent int
}

// text is a file as bytes with its lines found.
type text struct {
	data  []byte
	lines []int // offset of each line's first byte
	eol   string
}

func newText(data []byte) *text {
	t := &text{data: data, lines: []int{0}, eol: "\n"}
	for i, c := range data {
		if c == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	if bytes.Contains(data, []byte("\r\n")) {
		t.eol = "\r\n"
	}
	return t
}

// offset is the byte at a place; columns count characters.
func (t *text) offset(p diag.Pos) int {
	if p.Line < 1 || p.Line > len(t.lines) {
		return len(t.data)
	}
	at := t.lines[p.Line-1]
	for range p.Column - 1 {
		if at >= len(t.data) || t.data[at] == '\n' {
			break
		}
		_, size := utf8.DecodeRune(t.data[at:])
		at += size
	}
	return at
}

// line gives a line without its end.
func (t *text) line(i int) []byte {
	end := len(t.data)
	if i+1 < len(t.lines) {
		end = t.lines[i+1]
	}
	return bytes.TrimRight(t.data[t.lines[i]:end], "\r\n")
}

// lineOf is the 0-based line of an offset.
func (t *text) lineOf(offset int) int {
	i, found := slices.BinarySearch(t.lines, offset)
	if found {
		return i
	}
	return i - 1
}

// apply carries edits out. They must not overlap; those at one place keep
// their order, but for lines that are added.
func (t *text) apply(edits []edit) ([]byte, error) {
	sorted := slices.Clone(edits)
	slices.SortStableFunc(sorted, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.indent, a.indent))
	})
	var out bytes.Buffer
	at := 0
	for _, e := range sorted {
		if e.from < at || e.to < e.from || e.to > len(t.data) {
			return nil, fmt.Errorf("two changes meet at byte %d", e.from)
		}
		out.Write(t.data[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(t.data[at:])
	return out.Bytes(), nil
}

// span is the bytes of a scalar, quotes and block indicator included.
func (t *text) span(s *syntax.Text) (from, to int) {
	from = t.offset(s.Pos)
	if from >= len(t.data) {
		return from, from
	}
	switch t.data[from] {
	case '\'':
		for i := from + 1; i < len(t.data); i++ {
			if t.data[i] != '\'' {
				continue
			}
			if i+1 < len(t.data) && t.data[i+1] == '\'' {
				i++
				continue
			}
			return from, i + 1
		}
	case '"':
		for i := from + 1; i < len(t.data); i++ {
			switch t.data[i] {
			case '\\':
				i++
			case '"':
				return from, i + 1
			}
		}
	case '|', '>':
		return from, t.blockEnd(from)
	}
	return from, t.offset(s.At(len(s.Value)))
}

// blockEnd is the end of the last line of a block scalar's text.
func (t *text) blockEnd(from int) int {
	first := t.lineOf(from)
	end := t.lines[first] + len(t.line(first))
	indent := -1
	for i := first + 1; i < len(t.lines); i++ {
		l := t.line(i)
		if len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		n := indentOf(l)
		if indent < 0 {
			indent = n
		}
		if n < indent || indent == 0 {
			break
		}
		end = t.lines[i] + len(l)
	}
	return end
}

func indentOf(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

// flowEnd is the offset of the bracket that closes the one at from, or -1.
func (t *text) flowEnd(from int) int {
	depth := 0
	start := true // of a token: only there a quote opens a quoted scalar
	for i := from; i < len(t.data); i++ {
		switch c := t.data[i]; c {
		case '{', '[':
			depth++
			start = true
		case '}', ']':
			if depth--; depth == 0 {
				return i
			}
			start = false
		case ',':
			start = true
		case ' ', '\t', '\n', '\r':
			if i+1 < len(t.data) && t.data[i+1] == '#' {
				for i+1 < len(t.data) && t.data[i+1] != '\n' {
					i++
				}
			}
		case ':':
			if i+1 < len(t.data) && strings.IndexByte(" \t\n\r", t.data[i+1]) >= 0 {
				start = true
			}
		case '\'', '"':
			if !start {
				break
			}
			_, end := t.span(&syntax.Text{Pos: t.pos(i)})
			if end <= i {
				return -1
			}
			i = end - 1
			start = false
		default:
			start = false
		}
	}
	return -1
}

// pos is the place of an offset, without a file's name.
func (t *text) pos(offset int) diag.Pos {
	l := t.lineOf(offset)
	return diag.Pos{Line: l + 1, Column: utf8.RuneCount(t.data[t.lines[l]:offset]) + 1}
}

// inFlow says that an offset stands inside {} or []: what opens before it is
// still open there. The scan begins at the file's start, since nothing nearer
// is known to stand outside of a collection.
func (t *text) inFlow(offset int) bool {
	depth := 0
	start := true
	for i := 0; i < offset; i++ {
		switch c := t.data[i]; c {
		case '{', '[':
			if start || depth > 0 {
				depth++
			}
			start = true
		case '}', ']':
			if depth > 0 {
				depth--
			}
			start = false
		case ',':
			start = depth > 0
		case '\n':
			start = start || depth == 0
		case ' ', '\t', '\r':
			if i+1 < offset && t.data[i+1] == '#' {
				for i+1 < offset && t.data[i+1] != '\n' {
					i++
				}
			}
		case '#':
			if start && (i == 0 || t.data[i-1] == '\n') {
				for i+1 < offset && t.data[i+1] != '\n' {
					i++
				}
			}
		case ':', '-':
			start = i+1 < len(t.data) && strings.IndexByte(" \t\n\r", t.data[i+1]) >= 0
		case '|', '>':
			if start && depth == 0 {
				i = max(i, t.blockEnd(i)-1)
			}
			start = false
		case '\'', '"':
			if start {
				_, end := t.span(&syntax.Text{Pos: t.pos(i)})
				if end > offset {
					return depth > 0
				}
				i = max(i, end-1)
			}
			start = false
		default:
			start = false
		}
	}
	return depth > 0
}

// replace is the edit that gives a scalar another value, in the style it is
// written in where that can hold it.
func (t *text) replace(s *syntax.Text, value string) edit {
	from, to := t.span(s)
	flow := t.inFlow(from)
	old := byte(0)
	if from < len(t.data) {
		old = t.data[from]
	}
	indent := indentOf(t.line(t.lineOf(from)))
	if l := bytes.TrimLeft(t.line(t.lineOf(from)), " "); bytes.HasPrefix(l, []byte("- ")) {
		indent += len(l) - len(bytes.TrimLeft(l[1:], " "))
	}
	if t.commented(to) {
		// A comment behind it leaves room for one line, and SQL must be quoted
		// beside it.
		if strings.Contains(value, "\n") || old == '|' || old == '>' {
			flow = true
		}
		if strings.HasPrefix(value, "=") && old != '\'' {
			old = '"'
		}
	}
	return edit{from: from, to: to, text: t.scalar(value, old, flow, indent)}
}

// commented says that a comment follows on the line of an offset.
func (t *text) commented(offset int) bool {
	line := t.lineOf(offset)
	rest := t.line(line)[offset-t.lines[line]:]
	return bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte("#"))
}

// scalar writes a value as YAML. old is the first byte of the scalar it takes
// the place of, 0 for none; indent is that of the line that holds it.
func (t *text) scalar(value string, old byte, flow bool, indent int) string {
	if strings.Contains(value, "\n") && !flow && blockSafe(value) {
		pad := strings.Repeat(" ", indent+2)
		var b strings.Builder
		b.WriteString("|-")
		for line := range strings.SplitSeq(value, "\n") {
			b.WriteString(t.eol)
			if line != "" {
				b.WriteString(pad + line)
			}
		}
		return b.String()
	}
	plain := plainSafe(value, flow)
	if old == '\'' && printable(value) {
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	if plain && old != '"' {
		return value
	}
	if old != '"' && strings.ContainsAny(value, `"\`) && !strings.Contains(value, "'") && printable(value) {
		return "'" + value + "'"
	}
	return doubleQuoted(value)
}

func doubleQuoted(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// blockSafe says that a literal block keeps a text: no line begins with a
// blank where that would set the indentation, none ends it.
func blockSafe(s string) bool {
	if s[0] == ' ' || s[0] == '\n' || strings.HasSuffix(s, "\n") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
}

// plainSafe says that a text needs no quotes. Inside {} and [] only signs that
// no reader of YAML takes for its own are left bare.
func plainSafe(s string, flow bool) bool {
	if s == "" || !printable(s) || strings.TrimSpace(s) != s {
		return false
	}
	if strings.ContainsAny(s[:1], "-?:,[]{}#&*!|>'\"%@`<~") || s == "=" && flow {
		return false
	}
	if strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return false
	}
	return !flow || strings.Count(s, "'")%2 == 0 && strings.Count(s, "(") == strings.Count(s, ")") && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" _.-=()+*/<>|'", r)
	})
}

// insert is the edit that adds an entry to a map of set.
func (t *text) insert(owner *syntax.Node, key, value string) (edit, bool) {
	from := t.offset(owner.Pos)
	if from < len(t.data) && t.data[from] == '{' {
		return t.insertFlow(from, key, value)
	}
	return t.insertBlock(from, owner.Pos.Column-1, key, value), true
}

func (t *text) insertFlow(from int, key, value string) (edit, bool) {
	end := t.flowEnd(from)
	if end < 0 {
		return edit{}, false
	}
	at := end
	for at > from && strings.IndexByte(" \t\r\n", t.data[at-1]) >= 0 {
		at--
	}
	lead := ", "
	switch t.data[at-1] {
	case ',':
		lead = " "
	case '{':
		lead = ""
	}
	return edit{from: at, to: at, text: lead + t.key(key, true) + ": " + value}, true
}

// insertBlock adds a line after the last line of a block map whose keys stand
// at column indent.
func (t *text) insertBlock(from, indent int, key, value string) edit {
	last := t.lineOf(from)
	for i := last + 1; i < len(t.lines); i++ {
		l := t.line(i)
		trimmed := bytes.TrimLeft(l, " \t")
		if len(trimmed) == 0 || trimmed[0] == '#' {
			continue
		}
		if indentOf(l) < indent {
			break
		}
		last = i
	}
	return t.after(last, indent, t.key(key, false)+": "+value)
}

// after adds a line below a line.
func (t *text) after(line, indent int, content string) edit {
	content = strings.Repeat(" ", indent) + content
	if line+1 < len(t.lines) {
		at := t.lines[line+1]
		return edit{at, at, content + t.eol, indent}
	}
	at := len(t.data) // the last line has no end
	return edit{at, at, t.eol + content, indent}
}

// key writes a key of a map.
func (t *text) key(s string, flow bool) string {
	if plainSafe(s, flow) && !(flow && strings.ContainsAny(s, "[]")) {
		return s
	}
	return doubleQuoted(s)
}
