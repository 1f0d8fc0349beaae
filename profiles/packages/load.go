package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxUnpacked bounds what one package may hold in memory.
const maxUnpacked = 1 << 30

// Open reads a package that is not bundled: a folder with a package.json and
// definitions (as published, at the top or under "package"), a folder of bare
// .json and .ndjson definitions, a folder with one .tgz, or with one .pkg of the
// compressed form. The name and version come from package.json where there is
// one. Files that are no FHIR definition are passed over. Errors: an unreadable
// file, JSON that does not parse, nothing found.
//
// Source: FHIR NPM package specification (https://hl7.org/fhir/packages.html).
func Open(fsys fs.FS) (*Package, error) {
	var l loader
	var archives []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipFolder(name) {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case strings.HasSuffix(name, ".tgz"), strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".pkg"):
			archives = append(archives, name)
			return nil
		case !isDefinition(name):
			return nil
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return l.add(name, body)
	})
	if err != nil {
		return nil, fmt.Errorf("open package: %w", err)
	}
	if len(l.p.Entries) == 0 && len(archives) == 1 {
		body, err := fs.ReadFile(fsys, archives[0])
		if err != nil {
			return nil, fmt.Errorf("open package: %w", err)
		}
		if strings.HasSuffix(archives[0], ".pkg") {
			return Unpack(body)
		}
		return OpenArchive(bytes.NewReader(body))
	}
	return l.done()
}

// OpenArchive reads a published package (.tgz). Errors as for Open.
func OpenArchive(r io.Reader) (*Package, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("open package archive: %w", err)
	}
	defer zr.Close()
	var l loader
	tr := tar.NewReader(io.LimitReader(zr, maxUnpacked))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return l.done()
		}
		if err != nil {
			return nil, fmt.Errorf("open package archive: %w", err)
		}
		name := path.Clean(strings.ReplaceAll(h.Name, `\`, "/"))
		if h.Typeflag != tar.TypeReg || !isDefinition(name) || skipFolder(path.Dir(name)) {
			continue
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("open package archive: %w", err)
		}
		if err := l.add(name, body); err != nil {
			return nil, fmt.Errorf("open package archive: %w", err)
		}
	}
}

// skipFolder says that a folder of a published package holds no definitions.
func skipFolder(name string) bool {
	switch path.Base(name) {
	case "example", "examples", "openapi", "other", "xml", "node_modules", ".git", "tests":
		return true
	}
	return false
}

func isDefinition(name string) bool {
	base := path.Base(name)
	return (strings.HasSuffix(base, ".json") || strings.HasSuffix(base, ".ndjson")) && base != ".index.json" && base != "ig-r4.json"
}

// loader gathers a package from files.
type loader struct {
	p      Package
	blocks plain
	size   int
}

func (l *loader) add(name string, body []byte) error {
	if l.size += len(body); l.size > maxUnpacked {
		return errors.New("package is too large")
	}
	if path.Base(name) == "package.json" {
		return l.manifest(body)
	}
	if strings.HasSuffix(name, ".ndjson") {
		n := 0
		for line := range bytes.Lines(body) {
			n++
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			if err := l.definition(line); err != nil {
				return fmt.Errorf("%s line %d: %w", name, n, err)
			}
		}
		return nil
	}
	if err := l.definition(body); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (l *loader) manifest(body []byte) error {
	var m struct {
		Name         string            `json:"name"`
		Version      string            `json:"version"`
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	l.p.Name, l.p.Version = m.Name, m.Version
	for _, name := range slices.Sorted(maps.Keys(m.Dependencies)) {
		l.p.Dependencies = append(l.p.Dependencies, name+"#"+m.Dependencies[name])
	}
	return nil
}

func (l *loader) definition(body []byte) error {
	var d struct {
		ResourceType   string `json:"resourceType"`
		ID             string `json:"id"`
		URL            string `json:"url"`
		Version        string `json:"version"`
		Name           any    `json:"name"`
		Title          any    `json:"title"`
		Kind           string `json:"kind"`
		Type           any    `json:"type"`
		BaseDefinition string `json:"baseDefinition"`
		Derivation     string `json:"derivation"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return err
	}
	if d.ResourceType == "" || d.URL == "" {
		return nil // an index, an example, an implementation's own file
	}
	text := func(v any) string { s, _ := v.(string); return s }
	e := Entry{
		ResourceType: d.ResourceType, ID: d.ID, URL: d.URL, Version: d.Version,
		Name: text(d.Name), Title: text(d.Title), Kind: d.Kind, Type: text(d.Type), Base: d.BaseDefinition, Derivation: d.Derivation,
		block: len(l.blocks), length: len(body),
	}
	if e.ResourceType == "StructureDefinition" {
		// A logical model's type is a URL; a profile's is a name.
		e.Type = strings.TrimPrefix(e.Type, "http://hl7.org/fhir/StructureDefinition/")
	}
	l.blocks = append(l.blocks, body)
	l.p.Entries = append(l.p.Entries, e)
	return nil
}

func (l *loader) done() (*Package, error) {
	if len(l.p.Entries) == 0 {
		return nil, errors.New("open package: no definitions found")
	}
	p := l.p
	if p.Name == "" {
		p.Name = "local"
	}
	for i := range p.Entries {
		if p.Entries[i].Version == "" {
			p.Entries[i].Version = p.Version
		}
	}
	p.blocks = l.blocks
	return &p, nil
}
