package check

import (
	"cmp"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/profiles/r4"
)

// Support is a must-support element that a mapping does not write. Of a branch
// that is not written the topmost is told.
type Support struct {
	Profile *profiles.Profile
	Element *profiles.Element
	Path    string // as a Node's: ExplanationOfBenefit.supportingInfo[drg].code
	// Why is the reason that the mapping states, "" for none (rule 39).
	Why string
}

// Unwritten lists the must-support elements of the mapping's profiles that it
// does not write, in the order of the profiles.
func (m *Mapping) Unwritten() []Support {
	var out []Support
	written := m.writtenPaths()
	for _, prof := range m.Profiles {
		var visit func(e *profiles.Element)
		visit = func(e *profiles.Element) {
			path := elementPath(e.ID)
			if e.Max == 0 {
				return
			}
			here := anyWritten(written, path, e.Choice())
			if !here && e.MustSupport {
				out = append(out, Support{Profile: prof, Element: e, Path: path, Why: m.why(path)})
				return
			}
			// A slice may be must-support where the element itself is not.
			for _, s := range e.Slices() {
				visit(s)
			}
			if !here {
				return
			}
			if depth := strings.Count(path, "."); depth < maxSupportDepth {
				for _, c := range e.Children() {
					visit(c)
				}
			}
		}
		for _, c := range prof.Root().Children() {
			visit(c)
		}
	}
	return out
}

// maxSupportDepth bounds the search for must-support elements below elements
// that are mapped; no guide states one deeper.
const maxSupportDepth = 8

// why is the reason that stands at a path, else at the nearest one above it.
func (m *Mapping) why(path string) string {
	for ; path != ""; path = above(path) {
		if why, ok := m.reasons[path]; ok {
			return why
		}
	}
	return ""
}

// above is the path of the element that a path lies in: a slice lies in its
// element.
func above(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// writtenPaths are the paths that a mapping writes, and all above them, with
// slices and without.
func (m *Mapping) writtenPaths() map[string]bool {
	written := map[string]bool{}
	mark := func(path string) {
		for path != "" {
			written[path] = true
			written[PlainPath(path)] = true
			path = path[:max(strings.LastIndexByte(path, '.'), 0)]
		}
	}
	var visit func(n *Node)
	visit = func(n *Node) {
		if n == nil {
			return
		}
		mark(cmp.Or(n.Path, m.Type.Name()))
		switch n.Kind {
		case Coding:
			mark(n.Path + ".system")
			mark(n.Path + ".code")
		case Reference:
			mark(n.Path + ".reference")
		case Coded:
			mark(n.Path + ".coding.system")
			mark(n.Path + ".coding.code")
		case Literal:
			for at := r4.Root; n.Template != nil && int(at) < n.Template.Len(); at++ {
				if below := PlainPath(n.Template.Path(at)); strings.Contains(below, ".") {
					mark(n.Path + below[strings.IndexByte(below, '.'):])
				}
			}
		}
		for _, c := range n.Children {
			visit(c)
		}
		visit(n.Assumed)
		visit(n.Absent)
	}
	visit(m.Root)
	return written
}

// unmapped takes the reasons of a mapping, and asks when its views are known
// that each has something to explain (rule 39).
func (c *checker) unmapped(m *Mapping, reasons []*syntax.Reason) {
	if len(reasons) == 0 {
		return
	}
	m.reasons = map[string]string{}
	places := map[string]diag.Pos{}
	for _, r := range reasons {
		path := m.Type.Name() + "." + r.Path.String()
		if first, ok := places[path]; ok { // a.b in quotes and not: two keys to YAML
			c.diags.Errorf(r.Path[0].Pos, "duplicate-key", "the reason for %s is written twice", r.Path).WithRelated(first, "first written at")
			continue
		}
		places[path] = r.Path[0].Pos
		m.reasons[path] = r.Why.Value
	}
	c.deferred = append(c.deferred, func() {
		if c.diags.HasErrors() {
			return // what is written is not surely known
		}
		written := m.writtenPaths()
		profs := slices.Clone(m.Profiles)
		for _, v := range m.Views {
			if v.Declared() {
				profs = append(profs, v.Profiles...)
			}
		}
		for _, r := range reasons {
			c.reason(m, r, written, profs)
		}
	})
}

// reason asks that a reason has something to explain.
func (c *checker) reason(m *Mapping, r *syntax.Reason, written map[string]bool, profs []*profiles.Profile) {
	path := m.Type.Name() + "." + r.Path.String()
	pos := r.Path[0].Pos
	var unknown *syntax.Step
	var siblings []string
	found, waits := false, false
	for _, prof := range profs {
		chain, missing, names := chainOf(prof.Root(), r.Path)
		if missing != nil {
			unknown, siblings = missing, append(siblings, names...)
			continue
		}
		found = true
		waits = waits || waitsForReason(chain, written)
	}
	switch {
	case len(profs) == 0:
		c.diags.Warnf(pos, "needless-reason", "the mapping has no profile, so that no element of it is must-support")
	case !found:
		name := cmp.Or(unknown.Slice, unknown.Name)
		c.diags.Errorf(unknown.Pos, "unknown-element", "no profile of the mapping has %s", r.Path).WithHint("%s", diag.DidYouMean(name, siblings))
	case anyWritten(written, path, true):
		d := c.diags.Warnf(pos, "stale-reason", "the mapping writes %s, which has a reason why it does not", r.Path)
		if n := writes(m.Root, path); n != nil {
			_ = d.WithRelated(n.Pos, "written at")
		}
	case !waits:
		c.diags.Warnf(pos, "needless-reason", "nothing at or below %s is a must-support element that waits for a reason", r.Path)
	}
}

// waitsForReason says that Unwritten tells the last element of a chain, which is
// not written, or slices of it: what lies below an element that is not written is
// told with that one.
func waitsForReason(chain []*profiles.Element, written map[string]bool) bool {
	last := len(chain) - 1
	for i, e := range chain[:last] {
		if anyWritten(written, elementPath(e.ID), e.Choice()) {
			continue
		}
		if e.MustSupport || i < last-1 || chain[last].Slice == "" || chain[last].Base != e.Base {
			return false
		}
	}
	return chain[last].MustSupport || slices.ContainsFunc(chain[last].Slices(), func(e *profiles.Element) bool { return e.MustSupport && e.Max != 0 })
}

// writes is the first node that writes at a path or below it.
func writes(root *Node, path string) *Node {
	var found *Node
	var look func(n *Node)
	look = func(n *Node) {
		if n == nil || found != nil {
			return
		}
		if rest, ok := strings.CutPrefix(n.Path, path); ok && n.Pos.IsValid() && (rest == "" || rest[0] == '.' || rest[0] == '[' || rest[0] >= 'A' && rest[0] <= 'Z') {
			found = n
			return
		}
		for _, c := range n.Children {
			look(c)
		}
	}
	look(root)
	return found
}

// chainOf lists the elements of a path from the top, a slice behind its element.
// Where a profile does not have them all, missing is the first step that it lacks,
// and names what it has there.
func chainOf(e *profiles.Element, path syntax.Path) (chain []*profiles.Element, missing *syntax.Step, names []string) {
	for i := range path {
		step := &path[i]
		names = nil
		var next *profiles.Element
		for _, child := range e.Children() {
			names = append(names, child.Base)
			switch {
			case child.Base == step.Name:
				next = child
			case child.Choice() && strings.HasPrefix(step.Name, child.Base):
				for _, t := range child.Types {
					if next == nil && strings.EqualFold(step.Name[len(child.Base):], t.Code) {
						next = child.As(t.Code)
					}
				}
			}
		}
		if next != nil && step.Slice != "" {
			chain = append(chain, next)
			names = nil
			for _, s := range next.Slices() {
				names = append(names, s.Slice)
			}
			next = next.SliceNamed(step.Slice)
		}
		if next == nil || next.Max == 0 {
			return nil, step, names
		}
		chain, e = append(chain, next), next
	}
	return chain, nil, nil
}

// elementPath turns an element id into the form of check.Node's Path:
// supportingInfo:drg.value[x]:valueString becomes
// supportingInfo[drg].valueString.
func elementPath(id string) string {
	steps := strings.Split(id, ".")
	for i, s := range steps {
		name, slice, sliced := strings.Cut(s, ":")
		base, choice := strings.CutSuffix(name, "[x]")
		switch {
		case choice && sliced:
			steps[i] = slice
		case choice:
			steps[i] = base
		case sliced:
			steps[i] = name + "[" + slice + "]"
		}
	}
	return strings.Join(steps, ".")
}

// anyWritten says that the path is written; of a choice, any alternative will
// do.
func anyWritten(written map[string]bool, path string, choice bool) bool {
	if written[path] {
		return true
	}
	if !choice && !strings.HasSuffix(path, "[x]") {
		return false
	}
	for w := range written {
		if rest, ok := strings.CutPrefix(w, path); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' {
			return true
		}
	}
	return false
}

// PlainPath is a path without slices and indexes.
func PlainPath(path string) string {
	var b strings.Builder
	depth := 0
	for _, r := range path {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}
