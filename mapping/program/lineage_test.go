package program_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/sql/source"
)

// TestLineage holds the lineage of the shipped set against what runs of it
// really ask the warehouse for: source by source, the columns are the same.
func TestLineage(t *testing.T) {
	ctx := context.Background()
	p, _, w := tuva(t)
	catalog, err := w.Catalog(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := p.Lineage(catalog)
	heard := &ear{Snapshot: snapshot(t, w), warehouse: w, asked: map[string]map[string]bool{}}
	nothing := func(*program.Emitted) error { return nil }
	// All rows, and those of one patient: the second asks for the patient column.
	for _, r := range []program.Request{{Apart: true}, {Apart: true, Patients: []string{"10133"}}} {
		if _, err := p.Run(ctx, heard, r, nothing); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range l.Sources {
		var got []string
		for _, c := range s.Columns {
			got = append(got, strings.ToLower(c.Column))
			if len(c.Roles) == 0 && len(c.Paths) == 0 {
				t.Errorf("%s.%s goes nowhere", s.Source, c.Column)
			}
		}
		slices.Sort(got)
		var want []string
		for c := range heard.asked[s.Source] {
			want = append(want, c)
		}
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-asked +lineage):\n%s", s.Source, d)
		}
		delete(heard.asked, s.Source)
	}
	for name := range heard.asked {
		t.Errorf("source %s is read, and not in the lineage", name)
	}
	// A view asks for no more than its own uses, keys and conditions.
	narrow := &ear{Snapshot: snapshot(t, w), warehouse: w, asked: map[string]map[string]bool{}}
	if _, err := p.Run(ctx, narrow, program.Request{Apart: true, Views: []string{"basis"}}, nothing); err != nil {
		t.Fatal(err)
	}
	amounts := 0
	for _, s := range l.Sources {
		for _, c := range s.Columns {
			stays := slices.ContainsFunc(c.Roles, func(r string) bool { return r != "patient" }) || slices.ContainsFunc(l.Uses, func(u program.Use) bool {
				return u.Source == s.Source && slices.Contains(u.Views, "basis") && slices.Contains(u.Columns, c.Column)
			})
			if asked := narrow.asked[s.Source][strings.ToLower(c.Column)]; asked != stays {
				t.Errorf("view basis, column %s.%s: asked for %v, in the lineage %v", s.Source, c.Column, asked, stays)
			}
			if !stays {
				amounts++
			}
		}
	}
	if amounts < 10 {
		t.Errorf("the view leaves out %d columns", amounts)
	}
	if d := cmp.Diff([]program.TableUse{
		{Table: "tuva.eligibility", Unused: []string{"dual_status_code", "medicare_status_code"}},
		{Table: "tuva.medical_claim", Unused: []string{"member_id", "total_cost_amount", "procedure_code_type"}},
		{Table: "tuva.pharmacy_claim", Unused: []string{"member_id"}},
	}, withoutSources(l.Tables)); d != "" {
		t.Error(d)
	}
	for _, want := range []program.Unmapped{
		{Mapping: "eob-inpatient", Element: "ExplanationOfBenefit.supportingInfo:clmrecvddate", Path: "ExplanationOfBenefit.supportingInfo[clmrecvddate]"},
		{Mapping: "patient", Element: "Patient.address.country", Path: "Patient.address.country"},
	} {
		if !slices.ContainsFunc(l.MustSupport, func(m program.Unmapped) bool {
			return m.Mapping == want.Mapping && m.Element == want.Element && m.Path == want.Path
		}) {
			t.Errorf("%s: %s is not told as unmapped", want.Mapping, want.Element)
		}
	}
	for _, m := range l.MustSupport {
		if slices.ContainsFunc(l.Uses, func(u program.Use) bool {
			return u.Mapping == m.Mapping && u.Role != "where" && (u.Path == m.Path || strings.HasPrefix(u.Path, m.Path+"."))
		}) {
			t.Errorf("%s: %s is told as unmapped, and a column goes there", m.Mapping, m.Element)
		}
	}
}

func withoutSources(tables []program.TableUse) []program.TableUse {
	var out []program.TableUse
	for _, t := range tables {
		out = append(out, program.TableUse{Table: t.Table, Unused: t.Unused})
	}
	return out
}

// ear notes which columns of which relation are asked for.
type ear struct {
	source.Snapshot
	warehouse source.Source
	mu        sync.Mutex
	asked     map[string]map[string]bool
}

func (e *ear) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	own := e.asked[q.From.Name]
	if own == nil {
		own = map[string]bool{}
		e.asked[q.From.Name] = own
	}
	names := map[string]bool{}
	for _, x := range append(slices.Clone(q.Columns), q.Where...) {
		for _, word := range strings.FieldsFunc(withoutTexts(x.SQL), func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			names[strings.ToLower(word)] = true
		}
	}
	for _, k := range append(slices.Clone(q.Key), q.Order...) {
		names[strings.ToLower(k.Name)] = true
	}
	if q.Narrow.Patients != nil {
		names[strings.ToLower(q.Narrow.Patient.Name)] = true
	}
	columns, err := e.warehouse.Columns(ctx, q.From)
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		if name := strings.ToLower(c.Name); names[name] {
			own[name] = true
		}
	}
	return e.Snapshot.Stream(ctx, q)
}

// withoutTexts blanks what stands in single quotes.
func withoutTexts(sql string) string {
	parts := strings.Split(sql, "'")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = ""
	}
	return strings.Join(parts, "'")
}

// TestQueries asks that what Queries tells is what Run asks, in that order.
func TestQueries(t *testing.T) {
	ctx := context.Background()
	p, _, w := tuva(t)
	snap := snapshot(t, w)
	for _, r := range []program.Request{{}, {Types: []string{"Patient", "Coverage"}}, {Pass: 1}, {Patients: []string{"10133"}}} {
		var asked, told []string
		rec := &recorder{Snapshot: snap, sql: &asked}
		if _, err := p.Run(ctx, rec, r, func(*program.Emitted) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for _, q := range p.Queries(r) {
			x, err := snap.Explain(ctx, q.Query)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, x.SQL)
			if q.Source != q.Query.From.Name || len(q.Mappings) == 0 || len(q.Types) == 0 || q.Pass == 0 {
				t.Errorf("query of %s is not fully told", q.Query.From.Name)
			}
		}
		if d := cmp.Diff(asked, told); d != "" || len(told) == 0 {
			t.Errorf("%+v (-asked +told):\n%s", r.Types, d)
		}
	}
}

type recorder struct {
	source.Snapshot
	sql *[]string
}

func (r *recorder) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	x, err := r.Explain(ctx, q)
	if err != nil {
		return nil, err
	}
	*r.sql = append(*r.sql, x.SQL)
	return r.Snapshot.Stream(ctx, q)
}
