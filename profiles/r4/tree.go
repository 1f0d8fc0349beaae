package r4

import (
	"slices"
	"strconv"
)

// Node is a place in a Resource's arena. It is good until the next Start, or
// until a Rollback to before it was added.
type Node int32

// Root is the resource itself; None stands for no node.
const (
	Root Node = 0
	None Node = -1
)

// Origin is an opaque mark of who wrote a node: for a mapped resource the
// mapping's line. 0 is unknown.
type Origin uint32

// node holds no pointer, so that the collector never looks into an arena.
type node struct {
	elem   uint16 // id of the Element; 0 for the root
	typ    uint16 // id of the Type
	parent Node
	first  Node
	next   Node
	prev   Node // of the first child: the last child
	origin Origin
	off    uint32 // value: text[off:off+size]; size 0 is no value
	size   uint32
}

// Resource is one FHIR resource as a tree in a reusable arena: nodes in one
// slice, values in one buffer. Start makes it ready and keeps the memory of
// what was there before, so that a reused Resource allocates nothing. The root
// may also be a datatype, for templates that are grafted into resources.
//
// A Resource belongs to one goroutine at a time. Reading methods may be called
// by several while none writes. A node must belong to the Resource and an
// element to the type of its parent; this is not checked.
type Resource struct {
	nodes []node
	text  []byte
	sort  []uint64 // scratch of Sort
	kids  []Node
}

// Start forgets everything and begins a resource of type t with node Root. A
// nil t leaves it without a type: that is what a fatal parse leaves behind.
func (r *Resource) Start(t *Type, o Origin) {
	root := node{parent: None, first: None, next: None, prev: None, origin: o}
	if t != nil {
		root.typ = t.id
	}
	r.nodes = append(r.nodes[:0], root)
	r.text = r.text[:0]
}

// Add appends a node of element e as the last child of parent. Children must
// come in non-decreasing e.Index, repetitions side by side; who adds them in
// another order calls Sort afterwards. For an element that holds any resource
// use AddResource.
func (r *Resource) Add(parent Node, e *Element, o Origin) Node {
	var typ uint16
	if e.typ != nil {
		typ = e.typ.id
	}
	return r.add(parent, e.id, typ, o)
}

// AddResource appends a resource of type t below an element that holds any
// resource: contained, Bundle.entry.resource.
func (r *Resource) AddResource(parent Node, e *Element, t *Type, o Origin) Node {
	return r.add(parent, e.id, t.id, o)
}

func (r *Resource) add(parent Node, elem, typ uint16, o Origin) Node {
	at := len(r.nodes)
	if at == cap(r.nodes) {
		r.grow()
	}
	r.nodes = r.nodes[:at+1]
	n := Node(at)
	// Field by field: a literal would be put together elsewhere and copied.
	c := &r.nodes[at]
	c.elem = elem
	c.typ = typ
	c.parent = parent
	c.first = None
	c.next = None
	c.origin = o
	c.size = 0
	p := &r.nodes[parent]
	if p.first == None {
		p.first = n
		c.prev = n
		return n
	}
	f := &r.nodes[p.first]
	r.nodes[f.prev].next = n
	c.prev = f.prev
	f.prev = n
	return n
}

// grow doubles the arena, the room of its values with that of its nodes: a roster
// of many thousand members takes megabytes, and the lesser steps of append would
// leave several times that behind as garbage.
func (r *Resource) grow() {
	r.nodes = slices.Grow(r.nodes, max(1, len(r.nodes)))
	r.text = slices.Grow(r.text, len(r.text))
}

// link makes n, which has no siblings, the last child of parent.
func (r *Resource) link(parent, n Node) {
	p := &r.nodes[parent]
	c := &r.nodes[n]
	c.next = None
	if p.first == None {
		p.first = n
		c.prev = n
		return
	}
	f := &r.nodes[p.first]
	r.nodes[f.prev].next = n
	c.prev = f.prev
	f.prev = n
}

// SetValue sets a primitive's value: unescaped UTF-8 text, a number as it is
// to be written, true or false. The text is copied. Empty text takes the value
// away, for FHIR knows no empty value (R4, 2.24.0 "Data Types").
func (r *Resource) SetValue(n Node, text []byte) {
	nd := &r.nodes[n]
	nd.off = uint32(len(r.text))
	nd.size = uint32(len(text))
	r.text = append(r.text, text...)
}

// SetString is SetValue for a string.
func (r *Resource) SetString(n Node, s string) {
	nd := &r.nodes[n]
	nd.off = uint32(len(r.text))
	nd.size = uint32(len(s))
	r.text = append(r.text, s...)
}

// Graft copies the subtree n of src as the last child of parent under element
// e, which must have n's type, or any. Nodes get origin o where their own is 0.
// The source stays as it is; it may not be r itself. Grafting a whole tree (n
// is Root) costs two block copies.
func (r *Resource) Graft(parent Node, e *Element, src *Resource, n Node, o Origin) Node {
	top := Node(len(r.nodes))
	if n != Root {
		return r.copyTree(parent, e.id, src, n, o)
	}
	shift := uint32(len(r.text))
	r.text = append(r.text, src.text...)
	r.nodes = append(r.nodes, src.nodes...)
	added := r.nodes[top:]
	for i := range added {
		c := &added[i]
		// None stays None: it is -1, and all else moves up by top.
		c.parent = move(c.parent, top)
		c.first = move(c.first, top)
		c.next = move(c.next, top)
		c.prev = move(c.prev, top)
		c.off += shift
		if c.origin == 0 {
			c.origin = o
		}
	}
	added[0].elem = e.id
	added[0].parent = parent
	r.link(parent, top)
	return top
}

func move(n, by Node) Node {
	if n == None {
		return None
	}
	return n + by
}

func (r *Resource) copyTree(parent Node, elem uint16, src *Resource, n Node, o Origin) Node {
	from := src.nodes[n]
	own := from.origin
	if own == 0 {
		own = o
	}
	at := r.add(parent, elem, from.typ, own)
	if from.size > 0 {
		r.SetValue(at, src.text[from.off:from.off+from.size])
	}
	for c := from.first; c != None; c = src.nodes[c].next {
		r.copyTree(at, src.nodes[c].elem, src, c, o)
	}
	return at
}

// Mark is a state of a Resource to which Rollback returns.
type Mark struct {
	nodes int
	text  int
}

// Mark remembers the present state.
func (r *Resource) Mark() Mark { return Mark{nodes: len(r.nodes), text: len(r.text)} }

// Rollback drops every node added since the mark, wherever it was added.
// Values set since then on older nodes must not be looked at any more, and a
// Remove or Sort of older nodes is not undone.
func (r *Resource) Rollback(m Mark) {
	for n := Node(len(r.nodes) - 1); n >= Node(m.nodes); n-- {
		if p := r.nodes[n].parent; p != None && p < Node(m.nodes) {
			r.unlink(n)
		}
	}
	r.nodes = r.nodes[:m.nodes]
	r.text = r.text[:m.text]
}

// Remove unlinks n, with all below it, from its parent. Its place in the arena
// is not given back before the next Start. The root cannot be removed.
func (r *Resource) Remove(n Node) {
	if r.nodes[n].parent != None {
		r.unlink(n)
	}
}

func (r *Resource) unlink(n Node) {
	c := &r.nodes[n]
	p := &r.nodes[c.parent]
	if p.first == n {
		p.first = c.next
		if c.next != None {
			r.nodes[c.next].prev = c.prev
		}
	} else {
		r.nodes[c.prev].next = c.next
		if c.next != None {
			r.nodes[c.next].prev = c.prev
		} else {
			r.nodes[p.first].prev = c.prev
		}
	}
	c.parent, c.next, c.prev = None, None, None
}

// Sort brings the children of parent into the order of their Element.Index;
// repetitions keep their order. Children already in order cost one walk.
func (r *Resource) Sort(parent Node) {
	first := r.nodes[parent].first
	sorted := true
	for c, prev := first, -1; c != None; c = r.nodes[c].next {
		i := r.ElementOf(c).index
		if i < prev {
			sorted = false
			break
		}
		prev = i
	}
	if sorted {
		return
	}
	r.sort, r.kids = r.sort[:0], r.kids[:0]
	for c := first; c != None; c = r.nodes[c].next {
		r.sort = append(r.sort, uint64(r.ElementOf(c).index)<<32|uint64(len(r.kids)))
		r.kids = append(r.kids, c)
	}
	slices.Sort(r.sort)
	r.nodes[parent].first = None
	for _, k := range r.sort {
		r.link(parent, r.kids[uint32(k)])
	}
}

// Len is the number of nodes in the arena, removed ones included.
func (r *Resource) Len() int { return len(r.nodes) }

// Type is the type of the root; nil before the first Start and after a parse
// that found no resource.
func (r *Resource) Type() *Type {
	if len(r.nodes) == 0 {
		return nil
	}
	return r.TypeOf(Root)
}

// TypeOf is n's type; for a resource below contained, the resource's own.
func (r *Resource) TypeOf(n Node) *Type { return shapes.types[r.nodes[n].typ] }

// ElementOf is the element that n is; nil for Root.
func (r *Resource) ElementOf(n Node) *Element { return shapes.elements[r.nodes[n].elem] }

// Parent is the node above n; None for Root and for a removed node.
func (r *Resource) Parent(n Node) Node { return r.nodes[n].parent }

// First is n's first child, or None.
func (r *Resource) First(n Node) Node { return r.nodes[n].first }

// Last is n's last child, or None.
func (r *Resource) Last(n Node) Node {
	f := r.nodes[n].first
	if f == None {
		return None
	}
	return r.nodes[f].prev
}

// Next is the sibling after n, or None.
func (r *Resource) Next(n Node) Node { return r.nodes[n].next }

// Find is n's first child that is e, or None.
func (r *Resource) Find(n Node, e *Element) Node {
	for c := r.nodes[n].first; c != None; c = r.nodes[c].next {
		if r.nodes[c].elem == e.id {
			return c
		}
	}
	return None
}

// NextSame is the next sibling of n's own element, or None. Repetitions stand
// side by side, so it never looks further than one node.
func (r *Resource) NextSame(n Node) Node {
	next := r.nodes[n].next
	if next != None && r.nodes[next].elem == r.nodes[n].elem {
		return next
	}
	return None
}

// Value is the primitive's value as text, nil if there is none. The slice is
// borrowed until the next change of r.
func (r *Resource) Value(n Node) []byte {
	nd := &r.nodes[n]
	if nd.size == 0 {
		return nil
	}
	return r.text[nd.off : nd.off+nd.size : nd.off+nd.size]
}

// HasValue says that n has a value.
func (r *Resource) HasValue(n Node) bool { return r.nodes[n].size > 0 }

// Origin is who wrote n.
func (r *Resource) Origin(n Node) Origin { return r.nodes[n].origin }

// SetOrigin says who wrote n.
func (r *Resource) SetOrigin(n Node, o Origin) { r.nodes[n].origin = o }

// ID is the value of the root's id, nil if it has none. The slice is borrowed
// until the next change of r.
func (r *Resource) ID() []byte {
	t := r.Type()
	if t == nil || t.kind != KindResource {
		return nil
	}
	if c := r.Find(Root, t.Element("id")); c != None {
		return r.Value(c)
	}
	return nil
}

// Path is AppendPath as a string.
func (r *Resource) Path(n Node) string { return string(r.AppendPath(nil, n)) }

// AppendPath appends the path of n from the root, with an index on every
// repeating element: "ExplanationOfBenefit.item[2].adjudication[0].amount". A
// choice bears its JSON name ("valueQuantity").
func (r *Resource) AppendPath(dst []byte, n Node) []byte {
	e := r.ElementOf(n)
	if e == nil || r.nodes[n].parent == None {
		if t := r.TypeOf(n); t != nil {
			return append(dst, t.name...)
		}
		return dst
	}
	dst = r.AppendPath(dst, r.nodes[n].parent)
	dst = append(dst, '.')
	dst = append(dst, e.name...)
	if e.repeats {
		i := int64(0)
		for c := r.nodes[r.nodes[n].parent].first; c != n; c = r.nodes[c].next {
			if r.nodes[c].elem == e.id {
				i++
			}
		}
		dst = append(dst, '[')
		dst = strconv.AppendInt(dst, i, 10)
		dst = append(dst, ']')
	}
	return dst
}
