package web

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// remote moves web's endpoint off n1.
func remote(rec *mesh.Record) {
	rec.Services["web"].Endpoints["a"] = mesh.Endpoint{Node: "n2", Port: 81}
}

// besideMember moves web's endpoint off n1, which has one of a service that publishes nothing.
func besideMember(rec *mesh.Record) {
	remote(rec)
	if err := rec.PutNetwork(&mesh.Network{Name: "back"}); err != nil {
		panic(err)
	}
	if err := rec.PutService(&mesh.Service{Name: "db", Networks: map[string]mesh.Membership{"back": {}}, Endpoints: map[string]mesh.Endpoint{
		"a": {Node: "n1", Container: &mesh.Container{Name: "db"}, Slots: make([]uint16, 1)},
	}}); err != nil {
		panic(err)
	}
}

// twoPorts publishes a second port of web.
func twoPorts(rec *mesh.Record) {
	if err := rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8443, Target: 443, Protocol: mesh.TCP, Mode: mesh.Ingress}); err != nil {
		panic(err)
	}
}

// TestHealthz_Warnings: what concerns all traffic turns balancers away, but what all
// nodes may see at once (the overlay) only from a node that has no endpoint itself.
func TestHealthz_Warnings(t *testing.T) {
	warning := func(code mesh.WarningCode, o mesh.Ref, allTraffic bool) mesh.Warning {
		return mesh.Warning{Code: code, Object: o, Text: "Packets are lost.", AllTraffic: allTraffic}
	}
	path, other := warning(mesh.WarnPath, mesh.MustParseRef("port/8080/tcp"), false), warning(mesh.WarnPath, mesh.MustParseRef("port/8443/tcp"), false)
	sick := map[compile.Check]bool{checkOf("10.255.0.2:80"): true}
	for _, tt := range []struct {
		name      string
		change    func(*mesh.Record)
		failing   map[compile.Check]bool
		warnings  []mesh.Warning
		node, web int // statuses of /healthz and /healthz/web
	}{
		{"all is well", nil, nil, nil, 200, 200},
		{"a firewall, all traffic", nil, nil, []mesh.Warning{warning(mesh.WarnFirewall, mesh.NodeRef("n1"), true)}, 503, 503},
		{"a path, all traffic", nil, nil, []mesh.Warning{warning(mesh.WarnPath, mesh.NodeRef("n1"), true)}, 503, 503},
		{"a host setting, part of it", nil, nil, []mesh.Warning{warning(mesh.WarnHost, mesh.NodeRef("n1"), false)}, 200, 200},
		{"one peer is lost", remote, nil, []mesh.Warning{warning(mesh.WarnOverlay, mesh.NodeRef("n2"), false)}, 200, 200},
		{"the overlay is lost, endpoints are here", nil, nil, []mesh.Warning{warning(mesh.WarnOverlay, mesh.NodeRef("n1"), true)}, 200, 200},
		{"the overlay is lost, endpoints are elsewhere", remote, nil, []mesh.Warning{warning(mesh.WarnOverlay, mesh.NodeRef("n1"), true)}, 503, 503},
		{"the overlay is lost, the only endpoint here is not published", besideMember, nil, []mesh.Warning{warning(mesh.WarnOverlay, mesh.NodeRef("n1"), true)}, 503, 503},
		{"the overlay is lost, the endpoint here is sick", nil, sick, []mesh.Warning{warning(mesh.WarnOverlay, mesh.NodeRef("n1"), true)}, 503, 503},
		{"every port of the service", nil, nil, []mesh.Warning{path}, 200, 503},
		{"one of two ports", twoPorts, nil, []mesh.Warning{path}, 200, 200},
		{"both ports", twoPorts, nil, []mesh.Warning{path, other}, 200, 503},
		{"another service's port", nil, nil, []mesh.Warning{other}, 200, 200},
		{"the service itself", nil, nil, []mesh.Warning{warning(mesh.WarnPath, mesh.ServiceRef("web"), false)}, 200, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := applied()
			w.warnings, w.conditions.Unhealthy = tt.warnings, tt.failing
			f, d := newFront(t, w)
			f.Follow(record(t, tt.change), "n1")
			for path, want := range map[string]int{"/healthz": tt.node, "/healthz/web": tt.web} {
				status, body := get(t, "GET", "http://"+d.address(t, healthAt)+path)
				if status != want || (status == 503) != strings.Contains(body, `"status":"broken","why":"Packets are lost."`) {
					t.Errorf("%s: %d %s, want %d", path, status, body, want)
				}
			}
		})
	}
}
