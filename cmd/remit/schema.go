package main

import (
	"fmt"
	"os"
	"path/filepath"

	"remit/mapping/syntax"
)

type schemaCmd struct {
	Out  string `help:"Write sources.schema.json and mapping.schema.json to this folder." placeholder:"DIR"`
	File string `arg:"" optional:"" help:"The schema to print: sources or mapping." placeholder:"sources|mapping"`
}

// Help shows a worked line.
func (schemaCmd) Help() string {
	return `Prints the JSON Schema (draft 2020-12) of sources.yaml or of mapping files, for editors: they complete keys and show what each says. Point an editor at it by a first line such as
  # yaml-language-server: $schema=mapping.schema.json

Example: remit schema mapping > mapping.schema.json`
}

// Run prints or writes the schemas.
func (c *schemaCmd) Run(a *app) error {
	switch {
	case (c.Out == "") == (c.File == ""):
		return usagef("name a schema to print, sources or mapping, or a folder with --out")
	case c.File != "":
		data, err := syntax.SchemaOf(c.File)
		if err != nil {
			return &usageError{err}
		}
		_, err = a.stdout.Write(data)
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("make schema folder: %w", err)
	}
	for _, file := range []string{"sources", "mapping"} {
		data, err := syntax.SchemaOf(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.Out, file+".schema.json"), data, 0o644); err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
	}
	return nil
}
