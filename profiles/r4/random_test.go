package r4

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grower builds trees of any shape by chance.
type grower struct {
	*rand.Rand
	r *Resource
}

// texts are values by form of primitive; each is written and read as it is.
var texts = map[JSONForm][]string{
	FormString: {"a", "plain text", "a \"quoted\" one", "back\\slash", "line\nend", "Grüße, 世界 𝄞", "\u2028", "\x01\x1f", "exactly8", "exactly sixteen."},
	FormNumber: {"0", "-1", "12.50", "1.000", "1e-7", "123456789012345678901234567890"},
	FormBool:   {"true", "false"},
}

// grow fills n with some of its elements, in order, and returns whether
// anything came to stand there.
func (g *grower) grow(n Node, depth int) bool {
	grown := false
	for _, e := range g.r.TypeOf(n).Elements() {
		if g.IntN(4) > 0 && e.Name() != "id" {
			continue
		}
		count := 1
		if e.Repeats() {
			count = 1 + g.IntN(3)
		}
		for range count {
			if g.node(n, e, depth) {
				grown = true
			}
		}
	}
	return grown
}

func (g *grower) node(parent Node, e *Element, depth int) bool {
	m := g.r.Mark()
	var n Node
	if e.Type() == nil {
		all := Resources()
		n = g.r.AddResource(parent, e, Lookup(all[g.IntN(len(all))]), Origin(g.Uint32()))
	} else {
		n = g.r.Add(parent, e, Origin(g.Uint32()))
	}
	grown := false
	if e.form != FormNone {
		all := texts[e.form]
		if grown = g.IntN(8) > 0; grown {
			g.r.SetString(n, all[g.IntN(len(all))])
		}
		if e.bare || g.IntN(8) > 0 {
			depth = 0
		}
	}
	if depth > 0 && g.grow(n, depth-1) {
		grown = true
	}
	// Empty nodes are left out anyway; most of them are taken back here.
	if !grown && g.IntN(4) > 0 {
		g.r.Rollback(m)
	}
	return grown
}

// TestRandomTrees builds trees of all resource types by chance, writes, reads
// and copies them: nothing changes on the way.
func TestRandomTrees(t *testing.T) {
	t.Parallel()
	var r, read, copied Resource
	var p Parser
	g := &grower{rand.New(rand.NewPCG(2, 26)), &r}
	for i := range 600 {
		names := Resources()
		r.Start(Lookup(names[i%len(names)]), 1)
		g.grow(Root, 3)
		checkLinks(t, &r)
		out := r.AppendJSON(nil)
		if problems := p.Parse(out, &read); problems != nil {
			t.Fatalf("tree %d: %v\n%s", i, problems, out)
		}
		checkLinks(t, &read)
		if got := read.AppendJSON(nil); !bytes.Equal(got, out) {
			t.Fatalf("tree %d: written\n%s\nread\n%s", i, out, got)
		}

		copied.Start(Lookup("Bundle"), 0)
		for k, from := range []Node{Root, r.First(Root)} {
			if from == None {
				continue
			}
			entry := copied.Add(Root, elem(t, "Bundle.entry"), 0)
			n := copied.Graft(entry, elem(t, "Bundle.entry.resource"), &r, from, 5)
			checkLinks(t, &copied)
			if diff := cmp.Diff(string(r.AppendNodeJSON(nil, from)), string(copied.AppendNodeJSON(nil, n))); diff != "" {
				t.Fatalf("tree %d, copy %d:\n%s", i, k, diff)
			}
		}

		// A mark set, grown over and rolled back leaves no trace.
		before := r.Len()
		m := r.Mark()
		for range 3 {
			g.grow(Node(g.IntN(before)), 2)
		}
		r.Rollback(m)
		checkLinks(t, &r)
		if got := r.AppendJSON(nil); r.Len() != before || !bytes.Equal(got, out) {
			t.Fatalf("tree %d: after a rollback\n%s\nwant\n%s", i, got, out)
		}
	}
}

// TestMutatedExamples breaks published examples by chance, byte by byte and
// piece by piece, and holds the parser to what FuzzParse asks.
func TestMutatedExamples(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(8, 259))
	pieces := [][]byte{[]byte(`null`), []byte(`[]`), []byte(`{}`), []byte(`""`), []byte(`,`), []byte(`"resourceType":"Patient",`), []byte(`"_`), []byte(`\ud800`), []byte(`[`), []byte(`}`), []byte(`1e5`), {0}, {0xff}}
	all := examples(t)
	names := slices.Sorted(maps.Keys(all))
	for i := range 4000 {
		data := bytes.Clone(all[names[i%len(names)]])
		for range 1 + chance.IntN(4) {
			at := chance.IntN(len(data))
			switch chance.IntN(4) {
			case 0:
				data[at] = byte(chance.IntN(256))
			case 1:
				data = append(data[:at], data[min(len(data), at+1+chance.IntN(20)):]...)
			case 2:
				piece := pieces[chance.IntN(len(pieces))]
				data = append(data[:at], append(bytes.Clone(piece), data[at:]...)...)
			case 3:
				from := chance.IntN(len(data))
				to := min(len(data), from+chance.IntN(60))
				data = append(data[:at], append(bytes.Clone(data[from:to]), data[at:]...)...)
			}
			if len(data) == 0 {
				data = []byte{'{'}
			}
		}
		if err := checkParse(data); err != "" {
			t.Fatalf("case %s: %s\n%s", strconv.Itoa(i), err, data)
		}
	}
}
