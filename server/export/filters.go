package export

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/profiles/search"
)

// maxFilters bounds the queries of one kick-off, maxQuery the length of one.
const (
	maxFilters = 200
	maxQuery   = 64 << 10
)

// nextQuery finds where a further query begins after a comma in one value: the
// form of guides before 3.0 (BE-132). Any other comma belongs to a search value.
var nextQuery = regexp.MustCompile(`,\s*[A-Z][A-Za-z]+\?`)

// typeFilters reads _typeFilter; which types are exported is settled later.
func (r *reading) typeFilters(values []string) {
	for _, v := range values {
		if len(v) > maxQuery {
			r.refuse(CodeValue, "_typeFilter", fmt.Sprintf("a query has more than %d bytes", maxQuery))
			return
		}
		if r.c.Ballot {
			r.queries = append(r.queries, v)
			continue
		}
		for {
			at := nextQuery.FindStringIndex(v)
			if at == nil {
				break
			}
			r.queries = append(r.queries, v[:at[0]])
			v = v[at[0]+1:]
		}
		r.queries = append(r.queries, v)
	}
	if len(r.queries) > maxFilters {
		r.queries = nil
		r.refuse(CodeValue, "_typeFilter", fmt.Sprintf("more than %d queries", maxFilters))
	}
}

var queryForm = regexp.MustCompile(`^[A-Z][A-Za-z]+\?`)

// filter settles _typeFilter (BE-130 to BE-139).
func (r *reading) filter() {
	for _, q := range r.queries {
		q = strings.TrimSpace(q)
		if q == "" {
			r.refuse(CodeValue, "_typeFilter", "_typeFilter holds an empty query")
			continue
		}
		if !queryForm.MatchString(q) {
			r.refuse(CodeValue, "_typeFilter", "a query does not have the form Type?name=value, about one type and without a path")
			continue
		}
		typ, _, _ := strings.Cut(q, "?")
		if r.c.Known != nil && !r.c.Known(typ) {
			r.refuse(CodeValue, "_typeFilter", r.noType(typ))
			continue
		}
		if !slices.Contains(r.request.Types, typ) {
			r.unsupported("_typeFilter", fmt.Sprintf("a query is about %s, which is not exported", shown(typ)))
			continue
		}
		params, err := search.Bundled()
		if err != nil {
			r.refuse(CodeNotSupported, "_typeFilter", "search parameters cannot be read")
			return
		}
		f, problems := params.Parse(q, search.Options{Base: r.c.Base})
		for _, p := range problems {
			text := "a query about " + typ + ": " + p.Text
			if p.Parameter != "" {
				text = fmt.Sprintf("%s, parameter %q: %s", typ, p.Parameter, p.Text)
			}
			switch {
			case p.Ignorable():
				r.unsupported("_typeFilter", text)
			case p.Kind == search.Result:
				r.refuse(CodeNotSupported, "_typeFilter", text)
			default:
				r.refuse(CodeValue, "_typeFilter", text)
			}
		}
		if f == nil {
			continue
		}
		if r.request.TypeFilters == nil {
			r.request.TypeFilters = map[string][]string{}
			r.request.Base = r.c.Base
		}
		if !slices.Contains(r.request.TypeFilters[typ], f.String()) {
			r.request.TypeFilters[typ] = append(r.request.TypeFilters[typ], f.String())
		}
	}
}

// elementNames reads _elements.
func (r *reading) elementNames(values []string) {
	if r.elements = items(values); len(r.elements) == 0 {
		r.refuse(CodeValue, "_elements", "_elements names no element")
	}
}

// trim settles _elements: which root elements of which type stay (BE-100 to
// BE-104).
func (r *reading) trim() {
	for _, item := range r.elements {
		typ, name, qualified := strings.Cut(item, ".")
		if !qualified {
			typ, name = "", item
		}
		switch {
		case strings.Contains(name, "."):
			r.unsupported("_elements", fmt.Sprintf("%q is not a root element", shown(item)))
			continue
		case qualified && !slices.Contains(r.request.Types, typ):
			r.unsupported("_elements", fmt.Sprintf("%q names a type that is not exported", shown(item)))
			continue
		}
		known := false
		for _, t := range r.request.Types {
			if qualified && t != typ {
				continue
			}
			if r.request.Elements == nil {
				r.request.Elements = map[string][]string{}
			}
			kept := r.request.Elements[t]
			if kept == nil {
				kept = []string{}
			}
			if hasElement(t, name) {
				known = true
				kept = append(kept, name)
			}
			r.request.Elements[t] = kept
		}
		if !known {
			r.unsupported("_elements", fmt.Sprintf("no exported type has the element %q", shown(item)))
		}
	}
	for t, kept := range r.request.Elements {
		slices.Sort(kept)
		r.request.Elements[t] = slices.Compact(kept)
	}
}

// hasElement says that a resource type has the root element; a choice is named
// with or without its type.
func hasElement(typ, name string) bool {
	t := r4.Lookup(typ)
	return t != nil && (t.Element(name) != nil || t.Choice(name) != nil)
}

// provenance is the resource type that includeAssociatedData is about.
const provenance = "Provenance"

// associated reads includeAssociatedData (BE-120 to BE-124).
func (r *reading) associated(values []string) {
	served := slices.ContainsFunc(r.c.Types, func(t program.Type) bool { return t.Name == provenance })
	for _, v := range items(values) {
		switch a := Associated(v); {
		case a != LatestProvenance && a != AllProvenance:
			r.unsupported("includeAssociatedData", fmt.Sprintf("the value %q is not supported", shown(v)))
		case !served:
			r.unsupported("includeAssociatedData", "this server has no "+provenance+" resources")
		case !r.granted(provenance):
			r.refuse(CodeForbidden, "includeAssociatedData", "resource type "+provenance+" is not granted to the client")
		case r.request.Associated != AllProvenance: // the larger data set counts (BE-121)
			r.request.Associated = a
		}
	}
}

// associate adds the type that includeAssociatedData brings along, whatever
// _type says.
func (r *reading) associate() {
	if r.request.Associated != NoAssociated && !slices.Contains(r.request.Types, provenance) {
		r.request.Types = append(r.request.Types, provenance)
		slices.Sort(r.request.Types)
	}
}

// organized reads organizeOutputBy.
func (r *reading) organized(values []string) { r.organize = strings.TrimSpace(values[0]) }

// organizeBy settles organizeOutputBy: the output can be laid out by a type that
// owns what is exported (BE-145, BE-148).
func (r *reading) organizeBy() {
	if r.organize == "" {
		return
	}
	if r.organize != ownerType || !slices.ContainsFunc(r.c.Types, func(t program.Type) bool { return t.Name == ownerType }) {
		r.unsupported("organizeOutputBy", fmt.Sprintf("output cannot be organized by %q; %s is the one type by which it can, where it is exported", shown(r.organize), ownerType))
		return
	}
	if r.request.Associated != NoAssociated {
		r.refuse(CodeNotSupported, "organizeOutputBy", "organizeOutputBy and includeAssociatedData are not supported together")
	}
	r.request.Organize = r.organize
	for _, t := range r.c.Types {
		if t.Reach != program.PatientData && slices.Contains(r.request.Types, t.Name) {
			r.note("organizeOutputBy", "resources of type "+t.Name+" belong to no patient and are left out of organized output")
		}
	}
}

// ownerType is the resource type whose compartment an export is about.
const ownerType = "Patient"

// paged reads allowPartialManifests (BE-150).
func (r *reading) paged(values []string) {
	switch strings.ToLower(strings.TrimSpace(values[0])) {
	case "true":
		r.request.Paged = true
	case "false":
	default:
		r.refuse(CodeValue, "allowPartialManifests", "allowPartialManifests is true or false")
	}
}

// note records what the client should know, in the manifest's error files.
func (r *reading) note(expression, text string) {
	if len(r.request.Notes) < maxRefusals {
		r.request.Notes = append(r.request.Notes, Note{Severity: "information", Code: "informational", Expression: expression, Text: text})
	}
}
