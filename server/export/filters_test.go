package export

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/profiles/search"
)

// want is what becomes of the parameters that a test gives.
type wantFilter struct {
	filters  map[string][]string
	elements map[string][]string
	organize string
	assoc    Associated
	types    []string
	notes    int
	issues   []string // code expression: a part of the text
}

func checkFilters(t *testing.T, query string, c Context, want wantFilter) {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	r, issues := ParseQuery(q, c)
	if len(issues) != len(want.issues) {
		t.Fatalf("issues %v, want %v", issues, want.issues)
	}
	for i, w := range want.issues {
		where, text, _ := strings.Cut(w, ": ")
		if got := issues[i].Code + " " + issues[i].Expression; got != where || !strings.Contains(issues[i].Text, text) {
			t.Errorf("issue %+v, want %s", issues[i], w)
		}
	}
	if want.issues != nil {
		return
	}
	got := wantFilter{filters: r.TypeFilters, elements: r.Elements, organize: r.Organize, assoc: r.Associated, types: want.types, notes: len(r.Notes)}
	if want.types != nil {
		got.types = r.Types
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wantFilter{})); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// Bulk Data 3.0.0, _typeFilter; BE-061: a repeated parameter is a list.
func TestBE132_SeveralQueries(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	two := map[string][]string{"Patient": {"Patient?gender=female"}, "ExplanationOfBenefit": {"ExplanationOfBenefit?type=oral,vision"}}
	for name, query := range map[string]string{
		"BE-061 repeated":     "_typeFilter=" + url.QueryEscape("Patient?gender=female") + "&_typeFilter=" + url.QueryEscape("ExplanationOfBenefit?type=oral,vision"),
		"BE-061 comma-joined": "_typeFilter=" + url.QueryEscape("ExplanationOfBenefit?type=oral,vision,Patient?gender=female"),
		"with a space":        "_typeFilter=" + url.QueryEscape("ExplanationOfBenefit?type=oral,vision, Patient?gender=female"),
	} {
		t.Run(name, func(t *testing.T) { checkFilters(t, query, c, wantFilter{filters: two}) })
	}
	t.Run("a comma in a value", func(t *testing.T) {
		checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?family=a,Bob"), c, wantFilter{filters: map[string][]string{"Patient": {"Patient?family=a,Bob"}}})
	})
	t.Run("BE-131 two of one type", func(t *testing.T) {
		checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?gender=female")+"&_typeFilter="+url.QueryEscape("Patient?active=true"), c,
			wantFilter{filters: map[string][]string{"Patient": {"Patient?gender=female", "Patient?active=true"}}})
	})
}

// BE-133: search result parameters are refused, lenient or not.
func TestBE133_ResultParameters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"_sort", "_include", "_revinclude", "_elements", "_count", "_summary", "_total", "_contained"} {
		for _, lenient := range []bool{false, true} {
			c := paramsContext(LevelSystem)
			c.Lenient = lenient
			checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?"+name+"=x"), c,
				wantFilter{issues: []string{`not-supported _typeFilter: parameter "` + name + `"`}})
		}
	}
}

// BE-134: one type, no path, no query without a type.
func TestBE134_OneType(t *testing.T) {
	t.Parallel()
	for _, q := range []string{"Patient/1/Coverage?status=active", "?_id=1", "_id=1", "/Patient?active=true", "https://x/Patient?active=true", "Patient", ""} {
		for _, lenient := range []bool{false, true} {
			c := paramsContext(LevelSystem)
			c.Lenient = lenient
			checkFilters(t, "_typeFilter="+url.QueryEscape(q), c, wantFilter{issues: []string{"value _typeFilter: "}})
		}
	}
}

// BE-135, BE-136: what is not supported is refused by name; lenient handling
// passes over the part, or the whole query, and says so.
func TestBE135_UnsupportedQueries(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	query := "_typeFilter=" + url.QueryEscape("Patient?colour=red&gender=female")
	checkFilters(t, query, c, wantFilter{issues: []string{`not-supported _typeFilter: Patient, parameter "colour"`}})
	checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?organization.name=x"), c, wantFilter{issues: []string{`not-supported _typeFilter: chained`}})
	c.Lenient = true
	checkFilters(t, query, c, wantFilter{filters: map[string][]string{"Patient": {"Patient?gender=female"}}, notes: 1})
	checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?birthdate=tomorrow's"), c, wantFilter{filters: map[string][]string{"Patient": {"Patient"}}, notes: 1})
	checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?birthdate=2020-99"), c, wantFilter{issues: []string{"value _typeFilter: not a date"}})
}

// BE-138: a filter on a type that is not exported can never match.
func TestBE138_FilterOfAnotherType(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	query := "_type=Patient&_typeFilter=" + url.QueryEscape("Coverage?status=active")
	checkFilters(t, query, c, wantFilter{issues: []string{"not-supported _typeFilter: Coverage"}})
	c.Lenient = true
	checkFilters(t, query, c, wantFilter{notes: 1})
}

// BE-100, BE-103, BE-104: which elements of which types stay.
func TestBE100_Elements(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, query string
		lenient     bool
		want        wantFilter
	}{
		{"BE-100 of every type", "_type=Patient,Coverage&_elements=id", false, wantFilter{elements: map[string][]string{"Patient": {"id"}, "Coverage": {"id"}}}},
		{"BE-104 of one type", "_type=Patient,Coverage&_elements=Patient.name", false, wantFilter{elements: map[string][]string{"Patient": {"name"}}}},
		{"BE-104 of one and of all", "_type=Patient,Coverage&_elements=Patient.name,identifier", false, wantFilter{elements: map[string][]string{"Patient": {"identifier", "name"}, "Coverage": {"identifier"}}}},
		{"BE-100 that some types have", "_type=Patient,Coverage&_elements=name&_elements=period", false, wantFilter{elements: map[string][]string{"Patient": {"name"}, "Coverage": {"period"}}}},
		{"BE-100 choices of type", "_type=Patient&_elements=deceased,multipleBirthBoolean", false, wantFilter{elements: map[string][]string{"Patient": {"deceased", "multipleBirthBoolean"}}}},
		{"BE-103 nested", "_type=Patient&_elements=Patient.name.family", false, wantFilter{issues: []string{"not-supported _elements: not a root element"}}},
		{"BE-103 unknown", "_type=Patient&_elements=colour", false, wantFilter{issues: []string{"not-supported _elements: colour"}}},
		{"BE-103 of a type that is not exported", "_type=Patient&_elements=Coverage.period", false, wantFilter{issues: []string{"not-supported _elements: not exported"}}},
		{"BE-103 empty", "_type=Patient&_elements=", false, wantFilter{issues: []string{"value _elements: names no element"}}},
		{"BE-103 nested, lenient", "_type=Patient&_elements=Patient.name.family,Patient.birthDate", true, wantFilter{elements: map[string][]string{"Patient": {"birthDate"}}, notes: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := paramsContext(LevelSystem)
			c.Lenient = tc.lenient
			checkFilters(t, tc.query, c, tc.want)
		})
	}
}

// BE-122, BE-123, BE-124: without Provenance the parameter has nothing to give
// and is refused; with it the larger data set counts (BE-121).
func TestBE122_AssociatedData(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	checkFilters(t, "includeAssociatedData=LatestProvenanceResources", c, wantFilter{issues: []string{"not-supported includeAssociatedData: no Provenance"}})
	checkFilters(t, "_includeAssociatedData=LatestProvenanceResources", c, wantFilter{issues: []string{"not-supported _includeAssociatedData: not known"}})
	lenient := c
	lenient.Lenient = true
	checkFilters(t, "includeAssociatedData=LatestProvenanceResources", lenient, wantFilter{notes: 1})

	c.Types = append(slices.Clone(c.Types), program.Type{Name: "Provenance", Tracked: true})
	known := c.Known
	c.Known = func(s string) bool { return s == "Provenance" || known(s) }
	checkFilters(t, "includeAssociatedData=_mine", c, wantFilter{issues: []string{"not-supported includeAssociatedData: _mine"}})
	const latest, relevant = "includeAssociatedData=LatestProvenanceResources", "includeAssociatedData=RelevantProvenanceResources"
	for _, tc := range []struct {
		name, query string
		want        Associated
	}{
		{"BE-120 the newest", latest, LatestProvenance}, {"BE-120 all", relevant, AllProvenance},
		{"BE-121 both", latest + ",RelevantProvenanceResources", AllProvenance}, {"BE-121 both, turned round", relevant + ",LatestProvenanceResources", AllProvenance},
		{"BE-121 both, repeated", latest + "&" + relevant, AllProvenance},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkFilters(t, "_type=Patient&"+tc.query, c, wantFilter{assoc: tc.want, types: []string{"Patient", "Provenance"}})
		})
	}
	t.Run("BE-123 all without the parameter", func(t *testing.T) {
		checkFilters(t, "", c, wantFilter{types: append(slices.Clone(systemTypes), "Provenance")})
		checkFilters(t, "_type=Patient,Provenance", c, wantFilter{types: []string{"Patient", "Provenance"}})
	})
	t.Run("BE-123 none where _type leaves it out", func(t *testing.T) { checkFilters(t, "_type=Patient", c, wantFilter{types: []string{"Patient"}}) })
}

// BE-148: output is organized by Patient alone.
func TestBE148_OrganizeBy(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	checkFilters(t, "organizeOutputBy=Patient", c, wantFilter{organize: "Patient", notes: 2}) // Group, Organization are left out
	checkFilters(t, "_type=Patient,Coverage&organizeOutputBy=Patient", c, wantFilter{organize: "Patient"})
	checkFilters(t, "organizeOutputBy=Organization", c, wantFilter{issues: []string{"not-supported organizeOutputBy: Organization"}})
	c.Lenient = true
	checkFilters(t, "organizeOutputBy=Organization", c, wantFilter{notes: 1})
}

// BE-281: in the 4.0.0 ballot a list is a repeated parameter.
func TestBE281_NoCommaLists(t *testing.T) {
	t.Parallel()
	c := paramsContext(LevelSystem)
	c.Ballot = true
	checkFilters(t, "_type=Patient,Coverage", c, wantFilter{issues: []string{"structure _type: commas"}})
	checkFilters(t, "_type=Patient&_type=Coverage", c, wantFilter{types: []string{"Coverage", "Patient"}})
	checkFilters(t, "_type=Patient&_elements=id,name", c, wantFilter{issues: []string{"structure _elements: commas"}})
	checkFilters(t, "_typeFilter="+url.QueryEscape("Patient?gender=male,female"), c, wantFilter{filters: map[string][]string{"Patient": {"Patient?gender=male,female"}}})
}

// FuzzTypeFilter: any text is refused with an issue, or makes filters that can be
// read again.
func FuzzTypeFilter(f *testing.F) {
	for _, s := range []string{"Patient?gender=female", "ExplanationOfBenefit?type=a,b,Patient?_id=1", "Patient?_sort=x", "Patient/1?x=y", "?", "Patient?name=%zz", "Coverage?period=ge2024 05:00"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, lenient bool) {
		if len(text) > 10<<10 {
			return
		}
		c := paramsContext(LevelSystem)
		c.Lenient = lenient
		r, issues := ParseQuery(url.Values{"_typeFilter": {text}}, c)
		if len(issues) > 0 {
			return
		}
		if _, err := filters(r.TypeFilters, search.Options{Base: r.Base}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if len(r.TypeFilters) == 0 && len(r.Notes) == 0 {
			t.Fatalf("%q is neither a filter nor noted", text)
		}
	})
}

// A grant by what a resource is not covers what is known to be otherwise, and a
// filter of the client's also what says nothing (SB-075).
func TestSB075_ShapeOfAGrant(t *testing.T) {
	e := newBench(t, small()).engine()
	var p r4.Parser
	r := new(r4.Resource)
	if problems := p.Parse([]byte(`{"resourceType":"Claim","id":"k","use":"claim"}`), r); len(problems) > 0 {
		t.Fatal(problems)
	}
	query := map[string][]string{"Claim": {"status:not=draft"}}
	for _, c := range []struct {
		o    order
		want bool
	}{
		{order{Request: Request{TypeFilters: query}}, true},
		{order{Request: Request{Restrict: query}}, false},
	} {
		s, err := e.shape(&c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.matches("Claim", r); got != c.want {
			t.Errorf("%+v: %v", c.o.Request, got)
		}
	}
}
