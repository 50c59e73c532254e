package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
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

// Servers reads the IPVS services of the mesh's namespace with their counters,
// sorted by address; none where there is no namespace, or no IPVS. Not through
// moby/ipvs: its counters have 32 bits, and are round after an hour of traffic.
// The kernel sums them up every two seconds (ip_vs_est), so they lag that much;
// the connections of this moment do not.
func (k *Kernel) Servers(ctx context.Context) ([]Server, error) {
	if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
		return nil, err
	}
	var servers []Server
	err := k.withMesh(func(ns netns.Handle) error {
		c, err := openCounters(ns)
		if err != nil || c == nil {
			return err
		}
		defer c.close()
		servers, err = c.servers(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of IPVS: %w", err)
	}
	return servers, nil
}

// counters is a generic netlink socket that asks IPVS.
type counters struct {
	family  uint16
	sockets map[int]*nl.SocketHandle
}

// openCounters returns nil where the kernel has no IPVS.
func openCounters(ns netns.Handle) (*counters, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	family, err := h.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := nlmsg.Socket(ns, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	return &counters{family.ID, map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: {Socket: s}}}, nil
}

func (c *counters) close() { c.sockets[unix.NETLINK_GENERIC].Close() }

// Of include/uapi/linux/ip_vs.h: commands, and attributes of a command, a
// service, a destination and of statistics.
const (
	ipvsGetService, ipvsGetDest   = 4, 8
	ipvsAttrService, ipvsAttrDest = 1, 2

	serviceFamily, serviceProtocol, serviceAddr, servicePort = 1, 2, 3, 4
	serviceMark, serviceScheduler, serviceStats64            = 5, 6, 12

	destAddr, destPort, destWeight        = 1, 2, 4
	destActive, destInactive, destStats64 = 7, 8, 12

	statsConnections, statsPacketsIn, statsPacketsOut, statsBytesIn, statsBytesOut = 1, 2, 3, 4, 5
)

func (c *counters) dump(command uint8, data ...nl.NetlinkRequestData) ([][]byte, error) {
	return nlmsg.List("IPVS", func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(int(c.family), unix.NLM_F_DUMP)
		req.Sockets = c.sockets
		req.AddData(&nl.Genlmsg{Command: command, Version: 1})
		for _, d := range data {
			req.AddData(d)
		}
		return req.Execute(unix.NETLINK_GENERIC, 0)
	})
}

func (c *counters) servers(ctx context.Context) ([]Server, error) {
	answer, err := c.dump(ipvsGetService)
	if err != nil {
		return nil, err
	}
	var servers []Server
	for _, message := range answer {
		s, ok := parseServer(message)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dests, err := c.dump(ipvsGetDest, serviceAttr(s))
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) { // gone meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range dests {
			if d, ok := parseDestination(m); ok {
				s.Destinations = append(s.Destinations, d)
			}
		}
		slices.SortFunc(s.Destinations, func(a, b Destination) int { return a.Addr.Compare(b.Addr) })
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b Server) int { return a.Addr.Compare(b.Addr) })
	return servers, nil
}

func serviceAttr(s Server) *nl.RtAttr {
	port := binary.BigEndian.AppendUint16(nil, s.Addr.Port())
	attr := nl.NewRtAttr(ipvsAttrService|unix.NLA_F_NESTED, nil)
	attr.AddRtAttr(serviceFamily, nl.Uint16Attr(unix.AF_INET))
	attr.AddRtAttr(serviceProtocol, nl.Uint16Attr(protocolNumber(string(s.Proto))))
	attr.AddRtAttr(serviceAddr, append(s.Addr.Addr().AsSlice(), make([]byte, 12)...)) // a union nf_inet_addr
	attr.AddRtAttr(servicePort, port)
	return attr
}
