package agreement

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"path"
	"slices"
	"strings"
)

// Resource is a FHIR resource as read from JSON, with numbers as json.Number.
type Resource = map[string]any

// Read reads every resource of a folder and its folders: .json files that hold
// one resource or a Bundle, .ndjson files, either as .gz. Entries of Bundles
// keep their fullUrl under the key "fullUrl".
func Read(fsys fs.FS) ([]Resource, error) {
	var all []Resource
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		stem := strings.TrimSuffix(name, ".gz")
		if ext := path.Ext(stem); ext != ".json" && ext != ".ndjson" {
			return nil
		}
		data, err := readFile(fsys, name)
		if err != nil {
			return err
		}
		found, err := parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	return all, nil
}

func readFile(fsys fs.FS, name string) (data []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !strings.HasSuffix(name, ".gz") {
		return io.ReadAll(f)
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// parse reads one resource after the other; Bundles are opened.
func parse(data []byte) ([]Resource, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out []Resource
	for {
		var r Resource
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if r["resourceType"] != "Bundle" {
			out = append(out, r)
			continue
		}
		for _, e := range objects(r["entry"]) {
			if inner, ok := e["resource"].(map[string]any); ok {
				if url, ok := e["fullUrl"].(string); ok {
					inner["fullUrl"] = url
				}
				out = append(out, inner)
			}
		}
	}
}

// objects are the objects of a list, or the one object that v is.
func objects(v any) []map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return []map[string]any{v}
	case []any:
		var out []map[string]any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				out = append(out, m)
			}
		}
		return out
	}
	return nil
}

// values are the scalars at a dotted path below v, through all lists.
func values(v any, dotted string) []string {
	if list, ok := v.([]any); ok {
		var out []string
		for _, e := range list {
			out = append(out, values(e, dotted)...)
		}
		return out
	}
	if dotted == "" {
		if text, ok := scalar(v); ok {
			return []string{text}
		}
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	name, rest, _ := strings.Cut(dotted, ".")
	return values(m[name], rest)
}

// scalar is the text by which a leaf is compared: numbers by their value, so
// that 0.0 equals 0.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return fmt.Sprint(v), true
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString(), true
		}
		return v.String(), true
	}
	return "", false
}

// joined is a key of the values at several paths. ok is false where none has
// a value.
func joined(v any, by []string) (key string, ok bool) {
	parts := make([]string, len(by))
	for i, p := range by {
		found := values(v, p)
		slices.Sort(found)
		parts[i] = strings.Join(slices.Compact(found), "+")
		ok = ok || parts[i] != ""
	}
	return strings.Join(parts, "/"), ok
}

// leaf is one scalar of a resource.
type leaf struct {
	at   []segment
	text string
}

// flattener turns a resource into its leaves.
type flattener struct {
	keys  map[string]Key // by bare path of the list
	draft bool           // codings are not told apart by their system
	// doubles are the lists, by bare path, whose repeated keys are set apart.
	doubles map[string]bool
	out     []leaf
	doubled map[string][]leaf // leaves set apart, by list
}

// flatten lists the leaves of a resource in the order of names.
func (f *flattener) flatten(v any, at []segment) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == "resourceType" && len(at) == 1 {
				continue
			}
			f.flatten(v[name], append(slices.Clone(at), segment{name: name}))
		}
	case []any:
		seen := map[segment]bool{}
		if f.draft && at[len(at)-1].name == "coding" {
			v = distinctCodes(v)
		}
		for _, e := range v {
			here := slices.Clone(at)
			before := len(f.out)
			last := &here[len(here)-1]
			if m, ok := e.(map[string]any); ok {
				last.label, last.key = f.tell(m, here)
			}
			f.flatten(e, here)
			if list := bare(here); f.doubles[list] && seen[*last] {
				f.doubled[list] = append(f.doubled[list], f.out[before:]...)
				f.out = f.out[:before]
			}
			seen[*last] = true
		}
	default:
		if text, ok := scalar(v); ok {
			f.out = append(f.out, leaf{at: slices.Clone(at), text: text})
		}
	}
}

// distinctCodes leaves out codings whose code an earlier one has: where systems
// are not compared, one code under two of them is one value.
func distinctCodes(codings []any) []any {
	seen := map[string]bool{}
	var out []any
	for _, c := range codings {
		if m, ok := c.(map[string]any); ok {
			if code, ok := scalar(m["code"]); ok {
				if seen[code] {
					continue
				}
				seen[code] = true
			}
		}
		out = append(out, c)
	}
	return out
}

// tellers are the paths that tell entries of a list apart by their codes, in
// the order in which they are tried.
var tellers = []string{"category.coding.code", "type.coding.code", "role.coding.code", "relationship.coding.code", "type"}

// tell says what tells an entry of a list apart.
func (f *flattener) tell(m map[string]any, at []segment) (label, key string) {
	if k, ok := f.keys[bare(at)]; ok {
		text, _ := joined(m, k.By)
		if k.Show {
			return text, ""
		}
		return "", text
	}
	if url, ok := m["url"].(string); ok {
		return path.Base(url), ""
	}
	if at[len(at)-1].name == "coding" {
		if f.draft {
			return "", ""
		}
		system, _ := m["system"].(string)
		return "", system
	}
	for _, teller := range tellers {
		if text, ok := joined(m, []string{teller}); ok {
			return text, ""
		}
	}
	return "", ""
}
