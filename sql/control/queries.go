package control

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// queries reads every statement of queries/*.sql, keyed by the name in its
// "-- name:" header. Statements are written with ? placeholders.
func queries() (map[string]string, error) {
	names, err := fs.Glob(queryFiles, "queries/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list queries: %w", err)
	}
	all := map[string]string{}
	for _, file := range names {
		text, err := queryFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		for _, part := range strings.Split("\n"+string(text), "\n-- name:")[1:] {
			name, body, _ := strings.Cut(part, "\n")
			name = strings.TrimSpace(name)
			body = strings.TrimSuffix(strings.TrimSpace(body), ";")
			if name == "" || body == "" || all[name] != "" {
				return nil, fmt.Errorf("%s: statement %q is empty or defined twice", file, name)
			}
			all[name] = body
		}
	}
	return all, nil
}
