package search

import (
	"strings"
	"unsafe"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
)

// matcher is the working memory of one evaluation.
type matcher struct {
	env  fhirpath.Env
	base string
}

func newMatcher(base string) *matcher {
	m := &matcher{base: base}
	m.env.Resolver = typeOnly{}
	return m
}

// typeOnly resolves a reference to no more than the type in its text, which is
// what expressions such as "subject.where(resolve() is Patient)" ask for.
type typeOnly struct{}

// Resolve implements fhirpath.Resolver.
func (typeOnly) Resolve(_ *r4.Resource, _ r4.Node, ref string) fhirpath.Target {
	if typ, _, ok := relative(ref); ok {
		return fhirpath.Target{Type: r4.Lookup(typ)}
	}
	return fhirpath.Target{}
}

// relative finds Type and id at the end of a reference's text.
func relative(ref string) (typ, id string, ok bool) {
	if at := strings.Index(ref, "/_history/"); at >= 0 {
		ref = ref[:at]
	}
	at := strings.LastIndexByte(ref, '/')
	if at <= 0 {
		return "", "", false
	}
	return ref[strings.LastIndexByte(ref[:at], '/')+1 : at], ref[at+1:], true
}

// Match says whether every clause holds for r. It does not change r, and
// allocates nothing but for numbers and texts beyond ASCII.
func (f *Filter) Match(r *r4.Resource) bool {
	if t := r.Type(); t == nil || t.Name() != f.Type {
		return false
	}
	m := f.pool.Get().(*matcher)
	defer f.pool.Put(m)
	for i := range f.Clauses {
		if !m.clause(&f.Clauses[i], r, f.grant) {
			return false
		}
	}
	return true
}

// Match says whether any of the filters matches; no filters match nothing.
func Match(filters []*Filter, r *r4.Resource) bool {
	for _, f := range filters {
		if f.Match(r) {
			return true
		}
	}
	return false
}

func (m *matcher) clause(c *Clause, r *r4.Resource, grant bool) bool {
	x, err := c.Parameter.expression()
	if err != nil {
		return false
	}
	// What cannot be evaluated on this resource is not there, and gives nothing.
	items, err := x.Items(&m.env, r, r4.Root)
	if err != nil {
		if grant {
			return false
		}
		items = nil
	}
	if c.Modifier == "missing" {
		return c.Missing == (len(items) == 0)
	}
	if grant && c.Modifier == "not" && !decidable(c, items) {
		return false
	}
	for i := range items {
		for k := range c.Values {
			if m.item(c, &c.Values[k], items[i]) {
				return c.Modifier != "not"
			}
		}
	}
	return c.Modifier == "not"
}

func (m *matcher) item(c *Clause, v *Value, item fhirpath.Value) bool {
	r, n, ok := item.Node()
	if !ok {
		// A value that the expression computed.
		if c.Parameter.Kind != Token {
			return false
		}
		b, ok := item.Bool()
		return ok && v.Code == boolText(b)
	}
	t := r.TypeOf(n)
	if t == nil {
		return false
	}
	switch c.Parameter.Kind {
	case Token:
		return token(v, r, n, t)
	case Reference:
		if c.Modifier == "identifier" {
			id := child(r, n, "identifier")
			return id != r4.None && token(v, r, id, r.TypeOf(id))
		}
		return m.reference(v, r, n, t)
	case Date:
		s, ok := spanOf(r, n, t)
		return ok && v.Prefix.holds(s, v.Range)
	case String:
		return stringOf(c, v, r, n, t)
	case URI:
		return uri(c, v, view(r.Value(n)))
	case Number:
		return v.compare(view(r.Value(n)))
	case Quantity:
		return quantity(v, r, n)
	}
	return false
}

// decidable says that there is something, and that all of it can be compared
// with all the values of a token.
func decidable(c *Clause, items []fhirpath.Value) bool {
	for i := range items {
		r, n, ok := items[i].Node()
		if !ok {
			if _, ok = items[i].Bool(); !ok {
				return false
			}
			continue
		}
		t := r.TypeOf(n)
		if t == nil {
			return false
		}
		for k := range c.Values {
			if !known(&c.Values[k], r, n, t) {
				return false
			}
		}
	}
	return len(items) > 0
}

// known says that a coded element has a code that a value can be compared with.
func known(v *Value, r *r4.Resource, n r4.Node, t *r4.Type) bool {
	// Another system says nothing about a code of this one.
	of := func(system, code string) bool {
		return code != "" && (!v.HasSystem || v.System == "" || v.Code == "" || system == v.System)
	}
	switch t.Name() {
	case "CodeableConcept":
		for c := child(r, n, "coding"); c != r4.None; c = r.NextSame(c) {
			if of(text(r, c, "system"), text(r, c, "code")) {
				return true
			}
		}
		return false
	case "Coding":
		return of(text(r, n, "system"), text(r, n, "code"))
	case "Identifier":
		return of(text(r, n, "system"), text(r, n, "value"))
	case "ContactPoint":
		return text(r, n, "value") != ""
	}
	return t.Kind() == r4.KindPrimitive && r.HasValue(n)
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// view looks at a tree's bytes as a string, for as long as the tree is not
// changed.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// child is n's first child called name, or None.
func child(r *r4.Resource, n r4.Node, name string) r4.Node {
	t := r.TypeOf(n)
	if t == nil {
		return r4.None
	}
	e := t.Element(name)
	if e == nil {
		return r4.None
	}
	return r.Find(n, e)
}

// text is the value of n's first child called name, or "".
func text(r *r4.Resource, n r4.Node, name string) string {
	c := child(r, n, name)
	if c == r4.None {
		return ""
	}
	return view(r.Value(c))
}

// token compares a coded element (R4, 3.1.1.4.10).
func token(v *Value, r *r4.Resource, n r4.Node, t *r4.Type) bool {
	switch t.Name() {
	case "CodeableConcept":
		for c := child(r, n, "coding"); c != r4.None; c = r.NextSame(c) {
			if v.coded(text(r, c, "system"), text(r, c, "code")) {
				return true
			}
		}
		return false
	case "Coding":
		return v.coded(text(r, n, "system"), text(r, n, "code"))
	case "Identifier":
		return v.coded(text(r, n, "system"), text(r, n, "value"))
	case "ContactPoint":
		return v.coded("", text(r, n, "value"))
	case "code":
		// The system of a code is that of its binding.
		if v.HasSystem && strings.HasPrefix(v.System, "http://hl7.org/fhir/") {
			return v.Code == "" || v.Code == view(r.Value(n))
		}
	}
	if t.Kind() != r4.KindPrimitive || !r.HasValue(n) {
		return false
	}
	return v.coded("", view(r.Value(n)))
}

func (v *Value) coded(system, code string) bool {
	if v.HasSystem && v.System != system {
		return false
	}
	if v.Code == "" {
		return v.HasSystem && (system != "" || code != "")
	}
	return v.Code == code
}

// reference compares a Reference, or a canonical or uri (R4, 3.1.1.4.12).
func (m *matcher) reference(v *Value, r *r4.Resource, n r4.Node, t *r4.Type) bool {
	ref := ""
	if t.Name() == "Reference" {
		ref = text(r, n, "reference")
	} else if t.Kind() == r4.KindPrimitive {
		ref = view(r.Value(n))
	}
	if ref == "" {
		return false
	}
	if m.base != "" && strings.HasPrefix(ref, m.base) && len(ref) > len(m.base) && ref[len(m.base)] == '/' {
		ref = ref[len(m.base)+1:]
	}
	if v.URL != "" {
		if url, _, ok := strings.Cut(ref, "|"); ok && t.Name() == "canonical" && url == v.URL {
			return true
		}
		return ref == v.URL
	}
	if strings.Contains(ref, ":") {
		return false // another server's
	}
	typ, id, ok := relative(ref)
	return ok && id == v.ID && (v.TargetType == "" || v.TargetType == typ)
}

// spanOf is the time that an element covers (R4, 3.1.1.4.7).
func spanOf(r *r4.Resource, n r4.Node, t *r4.Type) (Range, bool) {
	switch t.Name() {
	case "date", "dateTime", "instant":
		return span(r.Value(n))
	case "Period":
		return period(r, n)
	case "Timing":
		all, found := Range{forever, never}, false
		for e := child(r, n, "event"); e != r4.None; e = r.NextSame(e) {
			if s, ok := span(r.Value(e)); ok {
				all, found = Range{min(all.Lo, s.Lo), max(all.Hi, s.Hi)}, true
			}
		}
		if repeat := child(r, n, "repeat"); repeat != r4.None {
			if bounds := child(r, repeat, "boundsPeriod"); bounds != r4.None {
				if s, ok := period(r, bounds); ok {
					all, found = Range{min(all.Lo, s.Lo), max(all.Hi, s.Hi)}, true
				}
			}
		}
		return all, found
	}
	return Range{}, false
}

func period(r *r4.Resource, n r4.Node) (Range, bool) {
	out, found := Range{never, forever}, false
	if c := child(r, n, "start"); c != r4.None {
		if s, ok := span(r.Value(c)); ok {
			out.Lo, found = s.Lo, true
		}
	}
	if c := child(r, n, "end"); c != r4.None {
		if s, ok := span(r.Value(c)); ok {
			out.Hi, found = s.Hi, true
		}
	}
	return out, found
}

// stringOf compares a string, or any text of a name or address (R4, 3.1.1.4.8).
func stringOf(c *Clause, v *Value, r *r4.Resource, n r4.Node, t *r4.Type) bool {
	if t.Kind() == r4.KindPrimitive {
		return stringValue(c, v, view(r.Value(n)))
	}
	switch t.Name() {
	case "HumanName", "Address":
	default:
		return false
	}
	for k := r.First(n); k != r4.None; k = r.Next(k) {
		if r.TypeOf(k).Name() == "string" && stringValue(c, v, view(r.Value(k))) {
			return true
		}
	}
	return false
}

func stringValue(c *Clause, v *Value, s string) bool {
	switch c.Modifier {
	case "exact":
		return s == v.Text
	case "contains":
		return holdsFolded(s, v.Text)
	}
	return s != "" && beginsFolded(s, v.Text)
}

// uri compares a uri or canonical (R4, 3.1.1.4.14).
func uri(c *Clause, v *Value, s string) bool {
	if s == v.Text {
		return true
	}
	if c.Modifier == "below" {
		rest, ok := strings.CutPrefix(s, strings.TrimSuffix(v.Text, "/"))
		return ok && (rest == "" || rest[0] == '/' || rest[0] == '|')
	}
	url, _, versioned := strings.Cut(s, "|")
	return versioned && url == v.Text
}

// quantity compares a Quantity or Money by number and, where asked, unit.
func quantity(v *Value, r *r4.Resource, n r4.Node) bool {
	if v.Code != "" {
		if v.HasSystem && text(r, n, "system") != v.System {
			return false
		}
		if text(r, n, "code") != v.Code && (v.HasSystem || text(r, n, "unit") != v.Code) && text(r, n, "currency") != v.Code {
			return false
		}
	}
	return v.compare(text(r, n, "value"))
}
