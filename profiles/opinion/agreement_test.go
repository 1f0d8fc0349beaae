package opinion

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"remit/profiles"
	"remit/profiles/r4"
)

// disagreements are the published examples on which the second opinion and the
// engine are of another mind, and why.
var disagreements = map[string]struct {
	complaints []string // of the second opinion
	errors     []string // of the engine: code and path
	reason     string
}{
	"pdex-2.2.0/Parameters-payer-multi-member-match-out.json": {
		complaints: []string{"Parameters.parameter[0].resource: unknown field", "Parameters.parameter[1].resource: unknown field", "Parameters.parameter[2].resource: unknown field"},
		reason:     "the library refuses any Parameters.parameter.resource, which R4 has",
	},
	"pdex-2.2.0/Parameters-payer-multi-member-match-in.json": {
		complaints: []string{
			"Parameters.parameter[0].part[0].resource: unknown field", "Parameters.parameter[0].part[1].resource: unknown field",
			"Parameters.parameter[0].part[2].resource: unknown field", "Parameters.parameter[0].part[3].resource: unknown field",
		},
		reason: "as above",
	},
	"pdex-2.2.0/Parameters-provider-member-match-request-001.json": {
		complaints: []string{
			"Parameters.parameter[0].part[0].resource: unknown field", "Parameters.parameter[0].part[1].resource: unknown field",
			"Parameters.parameter[0].part[2].resource: unknown field", "Parameters.parameter[1].part[0].resource: unknown field",
			"Parameters.parameter[1].part[1].resource: unknown field", "Parameters.parameter[1].part[2].resource: unknown field",
		},
		reason: "as above",
	},
	"pdex-2.2.0/Parameters-provider-member-match-response-001.json": {
		complaints: []string{"Parameters.parameter[0].resource: unknown field", "Parameters.parameter[1].resource: unknown field", "Parameters.parameter[2].resource: unknown field"},
		reason:     "as above",
	},
	"r4-core-4.0.1/MedicationRequest-medrx0301.json": {
		complaints: []string{"MedicationRequest.dispenseRequest.performer: invalid reference to a Practitioner resource, want Organization"},
		errors:     []string{"reference-target MedicationRequest.dispenseRequest.performer"},
		reason:     "none: both see that a performer is an Organization",
	},
	"r4-core-4.0.1/Observation-example-genetics-brcapat.json": {
		errors: []string{
			"extension-context Observation.extension[1]", "cardinality-min Observation.extension[1]",
			"slice-min Observation.extension[1]", "cardinality-max Observation.extension[1].valueCodeableConcept",
		},
		reason: "the library does not judge extensions by their definitions; the example bears US Core's ethnicity in a form older than US Core 1.0",
	},
	"us-core-3.1.1/DiagnosticReport-cardiology-report.json": {
		complaints: []string{"DiagnosticReport.presentedForm[0].hash: expected binary data"},
		errors:     []string{"primitive-form DiagnosticReport.presentedForm[0].hash"},
		reason:     "none: both see that a dot is no digit of base64",
	},
	"us-core-3.1.1/Observation-some-day-smoker.json": {
		errors: []string{"cardinality-min Observation"},
		reason: "the library knows no profile; the newest US Core smoking status requires effective[x]",
	},
}

// TestAgreement has every published example judged by both. Where one refuses
// what the other accepts, or where both refuse, it stands above.
func TestAgreement(t *testing.T) {
	t.Parallel()
	all := examples(t)
	unused := maps.Clone(disagreements)
	set, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := set.Validator(profiles.ValidatorOptions{SkipNotes: true})
	if err != nil {
		t.Fatal(err)
	}
	o := newOpinion(t)
	var (
		p       r4.Parser
		r       r4.Resource
		refused int
	)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		data := all[name]
		var ours []string
		for _, problem := range p.Parse(data, &r) {
			ours = append(ours, problem.Code+" "+problem.Path)
		}
		for _, f := range v.Validate(&r, nil) {
			if f.Severity == profiles.Error {
				ours = append(ours, f.Code+" "+f.Path)
			}
		}
		theirs := said(t, o.Judge(data))
		if theirs != nil {
			refused++
		}
		want := disagreements[name]
		if diff := cmp.Diff(want.complaints, theirs); diff != "" {
			t.Errorf("%s: complaints of the second opinion (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(want.errors, ours); diff != "" {
			t.Errorf("%s: errors of the engine (-want +got):\n%s", name, diff)
		}
		if (want.complaints != nil || want.errors != nil) && want.reason == "" {
			t.Errorf("%s: a disagreement without a reason", name)
		}
		delete(unused, name)
	}
	for name := range unused {
		t.Errorf("there is no example %s", name)
	}
	t.Logf("%d examples, %d refused by the second opinion, %d disagreements", len(all), refused, len(disagreements))
}

// examples gives all published examples by name: those in folders and those
// packed in more.tar.zst.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	const dir = "../testdata/examples"
	all := map[string][]byte{}
	files, err := filepath.Glob(dir + "/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(filepath.ToSlash(file), dir+"/")] = data
	}
	f, err := os.Open(dir + "/more.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 736 {
		t.Fatalf("%d examples", len(all))
	}
	return all
}
