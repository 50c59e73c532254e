package web

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// scrapesAtOnce bounds what the kernel is asked at the same time.
const scrapesAtOnce = 4

// metricsHandler serves a registry with this agent's collector and nothing else.
// What cannot be read is left out and logged; the rest is served.
func (f *Front) metricsHandler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{f})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            slog.NewLogLogger(f.options.Log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: scrapesAtOnce,
	})
}

func (f *Front) pathMetrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+mesh.PathMetrics, &shared{of: f.metrics})
	return mux
}

// sharedFor is how long one reading of the kernel's counters serves everybody who asks
// over the network: how often they ask must not decide how much the agent does.
const sharedFor = time.Second

// shared answers from one page, made at most once in sharedFor. The page is whole before
// it is sent, so a client that reads slowly keeps nobody else waiting.
type shared struct {
	of    http.Handler
	pages [2]page // as it is, and compressed
}

type page struct {
	mu     sync.Mutex
	made   time.Time
	status int
	header http.Header
	body   []byte
}

// ServeHTTP implements http.Handler.
func (s *shared) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p, encoding := &s.pages[0], "identity"
	if strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
		p, encoding = &s.pages[1], "gzip"
	}
	status, header, body := p.get(s.of, encoding)
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// get returns the page, which is not changed any more.
func (p *page) get(of http.Handler, encoding string) (status int, header http.Header, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made.IsZero() || time.Since(p.made) >= sharedFor {
		next := &recorder{status: http.StatusOK, header: http.Header{}}
		req := &http.Request{Method: http.MethodGet, Header: http.Header{"Accept-Encoding": {encoding}}, URL: &url.URL{Path: mesh.PathMetrics}}
		of.ServeHTTP(next, req)
		p.made, p.status, p.header, p.body = time.Now(), next.status, next.header, next.body.Bytes()
	}
	return p.status, p.header, p.body
}

// recorder is an answer in memory.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
