package resolver

import (
	"sync/atomic"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
)

// stats count queries by what became of them.
type stats struct {
	outcomes                    [names.Refused + 1]atomic.Uint64
	malformed, failed, overload atomic.Uint64
}

func (s *stats) count(o names.Outcome) { s.outcomes[o].Add(1) }

// Queries counts the queries since the start of the agent by what became of them; nil while
// there are no networks. One that no nameserver of the host has answered (failed), or that was
// one too many (overload), is among those that were forwarded.
func (r *Resolver) Queries() map[string]uint64 {
	if r.table.Load() == nil {
		return nil
	}
	s := &r.stats
	return map[string]uint64{
		"answered": s.outcomes[names.Found].Load(), "no_data": s.outcomes[names.NoData].Load(), "nxdomain": s.outcomes[names.NXDomain].Load(),
		"not_yet": s.outcomes[names.NotYet].Load(), "refused": s.outcomes[names.Refused].Load(), "forwarded": s.outcomes[names.Forward].Load(),
		"malformed": s.malformed.Load(), "failed": s.failed.Load(), "overload": s.overload.Load(),
	}
}
