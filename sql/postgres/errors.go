package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"remit/sql/source"
)

var errClosed = errors.New("warehouse is closed")

// sqlError turns a server's error into one that leads to the mapping's SQL.
// preparing is true for faults of the statement itself, whose message speaks of
// SQL alone; what is said of running SQL may quote rows or bound values, so
// only its kind is told.
func sqlError(ctx context.Context, err error, st *source.Statement, preparing bool) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57"),
		strings.HasPrefix(e.Code, "58"), strings.HasPrefix(e.Code, "XX"), strings.HasPrefix(e.Code, "40"):
		return serverError(e)
	}
	out := &source.SQLError{Part: source.PartRelation, Offset: -1, Code: codeOf(e, preparing), Message: safeText(e, preparing), Name: nameOf(e)}
	if st != nil && e.Position > 0 {
		if part, index, at, ok := st.Locate(byteOffset(st.SQL, int(e.Position))); ok {
			out.Part, out.Index, out.Offset = part, index, at
		}
	}
	return out
}

// serverError tells a fault of the server, not of the SQL.
func serverError(e *pgconn.PgError) error {
	text := map[string]string{
		"57014": "the server stopped the query: statement timeout or cancelled",
		"57P01": "the server is shutting down",
		"57P05": "the server closed the idle session",
		"53100": "the server's disk is full",
		"53200": "the server is out of memory",
		"53300": "the server has too many connections",
		"40001": "the server cancelled the query in favour of replication",
	}[e.Code]
	if text == "" {
		text = "server error"
	}
	return fmt.Errorf("%s (SQLSTATE %s)", text, e.Code)
}

// byteOffset turns a 1-based position in characters into a 0-based byte offset.
func byteOffset(sql string, position int) int {
	at := 0
	for range position - 1 {
		if at >= len(sql) {
			break
		}
		_, size := utf8.DecodeRuneInString(sql[at:])
		at += size
	}
	return at
}

// codeOf sorts errors by SQLSTATE (PostgreSQL 15, Appendix A).
func codeOf(e *pgconn.PgError, preparing bool) string {
	switch e.Code {
	case "42601":
		return "syntax"
	case "42703":
		return "unknown-column"
	case "42P01", "3F000":
		return "unknown-table"
	case "42883":
		if strings.HasPrefix(e.Message, "operator") {
			return "type"
		}
		// A function that exists with other argument types is a matter of
		// types; the server does not tell the two apart, the hint does.
		return "unknown-function"
	case "42803", "42P20":
		return "not-scalar"
	case "0A000":
		if strings.Contains(e.Message, "set-returning") {
			return "not-scalar"
		}
	case "42804", "42846", "42704", "42P18", "42725", "22P02", "22007", "22008", "42P22", "42P21", "42611":
		if preparing {
			return "type"
		}
	}
	if preparing {
		return "other"
	}
	return "runtime"
}

func safeText(e *pgconn.PgError, preparing bool) string {
	if preparing {
		text, _, _ := strings.Cut(e.Message, "\n")
		return strings.TrimRight(text, ".")
	}
	switch e.Code {
	case "22012":
		return "division by zero"
	case "22003", "22008":
		return "a value is out of range"
	case "22P02", "22007", "22001", "22018":
		return "a value cannot be converted to the type asked for"
	case "21000":
		return "a subquery gives more than one row"
	case "25006":
		return "the SQL would write; the warehouse is read-only"
	case "42501":
		return "permission denied"
	}
	return "the SQL fails on a row (SQLSTATE " + e.Code + ")"
}

// nameOf reads the name that is not known out of the server's words, which are
// fixed in the session's language (lc_messages is not: the name is then absent).
func nameOf(e *pgconn.PgError) string {
	m := e.Message
	switch e.Code {
	case "42703":
		// column "x" does not exist; column a.x does not exist; column "x" not found ...
		m = strings.TrimPrefix(m, "column ")
		m, _, _ = strings.Cut(m, " of relation")
		m, _, found := strings.Cut(m, " does not exist")
		if !found {
			return ""
		}
		if strings.HasPrefix(m, `"`) {
			return strings.Trim(m, `"`)
		}
		if i := strings.LastIndexByte(m, '.'); i >= 0 {
			m = m[i+1:]
		}
		return m
	case "42P01":
		for _, prefix := range []string{`relation "`, `missing FROM-clause entry for table "`, `invalid reference to FROM-clause entry for table "`} {
			if rest, ok := strings.CutPrefix(m, prefix); ok {
				name, _, _ := strings.Cut(rest, `"`)
				return name
			}
		}
	case "42883":
		if rest, ok := strings.CutPrefix(m, "function "); ok {
			name, _, _ := strings.Cut(rest, "(")
			return name
		}
	}
	return ""
}
