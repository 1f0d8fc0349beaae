package workbook

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
)

// The colours of a workbook, by what they mean.
const (
	inkHeader   = "1F3864" // dark blue
	inkInput    = "0B6E4F" // green: columns that an analyst fills in
	inkSupport  = "C00000"
	inkSoft     = "7F7F7F"
	inkLink     = "0563C1"
	inkLine     = "D0D7E2"
	fillGroup   = "EAF0F8"
	fillInput   = "F3FAF7"
	fillSupport = "FFF2CC" // must-support, not mapped
	fillMissing = "F9D9D6" // required, not mapped
	fillAssumed = "EADCF4" // assumed or absent
)

// look is how a cell appears.
type look struct {
	title, header, input, border, level, wrap, bold, mono, soft, number, link, support, centre bool

	fill string
}

// column is a column of a table.
type column struct {
	title  string
	width  float64
	input  bool
	hidden bool
}

// book is a workbook in the making. The first error stops all that follows.
type book struct {
	file   *excelize.File
	styles map[look]int
	err    error
}

func newBook() *book {
	return &book{file: excelize.NewFile(), styles: map[look]int{}}
}

// try keeps the first error.
func (b *book) try(err error) {
	if b.err == nil {
		b.err = err
	}
}

// style gives the number of a look's style.
func (b *book) style(l look) int {
	if id, ok := b.styles[l]; ok {
		return id
	}
	s := &excelize.Style{
		Font:      &excelize.Font{Family: "Calibri", Size: 10},
		Alignment: &excelize.Alignment{Vertical: "top", WrapText: l.wrap},
		NumFmt:    49, // text, so that 0450 stays 0450
	}
	switch {
	case l.title:
		s.Font.Size, s.Font.Bold, s.Font.Color = 16, true, inkHeader
		s.Alignment.Vertical = "center"
	case l.header:
		s.Font.Bold, s.Font.Color = true, "FFFFFF"
		s.Fill = excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{inkHeader}}
		if l.input {
			s.Fill.Color = []string{inkInput}
		}
		s.Alignment = &excelize.Alignment{Vertical: "center", WrapText: true}
	}
	if l.fill != "" {
		s.Fill = excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{l.fill}}
	}
	if l.border || l.header {
		sides := []string{"top", "bottom", "left", "right"}
		if l.level {
			sides = sides[:2] // a name reaches over the columns of the deeper levels
		}
		for _, side := range sides {
			s.Border = append(s.Border, excelize.Border{Type: side, Color: inkLine, Style: 1})
		}
	}
	if l.bold {
		s.Font.Bold = true
	}
	if l.mono {
		s.Font.Family, s.Font.Size = "Consolas", 9
	}
	if l.soft {
		s.Font.Color = inkSoft
	}
	if l.support {
		s.Font.Color, s.Font.Bold = inkSupport, true
	}
	if l.link {
		s.Font.Color, s.Font.Underline = inkLink, "single"
	}
	if l.number {
		s.NumFmt = 3 // #,##0
		s.Alignment.Horizontal = "right"
	}
	if l.centre {
		s.Alignment.Horizontal = "center"
	}
	id, err := b.file.NewStyle(s)
	b.try(err)
	b.styles[l] = id
	return id
}

func cell(row, col int) string {
	name, err := excelize.CoordinatesToCellName(col, row)
	if err != nil {
		return "A1" // columns and rows are our own small numbers
	}
	return name
}

func columnName(col int) string {
	name, err := excelize.ColumnNumberToName(col)
	if err != nil {
		return "A"
	}
	return name
}

// put writes one cell.
func (b *book) put(sheet string, row, col int, value any, l look) {
	if b.err != nil {
		return
	}
	at := cell(row, col)
	switch v := value.(type) {
	case string:
		if v != "" {
			b.try(b.file.SetCellStr(sheet, at, clip(v)))
		}
	default:
		b.try(b.file.SetCellValue(sheet, at, v))
	}
	b.try(b.file.SetCellStyle(sheet, at, at, b.style(l)))
}

// linkTo makes a cell lead to another sheet.
func (b *book) linkTo(sheet string, row, col int, target, text string, l look) {
	l.link = true
	b.put(sheet, row, col, text, l)
	b.try(b.file.SetCellHyperLink(sheet, cell(row, col), quoteSheet(target)+"!A1", "Location"))
}

// back leads to the index.
func (b *book) back(sheet string, row int) {
	b.linkTo(sheet, row, 1, indexSheet, "Back to the index", look{})
}

func quoteSheet(name string) string {
	return "'" + strings.ReplaceAll(name, "'", "''") + "'"
}

func (b *book) setWidths(sheet string, columns []column) {
	for i, c := range columns {
		name := columnName(i + 1)
		b.try(b.file.SetColWidth(sheet, name, name, c.width))
		if c.hidden {
			b.try(b.file.SetColVisible(sheet, name, false))
		}
	}
}

// headers writes the header row of a table.
func (b *book) headers(sheet string, row int, columns []column) {
	for i, c := range columns {
		b.put(sheet, row, i+1, c.title, look{header: true, input: c.input})
	}
	b.try(b.file.SetRowHeight(sheet, row, 32))
}

// fit makes a row as high as its longest cell needs. cells holds the texts that
// wrap, by column, 0-based.
func (b *book) fit(sheet string, row int, columns []column, cells map[int]string) {
	most := 1
	for i, text := range cells {
		lines := 0
		for line := range strings.SplitSeq(text, "\n") {
			room := max(int(columns[i].width*1.1), 1)
			lines += max(1, (utf8.RuneCountInString(line)+room-1)/room)
		}
		most = max(most, lines)
	}
	const line, tallest = 13.5, 30
	b.try(b.file.SetRowHeight(sheet, row, line*float64(min(most, tallest))+1.5))
}

// printArea keeps the working columns on paper; the last ones are for the
// screen.
func (b *book) printArea(sheet string, bottom, columns int) {
	b.try(b.file.SetDefinedName(&excelize.DefinedName{
		Name: "_xlnm.Print_Area", Scope: sheet, RefersTo: fmt.Sprintf("%s!$A$1:$%s$%d", quoteSheet(sheet), columnName(columns), bottom),
	}))
}

// filter sets the filter of a table.
func (b *book) filter(sheet string, top, bottom, columns int) {
	b.try(b.file.AutoFilter(sheet, "A"+strconv.Itoa(top)+":"+cell(max(bottom, top), columns), nil))
}

// freeze keeps the rows down to top and the first columns in sight.
func (b *book) freeze(sheet string, top, columns int) {
	b.try(b.file.SetPanes(sheet, panes(top, columns)))
	hide := false
	b.try(b.file.SetSheetView(sheet, 0, &excelize.ViewOptions{ShowGridLines: &hide}))
}

func panes(top, columns int) *excelize.Panes {
	pane := "bottomLeft"
	if columns > 0 {
		pane = "bottomRight"
	}
	return &excelize.Panes{Freeze: true, XSplit: columns, YSplit: top, TopLeftCell: cell(top+1, columns+1), ActivePane: pane}
}

// page sets a sheet up for paper: landscape, one page wide, the header on each.
func (b *book) page(sheet string, top int) {
	landscape, a3, wide, tall, fit := "landscape", 8, 1, 0, true
	b.try(b.file.SetPageLayout(sheet, &excelize.PageLayoutOptions{Orientation: &landscape, Size: &a3, FitToWidth: &wide, FitToHeight: &tall}))
	b.try(b.file.SetSheetProps(sheet, &excelize.SheetPropsOptions{FitToPage: &fit}))
	side, foot := 0.4, 0.5
	b.try(b.file.SetPageMargins(sheet, &excelize.PageLayoutMarginsOptions{Left: &side, Right: &side, Top: &foot, Bottom: &foot}))
	b.try(b.file.SetHeaderFooter(sheet, &excelize.HeaderFooterOptions{OddFooter: "&L&8&A&R&8&P / &N"}))
	if top > 0 {
		b.try(b.file.SetDefinedName(&excelize.DefinedName{
			Name: "_xlnm.Print_Titles", Scope: sheet, RefersTo: fmt.Sprintf("%s!$%d:$%d", quoteSheet(sheet), top, top),
		}))
	}
}

// sheetNames hands out names that Excel takes: at most 31 characters, without
// its signs, unique without regard to case.
type sheetNames map[string]bool

func (s sheetNames) name(wanted string) string {
	clean := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`[]:*?/\'`, r) {
			return '-'
		}
		return r
	}, wanted)
	r := []rune(clean)
	out := string(r[:min(len(r), 31)])
	for n := 2; out == "" || s[strings.ToLower(out)]; n++ {
		suffix := "~" + strconv.Itoa(n)
		out = string(r[:min(len(r), 31-len(suffix))]) + suffix
	}
	s[strings.ToLower(out)] = true
	return out
}
