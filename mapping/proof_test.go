package mapping_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/check"
	"remit/mapping/program"
	"remit/profiles"
)

// TestProof asks that the report of the shipped set tells every demand once,
// adds up, and is sound: a validator that leaves out what is proved finds in
// the fixture what one that judges everything finds.
func TestProof(t *testing.T) {
	w := warehouse(t, "../fixtures/tuva")
	p := must(t, w, os.DirFS("library/tuva"))
	proof := mapping.Proof(p)
	seen := map[string]bool{}
	var totals check.Totals
	for _, d := range proof.Demands {
		key := strings.Join([]string{d.Mapping, d.View, d.Profile, d.Element, d.Code, d.Key}, "\x00")
		if seen[key] || d.Why == "" {
			t.Errorf("%+v: twice, or without a reason", d)
		}
		seen[key] = true
		switch d.Status {
		case check.ProvedAtLoad:
			totals.Proved++
		case check.CheckedPerResource:
			totals.Checked++
		default:
			totals.Undecidable++
		}
	}
	if d := cmp.Diff(totals, proof.Totals); d != "" {
		t.Error(d)
	}
	if totals.Proved == 0 || totals.Checked == 0 || totals.Undecidable == 0 {
		t.Errorf("%+v", totals)
	}
	t.Logf("%d demands: %+v", len(proof.Demands), totals)

	judge := func(proved profiles.Proved) (found []string) {
		v, err := profileSet(t).Validator(profiles.ValidatorOptions{Proved: proved})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = snap.Close() }()
		if _, err := p.Run(context.Background(), snap, program.Request{}, func(e *program.Emitted) error {
			for _, f := range v.Validate(e.Resource, nil) {
				if f.Severity == profiles.Error {
					found = append(found, string(e.Key)+" "+f.Code+" "+f.Element+" "+f.Constraint)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if d := cmp.Diff(judge(nil), judge(proof.Proved())); d != "" {
		t.Errorf("findings without and with what is proved (-without +with):\n%s", d)
	}
}

// TestProofForms holds the words of the report for one small mapping.
func TestProofForms(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p := must(t, w, files(map[string]string{
		"sources.yaml": "sources:\n  member: {table: member, key: [member_id]}\nmaps:\n  sex: {F: female, M: male, default: unknown}\n",
		"patient.yaml": `resource: Patient
profile: us-core-patient|6.1.0
from: member
set:
  identifier: {system: "urn:m", value: =member_id}
  name: {family: =family, absent: unknown}
  gender: {map: sex, of: =sex}
`,
	}))
	proof := p.Proof()
	var text bytes.Buffer
	if err := proof.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/ok/proof.txt", text.String())
	var out bytes.Buffer
	if err := proof.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Demands []struct{ Status, Why string }
		Totals  check.Totals
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Demands) != len(proof.Demands) || back.Totals != proof.Totals || back.Demands[0].Status == "" {
		t.Error("the JSON is not the report")
	}
}

// TestProofHidesNothing: of small mappings whose rows, or whose words, break a
// rule in ways that the shipped sets do not, a validator that leaves out what is
// proved finds what one that judges everything finds.
func TestProofHidesNothing(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	for name, tc := range map[string]struct{ mapping, code string }{
		"text without its code": {
			"resource: Condition\nfrom: member\nset:\n  subject: {ref: Patient, key: [=member_id]}\n  clinicalStatus:\n    text: =family\n" +
				"    coding: {system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: active, when: \"=given IS NOT NULL\"}\n",
			"binding-no-code",
		},
		"a code that is absent": {
			"resource: Condition\nfrom: member\nset:\n  subject: {ref: Patient, key: [=member_id]}\n" +
				"  clinicalStatus: {map: status, of: =given, absent: unknown}\n",
			"binding-no-code",
		},
		"alternatives that are absent": {
			"resource: Condition\nfrom: member\nset:\n  subject: {ref: Patient, key: [=member_id]}\n" +
				"  clinicalStatus: {first: [{map: status, of: =given}, {map: status, of: =given}], absent: unknown}\n",
			"binding-no-code",
		},
		"a slice that rows bring": {
			"resource: Organization\nprofile: us-core-organization|6.1.0\nfrom: member\nset:\n  active: true\n  name: =member_id\n" +
				"  identifier: {system: \"=CASE WHEN family <> '' THEN 'http://hl7.org/fhir/sid/us-npi' END\", value: =family}\n",
			"constraint constraint",
		},
		"text whose code is empty": {
			"resource: Condition\nfrom: member\nset:\n  subject: {ref: Patient, key: [=member_id]}\n  verificationStatus:\n    text: =family\n" +
				"    coding: {system: 'http://terminology.hl7.org/CodeSystem/condition-ver-status', code: =given}\n",
			"binding-no-code",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := must(t, w, files(map[string]string{
				"sources.yaml": "sources:\n  member: {table: member, key: [member_id]}\nmaps:\n  status: {Ana: active, default: resolved}\n",
				"patient.yaml": "resource: Patient\nfrom: member\nid: {key: [=member_id]}\nset: {identifier: {system: 'urn:m', value: =member_id}}\n",
				"other.yaml":   tc.mapping,
			}))
			judge := func(proved profiles.Proved) (found []string) {
				v, err := profileSet(t).Validator(profiles.ValidatorOptions{Proved: proved})
				if err != nil {
					t.Fatal(err)
				}
				found, _, err = emitted(t, w, p, program.Request{}, func(e *program.Emitted) string {
					codes := string(e.Key)
					for _, f := range v.Validate(e.Resource, nil) {
						codes += " " + f.Code
					}
					return codes
				})
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			without, with := judge(nil), judge(p.Proof().Proved())
			if !strings.Contains(strings.Join(without, "\n"), tc.code) {
				t.Errorf("nothing of %s: %s", tc.code, without)
			}
			if d := cmp.Diff(without, with); d != "" {
				t.Errorf("findings without and with what is proved (-without +with):\n%s", d)
			}
		})
	}
}

// TestProofHidesNothing_Slices: of the shipped mapping of inpatient claims, changed
// so that a repetition is in a slice that the mapping does not name, or so that what
// a slice demands may be missing, a validator that leaves out what is proved finds
// what one that judges everything finds.
func TestProofHidesNothing_Slices(t *testing.T) {
	w := warehouse(t, "../fixtures/tuva")
	whole, err := os.ReadFile("library/tuva/eob-inpatient.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const origin = "  supportingInfo[pointoforigin].code: {system: pointoforigin, code: =admit_source_code}\n"
	for name, tc := range map[string]struct{ old, new, element string }{
		"a constant of another slice": {
			origin,
			"  supportingInfo: {category: {coding: {system: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType', code: clmrecvddate}}, code: {system: pointoforigin, code: =admit_source_code}}\n",
			"supportingInfo:clmrecvddate.timing[x]",
		},
		"a category that rows decide": {
			origin,
			"  supportingInfo: {category: {coding: {system: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType', code: \"=CASE WHEN admit_source_code <> '' THEN 'medicalrecordnumber' END\"}}, code: {system: pointoforigin, code: =admit_source_code}}\n",
			"supportingInfo:medicalrecordnumber.value[x]",
		},
		"a slice with other content": {
			origin,
			"  supportingInfo[pointoforigin]: {code: {system: pointoforigin, code: \"=CASE WHEN claim_id < '' THEN admit_source_code END\"}, timingDate: =claim_start_date}\n",
			"supportingInfo:pointoforigin.code",
		},
		"a slice whose code is absent": {
			origin,
			"  supportingInfo[pointoforigin].code: {system: pointoforigin, code: \"=CASE WHEN claim_id < '' THEN admit_source_code END\", absent: unknown}\n",
			"supportingInfo:pointoforigin.code",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := map[string]string{}
			entries, err := os.ReadDir("library/tuva")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.IsDir() {
					continue
				}
				raw, err := os.ReadFile("library/tuva/" + e.Name())
				if err != nil {
					t.Fatal(err)
				}
				set[e.Name()] = string(raw)
			}
			changed := strings.Replace(string(whole), tc.old, tc.new, 1)
			if changed == string(whole) {
				t.Fatal("the mapping has no such line")
			}
			changed, _, _ = strings.Cut(changed, "views:")
			set["eob-inpatient.yaml"] = changed
			p := must(t, w, files(set))
			judge := func(proved profiles.Proved) (found []string) {
				v, err := profileSet(t).Validator(profiles.ValidatorOptions{Proved: proved})
				if err != nil {
					t.Fatal(err)
				}
				found, _, err = emitted(t, w, p, program.Request{}, func(e *program.Emitted) string {
					if e.Resource.Type().Name() != "ExplanationOfBenefit" {
						return ""
					}
					out := string(e.Key)
					for _, f := range v.Validate(e.Resource, nil) {
						out += " " + f.Code + " " + f.Path + " " + f.Element
					}
					return out
				})
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			without, with := judge(nil), judge(p.Proof().Proved())
			if !strings.Contains(strings.Join(without, "\n"), "ExplanationOfBenefit."+tc.element) {
				t.Errorf("nothing of %s", tc.element)
			}
			if d := cmp.Diff(without, with); d != "" {
				t.Errorf("findings without and with what is proved (-without +with):\n%s", d)
			}
		})
	}
}
