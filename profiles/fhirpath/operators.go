package fhirpath

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/cockroachdb/apd/v3"

	"remit/profiles/r4"
)

func (c *compiler) binary(e *expr) code {
	l, r := c.compile(e.args[0]), c.compile(e.args[1])
	switch e.name {
	case "and", "or", "xor", "implies":
		return logic(e, l, r)
	case "=", "!=":
		return equality(e, l, r)
	case "~", "!~":
		return boolean(e.pos, func(m *machine) (tri, error) {
			base, mid, err := m.both(&l, &r)
			if err != nil {
				return isEmpty, err
			}
			t := isUnknown
			if !m.undecided(base, len(m.stack)) {
				t = truthOf(equivalentAll(m.stack[base:mid], m.stack[mid:]))
			}
			m.stack = m.stack[:base]
			if e.name == "!~" {
				t = t.not()
			}
			return t, nil
		})
	case "<", "<=", ">", ">=":
		return ordering(e, l, r)
	case "in":
		return membership(e, l, r)
	case "contains":
		return membership(e, r, l)
	case "|":
		return union(e, l, r)
	}
	return arithmetic(e, l, r)
}

// both evaluates l and r side by side: base to mid, and mid to the top.
func (m *machine) both(l, r *code) (base, mid int, err error) {
	base = len(m.stack)
	if err := l.eval(m); err != nil {
		return base, base, err
	}
	mid = len(m.stack)
	return base, mid, r.eval(m)
}

// logic compiles the Boolean operators (FHIRPath 2.0.0, section 6.5), with the
// unknown beside the empty: what neither can change is decided.
func logic(e *expr, l, r code) code {
	var test func(m *machine) (tri, error)
	switch e.name {
	case "and":
		test = func(m *machine) (tri, error) {
			a, err := l.truth(m)
			if err != nil || a == isFalse {
				return a, err
			}
			b, err := r.truth(m)
			switch {
			case err != nil || b == isFalse || a == isTrue:
				return b, err
			case b == isTrue:
				return a, nil
			case a == isUnknown || b == isUnknown:
				return isUnknown, nil
			}
			return isEmpty, nil
		}
	case "or":
		test = func(m *machine) (tri, error) {
			a, err := l.truth(m)
			if err != nil || a == isTrue {
				return a, err
			}
			b, err := r.truth(m)
			switch {
			case err != nil || b == isTrue || a == isFalse:
				return b, err
			case b == isFalse:
				return a, nil
			case a == isUnknown || b == isUnknown:
				return isUnknown, nil
			}
			return isEmpty, nil
		}
	case "implies":
		test = func(m *machine) (tri, error) {
			a, err := l.truth(m)
			if err != nil {
				return a, err
			}
			if a == isFalse {
				return isTrue, nil
			}
			b, err := r.truth(m)
			switch {
			case err != nil || b == isTrue || a == isTrue:
				return b, err
			case a == isUnknown || b == isUnknown:
				return isUnknown, nil
			}
			return isEmpty, nil
		}
	default: // xor
		test = func(m *machine) (tri, error) {
			a, err := l.truth(m)
			if err != nil {
				return a, err
			}
			b, err := r.truth(m)
			switch {
			case err != nil:
				return b, err
			case a == isEmpty || b == isEmpty:
				return isEmpty, nil
			case a == isUnknown || b == isUnknown:
				return isUnknown, nil
			}
			return truthOf(a != b), nil
		}
	}
	return boolean(e.pos, test)
}

// equality compiles = and !=.
func equality(e *expr, l, r code) code {
	negate := e.name == "!="
	generic := func(m *machine) (tri, error) {
		base, mid, err := m.both(&l, &r)
		if err != nil {
			return isEmpty, err
		}
		t := equalAll(m.stack[base:mid], m.stack[mid:])
		m.stack = m.stack[:base]
		if negate {
			t = t.not()
		}
		return t, nil
	}
	if quick := numeric(&l, &r); quick != nil {
		return boolean(e.pos, func(m *machine) (tri, error) {
			if order, ok := quick(m); ok {
				return truthOf((order == 0) != negate), nil
			}
			return generic(m)
		})
	}
	path, literal := l.path, r.constant
	if len(path) == 0 || literal == nil || literal.kind != KindString {
		return boolean(e.pos, generic)
	}
	// status = 'active': the commonest comparison, without a collection.
	want := literal.text
	return boolean(e.pos, func(m *machine) (tri, error) {
		v := &m.scope.this
		if v.kind != KindNode {
			return generic(m)
		}
		n, count := pick(v.res, v.node(), path, r4.None, 0)
		switch count {
		case 0:
			return isEmpty, nil
		case 1:
			item := NodeOf(v.res, n)
			if s, ok := item.plain(); ok {
				return truthOf((s == want) != negate), nil
			}
			return generic(m)
		}
		return truthOf(negate), nil
	})
}

// equalAll is = on collections (section 6.1.1).
func equalAll(a, b []Value) tri {
	if len(a) == 0 || len(b) == 0 {
		return isEmpty
	}
	if hasUnknown(a) || hasUnknown(b) {
		return isUnknown
	}
	if len(a) != len(b) {
		return isFalse
	}
	out := isTrue
	for i := range a {
		switch equal(&a[i], &b[i]) {
		case isFalse:
			return isFalse
		case isEmpty:
			out = isEmpty
		case isUnknown:
			out = isUnknown
		}
	}
	return out
}

func hasUnknown(c []Value) bool {
	for i := range c {
		if c[i].kind == KindUnknown {
			return true
		}
	}
	return false
}

// equal is = on two items.
func equal(a, b *Value) tri {
	if s, ok := a.plain(); ok {
		if t, ok := b.plain(); ok {
			return truthOf(s == t)
		}
	}
	if a.kind == KindStub || b.kind == KindStub || a.kind == KindUnknown || b.kind == KindUnknown {
		if a.kind == KindStub && b.kind == KindStub && a.typ != b.typ {
			return isFalse
		}
		return isUnknown
	}
	if a.kind == KindNode && b.kind == KindNode {
		if a.res == b.res && a.zone == b.zone {
			return isTrue
		}
		p, q := a.res.TypeOf(a.node()), b.res.TypeOf(b.node())
		if p == nil || q == nil {
			return truthOf(p == q)
		}
		complexA, complexB := p.Kind() != r4.KindPrimitive, q.Kind() != r4.KindPrimitive
		if complexA != complexB {
			return isFalse
		}
		if complexA && !(isQuantity(p) && isQuantity(q)) {
			return truthOf(p == q && sameTree(a.res, a.node(), b.res, b.node()))
		}
	}
	x, ok1 := a.system()
	y, ok2 := b.system()
	if !ok1 || !ok2 {
		if a.kind == KindNode && b.kind == KindNode {
			return truthOf(sameTree(a.res, a.node(), b.res, b.node()))
		}
		if isValueless(a) || isValueless(b) {
			return isEmpty
		}
		return isFalse
	}
	return equalSystem(&x, &y)
}

// isValueless says that v is a primitive that has but an id or extensions.
func isValueless(v *Value) bool {
	if v.kind != KindNode {
		return false
	}
	t := v.res.TypeOf(v.node())
	return t != nil && t.Kind() == r4.KindPrimitive && !v.res.HasValue(v.node())
}

func equalSystem(x, y *Value) tri {
	if order, ok := numbers(x, y); ok {
		return truthOf(order == 0)
	}
	switch {
	case x.kind == KindQuantity || y.kind == KindQuantity:
		a, ok1 := x.asQuantity()
		b, ok2 := y.asQuantity()
		if !ok1 || !ok2 {
			return isFalse
		}
		order, ok := compareQuantities(&a, &b, false)
		if !ok {
			if a.prec == unitForeign || b.prec == unitForeign {
				return isFalse
			}
			return isEmpty
		}
		return truthOf(order == 0)
	case x.isDate() && y.isDate(), x.kind == KindTime && y.kind == KindTime:
		order, ok := compareTemporal(x, y)
		if !ok {
			return isEmpty
		}
		return truthOf(order == 0)
	case x.kind != y.kind:
		return isFalse
	case x.kind == KindBoolean:
		return truthOf(x.num == y.num)
	}
	return truthOf(x.text == y.text)
}

func (v *Value) isDate() bool { return v.kind == KindDate || v.kind == KindDateTime }

func (v *Value) isNumber() bool { return v.kind == KindInteger || v.kind == KindDecimal }

// numbers compares two numbers. ok is false if either is none.
func numbers(x, y *Value) (order int, ok bool) {
	switch {
	case !x.isNumber() || !y.isNumber():
		return 0, false
	case x.kind == KindInteger && y.kind == KindInteger:
		return cmp.Compare(x.num, y.num), true
	}
	return x.decimal().Cmp(y.decimal()), true
}

// decimal is the number v as a decimal.
func (v *Value) decimal() *apd.Decimal {
	if v.kind == KindInteger {
		return apd.New(v.num, 0)
	}
	return v.dec
}

// asQuantity converts a number to a quantity of unit '1'.
func (v *Value) asQuantity() (Value, bool) {
	switch {
	case v.kind == KindQuantity:
		return *v, true
	case v.isNumber():
		return quantityValue(v.decimal(), "1", false), true
	}
	return Value{}, false
}

func (v Value) negate() Value {
	if v.kind == KindInteger {
		v.num = -v.num
		return v
	}
	d := new(apd.Decimal).Set(v.dec)
	if d.IsZero() {
		d.Negative = false
	} else {
		d.Negative = !d.Negative
	}
	v.dec = d
	return v
}

// sameTree says that two subtrees have the same elements and values.
func sameTree(r *r4.Resource, n r4.Node, s *r4.Resource, o r4.Node) bool {
	if string(r.Value(n)) != string(s.Value(o)) {
		a, b := NodeOf(r, n), NodeOf(s, o) // 1.0 and 1.00 are equal
		x, ok1 := a.system()
		y, ok2 := b.system()
		if !ok1 || !ok2 || equalSystem(&x, &y) != isTrue {
			return false
		}
	}
	c, d := r.First(n), s.First(o)
	for c != r4.None && d != r4.None {
		if r.ElementOf(c) != s.ElementOf(d) || r.TypeOf(c) != s.TypeOf(d) || !sameTree(r, c, s, d) {
			return false
		}
		c, d = r.Next(c), s.Next(d)
	}
	return c == r4.None && d == r4.None
}

// equivalentAll is ~ on collections: without order (section 6.1.3).
func equivalentAll(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	used := make([]bool, len(b))
next:
	for i := range a {
		for j := range b {
			if !used[j] && equivalent(&a[i], &b[j]) {
				used[j] = true
				continue next
			}
		}
		return false
	}
	return true
}

func equivalent(a, b *Value) bool {
	if a.kind == KindNode && b.kind == KindNode {
		p, q := a.res.TypeOf(a.node()), b.res.TypeOf(b.node())
		if p == nil || q == nil {
			return p == q
		}
		if p.Kind() != r4.KindPrimitive && q.Kind() != r4.KindPrimitive && !(isQuantity(p) && isQuantity(q)) {
			return p == q && equivalentAll(childrenOf(a), childrenOf(b))
		}
	}
	x, ok1 := a.system()
	y, ok2 := b.system()
	if !ok1 || !ok2 {
		return a.kind == KindNode && b.kind == KindNode && equivalentAll(childrenOf(a), childrenOf(b))
	}
	switch {
	case x.isNumber() && y.isNumber():
		return equivalentDecimals(x.decimal(), y.decimal())
	case x.kind == KindQuantity || y.kind == KindQuantity:
		p, ok1 := x.asQuantity()
		q, ok2 := y.asQuantity()
		return ok1 && ok2 && equivalentQuantities(&p, &q)
	case x.isDate() && y.isDate(), x.kind == KindTime && y.kind == KindTime:
		order, ok := compareTemporal(&x, &y)
		return ok && order == 0
	case x.kind != y.kind:
		return false
	case x.kind == KindString:
		return x.text == y.text || normal(x.text) == normal(y.text)
	}
	return x.num == y.num && x.text == y.text
}

// normal is a string without case and with each white space as a blank.
func normal(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return unicode.ToLower(r)
	}, strings.ToLower(s))
}

func childrenOf(v *Value) []Value {
	var out []Value
	for c := v.res.First(v.node()); c != r4.None; c = v.res.Next(c) {
		out = append(out, NodeOf(v.res, c))
	}
	return out
}

// ordering compiles < <= > >= (section 6.2).
func ordering(e *expr, l, r code) code {
	quick := numeric(&l, &r)
	return boolean(e.pos, func(m *machine) (tri, error) {
		if quick != nil {
			if order, ok := quick(m); ok {
				return ordered(e.name, order), nil
			}
		}
		base, mid, err := m.both(&l, &r)
		if err != nil {
			return isEmpty, err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		if len(a) == 0 || len(b) == 0 {
			return isEmpty, nil
		}
		if hasUnknown(a) || hasUnknown(b) {
			return isUnknown, nil
		}
		if len(a) > 1 || len(b) > 1 {
			return isEmpty, faultf(e.pos, "%s expects one item on each side, found %d and %d", e.name, len(a), len(b))
		}
		if a[0].kind == KindStub || b[0].kind == KindStub {
			return isUnknown, nil
		}
		order, state, err := compare(&a[0], &b[0], e.pos)
		if err != nil || state != isTrue {
			return isEmpty, err
		}
		return ordered(e.name, order), nil
	})
}

// ordered is the answer that op gives to an order.
func ordered(op string, order int) tri {
	switch op {
	case "<":
		return truthOf(order < 0)
	case "<=":
		return truthOf(order <= 0)
	case ">":
		return truthOf(order > 0)
	}
	return truthOf(order >= 0)
}

// numeric compares two counts, or a count and a literal, without collections;
// nil where the sides are not of that kind.
func numeric(l, r *code) func(m *machine) (order int, ok bool) {
	x, y := l.quick(), r.quick()
	if x == nil || y == nil {
		return nil
	}
	return func(m *machine) (int, bool) {
		a, ok1 := x(m)
		b, ok2 := y(m)
		return cmp.Compare(a, b), ok1 && ok2
	}
}

// quick is c as a count or a whole number, or nil.
func (c *code) quick() func(m *machine) (int64, bool) {
	if c.number != nil {
		return c.number
	}
	if c.constant != nil && c.constant.kind == KindInteger {
		n := c.constant.num
		return func(*machine) (int64, bool) { return n, true }
	}
	return nil
}

// compare orders two items; state is isEmpty where the order stays open.
func compare(a, b *Value, pos int) (order int, state tri, err error) {
	x, ok1 := a.system()
	y, ok2 := b.system()
	if !ok1 || !ok2 {
		if isValueless(a) || isValueless(b) || isQuantityNode(a) || isQuantityNode(b) {
			return 0, isEmpty, nil
		}
		return 0, isEmpty, faultf(pos, "%s and %s have no order", a.Type(), b.Type())
	}
	if order, ok := numbers(&x, &y); ok {
		return order, isTrue, nil
	}
	switch {
	case x.kind == KindString && y.kind == KindString:
		return strings.Compare(x.text, y.text), isTrue, nil
	case x.isDate() && y.isDate(), x.kind == KindTime && y.kind == KindTime:
		order, ok := compareTemporal(&x, &y)
		if !ok {
			return 0, isEmpty, nil
		}
		return order, isTrue, nil
	case x.kind == KindQuantity || y.kind == KindQuantity:
		p, ok1 := x.asQuantity()
		q, ok2 := y.asQuantity()
		if ok1 && ok2 {
			order, ok := compareQuantities(&p, &q, false)
			if !ok {
				return 0, isEmpty, nil
			}
			return order, isTrue, nil
		}
	}
	return 0, isEmpty, faultf(pos, "%s and %s cannot be compared", a.Type(), b.Type())
}

// isQuantityNode: a FHIR Quantity without a comparable value has no order, but
// to ask for it is no fault.
func isQuantityNode(v *Value) bool {
	if v.kind != KindNode {
		return false
	}
	t := v.res.TypeOf(v.node())
	return t != nil && isQuantity(t)
}

// membership compiles item in list (section 6.4).
func membership(e *expr, item, list code) code {
	generic := func(m *machine) (tri, error) {
		base, mid, err := m.both(&item, &list)
		if err != nil {
			return isEmpty, err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		switch {
		case hasUnknown(a):
			if len(b) == 0 && len(a) == 1 && a[0].prec == 1 {
				return isFalse, nil
			}
			return isUnknown, nil
		case len(a) == 0:
			return isEmpty, nil
		case len(a) > 1:
			return isEmpty, faultf(e.pos, "%s expects one item to look for, found %d", e.name, len(a))
		}
		return contains(b, &a[0]), nil
	}
	if len(item.path) == 0 || list.strings == nil {
		return boolean(e.pos, generic)
	}
	// code in ('a' | 'b'): without a collection.
	path, wanted := item.path, list.strings
	return boolean(e.pos, func(m *machine) (tri, error) {
		v := &m.scope.this
		if v.kind != KindNode {
			return generic(m)
		}
		n, count := pick(v.res, v.node(), path, r4.None, 0)
		if count == 0 {
			return isEmpty, nil
		}
		found := NodeOf(v.res, n)
		s, ok := found.plain()
		if count > 1 || !ok {
			return generic(m)
		}
		return truthOf(slices.Contains(wanted, s)), nil
	})
}

// contains says whether list holds an item equal to v.
func contains(list []Value, v *Value) tri {
	out := isFalse
	for i := range list {
		switch equal(&list[i], v) {
		case isTrue:
			return isTrue
		case isUnknown:
			out = isUnknown
		}
	}
	return out
}

// union compiles |: each item once, in the order found (section 6.3.1).
func union(e *expr, l, r code) code {
	out := code{pos: e.pos, eval: func(m *machine) error {
		base, _, err := m.both(&l, &r)
		if err != nil {
			return err
		}
		m.distinct(base)
		return nil
	}}
	if l.strings != nil && r.strings != nil {
		out.strings = append(append(out.strings, l.strings...), r.strings...)
	}
	return out
}

// distinct drops repetitions above base.
func (m *machine) distinct(base int) {
	var seen bag
	end, kept := len(m.stack), base
	for i := base; i < end; i++ {
		m.stack[kept] = m.stack[i]
		if m.stack[kept].kind == KindUnknown || seen.add(m, base, kept) {
			kept++
		}
	}
	m.stack = m.stack[:kept]
}

// arithmetic compiles + - * / div mod & (section 6.6).
func arithmetic(e *expr, l, r code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base, mid, err := m.both(&l, &r)
		if err != nil {
			return err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		if e.name != "&" && (len(a) == 0 || len(b) == 0) {
			return nil
		}
		if hasUnknown(a) || hasUnknown(b) {
			m.push(unknownMany)
			return nil
		}
		if len(a) > 1 || len(b) > 1 {
			return faultf(e.pos, "%s expects one item on each side, found %d and %d", e.name, len(a), len(b))
		}
		if e.name == "&" {
			s, err := concatenated(a, e.pos)
			if err != nil {
				return err
			}
			t, err := concatenated(b, e.pos)
			if err == nil {
				m.push(stringValue(s + t))
			}
			return err
		}
		x, ok1 := a[0].system()
		y, ok2 := b[0].system()
		if !ok1 || !ok2 {
			if a[0].kind == KindStub || b[0].kind == KindStub {
				m.push(unknownMany)
				return nil
			}
			if isValueless(&a[0]) || isValueless(&b[0]) || isQuantityNode(&a[0]) || isQuantityNode(&b[0]) {
				return nil
			}
			return faultf(e.pos, "%s cannot work on %s and %s", e.name, a[0].Type(), b[0].Type())
		}
		v, state := calculate(e.name, &x, &y)
		switch state {
		case isTrue:
			m.push(v)
		case isFalse:
			return faultf(e.pos, "%s cannot work on %s and %s", e.name, a[0].Type(), b[0].Type())
		}
		return nil
	}}
}

func concatenated(c []Value, pos int) (string, error) {
	if len(c) == 0 {
		return "", nil
	}
	v, ok := c[0].system()
	if ok && v.kind == KindString {
		return v.text, nil
	}
	if isValueless(&c[0]) {
		return "", nil
	}
	return "", faultf(pos, "& expects strings, found %s", c[0].Type())
}

// calculate does one operation: isTrue with a result, isEmpty with none,
// isFalse where the operation is not defined on such items.
func calculate(op string, x, y *Value) (Value, tri) {
	switch {
	case x.kind == KindInteger && y.kind == KindInteger && op != "/":
		return calculateIntegers(op, x.num, y.num)
	case x.isNumber() && y.isNumber():
		return calculateDecimals(op, x.decimal(), y.decimal())
	case op == "+" && x.kind == KindString && y.kind == KindString:
		return stringValue(x.text + y.text), isTrue
	case (x.isDate() || x.kind == KindTime) && y.kind == KindQuantity && (op == "+" || op == "-"):
		d, ok := toDuration(y)
		if !ok {
			return Value{}, isFalse
		}
		if op == "-" {
			d.months, d.ticks = -d.months, -d.ticks
		}
		if x.kind == KindTime && d.months != 0 {
			return Value{}, isFalse
		}
		v, ok := x.add(d)
		return v, resultIf(ok)
	case x.kind == KindQuantity || y.kind == KindQuantity:
		a, ok1 := x.asQuantity()
		b, ok2 := y.asQuantity()
		if !ok1 || !ok2 {
			return Value{}, isFalse
		}
		var v Value
		var ok bool
		switch op {
		case "+", "-":
			v, ok = addQuantities(&a, &b, op == "-")
		case "*", "/":
			v, ok = multiplyQuantities(&a, &b, op == "/")
		default:
			return Value{}, isFalse
		}
		return v, resultIf(ok)
	}
	return Value{}, isFalse
}

func resultIf(ok bool) tri {
	if ok {
		return isTrue
	}
	return isEmpty
}

func calculateIntegers(op string, x, y int64) (Value, tri) {
	var n int64
	switch op {
	case "+":
		n = x + y
	case "-":
		n = x - y
	case "*":
		if x != 0 && (x*y)/x != y {
			return Value{}, isEmpty
		}
		n = x * y
	case "div", "mod":
		if y == 0 {
			return Value{}, isEmpty
		}
		if op == "div" {
			n = x / y
		} else {
			n = x % y
		}
	}
	return intValue(n), resultIf(inRange(n))
}

func calculateDecimals(op string, x, y *apd.Decimal) (Value, tri) {
	d := new(apd.Decimal)
	var err error
	switch op {
	case "+":
		_, err = exact().Add(d, x, y)
	case "-":
		_, err = exact().Sub(d, x, y)
	case "*":
		_, err = exact().Mul(d, x, y)
	default:
		if y.IsZero() {
			return Value{}, isEmpty
		}
		switch op {
		case "/":
			if _, err = guarded().Quo(d, x, y); err != nil {
				return Value{}, isEmpty
			}
			out, ok := settle(d)
			return decimalValue(out), resultIf(ok)
		case "div":
			if _, err = exact().QuoInteger(d, x, y); err != nil {
				return Value{}, isEmpty
			}
			n, ok := fits(d)
			return intValue(n), resultIf(ok)
		case "mod":
			_, err = exact().Rem(d, x, y)
		}
	}
	return decimalValue(d), resultIf(err == nil && bounded(d))
}
