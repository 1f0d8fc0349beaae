package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/sql/source"
)

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reserved are words that no source may be named, in either dialect.
var reserved = map[string]bool{
	"all": true, "and": true, "any": true, "array": true, "as": true, "asc": true, "between": true, "both": true, "case": true,
	"cast": true, "check": true, "collate": true, "column": true, "constraint": true, "create": true, "cross": true, "default": true,
	"desc": true, "distinct": true, "do": true, "else": true, "end": true, "except": true, "false": true, "fetch": true, "for": true,
	"foreign": true, "from": true, "full": true, "grant": true, "group": true, "having": true, "in": true, "inner": true, "intersect": true,
	"into": true, "is": true, "join": true, "lateral": true, "leading": true, "left": true, "like": true, "limit": true, "natural": true,
	"not": true, "null": true, "offset": true, "on": true, "only": true, "or": true, "order": true, "outer": true, "primary": true,
	"references": true, "returning": true, "right": true, "select": true, "some": true, "symmetric": true, "table": true, "then": true,
	"to": true, "trailing": true, "true": true, "union": true, "unique": true, "user": true, "using": true, "values": true, "when": true,
	"where": true, "window": true, "with": true, "snapshot": true, "qualify": true, "pivot": true, "unpivot": true, "summarize": true,
}

// resolveSources asks the warehouse about every declared source.
func (c *checker) resolveSources(src *syntax.Sources) error {
	declared := map[string]*syntax.Source{}
	for _, s := range src.Sources {
		name := s.Name.Value
		switch {
		case !sourceName.MatchString(name):
			c.diags.Errorf(s.Name.Pos, "bad-source-name", "source name %q must be a lower-case letter, then letters, digits and _", name)
			c.broken[strings.ToLower(name)] = true
		case reserved[name]:
			c.diags.Errorf(s.Name.Pos, "bad-source-name", "source name %q is a word of SQL", name)
			c.broken[name] = true
		default:
			declared[name] = s
		}
	}
	defer c.askAhead(src)()
	if err := c.owners(src.With); err != nil {
		return err
	}
	busy := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		s := declared[name]
		if s == nil || c.sources[name] != nil || c.broken[name] {
			return nil
		}
		if busy[name] {
			c.diags.Errorf(s.Pos, "parent-cycle", "source %q is its own ancestor", name)
			c.broken[name] = true
			return nil
		}
		busy[name] = true
		for _, p := range []*syntax.Text{s.Parent, s.Unpivot} {
			if p != nil {
				if err := visit(strings.ToLower(p.Value)); err != nil {
					return err
				}
			}
		}
		if c.broken[name] {
			return nil
		}
		out, err := c.resolve(s, &src.Defaults)
		if err != nil {
			return err
		}
		if out == nil {
			c.broken[name] = true
			return nil
		}
		c.sources[name] = out
		c.set.Sources = append(c.set.Sources, out)
		return nil
	}
	for _, s := range src.Sources {
		if err := visit(s.Name.Value); err != nil {
			return err
		}
	}
	c.sameOwners(src.With)
	for _, s := range c.set.Sources {
		for _, up := range c.set.Sources {
			if findColumn(s.Columns, up.Name) != nil && s.Root() == up.Root() {
				c.diags.Errorf(up.Pos, "source-is-column", "source name %q is also a column of source %q", up.Name, s.Name)
			}
		}
	}
	return nil
}

// source finds a source by name, or reports it; nil also where it is broken,
// which was told already.
func (c *checker) source(t *syntax.Text) *Source {
	name := strings.ToLower(t.Value)
	if s := c.sources[name]; s != nil {
		return s
	}
	if !c.broken[name] {
		var all []string
		for n := range c.sources {
			all = append(all, n)
		}
		slices.Sort(all)
		c.diags.Errorf(t.Pos, "unknown-source", "source %q is not declared", t.Value).WithHint("%s", diag.DidYouMean(t.Value, all))
	}
	return nil
}

// standIn is source, or a stand-in where the name does not resolve: what else is
// wrong with the mapping is still found.
func (c *checker) standIn(t *syntax.Text) *Source {
	if s := c.source(t); s != nil {
		return s
	}
	return lost(t)
}

// lost is the stand-in for a source.
func lost(t *syntax.Text) *Source {
	return &Source{Name: t.Value, Pos: t.Pos, Relation: &source.Relation{Name: t.Value}, Currency: "XXX", Zone: time.UTC, lost: true}
}

func (c *checker) resolve(s *syntax.Source, set *syntax.Defaults) (*Source, error) {
	out := &Source{Name: s.Name.Value, Pos: s.Pos, Relation: &source.Relation{Name: s.Name.Value}}
	kinds := 0
	for _, t := range []*syntax.Text{s.Table, s.SQL, s.Unpivot} {
		if t != nil {
			kinds++
		}
	}
	if kinds != 1 {
		c.diags.Errorf(s.Pos, "source-kind", "source %q needs exactly one of table, sql and unpivot", out.Name)
		return nil, nil
	}
	if !c.settings(out, s, set) {
		return nil, nil
	}
	parentName := cmp.Or(s.Parent, s.Unpivot)
	if parentName != nil {
		if out.Parent = c.source(parentName); out.Parent == nil {
			return nil, nil
		}
	}
	ok, err := c.relation(out, s)
	if err != nil || !ok {
		return nil, err
	}
	seen := map[string]bool{}
	for _, col := range out.Columns {
		if seen[strings.ToLower(col.Name)] {
			c.diags.Errorf(s.Pos, "duplicate-column", "source %q has two columns named %q", out.Name, col.Name)
			return nil, nil
		}
		seen[strings.ToLower(col.Name)] = true
	}
	if !c.keys(out, s) {
		return nil, nil
	}
	if s.Header != nil && !c.header(out, s) {
		return nil, nil
	}
	if s.Removed != nil {
		if ok, err := c.removed(out, s); err != nil || !ok {
			return nil, err
		}
	}
	c.wrapping(out)
	if s.Where != nil {
		if e := c.condition(s.Where, &scope{source: out}); e != nil {
			out.Where = append(out.Where, e)
		}
	}
	return out, nil
}

// settings resolves currency, time zone, date formats and empty tokens, the
// source's own before the set's.
func (c *checker) settings(out *Source, s *syntax.Source, set *syntax.Defaults) bool {
	ok := true
	own := &s.Defaults
	if t := cmp.Or(own.Currency, set.Currency); t != nil {
		out.Currency = t.Value
		if len(t.Value) != 3 || strings.ToUpper(t.Value) != t.Value {
			c.diags.Errorf(t.Pos, "bad-currency", "currency %q is no code of three capital letters", t.Value)
			ok = false
		}
	}
	if t := cmp.Or(own.Timezone, set.Timezone); t != nil {
		zone, err := time.LoadLocation(t.Value)
		if err != nil || strings.EqualFold(t.Value, "local") {
			c.diags.Errorf(t.Pos, "bad-timezone", "time zone %q is not known", t.Value)
			ok = false
		}
		out.Zone = zone
	}
	dates := own.Dates
	if len(dates) == 0 {
		dates = set.Dates
	}
	for _, t := range dates {
		f, err := ParseDateFormat(t.Value)
		if err != nil {
			c.diags.Errorf(t.Pos, "bad-date-format", "%s", err)
			ok = false
			continue
		}
		out.Dates = append(out.Dates, f)
	}
	if len(dates) == 0 {
		iso, _ := ParseDateFormat("ISO")
		out.Dates = []*DateFormat{iso}
	}
	amounts := own.Money
	if len(amounts) == 0 {
		amounts = set.Money
	}
	for _, t := range amounts {
		f, err := ParseMoneyFormat(t.Value)
		if err != nil {
			c.diags.Errorf(t.Pos, "bad-money-format", "%s", err)
			ok = false
			continue
		}
		out.Money = append(out.Money, f)
	}
	if slices.Contains(out.Money, MoneyCents) && len(out.Money) > 1 {
		c.diags.Errorf(amounts[0].Pos, "bad-money-format", "cents read every number, so that no other format can stand beside")
		ok = false
	}
	if t := cmp.Or(own.Trim, set.Trim); t != nil {
		if t.Value != "true" && t.Value != "false" {
			c.diags.Errorf(t.Pos, "not-boolean", "expected true or false")
			ok = false
		}
		out.Relation.Trim = t.Value == "true"
	}
	if e := cmp.Or(own.Empty, set.Empty); e != nil {
		for _, t := range e.Text {
			out.Relation.Empty.Text = append(out.Relation.Empty.Text, t.Value)
		}
		for _, t := range e.Date {
			if _, err := time.Parse(time.DateOnly, t.Value); err != nil {
				c.diags.Errorf(t.Pos, "bad-date", "%q is no date; expected YYYY-MM-DD", t.Value)
				ok = false
			}
			out.Relation.Empty.Date = append(out.Relation.Empty.Date, t.Value)
		}
	}
	return ok
}

// relation fills in table, SQL or unpivot and asks for the columns.
func (c *checker) relation(out *Source, s *syntax.Source) (bool, error) {
	at := s.Pos
	var sql *composed
	switch {
	case s.Table != nil && c.namesBroken(s.Table.Value):
		return false, nil
	case s.Table != nil && c.withNamed(s.Table.Value) != nil:
		at = s.Table.Pos
		sql = c.compose(sqlText{from: s.Table, sql: "SELECT * FROM " + c.withNamed(s.Table.Value).name})
		out.Relation.SQL, out.Relation.Owned = sql.sql, sql.owned
	case s.Table != nil:
		out.Relation.Table, at = s.Table.Value, s.Table.Pos
	case s.SQL != nil:
		at = s.SQL.Pos
		text, ok, err := c.query(s.SQL)
		if !ok || c.namesBroken(text.sql) {
			return false, err
		}
		sql = c.compose(text)
		out.Relation.SQL, out.Relation.Owned = sql.sql, sql.owned
	default:
		if !c.unpivot(out, s) {
			return false, nil
		}
	}
	columns, err := c.columns(out.Relation)
	var bad *source.SQLError
	if errors.As(err, &bad) {
		c.relationError(out, at, s.Table, sql, bad)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the columns of source %q: %w", out.Name, err)
	}
	out.Columns = columns
	return true, nil
}

// ahead is a question about the columns of a relation, asked before its turn.
type ahead struct {
	done    chan struct{}
	columns []source.Column
	err     error
}

// askAhead asks for the columns of tables and SQL, several at once: the warehouse
// does the work, and each answer waits for its source's turn. wait returns when
// all have been answered.
func (c *checker) askAhead(src *syntax.Sources) (wait func()) {
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var asking sync.WaitGroup
	ask := func(rel *source.Relation) {
		key := relationKey(rel)
		if c.asked[key] != nil {
			return
		}
		a := &ahead{done: make(chan struct{})}
		c.asked[key] = a
		asking.Go(func() {
			defer close(a.done)
			slots <- struct{}{}
			defer func() { <-slots }()
			a.columns, a.err = c.env.Warehouse.Columns(c.ctx, rel)
		})
	}
	for _, q := range src.With {
		if found := c.withNamed(q.Name.Value); found != nil && q.Patient != nil {
			ask(c.whole(found))
		}
	}
	for _, s := range src.Sources {
		rel := &source.Relation{Name: s.Name.Value}
		switch {
		case s.Table != nil && s.SQL == nil && c.withNamed(s.Table.Value) == nil && !c.namesBroken(s.Table.Value):
			rel.Table = s.Table.Value
		case s.SQL != nil && s.Table == nil:
			// What is wrong with it is told in its turn.
			quiet := &checker{env: c.env, files: c.files, diags: new(diag.List)}
			text, ok, err := quiet.query(s.SQL)
			if !ok || err != nil || c.namesBroken(text.sql) {
				continue
			}
			rel.SQL = c.compose(text).sql
		default:
			continue
		}
		ask(rel)
	}
	return asking.Wait
}

func relationKey(rel *source.Relation) string { return rel.Table + "\x00" + rel.SQL }

// columns are those of a relation. What was not answered well ahead is asked in
// the source's own words.
func (c *checker) columns(rel *source.Relation) ([]source.Column, error) {
	if a := c.asked[relationKey(rel)]; a != nil && rel.Unpivot == nil {
		<-a.done
		if a.err == nil {
			return slices.Clone(a.columns), nil
		}
	}
	return c.env.Warehouse.Columns(c.ctx, rel)
}

// removed resolves the source of the keys of rows that are gone (rule 30).
func (c *checker) removed(out *Source, s *syntax.Source) (bool, error) {
	if out.Parent != nil {
		c.diags.Errorf(s.Removed.Pos, "removed-of-child", "source %q has a parent; removed belongs to a source with a key of its own", out.Name)
		return false, nil
	}
	text, ok, err := c.query(s.Removed)
	if !ok || c.namesBroken(text.sql) {
		return false, err
	}
	sql := c.compose(text)
	gone := &Source{Name: out.Name, Pos: s.Removed.Pos, Relation: &source.Relation{Name: out.Name, SQL: sql.sql}, Zone: out.Zone}
	columns, err := c.env.Warehouse.Columns(c.ctx, gone.Relation)
	var bad *source.SQLError
	if errors.As(err, &bad) {
		c.relationError(gone, s.Removed.Pos, nil, sql, bad)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the removed rows of source %q: %w", out.Name, err)
	}
	gone.Columns = columns
	ok = true
	for _, k := range out.Key {
		col := findColumn(columns, k.Name)
		switch {
		case col == nil:
			c.diags.Errorf(s.Removed.Pos, "unknown-column", "removed of source %q gives no column %q, a part of the key", out.Name, k.Name)
			ok = false
			continue
		case !sameKeyKind(col.Type.Kind, k.Type.Kind):
			c.diags.Errorf(s.Removed.Pos, "key-type", "column %q of removed is %s, in source %q it is %s", col.Name, typeName(col.Type), out.Name, typeName(k.Type))
			ok = false
		}
		gone.Key = append(gone.Key, source.KeyColumn{Name: col.Name, Type: col.Type})
	}
	at := findColumn(columns, "removed_at")
	switch {
	case at == nil:
		c.diags.Errorf(s.Removed.Pos, "unknown-column", "removed of source %q gives no column %q", out.Name, "removed_at")
		return false, nil
	case at.Type.Kind == source.KindTimestamp && out.Zone == nil:
		c.diags.Errorf(s.Removed.Pos, "no-timezone", "column %q is a timestamp without a zone; declare timezone", at.Name)
		return false, nil
	case at.Type.Kind != source.KindTimestamp && at.Type.Kind != source.KindInstant && at.Type.Kind != source.KindDate:
		c.diags.Errorf(s.Removed.Pos, "updated-type", "removed_at is a timestamp or date, this is %s", typeName(at.Type))
		return false, nil
	}
	gone.Updated = &source.KeyColumn{Name: at.Name, Type: at.Type}
	if out.Patient != nil {
		if col := findColumn(columns, out.Patient.Name); col != nil {
			gone.Patient = &source.KeyColumn{Name: col.Name, Type: col.Type}
		}
	}
	out.Removed = gone
	return ok, nil
}

// header resolves the policy for rows that repeat their key.
func (c *checker) header(out *Source, s *syntax.Source) bool {
	switch s.Header.Value {
	case "assert":
		out.Header = HeaderAssert
	case "first":
		out.Header = HeaderFirst
	case "withhold":
		out.Header = HeaderWithhold
	default:
		c.diags.Errorf(s.Header.Pos, "unknown-policy", "header takes assert, first or withhold, not %q", s.Header.Value)
		return false
	}
	if out.Parent != nil {
		c.diags.Errorf(s.Header.Pos, "header-of-child", "source %q has a parent; header belongs to a source with a key of its own", out.Name)
		return false
	}
	if len(out.Order) == 0 && !s.Broken {
		c.diags.Errorf(s.Header.Pos, "missing-key", "source %q has no order: the columns that say which row of a header is the first", out.Name)
		return false
	}
	return true
}

// sqlFile reads name.sql, or name.dialect.sql where that stands beside it.
func (c *checker) sqlFile(name string) (string, string, error) {
	own := strings.TrimSuffix(name, ".sql") + "." + c.env.Warehouse.Dialect() + ".sql"
	for _, n := range []string{own, name} {
		data, err := fs.ReadFile(c.files, n)
		if err == nil {
			return n, string(data), nil
		}
		if n == name || !errors.Is(err, fs.ErrNotExist) {
			return n, "", fmt.Errorf("read %s: %w", n, err)
		}
	}
	return "", "", fs.ErrNotExist
}

// relationError reports why a relation did not prepare. table is the name it
// was looked up by, sql its text; one of them at least is nil.
func (c *checker) relationError(out *Source, at diag.Pos, table *syntax.Text, sql *composed, bad *source.SQLError) {
	if sql == nil && table != nil && (bad.Code == "unknown-table" || bad.Code == "other") {
		d := c.diags.Errorf(at, "unknown-table", "table %q is not in the warehouse", table.Value)
		if catalog, err := c.env.Warehouse.Catalog(c.ctx); err == nil {
			var all []string
			for _, t := range catalog.Tables {
				all = append(all, t.Name)
			}
			for _, q := range c.withQueries {
				all = append(all, q.name)
			}
			_ = d.WithHint("%s", diag.DidYouMean(table.Value, all))
		}
		return
	}
	if bad.Offset < 0 || sql == nil {
		code := cmp.Or(bad.Code, "other")
		if !strings.Contains(code, "-") {
			code = "sql-" + code
		}
		c.diags.Errorf(at, code, "source %q: %s", out.Name, bad.Message)
		return
	}
	text, offset := sql.at(bad.Offset)
	c.blame(text)
	c.sqlFault("source", out.Name, at, text, offset, bad)
}

func (c *checker) unpivot(out *Source, s *syntax.Source) bool {
	if s.N == nil {
		c.diags.Errorf(s.Pos, "missing-key", "source %q has no n: its range, such as 1..25", out.Name)
		return false
	}
	from, to, ok := strings.Cut(s.N.Value, "..")
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	if !ok || errA != nil || errB != nil || a > b || b-a > 999 || a < 0 {
		c.diags.Errorf(s.N.Pos, "bad-range", "%q is no range; expected first..last such as 1..25", s.N.Value)
		return false
	}
	if len(s.Columns) == 0 {
		c.diags.Errorf(s.Pos, "missing-key", "source %q has no columns", out.Name)
		return false
	}
	u := &source.Unpivot{Of: out.Parent.Relation, From: from, To: to}
	good := true
	for _, p := range s.Columns {
		if !strings.Contains(p.Value.Value, "{n}") {
			c.diags.Errorf(p.Value.Pos, "bad-pattern", "pattern %q has no {n}", p.Value.Value)
			good = false
			continue
		}
		if findColumn(out.Parent.Columns, p.Key.Value) != nil || strings.EqualFold(p.Key.Value, "n") {
			c.diags.Errorf(p.Key.Pos, "name-clash", "column %q is already a column of source %q", p.Key.Value, out.Parent.Name)
			good = false
		}
		width := 0
		if len(from) > 1 && from[0] == '0' {
			width = len(from)
		}
		for n := a; n <= b; n++ {
			name := strings.ReplaceAll(p.Value.Value, "{n}", fmt.Sprintf("%0*d", width, n))
			if findColumn(out.Parent.Columns, name) == nil {
				c.diags.Errorf(p.Value.Pos, "unknown-column", "column %q is not in source %q", name, out.Parent.Name)
				good = false
				break
			}
		}
		u.Columns = append(u.Columns, source.UnpivotColumn{Name: p.Key.Value, Pattern: p.Value.Value})
	}
	if findColumn(out.Parent.Columns, "n") != nil {
		c.diags.Errorf(s.Pos, "name-clash", "source %q has a column n, which unpivot needs", out.Parent.Name)
		good = false
	}
	out.Relation.Unpivot = u
	return good
}

// keys resolves key, order, patient and updated.
func (c *checker) keys(out *Source, s *syntax.Source) bool {
	ok := true
	columns := func(list []*syntax.Text) []source.KeyColumn {
		var cols []source.KeyColumn
		for _, t := range list {
			col := c.column(out, t)
			if col == nil {
				ok = false
				continue
			}
			if !c.keyType(t.Pos, col) {
				ok = false
			}
			cols = append(cols, source.KeyColumn{Name: col.Name, Type: col.Type})
		}
		return cols
	}
	one := func(t *syntax.Text) *source.KeyColumn {
		if t == nil {
			return nil
		}
		col := c.column(out, t)
		if col == nil {
			ok = false
			return nil
		}
		return &source.KeyColumn{Name: col.Name, Type: col.Type}
	}
	out.Order = columns(s.Order)
	out.Patient = one(s.Patient)
	if out.Updated = one(s.Updated); out.Updated != nil {
		switch out.Updated.Type.Kind {
		case source.KindTimestamp:
			if out.Zone == nil {
				c.diags.Errorf(s.Updated.Pos, "no-timezone", "column %q is a timestamp without a zone; declare timezone", out.Updated.Name)
				ok = false
			}
		case source.KindInstant, source.KindDate:
		default:
			c.diags.Errorf(s.Updated.Pos, "updated-type", "updated needs a timestamp or date, column %q is %s", out.Updated.Name, typeName(out.Updated.Type))
			ok = false
		}
	}
	switch {
	case out.Parent == nil:
		if len(s.Key) == 0 && s.Broken {
			return false
		}
		if len(s.Key) == 0 {
			c.diags.Errorf(s.Pos, "missing-key", "source %q has no key", out.Name)
			return false
		}
		if s.KeyOf != nil {
			c.diags.Errorf(s.Key[0].Pos, "key-without-parent", "source %q has no parent to name columns of", out.Name)
			return false
		}
		out.Key = columns(s.Key)
		return ok
	case s.Unpivot != nil:
		out.Key = slices.Clone(out.Parent.Join())
		n := findColumn(out.Columns, "n")
		if n == nil {
			n = &source.Column{Name: "n", Type: source.Type{Kind: source.KindInteger}}
		}
		out.Order = []source.KeyColumn{{Name: n.Name, Type: n.Type}}
		return ok
	}
	return c.joinKey(out, s, columns) && ok
}

// joinKey finds a child's columns that carry its parent's key.
func (c *checker) joinKey(out *Source, s *syntax.Source, columns func([]*syntax.Text) []source.KeyColumn) bool {
	join := out.Parent.Join()
	if len(out.Order) == 0 && s.Broken {
		return false
	}
	if len(out.Order) == 0 {
		c.diags.Errorf(s.Pos, "missing-key", "source %q has no order: the columns that tell rows of one %s apart", out.Name, out.Parent.Name)
		return false
	}
	ok := true
	switch {
	case s.KeyOf != nil:
		own := columns(s.Key)
		if len(own) != len(s.Key) {
			return false
		}
		for _, want := range join {
			at := slices.IndexFunc(s.KeyOf, func(t *syntax.Text) bool { return strings.EqualFold(t.Value, want.Name) })
			if at < 0 {
				c.diags.Errorf(s.Key[0].Pos, "key-mismatch", "the key names no column for %q of source %q", want.Name, out.Parent.Name)
				return false
			}
			out.Key = append(out.Key, own[at])
		}
		if len(s.KeyOf) != len(join) {
			c.diags.Errorf(s.Key[0].Pos, "key-mismatch", "the key has %d columns, that of source %q has %d", len(s.KeyOf), out.Parent.Name, len(join))
			return false
		}
	case len(s.Key) > 0:
		out.Key = columns(s.Key)
		if len(out.Key) != len(join) {
			c.diags.Errorf(s.Key[0].Pos, "key-mismatch", "the key has %d columns, that of source %q has %d", len(s.Key), out.Parent.Name, len(join))
			return false
		}
	default:
		for _, want := range join {
			col := findColumn(out.Columns, want.Name)
			if col == nil {
				c.diags.Errorf(s.Pos, "unknown-column", "source %q has no column %q, the key of its parent %q", out.Name, want.Name, out.Parent.Name).
					WithHint("write key: {own_column: %s}", want.Name)
				ok = false
				continue
			}
			ok = c.keyType(s.Pos, col) && ok
			out.Key = append(out.Key, source.KeyColumn{Name: col.Name, Type: col.Type})
		}
	}
	for i := range out.Key {
		if len(out.Key) == len(join) && !sameKeyKind(out.Key[i].Type.Kind, join[i].Type.Kind) {
			c.diags.Errorf(s.Pos, "key-type", "key column %q of source %q is %s, column %q of its parent %q is %s",
				out.Key[i].Name, out.Name, typeName(out.Key[i].Type), join[i].Name, out.Parent.Name, typeName(join[i].Type))
			ok = false
		}
	}
	return ok
}

func sameKeyKind(a, b source.Kind) bool {
	return a == b || a == source.KindUnknown || b == source.KindUnknown
}

// column finds a column of s, or reports it.
func (c *checker) column(s *Source, t *syntax.Text) *source.Column {
	if col := findColumn(s.Columns, t.Value); col != nil {
		return col
	}
	var all []string
	for _, col := range s.Columns {
		all = append(all, col.Name)
	}
	c.diags.Errorf(t.Pos, "unknown-column", "column %q is not in source %q", t.Value, s.Name).WithHint("%s", diag.DidYouMean(t.Value, all))
	return nil
}

func findColumn(cols []source.Column, name string) *source.Column {
	for i := range cols {
		if strings.EqualFold(cols[i].Name, name) {
			return &cols[i]
		}
	}
	return nil
}

// keyType refuses what cannot be compared alike everywhere (rule 20).
func (c *checker) keyType(pos diag.Pos, col *source.Column) bool {
	switch k := col.Type.Kind; {
	case k == source.KindFloat, k == source.KindDecimal, k == source.KindBoolean, k == source.KindComposite, col.Type.Padded:
		c.diags.Errorf(pos, "key-type", "column %q is %s; a key is text, integer, date, uuid or timestamp", col.Name, typeName(col.Type)).
			WithHint("CAST it in the source's SQL")
		return false
	}
	return true
}

// wrapping tells the adapter which columns stay as they are.
func (c *checker) wrapping(s *Source) {
	if s.Relation.Unpivot != nil {
		// The columns arrive wrapped through the relation unpivoted.
		s.Relation.Trim, s.Relation.Empty = false, source.Empty{}
		return
	}
	if !s.Relation.Trim && len(s.Relation.Empty.Text) == 0 && len(s.Relation.Empty.Date) == 0 {
		return
	}
	s.Relation.Columns = s.Columns
	for _, k := range append(slices.Clone(s.Key), s.Order...) {
		s.Relation.Keep = append(s.Relation.Keep, strings.ToLower(k.Name))
	}
	for _, k := range []*source.KeyColumn{s.Patient, s.Updated} {
		if k != nil {
			s.Relation.Keep = append(s.Relation.Keep, strings.ToLower(k.Name))
		}
	}
}

// codeMap resolves one map.
func (c *checker) codeMap(m *syntax.Map) {
	name := strings.ToLower(m.Name.Value)
	out := &Map{Name: m.Name.Value, Pos: m.Pos, Keys: 1, Values: []string{""}, Entries: map[string][]string{}}
	ok := true
	if m.Missing != nil {
		switch m.Missing.Value {
		case "withhold":
		case "omit":
			out.Missing = Omit
		case "fail":
			out.Missing = Fail
		default:
			c.diags.Errorf(m.Missing.Pos, "unknown-policy", "missing takes omit, withhold or fail, not %q", m.Missing.Value)
			ok = false
		}
	}
	if m.Default != nil {
		v := m.Default.Value
		out.Default = &v
		if m.Missing != nil {
			c.diags.Errorf(m.Missing.Pos, "default-and-missing", "a map with a default has no missing keys").WithRelated(m.Default.Pos, "default at")
			ok = false
		}
	}
	for _, e := range m.Entries {
		key := strings.TrimSpace(e.Key.Value)
		if _, twice := out.Entries[key]; twice {
			c.diags.Errorf(e.Key.Pos, "duplicate-key", "key %q is written twice", key)
			ok = false
		}
		out.Entries[key] = []string{e.Value.Value}
	}
	file := cmp.Or(m.CSV, m.XLSX, m.ConceptMap)
	if file != nil && !c.fileMap(out, m) {
		ok = false
	}
	if file == nil && len(m.Entries) == 0 {
		c.diags.Errorf(m.Pos, "empty-map", "map %q has no entries", m.Name.Value)
		ok = false
	}
	if c.maps[name] != nil || c.badMaps[name] {
		c.diags.Errorf(m.Pos, "duplicate-map", "map %q is declared twice", m.Name.Value)
		ok = false
	}
	if !ok {
		c.badMaps[name] = true
		return
	}
	c.maps[name] = out
}
