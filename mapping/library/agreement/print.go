package agreement

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Print writes the table: the sums, what is left out and why, and one line for
// each path; below it, where not all agree, one for each label. Values never
// appear. The text is the same in every run.
func (r *Report) Print(out io.Writer) error {
	w := bufio.NewWriter(out)
	t := r.Total
	fmt.Fprintf(w, "%s\n%s\n\n", r.rules.Dataset, r.rules.Source)
	if r.rules.Draft != "" {
		fmt.Fprintf(w, "The publisher follows %s: values are compared, not code systems, URLs and profiles.\n\n", r.rules.Draft)
	}
	fmt.Fprintf(w, "agreed %d of %d leaves: %.2f%%; differs %d, missing %d; extra %d\n", t.Agreed, t.Compared(), 100*r.Share(), t.Differs, t.Missing, t.Extra)
	whole := t.Compared() + r.Excluded
	fmt.Fprintf(w, "excluded by us %d of %d (%.2f%%), ignored by the publisher's rule %d\n\n", r.Excluded, whole, 100*float64(r.Excluded)/float64(max(whole, 1)), r.Ignored)

	fmt.Fprintf(w, "%-24s %9s %7s %9s %8s %8s %8s %8s\n", "type", "resources", "paired", "agreed", "differs", "missing", "extra", "share")
	for _, name := range slices.Sorted(maps.Keys(r.types)) {
		c := r.types[name]
		share := 0.0
		if c.Compared() > 0 {
			share = 100 * float64(c.Agreed) / float64(c.Compared())
		}
		fmt.Fprintf(w, "%-24s %9d %7d %9d %8d %8d %8d %7.2f%%\n", name, c.expected, c.paired, c.Agreed, c.Differs, c.Missing, c.Extra, share)
	}
	for _, name := range slices.Sorted(maps.Keys(r.types)) {
		if c := r.types[name]; c.notThere > 0 {
			fmt.Fprintf(w, "%s: %d expected not to be there, %d of them are\n", name, c.notThere, c.there)
		}
	}
	r.printSkips(w, "ignored", r.rules.Ignore)
	if r.drafted > 0 {
		fmt.Fprintf(w, "%8d  code systems, URLs and profiles: another version of the guides\n", r.drafted)
	}
	r.printSkips(w, "excluded", r.rules.Exclude)
	r.printSkips(w, "excluded as said twice", r.rules.Doubles)
	r.printPaths(w)
	return w.Flush()
}

func (r *Report) printSkips(w io.Writer, title string, skips []Skip) {
	if len(skips) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, s := range skips {
		fmt.Fprintf(w, "%8d  %s: %s\n", r.skipped[s], s.At, s.Reason)
	}
}

func (r *Report) printPaths(w io.Writer) {
	byPath := map[string]*Tally{}
	byLabel := map[string][]place{}
	for p, t := range r.tallies {
		if byPath[p.path] == nil {
			byPath[p.path] = &Tally{}
		}
		byPath[p.path].add(*t)
		if p.labels != "" && (t.Differs > 0 || t.Missing > 0 || t.Extra > 0) {
			byLabel[p.path] = append(byLabel[p.path], p)
		}
	}
	fmt.Fprintf(w, "\n%8s %8s %8s %8s  path\n", "agreed", "differs", "missing", "extra")
	line := func(t *Tally, text string) {
		fmt.Fprintf(w, "%8d %8d %8d %8d  %s\n", t.Agreed, t.Differs, t.Missing, t.Extra, text)
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		line(byPath[path], path)
		slices.SortFunc(byLabel[path], func(a, b place) int { return cmp.Compare(a.labels, b.labels) })
		for _, p := range byLabel[path] {
			line(r.tallies[p], "  "+p.labels)
		}
	}
}
