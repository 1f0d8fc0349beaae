package profiles

import (
	"maps"
	"strings"

	"remit/profiles/r4"
)

// extension is what is known of an extension by its url.
type extension struct {
	prog     *program // nil where the definition demands nothing beyond R4, or is not loaded
	el       *Element // root of its definition; nil if it is not loaded
	anywhere bool     // no context stands in its way, or one that is not understood
	contexts []context
	modifier bool
}

// context is a place where an extension may stand: "Patient.contact" as a type
// and the elements below it, or the url of an extension around it.
type context struct {
	typ  string
	path []string
	url  string
}

// extension judges an extension by where it stands, and by the definition its
// url names, unless a slice did so.
func (s *state) extension(n r4.Node) {
	u := s.r.Find(n, words().extensionURL)
	if u == r4.None {
		return
	}
	url := s.r.Value(u)
	x, ok := (*s.v.known.Load())[string(url)]
	if !ok {
		x = s.v.learnExtension(string(url))
	}
	e := s.r.ElementOf(n)
	modifies := e != nil && e.Name() == "modifierExtension"
	if x.el == nil {
		// A modifier that is not understood makes the whole resource unsafe to use.
		// Source: R4 Extensibility, 2.4.1 "Modifier Extensions".
		if modifies {
			s.add(Warning, "modifier-extension-unknown", n, s.v.extensionRoot(), "bears a modifier extension whose definition is not loaded")
		}
		return
	}
	if e != nil && modifies != x.modifier {
		if modifies {
			s.add(Error, "extension-modifier", n, x.el, "stands in modifierExtension; its definition is no modifier's")
		} else {
			s.add(Error, "extension-modifier", n, x.el, "stands in extension; its definition is a modifier's, which belongs in modifierExtension")
		}
	}
	if !x.anywhere && !s.inContext(n, x) {
		s.add(Error, "extension-context", n, x.el, "must not stand here; its definition allows "+x.places())
	}
	if x.prog != nil && s.claimed[n>>6]&(1<<(n&63)) == 0 {
		s.node(n, x.prog)
	}
}

// extensionRoot is the root of R4's Extension.
func (v *Validator) extensionRoot() *Element {
	if p, err := v.set.core("Extension"); err == nil {
		return p.root
	}
	return nil
}

func (v *Validator) learnExtension(url string) *extension {
	x := &extension{}
	if p, err := v.set.find(url, nil); err == nil && p.Type == "Extension" {
		x = &extension{prog: v.pruner.program(v.set.compiler.profile(p)), el: p.root, modifier: p.root.Modifier, anywhere: len(p.contexts) == 0}
		for _, c := range p.contexts {
			switch {
			case c.Type == "extension":
				x.contexts = append(x.contexts, context{url: c.Expression})
			case c.Type != "element" || c.Expression == "Element" || strings.Contains(c.Expression, ":"):
				// A FHIRPath context, or the element of a profile, may be any place.
				x.anywhere = true
			default:
				parts := strings.Split(strings.ReplaceAll(c.Expression, "[x]", ""), ".")
				x.contexts = append(x.contexts, context{typ: parts[0], path: parts[1:]})
			}
		}
	}
	v.learnt.Lock()
	defer v.learnt.Unlock()
	if old := *v.known.Load(); len(old) < maxLearnt {
		grown := maps.Clone(old)
		grown[url] = x
		v.known.Store(&grown)
	}
	return x
}

// places lists the contexts for a message.
func (x *extension) places() string {
	var b strings.Builder
	for i, c := range x.contexts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.typ)
		for _, p := range c.path {
			b.WriteByte('.')
			b.WriteString(p)
		}
		b.WriteString(c.url)
	}
	return b.String()
}

// inContext says that extension n stands where its definition allows.
//
// Source: R4 Defining Extensions, 2.4.0.1 "Extension Context".
func (s *state) inContext(n r4.Node, x *extension) bool {
	at := s.r.Parent(n)
	if at == r4.None {
		return true
	}
	for i := range x.contexts {
		c := &x.contexts[i]
		if c.url != "" {
			u := s.r.Find(at, words().extensionURL)
			if s.r.TypeOf(at) == words().extension && u != r4.None && string(s.r.Value(u)) == c.url {
				return true
			}
			continue
		}
		if s.stands(at, c) {
			return true
		}
	}
	return false
}

// stands says that node n is what a context names. An element defined by
// reference to another (Questionnaire.item.item) is known by either name.
func (s *state) stands(n r4.Node, c *context) bool {
	for rest := len(c.path); ; rest-- {
		t := s.r.TypeOf(n)
		if rest == 0 {
			return t != nil && derives(t, c.typ)
		}
		if t != nil && t.Kind() == r4.KindBackbone && named(t.Name(), c.typ, c.path[:rest]) {
			return true
		}
		e := s.r.ElementOf(n)
		if e == nil || e.Base() != c.path[rest-1] {
			return false
		}
		if n = s.r.Parent(n); n == r4.None {
			return false
		}
	}
}

// named says that name is typ and path joined by dots.
func named(name, typ string, path []string) bool {
	rest, ok := strings.CutPrefix(name, typ)
	for _, p := range path {
		if !ok {
			return false
		}
		if rest, ok = strings.CutPrefix(rest, "."); ok {
			rest, ok = strings.CutPrefix(rest, p)
		}
	}
	return ok && rest == ""
}

// derives says that t is the type name, or a specialization of it.
//
// Source: R4 Datatypes; R4 Resource types.
func derives(t *r4.Type, name string) bool {
	if t.Name() == name {
		return true
	}
	switch name {
	case "Element":
		return true
	case "Resource":
		return t.Kind() == r4.KindResource
	case "DomainResource":
		return t.Kind() == r4.KindResource && t.Element("text") != nil
	case "BackboneElement":
		return t.Kind() == r4.KindBackbone
	case "Quantity":
		return kindOfCoded(t) == codedQuantity
	case "string":
		return t.Name() == "code" || t.Name() == "id" || t.Name() == "markdown"
	case "uri":
		return t.Name() == "url" || t.Name() == "canonical" || t.Name() == "oid" || t.Name() == "uuid"
	case "integer":
		return t.Name() == "positiveInt" || t.Name() == "unsignedInt"
	}
	return false
}
