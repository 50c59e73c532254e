// Package refusal keeps a network namespace from refusing connections for a moment.
package refusal

import (
	"encoding/binary"
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// table drops the ICMP errors "port unreachable" that the namespace sends:
//
//	table ip routingmesh-change {
//		flags owner
//		chain out { type filter hook output priority 0; icmp type 3 icmp code 3 drop }
//	}
//
// The kernel removes a table with an owner when the owner's socket is closed, so a crash
// leaves nothing behind.
var table = &nftables.Table{Name: "routingmesh-change", Family: nftables.TableFamilyIPv4}

// Withhold does something while no connection that meets nobody is refused. Its first packet is
// dropped instead, and comes again after a second, when there may be somebody. On a kernel that
// knows no owners of tables (before Linux 5.12), or no nf_tables, do is all that happens.
func Withhold(s *netns.Space, do func() error) error {
	c, socket, err := nlmsg.OpenNFTables(s)
	if err != nil {
		return err
	}
	if err = own(socket); err == nil {
		policy := nftables.ChainPolicyAccept
		out := c.AddChain(&nftables.Chain{Table: table, Name: "out", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &policy})
		c.AddRule(&nftables.Rule{Table: table, Chain: out, Exprs: portUnreachable()})
		err = c.Flush()
	}
	if err == nil || nlmsg.LacksNFTables(err) {
		err = do()
	}
	return errors.Join(err, c.CloseLasting())
}

// portUnreachable drops these ICMP errors (type 3, code 3).
func portUnreachable() []expr.Any {
	const register = unix.NFT_REG_1
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{unix.IPPROTO_ICMP}},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{3, 3}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// own makes the table with the socket as its owner, which the library has no word for.
func own(c *netlink.Conn) error {
	const owner = 2 // NFT_TABLE_F_OWNER
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: []byte(table.Name + "\x00")},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, owner)},
	})
	if err != nil {
		return err
	}
	message := func(kind netlink.HeaderType, flags netlink.HeaderFlags, family byte, id uint16, data []byte) netlink.Message {
		header := binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, id)
		return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | flags}, Data: append(header, data...)}
	}
	const subsystem = unix.NFNL_SUBSYS_NFTABLES
	_, err = c.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, subsystem, nil),
		message(subsystem<<8|unix.NFT_MSG_NEWTABLE, netlink.Acknowledge|netlink.Create, unix.NFPROTO_IPV4, 0, attributes),
		message(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, subsystem, nil),
	})
	if err != nil {
		return err
	}
	_, err = c.Receive()
	return err
}
