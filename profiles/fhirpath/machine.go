package fhirpath

import (
	"sync/atomic"

	"remit/profiles/r4"
)

// tri is the truth of a collection in a Boolean context: nothing, false, true,
// or impossible to say.
type tri uint8

const (
	isEmpty tri = iota
	isFalse
	isTrue
	isUnknown
)

func truthOf(b bool) tri {
	if b {
		return isTrue
	}
	return isFalse
}

func (t tri) not() tri {
	switch t {
	case isTrue:
		return isFalse
	case isFalse:
		return isTrue
	}
	return t
}

// scope is what $this, $index and $total mean.
type scope struct {
	this  Value
	index int
	total Collection
}

// machine is the state of one evaluation. Collections live on one stack: code
// pushes its result, and who asked for it takes it off by the height that the
// stack had before.
type machine struct {
	env     *Env
	stack   []Value
	scope   scope
	context Value
}

// maxItems bounds the stack, so that an expression cannot eat all memory.
const maxItems = 1 << 21

// begin readies the machine for an evaluation on node n of r.
func (env *Env) begin(r *r4.Resource, n r4.Node) *machine {
	m := &env.m
	m.env = env
	m.stack = m.stack[:0]
	m.context = NodeOf(r, n)
	m.scope = scope{this: m.context}
	return m
}

func (m *machine) push(v Value) { m.stack = append(m.stack, v) }

func (m *machine) pushTruth(t tri) {
	switch t {
	case isTrue, isFalse:
		m.push(boolValue(t == isTrue))
	case isUnknown:
		m.push(unknownOne)
	}
}

// lift moves what lies above from down to base, over what was between.
func (m *machine) lift(base, from int) {
	n := copy(m.stack[base:], m.stack[from:])
	m.stack = m.stack[:base+n]
}

// undecided says that a range of the stack holds an unknown item.
func (m *machine) undecided(from, to int) bool {
	for i := from; i < to; i++ {
		if m.stack[i].kind == KindUnknown {
			return true
		}
	}
	return false
}

// truth is the singleton evaluation of what lies above base (FHIRPath 2.0.0,
// section 4.5): a single item that is no Boolean counts as true.
func (m *machine) truth(base, pos int) (tri, error) {
	switch n := len(m.stack) - base; {
	case n == 0:
		return isEmpty, nil
	case m.undecided(base, len(m.stack)):
		return isUnknown, nil
	case n > 1:
		return isEmpty, faultf(pos, "expected one item as a Boolean, found %d", n)
	}
	v := &m.stack[base]
	switch v.kind {
	case KindBoolean:
		return truthOf(v.num == 1), nil
	case KindNode:
		if t := v.res.TypeOf(v.node()); t != nil && t.Form() == r4.FormBool {
			s, ok := v.system()
			if !ok {
				return isEmpty, nil
			}
			return truthOf(s.num == 1), nil
		}
	}
	return isTrue, nil
}

// code is a compiled node of the syntax tree.
type code struct {
	pos  int
	eval func(m *machine) error
	// test gives the truth without a collection; nil where there is no
	// quicker way than eval.
	test func(m *machine) (tri, error)
	// What follows lets the code around it choose a quicker way.
	path     []*step  // names alone, from $this
	constant *Value   // a literal
	strings  []string // a union of string literals
	children bool     // the children of $this
	source   *code    // of where(): its input and its criterion
	filter   *code
	// number gives the result of count() without a collection; ok is false
	// where this time there is no quicker way.
	number func(m *machine) (n int64, ok bool)
}

// truth evaluates c in a Boolean context.
func (c *code) truth(m *machine) (tri, error) {
	if c.test != nil {
		return c.test(m)
	}
	base := len(m.stack)
	if err := c.eval(m); err != nil {
		return isEmpty, err
	}
	t, err := m.truth(base, c.pos)
	m.stack = m.stack[:base]
	return t, err
}

// boolean makes the code of an operation that gives a Boolean.
func boolean(pos int, test func(m *machine) (tri, error)) code {
	return code{pos: pos, test: test, eval: func(m *machine) error {
		t, err := test(m)
		m.pushTruth(t)
		return err
	}}
}

// step is one name of a path.
type step struct {
	name string
	pos  int
	// start marks the first name of a path, which may also be the type of
	// $this (FHIRPath 2.0.0, section 3).
	start bool
	// known holds what name means in the types met so far. It only grows, by
	// replacement.
	known atomic.Pointer[[]meaning]
}

// meaning is what a name means in a type: the children whose elements have an
// index from low to high, or with self the node itself.
type meaning struct {
	typ       *r4.Type
	low, high int
	self      bool
}

func (s *step) in(t *r4.Type) meaning {
	known := s.known.Load()
	if known != nil {
		for i := range *known {
			if (*known)[i].typ == t {
				return (*known)[i]
			}
		}
	}
	m := meaning{typ: t, low: 1}
	if t == nil {
		return m
	}
	switch e := t.Element(s.name); {
	case e != nil && !e.Choice():
		m.low, m.high = e.Index(), e.Index()
	case e == nil && len(t.Choice(s.name)) > 0:
		all := t.Choice(s.name)
		m.low, m.high = all[0].Index(), all[len(all)-1].Index()
	case s.name == "value" && t.Kind() == r4.KindPrimitive:
		m.self = true
	case s.start && s.name[0] >= 'A' && s.name[0] <= 'Z':
		m.self = derives(t, s.name)
	}
	const enough = 64 // beyond, looking it up is as quick
	if known == nil || len(*known) < enough {
		var grown []meaning
		if known != nil {
			grown = append(grown, *known...)
		}
		grown = append(grown, m)
		s.known.Store(&grown)
	}
	return m
}

// present says that node c is there for FHIRPath: it has a value or content.
func present(r *r4.Resource, c r4.Node) bool {
	return r.HasValue(c) || r.First(c) != r4.None || r.TypeOf(c) != nil && r.TypeOf(c).Kind() == r4.KindResource
}

// walk pushes the nodes that path leads to from n.
func (m *machine) walk(r *r4.Resource, n r4.Node, path []*step) {
	if len(path) == 0 {
		m.push(NodeOf(r, n))
		return
	}
	w := path[0].in(r.TypeOf(n))
	if w.self {
		if path[0].name != "value" {
			m.walk(r, n, path[1:])
		} else if v := NodeOf(r, n); len(path) == 1 {
			if s, ok := v.system(); ok {
				m.push(s)
			}
		}
		return
	}
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		if i > w.high {
			break
		}
		if i >= w.low && present(r, c) {
			m.walk(r, c, path[1:])
		}
	}
}

// leads says whether path leads anywhere from n.
func leads(r *r4.Resource, n r4.Node, path []*step) bool {
	if len(path) == 0 {
		return true
	}
	w := path[0].in(r.TypeOf(n))
	if w.self {
		if path[0].name == "value" {
			return len(path) == 1 && r.HasValue(n)
		}
		return leads(r, n, path[1:])
	}
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		if i > w.high {
			return false
		}
		if i >= w.low && present(r, c) && leads(r, c, path[1:]) {
			return true
		}
	}
	return false
}

// tally counts the nodes that path leads to from n.
func tally(r *r4.Resource, n r4.Node, path []*step) int64 {
	if len(path) == 0 {
		return 1
	}
	w := path[0].in(r.TypeOf(n))
	if w.self {
		if path[0].name == "value" && (len(path) > 1 || !r.HasValue(n)) {
			return 0
		}
		return tally(r, n, path[1:])
	}
	var count int64
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		if i > w.high {
			break
		}
		if i >= w.low && present(r, c) {
			count += tally(r, c, path[1:])
		}
	}
	return count
}

// pick finds the first node that path leads to, and counts them up to two.
func pick(r *r4.Resource, n r4.Node, path []*step, found r4.Node, count int) (r4.Node, int) {
	if len(path) == 0 {
		if count == 0 {
			found = n
		}
		return found, count + 1
	}
	w := path[0].in(r.TypeOf(n))
	if w.self {
		if path[0].name == "value" && (len(path) > 1 || !r.HasValue(n)) {
			return found, count
		}
		return pick(r, n, path[1:], found, count)
	}
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		if i > w.high || count > 1 {
			break
		}
		if i >= w.low && present(r, c) {
			found, count = pick(r, c, path[1:], found, count)
		}
	}
	return found, count
}

// member pushes what name leads to from one item of any kind.
func (m *machine) member(v Value, s *step) {
	switch v.kind {
	case KindNode:
		w := s.in(v.res.TypeOf(v.node()))
		if w.self {
			if s.name == "value" {
				if v, ok := v.system(); ok {
					m.push(v)
				}
				return
			}
			m.push(v)
			return
		}
		r := v.res
		for c := r.First(v.node()); c != r4.None; c = r.Next(c) {
			i := r.ElementOf(c).Index()
			if i > w.high {
				return
			}
			if i >= w.low && present(r, c) {
				m.push(NodeOf(r, c))
			}
		}
	case KindStub:
		if s.start && derives(v.typ, s.name) {
			m.push(v)
			return
		}
		m.push(unknownMany)
	case KindUnknown:
		m.push(unknownMany)
	case KindType:
		space, name, _ := cutType(v.text)
		switch s.name {
		case "namespace":
			m.push(stringValue(space))
		case "name":
			m.push(stringValue(name))
		}
	case KindQuantity:
		switch s.name {
		case "value":
			m.push(decimalValue(v.dec))
		case "unit", "code":
			m.push(stringValue(unitOrOne(v.text)))
		}
	}
}
