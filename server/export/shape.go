package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"remit/profiles/r4"
	"remit/profiles/search"
)

// shape is what an order does to each resource between the program and the
// file: filters say which stay, elements what stays of them. It is immutable
// and shared by the chunks.
type shape struct {
	asked   map[string][]*search.Filter // by type: what the request asks for
	granted map[string][]*search.Filter // and what the grant allows
	kept    map[string]*subset
	// organize is the type that owns blocks, "" for files by type; links find
	// the owner, by type.
	organize string
	links    map[string]*search.Link
}

// subset is what _elements leaves of one type.
type subset struct {
	keep []bool // by r4.Element.Index
	meta *r4.Element
	tag  *r4.Element
	sys  *r4.Element
	code *r4.Element
}

// shape compiles an order. Errors: queries or types that kick-off would have
// refused.
func (e *Engine) shape(o *order) (*shape, error) {
	s := &shape{organize: o.Organize}
	params, err := search.Bundled()
	if err != nil {
		return nil, err
	}
	if o.Organize != "" {
		s.links = map[string]*search.Link{}
		for _, typ := range o.Types {
			s.links[typ] = params.Link(typ, o.Organize)
		}
	}
	if s.asked, err = filters(o.TypeFilters, search.Options{Base: o.Base}); err != nil {
		return nil, err
	}
	if s.granted, err = filters(o.Restrict, search.Options{Base: o.Base, Grant: true}); err != nil {
		return nil, err
	}
	for typ, names := range o.Elements {
		one, err := e.subset(typ, names)
		if err != nil {
			return nil, err
		}
		if s.kept == nil {
			s.kept = map[string]*subset{}
		}
		s.kept[typ] = one
	}
	return s, nil
}

func filters(queries map[string][]string, how search.Options) (map[string][]*search.Filter, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	params, err := search.Bundled()
	if err != nil {
		return nil, err
	}
	out := make(map[string][]*search.Filter, len(queries))
	for typ, list := range queries {
		out[typ] = []*search.Filter{}
		for _, q := range list {
			// Grants are written without the type.
			f, problems := params.ParseFor(typ, strings.TrimPrefix(strings.TrimPrefix(q, typ), "?"), how)
			if len(problems) > 0 {
				// Nothing may be let through that a filter should have kept.
				return nil, fmt.Errorf("a stored filter on %s cannot be read", typ)
			}
			out[typ] = append(out[typ], f)
		}
	}
	return out, nil
}

func (e *Engine) subset(typ string, names []string) (*subset, error) {
	t := r4.Lookup(typ)
	if t == nil || e.Mandatory == nil {
		return nil, errors.New("_elements cannot be applied: the mandatory elements are not known")
	}
	mandatory, err := e.Mandatory(typ)
	if err != nil {
		return nil, err
	}
	s := &subset{keep: make([]bool, len(t.Elements())), meta: t.Element("meta")}
	for _, el := range t.Elements() {
		s.keep[el.Index()] = el.Name() == "id" || el == s.meta || slices.Contains(mandatory, el.Base()) ||
			slices.Contains(names, el.Name()) || slices.Contains(names, el.Base())
	}
	meta := s.meta.Type()
	s.tag = meta.Element("tag")
	s.sys, s.code = s.tag.Type().Element("system"), s.tag.Type().Element("code")
	return s, nil
}

// matches says that the resource is wanted and allowed.
func (s *shape) matches(typ string, r *r4.Resource) bool {
	for _, by := range []map[string][]*search.Filter{s.asked, s.granted} {
		if list, ok := by[typ]; ok && !search.Match(list, r) {
			return false
		}
	}
	return true
}

// Tag of resources that _elements trimmed (BE-102).
const (
	subsettedSystem = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
	subsettedCode   = "SUBSETTED"
)

// trim takes away what _elements leaves out, and says so in meta.tag.
func (s *shape) trim(typ string, r *r4.Resource) {
	sub := s.kept[typ]
	if sub == nil {
		return
	}
	for c := r.First(r4.Root); c != r4.None; {
		next := r.Next(c)
		if !sub.keep[r.ElementOf(c).Index()] {
			r.Remove(c)
		}
		c = next
	}
	meta := r.Find(r4.Root, sub.meta)
	if meta == r4.None {
		meta = r.Add(r4.Root, sub.meta, 0)
		r.Sort(r4.Root)
	}
	tag := r.Add(meta, sub.tag, 0)
	r.SetString(r.Add(tag, sub.sys, 0), subsettedSystem)
	r.SetString(r.Add(tag, sub.code, 0), subsettedCode)
	r.Sort(meta)
}
