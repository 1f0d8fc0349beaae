package r4

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// definition is one line of testdata/r4-elements.txt: an element of a snapshot
// of the R4 core definitions.
type definition struct {
	path  string
	max   string
	types []string
}

// readDefinitions returns the elements by the path of their parent, in the
// definitions' order, and the names of types by kind.
func readDefinitions(t *testing.T) (elements map[string][]definition, kinds map[string]string) {
	t.Helper()
	f, err := os.Open("testdata/r4-elements.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	elements, kinds = map[string][]definition{}, map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		path, rest, _ := strings.Cut(lines.Text(), " ")
		dot := strings.LastIndexByte(path, '.')
		if dot < 0 {
			kinds[path] = rest
			continue
		}
		max, types, _ := strings.Cut(rest, " ")
		elements[path[:dot]] = append(elements[path[:dot]], definition{path, max, strings.Split(types, ",")})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return elements, kinds
}

// known are the places where the shape differs from the snapshots on purpose.
var known = map[string]string{
	// R4's snapshots give a resource's id the type string, its own page and
	// later versions say id.
	"resource id": "id",
}

// TestShapeSnapshots holds every element's name, order, repetition and
// type against the snapshots of R4 core 4.0.1.
func TestShapeSnapshots(t *testing.T) {
	elements, kinds := readDefinitions(t)
	for parent, defs := range elements {
		root, _, _ := strings.Cut(parent, ".")
		if strings.HasPrefix(kinds[root], "resource abstract") {
			continue
		}
		typ := Lookup(parent)
		if typ == nil {
			t.Errorf("no type %s", parent)
			continue
		}
		if typ.Name() != parent {
			t.Errorf("Lookup(%s) is %s", parent, typ.Name())
		}
		var want, got []string
		for _, d := range defs {
			name := d.path[len(parent)+1:]
			if typ.Kind() == KindPrimitive && name == "value" || d.max == "0" {
				continue
			}
			repeats := d.max != "1"
			base, choice := strings.CutSuffix(name, "[x]")
			for _, ref := range d.types {
				each := name
				if choice {
					each = base + strings.ToUpper(ref[:1]) + ref[1:]
				}
				of := ref
				switch {
				case name == "id" && typ.Kind() == KindResource:
					of = known["resource id"]
				case ref == "System.String": // xhtml.id
					of = "string"
				case strings.HasPrefix(ref, "#"):
					of = ref[1:]
				case ref == "BackboneElement", ref == "Element":
					of = d.path
				case ref == "Resource":
					of = "any resource"
				}
				want = append(want, fmt.Sprintf("%s %s %t %s", each, base, repeats, of))
			}
		}
		for i, e := range typ.Elements() {
			of := "any resource"
			if e.Type() != nil {
				of = e.Type().Name()
			}
			got = append(got, fmt.Sprintf("%s %s %t %s", e.Name(), e.Base(), e.Repeats(), of))
			if e.Index() != i || e.Owner() != typ || typ.Element(e.Name()) != e || e.Choice() != (e.Base() != e.Name()) {
				t.Errorf("%s.%s does not know its place", parent, e.Name())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-definitions +shape):\n%s", parent, diff)
		}
	}
}

func TestShapeKinds(t *testing.T) {
	elements, kinds := readDefinitions(t)
	var resources []string
	want := map[string]Kind{"resource": KindResource, "complex-type": KindComplex, "complex-type abstract": KindComplex, "primitive-type": KindPrimitive}
	for name, kind := range kinds {
		if kind == "resource abstract" {
			if Lookup(name) != nil {
				t.Errorf("Lookup(%s) finds an abstract type", name)
			}
			continue
		}
		typ := Lookup(name)
		if typ == nil {
			t.Errorf("no type %s", name)
			continue
		}
		if typ.Kind() != want[kind] {
			t.Errorf("%s is of kind %d, defined as %s", name, typ.Kind(), kind)
		}
		if kind == "resource" {
			resources = append(resources, name)
		}
		if (typ.Form() != FormNone) != (kind == "primitive-type") {
			t.Errorf("%s has form %d", name, typ.Form())
		}
		if typ != Lookup(name) {
			t.Errorf("%s is made twice", name)
		}
	}
	slices.Sort(resources)
	if diff := cmp.Diff(resources, Resources()); diff != "" {
		t.Errorf("resources (-definitions +shape):\n%s", diff)
	}
	for parent := range elements {
		if strings.Contains(parent, ".") && Lookup(parent).Kind() != KindBackbone {
			t.Errorf("%s is no backbone element", parent)
		}
	}
}

// TestShapeFits holds the room left in the tables of ids.
func TestShapeFits(t *testing.T) {
	elements, _ := readDefinitions(t)
	for parent := range elements {
		if typ := Lookup(parent); typ != nil {
			typ.Elements()
		}
	}
	shapes.mu.RLock()
	defer shapes.mu.RUnlock()
	t.Logf("%d types, %d elements", shapes.nTypes, shapes.nElems)
	if shapes.nTypes >= maxTypes || shapes.nElems >= maxElements {
		t.Errorf("%d types of %d, %d elements of %d", shapes.nTypes, maxTypes, shapes.nElems, maxElements)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, want string }{
		{"Patient", "Patient"},
		{"patient", ""},
		{"HumanName", "HumanName"},
		{"dateTime", "dateTime"},
		{"DateTime", ""},
		{"ExplanationOfBenefit.item", "ExplanationOfBenefit.item"},
		{"ExplanationOfBenefit.item.detail.adjudication", "ExplanationOfBenefit.item.adjudication"},
		{"Timing.repeat", "Timing.repeat"},
		{"Patient.name", ""}, // an element, but its type is HumanName
		{"Patient.contained", ""},
		{"Patient.nothing", ""},
		{"Nobody.nothing", ""},
		{"SimpleQuantity", ""},
		{"MoneyQuantity", ""},
		{"ReferenceId", ""},
		{"ContainedResource", ""},
		{"Patient.GenderCode", ""},
		{"Resource", ""},
		{"DomainResource", ""},
		{"", ""},
		{".", ""},
		{"Patient.", ""},
		{"../Patient", ""},
	} {
		got := ""
		if typ := Lookup(test.name); typ != nil {
			got = typ.Name()
		}
		if got != test.want {
			t.Errorf("Lookup(%q) is %q, want %q", test.name, got, test.want)
		}
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	names := func(es []*Element) (names []string) {
		for _, e := range es {
			names = append(names, e.Name()+" "+e.Type().Name())
		}
		return names
	}
	patient := Lookup("Patient")
	if diff := cmp.Diff([]string{"deceasedBoolean boolean", "deceasedDateTime dateTime"}, names(patient.Choice("deceased"))); diff != "" {
		t.Error(diff)
	}
	if got := patient.Choice("gender"); got != nil {
		t.Errorf("gender is a choice: %v", names(got))
	}
	item := Lookup("ExplanationOfBenefit.item")
	if diff := cmp.Diff([]string{"servicedDate date", "servicedPeriod Period"}, names(item.Choice("serviced"))); diff != "" {
		t.Error(diff)
	}
	if n := len(Lookup("Extension").Choice("value")); n != 50 {
		t.Errorf("Extension.value[x] has %d alternatives, want 50", n)
	}
}

// TestLookupAtOnce makes shapes from many goroutines; the race detector judges.
func TestLookupAtOnce(t *testing.T) {
	t.Parallel()
	done := make(chan int)
	for range 8 {
		go func() {
			n := 0
			for _, name := range Resources() {
				for _, e := range Lookup(name).Elements() {
					if e.Type() != nil {
						n += len(e.Type().Elements())
					}
				}
			}
			done <- n
		}()
	}
	first := <-done
	for range 7 {
		if n := <-done; n != first {
			t.Errorf("one sees %d elements, another %d", n, first)
		}
	}
}
