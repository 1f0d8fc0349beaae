package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"remit/mapping/program"
	"remit/profiles/search"
	"remit/server/auth"
	"remit/server/export"
)

// Reads answers reads and searches; *export.Reader is one. Methods are called
// concurrently.
type Reads interface {
	// Read reads one resource. Error: export.ErrNotFound, alike for what is not
	// there, what is withheld and what the client may not have.
	Read(ctx context.Context, b export.Bounds, resourceType, id string) (*export.Resource, error)
	// Search answers one page.
	Search(ctx context.Context, q export.Search) (*export.Page, error)
}

// Sizes of a page, and how long its link to the next one is good.
const (
	defaultCount = 50
	maxCount     = 1000
	pageLife     = time.Hour
)

// maxSearch bounds the query of a search.
const maxSearch = 1 << 20

// pageParameter carries the token of a further page. Its name is this server's
// own: clients take the link as it is.
const pageParameter = "_page"

// typeNamed finds a served type.
func (s *Server) typeNamed(name string) (program.Type, bool) {
	types := s.options.Types()
	i := slices.IndexFunc(types, func(t program.Type) bool { return t.Name == name })
	if i < 0 {
		return program.Type{}, false
	}
	return types[i], true
}

// ofType answers for the types that are served; to any other there is nothing,
// whatever the method.
func (s *Server) ofType(m methods) http.HandlerFunc {
	h := s.dispatch(m)
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.typeNamed(chi.URLParam(r, "type")); !ok {
			s.refuse(w, fail("not-found", "there is nothing at this URL"))
			return
		}
		h(w, r)
	}
}

// typeParam is the resource type of the path. The routes of groups, which
// clients may change, carry none.
func typeParam(r *http.Request) string {
	if t := chi.URLParam(r, "type"); t != "" {
		return t
	}
	return groupType
}

// bounds are what the client of a request may have of some types.
func (s *Server) bounds(access *auth.Access, p auth.Permission, types ...string) (export.Bounds, *problem) {
	b, err := Bounds(access, p, BoundsOptions{Search: s.options.Search, ServiceDate: s.options.ServiceDate, Base: s.base}, types...)
	if err != nil { // granted by an older version; what cannot be enforced gives nothing
		return b, insufficient("the token's scopes do not cover " + strings.Join(types, ", "))
	}
	return b, nil
}

// BoundsOptions are what Bounds needs of a server's options.
type BoundsOptions struct {
	Search      *search.Parameters
	ServiceDate func(resourceType string) string
	Base        string
}

// Bounds tells what an access may have of some types with these permissions.
// Error: a filter of its scopes that is not understood.
func Bounds(access *auth.Access, p auth.Permission, o BoundsOptions, types ...string) (export.Bounds, error) {
	b := export.Bounds{ClientID: access.Client.ID, Groups: access.Client.Groups, View: access.Client.View}
	for _, t := range types {
		for _, query := range restrict(access, o.ServiceDate, p, t)[t] {
			filter, problems := o.Search.ParseFor(t, query, search.Options{Base: o.Base, Grant: true})
			if len(problems) > 0 {
				return b, fmt.Errorf("the filter on %s is not understood", t)
			}
			if b.Restrict == nil {
				b.Restrict = map[string][]*search.Filter{}
			}
			b.Restrict[t] = append(b.Restrict[t], filter)
		}
	}
	return b, nil
}

// instance answers a read (R4, RESTful API, read).
func (s *Server) instance(w http.ResponseWriter, r *http.Request) {
	resourceType, id := typeParam(r), chi.URLParam(r, "id")
	access, p := s.access(r)
	if p == nil {
		p = s.readable(r, access, resourceType)
	}
	if p == nil && !access.MayRead(resourceType) {
		p = insufficient("the token's scopes do not cover reading " + resourceType)
	}
	if p != nil {
		s.refuse(w, p)
		return
	}
	res, p := s.readOne(r, access, resourceType, id)
	if p != nil {
		s.auditRefusal(r, access, "read", "", p)
		s.refuse(w, p)
		return
	}
	s.audit(r, access, "read", "", "ok", resourceType)
	if res.Version > 0 {
		w.Header().Set("ETag", fmt.Sprintf(`W/"%d"`, res.Version))
	}
	w.Header().Set("Last-Modified", res.Updated.UTC().Format(http.TimeFormat))
	write(w, http.StatusOK, fhirJSON, res.JSON)
}

// noResource answers alike for what is not there and what is not the client's.
func noResource() *problem { return fail("not-found", "there is no such resource") }

func (s *Server) readOne(r *http.Request, access *auth.Access, resourceType, id string) (*export.Resource, *problem) {
	if !validID(id) {
		return nil, noResource()
	}
	b, p := s.bounds(access, auth.Read, resourceType)
	if p != nil {
		return nil, p
	}
	if resourceType == groupType && s.options.Groups != nil {
		res, err := s.options.Groups.Read(r.Context(), b, id)
		if err == nil {
			return res, nil
		}
		if !errors.Is(err, export.ErrNotFound) {
			return nil, s.transient(r, "read", err)
		}
	}
	res, err := s.options.Reads.Read(r.Context(), b, resourceType, id)
	switch {
	case errors.Is(err, export.ErrNotFound):
		return nil, noResource()
	case err != nil:
		return nil, s.transient(r, "read", err)
	}
	return res, nil
}

// validID says that the word can be a resource id (R4, Data Types, id).
func validID(id string) bool {
	return len(id) > 0 && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
	})
}

// readable checks what reads and searches have in common.
func (s *Server) readable(r *http.Request, access *auth.Access, resourceType string) *problem {
	if !acceptsFHIR(r.Header) {
		return notAcceptable()
	}
	if !access.MayRead(resourceType) && !access.MaySearch(resourceType) {
		return insufficient("the token's scopes do not cover " + resourceType)
	}
	return nil
}

func notAcceptable() *problem {
	p := fail("not-supported", "the Accept header leaves no room for %s", fhirJSON)
	p.status = http.StatusNotAcceptable
	return p
}

// query is a search as it was asked for.
type query struct {
	// Text is the part that filters, without the type.
	Text  string        `json:"q"`
	Count int           `json:"c"`
	After *export.Place `json:"a,omitempty"`
	// Own is how many of the client's own groups, which come before all others,
	// were handed out.
	Own int `json:"o,omitempty"`
}

// searchType answers a search of one type by GET or by POST to _search (R4,
// RESTful API, search).
func (s *Server) searchType(w http.ResponseWriter, r *http.Request) {
	resourceType := typeParam(r)
	access, p := s.access(r)
	if p == nil {
		p = s.readable(r, access, resourceType)
	}
	if p == nil && !access.MaySearch(resourceType) {
		p = insufficient("the token's scopes do not cover searching " + resourceType)
	}
	if p != nil {
		s.refuse(w, p)
		return
	}
	body, found, p := s.searchPage(w, r, access, resourceType)
	if p != nil {
		s.auditRefusal(r, access, "search", "", p)
		s.refuse(w, p)
		return
	}
	s.audit(r, access, "search", "", "ok", resourceType+" "+strconv.Itoa(found))
	write(w, http.StatusOK, fhirJSON, body)
}

// searchPage answers one page, and how many resources it holds.
func (s *Server) searchPage(w http.ResponseWriter, r *http.Request, access *auth.Access, resourceType string) ([]byte, int, *problem) {
	text, p := searchText(w, r)
	if p != nil {
		return nil, 0, p
	}
	q, p := s.readQuery(text, access, resourceType)
	if p != nil {
		return nil, 0, p
	}
	filter, p := s.filter(resourceType, q.Text)
	if p != nil {
		return nil, 0, p
	}
	page, next, p := s.gather(r, access, resourceType, filter, q)
	if p != nil {
		return nil, 0, p
	}
	links := []link{{"self", s.base + "/" + resourceType + "?" + selfText(q, text)}}
	if next != nil {
		token, err := s.sealer.seal(access.Client.ID, "search "+resourceType, s.now().Add(pageLife), next)
		if err != nil {
			return nil, 0, s.transient(r, "seal page", err)
		}
		links = append(links, link{"next", s.base + "/" + resourceType + "?" + pageParameter + "=" + token})
	}
	return searchset(s.base, links, page), len(page), nil
}

// gather finds the resources of a page and where the next one begins: nil
// behind the last.
func (s *Server) gather(r *http.Request, access *auth.Access, resourceType string, filter *search.Filter, q *query) ([]export.Resource, *query, *problem) {
	var page []export.Resource
	next := &query{Text: q.Text, Count: q.Count, Own: q.Own}
	if q.Count == 0 {
		return nil, nil, nil // asked for no resources
	}
	b, p := s.bounds(access, auth.Search, resourceType)
	if p != nil {
		return nil, nil, p
	}
	if resourceType == groupType && s.options.Groups != nil && q.After == nil {
		own, more, err := s.options.Groups.List(r.Context(), b, filter, q.Own, q.Count)
		if err != nil {
			return nil, nil, s.transient(r, "search", err)
		}
		page = own
		next.Own += len(page)
		if more || len(page) == q.Count {
			return page, next, nil
		}
	}
	found, err := s.options.Reads.Search(r.Context(), export.Search{
		Bounds: b, Type: resourceType, Filter: filter, Count: q.Count - len(page), After: q.After,
	})
	if err != nil {
		return nil, nil, s.transient(r, "search", err)
	}
	if next.After = found.Next; next.After == nil {
		next = nil
	}
	return append(page, found.Resources...), next, nil
}

// selfText is the query of the self link: what was understood of it.
func selfText(q *query, text string) string {
	if q.After != nil || q.Own > 0 {
		return text
	}
	out := q.Text
	if out != "" {
		out += "&"
	}
	return out + "_count=" + strconv.Itoa(q.Count)
}

// searchText is the query string of a search, be it of the URL or of a form.
func searchText(w http.ResponseWriter, r *http.Request) (string, *problem) {
	if r.Method != http.MethodPost {
		if len(r.URL.RawQuery) > maxSearch {
			return "", fail("too-long", "the query is longer than %d bytes", maxSearch)
		}
		return r.URL.RawQuery, nil
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		p := fail("not-supported", "the body of a search must be application/x-www-form-urlencoded")
		p.status = http.StatusUnsupportedMediaType
		return "", p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSearch))
	if err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return "", fail("too-long", "the body is longer than %d bytes", maxSearch)
		}
		return "", fail("structure", "the body cannot be read")
	}
	text := strings.TrimSpace(string(body))
	if r.URL.RawQuery != "" {
		// R4 allows parameters in both places; they count alike.
		text = strings.Trim(text+"&"+r.URL.RawQuery, "&")
	}
	return text, nil
}

// readQuery takes the parameters that shape the answer off a query.
func (s *Server) readQuery(text string, access *auth.Access, resourceType string) (*query, *problem) {
	q := &query{Count: defaultCount}
	var kept []string
	counted := false
	for part := range strings.SplitSeq(text, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil {
			return nil, fail("structure", "the query string is malformed")
		}
		switch name {
		case "":
		case pageParameter:
			next := new(query)
			if s.sealer.open(value, access.Client.ID, "search "+resourceType, s.now(), next) != nil {
				return nil, about(fail("not-found", "there is no such page, or not any more; search anew"), pageParameter)
			}
			if strings.Trim(text, "&") != part {
				return nil, about(fail("structure", "the link to a page takes no further parameters"), pageParameter)
			}
			return next, nil
		case "_count":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || counted {
				return nil, about(fail("value", "_count must be one number, 0 or above"), "_count")
			}
			counted = true
			q.Count = min(n, maxCount)
		case "_format":
			if !slices.Contains([]string{"json", fhirJSON, plain, "application/json+fhir", "text/json"}, strings.ReplaceAll(strings.ToLower(value), " ", "+")) {
				return nil, about(fail("not-supported", "answers are %s", fhirJSON), "_format")
			}
		case "_pretty":
		default:
			kept = append(kept, part)
		}
	}
	q.Text = strings.Join(kept, "&")
	return q, nil
}

// about names the parameter that a problem is about.
func about(p *problem, expression string) *problem {
	for i := range p.issues {
		p.issues[i].expression = expression
	}
	return p
}

// filter reads a query. A parameter that is not understood is refused, since
// passing over it would hand out more than was asked for.
func (s *Server) filter(resourceType, text string) (*search.Filter, *problem) {
	if text == "" {
		return nil, nil
	}
	f, problems := s.options.Search.ParseFor(resourceType, text, search.Options{Base: s.base})
	if len(problems) == 0 {
		return f, nil
	}
	p := &problem{status: http.StatusBadRequest}
	for _, q := range problems[:min(len(problems), maxNamed)] {
		p.issues = append(p.issues, issue{severity: "error", code: problemCode(q.Kind), text: q.Text, expression: q.Parameter})
	}
	return nil, p
}

// problemCode is the FHIR issue type of a query's problem.
func problemCode(k search.ProblemKind) string {
	switch k {
	case search.Syntax:
		return "structure"
	case search.BadValue:
		return "value"
	}
	return "not-supported"
}

type link struct{ relation, url string }

// searchset lays a Bundle down; resources go in as they are.
func searchset(base string, links []link, resources []export.Resource) []byte {
	var b bytes.Buffer
	size := 512
	for i := range resources {
		size += len(resources[i].JSON) + len(base) + 160
	}
	b.Grow(size)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // links keep their ampersands
	text := func(s string) {
		if err := enc.Encode(s); err != nil {
			panic("server: a string is always JSON: " + err.Error())
		}
		b.Truncate(b.Len() - 1) // the line end
	}
	b.WriteString(`{"resourceType":"Bundle","type":"searchset","link":[`)
	for i, l := range links {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"relation":%q,"url":`, l.relation)
		text(l.url)
		b.WriteByte('}')
	}
	b.WriteByte(']')
	for i := range resources {
		if i == 0 {
			b.WriteString(`,"entry":[`)
		} else {
			b.WriteByte(',')
		}
		b.WriteString(`{"fullUrl":`)
		text(base + "/" + resources[i].Type + "/" + resources[i].ID)
		b.WriteString(`,"resource":`)
		b.Write(resources[i].JSON)
		b.WriteString(`,"search":{"mode":"match"}}`)
	}
	if len(resources) > 0 {
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return b.Bytes()
}
