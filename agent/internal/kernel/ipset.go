package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ipset speaks the kernel's ipset protocol, as far as bitmap:port and hash:ip
// need it. netlink has one too, but it panics on an error that is no errno,
// writes to the log what it does not know about a newer kernel's sets, and can
// only list a set with all its members: somebody else's may have a million.
type ipset struct {
	socket map[int]*nl.SocketHandle
}

// Of include/uapi/linux/netfilter/ipset/ip_set.h.
const (
	listNamesOnly = 1 << 1 // IPSET_FLAG_LIST_SETNAME
	listHeader    = 1 << 2 // IPSET_FLAG_LIST_HEADER
	netOrder      = unix.NLA_F_NET_BYTEORDER
	nested        = unix.NLA_F_NESTED
	attrTypeMask  = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

func newIPSet(ns netns.NsHandle) (*ipset, error) {
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for ipset: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	if err := errors.Join(s.SetSendTimeout(&timeout), s.SetReceiveTimeout(&timeout)); err != nil {
		s.Close()
		return nil, err
	}
	return &ipset{socket: map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}}, nil
}

func (s *ipset) close() { s.socket[unix.NETLINK_NETFILTER].Close() }

// execute sends one command. Without NLM_F_EXCL the kernel takes what is already
// so as done: a member that is in, or out, and a set that is there.
func (s *ipset) execute(command int, data ...nl.NetlinkRequestData) ([][]byte, error) {
	req := &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{
			Len:   unix.SizeofNlMsghdr,
			Type:  uint16(command | unix.NFNL_SUBSYS_IPSET<<8),
			Flags: unix.NLM_F_REQUEST | uint16(nl.GetIpsetFlags(command)),
		},
		Sockets: s.socket,
	}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, nl.Uint8Attr(nl.IPSET_PROTOCOL)))
	for _, d := range data {
		req.AddData(d)
	}
	answer, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	var errno syscall.Errno
	if errors.As(err, &errno) && int(errno) >= nl.IPSET_ERR_PRIVATE {
		err = nl.IPSetError(uintptr(errno))
	}
	return answer, err
}

func setName(name string) *nl.RtAttr {
	return nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name))
}

func (s *ipset) names() ([]string, error) {
	answer, err := s.execute(nl.IPSET_CMD_LIST,
		nl.NewRtAttr(nl.IPSET_ATTR_FLAGS|netOrder, nl.BEUint32Attr(listNamesOnly)))
	var names []string
	for _, message := range answer {
		for typ, value := range setAttrs(message) {
			if typ == nl.IPSET_ATTR_SETNAME {
				names = append(names, nl.BytesToString(value))
			}
		}
	}
	return names, err
}

// size is the number of members of a set, without listing them. A kernel that
// does not tell it is taken to say 0 of every set.
func (s *ipset) size(name string) (n uint32, err error) {
	answer, err := s.execute(nl.IPSET_CMD_LIST, setName(name),
		nl.NewRtAttr(nl.IPSET_ATTR_FLAGS|netOrder, nl.BEUint32Attr(listHeader)))
	for _, message := range answer {
		for typ, value := range setAttrs(message) {
			if typ != nl.IPSET_ATTR_DATA {
				continue
			}
			for typ, value := range attrs(value) {
				if typ == nl.IPSET_ATTR_ELEMENTS && len(value) == 4 {
					n = binary.BigEndian.Uint32(value)
				}
			}
		}
	}
	return n, err
}

// members lists a set; a large one comes in several messages.
func (s *ipset) members(name string) (state.Set, []state.SetMember, error) {
	set := state.Set{Name: name}
	var members []state.SetMember
	answer, err := s.execute(nl.IPSET_CMD_LIST, setName(name))
	for _, message := range answer {
		for typ, value := range setAttrs(message) {
			switch typ {
			case nl.IPSET_ATTR_TYPENAME:
				set.Type = state.SetType(nl.BytesToString(value))
			case nl.IPSET_ATTR_DATA:
				set.Fault = setFault(value)
			case nl.IPSET_ATTR_ADT:
				for _, entry := range attrs(value) {
					members = append(members, memberOf(name, entry))
				}
			}
		}
	}
	return set, members, err
}

// setFault finds what a set made by somebody else may have differently.
func setFault(header []byte) string {
	from, to := uint16(0), uint16(65535)
	for typ, value := range attrs(header) {
		switch typ {
		case nl.IPSET_ATTR_TIMEOUT:
			return "its members time out"
		case nl.IPSET_ATTR_PORT_FROM:
			from = binary.BigEndian.Uint16(value)
		case nl.IPSET_ATTR_PORT_TO:
			to = binary.BigEndian.Uint16(value)
		}
	}
	if from != 0 || to != 65535 {
		return fmt.Sprintf("only for ports %d-%d", from, to)
	}
	return ""
}

func memberOf(set string, entry []byte) state.SetMember {
	m := state.SetMember{Set: set}
	for typ, value := range attrs(entry) {
		switch typ {
		case nl.IPSET_ATTR_PORT:
			m.Port = binary.BigEndian.Uint16(value)
		case nl.IPSET_ATTR_IP:
			for _, ip := range attrs(value) {
				m.Addr, _ = netip.AddrFromSlice(ip)
			}
		}
	}
	return m
}

func (s *ipset) create(set state.Set) error {
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|nested, nil)
	family, revision := byte(unix.AF_UNSPEC), byte(0)
	switch set.Type {
	case state.BitmapPort:
		data.AddRtAttr(nl.IPSET_ATTR_PORT_FROM|netOrder, nl.BEUint16Attr(0))
		data.AddRtAttr(nl.IPSET_ATTR_PORT_TO|netOrder, nl.BEUint16Attr(65535))
	case state.HashIP:
		family, revision = unix.AF_INET, 1
	}
	_, err := s.execute(nl.IPSET_CMD_CREATE, setName(set.Name),
		nl.NewRtAttr(nl.IPSET_ATTR_TYPENAME, nl.ZeroTerminated(string(set.Type))),
		nl.NewRtAttr(nl.IPSET_ATTR_REVISION, nl.Uint8Attr(revision)),
		nl.NewRtAttr(nl.IPSET_ATTR_FAMILY, nl.Uint8Attr(family)),
		data)
	return err
}

func (s *ipset) destroy(name string) error {
	_, err := s.execute(nl.IPSET_CMD_DESTROY, setName(name))
	return err
}

// swap exchanges what two sets hold, while rules go on to refer to both.
func (s *ipset) swap(a, b string) error {
	_, err := s.execute(nl.IPSET_CMD_SWAP, setName(a), nl.NewRtAttr(nl.IPSET_ATTR_SETNAME2, nl.ZeroTerminated(b)))
	return err
}

func (s *ipset) add(m state.SetMember) error {
	_, err := s.execute(nl.IPSET_CMD_ADD, setName(m.Set), memberData(m))
	return err
}

func (s *ipset) del(m state.SetMember) error {
	_, err := s.execute(nl.IPSET_CMD_DEL, setName(m.Set), memberData(m))
	return err
}

func memberData(m state.SetMember) *nl.RtAttr {
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|nested, nil)
	if m.Addr.IsValid() {
		ip := data.AddRtAttr(nl.IPSET_ATTR_IP|nested, nil)
		ip.AddRtAttr(nl.IPSET_ATTR_IPADDR_IPV4|netOrder, m.Addr.AsSlice())
	} else {
		data.AddRtAttr(nl.IPSET_ATTR_PORT|netOrder, nl.BEUint16Attr(m.Port))
	}
	return data
}

// setAttrs are the attributes of a message, after the netfilter header.
func setAttrs(message []byte) iter.Seq2[uint16, []byte] {
	if len(message) < nl.SizeofNfgenmsg {
		return attrs(nil)
	}
	return attrs(message[nl.SizeofNfgenmsg:])
}

// attrs walks over netlink attributes: type without flags, and value.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
		}
	}
}
