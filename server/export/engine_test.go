package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/server/files"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

const patience = 60 * time.Second

func wait(t *testing.T, e *Engine, id string) *Status {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	percent := 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		st, err := e.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if st.Percent < percent || st.Percent > 99 && st.State != StateComplete {
			t.Errorf("percent goes from %d to %d in state %s", percent, st.Percent, st.State)
		}
		percent = st.Percent
		if st.State == StateComplete || st.State == StateFailed {
			return st
		}
	}
	t.Fatal("export does not end")
	return nil
}

// until waits for a status of an export that runs.
func until(t *testing.T, e *Engine, id string, reached func(*Status) bool) {
	t.Helper()
	for {
		st, err := e.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if reached(st) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func planned(st *Status) bool { return st.Chunks > 0 }

func kickoff(t *testing.T, e *Engine, r Request) string {
	t.Helper()
	if r.Types == nil {
		r.Types = allTypes
	}
	if r.Level == "" {
		r.Level = LevelSystem
	}
	id, err := e.Kickoff(t.Context(), r, false)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func export(t *testing.T, e *Engine, r Request) string {
	t.Helper()
	id := kickoff(t, e, r)
	if st := wait(t, e, id); st.State != StateComplete {
		t.Fatalf("export ends as %s: %+v", st.State, st.Failure)
	}
	return id
}

// lines reads every file of a complete export by name, checking counts.
func lines(t *testing.T, e *Engine, id string) map[string][]string {
	t.Helper()
	m, err := e.Manifest(t.Context(), id, "https://x/", true)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, f := range slices.Concat(m.Output, m.Error) {
		if f.URL != "https://x/"+f.Name {
			t.Errorf("url is %q", f.URL)
		}
		file, err := e.OpenFile(t.Context(), id, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := file.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(r)
		var size int64
		for in.Scan() {
			out[f.Name] = append(out[f.Name], in.Text())
			size += int64(len(in.Bytes())) + 1
		}
		r.Close()
		if n := int64(len(out[f.Name])); n != f.Count || n == 0 || size != file.Bytes || file.Type != f.Type {
			t.Errorf("%s has %d lines and %d bytes, manifest says %+v, %+v", f.Name, n, size, f, file.Info)
		}
	}
	return out
}

// ids reads the ids of all resources of a type, in file order.
func ids(t *testing.T, e *Engine, id, typ string) []string {
	t.Helper()
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(t, e, id)
	var out []string
	for _, f := range m.Output {
		if f.Type != typ {
			continue
		}
		for _, l := range all[f.Name] {
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal([]byte(l), &r); err != nil {
				t.Fatal(err)
			}
			if r.ResourceType != typ {
				t.Errorf("%s holds a %s", f.Name, r.ResourceType)
			}
			out = append(out, r.ID)
		}
	}
	return out
}

func same[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(program.Request{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func is(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s gives %v, want %v", what, err, target)
	}
}

func objects(t *testing.T, b *bench) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(b.dir, "files"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBE170_WholeExport(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	id := export(t, e, Request{ClientID: "a", URL: "https://x/$export"})
	if len(id) < 26 {
		t.Errorf("id %q has fewer than 128 bits (BE-154)", id)
	}
	all := lines(t, e, id)
	want := map[string][]string{
		"Claim.1.ndjson":        {`{"resourceType":"Claim","id":"c11"}`, `{"resourceType":"Claim","id":"c12"}`},
		"Claim.2.ndjson":        {`{"resourceType":"Claim","id":"c21"}`, `{"resourceType":"Claim","id":"c22"}`},
		"Claim.3.ndjson":        {`{"resourceType":"Claim","id":"c31"}`, `{"resourceType":"Claim","id":"c32"}`},
		"Group.1.ndjson":        {`{"resourceType":"Group","id":"g1"}`, `{"resourceType":"Group","id":"g2"}`},
		"Organization.1.ndjson": {`{"resourceType":"Organization","id":"o1"}`, `{"resourceType":"Organization","id":"o2"}`},
		"Patient.1.ndjson":      {`{"resourceType":"Patient","id":"p1","implicitRules":"secret-m1"}`},
		"Patient.2.ndjson":      {`{"resourceType":"Patient","id":"p2","implicitRules":"secret-m2"}`},
		"Patient.3.ndjson":      {`{"resourceType":"Patient","id":"p3","implicitRules":"secret-m3"}`},
	}
	same(t, "files", want, all)
	m, err := e.Manifest(t.Context(), id, "https://x/f/", true)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("BE-171 transactionTime is an instant", func(t *testing.T) {
		if when, err := time.Parse(time.RFC3339, m.TransactionTime); err != nil || !when.Equal(firstAsOf) {
			t.Errorf("%s, %v; the snapshot is of %s", m.TransactionTime, err, firstAsOf)
		}
	})
	t.Run("BE-177 one type a file", func(t *testing.T) {
		for _, f := range m.Output {
			for _, l := range all[f.Name] {
				if !strings.HasPrefix(l, `{"resourceType":"`+f.Type+`",`) {
					t.Errorf("%s: %s", f.Name, l)
				}
			}
		}
	})
	t.Run("BE-201 one resource a line", func(t *testing.T) {
		for _, f := range m.Output {
			file, err := e.OpenFile(t.Context(), id, f.Name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := file.Identity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			if !utf8.Valid(text) || !bytes.HasPrefix(text, []byte("{")) || !bytes.HasSuffix(text, []byte("}\n")) || bytes.ContainsAny(text, "\r\ufeff") || bytes.Contains(text, []byte("\n\n")) {
				t.Errorf("%s: %q", f.Name, text)
			}
			for line := range bytes.Lines(text) {
				var compact bytes.Buffer
				if err := json.Compact(&compact, line); err != nil || compact.String() != strings.TrimSuffix(string(line), "\n") {
					t.Errorf("%s: %s is not compact: %v", f.Name, line, err)
				}
			}
		}
	})
	prefix := `{"transactionTime":"2026-02-01T00:00:00.005Z","request":"https://x/$export","requiresAccessToken":true,` +
		`"output":[{"type":"Claim","url":"https://x/f/Claim.1.ndjson","count":2},`
	if !strings.HasPrefix(string(text), prefix) || !strings.HasSuffix(string(text), `],"error":[]}`) {
		t.Errorf("manifest is %s", text)
	}
	r, err := e.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "exported", map[string]int64{"Claim": 6, "Group": 2, "Organization": 2, "Patient": 3}, r.Exported)
	same(t, "rows", int64(13), r.Rows)
	same(t, "absent", map[string]int64{"Patient.name": 8}, r.Absent)
	t.Run("BE-172 one snapshot", func(t *testing.T) {
		if _, opened := b.wh.stats(); opened != 1 {
			t.Errorf("%d snapshots for one export, want 1", opened)
		}
	})
	st := wait(t, e, id)
	if st.Percent != 100 || !st.TransactionTime.Equal(firstAsOf) || st.Chunks != 8 || st.Exported != 13 || !st.Expires.After(st.Finished) {
		t.Errorf("status is %+v", st)
	}
	_, err = e.OpenFile(t.Context(), id, "Patient.9.ndjson")
	is(t, "an unknown file", err, ErrNotFound)
	_, err = e.OpenFile(t.Context(), id, "")
	is(t, "a file without a name", err, ErrNotFound)
}

// _type leaves the types named and no other, at every level.
func TestBE090_Types(t *testing.T) {
	t.Parallel()
	e := newBench(t, small()).engine()
	for _, tc := range []struct {
		level Level
		types []string
	}{
		{LevelSystem, []string{"Claim"}}, {LevelSystem, []string{"Organization", "Patient"}}, {LevelPatient, []string{"Patient"}}, {LevelGroup, []string{"Claim", "Group"}},
	} {
		r := Request{Level: tc.level, Types: tc.types}
		if tc.level == LevelGroup {
			r.Group = "g1"
		}
		m, err := e.Manifest(t.Context(), export(t, e, r), "", true)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range m.Output {
			got = append(got, f.Type)
		}
		slices.Sort(got)
		same(t, "types", tc.types, slices.Compact(got))
	}
}

// A resource whose line clients do not read is withheld and told, and one that is
// as long as they read is not.
func TestBE201_LongLine(t *testing.T) {
	t.Parallel()
	d := small()
	const rest = len(`{"resourceType":"Patient","id":"p1","implicitRules":""}`)
	for i := range d.rows {
		switch d.rows[i].id {
		case "p1":
			d.rows[i].text = strings.Repeat("x", maxLine-rest)
		case "p2":
			d.rows[i].text = strings.Repeat("x", maxLine-rest+1)
		}
	}
	e := newBench(t, d).engine()
	id := export(t, e, Request{Types: []string{"Patient"}})
	same(t, "patients", []string{"p1", "p3"}, longIDs(t, e, id))
	r, err := e.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "reasons", map[string]int64{"line-too-long": 1}, r.Reasons)
}

// longIDs reads the ids of patients whose lines are longer than a scanner reads.
func longIDs(t *testing.T, e *Engine, id string) (out []string) {
	t.Helper()
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Output {
		for _, line := range readFile(t, e, id, f.Name) {
			if len(line) > maxLine {
				t.Errorf("a line of %d bytes", len(line))
			}
			var r struct{ ID string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			out = append(out, r.ID)
		}
	}
	return out
}

// The whole of it on PostgreSQL: control store and queue.
func TestOnPostgres(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	d := small()
	reached := hold(d)
	b := newBench(t, d)
	b.useControl(dsn)
	e := b.engine()
	id := kickoff(t, e, Request{})
	<-reached
	b.crash(e)
	f := b.engine()
	if st := wait(t, f, id); st.State != StateComplete {
		t.Fatalf("export ends as %s", st.State)
	}
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, f, id, "Patient"))
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, f, id, "Claim"))
	if err := f.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	same(t, "objects", nil, objects(t, b))
}

// A request for nobody must not become one for everybody on its way through
// the store.
func TestChunkRequestRoundTrip(t *testing.T) {
	t.Parallel()
	after := "m1"
	for _, r := range []program.Request{
		{}, {Patients: []string{}}, {Patients: []string{"m1"}},
		{Pass: 2, Types: []string{"Claim"}, Views: []string{"basis"}, After: &after, Since: firstAsOf, Until: firstAsOf, Roster: "g"},
	} {
		text, err := encodeRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(string(text))
		if err != nil {
			t.Fatal(err)
		}
		same(t, string(text), r, got)
	}
	if _, err := decodeRequest("{"); err == nil {
		t.Error("a malformed request gives no error")
	}
}

// An export of a view makes the types of that view alone, and every chunk asks
// for that view.
func TestView(t *testing.T) {
	t.Parallel()
	d := small()
	d.views = map[string][]program.Type{"basis": slices.DeleteFunc(slices.Clone(d.types), func(p program.Type) bool { return p.Name != "Claim" && p.Name != "Organization" })}
	b := newBench(t, d)
	e := b.engine()
	id := export(t, e, Request{View: "basis"})
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
	same(t, "patients", nil, ids(t, e, id, "Patient"))
	for _, r := range d.ran() {
		same(t, "view of a chunk", []string{"basis"}, r.Views)
	}
	r, err := e.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "view of the report", "basis", r.View)

	_, err = e.Kickoff(t.Context(), Request{Types: []string{"Claim"}, View: "other"}, true)
	is(t, "an unknown view", err, ErrUnknownView)

	// A view that the next mapping set lacks must not become the full one.
	d.split = func() { t.Error("an unknown view is planned") }
	runner, validator := e.Program()
	looks := 0
	e.Options.Program = func() (Runner, Validator) {
		if looks++; looks > 1 {
			return small(), validator
		}
		return runner, validator
	}
	gone := kickoff(t, e, Request{View: "basis"})
	st := wait(t, e, gone)
	if st.State != StateFailed || !strings.Contains(st.Failure.Text, "view") {
		t.Errorf("export ends as %s: %+v", st.State, st.Failure)
	}
}

func TestBE175_NothingMatches(t *testing.T) {
	t.Parallel()
	e := newBench(t, small()).engine()
	id := export(t, e, Request{Types: []string{"Practitioner"}})
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	if m.Output == nil || m.Error == nil || len(m.Output)+len(m.Error) != 0 {
		t.Errorf("manifest is %+v, want empty arrays", m)
	}
}

func TestFilesNamedAlikeWhateverChunkIsFirst(t *testing.T) {
	t.Parallel()
	d := small()
	release := make(chan struct{})
	d.before = func(ctx context.Context, r program.Request) error {
		if r.Pass == 0 && r.After == nil {
			select { // the first chunk ends last
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}
	b := newBench(t, d)
	e := b.engine()
	id := kickoff(t, e, Request{})
	for len(d.ran()) < 8 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wait(t, e, id)
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
}

func TestBE195_Withheld(t *testing.T) {
	t.Parallel()
	d := small()
	d.rows[0].finding = profiles.Finding{Severity: profiles.Error, Code: "cardinality-min", Path: "Patient.name", Origin: 41,
		Profile: "http://x/P|1", Element: "Patient.name", Message: "name is required"}
	d.rows[1].finding = profiles.Finding{Severity: profiles.Warning, Code: "binding", Message: "not in value set"}
	for _, policy := range []Policy{Withhold, Flag} {
		t.Run(string(policy), func(t *testing.T) {
			b := newBench(t, d)
			b.change = func(o *Options) { o.Policy = policy; o.ChunkSize = 100 }
			e := b.engine()
			id := export(t, e, Request{})
			t.Run("BE-164 complete, with error files", func(t *testing.T) {
				m, err := e.Manifest(t.Context(), id, "", true)
				if err != nil {
					t.Fatal(err)
				}
				if len(m.Output) == 0 || len(m.Error) != 1 || m.Error[0].Type != "OperationOutcome" || m.Error[0].Count != 1 {
					t.Errorf("%d files, error %+v", len(m.Output), m.Error)
				}
			})
			all := lines(t, e, id)
			r, err := e.Report(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "findings", []FindingCount{
				{Rule{"error", "cardinality-min", "http://x/P|1", "Patient.name", ""}, 1}, {Rule{Severity: "warning", Code: "binding"}, 1},
			}, r.Findings)
			want := `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required",` +
				`"details":{"text":"Patient withheld: name is required [cardinality-min]"},` +
				`"diagnostics":"Patient/p1; key member_id=m1; mapping map.yaml:41:3; rule http://x/P|1 Patient.name","expression":["Patient.name"]}]}`
			patients := []string{"p2", "p3"}
			if policy == Flag {
				want = strings.Replace(strings.Replace(want, `"severity":"error"`, `"severity":"warning"`, 1), "withheld", "exported with an error", 1)
				patients = []string{"p1", "p2", "p3"}
				same(t, "flagged", map[string]int64{"Patient": 1}, r.Flagged)
				same(t, "withheld", map[string]int64{}, r.Withheld)
			} else {
				same(t, "withheld", map[string]int64{"Patient": 1}, r.Withheld)
				same(t, "reasons", map[string]int64{"cardinality-min": 1}, r.Reasons)
			}
			same(t, "outcomes", []string{want}, all["OperationOutcome.1.ndjson"])
			same(t, "patients", patients, ids(t, e, id, "Patient"))
		})
	}
}

type validator func(r *r4.Resource, dst []profiles.Finding) []profiles.Finding

func (v validator) Validate(r *r4.Resource, dst []profiles.Finding) []profiles.Finding {
	return v(r, dst)
}

func TestValidatorJudges(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	b.valid = validator(func(r *r4.Resource, dst []profiles.Finding) []profiles.Finding {
		if string(r.ID()) == "c12" {
			dst = append(dst, profiles.Finding{Severity: profiles.Error, Code: "invariant", Message: "no"})
		}
		return dst
	})
	e := b.engine()
	id := export(t, e, Request{})
	same(t, "claims", []string{"c11", "c21", "c22", "c31", "c32"}, ids(t, e, id, "Claim"))
}

func TestBE234_Duplicates(t *testing.T) {
	t.Parallel()
	d := small()
	d.rows = append(d.rows,
		row{typ: "Patient", id: "p1", patient: "m1", key: "member_id=m1-again"},   // in the same chunk
		row{typ: "Patient", id: "p1", patient: "m4", key: "member_id=m4"},         // alone in a later chunk
		row{pass: 4, typ: "Claim", id: "c21", patient: "m2", key: "claim_id=c21"}, // in a later pass, with others
		row{pass: 4, typ: "Claim", id: "c99", patient: "m2", key: "claim_id=c99"},
	)
	b := newBench(t, d)
	e := b.engine()
	id := export(t, e, Request{})
	same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	same(t, "claims", []string{"c11", "c12", "c21", "c22", "c31", "c32", "c99"}, ids(t, e, id, "Claim"))
	r, err := e.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "withheld", map[string]int64{"Patient": 2, "Claim": 1}, r.Withheld)
	same(t, "exported", map[string]int64{"Claim": 7, "Group": 2, "Organization": 2, "Patient": 3}, r.Exported)
	same(t, "reasons", map[string]int64{"duplicate-id": 3}, r.Reasons)
	n := 0
	for name, l := range lines(t, e, id) {
		if strings.HasPrefix(name, "OperationOutcome") {
			n += len(l)
		}
	}
	same(t, "outcomes", 3, n)
	if st := wait(t, e, id); st.Exported != 14 {
		t.Errorf("status counts %d resources, want 14", st.Exported)
	}
	// Neither digests nor replaced files stay behind the manifest.
	m, err := e.Manifest(t.Context(), id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := b.control.Files(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "files in the store's list", len(m.Output)+len(m.Error), len(rows))
}

func TestDuplicatesInSeveralPasses(t *testing.T) {
	t.Parallel()
	d := small()
	for i := range 40 {
		id := "x" + string(rune('a'+i%20))
		d.rows = append(d.rows, row{pass: 4 + i/20, typ: "Claim", id: id, key: "claim_key=" + id})
	}
	e := newBench(t, d).engine()
	e.digests = 3
	id := export(t, e, Request{Types: []string{"Claim"}})
	got := ids(t, e, id, "Claim")
	slices.Sort(got)
	if len(got) != 26 || len(slices.Compact(got)) != 26 {
		t.Errorf("claims are %v, want 26 different ones", got)
	}
}

func TestBE040_GroupAndPatients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		r        Request
		patients []string
		claims   []string
		groups   []string
		orgs     []string
	}{
		{"BE-092 group level", Request{Level: LevelGroup, Group: "g1"}, []string{"p1", "p3"}, []string{"c11", "c12", "c31", "c32"}, []string{"g1"}, []string{"o1", "o2"}},
		{"BE-110 group and patient", Request{Level: LevelGroup, Group: "g1", Patients: []string{"p3", "p3"}}, []string{"p3"}, []string{"c31", "c32"}, nil, []string{"o1", "o2"}},
		{"BE-092 patient level", Request{Level: LevelPatient}, []string{"p1", "p2", "p3"}, []string{"c11", "c12", "c21", "c22", "c31", "c32"}, nil, []string{"o1", "o2"}},
		{"BE-110 some patients", Request{Level: LevelPatient, Patients: []string{"p2"}}, []string{"p2"}, []string{"c21", "c22"}, nil, []string{"o1", "o2"}},
		{"group of nobody", Request{Level: LevelGroup, Group: "none"}, nil, nil, nil, []string{"o1", "o2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small())
			e := b.engine()
			id := export(t, e, c.r)
			same(t, "patients", c.patients, ids(t, e, id, "Patient"))
			same(t, "claims", c.claims, ids(t, e, id, "Claim"))
			same(t, "groups", c.groups, ids(t, e, id, "Group"))
			same(t, "organizations", c.orgs, ids(t, e, id, "Organization"))
			if _, opened := b.wh.stats(); opened != 1 {
				t.Errorf("%d snapshots for one export, want 1", opened)
			}
		})
	}
}

func TestBE112_UnknownGroupAndPatients(t *testing.T) {
	t.Parallel()
	e := newBench(t, small()).engine()
	_, err := e.Kickoff(t.Context(), Request{Level: LevelGroup, Group: "x", Types: allTypes}, false)
	is(t, "an unknown group", err, ErrUnknownGroup)
	r := Request{Level: LevelGroup, Group: "g1", Types: allTypes, Patients: []string{"p1", "p2", "p9"}}
	_, err = e.Kickoff(t.Context(), r, false)
	var unknown *UnknownPatientsError
	if !errors.As(err, &unknown) {
		t.Fatalf("unknown patients give %v", err)
	}
	same(t, "unknown", []string{"p2", "p9"}, unknown.IDs)
	if strings.Contains(err.Error(), "p9") {
		t.Error("the error's text names a patient")
	}
	id, err := e.Kickoff(t.Context(), r, true)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, e, id)
	same(t, "patients", []string{"p1"}, ids(t, e, id, "Patient"))
	if got := lines(t, e, id)["OperationOutcome.1.ndjson"]; len(got) != 2 || !strings.Contains(got[0], "Patient/p2 is unknown") {
		t.Errorf("outcomes are %q", got)
	}
	r.Patients = []string{"p2", "p9"}
	if _, err = e.Kickoff(t.Context(), r, true); !errors.As(err, &unknown) {
		t.Errorf("only unknown patients, lenient, give %v", err)
	}
}

func TestBE077_Notes(t *testing.T) {
	t.Parallel()
	d := small()
	d.types[2].Tracked = false
	e := newBench(t, d).engine()
	id := export(t, e, Request{Since: firstAsOf.Add(-time.Hour), Types: []string{"Organization", "Patient"},
		Notes: []Note{{Severity: "warning", Code: "not-supported", Expression: "_foo", Text: "_foo was ignored."}}})
	want := []string{
		`{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-supported","details":{"text":"_foo was ignored."},"expression":["_foo"]}]}`,
		`{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":` +
			`"Organization: the warehouse does not track changes of all its rows, so resources are returned whatever _since and _until say."},"expression":["Organization"]}]}`,
	}
	same(t, "outcomes", want, lines(t, e, id)["OperationOutcome.1.ndjson"])
	for _, r := range d.ran() {
		if !r.Since.Equal(firstAsOf.Add(-time.Hour)) || !r.AsOf.IsZero() {
			t.Errorf("request is %+v", r)
		}
	}
}

// Deletions that may be missing are told, whether or not somebody is left out.
func TestPR006_DeletionsOfNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []*Consent{nil, {Members: []string{"p1"}}} {
		d := small()
		d.types[0].Ownerless = true
		b := newBench(t, d)
		b.change = func(o *Options) {
			o.Consent = func(context.Context, string) (*Consent, error) { return c, nil }
		}
		e := b.engine()
		id := export(t, e, Request{ClientID: "a", Level: LevelSystem, Types: []string{"Claim"}, Since: firstAsOf.Add(-time.Hour)})
		same(t, "outcomes", []string{`{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":` +
			`"Claim: the warehouse does not tell whose removed rows were, so deletions may be missing."},"expression":["Claim"]}]}`},
			lines(t, e, id)["OperationOutcome.1.ndjson"])
		for _, r := range d.ran() {
			if r.Chosen != (c != nil) {
				t.Errorf("somebody is left out: %v, told %v", c != nil, r.Chosen)
			}
		}
	}
}

func TestTwoExportsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	var all []string
	for range 4 {
		all = append(all, kickoff(t, e, Request{ClientID: "a"}))
	}
	for _, id := range all {
		if st := wait(t, e, id); st.State != StateComplete {
			t.Fatalf("export ends as %s", st.State)
		}
		same(t, "patients", []string{"p1", "p2", "p3"}, ids(t, e, id, "Patient"))
	}
	n, err := e.Running(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "running", 0, n)
}

func TestRotation(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	b.change = func(o *Options) { o.ChunkSize = 100; o.Limits = files.Limits{Lines: 4} }
	e := b.engine()
	id := export(t, e, Request{Types: []string{"Claim"}})
	all := lines(t, e, id)
	if len(all["Claim.1.ndjson"]) != 4 || len(all["Claim.2.ndjson"]) != 2 || len(all) != 2 {
		t.Errorf("files are %v", all)
	}
}

func TestRunAndSave(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	e := b.engine()
	told := 0
	st, err := e.Run(t.Context(), Request{Level: LevelSystem, Types: allTypes}, func(*Status) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	if told == 0 {
		t.Error("progress was not told")
	}
	for _, gzip := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "out")
		m, r, err := e.Save(t.Context(), st.ID, dir, gzip)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "files", len(m.Output)+len(m.Error)+2, len(entries))
		same(t, "exported", int64(13), total(r.Exported))
		for _, f := range m.Output {
			text, err := os.ReadFile(filepath.Join(dir, f.URL))
			if err != nil {
				t.Fatal(err)
			}
			want := f.Info.Bytes
			if gzip {
				want = f.Info.Stored
			}
			same(t, f.URL, want, int64(len(text)))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = e.Run(ctx, Request{Level: LevelSystem, Types: allTypes}, func(*Status) { cancel() })
	is(t, "a cancelled run", err, context.Canceled)
	b.double.before = func(context.Context, program.Request) error { return &source.SQLError{Message: "boom", Offset: -1} }
	var failed *FailedError
	if _, err = e.Run(t.Context(), Request{Level: LevelSystem, Types: allTypes}, nil); !errors.As(err, &failed) {
		t.Errorf("a failed run gives %v", err)
	}
}
