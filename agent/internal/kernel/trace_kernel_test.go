//go:build kernel

package kernel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/trace"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// tracedRecord has the names of what published makes.
func tracedRecord() *mesh.Record {
	rec := probedRecord(2)
	rec.Services = map[string]*mesh.Service{"web": {Name: "web", Endpoints: map[string]mesh.Endpoint{"b": {Node: "b"}}}}
	rec.Ports = map[mesh.PortKey]*mesh.PublishedPort{}
	for published, target := range map[uint16]uint16{8080: 80, 9090: 90} {
		p := &mesh.PublishedPort{Service: "web", Published: published, Target: target, Protocol: mesh.TCP, Mode: mesh.Ingress}
		if published == 9090 {
			p.Mode = mesh.Host
		}
		rec.Ports[p.Key()] = p
	}
	return rec
}

func traced(t *testing.T, m *machine, port uint16) *trace.Trace {
	t.Helper()
	facts := &trace.Facts{Record: tracedRecord(), Node: m.name}
	m.must(facts.Gather(t.Context(), m))
	return trace.Of(facts, mesh.PortKey{Port: port, Protocol: mesh.TCP})
}

func counterOf(tr *trace.Trace, step, name string) uint64 {
	for _, s := range tr.Steps {
		for _, c := range s.Counted {
			if strings.Contains(s.Text, step) && c.Name == name {
				return c.Value
			}
		}
	}
	return 0
}

// The way of a real packet is whole, its counters move, and whatever is broken
// on it is named at its step.
func TestTrace(t *testing.T) {
	a, b, c := newMesh(t, true)
	if got := c.ask("tcp", "192.168.77.1:8080"); got != "b sees 10.255.1.1" {
		t.Fatal(got)
	}
	counted(t, a, "tcp 10.255.1.1:8080", mesh.Traffic{Connections: 1})
	tr := traced(t, a, 8080)
	if !tr.Through() {
		t.Errorf("broken: %+v", tr.Broken())
	}
	for step, name := range map[string]string{
		"→ ROUTINGMESH": "packets from other hosts", "DNAT to 10.255.1.1": "packets of all ports in the set", "ROUTINGMESH-FWD": "packets out",
		"rmesh0 is up": "packets in", "IPVS": "connections", "SNAT to": "packets of all ports", "vx0 to": "packets sent", "endpoint b on node b": "connections",
	} {
		if counterOf(tr, step, name) == 0 {
			t.Errorf("%s: %s is 0 in %+v", step, name, tr.Steps)
		}
	}
	for _, port := range []uint16{8080, 9090} {
		if tr := traced(t, b, port); !tr.Through() {
			t.Errorf("port %d on b: %+v", port, tr.Broken())
		}
	}
	if tr := traced(t, a, 9090); !strings.Contains(tr.Explained, "open only where service web has an endpoint: on b, not on a") {
		t.Errorf("host mode on a: %+v", tr)
	}
	tests := []struct {
		host, mesh string
		repair     string // in the same namespace
		want       string
	}{
		{host: "ipset del routingmesh-tcp 8080", repair: "ipset add routingmesh-tcp 8080", want: "1: No member 8080 in routingmesh-tcp"},
		{host: "iptables -t nat -D PREROUTING 1", repair: "iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j ROUTINGMESH", want: "2: No rule of nat PREROUTING jumps to ROUTINGMESH"},
		{host: "iptables -t nat -D ROUTINGMESH 2", repair: "iptables -t nat -I ROUTINGMESH 2 -p tcp -m set --match-set routingmesh-tcp dst -j DNAT --to-destination 10.255.1.1",
			want: "3: No rule sends what is for the ports of routingmesh-tcp into the mesh"},
		{host: "sysctl -qw net.ipv4.ip_forward=0", repair: "sysctl -qw net.ipv4.ip_forward=1", want: "4: The sysctl net.ipv4.ip_forward is not 1"},
		{host: "iptables -D FORWARD -j ROUTINGMESH-FWD", repair: "iptables -I FORWARD -j ROUTINGMESH-FWD", want: "4: ROUTINGMESH-FWD does not accept"},
		{mesh: "iptables -t nat -D POSTROUTING 1", repair: "iptables -t nat -I POSTROUTING -m conntrack --ctorigdst 10.255.1.1 -j SNAT --to-source 10.255.1.1", want: "8: No rule gives what was for 10.255.1.1"},
		{mesh: "bridge fdb del 02:52:0a:ff:02:01 dev vx0 dst 192.168.77.2", repair: "bridge fdb replace 02:52:0a:ff:02:01 dev vx0 dst 192.168.77.2", want: "10: There is no FDB entry of 02:52:0a:ff:02:01"},
		{mesh: "ip neigh del 10.255.2.1 dev vx0", repair: "ip neigh replace 10.255.2.1 lladdr 02:52:0a:ff:02:01 dev vx0 nud permanent", want: "10: There is no neighbour 10.255.2.1"},
		{mesh: "ip route del 10.255.2.0/24", repair: "ip route add 10.255.2.0/24 via 10.255.2.1 dev vx0 src 10.255.1.1 onlink", want: "10: There is no route to 10.255.2.2 over vx0"},
		{host: "ip link set rmesh0 down", repair: "ip link set rmesh0 up", want: "5: rmesh0 is not as it should be: down"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			in, spoil := a.run, tt.host
			if tt.mesh != "" {
				in, spoil = a.mesh, tt.mesh
			}
			in(spoil)
			broken := traced(t, a, 8080).Broken()
			in(tt.repair)
			if broken == nil || !strings.HasPrefix(fmt.Sprintf("%d: %s", broken.Number, broken.Broken), tt.want) {
				t.Errorf("broken: %+v", broken)
			}
		})
	}
}
