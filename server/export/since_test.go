package export

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
	"remit/sql/duckdb"
	"remit/sql/source"
)

// changingSet maps a warehouse whose rows change: claims and their lines bear the
// instant of their last change, a log tells removed claims, and a void claim is
// taken by no mapping.
var changingSet = map[string]string{
	"sources.yaml": `
timezone: UTC
sources:
  member: {table: member, key: [member_id], patient: member_id, updated: changed, removed: "SELECT member_id, gone_at AS removed_at FROM gone_member"}
  claim: {table: claim, key: [claim_id], patient: member_id, updated: changed, removed: "SELECT claim_id, member_id, gone_at AS removed_at FROM gone_claim"}
  line: {table: line, parent: claim, order: [line_no], updated: changed}
`,
	"patient.yaml": "resource: Patient\nfrom: member\nid: {key: [=member_id], form: plain}\nset: {gender: =sex}\n",
	"basic.yaml": "resource: Basic\nfrom: claim\nwhere: state <> 'void'\nid: {key: [=claim_id], form: plain}\n" +
		"set: {code: {text: =state}, subject: {ref: Patient, key: [=member_id]}, extension: {each: line, url: 'urn:line', valueInteger: =amount}}\n",
}

const changingTables = `tables:
  member: {columns: {member_id: text, sex: text, changed: timestamp}}
  claim: {columns: {claim_id: text, member_id: text, state: text, changed: timestamp}}
  line: {columns: {claim_id: text, line_no: integer, amount: integer, changed: timestamp}}
  gone_member: {columns: {member_id: text, gone_at: timestamp}}
  gone_claim: {columns: {claim_id: text, member_id: text, gone_at: timestamp}}
`

// ledger is the warehouse as the test changes it.
type ledger struct {
	dir     string
	members map[string][2]string // sex, changed
	claims  map[string][3]string // member, state, changed
	lines   map[string][][2]string
	gone    []string // rows of gone_claim
	left    []string // rows of gone_member
	next    int
}

func newLedger(t *testing.T) *ledger {
	return &ledger{dir: t.TempDir(), members: map[string][2]string{}, claims: map[string][3]string{}, lines: map[string][][2]string{}}
}

func (l *ledger) write(t *testing.T) {
	t.Helper()
	tables := map[string]string{"warehouse.yaml": changingTables}
	table := func(name, head string, rows []string) {
		slices.Sort(rows)
		tables[name+".csv"] = head + "\n" + strings.Join(append(rows, ""), "\n")
	}
	var members, claims, lines []string
	for id, m := range l.members {
		members = append(members, strings.Join([]string{id, m[0], m[1]}, ","))
	}
	for id, c := range l.claims {
		claims = append(claims, strings.Join([]string{id, c[0], c[1], c[2]}, ","))
	}
	for id, list := range l.lines {
		for i, line := range list {
			lines = append(lines, fmt.Sprintf("%s,%d,%s,%s", id, i+1, line[0], line[1]))
		}
	}
	table("member", "member_id,sex,changed", members)
	table("claim", "claim_id,member_id,state,changed", claims)
	table("line", "claim_id,line_no,amount,changed", lines)
	table("gone_claim", "claim_id,member_id,gone_at", slices.Clone(l.gone))
	table("gone_member", "member_id,gone_at", slices.Clone(l.left))
	for name, text := range tables {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// pick chooses a key; ok is false where there is none.
func pick[V any](r *rand.Rand, m map[string]V) (string, bool) {
	if len(m) == 0 {
		return "", false
	}
	keys := slices.Sorted(maps.Keys(m))
	return keys[r.IntN(len(keys))], true
}

// change does one random thing at an instant.
func (l *ledger) change(r *rand.Rand, at string) {
	id, some := pick(r, l.claims)
	member, any := pick(r, l.members)
	switch n := r.IntN(10); {
	case n == 0 || !any:
		l.next++
		l.members[fmt.Sprintf("m%03d", l.next)] = [2]string{"male", at}
	case n <= 3 || !some:
		l.next++
		id := fmt.Sprintf("c%03d", l.next)
		l.claims[id] = [3]string{member, "final", at}
		l.lines[id] = append(l.lines[id], [2]string{"1", at})
	case n == 4: // the claim itself changes, to void and back
		state := map[string]string{"final": "void", "void": "paid", "paid": "final"}[l.claims[id][1]]
		l.claims[id] = [3]string{l.claims[id][0], state, at}
	case n == 5: // a line alone changes
		if len(l.lines[id]) > 0 {
			l.lines[id][r.IntN(len(l.lines[id]))] = [2]string{fmt.Sprint(r.IntN(1000)), at}
		}
	case n == 6: // a line comes
		l.lines[id] = append(l.lines[id], [2]string{fmt.Sprint(r.IntN(1000)), at})
	case n == 7: // the claim goes
		l.gone = append(l.gone, id+","+l.claims[id][0]+","+at)
		delete(l.claims, id)
		delete(l.lines, id)
	case n == 8: // it goes and is back
		l.gone = append(l.gone, id+","+l.claims[id][0]+","+at)
		l.claims[id] = [3]string{l.claims[id][0], "final", at}
	default: // it moves to another member, and so perhaps to another chunk
		l.gone = append(l.gone, id+","+l.claims[id][0]+","+at)
		l.claims[id] = [3]string{member, "final", at}
	}
}

// world is an engine over a ledger; more are further mappings, by file.
func world(t *testing.T, l *ledger, more map[string]string) *Engine {
	t.Helper()
	l.write(t)
	w, err := duckdb.Open(t.Context(), l.dir, duckdb.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	set := fstest.MapFS{}
	for _, part := range []map[string]string{changingSet, more} {
		for name, text := range part {
			set[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	defs, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	prog, diags, err := mapping.Load(t.Context(), set, mapping.Env{Warehouse: w, Profiles: defs})
	if err != nil || prog == nil {
		t.Fatal(err, diags.Err())
	}
	b := newBench(t, small())
	b.change = func(o *Options) {
		o.Program = func() (Runner, Validator) { return prog, nil }
		o.Warehouse, o.ChunkSize, o.Mandatory = w, 7, defs.Mandatory
		o.Clock = time.Now
	}
	return b.engine()
}

// merged reads an export as a client does: resources by Type/id without their
// last change, and what is deleted.
func (l *ledger) merged(t *testing.T, e *Engine, id string) (there map[string]string, gone []string) {
	t.Helper()
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	there = map[string]string{}
	for _, f := range m.Output {
		for _, line := range readFile(t, e, id, f.Name) {
			var r map[string]any
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprintf("%s/%s", r["resourceType"], r["id"])
			if _, twice := there[key]; twice {
				t.Errorf("%s comes twice", key)
			}
			there[key] = line
		}
	}
	for _, f := range m.Deleted {
		for _, line := range readFile(t, e, id, f.Name) {
			url, err := deletedURL([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			if _, also := there[url]; also {
				t.Errorf("%s is deleted and in the output (BE-192)", url)
			}
			gone = append(gone, url)
		}
	}
	return there, gone
}

// After any changes, what a client keeps
// by _since is what a fresh full export gives, deletions included, and nothing
// comes that did not change.
func TestBE080_SinceEqualsFull(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test that can be repeated
			l := newLedger(t)
			for range 60 {
				l.change(r, "2024-01-01 00:00:00")
			}
			e := world(t, l, nil)
			id := export(t, e, Request{Types: []string{"Basic", "Patient"}})
			kept, gone := l.merged(t, e, id)
			if len(gone) > 0 || len(kept) < 10 {
				t.Fatalf("%d resources, %d deletions in a full export", len(kept), len(gone))
			}
			deletions := 0
			for step := range 3 {
				st, err := e.Status(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				since := st.TransactionTime
				at := since.Add(time.Millisecond).Format("2006-01-02 15:04:05.000")
				before := len(kept)
				for range 1 + r.IntN(12) {
					l.change(r, at)
				}
				l.write(t)
				id = export(t, e, Request{Types: []string{"Basic", "Patient"}, Since: since})
				changed, gone := l.merged(t, e, id)
				for _, url := range gone {
					delete(kept, url)
				}
				deletions += len(gone)
				maps.Copy(kept, changed)
				if len(changed) >= before {
					t.Errorf("step %d: %d resources come of %d", step, len(changed), before)
				}
				full := export(t, e, Request{Types: []string{"Basic", "Patient"}})
				want, _ := l.merged(t, e, full)
				same(t, fmt.Sprintf("step %d", step), want, kept)
			}
			if deletions == 0 {
				t.Error("no deletion was tried")
			}
		})
	}
}

const voidedClaims = `resource: Claim
from: claim
id: {key: [=claim_id], form: plain}
set:
  status: =CASE state WHEN 'void' THEN 'cancelled' WHEN 'error' THEN 'entered-in-error' ELSE 'active' END
  type: professional
  use: claim
  patient: {ref: Patient, key: [=member_id]}
  created: {absent: unknown}
  provider: {absent: unknown}
  priority: {assumed: normal}
  insurance: {focal: true, sequence: 1, coverage: {absent: unknown}}
`

// A claim that is voided or entered in error is told as the change that it is: it
// is in the output with that status, and nothing says that it was deleted. One
// that the warehouse removed is told as deleted beside it, so that the two are
// not mistaken for each other.
func TestBE194_VoidedIsNoDeletion(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	const before = "2024-01-01 00:00:00"
	l.members["m1"] = [2]string{"male", before}
	for _, id := range []string{"kept", "voided", "mistaken", "removed"} {
		l.claims[id] = [3]string{"m1", "final", before}
	}
	e := world(t, l, map[string]string{"claim.yaml": voidedClaims})
	r := Request{Types: []string{"Claim"}}
	id := export(t, e, r)
	there, gone := l.merged(t, e, id)
	if len(there) != 4 || len(gone) != 0 {
		t.Fatalf("%v, deleted %v", there, gone)
	}
	st, err := e.Status(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	at := st.TransactionTime.Add(time.Millisecond).Format("2006-01-02 15:04:05.000")
	l.claims["voided"] = [3]string{"m1", "void", at}
	l.claims["mistaken"] = [3]string{"m1", "error", at}
	delete(l.claims, "removed")
	l.gone = append(l.gone, "removed,m1,"+at)
	l.write(t)
	r.Since = st.TransactionTime
	for _, again := range []Request{r, {Types: r.Types}} {
		there, gone = l.merged(t, e, export(t, e, again))
		want, wantGone := map[string]string{"Claim/voided": "cancelled", "Claim/mistaken": "entered-in-error"}, []string{"Claim/removed"}
		if again.Since.IsZero() {
			want["Claim/kept"], wantGone = "active", nil
		}
		got := map[string]string{}
		for key, line := range there {
			var c struct{ Status string }
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			got[key] = c.Status
		}
		same(t, "status by claim", want, got)
		same(t, "deleted", wantGone, gone)
	}
}

// Blocks by patient, each with its header and whole; the count leaves headers out.
func TestBE145_Blocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7)) //nolint:gosec // a test that can be repeated
	l := newLedger(t)
	for range 120 {
		l.change(r, "2024-01-01 00:00:00")
	}
	e := world(t, l, nil)
	e.Limits.Lines = 10
	plain, _ := l.merged(t, e, export(t, e, Request{Types: []string{"Basic", "Patient"}}))
	id := export(t, e, Request{Types: []string{"Basic", "Patient"}, Organize: "Patient"})
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	if m.OutputOrganizedBy != "Patient" || len(m.Output) < 2 {
		t.Fatalf("manifest %+v", m)
	}
	found, blocks := map[string]string{}, map[string][]string{}
	for _, f := range m.Output {
		owner := ""
		var count int64
		for _, line := range readFile(t, e, id, f.Name) {
			var x struct {
				ResourceType, ID string
				Subject          struct{ Reference string }
				Parameter        []struct {
					Name  string
					Value struct{ Reference string } `json:"valueReference"`
				}
			}
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatal(err)
			}
			if x.ResourceType == "Parameters" {
				owner = x.Parameter[0].Value.Reference
				if want := fmt.Sprintf(`{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":%q}}]}`, owner); line != want {
					t.Errorf("header %s", line)
				}
				blocks[owner] = append(blocks[owner], f.Name)
				continue
			}
			count++
			key := x.ResourceType + "/" + x.ID
			found[key] = line
			if x.ResourceType == "Patient" && key != owner || x.ResourceType != "Patient" && x.Subject.Reference != owner {
				t.Errorf("%s stands in the block of %s", key, owner)
			}
		}
		if f.Count != count {
			t.Errorf("%s: count %d, %d resources", f.Name, f.Count, count)
		}
	}
	same(t, "resources", plain, found)
	t.Run("BE-146 no block is split", func(t *testing.T) {
		large := 0
		for owner, in := range blocks {
			if len(in) != 1 {
				t.Errorf("%s has blocks in %v", owner, in)
			}
			n := 0
			for _, line := range plain {
				if strings.Contains(line, `"`+owner+`"`) {
					n++
				}
			}
			large = max(large, n)
		}
		if len(m.Output) < 3 || large < 3 {
			t.Errorf("%d files, blocks of at most %d resources: nothing to split", len(m.Output), large)
		}
	})
}

// What changed at the very instant of _since was in the export before; what changed
// a millisecond later comes (BE-075). Whatever comes, comes once and as it is now
// (BE-230).
func TestBE075_StrictlyLater(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.members["m1"] = [2]string{"male", "2024-01-01 00:00:00"}
	const since = "2024-06-01 12:00:00"
	for id, at := range map[string]string{"before": "2024-06-01 11:59:59.999", "then": since, "later": "2024-06-01 12:00:00.001"} {
		l.claims[id] = [3]string{"m1", "final", at}
	}
	e := world(t, l, nil)
	r := Request{Types: []string{"Basic"}, Since: at(t, "2024-06-01T12:00:00Z")}
	there, gone := l.merged(t, e, export(t, e, r))
	same(t, "since", []string{"Basic/later"}, slices.Sorted(maps.Keys(there)))
	same(t, "deleted", nil, gone)

	t.Run("BE-230 the latest version alone", func(t *testing.T) {
		l.claims["before"] = [3]string{"m1", "paid", "2024-06-01 12:00:01"}
		l.write(t)
		for _, r := range []Request{r, {Types: r.Types}} {
			id := export(t, e, r)
			var got []string
			for _, list := range lines(t, e, id) {
				for _, line := range list {
					if strings.Contains(line, `"id":"before"`) {
						got = append(got, line)
					}
				}
			}
			if len(got) != 1 || !strings.Contains(got[0], `"text":"paid"`) {
				t.Errorf("%q", got)
			}
		}
	})
}

// Every part of an export reads one snapshot: what is written while it runs is in
// none of it, and in the next one (BE-172).
func TestBE172_OneSnapshot(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for i := range 40 {
		member := fmt.Sprintf("m%03d", i)
		l.members[member] = [2]string{"male", "2024-01-01 00:00:00"}
		l.claims["c"+member] = [3]string{member, "final", "2024-01-01 00:00:00"}
	}
	e := world(t, l, nil)
	r := Request{Types: []string{"Basic", "Patient"}}
	before, _ := l.merged(t, e, export(t, e, r))
	runner, valid := e.Program()
	var once sync.Once
	e.Options.Program = func() (Runner, Validator) {
		return midway{runner, func() { // as the first chunk begins
			once.Do(func() {
				delete(l.members, "m007")
				delete(l.claims, "cm007")
				l.members["new"] = [2]string{"female", "2024-01-02 00:00:00"}
				l.claims["cm030"] = [3]string{"m030", "paid", "2024-01-02 00:00:00"}
				l.write(t)
			})
		}}, valid
	}
	during, _ := l.merged(t, e, export(t, e, r))
	same(t, "during", before, during)
	after, _ := l.merged(t, e, export(t, e, r))
	if _, ok := after["Patient/new"]; !ok || len(after) != len(before)-1 {
		t.Errorf("%d resources before, %d after", len(before), len(after))
	}
}

// midway is a runner that does something whenever a chunk begins.
type midway struct {
	Runner
	do func()
}

func (m midway) Run(ctx context.Context, snap source.Snapshot, r program.Request, emit program.Emit) (*program.Report, error) {
	m.do()
	return m.Runner.Run(ctx, snap, r, emit)
}
