package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"remit/fixtures"
	"remit/mapping/program"
	"remit/server/export"
	"remit/sql/postgres/postgrestest"
	"remit/sql/source"
)

// replicas of the fixture give 101,848 claims.
const replicas = 29

// benchWarehouses are the replicated fixture in both engines.
func benchWarehouses(b *testing.B, run func(b *testing.B, address string)) {
	dir := b.TempDir()
	if err := fixtures.Replicate(dir, fixtures.Tuva(), replicas); err != nil {
		b.Fatal(err)
	}
	b.Run("duckdb", func(b *testing.B) { run(b, "duckdb:"+dir) })
	b.Run("postgres", func(b *testing.B) {
		dsn := postgrestest.DSN(b)
		if err := postgrestest.LoadCSV(b.Context(), dsn, "tuva", os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		// The indexes that the set asks for, as remit load makes them.
		if err := postgrestest.Exec(b.Context(), dsn, `
			CREATE INDEX ON tuva.eligibility (data_source, patient_id, enrollment_start_date);
			CREATE INDEX ON tuva.medical_claim (patient_id);
			CREATE INDEX ON tuva.pharmacy_claim (patient_id)`); err != nil {
			b.Fatal(err)
		}
		if err := postgrestest.Exec(b.Context(), dsn, "ANALYZE"); err != nil {
			b.Fatal(err)
		}
		run(b, dsn)
	})
}

func benchApp() *app {
	return &app{stdin: nil, stdout: io.Discard, stderr: io.Discard, getenv: os.Getenv, now: time.Now}
}

// BenchmarkExport is the whole way: rows of 101,848 claims to validated,
// compressed and digested NDJSON files on disk, by the engine that serves the
// API. Opening the warehouse and loading the mappings are not in it; reading
// the files of a DuckDB folder into the engine is done once, before.
func BenchmarkExport(b *testing.B) {
	benchWarehouses(b, func(b *testing.B, address string) {
		a := benchApp()
		dir := b.TempDir()
		c := config{
			Warehouse: address, Mappings: "tuva", LogLevel: "error", Policy: "withhold",
			Control: "sqlite:" + filepath.Join(dir, "control.db"), Store: "file:" + filepath.Join(dir, "files"),
		}
		c.defaults()
		n, err := openNode(b.Context(), a, &c, c.logger(io.Discard))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = n.Close() })
		request := &export.Request{Level: export.LevelSystem, URL: "benchmark"}
		if err := chooseTypes(n, request); err != nil {
			b.Fatal(err)
		}
		var resources, bytes int64
		for b.Loop() {
			status, err := n.engine.Run(b.Context(), *request, nil)
			if err != nil {
				b.Fatal(err)
			}
			report, err := n.engine.Report(b.Context(), status.ID)
			if err != nil {
				b.Fatal(err)
			}
			resources += total(report.Exported)
			bytes += total(report.Bytes)
			if err := n.engine.Delete(b.Context(), status.ID); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(resources)/b.Elapsed().Seconds(), "resources/s")
		b.ReportMetric(float64(bytes)/b.Elapsed().Seconds()/1e6, "MB/s")
	})
}

// BenchmarkRead is the floor under BenchmarkExport: it only reads the rows of
// the same queries, one after the other, and makes nothing of them. Its
// resources/s are those that the export makes of these rows.
func BenchmarkRead(b *testing.B) {
	benchWarehouses(b, func(b *testing.B, address string) {
		l, err := load(b.Context(), loadOptions{warehouse: address, mappings: "tuva"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		snap, err := l.warehouse.Snapshot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = snap.Close() })
		var rows int64
		for b.Loop() {
			for _, q := range l.program.Queries(program.Request{}) {
				n, err := readAll(b.Context(), snap, q.Query)
				if err != nil {
					b.Fatal(err)
				}
				rows += n
			}
		}
		b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(b.N)*replicatedResources/b.Elapsed().Seconds(), "resources/s")
	})
}

// replicatedResources is what an export of the replicated fixture makes:
// members, spans, claims and EOBs grow with it, providers and payer do not.
const replicatedResources = replicas*(100+219+3512+3436) + 141 + 2231 + 1

func readAll(ctx context.Context, snap source.Snapshot, q *source.Query) (rows int64, err error) {
	s, err := snap.Stream(ctx, q)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for s.Next() {
		rows++
	}
	return rows, s.Err()
}
