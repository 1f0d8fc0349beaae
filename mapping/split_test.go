package mapping_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
)

var numbered = map[string]string{
	"warehouse.yaml": "tables:\n  claim: {columns: {claim_id: text, member_id: bigint}}\n  line: {columns: {claim_id: text, line_no: integer, member_id: bigint}}\n",
	"claim.csv":      "claim_id,member_id\nA,-3\nB,9\nC,10\nC2,10\nD,50\nE,100\nF,1000\n",
	"line.csv":       "claim_id,line_no,member_id\nA,1,-3\nC2,1,10\nX,1,77\n",
}

var numberedSet = map[string]string{
	"sources.yaml": `
sources:
  claim: {table: claim, key: [claim_id], patient: member_id}
  line: {table: line, parent: claim, order: [line_no], patient: member_id}
`,
	"claim.yaml": `
resource: Basic
from: claim
set:
  code: {text: =claim_id}
  extension: {each: line, url: "urn:x", valueInteger: =line_no}
`,
}

// TestSplit_Numbers asks of members who are whole numbers, which a warehouse
// sorts by value and not by their digits, that a part of a split leaves out whom
// it is told to leave out, and that a list of members is dealt out: each to one
// part, nobody lost.
func TestSplit_Numbers(t *testing.T) {
	w := folder(t, numbered)
	p := must(t, w, files(numberedSet))
	snap, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	run := func(parts ...program.Request) (out []string, orphans int64) {
		t.Helper()
		for _, r := range parts {
			lines, report, err := emitted(t, w, p, r, body)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, lines...)
			orphans += report.Skipped["orphan"]
		}
		slices.Sort(out)
		return out, orphans
	}
	split := func(r program.Request) []program.Request {
		t.Helper()
		parts, err := p.Split(t.Context(), snap, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) < 3 {
			t.Fatalf("%d parts", len(parts))
		}
		return parts
	}

	t.Run("left out of a range", func(t *testing.T) {
		for _, member := range []string{"-3", "9", "10", "50", "100", "1000"} {
			without := []string{member}
			want, _ := run(program.Request{Without: without})
			parts := split(program.Request{})
			for i := range parts {
				parts[i].Without = without
			}
			got, _ := run(parts...)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("without %s, whole and parts (-whole +parts):\n%s", member, d)
			}
		}
	})
	t.Run("dealt out", func(t *testing.T) {
		members := []string{"10", "100", "50", "77", "8", "9"} // 77 has a line alone, 8 nothing
		want, orphans := run(program.Request{Patients: members})
		parts := split(program.Request{Patients: members})
		got, lost := run(parts...)
		if d := cmp.Diff(want, got); d != "" || orphans != 1 || lost != orphans {
			t.Errorf("whole and parts (-whole +parts), %d and %d orphans:\n%s", orphans, lost, d)
		}
		var dealt []string
		for _, r := range parts {
			if r.After != nil || r.UpTo != nil {
				t.Errorf("a part of named members has a range too: %+v", r)
			}
			dealt = append(dealt, r.Patients...)
		}
		slices.Sort(dealt)
		if d := cmp.Diff(members, dealt); d != "" {
			t.Errorf("members dealt out (-want +got):\n%s", d)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		parts, err := p.Split(t.Context(), snap, program.Request{Patients: []string{}}, 1)
		if err != nil || len(parts) != 1 || parts[0].Patients == nil {
			t.Fatalf("%+v, %v", parts, err)
		}
		if got, _ := run(parts...); len(got) != 0 {
			t.Errorf("nobody's data: %q", got)
		}
	})
}
