// Package workbook carries a mapping set to the people who do not read YAML,
// and back: it writes the crosswalk of a set as an .xlsx workbook (an index, a
// sheet per mapping with one row per element of its profile, a sheet per map,
// a quality sheet after a run), and it takes what an analyst filled in back
// into the YAML, at the place of each value and nowhere else.
//
// Taken back are the cells of the green columns: Column, SQL, Literal and Map,
// the keys of maps, and in our own layout Each, which names the source that an
// element repeats over, and When, the SQL on which it appears (mapping language,
// rules 1, 6 and 11). They may stand at an element that is written, or at one
// that is not, with what it repeats in the rows below. CARIN's layout has no
// columns for them; its working note shows them. What was emptied is refused:
// it is removed in the YAML.
//
// The room works on the syntax tree and the profiles. It knows neither a
// warehouse nor a run: column types and examples are handed in as [Facts], a
// run's counts as [Quality]. Excelize lives here alone.
package workbook

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
)

// Set is a mapping set as text: its files and their syntax trees.
type Set struct {
	// Name is how the set calls itself in the workbook: "tuva".
	Name     string
	Sources  *syntax.Sources
	Mappings []*syntax.Mapping // sorted by file name
	// Files holds the bytes of every YAML file and every map's file, by name.
	Files map[string][]byte
}

const sourcesFile = "sources.yaml"

// Open reads the mapping set in the root of fsys. The Set is nil where diags
// holds an error; the error is for files that cannot be read.
func Open(fsys fs.FS, name string, diags *diag.List) (*Set, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the mapping set: %w", err)
	}
	slices.Sort(names)
	files := make(map[string][]byte, len(names))
	for _, n := range names {
		if files[n], err = fs.ReadFile(fsys, n); err != nil {
			return nil, fmt.Errorf("read %s: %w", n, err)
		}
	}
	s := parse(name, files, diags)
	if s == nil || diags.HasErrors() {
		return nil, nil
	}
	for _, m := range s.Sources.Maps {
		file := mapFile(m)
		if file == nil || files[file.Value] != nil {
			continue
		}
		data, err := fs.ReadFile(fsys, file.Value)
		if err != nil {
			diags.Errorf(file.Pos, "unknown-file", "file %q is not in the mapping set", file.Value)
			continue
		}
		files[file.Value] = data
	}
	if diags.HasErrors() {
		return nil, nil
	}
	return s, nil
}

// parse builds a set of files that are in memory already.
func parse(name string, files map[string][]byte, diags *diag.List) *Set {
	s := &Set{Name: name, Files: files}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		switch {
		case n == sourcesFile:
			s.Sources = syntax.ParseSources(n, files[n], diags)
		case strings.HasSuffix(n, ".yaml"):
			if m := syntax.ParseMapping(n, files[n], diags); m != nil {
				s.Mappings = append(s.Mappings, m)
			}
		}
	}
	if s.Sources == nil {
		if files[sourcesFile] == nil {
			diags.Errorf(diag.Pos{File: sourcesFile}, "missing-file", "the mapping set has no sources.yaml")
		}
		return nil
	}
	return s
}

// source finds a source by name, or returns nil.
func (s *Set) source(name string) *syntax.Source {
	for _, x := range s.Sources.Sources {
		if strings.EqualFold(x.Name.Value, name) {
			return x
		}
	}
	return nil
}

// codeMap finds a map by name, or returns nil.
func (s *Set) codeMap(name string) *syntax.Map {
	for _, m := range s.Sources.Maps {
		if strings.EqualFold(m.Name.Value, name) {
			return m
		}
	}
	return nil
}

// table says where the rows of a source come from.
func (s *Set) table(name string) string {
	x := s.source(name)
	switch {
	case x == nil:
		return ""
	case x.Table != nil:
		return x.Table.Value
	case x.Unpivot != nil:
		n := ""
		if x.N != nil {
			n = " " + x.N.Value
		}
		return x.Unpivot.Value + " unpivoted" + n
	case x.SQL != nil && strings.HasSuffix(x.SQL.Value, ".sql"):
		return x.SQL.Value
	}
	return "SQL"
}

// Fact is what a check or a warehouse tells about an expression.
type Fact struct {
	Source string // whose rows it sees
	Type   string // the engine's name of its type
	// Example is a value of the data: health data, present only where the user
	// asked for it.
	Example string
}

// Facts holds what is known of expressions, by the place where each is written.
// A nil Facts knows nothing.
type Facts map[diag.Pos]Fact

// mapFile names the file of a map; nil for an inline one.
func mapFile(m *syntax.Map) *syntax.Text {
	switch {
	case m.CSV != nil:
		return m.CSV
	case m.XLSX != nil:
		return m.XLSX
	}
	return m.ConceptMap
}
