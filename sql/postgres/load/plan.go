package load

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"remit/sql/source"
)

// nameBytes is the longest name that PostgreSQL keeps; it cuts longer ones
// without a word (PostgreSQL 15, 4.1.1 Identifiers and Key Words).
const nameBytes = 63

// plan is one table to be made.
type plan struct {
	from    string // as the snapshot's engine has it
	name    string // as it will be called
	quoted  string
	columns []column
	indexes []index
}

type column struct {
	name   string // as it will be called
	quoted string
	read   string // the expression that reads it
	kind   source.Kind
	sql    string // its type
}

type index struct {
	name    string
	quoted  []string
	columns []string
}

// planTables decides names, types and indexes before anything is touched, and
// tells all that cannot be done at once.
func planTables(tables []source.Table, o Options) ([]*plan, error) {
	var faults []error
	var out []*plan
	if err := checkName(o.Schema); err != nil {
		faults = append(faults, fmt.Errorf("schema: %w", err))
	}
	if len(tables) == 0 {
		faults = append(faults, errors.New("the warehouse has no table"))
	}
	byName := map[string]*plan{}
	for _, t := range tables {
		p, err := planTable(t)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if byName[p.name] != nil {
			faults = append(faults, fmt.Errorf("tables %s and %s differ in case alone", byName[p.name].from, p.from))
			continue
		}
		byName[p.name] = p
		out = append(out, p)
	}
	numbers := 0
	for _, ix := range o.Indexes {
		p := byName[strings.ToLower(ix.Table)]
		if p == nil {
			faults = append(faults, fmt.Errorf("index: there is no table %s", ix.Table))
			continue
		}
		planned, err := p.index(ix.Columns)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if !slices.ContainsFunc(p.indexes, func(have index) bool { return slices.Equal(have.columns, planned.columns) }) {
			numbers++
			planned.name = fmt.Sprintf("remit_key_%d", numbers)
			p.indexes = append(p.indexes, planned)
		}
	}
	return out, errors.Join(faults...)
}

func planTable(t source.Table) (*plan, error) {
	bare := t.Name
	if schema, name, err := source.SplitTable(t.Name); err == nil && schema == t.Schema {
		bare = name
	}
	p := &plan{from: t.Name, name: strings.ToLower(bare)}
	if err := checkName(p.name); err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	var err error
	if p.quoted, err = source.QuoteIdent(p.name); err != nil {
		return nil, err
	}
	seen := map[string]string{}
	var faults []error
	for _, c := range t.Columns {
		planned, err := planColumn(c)
		if err == nil && seen[planned.name] != "" {
			err = fmt.Errorf("differs from %s in case alone", seen[planned.name])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("table %s, column %s: %w", t.Name, c.Name, err))
			continue
		}
		seen[planned.name] = c.Name
		p.columns = append(p.columns, planned)
	}
	return p, errors.Join(faults...)
}

func planColumn(c source.Column) (column, error) {
	out := column{name: strings.ToLower(c.Name), kind: c.Type.Kind}
	if err := checkName(out.name); err != nil {
		return out, err
	}
	var err error
	if out.quoted, err = source.QuoteIdent(out.name); err != nil {
		return out, err
	}
	if out.read, err = source.QuoteIdent(c.Name); err != nil {
		return out, err
	}
	if c.Type.Name == "BLOB" || c.Type.Name == "bytea" {
		return out, fmt.Errorf("type %s is not loaded", c.Type.Name)
	}
	if out.kind == source.KindComposite {
		out.read = "CAST(to_json(" + out.read + ") AS VARCHAR)"
	}
	out.sql = columnType(c.Type)
	return out, nil
}

// columnType is PostgreSQL's type for a column. Texts are ordered by bytes.
func columnType(t source.Type) string {
	switch t.Kind {
	case source.KindInteger:
		switch t.Name {
		case "TINYINT", "UTINYINT", "SMALLINT":
			return "smallint"
		case "USMALLINT", "INTEGER":
			return "integer"
		case "UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM":
			return "numeric"
		}
		return "bigint"
	case source.KindDecimal:
		if t.Precision > 0 {
			return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
		}
		return "numeric"
	case source.KindFloat:
		if t.Name == "FLOAT" {
			return "real"
		}
		return "double precision"
	case source.KindBoolean:
		return "boolean"
	case source.KindDate:
		return "date"
	case source.KindTimestamp:
		return "timestamp"
	case source.KindInstant:
		return "timestamptz"
	case source.KindUUID:
		return "uuid"
	case source.KindComposite:
		return "jsonb"
	}
	return `text COLLATE "C"`
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > nameBytes:
		return fmt.Errorf("the name has %d bytes, PostgreSQL keeps %d", len(name), nameBytes)
	}
	return nil
}

// index plans an index on columns of the table.
func (p *plan) index(names []string) (index, error) {
	var out index
	for _, n := range names {
		low := strings.ToLower(n)
		at := slices.IndexFunc(p.columns, func(c column) bool { return c.name == low })
		switch {
		case at < 0:
			return out, fmt.Errorf("index: table %s has no column %s", p.name, n)
		case p.columns[at].kind == source.KindComposite:
			return out, fmt.Errorf("index: column %s of table %s is no scalar", n, p.name)
		}
		out.columns = append(out.columns, low)
		out.quoted = append(out.quoted, p.columns[at].quoted)
	}
	if len(names) == 0 {
		return out, fmt.Errorf("index of table %s: no column", p.name)
	}
	return out, nil
}

// ddl makes the index. Its order is that of the columns' own collation, bytes.
func (ix index) ddl(schema string, p *plan) string {
	// The name belongs to the schema of the table; it is ours and short.
	return `CREATE INDEX "` + ix.name + `" ON ` + schema + "." + p.quoted + " (" + strings.Join(ix.quoted, ", ") + ")"
}

func (p *plan) definitions() string {
	parts := make([]string, len(p.columns))
	for i, c := range p.columns {
		parts[i] = c.quoted + " " + c.sql
	}
	return strings.Join(parts, ", ")
}

// query reads the table's rows in the order in which they lie.
func (p *plan) query() *source.Query {
	q := &source.Query{From: &source.Relation{Name: "loaded_table", Table: p.from}}
	for _, c := range p.columns {
		q.Columns = append(q.Columns, source.Expr{SQL: c.read})
	}
	return q
}
