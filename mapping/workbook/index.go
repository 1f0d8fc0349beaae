package workbook

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"remit/mapping/syntax"
)

// indexColumns are the columns of the index's table of mappings.
var indexColumns = []column{
	{title: "Sheet", width: 26}, {title: "Resource", width: 22}, {title: "Profile", width: 54}, {title: "From", width: 18}, {title: "Where", width: 34}, {title: "File", width: 28},
	{title: "Elements", width: 10}, {title: "Mapped", width: 10}, {title: "Must-support", width: 10}, {title: "Must-support, not mapped", width: 13}, {title: "Required, not mapped", width: 12}, {title: "Exported (type)", width: 12}, {title: "Withheld (type)", width: 12},
}

// identity is what makes a mapping's sheet belong to a set.
func identity(c *Crosswalk) string {
	parts := []string{c.Mapping.Resource.Value}
	for _, p := range c.Mapping.Profiles {
		parts = append(parts, p.Value)
	}
	return strings.Join(parts, " ")
}

func mapIdentity(m *syntax.Map) string {
	switch {
	case m.CSV != nil:
		return "csv " + m.CSV.Value
	case m.XLSX != nil:
		return "xlsx " + m.XLSX.Value
	case m.ConceptMap != nil:
		return "conceptmap " + m.ConceptMap.Value
	}
	return "inline"
}

// Counts tell how a mapping covers its profile.
type Counts struct{ Elements, Mapped, MustSupport, MustSupportUnmapped, RequiredUnmapped int }

// Counts counts the rows of a crosswalk by status; the resource itself is not
// among them.
func (c *Crosswalk) Counts() Counts {
	var n Counts
	for _, r := range c.Rows[1:] {
		n.Elements++
		switch r.Status {
		case Mapped, Constant, Assumed, AbsentOnly:
			n.Mapped++
		case Missing:
			n.RequiredUnmapped++
		}
		if r.Element != nil && r.Element.MustSupport {
			n.MustSupport++
			if r.Status == MustSupport || r.Status == Missing {
				n.MustSupportUnmapped++
			}
		}
	}
	return n
}

// index writes the first sheet.
func (b *book) index(set *Set, crosswalks []*Crosswalk, sheets []string, tables []*codeTable, maps map[string]string, o Options) {
	const sheet = indexSheet
	b.setWidths(sheet, indexColumns)
	b.put(sheet, 1, 1, "Crosswalk of the mapping set "+set.Name, look{title: true})
	b.try(b.file.SetRowHeight(sheet, 1, 26))
	about := fmt.Sprintf("%d mappings, %d sources, %d maps", len(crosswalks), len(set.Sources.Sources), len(tables))
	if !o.Prepared.IsZero() {
		about += "; prepared " + o.Prepared.UTC().Format(time.DateOnly)
	}
	b.put(sheet, 2, 1, about, look{soft: true})
	row := tableTop
	b.headers(sheet, row, indexColumns)
	for i, c := range crosswalks {
		row++
		b.indexRow(row, c, sheets[i], o)
	}
	b.filter(sheet, tableTop, row, len(indexColumns))
	if len(tables) > 0 {
		row += 2
		for i, h := range []string{"Map", "Kept in", "Keys and values", "Entries", "A key it does not hold"} {
			b.put(sheet, row, i+1, h, look{header: true})
		}
		for _, t := range tables {
			row++
			name := t.def.Name.Value
			b.linkTo(sheet, row, 1, maps[strings.ToLower(name)], name, look{border: true})
			var keys, values []string
			for _, k := range t.keys {
				keys = append(keys, t.header[k])
			}
			for _, v := range t.values {
				values = append(values, t.header[v])
			}
			b.put(sheet, row, 2, t.name, look{border: true})
			b.put(sheet, row, 3, strings.Join(keys, ", ")+" to "+strings.Join(values, ", "), look{border: true, wrap: true})
			b.put(sheet, row, 4, len(t.rows), look{border: true, number: true, centre: true})
			b.put(sheet, row, 5, policy(t.def), look{border: true})
		}
	}
	if o.Quality != nil {
		row += 2
		b.linkTo(sheet, row, 1, qualitySheet, "Quality of the run", look{bold: true})
	}
	row += 2
	b.put(sheet, row, 1, "Colours", look{bold: true})
	for _, l := range []struct{ text, fill string }{
		{"a group of elements, mapped", fillGroup}, {"must-support, not mapped", fillSupport}, {"required, not mapped", fillMissing},
		{"assumed or absent: not from the data", fillAssumed}, {"may be filled in", fillInput},
	} {
		row++
		b.put(sheet, row, 1, "", look{border: true, fill: l.fill})
		b.put(sheet, row, 2, l.text, look{})
	}
	b.freeze(sheet, tableTop, 1)
	b.page(sheet, 0)
}

// indexRow writes one mapping's line.
func (b *book) indexRow(row int, c *Crosswalk, target string, o Options) {
	const sheet = indexSheet
	m := c.Mapping
	text := look{border: true, wrap: true}
	b.linkTo(sheet, row, 1, target, m.Name, text)
	b.put(sheet, row, 2, m.Resource.Value, text)
	var profiles []string
	for _, p := range m.Profiles {
		profiles = append(profiles, p.Value)
	}
	b.put(sheet, row, 3, strings.Join(profiles, "\n"), text)
	from, where := "", ""
	if m.From != nil {
		from = m.From.Value
	}
	if m.Where != nil {
		where = tidy(m.Where.Value)
	}
	b.put(sheet, row, 4, from, text)
	b.put(sheet, row, 5, where, look{border: true, wrap: true, mono: true})
	b.put(sheet, row, 6, m.Pos.File, text)
	b.fit(sheet, row, indexColumns, map[int]string{0: m.Name, 2: strings.Join(profiles, "\n"), 4: where, 5: m.Pos.File})
	n := c.Counts()
	for i, v := range []int{n.Elements, n.Mapped, n.MustSupport, n.MustSupportUnmapped, n.RequiredUnmapped} {
		l := look{border: true, number: true}
		switch {
		case i == 3 && v > 0:
			l.fill = fillSupport
		case i == 4 && v > 0:
			l.fill = fillMissing
		}
		b.put(sheet, row, 7+i, v, l)
	}
	for i, counts := range []map[string]int64{nil, nil} {
		if o.Quality != nil {
			counts = []map[string]int64{o.Quality.Exported, o.Quality.Withheld}[i]
		}
		if v, ok := counts[m.Resource.Value]; ok {
			b.put(sheet, row, 12+i, v, look{border: true, number: true})
			continue
		}
		b.put(sheet, row, 12+i, "", look{border: true})
	}
}

// place is where a row stands, as a person reads it.
func (r *Row) place() string {
	if r.Path == "" {
		return r.Name
	}
	return r.Path
}

// at is the place of a row on a sheet, for messages.
func at(book, sheet string, row int) string {
	return book + " (" + sheet + ", row " + strconv.Itoa(row) + ")"
}
