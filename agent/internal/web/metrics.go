package web

import (
	"log/slog"
	"net/http"

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
	mux.Handle("GET "+mesh.PathMetrics, f.metrics)
	return mux
}
