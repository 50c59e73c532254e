package meshclient

import (
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// left is what the nodes have after the commit, as they have just said it: the
// next change need not ask all of them again. nil where one of them was silent,
// refused, or does not have all of it in its kernel, before or after: it is asked
// then. What it lacked before may be what the next change is to repair.
func (p *proposal) left(c *Client, sent []answer) *Snapshot {
	if len(sent) != len(p.members) || len(p.snap.Warnings) > 0 {
		return nil
	}
	s := &Snapshot{
		Record: p.next, hash: p.hash, Nodes: map[string]NodeView{}, Hosts: map[string]HostView{},
		voters: map[string]NodeView{}, quorum: p.next.Voters.Sets(), heard: true, certain: true, newest: p.next.Generation,
	}
	s.reported = sync.OnceValue(s.drifts)
	for _, a := range sent {
		before := a.view.Status
		if a.err != nil || len(a.problems) > 0 || before == nil || len(before.Problems) > 0 {
			return nil
		}
		st := *before
		st.Node, st.Generation, st.Hash, st.Record = a.node, p.next.Generation, p.hash, p.next
		st.AppliedGeneration, st.Problems, st.Warnings = p.next.Generation, []mesh.Problem{}, a.warnings
		st.Promised = p.next.Generation
		view := NodeView{Status: &st}
		if a.voter != "" {
			s.voters[a.voter] = view
		}
		if a.node != "" {
			s.Nodes[a.node] = view
		}
		for i, entry := range c.cfg.Hosts {
			if entry == a.host {
				s.Hosts[entry] = HostView{NodeView: view, Address: c.hosts[i].Address(), voter: c.hosts[i].CanonicalAddress(), Node: a.node}
			}
		}
	}
	return s
}
