package export

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/server/files"
	"remit/server/jobs"
	"remit/sql/control"
	"remit/sql/source"
)

// row is one resource of the double's warehouse.
type row struct {
	pass         int
	typ, id      string
	patient, key string
	text         string // its name, "" for none
	finding      profiles.Finding
	json         string // the whole resource, in place of id and text
	gone         bool   // a deletion
}

// double is a program over rows in memory. Passes are cut by patient where
// every row of the pass has one.
type double struct {
	types  []program.Type
	views  map[string][]program.Type
	rows   []row
	roster map[string][]string
	named  bool // rosters name their members
	// before is called at the start of each Run, and after it has emitted.
	before, after func(ctx context.Context, r program.Request) error
	// split is called at the start of each Split.
	split func()

	mu   sync.Mutex
	runs []program.Request
}

func (d *double) Types() []program.Type { return d.types }

func (d *double) TypesOf(view string) []program.Type {
	if view == "" {
		return d.types
	}
	return d.views[view]
}

func (d *double) Position(o r4.Origin) diag.Pos {
	if o == 0 {
		return diag.Pos{}
	}
	return diag.Pos{File: "map.yaml", Line: int(o), Column: 3}
}

func (d *double) selected(r program.Request) []row {
	var out []row
	for _, w := range d.rows {
		if w.pass != r.Pass || !slices.Contains(r.Types, w.typ) ||
			r.After != nil && w.patient <= *r.After || r.UpTo != nil && w.patient > *r.UpTo ||
			r.Patients != nil && w.patient != "" && !slices.Contains(r.Patients, w.patient) ||
			w.patient != "" && slices.Contains(r.Without, w.patient) {
			continue
		}
		if i := slices.IndexFunc(d.types, func(t program.Type) bool { return t.Name == w.typ }); d.types[i].Reach == program.Roster {
			if r.Roster != "" && w.id != r.Roster || r.Roster == "" && r.Patients != nil {
				continue
			}
		}
		out = append(out, w)
	}
	return out
}

func (d *double) Split(_ context.Context, _ source.Snapshot, r program.Request, size int) ([]program.Request, error) {
	if d.split != nil {
		d.split()
	}
	passes := map[int]bool{}
	for _, w := range d.rows {
		passes[w.pass] = true
	}
	var out []program.Request
	for p := range len(passes) {
		r := r
		r.Pass = p
		rows := d.selected(r)
		if len(rows) == 0 {
			continue
		}
		var patients []string
		for _, w := range rows {
			patients = append(patients, w.patient)
		}
		slices.Sort(patients)
		patients = slices.Compact(patients)
		if patients[0] == "" {
			out = append(out, r)
			continue
		}
		var after *string
		for part := range slices.Chunk(patients, size) {
			c := r
			c.After = after
			upTo := part[len(part)-1]
			c.UpTo, after = &upTo, &upTo
			out = append(out, c)
		}
		out[len(out)-1].UpTo = nil
	}
	return out, nil
}

func (d *double) Run(ctx context.Context, snap source.Snapshot, r program.Request, emit program.Emit) (*program.Report, error) {
	d.mu.Lock()
	d.runs = append(d.runs, r)
	d.mu.Unlock()
	if d.before != nil {
		if err := d.before(ctx, r); err != nil {
			return &program.Report{}, err
		}
	}
	rep := &program.Report{Resources: map[string]int64{}, Absent: map[string]int64{"Patient.name": 1}}
	var res r4.Resource
	for _, w := range d.selected(r) {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if w.gone {
			if !r.Deletions {
				continue
			}
			if err := emit(&program.Emitted{Type: w.typ, ID: []byte(w.id), Deleted: true, Tracked: true}); err != nil {
				return rep, err
			}
			continue
		}
		t := r4.Lookup(w.typ)
		res.Start(t, 1)
		res.SetString(res.Add(r4.Root, t.Element("id"), 2), w.id)
		if w.text != "" {
			res.SetString(res.Add(r4.Root, t.Element("implicitRules"), 3), w.text)
		}
		if w.typ == "Group" && d.named {
			for _, m := range d.roster[w.id] {
				part := res.Add(r4.Root, t.Element("member"), 4)
				entity := res.Add(part, r4.Lookup("Group.member").Element("entity"), 4)
				res.SetString(res.Add(entity, r4.Lookup("Reference").Element("reference"), 4), "Patient/p"+m[1:])
			}
		}
		if w.json != "" {
			var p r4.Parser
			if problems := p.Parse([]byte(w.json), &res); len(problems) > 0 {
				return rep, fmt.Errorf("parse: %v", problems)
			}
		}
		m := &program.Emitted{Type: w.typ, ID: []byte(w.id), Key: []byte(w.key), Pos: diag.Pos{File: "map.yaml", Line: 1, Column: 1}, Resource: &res}
		if w.finding.Code != "" {
			m.Findings = []profiles.Finding{w.finding}
		}
		if err := emit(m); err != nil {
			return rep, err
		}
		rep.Rows++
		rep.Resources[w.typ]++
	}
	if d.after != nil {
		if err := d.after(ctx, r); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

func (d *double) Patients(_ context.Context, _ source.Snapshot, ids []string) (map[string]string, error) {
	out := map[string]string{}
	for _, w := range d.rows {
		if w.typ == "Patient" && slices.Contains(ids, w.id) {
			out[w.id] = w.patient
		}
	}
	return out, nil
}

func (d *double) Roster(_ context.Context, _ source.Snapshot, id string) ([]string, bool, error) {
	m, ok := d.roster[id]
	return m, ok, nil
}

func (d *double) ran() []program.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.runs)
}

// small is a double of three patients with two claims each in another pass, two
// organizations and two rosters.
func small() *double {
	d := &double{
		types: []program.Type{
			{Name: "Claim", Reach: program.PatientData, Tracked: true},
			{Name: "Group", Reach: program.Roster, Tracked: true},
			{Name: "Organization", Reach: program.Shared, Tracked: true},
			{Name: "Patient", Reach: program.PatientData, Tracked: true},
		},
		roster: map[string][]string{"g1": {"m1", "m3"}, "g2": {"m2"}, "none": {}},
	}
	for i := 1; i <= 3; i++ {
		m := fmt.Sprintf("m%d", i)
		d.rows = append(d.rows, row{typ: "Patient", id: fmt.Sprintf("p%d", i), patient: m, key: "member_id=" + m, text: "secret-" + m})
		for c := 1; c <= 2; c++ {
			id := fmt.Sprintf("c%d%d", i, c)
			d.rows = append(d.rows, row{pass: 1, typ: "Claim", id: id, patient: m, key: "claim_id=" + id})
		}
	}
	for _, id := range []string{"o1", "o2"} {
		d.rows = append(d.rows, row{pass: 2, typ: "Organization", id: id, key: "npi=" + id})
	}
	for _, id := range []string{"g1", "g2"} {
		d.rows = append(d.rows, row{pass: 3, typ: "Group", id: id, key: "payer=" + id})
	}
	return d
}

var allTypes = []string{"Claim", "Group", "Organization", "Patient"}

// snapshot is a view of nothing: the double has its own rows.
type snapshot struct {
	source.Snapshot
	asOf time.Time
	w    *warehouse
	once sync.Once
}

func (s *snapshot) AsOf() time.Time { return s.asOf }
func (s *snapshot) Close() error {
	s.once.Do(func() {
		s.w.mu.Lock()
		s.w.open--
		s.w.mu.Unlock()
	})
	return nil
}

// warehouse counts its snapshots; each is a minute younger than the one before.
type warehouse struct {
	mu     sync.Mutex
	open   int
	opened int
	most   int // open at once
	fail   error
}

var firstAsOf = time.Date(2026, 2, 1, 0, 0, 0, 5e6, time.UTC)

func (w *warehouse) Snapshot(context.Context) (source.Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	w.open++
	w.opened++
	w.most = max(w.most, w.open)
	return &snapshot{asOf: firstAsOf.Add(time.Duration(w.opened-1) * time.Minute), w: w}, nil
}

func (w *warehouse) stats() (open, opened int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open, w.opened
}

// clock can be set forward.
type clock struct {
	mu sync.Mutex
	d  time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.d)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.d += d
}

// bench is all that an engine stands on.
type bench struct {
	t       testing.TB
	dir     string
	double  *double
	wh      *warehouse
	clock   *clock
	control *control.Store
	store   *files.Store
	logs    *logs
	valid   Validator
	change  func(*Options)
	queue   string
}

// logs is a concurrent buffer.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t testing.TB, d *double) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), double: d, wh: &warehouse{}, clock: &clock{}, logs: &logs{}}
	var err error
	b.useControl("sqlite:" + filepath.Join(b.dir, "control.db"))
	if b.store, err = files.Open(t.Context(), "file:"+filepath.Join(b.dir, "files")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if open, _ := b.wh.stats(); open != 0 {
			t.Errorf("%d snapshots are still open", open)
		}
		// What every test asserts: no business key and no value in the logs.
		for _, w := range b.double.rows {
			for _, secret := range []string{w.key, w.text, w.patient} {
				if len(secret) > 2 && strings.Contains(b.logs.String(), secret) {
					t.Errorf("logs hold %q", secret)
				}
			}
		}
		b.control.Close()
		b.store.Close()
	})
	return b
}

// useControl exchanges the control store and the queue.
func (b *bench) useControl(address string) {
	b.t.Helper()
	if b.control != nil {
		b.control.Close()
	}
	var err error
	if b.control, err = control.Open(b.t.Context(), address); err != nil {
		b.t.Fatal(err)
	}
	b.queue = jobs.Beside(address)
}

// engine makes an engine on the bench and starts it.
func (b *bench) engine() *Engine {
	b.t.Helper()
	o := Options{
		Program:   func() (Runner, Validator) { return b.double, b.valid },
		Warehouse: b.wh, Control: b.control, Files: b.store, Queue: b.queue,
		ChunkSize: 1, Workers: 2, Attempts: 4, Backoff: time.Millisecond, Poll: 5 * time.Millisecond, Clock: b.clock.now,
		Log: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if b.change != nil {
		b.change(&o)
	}
	e, err := New(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.t.Error(err)
		}
	})
	if err := e.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return e
}

// crash ends an engine as a power cut would: nothing is given up.
func (b *bench) crash(e *Engine) {
	b.t.Helper()
	e.mu.Lock()
	stop := e.stopBeat
	e.stopBeat = nil
	e.mu.Unlock()
	close(stop)
	e.beating.Wait()
	if err := e.queue.Stop(b.t.Context(), 0); err != nil {
		b.t.Fatal(err)
	}
	e.mu.Lock()
	ids := make([]string, 0, len(e.slots))
	for id := range e.slots {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	for _, id := range ids {
		e.end(id, errEnded)
	}
	b.clock.forward(e.Lease + time.Minute)
}
