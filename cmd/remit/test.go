package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"remit/mapping"
	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/mapping/workbook"
	"remit/profiles"
	"remit/sql/duckdb"
	"remit/sql/source"
)

type testCmd struct {
	Package  []string `help:"FHIR package of your own (folder or .tgz)." placeholder:"DIR" sep:"none"`
	Only     string   `name:"run" help:"Run only cases whose name holds this text." placeholder:"TEXT"`
	JUnit    string   `name:"junit" help:"Write a JUnit report to this file." placeholder:"FILE"`
	JSON     bool     `help:"Print one JSON object a case."`
	Mappings string   `arg:"" help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET"`
}

// Help shows a worked line.
func (testCmd) Help() string {
	return `Runs the mapping tests of a set: the files of its folder tests, each with rows that are given and resources that are expected. It needs no warehouse: the rows are read by the embedded engine from a temporary folder. tests/tables.yaml declares the columns of the tables; a file's own tables: stand in their place, or make them absent, for another layout of the warehouse.

A case:

  - name: a member without a date of birth
    given:
      eligibility: [{member_id: m1, last_name: Smith}]
    expect:
      - resource: Patient
        key: {member_id: m1}
        values: {name.family: Smith, "identifier[memberid].value": m1}
        absent: [birthDate]
        findings: []

Example: remit test tuva --junit tests.xml`
}

// testResult is the outcome of one case.
type testResult struct {
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Name     string        `json:"name"`
	Passed   bool          `json:"passed"`
	Failures []string      `json:"failures,omitempty"`
	Elapsed  time.Duration `json:"-"`
}

// Run runs the tests. Exit code 1 says that one failed.
func (c *testCmd) Run(ctx context.Context, a *app) error {
	set, _, err := openMappings(c.Mappings)
	if err != nil {
		return err
	}
	list := &diag.List{}
	files, err := readTests(set, list)
	if err != nil {
		return err
	}
	tables, err := readTables(set, list)
	if err != nil {
		return err
	}
	if err := list.Err(); err != nil {
		return err
	}
	definitions, err := openProfiles(c.Package)
	if err != nil {
		return err
	}
	validator, err := definitions.Validator(profiles.ValidatorOptions{})
	if err != nil {
		return fmt.Errorf("compile profiles: %w", err)
	}
	t := &tester{set: set, tables: tables, definitions: definitions, validator: validator, now: a.now, loads: map[string]*testLoad{}}
	var results []testResult
	for _, f := range files {
		for _, one := range f.cases {
			if !strings.Contains(one.name, c.Only) {
				continue
			}
			r, err := t.run(ctx, one)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", one.pos, one.name, err)
			}
			results = append(results, r)
		}
	}
	if len(results) == 0 {
		return usagef("mappings %q: no test to run; tests are the files tests/*.yaml of the set", c.Mappings)
	}
	return c.report(a, results)
}

func (c *testCmd) report(a *app, results []testResult) error {
	failed := 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
	}
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, results); err != nil {
			return err
		}
	}
	if c.JSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
	} else {
		writeResults(a.stdout, results, failed)
	}
	if failed > 0 {
		return exitCode(exitFindings)
	}
	return nil
}

func writeResults(w io.Writer, results []testResult, failed int) {
	for _, r := range results {
		word := "ok  "
		if !r.Passed {
			word = "FAIL"
		}
		fmt.Fprintf(w, "%s %s:%d: %s\n", word, r.File, r.Line, r.Name)
		for _, f := range r.Failures {
			fmt.Fprintf(w, "       %s\n", f)
		}
	}
	fmt.Fprintf(w, "%d cases, %d failed\n", len(results), failed)
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the results in the form that build servers read: a suite
// for each file of tests.
func writeJUnit(file string, results []testResult) error {
	var out junitSuites
	var spent time.Duration
	for _, r := range results {
		if len(out.Suites) == 0 || out.Suites[len(out.Suites)-1].Name != r.File {
			out.Suites = append(out.Suites, junitSuite{Name: r.File})
			spent = 0
		}
		s := &out.Suites[len(out.Suites)-1]
		one := junitCase{Name: r.Name, Class: strings.TrimSuffix(r.File, ".yaml"), File: r.File, Line: r.Line, Time: seconds(r.Elapsed)}
		if !r.Passed {
			s.Failures++
			one.Failure = &junitFailure{Message: r.Failures[0], Text: strings.Join(r.Failures, "\n")}
		}
		spent += r.Elapsed
		s.Tests++
		s.Time = seconds(spent)
		s.Cases = append(s.Cases, one)
	}
	data, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	if err := os.WriteFile(filepath.Clean(file), append([]byte(xml.Header), append(data, '\n')...), 0o644); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// tester runs cases. A set is loaded once for all cases whose tables have the
// same columns: a Program reads any snapshot of such a warehouse.
type tester struct {
	set         fs.FS
	tables      []testTable
	definitions *profiles.Set
	validator   *profiles.Validator
	now         func() time.Time
	loads       map[string]*testLoad
}

type testLoad struct {
	program *program.Program
	list    *diag.List
}

func (t *tester) run(ctx context.Context, c *testCase) (testResult, error) {
	start := t.now()
	r := testResult{File: c.pos.File, Line: c.pos.Line, Name: c.name}
	list := &diag.List{}
	tables, rows := fill(layout(t.tables, c.tables), c.given, list)
	if list.HasErrors() {
		for _, d := range list.All() {
			r.Failures = append(r.Failures, d.String())
		}
		return r, nil
	}
	dir, err := os.MkdirTemp("", "remit-test-")
	if err != nil {
		return r, fmt.Errorf("make a test warehouse: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := testWarehouse(ctx, dir, tables, rows)
	if err != nil {
		return r, err
	}
	defer func() { _ = w.Close() }()
	load, err := t.load(ctx, tables, w)
	if err != nil {
		return r, err
	}
	switch {
	case c.refuse:
		r.Failures = checkDiagnostics(c, load)
	case load.program == nil:
		r.Failures = append(r.Failures, "the set is refused:")
		for _, d := range load.list.All() {
			r.Failures = append(r.Failures, d.String())
		}
	default:
		if r.Failures, err = t.judge(ctx, c, load.program, w); err != nil {
			return r, err
		}
	}
	r.Passed = len(r.Failures) == 0
	r.Elapsed = t.now().Sub(start)
	return r, nil
}

// testWarehouse opens the rows of a case by the embedded engine.
func testWarehouse(ctx context.Context, dir string, tables []testTable, rows map[string][]map[string]string) (source.Source, error) {
	if err := writeWarehouse(dir, tables, rows); err != nil {
		return nil, err
	}
	w, err := duckdb.Open(ctx, dir, duckdb.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the test warehouse: %w", err)
	}
	return w, nil
}

func (t *tester) load(ctx context.Context, tables []testTable, w source.Source) (*testLoad, error) {
	shape := fmt.Sprint(tables)
	if l := t.loads[shape]; l != nil {
		return l, nil
	}
	prog, list, err := mapping.Load(ctx, t.set, mapping.Env{Warehouse: w, Profiles: t.definitions, Sheets: workbook.Rows})
	if err != nil {
		return nil, fmt.Errorf("load mappings: %w", err)
	}
	l := &testLoad{program: prog, list: list}
	t.loads[shape] = l
	return l, nil
}

// checkDiagnostics holds the errors of a load against those expected: each
// code as often as it is listed.
func checkDiagnostics(c *testCase, load *testLoad) []string {
	var got []string
	for _, d := range load.list.All() {
		if d.Severity == diag.Error {
			got = append(got, d.Code)
		}
	}
	return differ(c.pos, "diagnostics", got, c.diagnostics)
}

// differ compares two lists without regard to order.
func differ(pos diag.Pos, what string, got, want []string) []string {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s are %s, want %s", pos, what, quotedList(got), quotedList(want))}
}

func quotedList(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(quoted, ", ")
}

// made is one resource of a test run.
type made struct {
	key      string
	elements []program.Element
	errors   []string // codes of findings of severity error
	messages []string
}

// judge runs the set on the rows of a case and holds what comes against what
// is expected.
func (t *tester) judge(ctx context.Context, c *testCase, prog *program.Program, w source.Source) ([]string, error) {
	snap, err := w.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { _ = snap.Close() }()
	var request program.Request
	for _, e := range c.expect {
		request.Types = append(request.Types, e.resource)
	}
	byType := map[string][]made{}
	_, err = prog.Run(ctx, snap, request, func(e *program.Emitted) error {
		m := made{key: string(e.Key), elements: prog.Elements(e)}
		for _, f := range t.validator.Validate(e.Resource, slices.Clone(e.Findings)) {
			if f.Severity == profiles.Error {
				m.errors = append(m.errors, f.Code)
				m.messages = append(m.messages, fmt.Sprintf("%s: %s: %s [%s]", prog.Position(f.Origin), f.Path, f.Message, f.Code))
			}
		}
		byType[e.Type] = append(byType[e.Type], m)
		return nil
	})
	var order *program.OrderError
	if errors.As(err, &order) {
		return []string{order.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	var failures []string
	for i := range c.expect {
		failures = append(failures, c.expect[i].check(byType[c.expect[i].resource])...)
	}
	return failures, nil
}

// check holds the resources of the expected type against e.
func (e *expectation) check(all []made) []string {
	var found []made
	for _, m := range all {
		if keyMatches(m.key, e.key) && (e.id == "" || slices.Equal(valuesAt(m.elements, "id"), []string{e.id})) {
			found = append(found, m)
		}
	}
	if e.count >= 0 {
		if len(found) != e.count {
			return []string{fmt.Sprintf("%s: there are %d %s, want %d", e.pos, len(found), e.resource, e.count)}
		}
		if len(e.values) == 0 && len(e.absent) == 0 && e.findings == nil {
			return nil
		}
	}
	if len(found) != 1 {
		keys := make([]string, len(found))
		for i, m := range found {
			keys[i] = m.key
		}
		return []string{fmt.Sprintf("%s: %d resources %s match (%s), want 1; key: or id: tells which", e.pos, len(found), e.resource, strings.Join(keys, "; "))}
	}
	m := found[0]
	var out []string
	for _, v := range e.values {
		if got := valuesAt(m.elements, v.path); !slices.Equal(got, v.want) {
			out = append(out, fmt.Sprintf("%s: %s is %s, want %s", v.pos, v.path, quotedList(got), quotedList(v.want)))
		}
	}
	for _, v := range e.absent {
		if got := valuesAt(m.elements, v.path); len(got) > 0 {
			out = append(out, fmt.Sprintf("%s: %s is %s, want none", v.pos, v.path, quotedList(got)))
		}
	}
	if faults := differ(e.pos, "findings", m.errors, e.findings); faults != nil {
		out = append(append(out, faults...), m.messages...)
	}
	return out
}

// keyMatches says that a business key (a=1,b=2) has all the parts wanted.
func keyMatches(key string, want map[string]string) bool {
	for name, value := range want {
		if !strings.Contains(","+strings.ToLower(key)+",", ","+strings.ToLower(name+"="+value)+",") {
			return false
		}
	}
	return true
}

// valuesAt lists the values at or below a path, in document order. A step is
// name, for every repetition, name[0], for one of them, or name[slice].
func valuesAt(elements []program.Element, path string) []string {
	want := strings.Split(path, ".")
	out := []string{}
	for _, e := range elements {
		exact, mapped := strings.Split(e.Path, ".")[1:], strings.Split(e.Mapped, ".")
		if len(mapped) > 0 {
			mapped = mapped[1:]
		}
		if stepsMatch(want, exact, mapped) {
			out = append(out, e.Value)
		}
	}
	return out
}

func stepsMatch(want, exact, mapped []string) bool {
	if len(exact) < len(want) {
		return false
	}
	for i, w := range want {
		name, _, _ := strings.Cut(exact[i], "[")
		if w == name || w == exact[i] || i < len(mapped) && w == mapped[i] {
			continue
		}
		return false
	}
	return true
}
