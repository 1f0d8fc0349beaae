package program_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping"
	"remit/mapping/program"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/duckdb"
	"remit/sql/source"
)

// tuva loads the shipped set over its fixture.
func tuva(t *testing.T) (*program.Program, *profiles.Set, source.Source) {
	t.Helper()
	ctx := context.Background()
	w, err := duckdb.Open(ctx, "../../fixtures/tuva", duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	set, err := profiles.Open(profiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, diags, err := mapping.Load(ctx, os.DirFS("../library/tuva"), mapping.Env{Warehouse: w, Profiles: set})
	if err != nil || p == nil {
		t.Fatal(err, diags.Err())
	}
	return p, set, w
}

func snapshot(t *testing.T, w source.Source) source.Snapshot {
	t.Helper()
	snap, err := w.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snap.Close() })
	return snap
}

// TestExplain explains ten EOBs, spread over the run, and one of each other
// type: what comes is the resource of the run, every value names its line, and
// what is read of rows names columns that were read.
func TestExplain(t *testing.T) {
	ctx := context.Background()
	p, set, w := tuva(t)
	snap := snapshot(t, w)
	validator, err := set.Validator(profiles.ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type wanted struct{ typ, id, json string }
	var all []wanted
	seen := map[string]int{}
	_, err = p.Run(ctx, snap, program.Request{}, func(e *program.Emitted) error {
		seen[e.Type]++
		if n := seen[e.Type]; n == 1 || e.Type == "ExplanationOfBenefit" && n%350 == 0 {
			all = append(all, wanted{e.Type, string(e.ID), string(e.Resource.AppendJSON(nil))})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 16 {
		t.Fatalf("only %d resources", len(all))
	}
	by := map[string]int{}
	for _, want := range all {
		found, err := p.Explain(ctx, snap, want.typ, want.id, func(r *r4.Resource, f []profiles.Finding) []profiles.Finding {
			return validator.Validate(r, f)
		})
		if err != nil {
			t.Fatalf("%s/%s: %v", want.typ, want.id, err)
		}
		if len(found) != 3 || found[0].View != "" || found[1].View != "basis" || found[2].View != "c4bb220" {
			t.Fatalf("%s/%s: %d explanations, want one of each view", want.typ, want.id, len(found))
		}
		if d := cmp.Diff(want.json, string(found[0].Resource)); d != "" {
			t.Errorf("%s/%s is not what the run emits:\n%s", want.typ, want.id, d)
		}
		for _, x := range found {
			explained(t, x, by)
		}
	}
	for _, kind := range []string{"column", "sql", "map", "literal", "profile", "reference", "sequence", "id", "updated", "absent"} {
		if by[kind] == 0 {
			t.Errorf("no element comes by %s", kind)
		}
	}
	if _, err := p.Explain(ctx, snap, "Patient", "nobody", nil); !errors.Is(err, program.ErrNoResource) {
		t.Errorf("an unknown id: %v", err)
	}
	var unknown *program.UnknownTypeError
	if _, err := p.Explain(ctx, snap, "Observation", "x", nil); !errors.As(err, &unknown) {
		t.Errorf("an unknown type: %v", err)
	}
}

// explained asks that an explanation is whole: every value of the resource with
// its line, and every column that it depends on among those read.
func explained(t *testing.T, x *program.Explanation, by map[string]int) {
	t.Helper()
	read := map[string]bool{}
	for _, r := range x.Reads {
		if r.SQL == "" {
			t.Errorf("source %s: no SQL", r.Source)
		}
		for _, c := range r.Columns {
			read[r.Source+" "+strings.Trim(c, `"`)] = true
		}
		for _, row := range r.Rows {
			if len(row) != len(r.Columns) {
				t.Errorf("source %s: %d values in %d columns", r.Source, len(row), len(r.Columns))
			}
		}
	}
	if len(x.Reads) == 0 || len(x.Reads[0].Rows) != 1 {
		t.Errorf("%s/%s: the first query does not give one row", x.Type, x.ID)
	}
	var values []string
	for _, e := range x.Elements {
		values = append(values, e.Value)
	}
	slices.Sort(values)
	if d := cmp.Diff(leafValues(t, string(x.Resource), x.Type), values); d != "" {
		t.Errorf("%s/%s (-resource +elements):\n%s", x.Type, x.ID, d)
	}
	for _, e := range x.Elements {
		by[e.By]++
		if e.Place.File != x.Place.File || e.Place.Line == 0 {
			t.Errorf("%s: no place", e.Path)
		}
		for _, d := range e.Reads {
			if !read[d.Source+" "+strings.Trim(d.SQL, `"`)] {
				t.Errorf("%s depends on %s of %s, which was not read", e.Path, d.SQL, d.Source)
			}
		}
		if (e.By == "column" || e.By == "sql" || e.By == "map") && len(e.Reads) == 0 {
			t.Errorf("%s comes by %s of nothing", e.Path, e.By)
		}
	}
}

// leafValues are the texts of all values of a resource, sorted, without its
// type.
func leafValues(t *testing.T, data, resourceType string) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(data))
	dec.UseNumber()
	var top map[string]any
	if err := dec.Decode(&top); err != nil {
		t.Fatal(err)
	}
	if top["resourceType"] != resourceType {
		t.Errorf("a %v, want %s", top["resourceType"], resourceType)
	}
	delete(top, "resourceType")
	out := leaves(top, nil)
	slices.Sort(out)
	return out
}

func leaves(v any, out []string) []string {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			out = leaves(x, out)
		}
	case []any:
		for _, x := range v {
			out = leaves(x, out)
		}
	default:
		out = append(out, fmt.Sprint(v))
	}
	return out
}
