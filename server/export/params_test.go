package export

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"remit/mapping/program"
)

func paramsContext(level Level) Context {
	return Context{
		ClientID: "alpha", Level: level, URL: "https://payer.example.org/fhir/$export", Base: "https://payer.example.org/fhir",
		Types: []program.Type{
			{Name: "Patient"}, {Name: "ExplanationOfBenefit"}, {Name: "Coverage"},
			{Name: "Organization", Reach: program.Shared}, {Name: "Group", Reach: program.Roster},
		},
		Known: func(s string) bool {
			return slices.Contains([]string{"Patient", "ExplanationOfBenefit", "Coverage", "Organization", "Group", "Observation"}, s)
		},
		Now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
	}
}

var systemTypes = []string{"Coverage", "ExplanationOfBenefit", "Group", "Organization", "Patient"}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return v.UTC()
}

// codes are the issues as "code expression".
func codes(issues []Issue) []string {
	var out []string
	for _, i := range issues {
		out = append(out, strings.TrimSpace(i.Code+" "+i.Expression))
	}
	return out
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	type want struct {
		types        []string
		since, until string
		notes        []string // expressions
		issues       []string
		paged        bool
	}
	for _, tc := range []struct {
		name, query string
		level       Level
		lenient     bool
		granted     []string // nil: all
		want        want
	}{
		{name: "BE-091 no parameters", want: want{types: systemTypes}},
		{name: "BE-070 output format", query: "_outputFormat=application/fhir%2Bndjson", want: want{types: systemTypes}},
		{name: "BE-070 application/ndjson", query: "_outputFormat=application/ndjson", want: want{types: systemTypes}},
		{name: "BE-063 plus became space", query: "_outputFormat=application/fhir+ndjson", want: want{types: systemTypes}},
		{name: "BE-071 media type parameter and case", query: "_outputFormat=Application/NDJSON%3Bcharset%3Dutf-8", want: want{types: systemTypes}},
		{name: "BE-070 short", query: "_outputFormat=ndjson", want: want{types: systemTypes}},
		{name: "BE-071 csv", query: "_outputFormat=text/csv", want: want{issues: []string{"not-supported _outputFormat"}}},
		{name: "BE-071 csv, lenient", query: "_outputFormat=text/csv", lenient: true, want: want{types: systemTypes, notes: []string{"_outputFormat"}}},
		{name: "BE-061 list", query: "_type=Patient,Coverage,ExplanationOfBenefit", want: want{types: []string{"Coverage", "ExplanationOfBenefit", "Patient"}}},
		{name: "BE-061 repetition", query: "_type=Patient&_type=Coverage&_type=ExplanationOfBenefit", want: want{types: []string{"Coverage", "ExplanationOfBenefit", "Patient"}}},
		{name: "BE-061 list and repetition", query: "_type=Patient&_type=Coverage,ExplanationOfBenefit", want: want{types: []string{"Coverage", "ExplanationOfBenefit", "Patient"}}},
		{name: "BE-096 spaces, blanks, duplicates", query: "_type=Patient,,%20Coverage%20,Patient", want: want{types: []string{"Coverage", "Patient"}}},
		{name: "BE-096 empty", query: "_type=", want: want{issues: []string{"value _type"}}},
		{name: "BE-096 case", query: "_type=patient", want: want{issues: []string{"value _type"}}},
		{name: "BE-096 no R4 type", query: "_type=Patient,Foo", want: want{issues: []string{"value _type"}}},
		{name: "BE-096 no R4 type, lenient", query: "_type=Patient,Foo", lenient: true, want: want{issues: []string{"value _type"}}},
		{name: "BE-094 not served", query: "_type=Patient,Observation", want: want{issues: []string{"not-supported _type"}}},
		{name: "BE-094 not served, lenient", query: "_type=Patient,Observation", lenient: true, want: want{types: []string{"Patient"}, notes: []string{"_type"}}},
		{name: "BE-094 nothing left, lenient", query: "_type=Observation", lenient: true, want: want{issues: []string{"not-supported _type"}}},
		{name: "BE-094 out of compartment", query: "_type=Organization", level: LevelPatient, want: want{issues: []string{"not-supported _type"}}},
		{name: "BE-094 out of compartment, lenient", query: "_type=Organization", level: LevelPatient, lenient: true, want: want{types: []string{"Organization"}}},
		{name: "BE-093 helpful types beside", query: "_type=Organization,Patient", level: LevelPatient, want: want{types: []string{"Organization", "Patient"}}},
		{name: "BE-091 system has shared types alone", query: "_type=Organization", want: want{types: []string{"Organization"}}},
		{name: "rosters at patient level", level: LevelPatient, want: want{types: []string{"Coverage", "ExplanationOfBenefit", "Organization", "Patient"}}},
		{name: "roster asked for at patient level", query: "_type=Group,Patient", level: LevelPatient, want: want{issues: []string{"not-supported _type"}}},
		{name: "roster at group level", query: "_type=Group", level: LevelGroup, want: want{types: []string{"Group"}}},
		{name: "BE-095 not granted", query: "_type=Patient,Coverage", granted: []string{"Patient"}, want: want{issues: []string{"forbidden _type"}}},
		{name: "BE-095 not granted, lenient", query: "_type=Patient,Coverage", granted: []string{"Patient"}, lenient: true, want: want{issues: []string{"forbidden _type"}}},
		{name: "BE-095 restricted in silence", granted: []string{"Patient"}, want: want{types: []string{"Patient"}}},
		{name: "BE-095 nothing granted", granted: []string{}, want: want{issues: []string{"forbidden"}}},
		{name: "BE-081 Z", query: "_since=2024-01-01T00:00:00Z", want: want{types: systemTypes, since: "2024-01-01T00:00:00Z"}},
		{name: "BE-081 fraction and offset", query: "_since=2024-01-01T00:00:00.123-07:00", want: want{types: systemTypes, since: "2024-01-01T07:00:00.123Z"}},
		{name: "BE-063 offset lost its plus", query: "_since=2024-01-01T05:00:00+05:00", want: want{types: systemTypes, since: "2024-01-01T00:00:00Z"}},
		{name: "BE-081 no seconds", query: "_since=2024-01-01T00:00Z", want: want{issues: []string{"value _since"}}},
		{name: "BE-081 no zone", query: "_since=2024-01-01T00:00:00", want: want{issues: []string{"value _since"}}},
		{name: "BE-081 date", query: "_since=2024-01-01", lenient: true, want: want{issues: []string{"value _since"}}},
		{name: "BE-081 no such day", query: "_since=2024-02-30T00:00:00Z", want: want{issues: []string{"value _since"}}},
		{name: "BE-081 future", query: "_since=2026-05-04T04:02:01Z", want: want{issues: []string{"value _since"}}},
		{name: "BE-081 future, lenient", query: "_since=2026-05-04T04:02:01Z", lenient: true, want: want{types: systemTypes, since: "2026-05-04T04:02:01Z", notes: []string{"_since"}}},
		{name: "BE-062 twice", query: "_since=2024-01-01T00:00:00Z&_since=2024-01-01T00:00:00Z", lenient: true, want: want{issues: []string{"structure _since"}}},
		{name: "BE-082 until", query: "_until=2024-01-01T00:00:00Z", want: want{types: systemTypes, until: "2024-01-01T00:00:00Z"}},
		{name: "BE-082 window", query: "_since=2024-01-01T00:00:00Z&_until=2024-01-01T00:00:00Z", lenient: true, want: want{issues: []string{"value _until"}}},
		{name: "BE-062 unknown", query: "_foo=1&Bar=2", want: want{issues: []string{"not-supported Bar", "not-supported _foo"}}},
		{name: "BE-054 unknown, lenient", query: "_foo=1&Bar=2", lenient: true, want: want{types: systemTypes, notes: []string{"Bar", "_foo"}}},
		{name: "BE-065 known but not supported", query: "_minimumFileSize=1&_maximumFileSize=2&includeAssociatedData=_x",
			want: want{issues: []string{"not-supported includeAssociatedData", "not-supported _minimumFileSize", "not-supported _maximumFileSize"}}},
		{name: "BE-150 whole manifests asked for", query: "allowPartialManifests=false", want: want{types: systemTypes}},
		{name: "BE-150 partial manifests", query: "allowPartialManifests=true", want: want{types: systemTypes, paged: true}},
		{name: "BE-150 neither", query: "allowPartialManifests=perhaps", want: want{issues: []string{"value allowPartialManifests"}}},
		{name: "BE-111 patient by GET", query: "patient=Patient/1", level: LevelPatient, want: want{issues: []string{"not-supported patient"}}},
		{name: "BE-111 patient by GET, lenient", query: "patient=Patient/1", level: LevelPatient, lenient: true, want: want{issues: []string{"not-supported patient"}}},
		{name: "all faults at once", query: "_since=x&_until=y&_type=Foo&_foo=1",
			want: want{issues: []string{"value _since", "value _until", "not-supported _foo", "value _type"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.level == "" {
				tc.level = LevelSystem
			}
			c := paramsContext(tc.level)
			c.Lenient = tc.lenient
			if tc.granted != nil {
				c.Granted = func(s string) bool { return slices.Contains(tc.granted, s) }
			}
			q, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			r, issues := ParseQuery(q, c)
			less := func(a, b string) bool { return a < b }
			if diff := cmp.Diff(tc.want.issues, codes(issues), cmpopts.EquateEmpty(), cmpopts.SortSlices(less)); diff != "" {
				t.Fatalf("issues (-want +got):\n%s", diff)
			}
			if len(issues) > 0 {
				if !cmp.Equal(r, Request{}) {
					t.Error("a refused request is not zero")
				}
				return
			}
			want := Request{ClientID: "alpha", Level: tc.level, Types: tc.want.types, URL: c.URL, Paged: tc.want.paged}
			if tc.want.since != "" {
				want.Since = at(t, tc.want.since)
			}
			if tc.want.until != "" {
				want.Until = at(t, tc.want.until)
			}
			var notes []string
			for _, n := range r.Notes {
				notes = append(notes, n.Expression)
				if n.Severity != "warning" || n.Code == "" || n.Text == "" {
					t.Errorf("note %+v", n)
				}
			}
			if diff := cmp.Diff(tc.want.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			r.Notes = nil
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// body makes a Parameters resource of name, value[x], value.
func body(t *testing.T, values ...any) []byte {
	t.Helper()
	list := []map[string]any{}
	for i := 0; i < len(values); i += 3 {
		list = append(list, map[string]any{"name": values[i], values[i+1].(string): values[i+2]})
	}
	data, err := json.Marshal(map[string]any{"resourceType": "Parameters", "parameter": list})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func reference(s string) map[string]any { return map[string]any{"reference": s} }

func TestParseParameters(t *testing.T) {
	t.Parallel()
	patientTypes := []string{"Coverage", "ExplanationOfBenefit", "Organization", "Patient"}
	for _, tc := range []struct {
		name     string
		body     []byte
		level    Level
		types    []string
		patients []string
		since    string
		notes    int
		issues   []string
		lenient  bool
	}{
		{name: "BE-035 empty body", types: patientTypes},
		{name: "BE-035 blank body", body: []byte(" \n"), types: patientTypes},
		{name: "BE-035 no parameter", body: []byte(`{"resourceType":"Parameters"}`), types: patientTypes},
		{name: "BE-035 empty array", body: []byte(`{"resourceType":"Parameters","parameter":[]}`), types: patientTypes},
		{name: "BE-035 another resource", body: []byte(`{"resourceType":"Patient"}`), issues: []string{"structure"}},
		{name: "BE-035 array", body: []byte(`[]`), issues: []string{"structure"}},
		{name: "BE-035 null", body: []byte(`null`), issues: []string{"structure"}},
		{name: "BE-035 no JSON", body: []byte(`_type=Patient`), issues: []string{"structure"}},
		{name: "BE-035 two bodies", body: []byte(`{"resourceType":"Parameters"}{}`), issues: []string{"structure"}},
		{name: "BE-035 parameter is an object", body: []byte(`{"resourceType":"Parameters","parameter":{}}`), issues: []string{"structure Parameters.parameter"}},
		{name: "BE-036 strings and codes", body: body(t, "_type", "valueString", "Patient,Coverage", "_type", "valueCode", "Organization", "_outputFormat", "valueString", "ndjson"),
			types: []string{"Coverage", "Organization", "Patient"}},
		{name: "BE-036 instant", body: body(t, "_since", "valueInstant", "2024-01-01T00:00:00Z"), types: patientTypes, since: "2024-01-01T00:00:00Z"},
		{name: "BE-036 dateTime", body: body(t, "_since", "valueDateTime", "2024-01-01T00:00:00+01:00"), types: patientTypes, since: "2023-12-31T23:00:00Z"},
		{name: "BE-036 boolean", body: body(t, "allowPartialManifests", "valueBoolean", false), types: patientTypes},
		{name: "BE-036 boolean true", body: body(t, "allowPartialManifests", "valueString", "maybe"), issues: []string{"value allowPartialManifests"}},
		{name: "BE-036 wrong type", body: body(t, "_since", "valueBoolean", true), lenient: true, issues: []string{"structure _since"}},
		{name: "BE-036 number in valueString", body: body(t, "_type", "valueString", 7), issues: []string{"structure _type"}},
		{name: "BE-036 coding", body: body(t, "includeAssociatedData", "valueCoding", map[string]any{"code": "LatestProvenanceResources"}), lenient: true, types: patientTypes, notes: 1},
		{name: "no value", body: []byte(`{"resourceType":"Parameters","parameter":[{"name":"_type"}]}`), issues: []string{"structure _type"}},
		{name: "two values", body: []byte(`{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient","valueCode":"Patient"}]}`), issues: []string{"structure _type"}},
		{name: "part", body: []byte(`{"resourceType":"Parameters","parameter":[{"name":"_type","part":[]}]}`), issues: []string{"structure _type"}},
		{name: "no name", body: []byte(`{"resourceType":"Parameters","parameter":[{"valueString":"x"}]}`), issues: []string{"structure Parameters.parameter[0]"}},
		{name: "BE-062 unknown", body: body(t, "_foo", "valueString", "x"), issues: []string{"not-supported _foo"}},
		{name: "BE-113 forms of reference", body: body(t, "patient", "valueReference", reference("Patient/b"), "patient", "valueReference", reference("/Patient/a"),
			"patient", "valueReference", reference("https://payer.example.org/fhir/Patient/b")), types: patientTypes, patients: []string{"a", "b"}},
		{name: "BE-113 other types", body: body(t, "patient", "valueReference", reference("Group/1"), "patient", "valueReference", reference("https://other.example.org/fhir/Patient/1"),
			"patient", "valueReference", reference("Patient/1/_history/2")), lenient: true, issues: []string{"value patient", "value patient", "value patient"}},
		{name: "BE-113 identifier only", body: body(t, "patient", "valueReference", map[string]any{"identifier": map[string]any{"value": "1"}}), issues: []string{"structure patient"}},
		{name: "BE-111 patient at system level", level: LevelSystem, lenient: true, body: body(t, "patient", "valueReference", reference("Patient/1")), issues: []string{"not-supported patient"}},
		{name: "BE-110 group of others for one patient", level: LevelGroup, body: body(t, "patient", "valueReference", reference("Patient/1")), types: patientTypes, patients: []string{"1"}},
		{name: "BE-110 group asked for with patients", level: LevelGroup, body: body(t, "patient", "valueReference", reference("Patient/1"), "_type", "valueString", "Group"), issues: []string{"not-supported _type"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.level == "" {
				tc.level = LevelPatient
			}
			c := paramsContext(tc.level)
			c.Lenient = tc.lenient
			r, issues := ParseParameters(tc.body, c)
			if diff := cmp.Diff(tc.issues, codes(issues)); diff != "" {
				t.Fatalf("issues (-want +got):\n%s\n%v", diff, issues)
			}
			if len(issues) > 0 {
				return
			}
			if len(r.Notes) != tc.notes {
				t.Errorf("notes %v, want %d", r.Notes, tc.notes)
			}
			r.Notes = nil
			want := Request{ClientID: "alpha", Level: tc.level, Types: tc.types, Patients: tc.patients, URL: c.URL}
			if tc.since != "" {
				want.Since = at(t, tc.since)
			}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBE112IssuesNameNoPatient keeps member ids out of texts that may be logged.
func TestBE112IssuesNameNoPatient(t *testing.T) {
	t.Parallel()
	_, issues := ParseParameters(body(t, "patient", "valueReference", reference("Member/SECRET-1")), paramsContext(LevelPatient))
	if len(issues) != 1 || strings.Contains(issues[0].Text, "SECRET") || !strings.Contains(issues[0].Text, "1st patient") {
		t.Errorf("issues %v", issues)
	}
}

// TestBE096NearestType suggests a served type for a name that is none.
func TestBE096NearestType(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"_type=patients":                     `"patients" is not a FHIR R4 resource type; did you mean "Patient"?`,
		"_type=Foo":                          `"Foo" is not a FHIR R4 resource type`,
		"_typeFilter=Coverages%3Fstatus%3Dx": `"Coverages" is not a FHIR R4 resource type; did you mean "Coverage"?`,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, issues := ParseQuery(values, paramsContext(LevelSystem))
		if len(issues) != 1 || issues[0].Text != want {
			t.Errorf("%s: %v, want %s", query, issues, want)
		}
	}
}

// TestBE060ParameterTable holds the table's claims against its code.
func TestBE060ParameterTable(t *testing.T) {
	t.Parallel()
	for _, p := range parameters() {
		if p.Supported != (p.read != nil) {
			t.Errorf("%s: Supported is %v", p.Name, p.Supported)
		}
		if p.Supported && p.Doc == "" || len(p.post) == 0 || len(p.Levels) == 0 || p.Type == "" {
			t.Errorf("%s: the row is not complete", p.Name)
		}
	}
}

func FuzzKickoff(f *testing.F) {
	for _, seed := range []string{
		"_type=Patient&_since=2024-01-01T00:00:00Z", "_outputFormat=application/fhir+ndjson", "patient=Patient/1&_foo",
		`{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/1"}}]}`,
		"[", "{}", "null", "_until=9999-12-31T23:59:59.999999999+14:00",
	} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(7))
	}
	f.Fuzz(func(t *testing.T, text string, how uint8) {
		if len(text) > 10<<10 {
			return
		}
		c := paramsContext([]Level{LevelSystem, LevelPatient, LevelGroup}[how%3])
		c.Lenient = how&4 != 0
		check := func(r Request, issues []Issue) {
			if len(issues) == 0 && len(r.Types) == 0 {
				t.Error("a request without types and without issues")
			}
			if len(issues) > 0 && !cmp.Equal(r, Request{}) {
				t.Error("a request beside issues")
			}
			if len(issues) > maxRefusals || len(r.Notes) > maxRefusals+1 {
				t.Errorf("%d issues, %d notes", len(issues), len(r.Notes))
			}
		}
		if q, err := url.ParseQuery(text); err == nil {
			check(ParseQuery(q, c))
		}
		check(ParseParameters([]byte(text), c))
	})
}
