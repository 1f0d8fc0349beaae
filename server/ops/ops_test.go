package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"remit/sql/control"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type store struct{ err error }

func (s *store) CountExports(context.Context) (map[control.State]int, error) {
	return map[control.State]int{control.Running: 2, control.Complete: 7}, s.err
}

func (s *store) Nodes(context.Context) ([]control.Node, error) {
	return []control.Node{{ID: "a", Workers: 2, Seen: now}, {ID: "b", Workers: 3, Seen: now.Add(-5 * time.Second)}, {ID: "gone", Workers: 9, Seen: now.Add(-time.Hour)}}, s.err
}

func newOps(t *testing.T, s *store, ready func(context.Context) error) *Ops {
	t.Helper()
	p, err := New(Options{Store: s, Ready: ready, Version: "v1", Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get(p *Ops, path, from string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const (
	here = "127.0.0.1:4000"
	away = "192.0.2.1:4000"
)

func TestMetrics(t *testing.T) {
	p := newOps(t, &store{}, nil)
	p.Request("/Patient/$export", "GET", 202, 3*time.Millisecond)
	p.Request("", "GET", 404, time.Millisecond)
	p.Chunk(Chunk{Took: time.Second, Rows: 10, Bytes: 500, Exported: map[string]int64{"Claim": 4}, Withheld: map[string]int64{"Claim": 1}})
	p.Chunk(Chunk{Failed: true})
	status, body := get(p, "/metrics", away)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, line := range []string{
		`remit_http_requests_total{method="GET",route="/Patient/$export",status="202"} 1`,
		`remit_http_requests_total{method="GET",route="none",status="404"} 1`,
		`remit_chunks_total{outcome="done"} 1`, `remit_chunks_total{outcome="failed"} 1`,
		`remit_rows_read_total 10`, `remit_export_bytes_total 500`,
		`remit_resources_total{outcome="exported",type="Claim"} 4`, `remit_resources_total{outcome="withheld",type="Claim"} 1`,
		`remit_exports{state="running"} 2`, `remit_exports{state="failed"} 0`, `remit_exports{state="complete"} 7`,
		`remit_nodes 2`, `remit_workers 5`, `remit_build_info{version="v1"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

func TestMetricsWithoutStore(t *testing.T) {
	p := newOps(t, &store{err: errors.New("away")}, nil)
	status, body := get(p, "/metrics", here)
	if status != http.StatusOK || !strings.Contains(body, "remit_rows_read_total 0") || strings.Contains(body, "remit_exports") {
		t.Errorf("without the store: %d\n%s", status, body)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	down := errors.New("warehouse is away")
	for _, c := range []struct {
		name   string
		store  *store
		ready  func(context.Context) error
		health int
		want   int
	}{
		{"ready", &store{}, nil, 200, 200},
		{"ready by its own word", &store{}, func(context.Context) error { return nil }, 200, 200},
		{"no store", &store{err: down}, nil, 200, 503},
		{"no warehouse", &store{}, func(context.Context) error { return down }, 200, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newOps(t, c.store, c.ready)
			if status, _ := get(p, "/healthz", away); status != c.health {
				t.Errorf("healthz gives %d", status)
			}
			status, body := get(p, "/readyz", away)
			if status != c.want || strings.Contains(body, "away") {
				t.Errorf("readyz gives %d %q", status, body)
			}
		})
	}
}

// Profiles are for this machine alone.
func TestProfilesAreLocal(t *testing.T) {
	p := newOps(t, &store{}, nil)
	for from, want := range map[string]int{here: 200, "[::1]:1": 200, away: 404, "nonsense": 404} {
		if status, _ := get(p, "/debug/pprof/cmdline", from); status != want {
			t.Errorf("profiles for %s give %d, want %d", from, status, want)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	p := newOps(t, &store{}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	r, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "ok\n" {
		t.Errorf("healthz answers %q, %v", body, err)
	}
	if err := r.Body.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
