package control_test

import (
	"testing"

	"remit/sql/control/controltest"
	"remit/sql/postgres/postgrestest"
)

func TestPostgres(t *testing.T) {
	t.Parallel()
	controltest.Run(t, func(t *testing.T) string { return postgrestest.DSN(t) })
}
