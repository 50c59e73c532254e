package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// closing is for how long connections that are opening or closing are waited for when
// none is established any more: IPVS keeps a closed one for a minute or two, which
// nobody needs.
const closing = 5 * time.Second

// drain is one destination of one published port on its way out.
type drain struct {
	Port     mesh.PortKey   `json:"port"`
	Service  string         `json:"service"`
	Endpoint string         `json:"endpoint"`
	Node     string         `json:"node"`
	Address  netip.AddrPort `json:"address"`
	// Deadline is when it is removed with what connections it still has, at most
	// TimeoutSeconds from now, whatever the clock does.
	Deadline       time.Time `json:"deadline"`
	TimeoutSeconds int       `json:"timeout_seconds"`
	// idle is since when none of its connections is established, as counted by
	// this process; zero while one is.
	idle time.Time
}

type drainKey struct {
	port    mesh.PortKey
	address netip.AddrPort
}

func (d drain) key() drainKey { return drainKey{d.Port, d.Address} }

func (d drain) timeout() time.Duration { return time.Duration(d.TimeoutSeconds) * time.Second }

// resumed counts the deadline by this process's clock, which does not jump.
func (d drain) resumed(now time.Time) drain {
	d.Deadline = now.Add(min(d.Deadline.Sub(now), d.timeout()))
	return d
}

// count notes how many connections there are, and says whether it is over.
func (d *drain) count(load kernel.Load, now time.Time) (over bool) {
	switch {
	case load.Active > 0:
		d.idle = time.Time{}
	case load.Inactive == 0:
		return true
	case d.idle.IsZero():
		d.idle = now
	default:
		over = now.Sub(d.idle) >= closing
	}
	return over || d.expired(now)
}

func (d drain) expired(now time.Time) bool { return !now.Before(d.Deadline) }

// realServer is the key of d in the kernel of the node, under a record that has its port.
func (d drain) realServer(rec *mesh.Record, node string) state.Key {
	server := compile.ServerOf(rec.Nodes[node], rec.Ports[d.Port], d.Address)
	return state.RealServer{Proto: string(d.Port.Protocol), Server: server, Addr: d.Address}.Key()
}

func (d drain) String() string {
	return fmt.Sprintf("service %s: endpoint %s (%s) of %s", d.Service, d.Endpoint, d.Address, d.Port)
}

// drainSet are the drains of one host under one record.
type drainSet map[drainKey]drain

func (s drainSet) put(d drain) { s[d.key()] = d }

func (s drainSet) sorted() []drain {
	return slices.SortedFunc(maps.Values(s), func(a, b drain) int {
		return cmp.Or(a.Port.Compare(b.Port), a.Address.Compare(b.Address))
	})
}

// byPort is what compile needs of the drains, sorted.
func (s drainSet) byPort() map[mesh.PortKey][]netip.AddrPort {
	if len(s) == 0 {
		return nil
	}
	ports := map[mesh.PortKey][]netip.AddrPort{}
	for _, d := range s.sorted() {
		ports[d.Port] = append(ports[d.Port], d.Address)
	}
	return ports
}
