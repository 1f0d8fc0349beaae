package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/server/export"
)

// TestBE246_Parameters holds the README's table of kick-off parameters against
// the table that handlers and OperationDefinitions go by; UPDATE=1 writes it
// (BE-060, BE-084, BE-246).
//
// It shows BE-083.
func TestBE246_Parameters(t *testing.T) {
	const path, begin, end = "../README.md", "<!-- parameters -->\n", "<!-- /parameters -->\n"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	held, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section between %q and %q", path, begin, end)
	}
	var b strings.Builder
	b.WriteString("| parameter | type | times | where | guide | acts on | what it does |\n|---|---|---|---|---|---|---|\n")
	for _, p := range export.Parameters() {
		times := "0..*"
		if p.Single {
			times = "0..1"
		}
		where := "every level"
		if len(p.Levels) < 3 {
			var levels []string
			for _, l := range p.Levels {
				levels = append(levels, string(l))
			}
			where = strings.Join(levels, ", ")
		}
		if p.POSTOnly {
			where += ", POST"
		}
		stage, doc := p.Stage, p.Doc
		if !p.Supported {
			stage, doc = "-", "Refused, or reported when lenient."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", p.Name, p.Type, times, where, p.Since, stage, doc)
	}
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(b.String(), held); diff != "" {
		t.Errorf("the README's table is not the code's (-want +got):\n%s", diff)
	}
	// BE-084: nobody should take a time of change for a time of service.
	if !strings.Contains(held, "not of service") {
		t.Error("the README does not tell times of service from times of change")
	}
}
