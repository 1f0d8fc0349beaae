package source

import "context"

// Index is columns of a table by which rows are found: an index that is there,
// or one that would help.
type Index struct {
	Table   string // as the catalogue has it
	Columns []string
	// Create is the statement that makes it, for whoever may: Remit never does.
	// It is set where the index is not there.
	Create string
}

// Indexed is a Source that knows by which columns its tables find rows. Not
// every engine keeps indexes.
type Indexed interface {
	// Missing lists those of the wanted indexes that the tables do not have,
	// in their order: no index of the table begins with the columns. What can
	// have none (a view, a foreign table, a table that is not there) is passed
	// over.
	Missing(ctx context.Context, wanted []Index) ([]Index, error)
}
