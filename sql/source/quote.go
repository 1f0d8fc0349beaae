package source

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// QuoteIdent quotes a name as an SQL identifier (SQL:2016, delimited
// identifier; the same on PostgreSQL and DuckDB). This is the one place where
// names enter SQL text. Error: an empty name, a NUL or invalid UTF-8.
func QuoteIdent(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("quote identifier: empty name")
	case strings.IndexByte(name, 0) >= 0:
		return "", errors.New("quote identifier: name with a NUL character")
	case !utf8.ValidString(name):
		return "", errors.New("quote identifier: name is not UTF-8")
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`, nil
}

// QuoteLiteral quotes text of a mapping or a configuration (never of a request,
// which is bound) as an SQL string. Error: a NUL or invalid UTF-8.
func QuoteLiteral(text string) (string, error) {
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		return "", errors.New("quote literal: text with a NUL character or invalid UTF-8")
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'", nil
}

// SplitTable splits a table name as a mapping writes it, "table" or
// "schema.table", each part optionally in double quotes. Error: more than two
// parts, an empty part, an open quote.
func SplitTable(name string) (schema, table string, err error) {
	var parts []string
	rest := name
	for {
		if strings.HasPrefix(rest, `"`) {
			end, open := scanQuoted(rest, 0, '"', false)
			if open {
				return "", "", fmt.Errorf("table name %q: the quote is not closed", name)
			}
			parts = append(parts, strings.ReplaceAll(rest[1:end-1], `""`, `"`))
			rest = rest[end:]
			if rest != "" && rest[0] != '.' {
				return "", "", fmt.Errorf("table name %q: text after a quoted name", name)
			}
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			parts = append(parts, rest[:end])
			rest = rest[end:]
		}
		if rest == "" {
			break
		}
		rest = rest[1:]
	}
	for _, p := range parts {
		if p == "" {
			return "", "", fmt.Errorf("table name %q: empty part", name)
		}
	}
	switch len(parts) {
	case 1:
		return "", parts[0], nil
	case 2:
		return parts[0], parts[1], nil
	}
	return "", "", fmt.Errorf("table name %q: more than schema and table", name)
}
