package mapping_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/fixtures"
	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
)

// TestProofRandomRows runs random rows through the shipped set: rows of the
// fixture with cells emptied, exchanged, and filled with what no payer would
// write. A validator that leaves out what is proved finds in what comes out
// exactly what one that judges everything finds, warnings and notes included.
func TestProofRandomRows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		w := warehouse(t, randomTuva(t, seed))
		p := must(t, w, os.DirFS("library/tuva"))
		set := profileSet(t)
		all, err := set.Validator(profiles.ValidatorOptions{})
		if err != nil {
			t.Fatal(err)
		}
		proved := mapping.Proof(p).Proved()
		some, err := set.Validator(profiles.ValidatorOptions{Proved: proved})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		resources, kinds := 0, map[string]int{}
		var with, without []profiles.Finding
		_, err = p.Run(t.Context(), snap, program.Request{}, func(e *program.Emitted) error {
			resources++
			without, with = all.Validate(e.Resource, without[:0]), some.Validate(e.Resource, with[:0])
			for i := range without {
				kinds[without[i].Severity.String()+" "+without[i].Code]++
			}
			if d := cmp.Diff(without, with); d != "" {
				t.Errorf("seed %d, %s: findings without and with what is proved (-without +with):\n%s", seed, e.Key, d)
			}
			return nil
		})
		_ = snap.Close()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d rules proved, %d resources, findings: %v", seed, len(proved), resources, kinds)
		if resources < 500 || len(kinds) < 6 {
			t.Errorf("seed %d: %d resources with %d kinds of findings: the rows are too tame", seed, resources, len(kinds))
		}
	}
}

// randomTuva writes a part of the Tuva fixture, its cells changed at random, into
// a folder. What joins the tables stays.
func randomTuva(t *testing.T, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	dir, tuva := t.TempDir(), fixtures.Tuva()
	entries, err := tuva.(interface {
		ReadDir(string) ([]os.DirEntry, error)
	}).ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		f, err := tuva.Open(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(entry.Name(), ".gz")
		if name != entry.Name() {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if raw, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if filepath.Ext(name) == ".csv" {
			raw = randomTable(t, r, raw)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// randomTable changes about every eighth cell of the rows of some patients.
func randomTable(t *testing.T, r *rand.Rand, raw []byte) []byte {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head, body := rows[0], rows[1:]
	patient := slices.Index(head, "patient_id")
	body = slices.DeleteFunc(body, func(row []string) bool { return len(row[patient])%2 == 0 })
	source := slices.Clone(body)
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.Write(head); err != nil {
		t.Fatal(err)
	}
	for _, row := range body {
		row = slices.Clone(row)
		for i, column := range head {
			if r.IntN(8) == 0 && !joins[column] {
				row[i] = randomCell(r, column, source[r.IntN(len(source))][i])
			}
		}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return out.Bytes()
}

// joins are the columns by which rows find each other.
var joins = map[string]bool{"patient_id": true, "claim_id": true, "claim_line_number": true, "claim_type": true, "data_source": true,
	"enrollment_start_date": true, "enrollment_end_date": true, "payer": true}

// randomCell is a value that the column's type can hold: none, that of another
// row, or a strange one.
func randomCell(r *rand.Rand, column, other string) string {
	strange := []string{
		"x", " ", "0", "ZZZ", "a b", " a", "a  b", "é", "\u00a0", "<b>", "'", `"`, "2020-02-30", "-1", "1e9", "urn:x", "E11.9", "99999", "0120", "853",
		"1234567893", "1234567890", "unknown", "female", "icd-10-cm", strings.Repeat("long ", 80), "a/b", "#", "\t",
	}
	switch {
	case strings.HasSuffix(column, "_date") || strings.HasPrefix(column, "procedure_date"):
		strange = []string{"1800-01-01", "1969-12-31", "2018-02-28", "2030-12-31", "9999-12-31"}
	case strings.HasSuffix(column, "_amount"):
		strange = []string{"0.00", "-1.00", "0.01", "999999999999.99", "-999999999999.99"}
	case strings.HasSuffix(column, "quantity"), strings.HasSuffix(column, "number"), strings.HasPrefix(column, "refill"), column == "days_supply":
		strange = []string{"0", "-5", "1", "2147483647"}
	}
	switch r.IntN(3) {
	case 0:
		return ""
	case 1:
		return other
	}
	return strange[r.IntN(len(strange))]
}

// BenchmarkValidateProved judges what the shipped set makes of the fixture, with
// everything judged and with what the load proves left out, type by type: what
// an export does to each resource. Of explanations of benefit it takes those of 8
// to 10 KB of JSON, or where there is none the longest, and says how long they are.
func BenchmarkValidateProved(b *testing.B) {
	w := warehouse(b, "../fixtures/tuva")
	p := must(b, w, os.DirFS("library/tuva"))
	snap, err := w.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	const wanted, about, most = 9 << 10, 1 << 10, 20
	off := func(raw []byte) int { return max(len(raw)-wanted, wanted-len(raw)) }
	kinds := map[string][][]byte{}
	if _, err := p.Run(b.Context(), snap, program.Request{}, func(e *program.Emitted) error {
		raw, kind := e.Resource.AppendJSON(nil), e.Resource.Type().Name()
		if kind == "ExplanationOfBenefit" {
			for _, name := range []string{"Inpatient", "Outpatient", "Professional", "Pharmacy"} {
				if bytes.Contains(raw, []byte("C4BB-ExplanationOfBenefit-"+name)) {
					kind = name
				}
			}
		}
		kinds[kind] = append(kinds[kind], raw)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	v := map[string]*profiles.Validator{}
	for name, proved := range map[string]profiles.Proved{"all": nil, "proved": mapping.Proof(p).Proved()} {
		if v[name], err = profileSet(b).Validator(profiles.ValidatorOptions{BareNotes: true, Proved: proved}); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		slices.SortStableFunc(kinds[kind], func(x, y []byte) int { return off(x) - off(y) })
		var list []*r4.Resource
		size := 0
		for i, raw := range kinds[kind][:min(most, len(kinds[kind]))] {
			if i > 0 && off(raw) > about && off(kinds[kind][0]) <= about {
				break
			}
			// As a chunk would keep it: a copy of its own.
			r := new(r4.Resource)
			if problems := new(r4.Parser).Parse(raw, r); len(problems) > 0 {
				b.Fatal(problems)
			}
			list, size = append(list, r), size+len(raw)
		}
		for _, name := range []string{"all", "proved"} {
			var found []profiles.Finding
			for _, r := range list {
				found = v[name].Validate(r, found[:0])
			}
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					found = v[name].Validate(list[i], found[:0])
					if i++; i == len(list) {
						i = 0
					}
				}
				b.ReportMetric(float64(size)/float64(len(list)), "bytes")
			})
		}
	}
}
