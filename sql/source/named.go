package source

import "strings"

// names are the lower-case names that a query's own text may mean a column by;
// nil where it may mean any. Of a wide table that is wrapped (Trim, Empty) no
// other column need be written, and binding those written is most of what
// preparing a query costs.
type names map[string]bool

// namesIn collects the names of q, its parent and its children.
func namesIn(q *Query) names {
	n := names{}
	if !n.query(q) {
		return nil
	}
	return n
}

// has says that a column may be meant.
func (n names) has(column string) bool { return n == nil || n[strings.ToLower(column)] }

// query adds the names of q and says whether they are all that it can mean.
func (n names) query(q *Query) bool {
	if q == nil {
		return true
	}
	for _, keys := range [3][]KeyColumn{q.Key, q.Order, {q.Narrow.Patient, q.Narrow.Updated}} {
		for _, k := range keys {
			n[strings.ToLower(k.Name)] = true
		}
	}
	for _, a := range q.Narrow.Any {
		n[strings.ToLower(a.Column.Name)] = true
	}
	rows := map[string]bool{}
	for rel := q.From; rel != nil; rel = rel.Unpivot.Of {
		rows[strings.ToLower(rel.Name)] = true
		if rel.Unpivot == nil {
			break
		}
		numbers, _ := rel.Unpivot.Numbers() // a fault is told where it is written
		for _, c := range rel.Unpivot.Columns {
			for _, number := range numbers {
				n[strings.ToLower(strings.ReplaceAll(c.Pattern, "{n}", number.Text))] = true
			}
		}
	}
	for _, list := range [2][]Expr{q.Columns, q.Where} {
		for _, e := range list {
			if !n.expr(e.SQL, rows) {
				return false
			}
		}
	}
	for _, child := range q.Narrow.SinceAlso {
		if !n.query(child) {
			return false
		}
	}
	return n.query(q.Parent)
}

// expr adds the names of an expression. It may mean any column where it holds a
// query of its own, a star that is no multiplication, or a whole row of one of
// the relations named rows.
func (n names) expr(sql string, rows map[string]bool) bool {
	tokens := scan(sql)
	punct := func(i int, of string) bool {
		return i >= 0 && i < len(tokens) && tokens[i].kind == tokenPunct && strings.IndexByte(of, sql[tokens[i].start]) >= 0
	}
	for i, t := range tokens {
		if punct(i, "*") && punct(i-1, "(,.[{") {
			return false
		}
		name := unquoteWord(sql, t)
		if name == "" {
			continue
		}
		if t.kind == tokenWord && (name == "select" || name == "columns" || name == "table") {
			return false
		}
		if rows[name] && !punct(i+1, ".") && !punct(i-1, ".") {
			return false
		}
		n[name] = true
	}
	return true
}
