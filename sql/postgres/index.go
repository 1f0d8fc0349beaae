package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"remit/sql/source"
)

var _ source.Indexed = (*Warehouse)(nil)

// tableIndexes are a table that can have indexes, and one that it has: NULL
// where it has none.
type tableIndexes struct {
	Schema  string         `db:"schema"`
	Name    string         `db:"name"`
	Visible bool           `db:"visible"`
	Columns pq.StringArray `db:"columns"`
}

// What a partial index leaves out, and what only an expression finds, helps no
// query of a mapping set; an index that is being built, or failed to be, helps
// none at all (PostgreSQL 15, 53.26 pg_index).
const indexesQuery = `SELECT n.nspname AS schema, c.relname AS name, pg_catalog.pg_table_is_visible(c.oid) AS visible, x.columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY k.at) AS columns
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = ic.relam
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AND k.at <= i.indnkeyatts
  GROUP BY i.indexrelid) x ON true
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')`

// Missing lists the wanted indexes that are not there, see source.Indexed.
func (w *Warehouse) Missing(ctx context.Context, wanted []source.Index) ([]source.Index, error) {
	if err := w.open(); err != nil {
		return nil, err
	}
	var rows []tableIndexes
	if err := w.db.SelectContext(ctx, &rows, indexesQuery); err != nil {
		return nil, fmt.Errorf("read indexes: %w", connectError(err))
	}
	tables := map[string]tableIndexes{} // by the catalogue's name
	there := map[string][][]string{}
	for _, r := range rows {
		name := r.Name
		if !r.Visible {
			name = r.Schema + "." + r.Name
		}
		tables[name] = r
		if r.Columns != nil {
			there[name] = append(there[name], r.Columns)
		}
	}
	var out []source.Index
	for _, want := range wanted {
		table, known := tables[want.Table]
		begins := func(columns []string) bool {
			return len(columns) >= len(want.Columns) && slices.Equal(columns[:len(want.Columns)], want.Columns)
		}
		if !known || slices.ContainsFunc(there[want.Table], begins) {
			continue
		}
		// The server knows which names need quotes.
		var quoted pq.StringArray
		if err := w.db.GetContext(ctx, &quoted, `SELECT array_agg(quote_ident(x.name) ORDER BY x.at) FROM unnest($1::text[]) WITH ORDINALITY AS x(name, at)`,
			pq.StringArray(append([]string{table.Schema, table.Name}, want.Columns...))); err != nil {
			return nil, fmt.Errorf("read indexes: %w", connectError(err))
		}
		want.Create = fmt.Sprintf("CREATE INDEX ON %s.%s (%s);", quoted[0], quoted[1], strings.Join(quoted[2:], ", "))
		out = append(out, want)
	}
	return out, nil
}
