package meshclient

import (
	"context"
	"errors"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// nextVoters are those of the next record. They change in two commits: the first has
// those of now and of before, the second, once a majority of both has the first, those
// of now alone.
func (r *commitRun) nextVoters(snap *Snapshot, base *mesh.Record, ops []*operation) *mesh.Voters {
	if snap.Record == nil {
		return mesh.NewVoters(r.hostsAsVoters(nil, nil), nil)
	}
	now := base.Voters
	switch {
	case now == nil || snap.lost || (r.cfg.ForceHosts && !mesh.NewVoters(r.withAgent(snap), nil).Equal(now)):
		return mesh.NewVoters(r.withAgent(snap), nil)
	case len(now.Before) > 0 && snap.certain:
		return mesh.NewVoters(now.Hosts, nil)
	case len(now.Before) > 0:
		return now
	}
	want := now.Hosts
	for _, op := range ops {
		if op.voters != nil {
			want = op.voters(snap, want)
		}
	}
	next := mesh.NewVoters(want, now.Hosts)
	if next == nil || slices.Equal(next.Hosts, now.Hosts) || !r.haveRecord(snap, next.Hosts) {
		return now // those without a record get it by this commit, and may be voters with the next
	}
	return next
}

// haveRecord says that more than half of the hosts can vote.
func (r *commitRun) haveRecord(snap *Snapshot, hosts []string) bool {
	return quorum{hosts}.majority(func(address string) bool { return r.viewAt(snap, address).hash() != "" })
}

// viewAt is what the host with the address has said.
func (c *Client) viewAt(snap *Snapshot, address string) NodeView {
	for _, ep := range c.hosts {
		if ep.CanonicalAddress() == address {
			return snap.Hosts[ep.Name].NodeView
		}
	}
	if v, ok := snap.voters[address]; ok {
		return v
	}
	return snap.Nodes[c.nodeAtAddress(snap.Record, address)]
}

// addressesWhere are those of the provider's hosts (by entry) that are wanted, sorted.
func (c *Client) addressesWhere(wanted func(entry string) bool) []string {
	var list []string
	for _, ep := range c.hosts {
		if wanted(ep.Name) {
			list = append(list, ep.CanonicalAddress())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// withAgent are the hosts that may vote on a record without voters. A host without an
// agent has left, or is not set up.
func (c *Client) withAgent(snap *Snapshot) []string {
	return c.addressesWhere(func(entry string) bool { return !agentapi.IsNoAgent(snap.Hosts[entry].Err) })
}

// hostsAsVoters makes the provider's hosts the voters: those that are voters or nodes. Of
// another one nobody can say whether it is about to join, or has left. Without a
// snapshot it is all of them.
func (c *Client) hostsAsVoters(snap *Snapshot, now []string) []string {
	return c.addressesWhere(func(entry string) bool {
		return snap == nil || snap.Hosts[entry].Node != "" || slices.Contains(now, snap.Hosts[entry].voter)
	})
}

// asVoter makes a host of the provider that joins a voter.
func (c *Client) asVoter(ep *sshdial.Endpoint) func(*Snapshot, []string) []string {
	host := c.hostAt(ep)
	if host == nil {
		return nil
	}
	return func(_ *Snapshot, now []string) []string { return append(slices.Clip(now), host.CanonicalAddress()) }
}

// notVoter takes hosts that leave from the voters. The last voter stays.
func notVoter(addresses ...string) func(*Snapshot, []string) []string {
	return func(_ *Snapshot, now []string) []string {
		rest := slices.DeleteFunc(slices.Clone(now), func(a string) bool { return slices.Contains(addresses, a) })
		if len(rest) == 0 {
			return now
		}
		return rest
	}
}

// maxVoterCommits is how many commits a change of voters takes: new ones may have to
// get the record first.
const maxVoterCommits = 4

// settleVoters makes the commits that a change of voters still takes.
func (c *Client) settleVoters(ctx context.Context, voters func(*Snapshot, []string) []string, result *Result) error {
	for range maxVoterCommits {
		if result == nil || result.Record == nil || voters == nil {
			return nil
		}
		if done, err := c.votersAre(ctx, voters, result.Record.Voters); done || err != nil {
			return err
		}
		next, err := c.queue.submit(ctx, &operation{
			objects: []mesh.Ref{mesh.ClusterRef}, voters: voters, apply: func(*mesh.Record) error { return nil },
		})
		if err != nil {
			return err
		}
		result.Record = next.Record
	}
	return nil
}

// votersAre says that nothing is left to do. The nodes are asked only if that is not
// clear from the configuration.
func (c *Client) votersAre(ctx context.Context, voters func(*Snapshot, []string) []string, now *mesh.Voters) (bool, error) {
	same := func(snap *Snapshot) bool {
		return len(now.Before) == 0 && mesh.NewVoters(voters(snap, now.Hosts), nil).Equal(now)
	}
	switch {
	case now == nil:
		return true, nil
	case len(now.Before) > 0 || same(nil):
		return len(now.Before) == 0, nil
	}
	snap, err := c.startingPoint(ctx, false)
	if err != nil {
		return false, err
	}
	return same(snap), nil
}

// withoutVoter takes a host that leaves from the voters, unless it is the last one.
func (c *Client) withoutVoter(ctx context.Context, addresses []string) error {
	snap, err := c.Snapshot(ctx)
	if err != nil || snap.Record == nil || !isVoter(snap.Record, addresses) {
		return err
	}
	result := &Result{Record: snap.Record}
	if err := c.settleVoters(ctx, notVoter(addresses...), result); err != nil {
		return err
	}
	if isVoter(result.Record, addresses) && len(result.Record.Voters.Hosts) > 1 {
		return errors.New("more than half of the other voters must answer and have the record")
	}
	return nil
}

// isVoter says that one of the addresses is a voter's, now or before.
func isVoter(r *mesh.Record, addresses []string) bool {
	return r != nil && slices.ContainsFunc(quorum(r.Voters.Sets()).voters(), func(a string) bool { return slices.Contains(addresses, a) })
}

// addressesOfHost are those that a host may have as a voter.
func addressesOfHost(eps ...*sshdial.Endpoint) (list []string) {
	for _, ep := range eps {
		if ep != nil {
			list = append(list, ep.CanonicalAddress())
		}
	}
	return list
}

// VotersDrift says that the provider's hosts are not the record's voters, nil where
// they are. It is for the state that has the cluster: other states may begin to ask
// elsewhere.
func (c *Client) VotersDrift(snap *Snapshot) []string {
	if snap.Record == nil || snap.Record.Voters == nil {
		return nil
	}
	now := snap.Record.Voters
	switch want := c.hostsAsVoters(snap, now.Hosts); {
	case len(want) > 0 && !slices.Equal(want, now.Hosts):
		return []string{"The cluster's voters are " + and(now.Hosts) + ", and the provider's hosts are " + and(want) + "; the next apply makes these the voters."}
	case len(now.Before) > 0:
		return []string{"The change of the cluster's voters from " + and(now.Before) + " to " + and(now.Hosts) + " was cut off; the next apply ends it."}
	}
	return nil
}
