package fhirpath

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"remit/profiles/r4"
)

type suiteTest struct {
	Group, Name, Input, Expression, Mode, Invalid string
	Predicate                                     string
	Outputs                                       []struct{ Type, Value *string }
}

// now is the clock of all tests.
var now = time.Date(2024, 5, 17, 13, 45, 30, 250_000_000, time.FixedZone("", -5*3600))

// load parses a resource of testdata.
func load(t testing.TB, path string) *r4.Resource {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, data)
}

func parsed(t testing.TB, data []byte) *r4.Resource {
	t.Helper()
	var p r4.Parser
	r := new(r4.Resource)
	for _, problem := range p.Parse(data, r) {
		// The suite's inputs still have the comments of an older JSON form.
		if !strings.HasSuffix(problem.Path, ".fhir_comments") {
			t.Fatalf("parse: %+v", problem)
		}
	}
	return r
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// exceptions are the tests of the suite that give another result, by name.
func exceptions(t *testing.T) map[string]bool {
	f, err := os.Open("testdata/suite/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, _, ok := strings.Cut(s.Text(), ":"); ok && !strings.HasPrefix(name, "#") {
			out[name] = true
		}
	}
	return out
}

// TestSuite runs HL7's R4 suite twice: with the strict checks that the type of
// the input allows, and without.
func TestSuite(t *testing.T) {
	t.Parallel()
	var tests []suiteTest
	readJSON(t, "suite/tests.json", &tests)
	if len(tests) != 468 {
		t.Fatalf("suite has %d tests", len(tests))
	}
	excepted := exceptions(t)
	inputs := map[string]*r4.Resource{}
	env := &Env{Now: now}
	for _, test := range tests {
		name := strings.Replace(test.Input, ".xml", ".json", 1)
		if name == "" {
			name = "patient-example.json"
		}
		if inputs[name] == nil {
			inputs[name] = load(t, "suite/"+name)
		}
		r := inputs[name]
		for _, strict := range []bool{true, false} {
			if !strict && test.Invalid == "semantic" {
				continue
			}
			problem := test.run(env, r, strict)
			switch {
			case problem != "" && !excepted[test.Name]:
				t.Errorf("%s/%s (strict %v): %s: %s", test.Group, test.Name, strict, test.Expression, problem)
			case problem == "" && excepted[test.Name] && strict:
				t.Errorf("%s/%s is listed as an exception, but passes", test.Group, test.Name)
			}
		}
	}
}

// run gives what is wrong with the result, or "".
func (test *suiteTest) run(env *Env, r *r4.Resource, strict bool) string {
	kinds := map[string]Kind{"syntax": Syntax, "semantic": Semantic, "execution": Evaluation}
	var got Collection
	x, err := Compile(test.Expression, Options{Type: r.Type(), Strict: strict})
	if err == nil {
		got, err = x.Eval(env, r, r4.Root)
	}
	if test.Invalid != "" {
		var e *Error
		if !errors.As(err, &e) {
			return "no error, want " + test.Invalid
		}
		if e.Kind != kinds[test.Invalid] {
			return "want " + test.Invalid + ": " + err.Error()
		}
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if len(got) != len(test.Outputs) {
		return "got " + string(got.AppendJSON(nil))
	}
	for i, want := range test.Outputs {
		text, _ := got[i].Text()
		_, name := got[i].typeOf()
		if got[i].kind != KindNode {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		value := ""
		if want.Value != nil {
			value = strings.TrimPrefix(strings.TrimPrefix(*want.Value, "@"), "T")
		}
		if text != value {
			return "got " + string(got.AppendJSON(nil))
		}
		if want.Type != nil && *want.Type != name {
			return "got type " + name
		}
	}
	return ""
}
