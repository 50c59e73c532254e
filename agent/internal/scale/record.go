package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// self is the node that is measured. It has an endpoint of every service, as far
// as it is one of the first nodes: the most that a node can have to do.
const self = "n0000"

// Of the ports that are published: on the host from firstPort, on the endpoints
// from firstTarget.
const (
	firstPort   = 10000
	firstTarget = 40000
	maxPorts    = firstTarget - firstPort - 1
	maxNodes    = 8000
)

// build makes the record of a cluster with as many services, each with one
// published port and an endpoint on each of the first nodes. The maps are filled
// without mesh's own methods, which check each one against all others.
func build(ports, endpoints, nodes int) (*mesh.Record, error) {
	if ports > maxPorts || nodes > maxNodes || endpoints > nodes {
		return nil, fmt.Errorf("at most %d ports, %d nodes, and one endpoint of a service on each", maxPorts, maxNodes)
	}
	rec, err := mesh.NewRecord("scale", mesh.Cluster{
		Name: "scale", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: 29,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("scale"), PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		return nil, err
	}
	rec.Generation = 1
	for i := range nodes {
		name := fmt.Sprintf("n%04d", i)
		rec.Nodes[name] = &mesh.Node{
			Name: name, Address: nth(netip.AddrFrom4([4]byte{198, 18, 0, 1}), i), UnderlayMTU: 1500,
			Block: netip.PrefixFrom(nth(rec.Cluster.AddressPool.Addr(), 8*i), rec.Cluster.NodePrefixLength),
		}
	}
	rec.NextBlock = nodes
	for i := range ports {
		publish(rec, i, endpoints)
	}
	return rec, rec.Validate()
}

// publish adds the i-th service and its port.
func publish(rec *mesh.Record, i, endpoints int) {
	name := fmt.Sprintf("s%d", i)
	s := &mesh.Service{Name: name, Endpoints: make(map[string]mesh.Endpoint, endpoints)}
	for e := range endpoints {
		s.Endpoints[fmt.Sprintf("e%d", e)] = mesh.Endpoint{Node: fmt.Sprintf("n%04d", e)}
	}
	p := &mesh.PublishedPort{
		Service: name, Published: uint16(firstPort + i), Target: uint16(min(firstTarget+i, 1<<16-1)), Protocol: mesh.TCP, Mode: mesh.Ingress,
	}
	rec.Services[name], rec.Ports[p.Key()] = s, p
}

// onePortMore is the next generation, with a service and its port more.
func onePortMore(rec *mesh.Record, endpoints int) *mesh.Record {
	next := rec.Next()
	publish(next, len(rec.Ports), endpoints)
	return next
}

// change is the next record, with one port more, as an agent makes it of the change
// that it is sent (mesh.Change): what stays is the same in both.
func (b *bench) change(rec *mesh.Record) (mesh.Encoded, error) {
	next := onePortMore(rec, b.endpoints)
	c := mesh.Diff(rec, next)
	c.Hash = next.Hash()
	return rec.Apply(c)
}

func nth(a netip.Addr, i int) netip.Addr {
	b := a.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i))
	return netip.AddrFrom4(b)
}
