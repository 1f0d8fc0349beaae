package server

import (
	"net/http"
	"testing"

	"remit/profiles/search"
	"remit/server/export"
)

// FuzzGroup: any bytes as the body of a Group are answered by a success or a
// 4xx OperationOutcome; what is taken reads back as a valid body.
func FuzzGroup(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/1"}}]}`,
		`{"resourceType":"Group","type":"person","actual":false,"name":"n","modifierExtension":[{"url":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter","valueExpression":{"language":"application/x-fhir-query","expression":"Patient?gender=female"}}]}`,
		`{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"identifier":{"system":"a|b","value":"c,d"}}}]}`,
		`{"resourceType":"Patient"}`, `{}`, ``, `[]`, `{"resourceType":"Group","member":7}`, "\x00", `{"resourceType":"Group","type":"person","extension":[{"url":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/members-refreshed","valueDateTime":"2024"}]}`,
	} {
		f.Add([]byte(seed))
	}
	params, err := search.Bundled()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 10<<10 {
			return
		}
		form, issues := export.ParseGroup(body, params, "http://127.0.0.1:1/fhir")
		if (form == nil) != (len(issues) > 0) {
			t.Fatalf("%v, %v", form, issues)
		}
		for _, i := range issues {
			p := &problem{status: http.StatusBadRequest, issues: []issue{{severity: "error", code: i.Code, text: i.Text, expression: i.Expression}}}
			if i.Code == "" || i.Text == "" || p.statusCode() >= 500 {
				t.Fatalf("%+v", i)
			}
		}
		if form != nil {
			for _, m := range form.Members {
				if m.Member == "" || m.Entry == "" {
					t.Fatalf("%+v", m)
				}
			}
		}
	})
}

// TestBE263_GroupForm reads what a client may say of a group, and names every
// fault of what it may not.
func TestBE263_GroupForm(t *testing.T) {
	t.Parallel()
	params, err := search.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	const filter = `{"url":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter","valueExpression":{"language":"application/x-fhir-query","expression":"%"}}`
	with := func(query, rest string) string {
		out := `{"resourceType":"Group","type":"person","actual":false,` + rest + `"modifierExtension":[`
		for _, c := range filter {
			if c == '%' {
				out += query
			} else {
				out += string(c)
			}
		}
		return out + `]}`
	}
	for _, test := range []struct {
		name, body, at string // at "" is fine
	}{
		{"members", `{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/1"}},{"entity":{"reference":"http://payer/fhir/Group/2"}},{"entity":{"identifier":{"value":"x"}}}]}`, ""},
		{"criteria", with("ExplanationOfBenefit?service-date=ge2024-01-01&type=pharmacy", `"name":"n",`), ""},
		{"no name", with("Patient?gender=female", ""), "Group.name"},
		{"result parameter", with("Patient?_sort=name", `"name":"n",`), "Group.modifierExtension[0]"},
		{"unsupported parameter", with("Patient?favourite=x", `"name":"n",`), "Group.modifierExtension[0]"},
		{"no context", with("?_id=1", `"name":"n",`), "Group.modifierExtension[0]"},
		{"compartment", with("Patient/1/Coverage?status=active", `"name":"n",`), "Group.modifierExtension[0]"},
		{"no query", with("Patient", `"name":"n",`), "Group.modifierExtension[0]"},
		{"other language", `{"resourceType":"Group","type":"person","actual":false,"name":"n","modifierExtension":[{"url":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter","valueExpression":{"language":"text/cql","expression":"x"}}]}`, "Group.modifierExtension[0]"},
		{"other modifier", `{"resourceType":"Group","type":"person","actual":false,"modifierExtension":[{"url":"http://x","valueBoolean":true}]}`, "Group.modifierExtension[0]"},
		{"practitioners", `{"resourceType":"Group","type":"practitioner","actual":false}`, "Group.type"},
		{"characteristic", `{"resourceType":"Group","type":"person","actual":false,"characteristic":[{"code":{"text":"x"},"valueBoolean":true,"exclude":false}]}`, "Group.characteristic"},
		{"device as member", `{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"reference":"Device/1"}}]}`, "Group.member[0].entity.reference"},
		{"foreign base", `{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"reference":"http://other/fhir/Patient/1"}}]}`, "Group.member[0].entity.reference"},
		{"empty member", `{"resourceType":"Group","type":"person","actual":true,"member":[{"entity":{"display":"x"}}]}`, "Group.member[0].entity"},
		{"unknown element", `{"resourceType":"Group","type":"person","actual":true,"colour":"red"}`, "Group.colour"},
	} {
		form, issues := export.ParseGroup([]byte(test.body), params, "http://payer/fhir")
		switch {
		case test.at == "" && (form == nil || len(issues) > 0):
			t.Errorf("%s: %v", test.name, issues)
		case test.at != "" && (len(issues) != 1 || issues[0].Expression != test.at):
			t.Errorf("%s: %+v, want one at %s", test.name, issues, test.at)
		}
	}
}
