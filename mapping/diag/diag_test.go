package diag

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiagnosticString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		give Diagnostic
		want string
	}{
		{
			"whole",
			Diagnostic{Pos: Pos{"eob.yaml", 41, 15}, Code: "unknown-column", Message: `column "clm_pd_dt" is not in source "claim"`, Hint: `did you mean "clm_paid_dt"?`},
			`eob.yaml:41:15: column "clm_pd_dt" is not in source "claim"; did you mean "clm_paid_dt"? [unknown-column]`,
		},
		{"no column", Diagnostic{Pos: Pos{"a.yaml", 3, 0}, Code: "yaml", Message: "bad"}, "a.yaml:3: bad [yaml]"},
		{"file alone", Diagnostic{Pos: Pos{File: "a.yaml"}, Code: "yaml", Message: "bad"}, "a.yaml: bad [yaml]"},
		{"warning", Diagnostic{Pos: Pos{"a.yaml", 1, 1}, Severity: Warning, Code: "no-updated", Message: "m"}, "a.yaml:1:1: warning: m [no-updated]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.give.String()); diff != "" {
				t.Errorf("String() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListSortsAndDropsEqual(t *testing.T) {
	t.Parallel()
	var l List
	l.Errorf(Pos{"b.yaml", 1, 1}, "x", "third")
	l.Errorf(Pos{"a.yaml", 9, 2}, "x", "second")
	l.Errorf(Pos{"a.yaml", 9, 1}, "x", "first").WithRelated(Pos{"a.yaml", 2, 3}, "declared at")
	l.Errorf(Pos{"a.yaml", 9, 1}, "x", "first")
	want := "a.yaml:9:1: first [x]\n  declared at a.yaml:2:3\na.yaml:9:2: second [x]\nb.yaml:1:1: third [x]\n"
	var b strings.Builder
	if err := l.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("WriteText (-want +got):\n%s", diff)
	}
}

func TestListCountsBeyondTheCap(t *testing.T) {
	t.Parallel()
	var l List
	for i := range Max + 7 {
		l.Errorf(Pos{"a.yaml", i + 1, 1}, "x", "m")
	}
	var b strings.Builder
	if err := l.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != Max+1 || lines[Max] != "7 more" {
		t.Errorf("%d lines, last %q; want %d and \"7 more\"", len(lines), lines[len(lines)-1], Max+1)
	}
}

func TestErrOnlyForErrors(t *testing.T) {
	t.Parallel()
	var l List
	l.Warnf(Pos{"a.yaml", 1, 1}, "x", "m")
	if err := l.Err(); err != nil {
		t.Errorf("warnings alone refuse the set: %v", err)
	}
	l.Errorf(Pos{"a.yaml", 2, 1}, "x", "m")
	if l.Err() == nil {
		t.Error("an error does not refuse the set")
	}
}

func TestSnippetCaretStandsUnderItsCharacter(t *testing.T) {
	t.Parallel()
	var l List
	l.Errorf(Pos{"a.yaml", 2, 5}, "x", "m")
	var b strings.Builder
	if err := l.WriteSnippets(&b, func(string) []byte { return []byte("one\n\té: bad\n") }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a.yaml:2:5: m [x]\n  \té: bad\n  \t   ^\n", b.String()); diff != "" {
		t.Errorf("WriteSnippets (-want +got):\n%s", diff)
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var l List
	l.Errorf(Pos{"a.yaml", 2, 5}, "unknown-path", "m <x>").WithHint("h").WithRelated(Pos{"b.yaml", 1, 1}, "declared at")
	var b strings.Builder
	if err := l.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"file":"a.yaml","line":2,"column":5,"severity":"error","code":"unknown-path","message":"m <x>","hint":"h","related":[{"file":"b.yaml","line":1,"column":1,"message":"declared at"}]}` + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("WriteJSON (-want +got):\n%s", diff)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"clm_paid_dt", "clm_id", "patient_id", "status"}
	tests := []struct{ give, want string }{
		{"clm_pd_dt", "clm_paid_dt"},
		{"CLM_ID", "clm_id"},
		{"pateint_id", "patient_id"},
		{"stauts", "status"},
		{"zzz", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.give, names); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.give, got, tt.want)
		}
	}
}
