package profiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"remit/profiles/r4"
)

// BenchmarkValidate judges one explanation of benefit of each kind against its
// C4BB 2.1.0 profile and R4, without notes: what an export does to each.
func BenchmarkValidate(b *testing.B) {
	s := openSet(b)
	for _, name := range []string{
		"ExplanationOfBenefit-EOBInpatient1", "ExplanationOfBenefit-EOBInpatient2", "ExplanationOfBenefit-EOBOutpatient2",
		"ExplanationOfBenefit-EOBProfessional1", "ExplanationOfBenefit-EOBPharmacy1", "ExplanationOfBenefit-EOBOral2", "Patient-Patient1", "Coverage-Coverage2",
	} {
		raw, err := os.ReadFile(filepath.Join("testdata/examples/carin-bb-2.1.0", name+".json"))
		if err != nil {
			b.Fatal(err)
		}
		var p r4.Parser
		var r r4.Resource
		if problems := p.Parse(raw, &r); len(problems) > 0 {
			b.Fatal(problems)
		}
		v, err := s.Validator(ValidatorOptions{SkipNotes: true})
		if err != nil {
			b.Fatal(err)
		}
		out := v.Validate(&r, nil)
		b.Run(strings.TrimPrefix(name, "ExplanationOfBenefit-"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.AppendJSON(nil))))
			for b.Loop() {
				out = v.Validate(&r, out[:0])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "resources/s")
		})
	}
}

// BenchmarkOpen is the cold start of a Set, indexes and all.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		if _, err := Open(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProfile parses and compiles one profile of an explanation of
// benefit.
func BenchmarkProfile(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, err := Open(Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := s.Profile("C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0"); err != nil {
			b.Fatal(err)
		}
	}
}
