package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
)

// layouts are two layouts of one warehouse: names, and what there is at all.
var layouts = map[string]map[string]string{
	"old": {
		"warehouse.yaml": "schema: claims\ntables:\n  line: {columns: {line_no: integer}}\n",
		"header.csv":     "claim_id,patient_id\nC1,M1\nC2,M2\n",
		"line.csv":       "claim_id,line_no,amount\nC1,1,1.50\nC1,2,2.50\nC2,1,4.00\n",
	},
	"new": {
		"warehouse.yaml": "schema: claims\ntables:\n  header: {columns: {total: \"DECIMAL(9,2)\"}}\n",
		"header.csv":     "claim_id,person_id,total\nC1,M1,4.00\nC2,M2,4.00\n",
	},
}

// layoutSet reads both without a line twice.
var layoutSet = map[string]string{
	"sources.yaml": `
with:
  header: {has: {claims.header.person_id: "SELECT h.*, h.person_id AS patient_id FROM claims.header h"}, sql: "SELECT * FROM claims.header"}
  total:
    has: {claims.line: total.sql}
    sql: SELECT h.claim_id, h.total FROM claims.header h
sources:
  claim: {sql: claim.sql, key: [claim_id], patient: patient_id}
  person: {table: Header, key: [claim_id]}
`,
	"claim.sql": "-- the header with its sum\nWITH t AS (SELECT * FROM total)\nSELECT h.claim_id, h.patient_id, t.total FROM header h JOIN t ON t.claim_id = h.claim_id;\n",
	"total.sql": "SELECT l.claim_id, sum(CAST(l.amount AS DECIMAL(9,2))) AS total FROM claims.line l GROUP BY l.claim_id\n",
	"claim.yaml": "resource: Basic\nfrom: claim\nid: {key: [c, =claim_id], form: plain}\n" +
		"set: {code: {text: \"=CAST(total AS VARCHAR)\"}, subject.display: =patient_id}\n",
	"person.yaml": "resource: Basic\nfrom: person\nid: {key: [p, =claim_id], form: plain}\nset: {code: {text: =patient_id}}\n",
}

// TestRule38_With: the same set gives the same resources from both layouts, for
// all of them and for one patient's; the catalogue chooses.
func TestRule38_With(t *testing.T) {
	for name, tables := range layouts {
		t.Run(name, func(t *testing.T) {
			w := folder(t, tables)
			p := must(t, w, files(layoutSet))
			for _, tc := range []struct {
				r    program.Request
				want []string
			}{
				{program.Request{}, []string{
					`Basic,"code":{"text":"4.00"},"subject":{"display":"M1"}}`, `Basic,"code":{"text":"4.00"},"subject":{"display":"M2"}}`,
					`Basic,"code":{"text":"M1"}}`, `Basic,"code":{"text":"M2"}}`}},
				{program.Request{Patients: []string{"M2"}, Pass: 1}, []string{`Basic,"code":{"text":"4.00"},"subject":{"display":"M2"}}`}},
			} {
				got, _, err := emitted(t, w, p, tc.r, body)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", tc.r, diff)
				}
			}
		})
	}
}

// TestRule38_WithMistakes: each fault has the place where it is written, in the
// file of the query that holds it, and is told once.
func TestRule38_WithMistakes(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string // replaced in any file of the set
		want           string
	}{
		{"a column in a query's file", "sum(CAST(l.amount", "sum(CAST(l.amuont",
			`total.sql:1:29: source "claim": table "l" does not have a column named "amuont" [unknown-column]`},
		{"a column in a query in place", "sql: \"SELECT * FROM claims.header\"", "sql: \"SELECT nothing, h.* FROM claims.header h\"", `sources.yaml:3:119: source "claim": `},
		{"a column of the source's own text", "t.total FROM header", "t.totl FROM header", `claim.sql:3:34: source "claim": `},
		{"no alternative", "    has: {claims.line: total.sql}\n    sql: SELECT h.claim_id, h.total FROM claims.header h", "    has: {claims.lines: total.sql, claims.header.total: total.sql}",
			`sources.yaml:4:3: query "total" fits no layout of this warehouse: it has none of claims.lines, claims.header.total [no-fitting-query]`},
		{"an alternative that is not there", "claims.line: total.sql", "claims.line: totl.sql", `sources.yaml:5:24: file "totl.sql" is not in the mapping set [unknown-file]`},
		{"neither", "    has: {claims.line: total.sql}\n    sql: SELECT h.claim_id, h.total FROM claims.header h", "    {}", `query "total" has neither sql nor has [missing-key]`},
		{"an unknown key", "    has: {claims.line", "    hase: {claims.line", `sources.yaml:5:5: key "hase" is not known in a query; did you mean "has"? [unknown-key]`},
		{"a bad name", "  total:", "  Total:", `sources.yaml:4:3: query name "Total" must be a lower-case letter, then letters, digits and _ [bad-source-name]`},
		{"a word of SQL", "  total:", "  select:", `sources.yaml:4:3: query name "select" is a word of SQL [bad-source-name]`},
		{"not one query", "SELECT * FROM claims.header\"", "SELECT 1) x (SELECT 1\"", `sources.yaml:3:120: query "header": ')' closes nothing [sql-syntax]`},
		{"unused", "\n  total:\n", "\n  spare: {sql: SELECT 1 AS one}\n  total:\n", `sources.yaml:4:3: warning: no source reads query "spare" [unused-query]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := map[string]string{}
			found := false
			for name, text := range layoutSet {
				set[name] = strings.Replace(text, tc.from, tc.to, 1)
				found = found || set[name] != text
			}
			if !found {
				t.Fatal("nothing was replaced")
			}
			_, diags := load(t, folder(t, layouts["old"]), files(set))
			var b strings.Builder
			if err := diags.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			if !strings.Contains(text, tc.want) {
				t.Errorf("%s\nwant %s", text, tc.want)
			}
			// A fault is told once, whatever stands behind it.
			if diags.HasErrors() && strings.Count(text, "[")-strings.Count(text, "[no-updated]") != 1 {
				t.Errorf("more than one fault is told:\n%s", text)
			}
		})
	}
}
