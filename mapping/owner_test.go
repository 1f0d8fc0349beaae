package mapping_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/sql/source"
)

// seen are claims that name providers and payers, and the table of providers:
// what of it a member's export holds is told by the member's claims.
var seen = map[string]string{
	"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, member_id: text, payer: text, npi: text}}\n" +
		"  provider: {columns: {npi: text, name: text, state: text, loaded: timestamp}}\n",
	"claim.csv":    "claim_id,member_id,payer,npi\nC1,M1,P1,11\nC2,M1,P1,12\nC3,M2,P1,12\nC4,M2,P2,13\nC5,M3,P2,\nC6,,P3,14\n",
	"provider.csv": "npi,name,state,loaded\n11,Ann,in,2024-01-01 00:00:00\n12,Bob,in,2024-03-01 00:00:00\n13,Cid,out,2024-03-01 00:00:00\n14,Dee,in,2024-03-01 00:00:00\n15,Eve,in,2024-03-01 00:00:00\n",
}

// seenSet makes a directory of providers, one of payers whose source is that of
// a roster too, and the claims.
var seenSet = map[string]string{
	"sources.yaml": `
timezone: UTC
with:
  claims: {sql: SELECT * FROM claim, patient: Member_ID}
  named: {sql: "SELECT DISTINCT c.npi, c.payer FROM claims c"}
sources:
  claim_row: {table: claims, key: [claim_id], patient: member_id}
  provider: {sql: provider.sql, key: [npi], updated: loaded}
  of: {sql: "SELECT n.npi, n.payer FROM named n", parent: provider, order: [payer]}
  payers: {sql: "SELECT c.payer, count(*) AS members FROM claims c GROUP BY c.payer", key: [payer]}
  member: {sql: "SELECT DISTINCT c.payer, c.member_id FROM claims c WHERE c.member_id IS NOT NULL", parent: payers, order: [member_id]}
  all_npi: {table: provider, key: [npi]}
`,
	"provider.sql":  "SELECT p.npi, p.name, p.state, p.loaded FROM provider p\nWHERE p.npi IN (SELECT n.npi FROM named n WHERE n.npi IS NOT NULL)\n",
	"provider.yaml": "resource: Practitioner\nfrom: provider\nwhere: state = 'in'\nid: {key: [npi, =npi], form: plain}\nset: {name.text: =name, identifier: {each: of, value: =payer}}\n",
	"org.yaml":      "resource: Organization\nfrom: payers\nid: {key: [p, =payer], form: plain}\nset: {name: =payer}\n",
	"group.yaml": "resource: Group\nfrom: payers\nid: {key: [g, =payer], form: plain}\nset: {type: person, actual: true, quantity: =members, managingEntity: {ref: Organization, key: [p, =payer]}, " +
		"member: {each: member, entity: {ref: Patient, key: [=member_id]}}}\n",
	"patient.yaml": "resource: Patient\nfrom: person\nid: {key: [=member_id], form: plain}\nset: {active: true}\n",
	"claim.yaml":   "resource: Basic\nfrom: claim_row\nid: {key: [c, =claim_id], form: plain}\nset: {code: {text: claim}, subject: {ref: Patient, key: [=member_id]}}\n",
	"all.yaml":     "resource: Location\nfrom: all_npi\nid: {key: [l, =npi], form: plain}\nset: {name: =name}\n",
}

func seenFiles() map[string]string {
	set := map[string]string{}
	for name, text := range seenSet {
		set[name] = text
	}
	set["sources.yaml"] += "  person: {sql: SELECT DISTINCT c.member_id FROM claims c WHERE c.member_id IS NOT NULL, key: [member_id], patient: member_id}\n"
	return set
}

// TestRule40_Directory: where some members are exported, what belongs to nobody
// is narrowed to whom their rows name, and nothing else changes.
func TestRule40_Directory(t *testing.T) {
	w := folder(t, seen)
	p := must(t, w, files(seenFiles()))
	since := time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)
	late := time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC)
	directory := []string{"Practitioner", "Organization", "Group", "Location"}
	for _, tc := range []struct {
		name string
		r    program.Request
		want []string
	}{
		{"everybody", program.Request{Types: directory}, []string{"Practitioner/npi-11", "Practitioner/npi-12", "Practitioner/npi-14",
			"Group/g-P1", "Group/g-P2", "Group/g-P3", "Organization/p-P1", "Organization/p-P2", "Organization/p-P3",
			"Location/l-11", "Location/l-12", "Location/l-13", "Location/l-14", "Location/l-15"}},
		{"one member", program.Request{Types: []string{"Practitioner", "Organization"}, Patients: []string{"M1"}},
			[]string{"Practitioner/npi-11", "Practitioner/npi-12", "Organization/p-P1"}},
		{"a source that tells of nobody", program.Request{Types: []string{"Location"}, Patients: []string{"M3"}},
			[]string{"Location/l-11", "Location/l-12", "Location/l-13", "Location/l-14", "Location/l-15"}},
		{"two members, one without a provider", program.Request{Types: []string{"Practitioner", "Organization", "Group"}, Patients: []string{"M2", "M3"}},
			[]string{"Practitioner/npi-12", "Organization/p-P1", "Organization/p-P2"}},
		{"nobody", program.Request{Types: []string{"Practitioner", "Organization"}, Patients: []string{}}, nil},
		{"the roster asked for has all its members", program.Request{Types: []string{"Group", "Organization"}, Roster: "g-P2", Patients: []string{"M3"}},
			[]string{"Group/g-P2 2 M2 M3", "Organization/p-P2"}},
		{"all but some", program.Request{Types: []string{"Practitioner"}, Without: []string{"M1"}}, []string{"Practitioner/npi-11", "Practitioner/npi-12", "Practitioner/npi-14"}},
		// 11 did not change, but may be new to whoever has these members.
		{"since", program.Request{Types: []string{"Practitioner"}, Patients: []string{"M1"}, Since: since}, []string{"Practitioner/npi-11", "Practitioner/npi-12"}},
		{"since, everybody", program.Request{Types: []string{"Practitioner"}, Since: since}, []string{"Practitioner/npi-12", "Practitioner/npi-14"}},
		{"until", program.Request{Types: []string{"Practitioner"}, Patients: []string{"M1"}, Until: since}, []string{"Practitioner/npi-11"}},
		// 13 left its mapping; that 11 is not among those of M2 is no deletion.
		{"deletions", program.Request{Types: []string{"Practitioner"}, Patients: []string{"M2"}, Since: since, Deletions: true},
			[]string{"Practitioner/npi-12", "- Practitioner/npi-13"}},
		{"no deletion told before", program.Request{Types: []string{"Practitioner"}, Patients: []string{"M2"}, Since: late, Deletions: true}, []string{"Practitioner/npi-12"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := emitted(t, w, p, tc.r, func(e *program.Emitted) string {
				switch {
				case e.Deleted:
					return "- " + e.Type + "/" + string(e.ID)
				case tc.r.Roster != "" && e.Type == "Group":
					_, quantity, _ := strings.Cut(string(e.Resource.AppendJSON(nil)), `"quantity":`)
					return fmt.Sprintf("%s/%s %.1s %s", e.Type, e.ID, quantity, strings.Join(program.Patients(e.Resource), " "))
				}
				return e.Type + "/" + string(e.ID)
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortStableFunc(got, func(a, b string) int { return slices.Index(tc.want, a) - slices.Index(tc.want, b) })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, typ := range p.Types() {
		if want := typ.Name == "Practitioner" || typ.Name == "Organization"; typ.Directory != want {
			t.Errorf("%s: directory %t", typ.Name, typ.Directory)
		}
	}
}

// TestRule40_Children: the children of an entry are narrowed as it is, and none
// of them is an orphan.
func TestRule40_Children(t *testing.T) {
	w := folder(t, seen)
	p := must(t, w, files(seenFiles()))
	got, report, err := emitted(t, w, p, program.Request{Types: []string{"Practitioner"}, Patients: []string{"M2"}}, body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`Practitioner,"identifier":[{"value":"P1"}],"name":[{"text":"Bob"}]}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if report.Skipped["orphan"] != 0 || report.Skipped["null-key"] != 0 {
		t.Errorf("skipped %v", report.Skipped)
	}
}

// TestRule40_ReadsAndPlans: a row that is read by its key is there whoever has
// it named, and what a run asks is what Queries tell.
func TestRule40_ReadsAndPlans(t *testing.T) {
	ctx := context.Background()
	w := folder(t, seen)
	p := must(t, w, files(seenFiles()))
	snap, err := w.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	pass := p.PassesOf("Practitioner", "")[0]
	got, _, err := emitted(t, w, p, program.Request{Types: []string{"Practitioner"}, Pass: pass, Keys: [][]string{{"14"}}}, func(e *program.Emitted) string { return string(e.ID) })
	if err != nil || !slices.Equal(got, []string{"npi-14"}) {
		t.Errorf("%v, %v", got, err)
	}
	r := program.Request{Types: []string{"Group", "Organization"}, Roster: "g-P2", Patients: []string{"M3"}}
	var asked []string
	for _, q := range p.Queries(r) {
		x, err := snap.Explain(ctx, q.Query)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, fmt.Sprintf("%s %v %t", q.Source, q.Types, strings.Contains(x.SQL, "_owned")))
	}
	if diff := cmp.Diff([]string{"payers [Group] false", "member [Group] false", "payers [Organization] true"}, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	parts, err := p.Split(ctx, snap, program.Request{Types: []string{"Practitioner", "Organization"}, Patients: []string{"M1", "M2"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if !slices.Equal(part.Patients, []string{"M1", "M2"}) {
			t.Errorf("a part for %v", part.Patients)
		}
	}
	if len(parts) != 2 {
		t.Errorf("%d parts, want one a pass", len(parts))
	}
}

// TestRule40_Mistakes: a column that is not there, or that cannot be compared
// with the patients of the set, is told where it is written.
func TestRule40_Mistakes(t *testing.T) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"an unknown column", "patient: Member_ID", "patient: membr_id", `sources.yaml:4:47: column "membr_id" is not in query "claims"; did you mean "member_id"? [unknown-column]`},
		{"another kind", "sql: SELECT * FROM claim, patient: Member_ID", "sql: \"SELECT c.*, length(c.member_id) AS n FROM claim c\", patient: n",
			`sources.yaml:4:79: column "n" of query "claims" is bigint, the patient column "member_id" of source "claim_row" is varchar [key-type]`},
		{"no key", "sql: SELECT * FROM claim, patient: Member_ID", "sql: \"SELECT c.*, 1.5 AS n FROM claim c\", patient: n", `sources.yaml:4:63: column "n" is `},
		{"a query that does not prepare", "sql: SELECT * FROM claim,", "sql: SELECT * FROM clam,", `sources.yaml:4:31: source "claim_row": `},
		{"a list", "patient: Member_ID", "patient: [member_id]", `sources.yaml:4:47: expected a column name`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := seenFiles()
			text := strings.Replace(set["sources.yaml"], tc.from, tc.to, 1)
			if text == set["sources.yaml"] {
				t.Fatal("nothing was replaced")
			}
			set["sources.yaml"] = text
			p, diags := load(t, folder(t, seen), files(set))
			var b strings.Builder
			if err := diags.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if p != nil || !strings.Contains(b.String(), tc.want) {
				t.Errorf("%s\nwant %s", b.String(), tc.want)
			}
			if n := strings.Count(b.String(), "[") - strings.Count(b.String(), "[no-updated]"); n != 1 {
				t.Errorf("%d faults are told:\n%s", n, b.String())
			}
		})
	}
}

// asking notes what is asked of a snapshot.
type asking struct {
	source.Snapshot
	queries []*source.Query
}

func (a *asking) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	a.queries = append(a.queries, q)
	return a.Snapshot.Stream(ctx, q)
}

// TestRule22_FindPatients: patients are found by their key where the id tells
// it, whatever is asked for, and by a walk where it does not.
func TestRule22_FindPatients(t *testing.T) {
	ctx := context.Background()
	w := folder(t, seen)
	plain, hashed := seenFiles(), seenFiles()
	hashed["patient.yaml"] = strings.Replace(hashed["patient.yaml"], ", form: plain", "", 1)
	for name, tc := range map[string]struct {
		set  map[string]string
		keys bool
	}{"plain": {plain, true}, "hash": {hashed, false}} {
		t.Run(name, func(t *testing.T) {
			p := must(t, w, files(tc.set))
			ids, _, err := emitted(t, w, p, program.Request{Types: []string{"Patient"}}, func(e *program.Emitted) string { return string(e.ID) })
			if err != nil || len(ids) != 3 {
				t.Fatal(ids, err)
			}
			snap, err := w.Snapshot(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer snap.Close()
			a := &asking{Snapshot: snap}
			found, err := p.Patients(ctx, a, []string{ids[2], ids[0], "nobody", "M1-2", "", "' OR 1=1"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{ids[0]: "M1", ids[2]: "M3"}, found); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(a.queries) != 1 || (a.queries[0].Narrow.Keys != nil) != tc.keys {
				t.Errorf("%d queries, by key: %t", len(a.queries), a.queries[0].Narrow.Keys != nil)
			}
			many := []string{ids[1]}
			for i := range 2000 {
				many = append(many, fmt.Sprintf("X%d", i))
			}
			if found, err = p.Patients(ctx, a, many); err != nil || len(found) != 1 || a.queries[1].Narrow.Keys != nil {
				t.Errorf("of many: %d found, by key: %t, %v", len(found), a.queries[1].Narrow.Keys != nil, err)
			}
			if _, err := p.Patients(ctx, a, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
