package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Dialect is what an adapter tells about its engine's SQL, so that queries are
// written in one place for all engines.
type Dialect struct {
	// Name is the word of Source.Dialect.
	Name string
	// ByteOrder follows a text expression that is ordered or compared by
	// order, so that it is done by bytes: `COLLATE "C"`; "" where bytes are
	// the engine's own order.
	ByteOrder string
	// RowComparison says that (a, b) > (x, y) may be used and is planned well.
	RowComparison bool
	// Param writes the n-th (1-based) bound value, given as canonical text, so
	// that it has the type t.
	Param func(n int, t Type) string
	// Rows writes a query (no parentheses) that yields a bound list of rows:
	// one bound list for each type, the first being the n-th argument; its
	// columns are v0, v1 ...
	Rows func(n int, types []Type) string
	// Any, where not nil, writes that a column is one of a bound list of length
	// values, the n-th argument, or "" where such a list had better be joined.
	// Unlike IN with a query it can be pushed below window functions and groups
	// to an index.
	Any func(column string, n, length int, t Type) string
	// UnpivotLists says that repeated columns are turned into rows by unnest
	// over lists in the SELECT list, in place of LATERAL (VALUES ...).
	UnpivotLists bool
}

// Arg is one bound value of a Statement: text in canonical form, or a list of
// such texts.
type Arg struct {
	Text string
	List []string // nil for a single value
	Type Type
}

// Statement is a rendered query: text, bound values, and where in the text
// each piece of a mapping's SQL stands.
type Statement struct {
	SQL   string
	Args  []Arg
	spans []span
}

type span struct {
	start, end int
	part       Part
	index      int
	skip       int // bytes of the piece that stand before
}

// Locate tells which piece of the mapping's SQL holds the 0-based byte offset
// of the statement, and the offset within it. An offset just behind a piece
// (the engine stumbled over its closing bracket) counts as the piece's end.
func (s *Statement) Locate(offset int) (part Part, index, at int, ok bool) {
	for _, p := range s.spans {
		if offset >= p.start && offset <= p.end+1 { // +1: the newline before the bracket
			return p.part, p.index, p.skip + min(offset-p.start, p.end-p.start), true
		}
	}
	return 0, 0, -1, false
}

// Select writes q: the expressions as columns c0, c1 ..., ordered by key and
// order. asOf is bound where an expression names the snapshot relation. Every
// relation must have its Columns where it has Trim, Empty or Unpivot.
func (d *Dialect) Select(q *Query, asOf time.Time) (*Statement, error) {
	return d.SelectAs(q, asOf, nil)
}

// SelectAs is Select with a cast around the columns that casts gives a type
// for, by index: for types whose text only the engine can write.
func (d *Dialect) SelectAs(q *Query, asOf time.Time, casts map[int]string) (*Statement, error) {
	r := newRenderer(d, q, asOf)
	r.casts = casts
	if q.Distinct {
		r.distinct(q)
	} else {
		r.text("SELECT")
		r.columns(q.Columns, PartColumn, 0)
		if len(q.Columns) == 0 {
			r.text(" 1")
		}
		r.rest(q, true)
		r.orderBy(q)
	}
	if q.Limit > 0 {
		r.text("\nLIMIT " + strconv.Itoa(q.Limit))
	}
	return r.done()
}

// Columns writes a query for the columns of a relation, without Trim and Empty
// where the relation does not know its Columns yet; it yields no row.
func (d *Dialect) Columns(rel *Relation) (*Statement, error) {
	r := newRenderer(d, &Query{From: rel}, time.Time{})
	r.named = nil
	r.text("SELECT * FROM ")
	r.relation(rel, true)
	r.text("\nLIMIT 0")
	return r.done()
}

// Types writes the query that Describe prepares: all expressions of q, columns
// then where, as columns of a SELECT.
func (d *Dialect) Types(q *Query) (*Statement, error) {
	r := newRenderer(d, q, time.Time{})
	r.typing = true
	r.typed(q)
	return r.done()
}

// TypesOfScalars is Types and Scalars in one query: where it prepares, both do.
func (d *Dialect) TypesOfScalars(q *Query) (*Statement, error) {
	r := newRenderer(d, q, time.Time{})
	r.typing = true
	r.typed(q)
	r.scalar(q)
	return r.done()
}

func (r *renderer) typed(q *Query) {
	r.text("SELECT")
	r.columns(q.Columns, PartColumn, 0)
	if len(q.Columns) > 0 && len(q.Where) > 0 {
		r.text(",")
	}
	r.columns(q.Where, PartWhere, len(q.Columns))
	r.text("\nFROM ")
	r.source(q, true)
}

// Scalars writes the second query that Describe prepares: all expressions of q
// in a WHERE clause, where only scalar ones may stand (mapping language, rule 5).
func (d *Dialect) Scalars(q *Query) (*Statement, error) {
	r := newRenderer(d, q, time.Time{})
	r.typing = true
	r.text("SELECT 1 FROM ")
	r.source(q, true)
	r.scalar(q)
	return r.done()
}

func (r *renderer) scalar(q *Query) {
	next := "\nWHERE "
	for i, e := range q.Columns {
		r.text(next)
		r.expr(e.SQL, PartColumn, i)
		r.text(" IS NULL")
		next = "\nAND "
	}
	for i, e := range q.Where {
		r.text(next)
		r.expr(e.SQL, PartWhere, i)
		r.text(" IS NULL")
		next = "\nAND "
	}
}

// FindColumn finds a column by its name, exactly or else without regard to
// case (mapping language, rule 3).
func FindColumn(columns []Column, name string) (Column, bool) {
	for _, c := range columns {
		if c.Name == name {
			return c, true
		}
	}
	for _, c := range columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Column{}, false
}

type renderer struct {
	d        *Dialect
	b        strings.Builder
	args     []Arg
	spans    []span
	err      error
	casts    map[int]string // of the columns, see SelectAs
	named    names
	owners   []string // of the query whose relation is written, see Narrow.Owners
	typing   bool     // types are asked for: a wrap that cannot change them is left out
	snapshot bool
}

func newRenderer(d *Dialect, q *Query, asOf time.Time) *renderer {
	r := &renderer{d: d}
	if q.From == nil {
		r.fail(errors.New("a query without a relation"))
		return r
	}
	r.named = namesIn(q)
	if usesSnapshot(q) {
		// A common table, so that the relation's own SQL may join it as well.
		r.snapshot = true
		p := r.bind(Arg{Text: instantText(asOf, true), Type: Type{Kind: KindInstant}})
		r.text("WITH snapshot(as_of, as_of_date) AS (SELECT s.t, CAST(s.t AS DATE) FROM (SELECT " + p + " AS t) AS s)\n")
	}
	return r
}

func usesSnapshot(q *Query) bool {
	if q == nil {
		return false
	}
	for _, e := range q.Columns {
		if namesSnapshot(e.SQL) {
			return true
		}
	}
	for _, e := range q.Where {
		if namesSnapshot(e.SQL) {
			return true
		}
	}
	for rel := q.From; rel != nil; {
		if namesSnapshot(rel.SQL) {
			return true
		}
		if rel.Unpivot == nil {
			break
		}
		rel = rel.Unpivot.Of
	}
	for _, c := range q.Narrow.SinceAlso {
		if usesSnapshot(c) {
			return true
		}
	}
	return usesSnapshot(q.Parent)
}

func (r *renderer) done() (*Statement, error) {
	if r.err != nil {
		return nil, r.err
	}
	return &Statement{SQL: r.b.String(), Args: r.args, spans: r.spans}, nil
}

func (r *renderer) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("write query: %w", err)
	}
}

func (r *renderer) text(s string) { r.b.WriteString(s) }

func (r *renderer) ident(name string) string {
	s, err := QuoteIdent(name)
	if err != nil {
		r.fail(err)
	}
	return s
}

func (r *renderer) literal(text string) string {
	s, err := QuoteLiteral(text)
	if err != nil {
		r.fail(err)
	}
	return s
}

func (r *renderer) bind(a Arg) string {
	r.args = append(r.args, a)
	return r.d.Param(len(r.args), a.Type)
}

// expr writes a mapping's SQL in parentheses on lines of its own, so that it
// cannot swallow what follows, and notes where it stands.
func (r *renderer) expr(sql string, part Part, index int) {
	r.text("(\n")
	start := r.b.Len()
	r.text(sql)
	r.spans = append(r.spans, span{start: start, end: r.b.Len(), part: part, index: index})
	r.text("\n)")
}

func (r *renderer) columns(exprs []Expr, part Part, first int) {
	for i, e := range exprs {
		if i > 0 {
			r.text(",")
		}
		r.text("\n")
		cast := ""
		if part == PartColumn {
			cast = r.casts[i]
		}
		if cast != "" {
			r.text("CAST(")
		}
		r.expr(e.SQL, part, i)
		if cast != "" {
			r.text(" AS " + cast + ")")
		}
		r.text(" AS c" + strconv.Itoa(first+i))
	}
}

// source writes the FROM item of a query and the snapshot beside it. own is true
// for the outermost query.
func (r *renderer) source(q *Query, own bool) {
	outer := r.owners
	r.owners = q.Narrow.Owners
	r.relation(q.From, own)
	r.owners = outer
	if r.snapshot {
		r.text(" CROSS JOIN snapshot")
	}
}

// relation writes a relation with its alias; where it is wrapped, with those of
// its columns that the query may mean. own is true for the query's own relation,
// to whose SQL faults are led back.
func (r *renderer) relation(rel *Relation, own bool) {
	if !needsWrap(rel) || r.typing && keepsTypes(rel) {
		r.plain(rel, own)
		return
	}
	name := r.ident(rel.Name)
	r.text("(SELECT")
	keep := make(map[string]bool, len(rel.Keep))
	for _, k := range rel.Keep {
		keep[strings.ToLower(k)] = true
	}
	written := make([]Column, 0, len(rel.Columns))
	for _, c := range rel.Columns {
		if r.named.has(c.Name) {
			written = append(written, c)
		}
	}
	if len(written) == 0 {
		written = rel.Columns[:1] // its rows are meant, such as by a constant
	}
	for i, c := range written {
		if i > 0 {
			r.text(",")
		}
		r.text("\n  " + r.wrapped(name, c, rel, keep[strings.ToLower(c.Name)]))
	}
	r.text("\n  FROM ")
	r.plain(rel, own)
	r.text(") AS " + name)
}

// needsWrap says that columns of rel must be changed before an expression sees
// them.
func needsWrap(rel *Relation) bool {
	if len(rel.Columns) == 0 {
		return false
	}
	if rel.Trim || len(rel.Empty.Text) > 0 || len(rel.Empty.Date) > 0 {
		return true
	}
	for _, c := range rel.Columns {
		if c.Type.Padded {
			return true
		}
	}
	return false
}

// keepsTypes says that the wrap of rel binds for certain, and changes no
// column's type: each column that it touches is of a type of which the text and
// date functions are made.
func keepsTypes(rel *Relation) bool {
	for _, c := range rel.Columns {
		if c.Type.Padded {
			return false
		}
		switch c.Type.Kind {
		case KindText, KindDate, KindTimestamp, KindInstant:
			switch strings.ToLower(c.Type.Name) {
			case "text", "varchar", "date", "timestamp", "timestamp with time zone", "timestamp without time zone":
			default:
				return false
			}
		}
	}
	return true
}

func (r *renderer) wrapped(relation string, c Column, rel *Relation, keep bool) string {
	name := r.ident(c.Name)
	x := relation + "." + name
	if c.Type.Padded {
		// The cast drops the padding, in keys too: char(n) is right-trimmed always.
		x = "CAST(" + x + " AS TEXT)"
	}
	if !keep {
		switch c.Type.Kind {
		case KindText:
			if rel.Trim {
				x = "trim(" + x + ")"
			}
			for _, token := range rel.Empty.Text {
				x = "NULLIF(" + x + ", " + r.literal(token) + ")"
			}
		case KindDate:
			for _, token := range rel.Empty.Date {
				x = "NULLIF(" + x + ", CAST(" + r.literal(token) + " AS DATE))"
			}
		case KindTimestamp, KindInstant:
			for _, token := range rel.Empty.Date {
				x = "CASE WHEN CAST(" + x + " AS DATE) = CAST(" + r.literal(token) + " AS DATE) THEN NULL ELSE " + x + " END"
			}
		}
	}
	return x + " AS " + name
}

func (r *renderer) plain(rel *Relation, own bool) {
	name := r.ident(rel.Name)
	switch {
	case rel.Unpivot != nil:
		r.unpivot(rel)
	case rel.Table != "":
		start := r.b.Len()
		schema, table, err := SplitTable(rel.Table)
		if err != nil {
			r.fail(err)
			return
		}
		if schema != "" {
			r.text(r.ident(schema) + ".")
		}
		r.text(r.ident(table))
		if own {
			r.spans = append(r.spans, span{start: start, end: r.b.Len(), part: PartRelation})
		}
	case r.owners != nil && len(rel.Owned) > 0:
		r.owned(rel, own)
	default:
		if own {
			r.expr(rel.SQL, PartRelation, 0)
		} else {
			r.text("(\n" + rel.SQL + "\n)")
		}
	}
	r.text(" AS " + name)
}

// owned writes a relation's SQL, each of its owned parts within a query that
// keeps the rows of the owners: so written, both engines carry the condition to
// the tables below, and to their indexes.
func (r *renderer) owned(rel *Relation, own bool) {
	piece := func(from, to int) {
		start := r.b.Len()
		r.text(rel.SQL[from:to])
		if own {
			r.spans = append(r.spans, span{start: start, end: r.b.Len(), part: PartRelation, skip: from})
		}
	}
	r.text("(\n")
	at := 0
	for _, o := range rel.Owned {
		if o.Start < at || o.End < o.Start || o.End > len(rel.SQL) {
			r.fail(errors.New("owned parts out of order"))
			return
		}
		piece(at, o.Start)
		r.text("SELECT * FROM (\n")
		piece(o.Start, o.End)
		r.text("\n) AS _owned WHERE ")
		r.oneOf("_owned."+r.ident(o.Patient.Name), o.Patient.Type, r.owners)
		at = o.End
	}
	piece(at, len(rel.SQL))
	r.text("\n)")
}

// oneOf writes that an expression of type t is one of the values.
func (r *renderer) oneOf(x string, t Type, values []string) {
	if len(values) == 1 {
		// A plain equality reaches, by way of joins, the tables on their other side.
		r.text(x + " = " + r.bind(Arg{Text: values[0], Type: t}))
		return
	}
	r.args = append(r.args, Arg{List: values, Type: t})
	if r.d.Any != nil {
		if text := r.d.Any(x, len(r.args), len(values), t); text != "" {
			r.text(text)
			return
		}
	}
	r.text(x + " IN (" + r.d.Rows(len(r.args), []Type{t}) + ")")
}

func (r *renderer) unpivot(rel *Relation) {
	u := rel.Unpivot
	if u.Of == nil {
		r.fail(fmt.Errorf("unpivot %s: no relation", rel.Name))
		return
	}
	numbers, err := u.Numbers()
	if err != nil {
		r.fail(fmt.Errorf("unpivot %s: %w", rel.Name, err))
		return
	}
	of := r.ident(u.Of.Name)
	cell := func(c UnpivotColumn, n string) string {
		pattern := strings.ReplaceAll(c.Pattern, "{n}", n)
		if found, ok := FindColumn(u.Of.Columns, pattern); ok {
			pattern = found.Name
		} else if len(u.Of.Columns) > 0 {
			r.fail(&SQLError{Part: PartRelation, Offset: -1, Code: "unknown-column", Name: pattern,
				Message: fmt.Sprintf("column %q of an unpivot is not in %s", pattern, u.Of.Name)})
		}
		return of + "." + r.ident(pattern)
	}
	r.text("(SELECT " + of + ".*")
	if r.d.UnpivotLists {
		list := func(values []string, name string) {
			r.text(",\n  unnest([" + strings.Join(values, ", ") + "]) AS " + r.ident(name))
		}
		ns := make([]string, len(numbers))
		for i, n := range numbers {
			ns[i] = n.Value
		}
		list(ns, "n")
		for _, c := range u.Columns {
			values := make([]string, len(numbers))
			for i, n := range numbers {
				values[i] = cell(c, n.Text)
			}
			list(values, c.Name)
		}
		r.text("\n  FROM ")
		r.relation(u.Of, false)
		r.text(")")
		return
	}
	r.text(", _unpivot.* FROM ")
	r.relation(u.Of, false)
	r.text("\n  CROSS JOIN LATERAL (VALUES")
	for i, n := range numbers {
		if i > 0 {
			r.text(",")
		}
		r.text("\n    (" + n.Value)
		for _, c := range u.Columns {
			r.text(", " + cell(c, n.Text))
		}
		r.text(")")
	}
	r.text(") AS _unpivot(" + r.ident("n"))
	for _, c := range u.Columns {
		r.text(", " + r.ident(c.Name))
	}
	r.text("))")
}

// UnpivotNumber is a number of an unpivot: its value in canonical text, and as
// it stands in column names.
type UnpivotNumber struct{ Value, Text string }

// Numbers lists the numbers of an unpivot in order; 01..03 has the texts 01, 02,
// 03. Error: no numbers, the wrong way round, more than 1000.
func (u *Unpivot) Numbers() ([]UnpivotNumber, error) {
	from, err1 := strconv.Atoi(u.From)
	to, err2 := strconv.Atoi(u.To)
	if err1 != nil || err2 != nil || from < 0 || to < from || to-from >= 1000 {
		return nil, fmt.Errorf("numbers %q..%q", u.From, u.To)
	}
	width := 0
	if strings.HasPrefix(u.From, "0") {
		width = len(u.From)
	}
	out := make([]UnpivotNumber, 0, to-from+1)
	for n := from; n <= to; n++ {
		out = append(out, UnpivotNumber{Value: strconv.Itoa(n), Text: fmt.Sprintf("%0*d", width, n)})
	}
	return out, nil
}

// rest writes FROM and WHERE. own is true for the outermost query.
func (r *renderer) rest(q *Query, own bool) {
	r.text("\nFROM ")
	r.source(q, own)
	c := conditions{r: r, next: "\nWHERE "}
	if !q.NullKeys || !own {
		for _, k := range q.Key {
			c.add(r.column(q, k) + " IS NOT NULL")
		}
	}
	for i, e := range q.Where {
		c.begin()
		if own {
			r.expr(e.SQL, PartWhere, i)
		} else {
			r.text("(\n" + e.SQL + "\n)")
		}
	}
	r.narrow(q, &c)
	if q.Parent != nil {
		c.begin()
		r.exists(q, q.Parent, len(q.Parent.Key), "_parent", nil)
	}
}

// conditions writes WHERE, then AND.
type conditions struct {
	r    *renderer
	next string
}

func (c *conditions) begin() {
	c.r.text(c.next)
	c.next = "\n  AND "
}

func (c *conditions) add(s string) {
	c.begin()
	c.r.text(s)
}

func (r *renderer) columnName(q *Query, k KeyColumn) string {
	if c, ok := FindColumn(q.From.Columns, k.Name); ok {
		return c.Name
	}
	return k.Name
}

func (r *renderer) column(q *Query, k KeyColumn) string {
	return r.ident(q.From.Name) + "." + r.ident(r.columnName(q, k))
}

// keyType is the type under which a key column is compared.
func (r *renderer) keyType(q *Query, k KeyColumn) Type {
	t := k.Type
	if t.Kind == KindUnknown {
		if c, ok := FindColumn(q.From.Columns, k.Name); ok {
			t = c.Type
		}
	}
	return t
}

// ordered is a key column as it is compared by order.
func (r *renderer) ordered(q *Query, k KeyColumn) string {
	s := r.column(q, k)
	if r.keyType(q, k).Kind == KindText && r.d.ByteOrder != "" {
		s += " " + r.d.ByteOrder
	}
	return s
}

func (r *renderer) narrow(q *Query, c *conditions) {
	n := &q.Narrow
	patient := []KeyColumn{n.Patient}
	if n.Patient.Name == "" && (n.PatientAfter != nil || n.PatientUpTo != nil || n.Patients != nil || len(n.PatientsNot) > 0 || n.PatientNull) {
		r.fail(errors.New("patients are narrowed but no patient column is named"))
		return
	}
	if n.PatientAfter != nil {
		c.begin()
		r.compare(q, patient, []string{*n.PatientAfter}, true)
	}
	if n.PatientUpTo != nil {
		c.begin()
		r.compare(q, patient, []string{*n.PatientUpTo}, false)
	}
	if n.Patients != nil {
		rows := make([][]string, len(n.Patients))
		for i, p := range n.Patients {
			rows[i] = []string{p}
		}
		c.begin()
		r.in(q, patient, rows)
	}
	if len(n.PatientsNot) > 0 {
		rows := make([][]string, len(n.PatientsNot))
		for i, p := range n.PatientsNot {
			rows[i] = []string{p}
		}
		c.add("(" + r.column(q, n.Patient) + " IS NULL OR NOT ")
		r.in(q, patient, rows)
		r.text(")")
	}
	if n.PatientNull {
		c.add(r.column(q, n.Patient) + " IS NULL")
	}
	if n.KeyAfter != nil {
		c.begin()
		r.keyBound(q, n.KeyAfter, true)
	}
	if n.KeyUpTo != nil {
		c.begin()
		r.keyBound(q, n.KeyUpTo, false)
	}
	if n.Keys != nil {
		c.begin()
		r.in(q, q.Key, n.Keys)
	}
	if n.Any != nil {
		c.begin()
		r.any(q, n.Any)
	}
	r.updated(q, c)
}

// any writes that one of the columns has one of its values.
func (r *renderer) any(q *Query, list []ColumnValues) {
	if len(list) == 0 {
		r.text("1 = 0")
		return
	}
	r.text("(")
	for i, a := range list {
		if i > 0 {
			r.text(" OR ")
		}
		rows := make([][]string, len(a.Values))
		for j, v := range a.Values {
			rows[j] = []string{v}
		}
		r.in(q, []KeyColumn{a.Column}, rows)
	}
	r.text(")")
}

func (r *renderer) keyBound(q *Query, values []string, after bool) {
	if len(values) == 0 || len(values) > len(q.Key) {
		r.fail(fmt.Errorf("a key bound of %d parts for a key of %d", len(values), len(q.Key)))
		return
	}
	r.compare(q, q.Key[:len(values)], values, after)
}

// compare writes that the leading key columns lie behind values (after) or not
// behind them. Each value is bound once where the dialect compares rows, else
// once for each place where it stands.
func (r *renderer) compare(q *Query, keys []KeyColumn, values []string, after bool) {
	op := "<="
	if after {
		op = ">"
	}
	param := func(i int) string {
		return r.bind(Arg{Text: values[i], Type: r.keyType(q, keys[i])})
	}
	if len(keys) == 1 {
		r.text(r.ordered(q, keys[0]) + " " + op + " " + param(0))
		return
	}
	if r.d.RowComparison {
		left := make([]string, len(keys))
		right := make([]string, len(keys))
		for i, k := range keys {
			left[i], right[i] = r.ordered(q, k), param(i)
		}
		r.text("(" + strings.Join(left, ", ") + ") " + op + " (" + strings.Join(right, ", ") + ")")
		return
	}
	params := make([]string, len(keys))
	for i := range keys {
		params[i] = param(i)
	}
	strict := "<"
	if after {
		strict = ">"
	}
	// The first comparison is implied by the second; it lets the engine skip
	// blocks by their least and greatest value.
	r.text("(" + r.ordered(q, keys[0]) + " " + strict + "= " + params[0] + " AND (")
	for i, k := range keys {
		column := r.ordered(q, k)
		if i == len(keys)-1 {
			r.text(column + " " + op + " " + params[i] + strings.Repeat(")", 2*i))
			break
		}
		r.text(column + " " + strict + " " + params[i] + " OR (" + column + " = " + params[i] + " AND (")
	}
	r.text("))")
}

// in writes that the columns are one of the rows.
func (r *renderer) in(q *Query, keys []KeyColumn, rows [][]string) {
	if len(keys) == 1 {
		values := make([]string, len(rows))
		for i, row := range rows {
			if len(row) != 1 {
				r.fail(fmt.Errorf("a key of %d parts where 1 is wanted", len(row)))
				return
			}
			values[i] = row[0]
		}
		r.oneOf(r.column(q, keys[0]), r.keyType(q, keys[0]), values)
		return
	}
	types := make([]Type, len(keys))
	left := make([]string, len(keys))
	first := len(r.args) + 1
	for i, k := range keys {
		types[i] = r.keyType(q, k)
		left[i] = r.column(q, k)
		list := make([]string, len(rows))
		for j, row := range rows {
			if len(row) != len(keys) {
				r.fail(fmt.Errorf("a key of %d parts where %d are wanted", len(row), len(keys)))
				return
			}
			list[j] = row[i]
		}
		r.args = append(r.args, Arg{List: list, Type: types[i]})
	}
	if len(rows) == 1 {
		r.args = r.args[:first-1] // as in oneOf
		for i := range left {
			left[i] += " = " + r.bind(Arg{Text: rows[0][i], Type: types[i]})
		}
		r.text("(" + strings.Join(left, " AND ") + ")")
		return
	}
	r.text("(" + strings.Join(left, ", ") + ") IN (" + r.d.Rows(first, types) + ")")
}

// updated writes Since, Until and SinceAlso (mapping language, rule 29).
func (r *renderer) updated(q *Query, c *conditions) {
	n := &q.Narrow
	declared := n.Updated.Name != ""
	if !n.Since.IsZero() && (declared || len(n.SinceAlso) > 0) {
		c.add("(")
		or := ""
		if declared {
			column := r.column(q, n.Updated)
			r.text(column + " IS NULL OR " + column + " > " + r.instant(q, n.Updated, n.Since))
			or = "\n    OR "
		}
		for _, child := range n.SinceAlso {
			r.text(or)
			since := n.Since
			if !child.Narrow.Since.IsZero() {
				since = child.Narrow.Since
			}
			r.exists(q, child, len(q.Key), "_child", &since)
			or = "\n    OR "
		}
		r.text(")")
	}
	if !n.Until.IsZero() && declared {
		op := " < "
		if n.UntilInclusive {
			op = " <= "
		}
		column := r.column(q, n.Updated)
		c.add("(" + column + " IS NULL OR " + column + op + r.instant(q, n.Updated, n.Until) + ")")
	}
}

// instant binds an instant so that it compares with a column of the last
// change: naive columns are read as UTC.
func (r *renderer) instant(q *Query, k KeyColumn, t time.Time) string {
	if r.keyType(q, k).Kind == KindInstant {
		return r.bind(Arg{Text: instantText(t, true), Type: Type{Kind: KindInstant}})
	}
	return r.bind(Arg{Text: instantText(t, false), Type: Type{Kind: KindTimestamp}})
}

func instantText(t time.Time, zone bool) string {
	nanos := t.Nanosecond()
	micros := t.Unix()*1_000_000 + int64(nanos/1000)
	return string(AppendTimestamp(nil, micros, 0, zone))
}

// exists writes that other holds a row whose first parts of the key equal q's.
// The other query stands in a derived table of its own, which sees nothing of
// q: equal names inside cannot fall through. since, where given, further asks
// that its row changed later.
func (r *renderer) exists(q, other *Query, parts int, alias string, since *time.Time) {
	if other.From == nil || parts == 0 || len(other.Key) < parts || len(q.Key) < parts {
		r.fail(errors.New("a parent or child query whose key does not match"))
		return
	}
	r.text("EXISTS (SELECT 1 FROM (SELECT ")
	for i, k := range other.Key[:parts] {
		if i > 0 {
			r.text(", ")
		}
		r.text(r.column(other, k) + " AS k" + strconv.Itoa(i))
	}
	inner := *other
	if since != nil {
		if other.Narrow.Updated.Name == "" {
			r.fail(errors.New("a child query without a column of its last change"))
			return
		}
		r.text(", " + r.column(other, other.Narrow.Updated) + " AS u")
		inner.Narrow.Since = time.Time{}
		inner.Narrow.SinceAlso = nil
	}
	r.rest(&inner, false)
	r.text(") AS " + alias + " WHERE ")
	for i := range parts {
		if i > 0 {
			r.text(" AND ")
		}
		r.text(alias + ".k" + strconv.Itoa(i) + " = " + r.column(q, q.Key[i]))
	}
	if since != nil {
		r.text(" AND " + alias + ".u > " + r.instant(other, other.Narrow.Updated, *since))
	}
	r.text(")")
}

func (r *renderer) orderBy(q *Query) {
	next := "\nORDER BY "
	for _, keys := range [2][]KeyColumn{q.Key, q.Order} {
		for _, k := range keys {
			r.text(next + r.ordered(q, k))
			next = ", "
		}
	}
}

// distinct sets the query in a derived table that carries the key and order
// columns beside the expressions: an ORDER BY under DISTINCT may name nothing
// else. As the key is among the expressions this adds no rows.
func (r *renderer) distinct(q *Query) {
	if len(q.Columns) == 0 {
		r.fail(errors.New("a distinct query without columns"))
		return
	}
	r.text("SELECT")
	for i := range q.Columns {
		if i > 0 {
			r.text(",")
		}
		r.text(" d.c" + strconv.Itoa(i))
	}
	r.text(" FROM (SELECT DISTINCT")
	r.columns(q.Columns, PartColumn, 0)
	var order []string
	for _, keys := range [2][]KeyColumn{q.Key, q.Order} {
		for _, k := range keys {
			name := "k" + strconv.Itoa(len(order))
			r.text(",\n" + r.column(q, k) + " AS " + name)
			by := "d." + name
			if r.keyType(q, k).Kind == KindText && r.d.ByteOrder != "" {
				by += " " + r.d.ByteOrder
			}
			order = append(order, by)
		}
	}
	r.rest(q, true)
	r.text(") AS d")
	if len(order) > 0 {
		r.text("\nORDER BY " + strings.Join(order, ", "))
	}
}
