package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"remit/mapping/program"
)

// marked is a program that tells itself from every other by a fingerprint, so
// that an interrupted export goes on only with the mappings it began with.
type marked struct {
	*program.Program
	mark string
}

// Fingerprint implements what server/export asks for.
func (m marked) Fingerprint() string { return m.mark }

// fingerprint covers all that decides what a program makes of a row: the files
// of its mapping set, the key of its ids, its settings and this binary's
// version. The key itself cannot be found from it.
func fingerprint(files fs.FS, idKey []byte, version string, noAssumptions bool) (string, error) {
	sum := hmac.New(sha256.New, idKey)
	fmt.Fprintf(sum, "remit %q, assumptions off: %t\n", version, noAssumptions)
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return addFile(sum, files, path)
	})
	if err != nil {
		return "", fmt.Errorf("fingerprint mapping set: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// addFile adds a file's name and the digest of its content, so that no two sets
// of files look alike by where one ends.
func addFile(to hash.Hash, files fs.FS, path string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	content := sha256.New()
	if _, err := io.Copy(content, f); err != nil {
		return err
	}
	fmt.Fprintf(to, "%q %x\n", path, content.Sum(nil))
	return nil
}
