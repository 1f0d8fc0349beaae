package mapping_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"remit/mapping"
	"remit/mapping/program"
	"remit/sql/duckdb"
	"remit/sql/source"
)

// BenchmarkRule19_LargeMap runs rows through a map of 100,000 keys.
func BenchmarkRule19_LargeMap(b *testing.B) {
	const keys, rows = 100_000, 10_000
	var table strings.Builder
	table.WriteString("local,carc\n")
	for i := range keys {
		fmt.Fprintf(&table, "K%06d,%d\n", i, i%300)
	}
	f := &fake{tables: map[string]*fakeTable{"m": {columns: []source.Column{column("id", source.KindText), column("code", source.KindText)}}}}
	for i := range rows {
		f.tables["m"].rows = append(f.tables["m"].rows, []string{fmt.Sprintf("%06d", i), fmt.Sprintf("K%06d", i*7%keys)})
	}
	p, diags, err := mapping.Load(context.Background(), files(map[string]string{
		"carc.csv":     table.String(),
		"sources.yaml": "sources:\n  m: {table: m, key: [id]}\nmaps:\n  carc: {csv: carc.csv, key: local, value: carc}\n",
		"m.yaml":       "resource: Basic\nfrom: m\nset: {code: {text: {map: carc, of: =code}}}\n",
	}), mapping.Env{Warehouse: f, Profiles: profileSet(b)})
	if err != nil || p == nil {
		b.Fatal(err, diags.Err())
	}
	snap := memory(b, f)
	b.ReportAllocs()
	for b.Loop() {
		report, err := p.Run(context.Background(), snap, program.Request{}, discard)
		if err != nil || report.Resources["Basic"] != rows || len(report.Unmapped) > 0 {
			b.Fatal(err, report.Resources)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/resource")
}

// BenchmarkLoad loads the shipped sets, each against its fixture, profiles and
// warehouses already open and their tables read: each by itself, and all of them
// in one operation, one after the other. In first the warehouse has been asked
// nothing yet; in again it knows the columns of its tables and of the sets' SQL,
// as when a set is loaded again that was changed.
func BenchmarkLoad(b *testing.B) {
	sets := shipped(b)
	profileSet(b)
	open := func(b *testing.B, s shippedSet) source.Source {
		w, err := duckdb.Open(b.Context(), s.fixture, duckdb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		snap, err := w.Snapshot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := snap.Close(); err != nil {
			b.Fatal(err)
		}
		return w
	}
	bench := func(name string, sets ...shippedSet) {
		warehouses := make([]source.Source, len(sets))
		all := func(b *testing.B) {
			for i, s := range sets {
				if p, diags := load(b, warehouses[i], s.files); p == nil {
					b.Fatal(diags.Err())
				}
			}
		}
		swap := func(b *testing.B) {
			for i, s := range sets {
				if warehouses[i] != nil {
					if err := warehouses[i].Close(); err != nil {
						b.Fatal(err)
					}
				}
				warehouses[i] = open(b, s)
			}
		}
		b.Run(name+"/first", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				swap(b)
				b.StartTimer()
				all(b)
			}
		})
		b.Run(name+"/again", func(b *testing.B) {
			swap(b)
			all(b)
			for b.Loop() {
				all(b)
			}
		})
		for _, w := range warehouses {
			if w != nil {
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	for _, s := range sets {
		bench(s.name, s)
	}
	bench("all", sets...)
}
