package agreement

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const head = "dataset: test\nsource: made here\n"

func read(t *testing.T, text string) []Resource {
	t.Helper()
	all, err := Read(fstest.MapFS{"all.ndjson": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func compare(t *testing.T, rules, expected, ours string) *Report {
	t.Helper()
	r, err := ReadRules([]byte(head + rules))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Compare(r, read(t, expected), read(t, ours))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

const byID = "pair: {Patient: {by: [id]}, Claim: {by: [id]}}\n"

// What counts as agreed, different, missing and extra, case by case. Each
// resource has an id, which agrees.
func TestCompare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rules    string
		expected, ours string // without type and id
		want           Tally
	}{
		{"equal", "", `"gender":"male"`, `"gender":"male"`, Tally{Agreed: 2}},
		{"differs", "", `"gender":"male"`, `"gender":"female"`, Tally{Agreed: 1, Differs: 1}},
		{"missing", "", `"gender":"male"`, `"active":true`, Tally{Agreed: 1, Missing: 1, Extra: 1}},
		{"numbers by value", "", `"x":1.50`, `"x":1.5`, Tally{Agreed: 2}},
		{"a number is no near number", "", `"x":1.50`, `"x":1.51`, Tally{Agreed: 1, Differs: 1}},
		{"order of scalars", "", `"given":["a","b"]`, `"given":["b","a"]`, Tally{Agreed: 3}},
		{"one of two the same", "", `"given":["a","a"]`, `"given":["a"]`, Tally{Agreed: 2, Missing: 1}},
		{
			"entries by code, in any order", "",
			`"a":[{"category":{"coding":[{"code":"x"}]},"v":1},{"category":{"coding":[{"code":"y"}]},"v":2}]`,
			`"a":[{"category":{"coding":[{"code":"y"}]},"v":2},{"category":{"coding":[{"code":"x"}]},"v":1}]`,
			Tally{Agreed: 5},
		},
		{
			"values do not change places between codes", "",
			`"a":[{"category":{"coding":[{"code":"x"}]},"v":1},{"category":{"coding":[{"code":"y"}]},"v":2}]`,
			`"a":[{"category":{"coding":[{"code":"x"}]},"v":2},{"category":{"coding":[{"code":"y"}]},"v":1}]`,
			Tally{Agreed: 3, Differs: 2},
		},
		{
			"codes stay with their systems", "",
			`"coding":[{"system":"s","code":"1"},{"system":"t","code":"2"}]`,
			`"coding":[{"system":"s","code":"2"},{"system":"t","code":"1"}]`,
			Tally{Agreed: 3, Differs: 2},
		},
		{
			"another version of the guides", "draft: C4BB 0.1\n",
			`"coding":[{"system":"s","version":"v1","code":"1"}],"meta":{"profile":["old"]}`,
			`"coding":[{"system":"new","code":"1"}],"meta":{"profile":["new"]}`,
			Tally{Agreed: 2},
		},
		{
			"one code under two systems, where systems are not compared", "draft: C4BB 0.1\n",
			`"coding":[{"system":"s","code":"1"},{"system":"t","code":"1"},{"system":"t","code":"2"}]`,
			`"coding":[{"system":"new","code":"1"}]`,
			Tally{Agreed: 2, Missing: 1},
		},
		{
			"keys", "keys: [{at: Patient.item, by: [sequence]}]\n",
			`"item":[{"sequence":1,"v":1},{"sequence":2,"v":2}]`,
			`"item":[{"sequence":2,"v":1},{"sequence":1,"v":2}]`,
			Tally{Agreed: 3, Differs: 2},
		},
		{
			"amounts without binary tails", "values: [{at: Patient.v, as: cents, reason: tails}]\n",
			`"v":[280.78999999999996,6.6400000000000006,1]`, `"v":[280.79,6.64,1.01]`, Tally{Agreed: 3, Differs: 1},
		},
		{
			"keys are read", "keys: [{at: Patient.dx, by: [icd]}]\nvalues: [{at: Patient.dx.icd, as: undotted, reason: dots}]\n",
			`"dx":[{"icd":"A011","v":1},{"icd":"B02","v":2}]`, `"dx":[{"icd":"B02","v":2},{"icd":"A01.1","v":1}]`, Tally{Agreed: 5},
		},
		{
			"links by what they lead to", "links: [{at: Patient.item.diagnosisSequence, to: diagnosis, by: [code]}]\nignore: [{at: '**.sequence', reason: numbers}]\n",
			`"diagnosis":[{"sequence":1,"code":"A"},{"sequence":2,"code":"B"}],"item":[{"diagnosisSequence":[2]}]`,
			`"diagnosis":[{"sequence":1,"code":"B"},{"sequence":2,"code":"A"}],"item":[{"diagnosisSequence":[1]}]`,
			Tally{Agreed: 4},
		},
		{
			"ignored on both sides", "ignore: [{at: '**.display', reason: texts}]\n",
			`"display":"a"`, `"a":{"display":"b"}`, Tally{Agreed: 1},
		},
		{
			"renamed", "rename: [{at: Patient.gender, from: M, to: male, reason: older code}]\n",
			`"gender":"M","other":"M"`, `"gender":"male","other":"M"`, Tally{Agreed: 3},
		},
		{
			"moved", "move: [{from: 'Patient.extension[race].valueString', to: 'Patient.race', reason: no extension}]\n",
			`"extension":[{"url":"x/race","valueString":"white"}]`, `"race":"white"`,
			Tally{Agreed: 2, Missing: 1},
		},
		{
			"moved only where ours does not write it", "move: [{from: Patient.b, to: Patient.race, reason: x}]\n",
			`"b":"white"`, `"b":"white"`, Tally{Agreed: 2},
		},
		{
			"said twice, and ignored in part", "keys: [{at: Patient.a, by: [k]}]\ndoubles: [{at: Patient.a, reason: line and claim}]\nignore: [{at: '**.n', reason: numbers}]\n",
			`"a":[{"k":"1","n":1},{"k":"1","n":2},{"k":"2","n":3}],"b":["1","2","3","4","5","6","7"]`, `"a":[{"k":"1"},{"k":"2"}],"b":["1","2","3","4","5","6","7"]`, Tally{Agreed: 10},
		},
		{
			"said twice", "keys: [{at: Patient.a, by: [k]}]\ndoubles: [{at: Patient.a, reason: line and claim}]\n",
			`"a":[{"k":"1"},{"k":"1"},{"k":"2"}],"b":["1","2","3","4","5","6","7"]`, `"a":[{"k":"1"},{"k":"2"}],"b":["1","2","3","4","5","6","7"]`, Tally{Agreed: 10},
		},
		{
			"read as", "values: [{at: Patient.created, as: date, reason: instants}, {at: Patient.icd, as: undotted, reason: dots}]\n",
			`"created":"2021-01-02T00:00:00Z","icd":"A01.1"`, `"created":"2021-01-02","icd":"A011"`, Tally{Agreed: 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wrap := func(body string) string { return `{"resourceType":"Patient","id":"1",` + body + `}` }
			r := compare(t, byID+tt.rules, wrap(tt.expected), wrap(tt.ours))
			if diff := cmp.Diff(tt.want, r.Total); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An expected resource that we do not have misses all its leaves.
func TestUnpaired(t *testing.T) {
	t.Parallel()
	r := compare(t, byID, `{"resourceType":"Patient","id":"1","gender":"male"}`, `{"resourceType":"Patient","id":"2","gender":"male"}`)
	if diff := cmp.Diff(Tally{Missing: 2}, r.Total); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A contained resource equals one that is exported beside, and references
// follow the pairs, whatever the ids.
func TestReferences(t *testing.T) {
	t.Parallel()
	rules := "pair: {Patient: {by: [name]}, Claim: {by: [number]}}\ninline: [Organization]\nrefs: {Coverage: member}\n" +
		"ignore: [{at: '*.id', reason: ids are made}]\n"
	r := compare(t, rules,
		`{"resourceType":"Patient","id":"7","name":"A"}
		 {"resourceType":"Claim","id":"c","number":"9","patient":{"reference":"Patient/7"},"coverage":{"reference":"Coverage/m1"},
		  "provider":{"reference":"#o"},"contained":[{"resourceType":"Organization","id":"o","name":"CMS"}]}`,
		`{"resourceType":"Patient","id":"hash","name":"A"}
		 {"resourceType":"Coverage","id":"other","member":"m1"}
		 {"resourceType":"Organization","id":"cms","name":"CMS"}
		 {"resourceType":"Claim","id":"x","number":"9","patient":{"reference":"Patient/hash"},"coverage":{"reference":"Coverage/other"},
		  "provider":{"reference":"Organization/cms"}}`)
	if diff := cmp.Diff(Tally{Agreed: 5}, r.Total); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A contained resource to which nothing refers counts, too.
func TestContainedAlone(t *testing.T) {
	t.Parallel()
	r := compare(t, byID, `{"resourceType":"Claim","id":"1","contained":[{"resourceType":"Observation","id":"o","status":"final"}]}`, `{"resourceType":"Claim","id":"1"}`)
	if diff := cmp.Diff(Tally{Agreed: 1, Missing: 3}, r.Total); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Expected resources without a certain element say that there must be none.
func TestNotThere(t *testing.T) {
	t.Parallel()
	r := compare(t, byID+"not_there: {Patient: name}\n",
		`{"resourceType":"Patient","id":"1"}
		 {"resourceType":"Patient","id":"2"}`,
		`{"resourceType":"Patient","id":"1","name":"x"}`)
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "Patient: 2 expected not to be there, 1 of them are\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
}

func TestRulesRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, rules, want string }{
		{"unknown key", byID + "special: [x]\n", "special"},
		{"no pair", "draft: x\n", "pair no type"},
		{"no reason", byID + "exclude: [{at: a}]\n", "without path or reason"},
		{"unknown reading", byID + "values: [{at: a, as: near, reason: x}]\n", `values as "near"`},
		{"doubles without key", byID + "doubles: [{at: Patient.a, reason: x}]\n", "has no key"},
		{"move to many", byID + "move: [{from: a, to: 'b.*', reason: x}]\n", "one path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ReadRules([]byte(head + tt.rules)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// More than a tenth excluded is no agreement, and a pair must be one.
func TestCompareRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, rules, want string }{
		{"excludes too much", byID + "exclude: [{at: Patient.gender, reason: x}]\n", "more than a tenth"},
		{"fits two", "pair: {Patient: {by: [gender]}}\n", "fits 2 of ours"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := ReadRules([]byte(head + tt.rules))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Compare(r, read(t, `{"resourceType":"Patient","id":"1","gender":"male"}`),
				read(t, `{"resourceType":"Patient","id":"1","gender":"male"}{"resourceType":"Patient","id":"2","gender":"male"}`))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	all, err := Read(fstest.MapFS{
		"a/bundle.json": {Data: []byte(`{"resourceType":"Bundle","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"1"}}]}`)},
		"b.txt":         {Data: []byte("no resource")},
	})
	if err != nil || len(all) != 1 || all[0]["fullUrl"] != "urn:uuid:1" {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := Read(fstest.MapFS{"bad.json": {Data: []byte("{")}}); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("got %v", err)
	}
}

// The table tells leaves by path, folded over entries, and labels where not
// all agree.
func TestPrint(t *testing.T) {
	t.Parallel()
	r := compare(t, byID+"keys: [{at: Claim.item, by: [sequence]}]\nexclude: [{at: Claim.item.note, reason: free text}]\n",
		`{"resourceType":"Claim","id":"1","item":[{"sequence":1,"note":"n","a":[{"type":"x","v":1},{"type":"y","v":1}]},{"sequence":2,"a":[{"type":"x","v":1}],"b":1}]}`,
		`{"resourceType":"Claim","id":"1","item":[{"sequence":1,"a":[{"type":"x","v":1},{"type":"y","v":2}]},{"sequence":2,"a":[{"type":"x","v":1}],"c":1}]}`)
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `test
made here

agreed 8 of 10 leaves: 80.00%; differs 1, missing 1; extra 1
excluded by us 1 of 11 (9.09%), ignored by the publisher's rule 0

type                     resources  paired    agreed  differs  missing    extra    share
Claim                            1       1         8        1        1        1   80.00%

excluded
       1  Claim.item.note: free text

  agreed  differs  missing    extra  path
       1        0        0        0  Claim.id
       3        0        0        0  Claim.item.a.type
       2        1        0        0  Claim.item.a.v
       0        1        0        0    [y]
       0        0        1        0  Claim.item.b
       0        0        0        1  Claim.item.c
       2        0        0        0  Claim.item.sequence
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
