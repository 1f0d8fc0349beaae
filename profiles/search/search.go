// Package search is FHIR search over resources in memory: it reads a query
// such as "ExplanationOfBenefit?service-date=ge2024-01-01&type=pharmacy" by the
// search parameters that R4, CARIN Blue Button, US Core and PDex define, and
// says of a [r4.Resource] whether it matches.
//
// The definitions are the SearchParameters of the bundled packages; their
// expressions run on the house's own FHIRPath. Nothing here knows a table, an
// index or a server: who can narrow rows beforehand reads [Filter.Clauses] and
// [Parameter.Paths], and lets [Filter.Match] have the last word.
//
//	params, err := search.Bundled()
//	filter, problems := params.Parse("Coverage?status=active,draft&period=ge2024", search.Options{})
//	...
//	if filter.Match(resource) { ... }
//
// # Readings
//
// Where R4 leaves room, this is how it is read; the tests hold each of them.
//
//   - Parameters are joined by AND, comma-separated values by OR; ":not" and
//     "ne" hold for a resource without the element, too (":not") and never for
//     one without it ("ne").
//   - A time without a zone is UTC, in the query and in the resource.
//   - "ge" and "le" hold if any of the element's time lies in the given span, or
//     after or before it: a claim of March is one of "ge2024-03-31".
//   - A Period without end goes on for ever, one without start began always.
//   - A code element has no system of its own. The systems of R4's own required
//     value sets lie under http://hl7.org/fhir/, so a token with such a system
//     matches by its code.
//   - A reference given as a bare id matches any type that the parameter allows.
//   - A canonical without version matches every version (_profile).
//   - "ap" is refused: what is near depends on the day of the question.
//
// Source: FHIR R4, Search (3.1.1); Bulk Data 3.0.0, _typeFilter; BE-130..139.
package search

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"remit/profiles/fhirpath"
	"remit/profiles/packages"
	"remit/profiles/r4"
)

// Kind is the type of a search parameter.
type Kind string

// The kinds that are understood.
const (
	Token     Kind = "token"
	Reference Kind = "reference"
	Date      Kind = "date"
	String    Kind = "string"
	URI       Kind = "uri"
	Number    Kind = "number"
	Quantity  Kind = "quantity"
)

func (k Kind) known() bool {
	switch k {
	case Token, Reference, Date, String, URI, Number, Quantity:
		return true
	}
	return false
}

// Parameter is a search parameter as one resource type has it. It is immutable
// and safe for concurrent use.
type Parameter struct {
	Code string // "service-date"
	Kind Kind
	// Type is the resource type, also where the definition stands for all of
	// them (_id).
	Type string
	// URL is the canonical of the definition, for a capability statement.
	URL string // "" for Remit's own
	// Expression is the part of the definition's FHIRPath that is about Type.
	Expression string
	// Targets are the types that a reference may lead to.
	Targets []string

	alternatives []string
	once         sync.Once
	compiled     *fhirpath.Expression
	err          error
}

// Paths lists the element paths that the parameter looks at, below the resource
// ("billablePeriod", "item.serviced"); a choice stands without its type. ok is
// false where the expression is more than plain paths.
func (p *Parameter) Paths() (paths []string, ok bool) {
	for _, a := range p.alternatives {
		_, path, found := strings.Cut(a, ".")
		if !found || strings.ContainsFunc(path, func(r rune) bool {
			return r != '.' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			return nil, false
		}
		paths = append(paths, path)
	}
	return paths, len(paths) > 0
}

// expression compiles once.
func (p *Parameter) expression() (*fhirpath.Expression, error) {
	p.once.Do(func() {
		p.compiled, p.err = fhirpath.Compile(p.Expression, fhirpath.Options{Type: r4.Lookup(p.Type), AsFilters: true})
		if p.err != nil {
			p.err = fmt.Errorf("search parameter %s of %s: %w", p.Code, p.Type, p.err)
		}
	})
	return p.compiled, p.err
}

// Parameters are the search parameters at hand. They are immutable and safe for
// concurrent use.
type Parameters struct {
	definitions map[string][]definition // by code

	mu     sync.Mutex
	byType map[string][]*Parameter
}

// definition is one SearchParameter resource.
type definition struct {
	URL        string   `json:"url"`
	Code       string   `json:"code"`
	Base       []string `json:"base"`
	Kind       Kind     `json:"type"`
	Expression string   `json:"expression"`
	Target     []string `json:"target"`

	core    bool
	version string
	pkg     string
}

// Bundled reads the search parameters of the bundled packages, once. Errors: a
// damaged binary.
var Bundled = sync.OnceValues(func() (*Parameters, error) {
	all, err := packages.Bundled()
	if err != nil {
		return nil, err
	}
	return Of(all...)
})

// Of reads the search parameters of packages. Where several define one code for
// a type, R4's own counts, else that of the newest package; definitions without
// an expression, and those of kinds that are not understood, are passed over.
// Errors: a package that cannot be read.
func Of(pkgs ...*packages.Package) (*Parameters, error) {
	p := &Parameters{definitions: map[string][]definition{}, byType: map[string][]*Parameter{}}
	for _, pkg := range pkgs {
		for i := range pkg.Entries {
			e := &pkg.Entries[i]
			if e.ResourceType != "SearchParameter" {
				continue
			}
			raw, err := pkg.Read(e)
			if err != nil {
				return nil, err
			}
			d := definition{core: pkg.Name == "hl7.fhir.r4.core", version: pkg.Version, pkg: pkg.Name}
			if err := json.Unmarshal(raw, &d); err != nil {
				return nil, fmt.Errorf("read SearchParameter %s of %s: %w", e.ID, pkg.Label(), err)
			}
			if d.Expression != "" && d.Kind.known() {
				p.definitions[d.Code] = append(p.definitions[d.Code], d)
			}
		}
	}
	for _, d := range own() {
		p.definitions[d.Code] = append(p.definitions[d.Code], d)
	}
	for _, list := range p.definitions {
		slices.SortStableFunc(list, func(a, b definition) int {
			if a.core != b.core {
				if a.core {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(a.pkg, b.pkg), packages.CompareVersions(b.version, a.version))
		})
	}
	return p, nil
}

// own are parameters that payers' clients ask for and no bundled guide defines
// (BE-139): the period of a Coverage, on Claim what CARIN Blue Button has on
// ExplanationOfBenefit, and the name of a Group, by which the Bulk Cohort API
// wants groups found (BE-265). They have no canonical.
func own() []definition {
	return []definition{
		{Code: "period", Base: []string{"Coverage"}, Kind: Date, Expression: "Coverage.period"},
		{Code: "type", Base: []string{"Claim"}, Kind: Token, Expression: "Claim.type"},
		{Code: "service-date", Base: []string{"Claim"}, Kind: Date, Expression: "Claim.billablePeriod | Claim.item.serviced"},
		{Code: "billable-period-start", Base: []string{"Claim"}, Kind: Date, Expression: "Claim.billablePeriod.start"},
		{Code: "use", Base: []string{"ExplanationOfBenefit"}, Kind: Token, Expression: "ExplanationOfBenefit.use"},
		{Code: "name", Base: []string{"Group"}, Kind: String, Expression: "Group.name"},
	}
}

// For lists the parameters of a resource type, sorted by code. The caller must
// not change the slice. It is empty for what is no resource type.
func (p *Parameters) For(resourceType string) []*Parameter {
	t := r4.Lookup(resourceType)
	if t == nil || t.Kind() != r4.KindResource {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list, ok := p.byType[resourceType]
	if ok {
		return list
	}
	for _, defs := range p.definitions {
		if found := choose(defs, resourceType); found != nil {
			list = append(list, found)
		}
	}
	slices.SortFunc(list, func(a, b *Parameter) int { return cmp.Compare(a.Code, b.Code) })
	p.byType[resourceType] = list
	return list
}

// Lookup finds a parameter of a resource type, or nil.
func (p *Parameters) Lookup(resourceType, code string) *Parameter {
	list := p.For(resourceType)
	i, ok := slices.BinarySearchFunc(list, code, func(q *Parameter, code string) int { return cmp.Compare(q.Code, code) })
	if !ok {
		return nil
	}
	return list[i]
}

// choose takes the first definition that a type has.
func choose(defs []definition, resourceType string) *Parameter {
	for _, base := range []string{resourceType, "DomainResource", "Resource"} {
		for i := range defs {
			d := &defs[i]
			if !slices.Contains(d.Base, base) {
				continue
			}
			alternatives := about(d.Expression, resourceType)
			if len(alternatives) == 0 {
				continue
			}
			return &Parameter{Code: d.Code, Kind: d.Kind, Type: resourceType, URL: d.URL, Targets: d.Target,
				Expression: strings.Join(alternatives, " | "), alternatives: alternatives}
		}
	}
	return nil
}

// about keeps those alternatives of an expression that begin with the type, or
// with what every resource is.
func about(expression, resourceType string) []string {
	var out []string
	for _, a := range alternatives(expression) {
		head := strings.TrimLeft(a, "( ")
		if end := strings.IndexFunc(head, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}); end > 0 {
			head = head[:end]
		}
		if head == resourceType || head == "Resource" || head == "DomainResource" {
			out = append(out, a)
		}
	}
	return out
}

// alternatives splits an expression at its outermost unions.
func alternatives(expression string) []string {
	var out []string
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(expression); i++ {
		switch c := expression[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			out = append(out, strings.TrimSpace(expression[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(expression[start:]))
}
