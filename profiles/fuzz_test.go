package profiles

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"remit/profiles/r4"
)

// FuzzValidate: whatever comes as a resource, judging it ends, finds no more than
// it may, and says where each finding lies.
func FuzzValidate(f *testing.F) {
	for _, name := range []string{"ExplanationOfBenefit-EOBPharmacy1", "Coverage-Coverage2", "Patient-Patient1", "Organization-Payer1"} {
		raw, err := os.ReadFile("testdata/examples/carin-bb-2.1.0/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	v, err := openSet(f).Validator(ValidatorOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 10<<10 {
			return
		}
		var (
			p r4.Parser
			r r4.Resource
		)
		p.Parse(raw, &r)
		found := v.Validate(&r, nil)
		if len(found) > maxFindings+1 {
			t.Errorf("%d findings", len(found))
		}
		for _, f := range found {
			if f.Path == "" || f.Code == "" || f.Message == "" || f.Severity > Note {
				t.Errorf("finding %+v", f)
			}
		}
	})
}

// FuzzDefinition: a user's own profile, however it is put together, is refused or
// compiled; judging by it ends.
func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"element":[{"id":"Patient","path":"Patient","min":0,"max":"*"},{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","slicing":{"discriminator":[{"type":"value","path":"system"},{"type":"exists","path":"period"}],"rules":"openAtEnd","ordered":true},"type":[{"code":"Identifier"}]},
		{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":1,"max":"1"},{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","fixedUri":"urn:a"},{"id":"Patient.identifier:a/b","path":"Patient.identifier","sliceName":"a/b","min":0,"max":"1"}]}`))
	f.Add([]byte(`{"element":[{"id":"Patient","path":"Patient","min":0,"max":"*","constraint":[{"key":"a","severity":"error","human":"x","expression":"conformsTo('http://example.org/own')"}]},{"id":"Patient.contact","path":"Patient.contact","min":0,"max":"*","contentReference":"#Patient.contact"},{"id":"Patient.extension","path":"Patient.extension","min":0,"max":"*","type":[{"code":"Extension","profile":["http://example.org/own"]}]}]}`))
	f.Add([]byte(`{"element":[{"id":"Patient","path":"Patient","max":"*"},{"id":"Patient.contained","path":"Patient.contained","max":"*","type":[{"code":"Patient","profile":["http://example.org/own","http://example.org/own"]}]},{"id":"Patient.generalPractitioner","path":"Patient.generalPractitioner","max":"*","type":[{"code":"Reference","targetProfile":["http://example.org/own"]}],"slicing":{"discriminator":[{"type":"profile","path":"resolve()"}],"rules":"closed"}},
		{"id":"Patient.generalPractitioner:a","path":"Patient.generalPractitioner","sliceName":"a","max":"1","type":[{"code":"Reference","targetProfile":["http://example.org/own"]}]},{"id":"Patient.deceased[x]","path":"Patient.deceased[x]","max":"1","minValueDateTime":"2020","patternBoolean":true,"maxLength":-1,"binding":{"strength":"required","valueSet":"http://example.org/vs"}}]}`))
	const patient = `{"resourceType":"Patient","contained":[{"resourceType":"Patient","id":"a","identifier":[{"system":"urn:a"}]}],"extension":[{"url":"http://example.org/own","valueString":"x"}],
		"identifier":[{"system":"urn:a","period":{"start":"2020"}},{"value":"x"}],"deceasedBoolean":true,"contact":[{"gender":"male"}],"generalPractitioner":[{"reference":"#a"}]}`
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		if len(snapshot) > 10<<10 {
			return
		}
		body := `{"resourceType":"StructureDefinition","id":"own","url":"http://example.org/own","version":"1","kind":"resource","type":"Patient","derivation":"constraint","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","snapshot":` + string(snapshot) + `}`
		s, err := Open(Options{Packages: []fs.FS{fstest.MapFS{"own.json": {Data: []byte(body)}}}})
		if err != nil {
			return
		}
		v, err := s.Validator(ValidatorOptions{Profiles: []string{"http://example.org/own"}})
		if err != nil {
			return
		}
		var (
			p r4.Parser
			r r4.Resource
		)
		if problems := p.Parse([]byte(strings.TrimSpace(patient)), &r); len(problems) > 0 {
			t.Fatal(problems)
		}
		if found := v.Validate(&r, nil); len(found) > maxFindings+1 {
			t.Errorf("%d findings", len(found))
		}
	})
}
