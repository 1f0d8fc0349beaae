package workbook

import (
	"strconv"
	"strings"
	"unicode"
)

// The columns of CARIN's CPCDS mapping workbook: its index and a profile's tab.
// The last two of a tab are ours and hidden.
var (
	cpcdsIndexColumns = []column{
		{title: "Map ID", width: 9}, {title: "CMS BB2.0 Element", width: 24}, {title: "CPCDS name", width: 34}, {title: "Description", width: 48}, {title: "Profile", width: 46},
		{title: "Date Harmonized", width: 14}, {title: "L0", width: 20}, {title: "L1", width: 20}, {title: "L2", width: 22}, {title: "L3/L4", width: 26}, {title: "Reference/slice", width: 26},
	}
	cpcdsColumns = []column{
		{title: "Slice", width: 22}, {title: "L0", width: 5}, {title: "L1", width: 5}, {title: "L2", width: 5}, {title: "L3", width: 5}, {title: "L4", width: 24},
		{title: "Flag", width: 7}, {title: "Cardinality", width: 11}, {title: "DataType / Value Set", width: 36}, {title: "Description", width: 44}, {title: "CPCDS MapID", width: 13},
		{title: "CPCDS Data Element Name", width: 36, input: true}, {title: "Cardinality / DataType", width: 20}, {title: "Value Set Comments", width: 34}, {title: "Working Note", width: 50, input: true},
		{title: "FHIR path", width: 10, hidden: true}, {title: "Mark", width: 6, hidden: true},
	}
)

// cpcds writes the layout of CARIN's workbook: an index with one line per data
// element, and a tab per profile. A data element is a column of the warehouse;
// its Map ID is its number in the index.
func (b *book) cpcds(set *Set, crosswalks []*Crosswalk, o Options, names sheetNames) []origin {
	const sheet = indexSheet
	b.setWidths(sheet, cpcdsIndexColumns)
	b.headers(sheet, 1, cpcdsIndexColumns)
	line, id := 1, 0
	ids := map[*Row]int{}
	for _, c := range crosswalks {
		for _, r := range c.Rows {
			if r.Cells.Column == "" && r.Cells.SQL == "" {
				continue
			}
			line++
			id++
			ids[r] = id
			b.cpcdsIndexRow(line, id, c, r)
		}
	}
	b.filter(sheet, 1, line, len(cpcdsIndexColumns))
	b.freeze(sheet, 1, 0)
	b.page(sheet, 1)
	var origins []origin
	for _, c := range crosswalks {
		name := names.name(cpcdsTab(c))
		origins = append(origins, origin{name, "mapping", c.Mapping.Pos.File, identity(c)})
		b.cpcdsTab(c, name, ids, o)
	}
	return origins
}

// cpcdsTab names a tab by its profile, or by the mapping where several use it.
func cpcdsTab(c *Crosswalk) string {
	if c.Profile == nil || len(c.Mapping.Profiles) == 0 {
		return c.Mapping.Name
	}
	return strings.Replace(strings.TrimPrefix(c.Profile.Name, "C4BB-"), "ExplanationOfBenefit", "EOB", 1)
}

func (b *book) cpcdsIndexRow(line, id int, c *Crosswalk, r *Row) {
	const sheet = indexSheet
	text := look{border: true, wrap: true}
	profile := c.Mapping.Resource.Value
	if c.Profile != nil {
		profile = c.Profile.Name
	}
	short := ""
	if r.Element != nil {
		short = r.Element.Short
	}
	parts := strings.Split(stripSlices(r.Path), ".")
	level := func(from, to int) string {
		if from >= len(parts) {
			return ""
		}
		return strings.Join(parts[from:min(to, len(parts))], ".")
	}
	b.put(sheet, line, 1, id, look{border: true, number: true})
	name := r.Cells.Column
	if name == "" {
		name = strings.Join(strings.Fields(r.Cells.SQL), " ")
	}
	b.fit(sheet, line, cpcdsIndexColumns, map[int]string{2: name, 3: short, 4: profile, 9: level(2, 99), 10: r.Slice})
	for i, v := range []string{"", name, short, profile, "", c.Mapping.Resource.Value, level(0, 1), level(1, 2), level(2, 99), r.Slice} {
		b.put(sheet, line, i+2, v, text)
	}
}

func (b *book) cpcdsTab(c *Crosswalk, sheet string, ids map[*Row]int, o Options) {
	if _, err := b.file.NewSheet(sheet); err != nil {
		b.try(err)
		return
	}
	b.setWidths(sheet, cpcdsColumns)
	b.headers(sheet, 1, cpcdsColumns)
	for i, r := range c.Rows {
		row := i + 2
		text := look{border: true, wrap: true, fill: rowFill(r)}
		bold := text
		bold.bold = r.Group && r.Status == Mapped
		level := bold
		level.wrap, level.level = false, true
		own := ""
		if strings.HasSuffix(strings.TrimRight(r.Path, "#0123456789"), "]") {
			own = r.Slice
		}
		b.put(sheet, row, 1, own, bold)
		for l := range levels {
			b.put(sheet, row, 2+l, levelText(r, l), level)
		}
		flag := text
		flag.centre, flag.support = true, r.Element != nil && r.Element.MustSupport
		values := make([]string, 9)
		if e := r.Element; e != nil {
			values[0], values[1], values[2], values[3] = flags(e), cardinality(e), typeText(e), e.Short
		}
		if id := ids[r]; id > 0 {
			values[4] = strconv.Itoa(id)
		}
		values[5] = r.Cells.Column
		values[6] = o.fact(r).Type
		values[7] = valueComment(r)
		values[8] = workingNote(r)
		for j, v := range values {
			l := text
			if j == 0 {
				l = flag
			}
			if (j == 5 || j == 8) && r.editable() && l.fill == "" {
				l.fill = fillInput
			}
			b.put(sheet, row, 7+j, v, l)
		}
		b.fit(sheet, row, cpcdsColumns, map[int]string{0: own, 8: values[2], 9: values[3], 11: values[5], 13: values[7], 14: values[8]})
		b.put(sheet, row, 16, r.Path, look{})
		b.put(sheet, row, 17, cpcdsMark(r), look{})
	}
	b.filter(sheet, 1, len(c.Rows)+1, len(cpcdsColumns))
	b.freeze(sheet, 1, 1+levels)
	b.page(sheet, 1)
}

// valueComment is what the mapping says about a value's codes.
func valueComment(r *Row) string {
	var parts []string
	if r.Cells.Map != "" {
		parts = append(parts, "map "+r.Cells.Map)
	}
	if r.Cells.Literal != "" {
		parts = append(parts, "always "+r.Cells.Literal)
	}
	return strings.Join(parts, "; ")
}

// workingNote is a row's SQL behind an equals sign, or its rule.
func workingNote(r *Row) string {
	if r.Cells.SQL != "" {
		return "=" + r.Cells.SQL
	}
	return r.Rule
}

// cpcdsCells reads a tab's two free columns as cells; what the layout has no
// column for stays as it is.
func cpcdsCells(r *Row, name, note string) Cells {
	c := r.Cells
	c.Column = dataElement(tidy(name))
	c.SQL = ""
	if note = tidy(note); strings.HasPrefix(note, "=") {
		c.SQL = tidy(note[1:])
	}
	if r.Status == Constant && c.Column == "" && c.SQL == "" {
		return c
	}
	if r.literal != nil && r.Status == Constant {
		c.Literal = "" // a source takes the place of the constant
	}
	return c
}

func cpcdsMark(r *Row) string { return mark(tidy(r.Cells.Column), tidy(r.Cells.SQL)) }

// dataElement turns the name of a CPCDS data element into that of its column:
// "Claim paid date" is claim_paid_date. What is a column name already, or a
// list of them, stays.
func dataElement(name string) string {
	plain := true
	for part := range strings.SplitSeq(name, ",") {
		_, _, ok := plainColumn(strings.TrimSpace(part))
		plain = plain && ok
	}
	if plain || name == "" {
		return name
	}
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(name) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte('_')
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
