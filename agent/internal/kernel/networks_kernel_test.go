//go:build kernel

package kernel_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// networked is a mesh of three nodes with the networks front and back, whose services web and
// db have a container each on n2 and n3. Processes of n1 are members of front. Containers are
// named after their service and node: web2.
type networked struct {
	*preserving
	in  map[string]*machine
	now compile.Conditions
}

func newNetworked(t *testing.T) *networked {
	t.Helper()
	n := &networked{preserving: newPreserving(t), in: map[string]*machine{}, now: compile.Conditions{Containers: map[netip.Addr]state.Process{}}}
	for key := range n.rec.Ports {
		n.rec.RemovePort(key)
	}
	must(t, n.rec.RemoveService("web"))
	must(t, n.rec.PutNetwork(&mesh.Network{Name: "front", Hosts: []string{"n1"}}))
	must(t, n.rec.PutNetwork(&mesh.Network{Name: "back"}))
	n.service("web", "front")
	n.service("db", "back")
	n.settle()
	return n
}

// service has containers on n2 and n3, which answer on 80/tcp and 53/udp.
func (n *networked) service(name string, networks ...string) {
	n.t.Helper()
	s := &mesh.Service{Name: name, Endpoints: map[string]mesh.Endpoint{}, Networks: map[string]mesh.Membership{}}
	for _, network := range networks {
		s.Networks[network] = mesh.Membership{}
	}
	for _, node := range []string{"n2", "n3"} {
		s.Endpoints[node] = mesh.Endpoint{Node: node, Container: &mesh.Container{Name: name}, Slots: make([]uint16, 1)}
	}
	must(n.t, n.rec.PutService(s))
	for _, node := range []string{"n2", "n3"} {
		in := newMachine(n.t, name+node[1:])
		in.answers("tcp", ":80")
		in.answers("udp", ":53")
		n.in[in.name] = in
		n.now.Containers[n.slot(in.name)] = in.process()
	}
}

// slot is the address of a container by its name.
func (n *networked) slot(name string) netip.Addr {
	n.t.Helper()
	service, node := name[:len(name)-1], "n"+name[len(name)-1:]
	for slot := range n.rec.Services[service].Endpoints[node].SlotAddresses(n.rec.Nodes[node]) {
		return slot
	}
	n.t.Fatalf("there is no slot of %s", name)
	return netip.Addr{}
}

// settle has every node be as the record asks. A flag of the overlay takes a second round.
func (n *networked) settle() {
	n.t.Helper()
	for name, m := range n.nodes {
		m.reach(compile.Compile(n.rec, name, runningKernel(n.t), n.now), 3)
	}
}

// refused wants an answer at once that says no.
func (n *networked) refused(from *machine, proto string, to netip.AddrPort) {
	n.t.Helper()
	began := time.Now()
	got := from.greeting(proto, to.String())
	if took := time.Since(began); got != "refused" && !strings.Contains(got, unix.EHOSTUNREACH.Error()) || took > 5*time.Second {
		n.t.Errorf("%s from %s to %s: %q after %s, want it refused at once", proto, from.name, to, got, took)
	}
}

// sees wants to be answered by one of these, which sees the client's own address.
func (n *networked) sees(from *machine, proto string, to netip.AddrPort, client netip.Addr, names ...string) string {
	n.t.Helper()
	got := from.greeting(proto, to.String())
	name, as, _ := strings.Cut(got, " sees ")
	if as != client.String() || !slices.Contains(names, name) {
		n.t.Errorf("%s from %s to %s: %q, want one of %v that sees %s", proto, from.name, to, got, names, client)
	}
	return name
}

func servicePort(proto string) uint16 {
	if proto == "udp" {
		return 53
	}
	return 80
}

// untracked wants nothing of containers in the mesh's conntrack tables.
func (n *networked) untracked() {
	n.t.Helper()
	for name, m := range n.nodes {
		for line := range strings.SplitSeq(m.mesh("cat /proc/net/nf_conntrack"), "\n") {
			for _, in := range n.in {
				if strings.Contains(line, n.slot(in.name).String()+" ") && !strings.Contains(line, n.rec.Nodes[name].HostAddress().String()+" ") {
					n.t.Errorf("%s tracks %s", name, line)
				}
			}
		}
	}
}

// Members of a network reach each other, by slot and by VIP, on their own node and others,
// and see the client's own address. Others are refused at once. Nothing of it is tracked.
func TestNetworks_Isolation(t *testing.T) {
	n := newNetworked(t)
	H := func(node string) netip.Addr { return n.rec.Nodes[node].HostAddress() }
	type client struct {
		*machine
		at       netip.Addr
		networks string
	}
	clients := []client{
		{n.in["web2"], n.slot("web2"), "web"}, {n.in["web3"], n.slot("web3"), "web"},
		{n.in["db2"], n.slot("db2"), "db"}, {n.in["db3"], n.slot("db3"), "db"},
		{n.nodes["n1"], H("n1"), "web"}, {n.nodes["n2"], H("n2"), ""}, {n.nodes["n3"], H("n3"), ""},
	}
	for _, c := range clients {
		for _, proto := range both {
			for _, service := range []string{"web", "db"} {
				for _, to := range []string{service + "2", service + "3"} {
					at := netip.AddrPortFrom(n.slot(to), servicePort(proto))
					switch {
					case c.name == to:
					case c.networks == service:
						n.sees(c.machine, proto, at, c.at, to)
					default:
						n.refused(c.machine, proto, at)
					}
				}
			}
		}
	}
	n.untracked()
}
