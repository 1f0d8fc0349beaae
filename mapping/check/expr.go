package check

import (
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/sql/source"
)

// scope is the chain of sources whose rows an expression may see, innermost
// first.
type scope struct {
	source *Source
	outer  *scope
}

func (s *scope) find(name string) *Source {
	for ; s != nil; s = s.outer {
		if strings.EqualFold(s.source.Name, name) {
			return s.source
		}
	}
	return nil
}

// lost says that a source of the chain did not resolve.
func (s *scope) lost() bool {
	for ; s != nil; s = s.outer {
		if s.source.lost {
			return true
		}
	}
	return false
}

// expr reads SQL of set: the text starts with =.
func (c *checker) expr(t *syntax.Text, sc *scope) *Expr {
	sql, base := t.SQL()
	return c.expression(t, sql, base, sc)
}

// condition is SQL without =, that must be boolean.
func (c *checker) condition(t *syntax.Text, sc *scope) *Expr {
	if t.IsSQL() {
		c.diags.Errorf(t.Pos, "equals-in-where", "where is SQL already; leave the = out")
		return nil
	}
	sql := strings.TrimRight(t.Value, " \t\n")
	e := c.expression(t, sql, 0, sc)
	c.boolean(e)
	return e
}

func (c *checker) boolean(e *Expr) {
	if e == nil {
		return
	}
	c.deferred = append(c.deferred, func() {
		if k := e.Type.Kind; k != source.KindBoolean && k != source.KindUnknown {
			c.diags.Errorf(e.Pos, "not-condition", "a condition must be boolean, this is %s", typeName(e.Type))
		}
	})
}

// expression finds whose an expression is (rule 4) and keeps it for describe.
func (c *checker) expression(t *syntax.Text, sql string, base int, sc *scope) *Expr {
	e := &Expr{SQL: sql, Source: sc.source, Pos: t.Pos, text: t, base: base}
	if sql == "" {
		c.diags.Errorf(t.Pos, "empty-value", "expected SQL after the =")
		return nil
	}
	tokens, fault := scanSQL(sql)
	if fault != nil {
		c.diags.Errorf(e.at(fault.offset), fault.code, "%s", fault.message)
		return nil
	}
	n, fault := mentions(tokens)
	if fault != nil {
		c.diags.Errorf(e.at(fault.offset), fault.code, "%s", fault.message)
		return nil
	}
	var owner *Source
	for _, q := range n.qualifiers {
		if strings.EqualFold(q.text, "snapshot") {
			continue
		}
		s := sc.find(q.text)
		if s == nil {
			if !sc.lost() && c.outOfReach(e, q, sc) {
				return nil
			}
			continue
		}
		if owner != nil && owner != s {
			c.diags.Errorf(e.at(q.offset), "two-sources", "the expression names source %q beside %q", s.Name, owner.Name).
				WithHint("join them in the SQL of source %q", sc.source.Name)
			return nil
		}
		owner = s
	}
	if owner != nil {
		e.Source = owner
		for _, b := range n.bare {
			if !sc.source.lost && owner != sc.source && findColumn(owner.Columns, b.text) == nil && findColumn(sc.source.Columns, b.text) != nil {
				c.diags.Errorf(e.at(b.offset), "two-sources", "column %q is of source %q, the expression names source %q", b.text, sc.source.Name, owner.Name)
				return nil
			}
		}
	}
	if len(tokens) == 1 && (tokens[0].kind == tokenName || tokens[0].kind == tokenQuoted) {
		e.Column = tokens[0].text
	}
	if len(tokens) == 3 && tokens[1].text == "." && owner != nil {
		e.Column = tokens[2].text
	}
	// A lone word that is no column is told here: every engine words it
	// differently, and some take it for something else.
	col := findColumn(e.Source.Columns, e.Column)
	if e.Source.lost || sc.lost() && owner == nil && len(n.qualifiers) > 0 {
		e.Column = ""
		return e
	}
	if e.Column != "" && col == nil && (len(tokens) > 1 || !isWord(tokens[0])) {
		at := tokens[len(tokens)-1].offset
		d := c.diags.Errorf(e.at(at), "unknown-column", "column %q is not in source %q", e.Column, e.Source.Name)
		c.columnHint(d, e.Column, e.Source)
		return nil
	}
	if e.Column = ""; col != nil {
		e.Column = col.Name
	}
	c.exprs = append(c.exprs, e)
	return e
}

// isWord says that a token is a constant of SQL, not a column.
func isWord(t token) bool {
	if t.kind != tokenName {
		return false
	}
	switch strings.ToLower(t.text) {
	case "null", "true", "false":
		return true
	}
	return false
}

// outOfReach reports a qualifier that is a source, but none that encloses the
// expression; a qualifier that is no source at all may be a column of a
// composite type and is left to the warehouse.
func (c *checker) outOfReach(e *Expr, q token, sc *scope) bool {
	name := strings.ToLower(q.text)
	if s := c.sources[name]; s != nil {
		c.diags.Errorf(e.at(q.offset), "out-of-reach", "source %q is not in reach here", name)
		return true
	}
	if c.broken[name] {
		return true
	}
	if findColumn(sc.source.Columns, name) != nil {
		return false
	}
	var all []string
	for s := sc; s != nil; s = s.outer {
		all = append(all, s.source.Name)
	}
	slices.Sort(all)
	c.diags.Errorf(e.at(q.offset), "unknown-source", "source %q is not declared", q.text).WithHint("%s", diag.DidYouMean(q.text, all))
	return true
}

// value reads a scalar of set: SQL, a map, or a literal.
func (c *checker) value(n *syntax.Node, sc *scope) (literal *syntax.Text, v *Value, ok bool) {
	switch {
	case n.Text != nil && n.Text.IsSQL():
		e := c.expr(n.Text, sc)
		if e == nil {
			return nil, nil, false
		}
		return nil, &Value{Pos: n.Pos, Expr: e}, true
	case n.Text != nil:
		return n.Text, nil, true
	case n.Map != nil:
		v := c.mapped(n, sc)
		return nil, v, v != nil
	}
	c.diags.Errorf(n.Pos, "not-a-value", "expected a value: a text, SQL after =, or {map: ..., of: ...}")
	return nil, nil, false
}

// alone is value where nothing but the value may stand: a word beside map that
// nobody reads there, such as when, would be lost without a message.
func (c *checker) alone(n *syntax.Node, what string, sc *scope) (literal *syntax.Text, v *Value, ok bool) {
	if n.Map != nil {
		for _, w := range []struct {
			name string
			at   *syntax.Text
		}{{"each", n.Each}, {"where", n.Where}, {"when", n.When}, {"absent", n.Absent}, {"raw", n.Raw}} {
			if w.at != nil {
				c.diags.Errorf(w.at.Pos, "misplaced-word", "%s takes no %s", what, w.name)
				return nil, nil, false
			}
		}
		if n.Key != nil {
			c.diags.Errorf(n.KeyPos, "misplaced-word", "%s takes no key", what)
			return nil, nil, false
		}
		if n.Assumed != nil {
			c.diags.Errorf(n.Assumed.Pos, "misplaced-word", "%s takes no assumed beside map", what)
			return nil, nil, false
		}
	}
	return c.value(n, sc)
}

func (c *checker) mapped(n *syntax.Node, sc *scope) *Value {
	name := strings.ToLower(n.Map.Value)
	m := c.maps[name]
	if m == nil {
		if !c.badMaps[name] {
			var all []string
			for k := range c.maps {
				all = append(all, k)
			}
			slices.Sort(all)
			c.diags.Errorf(n.Map.Pos, "unknown-map", "map %q is not declared", n.Map.Value).WithHint("%s", diag.DidYouMean(n.Map.Value, all))
		}
		return nil
	}
	v := &Value{Pos: n.Pos, Map: m}
	if len(n.Of) != m.Keys {
		c.diags.Errorf(n.Map.Pos, "map-arity", "map %q takes %d values in of, found %d", m.Name, m.Keys, len(n.Of))
		return nil
	}
	for _, o := range n.Of {
		if o.Text == nil || !o.Text.IsSQL() {
			c.diags.Errorf(o.Pos, "not-sql", "of takes SQL that starts with =")
			return nil
		}
		e := c.expr(o.Text, sc)
		if e == nil {
			return nil
		}
		if len(v.Of) > 0 && v.Of[0].Source != e.Source {
			c.diags.Errorf(o.Pos, "two-sources", "the values of one map come from source %q and source %q", v.Of[0].Source.Name, e.Source.Name)
			return nil
		}
		v.Of = append(v.Of, e)
	}
	if n.Get != nil {
		at := slices.IndexFunc(m.Values, func(s string) bool { return strings.EqualFold(s, n.Get.Value) })
		if at < 0 {
			c.diags.Errorf(n.Get.Pos, "unknown-column", "map %q has no value column %q", m.Name, n.Get.Value).WithHint("%s", diag.DidYouMean(n.Get.Value, m.Values))
			return nil
		}
		v.Get = at
	} else if len(m.Values) > 1 {
		v.Get = 0
	}
	return v
}

// parts reads a key.
func (c *checker) parts(list []*syntax.Node, sc *scope) []Part {
	var out []Part
	for _, n := range list {
		literal, v, ok := c.alone(n, "a part of a key", sc)
		if !ok {
			out = append(out, Part{Pos: n.Pos})
			continue
		}
		p := Part{Pos: n.Pos, Value: v}
		if literal != nil {
			p.Literal = literal.Literal()
		}
		if v != nil && v.Expr != nil {
			e := v.Expr
			c.deferred = append(c.deferred, func() {
				switch k := e.Type.Kind; {
				case k == source.KindFloat, k == source.KindDecimal, k == source.KindBoolean, e.Type.Padded:
					c.diags.Errorf(e.Pos, "key-type", "a part of a key is text, integer, date, uuid or timestamp, this is %s", typeName(e.Type)).
						WithHint("CAST it")
				}
			})
		}
		out = append(out, p)
	}
	return out
}
