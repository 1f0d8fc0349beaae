package r4

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestAppendJSON_2_6_2 places trees that no JSON would give, and holds what is
// written of them.
func TestAppendJSON_2_6_2(t *testing.T) {
	t.Parallel()
	patient := func(r *Resource) { r.Start(Lookup("Patient"), 0) }
	add := func(r *Resource, n Node, path, value string) Node {
		c := r.Add(n, elem(t, path), 0)
		if value != "" {
			r.SetString(c, value)
		}
		return c
	}
	extend := func(r *Resource, n Node, url, code string) {
		x := add(r, n, r.TypeOf(n).Name()+".extension", "")
		add(r, x, "Extension.url", url)
		add(r, x, "Extension.valueCode", code)
	}
	const absent = `{"extension":[{"url":"u","valueCode":"c"}]}`
	for _, test := range []struct {
		name  string
		build func(r *Resource)
		want  string
	}{
		{"nothing", patient, `{"resourceType":"Patient"}`},
		{"datatype", func(r *Resource) { r.Start(Lookup("Period"), 0) }, `{}`},
		{"primitive", func(r *Resource) { r.Start(Lookup("code"), 0); r.SetString(Root, `a"b`) }, `"a\"b"`},
		{"primitive number", func(r *Resource) { r.Start(Lookup("decimal"), 0); r.SetString(Root, "1.00") }, `1.00`},
		{"primitive without value", func(r *Resource) { r.Start(Lookup("decimal"), 0); extend(r, Root, "u", "c") }, absent},
		{"forms", func(r *Resource) {
			patient(r)
			add(r, Root, "Patient.active", "true")
			add(r, Root, "Patient.birthDate", "2020-02")
			add(r, Root, "Patient.multipleBirthInteger", "2")
		}, `"active":true,"birthDate":"2020-02","multipleBirthInteger":2`},
		{"value and extension", func(r *Resource) {
			patient(r)
			extend(r, add(r, Root, "Patient.birthDate", "2020"), "u", "c")
			add(r, Root, "Patient.deceasedBoolean", "false")
		}, `"birthDate":"2020","_birthDate":` + absent + `,"deceasedBoolean":false`},
		{"extension alone", func(r *Resource) {
			patient(r)
			extend(r, add(r, Root, "Patient.birthDate", ""), "u", "c")
		}, `"_birthDate":` + absent},
		{"array of primitives", func(r *Resource) {
			r.Start(Lookup("HumanName"), 0)
			add(r, Root, "HumanName.given", "a")
			add(r, Root, "HumanName.given", "b")
			add(r, Root, "HumanName.suffix", "c")
		}, `{"given":["a","b"],"suffix":["c"]}`},
		{"array of primitives, some with extensions", func(r *Resource) {
			r.Start(Lookup("HumanName"), 0)
			add(r, Root, "HumanName.given", "a")
			extend(r, add(r, Root, "HumanName.given", ""), "u", "c")
			extend(r, add(r, Root, "HumanName.given", "b"), "u", "c")
			add(r, Root, "HumanName.given", "") // stands in neither
		}, `{"given":["a",null,"b"],"_given":[null,` + absent + `,` + absent + `]}`},
		{"array of primitives, none with value", func(r *Resource) {
			r.Start(Lookup("HumanName"), 0)
			extend(r, add(r, Root, "HumanName.given", ""), "u", "c")
		}, `{"_given":[` + absent + `]}`},
		{"array of primitives, nothing in them", func(r *Resource) {
			r.Start(Lookup("HumanName"), 0)
			add(r, add(r, Root, "HumanName.given", ""), "string.extension", "")
		}, `{}`},
		{"numbers in an array", func(r *Resource) {
			r.Start(Lookup("ExplanationOfBenefit.item"), 0)
			add(r, Root, "ExplanationOfBenefit.item.careTeamSequence", "1")
			add(r, Root, "ExplanationOfBenefit.item.careTeamSequence", "x")
		}, `{"careTeamSequence":[1,"x"]}`},
		{"empty nodes", func(r *Resource) {
			patient(r)
			add(r, add(r, Root, "Patient.name", ""), "HumanName.period", "")
			n := add(r, Root, "Patient.name", "")
			add(r, n, "HumanName.family", "f")
			add(r, n, "HumanName.given", "")
			add(r, Root, "Patient.name", "")
			add(r, add(r, Root, "Patient.maritalStatus", ""), "CodeableConcept.coding", "")
			add(r, add(r, Root, "Patient.multipleBirthInteger", "1"), "integer.extension", "")
		}, `"name":[{"family":"f"}],"multipleBirthInteger":1`},
		{"contained", func(r *Resource) {
			patient(r)
			r.AddResource(Root, elem(t, "Patient.contained"), Lookup("Organization"), 0) // empty
			o := r.AddResource(Root, elem(t, "Patient.contained"), Lookup("Organization"), 0)
			add(r, o, "Organization.id", "o")
		}, `"contained":[{"resourceType":"Organization","id":"o"}]`},
		{"resource in a bundle", func(r *Resource) {
			r.Start(Lookup("Bundle"), 0)
			e := add(r, Root, "Bundle.entry", "")
			p := r.AddResource(e, elem(t, "Bundle.entry.resource"), Lookup("Patient"), 0)
			add(r, p, "Patient.active", "true")
		}, `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","active":true}}]}`},
		{"one element twice", func(r *Resource) {
			patient(r)
			add(r, Root, "Patient.gender", "male")
			add(r, Root, "Patient.gender", "female")
			add(r, Root, "Patient.maritalStatus", "")
			add(r, add(r, Root, "Patient.maritalStatus", ""), "CodeableConcept.text", "t")
		}, `"gender":["male","female"],"maritalStatus":[{"text":"t"}]`},
		{"no boolean, no number", func(r *Resource) {
			patient(r)
			add(r, Root, "Patient.active", "yes")
			add(r, Root, "Patient.multipleBirthInteger", "+1")
		}, `"active":"yes","multipleBirthInteger":"+1"`},
		{"long key", func(r *Resource) {
			r.Start(Lookup("ImplementationGuide.definition.resource"), 0)
			add(r, Root, "ImplementationGuide.definition.resource.exampleCanonical", "a")
		}, `{"exampleCanonical":"a"}`},
	} {
		var r Resource
		test.build(&r)
		want := test.want
		if want[0] == '"' && r.Type().Kind() == KindResource {
			want = `{"resourceType":"Patient",` + want + `}`
		}
		// With and without room behind the end, where the copies are different.
		for _, dst := range [][]byte{nil, make([]byte, 0, 1<<12)} {
			if got := string(r.AppendJSON(dst)); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, want)
			}
		}
		if !json.Valid(r.AppendJSON(nil)) {
			t.Errorf("%s: not JSON", test.name)
		}
	}
}

// TestAppendText writes every short mixture of plain and special characters,
// at every place of the eight bytes that are looked at in one go.
func TestAppendText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"", ``},
		{"plain text", `plain text`},
		{`quote " in it`, `quote \" in it`},
		{`back\slash`, `back\\slash`},
		{"tab\tnewline\nreturn\r", `tab\tnewline\nreturn\r`},
		{"\b\f\x00\x1f\x7f", `\b\f\u0000\u001f` + "\x7f"},
		{"</script>&", `</script>&`},
		{"Grüße, 世界, 𝄞", `Grüße, 世界, 𝄞`},
		{"\u2028\u2029\uFFFD", "\u2028\u2029\uFFFD"},
		{"cut \xe4\xb8", "cut \uFFFD\uFFFD"},
		{"\xff\"\xff", "\uFFFD" + `\"` + "\uFFFD"},
		{"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},
	} {
		for lead := range 18 {
			for trail := range 10 {
				in := strings.Repeat("a", lead) + test.in + strings.Repeat("z", trail)
				want := strings.Repeat("a", lead) + test.want + strings.Repeat("z", trail)
				if got := string(appendText(nil, []byte(in))); got != want {
					t.Fatalf("text %q: %q", in, got)
				}
				// Within a buffer whose surroundings would all need an escape.
				around := []byte(`""""""""` + in + `""""""""`)
				dst := append(make([]byte, 0, 256), "before"...)
				if got := string(appendSpan(dst, around, 8, len(in))); got != "before"+want {
					t.Fatalf("span %q: %q", in, got)
				}
			}
		}
	}
}

func TestIsNumber(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"0", "-0", "1", "10", "-12.50", "0.0", "1e5", "1E+05", "2.5e-10", strings.Repeat("9", 400)} {
		if !isNumber([]byte(good)) || !json.Valid([]byte(good)) {
			t.Errorf("%s is no number", good)
		}
	}
	for _, bad := range []string{"", "-", "+1", "01", "00", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "1 ", " 1", "NaN", "1,5", "--1", "1.2.3"} {
		if isNumber([]byte(bad)) {
			t.Errorf("%q is a number", bad)
		}
	}
}

// FuzzAppendText: what is written is a JSON string, and means what went in.
func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c\nd", "Grüße 世界 𝄞", "\xff\x00\x1f", strings.Repeat("ab\"", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := fmt.Sprintf(`"%s"`, appendText(nil, []byte(s)))
		text := append([]byte(s), "12345678"...)
		if span := fmt.Sprintf(`"%s"`, appendSpan(make([]byte, 0, 2*len(s)+16), text, 0, len(s))); span != got {
			t.Fatalf("span %q, text %q", span, got)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if utf8.ValidString(s) && back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}
