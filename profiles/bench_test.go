package profiles

import (
	"os"
	"path/filepath"
	"strconv"
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

// BenchmarkValidateProved is BenchmarkValidate with every rule of the profile and
// of R4's resource proved that a mapping could prove: what is left is what
// datatypes demand wherever they stand.
func BenchmarkValidateProved(b *testing.B) {
	s := openSet(b)
	r := readExample(b, "testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOBProfessional1.json")
	c := &ruleCollector{Proved{}, map[*program]bool{}, map[*table]bool{}}
	c.program(s.compiler.profile(mustProfile(b, "C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0")))
	for _, e := range mustProfile(b, coreURL+"ExplanationOfBenefit").Root().Children() {
		c.rules.Add(ProvedRule{e.Profile.Canonical(), e.ID, ProvedWhole, ""})
	}
	v, err := s.Validator(ValidatorOptions{SkipNotes: true, Proved: c.rules})
	if err != nil {
		b.Fatal(err)
	}
	out := v.Validate(r, nil)
	b.ReportAllocs()
	for b.Loop() {
		out = v.Validate(r, out[:0])
	}
}

// BenchmarkValidate9KB judges explanations of benefit of 9 KB of JSON, the size
// that claims of some ten lines have: published examples with their lines
// repeated until they are that long. Notes are left out, nothing is proved.
func BenchmarkValidate9KB(b *testing.B) {
	s := openSet(b)
	v, err := s.Validator(ValidatorOptions{SkipNotes: true})
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range []string{"Professional1", "Inpatient1", "Pharmacy1"} {
		r := lengthened(b, "testdata/examples/carin-bb-2.1.0/ExplanationOfBenefit-EOB"+kind+".json", 9<<10)
		out := v.Validate(r, nil)
		for _, f := range out {
			b.Errorf("%s: %s %s: %s", kind, f.Code, f.Path, f.Message)
		}
		b.Run(strings.TrimSuffix(kind, "1"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.AppendJSON(nil))))
			for b.Loop() {
				out = v.Validate(r, out[:0])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "resources/s")
			b.ReportMetric(float64(len(r.AppendJSON(nil))), "bytes")
		})
	}
}

// lengthened reads an explanation of benefit and repeats its lines, each with a
// number of its own, until its JSON has the given size.
func lengthened(tb testing.TB, file string, size int) *r4.Resource {
	tb.Helper()
	var (
		whole = readExample(tb, file)
		r     = readExample(tb, file)
		item  = r.Type().Element("item")
		lines []r4.Node
	)
	for n := whole.Find(r4.Root, item); n != r4.None; n = whole.NextSame(n) {
		lines = append(lines, n)
	}
	for n := len(lines); len(r.AppendJSON(nil)) < size; n++ {
		copied := r.Graft(r4.Root, item, whole, lines[n%len(lines)], 0)
		r.SetString(r.Find(copied, item.Type().Element("sequence")), strconv.Itoa(n+1))
	}
	r.Sort(r4.Root)
	// As it would come from a file, its nodes side by side, and with codes for those
	// that the publisher left open.
	text := string(r.AppendJSON(nil))
	for system, code := range map[string]string{"RevenueCodes": "0120", "TypeOfBill": "0111"} {
		text = strings.ReplaceAll(text, system+`","code":"Dummy"`, system+`","code":"`+code+`"`)
	}
	var (
		p      r4.Parser
		parsed r4.Resource
	)
	if problems := p.Parse([]byte(text), &parsed); len(problems) > 0 {
		tb.Fatal(problems)
	}
	return &parsed
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

// BenchmarkCold is what judging a single Patient costs from nothing: the
// definitions opened, its profile parsed and compiled, the value sets it uses
// expanded. The packages' own indexes are read once in a process.
func BenchmarkCold(b *testing.B) {
	raw, err := os.ReadFile("testdata/examples/carin-bb-2.1.0/Patient-Patient1.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(Options{})
		if err != nil {
			b.Fatal(err)
		}
		v, err := s.Validator(ValidatorOptions{})
		if err != nil {
			b.Fatal(err)
		}
		var p r4.Parser
		var r r4.Resource
		p.Parse(raw, &r)
		v.Validate(&r, nil)
	}
}
