package agreement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tally counts the leaves at one path.
type Tally struct{ Agreed, Differs, Missing, Extra int }

func (t *Tally) add(o Tally) {
	t.Agreed += o.Agreed
	t.Differs += o.Differs
	t.Missing += o.Missing
	t.Extra += o.Extra
}

// Compared is the number of expected leaves.
func (t Tally) Compared() int { return t.Agreed + t.Differs + t.Missing }

// place is where leaves are counted: the path without labels, and the labels.
type place struct{ path, labels string }

// Report is the outcome of a comparison.
type Report struct {
	rules    *Rules
	tallies  map[place]*Tally
	types    map[string]*typeCount
	skipped  map[Skip]int
	drafted  int
	lost     []string
	Total    Tally
	Ignored  int
	Excluded int
}

type typeCount struct {
	expected, paired, notThere, there int
	Tally
}

// Share is the part of the compared leaves that agree, from 0 to 1.
func (r *Report) Share() float64 {
	if r.Total.Compared() == 0 {
		return 0
	}
	return float64(r.Total.Agreed) / float64(r.Total.Compared())
}

// excludedMost is the share of leaves that rules may exclude.
const excludedMost = 0.10

// Compare holds ours against the expected resources. Neither is changed.
// Errors: an expected resource that two of ours fit, and rules that exclude
// more than a tenth of the leaves.
func Compare(rules *Rules, expected, ours []Resource) (*Report, error) {
	c := &comparison{
		rules:  rules,
		report: &Report{rules: rules, tallies: map[place]*Tally{}, types: map[string]*typeCount{}, skipped: map[Skip]int{}},
		keys:   map[string]Key{},
		ours:   index(ours),
		theirs: index(expected),
		paired: map[string]string{},
	}
	for _, k := range rules.Keys {
		c.keys[k.At] = k
	}
	for _, s := range rules.Ignore {
		c.skips = append(c.skips, skip{Skip: s, pattern: parsePath(s.At)})
	}
	for _, s := range rules.Exclude {
		c.skips = append(c.skips, skip{Skip: s, pattern: parsePath(s.At), ours: true})
	}
	if err := c.pair(expected, ours); err != nil {
		return nil, err
	}
	for _, e := range expected {
		if _, compared := rules.Pair[typeOf(e)]; compared {
			c.resource(e)
		}
	}
	if whole := c.report.Total.Compared() + c.report.Excluded; float64(c.report.Excluded) > excludedMost*float64(whole) {
		return c.report, fmt.Errorf("%s: %d of %d leaves are excluded, more than a tenth", rules.Dataset, c.report.Excluded, whole)
	}
	return c.report, nil
}

type comparison struct {
	rules        *Rules
	report       *Report
	keys         map[string]Key
	skips        []skip
	ours, theirs map[string]Resource // by Type/id and by fullUrl
	paired       map[string]string   // expected Type/id to ours
}

type skip struct {
	Skip
	pattern []segment
	ours    bool
}

func typeOf(r Resource) string { s, _ := r["resourceType"].(string); return s }

func name(r Resource) string { return fmt.Sprintf("%s/%v", typeOf(r), r["id"]) }

func index(all []Resource) map[string]Resource {
	out := make(map[string]Resource, len(all))
	for _, r := range all {
		out[name(r)] = r
		if url, ok := r["fullUrl"].(string); ok {
			out[url] = r
		}
	}
	return out
}

// pair finds ours of every expected resource.
func (c *comparison) pair(expected, ours []Resource) error {
	type entry struct{ kind, path, value string }
	byValue := map[entry][]string{}
	for _, o := range ours {
		for _, p := range c.ourPaths(typeOf(o)) {
			for _, v := range values(map[string]any(o), p) {
				at := entry{typeOf(o), p, v}
				byValue[at] = append(byValue[at], name(o))
			}
		}
	}
	for _, e := range expected {
		rule, ok := c.rules.Pair[typeOf(e)]
		if !ok {
			continue
		}
		found := c.fits(e, rule, func(path, value string) []string { return byValue[entry{typeOf(e), path, value}] })
		if len(found) > 1 {
			return fmt.Errorf("%s: an expected %s fits %d of ours; pair it by more", c.rules.Dataset, typeOf(e), len(found))
		}
		if len(found) == 1 {
			c.paired[identityOf(e)] = found[0]
		}
	}
	return nil
}

// fits lists those of ours that share a value with e at every path of the rule,
// of them the ones that share most.
func (c *comparison) fits(e Resource, rule Pairing, having func(path, value string) []string) []string {
	paths := c.ourPaths(typeOf(e))
	met := map[string]int{}    // paths
	shared := map[string]int{} // values
	for i, by := range rule.By {
		here := map[string]int{}
		for _, v := range values(map[string]any(e), by) {
			for _, o := range having(paths[i], v) {
				here[o]++
			}
		}
		for o, n := range here {
			met[o]++
			shared[o] += n
		}
	}
	most := 0
	var found []string
	for _, o := range slices.Sorted(maps.Keys(met)) {
		switch {
		case met[o] < len(rule.By) || shared[o] < most:
		case shared[o] > most:
			most, found = shared[o], []string{o}
		default:
			found = append(found, o)
		}
	}
	return found
}

func (c *comparison) ourPaths(kind string) []string {
	rule := c.rules.Pair[kind]
	if len(rule.Ours) > 0 {
		return rule.Ours
	}
	return rule.By
}

// identityOf tells expected resources apart, those without id too.
func identityOf(r Resource) string {
	if r["id"] != nil {
		return name(r)
	}
	if url, ok := r["fullUrl"].(string); ok {
		return url
	}
	return fmt.Sprintf("%s %p", typeOf(r), r)
}

// resource compares one expected resource with ours.
func (c *comparison) resource(e Resource) {
	kind := typeOf(e)
	count := c.report.types[kind]
	if count == nil {
		count = &typeCount{}
		c.report.types[kind] = count
	}
	found, paired := c.paired[identityOf(e)]
	if need, ok := c.rules.NotThere[kind]; ok && len(values(map[string]any(e), need)) == 0 && e[need] == nil {
		count.notThere++
		if paired {
			count.there++
		}
		return
	}
	count.expected++
	var ourLeaves []leaf
	if paired {
		count.paired++
		ourLeaves = c.leaves(c.ours[found], false)
	} else {
		c.report.lost = append(c.report.lost, kind)
	}
	theirLeaves := c.leaves(e, true)
	c.move(theirLeaves, ourLeaves)
	theirs := c.keep(theirLeaves, true)
	mine := c.keep(ourLeaves, false)

	type side struct{ theirs, mine []string }
	sides := map[string]*side{}
	at := map[string][]segment{}
	collect := func(all []leaf, put func(*side, string)) {
		for _, l := range all {
			id := identity(l.at)
			if sides[id] == nil {
				sides[id], at[id] = &side{}, l.at
			}
			put(sides[id], c.read(l))
		}
	}
	collect(theirs, func(s *side, text string) { s.theirs = append(s.theirs, text) })
	collect(mine, func(s *side, text string) { s.mine = append(s.mine, text) })
	for id, s := range sides {
		t := tally(s.theirs, s.mine)
		where := place{path: bare(at[id]), labels: labels(at[id])}
		if c.report.tallies[where] == nil {
			c.report.tallies[where] = &Tally{}
		}
		c.report.tallies[where].add(t)
		c.report.Total.add(t)
		count.add(t)
	}
}

// tally matches two bags of texts.
func tally(theirs, mine []string) Tally {
	left := map[string]int{}
	for _, m := range mine {
		left[m]++
	}
	var t Tally
	for _, e := range theirs {
		if left[e] > 0 {
			left[e]--
			t.Agreed++
		}
	}
	over, under := len(mine)-t.Agreed, len(theirs)-t.Agreed
	t.Differs = min(over, under)
	t.Missing, t.Extra = under-t.Differs, over-t.Differs
	return t
}

// leaves makes a resource ready and flattens it.
func (c *comparison) leaves(r Resource, expected bool) []leaf {
	w := &weaver{c: c, expected: expected, root: r, followed: map[string]bool{}}
	tree := w.weave(map[string]any(r), []segment{{name: typeOf(r)}}, 0).(map[string]any)
	delete(tree, "fullUrl")
	w.leftover(tree)
	c.link(tree, typeOf(r))
	f := &flattener{keys: c.keys, draft: c.rules.Draft != "", doubles: map[string]bool{}, doubled: map[string][]leaf{}}
	if expected {
		for _, d := range c.rules.Doubles {
			f.doubles[d.At] = true
		}
	}
	f.flatten(tree, []segment{{name: typeOf(r)}})
	for _, d := range c.rules.Doubles {
		// What is not compared at all is not excluded for being said twice.
		n := len(c.keep(f.doubled[d.At], false))
		c.report.skipped[d] += n
		c.report.Excluded += n
	}
	return f.out
}

// move takes expected leaves to where the rules say that we write them.
func (c *comparison) move(theirs, mine []leaf) {
	for _, m := range c.rules.Move {
		from, to := parsePath(m.From), parsePath(m.To)
		at := func(l leaf) bool { return len(from) == len(l.at) && matches(from, l.at) }
		if slices.ContainsFunc(mine, at) {
			continue
		}
		for i, l := range theirs {
			if at(l) {
				theirs[i].at = moved(l.at, to)
			}
		}
	}
}

// link replaces numbers that point to entries by what those entries are.
func (c *comparison) link(tree map[string]any, kind string) {
	for _, l := range c.rules.Links {
		at, ok := strings.CutPrefix(l.At, kind+".")
		if !ok {
			continue
		}
		number := l.Number
		if number == "" {
			number = "sequence"
		}
		told := map[string]string{}
		for _, e := range objects(tree[l.To]) {
			key, _ := joined(e, l.By)
			for _, n := range values(e, number) {
				told[n] = key
			}
		}
		replaceScalars(tree, strings.Split(at, "."), func(text string) string {
			if key, ok := told[text]; ok {
				return l.To + " " + key
			}
			return "nothing"
		})
	}
}

// replaceScalars rewrites the scalars at a path, in place.
func replaceScalars(v any, steps []string, with func(string) string) {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			replaceScalars(e, steps, with)
		}
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	if len(steps) > 1 {
		replaceScalars(m[steps[0]], steps[1:], with)
		return
	}
	if list, ok := m[steps[0]].([]any); ok {
		for i, e := range list {
			if text, ok := scalar(e); ok {
				list[i] = with(text)
			}
		}
	} else if text, ok := scalar(m[steps[0]]); ok {
		m[steps[0]] = with(text)
	}
}

// keep leaves out what the rules skip. Skips of the expected side are counted.
func (c *comparison) keep(all []leaf, count bool) []leaf {
	var out []leaf
next:
	for _, l := range all {
		for _, s := range c.skips {
			if !matches(s.pattern, l.at) {
				continue
			}
			if count {
				c.report.skipped[s.Skip]++
				if s.ours {
					c.report.Excluded++
				} else {
					c.report.Ignored++
				}
			}
			continue next
		}
		if c.rules.Draft != "" && versioned(l.at) {
			if count {
				c.report.drafted++
				c.report.Ignored++
			}
			continue
		}
		out = append(out, l)
	}
	return out
}

// versioned says whether a leaf names a code system or its version, a URL or a profile, which
// change between versions of the guides.
func versioned(at []segment) bool {
	last := at[len(at)-1].name
	above := ""
	if len(at) > 1 {
		above = at[len(at)-2].name
	}
	return last == "system" || last == "url" || last == "version" && above == "coding" || last == "profile" && above == "meta"
}

// read is the text of a leaf by the rules' readings.
func (c *comparison) read(l leaf) string {
	text := l.text
	for _, v := range c.rules.Values {
		if matches(parsePath(v.At), l.at) {
			text = readings[v.As](text)
		}
	}
	return text
}

// weaver copies a tree: references are replaced by what they lead to, and
// expected values are renamed.
type weaver struct {
	c        *comparison
	expected bool
	root     Resource
	followed map[string]bool // ids of contained resources
}

// leftover keeps the contained resources to which no reference leads, so that
// their leaves count.
func (w *weaver) leftover(tree map[string]any) {
	var rest []any
	for _, c := range objects(w.root["contained"]) {
		if id, _ := c["id"].(string); !w.followed[id] {
			rest = append(rest, w.weave(c, []segment{{name: typeOf(w.root)}, {name: "contained"}}, 1))
		}
	}
	if rest != nil {
		tree["contained"] = rest
	}
}

// inlineDepth ends circles of references.
const inlineDepth = 4

func (w *weaver) weave(v any, at []segment, depth int) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, child := range v {
			here := append(slices.Clone(at), segment{name: key})
			if key == "contained" && depth == 0 {
				continue
			}
			if text, ok := child.(string); ok && key == "reference" {
				w.follow(out, text, here, depth)
				continue
			}
			out[key] = w.weave(child, here, depth)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = w.weave(e, at, depth)
		}
		return out
	}
	text, ok := scalar(v)
	if !ok {
		return v
	}
	if w.expected {
		for _, r := range w.c.rules.Rename {
			if r.From == text && (r.At == "" || matches(parsePath(r.At), at)) {
				text, v = r.To, r.To
				break
			}
		}
	}
	// Keys are made of what is read.
	for _, r := range w.c.rules.Values {
		if matches(parsePath(r.At), at) {
			return readings[r.As](text)
		}
	}
	return v
}

// follow puts the target of a reference into its place, or the reference as
// ours is written.
func (w *weaver) follow(out map[string]any, ref string, at []segment, depth int) {
	target, inline := w.target(ref)
	if target != nil && inline && depth < inlineDepth {
		place := append(slices.Clone(at[:len(at)-1]), segment{name: "resource"})
		inner := w.weave(map[string]any(target), place, depth+1).(map[string]any)
		for _, own := range []string{"id", "fullUrl", "resourceType", "contained"} {
			delete(inner, own)
		}
		out["resource"] = inner
		return
	}
	if w.expected {
		ref = w.c.translate(ref, target)
	}
	out["reference"] = ref
}

func (w *weaver) target(ref string) (Resource, bool) {
	if local, ok := strings.CutPrefix(ref, "#"); ok {
		for _, c := range objects(w.root["contained"]) {
			if c["id"] == local {
				w.followed[local] = true
				return c, true
			}
		}
		return nil, false
	}
	all := w.c.ours
	if w.expected {
		all = w.c.theirs
	}
	found := all[ref]
	return found, found != nil && slices.Contains(w.c.rules.Inline, typeOf(found))
}

// translate writes an expected reference with our id: that of the paired
// resource, or of the one that has the expected id at the path of the rules.
func (c *comparison) translate(ref string, target Resource) string {
	if target != nil {
		if ours, ok := c.paired[identityOf(target)]; ok {
			return ours
		}
	}
	kind, id, ok := strings.Cut(ref, "/")
	if at := c.rules.Refs[kind]; ok && at != "" {
		for _, r := range c.ours {
			if typeOf(r) == kind && slices.Contains(values(map[string]any(r), at), id) {
				return name(r)
			}
		}
	}
	return ref
}
