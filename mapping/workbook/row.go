package workbook

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
)

// Status says how an element stands in a mapping.
type Status string

// The statuses, as the workbook shows them.
const (
	Mapped      Status = "mapped"
	Constant    Status = "literal"
	Assumed     Status = "assumed"
	AbsentOnly  Status = "absent"
	ByProfile   Status = "fixed by profile"
	ByRemit     Status = "written by Remit"
	Missing     Status = "required, not mapped"
	MustSupport Status = "must-support, not mapped"
	Unmapped    Status = "not mapped"
)

// Row is one line of a crosswalk: an element of the profile, or one repetition
// or alternative of it, and what the mapping writes there.
type Row struct {
	Mapping *syntax.Mapping
	// Path is the place without the resource's type, with slices in brackets
	// and the number of a repetition after #; unique in its mapping:
	// item.adjudication[adjudicationamounttype]#2.amount. "" is the resource.
	Path string
	// Level is the depth of the element, 0 for the resource; Name its own name
	// and Slice the slice it stands in.
	Level       int
	Name, Slice string
	Element     *profiles.Element // nil where no profile speaks of it
	Status      Status
	Pos         diag.Pos // where it is written; not valid where it is not

	// What the cells show; cells below are the ones an analyst may fill in.
	Source, Table, Rule string
	Cells               Cells
	Words               Words
	// Group marks a row whose content lies in the rows below it.
	Group bool

	exprs   []*syntax.Text // the SQL shown, each at its place
	literal *syntax.Text
	mapName *syntax.Text
	node    *syntax.Node // what is written, where it may be wrapped or replaced
	bare    bool         // node holds absent: or assumed: alone
	// owner and rel say where an element that is not written would be.
	owner *syntax.Node
	rel   syntax.Path

	words *syntax.Node // what is written, where each and when stand
	// holder and within say where a map that holds each and when would be, where
	// nothing is written at the place itself.
	holder *syntax.Node
	within syntax.Path
	// alternative marks a choice of first; filled that something is written
	// here or below.
	alternative, filled bool
}

// Cells are the cells of a row that go back into the YAML.
type Cells struct{ Column, SQL, Literal, Map string }

// maxCell is Excel's limit of characters in a cell.
const maxCell = 32767

// clip shortens a text to what a cell holds.
func clip(s string) string {
	if len(s) <= maxCell {
		return s
	}
	r := []rune(s)
	return string(r[:min(len(r), maxCell)])
}

// tidy is a cell's text without what Excel and people add around it.
func tidy(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

// tidy cleans all cells.
func (c Cells) tidy() Cells {
	return Cells{tidy(clip(c.Column)), tidy(clip(c.SQL)), tidy(clip(c.Literal)), tidy(clip(c.Map))}
}

// mark is a short digest by which a cell that nobody touched is known again.
func (c Cells) mark() string {
	c = c.tidy()
	return mark(c.Column, c.SQL, c.Literal, c.Map)
}

func mark(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// editable says that a row has cells an analyst may fill in.
func (r *Row) editable() bool {
	return len(r.exprs) > 0 || r.literal != nil || r.bare || r.owner != nil
}
