package syntax

import "remit/mapping/diag"

// Sources is sources.yaml: the relations, the maps and the defaults of a set.
type Sources struct {
	Pos      diag.Pos
	Defaults Defaults
	With     []*Query
	Sources  []*Source
	Maps     []*Map
	Systems  []*System
}

// Defaults are the settings that hold for a whole set or for one source.
type Defaults struct {
	Currency, Timezone *Text
	Dates, Money       []*Text
	Empty              *Empty
	Trim               *Text
}

// Empty lists the tokens that mean "no value" (rule 26).
type Empty struct {
	Pos        diag.Pos
	Text, Date []*Text
}

// Query is a named query that the SQL of sources may read (rule 38).
type Query struct {
	Pos  diag.Pos
	Name *Text
	// Has pairs what the warehouse may have with the SQL to take then.
	Has []*Pair
	SQL *Text
	// Patient is the column that tells whose data a row is (rule 40).
	Patient *Text
	// Broken says that a key was refused.
	Broken bool
}

// Source is one relation of the warehouse.
type Source struct {
	Pos  diag.Pos
	Name *Text
	// Exactly one of Table, SQL and Unpivot.
	Table, SQL, Unpivot *Text
	// N and Columns belong to Unpivot.
	N       *Text
	Columns []*Pair

	Parent *Text
	Key    []*Text
	// KeyOf names, beside each Key column of a child, the parent's column; nil
	// where the names are the same.
	KeyOf            []*Text
	Order            []*Text
	Patient, Updated *Text
	Header, Removed  *Text
	Where            *Text
	Unique           *Text
	Defaults         Defaults
	// Broken says that a key was refused.
	Broken bool
}

// Pair is a key and a value, both as written.
type Pair struct{ Key, Value *Text }

// Map translates codes (rule 19).
type Map struct {
	Pos  diag.Pos
	Name *Text
	// Entries of an inline map.
	Entries []*Pair
	// CSV, XLSX (with its Sheet) and ConceptMap (with its Group) name a file,
	// one at most; Key and Value name its columns.
	CSV, XLSX, Sheet  *Text
	ConceptMap, Group *Text
	Key, Value        []*Text
	Default           *Text
	Missing           *Text
}

// System gives a name to the canonical URL of a code system.
type System struct {
	Name, URL *Text
}

// Mapping is one mapping file.
type Mapping struct {
	Pos      diag.Pos
	Name     string // the file's name without extension
	Resource *Text
	Profiles []*Text
	From     *Text
	Where    *Text
	ID       *ID
	Set      *Node
	Views    []*View
	Unmapped []*Reason
	// Broken says that a key was refused.
	Broken bool
}

// Reason says why a mapping does not write an element (rule 39).
type Reason struct {
	Path Path
	Why  *Text
}

// View is another face of a mapping: other profiles, some elements left out
// (rule 33).
type View struct {
	Name     *Text
	Profiles []*Text
	Drop     []Path
}

// ID tells how a resource's id is made (rule 22).
type ID struct {
	Pos    diag.Pos
	Key    []*Node
	Form   *Text
	Unique *Text
}

// Node is a value in set: a scalar, a list or a map. A map holds element paths
// in Entries, and the words of the language in the other fields.
type Node struct {
	Pos     diag.Pos
	Text    *Text   // a scalar
	List    []*Node // a list
	Entries []*Entry

	Each    *Text
	Where   *Text
	When    *Text
	Key     []*Node
	KeyPos  diag.Pos
	Absent  *Text
	Assumed *Node
	First   []*Node
	Ref     *Text
	Map     *Text
	Of      []*Node
	Get     *Text
	Seq     Path
	Raw     *Text
	Codes   []*Node

	// Broken says that an entry was refused, so that what is missing may have
	// been meant.
	Broken bool
}

// IsMap says that the node is neither a scalar nor a list.
func (n *Node) IsMap() bool { return n.Text == nil && n.List == nil }

// Entry is one element path of a map and what is written there.
type Entry struct {
	Path Path
	Node *Node
}

// Path is a chain of elements: a.b[slice].c.
type Path []Step

// Step is one element, or slice of an element, of a path.
type Step struct {
	Pos   diag.Pos
	Name  string
	Slice string
}

// String is the path as written.
func (p Path) String() string {
	var s string
	for i, step := range p {
		if i > 0 {
			s += "."
		}
		s += step.String()
	}
	return s
}

// String is name or name[slice].
func (s Step) String() string {
	if s.Slice == "" {
		return s.Name
	}
	return s.Name + "[" + s.Slice + "]"
}
