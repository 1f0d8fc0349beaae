package program

import (
	"slices"
	"time"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/plan"
	"remit/profiles/r4"
)

// compiled is the code of one pass. It is immutable; all that changes while it
// runs lives in a runner.
type compiled struct {
	plan     *plan.Pass
	mappings []*unit
	// absent and assumed name the counters of the report.
	absent, assumed []string
	maps            []*mapTable
	memos           int
	repeats         int
	systems         map[string]namedSystem
	idKey           []byte

	codeType                 *r4.Type
	codingSystem, codingCode *r4.Element
	yes, no                  []byte
}

// unit is one mapping of a pass.
type unit struct {
	mapping  *check.Mapping
	typ      string
	view     string
	pos      diag.Pos
	where    plan.Slot
	id       key
	root     op
	tracked  bool
	roster   bool
	reorder  bool // a link looks forward, so that the root is sorted at the end
	rowLimit int
}

// op writes one element. The tree of ops is the mapping with every name
// replaced by an index.
type op struct {
	kind    check.Kind
	data    bool
	named   bool
	raw     bool
	rival   bool // another type of the same choice is written beside it
	element *r4.Element
	typ     *r4.Type
	origin  r4.Origin
	path    string

	each   int // stream, or -1
	where  plan.Slot
	when   plan.Slot
	key    []part
	repeat int
	number *r4.Element // of a repetition: sequence or number, by which links know it
	resets []int
	slice  string

	template *r4.Resource
	value    value
	coerce   check.Coerce
	money    []check.MoneyFormat
	zone     *time.Location
	dates    []*check.DateFormat
	codes    map[string]*r4.Resource

	system     []byte
	form       check.Form
	systemOf   value
	hasSystem  bool
	code       []byte
	children   []op
	ref        key
	prefix     []byte
	link       int
	linkSlice  string
	assumed    *op
	absent     *op
	assumedNum int
	absentNum  int
}

// value yields text: a column, or a map applied to some.
type value struct {
	slot plan.Slot
	of   []plan.Slot
	m    *mapTable
	get  int
}

func (v *value) none() bool { return v.slot.None() && v.m == nil }

// namedSystem is a code system with its canonical form.
type namedSystem struct {
	url  []byte
	form check.Form
}

type mapTable struct {
	index    int
	name     string
	targets  map[string][][]byte
	fallback [][]byte // by value column
	hasElse  bool
	missing  check.Missing
}

type part struct {
	literal []byte
	value   value // none for a literal
}

type key struct {
	parts []part
	plain bool
	memo  int
}

type compiler struct {
	out   *compiled
	pass  *plan.Pass
	maps  map[*check.Map]*mapTable
	count struct{ absent, assumed map[string]int }
	base  int // first repeat table of the mapping at hand
}

var none = plan.Slot{Stream: -1}

// rosterRows and childRows bound the rows of one child source for one resource
// (rule 34); a roster is as large as its membership.
const (
	childRows  = 10_000
	rosterRows = 1_000_000
)

func compilePass(set *check.Set, pass *plan.Pass) *compiled {
	c := &compiler{
		out: &compiled{
			plan: pass, systems: map[string]namedSystem{}, idKey: set.IDKey, codeType: r4.Lookup("code"),
			codingSystem: r4.Lookup("Coding").Element("system"), codingCode: r4.Lookup("Coding").Element("code"),
			yes: []byte("true"), no: []byte("false"),
		},
		pass: pass, maps: map[*check.Map]*mapTable{},
	}
	for name, s := range set.Systems {
		n := namedSystem{[]byte(s.URL), s.Form}
		// A URL that has a name has that name's form, too.
		c.out.systems[name], c.out.systems[s.URL] = n, n
	}
	c.count.absent, c.count.assumed = map[string]int{}, map[string]int{}
	for i, m := range pass.Mappings {
		u := &unit{mapping: m, typ: m.Type.Name(), view: m.View, pos: m.Pos, where: pass.Where[i], tracked: m.From.Updated != nil, rowLimit: childRows}
		if reachOf(m) == Roster {
			u.roster, u.rowLimit = true, rosterRows
		}
		c.base = c.out.repeats
		u.id = c.key(m.ID)
		u.root = c.op(m.Root)
		u.reorder = c.forward(&u.root)
		c.out.repeats += m.Repeats
		c.out.mappings = append(c.out.mappings, u)
	}
	return c.out
}

func (c *compiler) slot(e *check.Expr) plan.Slot {
	if e == nil {
		return none
	}
	return c.pass.Slots[e]
}

func (c *compiler) value(v *check.Value) value {
	if v == nil {
		return value{slot: none}
	}
	out := value{slot: c.slot(v.Expr), get: v.Get}
	if v.Map != nil {
		out.m = c.table(v.Map)
		for _, e := range v.Of {
			out.of = append(out.of, c.slot(e))
		}
	}
	return out
}

func (c *compiler) table(m *check.Map) *mapTable {
	if t := c.maps[m]; t != nil {
		return t
	}
	t := &mapTable{index: len(c.out.maps), name: m.Name, targets: make(map[string][][]byte, len(m.Entries)), missing: m.Missing}
	for k, values := range m.Entries {
		row := make([][]byte, len(values))
		for i, v := range values {
			row[i] = []byte(v)
		}
		t.targets[k] = row
	}
	for i := range m.Values {
		if target, ok := m.Else(i); ok {
			t.fallback, t.hasElse = append(t.fallback, []byte(target)), true
		}
	}
	c.maps[m] = t
	c.out.maps = append(c.out.maps, t)
	return t
}

func (c *compiler) parts(list []check.Part) []part {
	var out []part
	for _, p := range list {
		if p.Value == nil {
			out = append(out, part{literal: []byte(p.Literal), value: value{slot: none}})
			continue
		}
		out = append(out, part{value: c.value(p.Value)})
	}
	return out
}

func (c *compiler) key(k *check.Key) key {
	if k == nil {
		return key{}
	}
	out := key{parts: c.parts(k.Parts), plain: k.Plain, memo: c.out.memos}
	c.out.memos++
	return out
}

func (c *compiler) repeat(i int) int {
	if i < 0 {
		return -1
	}
	return c.base + i
}

func counter(names *[]string, index map[string]int, path string) int {
	if i, ok := index[path]; ok {
		return i
	}
	i := len(*names)
	index[path] = i
	*names = append(*names, path)
	return i
}

func (c *compiler) op(n *check.Node) op {
	o := op{
		kind: n.Kind, data: n.Data, named: n.Named, raw: n.Raw,
		element: n.Element, typ: n.Type, origin: n.Origin, path: n.Path,
		each: -1, where: c.slot(n.EachWhere), when: c.slot(n.When), key: c.parts(n.Key), repeat: c.repeat(n.Repeat), slice: n.Slice,
		template: n.Template, value: c.value(n.Value), coerce: n.Coerce, money: n.Money, zone: n.Zone, dates: n.Dates, codes: n.Codes,
		systemOf: c.value(n.SystemOf), ref: c.key(n.RefKey), link: c.repeat(n.LinkRepeat), linkSlice: n.LinkSlice,
	}
	if n.Each != nil {
		o.each = c.pass.Stream(n.Each)
	}
	for _, r := range n.Resets {
		o.resets = append(o.resets, c.repeat(r))
	}
	if n.Kind == check.Coding {
		o.code, o.system = []byte(n.CodeText), []byte(n.SystemURL)
		o.hasSystem = n.SystemOf != nil
		if n.System != nil {
			o.form = n.System.Form
		}
		if n.Raw {
			o.form = check.FormPlain
		} else if n.SystemOf == nil && n.Value == nil {
			o.code = o.form.AppendCode(nil, o.code)
		}
	}
	if n.Kind == check.Reference {
		o.prefix = []byte(n.Target + "/")
	}
	for _, child := range n.Children {
		o.children = append(o.children, c.op(child))
	}
	if n.Kind == check.Group {
		rivals(o.children)
	}
	if o.repeat >= 0 {
		if o.number = n.Type.Element("sequence"); o.number == nil {
			o.number = n.Type.Element("number")
		}
	}
	if n.Assumed != nil && !n.NoAssumption {
		a := c.op(n.Assumed)
		o.assumed = &a
		o.assumedNum = counter(&c.out.assumed, c.count.assumed, n.Path)
	}
	if n.Absent != nil {
		a := c.op(n.Absent)
		o.absent = &a
		o.absentNum = counter(&c.out.absent, c.count.absent, n.Path)
	}
	c.fold(&o)
	return o
}

// fold turns a group of constants into one constant, so that it is copied at
// once.
func (c *compiler) fold(o *op) {
	if o.kind != check.Group || o.data || o.element == nil || len(o.children) == 0 || len(o.resets) > 0 {
		return
	}
	for i := range o.children {
		k := &o.children[i]
		if k.kind != check.Literal || len(k.children) > 0 || !k.bare() {
			return
		}
	}
	tree := new(r4.Resource)
	tree.Start(o.typ, o.origin)
	for i := range o.children {
		k := &o.children[i]
		tree.Graft(r4.Root, k.element, k.template, r4.Root, k.origin)
	}
	o.kind, o.template, o.children = check.Literal, tree, nil
}

// rivals marks the writers of a choice that is written as several types.
func rivals(children []op) {
	for i := range children {
		for j := range children {
			a, b := children[i].element, children[j].element
			if a != b && a.Choice() && a.Base() == b.Base() {
				children[i].rival = true
			}
		}
	}
}

// bare says that nothing stands around the content of an op.
func (o *op) bare() bool {
	return o.each < 0 && o.when.None() && o.repeat < 0 && o.assumed == nil && o.absent == nil
}

// forward moves root children that are looked up by links before those that
// look them up, and says whether that changed their order: the elements are
// sorted back at the end.
func (c *compiler) forward(root *op) bool {
	at := map[int][]int{} // repeat table -> indexes among root's children
	for i := range root.children {
		if r := root.children[i].repeat; r >= 0 {
			at[r] = append(at[r], i)
		}
	}
	var order []int
	done := make([]bool, len(root.children))
	var visit func(i int)
	var links func(o *op)
	links = func(o *op) {
		if o.kind == check.Link {
			for _, i := range at[o.link] {
				visit(i)
			}
		}
		for i := range o.children {
			links(&o.children[i])
		}
	}
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		links(&root.children[i])
		order = append(order, i)
	}
	for i := range root.children {
		visit(i)
	}
	if slices.IsSorted(order) {
		return false
	}
	children := make([]op, 0, len(order))
	for _, i := range order {
		children = append(children, root.children[i])
	}
	root.children = children
	return true
}
