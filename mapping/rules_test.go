package mapping_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/check"
	"remit/mapping/program"
	"remit/mapping/syntax"
)

// TestRulesAreShown asks that every rule of the language has a test that bears
// its number: a function TestRuleNN_... of the compiler or of the warehouse
// adapters, or a mapping testdata/rule/ruleNN-*.yaml, which may show two.
func TestRulesAreShown(t *testing.T) {
	shown := map[int][]string{}
	note := func(number, what string) {
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		shown[n] = append(shown[n], what)
	}
	function := regexp.MustCompile(`(?m)^func (TestRule(\d\d)_\w+)\(t \*testing\.T\)`)
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "../sql/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range function.FindAllStringSubmatch(string(data), -1) {
				note(m[2], m[1])
			}
		}
	}
	goldens, err := filepath.Glob("testdata/rule/rule*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`\d\d`)
	for _, f := range goldens {
		base := filepath.Base(f)
		if _, err := os.Stat(strings.TrimSuffix(f, ".yaml") + ".out"); err != nil {
			t.Errorf("%s has no expectation", base)
		}
		for _, n := range numbers.FindAllString(regexp.MustCompile(`^rule((\d\d-)+)`).FindString(base), -1) {
			note(n, base)
		}
	}
	rules := syntax.Rules()
	if len(rules) < 37 {
		t.Errorf("%d rules", len(rules))
	}
	for _, r := range rules {
		if shown[r.Number] == nil {
			t.Errorf("no test bears the number of rule %d: %.60s", r.Number, r.Text)
		}
		delete(shown, r.Number)
	}
	for n, by := range shown {
		t.Errorf("there is no rule %d, and tests of it: %s", n, by)
	}
}

// mistake is an edit of the base set, and the code that the load must answer
// with, in the file that was edited.
type mistake struct{ name, file, old, new, code string }

// refuses makes one mistake at a time.
func refuses(t *testing.T, list []mistake) {
	t.Helper()
	w := warehouse(t, "testdata/warehouse")
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			set := base(t)
			text := string(set[m.file].Data)
			if !strings.Contains(text, m.old) {
				t.Fatalf("%s does not hold %q", m.file, m.old)
			}
			set[m.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, m.old, m.new, 1))}
			p, diags := load(t, w, set)
			if p != nil {
				t.Fatal("the set loads")
			}
			inFile(t, set, diags)
			for _, d := range diags.All() {
				if d.Code == m.code && d.Pos.File == m.file && d.Pos.Line > 0 {
					return
				}
			}
			t.Errorf("no %s: %v", m.code, diags.Err())
		})
	}
}

func TestRule02_YAML(t *testing.T) {
	refuses(t, []mistake{
		{"anchor", "patient.yaml", "=member_id", "&a =member_id", "yaml-anchor"},
		{"alias", "patient.yaml", "gender: {map: sex, of: =sex}", "gender: &g {map: sex, of: =sex}\n  language: *g", "yaml-alias"},
		{"merge", "patient.yaml", "set:\n", "set:\n  <<: {active: true}\n", "yaml-merge"},
		{"tag", "patient.yaml", "=born", "!!str =born", "yaml-tag"},
		{"duplicate key", "patient.yaml", "set:\n", "set:\n  birthDate: =born\n", "duplicate-key"},
		{"empty value", "patient.yaml", "birthDate: =born", "birthDate:", "empty-value"},
		{"comma in a flow map", "patient.yaml", "{family: =family, given", "{family: =coalesce(family, 'x'), given", "yaml-flow"},
		{"slice in a flow map", "patient.yaml", "set:\n", "set:\n  contact: {telecom[x]: {value: =given}}\n", "yaml-flow"},
		{"comment behind SQL", "patient.yaml", "=born", "=born # or the text", "yaml-comment"},
		{"a tab", "patient.yaml", "  birthDate", "\tbirthDate", "yaml-syntax"},
	})
}

func TestRule03_Names(t *testing.T) {
	refuses(t, []mistake{
		{"capital", "sources.yaml", "  insurer:", "  Insurer:", "bad-source-name"},
		{"reserved word", "sources.yaml", "  enrolled:", "  select:", "bad-source-name"},
		{"snapshot", "sources.yaml", "  enrolled:", "  snapshot:", "bad-source-name"},
		{"a column of a source in reach", "sources.yaml", "  adjustment: {table: adjustment", "  amount: {table: adjustment", "source-is-column"},
		{"two columns of one name", "sources.yaml", "SELECT DISTINCT payer FROM claim WHERE", "SELECT payer, kind AS PAYER FROM claim WHERE", "sql-other"},
	})
	// Names of columns, sources and maps match whatever their case.
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	for _, edit := range [][3]string{
		{"patient.yaml", "=born", "=BORN"}, {"patient.yaml", "{map: sex,", "{map: SEX,"}, {"patient.yaml", "from: member", "from: MEMBER"},
		{"sources.yaml", "key: [claim_id]", "key: [CLAIM_ID]"}, {"group.yaml", "each: enrolled", "each: Enrolled"},
	} {
		text := string(set[edit[0]].Data)
		if !strings.Contains(text, edit[1]) {
			t.Fatalf("%s does not hold %q", edit[0], edit[1])
		}
		set[edit[0]] = &fstest.MapFile{Data: []byte(strings.Replace(text, edit[1], edit[2], 1))}
	}
	p, diags := load(t, w, set)
	silent(t, diags)
	lines, _ := run(t, w, p, program.Request{})
	golden(t, "testdata/ok/base.ndjson", strings.Join(lines, "\n")+"\n")
}

func TestRule05_ScalarOnly(t *testing.T) {
	var list []mistake
	for name, sql := range map[string]string{
		"aggregate": "max(born)", "window": "row_number() OVER ()", "set-returning": "unnest([1, 2])", "record": "{'a': 1}",
		"row": "row(1, 2)", "array": "[family]", "whole row": "member", "aggregate in a case": "CASE WHEN count(*) > 1 THEN family END",
	} {
		code := map[string]string{"record": "not-scalar", "row": "not-scalar", "array": "not-scalar", "whole row": "unknown-column"}[name]
		list = append(list, mistake{name, "patient.yaml", "family: =family", `family: "=` + sql + `"`, code})
	}
	w := warehouse(t, "testdata/warehouse")
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			set := base(t)
			set[m.file] = &fstest.MapFile{Data: []byte(strings.Replace(string(set[m.file].Data), m.old, m.new, 1))}
			p, diags := load(t, w, set)
			if p != nil {
				t.Fatal("the set loads")
			}
			all := diags.All()
			if len(all) != 1 || all[0].Pos.File != m.file || all[0].Pos.Line != 5 || m.code != "" && all[0].Code != m.code {
				t.Errorf("want one diagnostic at line 5: %v", diags.Err())
			}
		})
	}
}

// TestRule09_Order turns the elements of a mapping round: what comes is the
// same, in the profile's order.
func TestRule09_Order(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	head, body, ok := strings.Cut(string(set["eob.yaml"].Data), "set:\n")
	if !ok {
		t.Fatal("no set")
	}
	var blocks []string // one for each element of set
	for _, line := range strings.SplitAfter(body, "\n") {
		if strings.HasPrefix(line, "   ") || line == "" {
			blocks[len(blocks)-1] += line
			continue
		}
		blocks = append(blocks, line)
	}
	if len(blocks) < 10 {
		t.Fatalf("%d elements", len(blocks))
	}
	slices.Reverse(blocks)
	turned := head + "set:\n" + strings.Join(blocks, "")
	turned = strings.Replace(turned, "end_date}", "end_date}\n", 1)
	set["eob.yaml"] = &fstest.MapFile{Data: []byte(turned)}
	p, diags := load(t, w, set)
	silent(t, diags)
	lines, _ := run(t, w, p, program.Request{})
	want, err := os.ReadFile("testdata/ok/base.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var resources []string // findings name lines, which are others now
	for _, l := range lines {
		if !strings.HasPrefix(l, "  ") {
			resources = append(resources, l)
		}
	}
	var wanted []string
	for l := range strings.Lines(string(want)) {
		if !strings.HasPrefix(l, "  ") {
			wanted = append(wanted, strings.TrimSuffix(l, "\n"))
		}
	}
	if d := cmp.Diff(wanted, resources); d != "" {
		t.Error(d)
	}
}

func TestRule23_References(t *testing.T) {
	refuses(t, []mistake{
		{"arity", "coverage.yaml", "{ref: Organization, key: [payer, =payer]}", "{ref: Organization, key: [=payer]}", "no-such-key"},
		{"literal", "coverage.yaml", "key: [payer, =payer]", "key: [payor, =payer]", "no-such-key"},
		{"type", "coverage.yaml", "{ref: Patient, key: [=member_id]}", "{ref: Patient, key: [=start_date]}", "no-such-key"},
		{"nobody makes it", "coverage.yaml", "{ref: Organization,", "{ref: RelatedPerson,", "no-target"},
		{"not allowed there", "coverage.yaml", "{ref: Patient, key: [=member_id]}", "{ref: Organization, key: [payer, =payer]}", "reference-target"},
		{"contained", "coverage.yaml", "  status: active", "  contained: {id: x}\n  status: active", "contained"},
		{"forms", "patient.yaml", "from: member", "from: member\nid: {form: fancy}", "unknown-form"},
	})
	// A part that is a map counts as the set of its targets: one of them is
	// the literal.
	w := warehouse(t, "testdata/warehouse")
	for kind, ok := range map[string]bool{"{acme: payer, other: npi}": true, "{acme: insurer}": false} {
		set := base(t)
		set["sources.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(set["sources.yaml"].Data), "maps:\n", "maps:\n  kind: "+kind+"\n", 1))}
		set["coverage.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(set["coverage.yaml"].Data), "key: [payer, =payer]", "key: [{map: kind, of: =payer}, =payer]", 1))}
		if p, diags := load(t, w, set); (p != nil) != ok {
			t.Errorf("map %s: loads %v, want %v: %v", kind, p != nil, ok, diags.Err())
		}
	}
}

// TestRule24_Nullability: a column that may be NULL at a required element is no
// mistake, but a line of the proof report; a key column cannot be NULL.
func TestRule24_Nullability(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	silent(t, diags)
	status := map[string]check.Status{}
	for _, d := range mapping.Proof(p).Demands {
		if d.Mapping == "eob" && d.Code == "cardinality-min" {
			status[d.Element] = d.Status
		}
	}
	for element, want := range map[string]check.Status{
		"ExplanationOfBenefit.provider":          check.CheckedPerResource, // npi may be NULL
		"ExplanationOfBenefit.patient":           check.CheckedPerResource, // member_id may be NULL
		"ExplanationOfBenefit.outcome":           check.ProvedAtLoad,       // a literal
		"ExplanationOfBenefit.created":           check.ProvedAtLoad,       // absent stands in
		"ExplanationOfBenefit.item.adjudication": check.CheckedPerResource, // in a repetition of rows
	} {
		if got, ok := status[element]; !ok || got != want {
			t.Errorf("%s: %v (told: %v), want %v", element, got, ok, want)
		}
	}
}

var padded = map[string]string{
	"warehouse.yaml": "tables:\n  m: {columns: {id: text, code: text, born: date, seen: timestamp}}\n",
	"m.csv":          "id,code,born,seen\n~,  A ,9999-12-31,\n b ,~,2020-01-02,\nc,   ,infinity,\nd,B,0044-03-15 (BC),\n",
}

// TestRule26_Empty: what a source calls empty is NULL before any expression
// sees it, but for key columns; dates outside FHIR's years are findings.
func TestRule26_Empty(t *testing.T) {
	w := folder(t, padded)
	set := map[string]string{
		"sources.yaml": "sources:\n  m: {table: m, key: [id], trim: true, empty: {text: [\"\", \"~\"], date: [9999-12-31]}}\n",
		"m.yaml":       "resource: Basic\nfrom: m\nset: {code: {text: =code}, created: =born, identifier: {value: =id}}\n",
	}
	p := must(t, w, files(set))
	got, _, err := emitted(t, w, p, program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`Basic,"identifier":[{"value":" b "}],"created":"2020-01-02"}`,
		`Basic,"identifier":[{"value":"c"}]} invalid-value`,
		`Basic,"identifier":[{"value":"d"}],"code":{"text":"B"}} invalid-value`,
		`Basic,"identifier":[{"value":"~"}],"code":{"text":"A"}}`,
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRule27_Pass: mappings of one source share a pass, which reads the union
// of their columns and each where as a column; alone, a where is pushed down.
func TestRule27_Pass(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	silent(t, diags)
	var roots []string
	columns := map[string]int{}
	for _, q := range p.Queries(program.Request{}) {
		if q.Parent != "" {
			continue
		}
		roots = append(roots, fmt.Sprintf("%s: %s", q.Source, strings.Join(q.Mappings, " ")))
		for _, c := range q.Query.Columns {
			columns[q.Source+" "+c.SQL]++
		}
		if len(q.Mappings) > 1 && len(q.Query.Where) > 0 {
			t.Errorf("a shared pass narrows its parents: %v", q.Query.Where)
		}
	}
	if d := cmp.Diff([]string{"claim: coverage eob", "insurer: group organization", "member: patient", "clinician: practitioner"}, roots); d != "" {
		t.Error(d)
	}
	for _, want := range []string{"claim payer IS NOT NULL", "claim kind = 'professional'"} {
		if columns[want] != 1 {
			t.Errorf("condition %q is read %d times", want, columns[want])
		}
	}
	for c, n := range columns {
		if n > 1 {
			t.Errorf("column %s is asked for %d times", c, n)
		}
	}
	alone := p.Queries(program.Request{Types: []string{"Coverage"}})
	if len(alone) != 1 || len(alone[0].Query.Where) != 1 || alone[0].Query.Where[0].SQL != "payer IS NOT NULL" {
		t.Errorf("one mapping alone: %d queries, %v", len(alone), alone[0].Query.Where)
	}
}

// TestRule28_Children: a child asks for its parent only where the pass narrows
// its parents and the child cannot be narrowed by itself.
func TestRule28_Children(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	silent(t, diags)
	upTo := "M2"
	for _, tc := range []struct {
		name string
		r    program.Request
		want string // the children that ask for their parent
	}{
		{"everything", program.Request{Apart: true}, ""},
		{"one mapping with where", program.Request{Apart: true, Types: []string{"ExplanationOfBenefit"}}, "adjustment diagnosis line"},
		// diagnosis is unpivoted from claim and has the patient's own column.
		{"patients", program.Request{Apart: true, Patients: []string{"M1"}}, "adjustment line"},
		{"a range of patients", program.Request{Apart: true, UpTo: &upTo}, "adjustment line"},
	} {
		var got []string
		for _, q := range p.Queries(tc.r) {
			if q.Query.Parent != nil && q.Mappings[0] != "group" {
				got = append(got, q.Source)
			}
			if q.Source == "diagnosis" && (tc.r.Patients != nil || tc.r.UpTo != nil) &&
				(q.Query.Narrow.Patient.Name != "member_id" || q.Query.Narrow.PatientUpTo != tc.r.UpTo) {
				t.Errorf("%s: diagnosis repeats no range: %+v", tc.name, q.Query.Narrow)
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %q ask for their parent, want %q", tc.name, s, tc.want)
		}
	}
}

// TestRule31_Versions: the source's SQL chooses the last version of each claim
// over a total order; status and related tell the rest.
func TestRule31_Versions(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  c: {columns: {claim_id: text, version: integer, prior: text, state: text}}\n",
		"c.csv":          "claim_id,version,prior,state\nA,1,,paid\nA,2,,voided\nB,1,A,paid\nB,10,A,paid\n",
	})
	p := must(t, w, files(map[string]string{
		"sources.yaml": `
sources:
  last_action:
    sql: |
      SELECT claim_id, version, prior, state FROM (
        SELECT c.*, row_number() OVER (PARTITION BY claim_id ORDER BY version DESC) AS place FROM c) AS ranked
      WHERE place = 1
    key: [claim_id]
maps:
  state: {paid: active, voided: cancelled}
`,
		"claim.yaml": `
resource: Claim
from: last_action
id: {form: plain}
set:
  status: {map: state, of: =state}
  identifier: {value: =CAST(version AS VARCHAR)}
  related: {claim: {ref: Claim, key: [=prior]}, relationship: {text: prior}}
  type: professional
  use: claim
  patient: {display: x}
  created: "2024-01-01"
  provider: {display: x}
  priority: normal
  insurance: {focal: true, coverage: {display: x}}
`}))
	got, _, err := emitted(t, w, p, program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`"identifier":[{"value":"2"}],"status":"cancelled"`,
		`"identifier":[{"value":"10"}],"status":"active" "related":[{"claim":{"reference":"Claim/A"},"relationship":{"text":"prior"}}]`,
	}
	for i, s := range got {
		got[i] = strings.Join(regexp.MustCompile(`"identifier.*?"status":"\w+"|"related":.*?\}\]`).FindAllString(s, -1), " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRule37_Sessions: a session does not depend on the machine: UTC, integer
// division, NULL behind everything. The adapters' suites ask the same of each
// engine.
func TestRule37_Sessions(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	w := folder(t, map[string]string{
		"warehouse.yaml": "loaded: 2024-01-01T23:30:00Z\ntables:\n  m: {columns: {id: text, seen: timestamptz}}\n  p: {columns: {id: text, k: integer, v: text}}\n",
		"m.csv":          "id,seen\n1,2024-01-01 23:30:00+00\n",
		"p.csv":          "id,k,v\n1,,last\n1,2,b\n1,1,a\n",
	})
	p := must(t, w, files(map[string]string{
		"sources.yaml": "sources:\n  m: {table: m, key: [id]}\n  p: {table: p, parent: m, order: [k]}\n",
		"m.yaml": `
resource: Basic
from: m
set:
  created: =CAST(seen AS DATE)
  code: {text: =CAST(7 / 2 AS VARCHAR)}
  identifier: {each: p, value: =v}
`}))
	got, _, err := emitted(t, w, p, program.Request{}, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`Basic,"identifier":[{"value":"a"},{"value":"b"},{"value":"last"}],"code":{"text":"3"},"created":"2024-01-01"}`}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
