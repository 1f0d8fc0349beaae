// Command pack makes the compressed packages under profiles/packages/data from
// published or unpacked ones. Which ones, and what each depends on, bundle.json
// says; -from names the folder that holds them, by the folder names given there.
//
//	go run ./profiles/packages/pack -from DIR
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"remit/profiles/packages"
)

// source is one package of bundle.json.
type source struct {
	Folder       string   `json:"folder"`
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Dependencies []string `json:"dependencies"`
}

func main() {
	from := flag.String("from", "", "folder that holds the package folders")
	list := flag.String("list", "profiles/packages/pack/bundle.json", "which packages to pack")
	out := flag.String("out", "profiles/packages/data", "folder to write to")
	flag.Parse()
	if err := run(*from, *list, *out); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(from, list, out string) error {
	raw, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var sources []source
	if err := json.Unmarshal(raw, &sources); err != nil {
		return fmt.Errorf("read %s: %w", list, err)
	}
	for _, s := range sources {
		p, err := packages.Open(os.DirFS(filepath.Join(from, s.Folder)))
		if err != nil {
			return fmt.Errorf("%s: %w", s.Folder, err)
		}
		p.Name, p.Version, p.Dependencies = s.Name, s.Version, s.Dependencies
		var buf bytes.Buffer
		if err := packages.Pack(&buf, p); err != nil {
			return fmt.Errorf("%s: %w", s.Folder, err)
		}
		name := filepath.Join(out, s.Folder+".pkg")
		if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%-20s %5d definitions %8d bytes\n", s.Folder, len(p.Entries), buf.Len())
	}
	return nil
}
