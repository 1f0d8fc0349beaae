package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// listing prints a list as a table with a heading, or for machines as one JSON
// object a line.
type listing struct {
	json  *json.Encoder // nil for a table
	table *tabwriter.Writer
}

func newListing(out io.Writer, asJSON bool, heading ...string) *listing {
	if asJSON {
		return &listing{json: json.NewEncoder(out)}
	}
	l := &listing{table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	_, _ = fmt.Fprintln(l.table, strings.Join(heading, "\t")) // close tells what could not be written
	return l
}

// add prints an entry: object to machines, the cells to people.
func (l *listing) add(object any, cells ...any) error {
	if l.json != nil {
		return l.json.Encode(object)
	}
	for i, c := range cells {
		if i > 0 {
			_, _ = fmt.Fprint(l.table, "\t")
		}
		_, _ = fmt.Fprint(l.table, c)
	}
	_, err := fmt.Fprintln(l.table)
	return err
}

// close prints what is left of the table.
func (l *listing) close() error {
	if l.json != nil {
		return nil
	}
	return l.table.Flush()
}
