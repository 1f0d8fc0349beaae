package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `help:"Print one JSON object."`
}

// Help shows a worked line.
func (versionCmd) Help() string { return "Example: remit version --json" }

// build is what the binary knows of itself.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

func buildInfo() build {
	b := build{Version: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	b := buildInfo()
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(b)
	}
	_, err := fmt.Fprintf(a.stdout, "remit %s (%s)\n", b.Version, b.Go)
	return err
}
