package ipvs

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Load is a destination's connections of this moment: Active are established,
// Inactive are opening or closing (for udp: all).
type Load struct{ Active, Inactive uint32 }

// Loads reads the connections of every destination in the calling thread's namespace,
// by the key of its state.RealServer; a destination that is not in it is not there. It is
// one read of a file. complete is false where that has passed over services, see
// readDestinations.
func Loads() (loads map[state.Key]Load, complete bool, err error) {
	all, err := serviceCount()
	if err != nil {
		return nil, false, err
	}
	seen := 0
	loads = map[state.Key]Load{}
	err = readDestinations(func(string, netip.AddrPort) { seen++ }, func(r listed) { loads[r.Key()] = r.load })
	return loads, seen >= all, err
}
