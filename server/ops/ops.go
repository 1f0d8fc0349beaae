// Package ops is what an operator watches of one process: metrics in
// Prometheus' form, health, readiness and profiles, on a listener of its own.
//
// Nothing here holds health data: labels are routes, methods, status codes,
// resource types and states, never ids or values. The room knows no mapping, no
// warehouse and no HTTP client.
package ops

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"remit/sql/control"
)

// Store is what is asked of the control store; *control.Store is one.
type Store interface {
	CountExports(ctx context.Context) (map[control.State]int, error)
	Nodes(ctx context.Context) ([]control.Node, error)
}

// Options of an Ops. Store is required.
type Options struct {
	Store Store
	// Ready says why the process cannot work just now, nil where it can; nil
	// means that the control store's answer is enough.
	Ready func(ctx context.Context) error
	// Version of the program, for remit_build_info.
	Version string
	// Alive is how long ago a node may have been heard of to be counted;
	// default 15 s.
	Alive time.Duration
	Clock func() time.Time
	Log   *slog.Logger
}

// Ops gathers the figures of one process. It is safe for concurrent use.
type Ops struct {
	options  Options
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	chunks    *prometheus.CounterVec
	chunkTime prometheus.Histogram
	rows      prometheus.Counter
	resources *prometheus.CounterVec
	bytes     prometheus.Counter
}

// New makes an Ops; it listens to nothing.
func New(o Options) (*Ops, error) {
	if o.Store == nil {
		return nil, errors.New("ops: a control store is required")
	}
	if o.Alive <= 0 {
		o.Alive = 15 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Ops{
		options:  o,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "remit_http_requests_total",
			Help: "Requests answered, by route pattern, method and status."}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "remit_http_request_seconds",
			Help:    "Time to answer a request, by route pattern; of a download, until its last byte.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600}}, []string{"route"}),
		chunks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "remit_chunks_total",
			Help: "Attempts at chunks that this process ended, by outcome: done or failed."}, []string{"outcome"}),
		chunkTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "remit_chunk_seconds",
			Help: "Time of the chunks done.", Buckets: prometheus.ExponentialBuckets(.05, 2, 14)}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{Name: "remit_rows_read_total", Help: "Rows read from the warehouse by chunks that are done."}),
		resources: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "remit_resources_total",
			Help: "Resources of the chunks done, by type and outcome: exported or withheld."}, []string{"type", "outcome"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "remit_export_bytes_total", Help: "NDJSON bytes of the chunks done, before compression."}),
	}
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "remit_build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": o.Version}}, func() float64 { return 1 })
	p.registry.MustRegister(p.requests, p.seconds, p.chunks, p.chunkTime, p.rows, p.resources, p.bytes, info, (*state)(p),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p, nil
}

// Request counts an answered request; route is the pattern, never the path.
func (p *Ops) Request(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	p.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	p.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// Chunk is one attempt at a chunk that has ended.
type Chunk struct {
	Failed             bool
	Took               time.Duration
	Rows, Bytes        int64
	Exported, Withheld map[string]int64 // resources by type
}

// Chunk counts an attempt at a chunk.
func (p *Ops) Chunk(c Chunk) {
	if c.Failed {
		p.chunks.WithLabelValues("failed").Inc()
		return
	}
	p.chunks.WithLabelValues("done").Inc()
	p.chunkTime.Observe(c.Took.Seconds())
	p.rows.Add(float64(c.Rows))
	p.bytes.Add(float64(c.Bytes))
	for typ, n := range c.Exported {
		p.resources.WithLabelValues(typ, "exported").Add(float64(n))
	}
	for typ, n := range c.Withheld {
		p.resources.WithLabelValues(typ, "withheld").Add(float64(n))
	}
}

// state is what the control store tells when it is asked, the same on every
// node.
type state Ops

var (
	exportsDesc = prometheus.NewDesc("remit_exports", "Exports in the control store, by state.", []string{"state"}, nil)
	nodesDesc   = prometheus.NewDesc("remit_nodes", "Nodes that were heard of lately.", nil, nil)
	workersDesc = prometheus.NewDesc("remit_workers", "Chunks that these nodes run at once.", nil, nil)
)

// scrapeTimeout bounds how long a scrape waits for the control store.
const scrapeTimeout = 5 * time.Second

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	ch <- exportsDesc
	ch <- nodesDesc
	ch <- workersDesc
}

// Collect implements prometheus.Collector. Where the store does not answer, its
// figures are missing and the others are told none the less.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	counts, err := s.options.Store.CountExports(ctx)
	if err != nil {
		s.options.Log.WarnContext(ctx, "exports not counted", "error", err)
		return
	}
	for _, st := range []control.State{control.Accepted, control.Running, control.Complete, control.Failed, control.Expired, control.Deleted} {
		ch <- prometheus.MustNewConstMetric(exportsDesc, prometheus.GaugeValue, float64(counts[st]), string(st))
	}
	nodes, err := s.options.Store.Nodes(ctx)
	if err != nil {
		s.options.Log.WarnContext(ctx, "nodes not counted", "error", err)
		return
	}
	alive, workers := 0, 0
	for _, n := range nodes {
		if n.Seen.After(s.options.Clock().Add(-s.options.Alive)) {
			alive++
			workers += n.Workers
		}
	}
	ch <- prometheus.MustNewConstMetric(nodesDesc, prometheus.GaugeValue, float64(alive))
	ch <- prometheus.MustNewConstMetric(workersDesc, prometheus.GaugeValue, float64(workers))
}

// Handler serves /metrics, /healthz (the process runs), /readyz (it can work)
// and, to callers on this machine alone, /debug/pprof/.
func (p *Ops) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", p.ready)
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.Handle("GET "+path, local(h))
	}
	return mux
}

func (p *Ops) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
	defer cancel()
	_, err := p.options.Store.CountExports(ctx)
	if err == nil && p.options.Ready != nil {
		err = p.options.Ready(ctx)
	}
	if err != nil {
		p.options.Log.WarnContext(ctx, "not ready", "error", err)
		answer(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	answer(w, http.StatusOK, "ready")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the caller has gone; nobody is left to tell
}

// local lets only callers of this machine through: profiles show the inside of
// the process.
func local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Serve answers on l until ctx ends.
func (p *Ops) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
