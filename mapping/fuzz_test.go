package mapping_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"remit/mapping"
	"remit/mapping/program"
)

// FuzzLoad asks that no mapping and no sources.yaml breaks the compiler, and
// that what loads also runs.
func FuzzLoad(f *testing.F) {
	w, set := claims(2)
	definitions := profileSet(f)
	f.Add(set["eob.yaml"].Data, set["sources.yaml"].Data)
	entries, err := os.ReadDir("testdata/err")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile("testdata/err/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		if strings.HasPrefix(e.Name(), "eob-") && strings.HasSuffix(e.Name(), ".yaml") {
			f.Add(data, set["sources.yaml"].Data)
		}
		if strings.HasPrefix(e.Name(), "sources-") && strings.HasSuffix(e.Name(), ".yaml") {
			f.Add(set["eob.yaml"].Data, data)
		}
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, m, sources []byte) {
		if len(m)+len(sources) > 20<<10 {
			return
		}
		files := fstest.MapFS{"sources.yaml": {Data: sources}, "m.yaml": {Data: m}, "coverage.yaml": set["coverage.yaml"]}
		p, diags, err := mapping.Load(ctx, files, mapping.Env{Warehouse: w, Profiles: definitions})
		if err != nil {
			t.Fatal(err)
		}
		if (p == nil) != diags.HasErrors() {
			t.Fatal("a set is refused without an error, or loaded with one")
		}
		if p == nil {
			return
		}
		snap, err := w.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.Run(ctx, snap, program.Request{}, discard)
	})
}
