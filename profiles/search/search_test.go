package search_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"remit/profiles/r4"
	"remit/profiles/search"
)

func bundled(t testing.TB) *search.Parameters {
	t.Helper()
	p, err := search.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t testing.TB, json string) *r4.Resource {
	t.Helper()
	var p r4.Parser
	r := new(r4.Resource)
	if problems := p.Parse([]byte(json), r); len(problems) > 0 {
		t.Fatalf("parse: %v", problems)
	}
	return r
}

const (
	eob = `{"resourceType":"ExplanationOfBenefit","id":"e1","meta":{"lastUpdated":"2024-05-01T10:00:00.500Z",
		"profile":["http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy|2.1.0"],
		"tag":[{"system":"urn:tags","code":"gold"}]},
		"identifier":[{"system":"https://payer.example/claim","value":"C,1|a"}],
		"status":"active","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/claim-type","code":"pharmacy"}]},
		"use":"claim","patient":{"reference":"Patient/p1"},"billablePeriod":{"start":"2024-03-01","end":"2024-03-31"},
		"created":"2024-04","insurer":{"reference":"Organization/o1"},
		"provider":{"reference":"https://fhir.payer.example/r4/Organization/o2"},
		"careTeam":[{"sequence":1,"provider":{"reference":"Practitioner/d1"}},{"sequence":2,"provider":{"reference":"Practitioner/d2","identifier":{"system":"npi","value":"99"}}}],
		"insurance":[{"focal":true,"coverage":{"reference":"Coverage/c1"}}],
		"item":[{"sequence":1,"productOrService":{"text":"x"},"servicedDate":"2024-03-05"},{"sequence":2,"productOrService":{"text":"x"},"servicedPeriod":{"start":"2024-06-01"}}],
		"outcome":"complete"}`
	patient = `{"resourceType":"Patient","id":"p1","active":true,"identifier":[{"system":"urn:m","value":"1"},{"value":"2"}],
		"name":[{"family":"Núñez","given":["Ana María","Sol"]}],"gender":"female","birthDate":"1980-02-29","deceasedBoolean":false,
		"address":[{"line":["1 Main St"],"city":"Springfield","postalCode":"01101"}]}`
	coverage = `{"resourceType":"Coverage","id":"c1","status":"active","beneficiary":{"reference":"Patient/p1"},
		"payor":[{"reference":"Organization/o1"}],"period":{"start":"2023-01-01"},"type":{"text":"HMO"}}`
	claim = `{"resourceType":"Claim","id":"k1","status":"active","use":"claim","type":{"coding":[{"code":"oral"}]},"patient":{"reference":"Patient/p1"},
		"created":"2024-01-02T03:04:05+05:00","provider":{"reference":"Organization/o1"},"priority":{"text":"n"},"insurance":[{"sequence":1,"focal":true,"coverage":{"reference":"Coverage/c1"}}]}`
)

var cases = []struct {
	resource, query string
	want            bool
}{
	// BE-130, BE-131: AND by &, OR by comma, other types never match.
	{eob, "ExplanationOfBenefit", true},
	{eob, "ExplanationOfBenefit?", true},
	{eob, "Claim?status=active", false},
	{eob, "ExplanationOfBenefit?status=active&type=pharmacy", true},
	{eob, "ExplanationOfBenefit?status=active&type=oral", false},
	{eob, "ExplanationOfBenefit?type=oral,pharmacy", true},
	{eob, "ExplanationOfBenefit?type=oral&type=pharmacy", false},

	// Tokens (R4, 3.1.1.4.10).
	{eob, "ExplanationOfBenefit?type=http://terminology.hl7.org/CodeSystem/claim-type|pharmacy", true},
	{eob, "ExplanationOfBenefit?type=http%3A%2F%2Fterminology.hl7.org%2FCodeSystem%2Fclaim-type%7Cpharmacy", true},
	{eob, "ExplanationOfBenefit?type=http://terminology.hl7.org/CodeSystem/claim-type|", true},
	{eob, "ExplanationOfBenefit?type=urn:x|pharmacy", false},
	{eob, "ExplanationOfBenefit?type=|pharmacy", false},
	{eob, "ExplanationOfBenefit?type=Pharmacy", false},
	{eob, "ExplanationOfBenefit?type:not=pharmacy", false},
	{eob, "ExplanationOfBenefit?type:not=oral,vision", true},
	{coverage, "Coverage?type:not=oral", true},
	{eob, "ExplanationOfBenefit?status=http://hl7.org/fhir/explanationofbenefit-status|active", true},
	{eob, "ExplanationOfBenefit?status=http://example.org/|active", false},
	{eob, `ExplanationOfBenefit?identifier=C\,1\|a`, true},
	{eob, `ExplanationOfBenefit?identifier=https://payer.example/claim|C\,1\|a`, true},
	{eob, `ExplanationOfBenefit?identifier=C,1`, false},
	{patient, "Patient?identifier=|2", true},
	{patient, "Patient?identifier=|1", false},
	{patient, "Patient?active=true", true},
	{patient, "Patient?deceased=false", true},
	{patient, "Patient?gender=female,male", true},

	// Resource level.
	{eob, "ExplanationOfBenefit?_id=e1", true},
	{eob, "ExplanationOfBenefit?_id=e2,e1", true},
	{eob, "ExplanationOfBenefit?_tag=urn:tags|gold", true},
	{eob, "ExplanationOfBenefit?_tag=silver", false},
	{eob, "ExplanationOfBenefit?_lastUpdated=gt2024-05-01T10:00:00Z", false},
	{eob, "ExplanationOfBenefit?_lastUpdated=gt2024-05-01T10:00:00.499Z", true},
	{eob, "ExplanationOfBenefit?_lastUpdated=le2024-05-01T12:00:01+02:00", true},
	{eob, "ExplanationOfBenefit?_lastUpdated=ge2024-05-01T12:00:01 02:00", false},
	{eob, "ExplanationOfBenefit?_lastUpdated=2024-05", true},
	{eob, "ExplanationOfBenefit?_profile=http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy", true},
	{eob, "ExplanationOfBenefit?_profile=http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy|2.1.0", true},
	{eob, "ExplanationOfBenefit?_profile=http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy|2.0.0", false},
	{eob, "ExplanationOfBenefit?_profile:below=http://hl7.org/fhir/us/carin-bb/", true},
	{eob, "ExplanationOfBenefit?_profile:below=http://hl7.org/fhir/us/carin", false},

	// Dates (R4, 3.1.1.4.7): billablePeriod March 2024, a line from June on.
	{eob, "ExplanationOfBenefit?service-date=2024-03", true},
	{eob, "ExplanationOfBenefit?service-date=2024-03-05", true},
	{eob, "ExplanationOfBenefit?service-date=2024-03-06", false},
	{eob, "ExplanationOfBenefit?service-date=ge2024-04-01&service-date=lt2024-05-01", true},
	{eob, "ExplanationOfBenefit?service-date=eb2024-03-05", false},
	{eob, "ExplanationOfBenefit?service-date=eb2024-04-01", true},
	{eob, "ExplanationOfBenefit?service-date=sa2024-05-31", true},
	{eob, "ExplanationOfBenefit?service-date=sa2024-06-01", false},
	{eob, "ExplanationOfBenefit?service-date=lt2024-03-01", false},
	{eob, "ExplanationOfBenefit?service-date=le2024-03-01", true},
	{eob, "ExplanationOfBenefit?billable-period-start=le2024-03-01", true},
	{coverage, "Coverage?period=le2022-12-31", false},
	{coverage, "Coverage?period=le2023", true},
	{eob, "ExplanationOfBenefit?service-start-date=2024-03-01", true},
	{eob, "ExplanationOfBenefit?service-start-date=2024-03-05,2024-01-01", true},
	{eob, "ExplanationOfBenefit?service-start-date=ge2024-06-01", true},
	{eob, "ExplanationOfBenefit?service-start-date=gt2024-06-01", false},
	{eob, "ExplanationOfBenefit?billable-period-start=eq2024-03-01", true},
	{eob, "ExplanationOfBenefit?billable-period-start=ne2024-03-01", false},
	{eob, "ExplanationOfBenefit?billable-period-start=ne2024-03-02", true},
	{eob, "ExplanationOfBenefit?created=2024", true},
	{eob, "ExplanationOfBenefit?created=2024-04-15", false},
	{eob, "ExplanationOfBenefit?created=lt2024-04-15", true},
	{eob, "ExplanationOfBenefit?created=gt2024-04-15", true},
	{eob, "ExplanationOfBenefit?created=gt2024-04", false},
	{eob, "ExplanationOfBenefit?created=ge2024-04", true},
	{claim, "Claim?created=2024-01-01", true},
	{claim, "Claim?created=2024-01-01T22:04:05Z", true},
	{claim, "Claim?created=2024-01-02T03:04:05+05:00", true},
	{claim, "Claim?created=2024-01-02", false},
	{claim, "Claim?type=oral", true},
	{claim, "Claim?service-date=ge2000", false},
	{coverage, "Coverage?period=ge2030", true},
	{coverage, "Coverage?period=lt2023", false},
	{coverage, "Coverage?period=2023", false},
	{patient, "Patient?birthdate=1980-02", true},
	{patient, "Patient?birthdate=lt1980", false},

	// References (R4, 3.1.1.4.12).
	{eob, "ExplanationOfBenefit?patient=p1", true},
	{eob, "ExplanationOfBenefit?patient=Patient/p1", true},
	{eob, "ExplanationOfBenefit?patient:Patient=p1", true},
	{eob, "ExplanationOfBenefit?patient=Patient/p2", false},
	{eob, "ExplanationOfBenefit?insurer=o1", true},
	{eob, "ExplanationOfBenefit?provider=Organization/o2", true},
	{eob, "ExplanationOfBenefit?provider=https://fhir.payer.example/r4/Organization/o2", true},
	{eob, "ExplanationOfBenefit?provider=https://other.example/r4/Organization/o2", false},
	{eob, "ExplanationOfBenefit?provider=Practitioner/o2", false},
	{eob, "ExplanationOfBenefit?care-team=Practitioner/d2", true},
	{eob, "ExplanationOfBenefit?care-team:identifier=npi|99", true},
	{eob, "ExplanationOfBenefit?care-team:identifier=98", false},
	{eob, "ExplanationOfBenefit?coverage=Coverage/c1", true},
	{coverage, "Coverage?beneficiary=p1&payor=Organization/o1", true},
	{coverage, "Coverage?patient=p2", false},

	// Strings (R4, 3.1.1.4.8).
	{patient, "Patient?family=nun", true},
	{patient, "Patient?family=ÑÚÑ", true},
	{patient, "Patient?family:exact=Nunez", false},
	{patient, "Patient?family:exact=Núñez", true},
	{patient, "Patient?given=ana+m", true},
	{patient, "Patient?given:contains=maria", true},
	{patient, "Patient?given=maria", false},
	{patient, "Patient?name=sol", true},
	{patient, "Patient?address=spring", true},
	{patient, "Patient?address-postalcode=011", true},

	// Missing.
	{eob, "ExplanationOfBenefit?created:missing=false", true},
	{eob, "ExplanationOfBenefit?claim:missing=true", true},
	{eob, "ExplanationOfBenefit?claim:missing=false", false},
}

// Bulk Data 3.0.0, _typeFilter, over R4 Search: what matches and what does not.
func TestBE130_Match(t *testing.T) {
	params := bundled(t)
	for _, c := range cases {
		t.Run(c.query, func(t *testing.T) {
			f, problems := params.Parse(c.query, search.Options{Base: "https://fhir.payer.example/r4"})
			if problems != nil {
				t.Fatal(problems)
			}
			r := parse(t, c.resource)
			if got := f.Match(r); got != c.want {
				t.Errorf("match is %v, want %v", got, c.want)
			}
			again, problems := params.Parse(f.String(), search.Options{Base: "https://fhir.payer.example/r4"})
			if problems != nil || again.Match(r) != c.want || again.String() != f.String() {
				t.Errorf("%q, read again, is another filter", f.String())
			}
		})
	}
}

// BE-133, BE-135, BE-136: what is refused, by name.
// What is granted by what a resource is not must be known of the resource;
// filters of a search are as FHIR has them.
func TestSB075_NotFailsClosed(t *testing.T) {
	params := bundled(t)
	const claimType = "http://terminology.hl7.org/CodeSystem/claim-type"
	with := func(typ string) string {
		return `{"resourceType":"Claim","id":"k","status":"active","type":` + typ + `,"use":"claim"}`
	}
	for _, c := range []struct {
		name, resource, query string
		granted, found        bool
	}{
		{"known and another", eob, "ExplanationOfBenefit?type:not=oral", true, true},
		{"known and the one", eob, "ExplanationOfBenefit?type:not=pharmacy", false, false},
		{"the one among several", eob, "ExplanationOfBenefit?type:not=oral,pharmacy", false, false},
		{"known by system", eob, "ExplanationOfBenefit?type:not=" + claimType + "|oral", true, true},
		{"not there", `{"resourceType":"Coverage","id":"c","status":"active"}`, "Coverage?type:not=HMO", false, true},
		{"a text alone", with(`{"text":"pharmacy"}`), "Claim?use:not=preauthorization&status:not=draft", true, true},
		{"another system", `{"resourceType":"ExplanationOfBenefit","id":"e","type":{"coding":[{"system":"urn:own","code":"RX"}]}}`,
			"ExplanationOfBenefit?type:not=" + claimType + "|pharmacy", false, true},
		{"a text in place of a code", `{"resourceType":"ExplanationOfBenefit","id":"e","type":{"text":"pharmacy"}}`,
			"ExplanationOfBenefit?type:not=pharmacy", false, true},
		{"a code that is absent", `{"resourceType":"Claim","id":"k","_status":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}`,
			"Claim?status:not=draft", false, true},
		{"one of two unknown", `{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:m","value":"1"},{"system":"urn:m"}]}`,
			"Patient?identifier:not=urn:m|2", false, true},
		{"both known", `{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:m","value":"1"},{"system":"urn:m","value":"3"}]}`,
			"Patient?identifier:not=urn:m|2", true, true},
		// Who means what is not there as well says so.
		{"asked to be missing", `{"resourceType":"Coverage","id":"c","status":"active"}`, "Coverage?type:missing=true", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, c.resource)
			for _, way := range []struct {
				o    search.Options
				want bool
			}{{search.Options{}, c.found}, {search.Options{Grant: true}, c.granted}} {
				f, problems := params.Parse(c.query, way.o)
				if problems != nil {
					t.Fatal(problems)
				}
				if got := f.Match(r); got != way.want {
					t.Errorf("grant %v: %v, want %v", way.o.Grant, got, way.want)
				}
			}
		})
	}
}

func TestBE135_Refusals(t *testing.T) {
	params := bundled(t)
	for query, want := range map[string]string{
		"eob?status=active":                                 `2 "" "eob" is not an R4 resource type`,
		"HumanName?family=x":                                `2 "" "HumanName" is not an R4 resource type`,
		"":                                                  `2 "" "" is not an R4 resource type`,
		"ExplanationOfBenefit?_sort=date":                   `4 "_sort" it shapes a search result and cannot filter`,
		"ExplanationOfBenefit?_count=1":                     `4 "_count" it shapes a search result and cannot filter`,
		"ExplanationOfBenefit?_include=x:y":                 `4 "_include" it shapes a search result and cannot filter`,
		"ExplanationOfBenefit?_revinclude=x":                `4 "_revinclude" it shapes a search result and cannot filter`,
		"ExplanationOfBenefit?_elements=id":                 `4 "_elements" it shapes a search result and cannot filter`,
		"ExplanationOfBenefit?patient.name=x":               `3 "patient.name" chained parameters are not supported`,
		"ExplanationOfBenefit?patient:Patient.name=x":       `3 "patient:Patient.name" chained parameters are not supported`,
		"ExplanationOfBenefit?_has:Provenance:target:x=y":   `3 "_has:Provenance:target:x" chained parameters are not supported`,
		"ExplanationOfBenefit?colour=red":                   `3 "colour" ExplanationOfBenefit has no such search parameter`,
		"ExplanationOfBenefit?_text=x":                      `3 "_text" ExplanationOfBenefit has no such search parameter`,
		"Group?characteristic-value=a$b":                    `3 "characteristic-value" Group has no such search parameter`,
		"ExplanationOfBenefit?type:in=x":                    `3 "type:in" modifier "in" is not supported for a search parameter of type token`,
		"ExplanationOfBenefit?created:exact=2024":           `3 "created:exact" modifier "exact" is not supported for a search parameter of type date`,
		"ExplanationOfBenefit?created=ap2024":               `3 "created" a date begins with a prefix that is not supported`,
		"ExplanationOfBenefit?created=yesterday":            `3 "created" a date begins with a prefix that is not supported`,
		"ExplanationOfBenefit?created=2024-13":              `5 "created" a value is not a date`,
		"ExplanationOfBenefit?created=2024-02-30":           `5 "created" a value is not a date`,
		"ExplanationOfBenefit?created=":                     `5 "created" it has no value`,
		"ExplanationOfBenefit?created":                      `1 "created" the parameter has no value`,
		"ExplanationOfBenefit?created=%zz":                  `1 "created" a percent escape is malformed`,
		"ExplanationOfBenefit?patient=Patient/a/b":          `5 "patient" a reference has an id that is none`,
		"ExplanationOfBenefit?patient=Nobody/a":             `5 "patient" a reference is not Type/id`,
		"ExplanationOfBenefit?type=a|b|c":                   `5 "type" a token has more than one |`,
		"ExplanationOfBenefit?type=|":                       `5 "type" a token has neither system nor code`,
		"ExplanationOfBenefit?claim:missing=perhaps":        `5 "claim:missing" modifier "missing" takes true or false`,
		"ExplanationOfBenefit?_sort=a&colour=x&created=bad": `4 "_sort" it shapes a search result and cannot filter; 3 "colour" ExplanationOfBenefit has no such search parameter; 3 "created" a date begins with a prefix that is not supported`,
	} {
		f, problems := params.Parse(query, search.Options{})
		var got []string
		ignorable := true
		for _, p := range problems {
			got = append(got, fmt.Sprintf("%d %q %s", p.Kind, p.Parameter, p.Text))
			ignorable = ignorable && p.Ignorable()
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s\n got %s\nwant %s", query, s, want)
		}
		if (f != nil) != ignorable {
			t.Errorf("%s: a filter came: %v, all ignorable: %v", query, f != nil, ignorable)
		}
	}
}

// BE-135, lenient: what is not understood is left out, the rest still filters.
func TestBE135_LenientKeepsTheRest(t *testing.T) {
	f, problems := bundled(t).Parse("ExplanationOfBenefit?colour=red&status=cancelled", search.Options{})
	if len(problems) != 1 || f == nil {
		t.Fatal(problems)
	}
	if f.String() != "ExplanationOfBenefit?status=cancelled" || f.Match(parse(t, eob)) {
		t.Errorf("filter is %s", f)
	}
}

// BE-139: the least that a payer's server takes.
func TestBE139_Parameters(t *testing.T) {
	params := bundled(t)
	for typ, codes := range map[string]string{
		"ExplanationOfBenefit": "_id _lastUpdated _tag _profile service-date service-start-date type patient identifier created status use coverage insurer provider care-team billable-period-start",
		"Claim":                "_id _lastUpdated created status use patient identifier insurer provider care-team type service-date",
		"Coverage":             "_id _lastUpdated status period beneficiary patient payor type",
		"Patient":              "_id _lastUpdated identifier birthdate gender name family given",
	} {
		for code := range strings.FieldsSeq(codes) {
			if params.Lookup(typ, code) == nil {
				t.Errorf("%s has no %s", typ, code)
			}
		}
	}
}

// Every definition of every resource type compiles, and is listed once, sorted.
func TestDefinitionsCompile(t *testing.T) {
	params := bundled(t)
	n := 0
	for _, typ := range r4.Resources() {
		var codes []string
		for _, p := range params.For(typ) {
			n++
			codes = append(codes, p.Code)
			f, problems := params.Parse(typ+"?"+p.Code+":missing=true", search.Options{})
			if problems != nil {
				t.Errorf("%s %s: %v (%s)", typ, p.Code, problems, p.Expression)
				continue
			}
			r := new(r4.Resource)
			r.Start(r4.Lookup(typ), 0)
			if !f.Match(r) && p.Code != "deceased" {
				t.Errorf("%s %s: an empty resource has it", typ, p.Code)
			}
		}
		if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
			t.Errorf("%s: codes are not sorted and distinct", typ)
		}
	}
	if n < 1500 {
		t.Errorf("only %d parameters", n)
	}
}

func TestPaths(t *testing.T) {
	params := bundled(t)
	for _, c := range []struct{ typ, code, want string }{
		{"ExplanationOfBenefit", "created", "[created] true"},
		{"ExplanationOfBenefit", "service-date", "[billablePeriod item.serviced] true"},
		{"ExplanationOfBenefit", "service-start-date", "[] false"},
		{"ExplanationOfBenefit", "_lastUpdated", "[meta.lastUpdated] true"},
		{"Patient", "deceased", "[] false"},
		{"Observation", "patient", "[] false"},
	} {
		paths, ok := params.Lookup(c.typ, c.code).Paths()
		if got := fmt.Sprint(paths, ok); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.typ, c.code, got, c.want)
		}
	}
}

// Published examples are found by what they say of themselves.
func TestExamples(t *testing.T) {
	params := bundled(t)
	files, err := filepath.Glob("../testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, string(raw))
		id := string(r.ID())
		for query, want := range map[string]bool{
			"?_id=" + id: true, "?_id=other": false, "?service-date=ge1990": true, "?service-date=sa2090": false, "?use=claim": true,
			"?status:not=active": false, "?patient:missing=false": true, "?created:missing=true": false,
		} {
			f, problems := params.Parse("ExplanationOfBenefit"+query, search.Options{})
			if problems != nil {
				t.Fatal(problems)
			}
			if f.Match(r) != want {
				t.Errorf("%s %s: not %v", id, query, want)
			}
		}
	}
}

func TestLink(t *testing.T) {
	params := bundled(t)
	for _, c := range []struct{ resource, want string }{
		{eob, "p1"}, {claim, "p1"}, {coverage, "p1"}, {patient, "p1"},
		{`{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p7"}}]}`, "p7"},
		{`{"resourceType":"Organization","name":"x"}`, ""},
		{`{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Group/1"},"performer":[{"reference":"Patient/p8"}]}`, "p8"},
	} {
		r := parse(t, c.resource)
		id, ok := params.Link(r.Type().Name(), "Patient").ID(r)
		if string(id) != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", c.resource[:40], id, ok)
		}
	}
}

// FuzzParse: any text is a filter or problems, never both missing, and a filter
// survives being written.
func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add(c.query)
	}
	f.Add("Patient?name:exact=\\")
	f.Add("Patient?birthdate=0000-00-00T")
	f.Add("Observation?value-quantity=5.4|http://unitsofmeasure.org|mg")
	params := bundled(f)
	resources := []*r4.Resource{parse(f, eob), parse(f, patient), parse(f, coverage), parse(f, claim)}
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 10<<10 {
			return
		}
		filter, problems := params.Parse(query, search.Options{Base: "https://fhir.payer.example/r4"})
		if filter == nil {
			if len(problems) == 0 {
				t.Fatal("neither filter nor problem")
			}
			return
		}
		again, more := params.Parse(filter.String(), search.Options{Base: "https://fhir.payer.example/r4"})
		if len(more) > 0 {
			t.Fatalf("%q, written as %q: %v", query, filter, more)
		}
		for _, r := range resources {
			if filter.Match(r) != again.Match(r) {
				t.Fatalf("%q and %q differ", query, filter)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	raw, err := os.ReadFile("../testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOBInpatient1.json")
	if err != nil {
		b.Fatal(err)
	}
	r := parse(b, string(raw))
	for _, query := range []string{"_id=x", "patient=Patient/1", "service-date=ge2090", "type=pharmacy&service-date=ge2024"} {
		f, problems := bundled(b).Parse("ExplanationOfBenefit?"+query, search.Options{})
		if problems != nil {
			b.Fatal(problems)
		}
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Match(r)
			}
		})
	}
}
