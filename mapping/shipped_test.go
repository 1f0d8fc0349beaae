package mapping_test

import (
	"context"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"remit/mapping/library"
	"remit/mapping/program"
	"remit/sql/source"
)

// shippedSet is a mapping set of the library and the warehouse of its fixture.
type shippedSet struct {
	name    string
	files   fs.FS
	fixture string // folder
}

// shipped lists the sets of the library that have a fixture, of which there is
// one of the same name.
func shipped(t testing.TB) []shippedSet {
	t.Helper()
	var out []shippedSet
	for _, name := range library.Names() {
		files, _ := library.Set(name)
		dir := "../fixtures/" + name
		if _, err := os.Stat(dir); err != nil {
			t.Logf("set %s has no fixture", name)
			continue
		}
		out = append(out, shippedSet{name, files, dir})
	}
	if len(out) == 0 {
		t.Fatal("no shipped set has a fixture")
	}
	return out
}

// recorded is a snapshot that keeps what its queries gave, so that a second run
// costs the warehouse nothing and allocates no rows.
type recorded struct {
	source.Snapshot
	rows map[string][]source.Row
}

func record(t testing.TB, w source.Source) *recorded {
	t.Helper()
	snap, err := w.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snap.Close() })
	return &recorded{snap, map[string][]source.Row{}}
}

func (s *recorded) Stream(ctx context.Context, q *source.Query) (source.RowStream, error) {
	var key strings.Builder
	key.WriteString(q.From.Name)
	for _, e := range append(append([]source.Expr(nil), q.Columns...), q.Where...) {
		key.WriteString("\x00" + e.SQL)
	}
	rows, ok := s.rows[key.String()]
	if !ok {
		in, err := s.Snapshot.Stream(ctx, q)
		if err != nil {
			return nil, err
		}
		defer func() { _ = in.Close() }()
		for in.Next() {
			row := make(source.Row, len(in.Row()))
			for i, v := range in.Row() {
				if !v.IsNull() {
					row[i] = source.Text(append([]byte(nil), v.Bytes()...))
				}
			}
			rows = append(rows, row)
		}
		if err := in.Err(); err != nil {
			return nil, err
		}
		s.rows[key.String()] = rows
	}
	return &fakeRows{rows: rows}, nil
}

// mallocs runs every pass and counts what each allocates while it emits its
// second half, when its buffers have grown: heap objects, and resources.
func mallocs(t testing.TB, p *program.Program, snap source.Snapshot, r program.Request) (objects, resources uint64) {
	t.Helper()
	var line []byte
	for pass := 1; ; pass++ {
		r.Pass = pass
		if len(p.Queries(r)) == 0 {
			if pass > 64 {
				return objects, resources
			}
			continue
		}
		count := uint64(0)
		emit := func(e *program.Emitted) error {
			line = e.Resource.AppendJSON(line[:0])
			count++
			return nil
		}
		if _, err := p.Run(context.Background(), snap, r, emit); err != nil {
			t.Fatal(err)
		}
		all := count
		count = 0
		var from, to runtime.MemStats
		if _, err := p.Run(context.Background(), snap, r, func(e *program.Emitted) error {
			if count == all/2 {
				runtime.ReadMemStats(&from)
			}
			if count == all-1 {
				runtime.ReadMemStats(&to)
			}
			return emit(e)
		}); err != nil {
			t.Fatal(err)
		}
		objects += to.Mallocs - from.Mallocs
		resources += all - all/2
	}
}

// TestEmittingAllocatesNothing runs the small claims and every shipped set over
// rows in memory: once buffers have grown, a resource is built and laid down
// without an allocation. A row that makes a finding, or a key that a map does
// not hold, may allocate; so may a resource larger than all before it.
func TestEmittingAllocatesNothing(t *testing.T) {
	f, set := claims(2000)
	p, diags := load(t, f, set)
	if p == nil {
		t.Fatal(diags.Err())
	}
	if objects, resources := mallocs(t, p, memory(t, f), program.Request{}); objects > 0 || resources != 2000 {
		t.Errorf("small claims: %d allocations for %d resources", objects, resources)
	}
	for _, s := range shipped(t) {
		t.Run(s.name, func(t *testing.T) {
			w := warehouse(t, s.fixture)
			p, diags := load(t, w, s.files)
			if p == nil {
				t.Fatal(diags.Err())
			}
			objects, resources := mallocs(t, p, record(t, w), program.Request{})
			t.Logf("%d allocations for %d resources", objects, resources)
			if resources < 1000 {
				t.Skip("SKIPPED: the fixture is too small for buffers to have grown")
			}
			if objects*50 > resources {
				t.Errorf("%d allocations for %d resources, want next to none", objects, resources)
			}
		})
	}
}
