package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"remit/mapping/program"
	"remit/sql/source"
)

// searchable is a double that can be read from. Every id must be looked up in an
// index.
type searchable struct {
	*double
	// walk is called at the start of each walk.
	walk func(ctx context.Context, typ string) error
	// rosters is called at the start of each look at a roster.
	rosters func(ctx context.Context, id string) error
}

func (s *searchable) Rows(ctx context.Context, _ source.Snapshot, r program.Request, _ int, found func(*program.Found) error) error {
	for _, w := range s.rows {
		if !slices.Contains(r.Types, w.typ) {
			continue
		}
		f := program.Found{Row: program.Row{Pass: w.pass, Key: []string{w.key}}, ID: []byte(w.id), Patient: w.patient, Owned: w.patient != ""}
		if err := found(&f); err != nil {
			return err
		}
	}
	return nil
}

func (s *searchable) Index(ctx context.Context, snap source.Snapshot, r program.Request, room program.Room) (*program.Index, error) {
	if s.walk != nil {
		if err := s.walk(ctx, r.Types[0]); err != nil {
			return nil, err
		}
	}
	b := program.NewIndexBuilder(room)
	if err := s.Rows(ctx, snap, r, 0, b.Add); err != nil {
		b.Drop()
		return nil, err
	}
	return b.Index(), nil
}

func (s *searchable) Roster(ctx context.Context, snap source.Snapshot, id string) ([]string, bool, error) {
	if s.rosters != nil {
		if err := s.rosters(ctx, id); err != nil {
			return nil, false, err
		}
	}
	return s.double.Roster(ctx, snap, id)
}

func (s *searchable) Recover(string, string, string) ([]program.Row, bool) { return nil, false }
func (s *searchable) PassesOf(string, string) []int                        { return nil }
func (s *searchable) Columns(string, string, string) (map[int][]source.KeyColumn, bool) {
	return nil, false
}

// slowWarehouse opens a snapshot when it is told to, where it is held.
type slowWarehouse struct {
	*warehouse
	held  atomic.Bool
	asked chan struct{} // one for each opening that waits
	pass  chan error    // nil opens it
}

func (w *slowWarehouse) Snapshot(ctx context.Context) (source.Snapshot, error) {
	if w.held.Load() {
		w.asked <- struct{}{}
		select {
		case err := <-w.pass:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return w.warehouse.Snapshot(ctx)
}

// readBench is an engine over a searchable double, and a reader of it.
func readBench(t *testing.T, o ReadOptions) (*bench, *searchable, *slowWarehouse, *Reader) {
	t.Helper()
	b := newBench(t, small())
	s := &searchable{double: b.double}
	w := &slowWarehouse{warehouse: b.wh, asked: make(chan struct{}, 16), pass: make(chan error)}
	b.change = func(o *Options) {
		o.Program = func() (Runner, Validator) { return s, nil }
		o.Warehouse = w
	}
	r := b.engine().Reader(o)
	t.Cleanup(r.Close)
	return b, s, w, r
}

func reads(ctx context.Context, r *Reader, typ, id string) error {
	res, err := r.Read(ctx, Bounds{}, typ, id)
	if err == nil && res.ID != id {
		return fmt.Errorf("%s is %s", id, res.ID)
	}
	return err
}

// begin runs a read and tells its end.
func begin(ctx context.Context, r *Reader, typ, id string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- reads(ctx, r, typ, id) }()
	return done
}

func ended(t *testing.T, what string, done <-chan error, want error) {
	t.Helper()
	select {
	case err := <-done:
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end", what)
	}
}

// A warehouse that takes its time over a connection keeps up nobody who has a
// snapshot, holds nobody longer than they want to wait, and is asked once for all
// who wait.
func TestReader_SlowSnapshot(t *testing.T) {
	t.Parallel()
	b, s, w, r := readBench(t, ReadOptions{})
	ctx := t.Context()
	if err := reads(ctx, r, "Claim", "c11"); err != nil {
		t.Fatal(err)
	}
	// One reader is at work on the snapshot at hand when it grows too old.
	walking, walk := make(chan struct{}), make(chan struct{})
	s.walk = func(_ context.Context, typ string) error {
		if typ == "Patient" {
			walking <- struct{}{}
			<-walk
		}
		return nil
	}
	within := begin(ctx, r, "Patient", "p1")
	<-walking
	b.clock.forward(time.Hour)
	w.held.Store(true)
	impatient, leave := context.WithCancelCause(ctx)
	first := begin(impatient, r, "Claim", "c21")
	<-w.asked
	second := begin(ctx, r, "Claim", "c22")

	// It goes on while the next snapshot is being opened.
	close(walk)
	ended(t, "the reader with a snapshot", within, nil)
	// Who asked for the snapshot may leave; who waits with them is not failed by it.
	gone := errors.New("gone")
	leave(gone)
	ended(t, "the reader who left", first, gone)
	w.pass <- nil
	ended(t, "the reader who stayed", second, nil)
	if _, opened := b.wh.stats(); opened != 2 {
		t.Errorf("%d snapshots were opened, want 2", opened)
	}
}

// All who wait for a snapshot that cannot be opened are told; the next tries anew.
func TestReader_FailedSnapshot(t *testing.T) {
	t.Parallel()
	_, _, w, r := readBench(t, ReadOptions{})
	w.held.Store(true)
	down := errors.New("down")
	done := begin(t.Context(), r, "Claim", "c11")
	<-w.asked
	w.pass <- down
	ended(t, "a read while the warehouse is down", done, down)
	w.held.Store(false)
	if err := reads(t.Context(), r, "Claim", "c11"); err != nil {
		t.Error(err)
	}
}

// Close leaves nothing open, an opening under way included; reads may come after.
func TestReader_CloseWhileOpening(t *testing.T) {
	t.Parallel()
	b, _, w, r := readBench(t, ReadOptions{})
	w.held.Store(true)
	done := begin(t.Context(), r, "Claim", "c11")
	<-w.asked
	r.Close()
	ended(t, "the read", done, errEnded)
	if open, opened := b.wh.stats(); open != 0 || opened != 0 {
		t.Errorf("%d of %d snapshots are open", open, opened)
	}
	w.held.Store(false)
	if err := reads(t.Context(), r, "Claim", "c11"); err != nil {
		t.Error(err)
	}
}

// A roster that takes its time keeps up those alone who need it, and them no
// longer than they want to wait.
func TestReader_SlowRoster(t *testing.T) {
	t.Parallel()
	_, s, _, r := readBench(t, ReadOptions{})
	asked, roster := make(chan struct{}, 1), make(chan struct{})
	s.rosters = func(_ context.Context, id string) error {
		if id == "g1" {
			asked <- struct{}{}
			<-roster
		}
		return nil
	}
	of := func(ctx context.Context, group, id string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := r.Read(ctx, Bounds{Groups: []string{group}}, "Claim", id)
			done <- err
		}()
		return done
	}
	slow := of(t.Context(), "g1", "c11")
	<-asked
	ended(t, "a member of another group", of(t.Context(), "g2", "c21"), nil)
	ended(t, "no member of another group", of(t.Context(), "g2", "c11"), ErrNotFound)
	impatient, leave := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	second := of(impatient, "g1", "c11")
	leave(gone)
	ended(t, "who left", second, gone)
	close(roster)
	ended(t, "who stayed", slow, nil)
}

// The indexes of all types and views together keep to their bound; the one used
// least recently goes, and what has none is found all the same.
func TestReader_IndexBound(t *testing.T) {
	t.Parallel()
	walks := map[string]int{}
	check := func(t *testing.T, r *Reader, limit int64) {
		t.Helper()
		x := r.indexes
		x.mu.Lock()
		defer x.mu.Unlock()
		var sum int64
		for _, s := range x.slots {
			if s.index != nil {
				sum += s.index.Bytes()
			}
		}
		if sum != x.held || sum > limit {
			t.Errorf("indexes take %d bytes, %d are counted, %d allowed", sum, x.held, limit)
		}
	}
	_, s, _, r := readBench(t, ReadOptions{})
	for i := range 400 {
		for _, typ := range []string{"Claim", "Organization", "Patient"} {
			s.rows = append(s.rows, row{typ: typ, id: fmt.Sprintf("%s%d", typ, i), key: fmt.Sprintf("number=%d", i)})
		}
	}
	s.walk = func(_ context.Context, typ string) error { walks[typ]++; return nil }
	read := func(typ string) {
		t.Helper()
		if err := reads(t.Context(), r, typ, typ+"7"); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		check(t, r, r.indexes.limit)
	}
	read("Claim")
	one := r.indexes.held
	if one == 0 {
		t.Fatal("no index is kept")
	}
	// Room for two, and for the marks that are moved while a third grows.
	r.indexes.limit = 2*one + one/2
	for _, typ := range []string{"Patient", "Claim", "Patient", "Claim"} {
		read(typ)
	}
	same(t, "walks where two have room", map[string]int{"Claim": 1, "Patient": 1}, walks)
	read("Organization")
	read("Claim")
	same(t, "walks after a third", map[string]int{"Claim": 1, "Patient": 1, "Organization": 1}, walks)
	read("Patient") // went, as the one used least recently
	same(t, "walks after it", map[string]int{"Claim": 1, "Patient": 2, "Organization": 1}, walks)
	// No room for any: reads walk, and hold nothing.
	r.indexes.limit = one / 2
	r.indexes.only("")
	read("Patient")
	read("Organization")
	if r.indexes.held != 0 {
		t.Errorf("%d bytes are held", r.indexes.held)
	}
}

// However many build at once, what they hold together keeps to the bound.
func TestIndexes_BoundWhileBuilding(t *testing.T) {
	t.Parallel()
	const limit = 300_000
	x := newIndexes(limit)
	_, _, _, r := readBench(t, ReadOptions{})
	_, v, leave, err := r.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	done := make(chan int)
	for g := range 4 {
		go func() {
			kept := 0
			defer func() { done <- kept }()
			for i := range 60 {
				key := indexKey{"f", fmt.Sprintf("T%d", (g+i)%9), ""}
				slot := x.slot(key)
				if err := slot.gate.enter(t.Context()); err != nil {
					t.Error(err)
					return
				}
				x.use(slot)
				b := program.NewIndexBuilder(func(bytes int64) bool {
					ok := x.room(bytes)
					x.mu.Lock()
					defer x.mu.Unlock()
					if x.held > limit || x.held < 0 {
						t.Errorf("%d bytes are held", x.held)
					}
					return ok
				})
				var index *program.Index
				for n := range 1000 * (1 + i%3) {
					if err := b.Add(&program.Found{ID: fmt.Append(nil, n), Row: program.Row{Key: []string{fmt.Sprint(n)}}}); err != nil {
						b.Drop()
						b = nil
						break
					}
				}
				if b != nil {
					index = b.Index()
					kept++
				}
				x.keep(key, slot, index, v)
				slot.gate.leave()
			}
		}()
	}
	kept := 0
	for range 4 {
		kept += <-done
	}
	if kept < 20 {
		t.Errorf("%d indexes were built, the bound leaves room for more", kept)
	}
	x.only("")
	if x.held != 0 {
		t.Errorf("%d bytes are held by nothing", x.held)
	}
}
