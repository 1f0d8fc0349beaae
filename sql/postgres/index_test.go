package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/sql/postgres"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// TestMissing: an index serves what it begins with, whole and of plain columns;
// what cannot have one is passed over.
func TestMissing(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	if err := postgrestest.Exec(t.Context(), dsn, `CREATE SCHEMA claims;
CREATE TABLE claims.line (claim_id text, line_no int, "Patient" text, paid date, PRIMARY KEY (claim_id, line_no));
CREATE INDEX ON claims.line (lower("Patient"));
CREATE INDEX ON claims.line ("Patient") WHERE line_no = 1;
CREATE INDEX ON claims.line (paid) INCLUDE (line_no);
CREATE INDEX ON claims.line USING hash (line_no);
CREATE VIEW claims.face AS SELECT * FROM claims.line;
CREATE TABLE claims.bare ("order" text, b text);
CREATE TABLE part (k text, d int) PARTITION BY RANGE (d);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9);
CREATE INDEX ON part (k, d);
CREATE MATERIALIZED VIEW kept AS SELECT 'x' AS k;`); err != nil {
		t.Fatal(err)
	}
	w, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	want := func(table string, columns ...string) source.Index {
		return source.Index{Table: table, Columns: columns}
	}
	got, err := w.Missing(t.Context(), []source.Index{
		want("claims.line", "claim_id"), want("claims.line", "claim_id", "line_no"), want("claims.line", "line_no"), want("claims.line", "line_no", "claim_id"),
		want("claims.line", "Patient"), want("claims.line", "paid"), want("claims.line", "paid", "line_no"),
		want("claims.face", "claim_id"), want("claims.nothing", "a"), want("claims.bare", "order", "b"), want("part", "k"), want("part_1", "k"), want("part", "d"), want("kept", "k"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range got {
		lines = append(lines, m.Create)
		// The statement does what it is for.
		if err := postgrestest.Exec(t.Context(), dsn, m.Create); err != nil {
			t.Errorf("%s: %v", m.Create, err)
		}
	}
	if diff := cmp.Diff([]string{
		`CREATE INDEX ON claims.line (line_no);`, `CREATE INDEX ON claims.line (line_no, claim_id);`, `CREATE INDEX ON claims.line ("Patient");`,
		`CREATE INDEX ON claims.line (paid, line_no);`, `CREATE INDEX ON claims.bare ("order", b);`, `CREATE INDEX ON public.part (d);`, `CREATE INDEX ON public.kept (k);`,
	}, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again, err := w.Missing(t.Context(), got); err != nil || len(again) != 0 {
		t.Errorf("%v, %v", again, err)
	}
}
