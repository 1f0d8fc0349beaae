package profiles

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDataAbsent holds, kind of rule by kind of rule, what a data-absent-reason
// does: what Validate's comment says.
func TestDataAbsent(t *testing.T) {
	t.Parallel()
	const why = `"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]`
	const absent = `{` + why + `}`
	identifier := func(slice string) string {
		return `{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","type":[{"code":"Identifier"}],"slicing":{"discriminator":[` + slice + `],"rules":"open"}},
			{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":1,"max":"1","type":[{"code":"Identifier"}]}`
	}
	const marital = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
	s := own(t, map[string]string{
		"Patient/min":       `{"id":"Patient.birthDate","path":"Patient.birthDate","min":1,"max":"1","type":[{"code":"date"}]},{"id":"Patient.maritalStatus","path":"Patient.maritalStatus","min":1,"max":"1","type":[{"code":"CodeableConcept"}]},{"id":"Patient.managingOrganization","path":"Patient.managingOrganization","min":1,"max":"1","type":[{"code":"Reference"}]}`,
		"Patient/max":       `{"id":"Patient.birthDate","path":"Patient.birthDate","min":0,"max":"0","type":[{"code":"date"}]}`,
		"Patient/fixed":     `{"id":"Patient.active","path":"Patient.active","min":0,"max":"1","type":[{"code":"boolean"}],"fixedBoolean":true}`,
		"Patient/pattern":   `{"id":"Patient.maritalStatus","path":"Patient.maritalStatus","min":0,"max":"1","type":[{"code":"CodeableConcept"}],"patternCodeableConcept":{"coding":[{"system":"` + marital + `","code":"M"}]}}`,
		"Patient/values":    `{"id":"Patient.birthDate","path":"Patient.birthDate","min":0,"max":"1","type":[{"code":"date"}],"minValueDate":"1900-01-01","maxValueDate":"2000-01-01"},{"id":"Patient.language","path":"Patient.language","min":0,"max":"1","type":[{"code":"code"}],"maxLength":2}`,
		"Patient/required":  `{"id":"Patient.maritalStatus","path":"Patient.maritalStatus","min":0,"max":"1","type":[{"code":"CodeableConcept"}],"binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/marital-status"}}`,
		"Patient/type":      `{"id":"Patient.deceased[x]","path":"Patient.deceased[x]","min":0,"max":"1","type":[{"code":"dateTime"}]}`,
		"Patient/value":     identifier(`{"type":"value","path":"system"}`) + `,{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"fixedUri":"urn:a"}`,
		"Patient/exists":    identifier(`{"type":"exists","path":"period"}`) + `,{"id":"Patient.identifier:a.period","path":"Patient.identifier.period","min":1,"max":"1","type":[{"code":"Period"}]}`,
		"Patient/there":     `{"id":"Patient.birthDate","path":"Patient.birthDate","min":0,"max":"1","type":[{"code":"date"}],"constraint":[{"key":"own-1","severity":"error","human":"is there","expression":"exists()"}]}`,
		"Patient/has":       `{"id":"Patient.birthDate","path":"Patient.birthDate","min":0,"max":"1","type":[{"code":"date"}],"constraint":[{"key":"own-1","severity":"error","human":"has a value","expression":"hasValue()"}]}`,
		"Patient/reference": `{"id":"Patient.managingOrganization","path":"Patient.managingOrganization","min":0,"max":"1","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Organization"]}]}`,
	})
	for _, c := range []struct {
		kind, profile, body string
		want                []string
	}{
		{"minimum, each kind of type: met", "min", `"_birthDate":` + absent + `,"maritalStatus":` + absent + `,"managingOrganization":` + absent, nil},
		{"maximum: counts", "max", `"_birthDate":` + absent, []string{"error cardinality-max Patient.birthDate"}},
		{"fixed value: not met", "fixed", `"_active":` + absent, []string{"error fixed-value Patient.active"}},
		{"pattern: not met", "pattern", `"maritalStatus":` + absent, []string{"error pattern-value Patient.maritalStatus"}},
		{"least and greatest value, length, form: nothing to judge", "values", `"_birthDate":` + absent + `,"_language":` + absent, []string{"note binding-absent Patient.language"}},
		{"required binding of a code: cannot be decided", "values", `"_gender":` + absent, []string{"note binding-absent Patient.gender"}},
		{"required binding of a concept: not met", "required", `"maritalStatus":` + absent, []string{"error binding-no-code Patient.maritalStatus"}},
		{"required binding of a concept: nor by a code for it", "required", `"maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]}`, []string{"warning binding-extensible Patient.maritalStatus", "error binding Patient.maritalStatus"}},
		{"extensible binding: met, text would do as well", "values", `"maritalStatus":` + absent, nil},
		{"type of a choice: it has the type of its name", "type", `"_deceasedBoolean":` + absent, []string{"error type-not-allowed Patient.deceasedBoolean"}},
		{"slice told by a value: not in it", "value", `"identifier":[{"_system":` + absent + `}]`, []string{"error slice-min Patient"}},
		{"slice told by what exists: in it", "exists", `"identifier":[{"period":` + absent + `}]`, nil},
		{"invariant on existence: met", "there", `"_birthDate":` + absent, nil},
		{"invariant on the value: not met", "has", `"_birthDate":` + absent, []string{"error constraint Patient.birthDate own-1"}},
		{"reference target: nothing to judge", "reference", `"managingOrganization":` + absent, nil},
		{"ele-1: an extension is a child", "values", `"name":[{"_family":` + absent + `}]`, nil},
		{"the extension itself is judged", "values", `"_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"lost"}]}`, []string{"error binding Patient.birthDate.extension[0].valueCode"}},
	} {
		v, err := s.Validator(ValidatorOptions{Profiles: []string{c.profile}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range judge(t, v, `{"resourceType":"Patient",`+c.body+`}`, Error, Warning, Note) {
			if f != "note constraint Patient dom-6" {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.kind, diff)
		}
	}
}

// A profile that names the code answers R4's extensible binding of the element:
// no other code could be written, and there is nothing to warn of.
func TestNamedCodeAnswersBinding(t *testing.T) {
	t.Parallel()
	s := own(t, map[string]string{
		"Patient/named": `{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","type":[{"code":"Identifier"}],"slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"open"}},
			{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":0,"max":"1","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:a.type","path":"Patient.identifier.type","min":1,"max":"1","type":[{"code":"CodeableConcept"}],"patternCodeableConcept":{"coding":[{"system":"urn:types","code":"a"}]}},
			{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"fixedUri":"urn:a"}`,
		"Patient/worded": `{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier.type","path":"Patient.identifier.type","min":0,"max":"1","type":[{"code":"CodeableConcept"}],"patternCodeableConcept":{"text":"x"}}`,
	})
	const a, b = `{"type":{"coding":[{"system":"urn:types","code":"a"}],"text":"x"},"system":"urn:a"}`, `{"type":{"coding":[{"system":"urn:types","code":"b"}],"text":"x"},"system":"urn:b"}`
	const warning = "warning binding-extensible Patient.identifier[0].type"
	for _, c := range []struct {
		profile, identifier string
		want                []string
	}{
		{"named", a, nil},
		{"named", b, []string{warning}},  // the profile does not speak of it
		{"worded", a, []string{warning}}, // the profile names no code
		{"http://hl7.org/fhir/StructureDefinition/Patient", a, []string{warning}}, // no profile
	} {
		v, err := s.Validator(ValidatorOptions{Profiles: []string{c.profile}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, judge(t, v, `{"resourceType":"Patient","identifier":[`+c.identifier+`]}`, Error, Warning)); diff != "" {
			t.Errorf("%s of %s:\n%s", c.identifier, c.profile, diff)
		}
	}
}
