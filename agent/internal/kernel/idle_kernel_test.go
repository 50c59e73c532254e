//go:build kernel

package kernel_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// idle changes what a node is asked for, and makes it so.
func (s *trio) idle(m *machine, tcp, udp time.Duration) {
	m.t.Helper()
	s.want[m].Put(state.Idle(tcp, udp)...)
	m.settle(s.want[m])
}

// knows says how many connections of the port IPVS knows on a node.
func (m *machine) knows(port string) int {
	m.t.Helper()
	return strings.Count(m.mesh("cat /proc/net/ip_vs_conn"), " "+port+" ")
}

// The timeouts of IPVS and of the mesh's conntrack are what is asked for, what
// somebody changes about them is repaired, and the host's own stay.
func TestTimeouts(t *testing.T) {
	m := newMachine(t, "a")
	const own = "sysctl -n net.netfilter.nf_conntrack_tcp_timeout_established net.netfilter.nf_conntrack_udp_timeout net.netfilter.nf_conntrack_udp_timeout_stream"
	m.run("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=4711 net.netfilter.nf_conntrack_udp_timeout=47")
	before := m.run(own)
	want := desired(t, 1, 2)
	m.reach(want, 1)
	fin := strings.Fields(strings.TrimPrefix(m.mesh("ipvsadm -l --timeout"), "Timeout (tcp tcpfin udp):"))[1]
	want.Put(state.Idle(31*24*time.Hour, time.Second)...)
	m.settle(want)
	for _, spoil := range []string{
		"ipvsadm --set 10 0 0", "ipvsadm --set 0 0 10",
		"sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=10", "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=10",
		"sysctl -qw net.netfilter.nf_conntrack_udp_timeout_stream=10",
	} {
		m.mesh(spoil)
		if ops := state.Plan(withoutChains(want), m.traffic()); len(ops) != 1 || ops[0].Action != state.Change {
			t.Errorf("after %s the plan is %s", spoil, text(ops))
		}
		m.settle(want)
	}
	if got := strings.Fields(strings.TrimPrefix(m.mesh("ipvsadm -l --timeout"), "Timeout (tcp tcpfin udp):")); got[1] != fin || got[0] != "2678400" {
		t.Errorf("timeouts %v, the second was %s", got, fin)
	}
	if after := m.run(own); after != before {
		t.Errorf("the host's timeouts were %q and are %q", before, after)
	}
}

// What is idle for longer than the timeout is answered with a reset, not with
// silence; what began under a longer one goes on.
func TestIdleConnections(t *testing.T) {
	s := newTrio(t)
	s.endpoints(place{2, 81, 0})
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, 8080, place{2, 81, 1})
	s.idle(s.a, time.Second, time.Minute)
	short := s.mustConnect(netip.Addr{}, s.a, 8080)
	defer short.Close()
	s.idle(s.a, time.Hour, time.Minute)
	long := s.mustConnect(netip.Addr{}, s.a, 8080)
	defer long.Close()
	until(t, 20*time.Second, "IPVS has forgotten the connection", func() bool { return s.a.knows("1F90") == 1 })
	if err := long.echo(); err != nil {
		t.Errorf("the connection with an hour: %v", err)
	}
	if err := short.echo(); !reset(err) {
		t.Errorf("the connection with a second gets %v, want a reset", err)
	}
}

// A connection whose destination, or whose port, is gone is reset.
func TestConnectionsToWhatIsGoneAreReset(t *testing.T) {
	s := newTrio(t)
	s.endpoints(place{1, 81, 0}, place{2, 81, 0})
	v := state.VirtualServer{Proto: "tcp", Scheduler: "rr"}
	connected := func() *connection {
		t.Helper()
		c := s.mustConnect(netip.Addr{}, s.a, 8080)
		if err := c.echo(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	tests := []struct {
		what string
		gone func()
	}{
		{"the last destination", func() { s.serveOn(s.a, v, 8080) }},
		{"one of two destinations", func() { s.serveOn(s.a, v, 8080, place{1, 81, 1}) }},
		{"the port", func() { s.withdraw(s.a, "tcp", 8080); s.a.settle(s.want[s.a]) }},
	}
	for i, tt := range tests {
		places := []place{{2, 81, 1}}
		if i == 1 {
			places = []place{{1, 81, 0}, {2, 81, 1}}
		}
		s.serve(v, 8080, places...)
		c := connected()
		tt.gone()
		begin := time.Now()
		if err := c.echo(); !reset(err) {
			t.Errorf("%s is gone: %v, want a reset", tt.what, err)
		}
		t.Logf("%s is gone: reset after %s", tt.what, time.Since(begin).Round(time.Millisecond))
		c.Close()
	}
}
