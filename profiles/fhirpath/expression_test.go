package fhirpath

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

// TestExpressions evaluates testdata/expressions.txt: a line is an input, an
// expression, " => " and the result as JSON, or "!" and the error. UPDATE=1
// rewrites it.
func TestExpressions(t *testing.T) {
	t.Parallel()
	const file = "testdata/expressions.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]*r4.Resource{
		"patient":       load(t, "suite/patient-example.json"),
		"observation":   load(t, "suite/observation-example.json"),
		"questionnaire": load(t, "suite/questionnaire-example.json"),
		"valueset":      load(t, "suite/valueset-example-expansion.json"),
		"period":        load(t, "suite/patient-example-period.json"),
	}
	env := &Env{Now: now}
	var got strings.Builder
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			got.WriteString(line + "\n")
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		text, _, _ = strings.Cut(text, " => ")
		r := inputs[name]
		if r == nil {
			t.Fatalf("unknown input %q", name)
		}
		got.WriteString(name + " " + text + " => " + outcome(t, env, r, text) + "\n")
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(data), got.String()); diff != "" {
		t.Errorf("results differ (-want +got):\n%s", diff)
	}
}

func outcome(t *testing.T, env *Env, r *r4.Resource, text string) string {
	x, err := Compile(text, Options{Type: r.Type(), Strict: true})
	var c Collection
	if err == nil {
		c, err = x.Eval(env, r, r4.Root)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: error is a %T", text, err)
		}
		return "! " + e.Error()
	}
	return string(c.AppendJSON(nil))
}

// TestErrorPlace holds the place that an error names.
func TestErrorPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want Error
	}{
		{"name.where(", Error{Kind: Syntax, Offset: 12, Line: 1, Column: 12}},
		{"'ä' = name.\n  nonsense()", Error{Kind: Semantic, Offset: 16, Line: 2, Column: 3}},
		{"'äöü' ¢", Error{Kind: Syntax, Offset: 10, Line: 1, Column: 7}},
	} {
		_, err := Compile(test.text, Options{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v", test.text, err)
			continue
		}
		e.Message = ""
		if diff := cmp.Diff(test.want, *e); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

// TestDepth holds the bounds on what is compiled.
func TestDepth(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"parentheses": strings.Repeat("(", 100_000),
		"signs":       strings.Repeat("-", 60_000) + "1",
		"calls":       strings.Repeat("where(", 10_000),
		"implies":     strings.Repeat("a implies ", 6_000) + "a",
		"path":        strings.Repeat("a.", 30_000) + "a",
		"length":      strings.Repeat(" ", 1<<17) + "a",
	} {
		if _, err := Compile(text, Options{}); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
}

// TestVariables holds %name of the caller, and that the specification's own
// stay as they are.
func TestVariables(t *testing.T) {
	t.Parallel()
	r := load(t, "suite/patient-example.json")
	env := &Env{Variables: map[string]Collection{
		"limit": {Integer(3)}, "words": {String("a"), String("b")}, "ok": {Boolean(true)}, "none": nil,
		"ucum": {String("other")}, "me": {NodeOf(r, r4.Root)},
	}}
	for text, want := range map[string]string{
		"%limit + 1":            "[4]",
		"%words.join('-')":      `["a-b"]`,
		"%ok and %none.empty()": "[true]",
		"%ucum":                 `["http://unitsofmeasure.org"]`,
		"%me.id":                `["example"]`,
	} {
		if got := outcome(t, env, r, text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestTrace holds what trace() hands out.
func TestTrace(t *testing.T) {
	t.Parallel()
	r := load(t, "suite/patient-example.json")
	var seen []string
	env := &Env{Trace: func(name string, c Collection) { seen = append(seen, name+string(c.AppendJSON(nil))) }}
	if got, want := outcome(t, env, r, "name.trace('use', use).given.trace('g').count()"), "[5]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []string{`use["official","usual","maiden"]`, `g["Peter","James","Jim","Peter","James"]`}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

// TestErrorsHoldNoValue greps every message for the input's values.
func TestErrorsHoldNoValue(t *testing.T) {
	t.Parallel()
	r := load(t, "suite/patient-example.json")
	for _, text := range []string{
		"name.given.single()", "name.family + 1", "name.given < 1", "name.first().family.toInteger() + name.given",
		"birthDate + 1 'cm'", "name.given.first().matches('(')", "name.family.first() < birthDate", "active + 'x'",
		"name.given.join(name)", "name.memberOf('x')", "-name.first().family", "gender.lowBoundary()",
	} {
		got := outcome(t, &Env{}, r, text)
		for _, value := range []string{"Peter", "Chalmers", "Windsor", "Jim", "1974", "male"} {
			if strings.HasPrefix(got, "!") && strings.Contains(got, value) {
				t.Errorf("%s: the message holds a value: %s", text, got)
			}
		}
	}
}

// TestAsFilters holds the switch for R4's own invariants.
func TestAsFilters(t *testing.T) {
	t.Parallel()
	r := load(t, "suite/patient-example.json")
	x, err := Compile("descendants().as(code).count() > 1", Options{AsFilters: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.Check(nil, r, r4.Root); got != True || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
