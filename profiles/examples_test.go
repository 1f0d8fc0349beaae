package profiles

import (
	"archive/tar"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

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

// example is one published example; name is its path in testdata/examples.
type example struct {
	name   string
	raw    []byte
	packed bool
}

// examples gives all published examples, those in folders and those packed in
// more.tar.zst, sorted by name.
func examples(t testing.TB) []example {
	t.Helper()
	all, err := allExamples()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 736 {
		t.Fatalf("%d examples found", len(all))
	}
	return all
}

var allExamples = sync.OnceValues(func() ([]example, error) {
	const dir = "testdata/examples"
	var all []example
	files, err := filepath.Glob(dir + "/*/*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, example{name: strings.TrimPrefix(filepath.ToSlash(file), dir+"/"), raw: raw})
	}
	f, err := os.Open(dir + "/more.tar.zst")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		all = append(all, example{name: h.Name, raw: raw, packed: true})
	}
	slices.SortFunc(all, func(a, b example) int { return strings.Compare(a.name, b.name) })
	return all, nil
})

// unpacked gives the examples that lie in folders: about every fourth.
func unpacked(t testing.TB) []example {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(examples(t)), func(e example) bool { return e.packed })
}

// guide is the folder of an example.
func (e example) guide() string {
	guide, _, _ := strings.Cut(e.name, "/")
	return guide
}

func (e example) parse(t testing.TB) *r4.Resource {
	t.Helper()
	var (
		p r4.Parser
		r r4.Resource
	)
	if problems := p.Parse(e.raw, &r); len(problems) > 0 {
		t.Fatalf("%s: %v", e.name, problems)
	}
	return &r
}

// readExample reads one of the examples that lie in folders.
func readExample(t testing.TB, file string) *r4.Resource {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return example{name: file, raw: raw}.parse(t)
}

func TestExamples(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unused := maps.Clone(exceptions)
	judged := map[string]int{}
	for _, e := range examples(t) {
		var got []string
		for _, f := range v.Validate(e.parse(t), nil) {
			if f.Severity == Error {
				got = append(got, strings.TrimSpace(f.Path+" "+f.Code+" "+f.Element+" "+f.Constraint))
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(exceptions[e.name], got); diff != "" {
			t.Errorf("%s: errors:\n%s", e.name, diff)
		}
		delete(unused, e.name)
		judged[e.guide()]++
	}
	for name := range unused {
		t.Errorf("there is no example %s", name)
	}
	for _, guide := range slices.Sorted(maps.Keys(judged)) {
		t.Logf("%-16s %4d examples judged", guide, judged[guide])
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
	all := unpacked(t)
	results := make([][4][]Finding, len(all))
	done := make(chan bool)
	for g := range 4 {
		go func() {
			defer func() { done <- true }()
			for i, e := range all {
				results[i][g] = many.Validate(e.parse(t), nil)
			}
		}()
	}
	for range 4 {
		<-done
	}
	for i, e := range all {
		want := alone.Validate(e.parse(t), nil)
		for g := range 4 {
			if diff := cmp.Diff(want, results[i][g]); diff != "" {
				t.Fatalf("%s: %s", e.name, diff)
			}
		}
	}
}
