package fhirpath

import "slices"

// each runs what on every item of in as $this. It leaves the items on the
// stack between base and the returned end.
func (m *machine) each(in *code, what func(i int) error) error {
	base := len(m.stack)
	if err := in.eval(m); err != nil {
		return err
	}
	end := len(m.stack)
	saved := m.scope
	for i := base; i < end; i++ {
		m.scope = scope{this: m.stack[i], index: i - base, total: saved.total}
		if err := what(i); err != nil {
			return err
		}
	}
	m.scope = saved
	return nil
}

func buildWhere(c *compiler, e *expr, in code) code {
	criterion := c.compile(e.args[0])
	source := in
	return code{pos: e.pos, source: &source, filter: &criterion, eval: func(m *machine) error {
		kept := len(m.stack)
		err := m.each(&source, func(i int) error {
			t, err := criterion.truth(m)
			if err != nil {
				return err
			}
			switch {
			case t == isUnknown, t != isTrue && m.stack[i].kind == KindUnknown:
				m.stack[kept] = unknownMany
				kept++
			case t == isTrue:
				m.stack[kept] = m.stack[i]
				kept++
			}
			return nil
		})
		if err == nil {
			m.stack = m.stack[:kept]
		}
		return err
	}}
}

func buildSelect(c *compiler, e *expr, in code) code {
	projection := c.compile(e.args[0])
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		end := -1
		err := m.each(&in, func(int) error {
			if end < 0 {
				end = len(m.stack)
			}
			return m.project(&projection)
		})
		switch {
		case err != nil:
			return err
		case end < 0:
			m.stack = m.stack[:base]
		default:
			m.lift(base, end)
		}
		if len(m.stack) > maxItems {
			return faultf(e.pos, "collection is too large")
		}
		return nil
	}}
}

// project evaluates a projection on $this. Of an unknown item any number of
// results may come.
func (m *machine) project(projection *code) error {
	if m.scope.this.kind == KindUnknown {
		m.push(unknownMany)
		return nil
	}
	return projection.eval(m)
}

func buildRepeat(c *compiler, e *expr, in code) code {
	projection := c.compile(e.args[0])
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		found := len(m.stack) // items found so far lie from here on
		saved := m.scope
		var seen bag
		open := false
		const limit = 100_000
		visit := func(v Value) error {
			top := len(m.stack)
			m.scope = scope{this: v, total: saved.total}
			if err := m.project(&projection); err != nil {
				return err
			}
			kept := top
			end := len(m.stack)
			for i := top; i < end; i++ {
				m.stack[kept] = m.stack[i]
				switch {
				case m.stack[kept].kind == KindUnknown:
					if !open { // once says it all
						open = true
						kept++
					}
				case seen.add(m, found, kept):
					kept++
				}
			}
			m.stack = m.stack[:kept]
			if kept-found > limit {
				return faultf(e.pos, "repeat does not come to an end")
			}
			return nil
		}
		for i := base; i < found; i++ {
			if err := visit(m.stack[i]); err != nil {
				return err
			}
		}
		for i := found; i < len(m.stack); i++ {
			if err := visit(m.stack[i]); err != nil {
				return err
			}
		}
		m.scope = saved
		m.lift(base, found)
		return nil
	}}
}

func buildAggregate(c *compiler, e *expr, in code) code {
	step := c.compile(e.args[0])
	var start *code
	if len(e.args) == 2 {
		s := c.compile(e.args[1])
		start = &s
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		var total Collection
		if start != nil {
			if err := start.eval(m); err != nil {
				return err
			}
			total = slices.Clone(Collection(m.stack[base:]))
			m.stack = m.stack[:base]
		}
		err := m.each(&in, func(int) error {
			m.scope.total = total
			top := len(m.stack)
			if err := step.eval(m); err != nil {
				return err
			}
			total = slices.Clone(Collection(m.stack[top:]))
			m.stack = m.stack[:top]
			return nil
		})
		if err != nil {
			return err
		}
		m.stack = append(m.stack[:base], total...)
		return nil
	}}
}

// buildIif evaluates only the branch that is taken. Written after an input it
// has that item as $this; the input may not be several.
func buildIif(c *compiler, e *expr, in code) code {
	criterion, then := c.compile(e.args[0]), c.compile(e.args[1])
	otherwise := code{eval: func(*machine) error { return nil }}
	if len(e.args) == 3 {
		otherwise = c.compile(e.args[2])
	}
	choose := func(m *machine) error {
		base := len(m.stack)
		var t tri
		if criterion.test != nil {
			var err error
			if t, err = criterion.test(m); err != nil {
				return err
			}
		} else {
			if err := criterion.eval(m); err != nil {
				return err
			}
			if n := len(m.stack) - base; n == 1 && m.stack[base].kind != KindUnknown {
				if _, ok := m.stack[base].Bool(); !ok && !isValueless(&m.stack[base]) {
					return faultf(e.pos, "iif expects a Boolean criterion, found %s", m.stack[base].Type())
				}
			}
			var err error
			if t, err = m.truth(base, e.pos); err != nil {
				return err
			}
			m.stack = m.stack[:base]
		}
		switch t {
		case isTrue:
			return then.eval(m)
		case isUnknown:
			m.push(unknownMany)
			return nil
		}
		return otherwise.eval(m)
	}
	if e.input == nil {
		return code{pos: e.pos, eval: choose}
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		n := len(m.stack) - base
		saved := m.scope
		switch {
		case n > 1 && m.undecided(base, len(m.stack)):
			m.stack = append(m.stack[:base], unknownMany)
			return nil
		case n > 1:
			return faultf(e.pos, "iif expects at most one item, found %d", n)
		case n == 1:
			m.scope = scope{this: m.stack[base], total: saved.total}
			m.stack = m.stack[:base]
		default:
			m.scope = scope{this: nothing, total: saved.total}
		}
		err := choose(m)
		m.scope = saved
		return err
	}}
}

func buildTrace(c *compiler, e *expr, in code) code {
	name := c.compile(e.args[0])
	var projection *code
	if len(e.args) == 2 {
		p := c.compile(e.args[1])
		projection = &p
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		if m.env.Trace == nil {
			return in.eval(m)
		}
		base := len(m.stack)
		if err := name.eval(m); err != nil {
			return err
		}
		label := ""
		if len(m.stack) > base {
			label, _ = m.stack[base].plain()
		}
		m.stack = m.stack[:base]
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		if projection == nil {
			m.env.Trace(label, Collection(m.stack[base:end]))
			return nil
		}
		saved := m.scope
		for i := base; i < end; i++ {
			m.scope = scope{this: m.stack[i], index: i - base, total: saved.total}
			if err := m.project(projection); err != nil {
				return err
			}
		}
		m.scope = saved
		m.env.Trace(label, Collection(m.stack[end:]))
		m.stack = m.stack[:end]
		return nil
	}}
}

// buildSort sorts by keys: ascending, or descending where a key has a minus
// sign before it or "desc" after it. Items without a key come first either way.
func buildSort(c *compiler, e *expr, in code) code {
	type key struct {
		code code
		desc bool
	}
	keys := make([]key, 0, len(e.args)+1)
	for _, a := range e.args {
		k := key{desc: a.desc}
		if a.shape == shUnary && a.name == "-" {
			a, k.desc = a.args[0], true
		}
		k.code = c.compile(a)
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		keys = append(keys, key{code: this(e.pos)})
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		type row struct {
			item Value
			keys []Collection
		}
		var rows []row
		base := len(m.stack)
		err := m.each(&in, func(i int) error {
			r := row{item: m.stack[i]}
			for k := range keys {
				top := len(m.stack)
				if err := keys[k].code.eval(m); err != nil {
					return err
				}
				if n := len(m.stack) - top; n > 1 {
					return faultf(e.pos, "a sort key expects one item, found %d", n)
				}
				r.keys = append(r.keys, slices.Clone(Collection(m.stack[top:])))
				m.stack = m.stack[:top]
			}
			rows = append(rows, r)
			return nil
		})
		if err != nil {
			return err
		}
		if m.undecided(base, len(m.stack)) {
			m.stack = append(m.stack[:base], unknownMany)
			return nil
		}
		slices.SortStableFunc(rows, func(a, b row) int {
			for k := range keys {
				x, y := a.keys[k], b.keys[k]
				if len(x) == 0 || len(y) == 0 {
					if len(x) != len(y) {
						return len(x) - len(y)
					}
					continue
				}
				order := 0
				if o, state, failed := compare(&x[0], &y[0], e.pos); failed != nil {
					err = failed
				} else if state == isTrue {
					order = o
				}
				if order != 0 {
					if keys[k].desc {
						return -order
					}
					return order
				}
			}
			return 0
		})
		m.stack = m.stack[:base]
		for i := range rows {
			m.push(rows[i].item)
		}
		return err
	}}
}

// nothing is $this where the input of iif is empty: it has no members and is
// no item.
var nothing = Value{}
