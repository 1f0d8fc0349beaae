package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/mapping/library"
	"remit/profiles/r4"
	"remit/profiles/search"
	"remit/server/auth"
	"remit/server/export"
	"remit/sql/control"
)

// splitSet writes the Tuva set with its one payer's members split in two
// rosters, "even" and "odd", by the last digit of patient_id.
func splitSet(dir string) error {
	set, _ := library.Set("tuva")
	err := fs.WalkDir(set, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(set, path)
		if err != nil {
			return err
		}
		text := string(data)
		switch path {
		case "sources.yaml":
			const was = "  enrolled:\n    sql: enrolled.sql\n    parent: payers\n"
			if !strings.Contains(text, was) {
				return errors.New("the source of the roster's members is not where it was")
			}
			text = strings.Replace(text, was, "  rosters:\n    sql: rosters.sql\n    key: [half]\n  enrolled:\n    sql: enrolled.sql\n    parent: rosters\n", 1)
		case "group-roster.yaml":
			text = `resource: Group
from: rosters
id: {key: [=half], form: plain}
set:
  identifier: {system: "https://payer.example/roster", value: =half}
  active: true
  type: person
  actual: true
  name: =half
  member:
    each: enrolled
    entity: {ref: Patient, key: [=data_source, =patient_id]}
    period: {start: =first_day, end: =last_day}
`
		case "enrolled.sql":
			text = `SELECT CASE WHEN right(e.patient_id, 1) IN ('0', '2', '4', '6', '8') THEN 'even' ELSE 'odd' END AS half,
  e.data_source, e.patient_id, min(e.enrollment_start_date) AS first_day, max(e.enrollment_end_date) AS last_day
FROM tuva.eligibility e
GROUP BY 1, e.data_source, e.patient_id
`
		}
		if strings.HasPrefix(path, "tests/") {
			return nil
		}
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		return os.WriteFile(to, []byte(text), 0o600)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "rosters.sql"), []byte("SELECT 'even' AS half UNION ALL SELECT 'odd'\n"), 0o600)
}

// splitNode is a node over the split set.
func splitNode(t testing.TB) *node {
	t.Helper()
	dir := t.TempDir()
	if err := splitSet(filepath.Join(dir, "split")); err != nil {
		t.Fatal(err)
	}
	return testNode(t, config{Warehouse: tuvaDuckDB, Mappings: filepath.Join(dir, "split"), Data: filepath.Join(dir, "data"), PublicURL: "http://127.0.0.1:1/fhir"})
}

func testNode(t testing.TB, c config) *node {
	t.Helper()
	a := &app{stdin: strings.NewReader(""), stdout: os.Stderr, stderr: os.Stderr, getenv: func(string) string { return "" }, now: time.Now}
	if err := c.resolve(a); err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), a, &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// pages searches to the end and returns what came, by id.
func pages(t *testing.T, r *export.Reader, q export.Search) map[string]string {
	t.Helper()
	out := map[string]string{}
	for n := 0; ; n++ {
		page, err := r.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Resources) > q.Count {
			t.Fatalf("a page of %d, asked for %d", len(page.Resources), q.Count)
		}
		for _, res := range page.Resources {
			if _, twice := out[res.ID]; twice {
				t.Fatalf("%s/%s comes twice", q.Type, res.ID)
			}
			out[res.ID] = string(res.JSON)
		}
		if q.After = page.Next; q.After == nil {
			return out
		}
		if n > 2000 {
			t.Fatal("no end of pages")
		}
	}
}

var jsonID = regexp.MustCompile(`"id":"([A-Za-z0-9.-]+)"`)

// What reads and searches give is what an export gives, byte for byte: no
// more, no less and nothing withheld.
func TestReadsEqualExport(t *testing.T) {
	t.Parallel()
	n := splitNode(t)
	st, err := n.engine.Run(t.Context(), export.Request{Level: export.LevelSystem, Types: typeNames(n)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := n.engine.Manifest(t.Context(), st.ID, "", true)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{}
	var withheld []string
	for _, f := range append(m.Output, m.Error...) {
		file, err := n.engine.OpenFile(t.Context(), st.ID, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		body, err := file.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range readLines(t, body) {
			if f.Type == "OperationOutcome" {
				if _, rest, ok := strings.Cut(line, `"diagnostics":"ExplanationOfBenefit/`); ok {
					id, _, _ := strings.Cut(rest, ";")
					withheld = append(withheld, id)
				}
				continue
			}
			if want[f.Type] == nil {
				want[f.Type] = map[string]string{}
			}
			want[f.Type][jsonID.FindStringSubmatch(line)[1]] = line
		}
		body.Close()
	}
	if len(withheld) < 50 {
		t.Fatalf("only %d resources are withheld", len(withheld))
	}
	for _, typ := range typeNames(n) {
		counts := []int{7, 1000}
		if len(want[typ]) > 300 {
			counts = []int{997} // several pages, each of which costs queries
		}
		for _, count := range counts {
			got := pages(t, n.reader, export.Search{Type: typ, Count: count})
			if len(got) != len(want[typ]) {
				t.Errorf("%s in pages of %d: %d resources, the export has %d", typ, count, len(got), len(want[typ]))
			}
			for id, json := range got {
				if plain(json) != plain(want[typ][id]) {
					t.Fatalf("%s/%s is not the one exported:\n%s\n%s", typ, id, json, want[typ][id])
				}
			}
		}
		read := 0
		for id, json := range want[typ] {
			if read++; read > 20 {
				break
			}
			res, err := n.reader.Read(t.Context(), export.Bounds{}, typ, id)
			if err != nil || plain(string(res.JSON)) != plain(json) {
				t.Errorf("read %s/%s: %v", typ, id, err)
			}
		}
	}
	for _, id := range append(withheld[:5], "nobody") {
		if _, err := n.reader.Read(t.Context(), export.Bounds{}, "ExplanationOfBenefit", id); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("read of what is withheld or not there: %v", err)
		}
	}
}

// plain is a resource without the instant of its snapshot, which is the last
// update where a mapping tracks none.
func plain(json string) string { return lastUpdated.ReplaceAllString(json, "") }

func typeNames(n *node) []string {
	var out []string
	for _, t := range n.reloader.Types() {
		out = append(out, t.Name)
	}
	return out
}

// Two clients with two rosters of one payer: what one reads and finds is its
// own members' alone, and the other's answers as what is not there (BE-012,
// BE-016).
func TestReadsInsideRoster(t *testing.T) {
	t.Parallel()
	n := splitNode(t)
	for _, id := range []string{"even", "odd"} { // to a client that is not registered nothing is given
		if _, err := auth.NewStore(n.control, nil).Register(t.Context(), auth.Registration{ID: id, External: true, Scope: "system/*.rs", Groups: []string{id}}); err != nil {
			t.Fatal(err)
		}
	}
	even, odd := export.Bounds{ClientID: "even", Groups: []string{"even"}}, export.Bounds{ClientID: "odd", Groups: []string{"odd"}}
	for _, typ := range []string{"Patient", "Coverage", "ExplanationOfBenefit", "Group"} {
		all := pages(t, n.reader, export.Search{Type: typ, Count: 1000})
		own := map[string]map[string]string{}
		for name, b := range map[string]export.Bounds{"even": even, "odd": odd} {
			own[name] = pages(t, n.reader, export.Search{Bounds: b, Type: typ, Count: 900})
		}
		if len(own["even"]) == 0 || len(own["odd"]) == 0 || len(own["even"])+len(own["odd"]) != len(all) {
			t.Errorf("%s: %d and %d of %d", typ, len(own["even"]), len(own["odd"]), len(all))
		}
		i := 0
		for id := range own["even"] {
			if _, shared := own["odd"][id]; shared {
				t.Errorf("%s/%s is in both", typ, id)
			}
			if i++; i > 2 {
				break
			}
			if _, err := n.reader.Read(t.Context(), even, typ, id); err != nil {
				t.Errorf("%s/%s of its own: %v", typ, id, err)
			}
			if _, err := n.reader.Read(t.Context(), odd, typ, id); !errors.Is(err, export.ErrNotFound) {
				t.Errorf("%s/%s of the other: %v", typ, id, err)
			}
			f := parseFilter(t, typ, "_id="+id)
			page, err := n.reader.Search(t.Context(), export.Search{Bounds: odd, Type: typ, Filter: f, Count: 10})
			if err != nil || len(page.Resources) > 0 {
				t.Errorf("search of %s/%s of the other: %d, %v", typ, id, len(page.Resources), err)
			}
			if typ == "Patient" {
				page, err := n.reader.Search(t.Context(), export.Search{Bounds: odd, Type: "Coverage", Filter: parseFilter(t, "Coverage", "patient="+id), Count: 10})
				if err != nil || len(page.Resources) > 0 {
					t.Errorf("search by a patient of the other: %d, %v", len(page.Resources), err)
				}
			}
		}
	}
}

func parseFilter(t testing.TB, typ, query string) *search.Filter {
	t.Helper()
	params, err := search.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	f, problems := params.ParseFor(typ, query, search.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return f
}

// Searches by what the guides name give what a plain look at every resource
// gives.
func TestSearches(t *testing.T) {
	t.Parallel()
	n := splitNode(t)
	all := map[string]map[string]string{}
	// Identifiers narrow the queries themselves: by the columns behind them.
	value := regexp.MustCompile(`"value":"([^"]+)"`)
	for _, typ := range []string{"Patient", "Coverage", "Claim"} {
		columns, ok := n.loaded.program.Columns(typ, "", "identifier.value")
		if !ok || len(columns) == 0 {
			t.Errorf("the columns behind the identifiers of %s: %v, %v", typ, columns, ok)
		}
	}
	page, err := n.reader.Search(t.Context(), export.Search{Type: "Patient", Count: 100})
	if err != nil || len(page.Resources) < 50 {
		t.Fatal(len(page.Resources), err)
	}
	for _, i := range []int{0, 49} {
		word := value.FindStringSubmatch(string(page.Resources[i].JSON))[1]
		for query, want := range map[string]bool{"identifier=" + word: true, "identifier=https://payer.example/person|" + word + ",nobody": true, "identifier=urn:other|" + word: false} {
			got := pages(t, n.reader, export.Search{Type: "Patient", Filter: parseFilter(t, "Patient", query), Count: 10})
			if _, found := got[page.Resources[i].ID]; found != want || len(got) > 1 {
				t.Errorf("%s: %d found", query, len(got))
			}
		}
	}
	for _, test := range []struct{ typ, query string }{
		{"Patient", "gender=female"},
		{"Patient", "identifier=https://payer.example/member|"},
		{"ExplanationOfBenefit", "type=pharmacy"},
		{"ExplanationOfBenefit", "service-date=ge2018-06-01&type=professional"},
		{"Coverage", "_lastUpdated=gt2000-01-01&status=active"},
		{"Coverage", "_lastUpdated=lt2000-01-01"},
		{"Coverage", "status=cancelled"},
		{"Group", "identifier=https://payer.example/roster|odd"},
		{"Group", "name=ev"},
	} {
		f := parseFilter(t, test.typ, test.query)
		got := pages(t, n.reader, export.Search{Type: test.typ, Filter: f, Count: 400})
		if all[test.typ] == nil {
			all[test.typ] = pages(t, n.reader, export.Search{Type: test.typ, Count: 1000})
		}
		want := 0
		for _, line := range all[test.typ] {
			if matches(t, f, line) {
				want++
			}
		}
		if len(got) != want {
			t.Errorf("%s?%s: %d, want %d", test.typ, test.query, len(got), want)
		}
	}
}

// BenchmarkReadByID measures a read by id: the first one, which walks the keys of
// the type, and those after it.
func BenchmarkReadByID(b *testing.B) {
	n := splitNode(b)
	page, err := n.reader.Search(b.Context(), export.Search{Type: "ExplanationOfBenefit", Count: 200})
	if err != nil {
		b.Fatal(err)
	}
	read := func(b *testing.B, r *export.Reader, i int) {
		if _, err := r.Read(b.Context(), export.Bounds{}, "ExplanationOfBenefit", page.Resources[i%len(page.Resources)].ID); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			r := n.engine.Reader(export.ReadOptions{})
			read(b, r, 0)
			r.Close()
		}
	})
	b.Run("indexed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			read(b, n.reader, i)
		}
	})
	b.Run("missing", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := n.reader.Read(b.Context(), export.Bounds{}, "ExplanationOfBenefit", fmt.Sprint("none", i)); !errors.Is(err, export.ErrNotFound) {
				b.Fatal(err)
			}
		}
	})
	b.Run("identifier", func(b *testing.B) {
		patients, err := n.reader.Search(b.Context(), export.Search{Type: "Patient", Count: 1})
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(patients.Resources[0].JSON), `"value":"`)
		word, _, _ := strings.Cut(rest, `"`)
		f := parseFilter(b, "Patient", "identifier="+word)
		for b.Loop() {
			found, err := n.reader.Search(b.Context(), export.Search{Type: "Patient", Filter: f, Count: 10})
			if err != nil || len(found.Resources) != 1 {
				b.Fatal(len(found.Resources), err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.reader.Search(b.Context(), export.Search{Type: "ExplanationOfBenefit", Count: 50}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func readLines(t *testing.T, r io.Reader) []string {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func matches(t *testing.T, f *search.Filter, line string) bool {
	t.Helper()
	var parser r4.Parser
	var res r4.Resource
	if problems := parser.Parse([]byte(line), &res); len(problems) > 0 {
		t.Fatal(problems)
	}
	return f.Match(&res)
}

// A search that names its resources keeps to its time, too: each page holds one
// at least, and together they hold all.
func TestSearchOfIDsKeepsItsTime(t *testing.T) {
	t.Parallel()
	n := splitNode(t)
	page, err := n.reader.Search(t.Context(), export.Search{Type: "Patient", Count: 3})
	if err != nil || len(page.Resources) != 3 {
		t.Fatal(page, err)
	}
	var want []string
	for _, r := range page.Resources {
		want = append(want, r.ID)
	}
	hasty := n.engine.Reader(export.ReadOptions{Budget: time.Nanosecond})
	defer hasty.Close()
	q := export.Search{Type: "Patient", Filter: parseFilter(t, "Patient", "_id="+strings.Join(want, ",")), Count: 10}
	var got []string
	for range want {
		page, err := hasty.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Resources) != 1 {
			t.Errorf("a page of %d", len(page.Resources))
		}
		for _, r := range page.Resources {
			got = append(got, r.ID)
		}
		q.After = page.Next
	}
	if q.After != nil || !slices.Equal(got, want) {
		t.Errorf("%v, then %v; want %v", got, q.After, want)
	}
}

// A reference below the server's own base is a relative one (R4, 3.1.1.4.12), in a
// client's scope and in the criteria of its group, also where the node computes the
// members without being asked.
func TestNode_ReferencesBelowTheBase(t *testing.T) {
	t.Parallel()
	n := splitNode(t)
	const base = "http://127.0.0.1:1/fhir"
	patients, err := n.reader.Search(t.Context(), export.Search{Type: "Patient", Count: 1})
	if err != nil || len(patients.Resources) != 1 {
		t.Fatal(patients, err)
	}
	query := "patient=" + base + "/Patient/" + patients.Resources[0].ID
	if _, err := auth.NewStore(n.control, nil).Register(t.Context(), auth.Registration{ID: "one", External: true, Scope: "system/Patient.rs system/Claim.rs?" + query}); err != nil {
		t.Fatal(err)
	}
	b, err := n.bounds(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	relative := export.Search{Type: "Claim", Filter: parseFilter(t, "Claim", "patient=Patient/"+patients.Resources[0].ID), Count: 1000}
	want := pages(t, n.reader, relative)
	got := pages(t, n.reader, export.Search{Bounds: b, Type: "Claim", Count: 1000})
	if len(want) == 0 || !maps.Equal(want, got) {
		t.Errorf("a scope of one patient lets %d claims through, want %d", len(got), len(want))
	}

	form, issues := export.ParseGroup([]byte(fmt.Sprintf(`{"resourceType":"Group","type":"person","actual":true,"name":"n","modifierExtension":[`+
		`{"url":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter","valueExpression":{"language":"application/x-fhir-query","expression":"Claim?%s"}}]}`, query)),
		n.search, base)
	if len(issues) > 0 {
		t.Fatal(issues)
	}
	x, err := n.groups.Create(t.Context(), b, form, true)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := n.control.GroupSize(t.Context(), x.ID, control.MemberFound); err != nil || size != 1 || x.State != control.GroupReady {
		t.Errorf("the group is %s with %d members, want 1; %v", x.State, size, err)
	}
}
