package mapping_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
	"remit/mapping/program"
	"remit/sql/postgres"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// town is a random warehouse of members and their claims.
type town struct {
	kind    string   // the engine's type of a member's number
	members []string // of the member table, each once
	claims  [][]string
	lines   [][]string
}

// number makes the i-th member's number, all forms of it mixed: letters that
// engines sort otherwise than by bytes, quotes, spaces, digits.
func (w *town) number(i int) string {
	switch w.kind {
	case "bigint":
		return strconv.Itoa((i*7919)%100_003 - 20_000)
	case "uuid":
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i)*2654435761, i)
	}
	forms := []string{"m%d", "M%d", " m%d", "m%d ", "é%d", "Ä%d", "%d", "-%d", "m %d", "ß%d", "𝒳%d", "m'%d", `m"%d`, `m\%d`, "m,%d", "%d.0"}
	return fmt.Sprintf(forms[i%len(forms)], i/len(forms))
}

// settle gives members their claims: each as many as claims tells. Strangers
// (members that the member table does not hold) have as many, some among the
// others and some beyond, before the first and behind the last.
func settle(r *rand.Rand, kind string, members, strangers, beyond int, claims func(*rand.Rand) int) *town {
	w := &town{kind: kind}
	add := func(member string) {
		id := ""
		if r.IntN(200) > 0 {
			id = fmt.Sprintf("c%d", r.Int64())
		}
		w.claims = append(w.claims, []string{id, member})
		for n := range r.IntN(3) {
			w.lines = append(w.lines, []string{id, strconv.Itoa(n), member})
		}
		if member != "" && r.IntN(50) == 0 {
			w.lines = append(w.lines, []string{fmt.Sprintf("none%d", len(w.lines)), "1", member}) // of no claim
		}
	}
	for i := range members + strangers {
		if i < members {
			w.members = append(w.members, w.number(i))
		}
		for range claims(r) {
			add(w.number(i))
		}
	}
	for range 30 {
		add("") // nobody's
	}
	for i := range beyond {
		for _, form := range map[string][]string{"text": {"\t%03d", "\U0010ffff%03d"}, "bigint": {"-8000000000000000%03d", "8000000000000000%03d"},
			"uuid": {"00000000-0000-0000-0000-000000000%03d", "ffffffff-ffff-ffff-ffff-fffffffff%03d"}}[kind] {
			for range claims(r) {
				add(fmt.Sprintf(form, i))
			}
		}
	}
	r.Shuffle(len(w.members), func(i, j int) { w.members[i], w.members[j] = w.members[j], w.members[i] })
	r.Shuffle(len(w.claims), func(i, j int) { w.claims[i], w.claims[j] = w.claims[j], w.claims[i] })
	return w
}

// files are the warehouse's tables.
func (w *town) files(t testing.TB) map[string]string {
	table := func(header string, rows [][]string) string {
		var b bytes.Buffer
		b.WriteString(header + "\n")
		out := csv.NewWriter(&b)
		if err := out.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var members [][]string
	for i, m := range w.members {
		members = append(members, []string{m, "1"})
		if i%5 == 0 {
			members = append(members, []string{m, "2"}) // a second row of his
		}
	}
	return map[string]string{
		"warehouse.yaml": "schema: w\ntables:\n  member: {columns: {member_id: " + w.kind + ", n: integer}}\n" +
			"  claim: {columns: {claim_id: text, member_id: " + w.kind + "}}\n  line: {columns: {claim_id: text, line_no: integer, member_id: " + w.kind + "}}\n",
		"member.csv": table("member_id,n", members),
		"claim.csv":  table("claim_id,member_id", w.claims),
		"line.csv":   table("claim_id,line_no,member_id", w.lines),
	}
}

var townSet = map[string]string{
	"sources.yaml": `
sources:
  claim: {table: w.claim, key: [claim_id], patient: member_id, where: claim_id IS NULL OR claim_id <> ''}
  line: {table: w.line, parent: claim, order: [line_no], patient: member_id}
  member: {table: w.member, key: [member_id, n], patient: member_id}
`,
	"claim.yaml": `
resource: Basic
from: claim
set:
  code: {text: =claim_id}
  extension: {each: line, url: "urn:x", valueInteger: =line_no}
`,
	"patient.yaml": `
resource: Patient
from: member
set:
  name: {text: =n}
`,
}

// engines open a warehouse's files in each engine that is at hand.
var engines = map[string]func(t *testing.T, files map[string]string) source.Source{
	"duckdb": func(t *testing.T, files map[string]string) source.Source { return folder(t, files) },
	"postgres": func(t *testing.T, tables map[string]string) source.Source {
		dsn := postgrestest.DSN(t)
		if err := postgrestest.LoadCSV(t.Context(), dsn, "w", files(tables)); err != nil {
			t.Fatal(err)
		}
		w, err := postgres.Open(t.Context(), dsn, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		return w
	},
}

// watched is a snapshot that notes which source's rows were all listed.
type watched struct {
	source.Snapshot
	mu     sync.Mutex
	listed map[string]bool
}

func (s *watched) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	n := q.Narrow
	if len(q.Columns) == 1 && q.Limit == 0 && n.Patients == nil && !n.PatientNull && (n.PatientAfter == nil || n.PatientUpTo == nil) {
		s.mu.Lock()
		s.listed[q.From.Name] = s.listed[q.From.Name] || n.PatientAfter == nil && n.PatientUpTo == nil
		s.mu.Unlock()
	}
	return s.Snapshot.Stream(ctx, q)
}

func watch(t testing.TB, w source.Source) *watched {
	t.Helper()
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snap.Close() })
	return &watched{Snapshot: snap, listed: map[string]bool{}}
}

// outcome runs requests one after the other and tells what they make together.
func outcome(t *testing.T, p *program.Program, snap source.Snapshot, parts ...program.Request) (lines []string, skipped map[string]int64) {
	t.Helper()
	skipped = map[string]int64{}
	for _, r := range parts {
		report, err := p.Run(t.Context(), snap, r, func(e *program.Emitted) error {
			lines = append(lines, string(e.Key)+" "+body(e))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for reason, n := range report.Skipped {
			skipped[reason] += n
		}
	}
	slices.Sort(lines)
	return lines, skipped
}

// parentRows counts the parent rows of each part of a pass.
func parentRows(t *testing.T, p *program.Program, snap source.Snapshot, parts []program.Request) (sizes []int) {
	t.Helper()
	for _, r := range parts {
		q := *p.Queries(r)[0].Query
		q.Columns, q.Key, q.Order = nil, nil, nil
		rows, err := snap.Stream(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		_ = rows.Close()
		sizes = append(sizes, n)
	}
	return sizes
}

// few gives members none to eight claims.
func few(r *rand.Rand) int { return r.IntN(9) }

// TestSplit_Sampled asks of random warehouses whose claims are cut by a sample of
// the members that the parts make what the whole makes: nothing lost, nothing
// twice, rows without a member or a key and those of nobody's claim counted
// alike. Members without claims, claims of strangers before, among and behind the
// members, and members that are left out are among them.
func TestSplit_Sampled(t *testing.T) {
	const size = 300
	for _, engine := range slices.Sorted(maps.Keys(engines)) {
		for seed, kind := range []string{"text", "bigint", "uuid"} {
			t.Run(engine+" "+kind, func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 1))
				home := settle(r, kind, 1500, 100, 300, few)
				w := engines[engine](t, home.files(t))
				p := must(t, w, files(townSet))
				compare := func(t *testing.T, request program.Request, parts []program.Request) {
					t.Helper()
					snap := watch(t, w)
					whole, skipped := outcome(t, p, snap, request)
					joined, apart := outcome(t, p, snap, parts...)
					if d := cmp.Diff(whole, joined); d != "" {
						t.Errorf("whole and parts (-whole +parts):\n%.2000s", d)
					}
					if d := cmp.Diff(skipped, apart); d != "" {
						t.Errorf("passed over, whole and parts (-whole +parts):\n%s", d)
					}
				}
				split := func(t *testing.T, r program.Request) []program.Request {
					t.Helper()
					snap := watch(t, w)
					parts, err := p.Split(t.Context(), snap, r, size)
					if err != nil {
						t.Fatal(err)
					}
					if snap.listed["claim"] || r.Patients == nil && !snap.listed["member"] {
						t.Errorf("rows listed: %v", snap.listed)
					}
					return parts
				}
				ordered := slices.Clone(home.members)
				slices.SortFunc(ordered, func(a, b string) int {
					if kind != "bigint" {
						return strings.Compare(a, b)
					}
					x, _ := strconv.Atoi(a)
					y, _ := strconv.Atoi(b)
					return x - y
				})

				t.Run("everything", func(t *testing.T) {
					parts := split(t, program.Request{})
					compare(t, program.Request{}, parts)
					if !parts[slices.IndexFunc(parts, func(r program.Request) bool { return r.Pass == 2 })-1].Unowned {
						t.Error("no part for the rows without a patient")
					}
					one := slices.DeleteFunc(slices.Clone(parts), func(r program.Request) bool { return r.Pass != 1 || r.Unowned })
					for i, n := range parentRows(t, p, watch(t, w), one) {
						if n > 2*size || n < size/3 && i != len(one)-1 {
							t.Errorf("part %d of %d has %d rows", i, len(one), n)
						}
					}
				})
				t.Run("members left out", func(t *testing.T) {
					request := program.Request{Without: append(ordered[700:900:900], ordered[0], ordered[1499])}
					compare(t, request, split(t, request))
				})
				t.Run("a range", func(t *testing.T) {
					request := program.Request{Pass: 1, After: &ordered[99], UpTo: &ordered[1399]}
					snap := watch(t, w)
					parts, err := p.Split(t.Context(), snap, request, size)
					if err != nil {
						t.Fatal(err)
					}
					if len(parts) < 10 {
						t.Errorf("%d parts", len(parts))
					}
					// A part for what no range holds may come on top of them.
					within := slices.DeleteFunc(parts, func(r program.Request) bool { return r.Unowned })
					whole, _ := outcome(t, p, snap, request)
					joined, _ := outcome(t, p, snap, within...)
					if d := cmp.Diff(whole, joined); d != "" {
						t.Errorf("whole and parts (-whole +parts):\n%.2000s", d)
					}
				})
				t.Run("named members", func(t *testing.T) {
					named := append(home.members[:1300:1300], home.number(1501), home.number(5000), home.members[3])
					request := program.Request{Pass: 1, Patients: named}
					parts := split(t, request)
					compare(t, request, parts)
					var dealt []string
					for _, r := range parts {
						dealt = append(dealt, r.Patients...)
					}
					slices.Sort(dealt)
					if d := cmp.Diff(slices.Compact(slices.Sorted(slices.Values(named))), dealt); d != "" {
						t.Errorf("members dealt out (-want +got):\n%.2000s", d)
					}
					for i, n := range parentRows(t, p, watch(t, w), parts) {
						if n > 2*size || n < size/3 && i != len(parts)-1 {
							t.Errorf("part %d of %d has %d rows", i, len(parts), n)
						}
					}
				})
			})
		}
	}
}

// TestSplit_Listed asks that rows are listed, and parts so exact in size, where a
// sample of the members would not tell how large parts are.
func TestSplit_Listed(t *testing.T) {
	const size = 300
	r := rand.New(rand.NewPCG(7, 7))
	once := func(set map[string]string, file, was, is string) map[string]string {
		set = maps.Clone(set)
		set[file] = strings.Replace(set[file], was, is, 1)
		return set
	}
	cases := map[string]struct {
		town *town
		set  map[string]string
	}{
		"few members": {town: settle(r, "text", 1000, 0, 1, few)},
		"few rows": {town: settle(r, "text", 1500, 0, 1, func(r *rand.Rand) int {
			if r.IntN(100) > 0 {
				return 0
			}
			return 1
		})},
		"few parts": {town: settle(r, "text", 1500, 0, 1, func(r *rand.Rand) int { return max(0, r.IntN(3)-1) })},
		"rows with few members": {town: settle(r, "text", 1500, 0, 1, func(r *rand.Rand) int {
			if r.IntN(60) > 0 {
				return 0
			}
			return 250
		})},
		"strangers": {town: settle(r, "text", 1500, 2500, 1, few)},
		"no member list": {town: settle(r, "text", 1500, 0, 1, few),
			set: once(townSet, "patient.yaml", "resource: Patient\nfrom: member\nset:\n  name: {text: =n}", "resource: Basic\nfrom: member\nset:\n  code: {text: =n}")},
		"members by another kind of number": {town: settle(r, "bigint", 1500, 0, 1, few),
			set: once(townSet, "sources.yaml", "member: {table: w.member, key: [member_id, n]", "member: {sql: 'SELECT CAST(member_id AS VARCHAR) AS member_id, n FROM w.member', key: [member_id, n]")},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			c := cases[name]
			w := folder(t, c.town.files(t))
			if c.set == nil {
				c.set = townSet
			}
			p := must(t, w, files(c.set))
			snap := watch(t, w)
			parts, err := p.Split(t.Context(), snap, program.Request{Pass: 1}, size)
			if err != nil {
				t.Fatal(err)
			}
			if !snap.listed["claim"] {
				t.Error("the claims were not listed")
			}
			whole, skipped := outcome(t, p, snap, program.Request{Pass: 1})
			joined, apart := outcome(t, p, snap, parts...)
			if d := cmp.Diff(whole, joined) + cmp.Diff(skipped, apart); d != "" {
				t.Errorf("whole and parts (-whole +parts):\n%.2000s", d)
			}
			most, rows := 0, map[string]int{}
			for _, claim := range c.town.claims {
				rows[claim[1]]++
				most = max(most, rows[claim[1]])
			}
			for i, n := range parentRows(t, p, snap, parts) {
				if n >= size+most || n < size && i < len(parts)-2 {
					t.Errorf("part %d of %d has %d rows", i, len(parts), n)
				}
			}
		})
	}
}

// TestSplit_Sizes asks that parts of the shipped claims, scaled, are of about the
// size asked for: copies of a member stand side by side there, as do members of
// one age where numbers are given out over the years.
func TestSplit_Sizes(t *testing.T) {
	const size = 4000
	dir := t.TempDir()
	if err := fixtures.Replicate(dir, fixtures.Tuva(), 12); err != nil {
		t.Fatal(err)
	}
	w := warehouse(t, dir)
	p := must(t, w, os.DirFS("library/tuva"))
	snap := watch(t, w)
	parts, err := p.Split(t.Context(), snap, program.Request{Pass: 1}, size)
	if err != nil {
		t.Fatal(err)
	}
	if snap.listed["claim"] {
		t.Error("the claims were listed")
	}
	sizes := parentRows(t, p, snap, parts)
	total := 0
	for i, n := range sizes {
		total += n
		if n > 2*size || n < size/3 && i != len(sizes)-1 {
			t.Errorf("part %d of %d has %d rows", i, len(sizes), n)
		}
	}
	if fair := (total + size - 1) / size; len(sizes) > fair+fair/4+1 {
		t.Errorf("%d parts of %v rows for %d rows", len(sizes), sizes, total)
	}
}

// TestSplit_ManyMembers asks the same of more members than are kept in memory.
func TestSplit_ManyMembers(t *testing.T) {
	const members, size = 200_001, 20_000
	w := folder(t, map[string]string{"one.csv": "x\n1\n"})
	p := must(t, w, files(map[string]string{
		"sources.yaml": fmt.Sprintf(`
sources:
  claim: {sql: "SELECT m.range * 5 + c.range AS claim_id, m.range AS member_id FROM range(%d) m CROSS JOIN range(5) c WHERE c.range <= m.range %% 5", key: [claim_id], patient: member_id}
  member: {sql: "SELECT range AS member_id, 'x' AS name FROM range(%[1]d)", key: [member_id], patient: member_id}
`, members),
		"claim.yaml":   "resource: Basic\nfrom: claim\nset:\n  code: {text: =claim_id}\n",
		"patient.yaml": "resource: Patient\nfrom: member\nset:\n  name: {text: =name}\n",
	}))
	snap := watch(t, w)
	parts, err := p.Split(t.Context(), snap, program.Request{Pass: 1}, size)
	if err != nil {
		t.Fatal(err)
	}
	if snap.listed["claim"] {
		t.Error("the claims were listed")
	}
	total := 0
	for i, n := range parentRows(t, p, snap, parts) {
		total += n
		if n > size*5/4 || n < size*3/4 && i != len(parts)-1 {
			t.Errorf("part %d of %d has %d rows", i, len(parts), n)
		}
	}
	if want := members * 3; total < want-5 || total > want {
		t.Errorf("the parts have %d rows, not about %d", total, want)
	}
}

// BenchmarkSplit cuts the claims of 10,000 members, 35 each, into parts of the
// usual size by a sample, and into parts so large that the rows are listed. What
// listing costs does not hang on the size.
func BenchmarkSplit(b *testing.B) {
	dir := b.TempDir()
	if err := fixtures.Replicate(dir, fixtures.Tuva(), 100); err != nil {
		b.Fatal(err)
	}
	w := warehouse(b, dir)
	p := must(b, w, os.DirFS("library/tuva"))
	for _, way := range []struct {
		name   string
		size   int
		listed bool
	}{{"sampled", 20_000, false}, {"listed", 200_000, true}} {
		b.Run(way.name, func(b *testing.B) {
			snap := watch(b, w)
			parts := 0
			for b.Loop() {
				all, err := p.Split(b.Context(), snap, program.Request{}, way.size)
				if err != nil {
					b.Fatal(err)
				}
				parts = len(all)
			}
			if snap.listed["claim"] != way.listed {
				b.Errorf("listed: %v", snap.listed)
			}
			b.ReportMetric(float64(parts), "parts")
		})
	}
}
