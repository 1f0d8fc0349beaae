package check

import (
	"fmt"
	"strings"
)

// tokenKind says what a token of SQL is.
type tokenKind uint8

const (
	tokenName   tokenKind = iota + 1 // unquoted identifier or keyword
	tokenQuoted                      // "quoted identifier"
	tokenString
	tokenNumber
	tokenOther // one character of punctuation
)

type token struct {
	kind   tokenKind
	text   string // identifiers: without quotes; otherwise as written
	offset int
}

// sqlFault is a mistake found without the warehouse.
type sqlFault struct {
	offset  int
	code    string
	message string
}

// scanSQL cuts an expression into tokens, just enough to know its names, and
// tells the first fault: a semicolon, a comment, an open quote or parenthesis.
func scanSQL(s string) ([]token, *sqlFault) {
	var out []token
	var open []int
	fault := func(at int, code, format string, args ...any) ([]token, *sqlFault) {
		return out, &sqlFault{at, code, fmt.Sprintf(format, args...)}
	}
	for i := 0; i < len(s); {
		c := s[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == ';':
			return fault(i, "sql-semicolon", "an expression holds no semicolon")
		case strings.HasPrefix(s[i:], "--") || strings.HasPrefix(s[i:], "/*"):
			return fault(i, "sql-comment", "an expression holds no comment; use a YAML comment")
		case c == '\'':
			end := closing(s, i, '\'')
			if end < 0 {
				return fault(i, "sql-quote", "the quote ' is not closed")
			}
			i = end
			out = append(out, token{tokenString, s[start:i], start})
		case c == '"':
			end := closing(s, i, '"')
			if end < 0 {
				return fault(i, "sql-quote", "the quote \" is not closed")
			}
			i = end
			out = append(out, token{tokenQuoted, strings.ReplaceAll(s[start+1:i-1], `""`, `"`), start})
		case c == '$' && dollarTag(s[i:]) != "":
			tag := dollarTag(s[i:])
			end := strings.Index(s[i+len(tag):], tag)
			if end < 0 {
				return fault(i, "sql-quote", "the quote %s is not closed", tag)
			}
			i += end + 2*len(tag)
			out = append(out, token{tokenString, s[start:i], start})
		case nameStart(c):
			for i < len(s) && (nameStart(s[i]) || s[i] >= '0' && s[i] <= '9' || s[i] == '$') {
				i++
			}
			out = append(out, token{tokenName, s[start:i], start})
		case c >= '0' && c <= '9':
			for i < len(s) && (nameStart(s[i]) || s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
				i++
			}
			out = append(out, token{tokenNumber, s[start:i], start})
		default:
			switch c {
			case '(', '[':
				open = append(open, i)
			case ')', ']':
				if len(open) == 0 || (c == ')') != (s[open[len(open)-1]] == '(') {
					return fault(i, "sql-parenthesis", "%q closes nothing", string(c))
				}
				open = open[:len(open)-1]
			}
			i++
			out = append(out, token{tokenOther, s[start:i], start})
		}
	}
	if len(open) > 0 {
		at := open[len(open)-1]
		return fault(at, "sql-parenthesis", "%q is not closed", string(s[at]))
	}
	return out, nil
}

func nameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// closing is the index behind the quote that closes the one at i, or -1; a
// doubled quote stands for itself.
func closing(s string, i int, quote byte) int {
	for j := i + 1; j < len(s); j++ {
		if s[j] != quote {
			continue
		}
		if j+1 < len(s) && s[j+1] == quote {
			j++
			continue
		}
		return j + 1
	}
	return -1
}

func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == '$' {
			return s[:i+1]
		}
		if !nameStart(s[i]) {
			return ""
		}
	}
	return ""
}

// volatile lists functions that give another answer each time (rule 4).
var volatile = map[string]bool{
	"now": true, "random": true, "nextval": true, "currval": true, "setval": true, "clock_timestamp": true,
	"statement_timestamp": true, "transaction_timestamp": true, "timeofday": true, "gen_random_uuid": true, "uuid": true,
	"uuidv4": true, "uuidv7": true, "get_current_timestamp": true, "today": true, "setseed": true, "txid_current": true,
	"pg_sleep": true, "pg_read_file": true, "getenv": true, "current_setting": true,
}

// volatileWords stand without parentheses.
var volatileWords = map[string]bool{
	"current_date": true, "current_time": true, "current_timestamp": true, "localtime": true, "localtimestamp": true,
	"current_user": true, "session_user": true, "current_role": true, "current_schema": true, "current_catalog": true,
}

// names is what an expression mentions.
type names struct {
	qualifiers []token // the q of q.x, in order
	bare       []token // unqualified identifiers that are no function call
}

// mentions sorts the identifiers of an expression; fault tells a volatile call
// or a subquery.
func mentions(tokens []token) (names, *sqlFault) {
	var n names
	for i, t := range tokens {
		if t.kind != tokenName && t.kind != tokenQuoted {
			continue
		}
		next, prev := "", ""
		if i+1 < len(tokens) && tokens[i+1].kind == tokenOther {
			next = tokens[i+1].text
		}
		if i > 0 && tokens[i-1].kind == tokenOther {
			prev = tokens[i-1].text
		}
		lower := strings.ToLower(t.text)
		switch {
		case prev == ".":
		case next == "(" && t.kind == tokenName:
			if volatile[lower] {
				return n, &sqlFault{t.offset, "volatile", fmt.Sprintf("%s() differs from run to run; use snapshot.as_of or snapshot.as_of_date", lower)}
			}
		case t.kind == tokenName && volatileWords[lower]:
			return n, &sqlFault{t.offset, "volatile", fmt.Sprintf("%s differs from run to run; use snapshot.as_of or snapshot.as_of_date", lower)}
		case t.kind == tokenName && lower == "select":
			return n, &sqlFault{t.offset, "subquery", "an expression holds no query; join in the source's SQL"}
		case next == ".":
			n.qualifiers = append(n.qualifiers, t)
		default:
			n.bare = append(n.bare, t)
		}
	}
	return n, nil
}

// caseLiterals lists the texts that an expression yields where it is one plain
// CASE: what stands alone behind THEN and ELSE, without its quotes. Codes among
// them can be judged before a row is read.
func caseLiterals(sql string) []token {
	tokens, fault := scanSQL(sql)
	if fault != nil || len(tokens) < 2 || !isKeyword(tokens[0], "case") || !isKeyword(tokens[len(tokens)-1], "end") {
		return nil
	}
	var out []token
	for i, t := range tokens[1 : len(tokens)-1] {
		i++
		switch {
		case isKeyword(t, "case"):
			return nil // a CASE inside: whose literals are whose is not plain
		case t.kind != tokenString || !strings.HasPrefix(t.text, "'"):
		case !isKeyword(tokens[i-1], "then") && !isKeyword(tokens[i-1], "else"):
		case isKeyword(tokens[i+1], "when") || isKeyword(tokens[i+1], "else") || isKeyword(tokens[i+1], "end"):
			t.text = strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'")
			if t.text != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

func isKeyword(t token, word string) bool {
	return t.kind == tokenName && strings.EqualFold(t.text, word)
}

// QuoteName writes an identifier so that every engine takes it as it is.
func QuoteName(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
