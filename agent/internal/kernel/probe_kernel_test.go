//go:build kernel

package kernel_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// probedRecord is that of desired, with the nodes a, b, c.
func probedRecord(nodes int) *mesh.Record {
	rec := &mesh.Record{
		Cluster: mesh.Cluster{Name: "demo", AddressPool: netip.MustParsePrefix("10.255.0.0/16"), NodePrefixLength: 24, VNI: 2100, VXLANPort: 4789, MTU: mtu},
		Nodes:   map[string]*mesh.Node{},
	}
	for i := range nodes {
		n := node(i + 1)
		name := string(rune('a' + i))
		rec.Nodes[name] = &mesh.Node{Name: name, Address: n.underlay(), Block: n.block()}
	}
	return rec
}

// Three nodes on a wire whose firewalls drop what nothing accepts. What is
// broken is told by direction and cause.
func TestProbe(t *testing.T) {
	const dropLarge = "-p udp --dport 4789 -m length --length 1423:65535 -j DROP" // an inner packet of more than 1372
	tests := []struct {
		name     string
		on       int // the machine that is broken
		broken   string
		repaired string
		want     []string // what each sentence begins with
		probing  string   // who is asked, all when empty
	}{
		{name: "all is well"},
		{name: "input is dropped", on: 2, broken: "iptables -t raw -I PREROUTING -p udp --dport 4789 -j DROP", repaired: "iptables -t raw -D PREROUTING 1",
			want: []string{"node/b: Node b does not let in the overlay packets of a and c: they arrive on its links"}},
		{name: "output is dropped", on: 2, broken: "iptables -I OUTPUT -p udp --dport 4789 -j DROP", repaired: "iptables -D OUTPUT 1",
			want: []string{"node/b: Node b does not reach a and c over the overlay: what it sends to UDP port 4789 there never arrives"}},
		{name: "large packets in", on: 2, broken: "iptables -t raw -I PREROUTING " + dropLarge, repaired: "iptables -t raw -D PREROUTING 1",
			want: []string{"node/b: Large packets from a and c to node b are lost on the overlay: 1372 bytes pass, the overlay's 1450 do not. A link on the way carries less than the nodes' own links. Set mtu = 1370 on the cluster"}},
		{name: "off the wire", on: 3, broken: "ip link set eth0 down", repaired: "ip link set eth0 up",
			want: []string{"node/c: Node c is cut off from a and b: neither the overlay's packets nor a ping"}},
		{name: "one is asked and does not let in", on: 2, broken: "iptables -t raw -I PREROUTING -p udp --dport 4789 -j DROP", repaired: "iptables -t raw -D PREROUTING 1",
			probing: "b", want: []string{"node/b: Node b does not let in the overlay packets of a and c"}},
		{name: "one is asked, large packets", on: 2, broken: "iptables -t raw -I PREROUTING " + dropLarge, repaired: "iptables -t raw -D PREROUTING 1",
			probing: "a", want: []string{"node/b: Large packets between node b and a are lost on the overlay: 1372 bytes pass"}},
	}
	machines := probed(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.on > 0 {
				m := machines[tt.on-1]
				m.run(tt.broken)
				defer m.run(tt.repaired)
			}
			wantReach(t, machines, tt.probing, tt.want)
		})
	}
	t.Run("the overlay's link is gone", func(t *testing.T) {
		machines[1].mesh("ip link del vx0")
		reports := probeAll(t, probedRecord(3), machines, "")
		if e := reports["b"].Peers["a"].Error; e != "there is no link vx0 in the network namespace routingmesh" {
			t.Errorf("b says %q", e)
		}
	})
}

// Flows that conntrack knows already are not translated: so these machines are new.
func TestProbeOfATranslatedNode(t *testing.T) {
	machines := probed(t)
	machines[2].run("ip addr add 192.168.77.99/24 dev eth0; iptables -t nat -I POSTROUTING -p udp --dport 4789 -j SNAT --to-source 192.168.77.99")
	wantReach(t, machines, "", []string{"node/c: Overlay packets of node c arrive at a and b from 192.168.77.99, not from its address 192.168.77.3"})
}

func wantReach(t *testing.T, machines []*machine, probing string, want []string) {
	t.Helper()
	rec := probedRecord(len(machines))
	reports := probeAll(t, rec, machines, probing)
	problems := mesh.Reach(rec, reports)
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d", len(problems), len(want))
	}
	for i, p := range problems {
		text := fmt.Sprintf("%s: %s", p.Object, p.Text)
		if i >= len(want) || !strings.HasPrefix(text, want[i]) {
			t.Errorf("got %s\nwant %q", text, want)
		}
	}
	if t.Failed() {
		for name, r := range reports {
			t.Logf("%s: %+v", name, r.Peers)
		}
	}
}

func probed(t *testing.T) []*machine {
	t.Helper()
	w := newWire(t)
	var machines []*machine
	for i, name := range []string{"a", "b", "c"} {
		self := node(i + 1)
		m := newMachine(t, name)
		w.plug(m, self.underlay())
		m.strict()
		var others []node
		for other := node(1); other <= 3; other++ {
			if other != self {
				others = append(others, other)
			}
		}
		m.reach(desired(t, self, others...), 1)
		machines = append(machines, m)
	}
	return machines
}

func probeAll(t *testing.T, rec *mesh.Record, machines []*machine, only string) map[string]*mesh.ProbeResponse {
	t.Helper()
	reports := map[string]*mesh.ProbeResponse{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range machines {
		if only != "" && m.name != only {
			continue
		}
		all.Go(func() {
			resp, err := probe.New(m).Probe(t.Context(), rec, m.name, nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				return
			}
			reports[m.name] = resp
		})
	}
	all.Wait()
	return reports
}

// The counters of real connections, through S and P, to destinations here and on
// the other node.
func TestServers(t *testing.T) {
	a, b, c := newMesh(t, false)
	for range 4 {
		c.ask("tcp", "192.168.77.1:8081")
	}
	c.ask("udp", "192.168.77.1:8080")
	c.ask("tcp", "192.168.77.2:9090")
	const megabyte = 1 << 20
	got := counted(t, a, "tcp 10.255.1.1:8081", mesh.Traffic{Connections: 4, PacketsIn: 12, PacketsOut: 12, BytesIn: 4 * megabyte, BytesOut: 4 * megabyte})
	if s := got["tcp 10.255.1.1:8081"]; s.Scheduler != "rr" || s.Traffic.Connections != 4 || len(s.Destinations) != 2 {
		t.Errorf("8081/tcp: %+v", s)
	} else {
		for i, want := range []string{"10.255.1.2:81", "10.255.2.2:81"} {
			if d := s.Destinations[i]; d.Addr.String() != want || d.Weight != 1 || d.Inactive+d.Active != 2 || d.Traffic.Connections != 2 || d.Traffic.BytesIn < 2*megabyte {
				t.Errorf("destination: %+v", d)
			}
		}
	}
	got = counted(t, a, "udp 10.255.1.1:8080", mesh.Traffic{Connections: 1, PacketsIn: 1, PacketsOut: 1})
	if s := got["udp 10.255.1.1:8080"]; len(s.Destinations) != 1 || s.Destinations[0].Inactive != 1 {
		t.Errorf("8080/udp: %+v", s)
	}
	if s, ok := got["tcp 10.255.1.1:8083"]; !ok || len(s.Destinations) != 0 || s.Traffic != (mesh.Traffic{}) {
		t.Errorf("8083/tcp: %+v", s)
	}
	counted(t, b, "tcp 10.255.2.3:9090", mesh.Traffic{Connections: 1})
	if s := servers(t, c); len(s) != 0 {
		t.Errorf("a host without a mesh has %+v", s)
	}
}

// counted waits until a server has counted so much: the kernel sums its counters
// up every two seconds.
func counted(t *testing.T, m *machine, server string, atLeast mesh.Traffic) map[string]kernel.Server {
	t.Helper()
	var got map[string]kernel.Server
	until(t, 30*time.Second, server+" counts", func() bool {
		got = servers(t, m)
		have := got[server].Traffic
		return have.Connections >= atLeast.Connections && have.PacketsIn >= atLeast.PacketsIn && have.PacketsOut >= atLeast.PacketsOut &&
			have.BytesIn >= atLeast.BytesIn && have.BytesOut >= atLeast.BytesOut
	})
	return got
}

func servers(t *testing.T, m *machine) map[string]kernel.Server {
	t.Helper()
	all, err := m.Servers(t.Context())
	m.must(err)
	found := map[string]kernel.Server{}
	for _, s := range all {
		found[fmt.Sprintf("%s %s", s.Proto, s.Addr)] = s
	}
	return found
}
