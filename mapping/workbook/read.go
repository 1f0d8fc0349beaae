package workbook

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"

	"remit/mapping/diag"
	"remit/profiles"
)

// Change is one thing that an import takes over: where in the YAML or CSV, and
// what, in one line.
type Change struct {
	Pos  diag.Pos
	Text string
}

// String is file:line:column: text.
func (c Change) String() string { return c.Pos.String() + ": " + c.Text }

// Import is what a workbook changes in a set. Nothing is written.
type Import struct {
	Changes []Change
	// Files holds the new bytes of each file that changes.
	Files map[string][]byte
}

// Read compares a workbook with the set it was made from and gives the changes
// that an analyst made. name is how messages call the workbook. The Import is
// nil where diags holds an error: a workbook of another set, a cell that
// cannot be taken over, a place that changed on both sides. Warnings tell what
// was passed over. layout "" is what the workbook says, or CPCDS where it says
// nothing and has CARIN's columns.
func Read(r io.Reader, name string, set *Set, defs *profiles.Set, layout Layout, diags *diag.List) (*Import, error) {
	f, err := excelize.OpenReader(r, excelize.Options{UnzipSizeLimit: maxUnzipped})
	if err != nil {
		return nil, fmt.Errorf("open the workbook: %w", err)
	}
	defer func() { _ = f.Close() }()
	im := &importer{file: f, name: name, set: set, crosswalks: Crosswalks(set, defs), diags: diags, edits: map[string][]edit{}, texts: map[string]*text{}}
	if !im.belongs(layout) {
		return nil, nil
	}
	words := map[string][]byte{}
	if im.layout == Remit {
		if words, err = im.takeWords(defs); err != nil || diags.HasErrors() {
			return nil, err
		}
	}
	for _, s := range im.sheets {
		var err error
		switch {
		case s.table != nil:
			err = im.readMap(s)
		case im.layout == CPCDS:
			err = im.readCPCDS(s)
		default:
			err = im.readMapping(s)
		}
		if err != nil {
			return nil, fmt.Errorf("read sheet %s: %w", s.name, err)
		}
	}
	if diags.HasErrors() {
		return nil, nil
	}
	files, err := im.applied()
	if err != nil {
		return nil, err
	}
	after, err := im.prove(files, defs)
	if err != nil {
		return nil, err
	}
	if im.closed(after, defs); diags.HasErrors() {
		return nil, nil
	}
	for name, data := range words {
		if files[name] == nil {
			files[name] = data
		}
	}
	out := &Import{Changes: im.changes, Files: files}
	slices.SortStableFunc(out.Changes, func(a, b Change) int { return a.Pos.Compare(b.Pos) })
	return out, nil
}

// applied carries the edits out.
func (im *importer) applied() (map[string][]byte, error) {
	out := map[string][]byte{}
	for file, edits := range im.edits {
		data, err := im.text(file).apply(edits)
		if err != nil {
			return nil, fmt.Errorf("edit %s: %w", file, err)
		}
		out[file] = data
	}
	return out, nil
}

// sheet is a sheet of the workbook and what of the set it speaks of.
type sheet struct {
	name      string
	crosswalk *Crosswalk
	table     *codeTable
}

// importer carries one import.
type importer struct {
	file       *excelize.File
	name       string
	set        *Set
	crosswalks []*Crosswalk
	layout     Layout
	diags      *diag.List
	sheets     []sheet
	changes    []Change
	edits      map[string][]edit
	texts      map[string]*text
	expected   []expectation
	keys       []keyExpectation
	wanted     map[[2]string]wanted // each and when, by file and path
	opened     []opened
}

func (im *importer) text(file string) *text {
	if im.texts[file] == nil {
		im.texts[file] = newText(im.set.Files[file])
	}
	return im.texts[file]
}

// refuse tells a cell that cannot be taken over.
func (im *importer) refuse(sheet string, row int, code, format string, args ...any) *diag.Diagnostic {
	return im.diags.Errorf(diag.Pos{File: at(im.name, sheet, row)}, code, format, args...)
}

// belongs finds what each sheet speaks of, or tells that the workbook is of
// another set.
func (im *importer) belongs(layout Layout) bool {
	rows, err := im.file.GetRows(originSheet)
	if err != nil || len(rows) == 0 || len(rows[0]) < 3 || rows[0][0] != "remit workbook" {
		if layout == Remit || layout == "" && !im.looksCPCDS() {
			im.diags.Errorf(diag.Pos{File: im.name}, "foreign-workbook", "the workbook was not written by remit workbook export").
				WithHint("CARIN's own is read with --layout cpcds")
			return false
		}
		return im.matchTabs()
	}
	im.layout = Layout(rows[0][2])
	if rows[0][1] != "1" || im.layout != Remit && im.layout != CPCDS {
		im.diags.Errorf(diag.Pos{File: im.name}, "foreign-workbook", "the workbook has a form this version does not know")
		return false
	}
	if layout != "" && layout != im.layout {
		im.diags.Errorf(diag.Pos{File: im.name}, "wrong-layout", "the workbook has the layout %s, not %s", im.layout, layout)
		return false
	}
	have := im.file.GetSheetList()
	for _, r := range rows[1:] {
		r = append(r, "", "", "", "")
		s, ok := sheet{name: r[0]}, false
		switch r[1] {
		case "mapping":
			for _, c := range im.crosswalks {
				if c.Mapping.Pos.File == r[2] && identity(c) == r[3] {
					s.crosswalk, ok = c, true
				}
			}
		case "map":
			if m := im.set.codeMap(r[2]); m != nil && mapIdentity(m) == r[3] {
				s.table = im.set.codes(m, im.diags)
				ok = true
			}
		}
		if !ok {
			im.diags.Errorf(diag.Pos{File: im.name}, "foreign-workbook", "sheet %q is of %s %q (%s), which the mapping set %q does not have", r[0], r[1], r[2], r[3], im.set.Name)
			continue
		}
		if !slices.Contains(have, s.name) {
			im.diags.Warnf(diag.Pos{File: im.name}, "missing-sheet", "sheet %q was removed or renamed; nothing is taken from it", s.name)
			continue
		}
		im.sheets = append(im.sheets, s)
	}
	return !im.diags.HasErrors()
}

// looksCPCDS says that a sheet has the header of CARIN's tabs.
func (im *importer) looksCPCDS() bool {
	for _, name := range im.file.GetSheetList() {
		if h, err := im.header(name, "CPCDS Data Element Name"); err == nil && h != nil {
			return true
		}
	}
	return false
}

// matchTabs finds the mappings of CARIN's own tabs by the profile's name.
func (im *importer) matchTabs() bool {
	im.layout = CPCDS
	for _, name := range im.file.GetSheetList() {
		h, err := im.header(name, "CPCDS Data Element Name")
		if err != nil || h == nil {
			continue
		}
		var found []*Crosswalk
		for _, c := range im.crosswalks {
			for _, n := range []string{c.Mapping.Name, cpcdsTab(c), profileName(c)} {
				if letters(n) == letters(name) || len([]rune(name)) == 31 && strings.HasPrefix(letters(n), letters(name)) {
					found = append(found, c)
					break
				}
			}
		}
		switch len(found) {
		case 1:
			im.sheets = append(im.sheets, sheet{name: name, crosswalk: found[0]})
		case 0:
			im.diags.Warnf(diag.Pos{File: im.name}, "unknown-sheet", "sheet %q fits no mapping of the set; name it for a mapping or its profile", name)
		default:
			im.diags.Warnf(diag.Pos{File: im.name}, "unknown-sheet", "sheet %q fits several mappings of the set; name it for one of them", name)
		}
	}
	if len(im.sheets) == 0 {
		im.diags.Errorf(diag.Pos{File: im.name}, "foreign-workbook", "no sheet of the workbook fits a mapping of the set %q", im.set.Name)
		return false
	}
	return true
}

func profileName(c *Crosswalk) string {
	if c.Profile == nil {
		return ""
	}
	return c.Profile.Name
}

// letters is a name without case and signs.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

// header is where the columns of a table stand: its row, 1-based, and the index
// of each title.
type header struct {
	row     int
	columns map[string]int
}

// cell gives a cell of a row by its column's title; ok is false where the sheet
// has no such column.
func (h *header) cell(cells []string, title string) (value string, ok bool) {
	i, ok := h.columns[title]
	if !ok || i >= len(cells) {
		return "", ok
	}
	return cells[i], true
}

// headerRows is how far down a header is looked for.
const headerRows = 20

// header finds the row that holds a title; nil where none of the first rows
// does.
func (im *importer) header(sheet, title string) (*header, error) {
	rows, err := im.file.Rows(sheet)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for n := 1; n <= headerRows && rows.Next(); n++ {
		cells, err := rows.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(cells, func(c string) bool { return tidy(c) == title }) {
			continue
		}
		h := &header{row: n, columns: map[string]int{}}
		for i, c := range cells {
			if c = tidy(c); c != "" {
				if _, twice := h.columns[c]; !twice {
					h.columns[c] = i
				}
			}
		}
		return h, nil
	}
	return nil, rows.Error()
}

// each walks the rows below a header.
func (im *importer) each(sheet string, h *header, visit func(n int, cells []string)) error {
	rows, err := im.file.Rows(sheet)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for n := 1; rows.Next(); n++ {
		cells, err := rows.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return err
		}
		if n > h.row {
			visit(n, cells)
		}
	}
	return rows.Error()
}

// readMapping reads a mapping's sheet in our own layout.
func (im *importer) readMapping(s sheet) error {
	h, err := im.header(s.name, "FHIR path")
	if err != nil {
		return err
	}
	if h == nil {
		im.diags.Errorf(diag.Pos{File: im.name}, "missing-column", "sheet %q has no column %q", s.name, "FHIR path")
		return nil
	}
	byPath := map[string]*Row{}
	for _, r := range s.crosswalk.Rows {
		byPath[r.Path] = r
	}
	seen := map[string]bool{}
	return im.each(s.name, h, func(n int, cells []string) {
		path, _ := h.cell(cells, "FHIR path")
		path = tidy(path)
		var have Cells
		for _, c := range []struct {
			title string
			to    *string
		}{{"Column", &have.Column}, {"SQL", &have.SQL}, {"Literal", &have.Literal}, {"Map", &have.Map}} {
			v, _ := h.cell(cells, c.title)
			*c.to = v
		}
		have.SQL = strings.TrimPrefix(tidy(have.SQL), "=")
		have.Column = strings.TrimPrefix(tidy(have.Column), "=")
		have = have.tidy()
		whole, _ := h.cell(cells, "Mark")
		old, _ := marks(whole)
		if path == "" {
			if n > h.row+1 && have != (Cells{}) {
				im.refuse(s.name, n, "unknown-row", "the row has no FHIR path")
			}
			return
		}
		r := byPath[path]
		if r == nil {
			if have != (Cells{}) && have.mark() != old {
				im.refuse(s.name, n, "unknown-row", "the mapping %s has no place %s any more", s.crosswalk.Mapping.Name, path)
			}
			return
		}
		if seen[path] {
			im.refuse(s.name, n, "duplicate-row", "the place %s stands on two rows", path)
			return
		}
		seen[path] = true
		from, _ := h.cell(cells, "Source")
		im.take(s.name, n, r, have, tidy(from), have.mark() == old, r.Cells.mark() == old || old == "")
	})
}

// readCPCDS reads a tab in CARIN's layout.
func (im *importer) readCPCDS(s sheet) error {
	h, err := im.header(s.name, "CPCDS Data Element Name")
	if err != nil {
		return err
	}
	if h == nil {
		im.diags.Errorf(diag.Pos{File: im.name}, "missing-column", "sheet %q has no column %q", s.name, "CPCDS Data Element Name")
		return nil
	}
	walk := newTabWalk(s.crosswalk)
	seen := map[*Row]bool{}
	return im.each(s.name, h, func(n int, cells []string) {
		r := walk.row(h, cells)
		name, _ := h.cell(cells, "CPCDS Data Element Name")
		note, _ := h.cell(cells, "Working Note")
		if r == nil {
			if tidy(name) != "" {
				im.diags.Warnf(diag.Pos{File: at(im.name, s.name, n)}, "unknown-row", "the mapping %s has no place for this row; nothing is taken from it", s.crosswalk.Mapping.Name)
			}
			return
		}
		if seen[r] {
			return
		}
		seen[r] = true
		have := cpcdsCells(r, name, note)
		old, _ := h.cell(cells, "Mark")
		if old == "" && have.Column == "" && have.SQL == "" {
			return // CARIN's own: a row left open takes nothing away
		}
		untouched := mark(have.Column, have.SQL) == old
		im.take(s.name, n, r, have.tidy(), "", untouched, old == "" || cpcdsMark(r) == old)
	})
}

// tabWalk finds the rows of a tab: by our hidden path where there is one, else
// by slice and levels.
type tabWalk struct {
	byPath map[string]*Row
	stack  [levels]string
}

func newTabWalk(c *Crosswalk) *tabWalk {
	w := &tabWalk{byPath: map[string]*Row{}}
	for _, r := range c.Rows {
		w.byPath[r.Path] = r
	}
	return w
}

func (w *tabWalk) row(h *header, cells []string) *Row {
	if path, ok := h.cell(cells, "FHIR path"); ok {
		return w.byPath[tidy(path)]
	}
	slice, _ := h.cell(cells, "Slice")
	slice = tidy(slice)
	deepest := -1
	for i := range levels {
		v, _ := h.cell(cells, fmt.Sprintf("L%d", i))
		if v = tidy(v); v != "" {
			if deepest < 0 || v != stripSlices(w.stack[i]) {
				w.stack[i] = v
			}
			deepest = i
		}
	}
	if deepest < 0 {
		return nil
	}
	clear(w.stack[deepest+1:])
	if slice != "" && deepest > 0 && !strings.Contains(w.stack[deepest], "[") {
		w.stack[deepest] += "[" + slice + "]"
	}
	var parts []string
	for _, p := range w.stack[1 : deepest+1] {
		if p == "" {
			return nil
		}
		parts = append(parts, p)
	}
	return w.byPath[strings.Join(parts, ".")]
}
