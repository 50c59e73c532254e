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

// drain is one destination of one frontend on its way out.
type drain struct {
	// Port is the published port, or with VIP that of the service's VIP, zero for every port.
	Port     mesh.PortKey   `json:"port,omitzero"`
	VIP      bool           `json:"vip,omitempty"`
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
	frontend compile.Frontend
	address  netip.AddrPort
}

func (d drain) key() drainKey { return drainKey{d.frontend(), d.Address} }

func (d drain) frontend() compile.Frontend {
	if d.VIP {
		return compile.Frontend{VIP: d.Service, Port: d.Port}
	}
	return compile.Published(d.Port)
}

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

// realServer is the key of d in the kernel of the node, under a record that has its frontend.
func (d drain) realServer(rec *mesh.Record, node string) state.Key {
	server := d.frontend().ServerOf(rec, node, d.Address)
	return state.RealServer{Proto: string(d.Port.Protocol), Server: server, Addr: d.Address}.Key()
}

func (d drain) String() string {
	return fmt.Sprintf("service %s: endpoint %s (%s) of %s", d.Service, d.Endpoint, d.Address, d.frontend())
}

// drainSet are the drains of one host under one record.
type drainSet map[drainKey]drain

func (s drainSet) put(d drain) { s[d.key()] = d }

func (s drainSet) sorted() []drain {
	return slices.SortedFunc(maps.Values(s), func(a, b drain) int {
		return cmp.Or(a.frontend().Compare(b.frontend()), a.Address.Compare(b.Address))
	})
}

// byFrontend is what compile needs of the drains, sorted.
func (s drainSet) byFrontend() map[compile.Frontend][]netip.AddrPort {
	if len(s) == 0 {
		return nil
	}
	all := map[compile.Frontend][]netip.AddrPort{}
	for _, d := range s.sorted() {
		all[d.frontend()] = append(all[d.frontend()], d.Address)
	}
	return all
}
