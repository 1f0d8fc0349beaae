package control

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"remit/sql/postgres/postgrestest"
)

// Every statement prepares against the migrated schema, and the schema goes
// down to nothing and up again.
func TestMigrateAndPrepare(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		migrateAndPrepare(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	})
	t.Run("Postgres", func(t *testing.T) { migrateAndPrepare(t, postgrestest.DSN(t)) })
}

func migrateAndPrepare(t *testing.T, address string) {
	s, err := connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tables := func() []string {
		query := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
		if s.postgres {
			query = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
		}
		var names []string
		if err := s.db.SelectContext(t.Context(), &names, query); err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return names
	}
	for _, version := range []int{-1, 0, -1, -1} {
		if err := s.Migrate(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		if version == 0 {
			if got := tables(); len(got) != 1 {
				t.Errorf("after the way down there are tables %v, want schema_version alone", got)
			}
			continue
		}
		if got := tables(); len(got) != 18 {
			t.Errorf("after the way up there are tables %v, want 18", got)
		}
		for name, text := range s.sql {
			st, err := s.db.PrepareContext(t.Context(), text)
			if err != nil {
				t.Errorf("prepare %s: %v", name, err)
				continue
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := s.db.ExecContext(t.Context(), "INSERT INTO schema_version (version) VALUES (9999)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context(), -1); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer schema gives %v, want ErrNewer", err)
	}
}

// Version looks without touching.
func TestVersion(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "c.db")
		version(t, "sqlite:"+file, func() {
			if _, err := os.Stat(file); err == nil {
				t.Error("looking made the file")
			}
		})
	})
	t.Run("Postgres", func(t *testing.T) { version(t, postgrestest.DSN(t), func() {}) })
}

func version(t *testing.T, address string, untouched func()) {
	have, newest, err := Version(t.Context(), address)
	if err != nil || have != 0 || newest < 3 {
		t.Fatalf("before: %d of %d, %v", have, newest, err)
	}
	untouched()
	s, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if have, _, err = Version(t.Context(), address); err != nil || have != newest {
		t.Fatalf("after: %d of %d, %v", have, newest, err)
	}
	if _, err := s.db.ExecContext(t.Context(), "INSERT INTO schema_version (version) VALUES (9999)"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Version(t.Context(), address); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer schema gives %v, want ErrNewer", err)
	}
}
