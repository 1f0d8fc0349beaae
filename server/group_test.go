package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/profiles/search"
	"remit/server/auth"
	"remit/server/export"
	"remit/sql/control"
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

// doubleGroups keeps one group, g9 of the client alpha.
type doubleGroups struct{}

func (doubleGroups) group() *control.Group {
	return &control.Group{ID: "g9", ClientID: "alpha", Ticket: "t9", State: control.GroupReady, Version: 1}
}

func (d doubleGroups) Create(context.Context, export.Bounds, *export.GroupForm, bool) (*control.Group, error) {
	return d.group(), nil
}

func (d doubleGroups) Replace(_ context.Context, b export.Bounds, id string, _ int64, _ *export.GroupForm, _ bool) (*control.Group, error) {
	if b.ClientID != "alpha" || id != "g9" {
		return nil, export.ErrNotFound
	}
	return d.group(), nil
}

func (d doubleGroups) Delete(_ context.Context, clientID, id string) error {
	if clientID != "alpha" || id != "g9" {
		return export.ErrNotFound
	}
	return nil
}

func (d doubleGroups) Read(_ context.Context, b export.Bounds, id string) (*export.Resource, error) {
	if err := d.Delete(context.Background(), b.ClientID, id); err != nil {
		return nil, err
	}
	if b.Restrict[groupType] != nil {
		return nil, export.ErrNotFound // its grants are for others
	}
	return d.Resource(context.Background(), d.group())
}

func (d doubleGroups) List(_ context.Context, b export.Bounds, _ *search.Filter, skip, count int) ([]export.Resource, bool, error) {
	res, err := d.Read(context.Background(), b, "g9")
	if err != nil || skip > 0 {
		return nil, false, nil // of another client, or on an earlier page
	}
	return []export.Resource{*res}[:min(count, 1)], count == 0, nil
}

func (d doubleGroups) Ticket(_ context.Context, clientID, ticket string) (*control.Group, error) {
	if clientID != "alpha" || ticket != "t9" {
		return nil, export.ErrNotFound
	}
	return d.group(), nil
}

func (doubleGroups) Resource(_ context.Context, x *control.Group) (*export.Resource, error) {
	return &export.Resource{Type: "Group", ID: x.ID, Version: x.Version, JSON: []byte(`{"resourceType":"Group","id":"g9"}`)}, nil
}

// TestGroupSearch searches a client's own groups: none of them where it asks for
// no resources, and by POST as by GET (R4, RESTful API, search).
func TestGroupSearch(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) {
		withReads(t)(o)
		o.Groups = doubleGroups{}
	})
	token := h.token("alpha", "system/*.rs")
	if a := h.do(http.MethodGet, "/Group?_count=0", token, ""); a.status != http.StatusOK || bytes.Contains(a.body, []byte(`"next"`)) || bytes.Contains(a.body, []byte(`"entry"`)) {
		t.Errorf("no resources: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/Group/_search", "/Patient/_search"} {
		if a := h.do(http.MethodPost, path, token, "_count=5", "Content-Type", "application/x-www-form-urlencoded"); a.status != http.StatusOK {
			t.Errorf("POST %s: %d %s", path, a.status, a.body)
		}
	}
	if a := h.do(http.MethodGet, "/Group", token, ""); !bytes.Contains(a.body, []byte(`"fullUrl":"`+h.base+`/Group/g9"`)) {
		t.Errorf("its own: %d %s", a.status, a.body)
	}
}

// A granular scope of Group holds for the groups that a client made as for any:
// they are read and searched within it (SB-075).
func TestSB075_OwnGroups(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) {
		withReads(t)(o)
		o.Groups = doubleGroups{}
	})
	r := httptest.NewRequest(http.MethodGet, "/Group", nil)
	for scope, sees := range map[string]bool{"system/Group.cruds": true, "system/Group.cu system/Group.rs?type=person": false} {
		scopes, _ := auth.ParseScopes(scope)
		access := &auth.Access{Client: &auth.Client{ID: "alpha"}, Scopes: scopes}
		if res, p := h.server.readOne(r, access, groupType, "g9"); (res != nil) != sees || p != nil && !p.sameCode("not-found") {
			t.Errorf("%s: read %v, %+v", scope, res, p)
		}
		page, _, p := h.server.gather(r, access, groupType, nil, &query{Count: 10})
		if p != nil || slices.ContainsFunc(page, func(r export.Resource) bool { return r.ID == "g9" }) != sees {
			t.Errorf("%s: search %v, %+v", scope, page, p)
		}
	}
}

// faultyGroups cannot be asked.
type faultyGroups struct{ doubleGroups }

func (faultyGroups) Read(context.Context, export.Bounds, string) (*export.Resource, error) {
	return nil, errors.New("the store at 10.0.0.1 is away")
}

// TestGroupFault: that the store cannot tell whose a group is does not make it
// unknown.
func TestGroupFault(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) {
		withReads(t)(o)
		o.Groups = faultyGroups{}
	})
	h.register("fenced", "system/*.rs", []string{"other"})
	a := h.do(http.MethodGet, "/Group/g9/$export", h.token("fenced", "system/*.rs"), "", "Prefer", "respond-async")
	if a.status != http.StatusServiceUnavailable || !bytes.Contains(a.body, []byte(`"code":"transient"`)) || bytes.Contains(a.body, []byte("10.0.0.1")) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// doublePublications publishes one file of Organization.
type doublePublications struct{}

func (doublePublications) Manifest(_ context.Context, id, base string, token bool) (*export.PublishedManifest, error) {
	if id != "" && id != "p1" {
		return nil, export.ErrNotFound
	}
	return &export.PublishedManifest{RequiresAccessToken: token, Types: []string{"Organization"},
		Output: []export.PublishedFile{{Type: "Organization", URL: base + "/p1/Organization.1.ndjson"}}}, nil
}

func (doublePublications) OpenFile(_ context.Context, id, name string) (*File, error) {
	if id != "p1" || name != "Organization.1.ndjson" {
		return nil, export.ErrNotFound
	}
	open := func(context.Context) (io.ReadSeekCloser, error) {
		return readSeekCloser{bytes.NewReader([]byte("{}\n"))}, nil
	}
	return &File{Bytes: 3, SHA256: "00", Identity: open}, nil
}

// TestEveryEndpoint asks each protected endpoint without a token, with an
// expired one, with a scope too small, as its own client and as another
// (BE-012, BE-013, BE-014, BE-016, BE-020).
func TestEveryEndpoint(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *Options) {
		withReads(t)(o)
		o.Groups, o.Publications = doubleGroups{}, doublePublications{}
	})
	h.register("maker", "system/*.cruds", nil)
	h.register("tiny", "system/Practitioner.rs", nil)
	const all = "system/*.rs system/Group.cud"
	status := strings.TrimPrefix(h.kickoff(h.token("alpha", "system/*.rs"), "/$export?_type=Organization"), h.base)
	h.do(http.MethodGet, status, h.token("alpha", "system/*.rs"), "")
	file := strings.Replace(status, "$export-status", "$export-file", 1) + "/Organization.1.ndjson"
	const body = `{"resourceType":"Group","id":"g9","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/1"}}]}`
	for _, e := range []struct {
		method, path, body string
		other              int // status for another that has the scopes, too
	}{
		{http.MethodGet, "/$export?_type=Organization", "", 202},
		{http.MethodPost, "/$export", "", 202},
		{http.MethodGet, "/Patient/$export?_type=Patient", "", 202},
		{http.MethodGet, "/Group/g1/$export?_type=Patient", "", 202},
		{http.MethodGet, status, "", 404},
		{http.MethodGet, file, "", 404},
		{http.MethodHead, file, "", 404},
		{http.MethodGet, "/Patient", "", 200},
		{http.MethodGet, "/Patient/p0", "", 200},
		{http.MethodGet, "/Group/g9", "", 404},
		{http.MethodGet, "/Group", "", 200},
		{http.MethodPost, "/Group", body, 201},
		{http.MethodPut, "/Group/g9", body, 404},
		{http.MethodDelete, "/Group/g9", "", 404},
		{http.MethodGet, "/$group-status/t9", "", 404},
		{http.MethodDelete, "/$group-status/t9", "", 404},
		{http.MethodGet, "/$bulk-publish", "", 200},
		{http.MethodGet, "/$bulk-publish/p1", "", 200},
		{http.MethodGet, "/$bulk-publish/p1/Organization.1.ndjson", "", 200},
		{http.MethodDelete, status, "", 404},
	} {
		t.Run(e.method+" "+e.path[:min(len(e.path), 30)], func(t *testing.T) {
			check := func(what string, a answer, want int) {
				t.Helper()
				if a.status != want {
					t.Errorf("%s: %d, want %d: %s", what, a.status, want, a.body)
				}
			}
			check("without a token", h.do(e.method, e.path, "", e.body), 401)
			check("with a guess", h.do(e.method, e.path, "guess", e.body), 401)
			old := h.token("maker", all)
			check("with a small scope", h.do(e.method, e.path, h.token("tiny", "system/Practitioner.rs"), e.body), map[bool]int{true: 404, false: 403}[e.path == status || e.path == file])
			check("as another client", h.do(e.method, e.path, old, e.body), e.other)
			h.clock.Pass(time.Hour)
			check("with an expired token", h.do(e.method, e.path, old, e.body), 401)
		})
	}
	for _, e := range []struct{ method, path string }{{http.MethodPost, "/Group"}, {http.MethodPut, "/Group/g9"}, {http.MethodDelete, "/Group/g9"}} {
		// Reading alone makes no group.
		h.wantOutcome(h.do(e.method, e.path, h.token("alpha", "system/*.rs"), body), http.StatusForbidden, "forbidden")
	}
}
