package program

import (
	"regexp"
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/sql/source"
)

// TableKey is a table of the warehouse and columns by which the set's sources
// order, join or narrow its rows.
type TableKey struct {
	Table   string // as the catalogue has it
	Columns []string
}

// TableKeys lists what would help a warehouse to find rows as the set asks for
// them: for each table that a source reads, the source's key and order, its
// patient and its last change, as far as the table has such columns; that of the
// patient may be one to which the SQL gives the name. A source
// that is SQL counts for every table that its text names. None is a leading
// part of another.
func (p *Program) TableKeys(catalog *source.Catalog) []TableKey {
	var out []TableKey
	for _, t := range catalog.Tables {
		full := t.Name
		if t.Schema != "" && !strings.Contains(t.Name, ".") {
			full = t.Schema + "." + t.Name
		}
		var keys [][]string
		for _, s := range p.sources() {
			if reads(s, t.Name, full) {
				keys = append(keys, tableKeys(s, t)...)
			}
		}
		slices.SortFunc(keys, slices.Compare)
		for i, k := range keys {
			// What follows in order is what it could be a part of.
			if i+1 == len(keys) || !leads(k, keys[i+1]) {
				out = append(out, TableKey{Table: t.Name, Columns: k})
			}
		}
	}
	return out
}

// leads says that a is b's leading part, or equal to it.
func leads(a, b []string) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }

// tableKeys are the keys that a source has in a table, in the table's spelling.
func tableKeys(s *check.Source, t source.Table) [][]string {
	var out [][]string
	add := func(columns ...source.KeyColumn) {
		var names []string
		for _, k := range columns {
			c, ok := source.FindColumn(t.Columns, k.Name)
			if !ok && s.Patient != nil && k.Name == s.Patient.Name {
				c, ok = renamed(s.Relation.SQL, t, k.Name)
			}
			if !ok {
				break // what leads is of use alone, too
			}
			names = append(names, c.Name)
		}
		if len(names) > 0 {
			out = append(out, names)
		}
	}
	add(slices.Concat(s.Key, s.Order)...)
	if s.Patient != nil {
		add(*s.Patient)
	}
	if s.Updated != nil {
		add(*s.Updated)
	}
	return out
}

// renamed finds the column of a table that SQL gives another name, and does no
// more to: "e.person_id AS patient_id".
func renamed(sql string, t source.Table, name string) (source.Column, bool) {
	as := regexp.MustCompile(`(?i)(?:^|[\s,.])(\w+)\s+AS\s+` + regexp.QuoteMeta(name) + `\b`)
	for _, found := range as.FindAllStringSubmatch(sql, -1) {
		if c, ok := source.FindColumn(t.Columns, found[1]); ok {
			return c, true
		}
	}
	return source.Column{}, false
}
