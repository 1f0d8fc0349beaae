package files_test

import (
	"bytes"
	"fmt"
	"testing"

	"remit/server/files"
)

// BenchmarkWriter writes lines of 9 KB, about as repetitive as claims are, into
// a local folder: digest, gzip, disk.
func BenchmarkWriter(b *testing.B) {
	s, err := files.Open(b.Context(), "file:"+b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	lines := make([][]byte, 64)
	for i := range lines {
		var l bytes.Buffer
		for n := 0; l.Len() < 9000; n++ {
			fmt.Fprintf(&l, `{"sequence":%d,"category":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/adjudication","code":"c%d"}]},"amount":{"value":%d.%02d,"currency":"USD"}},`,
				n, (n+i)%7, (i*7919+n*104729)%5000, (i*31+n*17)%100)
		}
		lines[i] = l.Bytes()
	}
	w, err := s.Create(b.Context(), "bench.ndjson.gz")
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	b.SetBytes(int64(len(lines[0])))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := w.Write(lines[n%len(lines)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "resources/s")
}
