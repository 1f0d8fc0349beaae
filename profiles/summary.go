package profiles

import (
	"cmp"
	"slices"
	"strings"
)

// Rule is what findings are counted by: an element of a profile and what it
// demands.
type Rule struct {
	Severity   Severity
	Profile    string // canonical
	Element    string // element id
	Code       string
	Constraint string
}

// RuleCount is how often a rule was broken.
type RuleCount struct {
	Rule
	Findings  int // all of them
	Resources int // resources with at least one
}

// Summary counts findings by profile element and rule. The zero Summary is
// ready for use; it belongs to one goroutine at a time.
type Summary struct {
	Resources int // judged
	Clean     int // without an error among their findings

	counts map[Rule]*RuleCount
	last   map[Rule]int // the resource that a rule was last counted for
}

// Add counts the findings of one resource.
func (s *Summary) Add(findings []Finding) {
	if s.counts == nil {
		s.counts = map[Rule]*RuleCount{}
		s.last = map[Rule]int{}
	}
	s.Resources++
	clean := true
	for i := range findings {
		f := &findings[i]
		clean = clean && f.Severity != Error
		r := Rule{f.Severity, f.Profile, f.Element, f.Code, f.Constraint}
		c := s.counts[r]
		if c == nil {
			c = &RuleCount{Rule: r}
			s.counts[r] = c
		}
		c.Findings++
		if s.last[r] != s.Resources {
			s.last[r] = s.Resources
			c.Resources++
		}
	}
	if clean {
		s.Clean++
	}
}

// Merge adds what another Summary counted, of other resources.
func (s *Summary) Merge(o *Summary) {
	if s.counts == nil {
		s.counts = map[Rule]*RuleCount{}
		s.last = map[Rule]int{}
	}
	s.Resources += o.Resources
	s.Clean += o.Clean
	for r, n := range o.counts {
		c := s.counts[r]
		if c == nil {
			c = &RuleCount{Rule: r}
			s.counts[r] = c
		}
		c.Findings += n.Findings
		c.Resources += n.Resources
	}
}

// Rules lists the counts: gravest first, then by number of findings, then by
// name. The caller may keep the slice.
func (s *Summary) Rules() []RuleCount {
	out := make([]RuleCount, 0, len(s.counts))
	for _, c := range s.counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b RuleCount) int {
		return cmp.Or(
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(b.Findings, a.Findings), strings.Compare(a.Profile, b.Profile),
			strings.Compare(a.Element, b.Element), strings.Compare(a.Code, b.Code), strings.Compare(a.Constraint, b.Constraint),
		)
	})
	return out
}
