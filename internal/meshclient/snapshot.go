package meshclient

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
)

// Snapshot is what the nodes said at one moment. It is shared: read only.
type Snapshot struct {
	// Record is nil when every host answered and none has a record.
	Record *mesh.Record
	// Nodes has every node of the record, by name.
	Nodes map[string]NodeView
	// Hosts has every host of the provider block, by its entry there.
	Hosts map[string]HostView
	// Warnings are sentences about records that contradict each other.
	Warnings []string

	hash string // the record's
	// voters have said what the record is, by address, in the sets of quorum.
	voters map[string]NodeView
	atNode map[string]bool // voters that are nodes, by address
	quorum quorum
	// heard says that a majority of them has a record, certain that it has this one.
	heard, certain bool
	// lost says that no voter has a record any more, so that hosts decides.
	lost bool
	// newest is the highest generation that was seen or promised and can be honest.
	newest uint64
	// reported is made when the first resource asks for its drift: see Drift.
	reported func() map[mesh.Ref][]string
}

// NodeView is what one node said, or why it said nothing.
type NodeView struct {
	Status *mesh.Status
	// Err is set when Status is nil: *agentapi.NoAgentError when the host answered and
	// has no agent, else *sshdial.UnreachableError, *sshdial.AuthError, *sshdial.HostKeyError,
	// *agentapi.AgentDownError, *sshdial.SudoError, *agentapi.VersionError or *ForeignError.
	Err error
}

// hash is that of the record there, "" for none.
func (v NodeView) hash() string {
	if v.Status == nil {
		return ""
	}
	return v.Status.Hash
}

// HostView is what a host of the provider block said.
type HostView struct {
	NodeView
	Address string // host:port
	voter   string // its address as a voter
	// Node is the node of the record that the host is, "" when it only keeps the
	// record or has none.
	Node string
}

// fetchTimeout bounds a whole snapshot, whoever waits for it.
const fetchTimeout = 2 * time.Minute

// Snapshot asks every node once; callers share the answer until a commit. The
// error is *HostsError when the hosts that answered cannot say whether there is
// a record, and *LostError when they have none and the cluster is not gone. ctx
// bounds this caller's wait only.
func (c *Client) Snapshot(ctx context.Context) (*Snapshot, error) {
	s, err := c.cache.get(ctx)
	if err != nil {
		return nil, err
	}
	return s, c.judge(ctx, s, false)
}

// AskAgain has the next Snapshot ask the nodes, whatever they have said before.
func (c *Client) AskAgain() { c.cache.drop() }

// judge is the snapshot's verdict, and that of the places that the state knows.
func (c *Client) judge(ctx context.Context, s *Snapshot, force bool) error {
	if err := c.twins(s); err != nil {
		return err
	}
	if err := s.verdict(); err != nil {
		return err
	}
	return c.elsewhere(ctx, s, force)
}

// startingPoint is the snapshot that the next change is made to: what the last
// commit of this client has left on the nodes, else Snapshot. Whether somebody
// else has changed the cluster since, its prepare finds out.
func (c *Client) startingPoint(ctx context.Context, force bool) (*Snapshot, error) {
	s, err := c.cache.forChange(ctx)
	if err != nil {
		return nil, err
	}
	return s, c.judge(ctx, s, force)
}

// LastSnapshot returns the cached snapshot or nil; it never dials.
func (c *Client) LastSnapshot() *Snapshot { return c.cache.last() }

// verdict tells "there is no record" from "nobody could say".
func (s *Snapshot) verdict() error {
	if s.Record != nil {
		return s.quorate()
	}
	var failures []HostFailure
	for _, entry := range slices.Sorted(maps.Keys(s.Hosts)) {
		if v := s.Hosts[entry]; v.Err != nil && !agentapi.IsNoAgent(v.Err) {
			failures = append(failures, HostFailure{entry, v.Err})
		}
	}
	switch len(failures) {
	case 0:
		return nil
	case len(s.Hosts):
		return &HostsError{"No host of the cluster could be asked:", failures}
	}
	return &HostsError{"The hosts that answer have no record of a cluster; these could not be asked, and may have one:", failures}
}
