package profiles

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExtensionContext holds extensions against where they may stand (R4
// Defining Extensions, 2.4.0.1) and whether they are modifiers (2.4.1).
func TestExtensionContext(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const (
		base     = "http://hl7.org/fhir/StructureDefinition/"
		prefix   = `{"url":"` + base + `humanname-own-prefix","valueString":"van"}`
		order    = `{"url":"` + base + `humanname-assembly-order","valueCode":"F"}`
		place    = `{"url":"` + base + `patient-birthPlace","valueAddress":{"city":"x"}}`
		anywhere = `{"url":"` + base + `data-absent-reason","valueCode":"unknown"}`
		own      = `{"url":"http://example.org/none","valueString":"x"}`
	)
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"on the resource":      {`{"resourceType":"Patient","extension":[` + place + `]}`, nil},
		"on another resource":  {`{"resourceType":"Practitioner","extension":[` + place + `]}`, []string{"error extension-context Practitioner.extension[0]"}},
		"on an element":        {`{"resourceType":"Patient","active":true,"_active":{"extension":[` + place + `]}}`, []string{"error extension-context Patient.active.extension[0]"}},
		"on a type's element":  {`{"resourceType":"Patient","name":[{"family":"x","_family":{"extension":[` + prefix + `]}}]}`, nil},
		"on its neighbour":     {`{"resourceType":"Patient","name":[{"given":["x"],"_given":[{"extension":[` + prefix + `]}]}]}`, []string{"error extension-context Patient.name[0].given[0].extension[0]"}},
		"on a type":            {`{"resourceType":"Patient","name":[{"family":"x","extension":[` + order + `]}]}`, nil},
		"deep, on that type":   {`{"resourceType":"Patient","contact":[{"name":{"family":"x","extension":[` + order + `]}}]}`, nil},
		"anywhere":             {`{"resourceType":"Patient","_active":{"extension":[` + anywhere + `]}}`, nil},
		"not known":            {`{"resourceType":"Patient","extension":[` + own + `]}`, nil},
		"modifier, not known":  {`{"resourceType":"Patient","modifierExtension":[` + own + `]}`, []string{"warning modifier-extension-unknown Patient.modifierExtension[0]"}},
		"modifier that is not": {`{"resourceType":"Patient","modifierExtension":[` + place + `]}`, []string{"error extension-modifier Patient.modifierExtension[0]"}},
		"not as a modifier": {`{"resourceType":"DiagnosticReport","status":"final","code":{"text":"x"},"extension":[{"url":"` + base + `diagnosticReport-summaryOf","valueReference":{"reference":"DiagnosticReport/1"}}]}`,
			nil},
		"below itself": {`{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"group","item":[{"linkId":"3","type":"string","extension":[{"url":"` + base + `questionnaire-hidden","valueBoolean":true}]}]}]}]}`, nil},
	} {
		var got []string
		for _, f := range judge(t, v, c.body, Error, Warning) {
			if strings.Contains(f, "extension-") {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestDisplay warns of words that a code system does not have for its code.
func TestDisplay(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for coding, want := range map[string][]string{
		`{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Married"}`:     nil,
		`{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":" MARRIED "}`:   nil,
		`{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Never"}`:       {"warning display Patient.maritalStatus.coding[0].display"},
		`{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M"}`:                         nil,
		`{"system":"http://example.org/none","code":"M","display":"Never"}`:                                      nil,
		`{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Married too"}`: {"warning display Patient.maritalStatus.coding[0].display"},
	} {
		var got []string
		for _, f := range judge(t, v, `{"resourceType":"Patient","maritalStatus":{"coding":[`+coding+`]}}`, Warning) {
			if f != "warning binding-extensible Patient.maritalStatus" {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", coding, diff)
		}
	}
}
