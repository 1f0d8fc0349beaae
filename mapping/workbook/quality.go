package workbook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"remit/profiles"
)

// Quality is what a run counted, in the form of an export's report.json. It
// holds no row but the codes that no map knows.
type Quality struct {
	TransactionTime time.Time `json:"transaction_time,omitzero"`
	Started         time.Time `json:"started,omitzero"`
	Finished        time.Time `json:"finished,omitzero"`

	Rows     int64            `json:"rows"`
	Exported map[string]int64 `json:"exported"` // resources, by type
	Withheld map[string]int64 `json:"withheld"`
	Flagged  map[string]int64 `json:"flagged,omitempty"`
	Reasons  map[string]int64 `json:"reasons,omitempty"`
	Bytes    map[string]int64 `json:"bytes"`

	Findings []FindingCount `json:"findings,omitempty"`

	Skipped  map[string]int64 `json:"skipped,omitempty"`  // rows, by reason
	Absent   map[string]int64 `json:"absent,omitempty"`   // values, by path
	Assumed  map[string]int64 `json:"assumed,omitempty"`  // values, by path
	Unmapped map[string]int64 `json:"unmapped,omitempty"` // keys, by map
	// UnmappedKeys are those keys one by one, by map: codes as rows have them.
	UnmappedKeys map[string]map[string]int64 `json:"unmapped_keys,omitempty"`
	Headers      map[string]int64            `json:"headers,omitempty"` // keys whose rows differ, by source
}

// FindingCount is how often a rule was broken.
type FindingCount struct {
	Severity   string `json:"severity"`
	Code       string `json:"code"`
	Profile    string `json:"profile,omitempty"`
	Element    string `json:"element,omitempty"`
	Constraint string `json:"constraint,omitempty"`
	Count      int64  `json:"count"`
}

// ReadQuality reads a report.json.
func ReadQuality(r io.Reader) (*Quality, error) {
	q := &Quality{}
	if err := json.NewDecoder(r).Decode(q); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if q.Exported == nil && q.Withheld == nil && q.Findings == nil {
		return nil, fmt.Errorf("read the report: it counts no resources; expected the report of an export")
	}
	return q, nil
}

// SummaryQuality is the quality of resources that were only judged.
func SummaryQuality(s *profiles.Summary) *Quality {
	q := &Quality{Reasons: map[string]int64{}}
	for _, r := range s.Rules() {
		q.Findings = append(q.Findings, FindingCount{
			Severity: r.Severity.String(), Code: r.Code, Profile: r.Profile, Element: r.Element, Constraint: r.Constraint, Count: int64(r.Findings),
		})
	}
	return q
}

// types are all resource types that a run counted, sorted.
func (q *Quality) types() []string {
	seen := map[string]bool{}
	for _, m := range []map[string]int64{q.Exported, q.Withheld, q.Flagged} {
		for name := range m {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// frequent lists names by count, most frequent first.
func frequent(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
}

// qualityHeader are the columns of the quality sheet's table.
var qualityHeader = []column{
	{title: "Section", width: 16}, {title: "Severity", width: 11}, {title: "Code / reason", width: 30}, {title: "Profile", width: 66},
	{title: "Element / path / map", width: 62}, {title: "Constraint", width: 20}, {title: "Count", width: 12},
}

// quality writes the quality sheet.
func (b *book) quality(q *Quality) error {
	const sheet = qualitySheet
	if _, err := b.file.NewSheet(sheet); err != nil {
		return err
	}
	b.setWidths(sheet, qualityHeader)
	b.put(sheet, 1, 1, "Quality of the run", look{title: true})
	when := fmt.Sprintf("%d rows read", q.Rows)
	if !q.TransactionTime.IsZero() {
		when = "transactionTime " + q.TransactionTime.UTC().Format(time.RFC3339) + "; " + when
	}
	if d := q.Finished.Sub(q.Started); d > 0 {
		when += fmt.Sprintf(" in %s", d.Round(time.Millisecond))
	}
	b.put(sheet, 2, 1, when, look{soft: true})
	b.back(sheet, 3)
	row := 5
	if types := q.types(); len(types) > 0 {
		for i, h := range []string{"Resource type", "Exported", "Withheld", "Flagged", "Bytes"} {
			b.put(sheet, row, i+1, h, look{header: true})
		}
		for _, t := range types {
			row++
			b.put(sheet, row, 1, t, look{border: true})
			for i, n := range []int64{q.Exported[t], q.Withheld[t], q.Flagged[t], q.Bytes[t]} {
				l := look{border: true, number: true}
				if i == 1 && n > 0 {
					l.fill = fillMissing
				}
				b.put(sheet, row, i+2, n, l)
			}
		}
		row += 2
	}
	b.headers(sheet, row, qualityHeader)
	top := row
	line := func(section, severity, code, profile, element, constraint string, count int64) {
		row++
		fill := ""
		switch severity {
		case "error":
			fill = fillMissing
		case "warning":
			fill = fillSupport
		}
		for i, v := range []string{section, severity, code, profile, element, constraint} {
			b.put(sheet, row, i+1, v, look{border: true, wrap: true, fill: fill})
		}
		b.fit(sheet, row, qualityHeader, map[int]string{2: code, 3: profile, 4: element, 5: constraint})
		b.put(sheet, row, 7, count, look{border: true, number: true, fill: fill})
	}
	for _, k := range frequent(q.Reasons) {
		line("withheld", "error", k, "", "", "", q.Reasons[k])
	}
	for _, f := range q.Findings {
		line("finding", f.Severity, f.Code, f.Profile, f.Element, f.Constraint, f.Count)
	}
	for _, name := range slices.Sorted(maps.Keys(q.UnmappedKeys)) {
		for _, k := range frequent(q.UnmappedKeys[name]) {
			line("unmapped code", "warning", k, "", "map "+name, "", q.UnmappedKeys[name][k])
		}
	}
	for _, s := range []struct {
		name   string
		counts map[string]int64
	}{{"unmapped keys", q.Unmapped}, {"differing header", q.Headers}, {"absent value", q.Absent}, {"assumed value", q.Assumed}} {
		for _, k := range frequent(s.counts) {
			line(s.name, "", "", "", k, "", s.counts[k])
		}
	}
	for _, k := range frequent(q.Skipped) {
		line("skipped row", "", k, "", "", "", q.Skipped[k])
	}
	if row == top {
		line("nothing to report", "", "", "", "", "", 0)
	}
	b.filter(sheet, top, row, len(qualityHeader))
	b.freeze(sheet, top, 0)
	b.page(sheet, top)
	return b.err
}
