package plan

import (
	"slices"
	"strings"

	"remit/mapping/check"
	"remit/sql/source"
)

// Fold makes the rows of an unpivot out of its parent's row, which holds all
// that they need: they are not asked of the warehouse, which would read, join
// and sort the parent's rows once more for them.
type Fold struct {
	// Rows are the rows that a parent's row can make, in order.
	Rows []FoldRow
	// HasValue lists the columns of the stream that a row must have values in;
	// a row that lacks one is none.
	HasValue []int
	// Constants, where not nil, asks for the columns that hang on nothing but
	// the number: a row for each of Rows, in their order.
	Constants *source.Query
}

// Reads says that a column of the stream is made of a column of the parent's
// stream. No fold reads any.
func (f *Fold) Reads(column, parent int) bool {
	return f != nil && slices.ContainsFunc(f.Rows, func(r FoldRow) bool { return r.Cells[column] == FoldCell{FoldParent, parent} })
}

// FoldRow is one row of a folded stream: its number in canonical text, and for
// each column of the stream where it is found.
type FoldRow struct {
	Number []byte
	Cells  []FoldCell
}

// FoldCell tells where a column of a folded row is found: in the column Index of
// the parent's row or of the constants, or it is the number itself.
type FoldCell struct {
	From  FoldFrom
	Index int
}

// FoldFrom is a kind of FoldCell.
type FoldFrom uint8

// The kinds of FoldCell.
const (
	FoldParent FoldFrom = iota
	FoldConstant
	FoldNumber
)

// maxFolded bounds the columns that folds add to the parent's stream: a server
// has a limit for columns, and past some number a query of its own is cheaper.
const maxFolded = 400

// fold turns the unpivots of the pass's own source into folds, where nothing
// but columns, and expressions over the number alone, is asked of them.
func (p *Pass) fold() {
	if p.From.Header != check.NoHeader {
		return // the rows of one key are held against each other by all columns
	}
	root := p.Streams[0]
	before := len(root.Query.Columns)
	for _, st := range p.Streams[1:] {
		if st.Parent == 0 && st.Source.Relation.Unpivot != nil && st.Updated < 0 {
			st.fold(root, maxFolded-(len(root.Query.Columns)-before))
		}
	}
}

// fold folds an unpivot of root, unless it cannot be or would add more than room
// columns to root.
func (st *Stream) fold(root *Stream, room int) {
	u := st.Source.Relation.Unpivot
	numbers, err := u.Numbers()
	if err != nil {
		return
	}
	out := &Fold{Rows: make([]FoldRow, len(numbers))}
	for i, n := range numbers {
		out.Rows[i].Number = []byte(n.Value)
	}
	for _, w := range st.Source.Where {
		name, _ := source.NotNull(w.SQL)
		col, ok := source.FindColumn(st.Source.Columns, name)
		if !ok {
			return
		}
		out.HasValue = append(out.HasValue, st.column(check.QuoteName(col.Name)))
	}
	var constants []source.Expr
	names := make([][]string, len(st.Query.Columns)) // of the parent's columns, by column and number
	for k, e := range st.Query.Columns {
		cell := FoldCell{From: FoldNumber}
		if !st.isNumber(e.SQL) {
			var plain bool
			if names[k], plain = st.parentColumns(numbers, e.SQL); plain {
				cell.From = FoldParent
			} else if st.ofNumber(e.SQL) {
				cell = FoldCell{From: FoldConstant, Index: len(constants)}
				constants = append(constants, e)
			} else {
				return
			}
		}
		if cell.From == FoldParent && names[k][0] != names[k][len(numbers)-1] {
			room -= len(numbers)
		}
		for i := range out.Rows {
			out.Rows[i].Cells = append(out.Rows[i].Cells, cell)
		}
	}
	if room < 0 {
		return
	}
	for k := range names {
		for i, name := range names[k] {
			out.Rows[i].Cells[k].Index = root.column(name)
		}
	}
	if constants != nil {
		out.Constants = st.constants(numbers, constants)
	}
	st.Fold = out
}

// Folded names the sources of the pass that are folded.
func (p *Pass) Folded() []string {
	var out []string
	for _, st := range p.Streams {
		if st.Fold != nil {
			out = append(out, st.Source.Name)
		}
	}
	return out
}

// isNumber says that a column of an unpivot is its number.
func (st *Stream) isNumber(sql string) bool { return sql == check.QuoteName(st.Source.Order[0].Name) }

// parentColumns tells which column of the parent, as SQL, a column of an unpivot
// is for each number; ok is false where it is no plain column, or one whose text
// would change by standing beside the others.
func (st *Stream) parentColumns(numbers []source.UnpivotNumber, sql string) (names []string, ok bool) {
	parent := st.Source.Parent
	for _, c := range st.Source.Relation.Unpivot.Columns {
		if sql != check.QuoteName(c.Name) {
			continue
		}
		var first source.Type
		for i, n := range numbers {
			col, ok := source.FindColumn(parent.Columns, strings.ReplaceAll(c.Pattern, "{n}", n.Text))
			if i == 0 {
				first = col.Type
			}
			if !ok || !sameText(first, col.Type) {
				return nil, false
			}
			names = append(names, check.QuoteName(col.Name))
		}
		return names, true
	}
	for _, c := range parent.Columns {
		if sql != check.QuoteName(c.Name) {
			continue
		}
		for range numbers {
			names = append(names, sql)
		}
		return names, true
	}
	return nil, false
}

// sameText says that a value keeps its text where columns of both types become
// one.
func sameText(a, b source.Type) bool {
	return a.Kind == b.Kind && a.Kind != source.KindUnknown && a.Precision == b.Precision && a.Scale == b.Scale && a.Padded == b.Padded
}

// ofNumber says that an expression names no column but the number.
func (st *Stream) ofNumber(sql string) bool {
	for _, c := range st.Source.Columns {
		if !st.isNumber(check.QuoteName(c.Name)) && source.Names(sql, c.Name) {
			return false
		}
	}
	return true
}

// constants asks for expressions over the number alone.
func (st *Stream) constants(numbers []source.UnpivotNumber, columns []source.Expr) *source.Query {
	n := st.Source.Order[0]
	rows := make([]string, len(numbers))
	for i, number := range numbers {
		rows[i] = "SELECT " + number.Value + " AS " + check.QuoteName(n.Name)
	}
	return &source.Query{
		From: &source.Relation{
			Name: st.Source.Name, SQL: strings.Join(rows, " UNION ALL "),
			Columns: []source.Column{{Name: n.Name, Type: n.Type}},
		},
		Columns: columns, Key: []source.KeyColumn{n},
	}
}
