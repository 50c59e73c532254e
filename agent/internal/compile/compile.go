// Package compile turns the record into what one node's kernel should hold. It
// is pure: the same record and node give the same state on every machine, which
// is what the golden tests in testdata rely on.
//
// The shape of the result is docs/design/data-path.md. Its size is
// O(nodes) for the overlay and O(ports × endpoints) for IPVS; the number of
// chains and rules is fixed, ports are members of ipsets.
package compile

import (
	"iter"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Compile returns everything that rec asks of the node, which runs a kernel of
// version v (it decides on settings only), under the conditions of the moment. A node that is not in the record (a
// host that only keeps it, or has left) gets an empty state.
func Compile(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) state.State {
	if rec == nil || rec.Nodes[node] == nil {
		return state.State{}
	}
	s := make(state.State, objects(rec))
	put := func(o state.Object) { s[o.Key()] = o }
	members := memberNetworks(rec, node)
	for unit := range units(rec) {
		unitObjects(put, rec, rec.Nodes[node], unit, members, now)
	}
	frame(s, rec, rec.Nodes[node], v, now)
	return s
}

// units are the published ports of the record, and its services in networks.
func units(rec *mesh.Record) iter.Seq[Frontend] {
	return func(yield func(Frontend) bool) {
		for key := range rec.Ports {
			if !yield(Published(key)) {
				return
			}
		}
		if !rec.HasNetworks() {
			return
		}
		for name, service := range rec.Services {
			if len(service.Networks) > 0 && !yield(Frontend{VIP: name}) {
				return
			}
		}
	}
}

// unitObjects hands on what a unit asks of this node, nothing for one that the record lacks.
func unitObjects(put func(state.Object), rec *mesh.Record, self *mesh.Node, unit Frontend, members map[string]bool, now Conditions) {
	if unit.VIP == "" {
		if p := rec.Ports[unit.Port]; p != nil {
			portObjects(put, rec, self, p, now)
		}
	} else if service := rec.Services[unit.VIP]; service != nil && len(service.Networks) > 0 {
		vipObjects(put, rec, self, service, members, now)
	}
}

// frame adds everything but the published ports, which are in s: what preserves clients'
// addresses is there while one of them does. Else it depends on how many pairs of VIPs are
// in use.
func frame(s state.State, rec *mesh.Record, self *mesh.Node, v state.KernelVersion, now Conditions) {
	pairs, ranges := rec.PairsInUse(), rangesOn(rec, self)
	links(s, rec, self)
	furtherVIPs(s, self, pairs)
	if len(now.Containers) > 0 {
		s.Put(presenceAddress(self)) // what leaves has connections, though no service may have containers by now
	}
	if h, ok := hairpin(rec, self, now.Leaving); ok {
		s.Put(h)
	}
	if hasContainers(s, self) {
		attachments(s, rec, self, now.Containers)
	}
	for _, setting := range state.ManagedSysctls(v) {
		s.Put(setting.Sysctl)
	}
	s.Put(state.Idle(rec.Cluster.TCPIdle(), rec.Cluster.UDPIdle())...)
	sets(s, pairs)
	keeps := preserving(s, self)
	hostChains(s, rec, self, now.Forwarding, special{pairs, ranges, keeps})
	meshChains(s, rec, self, special{pairs, ranges, keeps})
	if len(ranges) > 0 {
		rangeRoutes(s, self)
	}
	if rec.HasNetworks() {
		addNetworks(s, rec, self, now)
	}
	marks(s, rec, ranges)
	if keeps {
		preserve(s, rec, self)
	}
	for name, other := range rec.Nodes {
		if name == self.Name {
			continue
		}
		peer(s, self, other)
		if keeps {
			preservePeer(s, self, other)
		}
	}
}

// needs is what the frame has for the sake of some ports.
type needs struct{ preserved, containers bool }

func needsOf(s state.State, self *mesh.Node) needs {
	return needs{preserving(s, self), hasContainers(s, self)}
}

// special is what most clusters have none of, and what has rules of its own.
type special struct {
	pairs  int                   // of VIPs that are in use by address
	ranges []*mesh.PublishedPort // that may be open on the node
	keeps  bool                  // a port preserves clients' addresses
}

// links adds the namespace, the veth, the overlay device and the addresses and
// routes that do not depend on other nodes.
func links(s state.State, rec *mesh.Record, self *mesh.Node) {
	mtu := rec.MTU()
	S, H, P, T := self.MeshAddress(), self.HostAddress(), self.HostModeAddress(), self.SelfTestAddress()
	s.Put(
		state.NetNS{},
		state.Veth{MTU: mtu},
		state.Neigh{Link: state.HostLink, Addr: S, MAC: state.MeshMAC},
		state.Neigh{Link: state.MeshLink, Addr: H, MAC: state.HostMAC},
		state.VXLAN{VNI: rec.Cluster.VNI, Port: rec.Cluster.VXLANPort, Local: self.Address, MAC: self.MAC().String(), MTU: mtu, GBP: rec.HasNetworks()},
		state.Addr{NS: state.Host, Link: state.HostLink, Prefix: only(H)},
		state.Addr{NS: state.Mesh, Link: "lo", Prefix: only(S)},
		state.Addr{NS: state.Mesh, Link: "lo", Prefix: only(P)},
		state.Route{NS: state.Host, Table: state.MainTable, Dst: only(S), Dev: state.HostLink, Src: H},
		state.Route{NS: state.Host, Table: state.MainTable, Dst: rec.Cluster.AddressPool, Via: S, Dev: state.HostLink, Src: H},
		state.Route{NS: state.Mesh, Table: state.MainTable, Dst: only(H), Dev: state.MeshLink, Src: S},
		state.Route{NS: state.Mesh, Table: state.MainTable, Dst: everywhere(), Via: H, Dev: state.MeshLink, OnLink: true},
		state.Route{NS: state.Mesh, Table: state.MainTable, Dst: only(T), Via: H, Dev: state.MeshLink, OnLink: true},
		// What nobody has would go to the host, and come back, until its TTL is over.
		state.Route{NS: state.Mesh, Table: state.MainTable, Dst: rec.Cluster.AddressPool, Unreachable: true},
	)
}

// peer adds what reaches another node: one neighbour, one FDB entry, one route,
// and the right to send us VXLAN.
func peer(s state.State, self, other *mesh.Node) {
	mac := other.MAC().String()
	s.Put(
		state.Neigh{Addr: other.MeshAddress(), MAC: mac},
		state.FDB{MAC: mac, Dst: other.Address},
		state.Route{
			NS: state.Mesh, Table: state.MainTable, Dst: other.Block, Via: other.MeshAddress(),
			Dev: state.OverlayLink, Src: self.MeshAddress(), OnLink: true,
		},
		state.SetMember{Set: peersSet, Addr: other.Address},
	)
}

func only(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func everywhere() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }
