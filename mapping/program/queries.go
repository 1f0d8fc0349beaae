package program

import (
	"remit/mapping/check"
	"remit/sql/source"
)

// Query is one ordered query that a run makes: one stream of one pass.
type Query struct {
	// Pass is the number of the pass, from 1, as in Request.
	Pass int
	// Source is the name of the source in sources.yaml.
	Source string
	// Parent is the name of the source under which the rows are merged, ""
	// for the first query of a pass.
	Parent string
	// Makes names the sources below whose rows are made of this query's rows: the
	// warehouse is not asked for them, but for what hangs on their number alone.
	Makes []string
	// Mappings names the mappings that the pass serves, in order; Types their
	// resource types, each once.
	Mappings, Types []string
	// Query is what the warehouse is asked. The caller may change its fields
	// but not what they point to.
	Query *source.Query
}

// Queries lists what Run would ask the warehouse for r, in the order of its
// passes and, within a pass, each parent before its children. It reads nothing.
func (p *Program) Queries(r Request) []Query {
	var out []Query
	for i := range p.passes {
		if r.Pass != 0 && r.Pass != i+1 {
			continue
		}
		mappings := p.wanted(i, &r)
		if len(mappings) == 0 {
			continue
		}
		for _, apart := range p.apart(mappings, &r) {
			out = p.queries(out, i, apart, &r)
		}
	}
	return out
}

// queries appends what a pass over mappings asks.
func (p *Program) queries(out []Query, at int, mappings []*check.Mapping, r *Request) []Query {
	var names, types []string
	for _, m := range mappings {
		names = append(names, m.Name)
		types = appendOnce(types, m.Type.Name())
	}
	pass := p.compileWith(mappings, r.options()).plan
	for k, q := range pass.Narrow(r.limits(pass.From)) {
		if q == nil {
			continue // of a row of its parent alone
		}
		one := Query{Pass: at + 1, Source: pass.Streams[k].Source.Name, Mappings: names, Types: types, Query: q}
		if parent := pass.Streams[k].Parent; parent >= 0 {
			one.Parent = pass.Streams[parent].Source.Name
		} else {
			one.Makes = pass.Folded()
		}
		out = append(out, one)
	}
	return out
}

// appendOnce appends s unless it is there.
func appendOnce(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}
