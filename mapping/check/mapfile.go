package check

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
)

// SheetReader reads the rows of a sheet of a workbook, the header line first;
// sheet "" is the first one. The rows are the caller's. Its error says what is
// wrong with the file in words for the analyst; fs.ErrNotExist tells a file
// that is not there.
type SheetReader func(files fs.FS, name, sheet string) ([][]string, error)

// maxMapKeys bounds a map's size.
const maxMapKeys = 1_000_000

// maxMapFile bounds the bytes of a ConceptMap.
const maxMapFile = 256 << 20

// fileMap reads a map from its file.
func (c *checker) fileMap(out *Map, m *syntax.Map) bool {
	kinds := 0
	for _, t := range []*syntax.Text{m.CSV, m.XLSX, m.ConceptMap} {
		if t != nil {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		c.diags.Errorf(m.Pos, "map-kind", "map %q names more than one file", m.Name.Value)
		return false
	case m.Sheet != nil && m.XLSX == nil:
		c.diags.Errorf(m.Sheet.Pos, "map-kind", "sheet belongs to xlsx")
		return false
	case m.Group != nil && m.ConceptMap == nil:
		c.diags.Errorf(m.Group.Pos, "map-kind", "group belongs to conceptmap")
		return false
	case m.ConceptMap != nil:
		return c.conceptMap(out, m)
	case len(m.Key) == 0 || len(m.Value) == 0:
		c.diags.Errorf(m.Pos, "missing-key", "map %q needs key and value: columns of its file", m.Name.Value)
		return false
	case m.XLSX != nil:
		return c.sheetMap(out, m)
	}
	return c.csvMap(out, m)
}

// table fills a map from rows under a header.
type table struct {
	c            *checker
	m            *syntax.Map
	out          *Map
	file         *syntax.Text
	keys, values []int
}

// table finds the columns of a map in the header of its file.
func (c *checker) table(out *Map, m *syntax.Map, file *syntax.Text, header []string) *table {
	find := func(list []*syntax.Text) []int {
		var at []int
		for _, t := range list {
			i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), t.Value) })
			if i < 0 {
				c.diags.Errorf(t.Pos, "unknown-column", "column %q is not in file %q", t.Value, file.Value).WithHint("%s", diag.DidYouMean(t.Value, header))
				return nil
			}
			at = append(at, i)
		}
		return at
	}
	t := &table{c: c, m: m, out: out, file: file, keys: find(m.Key), values: find(m.Value)}
	if t.keys == nil || t.values == nil {
		return nil
	}
	out.Keys, out.Values = len(t.keys), nil
	for _, v := range m.Value {
		out.Values = append(out.Values, v.Value)
	}
	return t
}

// add takes a row that stands on a line.
func (t *table) add(row []string, line int) bool {
	cell := func(i int) string {
		if i >= len(row) {
			return "" // sheets leave out the empty cells at the end of a row
		}
		return strings.TrimSpace(row[i])
	}
	var parts, targets []string
	for _, i := range t.keys {
		parts = append(parts, cell(i))
	}
	for _, i := range t.values {
		targets = append(targets, cell(i))
	}
	return t.put(strings.Join(parts, "\x00"), targets, line)
}

func (t *table) put(key string, targets []string, line int) bool {
	if old, twice := t.out.Entries[key]; twice && !slices.Equal(old, targets) {
		t.c.diags.Errorf(diag.Pos{File: t.file.Value, Line: line}, "duplicate-key", "the key stands twice in file %q with different values", t.file.Value)
		return false
	}
	t.out.Entries[key] = targets
	if len(t.out.Entries) > maxMapKeys {
		t.c.diags.Errorf(t.file.Pos, "too-large", "file %q has more than %d keys", t.file.Value, maxMapKeys)
		return false
	}
	return true
}

func (c *checker) csvMap(out *Map, m *syntax.Map) bool {
	f, err := c.files.Open(m.CSV.Value)
	if err != nil {
		c.diags.Errorf(m.CSV.Pos, "unknown-file", "file %q is not in the mapping set", m.CSV.Value)
		return false
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	header, err := r.Read()
	if err != nil {
		c.diags.Errorf(m.CSV.Pos, "bad-csv", "file %q has no header line", m.CSV.Value)
		return false
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	t := c.table(out, m, m.CSV, header)
	if t == nil {
		return false
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return true
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				at := diag.Pos{File: m.CSV.Value, Line: bad.Line, Column: bad.Column}
				c.diags.Errorf(at, "bad-csv", "%s", strings.ToLower(bad.Err.Error()))
				return false
			}
			c.diags.Errorf(m.CSV.Pos, "bad-csv", "file %q cannot be read", m.CSV.Value)
			return false
		}
		if !t.add(row, line) {
			return false
		}
	}
}

func (c *checker) sheetMap(out *Map, m *syntax.Map) bool {
	if c.env.Sheets == nil {
		c.diags.Errorf(m.XLSX.Pos, "no-workbook", "workbooks are not read here; save the sheet as CSV")
		return false
	}
	sheet := ""
	if m.Sheet != nil {
		sheet = m.Sheet.Value
	}
	rows, err := c.env.Sheets(c.files, m.XLSX.Value, sheet)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.diags.Errorf(m.XLSX.Pos, "unknown-file", "file %q is not in the mapping set", m.XLSX.Value)
		return false
	case err != nil:
		c.diags.Errorf(m.XLSX.Pos, "bad-workbook", "file %q: %s", m.XLSX.Value, err)
		return false
	case len(rows) == 0:
		c.diags.Errorf(m.XLSX.Pos, "bad-workbook", "file %q has no header line", m.XLSX.Value)
		return false
	}
	t := c.table(out, m, m.XLSX, rows[0])
	if t == nil {
		return false
	}
	for i, row := range rows[1:] {
		if strings.TrimSpace(strings.Join(row, "")) != "" && !t.add(row, i+2) {
			return false
		}
	}
	return true
}

// conceptMapFile is as much of a FHIR ConceptMap as a map needs.
//
// Source: FHIR R4, ConceptMap.
type conceptMapFile struct {
	ResourceType string `json:"resourceType"`
	Group        []struct {
		Source  string `json:"source"`
		Target  string `json:"target"`
		Element []struct {
			Code   string `json:"code"`
			Target []struct {
				Code        string            `json:"code"`
				Display     string            `json:"display"`
				Equivalence string            `json:"equivalence"`
				DependsOn   []json.RawMessage `json:"dependsOn"`
			} `json:"target"`
		} `json:"element"`
		Unmapped *struct {
			Mode string `json:"mode"`
			Code string `json:"code"`
		} `json:"unmapped"`
	} `json:"group"`
}

// conceptMap reads a ConceptMap: the key is the source code, the value columns
// are code, system and display of its target. Of several targets the first
// counts that is not said to be unmatched or disjoint.
func (c *checker) conceptMap(out *Map, m *syntax.Map) bool {
	file := m.ConceptMap
	refuse := func(format string, args ...any) bool {
		c.diags.Errorf(file.Pos, "bad-conceptmap", "file %q %s", file.Value, fmt.Sprintf(format, args...))
		return false
	}
	if len(m.Key)+len(m.Value) > 0 {
		c.diags.Errorf(m.Pos, "map-kind", "a ConceptMap has the columns code, system and display; key and value belong to csv and xlsx")
		return false
	}
	f, err := c.files.Open(file.Value)
	if err != nil {
		c.diags.Errorf(file.Pos, "unknown-file", "file %q is not in the mapping set", file.Value)
		return false
	}
	defer func() { _ = f.Close() }()
	var cm conceptMapFile
	if err := json.NewDecoder(io.LimitReader(f, maxMapFile)).Decode(&cm); err != nil {
		return refuse("is no JSON of a ConceptMap")
	}
	if cm.ResourceType != "ConceptMap" {
		return refuse("holds no ConceptMap")
	}
	out.Values = []string{"code", "system", "display"}
	t := &table{c: c, m: m, out: out, file: file}
	used := 0
	for _, g := range cm.Group {
		if m.Group != nil && g.Source != m.Group.Value {
			continue
		}
		used++
		for _, e := range g.Element {
			for _, target := range e.Target {
				if target.Equivalence == "unmatched" || target.Equivalence == "disjoint" || target.Code == "" {
					continue
				}
				if len(target.DependsOn) > 0 {
					return refuse("has targets that depend on other elements, which a map does not tell apart")
				}
				if !t.put(strings.TrimSpace(e.Code), []string{target.Code, g.Target, target.Display}, 0) {
					return false
				}
				break
			}
		}
		if g.Unmapped == nil {
			continue
		}
		switch {
		case g.Unmapped.Mode != "fixed":
			return refuse("says unmapped %q; write the codes out, or a default", g.Unmapped.Mode)
		case m.Default == nil && out.Default == nil:
			out.Default, out.DefaultRow = &g.Unmapped.Code, []string{g.Unmapped.Code, g.Target, ""}
		}
	}
	switch {
	case used == 0 && m.Group != nil:
		c.diags.Errorf(m.Group.Pos, "unknown-group", "file %q has no group of source %q", file.Value, m.Group.Value)
		return false
	case len(out.Entries) == 0:
		return refuse("maps no code")
	}
	return true
}
