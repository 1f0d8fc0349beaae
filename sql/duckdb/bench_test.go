package duckdb_test

import (
	"fmt"
	"testing"

	"remit/fixtures"
	"remit/sql/duckdb"
	"remit/sql/source"
)

// BenchmarkLoad reads the fixture of 100 members into the engine.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	if err := fixtures.Write(dir, fixtures.Tuva()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w, err := duckdb.Open(b.Context(), dir, duckdb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		s, err := w.Snapshot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDescribe prepares 400 expressions at once.
func BenchmarkDescribe(b *testing.B) {
	w, _ := tuva(b, 1)
	q := &source.Query{From: &source.Relation{Name: "line", Table: "tuva.medical_claim"}}
	for i := range 400 {
		q.Columns = append(q.Columns, source.Expr{SQL: fmt.Sprintf("coalesce(diagnosis_code_%d, hcpcs_code)", i%25+1)})
	}
	for b.Loop() {
		if _, err := w.Describe(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}

func tuva(b *testing.B, factor int) (*duckdb.Warehouse, source.Snapshot) {
	b.Helper()
	dir := b.TempDir()
	if err := fixtures.Replicate(dir, fixtures.Tuva(), factor); err != nil {
		b.Fatal(err)
	}
	w, err := duckdb.Open(b.Context(), dir, duckdb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Close() })
	s, err := w.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return w, s
}

// BenchmarkStream reads 200,475 claim lines in key order, 40 columns of each.
func BenchmarkStream(b *testing.B) {
	_, s := tuva(b, 33)
	columns := []string{"claim_id", "claim_line_number", "patient_id", "claim_start_date", "claim_end_date", "place_of_service_code",
		"service_unit_quantity", "hcpcs_code", "rendering_npi", "paid_amount", "allowed_amount", "charge_amount", "revenue_center_code", "bill_type_code", "data_source"}
	for i := 1; i <= 25; i++ {
		columns = append(columns, fmt.Sprintf("diagnosis_code_%d", i))
	}
	q := &source.Query{From: &source.Relation{Name: "line", Table: "tuva.medical_claim"},
		Key: []source.KeyColumn{{Name: "data_source"}, {Name: "claim_id"}}, Order: []source.KeyColumn{{Name: "claim_line_number"}}}
	for _, c := range columns {
		q.Columns = append(q.Columns, source.Expr{SQL: c})
	}
	b.ReportAllocs()
	rows, size := 0, 0
	for b.Loop() {
		stream, err := s.Stream(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		for stream.Next() {
			rows++
			for _, v := range stream.Row() {
				size += len(v.Bytes())
			}
		}
		if err := stream.Err(); err != nil {
			b.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if rows%200475 != 0 || size == 0 {
		b.Fatalf("%d rows of %d bytes", rows, size)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
