package main

import (
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	set := func(pairs ...string) fs.FS {
		m := fstest.MapFS{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	key := []byte("0123456789abcdef")
	type program struct {
		files         fs.FS
		key           []byte
		version       string
		noAssumptions bool
	}
	seen := map[string]string{}
	for name, p := range map[string]program{
		"base":            {files: set("a.yaml", "x", "sub/b.csv", "y"), version: "1"},
		"content":         {files: set("a.yaml", "z", "sub/b.csv", "y"), version: "1"},
		"content in sub":  {files: set("a.yaml", "x", "sub/b.csv", "z"), version: "1"},
		"name":            {files: set("c.yaml", "x", "sub/b.csv", "y"), version: "1"},
		"fewer":           {files: set("a.yaml", "x"), version: "1"},
		"contents change": {files: set("a.yaml", "y", "sub/b.csv", "x"), version: "1"},
		"key":             {files: set("a.yaml", "x", "sub/b.csv", "y"), key: key, version: "1"},
		"version":         {files: set("a.yaml", "x", "sub/b.csv", "y"), version: "2"},
		"no assumptions":  {files: set("a.yaml", "x", "sub/b.csv", "y"), version: "1", noAssumptions: true},
	} {
		var twice [2]string
		for i := range twice {
			var err error
			if twice[i], err = fingerprint(p.files, p.key, p.version, p.noAssumptions); err != nil {
				t.Fatal(err)
			}
		}
		if twice[0] != twice[1] {
			t.Errorf("%s: not the same twice", name)
		}
		if other, ok := seen[twice[0]]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[twice[0]] = name
	}
}
