package check

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/sql/source"
)

// query is a query of with (rule 38), the alternative that the warehouse fits.
type query struct {
	name string
	text sqlText
	// needs are the queries above it that its SQL names.
	needs []*query
	used  bool
	// patient is the column that tells whose data a row is (rule 40); nil where
	// none is declared, or none of that name is there.
	patient *source.KeyColumn
}

// sqlText is SQL of the set with the place where it is written.
type sqlText struct {
	from *syntax.Text // the scalar that holds it, or names its file
	file string       // "" where it is written in place
	sql  string
}

// composed is the SQL of a source with the queries that it needs before it.
type composed struct {
	sql   string
	parts []composedPart
	owned []source.Owned // the queries of it that say whose data a row is
}

// composedPart says that the SQL from start on is the text from skip on.
type composedPart struct {
	start, skip int
	text        sqlText
}

// at finds where an offset of the composed SQL is written. Where Remit wrote
// it, that is the start of what follows.
func (c *composed) at(offset int) (sqlText, int) {
	part := c.parts[0]
	for _, p := range c.parts {
		if p.start <= offset {
			part = p
		}
	}
	return part.text, min(max(offset-part.start, 0)+part.skip, len(part.text.sql))
}

// withs resolves the queries of with. Whether they prepare is found out by the
// sources that read them.
func (c *checker) withs(queries []*syntax.Query) error {
	var catalog *source.Catalog
	for _, q := range queries {
		name := strings.ToLower(q.Name.Value)
		switch {
		case !sourceName.MatchString(q.Name.Value):
			c.diags.Errorf(q.Name.Pos, "bad-source-name", "query name %q must be a lower-case letter, then letters, digits and _", q.Name.Value)
			c.badWith[name] = true
			continue
		case reserved[name]:
			c.diags.Errorf(q.Name.Pos, "bad-source-name", "query name %q is a word of SQL", name)
			c.badWith[name] = true
			continue
		}
		if len(q.Has) > 0 && catalog == nil {
			var err error
			if catalog, err = c.env.Warehouse.Catalog(c.ctx); err != nil {
				return fmt.Errorf("read the catalogue: %w", err)
			}
		}
		out, err := c.with(q, name, catalog)
		if err != nil {
			return err
		}
		if out == nil {
			c.badWith[name] = true
			continue
		}
		c.withQueries = append(c.withQueries, out)
	}
	return nil
}

// with resolves one query; nil where that is told in the list.
func (c *checker) with(q *syntax.Query, name string, catalog *source.Catalog) (*query, error) {
	if q.Broken {
		return nil, nil
	}
	if len(q.Has) == 0 && q.SQL == nil {
		c.diags.Errorf(q.Pos, "missing-key", "query %q has neither sql nor has", name)
		return nil, nil
	}
	chosen := q.SQL
	ok := true
	var texts []sqlText
	alternatives := slices.Clone(q.Has)
	if q.SQL != nil {
		alternatives = append(alternatives, &syntax.Pair{Value: q.SQL})
	}
	taken := -1
	for i, a := range alternatives {
		text, good, err := c.query(a.Value)
		if err != nil {
			return nil, err
		}
		// What another layout will need is looked at, too: its file is there,
		// and its text is one query.
		if bad := source.CheckRelation(text.sql, nil); good && bad != nil {
			c.sqlFault("query", name, a.Value.Pos, text, max(bad.Offset, 0), bad)
			good = false
		}
		ok = ok && good
		texts = append(texts, text)
		if taken < 0 && (a.Key == nil || hasPart(catalog, a.Key.Value)) {
			taken, chosen = i, a.Value
		}
	}
	if !ok {
		return nil, nil
	}
	if taken < 0 {
		var wanted []string
		for _, a := range q.Has {
			wanted = append(wanted, a.Key.Value)
		}
		c.diags.Errorf(q.Pos, "no-fitting-query", "query %q fits no layout of this warehouse: it has none of %s", name, strings.Join(wanted, ", "))
		return nil, nil
	}
	out := &query{name: name, text: texts[taken]}
	out.text.from = chosen
	out.needs = c.needs(out.text.sql)
	return out, nil
}

// hasPart says that the catalogue has a table, or a column of one, by the name
// table, schema.table, table.column or schema.table.column.
func hasPart(catalog *source.Catalog, name string) bool {
	for _, t := range catalog.Tables {
		full := t.Name
		if t.Schema != "" && !strings.Contains(t.Name, ".") {
			full = t.Schema + "." + t.Name
		}
		for _, table := range []string{t.Name, full} {
			if strings.EqualFold(name, table) {
				return true
			}
			if len(name) > len(table) && name[len(table)] == '.' && strings.EqualFold(name[:len(table)], table) &&
				findColumn(t.Columns, name[len(table)+1:]) != nil {
				return true
			}
		}
	}
	return false
}

var wordOfSQL = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// needs lists the queries that a text names, and those that they name, in the
// order in which they are declared. A name that only occurs as something else
// costs nothing but a query that nobody reads.
func (c *checker) needs(sql string) []*query {
	words := map[string]bool{}
	for _, w := range wordOfSQL.FindAllString(sql, -1) {
		words[strings.ToLower(w)] = true
	}
	wanted := map[*query]bool{}
	for _, q := range c.withQueries {
		if words[q.name] {
			wanted[q] = true
			for _, n := range q.needs {
				wanted[n] = true
			}
		}
	}
	var out []*query
	for _, q := range c.withQueries {
		if wanted[q] {
			out = append(out, q)
		}
	}
	return out
}

// namesBroken says that a text names a query that did not resolve, which was
// told already.
func (c *checker) namesBroken(sql string) bool {
	if len(c.badWith) == 0 {
		return false
	}
	for _, w := range wordOfSQL.FindAllString(sql, -1) {
		if c.badWith[strings.ToLower(w)] {
			return true
		}
	}
	return slices.ContainsFunc(c.needs(sql), func(q *query) bool { return c.badWith[q.name] })
}

// compose sets the queries that a source's SQL names before it, and notes that
// they are read.
func (c *checker) compose(text sqlText) *composed {
	needs := c.needs(text.sql)
	for _, q := range needs {
		q.used = true
	}
	return joined(needs, text)
}

// joined sets queries before a text. NOT MATERIALIZED lets a narrowed key reach
// the tables through them.
func joined(needs []*query, text sqlText) *composed {
	if len(needs) == 0 {
		return &composed{sql: text.sql, parts: []composedPart{{text: text}}}
	}
	out := &composed{}
	var b strings.Builder
	own, before, skip := ownWith(text.sql)
	b.WriteString(before)
	for i, q := range needs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(q.name + " AS NOT MATERIALIZED (\n")
		out.parts = append(out.parts, composedPart{b.Len(), 0, q.text})
		if q.patient != nil {
			out.owned = append(out.owned, source.Owned{Start: b.Len(), End: b.Len() + len(q.text.sql), Patient: *q.patient})
		}
		b.WriteString(q.text.sql + "\n)")
	}
	if own {
		b.WriteString(",")
	}
	b.WriteString("\n")
	out.parts = append(out.parts, composedPart{b.Len(), skip, text})
	b.WriteString(text.sql[skip:])
	out.sql = b.String()
	return out
}

var leadingWith = regexp.MustCompile(`(?is)^(?:\s|--[^\n]*\n|/\*.*?\*/)*with\s+(recursive\s+)?`)

// ownWith says that a text has a WITH of its own, which the queries must join:
// DuckDB does not take a second one. before is how the joined text begins, skip
// the length of what it stands for.
func ownWith(sql string) (own bool, before string, skip int) {
	m := leadingWith.FindStringSubmatchIndex(sql)
	switch {
	case m == nil:
		return false, "WITH ", 0
	case m[2] >= 0:
		return true, "WITH RECURSIVE ", m[1]
	}
	return true, "WITH ", m[1]
}

// whole is a query of with as a source of its own would read it.
func (c *checker) whole(q *query) *source.Relation {
	text := sqlText{from: q.text.from, sql: "SELECT * FROM " + q.name}
	return &source.Relation{Name: q.name, SQL: joined(c.needs(text.sql), text).sql}
}

// owners finds the columns of queries that tell whose data a row is (rule 40).
// A query that does not prepare is told of by the sources that read it.
func (c *checker) owners(queries []*syntax.Query) error {
	for _, declared := range queries {
		q := c.withNamed(declared.Name.Value)
		if q == nil || declared.Patient == nil {
			continue
		}
		columns, err := c.columns(c.whole(q))
		var bad *source.SQLError
		if errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the columns of query %q: %w", q.name, err)
		}
		col := findColumn(columns, declared.Patient.Value)
		if col == nil {
			var all []string
			for _, col := range columns {
				all = append(all, col.Name)
			}
			c.diags.Errorf(declared.Patient.Pos, "unknown-column", "column %q is not in query %q", declared.Patient.Value, q.name).
				WithHint("%s", diag.DidYouMean(declared.Patient.Value, all))
			continue
		}
		if c.keyType(declared.Patient.Pos, col) {
			q.patient = &source.KeyColumn{Name: col.Name, Type: col.Type}
		}
	}
	return nil
}

// sameOwners holds the patient columns of queries against those of sources:
// both are compared with the same values.
func (c *checker) sameOwners(queries []*syntax.Query) {
	i := slices.IndexFunc(c.set.Sources, func(s *Source) bool { return s.Patient != nil })
	if i < 0 {
		return
	}
	s := c.set.Sources[i]
	for _, declared := range queries {
		q := c.withNamed(declared.Name.Value)
		if q == nil || q.patient == nil || sameKeyKind(q.patient.Type.Kind, s.Patient.Type.Kind) {
			continue
		}
		c.diags.Errorf(declared.Patient.Pos, "key-type", "column %q of query %q is %s, the patient column %q of source %q is %s",
			q.patient.Name, q.name, typeName(q.patient.Type), s.Patient.Name, s.Name, typeName(s.Patient.Type)).WithRelated(s.Pos, "declared at")
	}
}

// withNamed finds a query by the name of a table.
func (c *checker) withNamed(name string) *query {
	for _, q := range c.withQueries {
		if strings.EqualFold(q.name, name) {
			return q
		}
	}
	return nil
}

// unusedWiths notes the queries that no source reads: nothing has checked them.
func (c *checker) unusedWiths(queries []*syntax.Query) {
	for _, q := range queries {
		if found := c.withNamed(q.Name.Value); found != nil && !found.used {
			c.diags.Warnf(q.Pos, "unused-query", "no source reads query %q", found.name)
		}
	}
}

// query reads the SQL of a source or of with, written in place or in a file of
// its own.
func (c *checker) query(t *syntax.Text) (text sqlText, ok bool, err error) {
	text = sqlText{from: t, sql: t.Value}
	if strings.HasSuffix(text.sql, ".sql") && !strings.ContainsAny(text.sql, " \n\t") {
		text.file, text.sql, err = c.sqlFile(text.sql)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
			c.diags.Errorf(t.Pos, "unknown-file", "file %q is not in the mapping set", t.Value)
			return sqlText{}, false, nil
		case err != nil:
			return sqlText{}, false, err
		}
	}
	text.sql = strings.TrimSuffix(strings.TrimRight(text.sql, " \t\r\n"), ";")
	return text, true, nil
}

// blame marks the query in whose text a fault lies, so that it is told once.
func (c *checker) blame(text sqlText) {
	for _, q := range c.withQueries {
		if q.text.from == text.from {
			c.badWith[q.name] = true
		}
	}
}

// sqlFault reports a fault of a text at its offset.
func (c *checker) sqlFault(what, name string, at diag.Pos, text sqlText, offset int, bad *source.SQLError) {
	code := bad.Code
	if code == "" {
		code = "other"
	}
	if !strings.Contains(code, "-") {
		code = "sql-" + code
	}
	if text.file == "" {
		c.diags.Errorf(text.from.At(offset), code, "%s %q: %s", what, name, bad.Message)
		return
	}
	before := text.sql[:min(offset, len(text.sql))]
	line := 1 + strings.Count(before, "\n")
	column := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	c.diags.Errorf(diag.Pos{File: text.file, Line: line, Column: column}, code, "%s %q: %s", what, name, bad.Message).WithRelated(at, "used at")
}
