package workbook

import (
	"fmt"
	"slices"
	"strings"

	"remit/mapping/check"
)

// proofKey is an element of a profile in a mapping.
type proofKey struct{ mapping, profile, element string }

// proofCount is how it stands with the demands on one element: how many are
// proved, and which are not.
type proofCount struct {
	proved    int
	checked   []string
	undecided []string
}

// proofs gathers a proof report by element; views are left out.
func proofs(p *check.Proof) map[proofKey]*proofCount {
	out := map[proofKey]*proofCount{}
	if p == nil {
		return out
	}
	for _, d := range p.Demands {
		if d.View != "" {
			continue
		}
		k := proofKey{d.Mapping, d.Profile, d.Element}
		c := out[k]
		if c == nil {
			c = &proofCount{}
			out[k] = c
		}
		name := d.Code
		if d.Key != "" {
			name = d.Key
		}
		add := func(list *[]string) {
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
		switch d.Status {
		case check.ProvedAtLoad:
			c.proved++
		case check.CheckedPerResource:
			add(&c.checked)
		default:
			add(&c.undecided)
		}
	}
	return out
}

// String is the proof status of an element, what is not proved first; "" where
// nothing is demanded.
func (c *proofCount) String() string {
	if c == nil {
		return ""
	}
	var parts []string
	if len(c.undecided) > 0 {
		parts = append(parts, "undecidable: "+strings.Join(c.undecided, ", "))
	}
	if len(c.checked) > 0 {
		parts = append(parts, "checked per resource: "+strings.Join(c.checked, ", "))
	}
	if c.proved > 0 {
		parts = append(parts, fmt.Sprintf("proved at load: %d", c.proved))
	}
	return strings.Join(parts, "\n")
}
