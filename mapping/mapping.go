// Package mapping is the front door of the compiler: [Load] turns a folder of
// YAML and SQL into a Program, or tells everything that is wrong with it.
package mapping

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"remit/mapping/check"
	"remit/mapping/diag"
	"remit/mapping/program"
	"remit/mapping/syntax"
	"remit/profiles"
	"remit/sql/source"
)

// Env is what a mapping set is checked against.
type Env struct {
	Warehouse source.Source
	Profiles  *profiles.Set
	// IDKey, where not empty, keys the ids (HMAC-SHA-256) so that they cannot
	// be guessed from member numbers.
	IDKey []byte
	// NoAssumptions turns assumed: values off (rule 36).
	NoAssumptions bool
	// Sheets reads maps out of workbooks; nil where none are read.
	Sheets check.SheetReader
}

// Load reads the mapping set in the root of fsys (sources.yaml and one YAML
// file a mapping). The list holds all diagnostics, warnings included; the
// Program is nil where one of them is an error. The error is for faults
// outside the set: an unreachable warehouse, a file that cannot be read.
func Load(ctx context.Context, fsys fs.FS, env Env) (*program.Program, *diag.List, error) {
	diags := &diag.List{}
	set, err := load(ctx, fsys, env, diags)
	if err != nil || set == nil {
		return nil, diags, err
	}
	return program.New(set), diags, nil
}

// Proof is the proof report of a set that Load returned: for each demand of each
// profile in use, proved at load, checked per resource, or undecidable and why.
func Proof(p *program.Program) *check.Proof { return p.Proof() }

const sourcesFile = "sources.yaml"

// resourceLine finds what a file would make that is no readable YAML.
var resourceLine = regexp.MustCompile(`(?m)^resource:[ ]*([A-Za-z]+)`)

func load(ctx context.Context, fsys fs.FS, env Env, diags *diag.List) (*check.Set, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the mapping set: %w", err)
	}
	slices.Sort(names)
	var sources *syntax.Sources
	var mappings []*syntax.Mapping
	var unread []string
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if name == sourcesFile {
			sources = syntax.ParseSources(name, data, diags)
			continue
		}
		if m := syntax.ParseMapping(name, data, diags); m != nil {
			mappings = append(mappings, m)
		} else if r := resourceLine.FindSubmatch(data); r != nil {
			unread = append(unread, string(r[1]))
		}
	}
	switch {
	case sources == nil && !slices.Contains(names, sourcesFile):
		diags.Errorf(diag.Pos{File: sourcesFile}, "missing-file", "the mapping set has no sources.yaml")
		return nil, nil
	case sources == nil:
		return nil, nil
	case len(names) == 1:
		diags.Errorf(diag.Pos{File: sourcesFile}, "empty-set", "the mapping set has no mapping beside sources.yaml")
		return nil, nil
	}
	return check.Check(ctx, fsys, sources, mappings, check.Env{
		Warehouse: env.Warehouse, Profiles: env.Profiles, IDKey: env.IDKey, NoAssumptions: env.NoAssumptions, Sheets: env.Sheets, Unread: unread,
	}, diags)
}
