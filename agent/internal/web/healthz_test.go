package web

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func drained(rec *mesh.Record) { rec.Nodes["n1"].Availability = mesh.AvailabilityDrain }

func TestHealthOfANode(t *testing.T) {
	tests := []struct {
		name   string
		change func(*mesh.Record)
		stats  reconcile.Stats
		status int
		body   string
	}{
		{"serving", nil, reconcile.Stats{Generation: 7, Applied: 7}, 200, `{"node":"n1","status":"serving","generation":7}`},
		{"while the next commit is applied", func(rec *mesh.Record) { rec.Generation = 8 }, reconcile.Stats{Generation: 7, Applied: 7}, 200,
			`{"node":"n1","status":"serving","generation":7}`},
		{"draining, before anything else has changed", drained, reconcile.Stats{Generation: 6, Applied: 6}, 503,
			`{"node":"n1","status":"draining","why":"the node's availability is \"drain\"","generation":6}`},
		{"but for a port that the kernel refuses", nil, reconcile.Stats{Generation: 7, Applied: 6, Problems: 2}, 200, `{"node":"n1","status":"serving","generation":6}`},
		{"broken", nil, reconcile.Stats{Generation: 7, Applied: 7, Problems: 1, Broken: "There is no link rmesh0."}, 503,
			`{"node":"n1","status":"broken","why":"There is no link rmesh0.","generation":7}`},
		{"just started", nil, reconcile.Stats{}, 503,
			`{"node":"n1","status":"starting","why":"the agent has just started and is applying the record","generation":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, d := newFront(t, &world{stats: tt.stats})
			f.Follow(record(t, tt.change), "n1")
			url := "http://" + d.address(t, healthAt) + "/healthz"
			if status, body := get(t, "GET", url); status != tt.status || body != tt.body {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.body)
			}
			if status, body := get(t, "HEAD", url); status != tt.status || body != "" {
				t.Errorf("HEAD: %d %q", status, body)
			}
		})
	}
}

func TestHealthOfAService(t *testing.T) {
	all := map[compile.Check]bool{checkOf("10.255.0.2:80"): true, checkOf("10.255.1.2:80"): true}
	tests := []struct {
		name    string
		change  func(*mesh.Record)
		failing map[compile.Check]bool
		service string
		status  int
		body    string
	}{
		{"serving", nil, nil, "web", 200, `{"node":"n1","service":"web","status":"serving","endpoints":2,"local_endpoints":1}`},
		{"one fails", nil, map[compile.Check]bool{checkOf("10.255.0.2:80"): true}, "web", 200, `{"node":"n1","service":"web","status":"serving","endpoints":1,"local_endpoints":0}`},
		{"all fail", nil, all, "web", 503, `"status":"no endpoint"`},
		{"draining", drained, nil, "web", 503, `"status":"draining"`},
		{"broken", nil, nil, "web", 503, `"status":"broken","why":"There is no link rmesh0.","endpoints":2`},
		{"without a port", nil, nil, "unpublished", 503, `the service publishes no port`},
		{"none such", nil, nil, "mail", 404, `{"node":"n1","service":"mail","status":"unknown","why":"the cluster has no such service","endpoints":0,"local_endpoints":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := applied()
			w.conditions.Unhealthy = tt.failing
			if tt.name == "broken" {
				w.stats.Broken = "There is no link rmesh0."
			}
			f, d := newFront(t, w)
			f.Follow(record(t, tt.change), "n1")
			if status, body := get(t, "GET", "http://"+d.address(t, healthAt)+"/healthz/"+tt.service); status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestOnlyReading(t *testing.T) {
	f, d := newFront(t, applied())
	f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.MetricsAddress = metricsAt }), "n1")
	for _, tt := range []struct {
		method, at, path string
		want             int
	}{
		{"POST", healthAt, "/healthz", 405}, {"DELETE", healthAt, "/healthz/web", 405}, {"POST", metricsAt, "/metrics", 405},
		{"GET", healthAt, "/metrics", 404}, {"GET", healthAt, mesh.PathStatus, 404}, {"GET", metricsAt, "/healthz", 404}, {"GET", metricsAt, "/metrics", 200},
	} {
		if status, _ := get(t, tt.method, "http://"+d.address(t, tt.at)+tt.path); status != tt.want {
			t.Errorf("%s %s of %s: %d, want %d", tt.method, tt.path, tt.at, status, tt.want)
		}
	}
}
