package mapping_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"remit/mapping"
	"remit/mapping/program"
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
