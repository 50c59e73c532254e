package compile

import (
	"net/netip"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Owner names the part of the record that a kernel object on the node serves,
// so that what is wrong with it reaches the resource at fault: a published port
// for set members and IPVS, the other node for what leads to it, this node for
// the rest. Objects that the record no longer asks for are attributed as well.
func Owner(rec *mesh.Record, node string, o state.Object) mesh.Object {
	switch o := o.(type) {
	case state.SetMember:
		return memberOwner(rec, node, o)
	case state.VirtualServer:
		return portOwner(o.Proto, o.Addr.Port())
	case state.RealServer:
		return portOwner(o.Proto, o.Server.Port())
	case state.Neigh:
		if o.Link != "" {
			return Self(node)
		}
		return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.MeshAddress() == o.Addr })
	case state.FDB:
		return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.MAC().String() == o.MAC })
	case state.Route:
		return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.Block == o.Dst })
	default:
		return Self(node)
	}
}

func memberOwner(rec *mesh.Record, node string, m state.SetMember) mesh.Object {
	if m.Set == hostModeSet {
		return portOwner(string(mesh.TCP), m.Port)
	}
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		switch m.Set {
		case ingressSet(proto):
			return portOwner(string(proto), m.Port)
		case endpointSet(proto):
			return targetOwner(rec, node, proto, m.Port)
		}
	}
	return peerOwner(rec, node, m.Addr)
}

func peerOwner(rec *mesh.Record, node string, addr netip.Addr) mesh.Object {
	return nodeOwner(rec, node, func(n *mesh.Node) bool { return n.Address == addr })
}

func portOwner(proto string, port uint16) mesh.Object {
	return mesh.PortObject(mesh.PortKey{Port: port, Protocol: mesh.Protocol(proto)})
}

// targetOwner finds the lowest published port that an endpoint of the node
// answers on the target port.
func targetOwner(rec *mesh.Record, node string, proto mesh.Protocol, target uint16) mesh.Object {
	owner, found := mesh.PortKey{}, false
	for key, p := range rec.Ports {
		if key.Protocol != proto || (found && owner.Compare(key) < 0) {
			continue
		}
		for _, t := range localTargets(rec, node, p) {
			if t == target {
				owner, found = key, true
			}
		}
	}
	if !found {
		return Self(node)
	}
	return mesh.PortObject(owner)
}

func nodeOwner(rec *mesh.Record, node string, is func(*mesh.Node) bool) mesh.Object {
	for name, n := range rec.Nodes {
		if is(n) {
			return mesh.NodeObject(name)
		}
	}
	return Self(node)
}

// Has says whether the record has the object: Owner may name one that it has no
// longer.
func Has(rec *mesh.Record, o mesh.Object) bool {
	kind, name, _ := strings.Cut(string(o), "/")
	switch kind {
	case "node":
		return rec.Nodes[name] != nil
	case "service":
		return rec.Services[name] != nil
	case "port":
		key, err := mesh.ParsePortKey(name)
		return err == nil && rec.Ports[key] != nil
	}
	return o == mesh.ClusterObject
}

// Self is the node, or the cluster for a host that is no node (any more).
func Self(node string) mesh.Object {
	if node == "" {
		return mesh.ClusterObject
	}
	return mesh.NodeObject(node)
}
