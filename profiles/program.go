package profiles

import (
	"sync"
	"sync/atomic"

	"remit/profiles/r4"
	"remit/profiles/terminology"
)

// A program is what one definition demands of a node of one R4 type, compiled:
// immutable once made, shared by all validations.
//
// There are two kinds. The base program of a type holds all that R4 itself
// demands; every node is judged by the one of its type. A profile's program
// holds only what the profile demands beyond: elements about which it says
// nothing new have no group, and a whole branch without news has no program. So
// the base is judged once, whatever number of profiles applies, and no fault is
// found twice.
type program struct {
	el  *Element
	typ *r4.Type

	base     bool // judge primitive forms, ele-1, ext-1
	formed   bool // the primitive's form is proved
	resource bool // any resource: judged by its own type and profiles
	coded    bool // fixed or pattern states a code, which answers R4's own binding
	settled  bool // it is proved that the node holds such a fixed value or pattern
	// overrides says that R4's own binding of the element may be extensible: then
	// a warning of its may have to be taken back here.
	overrides bool

	fixed, pattern     *Literal
	minValue, maxValue *Literal
	maxLength          int
	binding, widest    *bound
	targets            *targets
	also               []*program // profiles of the datatype, all of which must hold
	anyOf              []*program // profiles of the datatype, one of which must hold
	invariants         []invariant

	kids *table
}

// idle says that the program demands nothing.
func (p *program) idle() bool {
	return !p.base && !p.resource && !p.settled && p.fixed == nil && p.pattern == nil && p.minValue == nil && p.maxValue == nil &&
		p.maxLength == 0 && p.binding == nil && p.widest == nil && p.targets == nil && len(p.also) == 0 && len(p.anyOf) == 0 &&
		len(p.invariants) == 0 && (p.kids == nil || p.kids.fill == nil && len(p.kids.groups) == 0)
}

// plain says that all the program demands is a primitive's form.
func (p *program) plain() bool {
	return p.base && !p.resource && p.typ != nil && p.typ.Kind() == r4.KindPrimitive && !p.settled && p.fixed == nil && p.pattern == nil &&
		p.minValue == nil && p.maxValue == nil && p.maxLength == 0 && p.binding == nil && p.widest == nil && p.targets == nil &&
		len(p.also) == 0 && len(p.anyOf) == 0 && len(p.invariants) == 0
}

// table is what a program demands of a node's children, in the order of R4's
// elements. A type's base table is filled on first use, so that judging a
// Patient does not compile all of R4.
type table struct {
	once   sync.Once
	fill   func() []group // nil where groups are there from the start
	groups []group

	// Made with the first load: so that a walk costs what is there, not what
	// could be.
	byElement []int16 // r4.Element.Index to group, -1 for none
	needed    []int   // groups that say something where the element is missing
}

// load gives the groups, ready for a walk. A table must be whole before it is
// loaded.
func (t *table) load() []group {
	t.once.Do(func() {
		if t.fill != nil {
			t.groups = t.fill()
		}
		t.index()
	})
	return t.groups
}

func (t *table) index() {
	last := -1
	for i := range t.groups {
		last = max(last, t.groups[i].hi)
	}
	t.byElement = make([]int16, last+1)
	for i := range t.byElement {
		t.byElement[i] = -1
	}
	for i := range t.groups {
		g := &t.groups[i]
		for e := g.lo; e <= g.hi; e++ {
			if t.byElement[e] < 0 {
				t.byElement[e] = int16(i)
			}
		}
		if g.min > 0 || g.slicing != nil {
			t.needed = append(t.needed, i)
		}
		g.plain = make([]bool, len(g.progs))
		for k, p := range g.progs {
			g.plain[k] = p != nil && p.plain()
		}
	}
}

// group finds the group of the element with an index; -1 if it has none.
func (t *table) group(element int) int {
	if element >= len(t.byElement) {
		return -1
	}
	return int(t.byElement[element])
}

// group is what is demanded of the repetitions of one element, of all
// alternatives of a choice together.
type group struct {
	el       *Element
	lo, hi   int // r4.Element.Index of the first and last alternative
	min, max int
	progs    []*program // by alternative; nil where nothing is demanded
	barred   []bool     // by alternative; nil where all are allowed
	plain    []bool     // by alternative, in a table that is loaded
	slicing  *slicing
}

// slicing tells repetitions apart.
type slicing struct {
	el        *Element
	slices    []slice
	closed    bool
	openAtEnd bool
	ordered   bool
	// key is the coded element by which all slices are told apart; nil where
	// there is none. By it most slices are ruled out without their tests.
	key *sliceKey
}

// sliceKey is a Coding or CodeableConcept, a child of a sliced element, that a
// discriminator of every slice looks at.
type sliceKey struct{ element *r4.Element }

// slice is a group of those repetitions that pass its tests.
type slice struct {
	group
	tests []test
	// code is what a sole coding at the slicing's key must bear for the slice; nil
	// if the slice does not say, or there is no key.
	code []byte
	// claims says that the slice brings the extension's own definition, which
	// then need not be looked up by url.
	claims bool
}

// test is one discriminator as one slice answers it.
type test struct {
	steps []step
	// One of:
	cond    *cond    // a node at the end of steps meets it
	types   []string // the node there has one of these types
	exists  int8     // 1: there is such a node; -1: there is none
	profile *program // the node there meets it
	unknown bool     // cannot be told
	// resolve says that the node at the end is a Reference whose target is
	// meant; then goes on within the target.
	resolve bool
	then    []step
}

// step goes from a node to children.
type step struct {
	alts []*r4.Element // one element, or the alternatives of a choice
	url  string        // extension(url): only those with it
}

// cond is what a slice says of the node a discriminator leads to.
type cond struct {
	fixed, pattern *Literal
	bound          *bound
	kids           []condKid
}

type condKid struct {
	alts []*r4.Element
	cond *cond
}

// bound is a binding to a value set that is at hand or not.
type bound struct {
	strength string
	canon    string
	kind     codedKind
	proved   bool   // it holds; what it overrides is still to be taken back
	soft     string // what is said of another code where the binding is extensible
	terms    *terminology.Service
	known    *atomic.Pointer[terminology.ValueSet]
	partial  *atomic.Pointer[string] // see undecided
}

// newBound makes a bound whose value set is expanded when a code is first held
// against it: most elements of R4 never bear one.
func newBound(strength, canon string, kind codedKind, terms *terminology.Service) *bound {
	b := &bound{strength: strength, canon: canon, kind: kind, terms: terms, known: new(atomic.Pointer[terminology.ValueSet]), partial: new(atomic.Pointer[string])}
	if strength == "extensible" {
		b.soft = "has no code of value set " + canon + "; another code is allowed only where none of its codes applies"
	}
	return b
}

// set is the value set; nil if it is not loaded.
func (b *bound) set() *terminology.ValueSet {
	if set := b.known.Load(); set != nil {
		return set
	}
	set := b.terms.ValueSet(b.canon)
	if set != nil {
		b.known.Store(set)
	}
	return set
}

// undecided is what is said where not all codes of the value set are at hand: of
// claims it is said several times a resource.
func (b *bound) undecided() string {
	if said := b.partial.Load(); said != nil {
		return *said
	}
	said := "cannot be judged: not all codes of value set " + b.canon + " are at hand"
	b.partial.Store(&said)
	return said
}

// codedKind is how a type holds codes.
type codedKind uint8

const (
	codedNot codedKind = iota
	codedCode
	codedCoding
	codedConcept
	codedQuantity
)

func kindOfCoded(t *r4.Type) codedKind {
	if t == nil {
		return codedNot
	}
	switch t.Name() {
	case "code", "uri", "url", "canonical", "string", "id", "oid":
		return codedCode
	case "Coding":
		return codedCoding
	case "CodeableConcept":
		return codedConcept
	case "Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity":
		return codedQuantity
	}
	return codedNot
}

// vocabulary are the elements that the validator itself looks at.
type vocabulary struct {
	conceptCoding                 *r4.Element
	codingSystem, codingCode      *r4.Element
	quantitySystem, quantityCode  *r4.Element
	reference, referenceType      *r4.Element
	extensionURL                  *r4.Element
	metaProfile                   *r4.Element
	extension, referenceT, quantT *r4.Type
	coding, bundle, identifier    *r4.Type
	identifierSystem              *r4.Element
	identifierValue               *r4.Element
	codingDisplay                 *r4.Element
	bundleEntry                   *r4.Element
	entryURL, entryResource       *r4.Element
}

var words = sync.OnceValue(func() *vocabulary {
	concept, coding, quantity := r4.Lookup("CodeableConcept"), r4.Lookup("Coding"), r4.Lookup("Quantity")
	reference, extension := r4.Lookup("Reference"), r4.Lookup("Extension")
	bundle, entry := r4.Lookup("Bundle"), r4.Lookup("Bundle.entry")
	identifier := r4.Lookup("Identifier")
	return &vocabulary{
		conceptCoding: concept.Element("coding"),
		codingSystem:  coding.Element("system"), codingCode: coding.Element("code"),
		quantitySystem: quantity.Element("system"), quantityCode: quantity.Element("code"),
		reference: reference.Element("reference"), referenceType: reference.Element("type"),
		extensionURL: extension.Element("url"),
		metaProfile:  r4.Lookup("Meta").Element("profile"),
		extension:    extension, referenceT: reference, quantT: quantity,
		coding: coding, codingDisplay: coding.Element("display"),
		identifier: identifier, identifierSystem: identifier.Element("system"), identifierValue: identifier.Element("value"),
		bundle: bundle, bundleEntry: bundle.Element("entry"),
		entryURL: entry.Element("fullUrl"), entryResource: entry.Element("resource"),
	}
})
