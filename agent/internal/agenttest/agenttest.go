// Package agenttest has what the tests of the agent's commands share: a status, and an
// agent that answers it.
package agenttest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Must ends the test on an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Listen makes the socket, as the agent does.
func Listen(t *testing.T, socket string) net.Listener {
	t.Helper()
	Must(t, os.MkdirAll(filepath.Dir(socket), 0o700))
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", socket)
	Must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// Serve serves the API with fixed answers; a string is a refusal.
func Serve(t *testing.T, socket string, answers map[string]any) {
	t.Helper()
	l := Listen(t, socket)
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer := answers[req.Method+" "+req.URL.Path]
		if text, ok := answer.(string); ok {
			w.WriteHeader(http.StatusInternalServerError)
			answer = mesh.Refusal{Code: mesh.Failed, Text: text}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { hs.Close() })
}

// Status is of a node with a port and a problem.
func Status(t *testing.T) *mesh.Status {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	Must(t, err)
	rec.Generation = 7
	Must(t, rec.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1")}))
	Must(t, rec.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.2")}))
	Must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2", Port: 81}}}))
	Must(t, rec.PutService(&mesh.Service{Name: "later", Endpoints: map[string]mesh.Endpoint{}}))
	Must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	Must(t, rec.PutPort(&mesh.PublishedPort{Service: "later", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Host}))
	return &mesh.Status{
		API: 1, Version: "1.2.3", BinarySHA256: "0123456789abcdef", Node: "n1", Generation: 7, Hash: "fedcba9876543210",
		Host:   mesh.HostFacts{KernelRelease: "6.1.0", Arch: "amd64"},
		Record: rec, AppliedGeneration: 6,
		Problems: []mesh.Problem{
			{Object: mesh.NodeRef("n1"), Text: "Link rmesh0 is down."},
			{Object: mesh.MustParseRef("port/8080/tcp"), Text: "IPVS has no service 10.255.0.1:8080/tcp."},
			{Object: mesh.MustParseRef("port/8080/tcp"), Text: "No member 8080 in routingmesh-tcp."},
		},
		Repairs: 12,
	}
}

// ServingStatus is of a node with all that a service can have, and trouble.
func ServingStatus(t *testing.T) *mesh.Status {
	t.Helper()
	st := Status(t)
	st.Problems, st.AppliedGeneration = nil, st.Generation
	rec, three := st.Record, 3
	check := mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	Must(t, rec.PutService(&mesh.Service{
		Name: "web", Scheduler: "wlc", Affinity: &mesh.Affinity{TimeoutSeconds: 600, PrefixLength: 32}, HealthCheck: &check,
		Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1", Weight: &three}, "b": {Node: "n2", Port: 81}},
	}))
	Must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Locality: mesh.PreferLocal}))
	Must(t, rec.PutPort(&mesh.PublishedPort{Service: "later", Published: 54, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, OnePacket: true}))
	rec.Nodes["n2"].Availability = mesh.AvailabilityDrain
	st.Unhealthy = []mesh.EndpointHealth{
		{Service: "web", Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Health: mesh.Unhealthy, Reason: "connection refused"},
		{Service: "web", Endpoint: "b", Address: netip.MustParseAddrPort("10.255.1.2:81"), Health: mesh.UnhealthyKept, Reason: "no answer within 2s"},
	}
	return st
}
