package meshclient

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// fetchSnapshot asks the hosts first. Their record names the voters, and the one that
// counts among those names the nodes.
func (c *Client) fetchSnapshot(ctx context.Context) (*Snapshot, error) {
	f := &fetch{client: c, asked: map[string]NodeView{}, nodes: map[string]NodeView{}}
	f.ask(ctx, c.hosts, "")
	f.choose(ctx)
	f.heedRecord(ctx)
	if f.record != nil {
		var more []*sshdial.Endpoint
		missing := f.uncovered()
		for _, ep := range missing {
			if _, asked := f.asked[ep.Key()]; !asked { // as a voter
				more = append(more, ep)
			}
		}
		f.ask(ctx, more, f.hash)
		for name, ep := range missing {
			f.nodes[name] = f.asked[ep.Key()]
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

	ballot ballot // that record has come out of
	result result
	voters map[string]NodeView // by address
	lost   bool                // no voter has a record any more, and hosts decides
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
	s := &Snapshot{
		Record: f.record, hash: f.hash, Nodes: map[string]NodeView{}, Hosts: map[string]HostView{},
		atNode: map[string]bool{}, voters: f.voters, quorum: f.ballot.quorum, heard: f.result.heard, certain: f.result.certain, lost: f.lost,
	}
	for i, ep := range f.client.hosts {
		s.Hosts[f.client.cfg.Hosts[i]] = HostView{NodeView: f.ours(ep.Name, f.asked[ep.Key()]), Address: ep.Address(), voter: ep.CanonicalAddress()}
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
	for address := range s.voters {
		s.atNode[address] = f.client.nodeAtAddress(f.record, address) != ""
	}
	s.newest = f.newest(s)
	s.Warnings = f.unvouched(s)
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
