package workbook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/xuri/excelize/v2"

	"remit/mapping/diag"
)

// maxUnzipped bounds what a workbook may unpack to: a few kilobytes of zip can
// claim gigabytes.
const maxUnzipped = 1 << 30

// Rows reads a sheet of a workbook in files, the header line first and cells as
// they are stored; sheet "" is the first one. The rows are the caller's. It is
// how a map is read out of a workbook. Error: fs.ErrNotExist for a file that is
// not there, else what is wrong with it.
func Rows(files fs.FS, name, sheet string) ([][]string, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return sheetRows(data, sheet)
}

func sheetRows(data []byte, sheet string) ([][]string, error) {
	f, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{UnzipSizeLimit: maxUnzipped})
	if err != nil {
		return nil, errors.New("not a workbook that can be read")
	}
	defer func() { _ = f.Close() }()
	if sheet == "" {
		sheet = f.GetSheetName(0)
	}
	if i, err := f.GetSheetIndex(sheet); err != nil || i < 0 {
		return nil, fmt.Errorf("there is no sheet %q; it has %s", sheet, strings.Join(f.GetSheetList(), ", "))
	}
	rows, err := f.GetRows(sheet, excelize.Options{RawCellValue: true})
	if err != nil {
		return nil, fmt.Errorf("sheet %q cannot be read", sheet)
	}
	return rows, nil
}

// fixedCodes lays out a map that is kept in a workbook or a ConceptMap: it is
// shown, and changed there.
func (s *Set) fixedCodes(t *codeTable, diags *diag.List) *codeTable {
	file := mapFile(t.def)
	t.name, t.fixed = file.Value, true
	pos := diag.Pos{File: t.name}
	if t.def.ConceptMap != nil {
		t.header, t.keys, t.values = []string{"Key", "code", "system", "display"}, []int{0}, []int{1, 2, 3}
		var cm struct {
			Group []struct {
				Source, Target string
				Element        []struct {
					Code   string
					Target []struct{ Code, Display string }
				}
			}
		}
		if err := json.Unmarshal(s.Files[t.name], &cm); err != nil {
			diags.Errorf(file.Pos, "bad-conceptmap", "file %q is no JSON of a ConceptMap", t.name)
			return nil
		}
		for _, g := range cm.Group {
			if t.def.Group != nil && t.def.Group.Value != g.Source {
				continue
			}
			for _, e := range g.Element {
				for _, target := range e.Target {
					t.rows = append(t.rows, codeRow{cells: []string{e.Code, target.Code, g.Target, target.Display}, pos: pos})
				}
			}
		}
		t.build()
		return t
	}
	sheet := ""
	if t.def.Sheet != nil {
		sheet = t.def.Sheet.Value
	}
	rows, err := sheetRows(s.Files[t.name], sheet)
	if err != nil || len(rows) == 0 {
		diags.Errorf(file.Pos, "bad-workbook", "file %q: no rows can be read", t.name)
		return nil
	}
	t.header = rows[0]
	for i, r := range rows[1:] {
		if strings.TrimSpace(strings.Join(r, "")) != "" {
			t.rows = append(t.rows, codeRow{cells: r, pos: diag.Pos{File: t.name, Line: i + 2}})
		}
	}
	return t.resolve(diags)
}
