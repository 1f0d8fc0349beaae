package workbook

import (
	"cmp"
	"slices"
	"strings"

	"remit/mapping/check"
)

// Expressions lists the SQL of a checked set that a workbook shows, each once
// by its place: what [Facts] may be told about. Sorted by source, so that those
// of one source may be asked for together.
func Expressions(set *check.Set) []*check.Expr {
	c := &collector{seen: map[*check.Expr]bool{}}
	for _, m := range set.Mappings {
		c.parts(m.ID)
		c.node(m.Root)
	}
	slices.SortStableFunc(c.all, func(a, b *check.Expr) int {
		return cmp.Or(strings.Compare(a.Source.Name, b.Source.Name), a.Pos.Compare(b.Pos))
	})
	return c.all
}

type collector struct {
	all  []*check.Expr
	seen map[*check.Expr]bool
}

func (c *collector) expr(e *check.Expr) {
	if e != nil && e.Source != nil && !c.seen[e] {
		c.seen[e] = true
		c.all = append(c.all, e)
	}
}

func (c *collector) value(v *check.Value) {
	if v == nil {
		return
	}
	c.expr(v.Expr)
	for _, e := range v.Of {
		c.expr(e)
	}
}

func (c *collector) parts(k *check.Key) {
	if k == nil {
		return
	}
	for _, p := range k.Parts {
		c.value(p.Value)
	}
}

func (c *collector) node(n *check.Node) {
	if n == nil {
		return
	}
	c.value(n.Value)
	c.value(n.SystemOf)
	for _, p := range n.Key {
		c.value(p.Value)
	}
	c.parts(n.RefKey)
	for _, child := range n.Children {
		c.node(child)
	}
}
