package fhirpath

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

// TestInvariantsCompile compiles every constraint of the bundled packages.
func TestInvariantsCompile(t *testing.T) {
	t.Parallel()
	var all []struct {
		Expression string
		Keys       []string
	}
	readJSON(t, "invariants.json", &all)
	if len(all) < 300 {
		t.Fatalf("only %d expressions", len(all))
	}
	for _, c := range all {
		if _, err := Compile(c.Expression, Options{AsFilters: true}); err != nil {
			t.Errorf("%v: %s: %v", c.Keys, c.Expression, err)
		}
	}
}

// TestSearchParametersCompile compiles every search expression of the bundled
// packages.
func TestSearchParametersCompile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/search-parameters.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if _, err := Compile(strings.TrimSpace(line), Options{AsFilters: true}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n < 1000 {
		t.Errorf("only %d expressions", n)
	}
}

// TestExamplesMeetInvariants checks the published examples against the
// constraints of their guide: none of severity error may fail.
func TestExamplesMeetInvariants(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/examples/*.json")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	count := map[Outcome]int{}
	for _, f := range files {
		r := load(t, strings.TrimPrefix(f, "testdata/"))
		env := &Env{Now: now}
		for _, c := range constraints(t, r) {
			if !applies(c.Key, f) {
				continue
			}
			for _, n := range c.nodes {
				got, err := c.x.Check(env, r, n)
				if err != nil || got == False && c.Severity == "error" {
					t.Errorf("%s: %s at %s: %v %v: %s", f, c.Key, r.Path(n), got, err, c.Expression)
				}
				count[got]++
			}
		}
	}
	if count[True] < 200 || count[Undecidable] == 0 {
		t.Errorf("outcomes: %v", count)
	}
}

// applies says that a constraint is of the example's own profile; the list has
// those of all EOB profiles.
func applies(key, file string) bool {
	kinds := map[string]string{
		"EOB-inst": "Inpatient", "EOB-institutional": "Inpatient", "EOB-prof": "Professional", "EOB-professional": "Professional",
		"EOB-pharm": "Pharmacy", "EOB-pharmacy": "Pharmacy", "EOB-oral": "Oral", "Oral": "Oral",
		"EOB-vision": "Professional",
	}
	if strings.HasPrefix(key, "EOB-institutional-outpatient") {
		return false
	}
	parts := strings.Split(key, "-")
	for n := min(2, len(parts)); n > 0; n-- {
		if kind, ok := kinds[strings.Join(parts[:n], "-")]; ok {
			return strings.Contains(file, kind)
		}
	}
	return true
}

// TestNoAllocation holds that a check of typical invariants allocates nothing.
func TestNoAllocation(t *testing.T) {
	r := load(t, "examples/ExplanationOfBenefit-EOBProfessional1.json")
	env := &Env{Now: now, Membership: members{Yes}}
	all := constraints(t, r)
	allocs := testing.AllocsPerRun(20, func() {
		for i := range all {
			for _, n := range all[i].nodes {
				_, _ = all[i].x.Check(env, r, n)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestConcurrent shares expressions among goroutines, each with its Env.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	r := load(t, "examples/ExplanationOfBenefit-EOBInpatient1.json")
	all := constraints(t, r)
	results := make([][]Outcome, 4)
	var wg sync.WaitGroup
	for g := range results {
		wg.Go(func() {
			env := &Env{Now: now}
			for i := range all {
				for _, n := range all[i].nodes {
					got, _ := all[i].x.Check(env, r, n)
					results[g] = append(results[g], got)
				}
			}
		})
	}
	wg.Wait()
	for g := range results {
		if diff := cmp.Diff(results[0], results[g]); diff != "" {
			t.Errorf("goroutine %d differs: %s", g, diff)
		}
	}
}

// FuzzParse: any text compiles or is an *Error that lies inside it, and what
// compiles evaluates or is an *Error.
func FuzzParse(f *testing.F) {
	var tests []suiteTest
	readJSON(f, "suite/tests.json", &tests)
	for _, t := range tests {
		f.Add(t.Expression)
	}
	for _, s := range []string{"((((", "-----1", "'\\u12'", "@2015-02-04T14:34:28.123+09:00", "a.b[1]|{}", "%`x`", "1 'mg' * 3 '[lb_av]/min2'", "\xff"} {
		f.Add(s)
	}
	r := load(f, "suite/patient-example.json")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 512 || strings.Count(text, "descendants") > 2 || strings.Contains(text, "repeat") {
			t.Skip("costly by design")
		}
		env := &Env{Now: now}
		for _, o := range []Options{{}, {Type: r.Type(), Strict: true}} {
			x, err := Compile(text, o)
			if err == nil {
				var c Collection
				if c, err = x.Eval(env, r, r4.Root); err == nil {
					c.AppendJSON(nil)
					continue
				}
			}
			e, ok := err.(*Error)
			if !ok || e.Offset < 1 || e.Offset > len(text)+1 || e.Column < 1 || e.Line < 1 || e.Message == "" {
				t.Errorf("%q: %#v", text, err)
			}
		}
	})
}
