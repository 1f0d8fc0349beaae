package program

import (
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/sql/source"
)

// Bound asks of an element that it holds a date from From to UpTo, both
// included and ISO days; "" is no bound. It may let too much through and never
// too little: whoever asks looks again at what comes.
type Bound struct {
	// Path is the element below the resource, choices without their type:
	// "created", "billablePeriod.start".
	Path string `json:"path"`
	From string `json:"from,omitempty"`
	UpTo string `json:"up_to,omitempty"`
}

// bounded narrows a pass to the rows that can meet the bounds, where it can be
// told from a plain date column of the pass's own source for every mapping of
// it; else it gives c itself.
func (c *compiled) bounded(req *Request) *compiled {
	// A run that tells deletions, and one that holds the rows of a header
	// against each other, must see every row.
	if len(req.Bounds) == 0 || req.deletions() || req.lenient || c.plan.From.Header != check.NoHeader {
		return c
	}
	var any []string
	for _, u := range c.mappings {
		alternatives, ok := req.Bounds[u.mapping.Type.Name()]
		if !ok {
			return c
		}
		for _, all := range alternatives {
			text := condition(u.mapping, all)
			if text == "" {
				return c
			}
			if !slices.Contains(any, text) {
				any = append(any, text)
			}
		}
	}
	if len(any) == 0 {
		return c
	}
	pass := *c.plan
	pass.Narrowed = true
	pass.Streams = slices.Clone(pass.Streams)
	root := *pass.Streams[0]
	root.Query.Where = append(slices.Clone(root.Query.Where), source.Expr{SQL: strings.Join(any, " OR ")})
	pass.Streams[0] = &root
	out := *c
	out.plan = &pass
	return &out
}

// condition is what all bounds together ask of a row, "" where no column tells.
func condition(m *check.Mapping, all []Bound) string {
	var parts []string
	for _, b := range all {
		column := dateColumn(m, b.Path)
		if column == "" {
			continue // the others narrow enough
		}
		for _, side := range []struct{ op, day string }{{">=", b.From}, {"<=", b.UpTo}} {
			if side.day != "" {
				parts = append(parts, column+" "+side.op+" DATE '"+side.day+"'")
			}
		}
	}
	if parts == nil {
		return ""
	}
	return "(" + strings.Join(parts, " AND ") + ")"
}

// dateColumn is the date column that alone fills the element, as SQL; "" where
// anything else may.
func dateColumn(m *check.Mapping, path string) string {
	n := m.Root
	for name := range strings.SplitSeq(path, ".") {
		var next *check.Node
		for _, c := range n.Children {
			if c.Kind == check.First {
				return "" // it may stand in there
			}
			if c.Element == nil || c.Element.Base() != name {
				continue
			}
			if next != nil {
				return ""
			}
			next = c
		}
		if next == nil || next.Each != nil || next.Assumed != nil {
			return ""
		}
		n = next
	}
	v := n.Value
	if n.Kind != check.Primitive || v == nil || v.Expr == nil || v.Expr.Column == "" || v.Expr.Source != m.From ||
		v.Expr.Type.Kind != source.KindDate || !slices.Contains([]string{"date", "dateTime"}, n.Type.Name()) {
		return ""
	}
	return check.QuoteName(v.Expr.Column)
}
