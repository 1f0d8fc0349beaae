// Package profiles judges FHIR resources: it loads packages of definitions,
// compiles profiles, and says what in a resource breaks them. It knows no
// table, no clock and no network.
package profiles

import (
	"fmt"
	"sync"

	"remit/profiles/packages"
	"remit/profiles/r4"
	"remit/profiles/terminology"
)

// Unbounded is the Max of an element that may repeat without limit ("*").
const Unbounded = -1

// Profile is one StructureDefinition, ready for use. It is immutable.
type Profile struct {
	URL, Version string // canonical and business version
	Name         string // id: "C4BB-Coverage"
	Title        string
	Type         string // "Coverage"; for an extension "Extension"
	Base         string // canonical of the definition it derives from
	Package      string // "hl7.fhir.us.carin-bb#2.1.0"
	Derived      bool   // constrains another definition, rather than defining a type

	root *Element
	byID map[string]*Element
	set  *Set
	pkg  *packages.Package

	contexts  []contextJSON // of an extension
	canonical string
}

// Canonical is URL|Version.
func (p *Profile) Canonical() string { return p.canonical }

// Root is the element of the resource itself.
func (p *Profile) Root() *Element { return p.root }

// Element is one element, or slice of an element, of a profile as its snapshot
// states it. Elements are immutable and compare by pointer within a Profile.
type Element struct {
	Profile *Profile
	ID      string // "ExplanationOfBenefit.supportingInfo:admtype.code"
	Path    string // "ExplanationOfBenefit.supportingInfo.code"
	Base    string // last name without [x]: "code", "value"
	Slice   string // slice name, "" for the element itself
	Min     int
	Max     int // Unbounded for *
	Types   []TypeRef
	// Fixed must equal the value, Pattern must be contained in it; nil for none.
	Fixed, Pattern *Literal
	Binding        *Binding
	// MinValue and MaxValue bound an ordered value; nil for none. MaxLength is
	// in characters, 0 for none.
	MinValue, MaxValue *Literal
	MaxLength          int
	MustSupport        bool
	Modifier           bool
	Short              string
	Slicing            *Slicing
	Constraints        []Constraint

	children []*Element // as the snapshot states them
	slices   []*Element
	whole    *Element // of a slice: the element it is a slice of
	template *Element // of an unfolded element: the datatype's element it copies
	content  string   // contentReference

	unfolding sync.Once
	unfolded  []*Element
}

// TypeRef is one allowed type of an element.
type TypeRef struct {
	Code     string   // "Reference", "CodeableConcept", "BackboneElement", "dateTime"
	Profiles []string // canonicals that the datatype itself must meet
	Targets  []string // canonicals that the target of a Reference must meet
}

// Literal is a fixed or pattern value: a tree whose root has the datatype.
type Literal struct {
	Tree *r4.Resource
	JSON []byte
}

// Binding ties a coded element to a value set.
type Binding struct {
	Strength string // required, extensible, preferred, example
	ValueSet string // canonical, with the version stated or found; without where it is not loaded
	Max      string // canonical of the widest value set allowed, "" for none
}

// Slicing tells how the repetitions of an element are told apart.
type Slicing struct {
	Discriminators []Discriminator
	Rules          string // open, closed, openAtEnd
	Ordered        bool
}

// Discriminator is one rule that tells slices apart.
type Discriminator struct {
	Type string // value, pattern, type, exists, profile
	Path string // FHIRPath: $this, category, resolve()
}

// Constraint is one invariant.
type Constraint struct {
	Key        string
	Severity   string // error, warning
	Human      string
	Expression string
	Source     string
	// BestPractice marks a rule that R4 only recommends, or that an Erratum takes
	// the edge off; breaking it is a note.
	BestPractice bool
	// Erratum tells what is wrong with the rule as published, "" for nothing.
	// Expression then is as it is judged.
	Erratum string
}

// Children are e's child elements in the specification's order, unfolded into
// the datatype (or the datatype's profile) where the snapshot stops there. The
// caller must not change the slice. Slices are not among them.
func (e *Element) Children() []*Element { return e.unfold() }

// Child finds a child by base name ("value" for value[x]), or returns nil.
func (e *Element) Child(base string) *Element {
	for _, c := range e.unfold() {
		if c.Base == base {
			return c
		}
	}
	return nil
}

// Slices are the slices of e in snapshot order.
func (e *Element) Slices() []*Element { return e.slices }

// SliceNamed finds a slice of e, or returns nil.
func (e *Element) SliceNamed(name string) *Element {
	for _, s := range e.slices {
		if s.Slice == name {
			return s
		}
	}
	return nil
}

// Tri is an answer that may be impossible to give offline.
type Tri = terminology.Tri

// The three answers.
const (
	Unknown = terminology.Unknown
	Yes     = terminology.Yes
	No      = terminology.No
)

// Coding is one code of an enumerable value set.
type Coding = terminology.Coding

// Severity of a finding.
type Severity uint8

// The severities, gravest first.
const (
	Error Severity = iota
	Warning
	Note
)

// String is error, warning or note.
func (s Severity) String() string { return [...]string{"error", "warning", "note"}[s] }

// Finding is one violation of a profile. It never holds a value of the
// resource: health data stays out of findings.
type Finding struct {
	Severity   Severity
	Code       string    // stable kebab-case: cardinality-min, fixed-value, binding ...
	Path       string    // with indexes: ExplanationOfBenefit.item[2].adjudication
	Node       r4.Node   // the node, or the parent of what is missing
	Origin     r4.Origin // the mapping line that wrote Node
	Profile    string    // canonical that demands it
	Element    string    // element id in that profile
	Constraint string    // invariant key, where one
	Message    string
}

// UnknownError says that a profile, value set or code system is not loaded.
type UnknownError struct {
	What    string // profile, value set ...
	Ref     string
	Nearest string // a loaded name much like it, or ""
}

func (e *UnknownError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("%s %q is not loaded; did you mean %q?", e.What, e.Ref, e.Nearest)
	}
	return fmt.Sprintf("%s %q is not loaded", e.What, e.Ref)
}
