package profiles

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceTargets holds references whose target is at hand against the
// profiles that the target must meet (R4 References, 2.3.0; Bundle, 2.36.4.1).
func TestReferenceTargets(t *testing.T) {
	t.Parallel()
	s := own(t, map[string]string{
		"Patient/referring": `{"id":"Patient.managingOrganization","path":"Patient.managingOrganization","min":0,"max":"1","type":[{"code":"Reference","targetProfile":["http://example.org/named"]}]},
			{"id":"Patient.generalPractitioner","path":"Patient.generalPractitioner","min":0,"max":"*","type":[{"code":"Reference","targetProfile":["http://example.org/named","http://hl7.org/fhir/StructureDefinition/Practitioner"]}]}`,
		"Organization/named": `{"id":"Organization.name","path":"Organization.name","min":1,"max":"1","type":[{"code":"string"}]},
			{"id":"Organization.partOf","path":"Organization.partOf","min":0,"max":"1","type":[{"code":"Reference","targetProfile":["http://example.org/named"]}]}`,
	})
	v, err := s.Validator(ValidatorOptions{Profiles: []string{"referring"}})
	if err != nil {
		t.Fatal(err)
	}
	contained := func(refs, resource string) string {
		return fmt.Sprintf(`{"resourceType":"Patient","contained":[%s],%s}`, resource, refs)
	}
	// bundle has a Patient and one more entry.
	bundle := func(patientURL, refs, url, resource string) string {
		body := `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"` + patientURL + `","resource":{"resourceType":"Patient","id":"p",` + refs + `}},{`
		if url != "" {
			body += `"fullUrl":"` + url + `",`
		}
		return body + `"resource":` + resource + `}]}`
	}
	const (
		good     = `{"resourceType":"Organization","id":"o","name":"x","active":true}`
		bad      = `{"resourceType":"Organization","id":"o","active":true}`
		person   = `{"resourceType":"Practitioner","id":"o","active":true}`
		manages  = `"managingOrganization":{"reference":"%s"}`
		uuid     = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
		otherURL = "urn:uuid:1c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
	)
	with := func(ref string) string { return fmt.Sprintf(manages, ref) }
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"contained, meets":           {contained(with("#o"), good), nil},
		"contained, does not":        {contained(with("#o"), bad), []string{"error reference-profile Patient.managingOrganization"}},
		"contained, other type":      {contained(with("#o"), person), []string{"error reference-target Patient.managingOrganization"}},
		"not at hand":                {`{"resourceType":"Patient",` + with("Organization/7") + `}`, nil},
		"one of several, by type":    {contained(`"generalPractitioner":[{"reference":"#o"}]`, person), nil},
		"one of several, by profile": {contained(`"generalPractitioner":[{"reference":"#o"}]`, bad), []string{"error reference-profile Patient.generalPractitioner[0]"}},
		"uuid, meets":                {bundle(otherURL, with(uuid), uuid, good), nil},
		"uuid, does not":             {bundle(otherURL, with(uuid), uuid, bad), []string{"error reference-profile Bundle.entry[0].resource.managingOrganization"}},
		"uuid, other type":           {bundle(otherURL, with(uuid), uuid, person), []string{"error reference-target Bundle.entry[0].resource.managingOrganization"}},
		"relative, same base":        {bundle("http://x/fhir/Patient/p", with("Organization/o"), "http://x/fhir/Organization/o", bad), []string{"error reference-profile Bundle.entry[0].resource.managingOrganization"}},
		"relative, other base":       {bundle("http://y/fhir/Patient/p", with("Organization/o"), "http://x/fhir/Organization/o", bad), nil},
		"absolute":                   {bundle("http://y/fhir/Patient/p", with("http://x/fhir/Organization/o"), "http://x/fhir/Organization/o", bad), []string{"error reference-profile Bundle.entry[0].resource.managingOrganization"}},
		"without fullUrl":            {bundle("http://y/fhir/Patient/p", with("Organization/o"), "", bad), []string{"error reference-profile Bundle.entry[0].resource.managingOrganization"}},
		"of one version":             {bundle("http://x/fhir/Patient/p", with("Organization/o/_history/1"), "http://x/fhir/Organization/o", bad), nil},
		"in a circle":                {contained(with("#o"), strings.Replace(good, `"name"`, `"partOf":{"reference":"#o"},"name"`, 1)), nil},
	} {
		var got []string
		for _, f := range judge(t, v, c.body, Error) {
			if strings.Contains(f, " reference-") {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestResolveInBundle has an invariant follow references through the index of a
// Bundle's entries.
func TestResolveInBundle(t *testing.T) {
	t.Parallel()
	s := own(t, map[string]string{
		"Patient/active": `{"id":"Patient.managingOrganization","path":"Patient.managingOrganization","min":0,"max":"1","type":[{"code":"Reference"}],
			"constraint":[{"key":"own-1","severity":"error","human":"active","expression":"resolve().active = true"}]}`,
	})
	v, err := s.Validator(ValidatorOptions{Profiles: []string{"active"}})
	if err != nil {
		t.Fatal(err)
	}
	for reference, want := range map[string][]string{
		"urn:uuid:1c3151bd-1cbf-4d64-b04d-cd9187a4c6e0": nil,
		"urn:uuid:2c3151bd-1cbf-4d64-b04d-cd9187a4c6e0": {"error constraint Bundle.entry[0].resource.managingOrganization own-1"},
		"urn:uuid:3c3151bd-1cbf-4d64-b04d-cd9187a4c6e0": {"note constraint-undecided Bundle.entry[0].resource.managingOrganization own-1"},
		"Organization/1": {"note constraint-undecided Bundle.entry[0].resource.managingOrganization own-1"},
	} {
		body := `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","resource":{"resourceType":"Patient","managingOrganization":{"reference":"` + reference + `"}}},
			{"fullUrl":"urn:uuid:1c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","resource":{"resourceType":"Organization","active":true,"name":"a"}},
			{"fullUrl":"urn:uuid:2c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","resource":{"resourceType":"Organization","active":false,"name":"b"}}]}`
		var got []string
		for _, f := range judge(t, v, body, Error, Note) {
			if strings.HasSuffix(f, "own-1") {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", reference, diff)
		}
	}
}

// TestSlicesBehindReferences has R4's lipid profile tell its results apart by
// what the observations behind the references are about.
func TestSlicesBehindReferences(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{Profiles: []string{"http://hl7.org/fhir/StructureDefinition/lipidprofile"}})
	if err != nil {
		t.Fatal(err)
	}
	report := func(profiles ...string) string {
		contained, results := "", ""
		for i, name := range profiles {
			code := mustProfile(t, "http://hl7.org/fhir/StructureDefinition/"+name).Root().Child("code")
			lit := code.Fixed
			if lit == nil {
				lit = code.Pattern
			}
			if i > 0 {
				contained, results = contained+",", results+","
			}
			contained += fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":%s,"valueQuantity":{"value":1,"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"},"referenceRange":[{"text":"x"}]}`, i, lit.JSON)
			results += fmt.Sprintf(`{"reference":"#o%d"}`, i)
		}
		return `{"resourceType":"DiagnosticReport","contained":[` + contained + `],"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"57698-3"}]},"result":[` + results + `]}`
	}
	for name, c := range map[string]struct {
		profiles []string
		want     []string
	}{
		"all of them": {[]string{"cholesterol", "triglyceride", "hdlcholesterol"}, nil},
		"one missing": {[]string{"cholesterol", "triglyceride"}, []string{"error slice-min DiagnosticReport"}},
		"one twice":   {[]string{"cholesterol", "cholesterol", "triglyceride", "hdlcholesterol"}, []string{"error slice-max DiagnosticReport"}},
	} {
		var got []string
		for _, f := range judge(t, v, report(c.profiles...), Error) {
			if strings.Contains(f, " slice-") {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
