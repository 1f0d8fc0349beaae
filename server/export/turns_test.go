package export

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"remit/mapping/program"
	"remit/sql/control"
	"remit/sql/postgres/postgrestest"
)

// drained waits until no export is active, and returns all in the order of
// their ends.
func drained(t testing.TB, b *bench, within time.Duration) []*control.Export {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; <-tick.C {
		counts, err := b.control.CountExports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if counts[control.Accepted]+counts[control.Running] == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("exports do not end: %v", counts)
		}
	}
	all, err := b.control.Exports(t.Context(), control.Complete)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b *control.Export) int { return a.Finished.Compare(b.Finished) })
	return all
}

// A client with a long line does not keep the others waiting, every export comes
// to its end, and whatever waits holds no snapshot.
func TestTurns_ClientsTakeTurns(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: three hundred exports take minutes under the race detector")
	}
	t.Parallel()
	d := small()
	gate := make(chan struct{})
	d.before = func(ctx context.Context, _ program.Request) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b := newBench(t, d)
	const active, others, each, many = 4, 9, 20, 120
	b.change = func(o *Options) { o.MaxActive, o.Workers, o.ChunkSize = active, 4, 100 }
	e := b.engine()
	ask := func(client string, n int) {
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(8)
		for range n {
			group.Go(func() error {
				r := Request{ClientID: client, Level: LevelGroup, Group: "g1", Types: []string{"Patient"}}
				_, err := e.Kickoff(ctx, r, false)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	ask("many", many)
	for i := range others {
		ask(fmt.Sprintf("other-%d", i), each)
	}
	b.wh.mu.Lock()
	if b.wh.open > active || b.wh.most > 2*active {
		t.Errorf("%d snapshots are open where %d exports may run, and were %d at once", b.wh.open, active, b.wh.most)
	}
	b.wh.mu.Unlock()
	close(gate)
	all := drained(t, b, patience)
	if len(all) != many+others*each {
		t.Fatalf("%d exports are complete, want %d", len(all), many+others*each)
	}
	// As long as all wait, each gets its share; "many" began alone.
	done := map[string]int{}
	rest := others * each
	for _, x := range all {
		done[x.ClientID]++
		if x.ClientID != "many" {
			if rest--; rest == 0 {
				break
			}
		}
	}
	if got, fair := done["many"], each+2*active; got > fair {
		t.Errorf("one client had %d exports done when the others had their %d: more than %d", got, each, fair)
	}
	if _, opened := b.wh.stats(); b.wh.most > 2*active || opened < many {
		t.Errorf("%d snapshots were open at once, of %d", b.wh.most, opened)
	}
}

// One member's export passes those of all members, however many of them wait and
// run; and those do not wait for ever behind small ones.
func TestTurns_SmallBeforeLarge(t *testing.T) {
	t.Parallel()
	d := small()
	gate := make(chan struct{})
	d.before = func(ctx context.Context, r program.Request) error {
		if r.Patients != nil {
			return nil
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b := newBench(t, d)
	b.change = func(o *Options) { o.MaxActive, o.Workers, o.ChunkSize = 4, 8, 100 }
	e := b.engine()
	var large []string
	for range 9 {
		large = append(large, kickoff(t, e, Request{ClientID: "a", Types: []string{"Patient"}}))
	}
	for range 5 {
		id := export(t, e, Request{ClientID: "a", Level: LevelPatient, Patients: []string{"p2"}, Types: []string{"Patient"}})
		same(t, "patients", []string{"p2"}, ids(t, e, id, "Patient"))
	}
	counts, err := b.control.CountExports(t.Context())
	if err != nil || counts[control.Complete] != 5 || counts[control.Running] > 3 {
		t.Errorf("counts %v, %v", counts, err)
	}
	close(gate)
	for _, id := range large {
		if st := wait(t, e, id); st.State != StateComplete {
			t.Errorf("export ends as %s", st.State)
		}
	}
}

func TestTurns_Lines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		max, small, large int
		want              [][]bool // small?
	}{
		{max: 8, want: [][]bool{{true}, {false}}},
		{max: 8, large: 2, want: [][]bool{{true}, {false}}},
		{max: 8, small: 2, large: 2, want: [][]bool{{true, false}}},
		{max: 8, large: 6, want: [][]bool{{true}}},
		{max: 8, large: 6, small: 2},
		{max: 8, small: 7, want: [][]bool{{false}, {true}}},
		{max: 1, want: [][]bool{{true, false}}},
		{max: 1, large: 1},
	} {
		e := &Engine{Options: Options{MaxActive: c.max}, turns: turns{admitted: map[string]place{}}}
		for i := range c.small + c.large {
			e.turns.admitted[fmt.Sprint(i)] = place{small: i < c.small}
		}
		same(t, fmt.Sprintf("%+v", c), c.want, e.lines())
	}
}

// BenchmarkQueue accepts b.N exports of 100 clients, every tenth of one member,
// and runs them with the engine's own limits on warehouse rows at hand, so that
// what is measured is the store and the queue: run it with -benchtime 10000x.
// Client 0 asks for a fifth of all, and before the others.
func BenchmarkQueue(b *testing.B) {
	for _, c := range []struct {
		name    string
		address func() string
	}{
		{"sqlite", func() string { return "" }},
		{"postgres", func() string { return postgrestest.DSN(b) }},
	} {
		b.Run(c.name, func(b *testing.B) { queueBench(b, c.address()) })
	}
}

func queueBench(b *testing.B, address string) {
	const clients, callers = 100, 16
	bed := newBench(b, small())
	if address != "" {
		bed.useControl(address)
	}
	bed.change = func(o *Options) { o.ChunkSize, o.Poll, o.Log = 100, 0, nil }
	e := bed.engine()
	clientOf := func(i int) string {
		if i < b.N/5 {
			return "client-0"
		}
		return fmt.Sprintf("client-%d", 1+i%(clients-1))
	}
	took := make([]time.Duration, b.N)
	start := time.Now()
	var group errgroup.Group
	next := make(chan int)
	for range callers {
		group.Go(func() error {
			for i := range next {
				r := Request{ClientID: clientOf(i), Level: LevelSystem, Types: []string{"Patient"}}
				if i%10 == 9 {
					r.Level, r.Patients = LevelPatient, []string{"p2"}
				}
				at := time.Now()
				if _, err := e.Kickoff(b.Context(), r, false); err != nil {
					return err
				}
				took[i] = time.Since(at)
			}
			return nil
		})
	}
	feeding := sync.WaitGroup{}
	feeding.Go(func() {
		defer close(next)
		for i := range b.N {
			next <- i
		}
	})
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	feeding.Wait()
	accepted := time.Since(start)
	counts, err := bed.control.CountExports(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	queued := counts[control.Accepted]
	all := drained(b, bed, time.Hour)
	whole := time.Since(start)
	if len(all) != b.N {
		b.Fatalf("%d exports are complete, want %d", len(all), b.N)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "kickoff-p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "kickoff-p99-ms")
	b.ReportMetric(float64(b.N)/accepted.Seconds(), "kickoffs/s")
	b.ReportMetric(float64(b.N)/whole.Seconds(), "exports/s")
	b.ReportMetric(float64(bed.wh.most), "snapshots-at-once")
	if b.N < 10*clients {
		return
	}
	b.Logf("%d exports: accepted in %v, of which %d then waited; all done in %v", b.N, accepted.Round(time.Millisecond), queued, whole.Round(time.Millisecond))
	// The share of each client, as the exports end.
	done := map[string]int{}
	var small, large []time.Duration
	for i, x := range all {
		done[x.ClientID]++
		if x.Small {
			small = append(small, x.Finished.Sub(x.Created))
		} else {
			large = append(large, x.Finished.Sub(x.Created))
		}
		if (i+1)%(b.N/5) != 0 {
			continue
		}
		counts := slices.Sorted(maps.Values(maps.Collect(func(yield func(string, int) bool) {
			for c := range clients {
				if name := fmt.Sprintf("client-%d", c); name != "client-0" && !yield(name, done[name]) {
					return
				}
			}
		})))
		b.Logf("after %d%%: client 0, who asked for a fifth and first, has %d; of the others the least served has %d, the most %d", 100*(i+1)/b.N,
			done["client-0"], counts[0], counts[len(counts)-1])
	}
	for name, d := range map[string][]time.Duration{"one member": small, "all members": large} {
		slices.Sort(d)
		b.Logf("exports of %s wait and run: p50 %v, p99 %v", name, d[len(d)/2].Round(time.Millisecond), d[len(d)*99/100].Round(time.Millisecond))
	}
}
