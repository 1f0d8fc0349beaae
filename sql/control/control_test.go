package control_test

import (
	"os"
	"path/filepath"
	"testing"

	"remit/sql/control"
	"remit/sql/control/controltest"
)

func sqlite(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "data", "control.db") }

func TestSQLite(t *testing.T) {
	t.Parallel()
	controltest.Run(t, sqlite)
}

func TestSQLiteFileIsPrivate(t *testing.T) {
	t.Parallel()
	address := sqlite(t)
	s, err := control.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(address[len("sqlite:"):])
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode().Perm())
	}
}

func TestOpenAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "sqlite:", "control.db", "mysql://x", "postgres://u:secret@%zz/"} {
		if s, err := control.Open(t.Context(), address); err == nil {
			s.Close()
			t.Errorf("Open(%q) gives no error", address)
		}
	}
}
