package mapping_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/sql/source"
)

// TestFold_Shipped: the rows of an unpivot that are made of their parent's row
// give the same resources and the same counts as those that the warehouse makes.
func TestFold_Shipped(t *testing.T) {
	folds := 0
	for _, s := range shipped(t) {
		t.Run(s.name, func(t *testing.T) {
			w := warehouse(t, s.fixture)
			p := must(t, w, s.files)
			saved := sourcesAsked(p, program.Request{Apart: true}) - sourcesAsked(p, program.Request{})
			if saved == 0 {
				return
			}
			folds++
			sameApart(t, w, p, nil)
		})
	}
	if folds < 2 {
		t.Errorf("%d shipped sets have a fold", folds)
	}
}

// sourcesAsked counts the queries over rows of the warehouse.
func sourcesAsked(p *program.Program, r program.Request) (n int) {
	for _, q := range p.Queries(r) {
		if !constants(q.Query) {
			n++
		}
	}
	return n
}

// constants says that a query reads no row of the warehouse.
func constants(q *source.Query) bool { return strings.HasPrefix(q.From.SQL, "SELECT 1 AS ") }

// sameApart runs everything in both ways. left is counted apart alone.
func sameApart(t *testing.T, w source.Source, p *program.Program, left map[string]int64) (folded []string) {
	t.Helper()
	all := func(e *program.Emitted) string { return string(e.Key) + body(e) }
	want, counted, err := emitted(t, w, p, program.Request{Apart: true}, all)
	if err != nil {
		t.Fatal(err)
	}
	folded, report, err := emitted(t, w, p, program.Request{}, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Error("nothing is made")
	}
	if d := cmp.Diff(want, folded); d != "" {
		t.Errorf("resources (-apart +folded):\n%.4000s", d)
	}
	for reason, n := range left {
		report.Skipped[reason] += n
	}
	if d := cmp.Diff(counted, report); d != "" {
		t.Errorf("report (-apart +folded):\n%s", d)
	}
	return folded
}

// TestFold: which unpivots are made of their parent's row, and that each gives
// what it would give apart.
func TestFold(t *testing.T) {
	claims := map[string]string{
		"warehouse.yaml": `
tables:
  claim: {columns: {claim_id: text, dx1: text, dx2: text, dx3: text, poa1: text, poa2: text, poa3: text, amt1: "decimal(8,2)", amt2: "decimal(8,2)", amt3: "decimal(10,3)"}}
`,
		"claim.csv": "claim_id,dx1,dx2,dx3,poa1,poa2,poa3,amt1,amt2,amt3\n" +
			"A,E119,,I10,Y,,,1.10,2.20,3.300\n" + // a gap
			"B,,,,,,,,,\n" + // none
			",J45,J46,,N,,,,,\n" + // no key
			"C,  Z00 ,-,J45,,N,,,,\n", // blanks and a token
	}
	for _, tc := range []struct {
		name     string
		source   string // settings of the unpivot
		settings string // of its parent
		set      string // the elements made of it
		apart    bool   // asked of the warehouse
		// left is what only the rows of the unpivot apart are counted for: those of
		// parents that a condition leaves out.
		left map[string]int64
	}{
		{name: "columns", source: "where: code IS NOT NULL", set: "identifier: {each: dx, system: =poa, value: =code}"},
		{name: "no condition", set: "identifier: {each: dx, system: =poa, value: =code}"},
		{name: "quoted, spaced, in capitals", source: `where: "\"CODE\"  Is Not\tNULL"`, set: "identifier: {each: dx, value: =code}"},
		{name: "a column of the parent", source: "where: code IS NOT NULL", set: "identifier: {each: dx, system: =claim_id, value: =n}"},
		{name: "the condition on a column that nobody writes", source: "where: poa IS NOT NULL", set: "identifier: {each: dx, value: =code}"},
		{name: "the condition on the number", source: "where: n IS NOT NULL", set: "identifier: {each: dx, value: =code}"},
		{name: "over the number", source: "where: code IS NOT NULL", set: "identifier: {each: dx, use: =CASE WHEN n = 1 THEN 'usual' END, system: =CAST(dx.n * 10 AS VARCHAR), value: =code}"},
		{name: "a condition over the number", source: "where: code IS NOT NULL", set: "identifier: {each: dx, where: n > 1, value: =code}"},
		{name: "an expression that fails for a number that no row has", source: "where: poa IS NOT NULL",
			set: "identifier: {each: dx, value: \"=CAST(CASE n WHEN 3 THEN 'x' ELSE '7' END AS INTEGER)\"}"},
		{name: "trimmed and emptied", settings: `, trim: true, empty: {text: ["-"]}`, source: "where: code IS NOT NULL", set: "identifier: {each: dx, value: =code}"},
		{name: "a condition of its parent", settings: `, where: claim_id <> 'C'`, source: "where: code IS NOT NULL", set: "identifier: {each: dx, value: =code}",
			left: map[string]int64{"null-key": 2, "orphan": 3}},
		{name: "an expression over the code", source: "where: code IS NOT NULL", set: "identifier: {each: dx, value: =upper(code)}", apart: true},
		{name: "an expression over the parent", source: "where: code IS NOT NULL", set: "identifier: {each: dx, value: =upper(claim_id)}", apart: true},
		{name: "a condition of more", source: "where: code IS NOT NULL AND n < 3", set: "identifier: {each: dx, value: =code}", apart: true},
		{name: "columns of several types", source: "where: code IS NOT NULL", set: "identifier: {each: dx, value: =amt}", apart: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings := tc.source
			if settings != "" {
				settings = ", " + settings
			}
			w := folder(t, claims)
			p := must(t, w, files(map[string]string{
				"sources.yaml": "sources:\n  claim: {table: claim, key: [claim_id]" + tc.settings + "}\n" +
					`  dx: {unpivot: claim, n: 1..3, columns: {code: "dx{n}", poa: "poa{n}", amt: "amt{n}"}` + settings + "}\n",
				"basic.yaml": "resource: Basic\nfrom: claim\nset:\n  code: {text: x}\n  " + tc.set + "\n",
			}))
			got := sourcesAsked(p, program.Request{})
			if want := map[bool]int{false: 1, true: 2}[tc.apart]; got != want {
				t.Errorf("%d sources are asked for, want %d", got, want)
			}
			if made := sameApart(t, w, p, tc.left); !slices.ContainsFunc(made, func(s string) bool { return strings.Contains(s, "identifier") }) {
				t.Errorf("no row of the unpivot is written: %v", made)
			}
		})
	}
}

// TestFold_Columns: a fold asks for the columns that are meant, and no others.
func TestFold_Columns(t *testing.T) {
	p := must(t, folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, dx1: text, dx2: text, poa1: text, poa2: text}}\n",
		"claim.csv":      "claim_id,dx1,dx2,poa1,poa2\nA,x,y,Y,N\n",
	}), files(map[string]string{
		"sources.yaml": "sources:\n  claim: {table: claim, key: [claim_id]}\n  dx: {unpivot: claim, n: 1..2, columns: {code: \"dx{n}\", poa: \"poa{n}\"}}\n",
		"basic.yaml":   "resource: Basic\nfrom: claim\nset:\n  code: {text: x}\n  identifier: {each: dx, value: =code}\n",
	}))
	for apart, want := range map[bool][]string{false: {`"claim_id"`, `"dx1"`, `"dx2"`}, true: {`"claim_id"`, `"claim_id"`, `"code"`, `"n"`}} {
		var got []string
		for _, q := range p.Queries(program.Request{Apart: apart}) {
			for _, c := range q.Query.Columns {
				got = append(got, c.SQL)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("apart %v: columns (-want +got):\n%s", apart, d)
		}
	}
}

// TestFold_Fault: what fails in a column of the parent is told where the mapping
// reads it.
func TestFold_Fault(t *testing.T) {
	w := folder(t, map[string]string{
		"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, dx1: text, dx2: text}}\n",
		"claim.csv":      "claim_id,dx1,dx2\nA,1,x\n",
	})
	p := must(t, w, files(map[string]string{
		"sources.yaml": "sources:\n  claim: {sql: \"SELECT claim_id, CAST(dx1 AS INTEGER) AS dx1, CAST(dx2 AS INTEGER) AS dx2 FROM claim\", key: [claim_id]}\n" +
			"  dx: {unpivot: claim, n: 1..2, columns: {code: \"dx{n}\"}}\n",
		"basic.yaml": "resource: Basic\nfrom: claim\nset:\n  code: {text: x}\n  identifier: {each: dx, value: =code}\n",
	}))
	_, _, err := emitted(t, w, p, program.Request{}, body)
	var bad *program.SQLError
	if !errors.As(err, &bad) || bad.Pos.File != "basic.yaml" || bad.Pos.Line != 5 {
		t.Errorf("%v, want a fault at basic.yaml:5", err)
	}
}
