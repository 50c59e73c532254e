package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Owner names the part of the record that a kernel object on the node serves,
// so that what is wrong with it reaches the resource at fault: a published port
// for set members and IPVS, the service for what its VIP and containers need, the other node for what leads to it, this node for
// the rest. Objects that the record no longer asks for are attributed as well.
func Owner(rec *mesh.Record, node string, o state.Object) mesh.Ref {
	if owner := owners[o.Key().Kind]; owner != nil {
		return owner(rec, node, o)
	}
	return Self(node)
}

// owners says for each kind whose its objects are; nil is the node's own.
var owners = [state.Kinds]func(rec *mesh.Record, node string, o state.Object) mesh.Ref{
	state.KindSetMember: ownerOf(memberOwner),
	state.KindVirtualServer: ownerOf(func(rec *mesh.Record, node string, v state.VirtualServer) mesh.Ref {
		return serverOwner(rec, node, v.Proto, v.Addr)
	}),
	state.KindRealServer: ownerOf(func(rec *mesh.Record, node string, r state.RealServer) mesh.Ref {
		return serverOwner(rec, node, r.Proto, r.Server)
	}),
	state.KindNeigh:      ownerOf(neighOwner),
	state.KindAttachment: ownerOf(func(rec *mesh.Record, node string, a state.Attachment) mesh.Ref { return slotOwner(rec, node, a.Slot) }),
	state.KindFDB: ownerOf(func(rec *mesh.Record, node string, f state.FDB) mesh.Ref {
		return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.MAC().String() == f.MAC })
	}),
	state.KindRoute: ownerOf(func(rec *mesh.Record, node string, r state.Route) mesh.Ref {
		if state.IsSlotLink(r.Dev) {
			return slotOwner(rec, node, r.Dst.Addr())
		}
		return nodeOwner(rec, node, func(n *mesh.Node) bool {
			return n.Block == r.Dst || r.NS == state.Mesh && (n.EntryBlock() == r.Dst || r.Table == entryTable(n))
		})
	}),
	state.KindRule: ownerOf(func(rec *mesh.Record, node string, r state.Rule) mesh.Ref {
		return nodeOwner(rec, node, func(n *mesh.Node) bool { return r.NS == state.Mesh && r.Table == entryTable(n) })
	}),
	state.KindNamespace: nil, state.KindVeth: nil, state.KindVXLAN: nil, state.KindAddr: nil, state.KindSysctl: nil, state.KindTimeouts: nil,
	state.KindSet: nil, state.KindChain: nil, state.KindHairpin: nil, state.KindOwnFile: nil,
}

// ownerOf gives a kind's function the type of its objects.
func ownerOf[O state.Object](owner func(*mesh.Record, string, O) mesh.Ref) func(*mesh.Record, string, state.Object) mesh.Ref {
	return func(rec *mesh.Record, node string, o state.Object) mesh.Ref {
		if is, ok := o.(O); ok {
			return owner(rec, node, is)
		}
		return Self(node)
	}
}

// slotOwner is the service whose slot on the node it is.
func slotOwner(rec *mesh.Record, node string, slot netip.Addr) mesh.Ref {
	if rec != nil && rec.Nodes[node] != nil {
		for name, service := range rec.Services {
			for _, e := range service.Endpoints {
				if e.Node == node && slices.Contains(slices.Collect(e.SlotAddresses(rec.Nodes[node])), slot) {
					return mesh.ServiceRef(name)
				}
			}
		}
	}
	return Self(node)
}

func neighOwner(rec *mesh.Record, node string, n state.Neigh) mesh.Ref {
	if state.IsSlotLink(n.Link) {
		return slotOwner(rec, node, n.Addr)
	}
	if n.Link != "" {
		return Self(node)
	}
	return nodeOwner(rec, node, func(other *mesh.Node) bool { return other.MeshAddress() == n.Addr })
}

func memberOwner(rec *mesh.Record, node string, m state.SetMember) mesh.Ref {
	switch {
	case m.NS == state.Mesh && m.Set == state.VIPSet:
		return vipOwner(rec, node, m.Addr)
	case m.NS == state.Mesh:
		return slotOwner(rec, node, m.Addr)
	}
	if m.Set == hostModeSet {
		return portOwner(string(mesh.TCP), m.Port, 0)
	}
	if pair, ok := state.PairOfSet(m.Set); ok {
		return portOwner(m.Proto, m.Port, pair)
	}
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		switch m.Set {
		case ingressSet(proto), keepSet(proto), limitSet(proto), allowSet(proto):
			return portOwner(string(proto), m.Port, 0)
		case endpointSet(proto):
			return targetOwner(rec, node, proto, m.Port)
		}
	}
	return peerOwner(rec, node, m.Addr)
}

func peerOwner(rec *mesh.Record, node string, addr netip.Addr) mesh.Ref {
	return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.Address == addr })
}

func portOwner(proto string, port uint16, pair uint8) mesh.Ref {
	return mesh.PortRef(mesh.PortKey{Port: port, Protocol: mesh.Protocol(proto), VIP: pair})
}

// vipOwner is the service whose VIP it is.
func vipOwner(rec *mesh.Record, node string, vip netip.Addr) mesh.Ref {
	if rec != nil {
		if service := rec.VIPOf(vip); service != nil {
			return mesh.ServiceRef(service.Name)
		}
	}
	return Self(node)
}

// serverOwner is the service whose VIP an IPVS service is at, else its port; one at a foreign
// address counts as of pair 0.
func serverOwner(rec *mesh.Record, node, proto string, server netip.AddrPort) mesh.Ref {
	if server.Port() == 0 || rec != nil && isVIP(rec, server.Addr()) {
		return vipOwner(rec, node, server.Addr())
	}
	var pair uint8
	if rec != nil && rec.Nodes[node] != nil {
		pair, _ = rec.Nodes[node].PairOf(server.Addr())
	}
	return portOwner(proto, server.Port(), pair)
}

// targetOwner finds the lowest published port that an endpoint of the node
// answers on the target port.
func targetOwner(rec *mesh.Record, node string, proto mesh.Protocol, target uint16) mesh.Ref {
	owner, found := mesh.PortKey{}, false
	for key, p := range rec.Ports {
		if key.Protocol != proto || (found && owner.Compare(key) < 0) {
			continue
		}
		for _, t := range localTargets(rec, node, p) {
			if t.Has(target) {
				owner, found = key, true
			}
		}
	}
	if !found {
		return vipTargetOwner(rec, node, proto, target)
	}
	return mesh.PortRef(owner)
}

// vipTargetOwner finds the first service whose VIP leads to processes of the node on the port.
func vipTargetOwner(rec *mesh.Record, node string, proto mesh.Protocol, target uint16) mesh.Ref {
	for _, name := range slices.Sorted(maps.Keys(rec.Services)) {
		for _, f := range vipFrontends(rec.Services[name]) {
			leads := func(r mesh.PortRange) bool { return r.Has(target) }
			if f.Port.Protocol == proto && slices.ContainsFunc(localTargets(rec, node, f.port(rec)), leads) {
				return mesh.ServiceRef(name)
			}
		}
	}
	return Self(node)
}

func nodeOwner(rec *mesh.Record, node string, is func(*mesh.Node) bool) mesh.Ref {
	for name, n := range rec.Nodes {
		if is(n) {
			return mesh.NodeRef(name)
		}
	}
	return Self(node)
}

// Self is the node, or the cluster for a host that is no node (any more).
func Self(node string) mesh.Ref {
	if node == "" {
		return mesh.ClusterRef
	}
	return mesh.NodeRef(node)
}
