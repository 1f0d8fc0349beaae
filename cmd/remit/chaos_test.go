//go:build chaos

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"remit/fixtures"
	"remit/server/auth"
	"remit/server/client"
	"remit/sql/control"
	"remit/sql/postgres/postgrestest"
)

// TestChaos runs exports on two servers and three workers over one PostgreSQL
// and an S3 stand-in, and breaks things while they run: kill -9 of workers and
// servers, crashes of the database, errors of the store, a full store. After
// every fault the export must end with the resources of an undisturbed one,
// none lost and none twice, or fail with an OperationOutcome; then it is asked
// for anew.
//
// CHAOS is how many faults are done (default 12, in about a minute), CHAOS_SEED
// repeats a run.
func TestChaos(t *testing.T) {
	faults, seed := 12, uint64(time.Now().UnixNano())
	for name, set := range map[string]func(uint64){"CHAOS": func(n uint64) { faults = int(n) }, "CHAOS_SEED": func(n uint64) { seed = n }} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 63)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	t.Logf("%d faults, CHAOS_SEED=%d", faults, seed)
	w := newChaos(t, rand.New(rand.NewPCG(seed, 1)), fleet{servers: 2, workers: 3, copies: 1, settings: []string{"--chunk-size", "200", "--lease", "2s"}})
	want := w.oneProcess()
	began := time.Now()
	if got := w.export(nil); got != want {
		t.Fatalf("three workers and two servers gave %d resources, one process %d, or others", got.count, want.count)
	}
	t.Logf("undisturbed: %d resources in %v, as one process makes them", want.count, time.Since(began).Round(time.Millisecond))

	done, failed := map[string]int{}, 0
	for n := 0; n < faults; {
		batch := min(1+w.random.IntN(3), faults-n)
		got := w.export(func(stop <-chan struct{}) {
			for range batch {
				if w.pause(stop, time.Duration(w.random.IntN(900))*time.Millisecond) {
					return
				}
				name := w.fault()
				done[name]++
				n++
			}
		})
		if got.failed {
			failed++
			if got = w.export(nil); got.failed {
				t.Fatal("an export without a fault failed")
			}
		}
		if got != want {
			t.Fatalf("after %d faults %v: %d resources, %d twice, want %d; equal: %v", n, done, got.count, got.twice, want.count, got.sum == want.sum)
		}
	}
	t.Logf("faults %v; %d exports failed in plain words and were asked for anew; 0 lost, 0 twice, 0 partial", done, failed)
}

// fleet is how many processes share the work.
type fleet struct {
	servers, workers int // without workers the servers run the chunks themselves
	copies           int // of the fixture
	settings         []string
}

// chaos is the world that is broken.
type chaos struct {
	t       testing.TB
	random  *rand.Rand
	dsn     string
	control string
	servers []*process
	workers []*process
	client  *client.Client
	store   *faultyStore
}

// process is one remit that is started again when it was killed.
type process struct {
	mu     sync.Mutex
	cmd    *exec.Cmd
	args   []string
	log    string
	wait   sync.WaitGroup
	killed bool // on purpose; what ends by itself is started again, as a supervisor would
}

func (p *process) start(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = false
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command("remit", p.args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := p.cmd
	p.wait.Go(func() {
		_ = cmd.Wait() // killed, mostly
		_ = log.Close()
		p.mu.Lock()
		again := !p.killed
		p.mu.Unlock()
		if again {
			time.Sleep(200 * time.Millisecond)
			p.start(t)
		}
	})
}

func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	_ = p.cmd.Process.Kill() // SIGKILL; it may have ended by itself
	p.mu.Unlock()
	p.wait.Wait()
}

func newChaos(t testing.TB, random *rand.Rand, f fleet) *chaos {
	t.Helper()
	w := &chaos{t: t, random: random}
	dir := t.TempDir()
	ctx := t.Context()
	w.dsn = postgrestest.DSN(t)
	controlDSN := postgrestest.DSN(t)
	w.control = controlDSN
	for _, dsn := range []string{w.dsn, controlDSN} {
		// What is committed must outlive a crash, as on a real server.
		name := strings.TrimPrefix(strings.SplitN(dsn, "?", 2)[0], "postgres://postgres@/")
		if err := postgrestest.Exec(ctx, dsn, "ALTER DATABASE "+name+" SET synchronous_commit = on"); err != nil {
			t.Fatal(err)
		}
	}
	claims := filepath.Join(dir, "claims")
	if err := fixtures.Replicate(claims, fixtures.Tuva(), f.copies); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("remit", "load", claims, "--into", w.dsn, "--mappings", "tuva").CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, text)
	}
	if err := postgrestest.Exec(ctx, w.dsn, "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}

	backend := s3mem.New()
	if err := backend.CreateBucket("exports"); err != nil {
		t.Fatal(err)
	}
	w.store = &faultyStore{next: gofakes3.New(backend).Server()}
	s3 := httptest.NewServer(w.store)
	t.Cleanup(s3.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	q := url.Values{"endpoint": {s3.URL}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	store := "s3://exports?" + q.Encode()

	balancer := &balancer{}
	front := httptest.NewServer(balancer)
	t.Cleanup(front.Close)
	base := front.URL + "/fhir"
	common := []string{"--warehouse", w.dsn, "--mappings", "tuva", "--control", controlDSN, "--store", store, "--data", filepath.Join(dir, "data"),
		"--log-level", "info"}
	common = append(common, f.settings...)
	serve := []string{"serve"}
	if f.workers > 0 {
		serve = append(serve, "--no-workers")
	}
	for i := range f.servers {
		addr := freeAddr(t)
		balancer.backends = append(balancer.backends, addr)
		w.servers = append(w.servers, &process{log: filepath.Join(dir, fmt.Sprintf("server%d.log", i)),
			args: slices.Concat(serve, []string{"--addr", addr, "--public-url", base}, common)})
	}
	for i := range f.workers {
		w.workers = append(w.workers, &process{log: filepath.Join(dir, fmt.Sprintf("worker%d.log", i)),
			args: append([]string{"worker", "--workers", "1"}, common...)})
	}
	all := slices.Concat(w.servers, w.workers)
	t.Cleanup(func() {
		for _, p := range all {
			p.kill()
		}
		if !t.Failed() {
			return
		}
		for _, p := range all {
			text, _ := os.ReadFile(p.log) // best effort
			if len(text) > 6000 {
				text = text[len(text)-6000:]
			}
			t.Logf("%s:\n%s", filepath.Base(p.log), text)
		}
	})
	for _, p := range all {
		p.start(t)
	}

	key, err := client.GenerateKey("ES384")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Open(ctx, controlDSN)
	if err != nil {
		t.Fatal(err)
	}
	id, err := auth.NewStore(c, time.Now).Register(ctx, auth.Registration{Name: "Chaos", Keys: public, Scope: "system/*.rs"})
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	w.client, err = client.New(client.Options{BaseURL: base, ClientID: id, Key: key, Attempts: 40,
		Wait: func(ctx context.Context, d time.Duration) error {
			select {
			case <-time.After(min(d, time.Second)):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// balancer sends each request to the next server that answers; it keeps no
// state between requests.
type balancer struct {
	backends []string
	next     atomic.Int64
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	start := int(b.next.Add(1))
	for i := range b.backends {
		target := b.backends[(start+i)%len(b.backends)]
		c, err := net.DialTimeout("tcp", target, time.Second)
		if err != nil {
			continue
		}
		_ = c.Close()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
		proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
		proxy.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}

// faultyStore is an S3 store that fails when told to.
type faultyStore struct {
	next http.Handler
	mode atomic.Int32 // 0 sound, 1 every second request fails, 2 nothing can be written
	n    atomic.Int64
}

func (s *faultyStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mode := s.mode.Load()
	if mode == 1 && s.n.Add(1)%2 == 0 || mode == 2 && (r.Method == http.MethodPut || r.Method == http.MethodPost) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>ServiceUnavailable</Code></Error>")
		return
	}
	s.next.ServeHTTP(w, r)
}

func (w *chaos) pause(stop <-chan struct{}, d time.Duration) (over bool) {
	select {
	case <-stop:
		return true
	case <-time.After(d):
		return false
	}
}

// fault breaks one thing, and mends it.
func (w *chaos) fault() string {
	switch w.random.IntN(6) {
	case 0, 1:
		p := w.workers[w.random.IntN(len(w.workers))]
		p.kill()
		p.start(w.t)
		return "worker killed"
	case 2:
		p := w.servers[w.random.IntN(len(w.servers))]
		p.kill()
		p.start(w.t)
		return "server killed"
	case 3:
		w.crashDatabase()
		return "database crashed"
	case 4:
		w.store.mode.Store(1)
		time.Sleep(300 * time.Millisecond)
		w.store.mode.Store(0)
		return "store errors"
	default:
		w.store.mode.Store(2)
		time.Sleep(300 * time.Millisecond)
		w.store.mode.Store(0)
		return "store full"
	}
}

// crashDatabase kills a backend: the server then ends every session, with no
// chance to say goodbye, and recovers from its log.
func (w *chaos) crashDatabase() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgconn.Connect(ctx, w.dsn)
		if err == nil {
			err = syscall.Kill(int(c.PID()), syscall.SIGKILL)
			_ = c.Close(ctx)
			if err != nil {
				w.t.Fatalf("kill a backend: %v", err)
			}
			return
		}
		if ctx.Err() != nil {
			w.t.Fatalf("reach the database: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// outcome is what an export gave: a digest of its resources without regard to
// their order and to the time of the export.
type chaosOutcome struct {
	sum    [32]byte
	count  int
	twice  int
	failed bool
}

var (
	updatedTime = regexp.MustCompile(`"lastUpdated":"[^"]*"`)
	resourceID  = regexp.MustCompile(`^\{"resourceType":"([A-Za-z]+)","id":"([^"]+)"`)
)

// kickoff asks for everything, until a server takes it.
func (w *chaos) kickoff(ctx context.Context) (status string) {
	w.t.Helper()
	var err error
	for range 50 {
		if status, err = w.client.Kickoff(ctx, client.Kickoff{}); err == nil {
			return status
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.t.Fatalf("kick-off: %v", err)
	return ""
}

// export asks for everything and downloads it, while disturb runs.
func (w *chaos) export(disturb func(stop <-chan struct{})) (out chaosOutcome) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Minute)
	defer cancel()
	status := w.kickoff(ctx)
	stop := make(chan struct{})
	var disturbing sync.WaitGroup
	if disturb != nil {
		disturbing.Go(func() { disturb(stop) })
	}
	m, err := w.poll(ctx, status)
	close(stop)
	disturbing.Wait()
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status == http.StatusInternalServerError && len(refused.Messages) > 0 {
		if strings.Contains(err.Error(), "internal error") {
			w.t.Fatalf("an export ends without a reason: %v", err)
		}
		w.t.Logf("failed in plain words: %v", err)
		out.failed = true
		return out
	}
	if err != nil {
		w.t.Fatalf("poll: %v", err)
	}
	dir := w.t.TempDir()
	var saved []client.Saved
	for range 50 {
		if saved, err = w.client.Fetch(ctx, m, client.Download{Dir: dir}); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		w.t.Fatalf("download: %v", err)
	}
	var paths []string
	for _, f := range saved {
		paths = append(paths, f.Path)
	}
	out = w.digest(paths)
	if err := w.client.Delete(ctx, status); err != nil {
		w.t.Logf("delete: %v", err) // the next export does not hang on it
	}
	return out
}

// oneProcess is what remit export writes.
func (w *chaos) oneProcess() chaosOutcome {
	w.t.Helper()
	dir := w.t.TempDir()
	text, err := exec.Command("remit", "export", "--warehouse", w.dsn, "--mappings", "tuva", "--out", dir).CombinedOutput()
	if err != nil {
		w.t.Fatalf("export: %v\n%s", err, text)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.digest(paths)
}

// digest reads NDJSON files.
func (w *chaos) digest(paths []string) (out chaosOutcome) {
	w.t.Helper()
	seen := map[string]bool{}
	var lines []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			id := resourceID.FindString(line)
			if id == "" {
				continue // an OperationOutcome of the error files
			}
			if seen[id] {
				out.twice++
			}
			seen[id] = true
			lines = append(lines, updatedTime.ReplaceAllString(line, ""))
		}
	}
	slices.Sort(lines)
	out.count, out.sum = len(lines), sha256.Sum256([]byte(strings.Join(lines, "")))
	return out
}

// poll polls over every fault of the way.
func (w *chaos) poll(ctx context.Context, status string) (*client.Manifest, error) {
	for {
		m, err := w.client.Poll(ctx, status, nil)
		var refused *client.Error
		switch {
		case err == nil, ctx.Err() != nil:
			return m, err
		case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests || refused != nil && refused.Status == http.StatusInternalServerError:
			return nil, err
		}
		time.Sleep(time.Second)
	}
}
