package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// HairpinTable is the nf_tables table of the family ip, in the mesh's namespace, that Hairpin is.
const HairpinTable = Namespace

// Hairpin is for packets that a member of a network has sent to a VIP and that IPVS leads back
// to itself: to the member they would come from its own address. They get the source Source,
// which no link has, and what is sent there goes back to its sender.
type Hairpin struct {
	Source netip.Addr
	// Members are the addresses that this is for, sorted, with spaces between them.
	Members string
	Fault   string
}

// Key implements Object.
func (Hairpin) Key() Key { return Key{Kind: KindHairpin, NS: Mesh} }
func (h Hairpin) String() string {
	return faulty(fmt.Sprintf("nf_tables table ip %s (source %s)", HairpinTable, h.Source), h.Fault)
}

// Parent implements Object.
func (Hairpin) Parent() Key { return parentOf(Mesh, "") }

// Missing implements Object.
func (h Hairpin) Missing() string {
	return fmt.Sprintf("The nf_tables table ip %s is missing, without which no endpoint reaches itself by its service's VIP.", HairpinTable)
}

// Extra implements Object.
func (h Hairpin) Extra() string {
	return fmt.Sprintf("There is an nf_tables table ip %s that the record does not ask for.", HairpinTable)
}

// Differs implements Object: it names the first address that differs.
func (h Hairpin) Differs(have Object) string {
	was, ok := have.(Hairpin)
	if !ok || was.Fault != "" || was.Source != h.Source {
		return differs(h, have)
	}
	is, wanted := strings.Fields(was.Members), strings.Fields(h.Members)
	if address, lacks := firstNotIn(wanted, is); lacks {
		return fmt.Sprintf("The nf_tables table ip %s lacks %s, which does not reach itself by its service's VIP.", HairpinTable, address)
	}
	address, _ := firstNotIn(is, wanted)
	return fmt.Sprintf("The nf_tables table ip %s has %s, which the record does not ask for.", HairpinTable, address)
}

func (h Hairpin) fault() string { return h.Fault }
