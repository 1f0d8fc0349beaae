package terminology

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// CodeSystem is a code system with what codes of it are at hand.
type CodeSystem struct {
	URL, Version string
	// Complete says that every code is at hand; otherwise a code that is not
	// found may still be one.
	Complete bool

	folds      bool // codes are compared without regard to case
	concepts   []concept
	byCode     map[string]int
	properties []string // properties that the system itself declares
}

// concept is one code. Its parents are indexes into concepts.
type concept struct {
	code, display string
	designations  []string // other words for it, in any language
	parents       []int
	properties    []property
}

type property struct{ code, value string }

// The JSON shapes that matter here. Source: R4 CodeSystem, ValueSet.
type codeSystem struct {
	URL           string                  `json:"url"`
	Version       string                  `json:"version"`
	Content       string                  `json:"content"`
	CaseSensitive *bool                   `json:"caseSensitive"`
	Supplements   string                  `json:"supplements"`
	Property      []struct{ Code string } `json:"property"`
	Concept       []conceptJSON           `json:"concept"`
}

type conceptJSON struct {
	Code        string         `json:"code"`
	Display     string         `json:"display"`
	Property    []propertyJSON `json:"property"`
	Concept     []conceptJSON  `json:"concept"`
	Designation []struct {
		Value string `json:"value"`
	} `json:"designation"`
}

type propertyJSON struct {
	Code         string      `json:"code"`
	ValueCode    string      `json:"valueCode"`
	ValueString  string      `json:"valueString"`
	ValueBoolean *bool       `json:"valueBoolean"`
	ValueInteger json.Number `json:"valueInteger"`
	ValueDecimal json.Number `json:"valueDecimal"`
	ValueDate    string      `json:"valueDateTime"`
	ValueCoding  *struct {
		Code string `json:"code"`
	} `json:"valueCoding"`
}

func (p *propertyJSON) text() string {
	switch {
	case p.ValueCode != "":
		return p.ValueCode
	case p.ValueString != "":
		return p.ValueString
	case p.ValueBoolean != nil && *p.ValueBoolean:
		return "true"
	case p.ValueBoolean != nil:
		return "false"
	case p.ValueInteger != "":
		return p.ValueInteger.String()
	case p.ValueDecimal != "":
		return p.ValueDecimal.String()
	case p.ValueCoding != nil:
		return p.ValueCoding.Code
	}
	return p.ValueDate
}

func parseCodeSystem(raw []byte) (*CodeSystem, error) {
	var d codeSystem
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	cs := &CodeSystem{
		URL: d.URL, Version: d.Version, Complete: d.Content == "complete",
		folds:  d.CaseSensitive != nil && !*d.CaseSensitive,
		byCode: map[string]int{},
	}
	for _, p := range d.Property {
		cs.properties = append(cs.properties, p.Code)
	}
	cs.addAll(d.Concept, -1)
	// Some hierarchies are told by properties instead of nesting.
	for i := range cs.concepts {
		for _, p := range cs.concepts[i].properties {
			switch p.code {
			case "subsumedBy", "parent":
				if j, ok := cs.find(p.value); ok && j != i && !slices.Contains(cs.concepts[i].parents, j) {
					cs.concepts[i].parents = append(cs.concepts[i].parents, j)
				}
			case "child":
				if j, ok := cs.find(p.value); ok && j != i && !slices.Contains(cs.concepts[j].parents, i) {
					cs.concepts[j].parents = append(cs.concepts[j].parents, i)
				}
			}
		}
	}
	return cs, nil
}

func (cs *CodeSystem) addAll(list []conceptJSON, parent int) {
	for i := range list {
		c := &list[i]
		n := cs.add(c.Code, c.Display)
		if parent >= 0 && !slices.Contains(cs.concepts[n].parents, parent) {
			cs.concepts[n].parents = append(cs.concepts[n].parents, parent)
		}
		for _, d := range c.Designation {
			cs.concepts[n].designations = append(cs.concepts[n].designations, d.Value)
		}
		for j := range c.Property {
			cs.concepts[n].properties = append(cs.concepts[n].properties, property{c.Property[j].Code, c.Property[j].text()})
		}
		cs.addAll(c.Concept, n)
	}
}

// add gives the index of a code, which it adds if it is new.
func (cs *CodeSystem) add(code, display string) int {
	if n, ok := cs.byCode[code]; ok {
		if cs.concepts[n].display == "" {
			cs.concepts[n].display = display
		}
		return n
	}
	n := len(cs.concepts)
	cs.concepts = append(cs.concepts, concept{code: code, display: display})
	cs.byCode[code] = n
	if cs.folds {
		if low := strings.ToLower(code); low != code {
			if _, taken := cs.byCode[low]; !taken {
				cs.byCode[low] = n
			}
		}
	}
	return n
}

func (cs *CodeSystem) find(code string) (int, bool) {
	n, ok := cs.byCode[code]
	if !ok && cs.folds {
		n, ok = cs.byCode[strings.ToLower(code)]
	}
	return n, ok
}

// Has says whether a code belongs to the system.
func (cs *CodeSystem) Has(code string) Tri {
	if _, ok := cs.find(code); ok {
		return Yes
	}
	if cs.Complete {
		return No
	}
	return Unknown
}

// Called says whether words, by the comparison same, are what the system calls
// a code: its display or one of its designations. Unknown if the code or its
// words are not at hand. It does not allocate.
func (cs *CodeSystem) Called(code, words []byte, same func(want string, got []byte) bool) Tri {
	n, ok := cs.byCode[string(code)]
	if !ok || cs.concepts[n].display == "" {
		return Unknown
	}
	c := &cs.concepts[n]
	if same(c.display, words) {
		return Yes
	}
	for _, d := range c.designations {
		if same(d, words) {
			return Yes
		}
	}
	return No
}

// merge takes over the codes of another list of the same system.
func (cs *CodeSystem) merge(o *CodeSystem) {
	for i := range o.concepts {
		n := cs.add(o.concepts[i].code, o.concepts[i].display)
		cs.concepts[n].properties = append(cs.concepts[n].properties, o.concepts[i].properties...)
	}
	cs.Complete = cs.Complete || o.Complete
}

// under says that concept n is below concept top, or is it.
func (cs *CodeSystem) under(n, top, depth int) bool {
	if n == top {
		return true
	}
	if depth > len(cs.concepts) {
		return false // a circle in the data
	}
	for _, p := range cs.concepts[n].parents {
		if cs.under(p, top, depth+1) {
			return true
		}
	}
	return false
}

// filter tells whether concept n passes a filter. ok is false if the filter
// cannot be decided by what is at hand: a property that the list does not have,
// an operator unknown here.
//
// Source: R4 ValueSet.compose.include.filter; filter-operator.
func (cs *CodeSystem) filter(f *filterJSON) (pass func(n int) bool, ok bool) {
	switch f.Op {
	case "is-a", "descendent-of", "descendant-of", "is-not-a", "generalizes":
		top, found := cs.find(f.Value)
		if !found {
			return func(int) bool { return f.Op == "is-not-a" }, cs.Complete
		}
		switch f.Op {
		case "is-a":
			return func(n int) bool { return cs.under(n, top, 0) }, true
		case "is-not-a":
			return func(n int) bool { return !cs.under(n, top, 0) }, true
		case "generalizes":
			return func(n int) bool { return cs.under(top, n, 0) }, true
		}
		return func(n int) bool { return n != top && cs.under(n, top, 0) }, true
	case "=", "in", "not-in", "regex", "exists":
	default:
		return nil, false
	}
	if !cs.knowsProperty(f.Property) {
		return nil, false
	}
	var test func(string) bool
	switch f.Op {
	case "=":
		test = func(v string) bool { return v == f.Value }
	case "in", "not-in":
		list := strings.Split(f.Value, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		test = func(v string) bool { return slices.Contains(list, v) }
	case "regex":
		re, err := regexp.Compile("^(?:" + f.Value + ")$")
		if err != nil {
			return nil, false
		}
		test = re.MatchString
	case "exists":
		test = func(string) bool { return true }
	}
	negate := f.Op == "not-in" || f.Op == "exists" && f.Value == "false"
	return func(n int) bool {
		return slices.ContainsFunc(cs.values(n, f.Property), test) != negate
	}, true
}

func (cs *CodeSystem) knowsProperty(name string) bool {
	switch name {
	case "code", "concept", "display":
		return true
	case "inactive", "abstract", "notSelectable", "status":
		return cs.Complete
	}
	if slices.Contains(cs.properties, name) {
		return true
	}
	for i := range cs.concepts {
		for _, p := range cs.concepts[i].properties {
			if p.code == name {
				return true
			}
		}
	}
	return false
}

func (cs *CodeSystem) values(n int, name string) []string {
	c := &cs.concepts[n]
	switch name {
	case "code", "concept":
		return []string{c.code}
	case "display":
		return []string{c.display}
	case "parent":
		var out []string
		for _, p := range c.parents {
			out = append(out, cs.concepts[p].code)
		}
		return out
	}
	var out []string
	for _, p := range c.properties {
		if p.code == name {
			out = append(out, p.value)
		}
	}
	if out == nil && (name == "abstract" || name == "inactive" || name == "notSelectable") {
		return []string{"false"} // their default where a concept says nothing
	}
	return out
}
