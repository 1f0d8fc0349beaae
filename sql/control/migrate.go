package control

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one numbered step of the schema.
type migration struct {
	version  int
	name     string
	up, down string
}

// migrations reads the numbered steps, lowest first. A step without both
// directions, or a number used twice, is an error.
func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	byVersion := map[int]*migration{}
	for _, file := range names {
		base := strings.TrimPrefix(file, "migrations/")
		number, rest, ok := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version < 1 {
			return nil, fmt.Errorf("migration %s: want NNNN_name.up.sql", base)
		}
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", base, err)
		}
		m := byVersion[version]
		if m == nil {
			m = &migration{version: version}
			byVersion[version] = m
		}
		name, up := strings.CutSuffix(rest, ".up.sql")
		if !up {
			var down bool
			if name, down = strings.CutSuffix(rest, ".down.sql"); !down {
				return nil, fmt.Errorf("migration %s: want NNNN_name.up.sql or .down.sql", base)
			}
		}
		if m.name != "" && m.name != name {
			return nil, fmt.Errorf("migration %d is both %s and %s", version, m.name, name)
		}
		m.name = name
		if up {
			m.up = string(text)
		} else {
			m.down = string(text)
		}
	}
	steps := make([]migration, 0, len(byVersion))
	for _, m := range byVersion {
		if m.up == "" || m.down == "" {
			return nil, fmt.Errorf("migration %d lacks a direction", m.version)
		}
		steps = append(steps, *m)
	}
	slices.SortFunc(steps, func(a, b migration) int { return a.version - b.version })
	return steps, nil
}

// migrationLock is the key of PostgreSQL's advisory lock that keeps two
// processes from migrating at once.
const migrationLock = 0x72656d6974 // "remit"

// ErrNewer says that the store was written by a newer version of this program.
var ErrNewer = errors.New("control store has a newer schema than this program knows")

// Version tells at which version the schema of the store at address stands, 0
// where there is none yet, and the newest that this program knows. It changes
// nothing and makes no file.
func Version(ctx context.Context, address string) (have, newest int, err error) {
	steps, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	newest = steps[len(steps)-1].version
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return 0, newest, nil
		}
	}
	s, err := connect(ctx, address)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	query := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
	if s.postgres {
		query = "SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('schema_version')"
	}
	var tables int
	if err := s.db.GetContext(ctx, &tables, query); err != nil {
		return 0, 0, fmt.Errorf("look for schema version: %w", err)
	}
	if tables > 0 {
		if err := s.db.GetContext(ctx, &have, "SELECT coalesce(max(version), 0) FROM schema_version"); err != nil {
			return 0, 0, fmt.Errorf("read schema version: %w", err)
		}
	}
	if have > newest {
		return have, newest, fmt.Errorf("schema %d, known %d: %w", have, newest, ErrNewer)
	}
	return have, newest, nil
}

// Migrate brings the schema to version, up or down; version < 0 means the
// newest. It is safe beside other processes that do the same. Error: ErrNewer.
func (s *Store) Migrate(ctx context.Context, version int) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	newest := steps[len(steps)-1].version
	if version < 0 {
		version = newest
	}
	return s.inTx(ctx, "migrate", func(tx *sqlx.Tx) error {
		if s.postgres {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock); err != nil {
				return fmt.Errorf("lock schema: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)"); err != nil {
			return fmt.Errorf("create schema_version: %w", err)
		}
		var have int
		if err := tx.GetContext(ctx, &have, "SELECT coalesce(max(version), 0) FROM schema_version"); err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if have > newest {
			return fmt.Errorf("schema %d, known %d: %w", have, newest, ErrNewer)
		}
		for _, m := range steps {
			if m.version <= have || m.version > version {
				continue
			}
			if _, err := tx.ExecContext(ctx, m.up); err != nil {
				return fmt.Errorf("migration %d %s up: %w", m.version, m.name, err)
			}
			if _, err := tx.ExecContext(ctx, s.db.Rebind("INSERT INTO schema_version (version) VALUES (?)"), m.version); err != nil {
				return fmt.Errorf("note migration %d: %w", m.version, err)
			}
		}
		for _, m := range slices.Backward(steps) {
			if m.version > have || m.version <= version {
				continue
			}
			if _, err := tx.ExecContext(ctx, m.down); err != nil {
				return fmt.Errorf("migration %d %s down: %w", m.version, m.name, err)
			}
			if _, err := tx.ExecContext(ctx, s.db.Rebind("DELETE FROM schema_version WHERE version = ?"), m.version); err != nil {
				return fmt.Errorf("unnote migration %d: %w", m.version, err)
			}
		}
		return nil
	})
}
