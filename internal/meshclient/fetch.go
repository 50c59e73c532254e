package meshclient

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// fetchSnapshot asks the hosts first; the record they have names the others.
func (c *Client) fetchSnapshot(ctx context.Context) (*Snapshot, error) {
	f := &fetch{client: c, asked: map[string]NodeView{}, nodes: map[string]NodeView{}}
	f.ask(ctx, c.hosts, "")
	f.choose()
	f.heedRecord(ctx)
	// Another node may have a newer record, which may name more nodes: each
	// round asks those not asked before, so there are few.
	for f.record != nil {
		before := f.record
		var more []*sshdial.Endpoint
		missing := f.uncovered()
		for _, ep := range missing {
			more = append(more, ep)
		}
		f.ask(ctx, more, f.hash)
		for name, ep := range missing {
			f.nodes[name] = f.asked[ep.Key()]
		}
		f.choose()
		if f.record == before {
			break
		}
	}
	return f.snapshot(), ctx.Err()
}

// fetch is a snapshot in the making.
type fetch struct {
	client *Client
	mu     sync.Mutex
	asked  map[string]NodeView // by endpoint key
	nodes  map[string]NodeView // by name, those that are no host
	record *mesh.Record
	hash   string // of record
}

func (f *fetch) ask(ctx context.Context, eps []*sshdial.Endpoint, known string) {
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for _, ep := range eps {
		g.Go(func() error {
			s, err := f.client.agents.Status(ctx, ep, known, agentapi.ReadPatience)
			if err != nil {
				s = nil
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked[ep.Key()] = NodeView{s, err}
			return nil
		})
	}
	_ = g.Wait() // every error is in its view
}

// choose takes the record of the highest generation, and of two that differ the
// one that most hosts have. Which cluster is ours is said by the hosts' votes
// too; the others are foreign.
func (f *fetch) choose() {
	votes := map[string]int{} // by UID and by hash
	for _, ep := range f.client.hosts {
		if s := f.asked[ep.Key()].Status; s != nil && s.Record != nil {
			votes[s.Record.UID]++
			votes[s.Hash]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.asked)) {
		s := f.asked[key].Status
		if s == nil || s.Record == nil {
			continue
		}
		if f.record == nil || cmp.Or(
			cmp.Compare(votes[s.Record.UID], votes[f.record.UID]),
			cmp.Compare(s.Record.UID, f.record.UID), // a tie must not be decided by generations of different clusters
			cmp.Compare(s.Generation, f.record.Generation),
			cmp.Compare(votes[s.Hash], votes[f.hash])) > 0 {
			f.record, f.hash = s.Record, s.Hash
		}
	}
}

// uncovered returns the nodes of the record that have not been asked yet. A
// host that says it is a node is that node, whatever name it was reached by.
func (f *fetch) uncovered() map[string]*sshdial.Endpoint {
	missing := map[string]*sshdial.Endpoint{}
	for name, n := range f.record.Nodes {
		if _, ok := f.nodes[name]; ok || f.hostOf(name) != nil {
			continue
		}
		ep, err := f.client.nodeEndpoint(n)
		if err != nil {
			f.nodes[name] = NodeView{Err: err}
		} else {
			missing[name] = ep
		}
	}
	return missing
}

func (f *fetch) hostOf(name string) *sshdial.Endpoint {
	return f.client.hostOf(f.record, name, func(ep *sshdial.Endpoint) *mesh.Status { return f.asked[ep.Key()].Status })
}

// statusAt looks up what a host of the provider block said.
func (s *Snapshot) statusAt(host *sshdial.Endpoint) *mesh.Status { return s.Hosts[host.Name].Status }

// hostOf returns the host of the provider block that is the named node: by
// what it says itself, else by the endpoint.
func (c *Client) hostOf(r *mesh.Record, name string, status func(*sshdial.Endpoint) *mesh.Status) *sshdial.Endpoint {
	key := ""
	if n := r.Nodes[name]; n != nil {
		if ep, err := c.nodeEndpoint(n); err == nil {
			key = ep.Key()
		}
	}
	for _, host := range c.hosts {
		s := status(host)
		if (s != nil && s.Node == name && s.Generation > 0) || host.Key() == key {
			return host
		}
	}
	return nil
}

func (f *fetch) snapshot() *Snapshot {
	s := &Snapshot{Record: f.record, hash: f.hash, Nodes: map[string]NodeView{}, Hosts: map[string]HostView{}}
	for i, ep := range f.client.hosts {
		s.Hosts[f.client.cfg.Hosts[i]] = HostView{NodeView: f.ours(ep.Name, f.asked[ep.Key()]), Address: ep.Address()}
	}
	if f.record == nil {
		return s
	}
	for name := range f.record.Nodes {
		if ep := f.hostOf(name); ep != nil {
			v := s.Hosts[ep.Name]
			v.Node = name
			s.Hosts[ep.Name], s.Nodes[name] = v, v.NodeView
		} else {
			s.Nodes[name] = f.ours(name, f.nodes[name])
		}
	}
	s.Warnings = f.forks(s)
	s.reported = sync.OnceValue(s.drifts)
	return s
}

// ours turns the answer of a host of another cluster into an error.
func (f *fetch) ours(host string, v NodeView) NodeView {
	if s := v.Status; s != nil && s.Record != nil && s.Record.UID != f.record.UID {
		return NodeView{Err: &ForeignError{Host: host, Cluster: s.Record.Cluster.Name, UID: s.Record.UID}}
	}
	return v
}

// forks finds records of one generation with different content: two writers
// that each believed to have the lease.
func (f *fetch) forks(s *Snapshot) []string {
	var agree string
	var differ []string
	views := map[mesh.Ref]NodeView{}
	for entry, v := range s.Hosts {
		views[mesh.HostRef(entry)] = v.NodeView
	}
	for name, v := range s.Nodes {
		if f.hostOf(name) == nil {
			views[mesh.NodeRef(name)] = v
		}
	}
	for _, who := range slices.SortedFunc(maps.Keys(views), mesh.Ref.Compare) {
		switch st := views[who].Status; {
		case st == nil || st.Generation != f.record.Generation:
		case st.Hash == f.hash && agree == "":
			agree = who.Words()
		case st.Hash != f.hash:
			differ = append(differ, who.Words())
		}
	}
	var warnings []string
	for _, who := range differ {
		warnings = append(warnings, fmt.Sprintf("The records of %s and %s are both of generation %d and differ: two writers changed the cluster at once. "+
			"That of %s counts; the next commits bring %s level.", agree, who, f.record.Generation, agree, who))
	}
	return warnings
}
