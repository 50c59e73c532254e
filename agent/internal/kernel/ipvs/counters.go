package ipvs

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Server is an IPVS service with what it has counted.
type Server struct {
	Proto        mesh.Protocol
	Addr         netip.AddrPort
	Scheduler    string
	Traffic      mesh.Traffic
	Destinations []Destination // by address
}

// Destination is one of a Server with what it has counted.
type Destination struct {
	Addr             netip.AddrPort
	Weight           int
	Active, Inactive uint32 // connections of this moment
	Traffic          mesh.Traffic
}

// Servers reads the services of a namespace with their counters, sorted by address; none
// where there is no IPVS. The kernel sums the counters up every two seconds (ip_vs_est),
// so they lag that much; the connections of this moment do not.
func Servers(ctx context.Context, ns netns.Handle) ([]Server, error) {
	generic, err := netlink.NewHandleAt(ns, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	defer generic.Close()
	w, there, err := dial(ns, generic)
	if err != nil || !there {
		return nil, err
	}
	defer w.Close()
	all, err := dump(w, getService, nil, parseServer)
	if err != nil {
		return nil, err
	}
	var servers []Server
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.Destinations, err = dump(w, getDest, serviceOf(state.VirtualServer{Proto: string(s.Proto), Addr: s.Addr}), parseDestination)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) { // gone meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		slices.SortFunc(s.Destinations, func(a, b Destination) int { return a.Addr.Compare(b.Addr) })
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b Server) int { return a.Addr.Compare(b.Addr) })
	return servers, nil
}

// parseServer passes over services that are not ours.
func parseServer(message []byte) (Server, bool) {
	s, t := parseService(message)
	if !isOurs(&s) || s.Address == nil && s.FWMark == 0 {
		return Server{}, false
	}
	v := virtualOf(&s)
	return Server{Proto: mesh.Protocol(v.Proto), Addr: v.Addr, Scheduler: v.Scheduler, Traffic: t}, true
}

func parseDestination(message []byte) (Destination, bool) {
	d, t := parseDest(message)
	return Destination{
		Addr: addressOf(&d), Weight: d.Weight, Active: uint32(d.ActiveConnections), Inactive: uint32(d.InactiveConnections), Traffic: t,
	}, d.Address != nil
}
