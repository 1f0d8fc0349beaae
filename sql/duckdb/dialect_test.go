package duckdb

import (
	"testing"

	"remit/sql/source/sourcetest"
)

func TestDialect(t *testing.T) {
	sourcetest.Render(t, &dialect, "testdata/sql")
}
