package workbook

import (
	"fmt"
	"io"
	mapkeys "maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/profiles"
)

// Layout is the form of a workbook.
type Layout string

// The layouts.
const (
	// Remit is our own: all that a mapping says.
	Remit Layout = "remit"
	// CPCDS is that of CARIN's CPCDS mapping workbook.
	CPCDS Layout = "cpcds"
)

// Options choose what a workbook holds beside the set itself.
type Options struct {
	Layout Layout // "" is Remit
	Facts  Facts
	// Proof is the proof report of the checked set; nil leaves the proof status
	// blank.
	Proof *check.Proof
	// Quality, where not nil, adds the quality sheet.
	Quality *Quality
	// Prepared is shown on the index; the zero time is not.
	Prepared time.Time

	tables   func(source string) string
	children []string // the sources that have a parent, which each may name
	proofs   map[proofKey]*proofCount
}

// The sheets that are not a mapping's or a map's.
const (
	indexSheet   = "Index"
	qualitySheet = "Quality"
	originSheet  = "remit" // very hidden: what the workbook was made from
)

// elementColumns are the columns of a mapping's sheet.
var elementColumns = []column{
	{title: "Slice", width: 24}, {title: "L0", width: 4}, {title: "L1", width: 4}, {title: "L2", width: 4}, {title: "L3", width: 4}, {title: "L4", width: 24},
	{title: "Flag", width: 6}, {title: "Card.", width: 7}, {title: "Data type / value set", width: 34}, {title: "Description", width: 36}, {title: "Status", width: 15},
	{title: "Source", width: 13}, {title: "Table", width: 18}, {title: "Column", width: 26, input: true}, {title: "SQL", width: 44, input: true},
	{title: "Literal", width: 18, input: true}, {title: "Map", width: 12, input: true},
	{title: "Each", width: 12, input: true}, {title: "When", width: 24, input: true}, {title: "Rule", width: 40}, {title: "SQL type", width: 12},
	{title: "Example", width: 20}, {title: "Proof", width: 26}, {title: "Note", width: 24, input: true}, {title: "Written at", width: 24}, {title: "FHIR path", width: 46}, {title: "Mark", width: 6, hidden: true},
}

// levels is the number of columns for the levels of a path, L0 to L4.
const levels = 5

const tableTop = 4 // the row of a table's header on a mapping's or a map's sheet

// origin is what the hidden sheet tells of one sheet.
type origin struct{ sheet, kind, name, identity string }

// Write writes the workbook of a set. Diagnostics tell a map's file that cannot
// be laid out; nothing is written then.
func Write(w io.Writer, set *Set, defs *profiles.Set, o Options, diags *diag.List) error {
	crosswalks := Crosswalks(set, defs)
	o.tables, o.proofs = set.table, proofs(o.Proof)
	for _, x := range set.Sources.Sources {
		if x.Parent != nil || x.Unpivot != nil {
			o.children = append(o.children, x.Name.Value)
		}
	}
	b := newBook()
	defer func() { _ = b.file.Close() }()
	var tables []*codeTable
	for _, m := range set.Sources.Maps {
		if t := set.codes(m, diags); t != nil {
			tables = append(tables, t)
		}
	}
	if diags.HasErrors() {
		return nil
	}
	title := "Crosswalk of the mapping set " + set.Name
	b.try(b.file.SetDocProps(&excelize.DocProperties{Creator: "Remit", LastModifiedBy: "Remit", Title: title, Subject: "Claims warehouse to FHIR R4", Created: stamp(o.Prepared), Modified: stamp(o.Prepared)}))
	b.try(b.file.SetSheetName("Sheet1", indexSheet))
	names := sheetNames{strings.ToLower(indexSheet): true, strings.ToLower(qualitySheet): true, originSheet: true}
	var origins []origin
	if o.Layout == CPCDS {
		origins = b.cpcds(set, crosswalks, o, names)
	} else {
		origins = b.native(set, crosswalks, tables, o, names)
	}
	if o.Quality != nil {
		b.try(b.quality(o.Quality))
	}
	b.origins(set, o.Layout, origins)
	b.file.SetActiveSheet(0)
	if b.err != nil {
		return fmt.Errorf("lay out the workbook: %w", b.err)
	}
	if err := b.file.Write(w); err != nil {
		return fmt.Errorf("write the workbook: %w", err)
	}
	return nil
}

// stamp is a document's time; without one a fixed one, so that the same set
// gives the same bytes.
func stamp(t time.Time) string {
	if t.IsZero() {
		t = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t.UTC().Format(time.RFC3339)
}

// native writes our own layout.
func (b *book) native(set *Set, crosswalks []*Crosswalk, tables []*codeTable, o Options, names sheetNames) []origin {
	var origins []origin
	sheets := make([]string, len(crosswalks))
	maps := map[string]string{} // map -> sheet, lower case
	for i, c := range crosswalks {
		sheets[i] = names.name(c.Mapping.Name)
		origins = append(origins, origin{sheets[i], "mapping", c.Mapping.Pos.File, identity(c)})
	}
	for _, t := range tables {
		name := t.def.Name.Value
		maps[strings.ToLower(name)] = names.name("map " + name)
		origins = append(origins, origin{maps[strings.ToLower(name)], "map", name, mapIdentity(t.def)})
	}
	b.index(set, crosswalks, sheets, tables, maps, o)
	for i, c := range crosswalks {
		b.crosswalk(c, sheets[i], maps, o)
	}
	for _, t := range tables {
		b.codes(t, maps[strings.ToLower(t.def.Name.Value)])
	}
	return origins
}

// rowFill is the colour of a row by its status.
func rowFill(r *Row) string {
	switch r.Status {
	case Missing:
		return fillMissing
	case MustSupport:
		return fillSupport
	case Assumed, AbsentOnly:
		return fillAssumed
	}
	if r.Group && r.Status == Mapped {
		return fillGroup
	}
	return ""
}

// crosswalk writes the sheet of one mapping.
func (b *book) crosswalk(c *Crosswalk, sheet string, maps map[string]string, o Options) {
	if _, err := b.file.NewSheet(sheet); err != nil {
		b.try(err)
		return
	}
	b.setWidths(sheet, elementColumns)
	m := c.Mapping
	b.put(sheet, 1, 1, m.Resource.Value+": "+m.Name, look{title: true})
	about := "no profile"
	if c.Profile != nil {
		about = c.Profile.Canonical()
	}
	b.put(sheet, 2, 1, about+"; written in "+m.Pos.File+"; the green columns may be filled in and taken back with remit workbook import", look{soft: true})
	b.back(sheet, 3)
	b.headers(sheet, tableTop, elementColumns)
	row := tableTop
	for _, r := range c.Rows {
		row++
		b.element(sheet, row, r, maps, o)
	}
	b.choices(sheet, "Q", row, slices.Sorted(mapkeys.Keys(maps)))
	b.choices(sheet, "R", row, o.children)
	b.filter(sheet, tableTop, row, len(elementColumns))
	b.freeze(sheet, tableTop, 1+levels)
	b.page(sheet, tableTop)
	b.printArea(sheet, row, 20)
}

// element writes one row of a mapping's sheet.
func (b *book) element(sheet string, row int, r *Row, maps map[string]string, o Options) {
	base := look{border: true, wrap: true, fill: rowFill(r), soft: r.Status == Unmapped || r.Status == ByProfile || r.Status == ByRemit, bold: r.Group && r.Status == Mapped}
	short := base
	short.wrap = false
	plain := base
	plain.bold = false
	put := func(col int, value string, l look) { b.put(sheet, row, col, value, l) }
	put(1, r.Slice, base)
	level := short
	level.level = true
	for i := range levels {
		put(2+i, levelText(r, i), level)
	}
	flag := base
	flag.centre = true
	if r.Element != nil && r.Element.MustSupport {
		flag.support = true
	}
	var card, types, about string
	if e := r.Element; e != nil {
		put(7, flags(e), flag)
		card, types, about = cardinality(e), typeText(e), e.Short
	} else {
		put(7, "", flag)
	}
	put(8, card, short)
	put(9, types, plain)
	put(10, about, plain)
	put(11, string(r.Status), plain)
	fact := o.fact(r)
	table := r.Table
	if fact.Source != r.Source {
		table = o.tables(fact.Source)
	}
	put(12, fact.Source, plain)
	put(13, table, plain)
	input := plain
	if r.editable() {
		input.soft = false
		if input.fill == "" {
			input.fill = fillInput
		}
	}
	code := input
	code.mono = true
	put(14, r.Cells.Column, code)
	put(15, r.Cells.SQL, code)
	put(16, r.Cells.Literal, input)
	if target, ok := maps[strings.ToLower(r.Cells.Map)]; ok && r.Cells.Map != "" {
		b.linkTo(sheet, row, 17, target, r.Cells.Map, input)
	} else {
		put(17, r.Cells.Map, input)
	}
	word := plain
	if r.wordable() {
		word.soft = false
		if word.fill == "" {
			word.fill = fillInput
		}
	}
	put(18, r.Words.Each, word)
	word.mono = true
	put(19, r.Words.When, word)
	put(20, r.Rule, plain)
	put(21, fact.Type, plain)
	put(22, fact.Example, plain)
	proof := ""
	if o.Proof != nil && r.Element != nil {
		proof = o.proofs[proofKey{r.Mapping.Name, r.Element.Profile.Canonical(), r.Element.ID}].String()
	}
	put(23, proof, plain)
	put(24, "", plain)
	at := ""
	if r.Pos.IsValid() {
		at = r.Pos.String()
	}
	put(25, at, look{border: true, soft: true, fill: base.fill})
	put(26, r.Path, look{border: true, soft: true, fill: base.fill})
	put(27, r.mark(), look{})
	b.fit(sheet, row, elementColumns, map[int]string{0: r.Slice, 8: types, 9: about, 10: string(r.Status), 12: table, 13: r.Cells.Column, 14: r.Cells.SQL, 15: r.Cells.Literal, 18: r.Words.When, 19: r.Rule, 21: fact.Example, 22: proof})
}

// levelText is what the column of a level shows: the element's own name, in the
// last column with all that lies deeper.
func levelText(r *Row, level int) string {
	switch {
	case r.Level == level:
		return r.label()
	case level == levels-1 && r.Level > level:
		parts := strings.Split(r.Path, ".")
		return stripSlices(strings.Join(parts[min(levels-2, len(parts)):], "."))
	}
	return ""
}

// label is the element's name with the number of the repetition.
func (r *Row) label() string {
	if i := strings.LastIndexByte(r.Path, '#'); i >= 0 && !strings.Contains(r.Path[i:], ".") {
		return r.Name + " #" + r.Path[i+1:]
	}
	return r.Name
}

// stripSlices removes [slice] and #n from a path.
func stripSlices(path string) string {
	var b strings.Builder
	skip := false
	for _, c := range path {
		switch {
		case c == '[' || c == '#':
			skip = true
		case c == '.':
			skip = false
			b.WriteRune(c)
		case !skip:
			b.WriteRune(c)
		case c == ']':
			skip = false
		}
	}
	return b.String()
}

// fact gathers what is known of a row's expressions.
func (o *Options) fact(r *Row) Fact {
	out := Fact{Source: r.Source}
	var types, examples []string
	for _, t := range r.exprs {
		f, ok := o.Facts[t.Pos]
		if !ok {
			continue
		}
		if len(r.exprs) == 1 && f.Source != "" {
			out.Source = f.Source
		}
		if f.Type != "" && (len(types) == 0 || types[len(types)-1] != f.Type) {
			types = append(types, f.Type)
		}
		if f.Example != "" {
			examples = append(examples, f.Example)
		}
	}
	out.Type, out.Example = strings.Join(types, ", "), strings.Join(examples, ", ")
	return out
}

// choices offers names in a column of a mapping's sheet, so many as Excel holds
// in a list.
func (b *book) choices(sheet, col string, bottom int, names []string) {
	if len(names) == 0 || len(strings.Join(names, ",")) > 250 || bottom == tableTop {
		return
	}
	v := excelize.NewDataValidation(true)
	v.Sqref = col + strconv.Itoa(tableTop+1) + ":" + col + strconv.Itoa(bottom)
	b.try(v.SetDropList(names))
	b.try(b.file.AddDataValidation(sheet, v))
}

// codes writes the sheet of a map, row by row, since maps may be large.
func (b *book) codes(t *codeTable, sheet string) {
	if b.err != nil {
		return
	}
	if _, err := b.file.NewSheet(sheet); err != nil {
		b.try(err)
		return
	}
	b.page(sheet, tableTop)
	hide := false
	b.try(b.file.SetSheetView(sheet, 0, &excelize.ViewOptions{ShowGridLines: &hide}))
	sw, err := b.file.NewStreamWriter(sheet)
	if err != nil {
		b.try(err)
		return
	}
	how := "new keys go below the last row"
	if t.fixed {
		how = "kept in that file and changed there"
	}
	n := len(t.header)
	b.try(sw.SetColWidth(1, n, 34))
	b.try(sw.SetColWidth(n+1, n+1, 40))
	b.try(sw.SetColWidth(n+2, n+2, 24))
	b.try(sw.SetColWidth(n+3, n+3, 6))
	b.try(sw.SetColVisible(n+3, n+3, false))
	b.try(sw.SetPanes(panes(tableTop, 0)))
	b.try(sw.SetRow("A1", []any{excelize.Cell{StyleID: b.style(look{title: true}), Value: "Map " + t.def.Name.Value}}))
	b.try(sw.SetRow("A2", []any{excelize.Cell{StyleID: b.style(look{soft: true}), Value: fmt.Sprintf("%s; %d keys; %s; %s", t.name, len(t.rows), policy(t.def), how)}}))
	b.try(sw.SetRow("A3", []any{excelize.Cell{StyleID: b.style(look{link: true}), Formula: `HYPERLINK("#` + indexSheet + `!A1","Back to the index")`, Value: "Back to the index"}}))
	head := make([]any, 0, n+3)
	unique := map[string]bool{"note": true, "written at": true, "mark": true} // a table wants each title once
	for i, h := range t.header {
		if h = strings.TrimSpace(h); h == "" || unique[strings.ToLower(h)] {
			h = fmt.Sprintf("%s (column %d)", h, i+1)
		}
		unique[strings.ToLower(h)] = true
		role := ""
		for _, k := range t.keys {
			if k == i && len(t.def.Key) > 0 {
				role = " (key)"
			}
		}
		for _, v := range t.values {
			if v == i && len(t.def.Key) > 0 {
				role += " (value)"
			}
		}
		head = append(head, excelize.Cell{StyleID: b.style(look{header: true, input: !t.fixed}), Value: h + role})
	}
	for _, h := range []string{"Note", "Written at", "Mark"} {
		head = append(head, excelize.Cell{StyleID: b.style(look{header: true, input: h == "Note"}), Value: h})
	}
	b.try(sw.SetRow(cell(tableTop, 1), head, excelize.RowOpts{Height: 24}))
	plain, soft := b.style(look{border: true}), b.style(look{border: true, soft: true})
	line := make([]any, n+3)
	for i := range t.rows {
		r := &t.rows[i]
		for j := range n {
			v := ""
			if j < len(r.cells) {
				v = clip(r.cells[j])
			}
			line[j] = excelize.Cell{StyleID: plain, Value: v}
		}
		line[n] = excelize.Cell{StyleID: plain, Value: ""}
		line[n+1] = excelize.Cell{StyleID: soft, Value: t.name + ":" + strconv.Itoa(r.pos.Line)}
		line[n+2] = excelize.Cell{StyleID: soft, Value: t.mark(r.cells)}
		b.try(sw.SetRow(cell(tableTop+1+i, 1), line))
		if b.err != nil {
			return
		}
	}
	stripes := true
	b.try(sw.AddTable(&excelize.Table{
		Range: cell(tableTop, 1) + ":" + cell(max(tableTop+len(t.rows), tableTop+1), n+3), Name: "map_" + strconv.Itoa(len(b.file.GetSheetList())),
		StyleName: "TableStyleLight1", ShowRowStripes: &stripes,
	}))
	b.try(sw.Flush())
}

// origins writes the hidden sheet by which an import knows the workbook.
func (b *book) origins(set *Set, layout Layout, list []origin) {
	if _, err := b.file.NewSheet(originSheet); err != nil {
		b.try(err)
		return
	}
	if layout == "" {
		layout = Remit
	}
	rows := [][]string{{"remit workbook", "1", string(layout), set.Name}}
	for _, o := range list {
		rows = append(rows, []string{o.sheet, o.kind, o.name, o.identity})
	}
	for i, r := range rows {
		for j, v := range r {
			b.put(originSheet, i+1, j+1, v, look{})
		}
	}
	b.try(b.file.SetSheetVisible(originSheet, false, true))
}
