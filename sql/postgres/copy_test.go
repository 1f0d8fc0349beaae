package postgres_test

import (
	"errors"
	"testing"

	"remit/sql/postgres"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// Copy moves the rows that Stream yields, whatever values narrow the query.
func TestCopyMovesWhatStreamYields(t *testing.T) {
	dsn := postgrestest.DSN(t)
	script := `CREATE TABLE r (k text, n bigint, day date);
INSERT INTO r SELECT 'k''' || i || '$1::', i, date '2024-01-01' + i FROM generate_series(1, 40) i`
	if err := postgrestest.Exec(t.Context(), dsn, script); err != nil {
		t.Fatal(err)
	}
	s := snap(t, open(t, dsn, postgres.Options{})).(*postgres.Snapshot)
	key := source.KeyColumn{Name: "k", Type: source.Type{Kind: source.KindText}}
	low, high := "k'12$1::", "k'3$1::"
	for name, narrow := range map[string]source.Narrow{
		"all":      {},
		"range":    {Patient: key, PatientAfter: &low, PatientUpTo: &high},
		"patients": {Patient: key, Patients: []string{"k'7$1::", `a"b`, "k'9$1::"}},
		"keys":     {Keys: [][]string{{"k'7$1::"}, {"k'30$1::"}}},
	} {
		t.Run(name, func(t *testing.T) {
			q := &source.Query{From: &source.Relation{Name: "r", Table: "r"}, Columns: []source.Expr{{SQL: "k"}, {SQL: "snapshot.as_of_date - day"}},
				Key: []source.KeyColumn{key}, Narrow: narrow}
			want := read(t, s, q)
			if len(want) == 0 {
				t.Fatal("the query has no rows")
			}
			got, err := s.Copy(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != int64(len(want)) || got.Bytes < got.Rows*4 {
				t.Errorf("copied %+v, streamed %d rows", got, len(want))
			}
		})
	}
	_, err := s.CopySQL(t.Context(), "SELECT nothing FROM r")
	var fault *source.SQLError
	if !errors.As(err, &fault) {
		t.Errorf("a wrong statement gives %v", err)
	}
	if got, err := s.CopySQL(t.Context(), "SELECT k FROM r"); err != nil || got.Rows != 40 {
		t.Errorf("after the fault: %+v, %v", got, err)
	}
}
