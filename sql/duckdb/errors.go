package duckdb

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"remit/sql/source"
)

// engineError is an error as the engine tells it with errors_as_json.
type engineError struct {
	kind     string // "Binder", "Catalog", "Parser", "Conversion" ...
	subtype  string // "COLUMN_NOT_FOUND" ...
	object   string // of a missing catalogue entry: "Scalar Function", "Table" ...
	name     string
	position int // 0-based byte in the statement, -1 unknown
	// text is safe to show: it holds no row value.
	text string
	// raw is the engine's own text; it may hold row values and never leaves
	// this package.
	raw string
}

func (e *engineError) Error() string { return e.text }

// newEngineError reads the engine's message, which is JSON once the session is
// set up ("Parser Error: " may stand before it) and "Kind Error: text" before.
func newEngineError(message string) *engineError {
	e := &engineError{position: -1, raw: message}
	var told struct {
		Kind     string `json:"exception_type"`
		Message  string `json:"exception_message"`
		Subtype  string `json:"error_subtype"`
		Object   string `json:"type"`
		Name     string `json:"name"`
		Position string `json:"position"`
	}
	if i := strings.IndexByte(message, '{'); i >= 0 && json.Unmarshal([]byte(message[i:]), &told) == nil && told.Kind != "" {
		e.kind, e.subtype, e.object, e.name = told.Kind, told.Subtype, told.Object, told.Name
		e.raw = told.Message
		if n, err := strconv.Atoi(told.Position); err == nil {
			e.position = n
		}
	} else if kind, text, found := strings.Cut(message, " Error: "); found {
		e.kind, e.raw = kind, text
	}
	e.text = safeText(e.kind, e.raw)
	return e
}

// safeText tells an error without row values. Errors made while a statement is
// bound speak of the statement alone; all others may quote what was read, so
// only their kind is told.
func safeText(kind, raw string) string {
	switch kind {
	case "Binder", "Catalog", "Parser", "Syntax", "Permission", "Not implemented", "TransactionContext":
		// The first line; lists of candidates follow.
		text, _, _ := strings.Cut(raw, "\n")
		text = strings.TrimRight(strings.TrimSpace(text), ".!")
		if text != "" && (len(text) < 2 || text[1] < 'A' || text[1] > 'Z') {
			text = strings.ToLower(text[:1]) + text[1:]
		}
		return text
	case "Conversion":
		return "a value cannot be converted to the type asked for"
	case "Out of Range":
		return "a value is out of range"
	case "Divide by Zero":
		return "division by zero"
	case "Invalid Input":
		return "a function refuses its input"
	case "Out of Memory":
		return "the engine is out of memory"
	case "INTERRUPT", "Interrupt":
		return "interrupted"
	case "IO":
		return "the file cannot be read or is no database"
	case "":
		return "engine error"
	}
	return strings.ToLower(kind) + " error"
}

var (
	missingColumn = regexp.MustCompile(`does not have a column named "([^"]*)"`)
	missingTable  = regexp.MustCompile(`(?:Referenced table|Table with name) "?([^"\s]+?)"? (?:not found|does not exist)`)
)

// sqlError turns an engine's error into one that leads to the mapping's SQL.
// Other errors are returned as they are. preparing is false for faults met
// while rows are read.
func sqlError(err error, st *source.Statement, preparing bool) error {
	var e *engineError
	if !errors.As(err, &e) {
		return err
	}
	out := &source.SQLError{Part: source.PartRelation, Offset: -1, Code: codeOf(e, preparing), Message: e.text, Name: e.name}
	if out.Code == "unknown-column" && out.Name == "" {
		if m := missingColumn.FindStringSubmatch(e.raw); m != nil {
			out.Name = m[1]
		}
	}
	if out.Code == "unknown-table" && out.Name == "" {
		if m := missingTable.FindStringSubmatch(e.raw); m != nil {
			out.Name = m[1]
		}
	}
	if st != nil && e.position >= 0 {
		if part, index, at, ok := st.Locate(e.position); ok {
			out.Part, out.Index, out.Offset = part, index, at
		}
	}
	return out
}

func codeOf(e *engineError, preparing bool) string {
	switch e.kind {
	case "Parser", "Syntax":
		return "syntax"
	case "Catalog":
		switch {
		case strings.Contains(e.object, "Function") || strings.Contains(e.object, "Macro"):
			return "unknown-function"
		case e.object == "Type":
			return "type"
		case e.object == "Table" || e.object == "View" || missingTable.MatchString(e.raw):
			return "unknown-table"
		}
		return "other"
	case "Binder":
		switch {
		case e.subtype == "COLUMN_NOT_FOUND" || missingColumn.MatchString(e.raw):
			return "unknown-column"
		case missingTable.MatchString(e.raw):
			return "unknown-table"
		case e.subtype == "NO_MATCHING_FUNCTION":
			return "type"
		case strings.Contains(e.raw, "aggregate") || strings.Contains(e.raw, "window function") ||
			strings.Contains(e.raw, "UNNEST") || strings.Contains(e.raw, "is a table function"):
			return "not-scalar"
		}
		return "type"
	case "Conversion", "Mismatch Type", "Invalid type":
		if preparing {
			return "type"
		}
	}
	if preparing {
		return "other"
	}
	return "runtime"
}
