package source

import "fmt"

// Where in a query a fault of its SQL lies.
type Part uint8

// The parts of a query that hold SQL text of a mapping.
const (
	PartColumn   Part = iota // Query.Columns[Index]
	PartWhere                // Query.Where[Index]
	PartRelation             // Query.From's SQL or table
)

// SQLError says that the warehouse refuses a piece of SQL. Its text never holds
// a row value.
type SQLError struct {
	Part  Part
	Index int
	// Offset is the 0-based byte offset of the fault in that piece of SQL as
	// the mapping wrote it, -1 where the engine gives none.
	Offset int
	// Code is a stable word: syntax, unknown-column, unknown-table,
	// unknown-function, type, not-scalar, volatile, runtime, other.
	Code string
	// Message is the engine's own words, lower case, no full stop, one line.
	Message string
	// Name is the column, table or function that is not known, where told.
	Name string
}

func (e *SQLError) Error() string {
	where := [...]string{"column", "where", "relation"}[e.Part]
	if e.Offset < 0 {
		return fmt.Sprintf("%s %d: %s [%s]", where, e.Index, e.Message, e.Code)
	}
	return fmt.Sprintf("%s %d at byte %d: %s [%s]", where, e.Index, e.Offset, e.Message, e.Code)
}
