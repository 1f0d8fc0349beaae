package profiles

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"remit/profiles/fhirpath"
	"remit/profiles/r4"
	"remit/profiles/terminology"
)

// ValidatorOptions choose what a Validator judges by.
type ValidatorOptions struct {
	// Profiles judge every resource of their type; where none is given for a
	// type, meta.profile decides, and the base definition always does. Resources
	// in a Bundle are judged so too; contained ones only by their own
	// meta.profile.
	Profiles []string
	// SkipNotes leaves out findings of severity Note.
	SkipNotes bool
	// BareNotes leaves the Path of findings of severity Note empty, for those who
	// only count them.
	BareNotes bool
	// Proved are demands that need no judging; nil for none. The Validator keeps
	// it: it must not change afterwards.
	Proved Proved
}

// Validator judges resources. It does no I/O, reads no clock, and is safe for
// concurrent use.
type Validator struct {
	set       *Set
	byType    map[string][]*program
	skipNotes bool
	bareNotes bool
	pool      sync.Pool
	learnt    sync.Mutex
	declared  atomic.Pointer[map[string]declared]   // by meta.profile
	known     atomic.Pointer[map[string]*extension] // by url
	bases     atomic.Pointer[map[*r4.Type]*program]
	systems   atomic.Pointer[map[string]*terminology.CodeSystem] // by url
	coding    *Element                                           // R4's Coding.display
	// identified is R4's Identifier.value.
	identified *Element
	pruner     *pruner
}

// declared is what a canonical in meta.profile stands for.
type declared struct {
	prog *program // nil where the profile demands nothing beyond R4
	typ  string   // "" if it is not loaded
}

// Validator compiles the profiles of o. Error: *UnknownError.
func (s *Set) Validator(o ValidatorOptions) (*Validator, error) {
	v := &Validator{set: s, byType: map[string][]*program{}, skipNotes: o.SkipNotes, bareNotes: o.BareNotes, pruner: &pruner{proved: o.Proved}}
	v.declared.Store(&map[string]declared{})
	v.known.Store(&map[string]*extension{})
	v.systems.Store(&map[string]*terminology.CodeSystem{})
	v.bases.Store(&map[*r4.Type]*program{})
	v.pool.New = func() any {
		st := &state{v: v}
		st.env.Membership = membership{s}
		st.env.Conformance = conformance{v, st}
		st.env.Resolver = resolver{st}
		return st
	}
	if p, err := s.core("Coding"); err == nil {
		v.coding = p.byID["Coding.display"]
	}
	if p, err := s.core("Identifier"); err == nil {
		v.identified = p.byID["Identifier.value"]
	}
	for _, ref := range o.Profiles {
		p, err := s.Profile(ref)
		if err != nil {
			return nil, err
		}
		list := v.byType[p.Type]
		if prog := v.pruner.program(s.compiler.profile(p)); prog != nil {
			list = append(list, prog)
		} else if list == nil {
			list = []*program{} // the base itself was asked for: meta.profile is out
		}
		v.byType[p.Type] = list
	}
	return v, nil
}

// Validate appends what it finds in r to dst: in the order of the resource for
// each definition, R4 first, then the profiles. A resource without a type (one
// that could not be parsed) gives nothing.
//
// On a data-absent-reason, or any element that has only extensions
// (TestDataAbsent shows each kind of rule):
//
//   - It exists. So it meets a minimum and counts for a maximum, meets ele-1, has
//     the type its name says, is in a slice told by what exists, and an invariant
//     with exists() is met (R4, 2.1.0.8 "Extensibility": extensions may stand in
//     place of the value; R4 extension data-absent-reason).
//   - It has no value. So a fixed value or pattern is not met, a slice told by one
//     is not it, and an invariant with hasValue() fails. Form, length, least and
//     greatest value and the target of a reference have nothing to judge.
//   - A required binding on a primitive (status, gender) is about a code that is
//     not there and cannot be decided: a note. A CodeableConcept or Coding under a
//     required binding must bear a code from the value set; text, an extension, or
//     a code of the system data-absent-reason alone do not do: an error (R4
//     CodeSystem binding-strength, required: "the concept in this element SHALL be
//     from the specified value set"; US Core, General Guidance, "Missing Data":
//     where the value set has no code for unknown, one of its codes must be used or
//     "the instance will not be conformant"). An extensible binding takes it.
func (v *Validator) Validate(r *r4.Resource, dst []Finding) []Finding {
	if r.Type() == nil {
		return dst
	}
	s := v.begin(r, dst)
	s.judge(r4.Root)
	s.place()
	out := s.out
	v.end(s)
	return out
}

// place writes the paths of what was found, now that nothing is taken back any
// more.
func (s *state) place() {
	found := s.out[s.start:]
	for i := range found {
		switch f := &found[i]; {
		case f.Severity == Note && s.v.bareNotes:
		case i > 0 && found[i-1].Node == f.Node && found[i-1].Path != "":
			f.Path = found[i-1].Path
		default:
			f.Path = s.r.Path(f.Node)
		}
	}
}

// begin readies a state for judging r.
func (v *Validator) begin(r *r4.Resource, dst []Finding) *state {
	s := v.pool.Get().(*state)
	s.r, s.out, s.start, s.soft = r, dst, len(dst), 0
	s.claimed = grown(s.claimed, r.Len())
	return s
}

func (v *Validator) end(s *state) {
	s.r, s.out, s.entries, s.asking = nil, nil, nil, 0
	clear(s.verdicts)
	v.pool.Put(s)
}

// grown gives b with n bits, all clear.
func grown(b []uint64, n int) []uint64 {
	words := n/64 + 1
	if cap(b) < words {
		return make([]uint64, words)
	}
	b = b[:words]
	clear(b)
	return b
}

// state is one validation under way.
type state struct {
	v        *Validator
	r        *r4.Resource
	out      []Finding
	resource r4.Node   // the resource the node in hand belongs to
	exts     []r4.Node // extensions met, to be judged by their own definition
	claimed  []uint64  // extensions already judged so, by node
	counts   []int32   // stack of slice counts
	dealt    []r4.Node // stack of repetitions to be dealt to slices
	depth    int
	soft     int // warnings about extensible bindings so far
	env      fhirpath.Env
	trial    int                // above 0 while findings are thrown away
	start    int                // where this resource's findings begin in out
	entries  map[string]r4.Node // of a Bundle, by fullUrl or type and id; nil until needed
	asking   int                // how many conformsTo() led here
	verdicts map[verdict]bool   // targets of references judged by profiles
}

// maxDepth ends a validation that goes deeper than any sane resource.
const maxDepth = 512

// judge judges the resource at n by R4, its profiles, and its extensions'
// definitions.
func (s *state) judge(n r4.Node) {
	t := s.r.TypeOf(n)
	if t == nil {
		return
	}
	outer, from := s.resource, len(s.exts)
	s.resource = n
	base := s.v.base(t)
	if base != nil {
		s.node(n, base)
	}
	contained := n != r4.Root && s.r.ElementOf(n).Name() == "contained"
	if list, ok := s.v.byType[t.Name()]; ok && !contained {
		for _, p := range list {
			s.node(n, p)
		}
	} else {
		s.declaredProfiles(n, t)
	}
	for i := from; i < len(s.exts); i++ {
		s.extension(s.exts[i])
	}
	s.exts = s.exts[:from]
	s.resource = outer
}

// base is the base program of a type.
func (v *Validator) base(t *r4.Type) *program {
	if p, ok := (*v.bases.Load())[t]; ok {
		return p
	}
	p := v.pruner.program(v.set.compiler.root(t))
	v.learnt.Lock()
	defer v.learnt.Unlock()
	grown := maps.Clone(*v.bases.Load())
	grown[t] = p
	v.bases.Store(&grown)
	return p
}

// declaredProfiles judges by meta.profile.
func (s *state) declaredProfiles(n r4.Node, t *r4.Type) {
	meta := t.Element("meta")
	if meta == nil {
		return
	}
	m := s.r.Find(n, meta)
	if m == r4.None {
		return
	}
	for c := s.r.Find(m, words().metaProfile); c != r4.None; c = s.r.NextSame(c) {
		canonical := s.r.Value(c)
		if canonical == nil {
			continue
		}
		d, ok := (*s.v.declared.Load())[string(canonical)]
		if !ok {
			d = s.v.learn(string(canonical))
		}
		switch {
		case d.typ == "":
			s.add(Warning, "profile-unknown", c, s.v.base(t).el, "declares a profile that is not loaded")
		case d.typ != t.Name():
			s.add(Error, "profile-type", c, s.v.base(t).el, fmt.Sprintf("declares a profile on %s; this is a %s", d.typ, t.Name()))
		case d.prog != nil:
			s.node(n, d.prog)
		}
	}
}

// maxLearnt bounds what is remembered of canonicals that resources name.
const maxLearnt = 4096

func (v *Validator) learn(canonical string) declared {
	var d declared
	if p, err := v.set.find(canonical, nil); err == nil {
		d = declared{prog: v.pruner.program(v.set.compiler.profile(p)), typ: p.Type}
	}
	v.learnt.Lock()
	defer v.learnt.Unlock()
	if old := *v.declared.Load(); len(old) < maxLearnt {
		grown := maps.Clone(old)
		grown[canonical] = d
		v.declared.Store(&grown)
	}
	return d
}

// maxFindings is how many findings one resource may have. Behind it stands one
// that says so; to find the path of each of millions would take forever.
const maxFindings = 1000

// add records a finding at n that el demands, and says whether it did.
func (s *state) add(sev Severity, code string, n r4.Node, el *Element, message string) bool {
	if sev == Note && s.v.skipNotes {
		return false
	}
	if s.trial > 0 {
		s.out = append(s.out, Finding{Severity: sev, Code: code, Node: n, Message: message}) // only looked at for its severity
		return true
	}
	if found := len(s.out) - s.start; found >= maxFindings {
		if found == maxFindings {
			s.out = append(s.out, Finding{
				Severity: Error, Code: "too-many-findings", Node: r4.Root, Origin: s.r.Origin(r4.Root),
				Message: fmt.Sprintf("has more than %d findings; the rest is not listed", maxFindings),
			})
		}
		return false
	}
	f := Finding{Severity: sev, Code: code, Node: n, Origin: s.r.Origin(n), Message: message}
	if el != nil {
		f.Element = el.ID
		f.Profile = el.Profile.Canonical()
	}
	s.out = append(s.out, f)
	return true
}

// node judges n and what is below it.
func (s *state) node(n r4.Node, p *program) {
	if p.resource {
		s.judge(n)
		return
	}
	if s.depth++; s.depth > maxDepth {
		s.depth--
		s.add(Error, "too-deep", n, p.el, fmt.Sprintf("lies more than %d levels deep", maxDepth))
		return
	}
	if p.base {
		s.sound(n, p)
	}
	settled := p.settled
	if p.fixed != nil {
		if equal(s.r, n, p.fixed.Tree, r4.Root) {
			settled = settled || p.coded
		} else {
			s.add(Error, "fixed-value", n, p.el, "must be exactly "+brief(p.fixed.JSON))
		}
	}
	if p.pattern != nil {
		if within(s.r, n, p.pattern.Tree, r4.Root) {
			settled = settled || p.coded
		} else {
			s.add(Error, "pattern-value", n, p.el, "must hold the pattern "+brief(p.pattern.JSON))
		}
	}
	if settled && s.soft > 0 && s.trial == 0 {
		s.override(n)
	}
	if p.binding != nil {
		s.bound(n, p, p.binding)
	}
	if p.widest != nil {
		s.bound(n, p, p.widest)
	}
	if p.targets != nil {
		s.reference(n, p)
	}
	if p.maxLength > 0 {
		if v := s.r.Value(n); len(v) > p.maxLength && utf8.RuneCount(v) > p.maxLength {
			s.add(Error, "max-length", n, p.el, fmt.Sprintf("has %d characters, at most %d allowed", utf8.RuneCount(v), p.maxLength))
		}
	}
	if p.minValue != nil || p.maxValue != nil {
		s.bounds(n, p)
	}
	for _, q := range p.also {
		s.node(n, q)
	}
	if len(p.anyOf) > 0 {
		s.anyOf(n, p)
	}
	if p.kids != nil {
		s.children(n, p.kids)
	}
	for i := range p.invariants {
		s.invariant(n, &p.invariants[i])
	}
	s.depth--
}

// brief keeps a definition's value short in a message.
func brief(raw []byte) string {
	if len(raw) > 200 {
		return string(raw[:200]) + "..."
	}
	return string(raw)
}

// sound judges what R4 demands of any node: a primitive's form, that nothing is
// empty (ele-1), and that an extension has either a value or extensions (ext-1).
func (s *state) sound(n r4.Node, p *program) {
	t := p.typ
	if t == nil {
		return
	}
	if t.Kind() == r4.KindPrimitive && s.r.HasValue(n) {
		if !p.formed && !r4.ValidPrimitive(t, s.r.Value(n)) {
			s.add(Error, "primitive-form", n, p.el, "is not in the form of a "+t.Name())
		}
		return
	}
	if t.Kind() != r4.KindResource {
		first := s.r.First(n)
		for first != r4.None && s.r.ElementOf(first).Name() == "id" && s.r.ElementOf(first).Index() == 0 && t.Name() != "id" {
			first = s.r.Next(first)
		}
		if first == r4.None {
			s.constraint(n, p.el, "ele-1", "is empty: an element must have a value or children")
			return
		}
	}
	w := words()
	switch t {
	case w.coding:
		s.display(n)
	case w.identifier:
		s.identifier(n)
	}
	if t == w.extension {
		s.exts = append(s.exts, n)
		hasValue, hasExt := false, false
		for c := s.r.First(n); c != r4.None; c = s.r.Next(c) {
			switch s.r.ElementOf(c).Base() {
			case "value":
				hasValue = true
			case "extension":
				hasExt = true
			}
		}
		if hasValue == hasExt {
			s.constraint(n, p.el, "ext-1", "must have either a value or extensions, and not both")
		}
	}
}

func (s *state) constraint(n r4.Node, el *Element, key, message string) {
	if s.add(Error, "constraint", n, el, message) {
		s.out[len(s.out)-1].Constraint = key
	}
}

// bound judges a binding.
func (s *state) bound(n r4.Node, p *program, b *bound) {
	if b.proved {
		if s.soft > 0 && s.trial == 0 {
			s.override(n)
		}
		return
	}
	answer, stated := s.member(n, b)
	if !p.base && s.soft > 0 && s.trial == 0 && answer == Yes {
		s.override(n)
	}
	if answer == Unknown {
		s.forms(n, p, b.kind)
	}
	if b.strength == "extensible" {
		if answer == No && stated {
			s.soft++
			s.add(Warning, "binding-extensible", n, p.el, b.soft)
		}
		return
	}
	switch {
	case answer == Yes:
	case answer == No && stated:
		s.add(Error, "binding", n, p.el, "has no code of value set "+b.canon)
	case !stated && b.kind != codedCode:
		s.add(Error, "binding-no-code", n, p.el, "has no code; one from value set "+b.canon+" is required")
	case s.v.skipNotes:
	case !stated:
		s.add(Note, "binding-absent", n, p.el, "has no value to judge by value set "+b.canon)
	case b.set() == nil:
		s.add(Note, "binding-undecided", n, p.el, "cannot be judged: value set "+b.canon+" is not loaded")
	default:
		s.add(Note, "binding-undecided", n, p.el, b.undecided())
	}
}

// forms warns of codes of systems whose codes are not at hand but whose form is
// known.
func (s *state) forms(n r4.Node, p *program, kind codedKind) {
	w := words()
	switch kind {
	case codedCoding:
		s.form(n, p)
	case codedConcept:
		for c := s.r.Find(n, w.conceptCoding); c != r4.None; c = s.r.NextSame(c) {
			s.form(c, p)
		}
	}
}

func (s *state) form(coding r4.Node, p *program) {
	w := words()
	sys, code := s.r.Find(coding, w.codingSystem), s.r.Find(coding, w.codingCode)
	if sys == r4.None || code == r4.None {
		return
	}
	if terminology.Well(s.r.Value(sys), s.r.Value(code)) == No {
		s.add(Warning, "code-form", code, p.el, "does not have the form of a code of its system")
	}
}

// override takes back a warning about an extensible binding of R4's where a
// profile binds the same node to a value set of its own and the code is in it, or
// demands the very code that is there.
//
// Source: R4 CodeSystem binding-strength, extensible: "If the value set does not cover
// the concept (based on human review), alternate codings (or, data type allowing,
// text) may be included instead." A profile that names the code is that review;
// who writes the resource could not follow both.
func (s *state) override(n r4.Node) {
	kept := slices.DeleteFunc(s.out[s.start:], func(f Finding) bool {
		drop := f.Node == n && f.Code == "binding-extensible" && strings.HasPrefix(f.Profile, coreURL)
		if drop {
			s.soft--
		}
		return drop
	})
	s.out = s.out[:s.start+len(kept)]
}

// anyOf judges a datatype by several profiles, of which one must hold.
func (s *state) anyOf(n r4.Node, p *program) {
	names := make([]string, 0, len(p.anyOf))
	for _, q := range p.anyOf {
		if s.conforms(n, q) {
			return
		}
		names = append(names, q.el.Profile.Canonical())
	}
	s.add(Error, "type-profile", n, p.el, "meets none of the profiles "+strings.Join(names, ", "))
}

// children judges the children of n group by group. Children stand in the order
// of R4's elements, and so do groups.
func (s *state) children(n r4.Node, t *table) {
	groups := t.load()
	r := s.r
	needed := t.needed
	for c := r.First(n); c != r4.None; {
		i := t.group(r.ElementOf(c).Index())
		if i < 0 {
			c = r.Next(c)
			continue
		}
		for len(needed) > 0 && needed[0] < i {
			s.missing(n, &groups[needed[0]])
			needed = needed[1:]
		}
		if len(needed) > 0 && needed[0] == i {
			needed = needed[1:]
		}
		g := &groups[i]
		first, count := c, 0
		for at := r.ElementOf(c).Index(); at <= g.hi; at = r.ElementOf(c).Index() {
			if alt := at - g.lo; g.progs[alt] != nil || g.barred != nil {
				s.one(c, alt, g)
			}
			count++
			if c = r.Next(c); c == r4.None {
				break
			}
		}
		if count < g.min {
			s.count("cardinality-min", n, g.el, count, g.min, "at least")
		} else if g.max != Unbounded && count > g.max {
			s.count("cardinality-max", first, g.el, count, g.max, "at most")
		}
		if g.slicing != nil {
			s.slices(n, first, count, g.lo, g.slicing)
		}
	}
	for _, i := range needed {
		s.missing(n, &groups[i])
	}
}

// missing judges a group of which n has no node.
func (s *state) missing(n r4.Node, g *group) {
	if g.min > 0 {
		s.count("cardinality-min", n, g.el, 0, g.min, "at least")
	}
	if g.slicing != nil {
		s.slices(n, r4.None, 0, g.lo, g.slicing)
	}
}

// count records a wrong number of repetitions.
func (s *state) count(code string, n r4.Node, el *Element, found, wanted int, how string) {
	name := el.Base
	if el.Slice != "" {
		name += ":" + el.Slice
	}
	s.add(Error, code, n, el, fmt.Sprintf("%s %d of %s expected, found %d", how, wanted, name, found))
}

// one judges one repetition.
func (s *state) one(c r4.Node, alt int, g *group) {
	if g.barred != nil && g.barred[alt] {
		s.add(Error, "type-not-allowed", c, g.el, fmt.Sprintf("has type %s; allowed: %s", s.r.TypeOf(c).Name(), typeNames(g.el)))
		return
	}
	p := g.progs[alt]
	if p == nil {
		return
	}
	if g.plain != nil && g.plain[alt] && s.r.First(c) == r4.None && s.r.HasValue(c) {
		s.sound(c, p) // most nodes are so, and there is no more to them
		return
	}
	s.node(c, p)
}

func typeNames(el *Element) string {
	names := make([]string, len(el.Types))
	for i, t := range el.Types {
		names[i] = t.Code
	}
	return strings.Join(names, ", ")
}

// slices deals the count repetitions from first on to slices. n is the parent.
func (s *state) slices(n, first r4.Node, count, lo int, sl *slicing) {
	from := len(s.dealt)
	for c := first; count > 0; c, count = s.r.Next(c), count-1 {
		s.dealt = append(s.dealt, c)
	}
	s.deal(n, from, len(s.dealt), lo, sl)
	s.dealt = s.dealt[:from]
}

// deal gives each of the nodes s.dealt[from:to] to its slice, judges it by that,
// and judges the slices by their number.
func (s *state) deal(n r4.Node, from, to, lo int, sl *slicing) {
	base := len(s.counts)
	for range 2 * len(sl.slices) {
		s.counts = append(s.counts, 0) // surely in, perhaps in
	}
	last, ended := -1, false
	for k := from; k < to; k++ {
		c := s.dealt[k]
		i, maybe := s.sliceOf(c, base, sl)
		if i < 0 {
			if sl.closed && !maybe {
				s.add(Error, "slice-closed", c, sl.el, "belongs to none of the slices, and no other is allowed")
			}
			ended = ended || sl.openAtEnd && !maybe
			continue
		}
		one := &sl.slices[i]
		if one.claims && s.trial == 0 {
			s.claimed[c>>6] |= 1 << (c & 63)
		}
		if sl.ordered && i < last {
			s.add(Error, "slice-order", c, one.el, "slice "+one.el.Slice+" comes after slice "+sl.slices[last].el.Slice+", which must follow it")
		}
		last = max(last, i)
		if ended {
			s.add(Error, "slice-open-at-end", c, one.el, "comes after a repetition that belongs to no slice; those must come last")
		}
		s.one(c, s.r.ElementOf(c).Index()-lo, &one.group)
		if one.slicing != nil {
			// Kept for the slice's own slices: at the far end of the stack.
			s.dealt = append(s.dealt, r4.Node(i), c)
		}
	}
	for i := range sl.slices {
		g := &sl.slices[i].group
		sure, perhaps := int(s.counts[base+2*i]), int(s.counts[base+2*i+1])
		switch {
		case sure+perhaps < g.min:
			s.count("slice-min", n, g.el, sure, g.min, "at least")
		case sure < g.min && !s.v.skipNotes:
			s.add(Note, "slice-undecided", n, g.el, "cannot be judged: whether repetitions belong to slice "+g.el.Slice+" hangs on codes that are not at hand")
		case g.max != Unbounded && sure > g.max:
			s.count("slice-max", n, g.el, sure, g.max, "at most")
		}
		if g.slicing != nil {
			end := len(s.dealt)
			for k := to; k < end; k += 2 {
				if int(s.dealt[k]) == i {
					s.dealt = append(s.dealt, s.dealt[k+1])
				}
			}
			s.deal(n, end, len(s.dealt), lo, g.slicing)
			s.dealt = s.dealt[:end]
		}
	}
	s.counts = s.counts[:base]
	s.dealt = s.dealt[:to]
}

// sliceOf finds the slice of one repetition and counts it there; -1 if it is in
// none. maybe says that it may be in one for all that is known.
func (s *state) sliceOf(c r4.Node, base int, sl *slicing) (found int, maybe bool) {
	var code []byte
	if sl.key != nil {
		code = s.soleCode(c, sl.key)
	}
	for i := range sl.slices {
		one := &sl.slices[i]
		if code != nil && one.code != nil && !bytes.Equal(code, one.code) {
			continue
		}
		answer := Yes
		for j := range one.tests {
			if t := s.passes(c, &one.tests[j]); t == No {
				answer = No
				break
			} else if t == Unknown {
				answer = Unknown
			}
		}
		switch answer {
		case Yes:
			s.counts[base+2*i]++
			return i, maybe
		case Unknown:
			s.counts[base+2*i+1]++
			maybe = true
		}
	}
	return -1, maybe
}

// soleCode is the code that a repetition bears at a key's element: nil unless
// there is one such element with one coding, so that nothing else there could
// make it one of a slice.
func (s *state) soleCode(c r4.Node, key *sliceKey) []byte {
	w := words()
	n := s.r.Find(c, key.element)
	if n == r4.None || s.r.NextSame(n) != r4.None {
		return nil
	}
	if key.element.Type() != w.coding {
		if n = s.r.Find(n, w.conceptCoding); n == r4.None || s.r.NextSame(n) != r4.None {
			return nil
		}
	}
	if n = s.r.Find(n, w.codingCode); n == r4.None {
		return nil
	}
	return s.r.Value(n)
}
