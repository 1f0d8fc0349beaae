package profiles

import (
	"encoding/json"
	"strings"
	"testing"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

// TestErrata holds every erratum against the packages: the rule is there as it
// says, and both it and our reading of it compile.
func TestErrata(t *testing.T) {
	t.Parallel()
	all, err := Errata()
	if err != nil {
		t.Fatal(err)
	}
	s := openSet(t)
	published := map[string]bool{} // guide, key, expression
	for _, list := range s.byID {
		for _, d := range list {
			raw, err := d.pkg.Read(d.entry)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range constraintsOf(t, raw) {
				published[d.pkg.Label()+" "+k[0]+" "+strings.Join(strings.Fields(k[1]), " ")] = true
			}
		}
	}
	for _, e := range all {
		if !published[e.Guide+" "+e.Key+" "+e.Published] {
			t.Errorf("%s: %s does not have this expression", e.Guide, e.Key)
		}
		if e.Reason == "" || e.Source == "" {
			t.Errorf("%s: %s has no reason or no source", e.Guide, e.Key)
		}
		for _, text := range []string{e.Published, e.Reading} {
			if text == "" {
				continue
			}
			if _, err := fhirpath.Compile(text, fhirpath.Options{AsFilters: true}); err != nil {
				t.Errorf("%s: %s: %v", e.Guide, e.Key, err)
			}
		}
		switch e.Kind {
		case "mended", "extended":
			if e.Reading == "" {
				t.Errorf("%s: %s has no reading", e.Guide, e.Key)
			}
		case "note", "toothless":
		default:
			t.Errorf("%s: %s has kind %q", e.Guide, e.Key, e.Kind)
		}
	}
}

// TestErrataBite shows on an instance what is wrong with the rule as published,
// and that our reading sees it.
func TestErrataBite(t *testing.T) {
	t.Parallel()
	careTeam := func(role, target string) string {
		return `{"resourceType":"ExplanationOfBenefit","careTeam":[{"sequence":1,"provider":{"reference":"` + target + `/1"},"role":{"coding":[{"code":"` + role + `"}]}}]}`
	}
	const quantity = `{"resourceType":"Observation","valueQuantity":{"value":1,"system":"http://example.org/units","code":"x"}}`
	const coded = `{"resourceType":"Observation","valueCodeableConcept":{"coding":[{"system":"http://example.org/codes","code":"x"}]}}`
	focal := `{"resourceType":"ExplanationOfBenefit","insurance":[{"focal":true,"coverage":{"reference":"Coverage/1"}},{"focal":true,"coverage":{"reference":"Coverage/2"}}]}`
	newborn := `{"resourceType":"ExplanationOfBenefit","supportingInfo":[{"sequence":1,"category":{"text":"x"},"code":{"coding":[{"system":"https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit","code":"4"}]}},
		{"sequence":2,"category":{"text":"x"},"code":{"coding":[{"system":"https://www.nubc.org/CodeSystem/PointOfOrigin","code":"1"}]}}]}`
	for _, c := range []struct {
		guide, key, body, at string
		published, reading   fhirpath.Outcome
	}{
		{"hl7.fhir.r4.core#4.0.1", "ref-1", `{"resourceType":"Patient","managingOrganization":{"display":"x"}}`, "managingOrganization", fhirpath.False, fhirpath.True},
		{"hl7.fhir.r4.core#4.0.1", "ref-1", `{"resourceType":"Patient","managingOrganization":{"reference":"#"}}`, "managingOrganization", fhirpath.False, fhirpath.False},
		{"hl7.fhir.r4.core#4.0.1", "ref-1", `{"resourceType":"Patient","contained":[{"resourceType":"Observation","id":"o","subject":{"reference":"#"}}]}`, "contained.subject", fhirpath.False, fhirpath.True},
		{"hl7.fhir.r4.core#4.0.1", "bdl-8", `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient"}}]}`, "entry", fhirpath.False, fhirpath.True},
		{"hl7.fhir.r4.core#4.0.1", "tim-9", `{"resourceType":"ServiceRequest","occurrenceTiming":{"repeat":{"when":["AC","HS"],"offset":5}}}`, "occurrence.repeat", fhirpath.Fault, fhirpath.True},
		{"hl7.fhir.r4.core#4.0.1", "tim-9", `{"resourceType":"ServiceRequest","occurrenceTiming":{"repeat":{"when":["C"],"offset":5}}}`, "occurrence.repeat", fhirpath.False, fhirpath.False},
		{"hl7.fhir.r4.core#4.0.1", "cid-0", `{"resourceType":"ChargeItemDefinition","url":"http://x","title":"x"}`, "", fhirpath.False, fhirpath.False},
		{"hl7.fhir.us.core#3.1.1", "us-core-3", quantity, "value", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.core#3.1.1", "us-core-4", coded, "value", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.core#6.1.0", "us-core-1", `{"resourceType":"Observation","effectiveDateTime":"2024-05"}`, "effective", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.core#6.1.0", "us-core-3", quantity, "value", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.core#6.1.0", "us-core-4", coded, "value", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.core#6.1.0", "us-core-5", `{"resourceType":"Immunization","vaccineCode":{"coding":[{"system":"http://hl7.org/fhir/sid/cvx","code":"1"},{"system":"http://hl7.org/fhir/sid/ndc","code":"2"}]}}`, "", fhirpath.False, fhirpath.True},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-insurance-focal", focal, "insurance[0]", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.1.0", "EOB-insurance-focal", focal, "insurance[0]", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-inst-pointoforigin", newborn, "", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.1.0", "EOB-inst-pointoforigin", newborn, "", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-inst-careTeam-organization", careTeam("rendering", "Practitioner"), "careTeam", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-inst-careTeam-practitioner", careTeam("attending", "Organization"), "careTeam", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-prof-careTeam-practitioner", careTeam("supervising", "Organization"), "careTeam", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-pharm-careTeam-organization", careTeam("rendering", "Practitioner"), "careTeam", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-pharm-careTeam-practitioner", careTeam("prescribing", "Organization"), "careTeam", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.1.0", "EOB-pharm-careTeam-practitioner", careTeam("prescribing", "Practitioner"), "careTeam", fhirpath.False, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.0.0", "EOB-vision-item-productorservice", `{"resourceType":"ExplanationOfBenefit","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/claim-type","code":"professional"}]},"item":[{"sequence":1,"productOrService":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"not-applicable"}]}}]}`, "item.productOrService", fhirpath.True, fhirpath.False},
		{"hl7.fhir.us.carin-bb#2.2.0", "EOB-careteam-qualification", `{"resourceType":"ExplanationOfBenefit","careTeam":[{"role":{"coding":[{"code":"rendering"}]},"qualification":{"coding":[{"system":"urn:x","code":"x"}]}}]}`, "careTeam", fhirpath.True, fhirpath.False},
	} {
		var erratum *Erratum
		all, err := Errata()
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].Guide == c.guide && all[i].Key == c.key {
				erratum = &all[i]
			}
		}
		if erratum == nil {
			t.Errorf("%s: no erratum %s", c.guide, c.key)
			continue
		}
		var (
			p r4.Parser
			r r4.Resource
		)
		if problems := p.Parse([]byte(c.body), &r); len(problems) > 0 {
			t.Fatal(problems)
		}
		n := r4.Root
		if c.at != "" {
			n = nodeAt(t, &r, c.at)
		}
		env := fhirpath.Env{Membership: nobody{}}
		for _, one := range []struct {
			text string
			want fhirpath.Outcome
		}{{erratum.Published, c.published}, {erratum.Reading, c.reading}} {
			if one.text == "" {
				continue
			}
			x, err := fhirpath.Compile(one.text, fhirpath.Options{Type: r.TypeOf(n), Root: r.Type(), AsFilters: true})
			if err != nil {
				t.Fatalf("%s %s: %v", c.guide, c.key, err)
			}
			if got, _ := x.Check(&env, &r, n); got != one.want {
				t.Errorf("%s: %s: %s gives %s, want %s", c.guide, c.key, one.text, got, one.want)
			}
		}
	}
}

// nobody has no member in any value set.
type nobody struct{}

func (nobody) Member(_, _, _ string) fhirpath.Tri { return fhirpath.No }

// nodeAt finds the one node that a path leads to.
func nodeAt(t *testing.T, r *r4.Resource, path string) r4.Node {
	t.Helper()
	x, err := fhirpath.Compile(path, fhirpath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := x.Eval(nil, r, r4.Root)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s leads to %d nodes: %v", path, len(found), err)
	}
	_, n, _ := found[0].Node()
	return n
}

// A note about a rule that is wrong as published says so.
func TestErrataAreNotes(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"resourceType":"ExplanationOfBenefit","meta":{"profile":["http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy|2.1.0"]},
		"careTeam":[{"sequence":1,"provider":{"reference":"Practitioner/1"},"role":{"coding":[{"code":"prescribing"}]}}]}`
	var (
		p r4.Parser
		r r4.Resource
	)
	if problems := p.Parse([]byte(body), &r); len(problems) > 0 {
		t.Fatal(problems)
	}
	found := false
	for _, f := range v.Validate(&r, nil) {
		if f.Constraint == "EOB-pharm-careTeam-practitioner" {
			found = true
			if f.Severity != Note || !strings.Contains(f.Message, "known to be wrong") {
				t.Errorf("%s: %s", f.Severity, f.Message)
			}
		}
	}
	if !found {
		t.Error("the pharmacy's practitioner gives no note")
	}
}

// constraintsOf lists key and expression of a definition's constraints.
func constraintsOf(t *testing.T, raw []byte) (out [][2]string) {
	t.Helper()
	var d structureJSON
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	for i := range d.Snapshot.Element {
		for _, k := range d.Snapshot.Element[i].Constraint {
			out = append(out, [2]string{k.Key, k.Expression})
		}
	}
	return out
}
