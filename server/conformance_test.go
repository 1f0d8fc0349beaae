package server

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// CONFORMANCE.md is made from testdata/conformance: one file a subject, each
// line "number | strength | what it asks | tests | status". A test is
// "package.TestName" or "package.TestName/subtest" with the package's path below
// the module, or "script:NAME" for cmd/remit/testdata/script/NAME.txtar, or
// "script:NAME/BE-038" for the section of it whose heading begins with that
// number. A status is "met", "open" with an optional ": what is missing", or
// "n/a: why". A SHALL or SHOULD that is met needs a test that bears its number in
// its name, so that who runs the test by that number runs what shows it.
type requirement struct {
	file, number, strength, text string
	tests                        []string
	status                       string
}

const conformanceFolder = "testdata/conformance"

func readRequirements(t *testing.T) []requirement {
	t.Helper()
	names, err := filepath.Glob(conformanceFolder + "/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no requirements", err)
	}
	var all []requirement
	for _, name := range names {
		if filepath.Base(name) == "numbers.txt" {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
			parts := strings.Split(line, " | ")
			if len(parts) == 1 && strings.HasPrefix(line, "#") {
				continue
			}
			if len(parts) == 4 { // no tests: "text | | status"
				parts = strings.Split(strings.Replace(line, " | | ", " |  | ", 1), " | ")
			}
			if len(parts) != 5 {
				t.Fatalf("%s:%d: %d parts, want number | strength | text | tests | status", name, i+1, len(parts))
			}
			all = append(all, requirement{file: filepath.Base(name), number: parts[0], strength: parts[1], text: parts[2], tests: strings.Fields(parts[3]), status: parts[4]})
		}
	}
	slices.SortFunc(all, func(a, b requirement) int { return strings.Compare(a.number, b.number) })
	return all
}

// demanded reads the numbers that must have a row.
func demanded(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(conformanceFolder + "/numbers.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	form := regexp.MustCompile(`^([A-Z]+)-(\d{3})(?:\.\.(\d{3}))?$`)
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			m := form.FindStringSubmatch(word)
			if m == nil {
				t.Fatalf("numbers.txt: %q is no number or range", word)
			}
			first, _ := strconv.Atoi(m[2])
			last := first
			if m[3] != "" {
				last, _ = strconv.Atoi(m[3])
			}
			for n := first; n <= last; n++ {
				out = append(out, fmt.Sprintf("%s-%03d", m[1], n))
			}
		}
	}
	return out
}

// findTests lists the tests of the module, the subtests that it can name, and the
// sections of scripts, each with the last part of its name.
func findTests(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			name := strings.TrimSuffix(filepath.Base(path), ".txtar")
			found["script:"+name] = name
			raw, err := os.ReadFile(path)
			for _, number := range sections(string(raw)) {
				found["script:"+name+"/"+number] = number
			}
			return err
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := filepath.ToSlash(dir) + "." + fn.Name.Name
			if fn.Recv == nil && testName.MatchString(fn.Name.Name) {
				found[name] = fn.Name.Name
			}
			for _, sub := range subtests(fn) {
				found[name+"/"+sub] = sub
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z0-9]`)

// subtests are the names that a function gives to subtests, where it gives them
// in so many words, or in a table whose rows begin with a number and are run by
// their name; blanks become underscores, as go test has it.
func subtests(fn *ast.FuncDecl) (names []string) {
	var rows []string
	run := false
	add := func(list *[]string, n ast.Expr, form *regexp.Regexp) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return false
		}
		name, err := strconv.Unquote(lit.Value)
		if err == nil && form.MatchString(name) {
			*list = append(*list, strings.ReplaceAll(name, " ", "_"))
		}
		return true
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit: // the first member of a row, or the one called name
			for i, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "name" {
						add(&rows, kv.Value, numbered)
					} else if !ok {
						add(&rows, kv.Key, numbered) // of a map
					}
				} else if i == 0 {
					add(&rows, e, numbered)
				}
			}
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			if ok && s.Sel.Name == "Run" && len(n.Args) == 2 && !add(&names, n.Args[0], anything) {
				run = true
			}
		}
		return true
	})
	if run {
		names = append(names, rows...)
	}
	return names
}

var (
	anything = regexp.MustCompile("")
	numbered = regexp.MustCompile(`^[A-Z]{2}-\d{3}\b`)
	heading  = regexp.MustCompile(`^# ((?:[A-Z]{2}-\d{3}(?:, )?)+): `)
)

// sections are the numbers that the headings of a script begin with, where
// commands follow the heading.
func sections(script string) (numbers []string) {
	script, _, _ = strings.Cut(script, "\n-- ")
	var open []string
	for line := range strings.Lines(script) {
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			open = strings.Split(m[1], ", ")
		case strings.TrimSpace(line) == "":
			open = nil
		case !strings.HasPrefix(line, "#"):
			numbers = append(numbers, open...)
			open = nil
		}
	}
	return numbers
}

// bears says that a test's name has the number: BE-151 as BE151 or BE-151.
func bears(text, number string) bool {
	return strings.Contains(text, number) || strings.Contains(text, strings.ReplaceAll(number, "-", ""))
}

// TestFindTests holds that a number in a comment, or in a string that is no
// subtest's name, is not taken for a test's.
func TestFindTests(t *testing.T) {
	t.Parallel()
	const source = `package p
// TestA shows BE-001.
func TestA(t *testing.T) {
	t.Run("BE-002 said", nil)
	t.Error("BE-003 in a message")
}
func TestB(t *testing.T) {
	for _, c := range []struct{ name, x string }{{"BE-004 row", "BE-005 other column"}, {name: "BE-006 named", x: "BE-007"}} {
		t.Run(c.name, nil)
	}
}
func TestC(t *testing.T) {
	for _, c := range []struct{ name string }{{"BE-008 not run"}} {
		t.Error(c.name)
	}
}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p_test.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, decl := range f.Decls {
		got = append(got, subtests(decl.(*ast.FuncDecl))...)
	}
	if diff := cmp.Diff([]string{"BE-002_said", "BE-004_row", "BE-006_named"}, got); diff != "" {
		t.Errorf("subtests (-want +got):\n%s", diff)
	}
	const script = "# BE-001: Nothing follows.\n\n# All of it (BE-002).\nexec x\n# BE-003, BE-004: Two,\n# told at length.\nexec x\n-- f --\n# BE-005: A file.\nx\n"
	if diff := cmp.Diff([]string{"BE-003", "BE-004"}, sections(script)); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
}

func TestConformanceTable(t *testing.T) {
	t.Parallel()
	all := readRequirements(t)
	tests := findTests(t)
	if len(tests) < 100 {
		t.Fatalf("only %d tests found", len(tests))
	}
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.number] {
			t.Errorf("%s has two rows", r.number)
		}
		seen[r.number] = true
		if !slices.Contains([]string{"SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "MAY", "PROJ"}, r.strength) {
			t.Errorf("%s: strength %q", r.number, r.strength)
		}
		named := r.strength == "MAY" || r.strength == "PROJ"
		for _, name := range r.tests {
			text, ok := tests[name]
			if !ok {
				t.Errorf("%s: there is no test %s", r.number, name)
			}
			named = named || bears(text, r.number)
		}
		state, why, _ := strings.Cut(r.status, ": ")
		switch {
		case state == "met" && len(r.tests) == 0:
			t.Errorf("%s is met without a test", r.number)
		case state == "met" && !named:
			t.Errorf("%s: none of its tests bears its number", r.number)
		case state == "n/a" && why == "":
			t.Errorf("%s is n/a without a reason", r.number)
		case state != "met" && state != "open" && state != "n/a":
			t.Errorf("%s: status %q", r.number, r.status)
		}
	}
	for _, number := range demanded(t) {
		if !seen[number] {
			t.Errorf("%s has no row", number)
		}
	}
	got := conformance(all, readKit(t, tests, seen))
	const path = "CONFORMANCE.md"
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, got, 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what its rows make of it; UPDATE=1 writes it (-want +got):\n%s", path, diff)
	}
}

// kitRow is what a test of ONC's kit asserts, in our words, and ours that does.
type kitRow struct {
	ids, text      string
	tests, numbers []string
	status         string
}

// readKit reads testdata/kit/rows.txt, and checks that it has every id of
// ids.txt once, and names tests and requirements that exist.
func readKit(t *testing.T, tests map[string]string, numbers map[string]bool) (rows []kitRow) {
	t.Helper()
	read := func(name string) (lines []string) {
		raw, err := os.ReadFile("testdata/kit/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	var have []string
	for _, line := range read("rows.txt") {
		parts := strings.Split(line, " | ")
		if len(parts) != 5 {
			t.Fatalf("rows.txt: %d parts, want ids | text | tests | numbers | status: %s", len(parts), line)
		}
		r := kitRow{ids: parts[0], text: parts[1], tests: strings.Fields(parts[2]), numbers: strings.Fields(parts[3]), status: parts[4]}
		have = append(have, strings.Fields(r.ids)...)
		for _, name := range r.tests {
			if _, ok := tests[name]; !ok {
				t.Errorf("%s: there is no test %s", r.ids, name)
			}
		}
		for _, number := range r.numbers {
			if !numbers[number] {
				t.Errorf("%s: there is no row %s", r.ids, number)
			}
		}
		if state, why, _ := strings.Cut(r.status, ": "); len(r.tests) == 0 || state != "met" && (state != "n/a" || why == "") {
			t.Errorf("%s: %d tests, status %q", r.ids, len(r.tests), r.status)
		}
		rows = append(rows, r)
	}
	if diff := cmp.Diff(read("ids.txt"), have); diff != "" {
		t.Errorf("tests of the kit (-want +got):\n%s", diff)
	}
	return rows
}

func conformance(all []requirement, kit []kitRow) []byte {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	count := map[string]int{}
	for _, r := range all {
		state, _, _ := strings.Cut(r.status, ":")
		count[state]++
	}
	fmt.Fprintf(w, `# Conformance

What HL7 Bulk Data Access (BE-) and SMART Backend Services (SB-) ask of a server, in our words, and the tests that show it.
SHALL, SHOULD and MAY are the guides'; PROJ marks what they leave open and Remit decides. %d rows: %d met, %d open, %d not applicable.
Made by a test from `+"`testdata/conformance`"+`; do not edit.

| number | strength | requirement | shown by | status |
|---|---|---|---|---|
`, len(all), count["met"], count["open"], count["n/a"])
	for _, r := range all {
		var shown []string
		for _, name := range r.tests {
			shown = append(shown, "`"+name+"`")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.number, r.strength, strings.ReplaceAll(r.text, "|", `\|`), strings.Join(shown, "<br>"), r.status)
	}
	fmt.Fprint(w, `
## Test kits and clients

What the tests of ONC's Bulk Data Test Kit (0.13.0; Bulk Data 1.0.1 and 2.0.0), of the SMART and certification kits beside it and the vendor's
attestations assert of a server, what the guide's reference client and Google's bulk_fhir_fetch need of it, and the tests here that assert the same.
{} stands for group, patient and system.

| test of the kit, or need of a client | asserts | shown by | numbers | status |
|---|---|---|---|---|
`)
	for _, r := range kit {
		quoted := func(list []string) string { return "`" + strings.Join(list, "`<br>`") + "`" }
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", quoted(strings.Fields(r.ids)), r.text, quoted(r.tests), strings.Join(r.numbers, ", "), r.status)
	}
	_ = w.Flush() // into memory
	return out.Bytes()
}
