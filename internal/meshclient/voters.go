package meshclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// choose finds the record that counts. It begins with the voters of the record that
// most hosts have. A record that counts among them may name others, which took over
// since, and are asked then. Where a record names two sets, those before decide first:
// a change of the voters that they have not taken never began. Those of now may have
// gone on alone since, and then those before do not know.
func (f *fetch) choose(ctx context.Context) {
	f.record, f.hash = f.seed()
	for vouched := false; f.record != nil; {
		q := f.quorumOf(f.record)
		f.ask(ctx, f.unasked(q), f.hash)
		f.vote(q)
		if f.lost = f.allLost(); f.lost {
			q = f.ownQuorum()
			f.vote(q)
		}
		next := f.decidedBy(q, vouched)
		if next == "" {
			f.result.hash, f.result.certain = f.hash, f.ballot.has(f.hash)
			return
		}
		vouched = true
		f.record, f.hash = f.records()[next], next
	}
}

// decidedBy is the record that one of the sets has decided on, the set before first,
// "" where that is the one we have. Once a set has vouched for that, only a newer one
// replaces it.
func (f *fetch) decidedBy(q quorum, vouched bool) string {
	for _, set := range slices.Backward(q) {
		hash := ballot{quorum{set}, f.ballot.votes}.decide().hash
		next := f.records()[hash]
		if next != nil && hash != f.hash && (!vouched || next.Generation > f.record.Generation) {
			return hash
		}
		vouched = vouched || next != nil
	}
	return ""
}

// seed is the record that most hosts have, of the cluster that most hosts have. Of
// equals it is the oldest: it names the voters that have decided on the others.
func (f *fetch) seed() (record *mesh.Record, hash string) {
	votes := map[string]int{} // by UID and by hash
	var said []*mesh.Status
	for _, ep := range f.client.hosts {
		if s := f.asked[ep.Key()].Status; s != nil && s.Record != nil {
			votes[s.Record.UID]++
			votes[s.Hash]++
			said = append(said, s)
		}
	}
	if len(said) == 0 {
		return nil, ""
	}
	best := slices.MinFunc(said, func(a, b *mesh.Status) int {
		return cmp.Or(
			cmp.Compare(votes[b.Record.UID], votes[a.Record.UID]),
			cmp.Compare(a.Record.UID, b.Record.UID), // a tie must not be decided by generations of different clusters
			cmp.Compare(votes[b.Hash], votes[a.Hash]),
			cmp.Compare(a.Generation, b.Generation),
			cmp.Compare(a.Hash, b.Hash))
	})
	return best.Record, best.Hash
}

// quorumOf are the record's voters; hosts where it has none, or is not to decide.
func (f *fetch) quorumOf(r *mesh.Record) quorum {
	if r.Voters == nil || f.client.cfg.ForceHosts {
		return f.ownQuorum()
	}
	return r.Voters.Sets()
}

func (f *fetch) ownQuorum() quorum {
	return quorum{f.client.addressesWhere(func(entry string) bool { return !agentapi.IsNoAgent(f.viewOf(entry).Err) })}
}

func (f *fetch) viewOf(entry string) NodeView {
	for _, ep := range f.client.hosts {
		if ep.Name == entry {
			return f.asked[ep.Key()]
		}
	}
	return NodeView{}
}

// endpoint is how a voter is reached: as one of the hosts, as the record's node, or
// by its address alone.
func (c *Client) voterEndpoint(r *mesh.Record, address string) (*sshdial.Endpoint, error) {
	for _, ep := range c.hosts {
		if ep.CanonicalAddress() == address {
			return ep, nil
		}
	}
	if name := c.nodeAtAddress(r, address); name != "" {
		return c.nodeEndpoint(r.Nodes[name])
	}
	return c.router.Host(address)
}

// nodeAtAddress is the node whose SSH server has the address, "" for none.
func (c *Client) nodeAtAddress(r *mesh.Record, address string) string {
	if r != nil {
		for _, name := range r.NodeNames() {
			if ep, err := c.nodeEndpoint(r.Nodes[name]); err == nil && ep.CanonicalAddress() == address {
				return name
			}
		}
	}
	return ""
}

// voter is what the voter at the address has said. The one that is a node of the
// record may have been reached by another name.
func (f *fetch) voter(address string) (NodeView, *sshdial.Endpoint) {
	if name := f.client.nodeAtAddress(f.record, address); name != "" {
		if host := f.hostOf(name); host != nil {
			return f.asked[host.Key()], nil
		}
	}
	ep, err := f.client.voterEndpoint(f.record, address)
	if err != nil {
		return NodeView{Err: err}, nil
	}
	v, asked := f.asked[ep.Key()]
	if !asked {
		return v, ep
	}
	return v, nil
}

func (f *fetch) unasked(q quorum) (list []*sshdial.Endpoint) {
	for _, address := range q.voters() {
		if _, ep := f.voter(address); ep != nil {
			list = append(list, ep)
		}
	}
	return list
}

// vote asks the ballot. Two voters that are one host have one vote.
func (f *fetch) vote(q quorum) {
	f.ballot, f.voters = ballot{q, map[string]vote{}}, map[string]NodeView{}
	instances := map[string]bool{}
	for _, address := range q.voters() {
		v, _ := f.voter(address)
		v = f.ours(address, v)
		f.voters[address] = v
		s := v.Status
		if s == nil || s.Generation == 0 || (s.Instance != "" && instances[s.Instance]) {
			continue
		}
		instances[s.Instance] = true
		f.ballot.votes[address] = vote{s.Generation, s.Hash}
	}
	f.result = f.ballot.decide()
}

// records are those that were sent, by hash.
func (f *fetch) records() map[string]*mesh.Record {
	all := map[string]*mesh.Record{}
	for _, v := range f.asked {
		if v.Status != nil && v.Status.Record != nil {
			all[v.Status.Hash] = v.Status.Record
		}
	}
	return all
}

// allLost says that every voter answers and none has a record.
func (f *fetch) allLost() bool {
	for _, v := range f.voters {
		if v.Status != nil && v.Status.Generation > 0 || v.Status == nil && !servesNothing(v.Err) {
			return false
		}
	}
	return true
}

// newest is the highest generation that a writer has to go beyond. What is further
// ahead than commits can have brought it is not followed: see mesh.MaxGenerationJump.
func (f *fetch) newest(s *Snapshot) uint64 {
	top, bound := f.record.Generation, f.record.Generation+mesh.MaxGenerationJump
	for _, v := range s.views() {
		if v.Status == nil {
			continue
		}
		for _, seen := range []uint64{v.Status.Generation, v.Status.Promised} {
			if seen > top && seen < bound {
				top = seen
			}
		}
	}
	return top
}

// views are all answers, by host or node, each machine once.
func (s *Snapshot) views() map[mesh.Ref]NodeView {
	all := map[mesh.Ref]NodeView{}
	seen := map[*mesh.Status]bool{}
	add := func(ref mesh.Ref, v NodeView) {
		if v.Status != nil && !seen[v.Status] {
			seen[v.Status], all[ref] = true, v
		}
	}
	for name, v := range s.Nodes {
		add(mesh.NodeRef(name), v)
	}
	for entry, v := range s.Hosts {
		add(mesh.HostRef(entry), v.NodeView)
	}
	for address, v := range s.voters {
		add(mesh.HostRef(address), v)
	}
	return all
}

// unvouched names the records that do not count although they are not older than
// the one that does, and says so where that is not certain.
func (f *fetch) unvouched(s *Snapshot) []string {
	var warnings []string
	views := s.views()
	for _, ref := range slices.SortedFunc(maps.Keys(views), mesh.Ref.Compare) {
		if st := views[ref].Status; st.Generation >= f.record.Generation && st.Hash != f.hash {
			warnings = append(warnings, fmt.Sprintf("The record on %s (generation %d) is not the cluster's (generation %d): most voters do not have it. A writer was cut off, or the file "+
				"was damaged or forged. It changes nothing, and the next apply replaces it.", ref.Words(), st.Generation, f.record.Generation))
		}
	}
	switch {
	case s.lost:
		warnings = append(warnings, fmt.Sprintf("None of the cluster's voters (%s) has a record any more: the record of hosts counts (generation %d), and the next apply makes them the voters.",
			and(quorum(f.record.Voters.Sets()).voters()), f.record.Generation))
	case !s.heard:
		warnings = append(warnings, fmt.Sprintf("Fewer than half of the cluster's voters have a record (%s do not): generation %d, the newest that is left, is shown, and what was changed after it is lost. %s",
			and(s.recordless()), f.record.Generation, forceHint))
	case !s.certain:
		warnings = append(warnings, fmt.Sprintf("Generation %d of the record is not known to have reached a majority of the cluster's voters: a writer was cut off, or voters that have it do not answer. "+
			"It counts as the newest that may have; the next apply brings it to the others.", f.record.Generation))
	}
	return warnings
}

const forceHint = "If they are gone for good, set force_hosts = true in the provider block and apply: hosts then decide what the record is, and become the voters."

// recordless are the voters that have no say.
func (s *Snapshot) recordless() (list []string) {
	for _, address := range slices.Sorted(maps.Keys(s.voters)) {
		if st := s.voters[address].Status; st == nil || st.Generation == 0 {
			list = append(list, address)
		}
	}
	return list
}

// Quorate says that a majority of the voters has a record, so that what the snapshot's
// lacks is not there.
func (s *Snapshot) Quorate() bool { return s.heard }

// Certain says that a majority of the voters vouches for the record. Another one may win
// over it as soon as more of them answer.
func (s *Snapshot) Certain() bool { return s.certain }

// quorate is an error while too few voters say what the record is, and one of those
// that cannot be asked may have a newer one. Where all answer, what is left is shown.
func (s *Snapshot) quorate() error {
	if s.heard {
		return nil
	}
	e := &HostsError{Detail: fmt.Sprintf("Nothing was changed, and the cluster's record is not known: more than half of its %s must have it and answer. "+
		"Bring these back. %s", counted(len(s.quorum.voters()), "voter"), forceHint)}
	unreachable := false
	for _, address := range s.recordless() {
		err := s.voters[address].Err
		if err == nil {
			err = errNoRecord
		}
		unreachable = unreachable || (!servesNothing(err) && !errors.Is(err, errNoRecord))
		e.Hosts = append(e.Hosts, HostFailure{address, err})
	}
	if !unreachable {
		return nil
	}
	return e
}

var errNoRecord = errors.New("its agent has no record, and does not vote before it has caught up")
