// Package library holds the shipped mapping sets as data: one folder a set,
// each with a README that lists its fallbacks and assumptions. There is no
// code here beyond finding them.
package library

import (
	"embed"
	"io/fs"
	"slices"
)

//go:embed cms-idr cms-idr-flat cms-rif cpcds synthea tuva
var sets embed.FS

// Names lists the shipped sets, sorted.
func Names() []string {
	entries, err := fs.ReadDir(sets, ".")
	if err != nil {
		return nil // an embedded file system always reads
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// Set returns the files of a shipped set; ok is false where there is none of
// that name.
func Set(name string) (fsys fs.FS, ok bool) {
	if !slices.Contains(Names(), name) {
		return nil, false
	}
	sub, err := fs.Sub(sets, name)
	return sub, err == nil
}
