package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"remit/profiles/opinion"
)

// exportSet exports a whole warehouse through a mapping set into a folder.
func exportSet(t *testing.T, warehouse, mappings string, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := runRemit(t, append([]string{"export", "--warehouse", warehouse, "--mappings", mappings, "--out", dir}, args...)...)
	if code != exitFine {
		t.Fatalf("export ended with %d:\n%s", code, stderr)
	}
	return dir
}

// runRemit runs the command line in this process and returns what it printed.
func runRemit(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: os.Getenv, now: time.Now}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// exported is one export as read back.
type exported struct {
	dir       string
	resources map[string][]map[string]any // by type
	lines     map[string][][]byte         // by type, as written
	outcomes  []map[string]any
	manifest  struct {
		Output []struct {
			Type, URL string
			Count     int
		}
		Error []struct {
			Type, URL string
			Count     int
		}
	}
	report struct {
		Exported, Withheld, Flagged, Reasons, Absent, Assumed, Unmapped, Skipped map[string]int
	}
}

func readExport(t *testing.T, dir string) *exported {
	t.Helper()
	x := &exported{dir: dir, resources: map[string][]map[string]any{}, lines: map[string][][]byte{}}
	readJSON(t, filepath.Join(dir, "manifest.json"), &x.manifest)
	readJSON(t, filepath.Join(dir, "report.json"), &x.report)
	for _, f := range x.manifest.Output {
		rows, lines := readNDJSON(t, filepath.Join(dir, f.URL))
		if len(rows) != f.Count {
			t.Errorf("%s has %d lines, the manifest says %d", f.URL, len(rows), f.Count)
		}
		x.resources[f.Type] = append(x.resources[f.Type], rows...)
		x.lines[f.Type] = append(x.lines[f.Type], lines...)
	}
	for _, f := range x.manifest.Error {
		rows, _ := readNDJSON(t, filepath.Join(dir, f.URL))
		if len(rows) != f.Count {
			t.Errorf("%s has %d lines, the manifest says %d", f.URL, len(rows), f.Count)
		}
		x.outcomes = append(x.outcomes, rows...)
	}
	return x
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readNDJSON(t *testing.T, path string) (rows []map[string]any, lines [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		line := bytes.Clone(s.Bytes())
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		rows, lines = append(rows, m), append(lines, line)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return rows, lines
}

// cents reads an exact amount; pharmacy amounts carry binary tails and are
// rounded half away from zero, as the mapping does.
func cents(t *testing.T, text string) int64 {
	t.Helper()
	if text == "" {
		return 0
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("an amount is no number")
	}
	r.Mul(r, big.NewRat(100, 1))
	half := big.NewRat(1, 2)
	if r.Sign() < 0 {
		half.Neg(half)
	}
	r.Add(r, half)
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64()
}

func asList(v any) []map[string]any {
	items, _ := v.([]any)
	out := make([]map[string]any, 0, len(items))
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Every reference leads to an exported resource, but as many at a path as are
// known to lead nowhere.
func checkReferences(t *testing.T, x *exported, known map[string]int) {
	t.Helper()
	if diff := cmp.Diff(known, danglingReferences(t, x), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("dangling references (-known +got):\n%s", diff)
	}
}

// danglingReferences counts, by path, the references that lead out of an export.
func danglingReferences(t *testing.T, x *exported) map[string]int {
	t.Helper()
	ids := map[string]bool{}
	for name, rows := range x.resources {
		for _, r := range rows {
			id := name + "/" + r["id"].(string)
			if ids[id] {
				t.Errorf("%s occurs twice", name)
			}
			ids[id] = true
		}
	}
	dangling := map[string]int{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["reference"].(string); ok && !ids[ref] {
				dangling[path]++
			}
			for k, child := range v {
				walk(path+"."+k, child)
			}
		case []any:
			for _, child := range v {
				walk(path, child)
			}
		}
	}
	for name, rows := range x.resources {
		for _, r := range rows {
			walk(name, r)
		}
	}
	return dangling
}

// google/fhir/go reads a resource of every type, and at least one with each
// element path and each coded slice that the export uses.
func checkOpinion(t *testing.T, x *exported) {
	judge, err := opinion.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	judged := 0
	for _, name := range slices.Sorted(mapKeys(x.resources)) {
		for i, r := range x.resources[name] {
			if !addFeatures(seen, name, r) {
				continue
			}
			judged++
			if err := judge.Judge(x.lines[name][i]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if judged < 10 {
		t.Errorf("only %d resources were judged", judged)
	}
}

// addFeatures notes the element paths of v, with the codes that tell slices
// apart, and says whether one is new.
func addFeatures(seen map[string]bool, path string, v any) (added bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, tag := range []string{"category", "type"} {
			if c, ok := v[tag].(map[string]any); ok {
				for _, coding := range asList(c["coding"]) {
					path += fmt.Sprintf("[%v]", coding["code"])
				}
			}
		}
		for k, child := range v {
			if addFeatures(seen, path+"."+k, child) {
				added = true
			}
		}
	case []any:
		for _, child := range v {
			if addFeatures(seen, path, child) {
				added = true
			}
		}
	}
	if !seen[path] {
		seen[path], added = true, true
	}
	return added
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var lastUpdated = regexp.MustCompile(`"lastUpdated":"[^"]*"`)

func normalized(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(os.DirFS(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	return lastUpdated.ReplaceAll(data, []byte(`"lastUpdated":""`))
}
