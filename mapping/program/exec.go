package program

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles"
	"remit/profiles/r4"
)

// repeatTable remembers the kept repetitions of one element of one resource:
// their keys, slices and numbers.
type repeatTable struct {
	count   int
	entries []repetition
	data    []byte
}

type repetition struct {
	hash       uint64
	key, keyTo int32 // in data; key < 0 for none
	num, numTo int32 // the number's text, in data
	slice      string
}

func (t *repeatTable) reset() {
	t.count = 0
	t.entries = t.entries[:0]
	t.data = t.data[:0]
}

func (t *repeatTable) find(hash uint64, key []byte) int {
	for i := range t.entries {
		e := &t.entries[i]
		if e.key >= 0 && e.hash == hash && bytes.Equal(t.data[e.key:e.keyTo], key) {
			return i
		}
	}
	return -1
}

// exec writes what o stands for below parent. kept says that something was
// written, data that rows gave content (rule 11).
func (r *runner) exec(o *op, parent r4.Node) (kept, data bool) {
	if o.each < 0 {
		return r.once(o, parent)
	}
	st := r.streams[o.each]
	lo, hi := r.children(st)
	for i := lo; i < hi; i++ {
		st.cur = i
		if !o.where.None() && !r.isTrue(o.where) {
			continue
		}
		k, d := r.once(o, parent)
		// A repetition of constants for each row is content: the row is.
		kept, data = kept || k, data || d || k
		if r.err != nil {
			break
		}
	}
	st.cur = -1
	return kept, data
}

// isTrue reads a condition; NULL is no.
func (r *runner) isTrue(s plan.Slot) bool {
	text, ok := r.get(s)
	return ok && len(text) > 0 && (text[0] == 't' || text[0] == 'T' || text[0] == '1')
}

// once writes one repetition, with when, key, assumed and absent around it.
func (r *runner) once(o *op, parent r4.Node) (kept, data bool) {
	if !o.when.None() && !r.isTrue(o.when) {
		return false, false
	}
	var hash uint64
	keyFrom, keyed := len(r.keys), false
	if len(o.key) > 0 && o.repeat >= 0 {
		if r.keys, keyed = r.appendKey(r.keys, o.key); keyed {
			hash = maphash.Bytes(r.seed, r.keys[keyFrom:])
			if r.repeats[o.repeat].find(hash, r.keys[keyFrom:]) >= 0 {
				r.keys = r.keys[:keyFrom]
				return false, false
			}
		} else {
			r.keys = r.keys[:keyFrom]
		}
	}
	m, marks := r.res.Mark(), r.marks()
	kept, data = r.body(o, parent)
	if !kept {
		r.rollback(m, marks, parent)
		if o.assumed != nil {
			if k, _ := r.exec(o.assumed, parent); k {
				r.assumedLog = append(r.assumedLog, o.assumedNum)
				kept, data = true, true
			}
		}
		if !kept && o.absent != nil {
			r.exec(o.absent, parent)
			r.absentLog = append(r.absentLog, o.absentNum)
			kept, data = true, true
		}
	}
	if kept && o.repeat >= 0 {
		r.keep(o, parent, hash, r.keys[keyFrom:], keyed)
	}
	r.keys = r.keys[:keyFrom]
	return kept, data
}

// keep counts a repetition and remembers how links find it.
func (r *runner) keep(o *op, parent r4.Node, hash uint64, key []byte, keyed bool) {
	t := &r.repeats[o.repeat]
	t.count++
	if !keyed && o.slice == "" {
		return
	}
	e := repetition{hash: hash, key: -1, slice: o.slice}
	if keyed {
		e.key = int32(len(t.data))
		t.data = append(t.data, key...)
		e.keyTo = int32(len(t.data))
	}
	e.num = int32(len(t.data))
	if n := r.res.Last(parent); n != r4.None && o.number != nil {
		if at := r.res.Find(n, o.number); at != r4.None {
			t.data = append(t.data, r.res.Value(at)...)
		}
	}
	e.numTo = int32(len(t.data))
	t.entries = append(t.entries, e)
}

// body writes the content of one repetition.
func (r *runner) body(o *op, parent r4.Node) (kept, data bool) {
	switch o.kind {
	case check.Literal:
		n := r.res.Graft(parent, o.element, o.template, r4.Root, o.origin)
		if len(o.children) > 0 {
			_, data = r.group(o, n)
		}
		return true, data
	case check.Group:
		n := parent
		if o.element != nil {
			n = r.res.Add(parent, o.element, o.origin)
		}
		kept, data = r.group(o, n)
		return o.element == nil || data || !o.data && kept, data
	case check.Primitive:
		return r.primitive(o, parent)
	case check.Coded:
		return r.coded(o, parent)
	case check.Coding:
		return r.coding(o, parent)
	case check.First:
		for i := range o.children {
			m, marks := r.res.Mark(), r.marks()
			if k, d := r.exec(&o.children[i], parent); k {
				return true, d
			}
			r.rollback(m, marks, parent)
		}
		return false, false
	case check.Reference:
		return r.reference(o, parent)
	case check.Link:
		return r.linked(o, parent)
	case check.Sequence:
		r.num = strconv.AppendInt(r.num[:0], int64(r.repeats[o.link].count+1), 10)
		r.res.SetValue(r.res.Add(parent, o.element, o.origin), r.num)
		return true, false
	case check.ID:
		if r.id != nil {
			r.res.SetValue(r.res.Add(parent, o.element, o.origin), r.id)
		}
		return true, true
	case check.LastUpdated:
		r.res.SetValue(r.res.Add(parent, o.element, o.origin), r.lastUpdated)
		return true, true
	}
	return false, false
}

// group writes the children of o below n.
func (r *runner) group(o *op, n r4.Node) (kept, data bool) {
	for _, i := range o.resets {
		r.repeats[i].reset()
	}
	var chosen *r4.Element
	for i := range o.children {
		c := &o.children[i]
		m, marks := r.res.Mark(), r.marks()
		k, d := r.exec(c, n)
		if k && c.rival {
			if chosen != nil && chosen != c.element && chosen.Base() == c.element.Base() {
				r.rollback(m, marks, n)
				r.finding(c, n, "choice-twice", "another type of the choice has a value, too")
				continue
			}
			chosen = c.element
		}
		kept, data = kept || k, data || d
	}
	return kept, data
}

// finding reports a fault of placing a value; it never holds the value.
func (r *runner) finding(o *op, parent r4.Node, code, message string) {
	r.scratchPath = r.res.AppendPath(r.scratchPath[:0], parent)
	path := string(r.scratchPath)
	if o.element != nil {
		path += "." + o.element.Name()
	}
	r.findings = append(r.findings, profiles.Finding{
		Severity: profiles.Error, Code: code, Path: path, Node: parent, Origin: o.origin, Element: o.path, Message: message,
	})
}

// rollback drops what was written since m; findings survive at the parent.
func (r *runner) rollback(m r4.Mark, k logMarks, parent r4.Node) {
	r.res.Rollback(m)
	r.absentLog, r.assumedLog = r.absentLog[:k.absent], r.assumedLog[:k.assumed]
	for i := k.findings; i < len(r.findings); i++ {
		r.findings[i].Node = parent
	}
}

type logMarks struct{ absent, assumed, findings int }

func (r *runner) marks() logMarks {
	return logMarks{len(r.absentLog), len(r.assumedLog), len(r.findings)}
}

// primitive places a value of a row.
func (r *runner) primitive(o *op, parent r4.Node) (kept, data bool) {
	text, ok := r.resolve(o, &o.value, parent)
	if !ok || len(text) == 0 {
		if len(o.children) == 0 {
			return false, false
		}
		n := r.res.Add(parent, o.element, o.origin)
		_, data = r.group(o, n)
		return data, data
	}
	if o.named {
		if text, ok = r.systemURL(o, text, parent); !ok {
			return false, false
		}
	}
	text, fault := r.coerce(o, text)
	if fault == "" && !r4.ValidPrimitive(o.typ, text) {
		fault = "the value is no valid " + o.typ.Name()
	}
	if fault != "" {
		r.finding(o, parent, "invalid-value", fault)
		return false, false
	}
	n := r.res.Add(parent, o.element, o.origin)
	r.res.SetValue(n, text)
	if len(o.children) > 0 {
		r.group(o, n)
	}
	return true, true
}

// coded places a code that brings its system from a table.
func (r *runner) coded(o *op, parent r4.Node) (kept, data bool) {
	code, ok := r.resolve(o, &o.value, parent)
	code = bytes.TrimSpace(code)
	if !ok || len(code) == 0 {
		return false, false
	}
	t := o.codes[string(code)]
	if t == nil {
		r.finding(o, parent, "not-in-value-set", "the code is in no system of the value set")
		return false, false
	}
	r.res.Graft(parent, o.element, t, r4.Root, o.origin)
	return true, true
}

// coding places system and code, which stand or fall together.
func (r *runner) coding(o *op, parent r4.Node) (kept, data bool) {
	code := o.code
	if !o.value.none() {
		var ok bool
		code, ok = r.resolve(o, &o.value, parent)
		code = bytes.TrimSpace(code)
		if !ok || len(code) == 0 {
			return false, false
		}
	}
	system, form := o.system, o.form
	if o.hasSystem {
		name, ok := r.resolve(o, &o.systemOf, parent)
		if !ok || len(name) == 0 {
			if o.systemOf.m == nil || r.lastNull {
				r.finding(o, parent, "no-system", "the code has no system")
			}
			return false, false
		}
		if s, ok := r.c.systems[string(name)]; ok {
			system, form = s.url, s.form
		} else if bytes.IndexByte(name, ':') >= 0 {
			system, form = name, check.FormPlain
		} else {
			r.finding(o, parent, "unknown-system", "the system is neither a URL nor a known name")
			return false, false
		}
		if o.raw {
			form = check.FormPlain
		}
	}
	if !o.value.none() && form != check.FormPlain || o.hasSystem {
		r.code = form.AppendCode(r.code[:0], code)
		code = r.code
	}
	if !r4.ValidPrimitive(r.c.codeType, code) {
		r.finding(o, parent, "invalid-value", "the value is no valid code")
		return false, false
	}
	n := r.res.Add(parent, o.element, o.origin)
	i := 0
	for ; i < len(o.children) && o.children[i].element.Index() < r.c.codingSystem.Index(); i++ {
		r.exec(&o.children[i], n)
	}
	r.res.SetValue(r.res.Add(n, r.c.codingSystem, o.origin), system)
	for ; i < len(o.children) && o.children[i].element.Index() < r.c.codingCode.Index(); i++ {
		r.exec(&o.children[i], n)
	}
	r.res.SetValue(r.res.Add(n, r.c.codingCode, o.origin), code)
	for ; i < len(o.children); i++ {
		r.exec(&o.children[i], n)
	}
	return true, o.data
}

// reference writes "Type/id".
func (r *runner) reference(o *op, parent r4.Node) (kept, data bool) {
	id, ok := r.makeID(&o.ref)
	if !ok {
		return false, false
	}
	if o.ref.plain && !validID(id) {
		r.finding(o, parent, "invalid-id", "the key makes no legal id")
		return false, false
	}
	r.refText = append(append(r.refText[:0], o.prefix...), id...)
	r.res.SetValue(r.res.Add(parent, o.element, o.origin), r.refText)
	return true, true
}

// linked writes the number of another repetition (rule 18).
func (r *runner) linked(o *op, parent r4.Node) (kept, data bool) {
	t := &r.repeats[o.link]
	at := -1
	if len(o.key) > 0 {
		from := len(r.keys)
		keys, ok := r.appendKey(r.keys, o.key)
		if ok {
			at = t.find(maphash.Bytes(r.seed, keys[from:]), keys[from:])
		}
		r.keys = keys[:from]
		if !ok {
			return false, false
		}
	} else {
		for i := range t.entries {
			if t.entries[i].slice == o.linkSlice {
				at = i
				break
			}
		}
		if at < 0 {
			return false, false
		}
	}
	if at < 0 || o.linkSlice != "" && t.entries[at].slice != o.linkSlice {
		r.finding(o, parent, "dangling-sequence", "no repetition that is kept has this key")
		r.findings[len(r.findings)-1].Severity = profiles.Warning
		return false, false
	}
	number := t.data[t.entries[at].num:t.entries[at].numTo]
	for n := r.res.Find(parent, o.element); n != r4.None; n = r.res.NextSame(n) {
		if bytes.Equal(r.res.Value(n), number) {
			return true, true
		}
	}
	r.res.SetValue(r.res.Add(parent, o.element, o.origin), number)
	return true, true
}
