package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/library/agreement"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// librarySet is a shipped mapping set on a warehouse. Every row of librarySets
// is held to the same proofs: what is exported and withheld, control totals,
// references, validity, a second opinion, both engines, and agreement with the
// publisher where one is expected.
type librarySet struct {
	// name tells the row; testdata/library/NAME.txt is the golden of what is
	// exported, withheld and assumed, and NAME.sql the control totals, of
	// ExplanationOfBenefit and of Claim; NAME.claim.sql of Claim, where there is
	// a Claim without one.
	name     string
	mappings string
	// warehouse is a folder below fixtures, schema where PostgreSQL has it.
	warehouse, schema string
	// args go to every export.
	args []string
	// charge and paid are the amounts of an ExplanationOfBenefit that are
	// summed for the control totals, and member is the path of a Patient whose
	// values stand in their first column; where it is empty, the id does.
	charge, paid, member string
	// views are exported and judged too: another version of the guides, or
	// another face of the same rows. No view has fewer resources.
	views []string
	// narrowed lists the types of which an export of some members holds what
	// their resources name, and no more.
	narrowed []string
	// dangling counts, by path, the references of a sample whose publisher
	// gives claims of persons that its tables do not hold.
	dangling map[string]int
	// agreement lists the datasets whose expected resources are compared:
	// testdata/agreement/NAME.yaml are the rules, NAME.txt the golden.
	agreement []agreementSet
}

// agreementSet is a publisher's expected output.
type agreementSet struct {
	name, expected string // expected is a folder below fixtures
	// atLeast is the share of leaves that must agree.
	atLeast float64
	// args go to the export, besides those of the set.
	args []string
}

var librarySets = []librarySet{
	{
		name: "tuva", mappings: "tuva", warehouse: "tuva", schema: "tuva",
		charge: "item.adjudication[submitted].amount.value", paid: "item.adjudication[benefit].amount.value",
		member:   "identifier.value",
		views:    []string{"basis", "c4bb220"},
		narrowed: []string{"Organization", "Practitioner"},
	},
	{
		name: "cms-idr", mappings: "cms-idr", warehouse: "cms-idr", schema: "idr",
		charge: "item.adjudication[CLM_LINE_SBMT_CHRG_AMT].amount.value", paid: "payment.amount.value",
		member: "id",
		views:  []string{"basis", "c4bb220"},
		agreement: []agreementSet{{
			name: "bfd-idr", expected: "cms-idr/expected", atLeast: 0.95,
			// The publisher returns claims that its profiles do not allow.
			args: []string{"--policy", "flag"},
		}},
	},
	{
		name: "cms-idr-bulk", mappings: "cms-idr", warehouse: "cms-idr-bulk", schema: "idr",
		charge: "item.adjudication[CLM_LINE_SBMT_CHRG_AMT].amount.value", paid: "payment.amount.value",
		member: "id",
	},
	{
		name: "cms-idr-flat", mappings: "cms-idr-flat", warehouse: "cms-idr-flat", schema: "flat",
		charge: "item.adjudication[CLM_LINE_SBMT_CHRG_AMT].amount.value", paid: "payment.amount.value",
		narrowed: []string{"Organization", "Practitioner"},
		views:    []string{"basis"},
		dangling: map[string]int{"ExplanationOfBenefit.patient": 4, "Claim.patient": 5},
		agreement: []agreementSet{{
			name: "bfd-idr-flat", expected: "cms-idr-flat/expected", atLeast: 0.95,
			args: []string{"--policy", "flag"},
		}},
	},
	{
		name: "cms-rif", mappings: "cms-rif", warehouse: "cms-rif", schema: "rif",
		charge: "total[submitted].amount.value", paid: "total[benefit].amount.value",
		member:    "identifier.value",
		narrowed:  []string{"Organization", "Practitioner"},
		views:     []string{"basis", "c4bb220"},
		agreement: []agreementSet{{name: "bfd-rif", expected: "cms-rif/expected", atLeast: 0.95}},
	},
	{
		name: "cpcds", mappings: "cpcds", warehouse: "cpcds", schema: "cpcds",
		charge: "total[submitted].amount.value", paid: "total[benefit].amount.value",
		member:   "identifier.value",
		narrowed: []string{"Organization", "Practitioner"},
		views:    []string{"basis", "c4bb220"},
		agreement: []agreementSet{{
			name: "google-cpcds", expected: "cpcds/expected", atLeast: 0.95,
			// Each of the publisher's claims lacks a code that the profiles of today demand.
			args: []string{"--policy", "flag"},
		}},
	},
	syntheaSet("synthea"), syntheaSet("synthea-au"),
}

// syntheaSet is a run of Synthea. What was paid is paid by payers or patients.
func syntheaSet(name string) librarySet {
	return librarySet{
		name: name, mappings: "synthea", warehouse: name, schema: "synthea",
		charge:   "item.adjudication[submitted].amount.value",
		paid:     "total[benefit].amount.value + total[paidbypatient].amount.value",
		member:   "identifier.value",
		narrowed: []string{"Organization", "Practitioner"},
		views:    []string{"basis", "c4bb220"},
	}
}

// TestLibrary proves every shipped set; UPDATE=1 rewrites the goldens.
func TestLibrary(t *testing.T) {
	t.Parallel()
	for _, set := range librarySets {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			warehouse := "duckdb:" + filepath.Join("../../fixtures", set.warehouse)
			x := readExport(t, exportSet(t, warehouse, set.mappings, set.args...))
			t.Run("mapping tests", func(t *testing.T) {
				if code, stdout, stderr := runRemit(t, "test", set.mappings); code != exitFine {
					t.Errorf("remit test ended with %d:\n%s%s", code, stdout, stderr)
				}
			})
			t.Run("counts", func(t *testing.T) { checkCounts(t, &set, x) })
			t.Run("references", func(t *testing.T) { checkReferences(t, x, set.dangling) })
			t.Run("members", func(t *testing.T) { checkMembers(t, &set, warehouse, x) })
			t.Run("validate", func(t *testing.T) { checkValid(t, x) })
			for _, view := range set.views {
				t.Run("view "+view, func(t *testing.T) { checkView(t, &set, warehouse, view, x) })
			}
			t.Run("second opinion", func(t *testing.T) { checkOpinion(t, x) })
			t.Run("totals", func(t *testing.T) { checkTotals(t, &set, warehouse) })
			t.Run("postgres", func(t *testing.T) { checkPostgres(t, &set, x) })
			for _, a := range set.agreement {
				t.Run("agreement "+a.name, func(t *testing.T) { checkAgreement(t, &set, a, warehouse, x) })
			}
		})
	}
}

// golden compares got with a file, or rewrites it under UPDATE=1.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// checkCounts holds the report against the golden: resources by type, withheld
// ones by type and by reason, and what was absent, assumed or not in a map.
func checkCounts(t *testing.T, set *librarySet, x *exported) {
	var b strings.Builder
	section := func(title string, counts map[string]int) {
		fmt.Fprintf(&b, "%s\n", title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "%8d  %s\n", counts[name], name)
		}
	}
	section("exported", x.report.Exported)
	section("withheld", x.report.Withheld)
	for _, name := range slices.Sorted(maps.Keys(x.report.Withheld)) {
		out, in := x.report.Withheld[name], x.report.Exported[name]
		fmt.Fprintf(&b, "%7.2f%%  of %s\n", 100*float64(out)/float64(out+in), name)
	}
	section("withheld, by reason", x.report.Reasons)
	section("rows skipped", x.report.Skipped)
	section("absent", x.report.Absent)
	section("assumed", x.report.Assumed)
	section("not in a map", x.report.Unmapped)
	golden(t, filepath.Join("testdata/library", set.name+".txt"), b.String())
	checkReadme(t, set, x)
	for name, count := range x.report.Exported {
		if len(x.resources[name]) != count {
			t.Errorf("%s: %d resources in the files, %d in the report", name, len(x.resources[name]), count)
		}
	}
}

// readmes is held while a README is rewritten, which several sets may share.
var readmes sync.Mutex

// checkReadme holds the counts of absent and assumed values that a set's README
// tells between two marks, where it has them, against the report.
func checkReadme(t *testing.T, set *librarySet, x *exported) {
	t.Helper()
	readmes.Lock()
	defer readmes.Unlock()
	name := filepath.Join("../../mapping/library", set.mappings, "README.md")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	from := "<!-- counts of " + set.name + ", made by go test -run TestLibrary ./cmd/remit -->\n"
	before, rest, found := strings.Cut(string(data), from)
	if !found {
		return // its tables tell them with the reasons
	}
	_, after, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatalf("%s: the counts of %s have no end", name, set.name)
	}
	var b strings.Builder
	b.WriteString("| where | what | values |\n|---|---|---|\n")
	for _, part := range []struct {
		what   string
		counts map[string]int
	}{{"absent", x.report.Absent}, {"assumed", x.report.Assumed}} {
		for _, path := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Fprintf(&b, "| %s | %s | %d |\n", path, part.what, part.counts[path])
		}
	}
	golden(t, name, before+from+b.String()+"<!-- end -->"+after)
}

// checkValid runs the validator over the files as a client would.
func checkValid(t *testing.T, x *exported) {
	args := []string{"validate", "--level", "error"}
	for _, f := range x.manifest.Output {
		args = append(args, filepath.Join(x.dir, f.URL))
	}
	if code, stdout, stderr := runRemit(t, args...); code != exitFine {
		t.Errorf("validate ended with %d:\n%.2000s%s", code, stdout, stderr)
	}
}

// checkView exports a view: as many resources of each type as in full, each
// valid for the view's profiles, which are not those of the full view.
func checkView(t *testing.T, set *librarySet, warehouse, view string, full *exported) {
	x := readExport(t, exportSet(t, warehouse, set.mappings, append(slices.Clone(set.args), "--view", view)...))
	if diff := cmp.Diff(full.report.Exported, x.report.Exported); diff != "" {
		t.Errorf("resources (-full +view):\n%s", diff)
	}
	checkValid(t, x)
	profiles := func(x *exported) map[string]bool {
		out := map[string]bool{}
		for _, r := range x.resources["ExplanationOfBenefit"] {
			for _, p := range pick(r, []string{"meta", "profile"}) {
				out[p] = true
			}
		}
		return out
	}
	for p := range profiles(x) {
		if profiles(full)[p] {
			t.Errorf("the view has the profile %s of the full view", p)
		}
	}
	if len(profiles(x)) != len(profiles(full)) {
		t.Errorf("profiles of the view: %v; in full: %v", profiles(x), profiles(full))
	}
}

// totals are the control totals of one member; amounts in cents.
type totals struct {
	Claims, Lines, Diagnoses int
	Charge, Paid             int64
}

// checkTotals holds the number of claims, lines and diagnoses and the sums of
// charge and paid of each member against SQL over the warehouse. Nothing is
// withheld for it, so that all rows count.
func checkTotals(t *testing.T, set *librarySet, warehouse string) {
	x := readExport(t, exportSet(t, warehouse, set.mappings, append(slices.Clone(set.args), "--policy", "flag")...))
	want := warehouseTotals(t, warehouse, filepath.Join("testdata/library", set.name+".sql"))
	ofClaim := want
	if own := filepath.Join("testdata/library", set.name+".claim.sql"); exists(own) {
		ofClaim = warehouseTotals(t, warehouse, own)
	}
	memberOf := map[string]string{}
	for v := range want {
		if set.member == "" {
			memberOf["Patient/"+v] = v
		}
	}
	for _, p := range x.resources["Patient"] {
		for _, v := range pick(p, strings.Split(set.member, ".")) {
			if _, ok := ofClaim[v]; ok {
				memberOf["Patient/"+p["id"].(string)] = v
			}
		}
	}
	sums := func(kind string, amounts bool) map[string]totals {
		got := map[string]totals{}
		for _, r := range x.resources[kind] {
			member, ok := memberOf[r["patient"].(map[string]any)["reference"].(string)]
			if !ok {
				t.Fatalf("a %s of a patient who is no member of the control totals", kind)
			}
			sum := got[member]
			sum.Claims++
			sum.Lines += len(asList(r["item"]))
			sum.Diagnoses += len(asList(r["diagnosis"]))
			if amounts {
				sum.Charge += sumOf(t, r, set.charge)
				sum.Paid += sumOf(t, r, set.paid)
			}
			got[member] = sum
		}
		return got
	}
	compareTotals(t, "ExplanationOfBenefit", want, sums("ExplanationOfBenefit", true))
	if _, ok := x.report.Exported["Claim"]; ok {
		counts := maps.Clone(ofClaim)
		for member, sum := range counts {
			sum.Charge, sum.Paid = 0, 0
			counts[member] = sum
		}
		compareTotals(t, "Claim", counts, sums("Claim", false))
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func compareTotals(t *testing.T, kind string, want, got map[string]totals) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("no control totals")
	}
	different, claimants := 0, 0
	for member, sum := range want {
		if sum.Claims > 0 {
			claimants++
		}
		if diff := cmp.Diff(sum, got[member]); diff != "" {
			different++
			if different == 1 {
				t.Errorf("%s of one member (-warehouse +export):\n%s", kind, diff)
			}
		}
	}
	if different > 0 || len(got) != claimants || claimants == 0 {
		t.Errorf("%s: the totals of %d of %d members differ; %d members have claims, %d in the export", kind, different, len(want), claimants, len(got))
	}
}

// warehouseTotals runs the control totals: member, claims, lines, diagnoses,
// charge, paid.
func warehouseTotals(t *testing.T, warehouse, file string) map[string]totals {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]totals{}
	for _, row := range warehouseRows(t, warehouse, string(text), "member", "claims", "lines", "diagnoses", "charge", "paid") {
		n := make([]int, 4)
		for i := 1; i < 4; i++ {
			if n[i], err = strconv.Atoi(row[i]); err != nil {
				t.Fatal("a count is no number")
			}
		}
		out[row[0]] = totals{Claims: n[1], Lines: n[2], Diagnoses: n[3], Charge: cents(t, row[4]), Paid: cents(t, row[5])}
	}
	return out
}

// warehouseRows reads columns of a query, ordered by the first.
func warehouseRows(t *testing.T, warehouse, sql string, columns ...string) (rows [][]string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	w, err := openWarehouse(ctx, warehouse)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	snapshot, err := w.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	q := &source.Query{
		From: &source.Relation{Name: "control", SQL: sql},
		Key:  []source.KeyColumn{{Name: columns[0], Type: source.Type{Kind: source.KindText}}},
	}
	for _, c := range columns {
		q.Columns = append(q.Columns, source.Expr{SQL: c})
	}
	stream, err := snapshot.Stream(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Next() {
		row := make([]string, len(columns))
		for i, v := range stream.Row()[:len(columns)] {
			row[i] = string(bytes.Clone(v.Bytes()))
		}
		rows = append(rows, row)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// sumOf adds up amounts, in cents; paths are joined by +.
func sumOf(t *testing.T, r map[string]any, paths string) (sum int64) {
	t.Helper()
	for _, path := range strings.Split(paths, " + ") {
		for _, v := range pick(r, strings.Split(path, ".")) {
			sum += cents(t, v)
		}
	}
	return sum
}

// pick takes the scalars at a path: a step such as adjudication[submitted]
// takes the entries that have this code in their category.
func pick(v any, steps []string) (out []string) {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			out = append(out, pick(e, steps)...)
		}
		return out
	}
	if len(steps) == 0 {
		if v == nil {
			return nil
		}
		return []string{fmt.Sprint(v)}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	name, code, labelled := strings.Cut(strings.TrimSuffix(steps[0], "]"), "[")
	if !labelled {
		return pick(m[name], steps[1:])
	}
	for _, e := range asList(m[name]) {
		if slices.Contains(pick(e, []string{"category", "coding", "code"}), code) {
			out = append(out, pick(e, steps[1:])...)
		}
	}
	return out
}

// checkPostgres exports the same tables from PostgreSQL: byte for byte the
// same but for meta.lastUpdated.
func checkPostgres(t *testing.T, set *librarySet, fromDuckDB *exported) {
	dsn := postgrestest.DSN(t)
	if code, _, stderr := runRemit(t, "load", filepath.Join("../../fixtures", set.warehouse), "--into", dsn, "--schema", set.schema, "--mappings", set.mappings); code != exitFine {
		t.Fatalf("load ended with %d:\n%s", code, stderr)
	}
	if code, _, stderr := runRemit(t, "check", "--warehouse", dsn, set.mappings); code != exitFine || strings.Contains(stderr, "hint:") {
		t.Errorf("check ended with %d, of indexes that load should have made:\n%s", code, stderr)
	}
	fromPostgres := exportSet(t, dsn, set.mappings, set.args...)
	names := func(dir string) (out []string) {
		files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			out = append(out, filepath.Base(f))
		}
		return out
	}
	if diff := cmp.Diff(names(fromDuckDB.dir), names(fromPostgres)); diff != "" {
		t.Fatalf("files (-duckdb +postgres):\n%s", diff)
	}
	for _, name := range names(fromDuckDB.dir) {
		a, b := normalized(t, fromDuckDB.dir, name), normalized(t, fromPostgres, name)
		if bytes.Equal(a, b) {
			continue
		}
		al, bl := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
		for i := range al {
			if i >= len(bl) || al[i] != bl[i] {
				t.Errorf("%s differs first in line %d of %d and %d", name, i+1, len(al), len(bl))
				break
			}
		}
	}
}

// checkAgreement prints how the export agrees with what the publisher expects.
func checkAgreement(t *testing.T, set *librarySet, a agreementSet, warehouse string, x *exported) {
	text, err := os.ReadFile(filepath.Join("testdata/agreement", a.name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := agreement.ReadRules(text)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := agreement.Read(os.DirFS(filepath.Join("../../fixtures", a.expected)))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.args) > 0 {
		x = readExport(t, exportSet(t, warehouse, set.mappings, append(slices.Clone(set.args), a.args...)...))
	}
	var ours []agreement.Resource
	for _, kind := range slices.Sorted(maps.Keys(x.resources)) {
		ours = append(ours, x.resources[kind]...)
	}
	report, err := agreement.Compare(rules, expected, ours)
	if err != nil {
		t.Fatal(err)
	}
	if report.Share() < a.atLeast {
		t.Errorf("%.2f%% agree, %.2f%% are asked for", 100*report.Share(), 100*a.atLeast)
	}
	var b strings.Builder
	if err := report.Print(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata/agreement", a.name+".txt"), b.String())
}
