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
// the table that handlers and OperationDefinitions go by; UPDATE=1 writes it.
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
	if !strings.Contains(held, "A resource changed inside the window and again after it is absent.") {
		t.Error("BE-083: the README does not tell what _until loses")
	}
	for _, tc := range []struct{ question, answer string }{
		{"profiles used", "CARIN Blue Button"},
		{"the rule of splitting files", "Files hold at most 100,000 resources or 1 GiB each"},
		{"which supporting resources, and when", "Organization and Practitioner resources are exported beside the members' data"},
		{"levels", "System, Patient and Group level, GET and POST"},
		{"output formats", "application/fhir+ndjson, application/ndjson or ndjson"},
		{"a new member of a group with _since", "brings the whole history"},
		{"values of includeAssociatedData", "LatestProvenanceResources or RelevantProvenanceResources"},
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(raw)), " "), tc.answer) {
			t.Errorf("the README does not answer: %s", tc.question)
		}
	}
	t.Run("BE-084 a time of change is no time of service", func(t *testing.T) {
		for _, name := range []string{"_since", "_until"} {
			i := strings.Index(held, "| `"+name+"` |")
			if i < 0 {
				t.Fatalf("no row of %s", name)
			}
			row, _, _ := strings.Cut(held[i:], "\n")
			if !strings.Contains(row, "of service") || !strings.Contains(row, "_typeFilter") {
				t.Errorf("%s: %s", name, row)
			}
		}
	})
}
