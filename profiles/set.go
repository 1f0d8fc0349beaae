package profiles

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"remit/profiles/packages"
	"remit/profiles/terminology"
)

// Options choose what a Set holds.
type Options struct {
	// Packages are the user's own packages beside the bundled ones: each an
	// unpacked package folder or a folder with one .tgz.
	Packages []fs.FS
	// CodeLists are user-supplied lists of licensed code systems
	// (terminology.ReadList).
	CodeLists []fs.FS
}

// Set is all the definitions at hand. It loads lazily, and is safe for
// concurrent use.
type Set struct {
	packages []*packages.Package
	byLabel  map[string]*packages.Package
	byURL    map[string][]*definition // resource type + " " + canonical
	byID     map[string][]*definition // structure definitions by id
	terms    *terminology.Service
	compiler compiler
}

// definition is one definition of a package, parsed when first needed.
type definition struct {
	pkg   *packages.Package
	entry *packages.Entry

	once    sync.Once
	profile *Profile
	err     error
}

// Open makes a Set of the bundled packages and those of o. Where packages
// define the same canonical and version, the user's stands before the bundled
// one. Errors: a package or code list that cannot be read.
func Open(o Options) (*Set, error) {
	own, err := packages.Bundled()
	if err != nil {
		return nil, err
	}
	s := &Set{
		byLabel: map[string]*packages.Package{},
		byURL:   make(map[string][]*definition, 1<<13),
		byID:    make(map[string][]*definition, 1<<11),
	}
	s.compiler.set = s
	for i, fsys := range o.Packages {
		p, err := packages.Open(fsys)
		if err != nil {
			return nil, fmt.Errorf("package %d: %w", i+1, err)
		}
		s.packages = append(s.packages, p)
	}
	s.packages = append(s.packages, own...)
	for _, p := range s.packages {
		s.register(p)
	}
	lists := make([]*terminology.List, 0, len(o.CodeLists))
	for _, fsys := range o.CodeLists {
		l, err := terminology.ReadList(fsys)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	if s.terms, err = terminology.New(finder{s}, lists...); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) register(p *packages.Package) {
	if _, taken := s.byLabel[p.Label()]; !taken {
		s.byLabel[p.Label()] = p
	}
	defs := make([]definition, len(p.Entries))
	for i := range p.Entries {
		e := &p.Entries[i]
		switch e.ResourceType {
		case "StructureDefinition", "ValueSet", "CodeSystem":
		default:
			continue
		}
		d := &defs[i]
		d.pkg, d.entry = p, e
		key := e.ResourceType + " " + e.URL
		s.byURL[key] = append(s.byURL[key], d)
		if e.ResourceType == "StructureDefinition" {
			s.byID[e.ID] = append(s.byID[e.ID], d)
		}
	}
}

// lookup finds a definition by canonical as a definition of package from (nil
// for none) means it: the version it states; else the one in the same package;
// else the one in the packages it depends on; else the newest.
//
// Source: R4 References, "Canonical URLs"; the choice among several versions is
// left open there, and FHIR NPM packages narrow it by their dependencies.
func (s *Set) lookup(resourceType, canonical string, from *packages.Package) *definition {
	url, version, _ := strings.Cut(canonical, "|")
	url, _, _ = strings.Cut(url, "#")
	list := s.byURL[resourceType+" "+url]
	if len(list) == 0 {
		return nil
	}
	if version != "" {
		return pick(list, version)
	}
	if len(list) == 1 {
		return list[0]
	}
	// HL7 Terminology is the home of its code systems; R4 core only has old
	// copies, whose higher number misleads.
	if strings.HasPrefix(url, "http://terminology.hl7.org/") {
		for _, d := range list {
			if d.pkg.Name == "hl7.terminology.r4" {
				return d
			}
		}
	}
	if from != nil {
		if d := s.near(list, from); d != nil {
			return d
		}
	}
	return newest(list)
}

// near looks in a package and then, level by level, in what it depends on.
func (s *Set) near(list []*definition, from *packages.Package) *definition {
	seen := map[*packages.Package]bool{from: true}
	for queue := []*packages.Package{from}; len(queue) > 0; queue = queue[1:] {
		for _, d := range list {
			if d.pkg == queue[0] {
				return d
			}
		}
		for _, label := range queue[0].Dependencies {
			if p := s.byLabel[label]; p != nil && !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return nil
}

// pick finds a version, or the newest of those that a short one ("2.1") begins.
func pick(list []*definition, version string) *definition {
	var best *definition
	for _, d := range list {
		v := d.entry.Version
		if v == version {
			return d
		}
		if strings.HasPrefix(v, version+".") && (best == nil || packages.CompareVersions(v, best.entry.Version) > 0) {
			best = d
		}
	}
	return best
}

// newest is the highest version; of equals the first, which is the user's.
func newest(list []*definition) *definition {
	return slices.MaxFunc(list, func(a, b *definition) int {
		return packages.CompareVersions(a.entry.Version, b.entry.Version)
	})
}

// load parses a definition once.
func (s *Set) load(d *definition) (*Profile, error) {
	d.once.Do(func() { d.profile, d.err = s.parseProfile(d.pkg, d.entry) })
	return d.profile, d.err
}

// find is lookup and load for a structure definition.
func (s *Set) find(canonical string, from *packages.Package) (*Profile, error) {
	d := s.lookup("StructureDefinition", canonical, from)
	if d == nil {
		return nil, &UnknownError{What: "profile", Ref: canonical, Nearest: s.nearest(canonical)}
	}
	return s.load(d)
}

// core is the definition of a type of R4 itself.
func (s *Set) core(name string) (*Profile, error) {
	for _, d := range s.byURL["StructureDefinition "+coreURL+name] {
		if d.pkg.Name == "hl7.fhir.r4.core" {
			return s.load(d)
		}
	}
	return nil, &UnknownError{What: "type", Ref: name}
}

// pin adds to a value set's canonical the version that package from means.
func (s *Set) pin(canonical string, from *packages.Package) string {
	if strings.Contains(canonical, "|") {
		return canonical
	}
	if d := s.lookup("ValueSet", canonical, from); d != nil && d.entry.Version != "" {
		return canonical + "|" + d.entry.Version
	}
	return canonical
}

// Profile finds a profile by canonical ("url", "url|version") or by id
// ("C4BB-Coverage|2.1.0"; without a version the newest). Error: *UnknownError.
func (s *Set) Profile(ref string) (*Profile, error) {
	if d := s.lookup("StructureDefinition", ref, nil); d != nil {
		return s.load(d)
	}
	id, version, _ := strings.Cut(ref, "|")
	if list := s.byID[id]; len(list) > 0 {
		d := newest(list)
		if version != "" {
			d = pick(list, version)
		}
		if d != nil {
			return s.load(d)
		}
	}
	return nil, &UnknownError{What: "profile", Ref: ref, Nearest: s.nearest(ref)}
}

// Profiles lists the profiles on a resource type, as "id|version", sorted by
// id, then version.
func (s *Set) Profiles(resourceType string) []string {
	var found []*packages.Entry
	for _, list := range s.byID {
		for _, d := range list {
			if d.entry.Type == resourceType && d.entry.Derivation == "constraint" {
				found = append(found, d.entry)
			}
		}
	}
	slices.SortFunc(found, func(a, b *packages.Entry) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), packages.CompareVersions(a.Version, b.Version))
	})
	out := make([]string, len(found))
	for i, e := range found {
		out[i] = e.ID + "|" + e.Version
	}
	return slices.Compact(out)
}

// nearest is a loaded name much like ref: another version of the same profile
// before another profile.
func (s *Set) nearest(ref string) string {
	name, version, pinned := strings.Cut(ref, "|")
	byURL := strings.Contains(name, "/")
	versions := func(list []*definition, name string) string {
		d := newest(list)
		if pinned {
			if same := pick(list, version); same != nil {
				d = same
			}
		}
		return name + "|" + d.entry.Version
	}
	if byURL {
		if list := s.byURL["StructureDefinition "+name]; len(list) > 0 {
			return versions(list, name)
		}
	} else if list := s.byID[name]; len(list) > 0 {
		return versions(list, name)
	}
	best, bestDistance := "", max(1, len(name)/3)+1
	try := func(candidate string) {
		d := distance(name, candidate, bestDistance+1)
		if d < bestDistance || d == bestDistance && best != "" && candidate < best {
			best, bestDistance = candidate, d
		}
	}
	if byURL {
		for key := range s.byURL {
			if url, ok := strings.CutPrefix(key, "StructureDefinition "); ok {
				try(url)
			}
		}
		if best != "" && pinned {
			return versions(s.byURL["StructureDefinition "+best], best)
		}
		return best
	}
	for id := range s.byID {
		try(id)
	}
	if best != "" && pinned {
		return versions(s.byID[best], best)
	}
	return best
}

// distance is the edit distance of a and b without regard to case, or limit
// where it is not below limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	prev, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j+1]+1, row[j]+1, prev[j]+cost)
		}
		prev, row = row, prev
	}
	return min(prev[len(b)], limit)
}

// finder lets terminology find definitions in a Set. What it is told as within
// is a package's label.
type finder struct{ s *Set }

func (f finder) ValueSet(canonical, within string) (terminology.Definition, bool) {
	return f.find("ValueSet", canonical, within)
}

func (f finder) CodeSystem(canonical, within string) (terminology.Definition, bool) {
	return f.find("CodeSystem", canonical, within)
}

func (f finder) find(resourceType, canonical, within string) (terminology.Definition, bool) {
	d := f.s.lookup(resourceType, canonical, f.s.byLabel[within])
	if d == nil {
		return terminology.Definition{}, false
	}
	raw, err := d.pkg.Read(d.entry)
	if err != nil {
		return terminology.Definition{}, false
	}
	return terminology.Definition{JSON: raw, Within: d.pkg.Label()}, true
}

// Member says whether a code is in a value set. An unknown value set, or one
// that includes a code system whose codes are not at hand, gives Unknown. An
// empty system asks by code alone, as for an element of type code.
func (s *Set) Member(valueSet, system, code string) Tri {
	return s.terms.Member(valueSet, system, code)
}

// Codes lists the codes of a value set that can be enumerated; complete says
// whether that is all of them. The caller may keep the slice.
func (s *Set) Codes(valueSet string) (codes []Coding, complete bool) {
	vs := s.terms.ValueSet(valueSet)
	if vs == nil {
		return nil, false
	}
	return vs.Codes()
}

// Systems lists the code systems a value set draws from, sorted.
func (s *Set) Systems(valueSet string) []string {
	vs := s.terms.ValueSet(valueSet)
	if vs == nil {
		return nil
	}
	return vs.Systems()
}

// IsValueSet tells whether a canonical names a value set that is loaded.
func (s *Set) IsValueSet(url string) bool { return s.terms.ValueSet(url) != nil }

// IsCodeSystem tells whether a canonical names a code system that is loaded,
// with its codes or without.
func (s *Set) IsCodeSystem(url string) bool { return s.terms.CodeSystem(url) != nil }

// Display is the display text of a code, or "".
func (s *Set) Display(system, code string) string { return s.terms.Display(system, code) }

// Mandatory lists the root elements that every resource of a type has, and those
// that change the meaning of others (isModifier), by R4's own definition; a
// choice by its base name. Error: *UnknownError.
//
// Source: R4, ElementDefinition.min and isModifier; Bulk Data 3.0.0, _elements.
func (s *Set) Mandatory(resourceType string) ([]string, error) {
	p, err := s.core(resourceType)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range p.Root().Children() {
		if e.Min > 0 || e.Modifier {
			out = append(out, e.Base)
		}
	}
	return out, nil
}
