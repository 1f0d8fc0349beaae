package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"remit/mapping/program"
	"remit/profiles/r4"
	"remit/profiles/search"
	"remit/sql/control"
)

// Canonicals of the Bulk Cohort API (Bulk Data 3.0.0; BE-261..264).
const (
	// CohortProfile is the profile of criteria-based groups.
	CohortProfile   = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/bulk-cohort-group"
	memberFilter    = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter"
	membersRefresh  = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/members-refreshed"
	fhirQuery       = "application/x-fhir-query"
	groupType       = "Group"
	identifierQuery = "identifier"
)

// Bounds of one group.
const (
	maxGroupMembers = 100_000
	maxGroupFilters = 20
)

// GroupForm is a group as a client describes it, read and checked.
type GroupForm struct {
	// ID is the id of the body, "" without one.
	ID      string
	Filters []*search.Filter
	Members []control.GroupMember
	// resource is what is kept of the body: all but members, id, meta and what
	// the server says itself.
	resource map[string]json.RawMessage
}

// Criteria says that the group is defined by filters.
func (f *GroupForm) Criteria() bool { return len(f.Filters) > 0 }

// Types lists the resource types that the filters look at, each once.
func (f *GroupForm) Types() []string {
	var out []string
	for _, x := range f.Filters {
		if !slices.Contains(out, x.Type) {
			out = append(out, x.Type)
		}
	}
	return out
}

// CodeRequired is the issue type of what is missing.
const CodeRequired = "required"

// groupBody is the part of a Group that is acted upon.
type groupBody struct {
	ID                string          `json:"id"`
	Type              string          `json:"type"`
	Name              string          `json:"name"`
	Characteristic    json.RawMessage `json:"characteristic"`
	ModifierExtension []struct {
		URL             string `json:"url"`
		ValueExpression *struct {
			Language   string `json:"language"`
			Expression string `json:"expression"`
		} `json:"valueExpression"`
	} `json:"modifierExtension"`
	Member []json.RawMessage `json:"member"`
}

type memberBody struct {
	Entity struct {
		Reference  string `json:"reference"`
		Identifier *struct {
			System string `json:"system"`
			Value  string `json:"value"`
		} `json:"identifier"`
	} `json:"entity"`
	Inactive          bool            `json:"inactive"`
	ModifierExtension json.RawMessage `json:"modifierExtension"`
}

// ParseGroup reads the Group of a create or an update. All faults are told at
// once. Whether members exist is not asked: the answer must not tell who is
// insured.
//
// base is the public FHIR base without trailing slash.
//
// Source: Bulk Data 3.0.0, Bulk Cohort API and its profile; BE-260..263.
func ParseGroup(body []byte, params *search.Parameters, base string) (*GroupForm, []Issue) {
	r := &groupReader{params: params, base: base, form: &GroupForm{}}
	r.read(body)
	if len(r.issues) > 0 {
		return nil, r.issues
	}
	return r.form, nil
}

type groupReader struct {
	params *search.Parameters
	base   string
	form   *GroupForm
	issues []Issue
}

func (r *groupReader) refuse(code, expression, format string, args ...any) {
	if len(r.issues) < maxRefusals {
		r.issues = append(r.issues, Issue{Code: code, Expression: expression, Text: fmt.Sprintf(format, args...)})
	}
}

func (r *groupReader) read(body []byte) {
	var tree r4.Resource
	parser := r4.Parser{}
	if problems := parser.Parse(body, &tree); len(problems) > 0 {
		for _, p := range problems {
			r.refuse(CodeStructure, p.Path, "the body is no valid R4 resource: %s", p.Message)
		}
		return
	}
	var b groupBody
	if tree.Type().Name() != groupType || json.Unmarshal(body, &b) != nil || json.Unmarshal(body, &r.form.resource) != nil {
		r.refuse(CodeStructure, "", "the body must be a Group")
		return
	}
	r.form.ID = b.ID
	for _, name := range []string{"id", "meta", "text", "implicitRules", "member", "actual", "quantity", "resourceType"} {
		delete(r.form.resource, name)
	}
	if b.Type != "person" {
		r.refuse(CodeNotSupported, "Group.type", "groups of persons only are supported: type must be person")
	}
	if b.Characteristic != nil {
		r.refuse(CodeNotSupported, "Group.characteristic", "characteristic is not supported; say who belongs to the group by member-filter")
	}
	for i := range b.ModifierExtension {
		x := &b.ModifierExtension[i]
		at := fmt.Sprintf("Group.modifierExtension[%d]", i)
		switch {
		case x.URL != memberFilter:
			r.refuse(CodeNotSupported, at, "this modifierExtension is not supported")
		case x.ValueExpression == nil || x.ValueExpression.Language != fhirQuery:
			r.refuse(CodeNotSupported, at, "a member-filter needs a valueExpression of language %s", fhirQuery)
		default:
			r.filter(at, x.ValueExpression.Expression)
		}
	}
	if len(b.ModifierExtension) > maxGroupFilters {
		r.refuse(CodeValue, "Group.modifierExtension", "a group takes no more than %d filters", maxGroupFilters)
	}
	if r.form.Criteria() && b.Name == "" {
		r.refuse(CodeRequired, "Group.name", "a criteria-based group needs a name")
	}
	if len(b.Member) > maxGroupMembers {
		r.refuse(CodeValue, "Group.member", "a group takes no more than %d members", maxGroupMembers)
		return
	}
	seen := map[string]bool{}
	for i, raw := range b.Member {
		r.member(i, raw, seen)
	}
	r.dropRefreshed()
}

// filter reads one member-filter (BE-262).
func (r *groupReader) filter(at, expression string) {
	if !strings.Contains(expression, "?") {
		r.refuse(CodeValue, at, "a member-filter is a query Type?parameter=value")
		return
	}
	f, problems := r.params.Parse(expression, search.Options{Base: r.base})
	for _, p := range problems {
		code := CodeNotSupported
		switch p.Kind {
		case search.Syntax:
			code = CodeStructure
		case search.BadValue, search.UnknownType:
			code = CodeValue
		}
		text := p.Text
		if p.Parameter != "" {
			text = fmt.Sprintf("parameter %q: %s", p.Parameter, p.Text)
		}
		r.refuse(code, at, "%s", text)
	}
	if f != nil && len(problems) == 0 {
		r.form.Filters = append(r.form.Filters, f)
	}
}

// member reads one member: a reference to a Patient or a Group, or the
// identifier of a Patient.
func (r *groupReader) member(i int, raw json.RawMessage, seen map[string]bool) {
	at := fmt.Sprintf("Group.member[%d]", i)
	var m memberBody
	if json.Unmarshal(raw, &m) != nil || m.ModifierExtension != nil {
		r.refuse(CodeNotSupported, at, "the member is not understood")
		return
	}
	var key string
	switch ref := m.Entity.Reference; {
	case ref != "":
		ref = strings.TrimPrefix(strings.TrimPrefix(ref, r.base), "/")
		typ, id, _ := strings.Cut(ref, "/")
		if typ != program.PatientType && typ != groupType || !plainID(id) {
			r.refuse(CodeValue, at+".entity.reference", "a member is a reference Patient/id or Group/id, or the identifier of a patient")
			return
		}
		key = ref
	case m.Entity.Identifier != nil && m.Entity.Identifier.Value != "":
		key = identifierQuery + "=" + token(m.Entity.Identifier.System, m.Entity.Identifier.Value)
	default:
		r.refuse(CodeRequired, at+".entity", "a member needs a reference or an identifier with a value")
		return
	}
	if seen[key] {
		return
	}
	seen[key] = true
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		r.refuse(CodeStructure, at, "the member is not understood")
		return
	}
	r.form.Members = append(r.form.Members, control.GroupMember{Member: key, Inactive: m.Inactive, Entry: compact.String()})
}

// dropRefreshed takes off what the server says itself (BE-264).
func (r *groupReader) dropRefreshed() {
	raw, ok := r.form.resource["extension"]
	if !ok {
		return
	}
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return
	}
	all = slices.DeleteFunc(all, func(x json.RawMessage) bool {
		var e struct{ URL string }
		return json.Unmarshal(x, &e) == nil && e.URL == membersRefresh
	})
	if len(all) == 0 {
		delete(r.form.resource, "extension")
		return
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // it was JSON before
	}
	r.form.resource["extension"] = text
}

// plainID says that the word can be a resource id.
func plainID(id string) bool {
	return len(id) > 0 && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
	})
}

// token writes an identifier as a search token. Without a system any matches.
func token(system, value string) string {
	escape := strings.NewReplacer(`\`, `\\`, `|`, `\|`, `,`, `\,`, `$`, `\$`)
	if system == "" {
		return escape.Replace(value)
	}
	return escape.Replace(system) + "|" + escape.Replace(value)
}

// queries are the filters as they are kept.
func (f *GroupForm) queries() []string {
	var out []string
	for _, x := range f.Filters {
		out = append(out, x.String())
	}
	return out
}
