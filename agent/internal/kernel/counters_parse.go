package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// parseServer passes over services by firewall mark or of IPv6: not ours.
func parseServer(message []byte) (Server, bool) {
	s := Server{Proto: mesh.TCP}
	var addr netip.Addr
	var port, family uint16
	ours := true
	for typ, value := range nlmsg.Attrs(commandAttr(message, ipvsAttrService)) {
		switch typ {
		case serviceFamily:
			family = nlmsg.Uint16(value)
		case serviceProtocol:
			if nlmsg.Uint16(value) == unix.IPPROTO_UDP {
				s.Proto = mesh.UDP
			}
		case serviceAddr:
			addr = nlmsg.IPv4(value)
		case servicePort:
			port = nlmsg.Port(value)
		case serviceMark:
			ours = false
		case serviceScheduler:
			s.Scheduler = nlmsg.Text(value)
		case serviceStats64:
			s.Traffic = parseTraffic(value)
		}
	}
	s.Addr = netip.AddrPortFrom(addr, port)
	return s, ours && family == unix.AF_INET && addr.IsValid()
}

func parseDestination(message []byte) (Destination, bool) {
	var d Destination
	var addr netip.Addr
	var port uint16
	for typ, value := range nlmsg.Attrs(commandAttr(message, ipvsAttrDest)) {
		switch typ {
		case destAddr:
			addr = nlmsg.IPv4(value)
		case destPort:
			port = nlmsg.Port(value)
		case destWeight:
			d.Weight = int(nlmsg.Uint32(value))
		case destActive:
			d.Active = nlmsg.Uint32(value)
		case destInactive:
			d.Inactive = nlmsg.Uint32(value)
		case destStats64:
			d.Traffic = parseTraffic(value)
		}
	}
	d.Addr = netip.AddrPortFrom(addr, port)
	return d, addr.IsValid()
}

func parseTraffic(stats []byte) (t mesh.Traffic) {
	for typ, value := range nlmsg.Attrs(stats) {
		if len(value) < 8 {
			continue
		}
		n := binary.NativeEndian.Uint64(value)
		switch typ {
		case statsConnections:
			t.Connections = n
		case statsPacketsIn:
			t.PacketsIn = n
		case statsPacketsOut:
			t.PacketsOut = n
		case statsBytesIn:
			t.BytesIn = n
		case statsBytesOut:
			t.BytesOut = n
		}
	}
	return t
}

// commandAttr is what is nested in one attribute of a generic netlink message. What
// is too short reads as nothing.
func commandAttr(message []byte, which uint16) (nested []byte) {
	for typ, value := range nlmsg.Attrs(message[min(len(message), nl.SizeofGenlmsg):]) {
		if typ == which {
			return value
		}
	}
	return nil
}
