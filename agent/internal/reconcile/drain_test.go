package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// drainOf is the drain of 8080/tcp's endpoint on the node, begun at midnight with 30 s.
func drainOf(endpoint string, node int) drain {
	return drain{
		Port: mesh.PortKey{Port: 8080, Protocol: mesh.TCP}, Service: "web", Endpoint: endpoint, Node: fmt.Sprintf("n%d", node), Address: to(node),
		Deadline: midnight.Add(30 * time.Second), TimeoutSeconds: 30,
	}
}

func setOf(all ...drain) drainSet {
	s := drainSet{}
	for _, d := range all {
		s.put(d)
	}
	return s
}

// TestDrain_Count: a drain is over when no connection is established and the others have
// had a few seconds to close, or at its deadline.
func TestDrain_Count(t *testing.T) {
	busy, linger, none := kernel.Load{Active: 2, Inactive: 1}, kernel.Load{Inactive: 7}, kernel.Load{}
	tests := map[string]struct {
		loads []kernel.Load // one for each second, the last one from then on
		lasts int
	}{
		"no connection":                   {[]kernel.Load{none}, 1},
		"one that ends":                   {[]kernel.Load{busy, busy, none}, 3},
		"ones that are closed and linger": {[]kernel.Load{busy, linger}, 7},
		"a new one while it was closing":  {[]kernel.Load{linger, linger, linger, busy, linger}, 10},
		"one that never ends":             {[]kernel.Load{busy}, 30},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, second := drainOf("c", 3), 1
			for ; second < 100; second++ {
				if d.count(test.loads[min(second, len(test.loads))-1], midnight.Add(time.Duration(second)*time.Second)) {
					break
				}
			}
			if second != test.lasts {
				t.Errorf("over after %d s, want %d", second, test.lasts)
			}
		})
	}
}

// TestDrain_Resumed: an agent that takes up a drain gives it no more than its time,
// whatever the clock did meanwhile.
func TestDrain_Resumed(t *testing.T) {
	for name, test := range map[string]struct{ at, left time.Duration }{
		"in time":                      {10 * time.Second, 20 * time.Second},
		"late":                         {time.Hour, 30*time.Second - time.Hour},
		"the clock is set back by 24h": {-24 * time.Hour, 30 * time.Second},
	} {
		now := midnight.Add(test.at)
		if left := drainOf("c", 3).resumed(now).Deadline.Sub(now); left != test.left {
			t.Errorf("%s: %s left, want %s", name, left, test.left)
		}
	}
}

// TestDrain_RealServer: in the kernel the destination is one of S, or of P for a port in
// host mode.
func TestDrain_RealServer(t *testing.T) {
	rec := webOf(t, nil)
	d := drainOf("a", 1)
	if key := d.realServer(rec, "n1"); key != toward(1) {
		t.Errorf("%v", key)
	}
	rec.Ports[d.Port].Mode = mesh.Host
	want := state.RealServer{Proto: "tcp", Server: netip.AddrPortFrom(rec.Nodes["n1"].HostModeAddress(), 8080), Addr: to(1)}.Key()
	if key := d.realServer(rec, "n1"); key != want {
		t.Errorf("in host mode %v", key)
	}
}

func TestDrainSet_ByFrontend(t *testing.T) {
	if ports := (drainSet{}).byFrontend(); ports != nil {
		t.Errorf("of none: %v", ports)
	}
	b, c := drainOf("b", 2), drainOf("c", 3)
	if ports := setOf(c, b).byFrontend(); len(ports) != 1 || !slices.Equal(ports[b.frontend()], []netip.AddrPort{b.Address, c.Address}) {
		t.Errorf("%v", ports)
	}
}
