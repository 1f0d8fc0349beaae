package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"remit/profiles/search"
	"remit/server/export"
)

// doubleReads answers from a handful of resources: Patient p0 .. p6 for
// everybody but those who are kept to groups, who have p0 alone.
type doubleReads struct{ fail error }

func (d *doubleReads) list(b export.Bounds, typ string) []export.Resource {
	var out []export.Resource
	for i := range 7 {
		if i > 0 && b.Groups != nil || typ != "Patient" {
			continue
		}
		id := fmt.Sprint("p", i)
		out = append(out, export.Resource{Type: typ, ID: id, Updated: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
			JSON: fmt.Appendf(nil, `{"resourceType":%q,"id":%q}`, typ, id)})
	}
	return out
}

func (d *doubleReads) Read(_ context.Context, b export.Bounds, typ, id string) (*export.Resource, error) {
	for _, r := range d.list(b, typ) {
		if r.ID == id {
			return &r, d.fail
		}
	}
	return nil, export.ErrNotFound
}

func (d *doubleReads) Search(_ context.Context, q export.Search) (*export.Page, error) {
	all := d.list(q.Bounds, q.Type)
	at := 0
	if q.After != nil {
		at = q.After.Skip
	}
	page := &export.Page{}
	for ; at < len(all); at++ {
		if len(page.Resources) == q.Count {
			page.Next = &export.Place{Skip: at, After: []string{"MEMBER-SECRET"}}
			break
		}
		page.Resources = append(page.Resources, all[at])
	}
	return page, d.fail
}

func withReads(t testing.TB) func(*Options) {
	t.Helper()
	params, err := search.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Reads, o.Search = &doubleReads{}, params }
}

type bundle struct {
	ResourceType, Type string
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource struct{ ID string }
		Search   struct{ Mode string }
	}
}

func readBundle(t *testing.T, a answer) (b bundle, next string) {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != fhirJSON {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatal(err)
	}
	for _, l := range b.Link {
		if l.Relation == "next" {
			next = l.URL
		}
	}
	return b, next
}

// TestReadAuthorization asks each read endpoint without a token, with an
// expired one, with scopes too small, and for what is another's (BE-012,
// BE-020).
func TestReadAuthorization(t *testing.T) {
	t.Parallel()
	h := setup(t, withReads(t))
	h.register("reader", "system/Patient.r", nil)
	h.register("finder", "system/Patient.s", nil)
	h.register("other", "system/Coverage.rs", nil)
	token := h.token("alpha", "system/*.rs")
	for _, path := range []string{"/Patient", "/Patient/p0", "/Patient?_id=p0"} {
		h.wantOutcome(h.do(http.MethodGet, path, "", ""), http.StatusUnauthorized, "login")
		h.wantOutcome(h.do(http.MethodGet, path, "guess", ""), http.StatusUnauthorized, "expired")
		h.wantOutcome(h.do(http.MethodGet, path, h.token("other", "system/Coverage.rs"), ""), http.StatusForbidden, "forbidden")
		if a := h.do(http.MethodGet, path, token, ""); a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
		h.wantOutcome(h.do(http.MethodDelete, path, token, ""), http.StatusMethodNotAllowed, "not-supported")
	}
	h.wantOutcome(h.do(http.MethodPost, "/Patient/_search", "", "", "Content-Type", "application/x-www-form-urlencoded"), http.StatusUnauthorized, "login")
	// Reading and searching are two permissions.
	reader, finder := h.token("reader", "system/Patient.r"), h.token("finder", "system/Patient.s")
	h.wantOutcome(h.do(http.MethodGet, "/Patient", reader, ""), http.StatusForbidden, "forbidden")
	h.wantOutcome(h.do(http.MethodGet, "/Patient/p0", finder, ""), http.StatusForbidden, "forbidden")
	if a := h.do(http.MethodGet, "/Patient/p0", reader, ""); a.status != http.StatusOK || a.header.Get("Last-Modified") != "Mon, 04 May 2026 03:02:01 GMT" {
		t.Errorf("read: %d %v", a.status, a.header)
	}
	// What is not there, what is another's, and what no id can be: alike.
	beta := h.token("beta", "system/*.rs")
	var seen string
	for _, path := range []string{"/Patient/p1", "/Patient/nobody", "/Patient/%20", "/Patient/" + strings.Repeat("x", 65)} {
		a := h.do(http.MethodGet, path, beta, "")
		h.wantOutcome(a, http.StatusNotFound, "not-found")
		if seen == "" {
			seen = string(a.body)
		} else if string(a.body) != seen {
			t.Errorf("%s answers %s, not %s", path, a.body, seen)
		}
	}
	h.clock.Pass(time.Hour)
	h.wantOutcome(h.do(http.MethodGet, "/Patient", token, ""), http.StatusUnauthorized, "expired")
}

// TestSearchPages follows the links: every resource once, and no link of use to
// anybody else, changed, or late.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	h := setup(t, withReads(t))
	token := h.token("alpha", "system/*.rs")
	var got []string
	next := "/Patient?_count=3&_format=json"
	var links []string
	for next != "" {
		var b bundle
		b, next = readBundle(t, h.do(http.MethodGet, next, token, ""))
		if b.ResourceType != "Bundle" || b.Type != "searchset" || b.Link[0].Relation != "self" {
			t.Errorf("%+v", b)
		}
		for _, e := range b.Entry {
			got = append(got, e.Resource.ID)
			if e.FullURL != h.base+"/Patient/"+e.Resource.ID || e.Search.Mode != "match" {
				t.Errorf("%+v", e)
			}
		}
		if next != "" {
			links = append(links, next)
		}
	}
	if strings.Join(got, " ") != "p0 p1 p2 p3 p4 p5 p6" || len(links) != 2 || links[0] == links[1] {
		t.Errorf("%v by %v", got, links)
	}
	if strings.Contains(links[0], "SECRET") {
		t.Errorf("the link shows a key: %s", links[0])
	}
	link := strings.TrimPrefix(links[0], h.base)
	for name, target := range map[string]string{
		"another type": strings.Replace(link, "Patient", "Coverage", 1),
		"changed":      link[:len(link)-4] + "AAAA",
		"cut":          link[:len(link)-30],
		"made up":      "/Patient?_page=x",
		"empty":        "/Patient?_page=",
	} {
		if a := h.do(http.MethodGet, target, token, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	h.wantOutcome(h.do(http.MethodGet, link+"&_count=1", token, ""), http.StatusBadRequest, "structure")
	h.wantOutcome(h.do(http.MethodGet, link, h.token("beta", "system/*.rs"), ""), http.StatusNotFound, "not-found")
	h.clock.Pass(2 * time.Hour)
	h.wantOutcome(h.do(http.MethodGet, link, h.token("alpha", "system/*.rs"), ""), http.StatusNotFound, "not-found")
}

// TestSearchRefusals: what is not understood is named, never passed over.
func TestSearchRefusals(t *testing.T) {
	t.Parallel()
	h := setup(t, withReads(t))
	token := h.token("alpha", "system/*.rs")
	for query, code := range map[string]string{
		"favourite=blue": "not-supported", "_sort=name": "not-supported", "_include=x": "not-supported", "birthdate=2024-99": "value",
		"_count=-1": "value", "_count=1&_count=2": "value", "_format=xml": "not-supported", "%zz=1": "structure", "name": "structure",
	} {
		h.wantOutcome(h.do(http.MethodGet, "/Patient?"+query, token, ""), http.StatusBadRequest, code)
	}
	h.wantOutcome(h.do(http.MethodPost, "/Patient/_search", token, "{}", "Content-Type", fhirJSON), http.StatusUnsupportedMediaType, "not-supported")
	h.wantOutcome(h.do(http.MethodGet, "/Patient", token, "", "Accept", "application/fhir+xml"), http.StatusNotAcceptable, "not-supported")
	h.wantOutcome(h.do(http.MethodGet, "/Observation", token, ""), http.StatusNotFound, "not-found")
	h.wantOutcome(h.do(http.MethodPost, "/Observation", token, "{}"), http.StatusNotFound, "not-found")
	a := h.do(http.MethodGet, "/Patient?favourite=blue", token, "")
	if !strings.Contains(string(a.body), `"expression":["favourite"]`) || strings.Contains(string(a.body), "blue") {
		t.Errorf("%s", a.body)
	}
	// A fault of our side tells nothing of it.
	h.server.options.Reads.(*doubleReads).fail = errAway
	h.wantOutcome(h.do(http.MethodGet, "/Patient", token, ""), http.StatusServiceUnavailable, "transient")
	h.wantOutcome(h.do(http.MethodGet, "/Patient/p0", token, ""), http.StatusServiceUnavailable, "transient")
}

// FuzzSearch: any query is answered by a Bundle or a 4xx OperationOutcome.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"", "_id=p0", "_count=3", "name:exact=a,b", "_lastUpdated=ge2024", "identifier=a|b&patient=Patient/1", "_page=AAAA", "%zz", "a=%00", "_count=99999999999999999999"} {
		f.Add(seed)
	}
	params, err := search.Bundled()
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{PublicURL: "http://127.0.0.1:1/fhir", Exports: &double{}, Types: doubleTypesNow, Reads: &doubleReads{}, Search: params})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 10<<10 {
			return
		}
		for _, path := range []string{"/fhir/Patient", "/fhir/Coverage", "/fhir/Group"} {
			r := newRequest(http.MethodGet, path, "")
			r.URL.RawQuery = query
			checkAnswer(t, s, r)
			r = newRequest(http.MethodPost, path+"/_search", query)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			checkAnswer(t, s, r)
			r = newRequest(http.MethodGet, path, "")
			r.URL.Path += "/" + url.PathEscape(query)
			checkAnswer(t, s, r)
		}
	})
}
