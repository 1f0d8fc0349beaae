package fhirpath

import (
	"fmt"
	"testing"

	"remit/profiles/r4"
)

type constraint struct {
	Path, Key, Severity, Expression string
}

// focused is a constraint with the nodes of an example that it applies to.
type focused struct {
	constraint
	x     *Expression
	nodes []r4.Node
}

// constraints compiles the constraints of C4BB 2.1.0 EOBs and finds where they
// apply in r: at every node whose path, without indexes, is theirs.
func constraints(t testing.TB, r *r4.Resource) []focused {
	t.Helper()
	var all []constraint
	readJSON(t, "eob-constraints.json", &all)
	byPath := map[string][]r4.Node{}
	var visit func(n r4.Node, path string)
	visit = func(n r4.Node, path string) {
		byPath[path] = append(byPath[path], n)
		for c := r.First(n); c != r4.None; c = r.Next(c) {
			el := r.ElementOf(c)
			name := el.Name()
			if el.Choice() {
				name = el.Base() + "[x]"
			}
			visit(c, path+"."+name)
		}
	}
	visit(r4.Root, "ExplanationOfBenefit")
	var out []focused
	for _, c := range all {
		nodes := byPath[c.Path]
		o := Options{AsFilters: true, Root: r.Type()}
		if len(nodes) > 0 {
			o.Type = r.TypeOf(nodes[0])
		}
		x, err := Compile(c.Expression, o)
		if err != nil {
			t.Fatalf("%s: %v", c.Key, err)
		}
		out = append(out, focused{c, x, nodes})
	}
	return out
}

// members answers as a terminology would whose lists are partly missing.
type members struct{ answer Tri }

func (m members) Member(_, _, _ string) Tri { return m.answer }

func BenchmarkInvariants(b *testing.B) {
	for _, name := range []string{"Professional1", "Inpatient1", "Pharmacy1"} {
		b.Run(name, func(b *testing.B) {
			r := load(b, "examples/ExplanationOfBenefit-EOB"+name+".json")
			env := &Env{Now: now, Membership: members{Yes}}
			all := constraints(b, r)
			checks := 0
			for i := range all {
				checks += len(all[i].nodes)
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range all {
					for _, n := range all[i].nodes {
						if _, err := all[i].x.Check(env, r, n); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(checks), "ns/invariant")
			b.ReportMetric(float64(checks), "invariants")
		})
	}
}

// BenchmarkExpression measures the typical shapes one by one.
func BenchmarkExpression(b *testing.B) {
	r := load(b, "examples/ExplanationOfBenefit-EOBProfessional1.json")
	for i, text := range []string{
		"hasValue() or (children().count() > id.count())",
		"extension.exists() != value.exists()",
		"status = 'active'",
		"meta.profile.exists($this.startsWith('http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1'))",
		"careTeam.where(role.where(coding.where(code in ('rendering' | 'primary')).exists()).exists()).provider.all(resolve() is Practitioner)",
		"adjudication.where(category.memberOf('x')).exists() != item.adjudication.where(category.memberOf('x')).exists()",
		"insurance.select(focal = true).count() < 2",
		"type.coding.where(code = 'vision' and system='http://terminology.hl7.org/CodeSystem/claim-type').exists()",
		"id.matches('^[A-Za-z0-9\\\\-]+$')",
		"item.sequence.isDistinct()",
		"item.net.value > 0",
		"billablePeriod.all(start.hasValue().not() or end.hasValue().not() or (start <= end))",
		"contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists()).not()).empty()",
	} {
		x, err := Compile(text, Options{AsFilters: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%02d", i), func(b *testing.B) {
			env := &Env{Now: now, Membership: members{Yes}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Check(env, r, r4.Root)
			}
		})
	}
}
