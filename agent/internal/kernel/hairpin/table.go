package hairpin

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

const (
	members   = "members"
	out, back = "out", "back"

	// Registers of 16 and 4 bytes (NFT_REG_1, NFT_REG32_01): the second begins where 4 bytes
	// in the first end.
	first, afterFirst = unix.NFT_REG_1, unix.NFT_REG32_01
	// Offsets in the header of IPv4.
	checksumAt, sourceAt, destinationAt, addressSize = 10, 12, 16, 4
)

var table = &nftables.Table{Name: state.HairpinTable, Family: nftables.TableFamilyIPv4}

// chains are the two, without their rules.
func chains() []*nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return []*nftables.Chain{
		{Table: table, Name: out, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(150), Policy: &accept},
		{Table: table, Name: back, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-350), Policy: &accept},
	}
}

// rules are what the chains do, one rule each.
func rules(source netip.Addr) map[string][]expr.Any {
	address := source.As4()
	return map[string][]expr.Any{
		out: {
			load(sourceAt, first), load(destinationAt, afterFirst),
			&expr.Lookup{SourceRegister: first, SetName: members},
			&expr.Immediate{Register: first, Data: address[:]}, write(sourceAt),
		},
		back: {
			load(destinationAt, first),
			&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: address[:]},
			load(sourceAt, first), write(destinationAt),
		},
	}
}

func load(at, register uint32) *expr.Payload {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: addressSize}
}

// write puts what is in the first register into the packet.
func write(at uint32) *expr.Payload {
	return &expr.Payload{
		OperationType: expr.PayloadWrite, SourceRegister: first, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: addressSize,
		CsumType: expr.CsumTypeInet, CsumOffset: checksumAt, CsumFlags: unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR,
	}
}

// sourceOf is the address that a rule of out puts into packets, not valid for another rule.
func sourceOf(rule []expr.Any) netip.Addr {
	for _, e := range rule {
		if i, ok := e.(*expr.Immediate); ok && len(i.Data) == addressSize {
			return netip.AddrFrom4([addressSize]byte(i.Data))
		}
	}
	return netip.Addr{}
}

// set has pairs of an address with itself. nft, too, gives the kernel no description of a
// concatenation without intervals.
func set() *nftables.Set {
	return &nftables.Set{Table: table, Name: members, KeyType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)}
}

func elements(h state.Hairpin) (all []nftables.SetElement, err error) {
	for text := range strings.FieldsSeq(h.Members) {
		address, err := netip.ParseAddr(text)
		if err != nil || !address.Is4() {
			return nil, fmt.Errorf("%s: %q is not an IPv4 address", h, text)
		}
		a := address.As4()
		all = append(all, nftables.SetElement{Key: append(a[:], a[:]...)})
	}
	return all, nil
}

// membersOf is false for elements that elements does not make.
func membersOf(all []nftables.SetElement) (addresses []netip.Addr, ok bool) {
	for _, e := range all {
		if len(e.Key) != 2*addressSize || [addressSize]byte(e.Key) != [addressSize]byte(e.Key[addressSize:]) {
			return nil, false
		}
		addresses = append(addresses, netip.AddrFrom4([addressSize]byte(e.Key)))
	}
	return addresses, true
}
