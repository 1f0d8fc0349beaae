package fhirpath

import "strings"

// subset builds subsetOf and, with super, supersetOf.
func subset(super bool) func(*compiler, *expr, code) code {
	return func(c *compiler, e *expr, in code) code {
		other := c.compile(e.args[0])
		return boolean(e.pos, func(m *machine) (tri, error) {
			base, mid, err := m.both(&in, &other)
			if err != nil {
				return isEmpty, err
			}
			a, b := m.stack[base:mid], m.stack[mid:]
			m.stack = m.stack[:base]
			if super {
				a, b = b, a
			}
			out := isTrue
			for i := range a {
				t := isUnknown
				if a[i].kind != KindUnknown {
					t = contains(b, &a[i])
				}
				if t == isFalse {
					return isFalse, nil
				}
				if t == isUnknown {
					out = isUnknown
				}
			}
			return out, nil
		})
	}
}

func buildSingle(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		if n := len(m.stack) - base; n > 1 {
			if m.undecided(base, len(m.stack)) {
				m.stack = append(m.stack[:base], unknownMany)
				return nil
			}
			return faultf(e.pos, "single expects at most one item, found %d", n)
		}
		return nil
	}}
}

// slice builds the functions that keep a stretch of their input.
func slice(args int, bounds func(n, k int) (from, to int)) func(*compiler, *expr, code) code {
	return func(c *compiler, e *expr, in code) code {
		var number code
		if args == 1 {
			number = c.compile(e.args[0])
		}
		return code{pos: e.pos, eval: func(m *machine) error {
			base := len(m.stack)
			if err := in.eval(m); err != nil {
				return err
			}
			end := len(m.stack)
			k := int64(0)
			if args == 1 {
				if err := number.eval(m); err != nil {
					return err
				}
				var ok bool
				var err error
				if m.undecided(end, len(m.stack)) {
					m.stack = append(m.stack[:base], unknownMany)
					return nil
				}
				k, ok, err = m.integer(end, e.pos)
				m.stack = m.stack[:end]
				if err != nil {
					return err
				}
				if !ok {
					m.stack = m.stack[:base]
					return nil
				}
			}
			if end-base > 0 && m.undecided(base, end) {
				if e.name == "first" && m.stack[base].kind != KindUnknown {
					m.stack = m.stack[:base+1]
					return nil
				}
				m.stack = append(m.stack[:base], unknownMany)
				return nil
			}
			from, to := bounds(end-base, int(k))
			m.stack = m.stack[:base+to]
			m.lift(base, base+from)
			return nil
		}}
	}
}

// together builds the functions of two collections: what gets base, where the
// input begins, and mid, where the argument does.
func together(what func(m *machine, base, mid int)) func(*compiler, *expr, code) code {
	return func(c *compiler, e *expr, in code) code {
		other := c.compile(e.args[0])
		return code{pos: e.pos, eval: func(m *machine) error {
			base, mid, err := m.both(&in, &other)
			if err != nil {
				return err
			}
			what(m, base, mid)
			return nil
		}}
	}
}

func intersect(m *machine, base, mid int) {
	kept := base
	for i := base; i < mid; i++ {
		t := isUnknown
		if m.stack[i].kind != KindUnknown || mid == len(m.stack) {
			t = contains(m.stack[mid:], &m.stack[i])
		}
		switch {
		case t == isUnknown:
			m.stack[kept] = unknownMany
			kept++
		case t == isTrue && contains(m.stack[base:kept], &m.stack[i]) != isTrue:
			m.stack[kept] = m.stack[i]
			kept++
		}
	}
	m.stack = m.stack[:kept]
}

func exclude(m *machine, base, mid int) {
	kept := base
	for i := base; i < mid; i++ {
		switch contains(m.stack[mid:], &m.stack[i]) {
		case isUnknown:
			m.stack[kept] = unknownMany
			kept++
		case isFalse, isEmpty:
			m.stack[kept] = m.stack[i]
			kept++
		}
	}
	m.stack = m.stack[:kept]
}

// buildSplit builds split(separator) and toChars().
func buildSplit(c *compiler, e *expr, in code) code {
	separator := code{eval: func(m *machine) error {
		m.push(stringValue(""))
		return nil
	}}
	if len(e.args) == 1 {
		separator = c.compile(e.args[0])
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base, mid, err := m.both(&in, &separator)
		if err != nil {
			return err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		switch {
		case hasUnknown(a) || hasUnknown(b):
			m.push(unknownMany)
			return nil
		case len(a) == 0 || len(b) == 0:
			return nil
		}
		s, ok1 := a[0].plain()
		sep, ok2 := b[0].plain()
		if len(a) > 1 || len(b) > 1 || !ok1 || !ok2 {
			return faultf(e.pos, "%s expects one string", e.name)
		}
		if s == "" {
			return nil
		}
		for part := range strings.SplitSeq(s, sep) {
			m.push(stringValue(part))
		}
		return nil
	}}
}

func buildJoin(c *compiler, e *expr, in code) code {
	separator := code{eval: func(*machine) error { return nil }}
	if len(e.args) == 1 {
		separator = c.compile(e.args[0])
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base, mid, err := m.both(&in, &separator)
		if err != nil {
			return err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		if hasUnknown(a) || hasUnknown(b) {
			m.push(unknownMany)
			return nil
		}
		if len(a) == 0 {
			return nil
		}
		sep := ""
		if len(b) > 0 {
			sep, _ = b[0].plain()
		}
		var out strings.Builder
		written := 0
		for i := range a {
			s, ok := a[i].plain()
			if !ok {
				if isValueless(&a[i]) {
					continue
				}
				return faultf(e.pos, "join expects strings, found %s", a[i].Type())
			}
			if written > 0 {
				out.WriteString(sep)
			}
			out.WriteString(s)
			written++
		}
		m.push(stringValue(out.String()))
		return nil
	}}
}
