package profiles

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

// own builds a Set with profiles given as elements, each a JSON object; only
// what they say is in their snapshots.
func own(t testing.TB, profiles map[string]string, lists ...fs.FS) *Set {
	t.Helper()
	pkg := fstest.MapFS{"package.json": {Data: []byte(`{"name":"example.own","version":"1.0.0"}`)}}
	for name, elements := range profiles {
		typ, id, _ := strings.Cut(name, "/")
		body := fmt.Sprintf(`{"resourceType":"StructureDefinition","id":%q,"url":"http://example.org/%s","kind":"resource","type":%q,
			"derivation":"constraint","baseDefinition":"http://hl7.org/fhir/StructureDefinition/%s","snapshot":{"element":[{"id":%[3]q,"path":%[3]q,"min":0,"max":"*"},%[5]s]}}`,
			id, id, typ, typ, elements)
		if !json.Valid([]byte(body)) {
			t.Fatalf("%s is not JSON: %s", name, body)
		}
		pkg[id+".json"] = &fstest.MapFile{Data: []byte(body)}
	}
	s, err := Open(Options{Packages: []fs.FS{pkg}, CodeLists: lists})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge validates JSON and gives "severity code path [constraint]" of each
// finding of one of the severities.
func judge(t testing.TB, v *Validator, body string, severities ...Severity) []string {
	t.Helper()
	var (
		p r4.Parser
		r r4.Resource
	)
	for _, problem := range p.Parse([]byte(body), &r) {
		t.Fatalf("parse: %+v", problem)
	}
	var out []string
	for _, f := range v.Validate(&r, nil) {
		for _, s := range severities {
			if f.Severity == s {
				out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", f.Severity, f.Code, f.Path, f.Constraint)))
			}
		}
	}
	return out
}

// R4 itself, without a profile.
func TestValidateBase(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"sound": {`{"resourceType":"Patient","id":"a","gender":"female","birthDate":"1970-01-01"}`, nil},
		"data absent: exists": {
			`{"resourceType":"Claim","status":"active","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/claim-type","code":"professional"}]},"use":"claim",
			"patient":{"reference":"Patient/1"},"_created":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]},
			"provider":{"display":"x"},"priority":{"text":"x"},"insurance":[{"sequence":1,"focal":true,"coverage":{"display":"x"}}]}`, nil,
		},
		"data absent: code":           {`{"resourceType":"Patient","_gender":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}`, []string{"note binding-absent Patient.gender"}},
		"code not in value set":       {`{"resourceType":"Patient","gender":"lady"}`, []string{"error binding Patient.gender"}},
		"no such day":                 {`{"resourceType":"Patient","birthDate":"1970-02-30"}`, []string{"error primitive-form Patient.birthDate"}},
		"contained type":              {`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"x"}],"managingOrganization":{"reference":"#o"}}`, nil},
		"contained of other type":     {`{"resourceType":"Patient","contained":[{"resourceType":"Patient","id":"o"}],"managingOrganization":{"reference":"#o"}}`, []string{"error reference-target Patient.managingOrganization"}},
		"contained is judged":         {`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"x","active":true,"partOf":{"reference":"Patient/1"}}],"managingOrganization":{"reference":"#o"}}`, []string{"error reference-target Patient.contained[0].partOf"}},
		"contained is missing":        {`{"resourceType":"Patient","managingOrganization":{"reference":"#o"}}`, []string{"error constraint Patient.managingOrganization ref-1"}},
		"target by type":              {`{"resourceType":"Patient","managingOrganization":{"type":"Patient","identifier":{"value":"1"}}}`, []string{"error reference-target Patient.managingOrganization"}},
		"target by absolute url":      {`{"resourceType":"Patient","managingOrganization":{"reference":"https://example.org/fhir/Patient/1/_history/2"}}`, []string{"error reference-target Patient.managingOrganization"}},
		"target unknown":              {`{"resourceType":"Patient","managingOrganization":{"reference":"urn:uuid:5d1b3a0e-9b5c-4a4e-8f0b-0d1f6a3c2b1a"}}`, nil},
		"extension of both kinds":     {`{"resourceType":"Patient","extension":[{"url":"http://example.org/x","extension":[{"url":"y","valueCode":"z"}],"valueCode":"z"}]}`, []string{"error constraint Patient.extension[0] ext-1"}},
		"extension by definition":     {`{"resourceType":"Patient","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-birthPlace","valueCode":"z"}]}`, []string{"error type-not-allowed Patient.extension[0].valueCode"}},
		"modifier unknown":            {`{"resourceType":"Patient","modifierExtension":[{"url":"http://example.org/x","valueCode":"z"}]}`, []string{"warning modifier-extension-unknown Patient.modifierExtension[0]"}},
		"profile unknown":             {`{"resourceType":"Patient","meta":{"profile":["http://example.org/none"]}}`, []string{"warning profile-unknown Patient.meta.profile[0]"}},
		"profile of other type":       {`{"resourceType":"Patient","meta":{"profile":["` + carin + `C4BB-Coverage|2.1.0"]}}`, []string{"error profile-type Patient.meta.profile[0]"}},
		"profile dispatch":            {`{"resourceType":"Organization","meta":{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-organization|6.1.0"]},"name":"x"}`, []string{"error cardinality-min Organization"}},
		"entries each by their own":   {`{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","gender":"lady"}},{"resource":{"resourceType":"Claim"}}]}`, []string{"error binding Bundle.entry[0].resource.gender", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource", "error cardinality-min Bundle.entry[1].resource"}},
		"invariant of a datatype":     {`{"resourceType":"Patient","name":[{"family":"x","period":{"start":"2024-01-02","end":"2024-01-01"}}]}`, []string{"error constraint Patient.name[0].period per-1"}},
		"invariant of an element":     {`{"resourceType":"Patient","contact":[{"gender":"female"}]}`, []string{"error constraint Patient.contact[0] pat-1"}},
		"datatype profile in R4":      {`{"resourceType":"Observation","status":"final","code":{"text":"x"},"referenceRange":[{"low":{"value":1,"comparator":"<"}}]}`, []string{"error cardinality-max Observation.referenceRange[0].low.comparator", "error constraint Observation.referenceRange[0].low sqty-1"}},
		"required concept, text":      {`{"resourceType":"Condition","clinicalStatus":{"text":"x"},"subject":{"reference":"Patient/1"}}`, []string{"error binding-no-code Condition.clinicalStatus"}},
		"NPI of wrong check digit":    {`{"resourceType":"Practitioner","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567890"}]}`, []string{"warning code-form Practitioner.identifier[0].value"}},
		"NPI":                         {`{"resourceType":"Practitioner","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}]}`, nil},
		"required concept, no system": {`{"resourceType":"Condition","clinicalStatus":{"coding":[{"code":"active"}]},"subject":{"reference":"Patient/1"}}`, []string{"error binding Condition.clinicalStatus"}},
	} {
		got := judge(t, v, c.body, Error, Warning, Note)
		// The best practice of a narrative is broken by all of them.
		var rest []string
		for _, f := range got {
			if !strings.HasSuffix(f, " dom-6") {
				rest = append(rest, f)
			}
		}
		if diff := cmp.Diff(c.want, rest); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestSlicing(t *testing.T) {
	t.Parallel()
	const (
		head = `{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","type":[{"code":"Identifier"}],"slicing":{"discriminator":[%s],"rules":"%s","ordered":%t}},`
		a    = `{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":1,"max":"1","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"fixedUri":"urn:a"},
			{"id":"Patient.identifier:a.value","path":"Patient.identifier.value","min":1,"max":"1","type":[{"code":"string"}]},`
		b = `{"id":"Patient.identifier:b","path":"Patient.identifier","sliceName":"b","min":0,"max":"*","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:b.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"patternUri":"urn:b"}`
		system = `{"type":"value","path":"system"}`
	)
	period := func(min, max int, name string) string {
		return fmt.Sprintf(`{"id":"Patient.identifier:%[3]s","path":"Patient.identifier","sliceName":"%[3]s","min":0,"max":"1","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:%[3]s.period","path":"Patient.identifier.period","min":%[1]d,"max":"%[2]d","type":[{"code":"Period"}]}`, min, max, name)
	}
	target := func(name, typ string, min int) string {
		return fmt.Sprintf(`,{"id":"Patient.generalPractitioner:%[1]s","path":"Patient.generalPractitioner","sliceName":"%[1]s","min":%[3]d,"max":"1","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/%[2]s"]}]}`, name, typ, min)
	}
	s := own(t, map[string]string{
		"Patient/open":      fmt.Sprintf(head, system, "open", false) + a + b,
		"Patient/closed":    fmt.Sprintf(head, system, "closed", false) + a + b,
		"Patient/ordered":   fmt.Sprintf(head, system, "open", true) + a + b,
		"Patient/openAtEnd": fmt.Sprintf(head, system, "openAtEnd", false) + a + b,
		"Patient/exists":    fmt.Sprintf(head, `{"type":"exists","path":"period"}`, "open", false) + period(1, 1, "with") + "," + period(0, 0, "without"),
		"Patient/resolve": `{"id":"Patient.generalPractitioner","path":"Patient.generalPractitioner","min":0,"max":"*","type":[{"code":"Reference"}],
			"slicing":{"discriminator":[{"type":"type","path":"resolve()"}],"rules":"closed"}}` + target("who", "Practitioner", 1) + target("org", "Organization", 0),
		"Patient/type": `{"id":"Patient.deceased[x]","path":"Patient.deceased[x]","min":0,"max":"1","type":[{"code":"boolean"},{"code":"dateTime"}],
			"slicing":{"discriminator":[{"type":"type","path":"$this"}],"rules":"closed"}},
			{"id":"Patient.deceased[x]:deceasedBoolean","path":"Patient.deceased[x]","sliceName":"deceasedBoolean","min":0,"max":"1","type":[{"code":"boolean"}],"fixedBoolean":false}`,
		"Patient/reslice": fmt.Sprintf(head, system, "open", false) + `{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":0,"max":"*","type":[{"code":"Identifier"}],
			"slicing":{"discriminator":[{"type":"value","path":"use"}],"rules":"closed"}},
			{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"fixedUri":"urn:a"},
			{"id":"Patient.identifier:a/one","path":"Patient.identifier","sliceName":"a/one","min":1,"max":"1","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:a/one.use","path":"Patient.identifier.use","min":1,"max":"1","type":[{"code":"code"}],"fixedCode":"official"}`,
		"Bundle/entries": `{"id":"Bundle.entry","path":"Bundle.entry","min":0,"max":"*","type":[{"code":"BackboneElement"}],"slicing":{"discriminator":[{"type":"profile","path":"resource"}],"rules":"closed"}},
			{"id":"Bundle.entry:patient","path":"Bundle.entry","sliceName":"patient","min":1,"max":"1","type":[{"code":"BackboneElement"}]},
			{"id":"Bundle.entry:patient.resource","path":"Bundle.entry.resource","min":1,"max":"1","type":[{"code":"Patient","profile":["http://example.org/closed"]}]}`,
	})
	patient := func(identifiers string) string {
		return `{"resourceType":"Patient","identifier":[` + identifiers + `]}`
	}
	const ia, ib, ic = `{"system":"urn:a","value":"1"}`, `{"system":"urn:b"}`, `{"system":"urn:c"}`
	for name, c := range map[string]struct {
		profile, body string
		want          []string
	}{
		"open":                {"open", patient(ia + "," + ib + "," + ic), nil},
		"slice is missing":    {"open", patient(ib), []string{"error slice-min Patient"}},
		"slice twice":         {"open", patient(ia + "," + ia), []string{"error slice-max Patient"}},
		"slice's own rule":    {"open", patient(`{"system":"urn:a"}`), []string{"error cardinality-min Patient.identifier[0]"}},
		"closed":              {"closed", patient(ia + "," + ic), []string{"error slice-closed Patient.identifier[1]"}},
		"ordered":             {"ordered", patient(ib + "," + ia), []string{"error slice-order Patient.identifier[1]"}},
		"open at end, right":  {"openAtEnd", patient(ia + "," + ic), nil},
		"open at end, wrong":  {"openAtEnd", patient(ic + "," + ia), []string{"error slice-open-at-end Patient.identifier[1]"}},
		"exists":              {"exists", patient(`{"value":"1","period":{"start":"2024"}},{"value":"2"}`), nil},
		"exists, one twice":   {"exists", patient(`{"value":"1"},{"value":"2"}`), []string{"error slice-max Patient"}},
		"resolve":             {"resolve", `{"resourceType":"Patient","generalPractitioner":[{"reference":"Organization/1"},{"reference":"Practitioner/1"}]}`, nil},
		"resolve, other":      {"resolve", `{"resourceType":"Patient","generalPractitioner":[{"reference":"PractitionerRole/1"},{"reference":"Practitioner/1"}]}`, []string{"error slice-closed Patient.generalPractitioner[0]"}},
		"resolve, unknown":    {"resolve", `{"resourceType":"Patient","generalPractitioner":[{"display":"x"}]}`, nil},
		"type":                {"type", `{"resourceType":"Patient","deceasedBoolean":false}`, nil},
		"type, slice's rule":  {"type", `{"resourceType":"Patient","deceasedBoolean":true}`, []string{"error fixed-value Patient.deceasedBoolean"}},
		"type, closed":        {"type", `{"resourceType":"Patient","deceasedDateTime":"2024"}`, []string{"error slice-closed Patient.deceasedDateTime"}},
		"reslice":             {"reslice", patient(`{"system":"urn:a","use":"official"},{"system":"urn:c"}`), nil},
		"reslice, none of it": {"reslice", patient(`{"system":"urn:a","use":"old"}`), []string{"error slice-closed Patient.identifier[0]", "error slice-min Patient"}},
		"profile":             {"entries", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + patient(ia) + `}]}`, nil},
		"profile, not met":    {"entries", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + patient(ic) + `}]}`, []string{"error slice-closed Bundle.entry[0]", "error slice-min Bundle"}},
	} {
		v, err := s.Validator(ValidatorOptions{Profiles: []string{c.profile}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, judge(t, v, c.body, Error)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestProfileRules(t *testing.T) {
	t.Parallel()
	list := fstest.MapFS{"a.csv": {Data: []byte("system,code\nurn:licensed,1\n")}}
	profiles := map[string]string{
		"Patient/rules": `{"id":"Patient.birthDate","path":"Patient.birthDate","min":0,"max":"1","type":[{"code":"date"}],"minValueDate":"1900-01-01","maxValueDate":"2000-01-01"},
			{"id":"Patient.multipleBirth[x]","path":"Patient.multipleBirth[x]","min":0,"max":"1","type":[{"code":"integer"}],"maxValueInteger":3},
			{"id":"Patient.language","path":"Patient.language","min":0,"max":"1","type":[{"code":"code"}],"maxLength":2},
			{"id":"Patient.name","path":"Patient.name","min":0,"max":"1","type":[{"code":"HumanName"}],"fixedHumanName":{"family":"X","given":["A","B"]}},
			{"id":"Patient.maritalStatus","path":"Patient.maritalStatus","min":0,"max":"1","type":[{"code":"CodeableConcept"}],"patternCodeableConcept":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M"}]}},
			{"id":"Patient.active","path":"Patient.active","min":0,"max":"1","type":[{"code":"boolean"}],"fixedBoolean":true,
			 "constraint":[{"key":"own-1","severity":"warning","human":"must be true","expression":"$this = true"},{"key":"own-2","severity":"error","human":"in","expression":"'1'.memberOf('http://example.org/none')"},
			 {"key":"own-3","severity":"error","human":"broken","expression":"this is not ("}]}`,
	}
	s := own(t, profiles, list)
	v, err := s.Validator(ValidatorOptions{Profiles: []string{"http://example.org/rules"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"all met":         {`{"resourceType":"Patient","language":"en","active":true,"name":[{"family":"X","given":["A","B"]}],"birthDate":"1990-05-05","maritalStatus":{"coding":[{"code":"2"},{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Married"}],"text":"x"},"multipleBirthInteger":3}`, nil},
		"min value":       {`{"resourceType":"Patient","birthDate":"1899-12-31"}`, []string{"error min-value Patient.birthDate"}},
		"max value":       {`{"resourceType":"Patient","birthDate":"2000-01-02"}`, []string{"error max-value Patient.birthDate"}},
		"max integer":     {`{"resourceType":"Patient","multipleBirthInteger":10}`, []string{"error max-value Patient.multipleBirthInteger"}},
		"type barred":     {`{"resourceType":"Patient","multipleBirthBoolean":true}`, []string{"error type-not-allowed Patient.multipleBirthBoolean"}},
		"max length":      {`{"resourceType":"Patient","language":"deu"}`, []string{"error max-length Patient.language"}},
		"fixed, more":     {`{"resourceType":"Patient","name":[{"use":"old","family":"X","given":["A","B"]}]}`, []string{"error fixed-value Patient.name[0]"}},
		"fixed, order":    {`{"resourceType":"Patient","name":[{"family":"X","given":["B","A"]}]}`, []string{"error fixed-value Patient.name[0]"}},
		"pattern, apart":  {`{"resourceType":"Patient","maritalStatus":{"coding":[{"code":"M"},{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"S"}]}}`, []string{"error pattern-value Patient.maritalStatus"}},
		"max":             {`{"resourceType":"Patient","name":[{"family":"X","given":["A","B"]},{"family":"X","given":["A","B"]}]}`, []string{"error cardinality-max Patient.name[0]"}},
		"warning":         {`{"resourceType":"Patient","active":false}`, []string{"error fixed-value Patient.active", "warning constraint Patient.active own-1"}},
		"fixed on absent": {`{"resourceType":"Patient","_active":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}`, []string{"error fixed-value Patient.active", "warning constraint Patient.active own-1"}},
	} {
		if diff := cmp.Diff(c.want, judge(t, v, c.body, Error, Warning)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	notes := judge(t, v, `{"resourceType":"Patient","active":true}`, Note)
	want := []string{"note constraint Patient dom-6", "note constraint-undecided Patient.active own-2", "note constraint-fault Patient.active own-3"}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("undecidable constraints:\n%s", diff)
	}
}

// A user's code list makes a binding decidable.
func TestCodeLists(t *testing.T) {
	t.Parallel()
	const ref = "C4BB-ExplanationOfBenefit-Inpatient-Institutional|2.1.0"
	p := mustProfile(t, ref)
	set := p.Root().Child("supportingInfo").SliceNamed("admtype").Child("code").Binding.ValueSet
	systems := openSet(t).Systems(set)
	if len(systems) != 1 {
		t.Fatalf("systems of %s: %v", set, systems)
	}
	listed := own(t, map[string]string{"Patient/unused": `{"id":"Patient.active","path":"Patient.active","min":0,"max":"1"}`},
		fstest.MapFS{"nubc.csv": {Data: []byte("system,code,display\n" + systems[0] + ",1,Emergency\n")}})
	for code, want := range map[string][2]Tri{"1": {Unknown, Yes}, "77": {Unknown, No}} {
		if a, b := openSet(t).Member(set, systems[0], code), listed.Member(set, systems[0], code); a != want[0] || b != want[1] {
			t.Errorf("code %s: %s without the list, %s with it; want %v", code, a, b, want)
		}
	}
}

func TestFindingsHoldNoValues(t *testing.T) {
	t.Parallel()
	const secret = "Zaphod8472"
	v, err := openSet(t).Validator(ValidatorOptions{Profiles: []string{"C4BB-Patient|2.1.0", "C4BB-Coverage|2.1.0"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"resourceType":"Patient","id":"` + secret + `_","language":"` + secret + `","gender":"` + secret + `","birthDate":"` + secret + `","managingOrganization":{"reference":"Patient/` + secret + `"},"meta":{"profile":["http://example.org/` + secret + `"]}}`,
		`{"resourceType":"Coverage","status":"` + secret + `","beneficiary":{"reference":"` + secret + `/1"},"payor":[{"reference":"#` + secret + `"}],"class":[{"type":{"coding":[{"system":"` + secret + `","code":"` + secret + `"}]},"value":"` + secret + `"}],"extension":[{"url":"` + secret + `"}]}`,
	} {
		var (
			p r4.Parser
			r r4.Resource
		)
		if problems := p.Parse([]byte(body), &r); len(problems) > 0 {
			t.Fatal(problems)
		}
		found := v.Validate(&r, nil)
		if len(found) < 5 {
			t.Errorf("only %d findings", len(found))
		}
		if text := string(AppendOutcome(nil, found)); strings.Contains(text, secret) {
			t.Errorf("a finding holds a value: %s", text)
		}
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	f := Finding{Severity: Error, Code: "constraint", Path: "Patient.name[0]", Profile: "http://example.org/p|1", Element: "Patient.name", Constraint: "own-1", Message: `must be "so"`}
	at := Place{File: "a.ndjson", Line: 3, ResourceType: "Patient", ID: "1"}
	for _, c := range []struct{ got, want string }{
		{string(f.AppendText(nil, at)), `a.ndjson:3: error: Patient.name[0]: must be "so" [constraint own-1; http://example.org/p|1]`},
		{string(f.AppendJSON(nil, at)), `{"file":"a.ndjson","line":3,"resourceType":"Patient","id":"1","severity":"error","code":"constraint","path":"Patient.name[0]","profile":"http://example.org/p|1","element":"Patient.name","constraint":"own-1","message":"must be \"so\""}`},
		{string(AppendOutcome(nil, []Finding{f, {Severity: Note, Code: "binding-undecided", Message: "x"}})), `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invariant","details":{"text":"constraint own-1"},"diagnostics":"must be \"so\" (Patient.name of http://example.org/p|1)","expression":["Patient.name[0]"]},{"severity":"information","code":"incomplete","details":{"text":"binding-undecided"},"diagnostics":"x"}]}`},
		{string(AppendOutcome(nil, nil)), `{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","diagnostics":"no findings"}]}`},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Error(diff)
		}
	}
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	outcome := string(AppendOutcome(nil, []Finding{f}))
	if got := judge(t, v, outcome, Error); got != nil {
		t.Errorf("the outcome itself is not sound: %v", got)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	a := Finding{Severity: Error, Code: "binding", Profile: "p", Element: "e"}
	b := Finding{Severity: Note, Code: "x", Profile: "p", Element: "e"}
	var s, o Summary
	s.Add([]Finding{a, a, b})
	s.Add(nil)
	o.Add([]Finding{b, b})
	s.Merge(&o)
	want := []RuleCount{{Rule{Error, "p", "e", "binding", ""}, 2, 1}, {Rule{Note, "p", "e", "x", ""}, 3, 2}}
	if diff := cmp.Diff(want, s.Rules()); diff != "" || s.Resources != 3 || s.Clean != 2 {
		t.Errorf("%d resources, %d clean:\n%s", s.Resources, s.Clean, diff)
	}
}

// TestBareNotes leaves the paths of notes out and nothing else; to count notes
// costs no allocation.
func TestBareNotes(t *testing.T) {
	s := openSet(t)
	r := readExample(t, "testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOBProfessional1.json")
	full, err := s.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := s.Validator(ValidatorOptions{BareNotes: true})
	if err != nil {
		t.Fatal(err)
	}
	r.SetString(r.Find(r4.Root, r.Type().Element("status")), "no status") // an error
	want := full.Validate(r, nil)
	notes := 0
	for i := range want {
		if want[i].Severity == Note {
			notes++
			want[i].Path = ""
		}
	}
	if notes < 3 || notes == len(want) {
		t.Fatalf("%d notes of %d findings", notes, len(want))
	}
	out := bare.Validate(r, nil)
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
}
