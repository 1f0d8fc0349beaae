package profiles

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

const carin = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/"

// shared is one Set for the tests of this package: it only reads.
var shared = sync.OnceValues(func() (*Set, error) { return Open(Options{}) })

func openSet(t testing.TB) *Set {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustProfile(t testing.TB, ref string) *Profile {
	t.Helper()
	p, err := openSet(t).Profile(ref)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProfileRefs(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	for _, c := range []struct{ ref, want string }{
		{"C4BB-Coverage", carin + "C4BB-Coverage|2.2.0"},
		{"C4BB-Coverage|2.1.0", carin + "C4BB-Coverage|2.1.0"},
		{"C4BB-Coverage|2.0", carin + "C4BB-Coverage|2.0.0"},
		{carin + "C4BB-Patient", carin + "C4BB-Patient|2.2.0"},
		{carin + "C4BB-Patient|2.0.0", carin + "C4BB-Patient|2.0.0"},
		{"Patient", coreURL + "Patient|4.0.1"},
		{"us-core-patient|3.1.1", "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|3.1.1"},
	} {
		p, err := s.Profile(c.ref)
		if err != nil {
			t.Errorf("Profile(%q): %v", c.ref, err)
		} else if p.Canonical() != c.want {
			t.Errorf("Profile(%q) = %s, want %s", c.ref, p.Canonical(), c.want)
		}
	}
}

func TestProfileUnknown(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	for _, c := range []struct{ ref, nearest string }{
		{"C4BB-Coverag|2.1.0", "C4BB-Coverage|2.1.0"},
		{"C4BB-Coverage|9.9.9", "C4BB-Coverage|2.2.0"},
		{carin + "C4BB-Patiant", carin + "C4BB-Patient"},
		{"completely different", ""},
	} {
		_, err := s.Profile(c.ref)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Nearest != c.nearest {
			t.Errorf("Profile(%q): %v, want nearest %q", c.ref, err, c.nearest)
		}
	}
}

// Every definition in the binary compiles, and every element of it has a place
// in R4's shape.
func TestAllDefinitions(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	n := 0
	for _, list := range s.byURL {
		for _, d := range list {
			if d.entry.ResourceType != "StructureDefinition" || d.entry.Kind == "logical" {
				continue
			}
			p, err := s.load(d)
			if err != nil {
				// R4 publishes two examples of profiles without a snapshot.
				if strings.Contains(err.Error(), "no snapshot") && d.pkg.Name == "hl7.fhir.r4.core" {
					continue
				}
				t.Errorf("%v", err)
				continue
			}
			n++
			if shape := r4.Lookup(p.Type); shape != nil {
				walkShape(t, p.root, shape)
			} else if p.Type != "Resource" && p.Type != "DomainResource" && p.Type != "Element" && p.Type != "BackboneElement" {
				t.Errorf("%s describes the unknown type %s", p.Canonical(), p.Type)
			}
		}
	}
	if n < 800 {
		t.Errorf("%d definitions, want the bundle's 800 and more", n)
	}
}

// walkShape compares stated elements with the R4 shape.
func walkShape(t *testing.T, e *Element, shape *r4.Type) {
	for _, c := range append(slices.Clone(e.children), allSlices(e.children)...) {
		if shape.Kind() == r4.KindPrimitive && (c.Base == "value" || c.Max == 0) {
			continue
		}
		if shape.Element(c.Base) == nil && shape.Choice(c.Base) == nil {
			t.Errorf("%s: %s has no element in type %s", c.Profile.Canonical(), c.ID, shape.Name())
			continue
		}
		for _, ref := range c.Types {
			if c.Choice() && !slices.ContainsFunc(shape.Choice(c.Base), func(a *r4.Element) bool { return a.Type().Name() == ref.Code }) {
				t.Errorf("%s: %s has no alternative %s", c.Profile.Canonical(), c.ID, ref.Code)
			}
		}
		if sub := c.shape(shape); sub != nil {
			walkShape(t, c, sub)
		}
	}
}

func allSlices(list []*Element) []*Element {
	var out []*Element
	for _, c := range list {
		out = append(out, c.slices...)
	}
	return out
}

func TestUnfold(t *testing.T) {
	t.Parallel()
	root := mustProfile(t, "C4BB-ExplanationOfBenefit-Inpatient-Institutional|2.1.0").Root()
	names := func(list []*Element) (out []string) {
		for _, e := range list {
			out = append(out, e.Base)
		}
		return out
	}
	at := func(path string) *Element {
		e := root
		for part := range strings.SplitSeq(path, ".") {
			name, slice, _ := strings.Cut(part, ":")
			if e = e.Child(name); e == nil {
				t.Fatalf("%s: no %s", path, part)
			}
			if slice != "" {
				if e = e.SliceNamed(slice); e == nil {
					t.Fatalf("%s: no %s", path, part)
				}
			}
		}
		return e
	}

	// A datatype is unfolded, under the place's own ids.
	e := at("identifier.system")
	if e.ID != "ExplanationOfBenefit.identifier.system" || e.Types[0].Code != "uri" {
		t.Errorf("identifier.system: id %s, types %v", e.ID, e.Types)
	}
	// A datatype that contains itself is unfolded level by level.
	at("identifier.assigner.identifier.assigner.identifier.type.coding.code")
	at("extension.value")
	// A slice that states no children has those of its element.
	got := names(at("supportingInfo:medicalrecordnumber").Children())
	want := []string{"id", "extension", "modifierExtension", "sequence", "category", "code", "timing", "value", "reason"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("children of a slice:\n%s", diff)
	}
	if at("supportingInfo:admtype.category").Pattern == nil {
		t.Error("supportingInfo:admtype.category has no pattern")
	}
	// A contentReference leads to the base definition.
	if c := at("item.detail.adjudication").Child("category"); c == nil || c.Binding == nil {
		t.Errorf("item.detail.adjudication.category = %v", c)
	}
	// A narrowed choice unfolds into its type, an open one only by As.
	value := at("supportingInfo").Child("value")
	if len(value.Children()) != 0 {
		t.Error("an open choice has children")
	}
	if q := value.As("Quantity"); q == nil || q.Child("unit") == nil {
		t.Error("valueQuantity has no unit")
	}
	if value.As("Money") != nil {
		t.Error("value[x] allows Money")
	}
	// An extension slice has its own definition's children.
	race := mustProfile(t, "C4BB-Patient|2.1.0").Root().Child("extension").SliceNamed("race")
	if race == nil {
		t.Fatal("no race extension")
	}
	if omb := race.Child("extension").SliceNamed("ombCategory"); omb == nil || omb.Child("value").only() != "Coding" || omb.Child("url").Fixed == nil {
		t.Errorf("ombCategory of race = %v", omb)
	}
}

func TestUnfoldConcurrently(t *testing.T) {
	t.Parallel()
	p := mustProfile(t, "C4BB-ExplanationOfBenefit-Oral|2.0.0")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var walk func(e *Element, depth int)
			walk = func(e *Element, depth int) {
				if depth > 4 {
					return
				}
				for _, c := range e.Children() {
					walk(c, depth+1)
				}
			}
			walk(p.Root(), 0)
		})
	}
	wg.Wait()
}

func TestPinnedDependencies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ profile, base string }{
		{"C4BB-Patient|2.0.0", "3.1.1"}, {"C4BB-Patient|2.1.0", "6.1.0"}, {"C4BB-Patient|2.2.0", "7.0.0"},
	} {
		p := mustProfile(t, c.profile)
		base, err := p.set.find(p.Base, p.pkg)
		if err != nil || base.Version != c.base {
			t.Errorf("base of %s = %v (%v), want %s", c.profile, base, err, c.base)
		}
		race := p.Root().Child("extension").SliceNamed("race")
		if race == nil { // 2.2.0 leaves it to US Core's snapshot
			continue
		}
		if def := race.typeProfile(); def == nil || def.Version != c.base {
			t.Errorf("race of %s = %v, want US Core %s", c.profile, def, c.base)
		}
	}
}

func TestMember(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	const (
		c4bb    = "http://hl7.org/fhir/us/carin-bb/ValueSet/"
		systems = "http://hl7.org/fhir/us/carin-bb/CodeSystem/"
	)
	for _, c := range []struct {
		set, system, code string
		want              Tri
	}{
		{"http://hl7.org/fhir/ValueSet/administrative-gender", "http://hl7.org/fhir/administrative-gender", "female", Yes},
		{"http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", "", "female", Yes},
		{"http://hl7.org/fhir/ValueSet/administrative-gender", "", "lady", No},
		{"http://hl7.org/fhir/ValueSet/administrative-gender", "urn:other", "female", No},
		{c4bb + "C4BBAdjudication", "http://terminology.hl7.org/CodeSystem/adjudication", "submitted", Yes},
		{c4bb + "C4BBAdjudication", systems + "C4BBAdjudication", "paidtoprovider", Yes},
		{c4bb + "C4BBAdjudication", systems + "C4BBAdjudication", "nonsense", No},
		{c4bb + "AHANUBCPriorityTypeOfAdmissionOrVisit", "https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit", "1", Unknown},
		{c4bb + "AHANUBCPriorityTypeOfAdmissionOrVisit", "http://example.org", "1", No},
		{"http://example.org/ValueSet/none", "http://example.org", "1", Unknown},
	} {
		if got := s.Member(c.set, c.system, c.code); got != c.want {
			t.Errorf("Member(%s, %s, %s) = %s, want %s", c.set, c.system, c.code, got, c.want)
		}
	}
	if codes, complete := s.Codes("http://hl7.org/fhir/ValueSet/administrative-gender"); len(codes) != 4 || !complete || codes[0].Display == "" {
		t.Errorf("genders = %v, %v", codes, complete)
	}
	if _, complete := s.Codes(c4bb + "CDCICD910CMDiagnosisCodes"); complete {
		t.Error("ICD codes are complete without a list")
	}
	if got := s.Systems(c4bb + "C4BBAdjudication"); len(got) != 2 {
		t.Errorf("systems of C4BBAdjudication = %v", got)
	}
}
