package fhirpath

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/cockroachdb/apd/v3"

	"remit/profiles/r4"
)

// ValueKind is the kind of a [Value].
type ValueKind uint8

// The kinds of values.
const (
	KindNode     ValueKind = iota + 1 // an element or resource of a tree
	KindStub                          // a resource that is not at hand; only its type is known
	KindBoolean                       // System.Boolean
	KindString                        // System.String
	KindInteger                       // System.Integer
	KindDecimal                       // System.Decimal
	KindDate                          // System.Date
	KindDateTime                      // System.DateTime
	KindTime                          // System.Time
	KindQuantity                      // System.Quantity
	KindType                          // the result of type()
	KindUnknown                       // what cannot be known here; see Value.Unknown
)

// Value is one item of a collection. Values are small and copied; the text of
// a node's value is borrowed from its tree.
type Value struct {
	kind ValueKind
	// prec is the precision of dates and times; for a quantity 1 marks a
	// calendar unit; for an unknown 1 marks a single item.
	prec precision
	// zone is minutes east of UTC, or noZone; for a node its id.
	zone int32
	num  int64 // boolean, integer; dates and times in ticks (see temporal.go)
	text string
	res  *r4.Resource
	typ  *r4.Type // of a stub
	dec  *apd.Decimal
}

// Collection is the result of an evaluation: items in order.
type Collection []Value

func boolValue(b bool) Value {
	v := Value{kind: KindBoolean}
	if b {
		v.num = 1
	}
	return v
}

func stringValue(s string) Value         { return Value{kind: KindString, text: s} }
func intValue(i int64) Value             { return Value{kind: KindInteger, num: i} }
func decimalValue(d *apd.Decimal) Value  { return Value{kind: KindDecimal, dec: d} }
func stubValue(t *r4.Type) Value         { return Value{kind: KindStub, typ: t} }
func typeValue(space, name string) Value { return Value{kind: KindType, text: space + "." + name} }

func quantityValue(d *apd.Decimal, unit string, calendar bool) Value {
	v := Value{kind: KindQuantity, dec: d, text: unit}
	if calendar {
		v.prec = 1
	}
	return v
}

// String makes the System.String s, for [Env.Variables].
func String(s string) Value { return stringValue(s) }

// Boolean makes a System.Boolean.
func Boolean(b bool) Value { return boolValue(b) }

// Integer makes a System.Integer.
func Integer(i int32) Value { return intValue(int64(i)) }

// NodeOf makes the item that stands for node n of r.
func NodeOf(r *r4.Resource, n r4.Node) Value {
	return Value{kind: KindNode, res: r, zone: int32(n)}
}

// unknownOne is a single item of which nothing is known, unknownMany any
// number of them.
var (
	unknownOne  = Value{kind: KindUnknown, prec: 1}
	unknownMany = Value{kind: KindUnknown}
)

// Kind is the kind of v.
func (v Value) Kind() ValueKind { return v.kind }

// Node is the tree and node of v; ok is false unless v is a node.
func (v Value) Node() (r *r4.Resource, n r4.Node, ok bool) {
	return v.res, v.node(), v.kind == KindNode
}

func (v *Value) node() r4.Node { return r4.Node(v.zone) }

// Unknown says that v stands for what cannot be known here: nothing, one item
// or several.
func (v Value) Unknown() bool { return v.kind == KindUnknown }

// Bool is the truth of a System.Boolean or FHIR boolean; ok is false for all
// else.
func (v Value) Bool() (b, ok bool) {
	s, ok := v.system()
	return s.num == 1, ok && s.kind == KindBoolean
}

// Type is the name of v's type: "System.String", "FHIR.code", "FHIR.Patient".
func (v Value) Type() string {
	space, name := v.typeOf()
	if space == "" {
		return ""
	}
	return space + "." + name
}

// Text is the text form of v as toString() gives it; ok is false where there
// is none.
func (v Value) Text() (text string, ok bool) {
	s, ok := v.system()
	if !ok {
		return "", false
	}
	return s.string()
}

// typeOf is the namespace and name of v's type.
func (v *Value) typeOf() (space, name string) {
	switch v.kind {
	case KindNode:
		t := v.res.TypeOf(v.node())
		if t == nil {
			return "", ""
		}
		return "FHIR", displayName(t)
	case KindStub:
		return "FHIR", displayName(v.typ)
	case KindBoolean:
		return "System", "Boolean"
	case KindString:
		return "System", "String"
	case KindInteger:
		return "System", "Integer"
	case KindDecimal:
		return "System", "Decimal"
	case KindDate:
		return "System", "Date"
	case KindDateTime:
		return "System", "DateTime"
	case KindTime:
		return "System", "Time"
	case KindQuantity:
		return "System", "Quantity"
	case KindType:
		return "System", "TypeInfo"
	}
	return "", ""
}

// borrow views bytes of a tree as a string. The tree does not change during an
// evaluation, and what leaves it is copied (see keep).
func borrow(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// keep makes v independent of the evaluation's memory.
func (v *Value) keep() Value {
	out := *v
	if out.kind != KindNode {
		out.text = strings.Clone(out.text)
	}
	if out.dec != nil {
		out.dec = new(apd.Decimal).Set(out.dec)
	}
	return out
}

// system converts v to a System value: a FHIR primitive to its System type, a
// FHIR Quantity to System.Quantity (FHIR R4, FHIRPath page, "Using FHIR types
// and System types"). ok is false for what has no such value.
func (v *Value) system() (Value, bool) {
	if v.kind != KindNode {
		return *v, v.kind != KindStub && v.kind != KindUnknown
	}
	r, n := v.res, v.node()
	t := r.TypeOf(n)
	if t == nil {
		return Value{}, false
	}
	if t.Kind() != r4.KindPrimitive {
		if isQuantity(t) {
			return quantityOf(r, n)
		}
		return Value{}, false
	}
	raw := r.Value(n)
	if raw == nil {
		return Value{}, false
	}
	text := borrow(raw)
	switch primitiveKind(t) {
	case KindBoolean:
		switch text {
		case "true", "false":
			return boolValue(text == "true"), true
		}
		return Value{}, false
	case KindInteger:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Value{}, false
		}
		return intValue(i), true
	case KindDecimal:
		d, ok := parseDecimal(text)
		if !ok {
			return Value{}, false
		}
		return decimalValue(d), true
	case KindDate:
		return parseDate(text)
	case KindDateTime:
		return parseDateTime(text)
	case KindTime:
		return parseTime(text)
	}
	return stringValue(text), true
}

// primitiveKind is the System kind that a FHIR primitive converts to.
func primitiveKind(t *r4.Type) ValueKind {
	switch t.Name() {
	case "boolean":
		return KindBoolean
	case "integer", "positiveInt", "unsignedInt", "integer64":
		return KindInteger
	case "decimal":
		return KindDecimal
	case "date":
		return KindDate
	case "dateTime", "instant":
		return KindDateTime
	case "time":
		return KindTime
	}
	return KindString
}

// plain is the text of a string-like item without copying; ok is false for
// items of other kinds.
func (v *Value) plain() (string, bool) {
	switch v.kind {
	case KindString:
		return v.text, true
	case KindNode:
		r, n := v.res, v.node()
		t := r.TypeOf(n)
		if t == nil || t.Kind() != r4.KindPrimitive || primitiveKind(t) != KindString {
			return "", false
		}
		b := r.Value(n)
		return borrow(b), b != nil
	}
	return "", false
}

// string is toString() of a System value.
func (v *Value) string() (string, bool) {
	switch v.kind {
	case KindBoolean:
		return strconv.FormatBool(v.num == 1), true
	case KindString, KindType:
		return v.text, true
	case KindInteger:
		return strconv.FormatInt(v.num, 10), true
	case KindDecimal:
		return v.dec.Text('f'), true
	case KindDate, KindDateTime, KindTime:
		return v.text, true
	case KindQuantity:
		if v.prec == 1 {
			return v.dec.Text('f') + " " + v.text, true
		}
		return v.dec.Text('f') + " '" + unitOrOne(v.text) + "'", true
	}
	return "", false
}

func unitOrOne(unit string) string {
	if unit == "" {
		return "1"
	}
	return unit
}

// Undecided says that c holds an item that cannot be known here.
func (c Collection) Undecided() bool {
	for i := range c {
		if c[i].kind == KindUnknown {
			return true
		}
	}
	return false
}

// AppendJSON appends c to dst as one JSON array on one line: numbers as
// written, dates and times as strings without "@", quantities and complex
// items as objects, what is unknown or has no value as null.
func (c Collection) AppendJSON(dst []byte) []byte {
	dst = append(dst, '[')
	for i := range c {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c[i].appendJSON(dst)
	}
	return append(dst, ']')
}

func (v *Value) appendJSON(dst []byte) []byte {
	switch v.kind {
	case KindNode:
		n := len(dst)
		if t := v.res.TypeOf(v.node()); t != nil && t.Kind() == r4.KindPrimitive && !v.res.HasValue(v.node()) {
			return append(dst, "null"...)
		}
		dst = v.res.AppendNodeJSON(dst, v.node())
		if len(dst) == n {
			return append(dst, "null"...)
		}
		return dst
	case KindBoolean:
		return strconv.AppendBool(dst, v.num == 1)
	case KindInteger:
		return strconv.AppendInt(dst, v.num, 10)
	case KindDecimal:
		return v.dec.Append(dst, 'f')
	case KindString, KindDate, KindDateTime, KindTime:
		return appendQuoted(dst, v.text)
	case KindQuantity:
		dst = append(dst, `{"value":`...)
		dst = v.dec.Append(dst, 'f')
		dst = append(dst, `,"unit":`...)
		dst = appendQuoted(dst, unitOrOne(v.text))
		if v.prec != 1 {
			dst = append(dst, `,"system":"http://unitsofmeasure.org","code":`...)
			dst = appendQuoted(dst, unitOrOne(v.text))
		}
		return append(dst, '}')
	case KindType:
		space, name, _ := strings.Cut(v.text, ".")
		dst = append(dst, `{"namespace":`...)
		dst = appendQuoted(dst, space)
		dst = append(dst, `,"name":`...)
		dst = appendQuoted(dst, name)
		return append(dst, '}')
	case KindStub:
		dst = append(dst, `{"resourceType":`...)
		dst = appendQuoted(dst, v.typ.Name())
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
