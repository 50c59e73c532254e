package ipset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Conn is a socket for the sets of one namespace. It is not for use by several goroutines
// at once.
type Conn struct {
	conn *nlmsg.Conn
	ns   state.NS
}

// Of include/uapi/linux/netfilter/ipset/ip_set.h.
const (
	listNamesOnly = 1 << 1 // IPSET_FLAG_LIST_SETNAME
	listHeader    = 1 << 2 // IPSET_FLAG_LIST_HEADER
	netOrder      = unix.NLA_F_NET_BYTEORDER
	nested        = unix.NLA_F_NESTED
)

// Open opens a socket in a namespace, which is the host's or the mesh's.
func Open(ns netns.Handle, which state.NS) (*Conn, error) {
	conn, err := nlmsg.Dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for ipset: %w", err)
	}
	return &Conn{conn, which}, nil
}

// Close gives back the socket.
func (s *Conn) Close() { s.conn.Close() }

// message begins a command on a set; "" for all. Without NLM_F_EXCL the kernel
// takes what is already so as done: a member that is in, or out, and a set that is
// there.
func (s *Conn) message(command int, set string) {
	flags := uint16(nl.GetIpsetFlags(command)) &^ unix.NLM_F_ACK
	s.conn.Message(uint16(command|unix.NFNL_SUBSYS_IPSET<<8), flags, unix.AF_INET, nl.NFNETLINK_V0, 0, 0)
	s.conn.Attr(nl.IPSET_ATTR_PROTOCOL, nl.IPSET_PROTOCOL)
	if set != "" {
		s.conn.AttrText(nl.IPSET_ATTR_SETNAME, set)
	}
}

// do sends one command; each is shown the attributes of the answers.
func (s *Conn) do(each func(attributes iter.Seq2[uint16, []byte])) error {
	if each == nil {
		return setError(s.conn.Do(nil))
	}
	return setError(s.conn.Do(func(message []byte) { each(nlmsg.NetfilterAttrs(message)) }))
}

// setError has words for ipset's own errors.
func setError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) && int(errno) >= nl.IPSET_ERR_PRIVATE {
		return nl.IPSetError(uintptr(errno))
	}
	return err
}

// listFlags asks for less than everything.
func (s *Conn) listFlags(flags uint32) {
	at := s.conn.Nest(nl.IPSET_ATTR_FLAGS | netOrder)
	s.conn.Append(binary.BigEndian.AppendUint32(nil, flags)...)
	s.conn.End(at)
}

// Names lists the sets of everybody.
func (s *Conn) Names() (names []string, err error) {
	s.message(nl.IPSET_CMD_LIST, "")
	s.listFlags(listNamesOnly)
	err = s.do(func(attributes iter.Seq2[uint16, []byte]) {
		for typ, value := range attributes {
			if typ == nl.IPSET_ATTR_SETNAME {
				names = append(names, nlmsg.Text(value))
			}
		}
	})
	return names, err
}

// Size is the number of members of a set, without listing them. A kernel that
// does not tell it is taken to say 0 of every set.
func (s *Conn) Size(name string) (n uint32, err error) {
	s.message(nl.IPSET_CMD_LIST, name)
	s.listFlags(listHeader)
	err = s.do(func(attributes iter.Seq2[uint16, []byte]) {
		for typ, value := range attributes {
			if typ == nl.IPSET_ATTR_DATA {
				n = elements(value)
			}
		}
	})
	return n, err
}

// List shows the members of a set; a large one comes in several messages.
func (s *Conn) List(name string, each func(state.SetMember)) (state.Set, error) {
	set := state.Set{NS: s.ns, Name: name}
	s.message(nl.IPSET_CMD_LIST, name)
	err := s.conn.Do(func(message []byte) { parse(&set, message, each) })
	return set, setError(err)
}

// Has says whether a set has the member; false without the set.
func (s *Conn) Has(m state.SetMember) (bool, error) {
	s.message(nl.IPSET_CMD_TEST, m.Set)
	s.memberData(m)
	err := s.do(nil)
	return err == nil, nlmsg.Ignore(err, nl.IPSetError(nl.IPSET_ERR_EXIST), unix.ENOENT)
}

// maxPairs is how many pairs fit into a set: the kernel's default of 65,536 is 5,000 ports
// with 13 networks each.
const maxPairs = 1 << 20

// Create makes an empty set; one that is there already is left as it is.
func (s *Conn) Create(set state.Set) error {
	family, revision, name := byte(unix.AF_INET), byte(0), string(set.Type)
	switch set.Type { // the revision is the first with what we use of it
	case state.BitmapPort:
		family = unix.AF_UNSPEC
	case state.HashIP, state.HashIPPort:
		revision = 1
	case state.HashNetPort:
		revision = 3
	case state.HashIPSkbinfo:
		revision, name = 4, string(state.HashIP)
	}
	s.message(nl.IPSET_CMD_CREATE, set.Name)
	s.conn.AttrText(nl.IPSET_ATTR_TYPENAME, name)
	s.conn.Attr(nl.IPSET_ATTR_REVISION, revision)
	s.conn.Attr(nl.IPSET_ATTR_FAMILY, family)
	data := s.conn.Nest(nl.IPSET_ATTR_DATA | nested)
	switch set.Type {
	case state.BitmapPort:
		s.conn.AttrPort(nl.IPSET_ATTR_PORT_FROM|netOrder, 0)
		s.conn.AttrPort(nl.IPSET_ATTR_PORT_TO|netOrder, 65535)
	case state.HashNetPort, state.HashIPMark, state.HashIPPort:
		s.conn.Attr(nl.IPSET_ATTR_MAXELEM|netOrder, binary.BigEndian.AppendUint32(nil, maxPairs)...)
	case state.HashIPSkbinfo:
		s.conn.Attr(nl.IPSET_ATTR_CADT_FLAGS|netOrder, binary.BigEndian.AppendUint32(nil, nl.IPSET_FLAG_WITH_SKBINFO)...)
	}
	s.conn.End(data)
	return s.do(nil)
}

// Destroy removes a set with its members.
func (s *Conn) Destroy(name string) error {
	s.message(nl.IPSET_CMD_DESTROY, name)
	return s.do(nil)
}

// Swap exchanges what two sets hold, while rules go on to refer to both.
func (s *Conn) Swap(a, b string) error {
	s.message(nl.IPSET_CMD_SWAP, a)
	s.conn.AttrText(nl.IPSET_ATTR_SETNAME2, b)
	return s.do(nil)
}

// Add adds a member that may be in already, Delete removes one that may be out.
func (s *Conn) Add(m state.SetMember) error {
	s.change(nl.IPSET_CMD_ADD, m)
	return s.do(nil)
}

// Delete is described with Add.
func (s *Conn) Delete(m state.SetMember) error {
	s.change(nl.IPSET_CMD_DEL, m)
	return s.do(nil)
}

// Bulk adds members, or removes them, at once and returns the ops that have to be
// done one by one.
func (s *Conn) Bulk(ops []state.Op) (left []state.Op) {
	first := s.conn.NextSeq()
	for _, op := range ops {
		m, _ := op.Object().(state.SetMember)
		command := nl.IPSET_CMD_ADD
		if op.Action == state.Remove {
			command = nl.IPSET_CMD_DEL
		}
		s.change(command, m)
	}
	failed, err := s.conn.Exchange(nil)
	if err != nil {
		return ops
	}
	for i, op := range ops {
		if failed[first+uint32(i)] != nil {
			left = append(left, op)
		}
	}
	return left
}

// protocolOf is that of a member of a set of addresses, or networks, and ports: its own, in
// a set of both, else the set's.
func protocolOf(m state.SetMember) uint8 {
	if m.Set == state.AllowUDP || m.Proto == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// change puts a member's addition or removal into the batch.
func (s *Conn) change(command int, m state.SetMember) {
	s.message(command, m.Set)
	s.memberData(m)
}

func (s *Conn) memberData(m state.SetMember) {
	data := s.conn.Nest(nl.IPSET_ATTR_DATA | nested)
	if m.Bits != 0 {
		s.conn.Attr(nl.IPSET_ATTR_CIDR, m.Bits)
	}
	if m.Bits != 0 || m.Set == state.OpenSet {
		s.conn.Attr(nl.IPSET_ATTR_PROTO, protocolOf(m))
		s.conn.AttrPort(nl.IPSET_ATTR_PORT|netOrder, m.Port)
	}
	switch m.Set {
	case state.PeerSet:
		s.conn.Attr(nl.IPSET_ATTR_MARK|netOrder, binary.BigEndian.AppendUint32(nil, m.Mark)...)
	case state.IdentitySet, state.VIPSet:
		mark := binary.BigEndian.AppendUint32(nil, m.Mark)
		s.conn.Attr(nl.IPSET_ATTR_SKBMARK|netOrder, append(mark, 0xff, 0xff, 0xff, 0xff)...) // and its mask
	}
	if m.Addr.IsValid() {
		ip, addr := s.conn.Nest(nl.IPSET_ATTR_IP|nested), m.Addr.As4()
		s.conn.Attr(nl.IPSET_ATTR_IPADDR_IPV4|netOrder, addr[:]...)
		s.conn.End(ip)
	} else {
		s.conn.AttrPort(nl.IPSET_ATTR_PORT|netOrder, m.Port)
		if m.Last != 0 {
			s.conn.AttrPort(nl.IPSET_ATTR_PORT_TO|netOrder, m.Last)
		}
	}
	s.conn.End(data)
}
