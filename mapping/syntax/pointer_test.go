package syntax

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShippedSetsPointToTheirSchema asks that every file of a shipped set begins
// with the line by which editors find its JSON Schema, and that the schemas
// beside the sets are those that the descriptions give. UPDATE=1 writes both.
func TestShippedSetsPointToTheirSchema(t *testing.T) {
	update := os.Getenv("UPDATE") == "1"
	files := 0
	for _, file := range []string{"sources", "mapping"} {
		want, err := SchemaOf(file)
		if err != nil {
			t.Fatal(err)
		}
		name := "../library/" + file + ".schema.json"
		if update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the descriptions say: %v", name, err)
		}
	}
	names, err := filepath.Glob("../library/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := ""
		for line := range strings.Lines(string(data)) {
			if key, _, _ := strings.Cut(strings.TrimSpace(line), ":"); key == "resource" {
				file = "mapping"
			} else if key == "sources" {
				file = "sources"
			}
		}
		if file == "" {
			continue // no file of the language
		}
		files++
		line := "# yaml-language-server: $schema=../" + file + ".schema.json\n"
		if strings.HasPrefix(string(data), line) {
			continue
		}
		if !update {
			t.Errorf("%s does not begin with %q; UPDATE=1 adds it", name, line)
			continue
		}
		if err := os.WriteFile(name, append([]byte(line), data...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if files < 30 {
		t.Errorf("only %d files", files)
	}
}
