package r4

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkLinks holds the tree's inner order: every child knows its parent and
// its neighbours.
func checkLinks(t *testing.T, r *Resource) {
	t.Helper()
	var walk func(n Node)
	walk = func(n Node) {
		last := None
		for c := r.First(n); c != None; c = r.Next(c) {
			if r.Parent(c) != n {
				t.Fatalf("%s: parent is %d, not %d", r.Path(c), r.Parent(c), n)
			}
			if last != None && r.nodes[c].prev != last {
				t.Fatalf("%s: the node before is %d, not %d", r.Path(c), r.nodes[c].prev, last)
			}
			last = c
			walk(c)
		}
		if r.Last(n) != last {
			t.Fatalf("%s: last child is %d, not %d", r.Path(n), r.Last(n), last)
		}
	}
	walk(Root)
}

func names(t *testing.T, values ...string) *Resource {
	t.Helper()
	var r Resource
	r.Start(Lookup("HumanName"), 1)
	for i, v := range values {
		r.SetString(r.Add(Root, elem(t, "HumanName.given"), Origin(i+2)), v)
	}
	return &r
}

func TestResourceNavigation(t *testing.T) {
	t.Parallel()
	var r Resource
	if r.Type() != nil || r.ID() != nil {
		t.Error("the zero value has a type or an id")
	}
	patient := Lookup("Patient")
	r.Start(patient, 7)
	id := r.Add(Root, elem(t, "Patient.id"), 8)
	r.SetString(id, "p1")
	one := r.Add(Root, elem(t, "Patient.name"), 9)
	two := r.Add(Root, elem(t, "Patient.name"), 10)
	given := r.Add(two, elem(t, "HumanName.given"), 0)
	r.SetValue(given, []byte("Ann"))
	gender := r.Add(Root, elem(t, "Patient.gender"), 0)
	checkLinks(t, &r)

	type fact struct {
		name      string
		got, want any
	}
	for _, f := range []fact{
		{"type", r.Type(), patient},
		{"type of root", r.TypeOf(Root), patient},
		{"type of name", r.TypeOf(one), Lookup("HumanName")},
		{"type of gender", r.TypeOf(gender).Name(), "code"},
		{"element of root", r.ElementOf(Root), (*Element)(nil)},
		{"element of given", r.ElementOf(given), elem(t, "HumanName.given")},
		{"parent of root", r.Parent(Root), None},
		{"parent", r.Parent(given), two},
		{"first", r.First(Root), id},
		{"last", r.Last(Root), gender},
		{"first of none", r.First(gender), None},
		{"last of none", r.Last(gender), None},
		{"next", r.Next(id), one},
		{"next of last", r.Next(gender), None},
		{"find", r.Find(Root, elem(t, "Patient.name")), one},
		{"find nothing", r.Find(Root, elem(t, "Patient.active")), None},
		{"next same", r.NextSame(one), two},
		{"next same of last", r.NextSame(two), None},
		{"value", string(r.Value(given)), "Ann"},
		{"no value", r.Value(gender) == nil, true},
		{"has value", r.HasValue(given), true},
		{"has no value", r.HasValue(gender), false},
		{"id", string(r.ID()), "p1"},
		{"origin of root", r.Origin(Root), Origin(7)},
		{"origin", r.Origin(two), Origin(10)},
		{"len", r.Len(), 6},
		{"path of root", r.Path(Root), "Patient"},
		{"path", r.Path(given), "Patient.name[1].given[0]"},
		{"path without index", r.Path(gender), "Patient.gender"},
	} {
		if f.got != f.want {
			t.Errorf("%s is %v, want %v", f.name, f.got, f.want)
		}
	}

	r.SetOrigin(gender, 11)
	if r.Origin(gender) != 11 {
		t.Error("the origin is not set")
	}
	// Empty text takes a value away.
	r.SetString(given, "")
	if r.HasValue(given) || r.Value(given) != nil {
		t.Error("empty text is a value")
	}
	r.Start(nil, 0)
	if r.Type() != nil || r.ID() != nil || r.Len() != 1 || r.Path(Root) != "" {
		t.Error("something is left after Start")
	}
	if got := string(r.AppendJSON(nil)); got != "null" {
		t.Errorf("no type is written as %s", got)
	}
}

// TestValueIsBorrowed: who appends to a value must not write into the arena.
func TestValueIsBorrowed(t *testing.T) {
	t.Parallel()
	r := names(t, "Ann", "Bea")
	_ = append(r.Value(r.First(Root)), "XYZ"...)
	if got := string(r.Value(r.Last(Root))); got != "Bea" {
		t.Errorf("the value beside it became %q", got)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		remove []int
		want   string
	}{
		{nil, `{"given":["a","b","c"]}`},
		{[]int{0}, `{"given":["b","c"]}`},
		{[]int{1}, `{"given":["a","c"]}`},
		{[]int{2}, `{"given":["a","b"]}`},
		{[]int{2, 0}, `{"given":["b"]}`},
		{[]int{0, 1, 2}, `{}`},
		{[]int{1, 1}, `{"given":["a","c"]}`},
	} {
		r := names(t, "a", "b", "c")
		for _, i := range test.remove {
			r.Remove(Node(i + 1))
			checkLinks(t, r)
		}
		if got := string(r.AppendJSON(nil)); got != test.want {
			t.Errorf("without %v: %s, want %s", test.remove, got, test.want)
		}
		// What is added afterwards comes last.
		r.SetString(r.Add(Root, elem(t, "HumanName.suffix"), 0), "d")
		checkLinks(t, r)
	}
	r := names(t, "a")
	r.Remove(Root)
	if got := string(r.AppendJSON(nil)); got != `{"given":["a"]}` {
		t.Errorf("the root can be removed: %s", got)
	}
	if r.Remove(1); r.Path(1) != "string" {
		t.Errorf("a removed node's path is %q", r.Path(1))
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	var r Resource
	r.Start(Lookup("Patient"), 0)
	name := r.Add(Root, elem(t, "Patient.name"), 0)
	r.SetString(r.Add(name, elem(t, "HumanName.given"), 0), "a")
	before := string(r.AppendJSON(nil))

	outer := r.Mark()
	// Below an old node, below a new one, behind an old sibling.
	r.SetString(r.Add(name, elem(t, "HumanName.given"), 0), "b")
	r.SetString(r.Add(name, elem(t, "HumanName.given"), 0), "c")
	more := r.Add(Root, elem(t, "Patient.name"), 0)
	r.SetString(r.Add(more, elem(t, "HumanName.family"), 0), "d")
	between := string(r.AppendJSON(nil))
	inner := r.Mark()
	gone := r.Add(Root, elem(t, "Patient.gender"), 0)
	r.SetString(gone, "female")
	r.Remove(gone)
	r.Graft(more, elem(t, "HumanName.period"), periodOf(t), Root, 0)
	r.Rollback(inner)
	checkLinks(t, &r)
	if got := string(r.AppendJSON(nil)); got != between {
		t.Errorf("after the inner rollback %s, want %s", got, between)
	}
	r.Rollback(outer)
	checkLinks(t, &r)
	if got := string(r.AppendJSON(nil)); got != before {
		t.Errorf("after the outer rollback %s, want %s", got, before)
	}
	if r.Len() != 3 {
		t.Errorf("%d nodes are left", r.Len())
	}
	// The tree grows on as if nothing had been.
	r.SetString(r.Add(name, elem(t, "HumanName.given"), 0), "z")
	if got, want := string(r.AppendJSON(nil)), `{"resourceType":"Patient","name":[{"given":["a","z"]}]}`; got != want {
		t.Errorf("afterwards %s, want %s", got, want)
	}
}

func periodOf(t *testing.T) *Resource {
	t.Helper()
	var r Resource
	r.Start(Lookup("Period"), 0)
	r.SetString(r.Add(Root, elem(t, "Period.start"), 0), "2024")
	return &r
}

func TestSort(t *testing.T) {
	t.Parallel()
	var r Resource
	r.Start(Lookup("Patient"), 0)
	for i, name := range []string{"gender", "name", "id", "name", "birthDate", "name", "id", "active"} {
		n := r.Add(Root, elem(t, "Patient."+name), Origin(i+1))
		if name != "name" {
			r.SetString(n, "x")
		}
	}
	r.Sort(Root)
	checkLinks(t, &r)
	var got []string
	for c := r.First(Root); c != None; c = r.Next(c) {
		got = append(got, fmt.Sprintf("%s %d", r.ElementOf(c).Name(), r.Origin(c)))
	}
	want := []string{"id 3", "id 7", "active 8", "name 2", "name 4", "name 6", "gender 1", "birthDate 5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	r.Sort(Root)
	checkLinks(t, &r)
	r.Sort(r.First(Root)) // no children
}

func TestGraft(t *testing.T) {
	t.Parallel()
	template := concept(t, "urn:s", "c")
	template.SetOrigin(1, 42) // coding

	var r Resource
	r.Start(Lookup("Patient"), 0)
	whole := r.Graft(Root, elem(t, "Patient.maritalStatus"), template, Root, 7)
	checkLinks(t, &r)
	link := r.Add(Root, elem(t, "Patient.communication"), 0)
	language := r.Add(link, elem(t, "Patient.communication.language"), 0)
	part := r.Graft(language, elem(t, "CodeableConcept.coding"), template, 1, 8)
	r.Graft(language, elem(t, "CodeableConcept.coding"), template, 1, 9)
	checkLinks(t, &r)

	want := `{"resourceType":"Patient","maritalStatus":{"coding":[{"system":"urn:s","code":"c"}]},` +
		`"communication":[{"language":{"coding":[{"system":"urn:s","code":"c"},{"system":"urn:s","code":"c"}]}}]}`
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := r.Path(r.Last(part)); got != "Patient.communication[0].language.coding[0].code" {
		t.Errorf("path %s", got)
	}
	for _, f := range []struct {
		n    Node
		want Origin
	}{
		{whole, 7},
		{r.First(whole), 42},
		{r.First(r.First(whole)), 7},
		{part, 42},
		{r.First(part), 8},
	} {
		if got := r.Origin(f.n); got != f.want {
			t.Errorf("%s has origin %d, want %d", r.Path(f.n), got, f.want)
		}
	}
	// The copy is a copy.
	template.SetString(2, "urn:other")
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("after a change of the template %s", got)
	}

	// A primitive as template.
	var active Resource
	active.Start(Lookup("code"), 3)
	active.SetString(Root, "female")
	n := r.Graft(Root, elem(t, "Patient.gender"), &active, Root, 9)
	if string(r.Value(n)) != "female" || r.Origin(n) != 3 || r.Path(n) != "Patient.gender" {
		t.Errorf("%s is %q of origin %d", r.Path(n), r.Value(n), r.Origin(n))
	}
	r.Sort(Root)

	// A resource as template.
	var org Resource
	org.Start(Lookup("Organization"), 0)
	org.SetString(org.Add(Root, elem(t, "Organization.name"), 0), "Payer")
	n = r.Graft(Root, elem(t, "Patient.contained"), &org, Root, 0)
	r.Sort(Root)
	if got, want := string(r.AppendNodeJSON(nil, n)), `{"resourceType":"Organization","name":"Payer"}`; got != want || r.TypeOf(n).Name() != "Organization" {
		t.Errorf("contained: %s", got)
	}
}

// TestSteadyState: a reused Resource allocates nothing.
func TestSteadyState(t *testing.T) {
	c := newClaim(t)
	var r, again Resource
	var p Parser
	var out []byte
	round := func() {
		c.place(&r)
		out = r.AppendJSON(out[:0])
		if p.Parse(out, &again) != nil {
			t.Fatal("our own JSON does not parse")
		}
		again.Sort(Root)
	}
	round()
	if n := testing.AllocsPerRun(20, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if string(again.AppendJSON(nil)) != string(out) {
		t.Error("the second tree is written differently")
	}
}
