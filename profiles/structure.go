package profiles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"remit/profiles/packages"
	"remit/profiles/r4"
)

// The JSON shapes of a StructureDefinition that matter here.
// Source: R4 StructureDefinition, ElementDefinition.
type structureJSON struct {
	Context  []contextJSON `json:"context"`
	Snapshot struct {
		Element []elementJSON `json:"element"`
	} `json:"snapshot"`
}

// contextJSON is a place where an extension may stand.
type contextJSON struct {
	Type       string `json:"type"` // fhirpath, element, extension
	Expression string `json:"expression"`
}

type elementJSON struct {
	ID               string        `json:"id"`
	Path             string        `json:"path"`
	SliceName        string        `json:"sliceName"`
	Short            string        `json:"short"`
	Min              int           `json:"min"`
	Max              string        `json:"max"`
	Type             []typeJSON    `json:"type"`
	ContentReference string        `json:"contentReference"`
	MaxLength        int           `json:"maxLength"`
	MustSupport      bool          `json:"mustSupport"`
	IsModifier       bool          `json:"isModifier"`
	Binding          *bindingJSON  `json:"binding"`
	Slicing          *slicingJSON  `json:"slicing"`
	Constraint       []constrained `json:"constraint"`

	values map[string]json.RawMessage // fixed[x], pattern[x], minValue[x], maxValue[x]
}

type typeJSON struct {
	Code          string          `json:"code"`
	Profile       []string        `json:"profile"`
	TargetProfile []string        `json:"targetProfile"`
	Extension     []extensionJSON `json:"extension"`
}

type extensionJSON struct {
	URL            string `json:"url"`
	ValueURL       string `json:"valueUrl"`
	ValueCanonical string `json:"valueCanonical"`
	ValueURI       string `json:"valueUri"`
}

type bindingJSON struct {
	Strength  string          `json:"strength"`
	ValueSet  string          `json:"valueSet"`
	Extension []extensionJSON `json:"extension"`
}

type slicingJSON struct {
	Discriminator []struct {
		Type string `json:"type"`
		Path string `json:"path"`
	} `json:"discriminator"`
	Rules   string `json:"rules"`
	Ordered bool   `json:"ordered"`
}

type constrained struct {
	Key        string `json:"key"`
	Severity   string `json:"severity"`
	Human      string `json:"human"`
	Expression string `json:"expression"`
	Source     string `json:"source"`
	Extension  []struct {
		URL          string `json:"url"`
		ValueBoolean bool   `json:"valueBoolean"`
	} `json:"extension"`
}

// UnmarshalJSON reads the plain fields, and those whose name bears a type only
// where there are any.
func (e *elementJSON) UnmarshalJSON(raw []byte) error {
	type bare elementJSON
	if err := json.Unmarshal(raw, (*bare)(e)); err != nil {
		return err
	}
	for _, prefix := range [][]byte{[]byte(`"fixed`), []byte(`"pattern`), []byte(`"minValue`), []byte(`"maxValue`)} {
		if bytes.Contains(raw, prefix) {
			return json.Unmarshal(raw, &e.values)
		}
	}
	return nil
}

const (
	fhirType     = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
	maxValueSet  = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
	bestPractice = "http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice"
	coreURL      = "http://hl7.org/fhir/StructureDefinition/"
	systemType   = "http://hl7.org/fhirpath/System."
)

// parseProfile makes a Profile of a StructureDefinition with a snapshot.
func (s *Set) parseProfile(pkg *packages.Package, entry *packages.Entry) (*Profile, error) {
	raw, err := pkg.Read(entry)
	if err != nil {
		return nil, err
	}
	var d structureJSON
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("parse %s of %s: %w", entry.ID, pkg.Label(), err)
	}
	p := &Profile{
		URL: entry.URL, Version: entry.Version, Name: entry.ID, Title: entry.Title,
		Type: entry.Type, Base: entry.Base, Package: pkg.Label(), Derived: entry.Derivation == "constraint",
		set: s, pkg: pkg, contexts: d.Context,
	}
	if p.canonical = p.URL; p.Version != "" {
		p.canonical += "|" + p.Version
	}
	if err := p.build(d.Snapshot.Element); err != nil {
		return nil, fmt.Errorf("compile %s of %s: %w", entry.ID, pkg.Label(), err)
	}
	return p, nil
}

// build hangs the flat list of a snapshot into a tree. A slice hangs under the
// element it is a slice of, not among its siblings.
func (p *Profile) build(list []elementJSON) error {
	if len(list) == 0 {
		return errors.New("definition has no snapshot")
	}
	p.byID = make(map[string]*Element, len(list))
	elements := make([]Element, len(list))
	for i := range list {
		d, e := &list[i], &elements[i]
		if err := p.fill(e, d); err != nil {
			return fmt.Errorf("element %s: %w", d.Path, err)
		}
		p.byID[e.ID] = e
		if i == 0 {
			p.root = e
			continue
		}
		cut := strings.LastIndexByte(e.ID, '.')
		if cut < 0 {
			return errors.New("snapshot has two roots")
		}
		if whole := sliceOf(e.ID); whole != "" {
			// "code:a/b" reslices "code:a" where there is such a slice.
			if of := p.byID[whole]; of != nil {
				e.whole = of
				of.slices = append(of.slices, e)
				continue
			}
			// A few of R4's own profiles name a slice of what they do not slice:
			// then it is the element.
		}
		parent := p.byID[e.ID[:cut]]
		if parent == nil {
			return fmt.Errorf("element %s has no parent", e.ID)
		}
		parent.children = append(parent.children, e)
	}
	return nil
}

// sliceOf gives the id of the element that id names a slice of, or "".
func sliceOf(id string) string {
	last := strings.LastIndexByte(id, '.') + 1
	colon := strings.IndexByte(id[last:], ':')
	if colon < 0 {
		return ""
	}
	if slash := strings.LastIndexByte(id[last+colon:], '/'); slash > 0 {
		return id[:last+colon+slash]
	}
	return id[:last+colon]
}

func (p *Profile) fill(e *Element, d *elementJSON) error {
	e.Profile, e.ID, e.Path = p, d.ID, d.Path
	if e.ID == "" {
		e.ID = d.Path
		if d.SliceName != "" {
			e.ID += ":" + d.SliceName
		}
	}
	last := e.ID[strings.LastIndexByte(e.ID, '.')+1:]
	e.Base, e.Slice, _ = strings.Cut(last, ":")
	e.Base = strings.TrimSuffix(e.Base, "[x]")
	if d.SliceName != "" && e.Slice != "" {
		e.Slice = d.SliceName
	}
	e.Min = d.Min
	if d.Max == "*" {
		e.Max = Unbounded
	} else if n, err := strconv.Atoi(d.Max); err != nil {
		return errors.New("max is neither a number nor *")
	} else {
		e.Max = n
	}
	for i := range d.Type {
		e.Types = append(e.Types, p.typeRef(e, &d.Type[i]))
	}
	e.content, e.MaxLength, e.MustSupport, e.Modifier, e.Short = d.ContentReference, d.MaxLength, d.MustSupport, d.IsModifier, d.Short
	if b := d.Binding; b != nil && b.ValueSet != "" {
		e.Binding = &Binding{Strength: b.Strength, ValueSet: p.set.pin(b.ValueSet, p.pkg)}
		for _, x := range b.Extension {
			if x.URL == maxValueSet {
				e.Binding.Max = p.set.pin(x.ValueCanonical+x.ValueURI, p.pkg)
			}
		}
	}
	if sl := d.Slicing; sl != nil {
		e.Slicing = &Slicing{Rules: sl.Rules, Ordered: sl.Ordered}
		for _, x := range sl.Discriminator {
			e.Slicing.Discriminators = append(e.Slicing.Discriminators, Discriminator{x.Type, x.Path})
		}
	}
	for _, c := range d.Constraint {
		k := Constraint{Key: c.Key, Severity: c.Severity, Human: c.Human, Expression: c.Expression, Source: c.Source}
		for _, x := range c.Extension {
			k.BestPractice = k.BestPractice || x.URL == bestPractice && x.ValueBoolean
		}
		mended, err := mend(k)
		if err != nil {
			return err
		}
		e.Constraints = append(e.Constraints, mended...)
	}
	for key, raw := range d.values {
		for prefix, to := range map[string]**Literal{"fixed": &e.Fixed, "pattern": &e.Pattern, "minValue": &e.MinValue, "maxValue": &e.MaxValue} {
			suffix, ok := strings.CutPrefix(key, prefix)
			if !ok || suffix == "" || strings.HasPrefix(key, "_") {
				continue
			}
			lit, err := newLiteral(suffix, raw)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			*to = lit
		}
	}
	return nil
}

func (p *Profile) typeRef(e *Element, d *typeJSON) TypeRef {
	t := TypeRef{Code: d.Code, Profiles: d.Profile, Targets: d.TargetProfile}
	if name, ok := strings.CutPrefix(t.Code, systemType); ok {
		// Element ids, resource ids and extension urls bear a type of FHIRPath's;
		// an extension tells FHIR's. R4 says string for Resource.id, which is an id.
		t.Code = strings.ToLower(name[:1]) + name[1:]
		for _, x := range d.Extension {
			if x.URL == fhirType {
				t.Code = x.ValueURL + x.ValueURI
			}
		}
		if e.Base == "id" && strings.Count(e.Path, ".") == 1 && r4.Lookup(p.Type) != nil && r4.Lookup(p.Type).Kind() == r4.KindResource {
			t.Code = "id"
		}
	}
	t.Code = strings.TrimPrefix(t.Code, coreURL)
	return t
}

// newLiteral parses the value of a fixed[x] or pattern[x]; suffix is what
// stands for [x].
func newLiteral(suffix string, raw []byte) (*Literal, error) {
	first, size := utf8.DecodeRuneInString(suffix)
	t := r4.Lookup(string(unicode.ToLower(first)) + suffix[size:])
	if t == nil {
		t = r4.Lookup(suffix)
	}
	if t == nil {
		return nil, fmt.Errorf("%s is no datatype", suffix)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	lit := &Literal{Tree: &r4.Resource{}, JSON: bytes.Clone(raw)}
	lit.Tree.Start(t, 0)
	if err := plant(lit.Tree, r4.Root, t, v); err != nil {
		return nil, err
	}
	return lit, nil
}

// plant writes a decoded JSON value under node n of type t.
func plant(r *r4.Resource, n r4.Node, t *r4.Type, v any) error {
	if t.Kind() == r4.KindPrimitive {
		switch v := v.(type) {
		case string:
			r.SetString(n, v)
		case json.Number:
			r.SetString(n, v.String())
		case bool:
			r.SetString(n, strconv.FormatBool(v))
		default:
			return fmt.Errorf("a %s must be a plain value", t.Name())
		}
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("a %s must be an object", t.Name())
	}
	used := 0
	for _, e := range t.Elements() {
		value, ok := object[e.Name()]
		if !ok {
			continue
		}
		used++
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, item := range list {
			if e.Type() == nil {
				return errors.New("a literal cannot hold a resource")
			}
			if err := plant(r, r.Add(n, e, 0), e.Type(), item); err != nil {
				return err
			}
		}
	}
	if used != len(object) {
		return fmt.Errorf("a %s has no such element", t.Name())
	}
	return nil
}
