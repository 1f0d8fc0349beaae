package profiles

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"remit/profiles/r4"
)

// ruleCollector lists what programs demand.
type ruleCollector struct {
	rules Proved
	progs map[*program]bool
	kids  map[*table]bool
}

func (c *ruleCollector) add(el *Element, code, key string) {
	if el != nil {
		c.rules.Add(ProvedRule{el.Profile.Canonical(), el.ID, code, key})
	}
}

func (c *ruleCollector) program(p *program) {
	if p == nil || c.progs[p] {
		return
	}
	c.progs[p] = true
	for _, code := range []string{"fixed-value", "pattern-value", "min-value", "max-value", "max-length", "reference-target", "type-profile", "primitive-form", "binding"} {
		c.add(p.el, code, "")
	}
	for _, inv := range p.invariants {
		c.add(inv.el, "constraint", inv.Key)
	}
	for _, q := range append(append([]*program{}, p.also...), p.anyOf...) {
		c.program(q)
	}
	if p.kids == nil || c.kids[p.kids] {
		return
	}
	c.kids[p.kids] = true
	for _, g := range p.kids.load() {
		c.group(&g, "cardinality")
	}
}

func (c *ruleCollector) group(g *group, counted string) {
	for _, code := range []string{counted + "-min", counted + "-max", "type-not-allowed", "slice-closed", "slice-order", "slice-open-at-end"} {
		c.add(g.el, code, "")
	}
	for _, p := range g.progs {
		c.program(p)
	}
	if g.slicing != nil {
		for i := range g.slicing.slices {
			c.group(&g.slicing.slices[i].group, "slice")
		}
	}
}

// ruleOf is the rule whose proof would leave a finding out.
func ruleOf(f Finding) ProvedRule {
	code := f.Code
	switch {
	case strings.HasPrefix(code, "binding"), code == "code-form":
		code = "binding"
	case strings.HasPrefix(code, "constraint"):
		code = "constraint"
	case code == "slice-undecided":
		code = "slice-min"
	case code == "reference-profile":
		code = "reference-target"
	}
	return ProvedRule{f.Profile, f.Element, code, f.Constraint}
}

// TestProvedChangesNothing judges every example with all rules proved that it
// does not break: the findings are the same.
func TestProvedChangesNothing(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	plain, err := s.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for i, e := range examples(t) {
		if testing.Short() && i%10 != 0 {
			continue
		}
		r := e.parse(t)
		want := plain.Validate(r, nil)
		c := &ruleCollector{Proved{}, map[*program]bool{}, map[*table]bool{}}
		c.program(s.compiler.root(r.Type()))
		if meta := r.Find(r4.Root, r.Type().Element("meta")); meta != r4.None {
			for m := r.Find(meta, words().metaProfile); m != r4.None; m = r.NextSame(m) {
				if p, err := s.find(string(r.Value(m)), nil); err == nil {
					c.program(s.compiler.profile(p))
				}
			}
		}
		for _, f := range want {
			delete(c.rules, ruleOf(f))
		}
		left += len(c.rules)
		v, err := s.Validator(ValidatorOptions{Proved: c.rules})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, v.Validate(r, nil), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s:\n%s", e.name, diff)
		}
	}
	t.Logf("%d rules proved in all", left)
}

// TestProvedIsNotJudged breaks a rule and proves it: it is not found, and all
// else is.
func TestProvedIsNotJudged(t *testing.T) {
	t.Parallel()
	s := own(t, map[string]string{
		"Patient/rules": `{"id":"Patient.birthDate","path":"Patient.birthDate","min":1,"max":"1","type":[{"code":"date"}],"minValueDate":"1900-01-01","maxValueDate":"2000-01-01"},
			{"id":"Patient.multipleBirth[x]","path":"Patient.multipleBirth[x]","min":0,"max":"1","type":[{"code":"integer"}],"maxValueInteger":3},
			{"id":"Patient.language","path":"Patient.language","min":0,"max":"1","type":[{"code":"code"}],"maxLength":2},
			{"id":"Patient.name","path":"Patient.name","min":0,"max":"1","type":[{"code":"HumanName"}],"fixedHumanName":{"family":"X"}},
			{"id":"Patient.identifier","path":"Patient.identifier","min":0,"max":"*","type":[{"code":"Identifier"}],"slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"closed"}},
			{"id":"Patient.identifier:a","path":"Patient.identifier","sliceName":"a","min":1,"max":"1","type":[{"code":"Identifier"}]},
			{"id":"Patient.identifier:a.system","path":"Patient.identifier.system","min":1,"max":"1","type":[{"code":"uri"}],"fixedUri":"urn:a"},
			{"id":"Patient.identifier:a.value","path":"Patient.identifier.value","min":1,"max":"1","type":[{"code":"string"}]},
			{"id":"Patient.managingOrganization","path":"Patient.managingOrganization","min":0,"max":"1","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Organization"]}]},
			{"id":"Patient.active","path":"Patient.active","min":0,"max":"1","type":[{"code":"boolean"}],
			 "constraint":[{"key":"own-1","severity":"error","human":"must be true","expression":"$this = true"}]}`,
	})
	const own, core = "http://example.org/rules|1.0.0", "http://hl7.org/fhir/StructureDefinition/Patient|4.0.1"
	const a = `"identifier":[{"system":"urn:a","value":"1"}],`
	for _, c := range []struct {
		body, finding string
		rule          ProvedRule
	}{
		{a + `"birthDate":"1899-12-31"`, "min-value", ProvedRule{own, "Patient.birthDate", "min-value", ""}},
		{a + `"birthDate":"2000-01-02"`, "max-value", ProvedRule{own, "Patient.birthDate", "max-value", ""}},
		{a + `"active":true`, "cardinality-min", ProvedRule{own, "Patient.birthDate", "cardinality-min", ""}},
		{a + `"birthDate":"1999","multipleBirthInteger":10`, "max-value", ProvedRule{own, "Patient.multipleBirth[x]", "max-value", ""}},
		{a + `"birthDate":"1999","multipleBirthBoolean":true`, "type-not-allowed", ProvedRule{own, "Patient.multipleBirth[x]", "type-not-allowed", ""}},
		{a + `"birthDate":"1999","language":"deu"`, "max-length", ProvedRule{own, "Patient.language", "max-length", ""}},
		{a + `"birthDate":"1999","name":[{"family":"Y"}]`, "fixed-value", ProvedRule{own, "Patient.name", "fixed-value", ""}},
		{a + `"birthDate":"1999","name":[{"family":"X"},{"family":"X"}]`, "cardinality-max", ProvedRule{own, "Patient.name", "cardinality-max", ""}},
		{a + `"birthDate":"1999","active":false`, "constraint", ProvedRule{own, "Patient.active", "constraint", "own-1"}},
		{a + `"birthDate":"1999","gender":"x"`, "binding", ProvedRule{core, "Patient.gender", "binding", ""}},
		{a + `"birthDate":"1999-02-31"`, "primitive-form", ProvedRule{core, "Patient.birthDate", "primitive-form", ""}},
		{a + `"birthDate":"1999","managingOrganization":{"reference":"Patient/1"}`, "reference-target", ProvedRule{core, "Patient.managingOrganization", "reference-target", ""}},
		{`"birthDate":"1999"`, "slice-min", ProvedRule{own, "Patient.identifier:a", "slice-min", ""}},
		{`"birthDate":"1999","identifier":[{"system":"urn:a","value":"1"},{"system":"urn:a","value":"1"}]`, "slice-max", ProvedRule{own, "Patient.identifier:a", "slice-max", ""}},
		{`"birthDate":"1999","identifier":[{"system":"urn:a","value":"1"},{"system":"urn:b"}]`, "slice-closed", ProvedRule{own, "Patient.identifier", "slice-closed", ""}},
		{`"birthDate":"1999","identifier":[{"system":"urn:a"}]`, "cardinality-min", ProvedRule{own, "Patient.identifier:a.value", "cardinality-min", ""}},
		{`"birthDate":"1999","identifier":[{"system":"urn:a"}]`, "cardinality-min", ProvedRule{own, "Patient.identifier:a", ProvedWhole, ""}},
		{a + `"birthDate":"1999","name":[{"family":"Y"}]`, "fixed-value", ProvedRule{own, "Patient.name", ProvedWhole, ""}},
		{a + `"birthDate":"1999-02-31"`, "primitive-form", ProvedRule{core, "Patient.birthDate", ProvedWhole, ""}},
	} {
		for _, proved := range []Proved{nil, {c.rule: {}}} {
			v, err := s.Validator(ValidatorOptions{Profiles: []string{"rules"}, Proved: proved})
			if err != nil {
				t.Fatal(err)
			}
			got := judge(t, v, `{"resourceType":"Patient",`+c.body+`}`, Error)
			if proved == nil && (len(got) != 1 || !strings.HasPrefix(got[0], "error "+c.finding+" ")) {
				t.Errorf("%s: %v, want one %s", c.body, got, c.finding)
			}
			if proved != nil && got != nil {
				t.Errorf("%v is proved, and found: %v", c.rule, got)
			}
		}
	}
}

// A profile's binding that is proved still takes back R4's extensible one.
func TestProvedBindingOverrides(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	r := readExample(t, "testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOBInpatient1.json")
	plain, err := s.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := mustProfile(t, "C4BB-ExplanationOfBenefit-Inpatient-Institutional|2.1.0")
	c := &ruleCollector{Proved{}, map[*program]bool{}, map[*table]bool{}}
	c.program(s.compiler.profile(p))
	for rule := range c.rules {
		if rule.Code != "binding" {
			delete(c.rules, rule)
		}
	}
	// The pattern answers R4's binding of Identifier.type too.
	c.rules.Add(ProvedRule{p.Canonical(), "ExplanationOfBenefit.identifier:uniqueclaimid.type", "pattern-value", ""})
	v, err := s.Validator(ValidatorOptions{Proved: c.rules})
	if err != nil {
		t.Fatal(err)
	}
	var want []Finding
	for _, f := range plain.Validate(r, nil) {
		if ruleOf(f).Code != "binding" || strings.HasPrefix(f.Profile, coreURL) {
			want = append(want, f)
		}
	}
	if diff := cmp.Diff(want, v.Validate(r, nil), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// TestFits holds a slice's statement against constants: what a mapping's load
// rules out by, it must not rule out what the slice takes.
func TestFits(t *testing.T) {
	s := openSet(t)
	info := mustProfile(t, "C4BB-ExplanationOfBenefit-Inpatient-Institutional|2.1.0").Root().Child("supportingInfo")
	slice := map[string]*Element{}
	for _, one := range info.Slices() {
		slice[one.Slice] = one
	}
	category := r4.Lookup("ExplanationOfBenefit.supportingInfo").Element("category")
	const system = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType"
	for _, tc := range []struct {
		slice string
		codes []string // system, code in turn
		fits  Tri
	}{
		{"drg", []string{system, "drg"}, Yes},
		{"drg", []string{system, "admtype"}, No},
		{"drg", []string{"http://other", "drg"}, No},
		{"drg", []string{system, "admtype", system, "drg"}, Yes},
		{"drg", nil, No},
	} {
		var value r4.Resource
		value.Start(category.Type(), 0)
		for i := 0; i < len(tc.codes); i += 2 {
			c := value.Add(r4.Root, words().conceptCoding, 0)
			value.SetString(value.Add(c, words().codingSystem, 0), tc.codes[i])
			value.SetString(value.Add(c, words().codingCode, 0), tc.codes[i+1])
		}
		if got := s.Fits(slice[tc.slice], category, &value); got != tc.fits {
			t.Errorf("%s %v: %v, want %v", tc.slice, tc.codes, got, tc.fits)
		}
	}
	sequence := r4.Lookup("ExplanationOfBenefit.supportingInfo").Element("sequence")
	var one r4.Resource
	one.Start(sequence.Type(), 0)
	one.SetString(r4.Root, "1")
	if got := s.Fits(slice["drg"], sequence, &one); got != Unknown {
		t.Errorf("of an element of which the slice says nothing: %v", got)
	}
}

// TestSliceKey: slices are told apart by their whole discriminator, whatever a
// sole code rules out beforehand: by several codings, a code of another system, a
// code without a system, and none.
func TestSliceKey(t *testing.T) {
	s := openSet(t)
	v, err := s.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := readExample(t, "testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOBInpatient1.json")
	whole := string(r.AppendJSON(nil))
	const system = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType"
	const was = `{"coding":[{"system":"` + system + `","code":"admissionperiod"}]}`
	if strings.Count(whole, was) != 1 {
		t.Fatalf("the example has no sole admissionperiod")
	}
	for _, tc := range []struct {
		category string
		missing  bool
	}{
		{was, false},
		{`{"coding":[{"system":"http://x","code":"other"},{"system":"` + system + `","code":"admissionperiod"}]}`, false},
		{`{"coding":[{"system":"` + system + `","code":"admissionperiod"},{"system":"http://x","code":"other"}]}`, false},
		{`{"coding":[{"system":"http://x","code":"admissionperiod"}]}`, true},
		{`{"coding":[{"code":"admissionperiod"}]}`, true},
		{`{"coding":[{"system":"` + system + `","display":"admissionperiod"}]}`, true},
		{`{"text":"admissionperiod"}`, true},
		{`{"coding":[{"system":"` + system + `","code":"admissionperiod2"}]}`, true},
	} {
		var p r4.Parser
		var r r4.Resource
		p.Parse([]byte(strings.Replace(whole, was, tc.category, 1)), &r)
		missing := false
		for _, f := range v.Validate(&r, nil) {
			missing = missing || f.Code == "slice-min" && strings.HasSuffix(f.Element, "supportingInfo:admissionperiod")
		}
		if missing != tc.missing {
			t.Errorf("%s: slice missing %v, want %v", tc.category, missing, tc.missing)
		}
	}
}
