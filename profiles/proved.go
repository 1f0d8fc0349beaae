package profiles

import "sync"

// ProvedRule names one demand by what its finding would say: the profile, the
// element, the code and, for an invariant, the key.
type ProvedRule struct {
	Profile string // canonical with version, as in Finding.Profile
	Element string // element id, as in Finding.Element
	// Code is the finding's code: "cardinality-min", "fixed-value", "constraint"
	// ... "binding" stands for all codes of a binding. ProvedWhole stands for
	// everything that Profile demands of the element and of what is below it; the
	// base definition of R4 is a Profile of its own.
	Code       string
	Constraint string // key, where Code is "constraint"
}

// ProvedWhole is the Code of a ProvedRule that takes in a whole element.
const ProvedWhole = "*"

// ProvedContent is the Code of a ProvedRule on an element of a base definition: no
// node of it can be wrong, in itself or in what is below. How many there are is
// judged.
const ProvedContent = "content"

// Proved are demands that every resource to be judged is known to meet, because
// what writes the resources cannot break them; a Validator leaves them out. The
// empty Proved leaves out nothing. A Validator with one must judge only
// resources that the proof is about: where several mappings write resources of
// one type, it holds what is proved for all of them, or each has its own
// Validator.
//
// A demand of a datatype's own ("Coding" of R4) is met at every place where the
// datatype stands.
type Proved map[ProvedRule]struct{}

// Add adds a rule.
func (p Proved) Add(r ProvedRule) { p[r] = struct{}{} }

// Has says that a rule is proved, by itself or with its whole element.
func (p Proved) Has(r ProvedRule) bool {
	if _, ok := p[r]; ok {
		return true
	}
	_, ok := p[ProvedRule{Profile: r.Profile, Element: r.Element, Code: ProvedWhole}]
	return ok
}

// pruner makes programs without what is proved. Programs are shared by all
// Validators of a Set and stay as they are: it copies.
type pruner struct {
	proved Proved

	mu     sync.Mutex
	progs  map[*program]*program
	tables map[*table]*table
}

func (x *pruner) has(el *Element, code, key string) bool {
	if el == nil {
		return false
	}
	return x.proved.Has(ProvedRule{el.Profile.Canonical(), el.ID, code, key})
}

func (x *pruner) whole(el *Element) bool {
	if el == nil {
		return false
	}
	_, ok := x.proved[ProvedRule{Profile: el.Profile.Canonical(), Element: el.ID, Code: ProvedWhole}]
	return ok
}

// program gives p without what is proved; nil if that is all of it.
func (x *pruner) program(p *program) *program {
	if x == nil || len(x.proved) == 0 || p == nil {
		return p
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.prune(p)
}

func (x *pruner) prune(p *program) *program {
	if p == nil {
		return nil
	}
	if q, ok := x.progs[p]; ok {
		return q
	}
	if x.progs == nil {
		x.progs, x.tables = map[*program]*program{}, map[*table]*table{}
	}
	if x.whole(p.el) {
		x.progs[p] = nil
		return nil
	}
	q := new(program)
	*q = *p
	x.progs[p] = q // before it is filled: programs may come back to themselves
	for _, drop := range []struct {
		code string
		what func()
	}{
		{"fixed-value", func() { q.settled, q.fixed = q.settled || q.coded && q.overrides && q.fixed != nil, nil }},
		{"pattern-value", func() { q.settled, q.pattern = q.settled || q.coded && q.overrides && q.pattern != nil, nil }},
		{"min-value", func() { q.minValue = nil }},
		{"max-value", func() { q.maxValue = nil }},
		{"max-length", func() { q.maxLength = 0 }},
		{"reference-target", func() { q.targets = nil }},
		{"type-profile", func() { q.anyOf = nil }},
		{"primitive-form", func() { q.formed = true }},
	} {
		if x.has(p.el, drop.code, "") {
			drop.what()
		}
	}
	if x.has(p.el, "binding", "") {
		// A profile's binding that holds also answers R4's own at the same node.
		q.widest = nil
		if q.binding != nil {
			b := *q.binding
			b.proved = true
			q.binding = &b
		}
		if p.base || !p.overrides {
			q.binding = nil
		}
	}
	q.invariants = nil
	for i := range p.invariants {
		if inv := &p.invariants[i]; !x.has(inv.el, "constraint", inv.Key) {
			q.invariants = append(q.invariants, *inv)
		}
	}
	q.also, q.anyOf = x.list(q.also), x.list(q.anyOf)
	q.kids = x.table(p.kids)
	if q.idle() {
		x.progs[p] = nil
		return nil
	}
	return q
}

// list prunes the programs of a list; of those that are alternatives to each
// other, one that is nil demands nothing.
func (x *pruner) list(list []*program) []*program {
	var out []*program
	for _, p := range list {
		if q := x.prune(p); q != nil {
			out = append(out, q)
		}
	}
	return out
}

func (x *pruner) table(t *table) *table {
	if t == nil {
		return nil
	}
	if u, ok := x.tables[t]; ok {
		return u
	}
	u := &table{}
	x.tables[t] = u
	if t.fill == nil {
		u.groups = x.groups(t.groups)
		return u
	}
	u.fill = func() []group {
		groups := t.load()
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.groups(groups)
	}
	return u
}

func (x *pruner) groups(list []group) []group {
	var out []group
	for i := range list {
		if g, ok := x.group(&list[i], "cardinality"); ok {
			out = append(out, g)
		}
	}
	return out
}

// group prunes a group, or, counted as "slice", the group of a slice. ok is
// false if it demands nothing any more.
func (x *pruner) group(from *group, counted string) (g group, ok bool) {
	g = *from
	if x.whole(g.el) {
		return g, false
	}
	if x.has(g.el, counted+"-min", "") {
		g.min = 0
	}
	if x.has(g.el, counted+"-max", "") {
		g.max = Unbounded
	}
	if x.has(g.el, "type-not-allowed", "") {
		g.barred = nil
	}
	ok = g.min > 0 || g.max != Unbounded || g.barred != nil
	g.progs = make([]*program, len(from.progs))
	sound := x.has(g.el, ProvedContent, "")
	for i, p := range from.progs {
		if sound {
			continue
		}
		g.progs[i] = x.prune(p)
		ok = ok || g.progs[i] != nil
	}
	if from.slicing != nil {
		g.slicing = x.slicing(from.slicing)
		ok = ok || g.slicing != nil
	}
	return g, ok
}

// slicing prunes slices. A slice that demands nothing keeps its tests while one
// behind it is left, for what is in the first is not in the second. Where it
// matters whether a repetition is in any slice, all keep them.
func (x *pruner) slicing(from *slicing) *slicing {
	s := *from
	if x.has(s.el, "slice-closed", "") {
		s.closed = false
	}
	if x.has(s.el, "slice-order", "") {
		s.ordered = false
	}
	if x.has(s.el, "slice-open-at-end", "") {
		s.openAtEnd = false
	}
	all := s.closed || s.ordered || s.openAtEnd
	left := 0
	s.slices = make([]slice, len(from.slices))
	for i := range from.slices {
		one := from.slices[i]
		g, ok := x.group(&one.group, "slice")
		if !ok {
			g.min, g.max, g.barred, g.slicing = 0, Unbounded, nil, nil
			g.progs = make([]*program, len(one.progs))
		}
		one.group = g
		// A claim stays: what is proved of the slice is proved of the extension's
		// definition that it brings.
		if s.slices[i] = one; all || ok || one.claims {
			left = i + 1
		}
	}
	if left == 0 {
		return nil
	}
	s.slices = s.slices[:left]
	return &s
}
