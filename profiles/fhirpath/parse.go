package fhirpath

import (
	"math"
	"strconv"
)

// shape says what an expr is.
type shape uint8

const (
	shLiteral shape = iota // value
	shEmpty                // {}
	shThis                 // $this
	shIndex                // $index
	shTotal                // $total
	shVar                  // %name
	shName                 // input.name
	shCall                 // input.name(args)
	shItem                 // args[0][args[1]]
	shUnary                // name args[0]
	shBinary               // args[0] name args[1]
	shType                 // args[0] is|as typ
)

// typeName is a type specifier: System.Boolean, FHIR.Patient, Quantity.
type typeName struct {
	space string // "", System or FHIR
	name  string
}

// expr is a node of the syntax tree.
type expr struct {
	shape shape
	pos   int
	name  string
	value Value
	bad   string  // for a literal that has no value: why
	input *expr   // of a name or call; nil at the start of a path
	args  []*expr // of a call, operator or indexer
	typ   typeName
	desc  bool // a sort key with "desc"
}

// binding powers, weakest first (FHIRPath 2.0.0, section 6.9).
const (
	bpImplies = iota + 1
	bpOr
	bpAnd
	bpMember
	bpEqual
	bpCompare
	bpUnion
	bpType
	bpAdd
	bpMultiply
	bpUnary
	bpPath
)

func power(t token) int {
	switch t.kind {
	case tokIdent:
		switch t.text {
		case "implies":
			return bpImplies
		case "or", "xor":
			return bpOr
		case "and":
			return bpAnd
		case "in", "contains":
			return bpMember
		case "is", "as":
			return bpType
		case "div", "mod":
			return bpMultiply
		}
	case tokOp:
		switch t.text {
		case "=", "~", "!=", "!~":
			return bpEqual
		case "<", ">", "<=", ">=":
			return bpCompare
		case "|":
			return bpUnion
		case "+", "-", "&":
			return bpAdd
		case "*", "/":
			return bpMultiply
		case ".", "[":
			return bpPath
		}
	}
	return 0
}

type parser struct {
	lex   lexer
	cur   token
	depth int
}

// parse reads a whole expression. Error: *Error of kind Syntax.
func parse(source string) (*expr, error) {
	p := &parser{lex: lexer{src: source}}
	if len(source) > maxLength {
		return nil, newError(source, Syntax, 0, "expression is longer than "+strconv.Itoa(maxLength)+" bytes")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.cur.kind != tokEOF {
		return nil, p.unexpected("an operator or the end")
	}
	return e, nil
}

func (p *parser) advance() *Error {
	t, err := p.lex.next()
	if err != nil {
		return err
	}
	p.cur = t
	return nil
}

func (p *parser) unexpected(want string) *Error {
	return newError(p.lex.src, Syntax, p.cur.pos, "expected "+want+", found "+p.cur.describe())
}

func (p *parser) expect(mark string) *Error {
	if !p.cur.is(mark) {
		return p.unexpected("\"" + mark + "\"")
	}
	return p.advance()
}

// expression parses as long as operators bind stronger than min.
func (p *parser) expression(min int) (*expr, *Error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, newError(p.lex.src, Syntax, p.cur.pos, "expression nests too deeply")
	}
	left, err := p.prefix()
	if err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		op := p.cur
		bp := power(op)
		if bp <= min {
			return left, nil
		}
		if links > 4*maxDepth {
			return nil, newError(p.lex.src, Syntax, op.pos, "expression is too long a chain")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		switch {
		case op.is("."):
			left, err = p.invocation(left)
		case op.is("["):
			var index *expr
			if index, err = p.expression(0); err == nil {
				err = p.expect("]")
			}
			left = &expr{shape: shItem, pos: op.pos, args: []*expr{left, index}}
		case bp == bpType:
			var t typeName
			t, err = p.typeSpecifier()
			left = &expr{shape: shType, pos: op.pos, name: op.text, args: []*expr{left}, typ: t}
		default:
			var right *expr
			right, err = p.expression(bp)
			left = &expr{shape: shBinary, pos: op.pos, name: op.text, args: []*expr{left, right}}
		}
		if err != nil {
			return nil, err
		}
	}
}

// prefix parses a term, with its sign.
func (p *parser) prefix() (*expr, *Error) {
	t := p.cur
	switch t.kind {
	case tokString:
		return &expr{shape: shLiteral, pos: t.pos, value: stringValue(t.text)}, p.advance()
	case tokNumber:
		return p.number()
	case tokDate, tokTime:
		return p.temporal()
	case tokVariable:
		return &expr{shape: shVar, pos: t.pos, name: t.text}, p.advance()
	case tokDollar:
		e := &expr{pos: t.pos}
		switch t.text {
		case "this":
			e.shape = shThis
		case "index":
			e.shape = shIndex
		case "total":
			e.shape = shTotal
		default:
			return nil, p.unexpected("$this, $index or $total")
		}
		return e, p.advance()
	case tokIdent:
		switch t.text {
		case "true", "false":
			return &expr{shape: shLiteral, pos: t.pos, value: boolValue(t.text == "true")}, p.advance()
		case "and", "or", "xor", "implies", "div", "mod":
			return nil, p.unexpected("a term")
		}
		return p.invocation(nil)
	case tokQuoted:
		return p.invocation(nil)
	case tokOp:
		switch t.text {
		case "(":
			if err := p.advance(); err != nil {
				return nil, err
			}
			e, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			return e, p.expect(")")
		case "{":
			if err := p.advance(); err != nil {
				return nil, err
			}
			return &expr{shape: shEmpty, pos: t.pos}, p.expect("}")
		case "+", "-":
			if err := p.advance(); err != nil {
				return nil, err
			}
			e, err := p.expression(bpUnary)
			if err != nil {
				return nil, err
			}
			return &expr{shape: shUnary, pos: t.pos, name: t.text, args: []*expr{e}}, nil
		}
	}
	return nil, p.unexpected("a term")
}

// invocation parses name, or name(args), after input (nil at the start).
func (p *parser) invocation(input *expr) (*expr, *Error) {
	t := p.cur
	if t.kind == tokDollar && input != nil {
		return nil, p.unexpected("a name")
	}
	if t.kind != tokIdent && t.kind != tokQuoted {
		return nil, p.unexpected("a name")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	e := &expr{shape: shName, pos: t.pos, name: t.text, input: input}
	if t.kind == tokQuoted || !p.cur.is("(") {
		return e, nil
	}
	e.shape = shCall
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.cur.is(")") {
		return e, p.advance()
	}
	for {
		arg, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if e.name == "sort" && (p.cur.word("asc") || p.cur.word("desc")) {
			arg = &expr{shape: shUnary, pos: p.cur.pos, name: p.cur.text, args: []*expr{arg}, desc: p.cur.text == "desc"}
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
		e.args = append(e.args, arg)
		if p.cur.is(")") {
			return e, p.advance()
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

func (p *parser) typeSpecifier() (typeName, *Error) {
	t := p.cur
	if t.kind != tokIdent && t.kind != tokQuoted {
		return typeName{}, p.unexpected("a type")
	}
	if err := p.advance(); err != nil {
		return typeName{}, err
	}
	if t.text != "System" && t.text != "FHIR" || !p.cur.is(".") {
		return typeName{name: t.text}, nil
	}
	if err := p.advance(); err != nil {
		return typeName{}, err
	}
	n := p.cur
	if n.kind != tokIdent && n.kind != tokQuoted {
		return typeName{}, p.unexpected("a type")
	}
	return typeName{space: t.text, name: n.text}, p.advance()
}

// asType reads a type specifier out of the argument of is(), as(), ofType().
func (e *expr) asType() (typeName, bool) {
	if e.shape != shName {
		return typeName{}, false
	}
	if e.input == nil {
		return typeName{name: e.name}, true
	}
	if e.input.shape == shName && e.input.input == nil && (e.input.name == "System" || e.input.name == "FHIR") {
		return typeName{space: e.input.name, name: e.name}, true
	}
	return typeName{}, false
}

// number parses 12, 1.50, 4 days, 5 'mg'.
func (p *parser) number() (*expr, *Error) {
	t := p.cur
	e := &expr{shape: shLiteral, pos: t.pos}
	if i, err := strconv.ParseInt(t.text, 10, 64); err == nil && i <= math.MaxInt32 {
		e.value = intValue(i)
	} else {
		d, ok := parseDecimal(t.text)
		if !ok {
			return nil, newError(p.lex.src, Syntax, t.pos, "number has too many digits")
		}
		e.value = decimalValue(d)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	unit := ""
	calendar := false
	switch p.cur.kind {
	case tokString:
		unit = p.cur.text
	case tokIdent:
		unit, calendar = calendarUnit(p.cur.text)
		if !calendar {
			return e, nil
		}
	default:
		return e, nil
	}
	d, _ := parseDecimal(t.text)
	e.value = quantityValue(d, unit, calendar)
	return e, p.advance()
}

func (p *parser) temporal() (*expr, *Error) {
	t := p.cur
	e := &expr{shape: shLiteral, pos: t.pos}
	var ok bool
	if t.kind == tokTime {
		e.value, ok = parseTime(t.text)
		if !ok && len(t.text) > 6 {
			if _, zoned := parseDateTime("2000-01-01T" + t.text); zoned {
				// The test suite wants a time with a zone to fail when it is
				// evaluated, not when it is read.
				e.bad = "a time has no time zone"
				ok = true
			}
		}
	} else {
		e.value, ok = parseDateLiteral(t.text)
	}
	if !ok {
		return nil, newError(p.lex.src, Syntax, t.pos, "not a date or time")
	}
	return e, p.advance()
}
