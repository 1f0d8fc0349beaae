package opinion

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

// refused are the published examples that the second opinion does not accept,
// with its complaints.
var refused = map[string][]string{
	"pdex-2.2.0-Parameters-payer-multi-member-match-out.json": {
		"Parameters.parameter[0].resource: unknown field",
		"Parameters.parameter[1].resource: unknown field",
		"Parameters.parameter[2].resource: unknown field",
	},
}

func newOpinion(t *testing.T) *Opinion {
	t.Helper()
	o, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// said are the complaints of a verdict as strings.
func said(t *testing.T, verdict error) []string {
	t.Helper()
	if verdict == nil {
		return nil
	}
	var r *Rejection
	if !errors.As(verdict, &r) {
		t.Fatalf("verdict is a %T", verdict)
	}
	var all []string
	for _, c := range r.Complaints {
		all = append(all, c.String())
	}
	return all
}

// TestExamples has the published examples judged as they are and as our own
// parser and writer hand them on, which must be the same JSON.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../r4/testdata/examples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	o := newOpinion(t)
	var p r4.Parser
	var r r4.Resource
	for _, file := range files {
		name := filepath.Base(file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(refused[name], said(t, o.Judge(data))); diff != "" {
			t.Errorf("%s (-want +complaints):\n%s", name, diff)
		}
		if problems := p.Parse(data, &r); problems != nil {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		ours := r.AppendJSON(nil)
		if diff := cmp.Diff(refused[name], said(t, o.Judge(ours))); diff != "" {
			t.Errorf("%s, written by us (-want +complaints):\n%s", name, diff)
		}
		if diff := cmp.Diff(decode(t, data), decode(t, ours)); diff != "" {
			t.Errorf("%s (-published +written by us):\n%s", name, diff)
		}
	}
}

// decode is JSON as Go values, numbers as text.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJudge(t *testing.T) {
	t.Parallel()
	o := newOpinion(t)
	for _, test := range []struct {
		name string
		in   string
		want []string
	}{
		{"accepted", `{"resourceType":"Patient","name":[{"family":"Smith","_family":{"id":"a"}}]}`, nil},
		{"missing elements", `{"resourceType":"Coverage"}`, []string{
			`Coverage: missing required field "status"`,
			`Coverage: missing required field "beneficiary"`,
			`Coverage: missing required field "payor"`,
		}},
		{"missing in a repetition", `{"resourceType":"Patient","communication":[{"preferred":true}]}`, []string{
			`Patient.communication[0]: missing required field "language"`,
		}},
		{"code", `{"resourceType":"Patient","gender":"Smith"}`, []string{"Patient.gender: code type mismatch"}},
		{"boolean", `{"resourceType":"Patient","active":"Smith"}`, []string{"Patient.active: expected boolean"}},
		{"integer", `{"resourceType":"Patient","multipleBirthInteger":1.5}`, []string{"Patient.multipleBirthInteger: expected integer"}},
		{"positive", `{"resourceType":"Patient","telecom":[{"rank":0}]}`, []string{"Patient.telecom[0].rank: expected positive integer"}},
		{"date", `{"resourceType":"Patient","birthDate":"Smith"}`, []string{"Patient.birthDate: expected date"}},
		{"date that is none", `{"resourceType":"Patient","birthDate":"2023-02-30"}`, []string{"Patient.birthDate: expected date"}},
		{"time", `{"resourceType":"Observation","status":"final","code":{"text":"a"},"valueTime":"24:00:00"}`, []string{"Observation.valueTime: invalid time"}},
		{"id", `{"resourceType":"Patient","id":"John Smith"}`, []string{"Patient.id: invalid Id format"}},
		{"oid", `{"resourceType":"Patient","extension":[{"url":"a","valueOid":"Smith"}]}`, []string{"Patient.extension[0].value.oid: invalid Oid format"}},
		{"uuid", `{"resourceType":"Patient","extension":[{"url":"a","valueUuid":"Smith"}]}`, []string{"Patient.extension[0].value.uuid: invalid Uuid format"}},
		{"markdown", `{"resourceType":"Patient","extension":[{"url":"a","valueMarkdown":17}]}`, []string{"Patient.extension[0].valueMarkdown: expected markdown"}},
		{"uri", `{"resourceType":"Patient","extension":[{"url":"a","valueUri":17}]}`, []string{"Patient.extension[0].valueUri: expected uri"}},
		{"base64", `{"resourceType":"Patient","photo":[{"data":"Smith!"}]}`, []string{"Patient.photo[0].data: expected binary data"}},
		{"control character", `{"resourceType":"Patient","name":[{"family":"Smith\u0001"}]}`, []string{
			"Patient.name[0].family: string contains invalid characters: U+0001",
		}},
		{"array expected", `{"resourceType":"Patient","name":{"family":"Smith"}}`, []string{"Patient.name: expected array"}},
		{"object expected", `{"resourceType":"Patient","name":["Smith"]}`, []string{"Patient.name[0]: invalid JSON"}},
		{"two of a choice", `{"resourceType":"Patient","multipleBirthInteger":1,"multipleBirthBoolean":true}`, []string{
			"Patient: cannot accept multiple values for multiple_birth field",
		}},
		{"unknown properties", `{"resourceType":"Patient","Smith":1,"John Smith":2}`, []string{"Patient: unknown field"}},
		{"unknown type", `{"resourceType":"Smith"}`, []string{"unknown resource type"}},
		{"unknown type within", `{"resourceType":"Patient","contained":[{"resourceType":"Smith"}]}`, []string{
			"Patient.contained[0]: unknown resource type",
		}},
		{"type is no string", `{"resourceType":17}`, []string{"invalid resource type"}},
		{"no type", `{"id":"Smith"}`, []string{`missing required field "resourceType"`}},
		{"not JSON", `Smith`, []string{"invalid JSON"}},
		{"no object", `["Smith"]`, []string{"invalid JSON"}},
		{"text behind", `{"resourceType":"Patient"} Smith`, []string{"invalid JSON"}},
		{"nothing", ``, []string{"invalid JSON"}},
	} {
		verdict := o.Judge([]byte(test.in))
		if diff := cmp.Diff(test.want, said(t, verdict)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if verdict != nil && strings.Contains(verdict.Error(), "Smith") {
			t.Errorf("%s: a value shows: %v", test.name, verdict)
		}
	}
}

// Arrays of unequal length are refused; in which words hangs on the order in which
// the library happens to meet the two.
func TestJudgeUnequalArrays(t *testing.T) {
	t.Parallel()
	o := newOpinion(t)
	for range 20 {
		got := said(t, o.Judge([]byte(`{"resourceType":"Patient","name":[{"given":["Smith"],"_given":[null,null]}]}`)))
		if len(got) == 0 {
			t.Fatal("accepted")
		}
		for _, complaint := range got {
			if !strings.HasPrefix(complaint, "Patient.name[0].") || strings.Contains(complaint, "Smith") {
				t.Errorf("complaint %q", complaint)
			}
		}
	}
}

// TestDisagreements holds the list in the package's comment: what passes here
// and should not, or the other way round.
func TestDisagreements(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		in       string
		accepted bool
	}{
		{"resource in parameters", `{"resourceType":"Parameters","parameter":[{"name":"a","resource":{"resourceType":"Patient","id":"a"}}]}`, false},
		{"meta in an extension", `{"resourceType":"Patient","extension":[{"url":"a","valueMeta":{"versionId":"1"}}]}`, false},
		{"reference to another type", `{"resourceType":"Patient","managingOrganization":{"reference":"Patient/1"}}`, false},
		{"reference to no type", `{"resourceType":"Patient","managingOrganization":{"reference":"Nothing/1"}}`, true},
		{"required binding", `{"resourceType":"Patient","gender":"m"}`, false},
		{"extensible binding", `{"resourceType":"Patient","maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"none such"}]}}`, true},
		{"invariant pat-1", `{"resourceType":"Patient","contact":[{"gender":"male"}]}`, true},
		{"empty object", `{"resourceType":"Patient","name":[{}]}`, true},
		{"empty array", `{"resourceType":"Patient","name":[]}`, true},
		{"empty string", `{"resourceType":"Patient","name":[{"family":""}]}`, true},
		{"property twice", `{"resourceType":"Patient","id":"a","id":"b"}`, true},
	} {
		if err := Judge([]byte(test.in)); (err == nil) != test.accepted {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestUnknownMessages: what jsonformat might say in another version stays
// unsaid.
func TestUnknownMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path string
		text string
		want []Complaint
	}{
		{"", `error at "Patient.id": cannot read John Smith`, []Complaint{{"Patient.id", withheld}}},
		{"", `json: John Smith`, []Complaint{{"", withheld}}},
		{"", `error at "Patient.John Smith.id": unknown field`, []Complaint{{"Patient.?", "unknown field"}}},
		{"Patient.name[0]", "missing required field \"family\"", []Complaint{{"Patient.name[0]", `missing required field "family"`}}},
		{"", "error at \"A\": unknown field\nerror at \"A\": unknown field\nerror at \"B\": invalid time", []Complaint{{"A", "unknown field"}, {"B", "invalid time"}}},
		{"", "invalid Smith", []Complaint{{"", withheld}}},
		{"", "invalid reference to a " + strings.Repeat("Smith", 80), []Complaint{{"", withheld}}},
	} {
		if diff := cmp.Diff(test.want, complaints(test.path, errors.New(test.text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	// The third line is longer than the reader's buffer.
	long := `{"resourceType":"Patient","name":[{"family":"` + strings.Repeat("a", 1<<17) + `"}]}`
	in := `{"resourceType":"Patient"}` + "\n\n" + long + "\r\n" + `{"resourceType":"Coverage"}` + "\n" + `{`
	o := newOpinion(t)
	got := map[int][]string{}
	err := o.Lines(t.Context(), strings.NewReader(in), func(line int, verdict error) error {
		got[line] = said(t, verdict)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int][]string{
		1: nil,
		3: nil,
		4: {`Coverage: missing required field "status"`, `Coverage: missing required field "beneficiary"`, `Coverage: missing required field "payor"`},
		5: {"invalid JSON"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}

	stop := errors.New("enough")
	if err := o.Lines(t.Context(), strings.NewReader(in), func(int, error) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := o.Lines(ctx, strings.NewReader(in), func(int, error) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("cancelled with %v", err)
	}
	if err := o.Lines(t.Context(), broken{}, func(int, error) error { return nil }); !errors.Is(err, errBroken) {
		t.Errorf("a broken reader gives %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
