package r4

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// examples are the published examples by file name.
func examples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = data
	}
	return all
}

// decode is JSON as Go values, numbers as text.
func decode(t testing.TB, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestExamples parses published examples and writes them again: the same JSON,
// every value lexically right, every node in the specification's order.
func TestExamples(t *testing.T) {
	t.Parallel()
	var p Parser
	var r, again Resource
	for name, data := range examples(t) {
		if problems := p.Parse(data, &r); problems != nil {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		checkLinks(t, &r)
		out := r.AppendJSON(nil)
		if diff := cmp.Diff(decode(t, data), decode(t, out)); diff != "" {
			t.Errorf("%s (-published +written):\n%s", name, diff)
		}
		for n := range Node(r.Len()) {
			if v := r.Value(n); v != nil && !ValidPrimitive(r.TypeOf(n), v) {
				t.Errorf("%s: %s is no %s", name, r.Path(n), r.TypeOf(n).Name())
			}
			if next := r.Next(n); next != None && r.ElementOf(next).Index() < r.ElementOf(n).Index() {
				t.Errorf("%s: %s stands before %s", name, r.Path(n), r.Path(next))
			}
		}
		if problems := p.Parse(out, &again); problems != nil {
			t.Errorf("%s, written again: %v", name, problems)
		}
		if got := again.AppendJSON(nil); !bytes.Equal(got, out) {
			t.Errorf("%s: not the same when written twice:\n%s\n%s", name, out, got)
		}
	}
}

// TestParse_2_6 gives JSON and holds what is written of its tree.
func TestParse_2_6(t *testing.T) {
	t.Parallel()
	const absent = `{"extension":[{"url":"u","valueCode":"c"}]}`
	for _, test := range []struct{ name, in, want string }{
		{"least", `{"resourceType":"Patient"}`, `{"resourceType":"Patient"}`},
		{"white space", " \t\r\n{ \"resourceType\" :\n\"Patient\" ,\t\"active\" : true }\n", `{"resourceType":"Patient","active":true}`},
		{"type last", `{"active":true,"name":[{"family":"{\"resourceType\":1}"}],"resourceType":"Patient"}`,
			`{"resourceType":"Patient","active":true,"name":[{"family":"{\"resourceType\":1}"}]}`},
		{"order", `{"resourceType":"Patient","birthDate":"2020","name":[{"given":["a"],"family":"b"},{"text":"c"}],"id":"x"}`,
			`{"resourceType":"Patient","id":"x","name":[{"family":"b","given":["a"]},{"text":"c"}],"birthDate":"2020"}`},
		{"escaped", `{"\u0072esourceType":"P\u0061tient","n\u0061me":[{"family":"\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e\u4e16"}]}`,
			`{"resourceType":"Patient","name":[{"family":"\"\\/\b\f\n\r\té𝄞世"}]}`},
		{"exact numbers", `{"resourceType":"Observation","valueQuantity":{"value":1.00}}`, `{"resourceType":"Observation","valueQuantity":{"value":1.00}}`},
		{"great numbers", `{"resourceType":"Observation","valueQuantity":{"value":-123456789012345678901234567890.000E+400}}`,
			`{"resourceType":"Observation","valueQuantity":{"value":-123456789012345678901234567890.000E+400}}`},
		{"under after", `{"resourceType":"Patient","birthDate":"2020","_birthDate":` + absent + `}`,
			`{"resourceType":"Patient","birthDate":"2020","_birthDate":` + absent + `}`},
		{"under before", `{"resourceType":"Patient","_birthDate":` + absent + `,"gender":"male","birthDate":"2020"}`,
			`{"resourceType":"Patient","gender":"male","birthDate":"2020","_birthDate":` + absent + `}`},
		{"under alone", `{"resourceType":"Patient","_birthDate":` + absent + `}`, `{"resourceType":"Patient","_birthDate":` + absent + `}`},
		{"under with id", `{"resourceType":"Patient","_gender":{"id":"g"}}`, `{"resourceType":"Patient","_gender":{"id":"g"}}`},
		{"under of id", `{"resourceType":"Patient","_id":` + absent + `}`, `{"resourceType":"Patient","_id":` + absent + `}`},
		{"nulls", `{"resourceType":"Patient","name":[{"given":["a",null,"b"],"_given":[null,` + absent + `,` + absent + `]}]}`,
			`{"resourceType":"Patient","name":[{"given":["a",null,"b"],"_given":[null,` + absent + `,` + absent + `]}]}`},
		{"nulls before", `{"resourceType":"Patient","name":[{"_given":[null,` + absent + `],"suffix":["x"],"given":["a",null]}]}`,
			`{"resourceType":"Patient","name":[{"given":["a",null],"_given":[null,` + absent + `],"suffix":["x"]}]}`},
		{"array of extensions alone", `{"resourceType":"Patient","name":[{"_given":[` + absent + `]}]}`,
			`{"resourceType":"Patient","name":[{"_given":[` + absent + `]}]}`},
		{"contained", `{"contained":[{"id":"o","resourceType":"Organization"},{"resourceType":"Patient"}],"resourceType":"Patient"}`,
			`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}]}`},
		{"an element called resourceType", `{"resourceType":"ExampleScenario","instance":[{"resourceId":"a","resourceType":"Patient"}]}`,
			`{"resourceType":"ExampleScenario","instance":[{"resourceId":"a","resourceType":"Patient"}]}`},
		{"reference by type", `{"resourceType":"ExplanationOfBenefit","item":[{"detail":[{"adjudication":[{"value":1}]}]}]}`,
			`{"resourceType":"ExplanationOfBenefit","item":[{"detail":[{"adjudication":[{"value":1}]}]}]}`},
		{"extension of an extension", `{"resourceType":"Patient","extension":[{"url":"a","extension":[{"url":"b","valueString":"c"}]}]}`,
			`{"resourceType":"Patient","extension":[{"extension":[{"url":"b","valueString":"c"}],"url":"a"}]}`},
	} {
		var p Parser
		var r Resource
		if problems := p.Parse([]byte(test.in), &r); problems != nil {
			t.Errorf("%s: %v", test.name, problems)
			continue
		}
		checkLinks(t, &r)
		if got := string(r.AppendJSON(nil)); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestParseProblems gives broken JSON and holds the problems, and what is left
// in the tree.
func TestParseProblems(t *testing.T) {
	t.Parallel()
	deep := func(n int) string {
		return `{"resourceType":"Patient",` + strings.Repeat(`"extension":[{`, n) + `"url":"a"` + strings.Repeat(`}]`, n) + `}`
	}
	for _, test := range []struct {
		name string
		in   string // the members after resourceType, or a whole document
		want []string
		left string // the members after resourceType; "-" for no tree
	}{
		{"unknown element", `"nam":[],"gender":"male"`, []string{
			`Patient.nam 26 unknown-element not an element of Patient; did you mean "name"?`,
		}, `"gender":"male"`},
		{"unknown element deep down", `"contact":[{},{"name":{"familly":"x"}}]`, []string{
			`Patient.contact[0] 37 empty empty object`,
			`Patient.contact[1].name.familly 49 unknown-element not an element of HumanName; did you mean "family"?`,
		}, ``},
		{"unknown element, letters swapped", `"brithDate":1`, []string{`Patient.brithDate 26 unknown-element not an element of Patient; did you mean "birthDate"?`}, ``},
		{"unknown element, wrong case", `"BIRTHDATE":1`, []string{`Patient.BIRTHDATE 26 unknown-element not an element of Patient; did you mean "birthDate"?`}, ``},
		{"unknown element like none", `"somethingElse":{"a":[1,{"b":null}]}`, []string{`Patient.somethingElse 26 unknown-element not an element of Patient`}, ``},
		{"unknown element that may be a value", `"John 555-1234":1`, []string{`Patient.? 26 unknown-element not an element of Patient`}, ``},
		{"choice without type", `"deceased":true`, []string{
			`Patient.deceased 26 unknown-element not an element of Patient; a choice is named with its type, such as "deceasedBoolean"`,
		}, ``},
		{"under of no primitive", `"_name":[{"id":"a"}]`, []string{
			`Patient._name 26 unknown-element only primitives have their id and extension in a property of their own`,
		}, ``},
		{"under of an element's id", `"name":[{"id":"a","_id":{"id":"b"}}]`, []string{
			`Patient.name[0]._id 44 unknown-element the element cannot have an id or extension`,
		}, `"name":[{"id":"a"}]`},
		{"under of an extension's url", `"extension":[{"url":"a","_url":{"id":"b"}}]`, []string{
			`Patient.extension[0]._url 50 unknown-element the element cannot have an id or extension`,
		}, `"extension":[{"url":"a"}]`},
		{"twice", `"id":"a","id":{"a":"b"},"_id":{"id":"x"},"_id":1`, []string{
			`Patient.id 35 duplicate-key the property stands here a second time`,
			`Patient._id 67 duplicate-key the property stands here a second time`,
		}, `"id":"a","_id":{"id":"x"}`},
		{"type twice", `"resourceType":"Observation"`, []string{`Patient.resourceType 26 duplicate-key the property stands here a second time`}, ``},
		{"wrong JSON type of primitives", `"active":"true","gender":true,"birthDate":2020,"multipleBirthInteger":"2","deceasedBoolean":1`, []string{
			`Patient.active 35 wrong-json-type expected true or false, found a string`,
			`Patient.gender 51 wrong-json-type expected a string, found true or false`,
			`Patient.birthDate 68 wrong-json-type expected a string, found a number`,
			`Patient.multipleBirthInteger 96 wrong-json-type expected a number, found a string`,
			`Patient.deceasedBoolean 118 wrong-json-type expected true or false, found a number`,
		}, `"active":true,"gender":"true","birthDate":"2020","deceasedBoolean":"1","multipleBirthInteger":2`},
		{"object for a primitive", `"gender":{"value":"male"},"name":[{"given":[["a"],"b"]}]`, []string{
			`Patient.gender 35 wrong-json-type expected a string, found an object`,
			`Patient.name[0].given[0] 70 wrong-json-type expected a string, found an array`,
		}, `"name":[{"given":["b"]}]`},
		{"primitive for an object", `"name":["a",{"family":1},[]],"maritalStatus":"M"`, []string{
			`Patient.name[0] 34 wrong-json-type expected an object, found a string`,
			`Patient.name[1].family 48 wrong-json-type expected a string, found a number`,
			`Patient.name[2] 51 wrong-json-type expected an object, found an array`,
			`Patient.maritalStatus 71 wrong-json-type expected an object, found a string`,
		}, `"name":[{"family":"1"}]`},
		{"array expected", `"name":{"given":"a","_given":{"id":"b"}}`, []string{
			`Patient.name 33 array-expected the element repeats, expected an array`,
			`Patient.name[0].given 42 array-expected the element repeats, expected an array`,
			`Patient.name[0].given 55 array-expected the element repeats, expected an array`,
		}, `"name":[{"given":["a"],"_given":[{"id":"b"}]}]`},
		{"array unexpected", `"gender":["male"],"maritalStatus":[{"text":"M"}]`, []string{
			`Patient.gender 35 array-unexpected the element does not repeat, found an array`,
			`Patient.maritalStatus 60 array-unexpected the element does not repeat, found an array`,
		}, `"gender":"male","maritalStatus":{"text":"M"}`},
		{"nulls", `"gender":null,"_birthDate":null,"maritalStatus":null,"name":[null,{"given":[null,"a"]}]`, []string{
			`Patient.gender 35 null-unexpected null outside of an array`,
			`Patient._birthDate 53 null-unexpected null outside of an array`,
			`Patient.maritalStatus 74 null-unexpected expected an object, found null`,
			`Patient.name[0] 87 null-unexpected expected an object, found null`,
			`Patient.name[1].given[0] 102 null-unexpected null here and nothing beside it`,
		}, `"name":[{"given":["a"]}]`},
		{"nulls on both sides", `"name":[{"given":[null,"a"],"_given":[null,{"id":"b"}]},{"_given":[null]}]`, []string{
			`Patient.name[0].given[0] 44 null-unexpected null here and nothing beside it`,
			`Patient.name[1].given[0] 93 null-unexpected null here and nothing beside it`,
		}, `"name":[{"given":["a"],"_given":[{"id":"b"}]}]`},
		{"arrays of different length", `"name":[{"given":["a"],"_given":[null,{"id":"b"}]},{"_given":[{"id":"b"}],"given":["a","b"]}]`, []string{
			`Patient.name[0].given 58 array-length "given" and "_given" have different lengths`,
			`Patient.name[1].given 108 array-length "given" and "_given" have different lengths`,
		}, `"name":[{"given":["a",null],"_given":[null,{"id":"b"}]},{"given":["a","b"],"_given":[{"id":"b"},null]}]`},
		{"under is no object", `"_gender":"x","name":[{"_given":["x",17]}]`, []string{
			`Patient._gender 36 wrong-json-type expected an object with id or extension, found a string`,
			`Patient.name[0]._given[0] 59 wrong-json-type expected an object with id or extension, found a string`,
			`Patient.name[0]._given[1] 63 wrong-json-type expected an object with id or extension, found a number`,
		}, ``},
		{"empty", `"gender":"","name":[],"contact":[{"telecom":[{}]}],"_birthDate":{}`, []string{
			`Patient.gender 35 empty empty string`,
			`Patient.name 45 empty empty array`,
			`Patient.contact[0].telecom[0] 71 empty empty object`,
			`Patient.birthDate 90 empty empty object`,
		}, ``},
		{"not UTF-8", "\"id\":\"a\xffb\",\"n\xff\":1", []string{
			`Patient.id 31 invalid-utf8 the string is not valid UTF-8`,
			`Patient.? 37 unknown-element not an element of Patient`,
		}, "\"id\":\"a\uFFFDb\""},
		{"half surrogates", `"name":[{"text":"a\ud834b","family":"\udd1e\ud834","prefix":["\ud834\ud834\udd1e"]}]`, []string{
			`Patient.name[0].text 42 lone-surrogate the string has half a surrogate pair`,
			`Patient.name[0].family 62 lone-surrogate the string has half a surrogate pair`,
			`Patient.name[0].prefix[0] 87 lone-surrogate the string has half a surrogate pair`,
		}, "\"name\":[{\"text\":\"a\uFFFDb\",\"family\":\"\uFFFD\uFFFD\",\"prefix\":[\"\uFFFD𝄞\"]}]"},
		{"NUL", `"id":"a\u0000"`, []string{`Patient.id 31 nul-character the string has the character U+0000`}, `"id":"a\u0000"`},
		{"contained without type", `"contained":[{"id":"a"},{"resourceType":"Nothing"},{"resourceType":1},{"resourceType":"Period"},{"resourceType":"Patients"},1,{"resourceType":"Patient","x":1,"id":"a"}]`, []string{
			`Patient.contained[0] 39 not-a-resource no resourceType`,
			`Patient.contained[1] 50 not-a-resource resourceType is not a resource type of R4`,
			`Patient.contained[2] 77 not-a-resource resourceType is not a string`,
			`Patient.contained[3] 96 not-a-resource resourceType is not a resource type of R4; did you mean "Person"?`,
			`Patient.contained[4] 122 not-a-resource resourceType is not a resource type of R4; did you mean "Patient"?`,
			`Patient.contained[5] 150 wrong-json-type expected an object, found a number`,
			`Patient.contained[6].x 178 unknown-element not an element of Patient`,
		}, `"contained":[{"resourceType":"Patient","id":"a"}]`},
		{"no resource in a bundle", `{"resourceType":"Bundle","entry":[{"resource":{"id":"a"}},{"resource":null}]}`, []string{
			`Bundle.entry[0].resource 46 not-a-resource no resourceType`,
			`Bundle.entry[1].resource 70 null-unexpected expected an object, found null`,
		}, "Bundle"},
		{"problems in a contained resource", `"contained":[{"id":"a","resourceType":"Organization","nam":1}]`, []string{
			`Patient.contained[0].nam 79 unknown-element not an element of Organization; did you mean "name"?`,
		}, `"contained":[{"resourceType":"Organization","id":"a"}]`},
		{"type of a datatype", `"maritalStatus":{"resourceType":"CodeableConcept","text":"a"}`, []string{
			`Patient.maritalStatus.resourceType 43 unknown-element not an element of CodeableConcept`,
		}, `"maritalStatus":{"text":"a"}`},
		{"deep enough", deep(63), nil, deep(63)[len(`{"resourceType":"Patient",`) : len(deep(63))-1]},
		{"too deep", deep(64), []string{
			`Patient` + strings.Repeat(".extension[0]", 64) + ` 921 too-deep more than 64 objects within each other`,
		}, ``},

		{"nothing", ``, []string{` 0 json the text ends too early`}, "-"},
		{"white space alone", "  \n", []string{` 3 json the text ends too early`}, "-"},
		{"an array", `[{"resourceType":"Patient"}]`, []string{` 0 not-a-resource expected an object, found an array`}, "-"},
		{"a number", `17`, []string{` 0 not-a-resource expected an object, found a number`}, "-"},
		{"no type", `{"id":"a"}`, []string{` 0 not-a-resource no resourceType`}, "-"},
		{"empty object", `{}`, []string{` 0 not-a-resource no resourceType`}, "-"},
		{"type no string", `{"resourceType":["Patient"]}`, []string{` 0 not-a-resource resourceType is not a string`}, "-"},
		{"type unknown", `{"resourceType":"ExplanationOfBenefits"}`, []string{
			` 0 not-a-resource resourceType is not a resource type of R4; did you mean "ExplanationOfBenefit"?`,
		}, "-"},
		{"type is a backbone element", `{"resourceType":"Patient.contact"}`, []string{` 0 not-a-resource resourceType is not a resource type of R4`}, "-"},
		{"byte order mark", "\uFEFF{}", []string{` 0 json begins with a byte order mark, which JSON must not have`}, "-"},
		{"XML", `<Patient xmlns="http://hl7.org/fhir"/>`, []string{` 0 json expected JSON, found what looks like XML`}, "-"},
		{"text behind", `{"resourceType":"Patient"} {}`, []string{` 27 json unexpected text behind the resource`}, "-"},
		{"cut off", `{"resourceType":"Patient","id":"a`, []string{` 33 json the text ends too early`}, "-"},
		{"cut off in an escape", `{"resourceType":"Patient","id":"a\u00`, []string{` 34 json expected four hexadecimal digits`}, "-"},
		{"comma at the end", `{"resourceType":"Patient","id":"a",}`, []string{` 35 json expected a property`}, "-"},
		{"comma at the end before the type", `{"id":"a",}`, []string{` 10 json expected a property`}, "-"},
		{"comma at the end of an array", `{"resourceType":"Patient","name":[{"text":"a"},]}`, []string{` 47 json expected a value`}, "-"},
		{"no comma", `{"resourceType":"Patient" "id":"a"}`, []string{` 26 json expected a comma or the end of the object`}, "-"},
		{"no comma in an array", `{"resourceType":"Patient","name":[{"text":"a"}{"text":"b"}]}`, []string{` 46 json expected a comma or the end of the array`}, "-"},
		{"no colon", `{"resourceType":"Patient","id" "a"}`, []string{` 31 json expected a colon`}, "-"},
		{"key without quotes", `{"resourceType":"Patient",id:"a"}`, []string{` 26 json expected a property`}, "-"},
		{"apostrophes", `{"resourceType":"Patient","id":'a'}`, []string{` 31 json expected a value`}, "-"},
		{"comment", `{"resourceType":"Patient"/* a */}`, []string{` 25 json expected a comma or the end of the object`}, "-"},
		{"line end in a string", "{\"resourceType\":\"Patient\",\"id\":\"a\nb\"}", []string{` 33 json control character in a string`}, "-"},
		{"unknown escape", `{"resourceType":"Patient","id":"\x"}`, []string{` 33 json unknown escape in a string`}, "-"},
		{"leading zero", `{"resourceType":"Patient","multipleBirthInteger":01}`, []string{` 50 json expected a comma or an end`}, "-"},
		{"NaN", `{"resourceType":"Observation","valueQuantity":{"value":NaN}}`, []string{` 55 json expected a value`}, "-"},
		{"plus", `{"resourceType":"Observation","valueQuantity":{"value":+1}}`, []string{` 55 json expected a value`}, "-"},
		{"word", `{"resourceType":"Patient","active":truely}`, []string{` 39 json expected a comma or an end`}, "-"},
		{"fault in what is skipped", `{"resourceType":"Patient","unknown":{"a":[1,{"b" 1}]},"id":"a"}`, []string{
			`Patient.unknown 26 unknown-element not an element of Patient`,
			` 49 json expected a colon`,
		}, "-"},
	} {
		in, left := test.in, test.left
		if test.left != "-" && !strings.HasPrefix(in, "{") {
			in = `{"resourceType":"Patient",` + in + `}`
		}
		var p Parser
		var r Resource
		var got []string
		for _, problem := range p.Parse([]byte(in), &r) {
			got = append(got, fmt.Sprintf("%s %d %s %s", problem.Path, problem.Offset, problem.Code, problem.Message))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +problems):\n%s", test.name, diff)
		}
		if left == "-" {
			if r.Type() != nil || r.Len() != 1 {
				t.Errorf("%s: a tree is left", test.name)
			}
			continue
		}
		if left == "Bundle" {
			if got := string(r.AppendJSON(nil)); got != `{"resourceType":"Bundle"}` {
				t.Errorf("%s: left is %s", test.name, got)
			}
			continue
		}
		if left != "" {
			left = "," + left
		}
		if got, want := string(r.AppendJSON(nil)), `{"resourceType":"Patient"`+left+`}`; got != want {
			t.Errorf("%s: left is\n%s\nwant\n%s", test.name, got, want)
		}
		checkLinks(t, &r)
	}
}

func TestParserLimits(t *testing.T) {
	t.Parallel()
	var r Resource
	codes := func(p *Parser, in string) (codes []string) {
		for _, problem := range p.Parse([]byte(in), &r) {
			codes = append(codes, problem.Code)
		}
		return codes
	}
	p := &Parser{MaxBytes: 30}
	if diff := cmp.Diff([]string{CodeTooLarge}, codes(p, `{"resourceType":"Patient","id":"abc"}`)); diff != "" {
		t.Error(diff)
	}
	if r.Type() != nil {
		t.Error("a tree is left")
	}
	if got := codes(p, `{"resourceType":"Patient"}`); got != nil {
		t.Error(got)
	}
	p = &Parser{MaxProblems: 3}
	many := `{"resourceType":"Patient","a":1,"b":2,"c":3,"d":4,"e":5}`
	if diff := cmp.Diff([]string{CodeUnknownElement, CodeUnknownElement, CodeUnknownElement, CodeTooMany}, codes(p, many)); diff != "" {
		t.Error(diff)
	}
	if r.Type() != nil {
		t.Error("a tree is left")
	}
	p = &Parser{MaxDepth: 2}
	if diff := cmp.Diff([]string{CodeTooDeep}, codes(p, `{"resourceType":"Patient","contact":[{"name":{"text":"a"}}]}`)); diff != "" {
		t.Error(diff)
	}
	// Brackets without end do not use up the stack.
	if diff := cmp.Diff([]string{CodeUnknownElement, CodeJSON}, codes(new(Parser), `{"resourceType":"Patient","x":`+strings.Repeat("[", 1<<20))); diff != "" {
		t.Error(diff)
	}
}

// TestParserReuse: nothing of one document is seen in the next.
func TestParserReuse(t *testing.T) {
	t.Parallel()
	var p Parser
	var r Resource
	for _, bad := range []string{
		`{"resourceType":"Patient","name":[{"given":[null`,
		`{"resourceType":"Patient","name":[{"given":[null]}],"id":"a","x":1}`,
		``,
	} {
		if p.Parse([]byte(bad), &r) == nil {
			t.Errorf("no problem in %s", bad)
		}
		const good = `{"resourceType":"Patient","id":"b","name":[{"given":["a"]}]}`
		if problems := p.Parse([]byte(good), &r); problems != nil {
			t.Errorf("after %s: %v", bad, problems)
		}
		if got := string(r.AppendJSON(nil)); got != good {
			t.Errorf("after %s: %s", bad, got)
		}
	}
}

// TestProblemsHoldNoValue plants a word in every place of a value.
func TestProblemsHoldNoValue(t *testing.T) {
	t.Parallel()
	const word = "Zyx Wvut"
	var p Parser
	var r Resource
	for _, in := range []string{
		`{"resourceType":"` + word + `"}`,
		`{"resourceType":"Patient","gender":["` + word + `"],"active":"` + word + `","name":"` + word + `","` + word + `":"` + word + `"}`,
		`{"resourceType":"Patient","contained":[{"resourceType":"` + word + `"}],"id":"` + word + `\ud800","id":"` + word + `","_id":"` + word + `"}`,
		`{"resourceType":"Patient","id":` + word + `}`,
	} {
		problems := p.Parse([]byte(in), &r)
		if problems == nil {
			t.Errorf("no problem in %s", in)
		}
		if s := fmt.Sprint(problems); strings.Contains(s, "Zyx") || strings.Contains(s, "Wvut") {
			t.Errorf("%s holds the value", s)
		}
	}
}

func seeds(f *testing.F) {
	for _, data := range examples(f) {
		if len(data) < 3<<10 { // longer ones are slow to make smaller again
			f.Add(data)
		}
	}
	for _, s := range []string{
		`{"resourceType":"Patient","name":[{"_given":[null,{"id":"a"}],"suffix":["x"],"given":["a",null]}]}`,
		`{"contained":[{"id":"o","resourceType":"Organization"}],"resourceType":"Patient","nam":1,"id":"\ud834\udd1e\u0000"}`,
		`{"resourceType":"Patient","name":{"given":[["a"],"b",1e5]},"id":"a","id":"b","_id":null,"active":"true"}`,
		`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","valueQuantity":{"value":1.00}}}]}`,
		`[`, `{`, ``, `{"a":{}}`,
	} {
		f.Add([]byte(s))
	}
}

// checkParse holds what is true of every text: the verdict on what is JSON is
// that of the standard library; problems lie inside the text; the tree, whatever
// is left in it, is written as JSON. It returns what is not so.
func checkParse(data []byte) string {
	p := Parser{MaxProblems: 1 << 20}
	var r Resource
	problems := p.Parse(data, &r)
	notJSON := false
	for _, problem := range problems {
		notJSON = notJSON || problem.Code == CodeJSON
		if problem.Offset < 0 || problem.Offset > len(data) {
			return fmt.Sprintf("%+v lies outside", problem)
		}
	}
	if valid := json.Valid(data); notJSON && valid || problems == nil && !valid {
		return fmt.Sprintf("JSON: %t, problems: %+v", valid, problems)
	}
	if out := r.AppendJSON(nil); !json.Valid(out) {
		return fmt.Sprintf("written is %s", out)
	}
	return ""
}

// FuzzParse: no panic, and what checkParse asks.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10<<10 {
			return
		}
		if err := checkParse(data); err != "" {
			t.Fatal(err)
		}
	})
}

// FuzzResourceJSON: what parses without a problem is written as the same JSON,
// and that, parsed and written again, does not change any more.
func FuzzResourceJSON(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10<<10 {
			return
		}
		var p Parser
		var r, again Resource
		if p.Parse(data, &r) != nil {
			return
		}
		out := r.AppendJSON(nil)
		if diff := cmp.Diff(prune(decode(t, data)), decode(t, out)); diff != "" {
			t.Fatalf("-in +out:\n%s", diff)
		}
		if problems := p.Parse(out, &again); problems != nil {
			t.Fatalf("%s: %v", out, problems)
		}
		if second := again.AppendJSON(nil); !bytes.Equal(out, second) {
			t.Fatalf("once  %s\ntwice %s", out, second)
		}
	})
}

// prune leaves out of v what the writer leaves out: resources that are
// contained and empty, and what is empty without them.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if child = prune(child); child == nil {
				delete(v, k)
			} else {
				v[k] = child
			}
		}
		return v
	case []any:
		kept := v[:0]
		for _, child := range v {
			child = prune(child)
			m, ok := child.(map[string]any)
			if ok && m["resourceType"] != nil && len(m) == 1 {
				continue
			}
			kept = append(kept, child)
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	}
	return v
}
