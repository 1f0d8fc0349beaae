package workbook

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/library"
	"remit/profiles"
)

// definitions opens the bundled definitions once for all tests.
var definitions = sync.OnceValues(func() (*profiles.Set, error) { return profiles.Open(profiles.Options{}) })

func defs(t testing.TB) *profiles.Set {
	t.Helper()
	d, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB, files fs.FS) *Set {
	t.Helper()
	var diags diag.List
	s, err := Open(files, "test", &diags)
	if err != nil {
		t.Fatal(err)
	}
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, s *Set, o Options) []byte {
	t.Helper()
	var diags diag.List
	var out bytes.Buffer
	if err := Write(&out, s, defs(t), o, &diags); err != nil {
		t.Fatal(err)
	}
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// small is a set with every form of scalar that an import meets.
func small() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"sources.yaml": file(`# The sources.
sources:
  person: {table: member, key: [id], patient: id}
  phone: {table: phone, parent: person, order: [n]}
maps:
  gender: {m: male, f: female, default: unknown}   # keep this
  # what the states are called
  state:
    Ohio: OH   # a comment
    "007": XX
    missing: omit
  plan: {csv: plan.csv, key: [state, plan], value: code}
`),
		"plan.csv": file("state,plan,code,remark\nOH,\"Gold, plus\",G1,first\nOH,Silver,\"S\"\"1\",\n"),
		"patient.yaml": file(`# A member.
resource: Patient
profile: C4BB-Patient|2.1.0
from: person
id: {key: [=id, =mail]}
set:
  identifier[memberid]: {system: "https://payer.example/member", value: =id}  # the card
  name: {family: =last, given: '=upper(''x'' || first)'}
  telecom:
    - each: phone
      system: phone
      value: =number
    - {system: email, value: "=mail"}
  gender: {assumed: unknown}
  birthDate: |
    =CAST(
      born AS DATE)
  # a person's home
  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}
  generalPractitioner: {ref: Practitioner, key: [npi, =npi]}
  active: true
`),
		"doctor.yaml": file("resource: Practitioner\r\nfrom: person\r\nid: {key: [npi, =npi], unique: true}\r\nset:\r\n  name: {family: =npi}\r\n  active: true"),
	}
}

// fill sets cells of a workbook by path and column.
type fill struct{ sheet, path, column, value string }

// edited gives a workbook with cells filled in.
func edited(t testing.TB, data []byte, fills []fill) []byte {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, x := range fills {
		rows, err := f.GetRows(x.sheet)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		header := -1
		for i, r := range rows {
			if header < 0 {
				if slices.Contains(r, "Mark") {
					header = i
				}
				continue
			}
			key := slices.Index(rows[header], "FHIR path")
			at := slices.IndexFunc(rows[header], func(h string) bool { return h == x.column || strings.HasPrefix(h, x.column+" (") })
			if key < 0 {
				key = 0 // the sheet of a map
			}
			if at < 0 {
				t.Fatalf("sheet %s has no column %s: %q", x.sheet, x.column, rows[header])
			}
			if key < len(r) && r[key] == x.path {
				if err := f.SetCellStr(x.sheet, cell(i+1, at+1), x.value); err != nil {
					t.Fatal(err)
				}
				done = true
				break
			}
		}
		if !done {
			t.Fatalf("sheet %s has no row %s", x.sheet, x.path)
		}
	}
	return bytesOf(t, f)
}

func bytesOf(t testing.TB, f *excelize.File) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// appended gives a workbook with a row below the last of a sheet.
func appended(t testing.TB, data []byte, sheet string, values ...string) []byte {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := f.GetRows(sheet)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if err := f.SetCellStr(sheet, cell(len(rows)+1, i+1), v); err != nil {
			t.Fatal(err)
		}
	}
	return bytesOf(t, f)
}

// difference lists the lines that two files do not share, as - and +.
func difference(before, after []byte) []string {
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out []string
	for _, l := range a {
		out = append(out, "-"+l)
	}
	for _, l := range b {
		out = append(out, "+"+l)
	}
	return out
}

// A workbook that nobody touched changes nothing, for every shipped set and in
// both layouts.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range library.Names() {
		files, _ := library.Set(name)
		for _, layout := range []Layout{Remit, CPCDS} {
			t.Run(name+"/"+string(layout), func(t *testing.T) {
				t.Parallel()
				s := open(t, files)
				data := write(t, s, Options{Layout: layout})
				var diags diag.List
				im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
				if err != nil || diags.Len() > 0 {
					t.Fatal(err, diags.Err())
				}
				if len(im.Changes) > 0 || len(im.Files) > 0 {
					t.Errorf("changes: %v", im.Changes)
				}
			})
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fills []fill
		add   []string // a row below the last of the sheet add[0]
		file  string
		diff  []string
		text  []string // of the changes
	}{
		{
			name: "a column in a flow map", file: "patient.yaml",
			fills: []fill{{"patient", "identifier[memberid].value", "Column", "card"}},
			diff: []string{
				`-  identifier[memberid]: {system: "https://payer.example/member", value: =id}  # the card`,
				`+  identifier[memberid]: {system: "https://payer.example/member", value: =card}  # the card`,
			},
			text: []string{"patient.yaml:7:73: identifier[memberid].value: =id -> =card"},
		},
		{
			name: "SQL with a comma in a flow map is quoted", file: "patient.yaml",
			fills: []fill{{"patient", "name.family", "Column", ""}, {"patient", "name.family", "SQL", "coalesce(last, 'none')"}},
			diff: []string{
				`-  name: {family: =last, given: '=upper(''x'' || first)'}`,
				`+  name: {family: "=coalesce(last, 'none')", given: '=upper(''x'' || first)'}`,
			},
			text: []string{"patient.yaml:8:18: name.family: =last -> =coalesce(last, 'none')"},
		},
		{
			name: "single quotes stay", file: "patient.yaml",
			fills: []fill{{"patient", "name.given", "SQL", "upper('y' || first)"}},
			diff: []string{
				`-  name: {family: =last, given: '=upper(''x'' || first)'}`,
				`+  name: {family: =last, given: '=upper(''y'' || first)'}`,
			},
			text: []string{"patient.yaml:8:32: name.given: =upper('x' || first) -> =upper('y' || first)"},
		},
		{
			name: "double quotes stay, in a list's second entry", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#2.value", "Column", "email_1"}},
			diff: []string{
				`-    - {system: email, value: "=mail"}`,
				`+    - {system: email, value: "=email_1"}`,
			},
			text: []string{"patient.yaml:13:30: telecom#2.value: =mail -> =email_1"},
		},
		{
			name: "an identifier, by its system and its value", file: "patient.yaml",
			fills: []fill{
				{"patient", "identifier[uniquememberid].system", "Literal", "https://payer.example/unique"},
				{"patient", "identifier[uniquememberid].value", "Column", "um"},
			},
			diff: []string{
				`+  identifier[uniquememberid].system: https://payer.example/unique`,
				`+  identifier[uniquememberid].value: =um`,
			},
			text: []string{
				"patient.yaml:22:1: identifier[uniquememberid].system: added https://payer.example/unique",
				"patient.yaml:22:1: identifier[uniquememberid].value: added =um",
			},
		},
		{
			name: "a block scalar", file: "patient.yaml",
			fills: []fill{{"patient", "birthDate", "SQL", "CAST(\n  dob AS DATE)"}},
			diff:  []string{`-  birthDate: |`, `-    =CAST(`, `-      born AS DATE)`, `+  birthDate: |-`, `+    =CAST(`, `+      dob AS DATE)`},
			text:  []string{"patient.yaml:15:14: birthDate: =CAST( born AS DATE) -> =CAST( dob AS DATE)"},
		},
		{
			name: "a block scalar becomes a column", file: "patient.yaml",
			fills: []fill{{"patient", "birthDate", "SQL", ""}, {"patient", "birthDate", "Column", "dob"}},
			diff:  []string{`-  birthDate: |`, `-    =CAST(`, `-      born AS DATE)`, `+  birthDate: =dob`},
			text:  []string{"patient.yaml:15:14: birthDate: =CAST( born AS DATE) -> =dob"},
		},
		{
			name: "the parts of a reference's key", file: "patient.yaml",
			fills: []fill{{"patient", "generalPractitioner", "Column", "pcp_npi"}},
			diff: []string{
				`-  generalPractitioner: {ref: Practitioner, key: [npi, =npi]}`,
				`+  generalPractitioner: {ref: Practitioner, key: [npi, =pcp_npi]}`,
			},
			text: []string{"patient.yaml:20:55: generalPractitioner: =npi -> =pcp_npi"},
		},
		{
			name: "a literal", file: "patient.yaml",
			fills: []fill{{"patient", "active", "Literal", "false"}},
			diff:  []string{`-  active: true`, `+  active: false`},
			text:  []string{"patient.yaml:21:11: active: true -> false"},
		},
		{
			name: "a source takes the place of a literal", file: "patient.yaml",
			fills: []fill{{"patient", "active", "SQL", "status = 'A'"}},
			diff:  []string{`-  active: true`, `+  active: =status = 'A'`},
			text:  []string{"patient.yaml:21:11: active: true -> =status = 'A'"},
		},
		{
			name: "another map", file: "patient.yaml",
			fills: []fill{{"patient", "address.state", "Map", "gender"}},
			diff: []string{
				`-  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}`,
				`+  address: {line: [=street, =suite], city: =city, state: {map: gender, of: =state}}`,
			},
			text: []string{"patient.yaml:19:64: address.state: map state -> gender"},
		},
		{
			name: "a map where there was none", file: "patient.yaml",
			fills: []fill{{"patient", "address.city", "Map", "state"}},
			diff: []string{
				`-  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}`,
				`+  address: {line: [=street, =suite], city: {map: state, of: =city}, state: {map: state, of: =state}}`,
			},
			text: []string{"patient.yaml:19:44: address.city: =city -> map state of =city"},
		},
		{
			name: "an assumption gets a source and a map", file: "patient.yaml",
			fills: []fill{{"patient", "gender", "Column", "sex"}, {"patient", "gender", "Map", "gender"}},
			diff: []string{
				`-  gender: {assumed: unknown}`,
				`+  gender: {first: [{map: gender, of: =sex}, {assumed: unknown}]}`,
			},
			text: []string{"patient.yaml:14:11: gender: assumed -> first map gender of =sex, then as before"},
		},
		{
			name: "an element that was not mapped, in a flow map", file: "patient.yaml",
			fills: []fill{{"patient", "address.postalCode", "Column", "zip"}},
			diff: []string{
				`-  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}`,
				`+  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}, postalCode: =zip}`,
			},
			text: []string{"patient.yaml:19:82: address.postalCode: added =zip"},
		},
		{
			name: "an element that was not mapped, in the set", file: "patient.yaml",
			fills: []fill{{"patient", "maritalStatus", "SQL", "CASE WHEN m = 1 THEN 'M' END"}},
			diff:  []string{`+  maritalStatus: =CASE WHEN m = 1 THEN 'M' END`},
			text:  []string{"patient.yaml:22:1: maritalStatus: added =CASE WHEN m = 1 THEN 'M' END"},
		},
		{
			name: "an element that was not mapped, in a list's entry", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#1.use", "Column", "phone_use"}},
			diff:  []string{`+      use: =phone_use`},
			text:  []string{"patient.yaml:13:1: telecom#1.use: added =phone_use"},
		},
		{
			name: "a column of an outer source is qualified", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#1.use", "Column", "use"}, {"patient", "telecom#1.use", "Source", "person"}},
			diff:  []string{`+      use: =person.use`},
			text:  []string{"patient.yaml:13:1: telecom#1.use: added =person.use"},
		},
		{
			name: "line ends stay, and a last line without one", file: "doctor.yaml",
			fills: []fill{{"doctor", "gender", "Literal", "unknown"}, {"doctor", "id", "Column", "npi_10"}},
			diff: []string{
				"-id: {key: [npi, =npi], unique: true}\r", "-set:\r", "-  name: {family: =npi}\r", "-  active: true",
				"+id: {key: [npi, =npi_10], unique: true}\r", "+set:\r", "+  name: {family: =npi}\r", "+  active: true\r", "+  gender: unknown",
			},
			text: []string{"doctor.yaml:3:17: id: =npi -> =npi_10", "doctor.yaml:6:15: gender: added unknown"},
		},
		{
			name: "a literal that looks like SQL", file: "doctor.yaml",
			fills: []fill{{"doctor", "active", "Literal", "=x"}},
			diff:  []string{"-  active: true", "+  active: ==x"},
			text:  []string{"doctor.yaml:6:11: active: true -> ==x"},
		},
		{
			name: "each on an entry of a list", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#2", "Each", "phone"}},
			diff: []string{
				`-    - {system: email, value: "=mail"}`,
				`+    - {each: phone, system: email, value: "=mail"}`,
			},
			text: []string{"patient.yaml:13:8: telecom#2: added each phone"},
		},
		{
			name: "a condition beside each", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#1", "When", "kind <> 'fax'"}},
			diff:  []string{`+      when: =kind <> 'fax'`},
			text:  []string{"patient.yaml:11:1: telecom#1: added when =kind <> 'fax'"},
		},
		{
			name: "another source and a condition with its sign, in one import with a value", file: "patient.yaml",
			fills: []fill{{"patient", "telecom#1", "Each", "person"}, {"patient", "telecom#1", "When", "=n = 1"}, {"patient", "telecom#1.value", "Column", "tel"}},
			diff: []string{
				`-    - each: phone`, `-      system: phone`, `-      value: =number`,
				`+    - each: person`, `+      when: =n = 1`, `+      system: phone`, `+      value: =tel`,
			},
			text: []string{
				"patient.yaml:10:13: telecom#1: each phone -> person",
				"patient.yaml:11:1: telecom#1: added when =n = 1",
				"patient.yaml:13:14: telecom#1.value: =number -> =tel",
			},
		},
		{
			name: "a condition on a map in flow form, with signs that want quotes", file: "patient.yaml",
			fills: []fill{{"patient", "name", "When", "coalesce(last, 'x') <> 'x'"}},
			diff: []string{
				`-  name: {family: =last, given: '=upper(''x'' || first)'}`,
				`+  name: {when: "=coalesce(last, 'x') <> 'x'", family: =last, given: '=upper(''x'' || first)'}`,
			},
			text: []string{"patient.yaml:8:10: name: added when =coalesce(last, 'x') <> 'x'"},
		},
		{
			name: "a condition beside an assumption", file: "patient.yaml",
			fills: []fill{{"patient", "gender", "When", "born > 1900"}},
			diff:  []string{`-  gender: {assumed: unknown}`, `+  gender: {when: =born > 1900, assumed: unknown}`},
			text:  []string{"patient.yaml:14:12: gender: added when =born > 1900"},
		},
		{
			name: "a condition on a scalar, whose column changes too", file: "patient.yaml",
			fills: []fill{{"patient", "identifier[memberid].value", "When", "id > 0"}, {"patient", "identifier[memberid].value", "Column", "card"}},
			diff: []string{
				`-  identifier[memberid]: {system: "https://payer.example/member", value: =id}  # the card`,
				`+  identifier[memberid]: {system: "https://payer.example/member", value: {when: =id > 0, value: =card}}  # the card`,
			},
			text: []string{"patient.yaml:7:73: identifier[memberid].value: added when =id > 0", "patient.yaml:7:96: identifier[memberid].value: =id -> =card"},
		},
		{
			name: "a condition on a block scalar", file: "patient.yaml",
			fills: []fill{{"patient", "birthDate", "When", "born IS NOT NULL"}},
			diff: []string{
				`-  birthDate: |`, `-    =CAST(`, `-      born AS DATE)`,
				`+  birthDate:`, `+    when: =born IS NOT NULL`, `+    value: |-`, `+      =CAST(`, `+        born AS DATE)`,
			},
			text: []string{"patient.yaml:15:14: birthDate: added when =born IS NOT NULL"},
		},
		{
			name: "each on an entry of a list of scalars", file: "patient.yaml",
			fills: []fill{{"patient", "address.line#2", "Each", "phone"}},
			diff: []string{
				`-  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}`,
				`+  address: {line: [=street, {each: phone, value: =suite}], city: =city, state: {map: state, of: =state}}`,
			},
			text: []string{"patient.yaml:19:29: address.line#2: added each phone"},
		},
		{
			name: "a condition on a reference", file: "patient.yaml",
			fills: []fill{{"patient", "generalPractitioner", "When", "npi <> '0'"}},
			diff: []string{
				`-  generalPractitioner: {ref: Practitioner, key: [npi, =npi]}`,
				`+  generalPractitioner: {when: =npi <> '0', ref: Practitioner, key: [npi, =npi]}`,
			},
			text: []string{"patient.yaml:20:25: generalPractitioner: added when =npi <> '0'"},
		},
		{
			name: "an element that was not mapped, with a condition", file: "patient.yaml",
			fills: []fill{{"patient", "address.postalCode", "Column", "zip"}, {"patient", "address.postalCode", "When", "country = 'US'"}},
			diff: []string{
				`-  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}}`,
				`+  address: {line: [=street, =suite], city: =city, state: {map: state, of: =state}, postalCode: {when: =country = 'US', value: =zip}}`,
			},
			text: []string{"patient.yaml:19:82: address.postalCode: added when =country = 'US'", "patient.yaml:19:118: address.postalCode: added =zip"},
		},
		{
			name: "a repetition that was not mapped, and what it repeats", file: "patient.yaml",
			fills: []fill{
				{"patient", "identifier[uniquememberid]", "Each", "phone"},
				{"patient", "identifier[uniquememberid]", "When", "n = 1"},
				{"patient", "identifier[uniquememberid].value", "Column", "um"},
				{"patient", "identifier[uniquememberid].system", "Literal", "https://payer.example/unique"},
			},
			diff: []string{
				`+  identifier[uniquememberid]:`, `+    each: phone`, `+    when: =n = 1`,
				`+    system: https://payer.example/unique`, `+    value: =um`,
			},
			text: []string{
				"patient.yaml:22:1: identifier[uniquememberid]: added each phone, when =n = 1",
				"patient.yaml:25:1: identifier[uniquememberid].system: added https://payer.example/unique",
				"patient.yaml:25:1: identifier[uniquememberid].value: added =um",
			},
		},
		{
			name: "a condition keeps the line ends", file: "doctor.yaml",
			fills: []fill{{"doctor", "name", "When", "a = 1"}, {"doctor", "active", "When", "b = 2"}},
			diff: []string{
				"-  name: {family: =npi}\r", "-  active: true",
				"+  name: {when: =a = 1, family: =npi}\r", "+  active: {when: =b = 2, value: true}",
			},
			text: []string{"doctor.yaml:5:10: name: added when =a = 1", "doctor.yaml:6:11: active: added when =b = 2"},
		},
		{
			name: "a target of an inline map", file: "sources.yaml",
			fills: []fill{{"map gender", "f", "Target", "other, x"}},
			diff: []string{
				`-  gender: {m: male, f: female, default: unknown}   # keep this`,
				`+  gender: {m: male, f: "other, x", default: unknown}   # keep this`,
			},
			text: []string{"sources.yaml:6:24: map gender: f: female -> other, x"},
		},
		{
			name: "a new key of a flow map", file: "sources.yaml",
			add: []string{"map gender", "0", "other"},
			diff: []string{
				`-  gender: {m: male, f: female, default: unknown}   # keep this`,
				`+  gender: {m: male, f: female, "0": other, default: unknown}   # keep this`,
			},
			text: []string{"sources.yaml:6:21: map gender: added 0 -> other"},
		},
		{
			name: "a new key of a block map", file: "sources.yaml",
			add:  []string{"map state", "New: York", "NY"},
			diff: []string{`+    "New: York": NY`},
			text: []string{"sources.yaml:10: map state: added New: York -> NY"},
		},
		{
			name: "a value of a CSV file", file: "plan.csv",
			fills: []fill{{"map plan", "OH", "code", "G,2"}},
			diff:  []string{`-OH,"Gold, plus",G1,first`, `+OH,"Gold, plus","G,2",first`},
			text:  []string{"plan.csv:2:17: map plan: OH, Gold, plus: G1 -> G,2"},
		},
		{
			name: "a new row of a CSV file", file: "plan.csv",
			add:  []string{"map plan", "KY", `Tin "x"`, "T1", "new"},
			diff: []string{`+KY,"Tin ""x""",T1,new`},
			text: []string{`plan.csv:4: map plan: added KY, Tin "x" -> T1`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, small())
			data := edited(t, write(t, s, Options{}), tc.fills)
			if tc.add != nil {
				data = appended(t, data, tc.add[0], tc.add[1:]...)
			}
			var diags diag.List
			im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
			if err != nil || diags.Len() > 0 {
				t.Fatal(err, diags.Err())
			}
			if d := cmp.Diff([]string{tc.file}, sortedNames(im.Files)); d != "" {
				t.Fatal(d)
			}
			if d := cmp.Diff(tc.diff, difference(s.Files[tc.file], im.Files[tc.file])); d != "" {
				t.Error(d)
			}
			var text []string
			for _, c := range im.Changes {
				text = append(text, c.String())
			}
			if d := cmp.Diff(tc.text, text); d != "" {
				t.Error(d)
			}
			// What was taken over is there now: the same workbook changes no more.
			after := open(t, overlay(small(), im.Files))
			var again diag.List
			if im, err = Read(bytes.NewReader(data), "book.xlsx", after, defs(t), "", &again); err != nil || again.HasErrors() {
				t.Errorf("a second import: %v %v", err, again.Err())
			} else if len(im.Changes) > 0 {
				t.Errorf("a second import changes %v", im.Changes)
			}
		})
	}
}

func sortedNames(m map[string][]byte) []string {
	var out []string
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func overlay(files fstest.MapFS, changed map[string][]byte) fstest.MapFS {
	for n, data := range changed {
		files[n] = &fstest.MapFile{Data: data}
	}
	return files
}

func TestImportRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		fills  []fill
		add    []string
		change func(fstest.MapFS) // of the set, after the workbook was written
		code   string
		says   string
	}{
		{name: "emptied", fills: []fill{{"patient", "name.family", "Column", ""}}, code: "removed-value", says: "name.family"},
		{name: "a column beside SQL", fills: []fill{{"patient", "birthDate", "Column", "dob"}, {"patient", "birthDate", "SQL", "dob + 1"}}, code: "two-values"},
		{name: "a column beside a literal", fills: []fill{{"patient", "maritalStatus", "Column", "m"}, {"patient", "maritalStatus", "Literal", "M"}}, code: "two-values"},
		{name: "too few parts", fills: []fill{{"patient", "id", "Column", "id, mail, x"}}, code: "wrong-count", says: "takes 2 values, found 3"},
		{name: "parts of a list", fills: []fill{{"patient", "address.line#1", "Column", ""}}, code: "removed-value"},
		{name: "an unknown map", fills: []fill{{"patient", "name.family", "Map", "gendr"}}, code: "unknown-map", says: `did you mean "gender"`},
		{name: "a map taken out", fills: []fill{{"patient", "address.state", "Map", ""}}, code: "removed-value"},
		{name: "an unknown source", fills: []fill{{"patient", "maritalStatus", "Column", "m"}, {"patient", "maritalStatus", "Source", "people"}}, code: "unknown-source"},
		{name: "a complex element", fills: []fill{{"patient", "contact", "Column", "x"}}, code: "not-editable"},
		{name: "what the profile fixes", fills: []fill{{"patient", "identifier[memberid].type", "Column", "x"}}, code: "not-editable"},
		{name: "a path that is none", fills: []fill{{"patient", "name.family", "Column", "x"}, {"patient", "name.family", "FHIR path", "name.famly"}}, code: "unknown-row"},
		{name: "a key twice", add: []string{"map gender", "m", "female"}, code: "duplicate-key"},
		{name: "a key without target", add: []string{"map gender", "x"}, code: "missing-target"},
		{name: "a target without key", add: []string{"map gender", "", "x"}, code: "missing-key"},
		{name: "a key that is a word", add: []string{"map gender", "default", "x"}, code: "not-editable"},
		{name: "each of an unknown source", fills: []fill{{"patient", "telecom#2", "Each", "phon"}}, code: "unknown-source", says: `did you mean "phone"`},
		{name: "each taken out", fills: []fill{{"patient", "telecom#1", "Each", ""}}, code: "removed-value", says: "telecom#1"},
		{name: "each at one value", fills: []fill{{"patient", "birthDate", "Each", "phone"}}, code: "each-at-single", says: "birthDate"},
		{name: "a condition on what the profile fixes", fills: []fill{{"patient", "identifier[memberid].type", "When", "x = 1"}}, code: "not-editable"},
		{name: "a condition on the resource", fills: []fill{{"patient", "id", "When", "x = 1"}}, code: "not-editable"},
		{name: "each with nothing to repeat", fills: []fill{{"patient", "identifier[uniquememberid]", "Each", "phone"}}, code: "missing-value", says: "fill in a column below it"},
		{
			name: "a condition changed on both sides", fills: []fill{{"patient", "telecom#1", "Each", "person"}}, code: "changed-twice", says: "written at patient.yaml",
			change: func(f fstest.MapFS) {
				f["patient.yaml"].Data = bytes.Replace(f["patient.yaml"].Data, []byte("each: phone"), []byte("each: phones"), 1)
			},
		},
		{
			name: "changed on both sides", fills: []fill{{"patient", "name.family", "Column", "surname"}}, code: "changed-twice", says: "written at patient.yaml:8:18",
			change: func(f fstest.MapFS) {
				f["patient.yaml"].Data = bytes.Replace(f["patient.yaml"].Data, []byte("=last"), []byte("=last_name"), 1)
			},
		},
		{
			name: "of another set", code: "foreign-workbook", says: "patient",
			change: func(f fstest.MapFS) {
				f["patient.yaml"].Data = bytes.Replace(f["patient.yaml"].Data, []byte("C4BB-Patient|2.1.0"), []byte("us-core-patient|6.1.0"), 1)
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := small()
			s := open(t, files)
			data := edited(t, write(t, s, Options{}), tc.fills)
			if tc.add != nil {
				data = appended(t, data, tc.add[0], tc.add[1:]...)
			}
			if tc.change != nil {
				tc.change(files)
				s = open(t, files)
			}
			var diags diag.List
			im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
			if err != nil || im != nil {
				t.Fatalf("taken over: %v %v", im, err)
			}
			all := diags.All()
			if !slices.ContainsFunc(all, func(d *diag.Diagnostic) bool { return d.Code == tc.code }) {
				t.Errorf("no %s among %v", tc.code, diags.Err())
			}
			if !strings.Contains(diags.Err().Error(), tc.says) {
				t.Errorf("%q is not said: %v", tc.says, diags.Err())
			}
		})
	}
}

// The YAML may move on where the analyst did not touch it.
func TestImportMovedOn(t *testing.T) {
	t.Parallel()
	files := small()
	data := edited(t, write(t, open(t, files), Options{}), []fill{{"patient", "name.family", "Column", "surname"}})
	files["patient.yaml"].Data = bytes.Replace(files["patient.yaml"].Data, []byte("set:\n"), []byte("set:\n  # more\n  language: en\n"), 1)
	files["patient.yaml"].Data = bytes.Replace(files["patient.yaml"].Data, []byte("=npi"), []byte("=pcp"), 1)
	s := open(t, files)
	var diags diag.List
	im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
	if err != nil || diags.Len() > 0 {
		t.Fatal(err, diags.Err())
	}
	if len(im.Changes) != 1 || im.Changes[0].String() != "patient.yaml:10:18: name.family: =last -> =surname" {
		t.Error(im.Changes)
	}
}

// A workbook from before there were columns for each and when is taken as one
// that says nothing of them.
func TestImportWithoutWords(t *testing.T) {
	t.Parallel()
	s := open(t, small())
	f, err := excelize.OpenReader(bytes.NewReader(write(t, s, Options{})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := f.GetRows("patient")
	if err != nil {
		t.Fatal(err)
	}
	suffixed := 0
	for i, r := range rows {
		if i < tableTop || len(r) < len(elementColumns) {
			continue
		}
		value, words := marks(r[len(elementColumns)-1])
		if words != "" {
			suffixed++
		}
		if err := f.SetCellStr("patient", cell(i+1, len(elementColumns)), value); err != nil {
			t.Fatal(err)
		}
	}
	if suffixed != 1 {
		t.Errorf("%d rows have words, telecom#1 does", suffixed)
	}
	for _, title := range []string{"R4", "S4"} {
		if err := f.SetCellStr("patient", title, "gone"); err != nil {
			t.Fatal(err)
		}
	}
	data := edited(t, bytesOf(t, f), []fill{{"patient", "name.family", "Column", "surname"}})
	var diags diag.List
	im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
	if err != nil || diags.Len() > 0 {
		t.Fatal(err, diags.Err())
	}
	if len(im.Changes) != 1 || im.Changes[0].Text != "name.family: =last -> =surname" {
		t.Error(im.Changes)
	}
}

func TestForeignWorkbook(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	defer func() { _ = f.Close() }()
	var diags diag.List
	im, err := Read(bytes.NewReader(bytesOf(t, f)), "other.xlsx", open(t, small()), defs(t), "", &diags)
	if err != nil || im != nil || !strings.Contains(diags.Err().Error(), "[foreign-workbook]") {
		t.Error(im, err, diags.Err())
	}
	if _, err := Read(strings.NewReader("no zip"), "other.xlsx", open(t, small()), defs(t), "", &diags); err == nil {
		t.Error("a file that is no workbook was read")
	}
}

// CARIN's own workbook has neither our hidden sheet nor our paths: rows are
// found by slice and levels, and names of data elements become columns.
func TestImportCARIN(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	defer func() { _ = f.Close() }()
	const tab = "C4BB Patient"
	if err := f.SetSheetName("Sheet1", tab); err != nil {
		t.Fatal(err)
	}
	for i, row := range [][]string{
		{"Patient profile of the guide"},
		{"Slice", "L0", "L1", "L2", "L3", "L4", "Flag", "Cardinality", "DataType / Value Set", "Description", "CPCDS MapID", "CPCDS Data Element Name", "Cardinality / DataType", "Value Set Comments", "Working Note"},
		{"", "Patient"},
		{"", "", "identifier", "", "", "", "S", "1..*"},
		{"memberid", "", "identifier"},
		{"", "", "", "value", "", "", "S", "1..1", "", "", "1", "Member id"},
		{"", "", "birthDate", "", "", "", "S", "0..1", "", "", "2", "Date of birth"},
		{"", "", "address"},
		{"", "", "", "postalCode", "", "", "", "", "", "", "3", "Home zip code", "", "", "five digits"},
		{"", "", "nowhere", "", "", "", "", "", "", "", "4", "Something"},
	} {
		for j, v := range row {
			if err := f.SetCellStr(tab, cell(i+1, j+1), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := open(t, small())
	var diags diag.List
	im, err := Read(bytes.NewReader(bytesOf(t, f)), "carin.xlsx", s, defs(t), CPCDS, &diags)
	if err != nil || diags.HasErrors() {
		t.Fatal(err, diags.Err())
	}
	var text []string
	for _, c := range im.Changes {
		text = append(text, c.Text)
	}
	want := []string{
		"identifier[memberid].value: =id -> =member_id",
		"birthDate: =CAST( born AS DATE) -> =date_of_birth",
		"address.postalCode: added =home_zip_code",
	}
	if d := cmp.Diff(want, text); d != "" {
		t.Error(d)
	}
	if all := diags.All(); len(all) != 1 || all[0].Code != "unknown-row" {
		t.Errorf("warnings: %v", all)
	}
}

// Every must-support element that the profile states on its first level, and
// every slice, has a row, mapped or not.
func TestMustSupportShown(t *testing.T) {
	t.Parallel()
	files, _ := library.Set("tuva")
	for _, c := range Crosswalks(open(t, files), defs(t)) {
		if c.Profile == nil {
			t.Errorf("%s has no profile", c.Mapping.Name)
			continue
		}
		have, paths := map[*profiles.Element]bool{}, map[string]bool{}
		for _, r := range c.Rows {
			have[r.Element] = true
			if paths[r.Path] {
				t.Errorf("%s: two rows of %q", c.Mapping.Name, r.Path)
			}
			paths[r.Path] = true
		}
		shown := func(e *profiles.Element) bool {
			if have[e] {
				return true
			}
			return e.Choice() && slices.ContainsFunc(c.Rows, func(r *Row) bool { return r.Element != nil && r.Element.ID == e.ID })
		}
		for _, e := range c.Profile.Root().Children() {
			if e.MustSupport && e.Max != 0 && !shown(e) {
				t.Errorf("%s: no row of %s", c.Mapping.Name, e.ID)
			}
			for _, s := range e.Slices() {
				if s.MustSupport && s.Max != 0 && !shown(s) {
					t.Errorf("%s: no row of %s", c.Mapping.Name, s.ID)
				}
			}
		}
	}
}

// Rule 39: the row of an element that is not mapped says why, where the mapping
// does.
func TestReasonShown(t *testing.T) {
	t.Parallel()
	files, _ := library.Set("tuva")
	rules := map[string]string{}
	for _, c := range Crosswalks(open(t, files), defs(t)) {
		for _, r := range c.Rows {
			rules[c.Mapping.Name+" "+r.Path] = r.Rule
		}
	}
	for row, want := range map[string]string{
		"eob-inpatient payee":                       "not mapped: no column",
		"eob-inpatient payee.type":                  "not mapped: no column",
		"eob-pharmacy supportingInfo[compoundcode]": "not mapped: no column",
		"organization-payer identifier[NPI]":        "not mapped: payers are known by name alone",
		"eob-pharmacy supportingInfo[dayssupply]":   "",
	} {
		if got, ok := rules[row]; !ok || got != want && (want == "" || !strings.HasPrefix(got, want+"; fixed: ")) {
			t.Errorf("%s: %q, there %v; want %q", row, got, ok, want)
		}
	}
}

// TestNothingRequiredIsMissing asks of the shipped sets, which load, that no row
// calls an element missing, and that the root's rule ends with what it says.
func TestNothingRequiredIsMissing(t *testing.T) {
	t.Parallel()
	for _, name := range library.Names() {
		files, _ := library.Set(name)
		for _, c := range Crosswalks(open(t, files), defs(t)) {
			for _, r := range c.Rows {
				if r.Status == Missing {
					t.Errorf("%s/%s: %s is called %q", name, c.Mapping.Name, r.Path, r.Status)
				}
			}
			if rule := c.Rows[0].Rule; strings.HasSuffix(rule, "without ") || strings.Contains(rule, "without ;") {
				t.Errorf("%s/%s: %q", name, c.Mapping.Name, rule)
			}
		}
	}
}

// TestSheets looks at the form of what is written: header, filter, panes,
// links, the hidden columns, and no example where none was asked for.
func TestSheets(t *testing.T) {
	t.Parallel()
	s := open(t, small())
	q, err := ReadQuality(strings.NewReader(`{"rows": 12, "exported": {"Patient": 9}, "withheld": {"Patient": 3}, "reasons": {"cardinality-min": 3}, "bytes": {"Patient": 100},
		"findings": [{"severity": "error", "code": "cardinality-min", "profile": "p", "element": "Patient.name", "count": 3}], "unmapped": {"state": 2}, "unmapped_keys": {"state": {"Ohoi": 2}}, "absent": {"Patient.name": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts{diag.Pos{File: "patient.yaml", Line: 8, Column: 18}: {Source: "person", Type: "varchar", Example: "Meyer"}}
	f, err := excelize.OpenReader(bytes.NewReader(write(t, s, Options{Quality: q, Facts: facts, Proof: &check.Proof{Demands: []check.Demand{
		{Mapping: "patient", Profile: "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Patient|2.1.0", Element: "Patient.name.family", Code: "cardinality-max"},
		{Mapping: "patient", Profile: "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Patient|2.1.0", Element: "Patient.name.family", Code: "constraint", Key: "us-core-6", Status: check.CheckedPerResource},
	}}})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	want := []string{"Index", "doctor", "patient", "map gender", "map state", "map plan", "Quality", "remit"}
	if d := cmp.Diff(want, f.GetSheetList()); d != "" {
		t.Error(d)
	}
	if visible, _ := f.GetSheetVisible("remit"); visible {
		t.Error("the hidden sheet is in sight")
	}
	if panes, err := f.GetPanes("patient"); err != nil || !panes.Freeze || panes.YSplit != tableTop {
		t.Errorf("panes %+v %v", panes, err)
	}
	if ok, link, err := f.GetCellHyperLink("Index", "A6"); err != nil || !ok || link != "'patient'!A1" {
		t.Errorf("link %q %v", link, err)
	}
	if visible, _ := f.GetColVisible("patient", "AA"); visible {
		t.Error("the mark is in sight")
	}
	rows, err := f.GetRows("patient")
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	for _, r := range rows {
		if len(r) > 25 && r[25] == "name.family" {
			line = strings.Join(r[:26], "|")
		}
	}
	if d := cmp.Diff("|||family|||S|0..1|string|(USCDI) Family name (often called 'Surname')|mapped|person|member|last||||||"+"|varchar|Meyer|checked per resource: us-core-6\nproved at load: 1||patient.yaml:8:18|name.family", line); d != "" {
		t.Error(d)
	}
	quality, err := f.GetRows("Quality")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(quality)
	for _, w := range []string{"[Patient 9 3 0 100]", "withheld error cardinality-min", "finding error cardinality-min p Patient.name  3", "unmapped keys    state  2", "unmapped code warning Ohoi  map state  2", "absent value    Patient.name  1"} {
		if !strings.Contains(text, w) {
			t.Errorf("the quality sheet has no %q: %s", w, text)
		}
	}
}

// A map of 100,000 keys is written in a stream; the one key that the set lacks
// is taken back.
func TestLargeMap(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100,000 rows")
	}
	t.Parallel()
	var b strings.Builder
	b.WriteString("state,plan,code,remark\n")
	for i := range 100_000 {
		fmt.Fprintf(&b, "S%d,P,C%d,\n", i, i)
	}
	files := small()
	files["plan.csv"] = &fstest.MapFile{Data: []byte(b.String())}
	data := write(t, open(t, files), Options{})
	last := "S99999,P,C99999,\n"
	files["plan.csv"] = &fstest.MapFile{Data: []byte(strings.TrimSuffix(b.String(), last))}
	s := open(t, files)
	var diags diag.List
	im, err := Read(bytes.NewReader(data), "book.xlsx", s, defs(t), "", &diags)
	if err != nil || diags.Len() > 0 {
		t.Fatal(err, diags.Err())
	}
	if len(im.Changes) != 1 || string(im.Files["plan.csv"]) != b.String() {
		t.Errorf("changes: %v", im.Changes)
	}
}
