//go:build chaos

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"testing"
	"time"

	"remit/sql/control"
)

// BenchmarkFleet measures exports of everything of 3,000 members, kick-off to
// the last file: by one server that does all itself, and by two servers that
// leave the chunks to one, two and three workers of one chunk at a time, over one
// PostgreSQL and an S3 stand-in in this process. On a machine with few cores it
// shows what sharing costs, and not what more machines bring.
func BenchmarkFleet(b *testing.B) {
	for _, f := range []fleet{{servers: 1}, {servers: 2, workers: 1}, {servers: 2, workers: 2}, {servers: 2, workers: 3}} {
		f.copies, f.settings = 30, []string{"--chunk-size", "5000"}
		b.Run(fmt.Sprintf("servers=%d,workers=%d", f.servers, f.workers), func(b *testing.B) {
			w := newChaos(b, rand.New(rand.NewPCG(1, 1)), f)
			c, err := control.Open(b.Context(), w.control)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = c.Close() })
			w.timed(c) // the first waits for processes that are starting
			var resources int64
			var took time.Duration
			for b.Loop() {
				n, d := w.timed(c)
				resources, took = resources+n, took+d
			}
			b.ReportMetric(float64(resources)/took.Seconds(), "resources/s")
		})
	}
}

// timed runs an export and tells what the control store says of it.
func (w *chaos) timed(c *control.Store) (resources int64, took time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Minute)
	defer cancel()
	status := w.kickoff(ctx)
	if _, err := w.poll(ctx, status); err != nil {
		w.t.Fatalf("poll: %v", err)
	}
	x, err := c.Export(ctx, path.Base(status))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Delete(ctx, status); err != nil {
		w.t.Fatal(err)
	}
	return x.Resources, x.Finished.Sub(x.Created)
}
