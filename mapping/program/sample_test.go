package program

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/sql/source"
)

// TestMemberList asks that the members kept of a list are few, stand evenly, and
// begin with the first.
func TestMemberList(t *testing.T) {
	for _, n := range []int{0, 1, keptMembers, keptMembers + 1, 2 * keptMembers, 2*keptMembers + 1, 5*keptMembers + 3} {
		l := &memberList{step: 1}
		for i := range n {
			l.add(fmt.Appendf(nil, "%07d", i))
		}
		if l.n != n || len(l.kept) > keptMembers || n > keptMembers && len(l.kept) < keptMembers/2 {
			t.Errorf("%d members: %d kept of %d", n, len(l.kept), l.n)
		}
		for i, m := range l.kept {
			if want := fmt.Sprintf("%07d", i*l.step); m != want {
				t.Fatalf("%d members: %s is kept, not %s", n, m, want)
			}
		}
		if n > 0 && (len(l.kept)-1)*l.step+l.step < n {
			t.Errorf("%d members: the list ends at %s", n, l.kept[len(l.kept)-1])
		}
	}
}

// TestDensity asks what samples tell, and that too little of it, or what differs
// too much, tells nothing.
func TestDensity(t *testing.T) {
	counts := func(n int, of func(i int) float64) (out []float64) {
		for i := range n {
			out = append(out, of(i))
		}
		return out
	}
	even := func(int) float64 { return 10 }
	cases := map[string]struct {
		counts        []float64
		members, size float64
		want          []float64 // nil where the rows must be listed
	}{
		"all alike":       {counts(128, even), 10_000, 1000, []float64{10, 10, 10, 10}},
		"regions differ":  {counts(64, func(i int) float64 { return float64(i / 32 * 20) }), 10_000, 1000, []float64{10.0 / thinnest, 20}},
		"a part is small": {counts(64, func(i int) float64 { return float64(i % 2 * 20) }), 10_000, 20, nil},
		"few rows":        {counts(99, func(int) float64 { return 1 }), 100_000, 1000, nil},
		"few parts":       {counts(128, even), 10_000, 50_001, nil},
		"few own it all":  {counts(1024, func(i int) float64 { return float64(i % 100 / 99 * 1000) }), 1e6, 20_000, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := densityOf(c.counts, c.members, c.size)
			if d == nil || c.want == nil {
				if d != nil || c.want != nil {
					t.Fatalf("%v, want %v", d, c.want)
				}
				return
			}
			if diff := cmp.Diff(c.want, d.regions); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCutter asks that cuts rise whatever order the patients come in.
func TestCutter(t *testing.T) {
	for kind, patients := range map[source.Kind][]string{
		source.KindText: {"B", "a", "a", "A", "C", "b", "é", "Z", "ü"}, source.KindInteger: {"-10", "-9", "9", "10", "-5", "9", "100"},
	} {
		c := &cutter{size: 1, kind: kind}
		for _, p := range patients {
			c.row([]byte(p))
		}
		if len(c.cuts) < 3 || !slices.IsSortedFunc(c.cuts, func(a, b string) int { return compareKey([]byte(a), []byte(b), kind) }) {
			t.Errorf("cuts of %v: %q", kind, c.cuts)
		}
	}
}
