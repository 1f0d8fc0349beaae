package program

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"remit/mapping/check"
	"remit/mapping/plan"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// runner is one pass under way: all the state that compiled code needs.
type runner struct {
	c       *compiled
	report  *Report
	emit    Emit
	request *Request
	base    time.Time // lastUpdated of what does not track it

	rows    int64
	row     source.Row // of the parent
	ahead   bool       // the root's stream stands on a row not yet taken
	head    headRow
	lenient bool
	// narrowed says that the pass is a directory of listed patients, whose rows
	// come whatever Since says.
	narrowed bool
	// nullKeys and twice count rows of the parent that were passed over.
	nullKeys, twice int64
	failed          *plan.Stream // whose stream ended in an error
	taken           []takenID
	gone            []int
	root            source.RowStream
	last            [][]byte // key of the previous parent row
	streams         []*stream
	unit            *unit
	err             error

	res      r4.Resource
	repeats  []repeatTable
	memos    []memo
	unmapped []int64
	// unmappedKeys counts each key that a map does not hold, by map.
	unmappedKeys []map[string]*int64
	absent       []int64
	assumed      []int64
	findings     []profiles.Finding
	absentLog    []int
	assumedLog   []int
	id           []byte
	lastUpdated  []byte
	updated      time.Time
	lastNull     bool

	hash hash.Hash
	seed maphash.Seed

	keys, mapKey, text, num, code, refText, sum, scratchPath, label []byte

	out Emitted
}

// stream is a child source: the rows of the parent row at hand, copied, and
// one row of lookahead.
type stream struct {
	plan *plan.Stream
	name string
	rows source.RowStream
	next source.Row // nil at the end
	last [][]byte   // key and order of the previous row
	// lastNull tells which parts of that order are NULL.
	lastNull    []bool
	seen, keyed int64
	// nullKeys, orphans and twice count rows that were passed over.
	nullKeys, orphans, twice int64
	lenient                  bool // pass over a row that repeats a key

	cols  int
	n     int
	data  []byte
	cells []cell
	cur   int
	// ranges are, for a child of a child, the rows of each row of its parent.
	ranges  []span
	parent  *stream
	tooMany bool
	// constants are, for a folded stream, the values that hang on the number
	// alone, by row and column.
	constants [][]source.Value
}

type cell struct{ from, to int32 } // to < 0 for NULL

type span struct{ lo, hi int }

func (s *stream) cell(col int) ([]byte, bool) {
	c := s.cells[s.cur*s.cols+col]
	if c.to < 0 {
		return nil, false
	}
	return s.data[c.from:c.to], true
}

// at reads a cell of any buffered row.
func (s *stream) at(row, col int) []byte {
	c := s.cells[row*s.cols+col]
	if c.to < 0 {
		return nil
	}
	return s.data[c.from:c.to]
}

// children is the range of rows of st that belong to the current rows.
func (r *runner) children(st *stream) (lo, hi int) {
	if st.parent == nil {
		return 0, st.n
	}
	if st.parent.cur < 0 {
		return 0, 0
	}
	at := st.ranges[st.parent.cur]
	return at.lo, at.hi
}

func newRunner(c *compiled, report *Report) *runner {
	r := &runner{
		c: c, report: report, seed: maphash.MakeSeed(),
		repeats: make([]repeatTable, c.repeats), memos: make([]memo, c.memos), unmapped: make([]int64, len(c.maps)), unmappedKeys: make([]map[string]*int64, len(c.maps)),
		absent: make([]int64, len(c.absent)), assumed: make([]int64, len(c.assumed)), hash: sha256.New(),
	}
	if len(c.idKey) > 0 {
		r.hash = hmac.New(sha256.New, c.idKey)
	}
	return r
}

// runPass merges the streams of a pass.
func (p *Program) runPass(ctx context.Context, snap source.Snapshot, req *Request, c *compiled, emit Emit, report *Report) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c = c.bounded(req)
	r := newRunner(c, report)
	r.emit, r.request, r.base, r.lenient = emit, req, snap.Loaded(), req.lenient
	if r.base.IsZero() {
		r.base = snap.AsOf()
		if !req.AsOf.IsZero() {
			r.base = req.AsOf
		}
	}
	defer r.account()
	limits := req.limits(c.plan.From)
	r.narrowed = c.plan.ByOwner(limits)
	queries := c.plan.Narrow(limits)
	if r.root, err = snap.Stream(ctx, queries[0]); err != nil {
		return r.fault(ctx, snap, c.plan.Streams[0], queries[0], fmt.Errorf("open source %q: %w", c.plan.From.Name, err))
	}
	defer func() { _ = r.root.Close() }()
	r.streams = make([]*stream, len(queries))
	for i, st := range c.plan.Streams[1:] {
		s := &stream{plan: st, name: st.Source.Name, cols: len(st.Query.Columns), cur: -1, lenient: r.lenient}
		if st.Parent > 0 {
			s.parent = r.streams[st.Parent]
		}
		r.streams[i+1] = s
		if st.Fold != nil {
			if s.constants, err = constantRows(ctx, snap, queries[i+1]); err != nil {
				// An expression may fail for a number that no row has.
				_ = r.root.Close()
				o := req.options()
				o.Apart = true
				return p.runPass(ctx, snap, req, p.compileWith(c.plan.Mappings, o), emit, report)
			}
			continue
		}
		if s.rows, err = snap.Stream(ctx, queries[i+1]); err != nil {
			return r.fault(ctx, snap, st, queries[i+1], fmt.Errorf("open source %q: %w", s.name, err))
		}
		defer func() { _ = s.rows.Close() }()
		if err := s.advance(); err != nil {
			return r.fault(ctx, snap, st, queries[i+1], err)
		}
	}
	if err := r.merge(ctx); err != nil {
		for i, st := range c.plan.Streams {
			if r.failed == st {
				return r.fault(ctx, snap, st, queries[i], err)
			}
		}
		return err
	}
	if err := r.nulls(ctx, snap, c.plan.Nulls(limits)); err != nil {
		return err
	}
	if req.deletions() && c.plan.From.Removed != nil {
		return r.removed(ctx, snap, limits, req.Chosen)
	}
	return nil
}

// nulls counts the rows without a full key that the streams leave out.
func (r *runner) nulls(ctx context.Context, snap source.Snapshot, queries []*source.Query) error {
	for i, q := range queries {
		if q == nil {
			continue
		}
		rows, err := snap.Stream(ctx, q)
		if err != nil {
			return fmt.Errorf("count the rows of source %q without a key: %w", r.streams[i].name, err)
		}
		for rows.Next() {
			r.streams[i].nullKeys++
		}
		err = rows.Err()
		_ = rows.Close() // the error of the rows counts
		if err != nil {
			return fmt.Errorf("count the rows of source %q without a key: %w", r.streams[i].name, err)
		}
	}
	return nil
}

// rowsPerCheck is how many parent rows pass between looks at the context.
const rowsPerCheck = 256

func (r *runner) merge(ctx context.Context) error {
	root := r.c.plan.Streams[0]
	r.last = make([][]byte, len(root.Key))
	for {
		if r.rows%rowsPerCheck == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if ok, err := r.parent(root); err != nil || !ok {
			if err != nil {
				return err
			}
			break
		}
		for _, s := range r.streams[1:] {
			if err := r.load(root, s); err != nil {
				r.failed = s.plan
				return err
			}
		}
		for _, s := range r.streams[1:] {
			if s.parent != nil {
				r.nest(s)
			}
		}
		if err := r.resources(); err != nil {
			return err
		}
	}
	if err := r.root.Err(); err != nil {
		r.failed = root
		return fmt.Errorf("read source %q: %w", r.c.plan.From.Name, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, s := range r.streams[1:] {
		for s.next != nil {
			r.orphan(s)
			if err := s.advance(); err != nil {
				r.failed = s.plan
				return err
			}
		}
	}
	return nil
}

// resources makes what the mappings make of the rows at hand.
func (r *runner) resources() error {
	deletions := r.request.deletions()
	r.taken, r.gone = r.taken[:0], r.gone[:0]
	for i, u := range r.c.mappings {
		if !u.where.None() && !r.isTrue(u.where) {
			if deletions {
				r.gone = append(r.gone, i)
			}
			continue
		}
		if err := r.build(u); err != nil {
			return err
		}
		if deletions {
			r.take(u)
		}
	}
	for _, i := range r.gone {
		if err := r.vanished(r.c.mappings[i]); err != nil {
			return err
		}
	}
	return nil
}

// parent moves to the next row of the pass's source that has a key; ok is false
// at the end.
func (r *runner) parent(root *plan.Stream) (ok bool, err error) {
	for r.ahead || r.root.Next() {
		r.ahead = false
		r.rows++
		r.report.Rows++
		r.row = r.root.Row()
		if hasNull(r.row, root.Key) {
			r.nullKeys++
			r.foldNulls()
			continue
		}
		order := r.inOrder(root)
		if r.rows-r.nullKeys > 1 && order >= 0 {
			if order == 0 && r.lenient {
				r.twice++
				continue
			}
			return false, &OrderError{Source: r.c.plan.From.Name, Row: r.rows, Twice: order == 0}
		}
		if r.c.plan.From.Header != check.NoHeader {
			return true, r.header(root)
		}
		return true, nil
	}
	return false, nil
}

func hasNull(row source.Row, columns []int) bool {
	for _, c := range columns {
		if row[c].IsNull() {
			return true
		}
	}
	return false
}

// inOrder compares the key of the row before with that of the row at hand, and
// remembers the latter: a parent key must strictly increase (rule 20).
func (r *runner) inOrder(root *plan.Stream) int {
	order := 0
	for i, col := range root.Key {
		text := r.row[col].Bytes()
		if order == 0 {
			order = compareKey(r.last[i], text, root.Query.Key[i].Type.Kind)
		}
		r.last[i] = append(r.last[i][:0], text...)
	}
	return order
}

// OrderError says that a source's rows are out of order or its key is not
// unique.
type OrderError struct {
	Source string
	Row    int64 // ordinal in the stream, from 1
	Twice  bool  // the key stands twice
}

func (e *OrderError) Error() string {
	if e.Twice {
		return fmt.Sprintf("source %q: row %d repeats the key of the row before; key and order must tell rows apart [child-key]", e.Source, e.Row)
	}
	return fmt.Sprintf("source %q: row %d is out of order; the warehouse must sort by the key, text by its bytes", e.Source, e.Row)
}

// compareKey compares two key parts: integers by value, all else by bytes.
func compareKey(a, b []byte, kind source.Kind) int {
	if kind == source.KindInteger {
		return compareIntegers(a, b)
	}
	return bytes.Compare(a, b)
}

func compareIntegers(a, b []byte) int {
	negA, negB := len(a) > 0 && a[0] == '-', len(b) > 0 && b[0] == '-'
	switch {
	case negA && !negB:
		return -1
	case negB && !negA:
		return 1
	case negA:
		a, b = b[1:], a[1:]
	}
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

// advance moves the lookahead on to the next row that has a key, and asserts
// its order.
func (s *stream) advance() error {
	for s.rows.Next() {
		s.next = s.rows.Row()
		s.seen++
		if hasNull(s.next, s.plan.Key) {
			s.nullKeys++
			continue
		}
		order := s.inOrder()
		s.keyed++
		if s.keyed > 1 && order >= 0 {
			if order == 0 && s.lenient {
				s.twice++
				continue
			}
			return &OrderError{Source: s.name, Row: s.seen, Twice: order == 0}
		}
		return nil
	}
	s.next = nil
	if err := s.rows.Err(); err != nil {
		return fmt.Errorf("read source %q: %w", s.name, err)
	}
	return nil
}

// inOrder compares key and order of the row before with those of the row at
// hand, and remembers the latter.
func (s *stream) inOrder() int {
	st := s.plan
	if s.last == nil {
		s.last = make([][]byte, len(st.Key)+len(st.Order))
		s.lastNull = make([]bool, len(st.Order))
	}
	order := 0
	for i, col := range st.Key {
		text := s.next[col].Bytes()
		if order == 0 {
			order = compareKey(s.last[i], text, st.Query.Key[i].Type.Kind)
		}
		s.last[i] = append(s.last[i][:0], text...)
	}
	for i, col := range st.Order {
		at, v := len(st.Key)+i, s.next[col]
		if order == 0 {
			switch {
			case s.lastNull[i] && v.IsNull():
			case v.IsNull():
				order = -1 // NULL stands behind everything
			case s.lastNull[i]:
				order = 1
			default:
				order = compareKey(s.last[at], v.Bytes(), st.Query.Order[i].Type.Kind)
			}
		}
		s.lastNull[i] = v.IsNull()
		s.last[at] = append(s.last[at][:0], v.Bytes()...)
	}
	return order
}

func (r *runner) orphan(s *stream) {
	// In a pass that leaves parents out, a child may well have none.
	if !r.c.plan.Narrowed {
		s.orphans++
	}
}

// load copies the rows of s that belong to the parent row.
func (r *runner) load(root *plan.Stream, s *stream) error {
	s.n, s.data, s.cells, s.cur, s.tooMany = 0, s.data[:0], s.cells[:0], -1, false
	if s.plan.Fold != nil {
		r.unfold(s)
		return nil
	}
	for s.next != nil {
		order := 0
		for i, col := range root.Key {
			if order = compareKey(s.next[s.plan.Key[i]].Bytes(), r.row[col].Bytes(), root.Query.Key[i].Type.Kind); order != 0 {
				break
			}
		}
		if order > 0 {
			return nil
		}
		switch {
		case order < 0:
			r.orphan(s)
		case s.n >= r.rowLimit():
			s.tooMany = true
		default:
			s.keep()
		}
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) rowLimit() int {
	limit := 0
	for _, u := range r.c.mappings {
		limit = max(limit, u.rowLimit)
	}
	return limit
}

func (s *stream) keep() {
	if len(s.cells)+len(s.next) > cap(s.cells) {
		// In doubles, as a roster has a great many rows: see r4.Resource.
		s.cells = slices.Grow(s.cells, max(len(s.next), len(s.cells)))
		s.data = slices.Grow(s.data, len(s.data))
	}
	for _, v := range s.next {
		s.add(v)
	}
	s.n++
}

func (s *stream) add(v source.Value) {
	if v.IsNull() {
		s.cells = append(s.cells, cell{0, -1})
		return
	}
	from := int32(len(s.data))
	s.data = append(s.data, v.Bytes()...)
	s.cells = append(s.cells, cell{from, int32(len(s.data))})
}

// nest finds the rows of s that belong to each row of its parent: both are in
// order, so that one walk does.
func (r *runner) nest(s *stream) {
	s.ranges = s.ranges[:0]
	p := s.parent
	own := s.plan.Key
	theirs := p.plan.Key
	at := 0
	for row := range p.n {
		compare := func(i int) int {
			for k, col := range own {
				var b []byte
				if k < len(theirs) {
					b = p.at(row, theirs[k])
				} else {
					b = p.at(row, p.plan.Order[k-len(theirs)])
				}
				if o := compareKey(s.at(i, col), b, s.plan.Query.Key[k].Type.Kind); o != 0 {
					return o
				}
			}
			return 0
		}
		for at < s.n && compare(at) < 0 {
			r.orphan(s)
			at++
		}
		from := at
		for at < s.n && compare(at) == 0 {
			at++
		}
		s.ranges = append(s.ranges, span{from, at})
	}
	for ; at < s.n; at++ {
		r.orphan(s)
	}
}

// build makes the resource of one mapping from the rows at hand.
func (r *runner) build(u *unit) error {
	r.unit = u
	r.findings, r.absentLog, r.assumedLog = r.findings[:0], r.absentLog[:0], r.assumedLog[:0]
	r.res.Start(u.root.typ, u.root.origin)
	id, ok := r.makeID(&u.id)
	if !ok {
		r.report.Skipped["null-key"]++
		return r.err
	}
	if u.roster && r.request.Roster != "" && string(id) != r.request.Roster {
		return nil
	}
	r.id = id
	if u.id.plain && !validID(id) {
		r.id = nil
		r.finding(&u.root, r4.Root, "invalid-id", "the key makes no legal id")
	}
	if r.head.differs != "" && r.c.plan.From.Header == check.HeaderWithhold {
		r.finding(&u.root, r4.Root, "header-differs", fmt.Sprintf("rows of one key of source %q differ in %s", r.c.plan.From.Name, r.head.differs))
	}
	r.stamp(u)
	r.exec(&u.root, r4.Root)
	if r.err != nil {
		return r.err
	}
	if u.reorder {
		r.res.Sort(r4.Root)
	}
	for _, s := range r.streams[1:] {
		if s.tooMany {
			r.finding(&u.root, r4.Root, "too-many-rows", fmt.Sprintf("source %q has more than %d rows for it", s.name, r.rowLimit()))
		}
	}
	r.name()
	r.out.Type, r.out.Pos, r.out.Resource, r.out.Findings = u.typ, u.pos, &r.res, r.findings
	r.out.Updated, r.out.Tracked, r.out.View, r.out.Deleted = r.updated, u.tracked, u.view, false
	if err := r.emit(&r.out); err != nil {
		return err
	}
	r.report.Resources[u.typ]++
	for _, i := range r.absentLog {
		r.absent[i]++
	}
	for _, i := range r.assumedLog {
		r.assumed[i]++
	}
	return nil
}

// name sets the id and the business key.
func (r *runner) name() {
	r.label = r.label[:0]
	root := r.c.plan.Streams[0]
	for i, col := range root.Key {
		if i > 0 {
			r.label = append(r.label, ',')
		}
		// Engines differ in the case that they keep; the key of a row must not.
		for _, c := range []byte(root.Query.Key[i].Name) {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			r.label = append(r.label, c)
		}
		r.label = append(r.label, '=')
		r.label = append(r.label, r.row[col].Bytes()...)
	}
	r.out.ID, r.out.Key = r.id, r.label
}

// stamp finds the resource's last change: the greatest of its rows (rule 29).
func (r *runner) stamp(u *unit) {
	t := r.base
	if u.tracked {
		t = time.Time{}
		root := r.c.plan.Streams[0]
		if v := r.row[root.Updated]; !v.IsNull() {
			t, _ = parseTimestamp(v.Bytes(), root.Source.Zone)
		}
		for _, s := range r.streams[1:] {
			if s.plan.Updated < 0 {
				continue
			}
			for i := range s.n {
				if c, ok := parseTimestamp(s.at(i, s.plan.Updated), s.plan.Source.Zone); ok && c.After(t) {
					t = c
				}
			}
		}
		if t.IsZero() {
			t = r.base
		}
	}
	t = t.UTC()
	if !t.Equal(r.updated) || len(r.lastUpdated) == 0 {
		r.lastUpdated = t.AppendFormat(r.lastUpdated[:0], "2006-01-02T15:04:05.000Z")
	}
	r.updated = t
}

// account writes the counters into the report.
func (r *runner) account() {
	add := func(to map[string]int64, names []string, counts []int64) {
		for i, n := range counts {
			if n > 0 {
				to[names[i]] += n
			}
		}
	}
	add(r.report.Absent, r.c.absent, r.absent)
	add(r.report.Assumed, r.c.assumed, r.assumed)
	for i, n := range r.unmapped {
		if n > 0 {
			r.report.Unmapped[r.c.maps[i].name] += n
		}
	}
	for i, keys := range r.unmappedKeys {
		for k, n := range keys {
			r.report.addKey(r.c.maps[i].name, strings.ReplaceAll(k, "\x00", "|"), *n)
		}
	}
	skip := func(reason string, n int64) {
		if n > 0 {
			r.report.Skipped[reason] += n
		}
	}
	count := func(name string, rows, nullKeys, twice, orphans int64) {
		skip("null-key", nullKeys)
		skip("orphan", orphans)
		skip("duplicate-key", twice)
		if r.request.sources != nil {
			r.request.sources.add(name, rows, nullKeys, twice, orphans)
		}
	}
	count(r.c.plan.From.Name, r.rows, r.nullKeys, r.twice, 0)
	if r.head.differing > 0 {
		r.report.Headers[r.c.plan.From.Name] += r.head.differing
	}
	for _, s := range r.streams {
		if s != nil {
			count(s.name, s.seen, s.nullKeys, s.twice, s.orphans)
		}
	}
}
