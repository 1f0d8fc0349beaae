package plan

import (
	"remit/mapping/check"
	"remit/sql/source"
)

// RemovedPlan reads the rows of a removed relation: its key columns first, then
// the instant, then what the ids need (rule 30).
type RemovedPlan struct {
	Columns []source.Expr
	At      int // column of the instant
	Slots   map[*check.Expr]Slot
}

// Removed plans the reading of gone for the ids in keys; nil keys are left out.
func Removed(gone *check.Source, keys []*check.Key) *RemovedPlan {
	st := &Stream{Source: gone, index: map[string]int{}}
	for _, k := range gone.Key {
		st.column(check.QuoteName(k.Name))
	}
	out := &RemovedPlan{At: st.column(check.QuoteName(gone.Updated.Name)), Slots: map[*check.Expr]Slot{}}
	add := func(e *check.Expr) {
		if e == nil {
			return
		}
		sql := e.SQL
		if e.Column != "" {
			sql = check.QuoteName(e.Column)
		}
		out.Slots[e] = Slot{Column: st.column(sql)}
	}
	for _, k := range keys {
		if k == nil {
			continue
		}
		for _, p := range k.Parts {
			if p.Value == nil {
				continue
			}
			add(p.Value.Expr)
			for _, e := range p.Value.Of {
				add(e)
			}
		}
	}
	out.Columns = st.Query.Columns
	return out
}
