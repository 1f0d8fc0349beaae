package fhirpath

import (
	"regexp"
	"strings"

	"remit/profiles/r4"
)

type compiler struct {
	table   map[string]function
	options Options
}

// compile turns a checked tree into code. It cannot fail: what is wrong with
// the tree was found by check.
func (c *compiler) compile(e *expr) code {
	switch e.shape {
	case shLiteral:
		return c.literal(e)
	case shEmpty:
		return code{pos: e.pos, eval: func(*machine) error { return nil }}
	case shThis:
		return this(e.pos)
	case shIndex:
		return code{pos: e.pos, eval: func(m *machine) error {
			m.push(intValue(int64(m.scope.index)))
			return nil
		}}
	case shTotal:
		return code{pos: e.pos, eval: func(m *machine) error {
			m.stack = append(m.stack, m.scope.total...)
			return nil
		}}
	case shVar:
		return c.variable(e)
	case shName:
		return c.name(e)
	case shCall:
		in := this(e.pos)
		if e.input != nil {
			in = c.compile(e.input)
		}
		return c.table[e.name].build(c, e, in)
	case shItem:
		return c.item(e)
	case shUnary:
		return c.sign(e)
	case shType:
		in := c.compile(e.args[0])
		if e.name == "is" {
			return isTypeCode(e, in, e.typ)
		}
		return c.asTypeCode(e, in, e.typ)
	}
	return c.binary(e)
}

func this(pos int) code {
	return code{pos: pos, path: []*step{}, eval: func(m *machine) error {
		if m.scope.this.kind != 0 {
			m.push(m.scope.this)
		}
		return nil
	}}
}

func (c *compiler) literal(e *expr) code {
	if e.bad != "" {
		return code{pos: e.pos, eval: func(*machine) error { return faultf(e.pos, "%s", e.bad) }}
	}
	v := e.value
	out := code{pos: e.pos, constant: &v, eval: func(m *machine) error {
		m.push(v)
		return nil
	}}
	if v.kind == KindString {
		out.strings = []string{v.text}
	}
	return out
}

// name compiles input.name; names alone grow into one path.
func (c *compiler) name(e *expr) code {
	s := &step{name: e.name, pos: e.pos, start: e.input == nil}
	in := this(e.pos)
	if e.input != nil {
		in = c.compile(e.input)
	}
	if in.path != nil {
		path := append(in.path[:len(in.path):len(in.path)], s)
		return code{pos: e.pos, path: path, eval: func(m *machine) error { return m.follow(path) }}
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		return m.stepAll(base, s)
	}}
}

// stepAll replaces what lies above base by what s leads to from it.
func (m *machine) stepAll(base int, s *step) error {
	end := len(m.stack)
	for i := base; i < end; i++ {
		m.member(m.stack[i], s)
	}
	m.lift(base, end)
	if len(m.stack) > maxItems {
		return faultf(s.pos, "collection is too large")
	}
	return nil
}

// follow pushes what path leads to from $this.
func (m *machine) follow(path []*step) error {
	if v := &m.scope.this; v.kind == KindNode {
		m.walk(v.res, v.node(), path)
		return nil
	}
	base := len(m.stack)
	m.push(m.scope.this)
	for _, s := range path {
		if err := m.stepAll(base, s); err != nil {
			return err
		}
	}
	return nil
}

// item compiles input[index].
func (c *compiler) item(e *expr) code {
	in, index := c.compile(e.args[0]), c.compile(e.args[1])
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		if err := index.eval(m); err != nil {
			return err
		}
		if m.undecided(base, len(m.stack)) {
			m.stack = append(m.stack[:base], unknownMany)
			return nil
		}
		i, ok, err := m.integer(end, e.pos)
		m.stack = m.stack[:end]
		if err != nil {
			return err
		}
		if !ok || i < 0 || i >= int64(end-base) {
			m.stack = m.stack[:base]
			return nil
		}
		m.stack[base] = m.stack[base+int(i)]
		m.stack = m.stack[:base+1]
		return nil
	}}
}

// integer reads the single Integer above base.
func (m *machine) integer(base, pos int) (int64, bool, error) {
	if len(m.stack) == base {
		return 0, false, nil
	}
	if n := len(m.stack) - base; n > 1 {
		return 0, false, faultf(pos, "expected one Integer, found %d items", n)
	}
	v, ok := m.stack[base].system()
	if !ok || v.kind != KindInteger {
		return 0, false, faultf(pos, "expected an Integer, found %s", m.stack[base].Type())
	}
	return v.num, true, nil
}

// sign compiles unary plus and minus, and the order of a sort key.
func (c *compiler) sign(e *expr) code {
	in := c.compile(e.args[0])
	if e.name == "asc" || e.name == "desc" {
		return in
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		switch n := len(m.stack) - base; {
		case n == 0:
			return nil
		case m.undecided(base, len(m.stack)):
			m.stack = append(m.stack[:base], unknownMany)
			return nil
		case n > 1:
			return faultf(e.pos, "expected one number after the sign, found %d items", n)
		}
		v, ok := m.stack[base].system()
		if !ok || v.kind != KindInteger && v.kind != KindDecimal && v.kind != KindQuantity {
			return faultf(e.pos, "expected a number after the sign, found %s", m.stack[base].Type())
		}
		if e.name == "-" {
			v = v.negate()
		}
		m.stack[base] = v
		return nil
	}}
}

// variable compiles %name (FHIRPath 2.0.0, section 8; FHIR R4, "Environment
// variables").
func (c *compiler) variable(e *expr) code {
	fixed := func(s string) code {
		v := stringValue(s)
		return code{pos: e.pos, constant: &v, strings: []string{s}, eval: func(m *machine) error {
			m.push(v)
			return nil
		}}
	}
	switch name := e.name; {
	case name == "ucum":
		return fixed(ucumSystem)
	case name == "sct":
		return fixed("http://snomed.info/sct")
	case name == "loinc":
		return fixed("http://loinc.org")
	case strings.HasPrefix(name, "vs-"):
		return fixed("http://hl7.org/fhir/ValueSet/" + name[3:])
	case strings.HasPrefix(name, "cs-"):
		return fixed("http://hl7.org/fhir/CodeSystem/" + name[3:])
	case strings.HasPrefix(name, "ext-"):
		return fixed("http://hl7.org/fhir/StructureDefinition/" + name[4:])
	case name == "context":
		return code{pos: e.pos, eval: func(m *machine) error {
			m.push(m.context)
			return nil
		}}
	case name == "resource":
		return code{pos: e.pos, eval: func(m *machine) error {
			m.push(NodeOf(m.context.res, resourceOf(m.context.res, m.context.node())))
			return nil
		}}
	case name == "rootResource":
		return code{pos: e.pos, eval: func(m *machine) error {
			r := m.context.res
			n := resourceOf(r, m.context.node())
			if el := r.ElementOf(n); el != nil && el.Name() == "contained" {
				n = resourceOf(r, r.Parent(n))
			}
			m.push(NodeOf(r, n))
			return nil
		}}
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		v, ok := m.env.Variables[e.name]
		if !ok {
			return faultf(e.pos, "variable %%%s is not defined", e.name)
		}
		m.stack = append(m.stack, v...)
		return nil
	}}
}

// resourceOf is the nearest resource at or above n.
func resourceOf(r *r4.Resource, n r4.Node) r4.Node {
	for {
		if t := r.TypeOf(n); t != nil && t.Kind() == r4.KindResource {
			return n
		}
		p := r.Parent(n)
		if p == r4.None {
			return n
		}
		n = p
	}
}

// isTypeCode compiles is. A name that is no type is a fault, but one asked for
// in the namespace System is just not there: Patient.is(System.Patient).
func isTypeCode(e *expr, in code, t typeName) code {
	known := t.space == "System" || knownType(t)
	return boolean(e.pos, func(m *machine) (tri, error) {
		if !known {
			return isEmpty, faultf(e.pos, "%q is not a type", t.name)
		}
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		n := len(m.stack) - base
		out := isEmpty
		if n == 1 {
			out = m.stack[base].isType(t)
		} else if m.undecided(base, len(m.stack)) {
			out = isUnknown
		} else if n > 1 {
			return isEmpty, faultf(e.pos, "is expects one item, found %d", n)
		}
		m.stack = m.stack[:base]
		return out, nil
	})
}

func (c *compiler) asTypeCode(e *expr, in code, t typeName) code {
	return typeFilter(e, in, t, !c.options.AsFilters)
}

// typeFilter keeps the items of type t; with single there may be but one.
func typeFilter(e *expr, in code, t typeName, single bool) code {
	known := knownType(t)
	return code{pos: e.pos, eval: func(m *machine) error {
		if !known {
			return faultf(e.pos, "%q is not a type", t.name)
		}
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		if n := len(m.stack) - base; single && n > 1 && !m.undecided(base, len(m.stack)) {
			return faultf(e.pos, "as expects one item, found %d", n)
		}
		kept := base
		for i := base; i < len(m.stack); i++ {
			switch m.stack[i].isType(t) {
			case isTrue:
				m.stack[kept] = m.stack[i]
				kept++
			case isUnknown:
				m.stack[kept] = unknownMany
				kept++
			}
		}
		m.stack = m.stack[:kept]
		return nil
	}}
}

// pattern compiles a regular expression. The dot also stands for a line end
// (FHIRPath 2.0.0, section 5.6.8: single-line mode).
func pattern(text string, whole bool) (*regexp.Regexp, error) {
	if whole {
		return regexp.Compile(`(?s)\A(?:` + text + `)\z`)
	}
	return regexp.Compile("(?s)" + text)
}

// cutType splits the text of a KindType value.
func cutType(s string) (space, name string, ok bool) { return strings.Cut(s, ".") }
