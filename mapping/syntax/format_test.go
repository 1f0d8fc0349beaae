package syntax

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/diag"
)

// TestFormat lays a file out in which everything is out of place.
func TestFormat(t *testing.T) {
	for _, tc := range []struct{ name, file, in, want string }{
		{
			"order and indent", "patient.yaml",
			"# The members.\nset:\n    gender: {of: =sex, map: gender}   # by map\n    # names\n    name:\n        absent: unknown\n        family: =last\n\n\n    telecom:\n    - value: =phone\n      system: phone\n    - {value: =fax,system: fax}\nfrom: person\nresource:   Patient\n",
			"resource: Patient\nfrom: person\n# The members.\nset:\n  gender: {map: gender, of: =sex}  # by map\n  # names\n  name:\n    family: =last\n    absent: unknown\n\n  telecom:\n    - value: =phone\n      system: phone\n    - {value: =fax, system: fax}\n",
		},
		{
			"texts stay", "patient.yaml",
			"resource: Patient\nfrom: p\nset:\n  a: 'it''s'\n  b: \"=x, 'y'\"\n  c: =one\n     two\n  d: |\n      =SELECT\n        1\n  e: 0450\n",
			"resource: Patient\nfrom: p\nset:\n  a: 'it''s'\n  b: \"=x, 'y'\"\n  c: =one\n    two\n  d: |\n    =SELECT\n      1\n  e: 0450\n",
		},
		{
			"long flow", "patient.yaml",
			"resource: Patient\nfrom: p\nset:\n  address: {line: =aaaaaaaaaaaaaaaaaaaaaaaaaaaa, city: =bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, state: =ccccccccccccccccccccccccccccccc, postalCode: =ddddddddddddddddddddd}\n",
			"resource: Patient\nfrom: p\nset:\n  address:\n    line: =aaaaaaaaaaaaaaaaaaaaaaaaaaaa\n    city: =bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n    state: =ccccccccccccccccccccccccccccccc\n    postalCode: =ddddddddddddddddddddd\n",
		},
		{
			"what waits for a value", "patient.yaml",
			"resource: Patient\nfrom:   # a source\nset:\n  gender: # 1..1\n  # birthDate:\n",
			"resource: Patient\nfrom:  # a source\nset:\n  gender:  # 1..1\n  # birthDate:\n",
		},
		{
			"sources", "sources.yaml",
			"maps:\n  m: {missing: omit, value: v, key: k}\n  f: {value: v, key: k, csv: f.csv}\nsources:\n  claim:\n    key: [a,\n      b]  # both\n    table: claim\n",
			"sources:\n  claim:\n    table: claim\n    key: [a, b]  # both\nmaps:\n  m: {value: v, key: k, missing: omit}\n  f: {csv: f.csv, key: k, value: v}\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var diags diag.List
			got, err := Format(tc.file, []byte(tc.in), &diags)
			if err != nil || got == nil {
				t.Fatal(err, diags.Err())
			}
			if d := cmp.Diff(tc.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			again, err := Format(tc.file, got, &diags)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(got), string(again)); d != "" {
				t.Errorf("the second time it differs (-first +second):\n%s", d)
			}
		})
	}
}

// TestFormatFiles lays out every file of the language in the tree: meaning and
// comments stay, and a second time changes nothing. The shipped sets are laid
// out already.
func TestFormatFiles(t *testing.T) {
	files := 0
	for _, pattern := range []string{"../library/*/*.yaml", "../testdata/*/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			as := name
			if strings.HasPrefix(filepath.Base(name), "sources") {
				as = "sources.yaml"
			}
			var diags diag.List
			once, err := Format(as, data, &diags)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if once == nil {
				continue // not readable: that is what some cases are about
			}
			files++
			twice, err := Format(as, once, &diags)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if d := cmp.Diff(string(once), string(twice)); d != "" {
				t.Errorf("%s: the second time it differs (-first +second):\n%s", name, d)
			}
			if strings.HasPrefix(name, "../library/") {
				if d := cmp.Diff(string(data), string(once)); d != "" {
					t.Errorf("%s is not laid out (-file +layout):\n%s", name, d)
				}
			}
		}
	}
	if files < 50 {
		t.Errorf("only %d files", files)
	}
}

// FuzzFormat asks that a layout never panics, never changes the meaning (which
// Format itself tells as an error), and is stable.
func FuzzFormat(f *testing.F) {
	for _, pattern := range []string{"../library/*/*.yaml", "../testdata/base/*.yaml", "../testdata/rule/*.yaml"} {
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
		for _, name := range []string{"sources.yaml", "m.yaml"} {
			var diags diag.List
			once, err := Format(name, data, &diags)
			if err != nil || once == nil {
				continue
			}
			twice, err := Format(name, once, &diags)
			if err == nil && twice != nil && string(once) != string(twice) {
				t.Errorf("the second time it differs: %q then %q", once, twice)
			}
		}
	})
}
