// Package r4 is the ground of FHIR R4 in Remit: the shape of every resource and
// datatype ([Type], [Element]), one resource as a tree in a reusable arena
// ([Resource]), and exact JSON in and out ([Parser], [Resource.AppendJSON]).
//
// The shape comes from google/fhir/go's protocol buffer descriptors; its
// jsonformat is never imported here. The room knows no profile, no table and
// no clock.
package r4

import (
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Kind says what sort of type a Type is.
type Kind uint8

// The kinds of types.
const (
	KindPrimitive Kind = iota + 1 // string, date ...; its elements are id and extension
	KindComplex                   // HumanName, CodeableConcept, Extension ...
	KindBackbone                  // ExplanationOfBenefit.item, Timing.repeat
	KindResource                  // Patient
)

// JSONForm says how a primitive's value is written.
type JSONForm uint8

// The JSON forms of primitives (R4, 2.6.2.3 "JSON representation of primitive
// elements").
const (
	FormNone   JSONForm = iota // not a primitive
	FormString                 // quoted
	FormNumber                 // integer, positiveInt, unsignedInt, decimal: digits as given
	FormBool                   // true, false
)

// Type is a resource type, datatype, backbone element or primitive. Types are
// immutable, made once on first use, and compare by pointer; any number of
// goroutines may use them.
type Type struct {
	name string
	kind Kind
	form JSONForm
	id   uint16
	head string // `{"resourceType":"Patient"`, resources only
	desc protoreflect.MessageDescriptor

	valid func([]byte) bool // the lexical rule, primitives only; text is not empty

	once     sync.Once // guards the fields below, which are made on first use
	elements []*Element
	byName   map[string]*Element
	choices  map[string][]*Element
}

// Name is "Patient", "HumanName", "dateTime" or, for a backbone element, its
// path: "ExplanationOfBenefit.item". An element defined by reference to
// another has the type of that other: item.detail.adjudication has
// "ExplanationOfBenefit.item.adjudication".
func (t *Type) Name() string { return t.name }

// Kind says what sort of type t is.
func (t *Type) Kind() Kind { return t.kind }

// Form is how a primitive's value is written; FormNone otherwise.
func (t *Type) Form() JSONForm { return t.form }

// Elements are t's elements in the specification's order, each alternative of
// a choice as an element of its own, side by side. The caller must not change
// the slice. A primitive has "id" and "extension" (xhtml only "id").
func (t *Type) Elements() []*Element {
	t.once.Do(t.load)
	return t.elements
}

// Element finds an element by its JSON name ("valueQuantity" for a choice), or
// returns nil.
func (t *Type) Element(name string) *Element {
	t.once.Do(t.load)
	return t.byName[name]
}

// Choice returns all alternatives of a choice element by its base name:
// "value" gives valueBoolean, valueQuantity and the others, in the
// specification's order. It is nil if t has no such choice. The caller must
// not change the slice.
func (t *Type) Choice(base string) []*Element {
	t.once.Do(t.load)
	return t.choices[base]
}

// keySize is enough for the keys of all but a few elements.
const keySize = 24

// Element is one element of a type. Elements are immutable and compare by
// pointer.
type Element struct {
	// What the encoder reads of every node comes first, in one cache line.
	short   [keySize]byte // key, if it is no longer
	keyLen  uint8         // length of key, 0 if it is longer than short
	form    JSONForm      // of typ
	repeats bool
	bare    bool // cannot itself have an id or extension: Element.id, Extension.url
	id      uint16
	typ     *Type
	key     string // `,"name":`, for strings `,"name":"`

	under string // `,"_name":`, primitives only
	name  string
	base  string
	owner *Type
	index int
}

// Name is the JSON property: "status", "valueQuantity".
func (e *Element) Name() string { return e.name }

// Base is the name without the type of a choice: "value" for "valueQuantity";
// otherwise Name.
func (e *Element) Base() string { return e.base }

// Choice says that e is one alternative of a choice element.
func (e *Element) Choice() bool { return e.base != e.name }

// Owner is the type that has the element.
func (e *Element) Owner() *Type { return e.owner }

// Type is the element's own type. It is nil for an element that holds any
// resource (contained, Bundle.entry.resource, Parameters.parameter.resource).
func (e *Element) Type() *Type { return e.typ }

// Index is the element's place among Owner().Elements().
func (e *Element) Index() int { return e.index }

// Repeats says that JSON writes the element as an array.
func (e *Element) Repeats() bool { return e.repeats }
