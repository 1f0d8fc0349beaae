package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
)

// Bounds narrow the rows that the warehouse hands over where a plain date column
// alone fills the element, and leave the run as it is where anything else may.
func TestBounds(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  c: {columns: {id: text, member: text, paid: date, entered: text, kind: text}}\n  l: {columns: {id: text, n: integer, done: date}}\n",
		"c.csv":          "id,member,paid,entered,kind\n1,m,2024-01-05,2024-01-05,a\n2,m,2024-03-05,2024-03-05,b\n3,m,,2024-02-01,a\n4,m,2024-05-05,2024-01-01,b\n",
		"l.csv":          "id,n,done\n1,1,2024-01-05\n2,1,2024-03-05\n4,1,2024-05-05\n4,2,2024-05-05\n9,1,2024-05-05\n",
	})
	sources := "sources:\n  c: {table: c, key: [id], patient: member}\n  l: {table: l, parent: c, order: [n]}\n"
	basic := "resource: Basic\nfrom: c\nid: {key: [=id], form: plain}\nset: {code: {text: x}, extension: {each: l, url: 'urn:x', valueInteger: =n}, created: "
	for _, tc := range []struct {
		name, created string
		bounds        []program.Bound
		want          []string
		rows          int64
	}{
		{"none", "=paid}", nil, []string{"1", "2", "3", "4"}, 4},
		{"from", "=paid}", []program.Bound{{Path: "created", From: "2024-03-05"}}, []string{"2", "4"}, 2},
		{"to", "=paid}", []program.Bound{{Path: "created", UpTo: "2024-03-05"}}, []string{"1", "2"}, 2},
		{"both", "=paid}", []program.Bound{{Path: "created", From: "2024-02-01"}, {Path: "created", UpTo: "2024-04-01"}}, []string{"2"}, 1},
		{"one of them tells", "=paid}", []program.Bound{{Path: "author", From: "2024-02-01"}, {Path: "created", UpTo: "2024-02-01"}}, []string{"1"}, 1},
		{"another element", "=paid}", []program.Bound{{Path: "author", From: "2024-02-01"}}, []string{"1", "2", "3", "4"}, 4},
		{"an expression", "'=coalesce(paid, DATE ''2024-02-01'')'}", []program.Bound{{Path: "created", From: "2024-03-01"}}, []string{"1", "2", "3", "4"}, 4},
		{"text", "=entered}", []program.Bound{{Path: "created", From: "2024-03-01"}}, []string{"1", "2", "3", "4"}, 4},
		{"a value in place of none", "{value: =paid, assumed: '2024-06-01'}}", []program.Bound{{Path: "created", From: "2024-06-01"}}, []string{"1", "2", "3", "4"}, 4},
		{"several alternatives", "{first: [=paid, =entered]}}", []program.Bound{{Path: "created", From: "2024-06-01"}}, []string{"1", "2", "3", "4"}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := map[string]string{"sources.yaml": sources, "basic.yaml": basic + tc.created + "\n"}
			p, diags := load(t, w, files(set))
			if p == nil {
				t.Fatal(diags.Err())
			}
			r := program.Request{}
			if tc.bounds != nil {
				r.Bounds = map[string][][]program.Bound{"Basic": {tc.bounds}}
			}
			got, report, err := emitted(t, w, p, r, func(e *program.Emitted) string { return string(e.ID) })
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" || report.Rows != tc.rows {
				t.Errorf("%d rows (-want +got):\n%s", report.Rows, d)
			}
		})
	}

	// Two mappings of a pass: both must tell.
	p := must(t, w, files(map[string]string{
		"sources.yaml": sources,
		"basic.yaml":   basic + "=paid}\n",
		"claim.yaml":   "resource: Account\nfrom: c\nid: {key: [acc, =id], form: plain}\nset: {status: active, servicePeriod: {start: =paid}}\n",
	}))
	for _, tc := range []struct {
		bounds map[string][][]program.Bound
		types  []string
		rows   int64
	}{
		{map[string][][]program.Bound{"Basic": {{{Path: "created", From: "2024-05-01"}}}}, nil, 4},
		{map[string][][]program.Bound{"Basic": {{{Path: "created", From: "2024-05-01"}}}}, []string{"Basic"}, 1},
		{map[string][][]program.Bound{"Basic": {{{Path: "created", From: "2024-05-01"}}}, "Account": {{{Path: "servicePeriod.start", UpTo: "2024-02-01"}}}}, nil, 2},
		{map[string][][]program.Bound{"Basic": {{{Path: "created", From: "2024-05-01"}}, {{Path: "created", UpTo: "2024-01-31"}}}}, []string{"Basic"}, 2},
	} {
		_, report, err := emitted(t, w, p, program.Request{Types: tc.types, Bounds: tc.bounds}, func(e *program.Emitted) string { return string(e.ID) })
		if err != nil {
			t.Fatal(err)
		}
		if report.Rows != tc.rows {
			t.Errorf("%v: %d rows, want %d", tc.bounds, report.Rows, tc.rows)
		}
	}
}
