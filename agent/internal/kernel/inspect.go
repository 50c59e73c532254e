package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/link"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What trace, check and the counters read: nothing that is compared or repaired.

// Chain and Rule are an iptables chain, and a rule of one, with what they have counted.
type (
	Chain = iptables.Chain
	Rule  = iptables.Rule
)

// Chains reads all chains of a namespace with the rules' counters; none when the
// namespace is not there.
func (k *Kernel) Chains(ctx context.Context, ns state.NS) (chains []Chain, err error) {
	enter := k.InHost
	if ns == state.Mesh {
		if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
			return nil, err
		}
		enter = k.InMesh
	}
	err = enter(func() (err error) {
		chains, err = iptables.Counted(ctx, &k.programs)
		return err
	})
	return chains, err
}

// Backends is which kind of iptables this host's programs write, and how many rules
// the tables of both hold.
type Backends = iptables.Backends

// ReadBackends looks at the tables of the calling thread's namespace.
func ReadBackends(ctx context.Context) (Backends, error) { return iptables.ReadBackends(ctx) }

// LinkCounters is what has gone through a link since it was made.
type LinkCounters = link.Counters

// LinkCounters reads those of a link; ok is false when it is not there.
func (k *Kernel) LinkCounters(ns state.NS, name string) (c LinkCounters, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	s, err := k.space(ns)
	if err != nil || s == nil {
		return c, false, err
	}
	return link.Count(s, name)
}
