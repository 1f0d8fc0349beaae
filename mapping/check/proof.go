package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// Status says how it stands with one demand of a profile.
type Status uint8

// The statuses, best first. Where a demand is met in several places, the worst
// of them counts.
const (
	// ProvedAtLoad: no row can break it.
	ProvedAtLoad Status = iota
	// CheckedPerResource: it depends on rows; the validator judges each
	// resource.
	CheckedPerResource
	// Undecidable: the definitions at hand do not tell.
	Undecidable
)

// String is proved, checked or undecidable.
func (s Status) String() string { return [...]string{"proved", "checked", "undecidable"}[s] }

// MarshalText writes the status as its word.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Demand is one demand of a profile and how it stands.
type Demand struct {
	Mapping string `json:"mapping"`
	View    string `json:"view,omitempty"`
	Type    string `json:"type"`
	Profile string `json:"profile"` // canonical with version
	Element string `json:"element"` // id in the profile
	// Code is the finding that breaking it would be: cardinality-min, binding,
	// constraint ...; Key the invariant's, where one.
	Code   string `json:"code"`
	Key    string `json:"key,omitempty"`
	Status Status `json:"status"`
	// Why tells what it depends on, or why nothing can break it.
	Why string `json:"why"`
}

// Proof is the proof report: every demand of every profile in use.
type Proof struct {
	Demands []Demand `json:"demands"` // by mapping, view, profile; then in the profile's order
	Totals  Totals   `json:"totals"`

	content []profiles.ProvedRule // of R4's own definitions
	unused  []profiles.ProvedRule // slices of which no repetition can be
}

// Totals counts the demands by status.
type Totals struct {
	Proved      int `json:"proved"`
	Checked     int `json:"checked"`
	Undecidable int `json:"undecidable"`
}

// Prove makes the proof report of a set.
func Prove(set *Set) *Proof {
	out := &Proof{content: provedContent(set)}
	unused := map[profiles.ProvedRule]bool{}
	for _, m := range set.Mappings {
		for _, v := range append([]*Mapping{m}, m.Views...) {
			if v.NonFinancial {
				out.Demands = append(out.Demands, withoutMoney(v))
			}
			for _, prof := range v.Profiles {
				p := &prover{set: set, mapping: v, profile: prof, index: map[demandKey]int{}, unused: unused}
				p.element([]*Node{v.Root}, prof.Root(), true)
				out.Demands = append(out.Demands, p.demands...)
			}
		}
	}
	for r, never := range unused {
		if never {
			out.unused = append(out.unused, r)
		}
	}
	for _, d := range out.Demands {
		switch d.Status {
		case ProvedAtLoad:
			out.Totals.Proved++
		case CheckedPerResource:
			out.Totals.Checked++
		default:
			out.Totals.Undecidable++
		}
	}
	return out
}

// nonFinancial is the code of the promise that a Basis view makes.
const nonFinancial = "non-financial"

// withoutMoney tells what the load has checked of a non-financial view; a set
// that breaks it does not load.
func withoutMoney(m *Mapping) Demand {
	nodes := 0
	walk(m.Root, func(*Node) { nodes++ })
	d := Demand{
		Mapping: m.Name, View: m.View, Type: m.Type.Name(), Element: m.Type.Name(), Code: nonFinancial, Status: ProvedAtLoad,
		Why: fmt.Sprintf("none of its %d writers makes an amount, a total, a payment or a balance", nodes),
	}
	if len(m.Profiles) > 0 {
		d.Profile = m.Profiles[0].Canonical()
	}
	if len(financial(m.Root)) > 0 {
		d.Status, d.Why = Undecidable, "it writes financial elements" // never of a set that loads
	}
	return d
}

// WriteText writes one line a demand and the totals behind them.
func (p *Proof) WriteText(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	last := ""
	for _, d := range p.Demands {
		head := d.Mapping
		if d.View != "" {
			head += " (" + d.View + ")"
		}
		if head += "  " + d.Profile; head != last {
			if err := tab.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(tab, "%s\n", head)
			last = head
		}
		fmt.Fprintf(tab, "  %s\t%s\t%s\t%s\n", d.Status, d.Element, strings.TrimSpace(d.Code+" "+d.Key), d.Why)
	}
	fmt.Fprintf(tab, "%d demands: %d proved at load, %d checked per resource, %d undecidable\n",
		len(p.Demands), p.Totals.Proved, p.Totals.Checked, p.Totals.Undecidable)
	return tab.Flush()
}

// WriteJSON writes the report as one JSON object.
func (p *Proof) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// Proved gives what a validator of the set's own resources may leave out: what
// is proved for every mapping that the profile is declared by, and of R4's own
// demands what no mapping can break.
func (p *Proof) Proved() profiles.Proved {
	out, broken := profiles.Proved{}, profiles.Proved{}
	for _, d := range p.Demands {
		r := profiles.ProvedRule{Profile: d.Profile, Element: d.Element, Code: d.Code, Constraint: d.Key}
		if d.Status == ProvedAtLoad {
			out.Add(r)
		} else {
			broken.Add(r)
		}
	}
	for r := range broken {
		delete(out, r)
	}
	for _, r := range slices.Concat(p.content, p.unused) {
		out.Add(r)
	}
	return out
}

type demandKey struct{ element, code, key string }

type prover struct {
	set     *Set
	mapping *Mapping
	profile *profiles.Profile
	demands []Demand
	index   map[demandKey]int
	loose   bool // below a slice into which rows may bring what is written without one
	// unused says of each slice met whether none of its repetitions is ever
	// written; shared by all mappings and views.
	unused map[profiles.ProvedRule]bool
}

// say notes a demand; of two places that meet it, the worse one counts.
func (p *prover) say(e *profiles.Element, code, key string, s Status, why string) {
	if p.loose && s == ProvedAtLoad {
		s, why = CheckedPerResource, "what is written without a slice may be of this one"
	}
	k := demandKey{e.ID, code, key}
	if i, ok := p.index[k]; ok {
		if d := &p.demands[i]; s > d.Status {
			d.Status, d.Why = s, why
		}
		return
	}
	p.index[k] = len(p.demands)
	p.demands = append(p.demands, Demand{
		Mapping: p.mapping.Name, View: p.mapping.View, Type: p.mapping.Type.Name(), Profile: e.Profile.Canonical(),
		Element: e.ID, Code: code, Key: key, Status: s, Why: why,
	})
}

// element judges what e demands of itself, met by writers, and of its children.
// whole says that all that stands there is written by the nodes of writers,
// child by child.
func (p *prover) element(writers []*Node, e *profiles.Element, whole bool) {
	p.values(writers, e)
	for _, c := range e.Constraints {
		switch {
		case c.Key == "ele-1":
			p.say(e, "constraint", c.Key, ProvedAtLoad, "no empty element is written")
		case slices.Contains([]string{"dom-2", "dom-3", "dom-4", "dom-5"}, c.Key):
			p.say(e, "constraint", c.Key, ProvedAtLoad, "no contained resource is written")
		case len(writers) == 0:
			p.say(e, "constraint", c.Key, ProvedAtLoad, "the element is not written")
		case strings.Contains(c.Expression, "resolve()") || strings.Contains(c.Expression, "memberOf("):
			p.say(e, "constraint", c.Key, Undecidable, "it asks about what is not in the resource")
		default:
			p.say(e, "constraint", c.Key, CheckedPerResource, "an expression over the whole element")
		}
	}
	if len(writers) == 0 {
		return // what stands below an element that is not there is met
	}
	for _, child := range e.Children() {
		var at []*Node
		for _, w := range writers {
			at = append(at, under(w, child.Base)...)
		}
		p.counted(writers, at, child, whole, "")
		outer := p.loose
		for _, s := range child.Slices() {
			var own []*Node
			stray, never := false, child.Base != "extension" && child.Base != "modifierExtension" && !slices.ContainsFunc(writers, incomplete)
			for _, n := range at {
				if n.Slice == s.Slice || n.Element.Choice() && n.Element.Name() == s.Slice {
					own = append(own, n)
				}
				if !p.ruledOut(n, child, s) {
					stray = stray || mayStray(n, child, s)
					never = false
				}
			}
			p.loose = outer || stray
			r := profiles.ProvedRule{Profile: s.Profile.Canonical(), Element: s.ID, Code: profiles.ProvedWhole}
			if before, met := p.unused[r]; met {
				never = never && before
			}
			p.unused[r] = never
			p.counted(writers, own, s, whole, s.Slice)
		}
		p.loose = outer
	}
}

// incomplete says that a node may write more than its children do.
func incomplete(n *Node) bool { return n.Kind != Group || n.Absent != nil || n.Assumed != nil }

// mayStray says that a node which is not ruled out of slice s, and is not written
// as one of s, may be one of it all the same: it names no slice, so that its
// content decides, or rows decide what tells slices apart.
func mayStray(n *Node, sliced, s *profiles.Element) bool {
	if n.Slice == s.Slice || n.Element.Choice() || n.Fixed {
		return false
	}
	if n.Slice == "" {
		return true
	}
	return sliced.Slicing != nil && slices.ContainsFunc(sliced.Slicing.Discriminators, func(d profiles.Discriminator) bool {
		return slices.ContainsFunc(under(n, d.Path), func(c *Node) bool { return c.Data })
	})
}

// ruledOut says that whatever rows hold, what n writes is not in slice s: a
// discriminator looks at a child that n writes as a constant, or never, and the
// slice states something else there.
func (p *prover) ruledOut(n *Node, sliced, s *profiles.Element) bool {
	if sliced.Slicing == nil || incomplete(n) || n.Element.Type() == nil {
		return false
	}
	for _, d := range sliced.Slicing.Discriminators {
		at := n.Element.Type().Element(d.Path)
		if at == nil || d.Type != "value" && d.Type != "pattern" {
			continue
		}
		list := under(n, d.Path)
		if len(list) != 1 {
			continue
		}
		c := list[0]
		if c.Kind == Literal && c.Template != nil && len(c.Children) == 0 && c.Absent == nil && c.Assumed == nil &&
			p.set.profiles.Fits(s, at, c.Template) == profiles.No {
			return true
		}
	}
	return false
}

// counted judges how often child is written, and goes on below it.
func (p *prover) counted(parents, at []*Node, child *profiles.Element, whole bool, slice string) {
	counted := "cardinality"
	if slice != "" {
		counted = "slice"
	}
	for _, n := range at {
		whole = whole && n.Kind != Coded && n.Kind != Nothing && n.Absent == nil && !(n.Kind == Literal && n.Type.Kind() != r4.KindPrimitive)
	}
	if child.Min > 0 {
		status, why := ProvedAtLoad, "it is always written"
		for _, parent := range parents {
			n, ok := p.always(under(parent, child.Base), slice, child.Min)
			switch {
			case ok || p.bySelf(parent, child):
			case child.Min == 1 && soleContent(parent, child.Base, slice):
				why = "without it nothing is written around it"
			default:
				status, why = CheckedPerResource, "no writer is always there"
				if n != nil {
					why = "it depends on rows: " + n.Pos.String()
				}
			}
			if parent.Absent != nil || parent.Kind != Group && parent.Kind != Coding {
				status, why = CheckedPerResource, "the element around it may be written without it: "+parent.Pos.String()
			}
		}
		p.say(child, counted+"-min", "", status, why)
	}
	if child.Max != profiles.Unbounded && (child.Max != 1 || slice != "" || len(at) > 0 && at[0].Element != nil && at[0].Element.Repeats()) {
		status, why := ProvedAtLoad, "the element is not written"
		if len(at) > 0 {
			why = "its writers are no more"
		}
		for _, parent := range parents {
			list := under(parent, child.Base)
			if slice != "" {
				list = slices.DeleteFunc(slices.Clone(list), func(n *Node) bool { return n.Slice != slice })
			}
			if len(list) > child.Max {
				status, why = CheckedPerResource, "several writers may each be there"
			}
			for _, n := range list {
				if n.Each != nil {
					status, why = CheckedPerResource, "it is written for each row: "+n.Pos.String()
				}
			}
			if len(list) > 0 && !whole && parent.Kind != Group {
				status, why = CheckedPerResource, "it is written as a whole"
			}
		}
		p.say(child, counted+"-max", "", status, why)
	}
	if len(at) == 0 {
		p.element(nil, child, whole)
		return
	}
	if slice == "" {
		// Below a slice the slice's own element speaks; nodes of no slice are
		// judged by the element alone.
		p.element(at, p.narrowed(at, child), whole)
		return
	}
	p.element(at, child, whole)
}

// narrowed is a choice narrowed to the one type that is written.
func (p *prover) narrowed(at []*Node, e *profiles.Element) *profiles.Element {
	if !e.Choice() || len(at) == 0 || at[0].Element.Type() == nil {
		return e
	}
	for _, n := range at {
		if n.Element != at[0].Element {
			return e
		}
	}
	if one := e.As(at[0].Element.Type().Name()); one != nil {
		return one
	}
	return e
}

// under lists the nodes that write an element of a node, the alternatives of
// first among them.
func under(n *Node, base string) []*Node {
	if n.Kind == First {
		var out []*Node
		for _, c := range n.Children {
			out = append(out, under(c, base)...)
		}
		return out
	}
	var out []*Node
	for _, c := range n.Children {
		if c.Element.Base() == base {
			out = append(out, c)
		}
	}
	if n.Assumed != nil {
		out = append(out, under(n.Assumed, base)...)
	}
	return out
}

// always says that at least count of the writers are there whatever the rows
// hold; n is one that may not be.
func (p *prover) always(list []*Node, slice string, count int) (n *Node, ok bool) {
	for _, c := range list {
		if slice != "" && c.Slice != slice {
			continue
		}
		if p.unconditional(c) {
			count--
		} else {
			n = c
		}
	}
	return n, count <= 0
}

// soleContent says that an element does not stand without the child base, of the
// given slice if one is named: only the child brings content from rows, without
// which nothing is written (rule 11).
func soleContent(n *Node, base, slice string) bool {
	if n.Kind != Group || n.Element == nil || !n.Data || n.Absent != nil || n.Assumed != nil {
		return false
	}
	found := false
	for _, c := range n.Children {
		if !c.Data && c.Each == nil && c.Absent == nil && c.Assumed == nil {
			continue
		}
		if c.Element.Base() != base || slice != "" && c.Slice != slice && !(c.Element.Choice() && c.Element.Name() == slice) {
			return false
		}
		found = true
	}
	return found
}

func (p *prover) unconditional(n *Node) bool {
	switch {
	case n.When != nil || n.Each != nil || len(n.Key) > 0:
		return false
	case n.Absent != nil || n.Assumed != nil && !n.NoAssumption:
		return true
	case n.Kind == First:
		return slices.ContainsFunc(n.Children, p.unconditional)
	case n.Kind == Group && n.Data:
		return slices.ContainsFunc(n.Children, func(c *Node) bool { return c.Data && p.unconditional(c) })
	case n.Kind == Primitive || n.Kind == Reference:
		return p.neverNull(n)
	}
	return !n.Data || n.Kind == Sequence || n.Kind == LastUpdated
}

// neverNull says that a value cannot be NULL and always takes its place: a key
// column of the mapping's own source as a reference, or as a string (rule 24).
func (p *prover) neverNull(n *Node) bool {
	key := func(e *Expr) bool {
		return e != nil && e.Column != "" && e.Source == p.mapping.From &&
			slices.ContainsFunc(p.mapping.From.Key, func(k source.KeyColumn) bool { return strings.EqualFold(k.Name, e.Column) })
	}
	if n.Kind == Reference {
		if n.RefKey.Plain {
			return false // the id may be no legal one
		}
		return !slices.ContainsFunc(n.RefKey.Parts, func(part Part) bool { return part.Value != nil && (part.Value.Map != nil || !key(part.Value.Expr)) })
	}
	// Even a key may be an empty text, or no value of the type.
	return false
}

func (p *prover) bySelf(parent *Node, e *profiles.Element) bool {
	return parent.Element == nil && e.Base == "meta"
}

// values judges fixed values, patterns, bindings and targets.
func (p *prover) values(writers []*Node, e *profiles.Element) {
	say := func(code string, judge func(*Node) (Status, string)) {
		if len(writers) == 0 {
			p.say(e, code, "", ProvedAtLoad, "the element is not written")
			return
		}
		for _, n := range writers {
			s, why := judge(n)
			p.say(e, code, "", s, why)
		}
	}
	literal := func(n *Node) (Status, string) {
		switch {
		case n.Fixed && n.Kind == Literal:
			return ProvedAtLoad, "the program writes it"
		case n.Kind == Literal && n.Type.Kind() == r4.KindPrimitive:
			return ProvedAtLoad, "a literal, held against it when loaded"
		}
		return CheckedPerResource, "what is written there is made at run time: " + n.Pos.String()
	}
	if e.Fixed != nil {
		say("fixed-value", literal)
	}
	if e.Pattern != nil {
		say("pattern-value", func(n *Node) (Status, string) {
			if n.Kind == Group && n.Type.Name() == "CodeableConcept" && n.Absent == nil {
				return ProvedAtLoad, "its codings are added to what is written"
			}
			return literal(n)
		})
	}
	if e.Binding != nil && e.Binding.ValueSet != "" && (e.Binding.Strength == "required" || e.Binding.Strength == "extensible") {
		say("binding", func(n *Node) (Status, string) { return p.bound(n, e.Binding) })
	}
	if slices.ContainsFunc(e.Types, func(t profiles.TypeRef) bool { return t.Code == "Reference" && len(t.Targets) > 0 }) {
		say("reference-target", func(n *Node) (Status, string) {
			for _, c := range n.Children {
				if c.Element.Name() == "reference" && c.Kind != Reference {
					return CheckedPerResource, "the address comes from rows: " + c.Pos.String()
				}
			}
			if n.Kind != Group {
				return CheckedPerResource, "it is written as a whole: " + n.Pos.String()
			}
			return ProvedAtLoad, "the target type is written in the mapping"
		})
	}
}

// noCode is a code that no code system has: what is said of it holds for a
// system as a whole.
const noCode = "\u00b7no such code\u00b7"

// bound judges the codes of one writer, and what stands in their place, by a
// binding.
func (p *prover) bound(n *Node, b *profiles.Binding) (Status, string) {
	if b.Strength == "required" && (n.Absent != nil && uncoded(n.Absent.Template) || n.Kind == Literal && uncoded(n.Template)) {
		return CheckedPerResource, "a reason without a code may stand there: " + n.Pos.String()
	}
	status, why := p.codes(n, b)
	if n.Assumed != nil && !n.NoAssumption {
		if s, w := p.bound(n.Assumed, b); cmp.Compare(s, status) > 0 {
			return s, w
		}
	}
	return status, why
}

// uncoded says that a literal is a reason why there is no value: an extension.
func uncoded(literal *r4.Resource) bool {
	if literal == nil {
		return false
	}
	c := literal.First(r4.Root)
	return c != r4.None && literal.ElementOf(c).Name() == "extension"
}

// codes judges the codes of one writer by a binding.
func (p *prover) codes(n *Node, b *profiles.Binding) (Status, string) {
	codes, complete := p.set.profiles.Codes(b.ValueSet)
	at := n.Pos.String()
	switch n.Kind {
	case Coded:
		return ProvedAtLoad, "codes come from the value set itself"
	case First:
		return p.worst(n.Children, b)
	case Group:
		var inner []*Node
		for _, c := range n.Children {
			if c.Element.Name() == "coding" {
				inner = append(inner, c)
			}
		}
		if n.Absent != nil || len(inner) == 0 || b.Strength == "required" && !p.alwaysCoded(n, inner) {
			break
		}
		return p.worst(inner, b)
	case Coding:
		if n.SystemOf != nil {
			break
		}
		code := n.CodeText
		if n.Value != nil {
			code = noCode
		}
		switch p.set.profiles.Member(b.ValueSet, n.SystemURL, code) {
		case profiles.Yes:
			return ProvedAtLoad, "the code, or all of its system, is in the value set"
		case profiles.Unknown:
			return Undecidable, "the codes of " + n.SystemURL + " are not loaded"
		}
		return CheckedPerResource, "the code comes from rows: " + at
	case Literal:
		if n.Type.Kind() != r4.KindPrimitive && p.holdsMember(n.Template, b) {
			return ProvedAtLoad, "a literal of the value set"
		}
		if text, ok := constantText(n); ok && complete {
			if slices.ContainsFunc(codes, func(c profiles.Coding) bool { return c.Code == text }) {
				return ProvedAtLoad, "a literal of the value set"
			}
		}
		if n.Type.Kind() != r4.KindPrimitive && n.Absent == nil && !n.Fixed {
			return ProvedAtLoad, "a literal of the value set" // a bare code, held against it when loaded
		}
	case Primitive:
		if n.Value != nil && n.Value.Map != nil && complete && b.Strength == "required" {
			return ProvedAtLoad, "all targets of the map are in the value set"
		}
	}
	if !complete && len(codes) == 0 {
		return Undecidable, "the codes of " + b.ValueSet + " are not loaded"
	}
	return CheckedPerResource, "the code comes from rows: " + at
}

// holdsMember says that a constant Coding or CodeableConcept bears a code of the
// value set.
func (p *prover) holdsMember(constant *r4.Resource, b *profiles.Binding) bool {
	if constant == nil || constant.Type() == nil {
		return false
	}
	coding := r4.Lookup("Coding")
	member := func(n r4.Node) bool {
		system, code := constant.Find(n, coding.Element("system")), constant.Find(n, coding.Element("code"))
		return system != r4.None && code != r4.None && constant.HasValue(system) && constant.HasValue(code) &&
			p.set.profiles.Member(b.ValueSet, string(constant.Value(system)), string(constant.Value(code))) == profiles.Yes
	}
	switch constant.Type().Name() {
	case "Coding":
		return member(r4.Root)
	case "CodeableConcept":
		for n := constant.Find(r4.Root, constant.Type().Element("coding")); n != r4.None; n = constant.NextSame(n) {
			if member(n) {
				return true
			}
		}
	}
	return false
}

// alwaysCoded says that a concept does not stand without one of its codings: one
// is always there, or they alone bring content, without which nothing is written
// (rule 11).
func (p *prover) alwaysCoded(concept *Node, codings []*Node) bool {
	if slices.ContainsFunc(codings, p.unconditional) {
		return true
	}
	return concept.Data && !slices.ContainsFunc(concept.Children, func(c *Node) bool {
		return c.Element.Name() != "coding" && (c.Data || c.Absent != nil || c.Assumed != nil)
	})
}

func (p *prover) worst(list []*Node, b *profiles.Binding) (Status, string) {
	status, why := ProvedAtLoad, "nothing is written"
	for i, n := range list {
		if s, w := p.bound(n, b); i == 0 || cmp.Compare(s, status) > 0 {
			status, why = s, w
		}
	}
	return status, why
}
