package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/sql/source"
)

// claims is a fake warehouse of n claims with lines and diagnoses, and a
// mapping set over it that needs nothing but plain columns.
func claims(n int) (*fake, fstest.MapFS) {
	f := &fake{tables: map[string]*fakeTable{
		"claim": {columns: []source.Column{
			column("claim_id", source.KindText), column("member_id", source.KindText), column("start_date", source.KindDate),
			column("end_date", source.KindDate), column("total", source.KindDecimal), column("npi", source.KindText), column("payer", source.KindText),
		}},
		"line": {columns: []source.Column{
			column("claim_id", source.KindText), column("line_no", source.KindInteger), column("hcpcs", source.KindText),
			column("amount", source.KindDecimal), column("units", source.KindInteger), column("rendering", source.KindText),
		}},
		"dx": {columns: []source.Column{
			column("claim_id", source.KindText), column("n", source.KindInteger), column("code", source.KindText), column("kind", source.KindText),
		}},
	}}
	for i := range n {
		id := fmt.Sprintf("C%07d", i)
		f.tables["claim"].rows = append(f.tables["claim"].rows, []string{id, fmt.Sprintf("M%05d", i/5), "2023-01-02", "2023-01-03", "120.50", "1111111111", "acme"})
		for l := 1; l <= 4; l++ {
			f.tables["line"].rows = append(f.tables["line"].rows, []string{id, fmt.Sprint(l), "99213", "30.25", "1", fmt.Sprintf("%010d", l%2)})
		}
		for d, code := range []string{"E119", "I10", "Z951"} {
			kind := "secondary"
			if d == 0 {
				kind = "principal"
			}
			f.tables["dx"].rows = append(f.tables["dx"].rows, []string{id, fmt.Sprint(d + 1), code, kind})
		}
	}
	return f, fstest.MapFS{
		"sources.yaml": {Data: []byte(`
currency: USD
sources:
  claim: {table: claim, key: [claim_id], patient: member_id}
  line: {table: line, parent: claim, order: [line_no]}
  diagnosis: {table: dx, parent: claim, order: ["n"]}
`)},
		"coverage.yaml": {Data: []byte(`
resource: Coverage
from: claim
set: {status: active, beneficiary: {display: =member_id}, payor: {display: =payer}}
`)},
		"eob.yaml": {Data: []byte(`
resource: ExplanationOfBenefit
profile: C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0
from: claim
set:
  identifier[uniqueclaimid]: {system: "https://payer.example/claim", value: =claim_id}
  status: active
  type: professional
  patient: {reference: =member_id}
  billablePeriod: {start: =start_date, end: =end_date}
  created: =end_date
  insurer: {display: =payer}
  provider: {display: =npi}
  outcome: complete
  careTeam: {each: line, key: [=rendering], provider: {display: =rendering}, role: rendering}
  diagnosis:
    each: diagnosis
    diagnosisCodeableConcept: {system: icd10cm, code: =code}
    type: =kind
  insurance: {focal: true, coverage: {ref: Coverage, key: [=claim_id]}}
  item:
    each: line
    sequence: =line_no
    careTeamSequence: {seq: careTeam, key: [=rendering]}
    productOrService: {system: cpt, code: =hcpcs}
    servicedPeriod: {start: =claim.start_date}
    locationCodeableConcept: {absent: unknown}
    quantity: =units
    adjudication[benefitpaymentstatus].reason: other
    adjudication[adjudicationamounttype]:
      - {category: submitted, amount: =amount}
      - {category: benefit, amount: =amount}
  total[adjudicationamounttype]: {category: submitted, amount: =total}
`)},
	}
}

func runFake(t testing.TB, f *fake, set fstest.MapFS, emit program.Emit) (*program.Report, error) {
	t.Helper()
	p, diags, err := mapping.Load(context.Background(), set, mapping.Env{Warehouse: f, Profiles: profileSet(t)})
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		t.Fatal(diags.Err())
	}
	snap, err := f.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(context.Background(), snap, program.Request{}, emit)
}

func discard(*program.Emitted) error { return nil }

func TestRule20_Order(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*fake)
		want  program.OrderError
	}{
		{"parent out of order", func(f *fake) { r := f.tables["claim"].rows; r[1], r[2] = r[2], r[1] }, program.OrderError{Source: "claim", Row: 3}},
		{"parent twice", func(f *fake) { f.tables["claim"].rows[2][0] = "C0000001" }, program.OrderError{Source: "claim", Row: 3, Twice: true}},
		{"child out of order", func(f *fake) { r := f.tables["line"].rows; r[1], r[2] = r[2], r[1] }, program.OrderError{Source: "line", Row: 3}},
		{"child key", func(f *fake) { f.tables["line"].rows[2][1] = "2" }, program.OrderError{Source: "line", Row: 3, Twice: true}},
		{"text in the order of numbers", func(f *fake) { f.tables["line"].rows[3][1] = "10"; f.tables["line"].rows[2][1] = "11" }, program.OrderError{Source: "line", Row: 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, set := claims(4)
			tc.spoil(f)
			_, err := runFake(t, f, set, discard)
			var got *program.OrderError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want an OrderError", err)
			}
			if d := cmp.Diff(tc.want, *got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRule20_IntegersCompareAsIntegers(t *testing.T) {
	f, set := claims(1)
	f.tables["line"].rows[3][1] = "10" // after 1, 2, 3: by bytes it would stand before 2
	if _, err := runFake(t, f, set, discard); err != nil {
		t.Fatal(err)
	}
}

func TestRule21_Orphans(t *testing.T) {
	f, set := claims(3)
	f.tables["claim"].rows = slices.Delete(f.tables["claim"].rows, 1, 2)
	report, err := runFake(t, f, set, discard)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"orphan": 7}, report.Skipped); d != "" {
		t.Error(d)
	}
	if report.Resources["ExplanationOfBenefit"] != 2 {
		t.Errorf("%d resources, want 2", report.Resources["ExplanationOfBenefit"])
	}
}

func TestRule34_TooManyRows(t *testing.T) {
	f, set := claims(1)
	f.tables["line"].rows = nil
	for i := range 10_001 {
		f.tables["line"].rows = append(f.tables["line"].rows, []string{"C0000000", fmt.Sprint(i + 1), "99213", "1.00", "1", "1"})
	}
	var codes []string
	_, err := runFake(t, f, set, func(e *program.Emitted) error {
		if e.Type == "ExplanationOfBenefit" {
			for _, x := range e.Findings {
				codes = append(codes, x.Code)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"too-many-rows"}, codes); d != "" {
		t.Error(d)
	}
}

func TestEmitStops(t *testing.T) {
	f, set := claims(3)
	stop := errors.New("enough")
	report, err := runFake(t, f, set, func(*program.Emitted) error { return stop })
	if !errors.Is(err, stop) || report.Rows != 1 {
		t.Fatalf("got %v after %d rows", err, report.Rows)
	}
}

// TestSplit asks that the parts of a split make what the whole makes, and that
// patients, rosters and types narrow it.
func TestSplit(t *testing.T) {
	ctx := context.Background()
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	if p == nil {
		t.Fatal(diags.Err())
	}
	snap, err := w.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	collect := func(r program.Request) (out []string) {
		t.Helper()
		if _, err := p.Run(ctx, snap, r, func(e *program.Emitted) error {
			out = append(out, e.Type+"/"+string(e.ID)+" "+string(e.Key)+" "+string(e.Resource.AppendJSON(nil)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(out)
		return out
	}
	whole := collect(program.Request{})
	parts, err := p.Split(ctx, snap, program.Request{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) < 6 {
		t.Errorf("%d parts", len(parts))
	}
	var joined []string
	for _, r := range parts {
		joined = append(joined, collect(r)...)
	}
	slices.Sort(joined)
	if d := cmp.Diff(whole, joined); d != "" {
		t.Errorf("whole and parts (-whole +parts):\n%s", d)
	}
	for _, line := range collect(program.Request{Types: []string{"Patient"}, Patients: []string{"M2"}}) {
		if !strings.Contains(line, "member_id=M2") {
			t.Errorf("not of the patient: %.60s", line)
		}
	}
	if got := collect(program.Request{Patients: []string{"M2"}, Types: []string{"Group"}}); len(got) != 0 {
		t.Error("a roster is emitted where only some patients are wanted")
	}

	var patient, group string
	for _, line := range whole {
		name, rest, _ := strings.Cut(line, " ")
		if strings.HasPrefix(rest, "member_id=M1 ") {
			patient = strings.TrimPrefix(name, "Patient/")
		}
		if id, ok := strings.CutPrefix(name, "Group/"); ok {
			group = id
		}
	}
	found, err := p.Patients(ctx, snap, []string{patient, "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{patient: "M1"}, found); d != "" {
		t.Error(d)
	}
	members, ok, err := p.Roster(ctx, snap, group)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if d := cmp.Diff([]string{"M1"}, members); d != "" {
		t.Error(d)
	}
	if _, ok, err = p.Roster(ctx, snap, "nobody"); ok || err != nil {
		t.Error("a roster that is not there is found", err)
	}
}

func TestTypes(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	if p == nil {
		t.Fatal(diags.Err())
	}
	want := []program.Type{
		{Name: "Coverage", Reach: program.PatientData},
		{Name: "ExplanationOfBenefit", Reach: program.PatientData, Profiles: []string{
			"http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0"}},
		{Name: "Group", Reach: program.Roster},
		{Name: "Organization", Reach: program.Shared},
		{Name: "Patient", Reach: program.PatientData},
		{Name: "Practitioner", Reach: program.Shared},
	}
	if d := cmp.Diff(want, p.Types()); d != "" {
		t.Error(d)
	}
}

func TestRule29_Since(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	set := base(t)
	set["sources.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(set["sources.yaml"].Data),
		"{table: member, key: [member_id], patient: member_id}", "{table: member, key: [member_id], patient: member_id, updated: updated_at}", 1))}
	p, diags := load(t, w, set)
	if p == nil {
		t.Fatal(diags.Err())
	}
	for _, tc := range []struct {
		name string
		r    program.Request
		want []string
	}{
		{"all", program.Request{}, []string{"2024-01-05T15:00:00.000Z", "2024-02-01T05:00:00.000Z", "2024-03-01T00:00:00.000Z"}},
		// A NULL updated is always returned: nobody knows that it did not change.
		{"since", program.Request{Since: time.Date(2024, 1, 10, 0, 0, 0, 0, time.UTC)}, []string{"2024-02-01T05:00:00.000Z", "2024-03-01T00:00:00.000Z"}},
		{"until", program.Request{Until: time.Date(2024, 1, 10, 0, 0, 0, 0, time.UTC)}, []string{"2024-01-05T15:00:00.000Z", "2024-03-01T00:00:00.000Z"}},
		// The cut at the instant itself takes what changed at it.
		{"as of", program.Request{AsOf: time.Date(2024, 1, 5, 15, 0, 0, 0, time.UTC)}, []string{"2024-01-05T15:00:00.000Z", "2024-03-01T00:00:00.000Z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.r.Types = []string{"Patient"}
			snap, err := w.Snapshot(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snap.Close() }()
			var got []string
			if _, err := p.Run(context.Background(), snap, tc.r, func(e *program.Emitted) error {
				meta := e.Resource.Find(r4.Root, r4.Lookup("Patient").Element("meta"))
				got = append(got, string(e.Resource.Value(e.Resource.Find(meta, r4.Lookup("Meta").Element("lastUpdated")))))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestPositions asks that every node of a resource leads back to a line of its
// mapping.
func TestPositions(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	if p == nil {
		t.Fatal(diags.Err())
	}
	snap, err := w.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	if _, err := p.Run(context.Background(), snap, program.Request{}, func(e *program.Emitted) error {
		for n := r4.Root; int(n) < e.Resource.Len(); n++ {
			if pos := p.Position(e.Resource.Origin(n)); pos.File != e.Pos.File || !pos.IsValid() {
				t.Errorf("%s has no line: %v", e.Resource.Path(n), pos)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRun(b *testing.B) {
	const n = 2000
	f, set := claims(n)
	delete(set, "coverage.yaml")
	set["eob.yaml"].Data = []byte(strings.Replace(string(set["eob.yaml"].Data), "{ref: Coverage, key: [=claim_id]}", "{reference: =claim_id}", 1))
	p, diags, err := mapping.Load(context.Background(), set, mapping.Env{Warehouse: f, Profiles: profileSet(b)})
	if err != nil || p == nil {
		b.Fatal(err, diags.Err())
	}
	snap := memory(b, f)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		report, err := p.Run(context.Background(), snap, program.Request{}, func(e *program.Emitted) error {
			out = e.Resource.AppendJSON(out[:0])
			return nil
		})
		if err != nil || report.Resources["ExplanationOfBenefit"] != n {
			b.Fatal(err, report)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "resources/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/resource")
	b.SetBytes(int64(len(out)) * n)
}

// memory is a snapshot whose rows are made once, so that a benchmark does not
// count them.
func memory(t testing.TB, f *fake) source.Snapshot {
	t.Helper()
	snap, err := f.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return &cached{Snapshot: snap, rows: map[string][]source.Row{}}
}

type cached struct {
	source.Snapshot
	rows map[string][]source.Row
}

func (c *cached) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	rows, ok := c.rows[q.From.Name]
	if !ok {
		s, err := c.Snapshot.Stream(ctx, q)
		if err != nil {
			return nil, err
		}
		for s.Next() {
			rows = append(rows, s.Row())
		}
		c.rows[q.From.Name] = rows
	}
	return &fakeRows{rows: rows}, nil
}
