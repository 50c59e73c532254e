package meshclient

import (
	"context"
	"slices"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// probeAllUpTo is the number of nodes up to which a join has every node try the
// way to every other. Beyond it the others try those that join only, or the
// packets of a probe would grow with the square of the nodes.
const probeAllUpTo = 8

// reach tries the overlay after a commit by which nodes have joined, all of
// them at once, so that each hears the others while it sends. What it finds is
// said in sentences, and fails nothing: the join is done.
func (r *commitRun) reach(ctx context.Context, p *proposal, sent []answer) []Notice {
	joined := p.joined()
	if len(joined) == 0 || len(p.next.Nodes) < 2 {
		return nil
	}
	var members []*member
	for _, a := range sent {
		if a.err == nil && a.node != "" {
			members = append(members, a.member)
		}
	}
	tried := onlyNodes(p.next, members)
	var mu sync.Mutex
	var notices []Notice
	reports := map[string]*mesh.ProbeResponse{}
	each(members, func(_ int, m *member) {
		report, err := r.agents.Probe(ctx, m.ep, peersOf(m.node, tried, joined))
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			notices = append(notices, notice(mesh.ProblemNotProbed, m.ref(), "%s could not try the overlay to the other nodes: %s Run `routingmesh-agent check` there.",
				m, prose.Sentence(err.Error())))
		} else {
			reports[m.node] = report
		}
	})
	slices.SortFunc(notices, func(a, b Notice) int { return a.About.Compare(b.About) })
	for _, problem := range mesh.Reach(tried, reports) {
		notices = append(notices, Notice{problem.Code, problem.Object, prose.Sentence(problem.Text)})
	}
	return notices
}

// onlyNodes is the record without the nodes that have not taken it: such a node
// does not know the way to one that joins, and would look as if something were
// filtered.
func onlyNodes(r *mesh.Record, members []*member) *mesh.Record {
	only := r.Clone()
	only.Cluster.MTU = r.MTU()
	clear(only.Nodes)
	for _, m := range members {
		only.Nodes[m.node] = r.Nodes[m.node]
	}
	return only
}

func peersOf(node string, r *mesh.Record, joined []string) []string {
	peers := r.NodeNames()
	if len(peers) > probeAllUpTo && !slices.Contains(joined, node) {
		peers = slices.Clone(joined)
	}
	return slices.DeleteFunc(peers, func(peer string) bool { return peer == node })
}

// joined names the nodes that this commit has brought in: those that are new in
// the record or in another place than before, and those whose host was bare.
func (p *proposal) joined() []string {
	var names []string
	for _, op := range p.ops {
		if op.join == nil {
			continue
		}
		name := op.join.node
		var before *mesh.Node
		if p.snap.Record != nil {
			before = p.snap.Record.Nodes[name]
		}
		if before == nil || before.Address != p.next.Nodes[name].Address || op.join.status.Generation == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
