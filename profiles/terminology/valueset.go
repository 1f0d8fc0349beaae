package terminology

import (
	"maps"
	"slices"
	"strings"
)

// ValueSet is the expansion of a value set: the codes that are known to be in
// it, and what is not known. It is immutable and safe for concurrent use.
type ValueSet struct {
	// URL is the canonical; Version may be "".
	URL, Version string

	systems map[string]*members
	// open says that codes of any system may be in it: an included value set is
	// not loaded.
	open  bool
	codes map[string]Tri // by code alone, over all systems
}

// members are the codes of one system within a value set.
type members struct {
	list    []Coding
	in      map[string]int   // index into list
	folds   bool             // codes are compared without regard to case
	partial bool             // codes not in the list may still be in the set
	form    func([]byte) Tri // of a partial grammar taken whole: decides what the list does not
	doubt   bool             // codes in the list may be excluded
}

type valueSet struct {
	URL     string `json:"url"`
	Version string `json:"version"`
	Compose *struct {
		Include []includeJSON `json:"include"`
		Exclude []includeJSON `json:"exclude"`
	} `json:"compose"`
	Expansion *struct {
		Total    *int           `json:"total"`
		Contains []containsJSON `json:"contains"`
	} `json:"expansion"`
}

type includeJSON struct {
	System  string `json:"system"`
	Version string `json:"version"`
	Concept []struct {
		Code    string `json:"code"`
		Display string `json:"display"`
	} `json:"concept"`
	Filter   []filterJSON `json:"filter"`
	ValueSet []string     `json:"valueSet"`
}

type filterJSON struct {
	Property string `json:"property"`
	Op       string `json:"op"`
	Value    string `json:"value"`
}

type containsJSON struct {
	System   string         `json:"system"`
	Code     string         `json:"code"`
	Display  string         `json:"display"`
	Abstract bool           `json:"abstract"`
	Contains []containsJSON `json:"contains"`
}

// Member says whether a code is in the set. An empty system asks by code alone.
// It does not allocate.
func (v *ValueSet) Member(system, code []byte) Tri {
	if len(system) == 0 {
		return v.byCode(code)
	}
	m := v.systems[string(system)]
	if m == nil {
		if v.open {
			return Unknown
		}
		return No
	}
	_, ok := m.in[string(code)]
	if !ok && m.folds {
		_, ok = m.in[strings.ToLower(string(code))]
	}
	switch {
	case ok && m.doubt:
		return Unknown
	case ok:
		return Yes
	case m.form != nil && !m.doubt:
		if t := m.form(code); t != No || !v.open {
			return t
		}
		return Unknown
	case m.partial || v.open:
		return Unknown
	}
	return No
}

// byCode asks every system.
func (v *ValueSet) byCode(code []byte) Tri {
	if t, ok := v.codes[string(code)]; ok {
		return t
	}
	answer := No
	if v.open {
		answer = Unknown
	}
	for _, m := range v.systems {
		switch {
		case m.form != nil && !m.doubt:
			switch m.form(code) {
			case Yes:
				return Yes
			case Unknown:
				answer = Unknown
			}
		case m.partial:
			answer = Unknown
		}
	}
	return answer
}

// Complete says that all codes of the set are known.
func (v *ValueSet) Complete() bool {
	if v.open {
		return false
	}
	for _, m := range v.systems {
		if m.partial || m.doubt {
			return false
		}
	}
	return true
}

// Codes lists the codes known to be in the set, by system in alphabetical
// order, within a system in the definition's order; complete says whether that
// is all of them. The caller may keep and change the slice.
func (v *ValueSet) Codes() (codes []Coding, complete bool) {
	for _, sys := range v.Systems() {
		if m := v.systems[sys]; !m.doubt {
			codes = append(codes, m.list...)
		}
	}
	return codes, v.Complete()
}

// Systems are the code systems the set draws from, sorted.
func (v *ValueSet) Systems() []string { return slices.Sorted(maps.Keys(v.systems)) }

// Display is the display text of a code as the value set or its system gives
// it, or "".
func (v *ValueSet) Display(system, code string) string {
	if m := v.systems[system]; m != nil {
		if i, ok := m.in[code]; ok {
			return m.list[i].Display
		}
	}
	return ""
}

// expand computes what d holds. s.mu is held, or s is not yet shared.
func (s *Service) expand(d *valueSet, sc scope) *ValueSet {
	v := &ValueSet{URL: d.URL, Version: d.Version, systems: map[string]*members{}}
	switch {
	case d.Compose != nil:
		for i := range d.Compose.Include {
			v.union(s.include(&d.Compose.Include[i], sc))
		}
		for i := range d.Compose.Exclude {
			v.subtract(s.include(&d.Compose.Exclude[i], sc))
		}
	case d.Expansion != nil:
		n := v.contains(d.Expansion.Contains)
		v.open = d.Expansion.Total != nil && *d.Expansion.Total > n
	default:
		v.open = true // a value set without definition: anything may be in it
	}
	v.codes = map[string]Tri{}
	for _, m := range v.systems {
		for _, c := range m.list {
			if !m.doubt {
				v.codes[c.Code] = Yes
			} else if _, ok := v.codes[c.Code]; !ok {
				v.codes[c.Code] = Unknown
			}
		}
	}
	return v
}

func (v *ValueSet) contains(list []containsJSON) int {
	n := 0
	for i := range list {
		c := &list[i]
		if c.Code != "" {
			n++
			if !c.Abstract {
				v.of(c.System).put(Coding{c.System, c.Code, c.Display})
			}
		}
		n += v.contains(c.Contains)
	}
	return n
}

func (v *ValueSet) of(system string) *members {
	m := v.systems[system]
	if m == nil {
		m = &members{in: map[string]int{}}
		v.systems[system] = m
	}
	return m
}

func (m *members) put(c Coding) {
	if i, ok := m.in[c.Code]; ok {
		if m.list[i].Display == "" {
			m.list[i].Display = c.Display
		}
		return
	}
	m.in[c.Code] = len(m.list)
	if m.folds {
		m.in[strings.ToLower(c.Code)] = len(m.list)
	}
	m.list = append(m.list, c)
}

// include expands one include or exclude: the intersection of its system part
// and its value sets. Source: R4 ValueSet, "Composition Rules".
func (s *Service) include(inc *includeJSON, sc scope) *ValueSet {
	var out *ValueSet
	if inc.System != "" {
		out = &ValueSet{systems: map[string]*members{inc.System: s.draw(inc, sc)}}
	}
	for _, ref := range inc.ValueSet {
		part := s.valueSet(ref, sc)
		if part == nil {
			part = &ValueSet{open: true}
		}
		if out == nil {
			out = part
		} else {
			out = intersect(out, part)
		}
	}
	if out == nil {
		return &ValueSet{open: true}
	}
	return out
}

// draw gives the codes of a system that an include names, filters, or takes
// whole.
func (s *Service) draw(inc *includeJSON, sc scope) *members {
	ref := inc.System
	if inc.Version != "" {
		ref += "|" + inc.Version
	}
	cs := s.codeSystem(ref, sc.within)
	if cs == nil && inc.Version != "" {
		cs = s.codeSystem(inc.System, sc.within)
	}
	m := &members{in: map[string]int{}, folds: cs != nil && cs.folds}
	if len(inc.Concept) > 0 {
		for _, c := range inc.Concept {
			display := c.Display
			if cs != nil && display == "" {
				if n, ok := cs.find(c.Code); ok {
					display = cs.concepts[n].display
				}
			}
			m.put(Coding{inc.System, c.Code, display})
		}
		return m
	}
	if cs == nil || !cs.Complete && len(inc.Filter) == 0 && len(cs.concepts) == 0 {
		m.partial = true
		if len(inc.Filter) == 0 {
			m.form = grammar(inc.System)
		}
		return m
	}
	passes := make([]func(int) bool, 0, len(inc.Filter))
	for i := range inc.Filter {
		pass, ok := cs.filter(&inc.Filter[i])
		if !ok {
			m.partial = true
			return m
		}
		passes = append(passes, pass)
	}
	m.partial = !cs.Complete
	for n := range cs.concepts {
		if !slices.ContainsFunc(passes, func(pass func(int) bool) bool { return !pass(n) }) {
			m.put(Coding{inc.System, cs.concepts[n].code, cs.concepts[n].display})
		}
	}
	return m
}

// union adds what o holds to v.
func (v *ValueSet) union(o *ValueSet) {
	v.open = v.open || o.open
	for sys, from := range o.systems {
		to := v.systems[sys]
		if to == nil {
			to = &members{in: map[string]int{}, folds: from.folds, form: from.form}
			v.systems[sys] = to
		} else if from.partial && (to.partial || to.form != nil) {
			to.form = nil // two rules in one: neither is the whole
		} else if from.form != nil {
			to.form = from.form
		}
		to.partial = to.partial || from.partial || from.doubt
		if from.doubt {
			continue // they may be in: partial says as much
		}
		for _, c := range from.list {
			to.put(c)
		}
	}
}

// subtract takes out of v what o holds.
func (v *ValueSet) subtract(o *ValueSet) {
	for sys, m := range v.systems {
		if o.open {
			m.doubt = true
		}
		from := o.systems[sys]
		if from == nil {
			continue
		}
		kept := &members{in: map[string]int{}, folds: m.folds, partial: m.partial, form: m.form, doubt: m.doubt || from.partial}
		for _, c := range m.list {
			if _, out := from.in[c.Code]; !out {
				kept.put(c)
			} else if from.doubt {
				kept.partial = true
			}
		}
		if len(from.list) > 0 {
			kept.form = nil // the grammar would let them in again
		}
		v.systems[sys] = kept
	}
}

// intersect gives what is in both a and b.
func intersect(a, b *ValueSet) *ValueSet {
	out := &ValueSet{systems: map[string]*members{}, open: a.open && b.open}
	for _, sys := range slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, v := range []*ValueSet{a, b} {
			for sys := range v.systems {
				if !yield(sys) {
					return
				}
			}
		}
	})) {
		x, y := a.systems[sys], b.systems[sys]
		m := &members{in: map[string]int{}, folds: x != nil && x.folds || y != nil && y.folds}
		for _, p := range [][2]*members{{x, y}, {y, x}} {
			if p[0] == nil {
				continue
			}
			for _, c := range p[0].list {
				inOther := false
				if p[1] != nil {
					_, inOther = p[1].in[c.Code]
				}
				other := b
				if p[0] == y {
					other = a
				}
				switch {
				case inOther && !p[0].doubt && !p[1].doubt:
					m.put(c)
				case inOther, p[1] != nil && p[1].partial, other.open:
					m.partial = true
				}
			}
		}
		loose := func(m *members, v *ValueSet) bool { return m != nil && m.partial || v.open }
		m.partial = m.partial || loose(x, a) && loose(y, b)
		if len(m.list) > 0 || m.partial {
			out.systems[sys] = m
		}
	}
	return out
}
