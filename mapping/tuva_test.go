package mapping_test

import (
	"context"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/profiles"
)

// TestTuva runs the shipped set over its fixture: every resource meets its
// profile but the claims that have no diagnosis at all.
func TestTuva(t *testing.T) {
	ctx := context.Background()
	w := warehouse(t, "../fixtures/tuva")
	p, diags := load(t, w, os.DirFS("library/tuva"))
	if p == nil {
		t.Fatal(diags.Err())
	}
	v, err := profileSet(t).Validator(profiles.ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := w.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	withheld := map[string]int{}
	var findings []profiles.Finding
	report, err := p.Run(ctx, snap, program.Request{}, func(e *program.Emitted) error {
		findings = v.Validate(e.Resource, append(findings[:0], e.Findings...))
		bad := ""
		for _, f := range findings {
			if f.Severity == profiles.Error {
				bad = f.Code + " " + f.Element
			}
		}
		if bad != "" {
			withheld[bad]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{
		"Claim": 3512, "Coverage": 219, "ExplanationOfBenefit": 3512, "Group": 1, "Organization": 141, "Patient": 100, "Practitioner": 2231,
	}
	if d := cmp.Diff(want, report.Resources); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int{"cardinality-min ExplanationOfBenefit.diagnosis": 76}, withheld); d != "" {
		t.Error(d)
	}
	if len(report.Skipped) > 0 {
		t.Errorf("skipped: %v", report.Skipped)
	}
}
