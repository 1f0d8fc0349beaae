package fhirpath

import (
	"fmt"

	"remit/profiles/r4"
)

// check finds what is wrong with a tree before anything is evaluated: unknown
// functions, wrong numbers of arguments and what its literals give away; with
// Options.Strict also elements that no possible type has, and functions that
// need an order where there is none (FHIRPath 2.0.0, section 10).
func check(source string, e *expr, table map[string]function, o Options) error {
	k := &checker{source: source, table: table, options: o}
	focus := anything
	if o.Type != nil {
		focus = kinds{types: []*r4.Type{o.Type}}
	}
	k.root = anything
	switch {
	case o.Root != nil:
		k.root = kinds{types: []*r4.Type{o.Root}}
	case o.Type != nil && o.Type.Kind() == r4.KindResource:
		k.root = focus
	}
	k.context = focus
	k.visit(e, focus)
	if k.err != nil {
		return k.err
	}
	return nil
}

// kinds is what is known of a collection's items: the FHIR types they may have,
// or one System type. With open nothing is known.
type kinds struct {
	open      bool
	types     []*r4.Type
	system    string
	unordered bool
}

var anything = kinds{open: true}

func systemKind(name string) kinds { return kinds{system: name} }

type checker struct {
	source  string
	table   map[string]function
	options Options
	root    kinds
	context kinds
	err     *Error
}

func (k *checker) errorf(pos int, format string, args ...any) {
	if k.err == nil {
		k.err = newError(k.source, Semantic, pos, fmt.Sprintf(format, args...))
	}
}

// visit checks e with $this of the kinds this, and gives what it may result in.
func (k *checker) visit(e *expr, this kinds) kinds {
	if k.err != nil {
		return anything
	}
	switch e.shape {
	case shLiteral:
		v := e.value
		_, name := v.typeOf()
		return systemKind(name)
	case shThis:
		return this
	case shIndex:
		return systemKind("Integer")
	case shVar:
		switch e.name {
		case "resource", "rootResource":
			return k.root
		case "context":
			return k.context
		}
		return anything
	case shName:
		return k.member(e, this)
	case shCall:
		return k.call(e, this)
	case shItem:
		in := k.visit(e.args[0], this)
		k.visit(e.args[1], this)
		k.order(e, in)
		return in
	case shUnary:
		return k.visit(e.args[0], this)
	case shType:
		k.visit(e.args[0], this)
		if e.name == "is" {
			return systemKind("Boolean")
		}
		return typed(e.typ)
	case shBinary:
		l, r := k.visit(e.args[0], this), k.visit(e.args[1], this)
		switch e.name {
		case "and", "or", "xor", "implies", "=", "!=", "~", "!~", "<", ">", "<=", ">=", "in", "contains":
			return systemKind("Boolean")
		case "&":
			return systemKind("String")
		case "|":
			return merge(l, r)
		case "+", "-":
			if l.isTime() && r.system != "" && r.system != "Quantity" {
				k.errorf(e.pos, "%s expects a quantity of time on its right side, found %s", e.name, r.system)
			}
			if l.isTime() {
				return l
			}
		}
	}
	return anything
}

func (c kinds) isTime() bool {
	return c.system == "Date" || c.system == "DateTime" || c.system == "Time"
}

func merge(a, b kinds) kinds {
	if a.open || b.open || a.system != "" || b.system != "" {
		return kinds{open: true, unordered: a.unordered || b.unordered}
	}
	return kinds{types: append(append([]*r4.Type(nil), a.types...), b.types...), unordered: a.unordered || b.unordered}
}

// typed is what is known after as(T) or ofType(T).
func typed(t typeName) kinds {
	if t.space != "System" {
		if found := r4.Lookup(t.name); found != nil && found.Kind() != r4.KindBackbone && t.name != "Resource" && t.name != "DomainResource" {
			return kinds{types: []*r4.Type{found}}
		}
	}
	return anything
}

// member checks input.name.
func (k *checker) member(e *expr, this kinds) kinds {
	in := this
	if e.input != nil {
		in = k.visit(e.input, this)
	}
	if in.open || in.system != "" || len(in.types) == 0 {
		return anything
	}
	out := kinds{unordered: in.unordered}
	add := func(t *r4.Type) {
		if t == nil {
			out.open = true
			return
		}
		for _, have := range out.types {
			if have == t {
				return
			}
		}
		out.types = append(out.types, t)
	}
	found := false
	for _, t := range in.types {
		if e.input == nil && derives(t, e.name) {
			found = true
			add(t)
			continue
		}
		if el := t.Element(e.name); el != nil && !el.Choice() {
			found = true
			add(el.Type())
			continue
		}
		if all := t.Choice(e.name); t.Element(e.name) == nil && len(all) > 0 {
			found = true
			for _, el := range all {
				add(el.Type())
			}
			continue
		}
		if e.name == "value" && t.Kind() == r4.KindPrimitive {
			found = true
			out.open = true
		}
	}
	if !found {
		if k.options.Strict {
			k.errorf(e.pos, "%s has no element %q", in.describe(), e.name)
		}
		return anything
	}
	if out.open {
		out.types = nil
	}
	return out
}

func (c kinds) describe() string {
	if len(c.types) == 1 {
		return c.types[0].Name()
	}
	return fmt.Sprintf("none of %d possible types", len(c.types))
}

// order checks that in has an order.
func (k *checker) order(e *expr, in kinds) {
	if k.options.Strict && in.unordered {
		what := "an index"
		if e.name != "" {
			what = e.name + "()"
		}
		k.errorf(e.pos, "%s needs an order, which children and descendants do not have", what)
	}
}

// call checks input.name(args).
func (k *checker) call(e *expr, this kinds) kinds {
	in := this
	if e.input != nil {
		in = k.visit(e.input, this)
	}
	f, ok := k.table[e.name]
	if !ok {
		k.errorf(e.pos, "there is no function %q", e.name)
		return anything
	}
	if n := len(e.args); n < f.min || f.max >= 0 && n > f.max {
		k.errorf(e.pos, "%s takes %s, found %d", e.name, arguments(f), n)
		return anything
	}
	if f.ordered {
		k.order(e, in)
	}
	switch e.name {
	case "is", "as", "ofType":
		t, ok := e.args[0].asType()
		if !ok {
			k.errorf(e.args[0].pos, "%s takes the name of a type", e.name)
			return anything
		}
		if e.name == "is" {
			return systemKind("Boolean")
		}
		return typed(t)
	case "where", "all", "exists":
		for _, a := range e.args {
			k.visit(a, in)
		}
		if e.name == "where" {
			return in
		}
		return systemKind("Boolean")
	case "select":
		out := k.visit(e.args[0], in)
		out.unordered = out.unordered || in.unordered
		return out
	case "repeat":
		// Later rounds see what the first gave, so only that one is sure.
		k.lenient(func() { k.visit(e.args[0], anything) })
		return anything
	case "aggregate":
		k.visit(e.args[0], in)
		if len(e.args) == 2 {
			k.visit(e.args[1], this)
		}
		return anything
	case "iif":
		focus := this
		if e.input != nil {
			focus = in
		}
		k.visit(e.args[0], focus)
		out := k.visit(e.args[1], focus)
		if len(e.args) == 3 {
			return merge(out, k.visit(e.args[2], focus))
		}
		return out
	case "sort":
		for _, a := range e.args {
			k.visit(a, in)
		}
		in.unordered = false
		return in
	case "trace":
		k.visit(e.args[0], this)
		if len(e.args) == 2 {
			k.visit(e.args[1], in)
		}
		return in
	case "children", "descendants":
		return kinds{open: true, unordered: true}
	}
	var arg kinds
	for _, a := range e.args {
		arg = k.visit(a, this)
	}
	switch e.name {
	case "first", "last", "tail", "skip", "take", "single", "distinct", "intersect", "exclude", "checkModifiers":
		return in
	case "union", "combine":
		return merge(in, arg)
	case "extension":
		return typed(typeName{name: "Extension"})
	case "now":
		return systemKind("DateTime")
	case "today":
		return systemKind("Date")
	case "timeOfDay":
		return systemKind("Time")
	}
	return anything
}

// lenient runs what without strictness.
func (k *checker) lenient(what func()) {
	strict := k.options.Strict
	k.options.Strict = false
	what()
	k.options.Strict = strict
}

func arguments(f function) string {
	switch {
	case f.max == 0:
		return "no argument"
	case f.max < 0:
		return fmt.Sprintf("%d or more arguments", f.min)
	case f.min == f.max:
		return fmt.Sprintf("%d argument(s)", f.min)
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}
