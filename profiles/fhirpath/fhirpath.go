// Package fhirpath parses, compiles and evaluates FHIRPath (N1, 2.0.0, with the
// functions of later drafts that the R4 test suite uses) over the resource
// trees of [r4].
//
// An expression is parsed once and compiled to closures over node ids. It is
// immutable and may be shared by any number of goroutines; all state of an
// evaluation lives in an [Env], which belongs to one goroutine at a time.
//
// Three things cannot always be decided offline: membership in a value set,
// conformance to a profile, and the target of a reference. They are asked of
// the interfaces [Membership], [Conformance] and [Resolver], which the room
// above implements. Where the answer is unknown it stays unknown through the
// logic: an expression whose outcome hangs on it is [Undecidable], never false.
//
// The room knows no profile, no package and no clock. Its errors never hold a
// value of the resource.
//
// # Readings
//
// Where the specification leaves room, or the R4 test suite asks for more, this
// is how it is read; testdata/expressions.txt and the suite hold each of them.
//
//   - An invariant whose result is empty is not met (R4 asks for true).
//   - as is an error on several items; R4's own dom-3 needs it as a filter,
//     which [Options.AsFilters] allows.
//   - Arguments are evaluated with the $this around the call; the criterion of
//     iif, written after an input, with that item.
//   - memberOf on several items asks for any of them.
//   - valueQuantity is no element: Observation.value is. A constraint that
//     names it (US Core us-core-3) finds nothing.
//   - FHIR.boolean is no System.Boolean, nor is answer in que-7.
//   - A dateTime with a zone and one without compare only if no zone could
//     change the answer.
//   - A UCUM year or month cannot be added to a date; a calendar word in quotes
//     can. FHIR quantities in a, mo, d, h, min and s are calendar durations.
//   - A quantity with a comparator, and one of another system than UCUM, has no
//     order but among its like.
//   - sort puts items without a key first, up and down alike.
//   - Regular expressions are RE2's: without look-around and back references.
package fhirpath

import (
	"fmt"
	"strings"
	"time"

	"remit/profiles/r4"
)

// Kind says at which stage an expression went wrong.
type Kind uint8

// The kinds of errors.
const (
	Syntax     Kind = iota + 1 // the text is not FHIRPath
	Semantic                   // it is, but names what cannot be
	Evaluation                 // it met items it cannot work on
)

// String is syntax, semantic or evaluation.
func (k Kind) String() string {
	switch k {
	case Syntax:
		return "syntax"
	case Semantic:
		return "semantic"
	}
	return "evaluation"
}

// Error is what Compile and Eval return. Its message never holds a value of
// the resource.
type Error struct {
	Kind    Kind
	Offset  int // 1-based, in bytes of the expression
	Line    int // 1-based
	Column  int // 1-based, in characters of the line
	Message string
}

// Error is "line:column: message [kind]".
func (e *Error) Error() string {
	return fmt.Sprintf("%d:%d: %s [%s]", e.Line, e.Column, e.Message, e.Kind)
}

// Options choose how an expression is compiled.
type Options struct {
	// Type is the type of the focus, if it is known. It makes semantic checks
	// possible; evaluation does not need it.
	Type *r4.Type
	// Root is the type of %resource and %rootResource, if it is known; nil
	// takes Type where that is a resource.
	Root *r4.Type
	// Strict makes an element that no possible type of the input has a
	// semantic error, and likewise a function that needs an order on a
	// collection that has none (FHIRPath 2.0.0, section 10 and 5.3). Without
	// it such an element is just not there.
	Strict bool
	// AsFilters lets as(T) and "as T" work on several items, as a filter. R4's
	// own invariants and search parameters need it (dom-3), though the
	// specification makes it an error.
	AsFilters bool
}

// Tri is an answer that may be impossible to give.
type Tri uint8

// The three answers.
const (
	Unknown Tri = iota
	Yes
	No
)

// Membership says whether a code is in a value set.
type Membership interface {
	// Member answers for one code. System is empty where the coded element has
	// none (code, string, uri). The strings are borrowed for the call.
	Member(valueSet, system, code string) Tri
}

// Conformance says whether a node conforms to a profile.
type Conformance interface {
	// Conforms answers for node n of r and the canonical of a profile.
	Conforms(r *r4.Resource, n r4.Node, profile string) Tri
}

// Resolver finds the target of a reference.
type Resolver interface {
	// Resolve looks for the resource that the reference ref, which stands at
	// node n of r (a Reference or a uri), points at. The string is borrowed
	// for the call. A zero Target leaves the search to [Local].
	Resolve(r *r4.Resource, n r4.Node, ref string) Target
}

// Target is where a reference leads. The zero Target says that the resolver
// knows nothing.
type Target struct {
	// Resource and Node are the target itself, if it is at hand.
	Resource *r4.Resource
	Node     r4.Node
	// Type is the type of a target that is not at hand. Type tests on it are
	// decided, all else is unknown.
	Type *r4.Type
	// Absent says that there is certainly no target, Hidden that there may be
	// one of which nothing is known.
	Absent, Hidden bool
}

// Outcome is what an invariant says of a node.
type Outcome uint8

// The outcomes.
const (
	// False: the expression gave false or nothing at all. R4 asks that a
	// constraint's expression evaluates to true (ElementDefinition.constraint;
	// conformance rules, "Constraints"), so an empty result does not meet it.
	False Outcome = iota
	True
	// Undecidable: the result hangs on something that cannot be known here.
	Undecidable
	// Fault: the expression could not be evaluated on this node.
	Fault
)

// String is false, true, undecidable or fault.
func (o Outcome) String() string {
	return [...]string{"false", "true", "undecidable", "fault"}[o]
}

// Env is what an evaluation may use beside the resource, and its working
// memory. It is reusable, and belongs to one evaluation at a time: a Resolver,
// Membership or Conformance that itself evaluates needs another Env. The zero
// Env is ready for use.
type Env struct {
	// Now is the instant of now(), today() and timeOfDay(). With a zero Now
	// these functions are unknown.
	Now time.Time
	// Resolver, Membership and Conformance answer resolve(), memberOf() and
	// conformsTo(); with a nil one, resolve() uses [Local] and the others are
	// unknown.
	Resolver    Resolver
	Membership  Membership
	Conformance Conformance
	// Variables are the caller's own: %name. The specification's own names
	// (%resource, %ucum ...) cannot be replaced.
	Variables map[string]Collection
	// Trace sees what trace() is given; the collection is borrowed. Nil
	// discards it.
	Trace func(name string, items Collection)

	m machine
}

// Expression is a compiled expression. It is immutable and safe for concurrent
// use.
type Expression struct {
	source string
	code   code
}

// maxLength bounds the text of an expression, maxDepth how deeply it nests.
const (
	maxLength = 1 << 16
	maxDepth  = 250
)

// Compile parses and compiles an expression. Error: *Error of kind Syntax or
// Semantic.
func Compile(source string, o Options) (*Expression, error) {
	tree, err := parse(source)
	if err != nil {
		return nil, err
	}
	c := &compiler{table: table(), options: o}
	if err := check(source, tree, c.table, o); err != nil {
		return nil, err
	}
	return &Expression{source: source, code: c.compile(tree)}, nil
}

// String is the text the expression was compiled from.
func (x *Expression) String() string { return x.source }

// Eval evaluates x with node focus of r as its context. The collection is the
// caller's; its nodes still point into r. A nil env is an empty one. Error:
// *Error of kind Evaluation.
func (x *Expression) Eval(env *Env, r *r4.Resource, focus r4.Node) (Collection, error) {
	if env == nil {
		env = &Env{}
	}
	m := env.begin(r, focus)
	if err := x.code.eval(m); err != nil {
		return nil, x.locate(err)
	}
	out := make(Collection, len(m.stack))
	for i := range m.stack {
		out[i] = m.stack[i].keep()
	}
	return out, nil
}

// Items is Eval without copies, for those who look at many resources: the
// collection is borrowed until the next evaluation with env, which must not be
// nil, and the next change of r.
func (x *Expression) Items(env *Env, r *r4.Resource, focus r4.Node) (Collection, error) {
	m := env.begin(r, focus)
	if err := x.code.eval(m); err != nil {
		return nil, x.locate(err)
	}
	return m.stack, nil
}

// Check evaluates x as an invariant of node n of r. The error is not nil with
// Fault alone; it is an *Error of kind Evaluation.
func (x *Expression) Check(env *Env, r *r4.Resource, n r4.Node) (Outcome, error) {
	if env == nil {
		env = &Env{}
	}
	t, err := x.code.truth(env.begin(r, n))
	if err != nil {
		return Fault, x.locate(err)
	}
	switch t {
	case isTrue:
		return True, nil
	case isUnknown:
		return Undecidable, nil
	}
	return False, nil
}

// locate gives an evaluation fault its place in the text.
func (x *Expression) locate(err error) error {
	f, ok := err.(*fault)
	if !ok {
		return err
	}
	return newError(x.source, Evaluation, f.pos, f.message)
}

// newError makes an Error for the 0-based byte offset pos.
func newError(source string, k Kind, pos int, message string) *Error {
	if pos > len(source) {
		pos = len(source)
	}
	e := &Error{Kind: k, Offset: pos + 1, Line: 1 + strings.Count(source[:pos], "\n"), Message: message}
	e.Column = 1 + len([]rune(source[1+strings.LastIndexByte(source[:pos], '\n'):pos]))
	return e
}

// fault is an error met while evaluating; pos is a 0-based byte offset.
type fault struct {
	pos     int
	message string
}

func (f *fault) Error() string { return f.message }

func faultf(pos int, format string, args ...any) error {
	return &fault{pos: pos, message: fmt.Sprintf(format, args...)}
}
