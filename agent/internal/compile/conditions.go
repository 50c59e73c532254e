package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Conditions is what the moment adds to the record: which endpoints fail their
// checks, which destinations are on their way out, and whether the host forwards for others. The zero value adds nothing.
type Conditions struct {
	// Unhealthy are the checks of this node that fail.
	Unhealthy map[Check]bool
	// Draining are destinations that the record does not ask for any more and that
	// still have connections, by published port. One that the record does ask for
	// is not draining, whatever this says.
	Draining map[mesh.PortKey][]netip.AddrPort
	// Forwarding is what becomes of packets of others.
	Forwarding state.Forwarding
	// Containers are those in this node's slots, by the slots' addresses, also in slots that
	// the record has had, for as long as connections to them may last.
	Containers map[netip.Addr]state.Process
	// Absent are the slots of all nodes that are empty (true), or whose node is silent, so
	// that they may be (false).
	Absent map[netip.Addr]bool
	// Leaving are slots of this node that the record does not have any more, while connections to them may last, and the networks that they were in.
	Leaving map[netip.Addr]mesh.NetworkSet
}

// Check is one thing that a node checks for a service: an address of an
// endpoint. How is the service's HealthCheck.
type Check struct {
	Service string
	Addr    netip.AddrPort
}

// Checks lists what the node has to check, with the name of the endpoint; nil
// for a host that is no node. An endpoint is checked on each port to which a tcp
// port of its service leads, or on the port that the check names; not at all
// while its service publishes nothing, or its node drains.
func Checks(rec *mesh.Record, node string) map[Check]string {
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	checks := map[Check]string{}
	for _, p := range rec.Ports {
		service := rec.Services[p.Service]
		if service.HealthCheck == nil {
			continue
		}
		for _, name := range slices.Backward(rec.LiveEndpoints(service)) { // the first of two with one address stays
			e := service.Endpoints[name]
			if !rec.Nodes[e.Node].Serving() {
				continue
			}
			if port := checkPort(service, p, e); port != 0 {
				for address := range e.Addresses(rec.Nodes[e.Node]) {
					checks[Check{p.Service, netip.AddrPortFrom(address, port)}] = name
				}
			}
		}
	}
	return checks
}

// checkPort is where the endpoint is checked for the published port; 0 for a udp
// port whose service names none: it goes by the service's tcp ports.
func checkPort(service *mesh.Service, p *mesh.PublishedPort, e mesh.Endpoint) uint16 {
	if service.HealthCheck.Port != 0 || p.Protocol == mesh.UDP {
		return service.HealthCheck.Port
	}
	return p.TargetFor(e)
}

// destination is an endpoint as IPVS needs it.
type destination struct {
	name   string
	addr   netip.AddrPort
	at     netip.Addr // where it is checked: H of its node, or its slot
	weight int
	local  bool // on the node we compile for
	sick   bool // fails its check, or is in a slot that is, or may be, empty
	empty  bool // is in a slot that is empty
	out    bool // not in IPVS: cut, or udp, of which weight 0 would hold flows
}

// destinations lists where a published port leads on this node, by address.
func destinations(rec *mesh.Record, self *mesh.Node, p *mesh.PublishedPort, now Conditions) []destination {
	service := rec.Services[p.Service]
	dests := make([]destination, 0, len(service.Endpoints))
	for name, e := range service.Endpoints {
		host := rec.Nodes[e.Node]
		if host == nil || !host.Serving() || host != self && localEndpointsOnly(p) {
			continue
		}
		for addr := range p.AddressesFor(e, host, self) {
			at := addr.Addr()
			if e.Container == nil {
				at = host.HostAddress()
			}
			empty, doubtful := now.Absent[at]
			dests = append(dests, destination{
				name: name, addr: addr, at: at, weight: e.Share(),
				local: host == self, empty: empty, sick: doubtful || sick(service, p, e, host, at, now),
			})
		}
	}
	// Of two endpoints at one address the first by name counts.
	slices.SortFunc(dests, func(a, b destination) int {
		if c := a.addr.Compare(b.addr); c != 0 {
			return c
		}
		return cmp.Compare(a.name, b.name)
	})
	dests = slices.CompactFunc(dests, func(a, b destination) bool { return a.addr == b.addr })
	weigh(dests, service, p)
	asked := len(dests)
	for _, addr := range now.Draining[p.Key()] {
		if addr.Port() == 0 && !p.IsRange() {
			continue // of the range that the port was: there is no way to it any more
		}
		if !slices.ContainsFunc(dests[:asked], func(d destination) bool { return d.addr == addr }) {
			dests = append(dests, destination{addr: addr, local: self.HasEndpointsAt(addr.Addr())})
		}
	}
	return dests
}

// Destinations lists the addresses to which the record leads the published port on the
// node, whatever the conditions, sorted.
func Destinations(rec *mesh.Record, node string, p *mesh.PublishedPort) []netip.AddrPort {
	self := rec.Nodes[node]
	if self == nil {
		return nil
	}
	var to []netip.AddrPort
	for _, d := range destinations(rec, self, p, Conditions{}) {
		to = append(to, d.addr)
	}
	return to
}

func localEndpointsOnly(p *mesh.PublishedPort) bool {
	return p.Mode == mesh.Host || p.Locality == mesh.LocalOnly
}

// sick says that the endpoint at the address fails the check that the port goes by.
func sick(service *mesh.Service, p *mesh.PublishedPort, e mesh.Endpoint, host *mesh.Node, at netip.Addr, now Conditions) bool {
	if service.HealthCheck == nil {
		return false
	}
	if port := checkPort(service, p, e); port != 0 {
		return now.Unhealthy[Check{p.Service, netip.AddrPortFrom(at, port)}]
	}
	for check, failing := range now.Unhealthy { // a udp port goes by all tcp ports of its endpoint
		if failing && check.Service == p.Service && check.Addr.Addr() == at && ownPort(service, e, host, check) {
			return true
		}
	}
	return false
}

// ownPort tells the endpoint's checks from those of another one on its node.
func ownPort(service *mesh.Service, e mesh.Endpoint, host *mesh.Node, check Check) bool {
	switch {
	case e.Port != 0:
		return check.Addr.Port() == e.Port
	case e.Container != nil:
		return true // nobody else has its address
	}
	for _, other := range service.Endpoints {
		if other.Node == host.Name && other.Port == check.Addr.Port() && other.Container == nil {
			return false
		}
	}
	return true
}

// weigh takes the weight of an empty slot, of who fails, unless all do, and of who is
// elsewhere where a local one is preferred and serves.
func weigh(dests []destination, service *mesh.Service, p *mesh.PublishedPort) {
	for i := range dests {
		if dests[i].empty { // there is nobody whose connections could go on
			dests[i].weight, dests[i].out = 0, true
		}
	}
	serves := func(d destination) bool { return d.weight > 0 && !d.sick }
	if !slices.ContainsFunc(dests, serves) {
		return // all fail: serve from what there is rather than from nothing
	}
	prefer := p.Locality == mesh.PreferLocal && slices.ContainsFunc(dests, func(d destination) bool { return d.local && serves(d) })
	for i := range dests {
		d := &dests[i]
		if d.sick {
			d.out = d.out || cuts(service) || p.Protocol == mesh.UDP
		}
		away := prefer && !d.local
		if away {
			d.out = d.out || p.Protocol == mesh.UDP
		}
		if d.sick || away {
			d.weight = 0
		}
	}
}

// cuts says that connections to an endpoint that fails are to end.
func cuts(service *mesh.Service) bool {
	return service.HealthCheck != nil && service.HealthCheck.OnUnhealthy == mesh.CutConnections
}

// Kept says that the endpoint fails its check and is used all the same, because
// every other one of some published port of the service fails as well.
func Kept(rec *mesh.Record, node string, check Check, now Conditions) bool {
	self := rec.Nodes[node]
	if self == nil || rec.Services[check.Service] == nil {
		return false
	}
	for _, p := range rec.ServicePorts(check.Service) {
		for _, d := range destinations(rec, self, p, now) {
			if d.sick && d.weight > 0 && d.at == check.Addr.Addr() {
				return true
			}
		}
	}
	return false
}

// Serves counts, over the published ports of a service, the endpoints that get
// new connections on this node, and those of them on the node itself. The lowest
// of its ports counts that may be open here: 0 where one port has nobody.
func Serves(rec *mesh.Record, node string, service string, now Conditions) (all, local int) {
	self := rec.Nodes[node]
	if self == nil {
		return 0, 0
	}
	first := true
	for _, p := range rec.ServicePorts(service) {
		if !p.Nodes.Has(node) {
			continue
		}
		n, l := 0, 0
		for _, d := range destinations(rec, self, p, now) {
			if d.weight > 0 && !d.sick {
				n++
				if d.local {
					l++
				}
			}
		}
		if first || cmp.Or(cmp.Compare(n, all), cmp.Compare(l, local)) < 0 {
			all, local, first = n, l, false
		}
	}
	return all, local
}
