package fhirpath

import (
	"sync"

	"remit/profiles/r4"
)

// function is one function of the language.
type function struct {
	min, max int // number of arguments; max -1 is any
	build    func(c *compiler, e *expr, in code) code
	// ordered marks a function that needs an order on its input.
	ordered bool
}

// table holds every function by name.
var table = sync.OnceValue(allFunctions)

func allFunctions() map[string]function {
	all := map[string]function{
		// existence (FHIRPath 2.0.0, section 5.1)
		"empty":       {build: buildEmpty},
		"exists":      {max: 1, build: buildExists},
		"all":         {min: 1, max: 1, build: buildAll},
		"allTrue":     {build: quantifier(true, true)},
		"anyTrue":     {build: quantifier(false, true)},
		"allFalse":    {build: quantifier(true, false)},
		"anyFalse":    {build: quantifier(false, false)},
		"subsetOf":    {min: 1, max: 1, build: subset(false)},
		"supersetOf":  {min: 1, max: 1, build: subset(true)},
		"count":       {build: buildCount},
		"distinct":    {build: buildDistinct},
		"isDistinct":  {build: buildIsDistinct},
		"not":         {build: buildNot},
		"hasValue":    {build: buildHasValue},
		"getValue":    {build: buildGetValue},
		"where":       {min: 1, max: 1, build: buildWhere},
		"select":      {min: 1, max: 1, build: buildSelect},
		"repeat":      {min: 1, max: 1, build: buildRepeat},
		"aggregate":   {min: 1, max: 2, build: buildAggregate},
		"iif":         {min: 2, max: 3, build: buildIif},
		"trace":       {min: 1, max: 2, build: buildTrace},
		"sort":        {max: -1, build: buildSort},
		"ofType":      {min: 1, max: 1, build: buildOfType},
		"as":          {min: 1, max: 1, build: buildAs},
		"is":          {min: 1, max: 1, build: buildIs},
		"type":        {build: buildType},
		"children":    {build: buildChildren},
		"descendants": {build: buildDescendants},

		// subsetting (section 5.3)
		"single":    {build: buildSingle},
		"first":     {build: slice(0, func(n, _ int) (int, int) { return 0, min(n, 1) }), ordered: true},
		"last":      {build: slice(0, func(n, _ int) (int, int) { return max(n-1, 0), n }), ordered: true},
		"tail":      {build: slice(0, func(n, _ int) (int, int) { return min(n, 1), n }), ordered: true},
		"skip":      {min: 1, max: 1, build: slice(1, func(n, k int) (int, int) { return min(max(k, 0), n), n }), ordered: true},
		"take":      {min: 1, max: 1, build: slice(1, func(n, k int) (int, int) { return 0, min(max(k, 0), n) }), ordered: true},
		"intersect": {min: 1, max: 1, build: together(intersect)},
		"exclude":   {min: 1, max: 1, build: together(exclude)},
		"union":     {min: 1, max: 1, build: together(func(m *machine, base, _ int) { m.distinct(base) })},
		"combine":   {min: 1, max: 2, build: together(func(*machine, int, int) {})},

		// FHIR's own (FHIR R4, FHIRPath page, "Additional functions")
		"extension":         {min: 1, max: 1, build: buildExtension},
		"hasExtension":      {min: 1, max: 1, build: buildHasExtension}, // met in an R4 search parameter
		"resolve":           {build: buildResolve},
		"memberOf":          {min: 1, max: 1, build: buildMemberOf},
		"conformsTo":        {min: 1, max: 1, build: buildConformsTo},
		"htmlChecks":        {build: buildHTMLChecks},
		"htmlChecks1":       {build: buildHTMLChecks},
		"htmlChecks2":       {build: buildHTMLChecks},
		"checkModifiers":    {max: -1, build: buildCheckModifiers},
		"elementDefinition": {build: undecidable},
		"slice":             {min: 2, max: 2, build: undecidable},
		"subsumes":          {min: 1, max: 1, build: undecidable},
		"subsumedBy":        {min: 1, max: 1, build: undecidable},

		"split":   {min: 1, max: 1, build: buildSplit},
		"toChars": {build: buildSplit},
		"join":    {max: 1, build: buildJoin},

		"now":       {build: clock(func(v Value) Value { return v })},
		"today":     {build: clock(dateOf)},
		"timeOfDay": {build: clock(timeOf)},
	}
	for name, s := range allScalars() {
		all[name] = function{min: s.min, max: s.max, build: s.build}
	}
	return all
}

func buildEmpty(c *compiler, e *expr, in code) code {
	exists := existence(e, in)
	return boolean(e.pos, func(m *machine) (tri, error) {
		t, err := exists(m)
		return t.not(), err
	})
}

func buildExists(c *compiler, e *expr, in code) code {
	if len(e.args) == 1 {
		in = buildWhere(c, e, in)
	}
	return boolean(e.pos, existence(e, in))
}

// existence says whether in gives anything, and stops at the first item.
func existence(e *expr, in code) func(m *machine) (tri, error) {
	generic := func(m *machine) (tri, error) {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		out := isFalse
		for _, v := range m.stack[base:] {
			if v.kind != KindUnknown || v.prec == 1 {
				out = isTrue
				break
			}
			out = isUnknown
		}
		m.stack = m.stack[:base]
		return out, nil
	}
	switch {
	case len(in.path) > 0:
		path := in.path
		return func(m *machine) (tri, error) {
			if v := &m.scope.this; v.kind == KindNode {
				return truthOf(leads(v.res, v.node(), path)), nil
			}
			return generic(m)
		}
	case in.source != nil:
		source, filter := in.source, in.filter
		return func(m *machine) (tri, error) {
			if v := &m.scope.this; v.kind == KindNode && len(source.path) > 0 {
				saved, index := m.scope, 0
				out, err := m.anyNode(v.res, v.node(), source.path, filter, &index)
				m.scope = saved
				return out, err
			}
			base := len(m.stack)
			if err := source.eval(m); err != nil {
				return isEmpty, err
			}
			end := len(m.stack)
			saved := m.scope
			out := isFalse
			for i := base; i < end && out != isTrue; i++ {
				item := m.stack[i]
				m.scope = scope{this: item, index: i - base, total: saved.total}
				t, err := filter.truth(m)
				if err != nil {
					return isEmpty, err
				}
				switch {
				case t == isUnknown, t == isTrue && item.kind == KindUnknown && item.prec == 0:
					out = isUnknown
				case t == isTrue:
					out = isTrue
				case item.kind == KindUnknown && out == isFalse && t != isFalse:
					out = isUnknown
				}
			}
			m.scope = saved
			m.stack = m.stack[:base]
			return out, nil
		}
	}
	return generic
}

// anyNode says whether filter holds of a node that path leads to from n, and goes
// no further than the first: the walk of existence where the input is a path.
// index counts the nodes met. The scope is left changed.
func (m *machine) anyNode(r *r4.Resource, n r4.Node, path []*step, filter *code, index *int) (tri, error) {
	if len(path) == 0 {
		m.scope.this, m.scope.index = NodeOf(r, n), *index
		*index++
		switch t, err := filter.truth(m); {
		case err != nil:
			return isEmpty, err
		case t == isTrue, t == isUnknown:
			return t, nil
		}
		return isFalse, nil
	}
	w := path[0].in(r.TypeOf(n))
	if w.self && path[0].name == "value" {
		v := NodeOf(r, n)
		s, ok := v.system()
		if !ok || len(path) > 1 {
			return isFalse, nil
		}
		m.scope.this, m.scope.index = s, *index
		*index++
		t, err := filter.truth(m)
		if t == isEmpty {
			t = isFalse
		}
		return t, err
	}
	if w.self {
		return m.anyNode(r, n, path[1:], filter, index)
	}
	out := isFalse
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		if i > w.high {
			break
		}
		if i < w.low || !present(r, c) {
			continue
		}
		switch t, err := m.anyNode(r, c, path[1:], filter, index); {
		case err != nil, t == isTrue:
			return t, err
		case t == isUnknown:
			out = t
		}
	}
	return out, nil
}

func buildAll(c *compiler, e *expr, in code) code {
	criterion := c.compile(e.args[0])
	return boolean(e.pos, func(m *machine) (tri, error) {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		end := len(m.stack)
		saved := m.scope
		out := isTrue
		for i := base; i < end && out != isFalse; i++ {
			m.scope = scope{this: m.stack[i], index: i - base, total: saved.total}
			t, err := criterion.truth(m)
			if err != nil {
				return isEmpty, err
			}
			switch {
			case t == isUnknown, t != isTrue && m.stack[i].kind == KindUnknown:
				out = isUnknown
			case t != isTrue:
				out = isFalse
			}
		}
		m.scope = saved
		m.stack = m.stack[:base]
		return out, nil
	})
}

// quantifier builds allTrue, anyTrue, allFalse and anyFalse.
func quantifier(all, wanted bool) func(*compiler, *expr, code) code {
	return func(_ *compiler, e *expr, in code) code {
		return boolean(e.pos, func(m *machine) (tri, error) {
			base := len(m.stack)
			if err := in.eval(m); err != nil {
				return isEmpty, err
			}
			out := truthOf(all)
			for i := base; i < len(m.stack); i++ {
				b, ok := m.stack[i].Bool()
				switch {
				case m.stack[i].kind == KindUnknown:
					if out == truthOf(all) {
						out = isUnknown
					}
				case !ok && isValueless(&m.stack[i]):
				case !ok:
					return isEmpty, faultf(e.pos, "%s expects Booleans, found %s", e.name, m.stack[i].Type())
				case (b == wanted) != all:
					out = truthOf(!all)
				}
			}
			m.stack = m.stack[:base]
			return out, nil
		})
	}
}

func buildCount(_ *compiler, e *expr, in code) code {
	out := code{pos: e.pos}
	switch {
	case len(in.path) > 0:
		path := in.path
		out.number = func(m *machine) (int64, bool) {
			v := &m.scope.this
			if v.kind != KindNode {
				return 0, false
			}
			return tally(v.res, v.node(), path), true
		}
	case in.children:
		out.number = func(m *machine) (int64, bool) {
			v := &m.scope.this
			if v.kind != KindNode {
				return 0, false
			}
			var n int64
			for c := v.res.First(v.node()); c != r4.None; c = v.res.Next(c) {
				if present(v.res, c) {
					n++
				}
			}
			return n, true
		}
	}
	out.eval = func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		v := intValue(int64(len(m.stack) - base))
		for _, item := range m.stack[base:] {
			if item.kind == KindUnknown && item.prec == 0 {
				v = unknownOne
			}
		}
		m.stack = append(m.stack[:base], v)
		return nil
	}
	return out
}

func buildDistinct(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		m.distinct(base)
		return nil
	}}
}

func buildIsDistinct(_ *compiler, e *expr, in code) code {
	return boolean(e.pos, func(m *machine) (tri, error) {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		n := len(m.stack) - base
		unknown := n > 1 && m.undecided(base, len(m.stack))
		m.distinct(base)
		kept := len(m.stack) - base
		m.stack = m.stack[:base]
		if kept == n && unknown {
			return isUnknown, nil
		}
		return truthOf(kept == n), nil
	})
}

func buildNot(_ *compiler, e *expr, in code) code {
	return boolean(e.pos, func(m *machine) (tri, error) {
		t, err := in.truth(m)
		return t.not(), err
	})
}

func buildHasValue(_ *compiler, e *expr, in code) code {
	has := func(v *Value) tri {
		switch v.kind {
		case KindNode:
			t := v.res.TypeOf(v.node())
			return truthOf(t != nil && t.Kind() == r4.KindPrimitive && v.res.HasValue(v.node()))
		case KindUnknown:
			return isUnknown
		case KindStub, KindType:
			return isFalse
		}
		return isTrue
	}
	return boolean(e.pos, func(m *machine) (tri, error) {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		out := isFalse
		if len(m.stack)-base == 1 {
			out = has(&m.stack[base])
		} else if m.undecided(base, len(m.stack)) {
			out = isUnknown
		}
		m.stack = m.stack[:base]
		return out, nil
	})
}

func buildGetValue(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		if len(m.stack)-base != 1 {
			m.stack = m.stack[:base]
			return nil
		}
		switch v := &m.stack[base]; v.kind {
		case KindUnknown:
		case KindStub:
			m.stack = m.stack[:base]
		default:
			s, ok := v.system()
			if !ok {
				m.stack = m.stack[:base]
				return nil
			}
			*v = s
		}
		return nil
	}}
}

func buildOfType(_ *compiler, e *expr, in code) code {
	t, _ := e.args[0].asType()
	return typeFilter(e, in, t, false)
}

func buildAs(c *compiler, e *expr, in code) code {
	t, _ := e.args[0].asType()
	return c.asTypeCode(e, in, t)
}

func buildIs(_ *compiler, e *expr, in code) code {
	t, _ := e.args[0].asType()
	return isTypeCode(e, in, t)
}

func buildType(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		return m.each(&in, func(i int) error {
			v := &m.stack[i]
			if space, name := v.typeOf(); space != "" {
				*v = typeValue(space, name)
			} else {
				*v = unknownMany
			}
			return nil
		})
	}}
}

func buildChildren(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, children: in.path != nil && len(in.path) == 0, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		for i := base; i < end; i++ {
			m.children(m.stack[i], false)
		}
		m.lift(base, end)
		return nil
	}}
}

func buildDescendants(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		for i := base; i < end; i++ {
			m.children(m.stack[i], true)
			if len(m.stack) > maxItems {
				return faultf(e.pos, "collection is too large")
			}
		}
		m.lift(base, end)
		return nil
	}}
}

func (m *machine) children(v Value, deep bool) {
	switch v.kind {
	case KindNode:
		r := v.res
		for c := r.First(v.node()); c != r4.None; c = r.Next(c) {
			if !present(r, c) {
				continue
			}
			child := NodeOf(r, c)
			m.push(child)
			if deep {
				m.children(child, true)
			}
		}
	case KindStub, KindUnknown:
		m.push(unknownMany)
	}
}

// clock builds the functions that read Env.Now.
func clock(part func(Value) Value) func(*compiler, *expr, code) code {
	return func(_ *compiler, e *expr, _ code) code {
		return code{pos: e.pos, eval: func(m *machine) error {
			if m.env.Now.IsZero() {
				m.push(unknownOne)
				return nil
			}
			m.push(part(instantOf(m.env.Now)))
			return nil
		}}
	}
}

// undecidable builds the functions that need definitions this room does not
// have.
func undecidable(_ *compiler, e *expr, _ code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		m.push(unknownMany)
		return nil
	}}
}
