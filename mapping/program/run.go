package program

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/maphash"
	"time"

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
	root    source.RowStream
	last    [][]byte // key of the previous parent row
	streams []*stream
	unit    *unit
	err     error

	res         r4.Resource
	repeats     []repeatTable
	memos       []memo
	unmapped    []int64
	absent      []int64
	assumed     []int64
	findings    []profiles.Finding
	absentLog   []int
	assumedLog  []int
	id          []byte
	lastUpdated []byte
	updated     time.Time
	lastNull    bool

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
	seen int64

	cols  int
	n     int
	data  []byte
	cells []cell
	cur   int
	// ranges are, for a child of a child, the rows of each row of its parent.
	ranges  []span
	parent  *stream
	tooMany bool
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
		repeats: make([]repeatTable, c.repeats), memos: make([]memo, c.memos), unmapped: make([]int64, len(c.maps)),
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
	r := newRunner(c, report)
	r.emit, r.request, r.base = emit, req, snap.Loaded()
	if r.base.IsZero() {
		r.base = snap.AsOf()
		if !req.AsOf.IsZero() {
			r.base = req.AsOf
		}
	}
	defer r.account()
	queries := c.plan.Narrow(req.limits())
	if r.root, err = snap.Stream(ctx, queries[0]); err != nil {
		return fmt.Errorf("open source %q: %w", c.plan.From.Name, err)
	}
	defer func() { _ = r.root.Close() }()
	r.streams = make([]*stream, len(queries))
	for i, st := range c.plan.Streams[1:] {
		s := &stream{plan: st, name: st.Source.Name, cols: len(st.Query.Columns), cur: -1}
		if st.Parent > 0 {
			s.parent = r.streams[st.Parent]
		}
		r.streams[i+1] = s
		if s.rows, err = snap.Stream(ctx, queries[i+1]); err != nil {
			return fmt.Errorf("open source %q: %w", s.name, err)
		}
		defer func() { _ = s.rows.Close() }()
		if err := s.advance(); err != nil {
			return err
		}
	}
	return r.merge(ctx)
}

// rowsPerCheck is how many parent rows pass between looks at the context.
const rowsPerCheck = 256

func (r *runner) merge(ctx context.Context) error {
	root := r.c.plan.Streams[0]
	r.last = make([][]byte, len(root.Key))
	for r.root.Next() {
		if r.rows%rowsPerCheck == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.rows++
		r.report.Rows++
		r.row = r.root.Row()
		if err := r.inOrder(root); err != nil {
			return err
		}
		for _, s := range r.streams[1:] {
			if err := r.load(root, s); err != nil {
				return err
			}
		}
		for _, s := range r.streams[1:] {
			if s.parent != nil {
				r.nest(s)
			}
		}
		for _, u := range r.c.mappings {
			if !u.where.None() && !r.isTrue(u.where) {
				continue
			}
			if err := r.build(u); err != nil {
				return err
			}
		}
	}
	if err := r.root.Err(); err != nil {
		return fmt.Errorf("read source %q: %w", r.c.plan.From.Name, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, s := range r.streams[1:] {
		for s.next != nil {
			r.orphan(s)
			if err := s.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// inOrder stops on a parent key that does not strictly increase (rule 20).
func (r *runner) inOrder(root *plan.Stream) error {
	order := 0
	for i, col := range root.Key {
		text := r.row[col].Bytes()
		if order == 0 {
			order = compareKey(r.last[i], text, root.Query.Key[i].Type.Kind)
		}
		r.last[i] = append(r.last[i][:0], text...)
	}
	if r.rows > 1 && order >= 0 {
		return r.disorder(r.c.plan.From.Name, r.rows, order)
	}
	return nil
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

func (r *runner) disorder(name string, row int64, order int) error {
	return &OrderError{Source: name, Row: row, Twice: order == 0}
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

// advance moves the lookahead on, and asserts its order.
func (s *stream) advance() error {
	if !s.rows.Next() {
		s.next = nil
		if err := s.rows.Err(); err != nil {
			return fmt.Errorf("read source %q: %w", s.name, err)
		}
		return nil
	}
	s.next = s.rows.Row()
	s.seen++
	st := s.plan
	if s.last == nil {
		s.last = make([][]byte, len(st.Key)+len(st.Order))
	}
	order := 0
	step := func(i, col int, kind source.Kind) {
		text := s.next[col].Bytes()
		if order == 0 {
			order = compareKey(s.last[i], text, kind)
		}
		s.last[i] = append(s.last[i][:0], text...)
	}
	for i, col := range st.Key {
		step(i, col, st.Query.Key[i].Type.Kind)
	}
	for i, col := range st.Order {
		step(len(st.Key)+i, col, st.Query.Order[i].Type.Kind)
	}
	if s.seen > 1 && order >= 0 {
		return &OrderError{Source: s.name, Row: s.seen, Twice: order == 0}
	}
	return nil
}

func (r *runner) orphan(s *stream) {
	// In a pass that leaves parents out, a child may well have none.
	if !r.c.plan.Narrowed {
		r.report.Skipped["orphan"]++
	}
}

// load copies the rows of s that belong to the parent row.
func (r *runner) load(root *plan.Stream, s *stream) error {
	s.n, s.data, s.cells, s.cur, s.tooMany = 0, s.data[:0], s.cells[:0], -1, false
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
	for _, v := range s.next {
		if v.IsNull() {
			s.cells = append(s.cells, cell{0, -1})
			continue
		}
		from := int32(len(s.data))
		s.data = append(s.data, v.Bytes()...)
		s.cells = append(s.cells, cell{from, int32(len(s.data))})
	}
	s.n++
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
	r.name(u)
	r.out.Type, r.out.Pos, r.out.Resource, r.out.Findings = u.typ, u.pos, &r.res, r.findings
	r.out.Updated, r.out.Tracked = r.updated, u.tracked
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

// name sets the id and the business key: one string for both.
func (r *runner) name(u *unit) {
	r.label = append(r.label[:0], r.id...)
	root := r.c.plan.Streams[0]
	for i, col := range root.Key {
		if i > 0 {
			r.label = append(r.label, ',')
		}
		r.label = append(r.label, root.Query.Key[i].Name...)
		r.label = append(r.label, '=')
		r.label = append(r.label, r.row[col].Bytes()...)
	}
	text := string(r.label)
	r.out.ID, r.out.Key = text[:len(r.id)], text[len(r.id):]
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
}
