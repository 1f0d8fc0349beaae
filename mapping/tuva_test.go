package mapping_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
)

// TestTuvaBasis makes both views of every row in one pass: the non-financial one
// meets the Basis profiles and shows no money.
func TestTuvaBasis(t *testing.T) {
	ctx := context.Background()
	w := warehouse(t, "../fixtures/tuva")
	p, diags := load(t, w, os.DirFS("library/tuva"))
	if p == nil {
		t.Fatal(diags.Err())
	}
	v, err := profileSet(t).Validator(profiles.ValidatorOptions{Proved: mapping.Proof(p).Proved()})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := w.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	counts := map[string]int{}
	full := map[string]bool{} // ids of the full view
	var findings []profiles.Finding
	_, err = p.Run(ctx, snap, program.Request{Views: []string{"", "basis"}}, func(e *program.Emitted) error {
		counts[e.View+" "+e.Type]++
		if e.View == "" {
			full[e.Type+"/"+string(e.ID)] = true
			return nil
		}
		if !full[e.Type+"/"+string(e.ID)] {
			t.Errorf("a %s is in the view alone", e.Type)
		}
		text := string(e.Resource.AppendJSON(nil))
		for _, word := range []string{`"currency"`, `"amount"`, `"payment"`, `"total"`, `"net"`, `"unitPrice"`, `"benefitBalance"`} {
			if strings.Contains(text, word) {
				t.Errorf("a %s of the view holds %s", e.Type, word)
			}
		}
		if e.Type == "ExplanationOfBenefit" && !strings.Contains(text, `-Basis|2.1.0"]`) {
			t.Errorf("an EOB of the view has the profile of another")
		}
		findings = v.Validate(e.Resource, append(findings[:0], e.Findings...))
		for _, f := range findings {
			if f.Severity == profiles.Error {
				counts["error "+f.Profile+" "+f.Element]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const sd = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-"
	want := map[string]int{}
	for typ, n := range map[string]int{"Claim": 3512, "Coverage": 219, "ExplanationOfBenefit": 3512, "Group": 1, "Organization": 141, "Patient": 100, "Practitioner": 2231} {
		want[" "+typ], want["basis "+typ] = n, n
	}
	for kind, n := range map[string]int{"Professional-NonClinician": 26, "Outpatient-Institutional": 49, "Inpatient-Institutional": 1} {
		want["error "+sd+kind+"-Basis|2.1.0 ExplanationOfBenefit.diagnosis"] = n // claims without any diagnosis
	}
	if d := cmp.Diff(want, counts); d != "" {
		t.Error(d)
	}
}

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
