package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"remit/sql/source"
)

// missingIndexes lists the indexes that the mapping set would read by and that
// the warehouse does not have; none where it keeps no indexes.
func (l *loaded) missingIndexes(ctx context.Context) ([]source.Index, error) {
	w, ok := l.warehouse.(source.Indexed)
	if !ok || l.program == nil {
		return nil, nil
	}
	catalog, err := l.warehouse.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []source.Index
	for _, k := range l.program.TableKeys(catalog) {
		wanted = append(wanted, source.Index{Table: k.Table, Columns: k.Columns})
	}
	return w.Missing(ctx, wanted)
}

// warnIndexes logs which indexes are missing.
func (n *node) warnIndexes(ctx context.Context) error {
	missing, err := n.loaded.missingIndexes(ctx)
	for _, m := range missing {
		n.log.WarnContext(ctx, "the warehouse has no index by which the mapping set reads", "table", m.Table, "columns", strings.Join(m.Columns, ", "), "create", m.Create)
	}
	return err
}

// hintIndexes tells which indexes are missing. It is a hint and no diagnostic:
// the set is right without them, and may be slow.
func (l *loaded) hintIndexes(ctx context.Context, w io.Writer) error {
	missing, err := l.missingIndexes(ctx)
	if err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := fmt.Fprintf(w, "hint: %s has no index that begins with %s, by which the set reads it:\n  %s\n", m.Table, strings.Join(m.Columns, ", "), m.Create); err != nil {
			return err
		}
	}
	return nil
}
