package export

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"remit/server/files"
	"remit/sql/control"
)

func numbered(n int) (g digest) {
	binary.BigEndian.PutUint32(g[:], uint32(n))
	return g
}

// runOf writes a file of digests in the order given.
func runOf(t *testing.T, store *files.Store, object string, numbers []int) control.File {
	t.Helper()
	w, err := store.Create(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	var line digestLine
	for _, n := range numbers {
		if err := w.Write(line.of(numbered(n))); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return control.File{Object: object, Kind: control.KindDigest, Type: "Claim", Count: info.Count, Bytes: info.Bytes}
}

func memory(t *testing.T) *files.Store {
	t.Helper()
	store, err := files.Open(t.Context(), "mem:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// However many files there are and few of them are open at once, the merge gives
// all digests in order; files of an earlier version, in no order, are no fault.
func TestMerger(t *testing.T) {
	t.Parallel()
	for _, files := range []int{1, 2, 3, 4, 5, 17, 40} {
		for _, fan := range []int{2, 3, 16} {
			for _, unsorted := range []bool{false, true} {
				t.Run(fmt.Sprintf("files %d, fan %d, unsorted %t", files, fan, unsorted), func(t *testing.T) {
					t.Parallel()
					store := memory(t)
					random := rand.New(rand.NewPCG(uint64(files), uint64(fan)))
					var list []control.File
					var want []digest
					for i := range files {
						numbers := make([]int, 1+random.IntN(400))
						for k := range numbers {
							numbers[k] = random.IntN(2000) // many are twice
							want = append(want, numbered(numbers[k]))
						}
						if !unsorted || i%3 != 0 {
							slices.Sort(numbers)
						}
						list = append(list, runOf(t, store, fmt.Sprintf("c/%d", i), numbers))
					}
					slices.SortFunc(want, digest.compare)
					var got []digest
					m := &merger{store: store, base: "f", fan: fan}
					err := m.each(t.Context(), list, func(g digest) error {
						if len(got) > 0 && got[len(got)-1].compare(g) > 0 {
							got = got[:0] // begun again
						}
						got = append(got, g)
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					if len(got) > len(want) { // begun again with what came before it
						got = got[len(got)-len(want):]
					}
					same(t, "digests", want, got)
					for n := range 60 {
						if _, err := store.Reader(t.Context(), fmt.Sprintf("f/runs/Claim.%d.ndjson.gz", n)); err == nil {
							t.Errorf("merged file %d stays behind", n)
						}
					}
				})
			}
		}
	}
}

// A file that was cut short or spoiled is an error, not an end.
func TestMerger_Malformed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"short": "00ff", "long": fmt.Sprintf("%034d", 0), "letters": fmt.Sprintf("%031dx", 0)} {
		store := memory(t)
		w, err := store.Create(t.Context(), "c/1")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		info, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		bad := control.File{Object: "c/1", Type: "Claim", Count: 1, Bytes: info.Bytes}
		m := &merger{store: store, base: "f", fan: 2}
		if err := m.each(t.Context(), []control.File{bad}, func(digest) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := eachDigest(t.Context(), store, bad, func(digest) {}); err == nil {
			t.Errorf("%s: no error of a plain walk", name)
		}
	}
}

// A chunk holds no more digests than its bound, whatever it exports, and nothing
// of what it laid down is lost.
func TestDigests_Bound(t *testing.T) {
	t.Parallel()
	store := memory(t)
	set := store.NewSet("c", files.Limits{Lines: 30})
	d := newDigests(50)
	const all = 1234
	var want []digest
	for i := range all {
		g := numbered(i * 7919 % 100_003)
		want = append(want, g)
		if err := d.add(t.Context(), set, []string{"Claim", "Patient"}[i%2], g); err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, of := range d.byType {
			held += len(of)
		}
		if held > 50 || held != d.held {
			t.Fatalf("%d digests are held, %d counted, 50 allowed", held, d.held)
		}
	}
	if err := d.write(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	parts, err := set.Commit()
	if err != nil {
		t.Fatal(err)
	}
	var got []digest
	for _, f := range fileRows(parts, 0) {
		var last digest
		if err := eachDigest(t.Context(), store, f, func(g digest) {
			if g.compare(last) < 0 {
				t.Errorf("%s is in no order", f.Object)
			}
			last = g
			got = append(got, g)
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(want, digest.compare)
	slices.SortFunc(got, digest.compare)
	same(t, "digests", want, got)
}

// Duplicates are found whatever the bounds: within one chunk that held too many,
// in the only chunk of an export, and with everything else of organized files.
func TestBE234_DuplicatesUnderBounds(t *testing.T) {
	t.Parallel()
	for _, bound := range []int{1, 2, 3, 1000} {
		for _, fan := range []int{2, 64} {
			for name, r := range map[string]Request{
				"one chunk": {Types: []string{"Organization"}},
				"many":      {Types: []string{"Claim", "Organization", "Patient"}},
				"organized": {Types: []string{"Claim", "Patient"}, Organize: "Patient"},
			} {
				t.Run(fmt.Sprintf("%s, bound %d, fan %d", name, bound, fan), func(t *testing.T) {
					t.Parallel()
					d := small()
					for i := range 9 {
						id := fmt.Sprintf("o%d", i%5+10) // four are twice
						d.rows = append(d.rows, row{pass: 2, typ: "Organization", id: id, key: fmt.Sprintf("npi_again=%d", i)})
					}
					for _, id := range []string{"c11", "c12", "c21"} { // of other members' chunks
						d.rows = append(d.rows, row{pass: 1, typ: "Claim", id: id, patient: "m3", key: id + " again"})
					}
					d.rows = append(d.rows, row{pass: 0, typ: "Patient", id: "p1", patient: "m3", key: "p1 again"})
					for i := range d.rows {
						if w := &d.rows[i]; w.typ == "Claim" {
							w.json = fmt.Sprintf(`{"resourceType":"Claim","id":%q,"patient":{"reference":"Patient/p%s"}}`, w.id, w.patient[1:])
							if r.Organize != "" {
								w.pass = 0 // a chunk of it runs them all
							}
						}
					}
					slices.SortStableFunc(d.rows, func(a, b row) int { return strings.Compare(a.patient, b.patient) })
					e := newBench(t, d).engine()
					e.digests, e.fan = bound, fan
					id := export(t, e, r)
					rep, err := e.Report(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					want := map[string][]string{
						"Organization": {"o1", "o2", "o10", "o11", "o12", "o13", "o14"},
						"Claim":        {"c11", "c12", "c21", "c22", "c31", "c32"},
						"Patient":      {"p1", "p2", "p3"},
					}
					got := map[string][]string{}
					m, err := e.Manifest(t.Context(), id, "", false)
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range m.Output {
						for _, line := range readFile(t, e, id, f.Name) {
							var x struct{ ResourceType, ID string }
							if err := json.Unmarshal([]byte(line), &x); err != nil {
								t.Fatal(err)
							}
							got[x.ResourceType] = append(got[x.ResourceType], x.ID)
						}
					}
					for _, typ := range r.Types {
						slices.Sort(got[typ])
						slices.Sort(want[typ])
						same(t, typ, want[typ], got[typ])
						if n := rep.Exported[typ]; n != int64(len(want[typ])) {
							t.Errorf("%d of %s are exported, want %d", n, typ, len(want[typ]))
						}
					}
				})
			}
		}
	}
}

// Deletions and Provenance are settled the same in lots of any size.
func TestSettle_Lots(t *testing.T) {
	t.Parallel()
	for _, bound := range []int{1, 2, 3} {
		t.Run(fmt.Sprint("deletions, bound ", bound), func(t *testing.T) {
			t.Parallel()
			e, read := deletions(t, bound)
			id := export(t, e, Request{Since: firstAsOf.Add(-time.Hour)})
			same(t, "deleted", []string{"Claim/gone1", "Patient/gone2"}, read(id))
			rep, err := e.Report(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "report", map[string]int64{"Claim": 1, "Patient": 1}, rep.Deleted)
		})
		t.Run(fmt.Sprint("provenance, bound ", bound), func(t *testing.T) { t.Parallel(); provenances(t, bound) })
	}
}

// BenchmarkMerge measures the look for ids found twice in what 100 chunks of 20,000
// resources exported, 64 files at a time: digests/s, and all that it allocates.
func BenchmarkMerge(b *testing.B) {
	store, err := files.Open(b.Context(), "file:"+b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const chunks, each = 100, 20_000
	var list []control.File
	random := rand.NewChaCha8([32]byte{})
	for i := range chunks {
		set := store.NewSet(fmt.Sprint("c", i), files.Limits{})
		d := newDigests(maxDigests)
		for range each {
			var g digest
			_, _ = random.Read(g[:]) // never fails
			if err := d.add(b.Context(), set, "Claim", g); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.write(b.Context(), set); err != nil {
			b.Fatal(err)
		}
		parts, err := set.Commit()
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, fileRows(parts, i)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		m := &merger{store: store, base: "f", fan: maxRuns}
		if err := m.each(b.Context(), list, func(digest) error { n++; return nil }); err != nil || n != chunks*each {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(chunks*each*b.N)/b.Elapsed().Seconds(), "digests/s")
}
