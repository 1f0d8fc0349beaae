package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"remit/server/export"
)

// total adds the counts of a report's map.
func total(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// tableRow is one line of the table that ends an export.
type tableRow struct {
	typeName string
	count    int64
	files    []string
	bytes    int64
	withheld int64
	findings int64 // errors and warnings
}

// tableRows gathers an export's figures by resource type. Types without a
// single resource are shown too where some were withheld.
func tableRows(m *export.Manifest, r *export.Report) []tableRow {
	byType := map[string]*tableRow{}
	row := func(name string) *tableRow {
		if byType[name] == nil {
			byType[name] = &tableRow{typeName: name}
		}
		return byType[name]
	}
	for _, f := range m.Output {
		t := row(f.Type)
		t.count += f.Count
		t.files = append(t.files, f.Name)
		if f.Info != nil {
			t.bytes += f.Info.Bytes
		}
	}
	for name, n := range r.Withheld {
		row(name).withheld += n
	}
	for _, f := range r.Findings {
		if f.Severity == "note" {
			continue
		}
		// An element id begins with its resource's type.
		name := f.Element
		if i := strings.IndexAny(name, ".:"); i >= 0 {
			name = name[:i]
		}
		if byType[name] != nil {
			byType[name].findings += f.Count
		}
	}
	rows := make([]tableRow, 0, len(byType))
	for _, t := range byType {
		rows = append(rows, *t)
	}
	slices.SortFunc(rows, func(a, b tableRow) int { return strings.Compare(a.typeName, b.typeName) })
	return rows
}

// writeTable prints what an export made: a line a type, then the sum with the
// rate, then what the report counts beside.
func writeTable(w io.Writer, m *export.Manifest, r *export.Report, gzip bool) error {
	elapsed := r.Finished.Sub(r.Started)
	rows := [][]string{{"type", "resources", "bytes", "withheld", "findings", "resources/s", "file"}}
	var sum tableRow
	for _, x := range tableRows(m, r) {
		name := "-"
		if len(x.files) > 0 {
			name = filePath("", x.files[0], gzip)
		}
		if len(x.files) > 1 {
			name += fmt.Sprintf(" and %d more", len(x.files)-1)
		}
		rows = append(rows, x.cells(elapsed, name))
		sum.count += x.count
		sum.bytes += x.bytes
		sum.withheld += x.withheld
		sum.findings += x.findings
	}
	sum.typeName = "all"
	rows = append(rows, sum.cells(elapsed, ""))
	if err := writeColumns(w, rows); err != nil {
		return err
	}
	for _, line := range []struct {
		name   string
		counts map[string]int64
	}{
		{"withheld for", r.Reasons}, {"absent values", r.Absent}, {"assumed values", r.Assumed},
		{"unmapped keys", r.Unmapped}, {"skipped rows", r.Skipped},
	} {
		if len(line.counts) > 0 {
			fmt.Fprintf(w, "%s: %s\n", line.name, countsText(line.counts))
		}
	}
	return nil
}

// cells are a row's columns as text.
func (t *tableRow) cells(elapsed time.Duration, file string) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		t.typeName, number(t.count), number(t.bytes), number(t.withheld), number(t.findings), rate(t.count, elapsed), file,
	}
}

// writeColumns aligns rows of equal length: names to the left (the first and
// the last column), figures to the right.
func writeColumns(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len(cell))
			switch i {
			case 0:
				b.WriteString(cell + pad)
			case len(row) - 1:
				b.WriteString("  " + cell)
			default:
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// countsText is "a 3, b 1", most frequent first.
func countsText(counts map[string]int64) string {
	names := make([]string, 0, len(counts))
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := counts[b] - counts[a]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s %d", n, counts[n])
	}
	return strings.Join(parts, ", ")
}

// rate is resources a second of the whole export.
func rate(n int64, elapsed time.Duration) string {
	if elapsed <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)/elapsed.Seconds())
}

func writeReportJSON(w io.Writer, r *export.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
