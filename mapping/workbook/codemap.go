package workbook

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
)

// codeTable is a map as a table: the entries of an inline map, or the rows of
// its file.
type codeTable struct {
	def *syntax.Map
	// header names the columns; keys and values index them.
	header       []string
	keys, values []int
	rows         []codeRow
	index        map[string]int // key -> row
	file         *text
	name         string // of the file that is edited
	fixed        bool   // kept in a file that is not edited here
}

// codeRow is one entry: its cells, and where each stands in the file.
type codeRow struct {
	cells []string
	spans [][2]int
	pos   diag.Pos
}

// codes lays out a map. It tells a file that is no CSV, or lacks a column.
func (s *Set) codes(m *syntax.Map, diags *diag.List) *codeTable {
	t := &codeTable{def: m, index: map[string]int{}}
	switch {
	case m.XLSX != nil || m.ConceptMap != nil:
		return s.fixedCodes(t, diags)
	case m.CSV == nil:
		t.name = m.Pos.File
		t.file = newText(s.Files[t.name])
		t.header, t.keys, t.values = []string{"Key", "Target"}, []int{0}, []int{1}
		for _, e := range m.Entries {
			from, to := t.file.span(e.Value)
			t.rows = append(t.rows, codeRow{[]string{e.Key.Value, e.Value.Value}, [][2]int{{}, {from, to}}, e.Key.Pos})
		}
		t.build()
		return t
	}
	t.name = m.CSV.Value
	t.file = newText(s.Files[t.name])
	if err := t.readCSV(s.Files[t.name]); err != nil {
		diags.Errorf(diag.Pos{File: t.name}, "bad-csv", "%v", err)
		return nil
	}
	return t.resolve(diags)
}

// resolve finds the columns that the map names in the header of its file.
func (t *codeTable) resolve(diags *diag.List) *codeTable {
	find := func(list []*syntax.Text) (at []int) {
		for _, x := range list {
			i := slices.IndexFunc(t.header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), x.Value) })
			if i < 0 {
				diags.Errorf(x.Pos, "unknown-column", "column %q is not in file %q", x.Value, t.name)
				return nil
			}
			at = append(at, i)
		}
		return at
	}
	if t.keys, t.values = find(t.def.Key), find(t.def.Value); t.keys == nil || t.values == nil {
		return nil
	}
	t.build()
	return t
}

func (t *codeTable) build() {
	for i := range t.rows {
		k := t.key(t.rows[i].cells)
		if _, twice := t.index[k]; !twice {
			t.index[k] = i
		}
	}
}

// key is the identity of a row: its key cells, trimmed as the mapping compares
// them. "" is no key.
func (t *codeTable) key(cells []string) string {
	parts := make([]string, len(t.keys))
	filled := false
	for i, k := range t.keys {
		if k < len(cells) {
			parts[i] = strings.TrimSpace(cells[k])
			filled = filled || parts[i] != ""
		}
	}
	if !filled {
		return ""
	}
	return strings.Join(parts, "\x00")
}

// mark tells a row's values as they were written.
func (t *codeTable) mark(cells []string) string {
	parts := make([]string, len(t.values))
	for i, v := range t.values {
		if v < len(cells) {
			parts[i] = tidy(clip(cells[v]))
		}
	}
	return mark(parts...)
}

func (t *codeTable) readCSV(data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	for n := 0; ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n == 0 {
			record[0] = strings.TrimPrefix(record[0], "\ufeff")
			t.header = record
			continue
		}
		row := codeRow{cells: record, spans: make([][2]int, len(record))}
		for i := range record {
			line, column := r.FieldPos(i)
			row.spans[i] = t.fieldSpan(line, column)
			if i == 0 {
				row.pos = diag.Pos{File: t.name, Line: line, Column: 1}
			}
		}
		t.rows = append(t.rows, row)
	}
	if t.header == nil {
		return errors.New("the file has no header line")
	}
	return nil
}

// fieldSpan is the bytes of a field, quotes included; line and column are
// 1-based, the column in bytes and, of a quoted field, behind its quote.
func (t *codeTable) fieldSpan(line, column int) [2]int {
	data := t.file.data
	from := t.file.lines[line-1] + column - 1
	if from > 0 && from <= len(data) && data[from-1] == '"' {
		i := from
		for ; i < len(data); i++ {
			if data[i] != '"' {
				continue
			}
			if i+1 < len(data) && data[i+1] == '"' {
				i++
				continue
			}
			break
		}
		return [2]int{from - 1, min(i+1, len(data))}
	}
	to := from
	for to < len(data) && strings.IndexByte(",\r\n", data[to]) < 0 {
		to++
	}
	return [2]int{from, to}
}

// field writes a CSV field; quoted says that the old one was.
func field(value string, quoted bool) string {
	if quoted || value != strings.TrimSpace(value) || strings.ContainsAny(value, ",\"\r\n") {
		return `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
	}
	return value
}

// set is the edit that gives one cell another value.
func (t *codeTable) set(row, column int, value string) (edit, error) {
	r := &t.rows[row]
	if column >= len(r.spans) {
		return edit{}, fmt.Errorf("line %d of %s has no column %s", r.pos.Line, t.name, t.header[column])
	}
	at := r.spans[column]
	if t.def.CSV != nil {
		return edit{from: at[0], to: at[1], text: field(value, at[0] < len(t.file.data) && t.file.data[at[0]] == '"')}, nil
	}
	return t.file.replace(t.def.Entries[row].Value, value), nil
}

// add is the edit that appends a row.
func (t *codeTable) add(cells []string) (edit, diag.Pos, error) {
	if t.def.CSV != nil {
		fields := make([]string, len(t.header))
		for i := range fields {
			if i < len(cells) {
				fields[i] = field(cells[i], false)
			}
		}
		at := len(t.file.data)
		line := strings.Join(fields, ",")
		if at > 0 && t.file.data[at-1] != '\n' {
			return edit{from: at, to: at, text: t.file.eol + line}, diag.Pos{File: t.name, Line: len(t.file.lines)}, nil
		}
		return edit{from: at, to: at, text: line + t.file.eol}, diag.Pos{File: t.name, Line: len(t.file.lines)}, nil
	}
	key, value := strings.TrimSpace(cells[0]), cells[1]
	switch key {
	case "default", "missing", "csv":
		return edit{}, t.def.Pos, fmt.Errorf("key %q is a word of the language; keep such a key in a CSV file", key)
	}
	if len(t.def.Entries) == 0 {
		return edit{}, t.def.Pos, fmt.Errorf("map %q has no entry to add to", t.def.Name.Value)
	}
	last := t.def.Entries[len(t.def.Entries)-1]
	_, end := t.file.span(last.Value)
	if t.file.inFlow(t.file.offset(last.Key.Pos)) {
		return edit{from: end, to: end, text: ", " + mapKey(key, true) + ": " + t.file.scalar(value, 0, true, 0)}, last.Key.Pos, nil
	}
	line := t.file.lineOf(max(end-1, 0))
	indent := last.Key.Pos.Column - 1
	return t.file.after(line, indent, mapKey(key, false)+": "+t.file.scalar(value, 0, false, indent)), diag.Pos{File: t.name, Line: line + 1}, nil
}

// mapKey writes the key of a map, quoted where it could be taken for more than
// a text.
func mapKey(key string, flow bool) string {
	if plainSafe(key, flow) && !strings.ContainsAny(key, ":") && (key[0] < '0' || key[0] > '9') {
		return key
	}
	return doubleQuoted(key)
}

// policy says what a map does with a key it does not hold.
func policy(m *syntax.Map) string {
	switch {
	case m.Default != nil:
		return "default: " + m.Default.Value
	case m.Missing != nil:
		return "missing: " + m.Missing.Value
	}
	return "missing: withhold"
}
