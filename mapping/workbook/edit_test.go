package workbook

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"remit/mapping/diag"
	"remit/mapping/library"
)

// FuzzScalar asks that every text an analyst may type reads back as typed, in
// every style and place, and that nothing else of the file changes.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{"x", "=a, b", "it's", `say "x"`, "a: b", "a #b", "- x", "0450", "NO", "~", "a\nb", "{x}", "[", "=x ", "ä\u00a0", "x:", "|", "a\\b", "\ttab", "'", "\""} {
		f.Add(s)
	}
	files := fstest.MapFS{
		"sources.yaml": {Data: []byte("sources:\n  person: {table: member, key: [id]}\n")},
		"p.yaml":       {Data: []byte("resource: Patient\nfrom: person\nset:\n  language: one # c\n  name: {family: two, text: 'three', given: \"four\"}\n  active: |\n    five\n  # end\n")},
	}
	f.Fuzz(func(t *testing.T, value string) {
		value = tidy(value)
		if len(value) > 1000 || value == "" || strings.ContainsFunc(value, func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r == 0xfffd || r == 0xfffe || r == 0xffff || r == '\r' || r == 0xfeff
		}) {
			return // no cell holds these
		}
		s := open(t, files)
		m := s.Mappings[0]
		src := newText(s.Files["p.yaml"])
		for i, e := range m.Set.Entries {
			list := []string{e.Path.String()}
			nodes := e.Node.Entries
			if e.Node.Text != nil {
				nodes = nil
			} else {
				list = nil
			}
			texts := map[string]edit{}
			for _, n := range list {
				texts[n] = src.replace(e.Node.Text, value)
			}
			for _, n := range nodes {
				texts["name."+n.Path.String()] = src.replace(n.Node.Text, value)
			}
			for path, change := range texts {
				data, err := src.apply([]edit{change})
				if err != nil {
					t.Fatal(err)
				}
				var diags diag.List
				after := parse("x", map[string][]byte{"p.yaml": data, "sources.yaml": s.Files["sources.yaml"]}, &diags)
				if err := diags.Err(); err != nil {
					// SQL that YAML would cut short is told, never taken in silence.
					t.Fatalf("%q at %s: %v\n%s", value, path, err, data)
				}
				node := after.Mappings[0].Set.Entries[i].Node
				if rest, ok := strings.CutPrefix(path, "name."); ok {
					for _, n := range node.Entries {
						if n.Path.String() == rest {
							node = n.Node
						}
					}
				}
				if node.Text == nil || tidy(node.Text.Value) != value {
					t.Fatalf("%q at %s reads back as %+v\n%s", value, path, node.Text, data)
				}
			}
		}
	})
}

// Every row of the shipped sets that may be filled in takes a new source, all
// at once, and reads back so; nothing else changes its cells.
func TestFillAll(t *testing.T) {
	t.Parallel()
	for _, name := range library.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _ := library.Set(name)
			s := open(t, files)
			var diags diag.List
			im := &importer{name: "book", set: s, crosswalks: Crosswalks(s, defs(t)), diags: &diags, edits: map[string][]edit{}, texts: map[string]*text{}}
			for _, c := range im.crosswalks {
				filled := map[string]bool{}
				for i, r := range c.Rows {
					if !r.editable() || slices.ContainsFunc(ancestors(r.Path), func(p string) bool { return filled[p] }) {
						continue
					}
					var columns []string
					for j := range max(len(r.exprs), 1) {
						columns = append(columns, fmt.Sprintf("zz_%d_%d", i, j))
					}
					filled[r.Path] = true
					im.take("sheet", i, r, Cells{Column: strings.Join(columns, ", "), Literal: r.Cells.Literal, Map: r.Cells.Map}, "", false, true)
				}
			}
			// An assumption over several lines is left to the YAML.
			for _, d := range diags.All() {
				if d.Code != "not-editable" {
					t.Error(d)
				}
			}
			out, err := im.applied()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := im.prove(out, defs(t)); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d changes, %d left to the YAML", len(im.changes), diags.Len())
		})
	}
}

// ancestors are the paths above a path.
func ancestors(path string) []string {
	var out []string
	for i, c := range path {
		if c == '.' || c == '#' {
			out = append(out, path[:i])
		}
	}
	return out
}

// Every place of the shipped sets that takes a condition takes one, all at
// once, beside each, in flow and block form; all else reads back as it was, and
// the words are in the next workbook.
func TestConditionAll(t *testing.T) {
	t.Parallel()
	for _, name := range library.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _ := library.Set(name)
			s := open(t, files)
			var diags diag.List
			im := &importer{name: "book", set: s, crosswalks: Crosswalks(s, defs(t)), diags: &diags, edits: map[string][]edit{}, texts: map[string]*text{}}
			n := 0
			for _, c := range im.crosswalks {
				under := map[string]bool{} // a scalar that is wrapped is one edit
				for i, r := range c.Rows {
					if !r.wordable() || !r.filled || under[r.Path] {
						continue
					}
					under[r.Path] = true
					have := r.Words.tidy()
					have.When = fmt.Sprintf("zz_%d IN ('a, b', 'c')", i)
					im.takeRowWords("sheet", i, r, have, r.Words.tidy())
					n++
				}
			}
			for _, d := range diags.All() {
				if d.Code != "not-editable" {
					t.Error(d)
				}
			}
			out, err := im.applied()
			if err != nil {
				t.Fatal(err)
			}
			after, err := im.prove(out, defs(t))
			if err != nil {
				t.Fatal(err)
			}
			shown := 0
			for _, c := range Crosswalks(after, defs(t)) {
				for _, r := range c.Rows {
					if strings.HasPrefix(r.Words.When, "zz_") {
						shown++
					}
				}
			}
			if shown == 0 || shown != n-diags.Len() {
				t.Errorf("%d conditions shown of %d taken over", shown, n-diags.Len())
			}
			t.Logf("%d conditions, %d left to the YAML", shown, diags.Len())
		})
	}
}
