package fhirpath

import (
	"strings"
	"unicode/utf8"
)

// tok is the kind of a token.
type tok uint8

const (
	tokEOF tok = iota
	tokIdent
	tokQuoted // `identifier`
	tokString
	tokNumber
	tokDate     // date or dateTime, text without @
	tokTime     // time, text without @T
	tokVariable // %name
	tokDollar   // $this
	tokOp       // one of the operators and marks
)

type token struct {
	kind tok
	text string // unescaped
	pos  int    // 0-based byte offset
}

// is says that t is the operator or mark text.
func (t token) is(text string) bool { return t.kind == tokOp && t.text == text }

// word says that t is the plain identifier text.
func (t token) word(text string) bool { return t.kind == tokIdent && t.text == text }

// describe names a token for a message.
func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end of the expression"
	case tokString:
		return "a string"
	case tokNumber:
		return "a number"
	case tokDate, tokTime:
		return "a date or time"
	}
	return "\"" + t.text + "\""
}

// lexer cuts the text into tokens (FHIRPath 2.0.0, section 7 and appendix B).
type lexer struct {
	src string
	pos int
}

func (l *lexer) errorf(pos int, message string) *Error {
	return newError(l.src, Syntax, pos, message)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func (l *lexer) at(i int) byte {
	if i < len(l.src) {
		return l.src[i]
	}
	return 0
}

// space passes over white space and comments.
func (l *lexer) space() *Error {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.pos++
		case c == '/' && l.at(l.pos+1) == '/':
			end := strings.IndexAny(l.src[l.pos:], "\r\n")
			if end < 0 {
				l.pos = len(l.src)
			} else {
				l.pos += end
			}
		case c == '/' && l.at(l.pos+1) == '*':
			end := strings.Index(l.src[l.pos+2:], "*/")
			if end < 0 {
				return l.errorf(l.pos, "comment is not closed")
			}
			l.pos += end + 4
		case c == 0xC2 && l.at(l.pos+1) == 0xA0: // no-break space, met in published invariants
			l.pos += 2
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) next() (token, *Error) {
	if err := l.space(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start >= len(l.src) {
		return token{kind: tokEOF, pos: start}, nil
	}
	c := l.src[start]
	switch {
	case isLetter(c):
		return token{tokIdent, l.name(), start}, nil
	case isDigit(c):
		return token{tokNumber, l.number(), start}, nil
	case c == '\'':
		text, err := l.quoted('\'')
		return token{tokString, text, start}, err
	case c == '`':
		text, err := l.quoted('`')
		if err == nil && text == "" {
			err = l.errorf(start, "name is empty")
		}
		return token{tokQuoted, text, start}, err
	case c == '@':
		return l.temporal()
	case c == '$':
		l.pos++
		if !isLetter(l.at(l.pos)) {
			return token{}, l.errorf(start, "expected $this, $index or $total")
		}
		return token{tokDollar, l.name(), start}, nil
	case c == '%':
		l.pos++
		var text string
		var err *Error
		switch q := l.at(l.pos); {
		case isLetter(q):
			text = l.name()
		case q == '`' || q == '\'' || q == '"': // %"ext-x" is the form of older guides
			text, err = l.quoted(q)
		default:
			err = l.errorf(start, "expected a name after %")
		}
		return token{tokVariable, text, start}, err
	}
	for _, op := range [...]string{"<=", ">=", "!=", "!~"} {
		if strings.HasPrefix(l.src[start:], op) {
			l.pos += len(op)
			return token{tokOp, op, start}, nil
		}
	}
	if strings.IndexByte("=~<>+-*/&|.,()[]{}", c) >= 0 {
		l.pos++
		return token{tokOp, l.src[start : start+1], start}, nil
	}
	if _, size := utf8.DecodeRuneInString(l.src[start:]); size > 1 {
		return token{}, l.errorf(start, "unexpected character \""+l.src[start:start+size]+"\"")
	}
	if c >= ' ' && c < 0x7f {
		return token{}, l.errorf(start, "unexpected character \""+string(c)+"\"")
	}
	return token{}, l.errorf(start, "unexpected control character or invalid UTF-8")
}

func (l *lexer) name() string {
	start := l.pos
	for isLetter(l.at(l.pos)) || isDigit(l.at(l.pos)) {
		l.pos++
	}
	return l.src[start:l.pos]
}

func (l *lexer) digits() int {
	start := l.pos
	for isDigit(l.at(l.pos)) {
		l.pos++
	}
	return l.pos - start
}

// number is digits with an optional fraction; "1.not()" is 1 and a call.
func (l *lexer) number() string {
	start := l.pos
	l.digits()
	if l.at(l.pos) == '.' && isDigit(l.at(l.pos+1)) {
		l.pos++
		l.digits()
	}
	return l.src[start:l.pos]
}

// quoted reads text up to the closing quote and undoes the escapes.
func (l *lexer) quoted(q byte) (string, *Error) {
	start := l.pos
	l.pos++
	end := strings.IndexByte(l.src[l.pos:], q)
	if end >= 0 && strings.IndexByte(l.src[l.pos:l.pos+end], '\\') < 0 {
		text := l.src[l.pos : l.pos+end]
		l.pos += end + 1
		return text, nil
	}
	var b strings.Builder
	for {
		c := l.at(l.pos)
		switch {
		case l.pos >= len(l.src):
			return "", l.errorf(start, "quotation is not closed")
		case c == q:
			l.pos++
			return b.String(), nil
		case c != '\\':
			b.WriteByte(c)
			l.pos++
			continue
		}
		e := l.at(l.pos + 1)
		switch e {
		case '\'', '"', '`', '\\', '/':
			b.WriteByte(e)
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(l.src, l.pos+2)
			if !ok {
				return "", l.errorf(l.pos, "expected four hexadecimal digits after \\u")
			}
			l.pos += 4
			if r >= 0xD800 && r < 0xDC00 && l.at(l.pos+2) == '\\' && l.at(l.pos+3) == 'u' {
				if low, ok := hex4(l.src, l.pos+4); ok && low >= 0xDC00 && low < 0xE000 {
					r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
					l.pos += 6
				}
			}
			b.WriteRune(r)
		default:
			return "", l.errorf(l.pos, "unknown escape in a quotation")
		}
		l.pos += 2
	}
}

func hex4(s string, at int) (rune, bool) {
	if at+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[at : at+4]) {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// temporal reads @2015-02-04T14:34:28.123+09:00 or @T14:34. It only finds the
// extent; the value is judged by the parser.
func (l *lexer) temporal() (token, *Error) {
	start := l.pos
	l.pos++
	if l.at(l.pos) == 'T' {
		l.pos++
		from := l.pos
		l.clock()
		l.zone() // a time has no zone: the parser turns it into a faulty literal
		return token{tokTime, l.src[from:l.pos], start}, nil
	}
	from := l.pos
	if l.digits() == 0 {
		return token{}, l.errorf(start, "expected a date or time after @")
	}
	for range 2 {
		if l.at(l.pos) == '-' && isDigit(l.at(l.pos+1)) && isDigit(l.at(l.pos+2)) && !isDigit(l.at(l.pos+3)) {
			l.pos += 3
		}
	}
	if l.at(l.pos) == 'T' {
		l.pos++
		if isDigit(l.at(l.pos)) {
			l.clock()
			l.zone()
		}
	}
	return token{tokDate, l.src[from:l.pos], start}, nil
}

func (l *lexer) clock() {
	l.digits()
	for range 2 {
		if l.at(l.pos) == ':' && isDigit(l.at(l.pos+1)) {
			l.pos++
			l.digits()
		}
	}
	if l.at(l.pos) == '.' && isDigit(l.at(l.pos+1)) {
		l.pos++
		l.digits()
	}
}

func (l *lexer) zone() {
	switch c := l.at(l.pos); {
	case c == 'Z':
		l.pos++
	case (c == '+' || c == '-') && isDigit(l.at(l.pos+1)) && isDigit(l.at(l.pos+2)) && l.at(l.pos+3) == ':' &&
		isDigit(l.at(l.pos+4)) && isDigit(l.at(l.pos+5)):
		l.pos += 6
	}
}
