package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"remit/sql/postgres/postgrestest"
)

// A server tells in its log, when it starts, which indexes the warehouse lacks.
func TestServe_MissingIndexes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if code, _, stderr := runRemit(t, "load", "../../fixtures/tuva", "--into", dsn); code != exitFine {
		t.Fatalf("load ended with %d:\n%s", code, stderr)
	}
	l, err := load(t.Context(), loadOptions{warehouse: dsn, mappings: "tuva"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	n := &node{loaded: l, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := n.warnIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `level=WARN`) || !strings.Contains(log.String(), `create="CREATE INDEX ON tuva.pharmacy_claim (patient_id);"`) {
		t.Error(log.String())
	}
}
