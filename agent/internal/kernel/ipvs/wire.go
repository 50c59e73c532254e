package ipvs

import (
	"encoding/binary"
	"errors"
	"net"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Of include/uapi/linux/ip_vs.h: commands, and attributes of a command, a service, a
// destination and of statistics.
const (
	genlVersion = 1

	newService, delService, getService = 1, 3, 4
	newDest, delDest, getDest          = 5, 7, 8

	attrService, attrDest = 1, 2

	serviceFamily, serviceProtocol, serviceAddr, servicePort = 1, 2, 3, 4
	serviceMark, serviceScheduler, serviceFlags              = 5, 6, 7
	serviceTimeout, serviceNetmask, serviceStats64           = 8, 9, 12

	destAddr, destPort, destForward, destWeight = 1, 2, 3, 4
	destUpper, destLower                        = 5, 6
	destActive, destInactive, destStats64       = 7, 8, 12

	statsConnections, statsPacketsIn, statsPacketsOut, statsBytesIn, statsBytesOut = 1, 2, 3, 4, 5
)

// native is the byte order of what is no port.
var native = binary.NativeEndian

// wire is a generic netlink socket that IPVS answers.
type wire struct {
	*nlmsg.Conn
	family uint16 // IPVS's in generic netlink
}

// dial opens one in a namespace; there is false where the kernel has no IPVS.
func dial(ns netns.Handle, generic *netlink.Handle) (w *wire, there bool, err error) {
	family, err := generic.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	c, err := nlmsg.Dial(ns, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, false, err
	}
	return &wire{c, family.ID}, true, nil
}

// service and dest put one request into the batch.
func (w *wire) service(command byte, s *moby.Service) {
	w.Message(w.family, 0, command, genlVersion, 0, 0)
	putService(&w.Batch, s, command == newService)
}

func (w *wire) dest(command byte, s *moby.Service, d *moby.Destination) {
	w.Message(w.family, 0, command, genlVersion, 0, 0)
	putService(&w.Batch, s, false)
	putDest(&w.Batch, d)
}

// dump asks for a list, of services or of one's destinations, and returns what parse
// makes of it.
func dump[T any](w *wire, command byte, of *moby.Service, parse func(message []byte) (T, bool)) ([]T, error) {
	return nlmsg.List("IPVS", func() (all []T, err error) {
		w.Message(w.family, unix.NLM_F_DUMP, command, genlVersion, 0, 0)
		if of != nil {
			putService(&w.Batch, of, false)
		}
		err = w.Do(func(message []byte) {
			if t, ok := parse(message); ok {
				all = append(all, t)
			}
		})
		return all, err
	})
}

// putService names a service, or with all of it asks for one.
func putService(b *nlmsg.Batch, s *moby.Service, all bool) {
	at := b.Nest(attrService | unix.NLA_F_NESTED)
	b.Attr16(serviceFamily, s.AddressFamily)
	if s.FWMark != 0 {
		b.Attr32(serviceMark, s.FWMark)
	} else {
		b.Attr16(serviceProtocol, s.Protocol)
		b.Attr(serviceAddr, s.Address...)
		b.AttrPort(servicePort, s.Port)
	}
	if all {
		b.AttrText(serviceScheduler, s.SchedName)
		flags := b.Nest(serviceFlags)
		b.Append(native.AppendUint32(native.AppendUint32(nil, s.Flags), ^uint32(0))...) // and their mask
		b.End(flags)
		b.Attr32(serviceTimeout, s.Timeout)
		b.Attr32(serviceNetmask, s.Netmask)
	}
	b.End(at)
}

func putDest(b *nlmsg.Batch, d *moby.Destination) {
	at := b.Nest(attrDest | unix.NLA_F_NESTED)
	b.Attr(destAddr, d.Address...)
	b.AttrPort(destPort, d.Port)
	b.Attr32(destForward, d.ConnectionFlags&moby.ConnectionFlagFwdMask)
	b.Attr32(destWeight, uint32(d.Weight))
	b.Attr32(destUpper, d.UpperThreshold)
	b.Attr32(destLower, d.LowerThreshold)
	b.End(at)
}

// parseService reads a service and what it has counted. Its address is part of the
// message.
func parseService(message []byte) (s moby.Service, t mesh.Traffic) {
	for typ, value := range nlmsg.Attrs(commandAttr(message, attrService)) {
		switch typ {
		case serviceFamily:
			s.AddressFamily = nlmsg.Uint16(value)
		case serviceProtocol:
			s.Protocol = nlmsg.Uint16(value)
		case serviceAddr:
			s.Address = addressIn(value)
		case servicePort:
			s.Port = nlmsg.Port(value)
		case serviceMark:
			s.FWMark = nlmsg.Uint32(value)
		case serviceScheduler:
			s.SchedName = nlmsg.Text(value)
		case serviceFlags:
			s.Flags = nlmsg.Uint32(value)
		case serviceTimeout:
			s.Timeout = nlmsg.Uint32(value)
		case serviceNetmask:
			s.Netmask = nlmsg.Uint32(value)
		case serviceStats64:
			t = parseTraffic(value)
		}
	}
	return s, t
}

// parseDest reads a destination and what it has counted. Its address is part of the
// message.
func parseDest(message []byte) (d moby.Destination, t mesh.Traffic) {
	for typ, value := range nlmsg.Attrs(commandAttr(message, attrDest)) {
		switch typ {
		case destAddr:
			d.Address = addressIn(value)
		case destPort:
			d.Port = nlmsg.Port(value)
		case destForward:
			d.ConnectionFlags = nlmsg.Uint32(value)
		case destWeight:
			d.Weight = int(nlmsg.Uint32(value))
		case destActive:
			d.ActiveConnections = int(nlmsg.Uint32(value))
		case destInactive:
			d.InactiveConnections = int(nlmsg.Uint32(value))
		case destStats64:
			t = parseTraffic(value)
		}
	}
	return d, t
}

// addressIn is the IPv4 address in a union nf_inet_addr, nil where it is too short.
func addressIn(value []byte) net.IP {
	if len(value) < net.IPv4len {
		return nil
	}
	return value[:net.IPv4len]
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
