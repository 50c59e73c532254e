package compile

import (
	"math"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Frontend is what IPVS takes connections for: a published port, or a port of a service's VIP.
type Frontend struct {
	// VIP is the service whose VIP it is, "" for a published port.
	VIP string
	// Port is the port. It is zero for a VIP that leads to every port.
	Port mesh.PortKey
}

// Published is the frontend that a published port is.
func Published(key mesh.PortKey) Frontend { return Frontend{Port: key} }

// Compare orders frontends: published ports by their keys, then VIPs.
func (f Frontend) Compare(o Frontend) int {
	switch {
	case f.VIP < o.VIP:
		return -1
	case f.VIP > o.VIP:
		return 1
	}
	return f.Port.Compare(o.Port)
}

// String is "8080/tcp", "VIP of db", "80/tcp of the VIP of db".
func (f Frontend) String() string {
	switch {
	case f.VIP == "":
		return f.Port.String()
	case f.Port == mesh.PortKey{}:
		return "the VIP of " + f.VIP
	}
	return f.Port.String() + " of the VIP of " + f.VIP
}

// port is the published port that f is. Of a VIP it is what a published port with the same
// destinations would be; one that leads to every port is as a range. It is nil where the
// record has no such frontend.
func (f Frontend) port(rec *mesh.Record) *mesh.PublishedPort {
	if f.VIP == "" {
		return rec.Ports[f.Port]
	}
	service := rec.Services[f.VIP]
	if service == nil || !service.VIP.IsValid() || service.VIPByPort() != (f.Port != mesh.PortKey{}) {
		return nil
	}
	p := &mesh.PublishedPort{Service: f.VIP, Published: f.Port.Port, Protocol: f.Port.Protocol, Mode: mesh.Ingress}
	if !service.VIPByPort() {
		p.Last = math.MaxUint16
	} else if p.Target = service.VIPPorts[f.Port]; p.Target == 0 {
		return nil
	}
	return p
}

// Service is the service whose endpoints the frontend leads to; nil where the record has no such
// frontend.
func (f Frontend) Service(rec *mesh.Record) *mesh.Service {
	if p := f.port(rec); p != nil {
		return rec.Services[p.Service]
	}
	return nil
}

// vipFrontends are those of the service's VIP, sorted.
func vipFrontends(service *mesh.Service) (all []Frontend) {
	switch {
	case !service.VIP.IsValid():
	case !service.VIPByPort():
		all = []Frontend{{VIP: service.Name}}
	default:
		for key := range service.VIPPorts {
			all = append(all, Frontend{service.Name, key})
		}
		slices.SortFunc(all, Frontend.Compare)
	}
	return all
}

// unit is what is compiled together: a published port, or all of a VIP.
func (f Frontend) unit() Frontend {
	if f.VIP != "" {
		f.Port = mesh.PortKey{}
	}
	return f
}

// FrontendAt is what IPVS on the node serves at server; false for what is neither a published
// port nor a VIP.
func FrontendAt(rec *mesh.Record, node, proto string, server netip.AddrPort) (Frontend, bool) {
	if rec == nil {
		return Frontend{}, false
	}
	key, ok := rec.Nodes[node].PortKeyAt(mesh.Protocol(proto), server)
	if ok || !isVIP(rec, server.Addr()) {
		return Published(key), ok
	}
	service := rec.VIPOf(server.Addr())
	if service == nil {
		return Frontend{}, false
	}
	if server.Port() == 0 {
		return Frontend{VIP: service.Name}, true
	}
	return Frontend{service.Name, mesh.PortKey{Port: server.Port(), Protocol: mesh.Protocol(proto)}}, true
}

// isVIP says that the address is in a block of VIPs.
func isVIP(rec *mesh.Record, a netip.Addr) bool {
	return slices.ContainsFunc(rec.VIPBlocks(), func(b netip.Prefix) bool { return b.Contains(a) })
}

// ServerOf is where IPVS has the destination of the frontend, which tells by its address
// which way it is reached, and by its port whether by a range.
func (f Frontend) ServerOf(rec *mesh.Record, node string, destination netip.AddrPort) netip.AddrPort {
	if f.VIP != "" {
		return netip.AddrPortFrom(rec.Services[f.VIP].VIP, f.Port.Port)
	}
	return serverOf(rec.Nodes[node], rec.Ports[f.Port], destination)
}
