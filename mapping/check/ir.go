// Package check gives a mapping set its meaning: it resolves names against the
// warehouse, paths and codes against the profiles, and references against each
// other. What it returns is a typed, immutable tree that no longer knows YAML;
// what it refuses is told with its place.
package check

import (
	"time"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Set is a checked mapping set.
type Set struct {
	Sources  []*Source
	Mappings []*Mapping // sorted by file name
	Views    []string   // names of the views, sorted
	// Origins[o] is the place that origin o stands for; Origins[0] is unknown.
	Origins []diag.Pos
	// Systems is the table of named systems, by name.
	Systems map[string]*System
	// IDKey keys the ids; empty for plain SHA-256.
	IDKey []byte

	profiles *profiles.Set
}

// Source is one relation with all that the mapping set declares about it.
type Source struct {
	Name     string
	Pos      diag.Pos
	Relation *source.Relation
	Parent   *Source
	// Key is the source's own key; for a child, its columns that carry the
	// parent's Join columns.
	Key []source.KeyColumn
	// Order makes Key unique.
	Order    []source.KeyColumn
	Patient  *source.KeyColumn
	Updated  *source.KeyColumn
	Where    []*Expr
	Currency string
	Zone     *time.Location
	Dates    []*DateFormat
	Money    []MoneyFormat // nil for plain decimals
	Columns  []source.Column
	// Header says that rows repeat their key, and what becomes of a key whose
	// rows differ; Order tells them apart.
	Header Header
	// Removed yields the keys of rows that are gone, under the same name, with
	// the instant as Updated; nil where none is declared (rule 30).
	Removed *Source

	// lost marks a stand-in for a source that does not resolve: nothing is
	// known of its columns, so that nothing is told of them.
	lost bool
}

// Header is the policy for the rows of one key that differ in what they repeat.
type Header uint8

// The policies: rows are unique; the run stops; the first row counts; the
// resource gets a finding.
const (
	NoHeader Header = iota
	HeaderAssert
	HeaderFirst
	HeaderWithhold
)

// Join is the columns by which a child of s finds its row: all of key and, for
// a source that is a child itself, its order.
func (s *Source) Join() []source.KeyColumn {
	if s.Parent == nil {
		return s.Key
	}
	return append(append([]source.KeyColumn(nil), s.Key...), s.Order...)
}

// Root is the source at the top of the chain of parents.
func (s *Source) Root() *Source {
	for s.Parent != nil {
		s = s.Parent
	}
	return s
}

// Expr is one SQL scalar expression of the mapping set.
type Expr struct {
	SQL    string
	Source *Source
	Type   source.Type
	Pos    diag.Pos
	// Column is the plain column name where the expression is no more than that.
	Column string

	text *syntax.Text
	base int
}

// at is the place of a byte offset of the SQL.
func (e *Expr) at(offset int) diag.Pos {
	if e.text == nil || offset < 0 {
		return e.Pos
	}
	return e.text.At(e.base + offset)
}

// Value yields a text from rows: an expression, or a map applied to some.
type Value struct {
	Pos  diag.Pos
	Expr *Expr // nil where Map is set
	Map  *Map
	Of   []*Expr
	Get  int // index of the map's value column
}

// Missing says what a map does with a key it does not hold.
type Missing uint8

// The policies of rule 19.
const (
	Withhold Missing = iota
	Omit
	Fail
)

// Map translates codes. Keys of several columns are joined by a zero byte.
type Map struct {
	Name    string
	Pos     diag.Pos
	Keys    int
	Values  []string // names of the value columns; one "" for an inline map
	Entries map[string][]string
	Default *string
	// DefaultRow is the default by value column, where it is not one text for
	// all of them.
	DefaultRow []string
	Missing    Missing
}

// Else is the default at a value column; ok is false where there is none.
func (m *Map) Else(get int) (target string, ok bool) {
	switch {
	case m.DefaultRow != nil:
		return m.DefaultRow[get], true
	case m.Default != nil:
		return *m.Default, true
	}
	return "", false
}

// Targets lists the distinct texts that the map can yield, unsorted.
func (m *Map) Targets(get int) []string {
	seen := map[string]bool{}
	var out []string
	add := func(s string) {
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, v := range m.Entries {
		add(v[get])
	}
	if target, ok := m.Else(get); ok {
		add(target)
	}
	return out
}

// Part is one part of a key: a literal or a value.
type Part struct {
	Pos     diag.Pos
	Literal string
	Value   *Value // nil for a literal
}

// Key is a list of parts and the form of the id made from it.
type Key struct {
	Pos   diag.Pos
	Parts []Part
	Plain bool
}

// Mapping makes one resource type from the rows of one source.
type Mapping struct {
	Name     string
	Pos      diag.Pos
	Origin   r4.Origin
	Type     *r4.Type
	Profiles []*profiles.Profile
	From     *Source
	Where    *Expr
	ID       *Key
	Root     *Node
	// Repeats is the number of repeat tables that the nodes refer to.
	Repeats int
	// References lists the resource types that the mapping refers to.
	References []string
	// RemovedID is ID over the rows of From.Removed; nil where none is.
	RemovedID *Key
	// View is the name of the view that this is, "" for the full one; Views
	// holds one mapping for each view of the set that this one appears in
	// (rule 33).
	View  string
	Views []*Mapping
	// NonFinancial says that the view has a Basis profile for some mapping of
	// the set, and so shows no money in any.
	NonFinancial bool
	viewPos      diag.Pos // where the view is declared
	// reasons say why an element is not written, by a Node's path (rule 39).
	reasons map[string]string
	lost    bool // from does not resolve: the mapping is checked, and left out
}

// Declared says that the mapping declares the view that this is, rather than
// stand in it as it is.
func (m *Mapping) Declared() bool { return m.viewPos.IsValid() }

// Financial says that the mapping writes amounts or other financial elements.
func (m *Mapping) Financial() bool { return len(financial(m.Root)) > 0 }

// Kind says what a Node does.
type Kind uint8

// The kinds of nodes.
const (
	Group       Kind = iota + 1 // a complex element and its children
	Literal                     // a constant subtree
	Primitive                   // a value of a row
	Coded                       // a code that brings its system from a table
	Coding                      // system and code that depend on each other
	First                       // the first alternative with content
	Reference                   // the text of Reference.reference
	Link                        // the sequence of another repetition
	Sequence                    // the number of this repetition
	Nothing                     // only absent: or assumed: may fill it
	ID                          // the resource's id
	LastUpdated                 // meta.lastUpdated
)

// Node writes one element, or nothing.
type Node struct {
	Kind    Kind
	Pos     diag.Pos
	Origin  r4.Origin
	Element *r4.Element // nil for the root
	Type    *r4.Type
	// Path names the element without indexes, slices in brackets:
	// ExplanationOfBenefit.supportingInfo[drg].code.
	Path string
	// Data says that content depends on rows.
	Data bool
	// Fixed marks parts that Remit writes by itself.
	Fixed bool

	Each      *Source
	EachWhere *Expr
	When      *Expr
	Key       []Part
	// Repeat is the table of kept repetitions, shared by all writers of an
	// element under one parent; -1 for none. Resets lists the tables that a
	// group empties when it starts.
	Repeat int
	Resets []int
	Slice  string

	Template *r4.Resource // Literal
	Value    *Value       // Primitive, Coded, Coding's code
	Coerce   Coerce       // Primitive
	Named    bool         // Primitive: a system name becomes its URL
	Zone     *time.Location
	Dates    []*DateFormat
	Money    []MoneyFormat
	Codes    map[string]*r4.Resource // Coded: templates by code

	System       *System // Coding: the constant system
	SystemURL    string  // Coding: the constant system where it has no name
	SystemOf     *Value  // Coding: the system as a value
	Raw          bool    // Coding: leave the code as it is
	CodeText     string  // Coding: the constant code
	Children     []*Node // Group, Coding (beside system and code), First
	Target       string  // Reference
	RefKey       *Key    // Reference
	LinkRepeat   int     // Link: the repeat table looked up; Sequence: that of its own element
	LinkSlice    string
	Assumed      *Node
	Absent       *Node
	NoAssumption bool // the assumption is turned off
}

// Coerce says how a value becomes a primitive's text.
type Coerce uint8

// The ways of rule 25.
const (
	AsIs            Coerce = iota // the canonical text, validated
	AsDate                        // an ISO date within FHIR's years
	AsTimestamp                   // a naive timestamp, placed in the source's zone
	AsInstant                     // a UTC instant
	AsParsedDate                  // text by the date formats
	AsParsedBoolean               // text: true, t, yes, y, 1 ...
	AsInteger                     // an integer, or a decimal without a fraction
	AsDecimal                     // a decimal in JSON form
	AsMoney                       // an amount by the money formats
)
