//go:build kernel

package kernel_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// entry is one of conntrack, of udp unless proto says otherwise.
type entry struct {
	what                     string
	from, to, answered, back string
	proto                    uint8
}

func (e entry) flow() *netlink.ConntrackFlow {
	proto := uint8(unix.IPPROTO_UDP)
	if e.proto != 0 {
		proto = e.proto
	}
	tuple := func(from, to string) netlink.IPTuple {
		a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
		return netlink.IPTuple{
			SrcIP: a.Addr().AsSlice(), SrcPort: a.Port(), DstIP: b.Addr().AsSlice(), DstPort: b.Port(), Protocol: proto,
		}
	}
	f := &netlink.ConntrackFlow{FamilyType: unix.AF_INET, Forward: tuple(e.from, e.to), Reverse: tuple(e.answered, e.back), TimeOut: 100}
	if e.proto == unix.IPPROTO_TCP {
		f.ProtoInfo = &netlink.ProtoInfoTCP{State: 3}
	}
	return f
}

func tupleText(f *netlink.ConntrackFlow) string {
	return fmt.Sprintf("%d %s:%d > %s:%d", f.Forward.Protocol, f.Forward.SrcIP, f.Forward.SrcPort, f.Forward.DstIP, f.Forward.DstPort)
}

// kept makes the entries, has write change something, and returns what is left.
func kept(t *testing.T, entries map[state.NS][]entry, in map[state.NS]func(func() error), write func()) map[string]bool {
	t.Helper()
	for ns, list := range entries {
		in[ns](func() error {
			for _, e := range list {
				if err := netlink.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, e.flow()); err != nil {
					return fmt.Errorf("%s: %w", e.what, err)
				}
			}
			return nil
		})
	}
	write()
	left := map[string]bool{}
	for ns := range entries {
		in[ns](func() error {
			flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
			for _, f := range flows {
				left[ns.String()+" "+tupleText(f)] = true
			}
			return err
		})
	}
	return left
}

// Only the entries of published ports that lead nowhere (any more) are deleted.
func TestForeignFlowsStay(t *testing.T) {
	m := newMachine(t, "a")
	m.run("ip link add eth0 type dummy; ip addr add 192.168.77.1/24 dev eth0; ip link set eth0 up")
	want := desired(t, 1, 2)
	publish(want, 1, "udp", 5353, 53, 1, 2)
	m.reach(want, 1)
	const (
		c    = "192.168.77.100:40000"
		a, S = "192.168.77.1", "10.255.1.1"
		H    = "10.255.1.2"
	)
	stay := map[state.NS][]entry{
		state.Host: {
			{what: "a process of the host", from: c, to: a + ":7000", answered: a + ":7000", back: c},
			{what: "the host as a client, of a published port's number", from: a + ":40000", to: "192.0.2.53:5353", answered: "192.0.2.53:5353", back: a + ":40000"},
			{what: "routed through the host", from: c, to: "198.51.100.1:5353", answered: "198.51.100.1:5353", back: c},
			{what: "routed and masqueraded", from: "192.168.77.101:40000", to: "198.51.100.1:5353", answered: "198.51.100.1:5353", back: a + ":40001"},
			{what: "somebody else's DNAT", from: "192.168.77.102:40000", to: a + ":5353", answered: "172.17.0.2:53", back: "192.168.77.102:40000"},
			{what: "the endpoint's side", from: "10.255.2.1:40000", to: H + ":5353", answered: H + ":5353", back: "10.255.2.1:40000"},
			{what: "a live client", from: "192.168.77.103:40000", to: a + ":5353", answered: S + ":5353", back: "192.168.77.103:40000"},
			{what: "a live client on the node", from: "127.0.0.1:40000", to: "127.0.0.1:5353", answered: S + ":5353", back: H + ":40000"},
			{what: "a live client of tcp", from: "192.168.77.104:40000", to: a + ":8080", answered: S + ":8080", back: "192.168.77.104:40000", proto: unix.IPPROTO_TCP},
			{what: "somebody else's DNAT of tcp", from: "192.168.77.105:40000", to: a + ":8080", answered: "172.17.0.2:80", back: "192.168.77.105:40000", proto: unix.IPPROTO_TCP},
			{what: "of tcp", from: c, to: a + ":5353", answered: a + ":5353", back: c, proto: unix.IPPROTO_TCP},
		},
		state.Mesh: {
			{what: "a live client in the mesh", from: c, to: S + ":5353", answered: "10.255.2.2:53", back: S + ":40000"},
			{what: "transit to the endpoint", from: "10.255.2.1:40000", to: H + ":53", answered: H + ":53", back: "10.255.2.1:40000"},
			{what: "of tcp in the mesh", from: c, to: S + ":6000", answered: S + ":6000", back: c, proto: unix.IPPROTO_TCP},
		},
	}
	gone := map[state.NS][]entry{
		state.Host: {
			{what: "past the DNAT", from: "192.168.77.110:40000", to: a + ":5353", answered: a + ":5353", back: "192.168.77.110:40000"},
			{what: "past the DNAT, on the node", from: "127.0.0.1:40001", to: "127.0.0.1:5353", answered: "127.0.0.1:5353", back: "127.0.0.1:40001"},
			{what: "of a closed port", from: "192.168.77.111:40000", to: a + ":6000", answered: S + ":6000", back: "192.168.77.111:40000"},
			{what: "on the node, without the source H", from: "127.0.0.1:40002", to: "127.0.0.1:5353", answered: S + ":5353", back: "127.0.0.1:40002"},
		},
		state.Mesh: {
			{what: "to a destination that is gone", from: "192.168.77.112:40000", to: S + ":5353", answered: "10.255.3.2:53", back: S + ":40002"},
			{what: "to another port of one that is there", from: "192.168.77.113:40000", to: S + ":5353", answered: "10.255.2.2:54", back: S + ":40003"},
			{what: "for a closed port", from: "192.168.77.114:40000", to: S + ":6000", answered: "10.255.2.2:53", back: S + ":40004"},
			{what: "without the source S", from: "192.168.77.115:40000", to: S + ":5353", answered: "10.255.2.2:53", back: "192.168.77.115:40000"},
			{what: "to nobody", from: "192.168.77.116:40000", to: S + ":5353", answered: S + ":5353", back: "192.168.77.116:40000"},
		},
	}
	all := map[state.NS][]entry{}
	var wanted []string
	for ns := range stay {
		all[ns] = slices.Concat(stay[ns], gone[ns])
		for _, e := range stay[ns] {
			wanted = append(wanted, ns.String()+" "+tupleText(e.flow()))
		}
	}
	in := map[state.NS]func(func() error){state.Host: m.in, state.Mesh: func(fn func() error) { m.must(m.InMesh(fn)) }}
	left := kept(t, all, in, func() {
		publish(want, 1, "udp", 5354, 53, 2)
		m.settle(want)
	})
	for _, w := range wanted {
		if !left[w] {
			t.Errorf("deleted: %s", w)
		}
	}
	for ns, list := range gone {
		for _, e := range list {
			if left[ns.String()+" "+tupleText(e.flow())] {
				t.Errorf("%s: left: %s (%s)", ns, tupleText(e.flow()), e.what)
			}
		}
	}
	// When everything goes, so do the clients' entries, and no others.
	m.reach(state.State{}, 1)
	m.in(func() error {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		left := map[string]bool{}
		for _, f := range flows {
			left[tupleText(f)] = true
		}
		for _, e := range stay[state.Host] {
			ours := netip.MustParseAddrPort(e.answered).Addr().String() == S
			if left[tupleText(e.flow())] == ours {
				t.Errorf("without the mesh, is there still %s? %t; it was %s", tupleText(e.flow()), ours, e.what)
			}
		}
		return err
	})
}
