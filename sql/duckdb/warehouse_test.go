package duckdb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2" // writes the files that the adapter reads

	"remit/sql/duckdb"
	"remit/sql/source"
	"remit/sql/source/sourcetest"
)

func run(t *testing.T, path, script string) {
	t.Helper()
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "SET TimeZone = 'UTC';"+script); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *duckdb.Warehouse {
	t.Helper()
	w, err := duckdb.Open(t.Context(), path, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestSourceFile(t *testing.T) {
	sourcetest.Run(t, sourcetest.Target{Open: func(t *testing.T, script string) (source.Source, func(string) error) {
		path := filepath.Join(t.TempDir(), "w.duckdb")
		run(t, path, script)
		return open(t, path), nil
	}})
}
