package fhirpath

import (
	"hash/maphash"

	"remit/profiles/r4"
)

// bag finds repetitions among items. A few are compared one by one; when they
// become many, those with another hash need not be.
type bag struct {
	seed   maphash.Seed
	byHash map[uint64][]int
}

// few is how many items are compared one by one.
const few = 32

// add says whether the item at index i of m's stack is new among those from
// from to i, and if so remembers it.
func (b *bag) add(m *machine, from, i int) bool {
	if b.byHash == nil {
		for j := from; j < i; j++ {
			if same(&m.stack[j], &m.stack[i]) {
				return false
			}
		}
		if i-from < few {
			return true
		}
		b.seed = maphash.MakeSeed()
		b.byHash = make(map[uint64][]int, 4*few)
		for j := from; j < i; j++ {
			h := b.hash(&m.stack[j])
			b.byHash[h] = append(b.byHash[h], j)
		}
	}
	h := b.hash(&m.stack[i])
	for _, j := range b.byHash[h] {
		if same(&m.stack[j], &m.stack[i]) {
			return false
		}
	}
	b.byHash[h] = append(b.byHash[h], i)
	return true
}

func same(a, b *Value) bool { return equal(a, b) == isTrue }

// hash is equal for equal items. What may be written in several ways counts
// only by its kind.
func (b *bag) hash(v *Value) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	if v.kind == KindNode {
		t := v.res.TypeOf(v.node())
		if t != nil && t.Kind() != r4.KindPrimitive && !isQuantity(t) {
			hashTree(&h, v.res, v.node())
			return h.Sum64()
		}
	}
	if s, ok := v.plain(); ok {
		_, _ = h.WriteString(s)
		return h.Sum64()
	}
	if s, ok := v.system(); ok && s.isNumber() {
		if n, whole := fits(s.decimal()); whole {
			return uint64(n)
		}
	}
	return 1 << 63
}

// hashTree takes in the shape of a subtree and its strings.
func hashTree(h *maphash.Hash, r *r4.Resource, n r4.Node) {
	for c := r.First(n); c != r4.None; c = r.Next(c) {
		i := r.ElementOf(c).Index()
		_ = h.WriteByte(byte(i)) // never fails
		child := NodeOf(r, c)
		if s, ok := child.plain(); ok {
			_, _ = h.WriteString(s)
		}
		hashTree(h, r, c)
	}
	_ = h.WriteByte(0xff)
}
