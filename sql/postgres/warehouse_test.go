package postgres_test

import (
	"context"
	"testing"

	"remit/sql/postgres"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
	"remit/sql/source/sourcetest"
)

func TestSource(t *testing.T) {
	sourcetest.Run(t, sourcetest.Target{Open: func(t *testing.T, script string) (source.Source, func(string) error) {
		dsn := postgrestest.DSN(t)
		change := func(sql string) error { return postgrestest.Exec(context.WithoutCancel(t.Context()), dsn, sql) }
		if err := change(script); err != nil {
			t.Fatal(err)
		}
		w, err := postgres.Open(t.Context(), dsn, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		return w, change
	}})
}
