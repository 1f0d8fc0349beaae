package jobs_test

import (
	"path/filepath"
	"testing"

	"remit/server/jobs"
	"remit/server/jobs/jobstest"
	"remit/sql/postgres/postgrestest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	jobstest.Run(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "jobs.db") })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	jobstest.Run(t, func(t *testing.T) string { return postgrestest.DSN(t) })
}

func TestBeside(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"sqlite:/data/control.db":   "sqlite:/data/control-jobs.db",
		"sqlite:control":            "sqlite:control-jobs",
		"postgres://u@h/db?x=y":     "postgres://u@h/db?x=y",
		"postgresql://h/db.sqlite?": "postgresql://h/db.sqlite?",
	} {
		if got := jobs.Beside(in); got != want {
			t.Errorf("Beside(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOpenAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "sqlite:", "mysql://x", "postgres://%zz"} {
		if _, err := jobs.Open(t.Context(), jobs.Options{Address: address, Node: "n", Workers: 1}); err == nil {
			t.Errorf("Open(%q) gives no error", address)
		}
	}
	if _, err := jobs.Open(t.Context(), jobs.Options{Address: "sqlite:" + filepath.Join(t.TempDir(), "x"), Workers: 1}); err == nil {
		t.Error("Open without a node gives no error")
	}
}
