package syntax

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/diag"
)

// TestAt asks that each character of a scalar is found where it stands in the
// file, whatever the scalar's style.
func TestAt(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		find       string // in the value
		line, col  int
	}{
		{"plain", "set:\n  a: =one two\n", "two", 2, 11},
		{"plain over lines", "set:\n  a: =one\n     two\n", "two", 3, 6},
		{"wide characters count once", "set:\n  a: =äö two\n", "two", 2, 10},
		{"single quotes", "set:\n  a: '=it''s two'\n", "two", 2, 14},
		{"double quotes", "set:\n  a: \"=\\\"x\\\" \\u00e9 two\"\n", "two", 2, 21},
		{"literal block", "set:\n  a: |\n    =one\n    two\n", "two", 4, 5},
		{"literal block, inner indent", "set:\n  a: |\n    =one\n      two\n", "two", 4, 7},
		{"folded block", "set:\n  a: >-\n    =one\n    two three\n", "three", 4, 9},
		{"in a flow map", "set: {a: =one, b: '=x two'}\n", "two", 1, 23},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var diags diag.List
			m := ParseMapping("f.yaml", []byte(tc.yaml), &diags)
			if diags.Len() > 0 {
				t.Fatal(diags.Err())
			}
			var text *Text
			for _, e := range m.Set.Entries {
				if strings.Contains(e.Node.Text.Value, tc.find) {
					text = e.Node.Text
				}
			}
			got := text.At(strings.Index(text.Value, tc.find))
			if d := cmp.Diff(diag.Pos{File: "f.yaml", Line: tc.line, Column: tc.col}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for name, data := range map[string]string{
		"too-large":  strings.Repeat("#", MaxBytes+1),
		"too-deep":   "set: {a: " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "}",
		"yaml-alias": "a: &a [x]\nset: [*a, *a]\n",
		"empty-file": "# nothing\n",
		"wrong-kind": "- a\n- b\n",
		"yaml-merge": "set:\n  <<: {a: b}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.List
			ParseMapping("f.yaml", []byte(data), &diags)
			for _, d := range diags.All() {
				if d.Code == name {
					return
				}
			}
			t.Errorf("no %s in %v", name, diags.Err())
		})
	}
}

// FuzzParse asks that no file breaks the parser, and that every diagnostic
// stands inside the file.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../testdata/err/*.yaml", "../testdata/base/*.yaml", "../testdata/rule/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10<<10 {
			return
		}
		var diags diag.List
		ParseMapping("f.yaml", data, &diags)
		ParseSources("f.yaml", data, &diags)
		lines := strings.Split(string(data), "\n")
		for _, d := range diags.All() {
			if d.Pos.Line < 0 || d.Pos.Line > len(lines)+1 {
				t.Errorf("line %d of %d: %s", d.Pos.Line, len(lines), d)
			}
		}
	})
}
