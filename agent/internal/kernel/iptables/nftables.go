package iptables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// Of include/uapi/linux/netfilter/nf_tables.h and nfnetlink.h.
const (
	nftSubsystem    = 10
	nftDelTable     = 2
	nftDelChain     = 5
	nftTableName    = 1
	nftChainTable   = 1
	nftChainName    = 3
	batchBegin      = 16
	batchEnd        = 17
	notRecursive    = 0x100 // NLM_F_NONREC
	nftGetGen       = 16
	nftGenID        = 1
	maxBatchAnswers = 32
)

// dropTable deletes an empty table of the family ip: its built-in chains, of
// which iptables-save also prints those that iptables-nft has not made yet
// (ENOENT), then itself. With NLM_F_NONREC the kernel refuses (EBUSY) what holds
// something: if anybody has put it in since we looked, it is theirs and stays. A
// table of iptables-legacy is not known to nf_tables: it belongs to the loaded
// module, and stays as well.
func dropTable(ns netns.Handle, table string, chains []string) error {
	s, err := nlmsg.Socket(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer s.Close()
	name := func(attr int, value string) []byte { return nl.NewRtAttr(attr, nl.ZeroTerminated(value)).Serialize() }
	for _, c := range chains {
		err := transact(s.GetFd(), nftDelChain, slices.Concat(name(nftChainTable, table), name(nftChainName, c)))
		if errors.Is(err, unix.EBUSY) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	err = transact(s.GetFd(), nftDelTable, name(nftTableName, table))
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func nftMessage(typ, flags uint16, family byte, resource uint16, attrs []byte) []byte {
	var b bytes.Buffer
	for _, v := range []any{uint32(unix.SizeofNlMsghdr + 4 + len(attrs)), typ, unix.NLM_F_REQUEST | flags, uint32(0), uint32(0), family, byte(0)} {
		_ = binary.Write(&b, binary.NativeEndian, v) // into memory
	}
	_ = binary.Write(&b, binary.BigEndian, resource)
	b.Write(attrs)
	return b.Bytes()
}

// transact makes one change, which nf_tables takes in a batch only, and returns
// what the kernel says to it.
func transact(fd, change int, attrs []byte) error {
	batch := slices.Concat(
		nftMessage(batchBegin, 0, unix.AF_UNSPEC, nftSubsystem, nil),
		nftMessage(uint16(nftSubsystem<<8|change), notRecursive|unix.NLM_F_ACK, unix.AF_INET, 0, attrs),
		nftMessage(batchEnd, 0, unix.AF_UNSPEC, nftSubsystem, nil),
	)
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for range maxBatchAnswers {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofNlMsghdr+4; {
			length := binary.NativeEndian.Uint32(rest)
			if binary.NativeEndian.Uint16(rest[4:]) == unix.NLMSG_ERROR {
				code := int32(binary.NativeEndian.Uint32(rest[unix.SizeofNlMsghdr:])) // an errno, negated
				if code != 0 {
					return unix.Errno(-code)
				}
				return nil
			}
			if length < unix.SizeofNlMsghdr || int(length) > len(rest) {
				break
			}
			rest = rest[length:]
		}
	}
	return errors.New("the kernel did not answer the nf_tables transaction")
}

// generation is a number that every change of the tables of a namespace raises.
func generation(fd int) (number uint32, err error) {
	request := nftMessage(nftSubsystem<<8|nftGetGen, 0, unix.AF_UNSPEC, 0, nil)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var buf [512]byte
	n, _, err := unix.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return 0, err
	}
	for m := range nlmsg.Messages(buf[:n]) {
		if m.Type == unix.NLMSG_ERROR || len(m.Body) < nl.SizeofNfgenmsg {
			break
		}
		for typ, value := range nlmsg.Attrs(m.Body[nl.SizeofNfgenmsg:]) {
			if typ == nftGenID && len(value) == 4 {
				return binary.BigEndian.Uint32(value), nil
			}
		}
	}
	return 0, errors.New("the kernel did not tell nf_tables' generation")
}
