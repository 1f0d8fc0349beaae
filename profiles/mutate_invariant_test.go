package profiles

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

// unbreakable are the invariants that no change tried here makes false in an
// example, and why.
var unbreakable = map[string]string{}

// neverFalse are the invariants that cannot be false: by their profile, element and
// key, why, and what they hold implied, which the test finds true wherever the
// element stands.
var neverFalse = map[string]struct{ why, implied string }{
	"http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance|3.1.1 Provenance.agent.onBehalfOf provenance-1": {
		"it stands at onBehalfOf and asks there for exists(), which is true of any node that it is evaluated on", "exists()",
	},
}

// never says that k ends in an implication of implied, which is true at every place
// where k is evaluated, in every example and after every change.
func (b *breaker) never(el *Element, k *Constraint, implied string) bool {
	if !strings.HasSuffix(k.Expression, " implies "+implied) {
		return false
	}
	x, err := fhirpath.Compile(implied, fhirpath.Options{AsFilters: true})
	if err != nil {
		return false
	}
	tried, env := 0, b.v.Environment()
	b.budget = 0
	for _, e := range b.examples {
		for _, n := range places(e, el, b.p.root) {
			for _, do := range b.changes(e, n, literals(k.Expression)) {
				tried++
				if !b.holds(e, n, x, env, do) {
					return false
				}
			}
		}
	}
	return tried > 0
}

// seeds are resources beside the examples: they bear what no example does.
// They need not be valid otherwise.
var seeds = []string{
	`{"resourceType":"ExplanationOfBenefit","contained":[{"resourceType":"Patient","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Patient","id":"q"}]}],
		"patient":{"reference":"#other"},"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/claim-type","code":"oral"}]}}`,
	`{"resourceType":"ExplanationOfBenefit","contained":[{"resourceType":"Patient","id":"p","meta":{"security":[{"code":"x"}]}}],"patient":{"reference":"#p"}}`,
	`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}],"name":[{"use":"old"}],"contact":[{"gender":"male"}]}`,
	`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"p","meta":{"security":[{"code":"x"}]}}],"managingOrganization":{"reference":"#p"}}`,
	`{"resourceType":"Coverage","contained":[{"resourceType":"Organization","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}]}`,
	`{"resourceType":"Coverage","contained":[{"resourceType":"Organization","id":"p","meta":{"security":[{"code":"x"}]}}],"payor":[{"reference":"#p"}]}`,
	`{"resourceType":"Organization","contained":[{"resourceType":"Organization","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}],
		"telecom":[{"system":"phone","value":"1","use":"home"}],"address":[{"use":"home"}],
		"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NPI"}]},"system":"http://hl7.org/fhir/sid/us-npi","value":"x"},{"system":"urn:oid:2.16.840.1.113883.4.7","value":"x"},{"type":{"coding":[{"system":"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType","code":"naiccode"}]},"system":"urn:oid:2.16.840.1.113883.6.300","value":"x"}]}`,
	`{"resourceType":"Organization","contained":[{"resourceType":"Organization","id":"p","meta":{"security":[{"code":"x"}]}}],"partOf":{"reference":"#p"}}`,
	`{"resourceType":"Organization","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NPI"}]},"system":"http://hl7.org/fhir/sid/us-npi","value":"1111111111"}]}`,
	`{"resourceType":"Practitioner","contained":[{"resourceType":"Organization","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}],
		"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NPI"}]},"system":"http://hl7.org/fhir/sid/us-npi","value":"x"}]}`,
	`{"resourceType":"Practitioner","contained":[{"resourceType":"Organization","id":"p","meta":{"security":[{"code":"x"}]}}],"qualification":[{"code":{"text":"x"},"issuer":{"reference":"#p"}}]}`,
	`{"resourceType":"Practitioner","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NPI"}]},"system":"http://hl7.org/fhir/sid/us-npi","value":"1111111111"}]}`,
	`{"resourceType":"RelatedPerson","contained":[{"resourceType":"Patient","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}]}`,
	`{"resourceType":"RelatedPerson","contained":[{"resourceType":"Patient","id":"p","meta":{"security":[{"code":"x"}]}}],"patient":{"reference":"#p"}}`,
	// Members of the care team who are neither Practitioner nor Organization.
	`{"resourceType":"ExplanationOfBenefit","careTeam":[
		{"sequence":1,"provider":{"reference":"PractitionerRole/1"},"role":{"coding":[{"code":"attending"}]}},
		{"sequence":2,"provider":{"reference":"PractitionerRole/1"},"role":{"coding":[{"code":"rendering"}]},"qualification":{"coding":[{"system":"http://example.org","code":"x"}]}},
		{"sequence":3,"provider":{"reference":"PractitionerRole/1"},"role":{"coding":[{"code":"prescribing"}]}}]}`,
	// An additional body site that no line, or a line without a tooth, speaks of.
	`{"resourceType":"ExplanationOfBenefit","supportingInfo":[{"sequence":1,"category":{"coding":[{"code":"additionalbodysite"}]}}],
		"item":[{"sequence":1,"informationSequence":[1],"productOrService":{"text":"x"},"subSite":[{"text":"x"}]}]}`,
	`{"resourceType":"ExplanationOfBenefit","supportingInfo":[{"sequence":1,"category":{"coding":[{"code":"additionalbodysite"}]}},
		{"sequence":2,"category":{"coding":[{"system":"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType","code":"ambulancetransportreason"}]}}],"item":[{"sequence":1}]}`,
	`{"resourceType":"ExplanationOfBenefit","payee":{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/payeetype","code":"other"}]}}}`,
	`{"resourceType":"ExplanationOfBenefit","item":[{"sequence":1,"adjudication":[{"category":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/adjudication","code":"none"}]}}]}]}`,
}

// TestMutateInvariants makes each error invariant of CARIN Blue Button 2.1.0, and
// of R4's ExplanationOfBenefit, Patient and Coverage, false in an example, and
// looks for its finding at its node. Whether it is false is told by the
// expression alone, evaluated beside the Validator.
func TestMutateInvariants(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	var all []*Profile
	for _, name := range []string{"ExplanationOfBenefit", "Patient", "Coverage"} {
		all = append(all, mustProfile(t, coreURL+name))
	}
	for _, name := range slices.Sorted(maps.Keys(s.byURL)) {
		for _, d := range s.byURL[name] {
			if d.pkg.Label() == "hl7.fhir.us.carin-bb#2.1.0" && d.entry.ResourceType == "StructureDefinition" {
				p, err := s.load(d)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, p)
			}
		}
	}
	var bodies []*r4.Resource
	texts := map[*r4.Resource][]byte{}
	for _, body := range seeds {
		e := new(r4.Resource)
		if problems := new(r4.Parser).Parse([]byte(body), e); len(problems) > 0 {
			t.Fatal(problems)
		}
		texts[e] = e.AppendJSON(nil)
		new(r4.Parser).Parse(texts[e], e)
		bodies = append(bodies, e)
	}
	for _, one := range examples(t) {
		if exceptions[one.name] == nil && (one.guide() == "carin-bb-2.1.0" || one.guide() == "r4-core-4.0.1") {
			// As its own JSON again, so that nodes have the same numbers in copies.
			text := one.parse(t).AppendJSON(nil)
			e := new(r4.Resource)
			new(r4.Parser).Parse(text, e)
			bodies = append(bodies, e)
			texts[e] = text
		}
	}
	broken, rules := 0, 0
	for _, p := range all {
		v, err := s.Validator(ValidatorOptions{Profiles: []string{p.Canonical()}, SkipNotes: true})
		if err != nil {
			t.Fatal(err)
		}
		b := &breaker{t: t, v: v, p: p, texts: texts}
		for _, e := range bodies {
			if e.Type().Name() == p.Type {
				b.examples = append(b.examples, e)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(p.byID)) {
			for i := range p.byID[id].Constraints {
				k := &p.byID[id].Constraints[i]
				if k.Severity != "error" || k.BestPractice || native(k.Key) || k.Expression == "" {
					continue
				}
				rules++
				name := p.Name + " " + id + " " + k.Key
				_, excepted := unbreakable[name]
				if !excepted {
					_, excepted = unbreakable[k.Key]
				}
				switch found := b.constraint(p.byID[id], k); {
				case found == excepted:
					t.Errorf("%s: broken and found: %v; listed as unbreakable: %v", name, found, excepted)
				case found:
					broken++
				}
			}
		}
	}
	t.Logf("constraint         %6d of %6d rules broken and found, %d listed as unbreakable", broken, rules, rules-broken)
}

// TestMutateOtherInvariants does the same, within a budget of changes for each
// rule, for the error invariants of all other bundled profiles on resources. What
// no change makes false is counted; what is false must be found.
func TestMutateOtherInvariants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("long")
	}
	s := openSet(t)
	byType := map[string][]*r4.Resource{}
	texts, count := map[*r4.Resource][]byte{}, map[string]int{}
	add := func(raw []byte) *r4.Resource {
		first, e := new(r4.Resource), new(r4.Resource)
		new(r4.Parser).Parse(raw, first)
		text := first.AppendJSON(nil)
		new(r4.Parser).Parse(text, e)
		texts[e] = text
		return e
	}
	wrong, err := os.ReadFile("testdata/seeds.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range append(bytes.Split(bytes.TrimSpace(wrong), []byte("\n")), seedBodies()...) {
		e := add(raw)
		byType[e.Type().Name()] = append(byType[e.Type().Name()], e)
	}
	for _, one := range examples(t) {
		if e := add(one.raw); exceptions[one.name] == nil && count[e.Type().Name()] < 12 {
			count[e.Type().Name()]++
			byType[e.Type().Name()] = append(byType[e.Type().Name()], e)
		}
	}
	done := map[string]bool{}
	broken, resisted := 0, 0
	for _, name := range slices.Sorted(maps.Keys(s.byURL)) {
		for _, d := range s.byURL[name] {
			if d.entry.ResourceType != "StructureDefinition" || d.entry.Kind != "resource" || d.pkg.Label() == "hl7.fhir.us.carin-bb#2.1.0" || r4.Lookup(d.entry.Type) == nil {
				continue
			}
			p, err := s.load(d)
			if err != nil {
				t.Fatal(err)
			}
			var b *breaker
			for _, id := range slices.Sorted(maps.Keys(p.byID)) {
				for i := range p.byID[id].Constraints {
					k := &p.byID[id].Constraints[i]
					rule := id + " " + k.Key + " " + k.Expression
					if k.Severity != "error" || k.BestPractice || native(k.Key) || k.Expression == "" || done[rule] {
						continue
					}
					done[rule] = true
					if b == nil {
						v, err := s.Validator(ValidatorOptions{Profiles: []string{p.Canonical()}, SkipNotes: true})
						if err != nil {
							t.Fatal(err)
						}
						b = &breaker{t: t, v: v, p: p, texts: texts, examples: []*r4.Resource{add(made(s, p))}}
						if p.Type != "Bundle" && p.Type != "Parameters" && p.Type != "Binary" {
							for _, contained := range []string{
								`{"resourceType":"Patient","id":"p","meta":{"versionId":"1"},"contained":[{"resourceType":"Organization","id":"q"}]}`,
								`{"resourceType":"Patient","id":"p","meta":{"security":[{"code":"x"}]}}`,
							} {
								b.examples = append(b.examples, add([]byte(`{"resourceType":"`+p.Type+`","contained":[`+contained+`]}`)))
							}
						}
						b.examples = append(b.examples, byType[p.Type]...)
					}
					b.budget = 4000
					if b.constraint(p.byID[id], k) {
						broken++
					} else {
						name := p.Canonical() + " " + id + " " + k.Key
						never, listed := neverFalse[name]
						if !listed {
							t.Errorf("%s: no change makes it false: %s", name, k.Expression)
							continue
						}
						if !b.never(p.byID[id], k, never.implied) {
							t.Errorf("%s: listed as never false (%s), which does not hold", name, never.why)
						}
						resisted++
					}
				}
			}
		}
	}
	t.Logf("constraint         %6d of %6d rules broken and found, %d can never be false", broken, broken+resisted, resisted)
	if resisted != len(neverFalse) || broken < 800 {
		t.Errorf("%d rules broken, %d of %d listed as never false met", broken, resisted, len(neverFalse))
	}
}

func seedBodies() (out [][]byte) {
	for _, body := range seeds {
		out = append(out, []byte(body))
	}
	return out
}

// breaker breaks the invariants of one profile.
type breaker struct {
	t        *testing.T
	v        *Validator
	p        *Profile
	examples []*r4.Resource
	texts    map[*r4.Resource][]byte
	budget   int // changes left to try; 0 for no end
	parser   r4.Parser
	copy     r4.Resource
}

// constraint looks for a change that makes k false, and for the finding.
func (b *breaker) constraint(el *Element, k *Constraint) bool {
	x, err := fhirpath.Compile(k.Expression, fhirpath.Options{AsFilters: true})
	if err != nil {
		b.t.Errorf("%s: %v", k.Key, err)
		return false
	}
	env := b.v.Environment()
	words := literals(k.Expression)
	for _, e := range b.examples {
		for _, n := range places(e, el, b.p.root) {
			changes := b.changes(e, n, words)
			for i := range changes {
				if b.budget > 0 {
					if b.budget--; b.budget == 0 {
						return false
					}
				}
				if b.holds(e, n, x, env, changes[i]) {
					continue
				}
				if b.finds(n, k) {
					return true
				}
				if el.Slice == "" {
					b.t.Errorf("%s of %s is false at %s, and not found", k.Key, b.p.Canonical(), b.copy.Path(n))
				}
			}
		}
	}
	return false
}

// change is one change of a resource.
type change func(r *r4.Resource)

// holds says that x is not false on a changed copy of e.
func (b *breaker) holds(e *r4.Resource, n r4.Node, x *fhirpath.Expression, env *fhirpath.Env, do change) bool {
	b.parser.Parse(b.texts[e], &b.copy)
	do(&b.copy)
	for at := n; at != r4.Root; at = b.copy.Parent(at) {
		if b.copy.Parent(at) == r4.None {
			return true // the place itself is gone
		}
	}
	outcome, _ := x.Check(env, &b.copy, n)
	return outcome != fhirpath.False
}

func (b *breaker) finds(n r4.Node, k *Constraint) bool {
	path := b.copy.Path(n)
	for _, f := range b.v.Validate(&b.copy, nil) {
		if f.Constraint == k.Key && f.Severity == Error && f.Path == path {
			return true
		}
	}
	return false
}

// changes are all single changes at and below n, and with it the nodes beside it
// that an invariant of the whole resource speaks of.
func (b *breaker) changes(e *r4.Resource, n r4.Node, words []string) (out []change) {
	var walk func(x r4.Node)
	walk = func(x r4.Node) {
		if x != n {
			out = append(out, change(func(r *r4.Resource) {
				if r.Parent(x) != r4.None {
					r.Remove(x)
				}
			}))
		}
		if e.HasValue(x) {
			for _, w := range words {
				if string(e.Value(x)) != w {
					out = append(out, change(func(r *r4.Resource) { r.SetString(x, w) }))
				}
			}
			if el := e.ElementOf(x); el != nil && el.Name() == "reference" {
				for _, w := range []string{"Organization/x", "Practitioner/x", "Patient/x", "#none"} {
					out = append(out, change(func(r *r4.Resource) { r.SetString(x, w) }))
				}
			}
			for _, w := range []string{"x", "99", "-1", "1111111111", "true", "2030-01-01", "1900-01-01"} {
				if r4.ValidPrimitive(e.TypeOf(x), []byte(w)) {
					out = append(out, change(func(r *r4.Resource) { r.SetString(x, w) }))
				}
			}
		}
		if x != n && e.ElementOf(x).Repeats() {
			out = append(out, change(func(r *r4.Resource) {
				if r.Parent(x) != r4.None {
					r.Graft(r.Parent(x), r.ElementOf(x), e, x, 0)
					r.Sort(r.Parent(x))
				}
			}))
		}
		for c := e.First(x); c != r4.None; c = e.Next(c) {
			walk(c)
		}
	}
	out = append(out, func(*r4.Resource) {}) // a seed may be wrong as it is
	walk(n)
	return out
}

var quoted = regexp.MustCompile(`'([^']*)'`)

// literals are the strings that an expression speaks of.
func literals(expression string) (out []string) {
	for _, m := range quoted.FindAllStringSubmatch(expression, -1) {
		if w := m[1]; w != "" && !strings.ContainsAny(w, "^[(") && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// places are the nodes of e that stand for an element; of a slice, all those of
// the element that it slices, for a finding tells them apart.
func places(e *r4.Resource, el, root *Element) []r4.Node {
	at := []r4.Node{r4.Root}
	if el == root {
		return at
	}
	for _, part := range strings.Split(el.Path, ".")[1:] {
		var next []r4.Node
		for _, n := range at {
			for c := e.First(n); c != r4.None; c = e.Next(c) {
				if e.ElementOf(c).Base() == strings.TrimSuffix(part, "[x]") {
					next = append(next, c)
				}
			}
		}
		at = next
	}
	return at
}
