package export

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"remit/mapping/program"
	"remit/profiles"
)

// Report counts what an export did. It holds no row but the codes that no map
// knows.
type Report struct {
	TransactionTime time.Time `json:"transaction_time,omitzero"`
	Started         time.Time `json:"started,omitzero"`
	Finished        time.Time `json:"finished,omitzero"`
	// View is the mapping view that was exported, "" for the full one.
	View string `json:"view,omitempty"`
	// Restarts is how often the export had to start over.
	Restarts int `json:"restarts,omitempty"`

	Rows int64 `json:"rows"` // of the warehouse
	// Exported, Withheld and Flagged count resources by type; a flagged one is
	// exported with errors among its findings.
	Exported map[string]int64 `json:"exported"`
	Withheld map[string]int64 `json:"withheld"`
	Flagged  map[string]int64 `json:"flagged,omitempty"`
	// Filtered counts resources by type that _typeFilter or the client's grant
	// left out; Deleted what is told as gone since _since.
	Filtered map[string]int64 `json:"filtered,omitempty"`
	Deleted  map[string]int64 `json:"deleted,omitempty"`
	// Reasons counts withheld resources by the first reason: the code of a
	// finding, duplicate-id or line-too-long.
	Reasons map[string]int64 `json:"reasons,omitempty"`
	// Bytes of NDJSON, uncompressed, by type.
	Bytes map[string]int64 `json:"bytes"`
	// Findings of every severity by rule, most frequent first.
	Findings []FindingCount `json:"findings,omitempty"`

	Skipped  map[string]int64 `json:"skipped,omitempty"`  // rows, by reason
	Absent   map[string]int64 `json:"absent,omitempty"`   // values, by path
	Assumed  map[string]int64 `json:"assumed,omitempty"`  // values, by path
	Unmapped map[string]int64 `json:"unmapped,omitempty"` // keys, by map
	// UnmappedKeys counts those keys one by one, by map, at most maxKeys of each.
	// They are codes as rows have them: for the operator's report, never for a
	// log or a client.
	UnmappedKeys map[string]program.KeyCounts `json:"unmapped_keys,omitempty"`
	// Headers counts the keys whose rows differ in what they repeat, by source.
	Headers map[string]int64 `json:"headers,omitempty"`
}

// Rule identifies what a finding breaks.
type Rule struct {
	Severity   string `json:"severity"`
	Code       string `json:"code"`
	Profile    string `json:"profile,omitempty"`
	Element    string `json:"element,omitempty"`
	Constraint string `json:"constraint,omitempty"`
}

// FindingCount is how often a rule was broken.
type FindingCount struct {
	Rule
	Count int64 `json:"count"`
}

// tally is a Report in the making, of one chunk. It is used by one goroutine.
type tally struct {
	Report
	rules map[Rule]int64
}

func newTally() *tally {
	return &tally{rules: map[Rule]int64{}, Report: Report{
		Exported: map[string]int64{}, Withheld: map[string]int64{}, Flagged: map[string]int64{},
		Filtered: map[string]int64{}, Deleted: map[string]int64{},
		Reasons: map[string]int64{}, Bytes: map[string]int64{},
	}}
}

func (t *tally) finding(f *profiles.Finding) {
	t.rules[Rule{f.Severity.String(), f.Code, f.Profile, f.Element, f.Constraint}]++
}

// close takes the program's counts in and lays the rules out.
func (t *tally) close(p *program.Report) *Report {
	if p != nil {
		t.Rows = p.Rows
		t.Skipped, t.Absent, t.Assumed, t.Unmapped = p.Skipped, p.Absent, p.Assumed, p.Unmapped
		t.UnmappedKeys, t.Headers = p.UnmappedKeys, p.Headers
	}
	t.Findings = layOut(t.rules)
	return &t.Report
}

func layOut(rules map[Rule]int64) []FindingCount {
	all := make([]FindingCount, 0, len(rules))
	for r, n := range rules {
		all = append(all, FindingCount{r, n})
	}
	slices.SortFunc(all, func(a, b FindingCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Element, b.Element), cmp.Compare(a.Constraint, b.Constraint))
	})
	return all
}

// merge adds the counts of o to r.
func (r *Report) merge(o *Report) {
	r.Rows += o.Rows
	rules := map[Rule]int64{}
	for _, list := range [][]FindingCount{r.Findings, o.Findings} {
		for _, f := range list {
			rules[f.Rule] += f.Count
		}
	}
	r.Findings = layOut(rules)
	for _, m := range []struct {
		to   *map[string]int64
		from map[string]int64
	}{
		{&r.Exported, o.Exported}, {&r.Withheld, o.Withheld}, {&r.Flagged, o.Flagged}, {&r.Reasons, o.Reasons},
		{&r.Bytes, o.Bytes}, {&r.Filtered, o.Filtered}, {&r.Deleted, o.Deleted}, {&r.Skipped, o.Skipped}, {&r.Absent, o.Absent}, {&r.Assumed, o.Assumed}, {&r.Unmapped, o.Unmapped},
		{&r.Headers, o.Headers},
	} {
		if *m.to == nil && len(m.from) > 0 {
			*m.to = map[string]int64{}
		}
		for k, n := range m.from {
			(*m.to)[k] += n
		}
	}
	r.mergeKeys(o)
}

// maxKeys bounds the keys listed for one map.
const maxKeys = 1000

// mergeKeys adds the unmapped keys of o to r; the first maxKeys of a map stay.
func (r *Report) mergeKeys(o *Report) {
	for name, keys := range o.UnmappedKeys {
		if r.UnmappedKeys == nil {
			r.UnmappedKeys = map[string]program.KeyCounts{}
		}
		own := r.UnmappedKeys[name]
		if own == nil {
			own = program.KeyCounts{}
			r.UnmappedKeys[name] = own
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if _, known := own[k]; known || len(own) < maxKeys {
				own[k] += keys[k]
			}
		}
	}
}

// total is the sum over all types.
func total(m map[string]int64) int64 {
	var n int64
	for v := range maps.Values(m) {
		n += v
	}
	return n
}
