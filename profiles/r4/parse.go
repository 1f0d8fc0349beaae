package r4

import (
	"bytes"
	"strconv"
)

// The limits of a Parser that sets none.
const (
	DefaultMaxDepth    = 64
	DefaultMaxBytes    = 128 << 20
	DefaultMaxProblems = 100
)

// Parser reads the JSON of one resource after another straight into arenas.
// The zero value is ready. It keeps its scratch memory, so that parsing into a
// reused Resource allocates nothing while there are no problems. A Parser
// belongs to one goroutine at a time.
type Parser struct {
	MaxDepth    int // objects within objects; 0 is DefaultMaxDepth
	MaxBytes    int // length of data; 0 is DefaultMaxBytes. The tree takes up to 16 times as much memory.
	MaxProblems int // after so many the rest is not looked at; 0 is DefaultMaxProblems

	scanner
	r        *Resource
	problems []Problem
	depth    int
	seen     []uint64 // per open object: two bits for each element, "name" and "_name"
	nulls    []gap    // nulls in arrays of primitives whose other half may be missing
}

// gap is a node that was made by a null.
type gap struct {
	node   Node
	offset int
}

// Problem is one structural fault of a resource's JSON: something that cannot
// stand in the tree of an R4 resource whatever the values are. It never holds
// a value.
type Problem struct {
	// Path is the place as by AppendPath, with JSON names and indexes; for an
	// unknown property the path of the property itself.
	Path string
	// Offset is the byte in the data at which the fault shows.
	Offset int
	// Code is one of the Code constants.
	Code string
	// Message is lower case without a full stop.
	Message string
}

// The codes of Problems.
const (
	CodeJSON            = "json"              // not JSON (RFC 8259); nothing behind it is read
	CodeNotAResource    = "not-a-resource"    // no object, no resourceType, or one R4 does not know
	CodeUnknownElement  = "unknown-element"   // a property the type does not have
	CodeDuplicateKey    = "duplicate-key"     // a property twice in an object
	CodeWrongJSONType   = "wrong-json-type"   // a string where an object belongs ...
	CodeArrayExpected   = "array-expected"    // a repeating element outside of an array
	CodeArrayUnexpected = "array-unexpected"  // an array for an element that does not repeat
	CodeArrayLength     = "array-length"      // "name" and "_name" of different length
	CodeNullUnexpected  = "null-unexpected"   // null that nothing stands beside
	CodeEmpty           = "empty"             // {}, [] or ""
	CodeInvalidUTF8     = "invalid-utf8"      // replaced by U+FFFD in the tree
	CodeLoneSurrogate   = "lone-surrogate"    // \ud800 without its other half; replaced by U+FFFD
	CodeNul             = "nul-character"     // U+0000 in a string
	CodeTooDeep         = "too-deep"          // beyond MaxDepth; the part is left out
	CodeTooLarge        = "too-large"         // beyond MaxBytes; not read
	CodeTooMany         = "too-many-problems" // reading was given up
)

// Parse reads one resource into r, with leading and trailing white space
// allowed, and returns all structural problems in the order they were met: nil
// when the tree says all that the JSON says. Children are brought into the
// specification's order. Values are not judged, see ValidPrimitive.
//
// On a fatal problem (not JSON, no resource, MaxBytes or MaxProblems passed) r is left
// without a type; after other problems it holds what could be understood.
//
// Source: R4, 2.6.2 "JSON Representation of Resources".
func (p *Parser) Parse(data []byte, r *Resource) []Problem {
	p.r = r
	p.problems = nil
	p.seen, p.nulls = p.seen[:0], p.nulls[:0]
	p.depth = 0
	p.reset(data)
	r.Start(nil, 0)
	if limit := or(p.MaxBytes, DefaultMaxBytes); len(data) > limit {
		p.report("", limit, CodeTooLarge, "longer than "+strconv.Itoa(limit)+" bytes")
		return p.done()
	}
	if !p.resource() {
		if p.fault != "" {
			p.report("", p.pos, CodeJSON, p.fault)
		}
		r.Start(nil, 0)
	}
	return p.done()
}

// done gives the problems away and lets go of what belongs to the caller.
func (p *Parser) done() []Problem {
	problems := p.problems
	p.problems, p.r = nil, nil
	p.reset(nil)
	return problems
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// report adds a problem and says whether to go on.
func (p *Parser) report(path string, offset int, code, message string) bool {
	limit := or(p.MaxProblems, DefaultMaxProblems)
	if len(p.problems) >= limit && code != CodeJSON {
		p.problems = append(p.problems, Problem{Offset: offset, Code: CodeTooMany, Message: "more than " + strconv.Itoa(limit) + " problems"})
		return false
	}
	p.problems = append(p.problems, Problem{Path: path, Offset: offset, Code: code, Message: message})
	return true
}

// at reports a problem of node n.
func (p *Parser) at(n Node, offset int, code, message string) bool {
	return p.report(p.r.Path(n), offset, code, message)
}

// atElement reports a problem of element e of node n that has no node.
func (p *Parser) atElement(n Node, e *Element, offset int, code, message string) bool {
	return p.report(p.r.Path(n)+"."+e.name, offset, code, message)
}

// resource reads the whole document. Like all methods that read, it returns
// false to give up: after a fault of the scanner or a reported fatal problem.
func (p *Parser) resource() bool {
	p.space()
	if p.peek() != '{' {
		start := p.pos
		if p.skip() {
			p.report("", start, CodeNotAResource, "expected an object, found "+p.kindAt(start))
		}
		return false
	}
	t, found, ok := p.typeAhead()
	if !ok {
		return false
	}
	if t == nil {
		p.report("", p.pos, CodeNotAResource, found)
		return false
	}
	p.r.Start(t, 0)
	if !p.object(Root, t) {
		return false
	}
	p.space()
	if p.pos < len(p.data) {
		return p.syntax("unexpected text behind the resource")
	}
	return true
}

// typeAhead finds the resourceType of the object at p.pos, wherever in it the
// property stands, and leaves p.pos where it was. Without a type it says why.
func (p *Parser) typeAhead() (t *Type, why string, ok bool) {
	start := p.pos
	why = "no resourceType"
	p.pos++
	for p.space(); p.peek() != '}'; {
		key, more := p.key()
		if !more {
			return nil, "", false
		}
		if string(key) == "resourceType" {
			if p.peek() != '"' {
				why = "resourceType is not a string"
				break
			}
			name, _, more := p.text(p.scratch[:0])
			if !more {
				return nil, "", false
			}
			p.scratch = name
			t = lookupBytes(name)
			if t == nil || t.kind != KindResource {
				why = "resourceType is not a resource type of R4"
				if near := nearest(string(name), Resources()); near != "" {
					why += `; did you mean "` + near + `"?`
				}
				t = nil
			}
			break
		}
		if !p.skip() {
			return nil, "", false
		}
		p.space()
		if p.peek() == ',' {
			p.pos++
			p.space()
			if p.peek() == '}' {
				return nil, "", p.syntax("expected a property")
			}
		} else if p.peek() != '}' {
			return nil, "", p.syntax("expected a comma or the end of the object")
		}
	}
	p.pos = start
	return t, why, true
}

// object reads the members of n, from the opening brace at p.pos on.
func (p *Parser) object(n Node, t *Type) bool {
	open := p.pos
	if limit := or(p.MaxDepth, DefaultMaxDepth); p.depth >= limit {
		return p.at(n, open, CodeTooDeep, "more than "+strconv.Itoa(limit)+" objects within each other") && p.skip()
	}
	p.depth++
	t.once.Do(t.load)
	seen, nulls := len(p.seen), len(p.nulls)
	for range (2*len(t.elements) + 2 + 63) / 64 {
		p.seen = append(p.seen, 0)
	}
	highest := -1
	sorted := true
	p.pos++
	p.space()
	if p.peek() == '}' && !p.at(n, open, CodeEmpty, "empty object") {
		return false
	}
	for p.peek() != '}' {
		at := p.pos
		key, ok := p.key()
		if !ok {
			return false
		}
		e, under := t.byName[string(key)], false
		if e == nil && len(key) > 1 && key[0] == '_' {
			under = true
			if e = t.byName[string(key[1:])]; e != nil && (e.form == FormNone || e.bare) {
				e = nil
			}
		}
		bit := 0 // 0 and 1 belong to resourceType
		if e != nil {
			bit = 2*e.index + 2
			if under {
				bit++
			}
		} else if t.kind != KindResource || string(key) != "resourceType" {
			if !p.unknown(n, t, key, at) || !p.skip() || !p.next() {
				return false
			}
			continue
		}
		word, mask := &p.seen[seen+bit/64], uint64(1)<<(bit%64)
		twice := *word&mask != 0
		*word |= mask
		if twice && !p.twice(n, e, under, at) {
			return false
		}
		if e == nil || twice {
			if !p.skip() || !p.next() {
				return false
			}
			continue
		}
		if e.index < highest {
			sorted = false
		} else {
			highest = e.index
		}
		switch {
		case under:
			ok = p.below(n, e, p.has(seen, bit-1))
		case e.form != FormNone:
			ok = p.primitive(n, e, p.has(seen, bit+1))
		default:
			ok = p.complex(n, e)
		}
		if !ok || !p.next() {
			return false
		}
	}
	p.pos++
	if !sorted {
		p.r.Sort(n)
	}
	for _, g := range p.nulls[nulls:] {
		if !p.r.HasValue(g.node) && p.r.First(g.node) == None {
			if !p.at(g.node, g.offset, CodeNullUnexpected, "null here and nothing beside it") {
				return false
			}
		}
	}
	p.seen, p.nulls = p.seen[:seen], p.nulls[:nulls]
	p.depth--
	return true
}

func (p *Parser) has(seen, bit int) bool { return p.seen[seen+bit/64]&(1<<(bit%64)) != 0 }

// next goes on from a member's value to the next key or the closing brace.
func (p *Parser) next() bool {
	p.space()
	switch p.peek() {
	case '}':
		return true
	case ',':
		p.pos++
		p.space()
		if p.peek() == '"' {
			return true
		}
		return p.syntax("expected a property")
	}
	return p.syntax("expected a comma or the end of the object")
}

// entries calls each for every entry of the array at p.pos.
func (p *Parser) entries(n Node, e *Element, each func(p *Parser, i int) bool) bool {
	if !e.repeats && !p.atElement(n, e, p.pos, CodeArrayUnexpected, "the element does not repeat, found an array") {
		return false
	}
	open := p.pos
	p.pos++
	p.space()
	if p.peek() == ']' {
		p.pos++
		return p.atElement(n, e, open, CodeEmpty, "empty array")
	}
	for i := 0; ; i++ {
		p.space()
		if !each(p, i) {
			return false
		}
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return true
		default:
			return p.syntax("expected a comma or the end of the array")
		}
	}
}

// complex reads the value of an element that is no primitive.
func (p *Parser) complex(n Node, e *Element) bool {
	if p.peek() != '[' {
		if e.repeats && !p.atElement(n, e, p.pos, CodeArrayExpected, "the element repeats, expected an array") {
			return false
		}
		return p.complexEntry(n, e, false)
	}
	if !p.entries(n, e, func(p *Parser, _ int) bool { return p.complexEntry(n, e, true) }) {
		return false
	}
	if e.typ == nil {
		p.removeStrays(n)
	}
	return true
}

func (p *Parser) complexEntry(n Node, e *Element, inArray bool) bool {
	start := p.pos
	code, message := CodeWrongJSONType, ""
	if p.peek() == '{' {
		t := e.typ
		if t != nil {
			return p.object(p.r.Add(n, e, 0), t)
		}
		found, why, ok := p.typeAhead()
		if !ok {
			return false
		}
		if found != nil {
			return p.object(p.r.AddResource(n, e, found, 0), found)
		}
		code, message = CodeNotAResource, why
	}
	if !p.skip() {
		return false
	}
	switch {
	case message != "":
	case p.data[start] == 'n':
		code, message = CodeNullUnexpected, "expected an object, found null"
	default:
		message = "expected an object, found " + p.kindAt(start)
	}
	if inArray {
		// The entry keeps its place, so that the indexes of those behind it are
		// those of the JSON.
		return p.at(p.r.Add(n, e, 0), start, code, message)
	}
	return p.atElement(n, e, start, code, message)
}

// removeStrays takes the nodes without a type from n: entries that were no
// resources. They have kept their place while the array was read.
func (p *Parser) removeStrays(n Node) {
	for c := p.r.First(n); c != None; {
		next := p.r.Next(c)
		if p.r.TypeOf(c) == nil {
			p.r.Remove(c)
		}
		c = next
	}
}

// primitive reads the value of a primitive; other says that "_name" was met
// already.
func (p *Parser) primitive(n Node, e *Element, other bool) bool {
	made := None
	if other {
		made = p.r.Find(n, e)
	}
	if p.peek() != '[' {
		if e.repeats && !p.atElement(n, e, p.pos, CodeArrayExpected, "the element repeats, expected an array") {
			return false
		}
		if p.peek() == 'n' {
			start := p.pos
			return p.skip() && p.atElement(n, e, start, CodeNullUnexpected, "null outside of an array")
		}
		if made == None {
			made = p.r.Add(n, e, 0)
		}
		return p.value(made, e)
	}
	start := p.pos
	count, nodes := 0, p.repetitions(made)
	ok := p.entries(n, e, func(p *Parser, _ int) bool {
		count++
		at := made
		if at == None {
			at = p.r.Add(n, e, 0)
			if p.peek() == 'n' {
				p.nulls = append(p.nulls, gap{at, p.pos})
			}
		} else {
			made = p.r.NextSame(made)
		}
		if p.peek() == 'n' {
			return p.skip()
		}
		return p.value(at, e)
	})
	return ok && p.sameLength(n, e, nodes, count, start)
}

// below reads a "_name": the ids and extensions of primitives; other says that
// "name" was met already.
func (p *Parser) below(n Node, e *Element, other bool) bool {
	made := None
	if other {
		made = p.r.Find(n, e)
	}
	start := p.pos
	if p.peek() != '[' {
		if e.repeats && !p.atElement(n, e, start, CodeArrayExpected, "the element repeats, expected an array") {
			return false
		}
		if p.peek() != '{' {
			return p.skip() && p.notBelow(p.r.Path(n)+"._"+e.name, start)
		}
		if made == None {
			made = p.r.Add(n, e, 0)
		}
		return p.object(made, e.typ)
	}
	count, nodes := 0, p.repetitions(made)
	ok := p.entries(n, e, func(p *Parser, i int) bool {
		count++
		at := made
		if at == None {
			at = p.r.Add(n, e, 0)
			if p.peek() == 'n' {
				p.nulls = append(p.nulls, gap{at, p.pos})
			}
		} else {
			made = p.r.NextSame(made)
		}
		start := p.pos
		switch p.peek() {
		case '{':
			return p.object(at, e.typ)
		case 'n':
			return p.skip()
		}
		return p.skip() && p.notBelow(p.r.Path(n)+"._"+e.name+"["+strconv.Itoa(i)+"]", start)
	})
	return ok && p.sameLength(n, e, nodes, count, start)
}

// notBelow reports a "_name" that is no object.
func (p *Parser) notBelow(path string, start int) bool {
	if p.data[start] == 'n' {
		return p.report(path, start, CodeNullUnexpected, "null outside of an array")
	}
	return p.report(path, start, CodeWrongJSONType, "expected an object with id or extension, found "+p.kindAt(start))
}

// repetitions counts the nodes of element e from first on.
func (p *Parser) repetitions(first Node) int {
	count := 0
	for c := first; c != None; c = p.r.NextSame(c) {
		count++
	}
	return count
}

// sameLength reports arrays "name" and "_name" of different lengths: the one
// met before has made so many nodes, the one at start has so many entries.
func (p *Parser) sameLength(n Node, e *Element, nodes, entries, start int) bool {
	if nodes == 0 || nodes == entries {
		return true
	}
	return p.atElement(n, e, start, CodeArrayLength, `"`+e.name+`" and "_`+e.name+`" have different lengths`)
}

// value reads a primitive's value into node n. A value of the wrong JSON type
// is kept as text, so that nobody calls it missing on top.
func (p *Parser) value(n Node, e *Element) bool {
	start := p.pos
	form := e.form
	switch c := p.peek(); {
	case c == '"':
		if end := plain(p.data, start+1); end < len(p.data) && p.data[end] == '"' {
			p.pos = end + 1
			p.r.SetValue(n, p.data[start+1:end])
		} else {
			r := p.r
			from := len(r.text)
			text, flaws, ok := p.text(r.text)
			if !ok {
				return false
			}
			r.text = text
			r.nodes[n].off, r.nodes[n].size = uint32(from), uint32(len(text)-from)
			if flaws != 0 && !p.flawed(n, start, flaws) {
				return false
			}
		}
		if p.pos == start+2 && !p.at(n, start, CodeEmpty, "empty string") {
			return false
		}
		if form == FormString {
			return true
		}
	case c == '-' || c-'0' <= 9:
		if !p.skip() {
			return false
		}
		p.r.SetValue(n, p.data[start:p.pos])
		if form == FormNumber {
			return true
		}
	case c == 't' || c == 'f':
		if !p.skip() {
			return false
		}
		p.r.SetValue(n, p.data[start:p.pos])
		if form == FormBool {
			return true
		}
	default:
		if !p.skip() {
			return false
		}
	}
	return p.at(n, start, CodeWrongJSONType, "expected "+form.article()+", found "+p.kindAt(start))
}

func (f JSONForm) article() string {
	switch f {
	case FormNumber:
		return "a number"
	case FormBool:
		return "true or false"
	}
	return "a string"
}

func (p *Parser) flawed(n Node, start int, f flaws) bool {
	return (f&badUTF8 == 0 || p.at(n, start, CodeInvalidUTF8, "the string is not valid UTF-8")) &&
		(f&loneSurrogate == 0 || p.at(n, start, CodeLoneSurrogate, "the string has half a surrogate pair")) &&
		(f&nul == 0 || p.at(n, start, CodeNul, "the string has the character U+0000"))
}

// twice reports a property that stands in an object a second time; e is nil for
// resourceType.
func (p *Parser) twice(n Node, e *Element, under bool, offset int) bool {
	name := "resourceType"
	if e != nil {
		name = e.name
	}
	if under {
		name = "_" + name
	}
	return p.report(p.r.Path(n)+"."+name, offset, CodeDuplicateKey, "the property stands here a second time")
}

// unknown reports a property that t does not have.
func (p *Parser) unknown(n Node, t *Type, key []byte, offset int) bool {
	name := plainKey(key)
	path := p.r.Path(n) + "." + name
	message := "not an element of " + t.name
	bare, under := bytes.CutPrefix(key, []byte("_"))
	switch e := t.byName[string(bare)]; {
	case under && e != nil && e.bare:
		message = "the element cannot have an id or extension"
	case under && e != nil:
		message = "only primitives have their id and extension in a property of their own"
	case t.choices[string(bare)] != nil:
		message += `; a choice is named with its type, such as "` + t.choices[string(bare)][0].name + `"`
	default:
		names := make([]string, len(t.elements))
		for i, e := range t.elements {
			names[i] = e.name
		}
		if near := nearest(string(bare), names); near != "" {
			message += `; did you mean "` + near + `"?`
		}
	}
	return p.report(path, offset, CodeUnknownElement, message)
}

// plainKey is a key fit for a path: what does not look like the name of an
// element might be a value gone astray, and is not shown.
func plainKey(key []byte) string {
	if len(key) == 0 || len(key) > 64 {
		return "?"
	}
	for _, c := range key {
		if (c|0x20 < 'a' || c|0x20 > 'z') && c != '_' {
			return "?"
		}
	}
	return string(key)
}

// nearest is the name that differs from the one given in the fewest letters,
// "" if none is near.
func nearest(name string, names []string) string {
	if len(name) > 64 {
		return ""
	}
	best, limit := "", len(name)/3+1
	for _, candidate := range names {
		if d := distance(name, candidate); d < limit || d == limit && best == "" {
			best, limit = candidate, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, exchange or, next to each
// other, swap to make b of a; case counts for nothing.
func distance(a, b string) int {
	lower := func(c byte) byte {
		if c >= 'A' && c <= 'Z' {
			return c | 0x20
		}
		return c
	}
	before := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if lower(a[i]) == lower(b[j]) {
				cost = 0
			}
			d := min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && lower(a[i]) == lower(b[j-1]) && lower(a[i-1]) == lower(b[j]) {
				d = min(d, before[j-1]+1)
			}
			next[j+1] = d
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
