package meshtest

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// problems is what the kernel does not have, sorted: what SetProblems has it
// refuse, and what Break has broken.
func (a *agent) problems() []mesh.Problem {
	found := append(problems(a.host.committed, a.record), a.host.broken...)
	mesh.SortProblems(found)
	return found
}

// repair repairs what was broken of the objects, and answers with what is left.
func (a *agent) repair(req mesh.RepairRequest) mesh.RepairResponse {
	asked := func(p mesh.Problem) bool { return len(req.Objects) == 0 || slices.Contains(req.Objects, p.Object) }
	left := []mesh.Problem{}
	if a.record != nil {
		a.host.broken = slices.DeleteFunc(slices.Clone(a.host.broken), asked)
		left = slices.DeleteFunc(a.problems(), func(p mesh.Problem) bool { return !asked(p) })
	}
	return mesh.RepairResponse{Problems: left}
}

// probe finds every peer well, unless SetProbe says otherwise.
func (a *agent) probe(w http.ResponseWriter, req mesh.ProbeRequest) {
	if a.host.probed != nil {
		report, err := a.host.probed(a.record, req.Peers)
		if err != nil {
			refuse(w, &mesh.Refusal{Code: mesh.Failed, Text: err.Error()})
			return
		}
		answer(w, report)
		return
	}
	report := mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{}}
	if a.record != nil && a.record.Nodes[a.node] != nil {
		for name, n := range a.record.Nodes {
			if name != a.node && (len(req.Peers) == 0 || slices.Contains(req.Peers, name)) {
				report.Peers[name] = WellProbe(a.record, n)
			}
		}
	}
	answer(w, report)
}

// WellProbe is what a node finds of a peer to which all goes through.
func WellProbe(r *mesh.Record, peer *mesh.Node) mesh.PeerProbe {
	return mesh.PeerProbe{Answered: r.MTU(), Heard: r.MTU(), Wire: []netip.Addr{peer.Address}, Underlay: true}
}

// SetProblems makes the agent object to records in prepare, and report in
// commit and status. It may be called with records of any generation.
func (n *Node) SetProblems(prepare, commit func(*mesh.Record) []mesh.Problem) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.prepared, n.committed = prepare, commit
}

// SetApplied sets the last generation that reached the kernel whole.
func (n *Node) SetApplied(generation uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agent.applied = generation
}

// Break lets something else change the kernel: the agent reports the problems
// until it is asked to repair their objects, or applies a record.
func (n *Node) Break(problems ...mesh.Problem) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken = append(n.broken, problems...)
}

// SetProbe answers the node's probes of the overlay; nil lets every peer answer.
// It is called with the node's record and the peers that it was asked to try.
func (n *Node) SetProbe(probe func(r *mesh.Record, peers []string) (*mesh.ProbeResponse, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.probed = probe
}

// SetCounters sets what the agent has counted.
func (n *Node) SetCounters(c mesh.Counters) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counters = c
}

// SetRepairs sets how much the agent has repaired by itself.
func (n *Node) SetRepairs(repairs uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.repairs = repairs
}
