// Package packages holds the definitions Remit judges by: FHIR R4 and the
// guides, one compressed file each, embedded in the binary; and it reads the
// packages a user brings along (an unpacked folder or a published .tgz).
//
// A package is an index and blocks. The index names every definition (type,
// id, canonical, version); a block holds some definitions' JSON, compressed by
// itself, so that opening one profile unpacks tens of kilobytes, not the whole
// guide. The room knows what a definition is called, never what it means.
package packages

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed data/*.pkg
var data embed.FS

// Entry names one definition of a package.
type Entry struct {
	ResourceType string // "StructureDefinition", "ValueSet" ...
	ID           string
	URL          string // canonical, without version; "" where it has none
	Version      string // business version; the package's where the definition has none
	Name         string
	Title        string
	Kind         string // of a StructureDefinition: resource, complex-type, primitive-type, logical
	Type         string // of a StructureDefinition: the type it describes or constrains
	Base         string // of a StructureDefinition: baseDefinition
	Derivation   string // of a StructureDefinition: specialization, constraint

	block       int
	off, length int
}

// Package is one guide in one version. It is immutable and safe for concurrent
// use.
type Package struct {
	Name         string   // "hl7.fhir.us.carin-bb"
	Version      string   // "2.1.0"
	Dependencies []string // "hl7.fhir.us.core#6.1.0"
	Entries      []Entry  // in the order of the published package

	blocks blocks
}

// Label is Name#Version.
func (p *Package) Label() string { return p.Name + "#" + p.Version }

// Read gives the JSON of one of p's entries. The caller must not change the
// bytes; they may be shared. Errors: a damaged block.
func (p *Package) Read(e *Entry) ([]byte, error) {
	b, err := p.blocks.read(e.block)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s of %s: %w", e.ResourceType, e.ID, p.Label(), err)
	}
	if e.off < 0 || e.length < 0 || e.off > len(b)-e.length {
		return nil, fmt.Errorf("read %s/%s of %s: entry lies outside its block", e.ResourceType, e.ID, p.Label())
	}
	return b[e.off : e.off+e.length : e.off+e.length], nil
}

// bundled opens the embedded packages once.
var bundled = sync.OnceValues(func() ([]*Package, error) {
	names, err := fs.Glob(data, "data/*.pkg")
	if err != nil {
		return nil, err
	}
	out := make([]*Package, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { out[i], errs[i] = openEmbedded(name) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), CompareVersions(a.Version, b.Version))
	})
	return out, nil
})

// Bundled gives the packages in the binary, sorted by name and version. The
// indexes are read once; blocks only on demand. The caller must not change the
// slice. Errors: a damaged binary.
func Bundled() ([]*Package, error) { return bundled() }

func openEmbedded(name string) (*Package, error) {
	raw, err := data.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := Unpack(raw)
	if err != nil {
		return nil, fmt.Errorf("open bundled package %s: %w", name, err)
	}
	return p, nil
}

// CompareVersions orders business versions: numeric parts as numbers, a
// pre-release ("2.0.0-ballot") before its release. It returns -1, 0 or 1.
// Source: Semantic Versioning 2.0.0, section 11, loosened for versions of other
// shapes (a date, one number).
func CompareVersions(a, b string) int {
	ar, ap, _ := strings.Cut(a, "-")
	br, bp, _ := strings.Cut(b, "-")
	if c := compareDotted(ar, br); c != 0 {
		return c
	}
	switch {
	case ap == bp:
		return 0
	case ap == "":
		return 1
	case bp == "":
		return -1
	}
	return compareDotted(ap, bp)
}

func compareDotted(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, errx := strconv.Atoi(x)
		n, erry := strconv.Atoi(y)
		var c int
		switch {
		case errx == nil && erry == nil:
			c = cmp.Compare(m, n)
		case x == "" && erry == nil: // "2.1" is 2.1.0
			c = cmp.Compare(0, n)
		case y == "" && errx == nil:
			c = cmp.Compare(m, 0)
		default:
			c = strings.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
