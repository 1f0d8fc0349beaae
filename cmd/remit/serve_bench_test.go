package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"remit/fixtures"
	"remit/server"
	"remit/server/auth"
	"remit/server/client"
	"remit/server/export"
	"remit/sql/control"
)

// benchServer is a whole server on the replicated fixture, with a client.
type benchServer struct {
	node  *node
	base  string
	token string
}

func openBenchServer(b *testing.B, chunkSize int) *benchServer {
	b.Helper()
	warehouse, dir := b.TempDir(), b.TempDir()
	if err := fixtures.Replicate(warehouse, fixtures.Tuva(), replicas); err != nil {
		b.Fatal(err)
	}
	a := benchApp()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	c := config{
		Warehouse: "duckdb:" + warehouse, Mappings: "tuva", LogLevel: "error", Policy: "withhold", BulkVersion: 3,
		Control: "sqlite:" + filepath.Join(dir, "control.db"), Store: "file:" + filepath.Join(dir, "files"),
		PublicURL: "http://" + l.Addr().String() + "/fhir", ChunkSize: chunkSize,
	}
	c.defaults()
	n, err := openNode(b.Context(), a, &c, c.logger(io.Discard))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Close() })
	face, err := n.face(b.Context(), a, &c)
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- face.Serve(l) }()
	b.Cleanup(func() {
		if err := errors.Join(face.Stop(b.Context()), <-served); err != nil {
			b.Log(err)
		}
	})
	key, err := client.GenerateKey("ES384")
	if err != nil {
		b.Fatal(err)
	}
	keys, err := key.PublicJWKS()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := auth.NewStore(n.control, time.Now).Register(b.Context(), auth.Registration{ID: "bench", Name: "bench", Keys: keys, Scope: "system/*.rs"}); err != nil {
		b.Fatal(err)
	}
	k, err := client.New(client.Options{BaseURL: c.PublicURL, ClientID: "bench", Key: key, Scope: "system/*.rs"})
	if err != nil {
		b.Fatal(err)
	}
	token, err := k.Token(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return &benchServer{node: n, base: c.PublicURL, token: token}
}

// BenchmarkStatus asks for the status of a thousand exports, each once a second
// and so within its Retry-After, beside one export of 101,848 claims that runs:
// 1,000 requests a second, sent on time whether or not earlier ones have been
// answered. One iteration is five seconds.
func BenchmarkStatus(b *testing.B) {
	const rate, seconds = 1000, 5
	s := openBenchServer(b, 0)
	ids := make([]string, rate)
	now := time.Now()
	for i := range ids {
		ids[i] = fmt.Sprintf("bench%021d", i)
		x := &control.Export{ID: ids[i], ClientID: "bench", Owner: s.node.engine.Node, Created: now,
			Request: []byte(`{"client_id":"bench","level":"system","types":["Patient"],"url":"x"}`)}
		if err := s.node.control.AddExport(b.Context(), x); err != nil {
			b.Fatal(err)
		}
		if err := s.node.control.PlanExport(b.Context(), x, control.Plan{Program: "x", TransactionTime: now, At: now}); err != nil {
			b.Fatal(err)
		}
		if err := s.node.control.CompleteExport(b.Context(), x, nil, 0, []byte("{}"), control.End{At: now, Expires: now.Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
	}
	request := &export.Request{ClientID: "other", Level: export.LevelSystem, URL: "benchmark"}
	if err := chooseTypes(s.node, request); err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512}
	defer transport.CloseIdleConnections()
	poll := func(id string) (time.Duration, error) {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.base+server.StatusPath+id, nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		began := time.Now()
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return time.Since(began), err
	}
	var mu sync.Mutex
	var took []time.Duration
	idle := 0
	for b.Loop() {
		running, err := s.node.engine.Kickoff(b.Context(), *request, false)
		if err != nil {
			b.Fatal(err)
		}
		var wg sync.WaitGroup
		tick := time.NewTicker(time.Second / rate)
		began := time.Now()
		for i := range rate * seconds {
			// A late ticker must not lower the rate.
			if wait := time.Until(began.Add(time.Duration(i) * time.Second / rate)); wait > 0 {
				<-tick.C
			}
			if i%rate == 0 {
				if st, err := s.node.engine.Status(b.Context(), running); err != nil || st.State == export.StateComplete {
					idle++
					if running, err = s.node.engine.Kickoff(b.Context(), *request, false); err != nil {
						b.Fatal(err)
					}
				}
			}
			wg.Go(func() {
				d, err := poll(ids[i%rate])
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					b.Error(err)
				}
				took = append(took, d)
			})
		}
		wg.Wait()
		tick.Stop()
		b.ReportMetric(float64(rate*seconds)/time.Since(began).Seconds(), "requests/s")
		if err := s.node.engine.Delete(b.Context(), running); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(idle), "exports-ended")
}

// BenchmarkFiles serves the files of an export, in gzip form as stored, and the
// same bytes by net/http's own file server, in turns. of-plain is our rate as a
// part of its rate.
func BenchmarkFiles(b *testing.B) {
	b.Run("chunks of 20000", func(b *testing.B) { benchmarkFiles(b, 0) })
	b.Run("files of 100000", func(b *testing.B) { benchmarkFiles(b, 1_000_000) })
}

func benchmarkFiles(b *testing.B, chunkSize int) {
	s := openBenchServer(b, chunkSize)
	request := &export.Request{ClientID: "bench", Level: export.LevelSystem, URL: "benchmark"}
	if err := chooseTypes(s.node, request); err != nil {
		b.Fatal(err)
	}
	status, err := s.node.engine.Run(b.Context(), *request, nil)
	if err != nil {
		b.Fatal(err)
	}
	manifest, err := s.node.engine.Manifest(b.Context(), status.ID, s.base+"/$export-file/"+status.ID+"/", true)
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.node.engine.Save(b.Context(), status.ID, filepath.Join(b.TempDir(), "x"), true); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if _, _, err := s.node.engine.Save(b.Context(), status.ID, dir, true); err != nil {
		b.Fatal(err)
	}
	plain := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer plain.Close()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	fetch := func(url string) int64 {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasPrefix(url, s.base) {
			r.Header.Set("Authorization", "Bearer "+s.token)
			r.Header.Set("Accept-Encoding", "gzip")
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		return n
	}
	var ours, theirs time.Duration
	var bytes, same int64
	for b.Loop() {
		for _, f := range manifest.Output {
			began := time.Now()
			bytes += fetch(f.URL)
			ours += time.Since(began)
			began = time.Now()
			same += fetch(plain.URL + "/" + f.Name + ".gz")
			theirs += time.Since(began)
		}
	}
	if bytes != same {
		b.Fatalf("%d bytes from us, %d from the plain server", bytes, same)
	}
	b.ReportMetric(float64(bytes)/ours.Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(same)/theirs.Seconds()/1e6, "plain-MB/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-plain")
}
