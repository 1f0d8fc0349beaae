package source

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind sorts the lexical units that matter for guarding SQL of a mapping.
type tokenKind uint8

const (
	tokenWord    tokenKind = iota // unquoted name or keyword
	tokenQuoted                   // "quoted name"
	tokenString                   // 'text', E'text', $tag$text$tag$
	tokenNumber                   //
	tokenParam                    // $1, ?
	tokenComment                  // -- or /* */
	tokenPunct                    // any other character
)

type token struct {
	kind       tokenKind
	start, end int // byte offsets
	open       bool
}

// scan splits SQL text into tokens as PostgreSQL does (PostgreSQL 15, 4.1
// Lexical Structure); DuckDB's lexer is derived from it. It never fails: an
// unterminated token has open set.
func scan(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		start := i
		c := s[i]
		t := token{kind: tokenPunct, start: start}
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
			continue
		case strings.HasPrefix(s[i:], "--"):
			t.kind = tokenComment
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(s)
			}
		case strings.HasPrefix(s[i:], "/*"):
			t.kind = tokenComment
			if n := strings.Index(s[i+2:], "*/"); n >= 0 {
				i += n + 4
			} else {
				i, t.open = len(s), true
			}
		case c == '\'':
			t.kind = tokenString
			i, t.open = scanQuoted(s, i, '\'', false)
		case (c == 'e' || c == 'E') && i+1 < len(s) && s[i+1] == '\'':
			t.kind = tokenString
			i, t.open = scanQuoted(s, i+1, '\'', true)
		case c == '"':
			t.kind = tokenQuoted
			i, t.open = scanQuoted(s, i, '"', false)
		case c == '$':
			t.kind, i, t.open = scanDollar(s, i)
		case c == '?':
			t.kind = tokenParam
			i++
		case c >= '0' && c <= '9':
			t.kind = tokenNumber
			for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || s[i] == '_' ||
				(s[i]|0x20) >= 'a' && (s[i]|0x20) <= 'z') {
				i++
			}
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			i += size
			if r == '_' || unicode.IsLetter(r) {
				t.kind = tokenWord
				for i < len(s) {
					r, size = utf8.DecodeRuneInString(s[i:])
					if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
						break
					}
					i += size
				}
			}
		}
		t.end = i
		out = append(out, t)
	}
	return out
}

func scanQuoted(s string, i int, quote byte, backslash bool) (end int, open bool) {
	for i++; i < len(s); i++ {
		switch {
		case backslash && s[i] == '\\':
			i++
		case s[i] == quote:
			if i+1 < len(s) && s[i+1] == quote {
				i++
				continue
			}
			return i + 1, false
		}
	}
	return len(s), true
}

func scanDollar(s string, i int) (kind tokenKind, end int, open bool) {
	j := i + 1
	if j < len(s) && s[j] >= '0' && s[j] <= '9' {
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		return tokenParam, j, false
	}
	for j < len(s) && (s[j] == '_' || s[j] >= 0x80 || (s[j]|0x20) >= 'a' && (s[j]|0x20) <= 'z' || j > i+1 && s[j] >= '0' && s[j] <= '9') {
		j++
	}
	if j < len(s) && s[j] == '$' {
		tag := s[i : j+1]
		if n := strings.Index(s[j+1:], tag); n >= 0 {
			return tokenString, j + 1 + n + len(tag), false
		}
		return tokenString, len(s), true
	}
	// A lone $ or $name: DuckDB reads the latter as a named parameter.
	return tokenParam, j, false
}

// volatileWords are the names whose value differs from one run to the next on
// either engine: with parentheses or (marked true) also without.
var volatileWords = map[string]bool{
	"current_date": true, "current_time": true, "current_timestamp": true,
	"localtime": true, "localtimestamp": true,
	"current_user": true, "session_user": true, "current_role": true, "user": true,
	"now": false, "today": false, "get_current_time": false, "get_current_timestamp": false,
	"transaction_timestamp": false, "statement_timestamp": false, "clock_timestamp": false, "timeofday": false,
	"random": false, "setseed": false, "random_normal": false,
	"nextval": false, "currval": false, "lastval": false, "setval": false,
	"gen_random_uuid": false, "uuid": false, "uuidv4": false, "uuidv7": false,
	"txid_current": false, "pg_current_xact_id": false, "current_setting": false, "set_config": false,
	"pg_sleep": false, "pg_sleep_for": false, "pg_sleep_until": false, "getvariable": false, "getenv": false,
}

// CheckExpr refuses a scalar expression that could not be set safely between
// parentheses: empty, with a semicolon, comment, bound parameter, unbalanced
// bracket or unterminated string; and one that calls a volatile function. more
// names further volatile functions (lower case), as the engine's own catalogue
// lists them. The error has Part and Index unset; nil means it may be prepared.
func CheckExpr(sql string, more map[string]bool) *SQLError {
	tokens := scan(sql)
	if len(tokens) == 0 {
		return &SQLError{Offset: 0, Code: "syntax", Message: "the expression is empty"}
	}
	if err := checkTokens(sql, tokens, false); err != nil {
		return err
	}
	return checkVolatile(sql, tokens, more)
}

// CheckRelation refuses a source query that is not one SELECT (or WITH, VALUES)
// that may stand in parentheses; comments are allowed. See CheckExpr.
func CheckRelation(sql string, more map[string]bool) *SQLError {
	tokens := scan(sql)
	if err := checkTokens(sql, tokens, true); err != nil {
		err.Part = PartRelation
		return err
	}
	for _, t := range tokens {
		if t.kind == tokenComment || t.kind == tokenPunct && sql[t.start] == '(' {
			continue
		}
		switch word := strings.ToLower(sql[t.start:t.end]); word {
		case "select", "with", "values", "table":
			if err := checkVolatile(sql, tokens, more); err != nil {
				err.Part = PartRelation
				return err
			}
			return nil
		default:
			return &SQLError{Part: PartRelation, Offset: t.start, Code: "syntax", Message: "a source query starts with SELECT or WITH"}
		}
	}
	return &SQLError{Part: PartRelation, Offset: 0, Code: "syntax", Message: "the query is empty"}
}

func checkTokens(sql string, tokens []token, comments bool) *SQLError {
	fault := func(at int, format string, args ...any) *SQLError {
		return &SQLError{Offset: at, Code: "syntax", Message: fmt.Sprintf(format, args...)}
	}
	if at := strings.IndexByte(sql, 0); at >= 0 {
		return fault(at, "a NUL character may not stand here")
	}
	if !utf8.ValidString(sql) {
		return fault(-1, "the text is not UTF-8")
	}
	var brackets []token
	for _, t := range tokens {
		switch t.kind {
		case tokenComment:
			if !comments {
				return fault(t.start, "a comment may not stand in an expression")
			}
			if t.open {
				return fault(t.start, "the comment is not closed")
			}
			if strings.Contains(sql[t.start+2:t.end], "/*") && sql[t.start] == '/' {
				// PostgreSQL nests comments, DuckDB does not.
				return fault(t.start, "comments may not be nested")
			}
		case tokenString, tokenQuoted:
			if t.open {
				return fault(t.start, "the quote is not closed")
			}
		case tokenParam:
			return fault(t.start, "a parameter may not stand here")
		case tokenPunct:
			switch c := sql[t.start]; c {
			case ';':
				return fault(t.start, "a semicolon may not stand here")
			case '(', '[', '{':
				brackets = append(brackets, t)
			case ')', ']', '}':
				open := map[byte]byte{')': '(', ']': '[', '}': '{'}[c]
				if len(brackets) == 0 || sql[brackets[len(brackets)-1].start] != open {
					return fault(t.start, "%q closes nothing", c)
				}
				brackets = brackets[:len(brackets)-1]
			}
		}
	}
	if len(brackets) > 0 {
		at := brackets[len(brackets)-1].start
		return fault(at, "%q is not closed", sql[at])
	}
	return nil
}

func checkVolatile(sql string, tokens []token, more map[string]bool) *SQLError {
	for i, t := range tokens {
		if t.kind != tokenWord && t.kind != tokenQuoted {
			continue
		}
		name := unquoteWord(sql, t)
		bare, known := volatileWords[name]
		if !known && !more[name] {
			continue
		}
		// After a dot it is a column, or a function under its schema.
		member := i > 0 && sql[tokens[i-1].start] == '.' && tokens[i-1].kind == tokenPunct
		called := i+1 < len(tokens) && tokens[i+1].kind == tokenPunct && sql[tokens[i+1].start] == '('
		if called || bare && !member && t.kind == tokenWord {
			return &SQLError{Offset: t.start, Code: "volatile", Name: name,
				Message: fmt.Sprintf("%s gives another value on every run; use snapshot.as_of or snapshot.as_of_date", name)}
		}
	}
	return nil
}

// namesSnapshot says that the text refers to the one-row relation snapshot.
func namesSnapshot(sql string) bool {
	tokens := scan(sql)
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i+1].kind != tokenPunct || sql[tokens[i+1].start] != '.' || unquoteWord(sql, tokens[i]) != "snapshot" {
			continue
		}
		switch unquoteWord(sql, tokens[i+2]) {
		case "as_of", "as_of_date":
			return true
		}
	}
	return false
}

// NotNull reads a condition that says of one column that it has a value, and
// nothing else: column IS NOT NULL. The column comes in lower case.
func NotNull(sql string) (column string, ok bool) {
	tokens := scan(sql)
	if len(tokens) != 4 || tokens[0].kind != tokenWord && tokens[0].kind != tokenQuoted {
		return "", false
	}
	for i, word := range []string{"is", "not", "null"} {
		if tokens[i+1].kind != tokenWord || unquoteWord(sql, tokens[i+1]) != word {
			return "", false
		}
	}
	column = unquoteWord(sql, tokens[0])
	return column, column != ""
}

// Names says that a name stands in the text, as a column or anything else.
func Names(sql, name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(scan(sql), func(t token) bool { return unquoteWord(sql, t) == name })
}

// unquoteWord gives a name in lower case, "" for tokens that are no names.
func unquoteWord(sql string, t token) string {
	switch t.kind {
	case tokenWord:
		return strings.ToLower(sql[t.start:t.end])
	case tokenQuoted:
		if !t.open {
			return strings.ToLower(strings.ReplaceAll(sql[t.start+1:t.end-1], `""`, `"`))
		}
	}
	return ""
}
