//go:build kernel

package kernel_test

import (
	"context"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What others have under the mesh's names is found, reading changes nothing, and what
// the mesh itself has left is not taken for others'.
func TestTaken(t *testing.T) {
	m := newMachine(t, "a")
	taken := func() (texts []string) {
		t.Helper()
		m.in(func() (err error) {
			texts, err = kernel.Taken(context.Background(), m.root)
			return err
		})
		return texts
	}
	before := m.snapshot()
	if got := taken(); len(got) > 0 {
		t.Errorf("an empty host: %q", got)
	}
	if after := m.snapshot(); after != before {
		t.Error("looking changed the host")
	}
	for _, try := range []struct{ make, remove, want string }{
		{"ip link add rmesh0 type dummy", "ip link del rmesh0", "link rmesh0"},
		{"ip rule add from 10.0.0.0/8 lookup 100 priority 10255", "ip rule del priority 10255", "policy rule"},
		{"ip link add d0 type dummy; ip link set d0 up; ip route add 192.0.2.0/24 dev d0 table 10255", "ip link del d0", "192.0.2.0/24 dev d0"},
		{"ipset create routingmesh-mine hash:ip", "ipset destroy routingmesh-mine", "routingmesh-mine"},
		{"iptables -N ROUTINGMESH-X; iptables -A ROUTINGMESH-X -j RETURN", "iptables -F ROUTINGMESH-X; iptables -X ROUTINGMESH-X", "filter/ROUTINGMESH-X"},
	} {
		m.run(try.make)
		if got := taken(); len(got) != 1 || !strings.Contains(got[0], try.want) {
			t.Errorf("%s: %q", try.make, got)
		}
		m.run(try.remove)
	}
	m.reach(full(t), 2)
	m.run("iptables -A ROUTINGMESH-USER -s 203.0.113.0/24 -j DROP")
	if got := taken(); len(got) > 0 {
		t.Errorf("the mesh's own: %q", got)
	}
	m.mesh("ip link add eth9 type dummy")
	if got := taken(); len(got) != 1 || !strings.Contains(got[0], "link eth9") {
		t.Errorf("somebody's namespace: %q", got)
	}
	m.mesh("ip link del eth9")
	m.run("iptables -F ROUTINGMESH-USER")
	m.reach(state.State{}, 2)
}
