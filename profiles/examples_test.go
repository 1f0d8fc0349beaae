package profiles

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

// exceptions are the published examples that are wrong: path, code and element
// of each error, and why it is the example's.
var exceptions = map[string][]string{
	// R4's own example bears the US Core ethnicity extension in the form it had
	// before US Core 1.0: one CodeableConcept. Its url now names a complex one,
	// whose context is Patient alone.
	"r4-core-4.0.1/Observation-example-genetics-brcapat.json": {
		"Observation.extension[1] cardinality-min Extension.extension",
		"Observation.extension[1] extension-context Extension",
		"Observation.extension[1] slice-min Extension.extension:text",
		"Observation.extension[1].valueCodeableConcept cardinality-max Extension.value[x]",
	},
	// MedicationRequest.dispenseRequest.performer is Reference(Organization).
	"r4-core-4.0.1/MedicationRequest-medrx0301.json": {
		"MedicationRequest.dispenseRequest.performer reference-target MedicationRequest.dispenseRequest.performer",
	},
	// The example of 3.1.1 declares its profile without a version, and effective[x]
	// is required in the newest one.
	"us-core-3.1.1/Observation-some-day-smoker.json": {
		"Observation cardinality-min Observation.effective[x]",
	},
	// "EQH/..AgME" is not base64: a dot is no digit of it.
	"us-core-3.1.1/DiagnosticReport-cardiology-report.json": {
		"DiagnosticReport.presentedForm[0].hash primitive-form Attachment.hash",
	},
}

func exampleFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*/*.json")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d examples found: %v", len(files), err)
	}
	return files
}

func readExample(t testing.TB, file string) *r4.Resource {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var (
		p r4.Parser
		r r4.Resource
	)
	if problems := p.Parse(raw, &r); len(problems) > 0 {
		t.Fatalf("%s: %v", file, problems)
	}
	return &r
}

func TestExamples(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range exampleFiles(t) {
		var got []string
		for _, f := range v.Validate(readExample(t, file), nil) {
			if f.Severity == Error {
				got = append(got, strings.TrimSpace(f.Path+" "+f.Code+" "+f.Element+" "+f.Constraint))
			}
		}
		slices.Sort(got)
		name := filepath.ToSlash(strings.TrimPrefix(file, filepath.FromSlash("testdata/examples/")))
		if diff := cmp.Diff(exceptions[name], got); diff != "" {
			t.Errorf("%s: errors:\n%s", name, diff)
		}
	}
}

// Findings of a Validator shared by goroutines are the same as of one alone.
func TestValidateConcurrently(t *testing.T) {
	t.Parallel()
	s := openSet(t)
	alone, err := s.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	many, err := fresh.Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files := exampleFiles(t)
	results := make([][4][]Finding, len(files))
	done := make(chan bool)
	for g := range 4 {
		go func() {
			defer func() { done <- true }()
			for i, file := range files {
				results[i][g] = many.Validate(readExample(t, file), nil)
			}
		}()
	}
	for range 4 {
		<-done
	}
	for i, file := range files {
		want := alone.Validate(readExample(t, file), nil)
		for g := range 4 {
			if diff := cmp.Diff(want, results[i][g]); diff != "" {
				t.Fatalf("%s: %s", file, diff)
			}
		}
	}
}
