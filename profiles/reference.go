package profiles

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"remit/profiles/fhirpath"
	"remit/profiles/packages"
	"remit/profiles/r4"
)

// targets is what the target of a Reference must be: of one of the types, and,
// where it is at hand, in keeping with one of the profiles on its type.
type targets struct {
	types    []string // nil for any
	text     string   // for the message
	profiles []*targetProfile
}

func (t *targets) allow(name string) bool {
	return t.types == nil || slices.Contains(t.types, name)
}

// targetProfile is a profile that a target may meet, compiled when first
// needed: most references lead to resources that are not at hand.
type targetProfile struct {
	canon string
	typ   string // that it constrains
	plain bool   // it is the type itself
	pkg   *packages.Package

	once   sync.Once
	loaded bool
	prog   *program // nil where the profile demands nothing beyond R4
}

func (t *targetProfile) load(set *Set) (prog *program, loaded bool) {
	t.once.Do(func() {
		if p, err := set.find(t.canon, t.pkg); err == nil {
			t.prog, t.loaded = set.compiler.profile(p), true
		}
	})
	return t.prog, t.loaded
}

// targets compiles the targets of a Reference; nil if any is allowed, one is of
// unknown type, or baseline says the same.
func (c *compiler) targets(el, baseline *Element) *targets {
	types, ok := c.targetTypes(el)
	if !ok {
		return nil
	}
	out := &targets{types: types, text: strings.Join(types, ", ")}
	if baseline != nil {
		if before, known := c.targetTypes(baseline); known && slices.Equal(before, types) {
			out.types = nil
		}
	}
	if baseline == nil || !slices.Equal(targetCanonicals(el), targetCanonicals(baseline)) {
		out.profiles = c.targetProfiles(el)
	}
	if out.types == nil && out.profiles == nil {
		return nil
	}
	return out
}

// targetCanonicals are the targets that el states, as it states them.
func targetCanonicals(el *Element) (out []string) {
	for _, ref := range el.Types {
		if ref.Code == "Reference" {
			out = append(out, ref.Targets...)
		}
	}
	return out
}

// targetProfiles are the profiles that a target must meet one of; nil where
// none of them says more than a type does.
func (c *compiler) targetProfiles(el *Element) []*targetProfile {
	var out []*targetProfile
	demanding := false
	for _, canon := range targetCanonicals(el) {
		t := &targetProfile{canon: canon, typ: c.typeOf(canon, el.Profile), pkg: el.Profile.pkg}
		url, _, _ := strings.Cut(canon, "|")
		t.plain = url == coreURL+t.typ
		demanding = demanding || !t.plain
		out = append(out, t)
	}
	if !demanding {
		return nil
	}
	return out
}

func (c *compiler) targetTypes(el *Element) (types []string, ok bool) {
	for _, ref := range el.Types {
		if ref.Code != "Reference" {
			continue
		}
		if len(ref.Targets) == 0 {
			return nil, false
		}
		for _, canon := range ref.Targets {
			name := c.typeOf(canon, el.Profile)
			if name == "" || name == "Resource" || name == "DomainResource" {
				return nil, false
			}
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return slices.Compact(types), len(types) > 0
}

// typeOf is the type that a profile constrains, without parsing it; "" if it is
// not loaded.
func (c *compiler) typeOf(canonical string, within *Profile) string {
	if name, ok := strings.CutPrefix(canonical, coreURL); ok {
		name, _, _ = strings.Cut(name, "|")
		if t := r4.Lookup(name); t != nil || name == "Resource" || name == "DomainResource" {
			return name
		}
	}
	d := c.set.lookup("StructureDefinition", canonical, within.pkg)
	if d == nil && strings.Contains(canonical, "|") {
		url, _, _ := strings.Cut(canonical, "|") // another version is of the same type
		d = c.set.lookup("StructureDefinition", url, within.pkg)
	}
	if d == nil {
		return ""
	}
	return d.entry.Type
}

// reference judges the target of the Reference at n.
//
// Source: R4 References, 2.3.0; ElementDefinition.type.targetProfile: the target
// must conform to at least one of them.
func (s *state) reference(n r4.Node, p *program) {
	name, target, known := s.target(n)
	if !known {
		return
	}
	if !p.targets.allow(name) {
		s.add(Error, "reference-target", n, p.el, "refers to "+name+"; allowed: "+p.targets.text)
		return
	}
	if target == r4.None || p.targets.profiles == nil {
		return
	}
	var missed []string
	for _, t := range p.targets.profiles {
		if t.typ == "" || t.typ == "Resource" || t.typ == "DomainResource" {
			return
		}
		if t.typ != name {
			continue
		}
		if t.plain {
			return
		}
		prog, loaded := t.load(s.v.set)
		if !loaded || prog == nil || s.targetMeets(target, prog) {
			return // one that is not loaded may be the one that holds
		}
		missed = append(missed, t.canon)
	}
	if missed != nil {
		s.add(Error, "reference-profile", n, p.el, "refers to a resource that meets none of the profiles "+strings.Join(missed, ", "))
	}
}

// verdict is a target judged by a profile.
type verdict struct {
	n    r4.Node
	prog *program
}

// targetMeets judges a target by a profile, each but once. One that is being
// judged already, since resources may refer to each other in circles, counts as
// meeting it.
func (s *state) targetMeets(n r4.Node, p *program) bool {
	key := verdict{n, p}
	if ok, judged := s.verdicts[key]; judged {
		return ok
	}
	if s.verdicts == nil {
		s.verdicts = map[verdict]bool{}
	}
	s.verdicts[key] = true
	outer := s.resource
	s.resource = n
	ok := s.conforms(n, p)
	s.resource = outer
	s.verdicts[key] = ok
	return ok
}

// target is the resource type a Reference leads to, as far as the reference
// itself, a contained resource, or an entry of the same Bundle tell; and its
// node where it is at hand, else None.
//
// Source: R4 References, 2.3.0.1 "Literal References", Reference.type.
func (s *state) target(n r4.Node) (name string, node r4.Node, known bool) {
	w := words()
	if c := s.r.Find(n, w.reference); c != r4.None && s.r.HasValue(c) {
		if name, node, known = s.literalTarget(s.r.Value(c), n); known {
			return name, node, true
		}
	}
	if c := s.r.Find(n, w.referenceType); c != r4.None && s.r.HasValue(c) {
		v := s.r.Value(c)
		if after, ok := bytes.CutPrefix(v, []byte(coreURL)); ok {
			v = after
		}
		if t := resourceType(v); t != "" {
			return t, r4.None, true
		}
	}
	return "", r4.None, false
}

func (s *state) literalTarget(ref []byte, n r4.Node) (name string, node r4.Node, known bool) {
	switch {
	case ref[0] == '#':
		node = s.container()
		if len(ref) > 1 {
			node = s.contained(ref[1:])
		}
	case s.r.Type() == words().bundle:
		node = s.entry(ref, n)
	default:
		node = r4.None
	}
	if node != r4.None {
		if t := s.r.TypeOf(node); t != nil {
			return t.Name(), node, true
		}
		return "", r4.None, false
	}
	if ref[0] == '#' {
		return "", r4.None, false
	}
	// [base/]Type/id[/_history/version]
	if i := bytes.Index(ref, []byte("/_history/")); i >= 0 {
		ref = ref[:i]
	}
	slash := bytes.LastIndexByte(ref, '/')
	if slash <= 0 || slash == len(ref)-1 {
		return "", r4.None, false
	}
	from := bytes.LastIndexByte(ref[:slash], '/') + 1
	name = resourceType(ref[from:slash])
	return name, r4.None, name != ""
}

// container is the resource whose contained resources the node in hand may
// refer to.
func (s *state) container() r4.Node {
	n := s.resource
	for p := s.r.Parent(n); p != r4.None && s.r.ElementOf(n).Name() == "contained"; p = s.r.Parent(n) {
		n = p
	}
	return n
}

// contained is the contained resource with an id, or None.
func (s *state) contained(id []byte) r4.Node {
	n := s.container()
	contained := s.r.TypeOf(n).Element("contained")
	if contained == nil {
		return r4.None
	}
	for c := s.r.Find(n, contained); c != r4.None; c = s.r.NextSame(c) {
		ct := s.r.TypeOf(c)
		if ct == nil {
			continue
		}
		if i := s.r.Find(c, ct.Element("id")); i != r4.None && bytes.Equal(s.r.Value(i), id) {
			return c
		}
	}
	return r4.None
}

// entry is the resource in the Bundle at hand that ref, which stands at n,
// leads to, or None. The first reference makes an index of the entries.
//
// Source: R4 Bundle, 2.36.4.1 "Resolving references in Bundles": an absolute
// reference (urn:uuid: among them) by fullUrl; a relative one from the base of
// the fullUrl of the entry it stands in. Entries without a fullUrl, which that
// section leaves open, are known by type and id.
func (s *state) entry(ref []byte, n r4.Node) r4.Node {
	if s.entries == nil {
		s.index()
	}
	if bytes.Contains(ref, []byte("/_history/")) {
		return r4.None // the entry may be of another version
	}
	if bytes.IndexByte(ref, ':') >= 0 {
		if node, ok := s.entries[string(ref)]; ok {
			return node
		}
		return r4.None
	}
	if base := s.base(n); base != "" {
		if node, ok := s.entries[base+string(ref)]; ok {
			return node
		}
	}
	if node, ok := s.entries[string(ref)]; ok {
		return node
	}
	return r4.None
}

func (s *state) index() {
	w := words()
	s.entries = map[string]r4.Node{}
	for c := s.r.Find(r4.Root, w.bundleEntry); c != r4.None; c = s.r.NextSame(c) {
		node := s.r.Find(c, w.entryResource)
		if node == r4.None || s.r.TypeOf(node) == nil {
			continue
		}
		key := ""
		if u := s.r.Find(c, w.entryURL); u != r4.None && s.r.HasValue(u) {
			key = string(s.r.Value(u))
		} else if i := s.r.Find(node, s.r.TypeOf(node).Element("id")); i != r4.None && s.r.HasValue(i) {
			key = s.r.TypeOf(node).Name() + "/" + string(s.r.Value(i))
		}
		if _, taken := s.entries[key]; key != "" && !taken {
			s.entries[key] = node
		}
	}
}

// base is the RESTful base of the entry that n stands in: its fullUrl without
// type and id; "" if it has none.
func (s *state) base(n r4.Node) string {
	w := words()
	for ; n != r4.None; n = s.r.Parent(n) {
		if s.r.Parent(n) != r4.Root || s.r.ElementOf(n) != w.bundleEntry {
			continue
		}
		u := s.r.Find(n, w.entryURL)
		if u == r4.None {
			return ""
		}
		full := string(s.r.Value(u))
		id := strings.LastIndexByte(full, '/')
		if id < 0 {
			return ""
		}
		name := strings.LastIndexByte(full[:id], '/') + 1
		if resourceType([]byte(full[name:id])) == "" {
			return ""
		}
		return full[:name]
	}
	return ""
}

// resolver answers resolve() in Bundles by the index of their entries; the rest
// it leaves to fhirpath.Local.
type resolver struct{ s *state }

func (x resolver) Resolve(r *r4.Resource, n r4.Node, ref string) fhirpath.Target {
	if r != x.s.r || r.Type() != words().bundle || ref == "" || ref[0] == '#' {
		return fhirpath.Target{}
	}
	if node := x.s.entry([]byte(ref), n); node != r4.None {
		return fhirpath.Target{Resource: r, Node: node}
	}
	// Nothing in the Bundle: what the reference itself tells, without another
	// search through all entries.
	name, _, known := x.s.literalTarget([]byte(ref), n)
	if known {
		return fhirpath.Target{Type: r4.Lookup(name)}
	}
	return fhirpath.Target{Hidden: true}
}

// resourceType gives the name of a resource type, or "".
func resourceType(name []byte) string {
	if len(name) == 0 || name[0] < 'A' || name[0] > 'Z' {
		return ""
	}
	i, ok := slices.BinarySearchFunc(r4.Resources(), name, func(a string, b []byte) int {
		return compareText(a, b)
	})
	if !ok {
		return ""
	}
	return r4.Resources()[i]
}

func compareText(a string, b []byte) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}
