package fhirpath

import (
	"strings"

	"remit/profiles/r4"
)

// buildExtension compiles extension(url): the extensions of that url.
func buildExtension(c *compiler, e *expr, in code) code {
	url := c.compile(e.args[0])
	return code{pos: e.pos, eval: func(m *machine) error {
		base, mid, err := m.both(&in, &url)
		if err != nil {
			return err
		}
		end := len(m.stack)
		if m.undecided(mid, end) {
			m.stack = append(m.stack[:base], unknownMany)
			return nil
		}
		if end == mid {
			m.stack = m.stack[:base]
			return nil
		}
		want, ok := m.stack[mid].plain()
		if !ok || end-mid > 1 {
			return faultf(e.pos, "extension expects one url")
		}
		for i := base; i < mid; i++ {
			m.extensions(m.stack[i], want)
		}
		m.lift(base, end)
		return nil
	}}
}

// buildHasExtension compiles hasExtension(url): extension(url).exists().
func buildHasExtension(c *compiler, e *expr, in code) code {
	return boolean(e.pos, existence(e, buildExtension(c, e, in)))
}

// extensions pushes the extensions of v whose url is want.
func (m *machine) extensions(v Value, want string) {
	switch v.kind {
	case KindStub, KindUnknown:
		m.push(unknownMany)
		return
	case KindNode:
	default:
		return
	}
	r := v.res
	for c := r.First(v.node()); c != r4.None; c = r.Next(c) {
		if r.ElementOf(c).Name() == "extension" && childText(r, c, "url") == want {
			m.push(NodeOf(r, c))
		}
	}
}

// childText is the value of n's first child called name, borrowed; "" if there
// is none.
func childText(r *r4.Resource, n r4.Node, name string) string {
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		if r.ElementOf(c).Name() == name {
			return borrow(r.Value(c))
		}
	}
	return ""
}

// buildResolve compiles resolve().
func buildResolve(_ *compiler, e *expr, in code) code {
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		for i := base; i < end; i++ {
			m.resolve(m.stack[i])
		}
		m.lift(base, end)
		return nil
	}}
}

// resolve pushes the target of one reference: a Reference, or a uri or string
// that holds one. What is none of these leads nowhere.
func (m *machine) resolve(v Value) {
	switch v.kind {
	case KindUnknown, KindStub:
		m.push(unknownMany)
		return
	case KindString:
		v.res, v.zone = m.context.res, m.context.zone
		m.target(v.res, v.node(), v.text, "")
		return
	case KindNode:
	default:
		return
	}
	r, n := v.res, v.node()
	t := r.TypeOf(n)
	if t == nil {
		return
	}
	if t.Name() == "Reference" {
		m.target(r, n, childText(r, n, "reference"), childText(r, n, "type"))
		return
	}
	if s, ok := v.plain(); ok {
		m.target(r, n, s, "")
	}
}

func (m *machine) target(r *r4.Resource, n r4.Node, ref, typ string) {
	var t Target
	if ref != "" {
		if m.env.Resolver != nil {
			t = m.env.Resolver.Resolve(r, n, ref)
		}
		if t == (Target{}) {
			t = Local{}.Resolve(r, n, ref)
		}
	} else if typ == "" {
		return // an identifier or words alone point at nothing that can be resolved
	}
	switch {
	case t.Absent:
	case t.Resource != nil:
		m.push(NodeOf(t.Resource, t.Node))
	case t.Type != nil:
		m.push(stubValue(t.Type))
	default:
		if stub := r4.Lookup(typ); stub != nil && stub.Kind() == r4.KindResource { // Reference.type
			m.push(stubValue(stub))
			return
		}
		m.push(unknownMany)
	}
}

// Local is the Resolver of what a resource carries with it: contained
// resources, and entries of the Bundle around it. For a target elsewhere it
// gives the type that the reference itself names.
type Local struct{}

// Resolve implements [Resolver] (FHIR R4, References, 2.3.0.1 to 2.3.0.3, and
// Bundle, 2.36.4 "Resolving references in Bundles").
func (Local) Resolve(r *r4.Resource, n r4.Node, ref string) Target {
	if rest, ok := strings.CutPrefix(ref, "#"); ok {
		return contained(r, n, rest)
	}
	if t, ok := inBundle(r, n, ref); ok {
		return t
	}
	if name := referenceType(ref); name != "" {
		return Target{Type: r4.Lookup(name)}
	}
	return Target{Hidden: true}
}

// contained finds the contained resource with an id; "" is the container.
func contained(r *r4.Resource, n r4.Node, id string) Target {
	outer := resourceOf(r, n)
	if el := r.ElementOf(outer); el != nil && el.Name() == "contained" {
		outer = resourceOf(r, r.Parent(outer))
	}
	if id == "" {
		return Target{Resource: r, Node: outer}
	}
	for c := r.First(outer); c != r4.None; c = r.Next(c) {
		if r.ElementOf(c).Name() == "contained" && childText(r, c, "id") == id {
			return Target{Resource: r, Node: c}
		}
	}
	return Target{Absent: true}
}

// inBundle looks for ref among the entries of the Bundle that n stands in.
func inBundle(r *r4.Resource, n r4.Node, ref string) (Target, bool) {
	if t := r.Type(); t == nil || t.Name() != "Bundle" {
		return Target{}, false
	}
	ref, _, _ = strings.Cut(ref, "/_history/")
	base := "" // of the entry n stands in: a relative reference counts from there
	for p := n; p != r4.None; p = r.Parent(p) {
		if el := r.ElementOf(p); el != nil && el.Name() == "entry" && r.Parent(p) == r4.Root {
			base = baseOf(childText(r, p, "fullUrl"))
		}
	}
	absolute := strings.Contains(ref, ":")
	for c := r.First(r4.Root); c != r4.None; c = r.Next(c) {
		if r.ElementOf(c).Name() != "entry" {
			continue
		}
		full := childText(r, c, "fullUrl")
		match := full != "" && (full == ref || !absolute && base != "" && len(full) == len(base)+len(ref) && strings.HasPrefix(full, base) && strings.HasSuffix(full, ref))
		target := r4.None
		for x := r.First(c); x != r4.None; x = r.Next(x) {
			if r.ElementOf(x).Name() == "resource" {
				target = x
			}
		}
		if target == r4.None {
			continue
		}
		if !match && full == "" && !absolute { // an entry without fullUrl is known by type and id
			name, id, ok := strings.Cut(ref, "/")
			t := r.TypeOf(target)
			match = ok && t != nil && t.Name() == name && childText(r, target, "id") == id
		}
		if match {
			return Target{Resource: r, Node: target}, true
		}
	}
	return Target{}, false
}

// baseOf is a RESTful fullUrl without its type and id: "http://x/fhir/".
func baseOf(full string) string {
	if referenceType(full) == "" {
		return ""
	}
	i := strings.LastIndexByte(full, '/')
	return full[:strings.LastIndexByte(full[:i], '/')+1]
}

// referenceType is the resource type that a literal reference names:
// [base/]Type/id[/_history/version]; "" if it names none.
func referenceType(ref string) string {
	ref, _, _ = strings.Cut(ref, "/_history/")
	i := strings.LastIndexByte(ref, '/')
	if i <= 0 || i == len(ref)-1 {
		return ""
	}
	name := ref[strings.LastIndexByte(ref[:i], '/')+1 : i]
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return ""
	}
	if t := r4.Lookup(name); t == nil || t.Kind() != r4.KindResource {
		return ""
	}
	return name
}

// buildMemberOf compiles memberOf(valueset). On several items it asks for any:
// guides use it on repeating elements (US Core us-core-1 on
// Condition.category), for which the specification has no rule.
func buildMemberOf(c *compiler, e *expr, in code) code {
	list := c.compile(e.args[0])
	return boolean(e.pos, func(m *machine) (tri, error) {
		base, mid, err := m.both(&in, &list)
		if err != nil {
			return isEmpty, err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		switch {
		case len(a) == 0 || len(b) == 0:
			return isEmpty, nil
		case hasUnknown(b):
			return isUnknown, nil
		}
		vs, ok := b[0].plain()
		if !ok || len(b) > 1 {
			return isEmpty, faultf(e.pos, "memberOf expects the url of one value set")
		}
		out := isFalse
		for i := range a {
			switch t, err := m.memberOf(&a[i], vs, e.pos); {
			case err != nil:
				return isEmpty, err
			case t == isTrue:
				return isTrue, nil
			case t == isUnknown:
				out = isUnknown
			}
		}
		return out, nil
	})
}

// memberOf says whether one coded item is in a value set: of a CodeableConcept
// any coding counts.
func (m *machine) memberOf(v *Value, vs string, pos int) (tri, error) {
	switch v.kind {
	case KindUnknown, KindStub:
		return isUnknown, nil
	case KindNode:
		r, n := v.res, v.node()
		t := r.TypeOf(n)
		if t == nil {
			return isFalse, nil
		}
		switch {
		case t.Name() == "CodeableConcept":
			out := isFalse
			for c := r.First(n); c != r4.None; c = r.Next(c) {
				if r.ElementOf(c).Name() != "coding" {
					continue
				}
				switch m.asked(vs, childText(r, c, "system"), childText(r, c, "code")) {
				case isTrue:
					return isTrue, nil
				case isUnknown:
					out = isUnknown
				}
			}
			return out, nil
		case t.Name() == "Coding" || isQuantity(t):
			return m.asked(vs, childText(r, n, "system"), childText(r, n, "code")), nil
		}
	}
	if isValueless(v) {
		return isFalse, nil
	}
	code, ok := v.plain()
	if !ok {
		return isEmpty, faultf(pos, "memberOf cannot work on %s", v.Type())
	}
	return m.asked(vs, "", code), nil
}

func (m *machine) asked(vs, system, code string) tri {
	if code == "" {
		return isFalse
	}
	if m.env.Membership == nil {
		return isUnknown
	}
	return m.env.Membership.Member(vs, system, code).truth()
}

func (t Tri) truth() tri {
	switch t {
	case Yes:
		return isTrue
	case No:
		return isFalse
	}
	return isUnknown
}

// buildConformsTo compiles conformsTo(profile).
func buildConformsTo(c *compiler, e *expr, in code) code {
	profile := c.compile(e.args[0])
	return boolean(e.pos, func(m *machine) (tri, error) {
		base, mid, err := m.both(&in, &profile)
		if err != nil {
			return isEmpty, err
		}
		a, b := m.stack[base:mid], m.stack[mid:]
		m.stack = m.stack[:base]
		switch {
		case hasUnknown(a) || hasUnknown(b):
			return isUnknown, nil
		case len(a) == 0 || len(b) == 0:
			return isEmpty, nil
		case len(a) > 1:
			return isEmpty, faultf(e.pos, "conformsTo expects one item, found %d", len(a))
		}
		url, ok := b[0].plain()
		if !ok || len(b) > 1 {
			return isEmpty, faultf(e.pos, "conformsTo expects the url of one profile")
		}
		if a[0].kind == KindStub || m.env.Conformance == nil {
			return isUnknown, nil
		}
		if a[0].kind != KindNode {
			return isFalse, nil
		}
		return m.env.Conformance.Conforms(a[0].res, a[0].node(), url).truth(), nil
	})
}

// buildCheckModifiers compiles checkModifiers(url, ...): its input, unless an
// item has a modifier extension that is not named.
func buildCheckModifiers(c *compiler, e *expr, in code) code {
	args := make([]code, len(e.args))
	for i, a := range e.args {
		args[i] = c.compile(a)
	}
	return code{pos: e.pos, eval: func(m *machine) error {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return err
		}
		end := len(m.stack)
		for i := range args {
			if err := args[i].eval(m); err != nil {
				return err
			}
		}
		for i := base; i < end; i++ {
			v := m.stack[i]
			if v.kind != KindNode {
				continue
			}
			for x := v.res.First(v.node()); x != r4.None; x = v.res.Next(x) {
				if v.res.ElementOf(x).Name() != "modifierExtension" {
					continue
				}
				url := stringValue(childText(v.res, x, "url"))
				if contains(m.stack[end:], &url) != isTrue {
					return faultf(e.pos, "an item has a modifier extension that checkModifiers does not allow")
				}
			}
		}
		m.stack = m.stack[:end]
		return nil
	}}
}

// buildHTMLChecks compiles htmlChecks(): whether a narrative's XHTML is of the
// allowed form and says anything (FHIR R4, Narrative, txt-1 and txt-2).
func buildHTMLChecks(_ *compiler, e *expr, in code) code {
	return boolean(e.pos, func(m *machine) (tri, error) {
		base := len(m.stack)
		if err := in.eval(m); err != nil {
			return isEmpty, err
		}
		items := m.stack[base:]
		m.stack = m.stack[:base]
		if len(items) == 0 {
			return isEmpty, nil
		}
		if hasUnknown(items) {
			return isUnknown, nil
		}
		for i := range items {
			text, ok := items[i].plain()
			if items[i].kind == KindNode && !ok {
				text = childText(items[i].res, items[i].node(), "div")
			}
			if !narrative(text) {
				return isFalse, nil
			}
		}
		return isTrue, nil
	})
}
