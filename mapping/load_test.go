package mapping_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/profiles"
	"remit/sql/duckdb"
	"remit/sql/source"
)

// definitions opens the profiles once: they are immutable and take a moment.
var definitions = sync.OnceValues(func() (*profiles.Set, error) { return profiles.Open(profiles.Options{}) })

func profileSet(t testing.TB) *profiles.Set {
	t.Helper()
	set, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// warehouse opens the small tables that the tests map.
func warehouse(t testing.TB, path string) source.Source {
	t.Helper()
	w, err := duckdb.Open(context.Background(), path, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// base is the mapping set that every case starts from.
func base(t testing.TB) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	dir := os.DirFS("testdata/base")
	names, err := fs.Glob(dir, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: data}
	}
	return out
}

func load(t testing.TB, w source.Source, files fs.FS) (*program.Program, *diag.List) {
	t.Helper()
	p, diags, err := mapping.Load(context.Background(), files, mapping.Env{Warehouse: w, Profiles: profileSet(t)})
	if err != nil {
		t.Fatal(err)
	}
	return p, diags
}

// golden compares got with a file, or rewrites it under UPDATE=1.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// TestErr loads, for each file of testdata/err, the base set with that file in
// it: sources-*.yaml stands for sources.yaml, any other is a mapping beside
// (eob-*.yaml instead of) those of the base set. Each holds one mistake, and
// its .out the diagnostics.
func TestErr(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	names, err := filepath.Glob("testdata/err/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range names {
		file := filepath.Base(name)
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			set := base(t)
			switch {
			case strings.HasPrefix(file, "sources-"):
				set["sources.yaml"] = &fstest.MapFile{Data: data}
			default:
				delete(set, "eob.yaml")
				set[file] = &fstest.MapFile{Data: data}
			}
			p, diags := load(t, w, set)
			if p != nil {
				t.Error("the set loads")
			}
			var b bytes.Buffer
			if err := diags.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			inFile(t, set, diags)
			golden(t, strings.TrimSuffix(name, ".yaml")+".out", b.String())
		})
	}
}

// inFile asks that every diagnostic stands inside its file.
func inFile(t *testing.T, set fstest.MapFS, diags *diag.List) {
	t.Helper()
	for _, d := range diags.All() {
		file := set[d.Pos.File]
		if file == nil || d.Pos.Line == 0 {
			continue
		}
		lines := strings.Split(string(file.Data), "\n")
		if d.Pos.Line > len(lines) || d.Pos.Column > len([]rune(lines[d.Pos.Line-1]))+1 {
			t.Errorf("%s lies outside the file", d)
		}
	}
}

// TestOK loads the base set, and what it emits is the golden.
func TestOK(t *testing.T) {
	w := warehouse(t, "testdata/warehouse")
	p, diags := load(t, w, base(t))
	silent(t, diags)
	lines, _ := run(t, w, p, program.Request{})
	golden(t, "testdata/ok/base.ndjson", strings.Join(lines, "\n")+"\n")
}

// silent asks that nothing is told but that the sources do not track changes.
func silent(t testing.TB, diags *diag.List) {
	t.Helper()
	for _, d := range diags.All() {
		if d.Code != "no-updated" {
			t.Error(d)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// run emits everything, findings behind the resource they belong to.
func run(t testing.TB, w source.Source, p *program.Program, r program.Request) ([]string, *program.Report) {
	t.Helper()
	snap, err := w.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	var out []string
	report, err := p.Run(context.Background(), snap, r, func(e *program.Emitted) error {
		out = append(out, string(e.Resource.AppendJSON(nil)))
		for _, f := range e.Findings {
			out = append(out, "  "+f.Severity.String()+" "+f.Path+": "+f.Message+" ["+f.Code+"] "+p.Position(f.Origin).String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clip(out), report
}
