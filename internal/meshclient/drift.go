package meshclient

import (
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// Drift says in sentences, "node n2: …" sorted by node, what the nodes that
// answered do not have as the record asks of the object. A node object has also
// why that node is silent, or that it lags; the cluster object the provider's
// hosts that are no node, and forks. The sentences of an unchanged cluster are
// equal from one snapshot to the next. Empty when all is in sync, and where
// there is no record. The caller must not change what it gets.
func (s *Snapshot) Drift(o mesh.Ref) []string {
	if s.Record == nil {
		return nil
	}
	return s.reported()[o]
}

// drifts is Drift of every object that has some: each resource of a walk asks
// for its own, and that must not cost each a look at everything.
func (s *Snapshot) drifts() map[mesh.Ref][]string {
	all := map[mesh.Ref][]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		v, self := s.Nodes[name], mesh.NodeRef(name)
		who := self.Words() + ": "
		if text := s.standing(name, v, s.hash); text != "" {
			all[self] = append(all[self], who+text)
		}
		if v.Status == nil {
			continue
		}
		for _, p := range v.Status.Problems {
			text := who + prose.Sentence(p.Text)
			all[p.Object] = append(all[p.Object], text)
			if p.Object != self && !s.Record.Has(p.Object) {
				all[self] = append(all[self], text)
			}
		}
	}
	if found := slices.Concat(all[mesh.ClusterRef], s.keepers(s.hash), s.Warnings); len(found) > 0 {
		all[mesh.ClusterRef] = found
	}
	return all
}

// reports lists what the agent of the node ("" for a host that is none) reports
// about the object. What it reports about things that the record does not have
// is about the node itself, and all that a mere keeper of the record reports is
// about the cluster: nothing that is said must be lost.
func (s *Snapshot) reports(node string, st *mesh.Status, o mesh.Ref) []mesh.Problem {
	if st == nil {
		return nil
	}
	var found []mesh.Problem
	for _, p := range st.Problems {
		switch {
		case node == "" && o == mesh.ClusterRef, node != "" && p.Object == o,
			o == mesh.NodeRef(node) && !s.Record.Has(p.Object):
			found = append(found, p)
		}
	}
	return found
}

// standing says how the node stands to the record, "" when it is level.
func (s *Snapshot) standing(name string, v NodeView, hash string) string {
	st := v.Status
	switch {
	case st == nil && servesNothing(v.Err):
		return silence(v.Err) + "."
	case st == nil:
		return silence(v.Err) + "; it serves what it last had."
	case st.Generation > 0 && st.Node != name:
		return "its agent has the record, and does not take its host for this node."
	}
	return s.lag(st, hash)
}

// lag compares the agent's record with the one that counts, "" when it is the
// same and applied. What is not applied for a reason that the agent names is
// said by that.
func (s *Snapshot) lag(st *mesh.Status, hash string) string {
	switch {
	case st.Generation == 0:
		return fmt.Sprintf("its agent has no configuration, and the cluster has generation %d; the next apply sends it.", s.Record.Generation)
	case st.Generation > s.Record.Generation:
		return fmt.Sprintf("has a configuration (generation %d) that most of the cluster's voters do not have (theirs is %d); the next apply replaces it.", st.Generation, s.Record.Generation)
	case st.Generation != s.Record.Generation:
		return fmt.Sprintf("has an older configuration (generation %d, the cluster has %d); the next apply updates it.", st.Generation, s.Record.Generation)
	case st.Hash != hash:
		return fmt.Sprintf("its generation %d is another than the cluster's, which most of the voters have; the next apply replaces it.", st.Generation)
	case st.AppliedGeneration != st.Generation && len(st.Problems) == 0:
		return fmt.Sprintf("has not applied all of its configuration (generation %d).", st.Generation)
	}
	return ""
}

// keepers says which of the provider's hosts that are no node do not have the
// record, or report something. A host without an agent keeps none: it has left.
func (s *Snapshot) keepers(hash string) []string {
	var sentences []string
	for _, entry := range slices.Sorted(maps.Keys(s.Hosts)) {
		v := s.Hosts[entry]
		if v.Node != "" || (agentapi.IsNoAgent(v.Err) && !s.lostVoter(v)) {
			continue
		}
		who := mesh.HostRef(entry).Words() + ": "
		if agentapi.IsNoAgent(v.Err) {
			sentences = append(sentences, who+"it is a voter of the cluster, and has no routingmesh-agent any more; the next apply installs it.")
			continue
		}
		if v.Status == nil {
			sentences = append(sentences, who+silence(v.Err)+"; it keeps the record that it last had.")
			continue
		}
		if text := s.lag(v.Status, hash); text != "" {
			sentences = append(sentences, who+text)
		}
		for _, p := range s.reports("", v.Status, mesh.ClusterRef) {
			sentences = append(sentences, who+prose.Sentence(p.Text))
		}
	}
	return append(sentences, s.otherVoters(hash)...)
}

// lostVoter says that the host is one of the record's voters.
func (s *Snapshot) lostVoter(v HostView) bool {
	_, voter := s.voters[v.voter]
	return voter && s.Record.Voters != nil
}

// otherVoters says which voters that are neither hosts of this provider nor nodes do
// not have the record.
func (s *Snapshot) otherVoters(hash string) (sentences []string) {
	known := map[*mesh.Status]bool{}
	hosts := map[string]bool{}
	for _, v := range s.Nodes {
		known[v.Status] = true
	}
	for _, v := range s.Hosts {
		known[v.Status], hosts[v.voter] = true, true
	}
	for _, address := range slices.Sorted(maps.Keys(s.voters)) {
		v := s.voters[address]
		who := mesh.HostRef(address).Words() + " (a voter): "
		switch {
		case hosts[address] || s.atNode[address] || (v.Status != nil && known[v.Status]):
		case v.Status == nil:
			sentences = append(sentences, who+silence(v.Err)+".")
		case s.lag(v.Status, hash) != "":
			sentences = append(sentences, who+s.lag(v.Status, hash))
		}
	}
	return sentences
}
