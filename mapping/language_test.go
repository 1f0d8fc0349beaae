package mapping_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/sql/source"
)

// folder makes a warehouse of CSV tables: name.csv and warehouse.yaml.
func folder(t testing.TB, files map[string]string) source.Source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return warehouse(t, dir)
}

// files is a mapping set of texts by name.
func files(set map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range set {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

// must loads a set that has no errors.
func must(t testing.TB, w source.Source, set fs.FS) *program.Program {
	t.Helper()
	p, diags := load(t, w, set)
	if p == nil {
		t.Fatal(diags.Err())
	}
	return p
}

// emitted runs a request and lists what a test wants to see of each resource.
func emitted(t testing.TB, w source.Source, p *program.Program, r program.Request, show func(*program.Emitted) string) ([]string, *program.Report, error) {
	t.Helper()
	snap, err := w.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	var out []string
	report, err := p.Run(context.Background(), snap, r, func(e *program.Emitted) error {
		out = append(out, show(e))
		return nil
	})
	return out, report, err
}

func body(e *program.Emitted) string {
	text := string(e.Resource.AppendJSON(nil))
	_, after, _ := strings.Cut(text, `"lastUpdated":"`)
	_, after, _ = strings.Cut(after, `}`)
	for _, f := range e.Findings {
		after += " " + f.Code
	}
	return e.Type + after
}

var keyless = map[string]string{
	"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, member_id: text, total: text}}\n  line: {columns: {claim_id: text, line_no: integer, member_id: text, note: text}}\n  fee: {columns: {claim_id: text, line_no: integer, fee_no: integer}}\n",
	"claim.csv":      "claim_id,member_id,total\nC1,M1,1\n,M1,2\nC3,M2,3\nC4,,4\n,,5\n",
	"line.csv":       "claim_id,line_no,member_id,note\nC1,1,M1,a\nC1,,M1,b\n,1,M1,c\nC4,1,,d\n,7,,e\nC9,1,M2,f\n",
	"fee.csv":        "claim_id,line_no,fee_no\nC1,1,1\nC1,,2\n,,3\nC4,1,1\n",
}

var keylessSet = map[string]string{
	"sources.yaml": `
sources:
  claim: {table: claim, key: [claim_id], patient: member_id}
  line: {table: line, parent: claim, order: [line_no], patient: member_id}
  fee: {table: fee, parent: line, order: [fee_no]}
`,
	"claim.yaml": `
resource: Basic
from: claim
set:
  code: {text: =total}
  extension: {each: line, url: "urn:x", extension: [{url: n, valueString: =note}, {url: fee, each: fee, valueInteger: =fee_no}]}
`,
}

// TestRule20_NullKeys asks that rows with a NULL key part are passed over and
// counted, in a run of everything and in the parts of a split alike; a NULL in
// the order of a child stands last.
func TestRule20_NullKeys(t *testing.T) {
	w := folder(t, keyless)
	p := must(t, w, files(keylessSet))
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	whole, passed := outcome(t, p, snap, program.Request{})
	want := map[string]int64{"null-key": 2 + 2 + 2, "orphan": 1}
	if d := cmp.Diff(want, passed); d != "" {
		t.Errorf("whole (-want +got):\n%s", d)
	}
	if !strings.Contains(whole[0], `"valueString":"a"`) || !strings.Contains(whole[0], `"valueString":"b"`) {
		t.Errorf("a line is lost: %s", whole[0])
	}
	parts, err := p.Split(t.Context(), snap, program.Request{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	joined, skipped := outcome(t, p, snap, parts...)
	if d := cmp.Diff(whole, joined); d != "" {
		t.Errorf("whole and parts (-whole +parts):\n%s", d)
	}
	if nulls := skipped["null-key"]; nulls != want["null-key"] {
		t.Errorf("the parts count %d rows without a key, want %d", nulls, want["null-key"])
	}
	if !parts[len(parts)-1].Unowned {
		t.Error("no part for the rows without a patient")
	}
}

// TestRule28_ChildOfAnother asks that a child row whose patient is not its
// parent's is counted where an export is cut by patient, whoever it names.
func TestRule28_ChildOfAnother(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": keyless["warehouse.yaml"],
		"claim.csv":      "claim_id,member_id,total\nC1,M1,1\nC2,M2,2\n",
		"line.csv":       "claim_id,line_no,member_id,note\nC1,1,M1,a\nC1,2,,of nobody\nC1,3,M2,of another\nC2,1,M2,b\n",
		"fee.csv":        "claim_id,line_no,fee_no\n",
	})
	p := must(t, w, files(keylessSet))
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	parts, err := p.Split(t.Context(), snap, program.Request{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	all, skipped := outcome(t, p, snap, parts...)
	text := strings.Join(all, "\n")
	if orphans := skipped["orphan"]; len(all) != 2 || orphans != 2 || strings.Contains(text, "of nobody") || strings.Contains(text, "of another") {
		t.Errorf("%d orphans, want 2:\n%s", orphans, text)
	}
}

// TestRule20_NullKeysNarrowed asks the same of a pass whose only condition is
// pushed down.
func TestRule20_NullKeysNarrowed(t *testing.T) {
	w := folder(t, keyless)
	set := files(keylessSet)
	set["claim.yaml"].Data = []byte(strings.Replace(string(set["claim.yaml"].Data), "from: claim", "from: claim\nwhere: total <> '3'", 1))
	_, report, err := emitted(t, w, must(t, w, set), program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"null-key": 6}, report.Skipped); d != "" {
		t.Error(d)
	}
}

// TestRule21_CheckData counts what is wrong with the keys, where a run would
// stop.
func TestRule21_CheckData(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, member_id: text, seq: integer}}\n  line: {columns: {claim_id: text, line_no: integer}}\n  member: {columns: {member_id: text, alias: text}}\n",
		"claim.csv":      "claim_id,member_id,seq\nC1,M1,1\nC1,M1,2\nC2,M9,1\nC3,,1\n,M2,1\n",
		"line.csv":       "claim_id,line_no\nC1,1\nC1,1\nC7,1\n,1\n",
		"member.csv":     "member_id,alias\nM1,a\nM2,a\nM3,b\n",
	})
	p := must(t, w, files(map[string]string{
		"sources.yaml": "sources:\n  claim: {table: claim, key: [claim_id], patient: member_id}\n  line: {table: line, parent: claim, order: [line_no]}\n  member: {table: member, key: [member_id]}\n",
		"patient.yaml": "resource: Patient\nfrom: member\nset: {active: true}\n",
		"person.yaml":  "resource: Person\nfrom: member\nid: {key: [=alias], unique: true}\nset: {active: true}\n",
		"basic.yaml":   "resource: Basic\nfrom: claim\nset:\n  code: {text: x}\n  subject: {ref: Patient, key: [=member_id]}\n  extension: {each: line, url: 'urn:x', valueInteger: =line_no}\n",
	}))
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	want := &program.DataReport{
		Sources: []program.SourceData{
			{Source: "claim", Rows: 5, NullKeys: 1, Duplicates: 1}, {Source: "line", Rows: 4, NullKeys: 1, Orphans: 1, Duplicates: 1}, {Source: "member", Rows: 6},
		},
		IDs:        []program.IDData{{Type: "Basic", Resources: 3}, {Type: "Patient", Resources: 3}, {Type: "Person", Resources: 3, Duplicates: 1}},
		References: []program.ReferenceData{{Target: "Patient", References: 2, Dangling: 1}},
	}
	want.Sources[2].Rows = 3
	for _, limit := range []int{0, 1} {
		got, err := p.CheckData(t.Context(), snap, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.References {
			if got.References[i].Pos.File != "basic.yaml" || got.References[i].Pos.Line != 5 {
				t.Errorf("the reference is told at %s", got.References[i].Pos)
			}
			got.References[i].Pos = want.References[0].Pos
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("at most %d ids (-want +got):\n%s", limit, d)
		}
		if got.Clean() {
			t.Error("clean")
		}
	}
}

// TestHeader shows the policies for header values that are repeated on lines
// and disagree.
func TestHeader(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  med: {columns: {claim_id: text, line_no: integer, paid: text, status: text}}\n",
		"med.csv":        "claim_id,line_no,paid,status\nC1,1,10,a\nC1,2,20,a\nC2,2,7,c\nC2,1,7,c\nC3,1,5,d\n,1,5,d\n",
	})
	set := func(policy string) fstest.MapFS {
		return files(map[string]string{
			"sources.yaml": "sources:\n  claim: {table: med, key: [claim_id], order: [line_no], header: " + policy + "}\n  line: {table: med, parent: claim, order: [line_no]}\n",
			"basic.yaml":   "resource: Basic\nfrom: claim\nset: {code: {text: =paid}, extension: {each: line, url: 'urn:x', valueInteger: =line_no}}\n",
		})
	}
	p := must(t, w, set("first"))
	got, report, err := emitted(t, w, p, program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	one := `Basic,"extension":[{"url":"urn:x","valueInteger":1},{"url":"urn:x","valueInteger":2}],"code":{"text":"10"}}`
	want := []string{one, strings.Replace(one, `"10"`, `"7"`, 1), `Basic,"extension":[{"url":"urn:x","valueInteger":1}],"code":{"text":"5"}}`}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if report.Headers["claim"] != 1 || report.Rows != 6 || report.Skipped["null-key"] != 2 {
		t.Errorf("report: %+v", report)
	}
	got, _, err = emitted(t, w, must(t, w, set("withhold")), program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	want[0] += " header-differs"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_, _, err = emitted(t, w, must(t, w, set("assert")), program.Request{}, body)
	var differs *program.HeaderError
	if !errors.As(err, &differs) {
		t.Fatalf("got %v, want a HeaderError", err)
	}
	if d := cmp.Diff(program.HeaderError{Source: "claim", Row: 2, Column: `"paid"`}, *differs); d != "" {
		t.Error(d)
	}
}

// TestRule25_Money converts the declared formats of amounts.
func TestRule25_Money(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  c: {columns: {id: text, cents: integer, written: text, plain: \"decimal(18,2)\"}}\n",
		"c.csv":          "id,cents,written,plain\n1,12050,\"$1,234.50\",3.10\n2,-5,\"(12.00)\",0.00\n3,,\"1,23\",7.00\n",
	})
	set := func(money, column string) fstest.MapFS {
		return files(map[string]string{
			"sources.yaml": "currency: USD\nsources:\n  c: {table: c, key: [id], money: " + money + "}\n",
			"invoice.yaml": "resource: Invoice\nfrom: c\nset: {status: issued, totalNet: =" + column + "}\n",
		})
	}
	for _, tc := range []struct {
		money, column string
		want          []string
	}{
		{"cents", "cents", []string{`120.50`, `-0.05`, ``}},
		{`"$1,234.50"`, "written", []string{`1234.50`, `-12.00`, `invalid-value`}},
		{`["$1,234.50", decimal]`, "plain", []string{`3.10`, `0.00`, `7.00`}},
	} {
		got, _, err := emitted(t, w, must(t, w, set(tc.money, tc.column)), program.Request{}, func(e *program.Emitted) string {
			for _, f := range e.Findings {
				return f.Code
			}
			_, after, _ := strings.Cut(body(e), `"value":`)
			value, _, _ := strings.Cut(after, ",")
			return value
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.money, d)
		}
	}
}

var changing = map[string]string{
	"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, member_id: text, state: text, loaded: timestamp}}\n  gone: {columns: {claim_id: text, gone_at: timestamp}}\n  line: {columns: {claim_id: text, line_no: integer, loaded: timestamp}}\n",
	"claim.csv": "claim_id,member_id,state,loaded\nC1,M1,final,2024-01-01 00:00:00\nC2,M1,final,2024-03-01 00:00:00\nC3,M2,void,2024-03-01 00:00:00\n" +
		"C4,M2,void,2024-01-01 00:00:00\nC5,M2,draft,2024-03-02 00:00:00\n",
	"gone.csv": "claim_id,gone_at\nC2,2024-03-05 00:00:00\nC8,2024-03-05 00:00:00\nC9,2024-01-05 00:00:00\nC3,2024-03-05 00:00:00\n",
	"line.csv": "claim_id,line_no,loaded\nC1,1,2024-01-01 00:00:00\nC4,1,2024-04-01 00:00:00\n",
}

// TestRule30_Removed tells, in an incremental run that asks for it, what is
// gone: rows that no mapping takes any more, and keys of removed that are not
// back.
func TestRule30_Removed(t *testing.T) {
	w := folder(t, changing)
	p := must(t, w, files(map[string]string{
		"sources.yaml": `
timezone: UTC
sources:
  claim: {table: claim, key: [claim_id], patient: member_id, updated: loaded, removed: "SELECT claim_id, gone_at AS removed_at FROM gone"}
`,
		"final.yaml": "resource: Basic\nfrom: claim\nwhere: state = 'final'\nid: {key: [c, =claim_id], form: plain}\nset: {code: {text: final}}\n",
		"draft.yaml": "resource: Basic\nfrom: claim\nwhere: state = 'draft'\nid: {key: [c, =claim_id], form: plain}\nset: {code: {text: draft}}\n",
	}))
	show := func(e *program.Emitted) string {
		if e.Deleted {
			if e.Resource != nil {
				t.Error("a deletion with a resource")
			}
			return fmt.Sprintf("- %s/%s %s %s", e.Type, e.ID, e.Key, e.Updated.Format(time.DateOnly))
		}
		return fmt.Sprintf("+ %s/%s", e.Type, e.ID)
	}
	since := time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)
	last := "M8"
	for _, tc := range []struct {
		name string
		r    program.Request
		want []string
	}{
		{"unasked", program.Request{Since: since}, []string{"+ Basic/c-C2", "+ Basic/c-C5"}},
		{"without since", program.Request{Deletions: true}, []string{"+ Basic/c-C1", "+ Basic/c-C2", "+ Basic/c-C5"}},
		// C3 left its mapping and is removed as well; C2 is listed but there.
		{"asked", program.Request{Since: since, Deletions: true}, []string{
			"+ Basic/c-C2", "- Basic/c-C3 claim_id=C3 2024-03-01", "+ Basic/c-C5", "- Basic/c-C3 claim_id=C3 2024-03-05", "- Basic/c-C8 claim_id=C8 2024-03-05"}},
		{"one patient", program.Request{Since: since, Deletions: true, Patients: []string{"M1"}}, []string{"+ Basic/c-C2"}},
		// C8 may be the row of somebody who chose to stay out, here or in another part.
		{"without some", program.Request{Since: since, Deletions: true, Without: []string{"M9"}, Chosen: true}, []string{
			"+ Basic/c-C2", "- Basic/c-C3 claim_id=C3 2024-03-01", "+ Basic/c-C5"}},
		{"the last part", program.Request{Pass: 1, Since: since, Deletions: true, After: &last, Chosen: true}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, report, err := emitted(t, w, p, tc.r, show)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			gone := int64(0)
			for _, l := range tc.want {
				if l[0] == '-' {
					gone++
				}
			}
			if report.Deleted["Basic"] != gone {
				t.Errorf("%d deletions counted, want %d", report.Deleted["Basic"], gone)
			}
		})
	}
}

// TestRule30_RemovedPatient: where removed rows tell whose they were, those of
// everybody else are told; where not, the load says what that costs.
func TestRule30_RemovedPatient(t *testing.T) {
	w := folder(t, changing)
	set := func(columns string) map[string]string {
		return map[string]string{
			"sources.yaml": "timezone: UTC\nsources:\n  claim: {table: claim, key: [claim_id], patient: member_id, updated: loaded, removed: \"SELECT claim_id, " + columns + "gone_at AS removed_at FROM gone\"}\n",
			"basic.yaml":   "resource: Basic\nfrom: claim\nid: {key: [=claim_id], form: plain}\nset: {code: {text: x}}\n",
		}
	}
	_, diags := load(t, w, files(set("")))
	var text strings.Builder
	if err := diags.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if want := `sources.yaml:3:88: warning: removed of source "claim" gives no column "member_id", so that its deletions are told only where no patient is left out [removed-patient]`; !strings.Contains(text.String(), want) {
		t.Errorf("%s\nwant %s", text.String(), want)
	}
	p, diags := load(t, w, files(set("CASE claim_id WHEN 'C8' THEN 'M8' ELSE 'M3' END AS member_id, ")))
	silent(t, diags)
	for out, want := range map[string][]string{"M3": {"C8"}, "M8": nil} {
		r := program.Request{Since: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC), Deletions: true, Without: []string{out}, Chosen: true}
		var gone []string
		if _, _, err := emitted(t, w, p, r, func(e *program.Emitted) string {
			if e.Deleted {
				gone = append(gone, string(e.ID))
			}
			return ""
		}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, gone); d != "" {
			t.Errorf("without %s (-want +got):\n%s", out, d)
		}
	}
}

// TestRule29_ChildUpdated selects a parent by a later row of its child, whose
// change is the resource's own.
func TestRule29_ChildUpdated(t *testing.T) {
	w := folder(t, changing)
	p := must(t, w, files(map[string]string{
		"sources.yaml": "timezone: UTC\nsources:\n  claim: {table: claim, key: [claim_id], updated: loaded}\n  line: {table: line, parent: claim, order: [line_no], updated: loaded}\n",
		"basic.yaml":   "resource: Basic\nfrom: claim\nid: {key: [=claim_id], form: plain}\nset: {code: {text: x}, extension: {each: line, url: 'urn:x', valueInteger: =line_no}}\n",
	}))
	got, _, err := emitted(t, w, p, program.Request{Since: time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC)}, func(e *program.Emitted) string {
		return string(e.ID) + " " + e.Updated.Format(time.DateOnly)
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"C4 2024-04-01"}, got); d != "" {
		t.Error(d)
	}
}

func TestRule29_NoUpdatedIsNoted(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	_, diags := load(t, w, base(t))
	var got []string
	for _, d := range diags.All() {
		got = append(got, d.Code+" "+d.Pos.String())
	}
	if len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, "no-updated sources.yaml:") }) {
		t.Error(got)
	}
}

// TestRule33_PlainAmounts: money in a non-financial view is told under any type
// that can show it, and what only depends on money is not.
func TestRule33_PlainAmounts(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	eob := string(set["eob.yaml"].Data)
	basis := `views:
  basis:
    profile: C4BB-ExplanationOfBenefit-Professional-NonClinician-Basis|2.1.0
    drop: [total, "item.adjudication[adjudicationamounttype]"]
`
	category := `category: {coding: [{system: "http://terminology.hl7.org/CodeSystem/adjudication", code: `
	for _, tc := range []struct {
		name, from, to string // replaced
		added          string // to the set of elements
		want           string // path that is told, "" for none
	}{
		{"a decimal", "", "", "  extension: {url: \"https://payer.example/a\", valueDecimal: =total}\n", "ExplanationOfBenefit.extension.valueDecimal"},
		{"a text", "", "", "  extension: {url: \"https://payer.example/a\", valueString: \"='paid ' || CAST(total AS VARCHAR)\"}\n", "ExplanationOfBenefit.extension.valueString"},
		{"a quantity", "", "", "  supportingInfo: {category: {text: cost}, valueQuantity: =total}\n", "ExplanationOfBenefit.supportingInfo.valueQuantity.value"},
		{"a currency", "", "", "  supportingInfo: {category: {text: cost}, valueQuantity: {value: =length(kind), unit: usd}}\n", "ExplanationOfBenefit.supportingInfo.valueQuantity.value"},
		{"a currency by system", "", "", "  supportingInfo: {category: {text: cost}, valueQuantity: {value: =length(kind), system: \"urn:iso:std:iso:4217\", code: EUR}}\n", "ExplanationOfBenefit.supportingInfo.valueQuantity.value"},
		{"a line's value", "    adjudication[benefitpaymentstatus].reason: other\n", "    adjudication[benefitpaymentstatus].reason: other\n    adjudication:\n      - {" + category + "submitted}]}, value: =units}\n", "", "ExplanationOfBenefit.item.adjudication.value"},
		{"a count of a line", "    adjudication[benefitpaymentstatus].reason: other\n", "    adjudication[benefitpaymentstatus].reason: other\n    adjudication:\n      - {category: {coding: [{system: \"https://payer.example/c\", code: days}]}, value: =units}\n", "", ""},
		{"another number", "", "", "  supportingInfo: {category: {text: size}, valueQuantity: {value: =length(kind), unit: characters}}\n", ""},
		{"a switch", "", "", "  supportingInfo: {category: {text: paid}, valueBoolean: =total > 0}\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := eob
			if tc.from != "" {
				if text = strings.Replace(eob, tc.from, tc.to, 1); text == eob {
					t.Fatal("nothing was replaced")
				}
			}
			set["eob.yaml"].Data = []byte(text + tc.added + basis)
			_, diags := load(t, w, set)
			var told []string
			for _, d := range diags.All() {
				if d.Code == "no-updated" {
					continue
				}
				told = append(told, d.Code+" "+d.Message)
			}
			if tc.want == "" {
				if told != nil {
					t.Errorf("told: %v", told)
				}
				return
			}
			if len(told) != 1 || told[0] != `amount-in-basis view "basis" is non-financial and still writes `+tc.want {
				t.Errorf("told: %q", told)
			}
		})
	}
	// A mapping that has no view of its own is in it as it is.
	set["eob.yaml"].Data = []byte(eob + basis)
	set["plain.yaml"] = &fstest.MapFile{Data: []byte("resource: Basic\nfrom: claim\nset:\n  code: {text: cost}\n  extension: {url: \"https://payer.example/a\", valueDecimal: =total}\n")}
	_, diags := load(t, w, set)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "plain.yaml:5") || !strings.Contains(err.Error(), "[amount-in-basis]") {
		t.Errorf("without a view: %v", err)
	}
}

// TestRule33_Views makes the full and the non-financial resource of each row in
// one pass.
func TestRule33_Views(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	eob := string(set["eob.yaml"].Data)
	basis := `views:
  basis:
    profile: C4BB-ExplanationOfBenefit-Professional-NonClinician-Basis|2.1.0
    drop: [total, "item.adjudication[adjudicationamounttype]"]
`
	set["eob.yaml"].Data = []byte(eob + basis)
	p := must(t, w, set)
	if d := cmp.Diff([]string{"basis"}, p.Views()); d != "" {
		t.Fatal(d)
	}
	both, _, err := emitted(t, w, p, program.Request{Views: []string{"", "basis"}}, func(e *program.Emitted) string {
		text := string(e.Resource.AppendJSON(nil))
		return fmt.Sprintf("%s %q amounts:%v basis:%v", e.Type, e.View, strings.Contains(text, `"currency"`), strings.Contains(text, "-Basis|"))
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(both)
	both = slices.Compact(both)
	want := []string{
		`Coverage "" amounts:false basis:false`, `Coverage "basis" amounts:false basis:false`,
		`ExplanationOfBenefit "" amounts:true basis:false`, `ExplanationOfBenefit "basis" amounts:false basis:true`,
		`Group "" amounts:false basis:false`, `Group "basis" amounts:false basis:false`,
		`Organization "" amounts:false basis:false`, `Organization "basis" amounts:false basis:false`,
		`Patient "" amounts:false basis:false`, `Patient "basis" amounts:false basis:false`,
		`Practitioner "" amounts:false basis:false`, `Practitioner "basis" amounts:false basis:false`,
	}
	if d := cmp.Diff(want, both); d != "" {
		t.Error(d)
	}
	for _, tc := range []struct{ name, yaml, want string }{
		{"left in", eob + "  payment: {amount: =total}\n" + basis, "amount-in-basis"},
		{"misspelled", strings.Replace(eob+basis, "drop: [total", "drop: [totl", 1), "unknown-drop"},
	} {
		set["eob.yaml"].Data = []byte(tc.yaml)
		_, diags := load(t, w, set)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "["+tc.want+"]") {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
	// A node that loses all its data goes with its literals (rule 11).
	set["eob.yaml"].Data = []byte(eob + "  extension: {url: \"https://payer.example/amount\", valueMoney: =total}\n" +
		strings.Replace(basis, "drop: [total", "drop: [extension.valueMoney, total", 1))
	extended, _, err := emitted(t, w, must(t, w, set), program.Request{Views: []string{"", "basis"}}, func(e *program.Emitted) string {
		return fmt.Sprintf("%s %q %v", e.Type, e.View, strings.Contains(string(e.Resource.AppendJSON(nil)), "payer.example/amount"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(extended, `ExplanationOfBenefit "" true`) || slices.Contains(extended, `ExplanationOfBenefit "basis" true`) {
		t.Errorf("the extension without its amount: %v", extended)
	}
	// What writes amounts and does not declare the view is left out of it.
	set["eob.yaml"].Data = []byte(eob)
	set["patient.yaml"].Data = []byte(string(set["patient.yaml"].Data) + "views: {basis: {drop: [deceasedDateTime]}}\n")
	p, diags := load(t, w, set)
	if p == nil {
		t.Fatal(diags.Err())
	}
	if !slices.ContainsFunc(diags.All(), func(d *diag.Diagnostic) bool { return d.Code == "not-in-view" }) {
		t.Error("nobody is told that the mapping is left out")
	}
	if slices.ContainsFunc(p.TypesOf("basis"), func(x program.Type) bool { return x.Name == "ExplanationOfBenefit" }) {
		t.Error("amounts in a view that nobody declared")
	}
}

const conceptMap = `{"resourceType":"ConceptMap","group":[
 {"source":"urn:local","target":"http://hl7.org/fhir/administrative-gender","element":[
  {"code":"F","target":[{"code":"none","equivalence":"unmatched"},{"code":"female","equivalence":"equivalent"}]},
  {"code":"M","target":[{"code":"male","display":"Male","equivalence":"equal"}]}],
  "unmapped":{"mode":"fixed","code":"unknown"}},
 {"source":"urn:other","target":"urn:t","element":[{"code":"F","target":[{"code":"x"}]}]}]}`

// TestRule19_MapFiles reads maps out of a ConceptMap and out of a sheet.
func TestRule19_MapFiles(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	sheets := func(_ fs.FS, name, sheet string) ([][]string, error) {
		if name != "codes.xlsx" || sheet != "Sex" {
			return nil, fs.ErrNotExist
		}
		return [][]string{{"local", "fhir"}, {"F", "female"}, {}, {"M", "male"}, {"X"}}, nil
	}
	for _, tc := range []struct{ name, entry, want, code string }{
		{name: "conceptmap", entry: "{conceptmap: cm.json, group: 'urn:local'}", want: "female male unknown"},
		{name: "own default", entry: "{conceptmap: cm.json, group: 'urn:local', default: other}", want: "female male other"},
		{name: "sheet", entry: "{xlsx: codes.xlsx, sheet: Sex, key: local, value: fhir}", want: "female male "},
		{name: "two groups", entry: "{conceptmap: cm.json}", code: "duplicate-key"},
		{name: "no such group", entry: "{conceptmap: cm.json, group: 'urn:none'}", code: "unknown-group"},
		{name: "no ConceptMap", entry: "{conceptmap: patient.yaml}", code: "bad-conceptmap"},
		{name: "no file", entry: "{conceptmap: none.json}", code: "unknown-file"},
		{name: "no sheet", entry: "{xlsx: codes.xlsx, sheet: Race, key: local, value: fhir}", code: "unknown-file"},
		{name: "no column", entry: "{xlsx: codes.xlsx, sheet: Sex, key: locl, value: fhir}", code: "unknown-column"},
		{name: "two files", entry: "{xlsx: codes.xlsx, csv: x.csv, key: a, value: b}", code: "map-kind"},
		{name: "sheet of nothing", entry: "{csv: x.csv, sheet: a, key: a, value: b}", code: "map-kind"},
		{name: "columns of a ConceptMap", entry: "{conceptmap: cm.json, key: a}", code: "map-kind"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := files(map[string]string{
				"cm.json":      conceptMap,
				"sources.yaml": "sources:\n  member: {table: member, key: [member_id]}\nmaps:\n  sex: " + tc.entry + "\n",
				"patient.yaml": "resource: Patient\nfrom: member\nset: {active: true, gender: {map: sex, of: =sex}}\n",
			})
			p, diags, err := mapping.Load(t.Context(), set, mapping.Env{Warehouse: w, Profiles: profileSet(t), Sheets: check.SheetReader(sheets)})
			if err != nil {
				t.Fatal(err)
			}
			if tc.code != "" {
				if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "["+tc.code+"]") {
					t.Errorf("got %v, want %s", err, tc.code)
				}
				return
			}
			if p == nil {
				t.Fatal(diags.Err())
			}
			got, _, err := emitted(t, w, p, program.Request{}, func(e *program.Emitted) string {
				_, after, _ := strings.Cut(body(e), `"gender":"`)
				gender, _, _ := strings.Cut(after, `"`)
				return gender
			})
			if err != nil {
				t.Fatal(err)
			}
			if joined := strings.Join(got, " "); joined != tc.want {
				t.Errorf("got %q, want %q", joined, tc.want)
			}
		})
	}
}

// TestRule19_UnknownKeys counts keys one by one for the report file, and prints
// none of them anywhere else.
func TestRule19_UnknownKeys(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p := must(t, w, files(map[string]string{
		"sources.yaml": "sources:\n  member: {table: member, key: [member_id]}\nmaps:\n  m: {zzz: a, missing: omit}\n",
		"patient.yaml": "resource: Patient\nfrom: member\nset: {active: true, name: {text: {map: m, of: =family}}}\n",
	}))
	_, report, err := emitted(t, w, p, program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(program.KeyCounts{"Rivera": 1, "Okafor": 1}, report.UnmappedKeys["m"]); d != "" {
		t.Error(d)
	}
	if text := fmt.Sprintf("%v %+v %s", report, report, report.UnmappedKeys); strings.Contains(text, "Rivera") {
		t.Error("a key is printed")
	}
	if text, err := json.Marshal(report); err != nil || !strings.Contains(string(text), `"Rivera":1`) {
		t.Error("the report file lacks the keys", err)
	}
}

// TestRule35_RuntimeError names the YAML column of the expression that makes
// the warehouse fail in the middle of a run.
func TestRule35_RuntimeError(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  m: {columns: {id: text, n: text}}\n  k: {columns: {id: text, k: integer, n: text}}\n",
		"m.csv":          "id,n\n1,17\n2,Rivera\n",
		"k.csv":          "id,k,n\n1,1,4\n2,1,Okafor\n",
	})
	for _, tc := range []struct{ name, where, set, want string }{
		{"column", "", "{active: true, multipleBirthInteger: '=CAST(n AS INTEGER)'}", "m.yaml:3:43"},
		{"where", "where: CAST(n AS INTEGER) > 1\n", "{active: true}", "m.yaml:3:8"},
		{"child", "", "{name: {each: kid, text: '=CAST(CAST(n AS INTEGER) AS VARCHAR)'}}", "m.yaml:3:31"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := must(t, w, files(map[string]string{
				"sources.yaml": "sources:\n  m: {table: m, key: [id]}\n  kid: {table: k, parent: m, order: [k]}\n",
				"m.yaml":       "resource: Patient\nfrom: m\n" + tc.where + "set: " + tc.set + "\n",
			}))
			_, _, err := emitted(t, w, p, program.Request{}, body)
			var got *program.SQLError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a program.SQLError", err)
			}
			if got.Pos.String() != tc.want {
				t.Errorf("at %s, want %s: %v", got.Pos, tc.want, err)
			}
			if strings.Contains(err.Error(), "Rivera") || strings.Contains(err.Error(), "Okafor") {
				t.Error("a value is in the error")
			}
		})
	}
}

// TestRule30_RemovedID refuses an id that removed rows cannot make.
func TestRule30_RemovedID(t *testing.T) {
	w := folder(t, changing)
	_, diags := load(t, w, files(map[string]string{
		"sources.yaml": "timezone: UTC\nsources:\n  claim: {table: claim, key: [claim_id], updated: loaded, removed: \"SELECT claim_id, gone_at AS removed_at FROM gone\"}\n",
		"basic.yaml":   "resource: Basic\nfrom: claim\nid: {key: [=claim_id, =state]}\nset: {code: {text: x}}\n",
	}))
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), `basic.yaml:3:24: the id needs column "state", which removed of source "claim" does not give [removed-id]`) {
		t.Error(err)
	}
}

// TestRule32_SeveralProfiles holds a mapping against each of its profiles, and
// writes them all.
func TestRule32_SeveralProfiles(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	eob := string(set["eob.yaml"].Data)
	both := strings.Replace(eob, "profile: C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0",
		"profile: [C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0, C4BB-ExplanationOfBenefit|2.1.0]", 1)
	set["eob.yaml"].Data = []byte(both)
	got, _, err := emitted(t, w, must(t, w, set), program.Request{Types: []string{"ExplanationOfBenefit"}}, func(e *program.Emitted) string {
		return fmt.Sprint(strings.Count(string(e.Resource.AppendJSON(nil)), "/carin-bb/StructureDefinition/"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2", "2"}, got); d != "" {
		t.Error(d)
	}
}
