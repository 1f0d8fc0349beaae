package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"remit/mapping/diag"
	"remit/mapping/syntax"
)

type fmtCmd struct {
	Check bool     `help:"Change nothing; list the files that are not laid out."`
	Files []string `arg:"" help:"Files, or folders with the files of a set; - is stdin." placeholder:"FILE|DIR"`
}

// Help shows a worked line.
func (fmtCmd) Help() string {
	return `Lays mapping files out: two blanks a level, words in the order of the reference, comments kept, meaning unchanged. It prints the names of the files that it changes.

Example: remit fmt --check mappings`
}

// Run lays the files out. Exit code 1 says that a file is not readable, or
// under --check that one is not laid out.
func (c *fmtCmd) Run(a *app) error {
	if len(c.Files) == 1 && c.Files[0] == "-" {
		return c.stream(a)
	}
	files, err := mappingFiles(c.Files)
	if err != nil {
		return err
	}
	list := &diag.List{}
	changed := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("format: %w", err)
		}
		out, err := syntax.Format(f, data, list)
		if err != nil {
			return err
		}
		if out == nil || bytes.Equal(data, out) {
			continue
		}
		changed++
		fmt.Fprintln(a.stdout, f)
		if c.Check {
			continue
		}
		if err := replaceFile(f, out); err != nil {
			return err
		}
	}
	if err := list.Err(); err != nil {
		return err
	}
	if c.Check && changed > 0 {
		return exitCode(exitFindings)
	}
	return nil
}

// stream lays stdin out to stdout. What it is shows by its keys.
func (c *fmtCmd) stream(a *app) error {
	data, err := io.ReadAll(io.LimitReader(a.stdin, syntax.MaxBytes+1))
	if err != nil {
		return fmt.Errorf("read stdin: %w", err)
	}
	name := "stdin"
	if bytes.HasPrefix(data, []byte("sources:")) || bytes.Contains(data, []byte("\nsources:")) {
		name = "sources.yaml"
	}
	list := &diag.List{}
	out, err := syntax.Format(name, data, list)
	if err != nil {
		return err
	}
	if err := list.Err(); err != nil {
		return err
	}
	if c.Check {
		if !bytes.Equal(data, out) {
			return exitCode(exitFindings)
		}
		return nil
	}
	_, err = a.stdout.Write(out)
	return err
}

// mappingFiles are the files named, and of folders the files of a set: YAML in
// the folder itself.
func mappingFiles(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("%s: no such file or folder", name)
		}
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		found, err := filepath.Glob(filepath.Join(escapeGlob(name), "*.yaml"))
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		if len(found) == 0 {
			return nil, usagef("%s: no *.yaml in this folder", name)
		}
		out = append(out, found...)
	}
	return out, nil
}

// escapeGlob takes the meaning from the signs of a pattern.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// replaceFile writes a file anew, whole or not at all; its mode stays.
func replaceFile(name string, data []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	if err := writeWhole(name, data, info.Mode().Perm()); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	return nil
}
