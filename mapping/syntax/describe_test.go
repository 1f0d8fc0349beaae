package syntax

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestDescribe holds the description against what the parser takes.
func TestDescribe(t *testing.T) {
	for name, keys := range map[string][]string{
		"sources": sourcesKeys, "source": sourceKeys, "empty": emptyKeys, "map": fileKeys, "mapping": mappingKeys,
		"id": idKeys, "view": viewKeys, "value": slices.Collect(maps.Keys(controlNames)),
	} {
		block, ok := BlockNamed(name)
		if !ok {
			t.Errorf("no block %s", name)
			continue
		}
		var got []string
		for _, k := range block.Keys {
			got = append(got, k.Name)
			if k.Doc == "" || k.Form == 0 || (k.Form == AWord) != (k.Words != nil) || (k.Form == OneBlock || k.Form == Named) != (k.Block != "") {
				t.Errorf("%s.%s is not fully described", name, k.Name)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(slices.Sorted(slices.Values(keys)), got); d != "" {
			t.Errorf("%s (-parser +description):\n%s", name, d)
		}
	}
	for i, r := range Rules() {
		if r.Number != i+1 || r.Text == "" {
			t.Errorf("rule %d stands at %d", r.Number, i+1)
		}
	}
}

// TestReference holds mapping/README.md against the description; UPDATE=1
// rewrites it.
func TestReference(t *testing.T) {
	const file = "../README.md"
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), Reference()); d != "" {
		t.Errorf("README.md is not what the descriptions say (-file +descriptions):\n%s", d)
	}
}

// TestSchema validates the shipped mappings and the tests' base set, and asks
// that mistakes of form are told.
func TestSchema(t *testing.T) {
	sources, mapping := readSchema(t, "sources"), readSchema(t, "mapping")
	files := 0
	for _, pattern := range []string{"../library/*/*.yaml", "../testdata/base/*.yaml", "../testdata/rule/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := mapping
			if strings.HasPrefix(filepath.Base(name), "sources") {
				s = sources
			}
			var v any
			if err := yaml.Unmarshal(data, &v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if m, ok := v.(map[string]any); ok && m["resource"] == nil && m["sources"] == nil {
				continue // no file of the language
			}
			files++
			if fault := s.check(v, s.root, "$"); fault != "" {
				t.Errorf("%s: %s", name, fault)
			}
		}
	}
	if files < 10 {
		t.Errorf("only %d files", files)
	}
	for name, tc := range map[string]struct {
		schema *schemaDoc
		yaml   string
	}{
		"unknown key of a mapping":  {mapping, "resource: Patient\nfrom: p\nset: {active: true}\nform: q\n"},
		"no set":                    {mapping, "resource: Patient\nfrom: p\n"},
		"a list for from":           {mapping, "resource: Patient\nfrom: [p]\nset: {active: true}\n"},
		"unknown word of form":      {mapping, "resource: Patient\nfrom: p\nid: {form: hashed}\nset: {active: true}\n"},
		"a map for absent":          {mapping, "resource: Patient\nfrom: p\nset: {active: {absent: {a: b}}}\n"},
		"a path that is none":       {mapping, "resource: Patient\nfrom: p\nset: {\"a b\": c}\n"},
		"unknown key of a source":   {sources, "sources: {p: {tabel: t}}\n"},
		"unknown word of missing":   {sources, "sources: {p: {table: t}}\nmaps: {m: {missing: never}}\n"},
		"a list for a map's target": {sources, "sources: {p: {table: t}}\nmaps: {m: {a: [b]}}\n"},
	} {
		var v any
		if err := yaml.Unmarshal([]byte(tc.yaml), &v); err != nil {
			t.Fatal(err)
		}
		if tc.schema.check(v, tc.schema.root, "$") == "" {
			t.Errorf("%s: not told", name)
		}
	}
}

// schemaDoc validates by the part of JSON Schema that SchemaOf writes.
type schemaDoc struct{ root map[string]any }

func readSchema(t *testing.T, file string) *schemaDoc {
	t.Helper()
	data, err := SchemaOf(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &schemaDoc{}
	if err := json.Unmarshal(data, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *schemaDoc) check(v any, s map[string]any, at string) string {
	for word, rule := range s {
		switch word {
		case "$ref":
			name := strings.TrimPrefix(rule.(string), "#/$defs/")
			target, ok := d.root["$defs"].(map[string]any)[name].(map[string]any)
			if !ok {
				return at + ": no definition " + name
			}
			if f := d.check(v, target, at); f != "" {
				return f
			}
		case "anyOf":
			fine := false
			for _, one := range rule.([]any) {
				fine = fine || d.check(v, one.(map[string]any), at) == ""
			}
			if !fine {
				return at + ": none of the forms"
			}
		case "enum":
			if !slices.Contains(rule.([]any), v) {
				return at + ": none of the words"
			}
		case "type":
			if !typeIs(v, rule) {
				return at + ": wrong type"
			}
		case "items":
			if list, ok := v.([]any); ok {
				for _, one := range list {
					if f := d.check(one, rule.(map[string]any), at+"[]"); f != "" {
						return f
					}
				}
			}
		case "minItems":
			if list, ok := v.([]any); ok && len(list) == 0 {
				return at + ": empty"
			}
		case "required":
			if m, ok := v.(map[string]any); ok {
				for _, k := range rule.([]any) {
					if _, ok := m[k.(string)]; !ok {
						return at + ": no " + k.(string)
					}
				}
			}
		case "properties", "additionalProperties", "patternProperties", "$schema", "$defs", "title", "description":
		default:
			return at + ": the test does not know " + word
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	properties, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	for k, value := range m {
		known := false
		try := func(rule any) string {
			known = true
			return d.check(value, rule.(map[string]any), at+"."+k)
		}
		if rule, ok := properties[k]; ok {
			if f := try(rule); f != "" {
				return f
			}
		}
		for pattern, rule := range patterns {
			if regexp.MustCompile(pattern).MatchString(k) {
				if f := try(rule); f != "" {
					return f
				}
			}
		}
		if known {
			continue
		}
		switch rule := s["additionalProperties"].(type) {
		case bool:
			if !rule {
				return at + ": unknown key " + k
			}
		case map[string]any:
			if f := try(rule); f != "" {
				return f
			}
		}
	}
	return ""
}

func typeIs(v, rule any) bool {
	names, ok := rule.([]any)
	if !ok {
		names = []any{rule}
	}
	for _, n := range names {
		switch v.(type) {
		case string:
			ok = n == "string"
		case int, float64:
			ok = n == "number"
		case bool:
			ok = n == "boolean"
		case []any:
			ok = n == "array"
		case map[string]any:
			ok = n == "object"
		default:
			// Dates of YAML 1.1 are texts to editors.
			ok = n == "string"
		}
		if ok {
			return true
		}
	}
	return false
}
