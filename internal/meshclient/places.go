package meshclient

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// places are the hosts and nodes that the Terraform state knows. They are asked
// only when all of the provider's hosts answer and none has a record: the hosts
// may have been reinstalled, or the provider may name the wrong ones, and then
// the cluster is not gone. The state must not be emptied because of that, and no
// second cluster be made.
type places struct {
	mu    sync.Mutex
	known map[string]*place // by cluster and route
}

// place is one of them. It is asked once in the life of the client.
type place struct {
	cluster string
	ref     mesh.Ref // a node or a host
	ep      *sshdial.Endpoint

	mu    sync.Mutex
	asked bool
	view  NodeView
}

// RememberHost says that the Terraform state knows address ("host:port") as a
// host of the cluster. A bastion is none.
func (c *Client) RememberHost(cluster, address string) {
	if slices.ContainsFunc(c.bastions(), func(ep *sshdial.Endpoint) bool { return ep.Address() == address }) {
		return
	}
	if ep, err := c.router.Host(address); err == nil {
		c.places.add(&place{cluster: cluster, ref: mesh.HostRef(address), ep: ep})
	}
}

// RememberNode says that the Terraform state knows n as a node of the cluster.
func (c *Client) RememberNode(cluster string, n mesh.Node) {
	if !n.Address.IsValid() && n.SSH.Host == "" {
		return
	}
	if ep, err := c.nodeEndpoint(&n); err == nil {
		c.places.add(&place{cluster: cluster, ref: mesh.NodeRef(n.Name), ep: ep})
	}
}

// add keeps one place per route. A node's says how to log in, a host's does not.
func (p *places) add(one *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := one.cluster + " " + one.ep.Route()
	if old := p.known[key]; old == nil || (old.ref.Kind == mesh.KindHost && one.ref.Kind == mesh.KindNode) {
		if p.known == nil {
			p.known = map[string]*place{}
		}
		p.known[key] = one
	}
}

func (p *places) all() []*place {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Collect(maps.Values(p.known))
	slices.SortFunc(list, func(a, b *place) int { return cmp.Or(cmp.Compare(a.cluster, b.cluster), a.ref.Compare(b.ref)) })
	return list
}

func (p *place) String() string {
	if p.ref.Kind == mesh.KindHost {
		return p.ref.Words()
	}
	return fmt.Sprintf("%s (%s)", p.ref.Words(), p.ep.Address())
}

func (p *place) ask(ctx context.Context, c *Client) NodeView {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		s, err := c.agents.Status(ctx, p.ep, "", agentapi.ReadPatience)
		if err != nil {
			s = nil
		}
		p.view, p.asked = NodeView{s, err}, ctx.Err() == nil
	}
	return p.view
}

// elsewhere asks the places that the state knows, where none of the provider's
// hosts has a record. It returns a *LostError when one of them has the record of
// its cluster, or, without force, when one of them cannot be asked: unreachable
// is not gone.
func (c *Client) elsewhere(ctx context.Context, s *Snapshot, force bool) error {
	if s.Record != nil {
		return nil
	}
	others, was := c.otherPlaces()
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for _, p := range others {
		g.Go(func() error { p.ask(ctx, c); return nil })
	}
	_ = g.Wait() // every error is in its view
	if err := ctx.Err(); err != nil {
		return err
	}
	lost := &LostError{}
	for _, p := range others {
		switch v := p.ask(ctx, c); {
		case v.Err != nil && !agentapi.IsNoAgent(v.Err):
			lost.Silent = append(lost.Silent, HostFailure{p.ref.Words(), v.Err})
			lost.Cluster = cmp.Or(lost.Cluster, p.cluster)
		case v.Status != nil && v.Status.Record != nil && v.Status.Record.Cluster.Name == p.cluster:
			lost.Have = append(lost.Have, p.String())
			lost.Address, lost.Cluster = cmp.Or(lost.Address, p.ep.Address()), p.cluster
		}
	}
	if len(lost.Have) == 0 && (force || len(lost.Silent) == 0) {
		return nil
	}
	for _, ep := range c.hosts {
		lost.Hosts = append(lost.Hosts, LostHost{ep.Name, agentapi.IsNoAgent(s.Hosts[ep.Name].Err), was[ep.Route()]})
	}
	return lost
}

// otherPlaces returns the places that are none of the provider's hosts, and
// which routes the state knows.
func (c *Client) otherPlaces() (others []*place, was map[string]bool) {
	was = map[string]bool{}
	asked := map[string]bool{}
	for _, ep := range c.hosts {
		asked[ep.Route()] = true
	}
	for _, p := range c.places.all() {
		was[p.ep.Route()] = true
		if !asked[p.ep.Route()] {
			others = append(others, p)
		}
	}
	return others, was
}

// LostError says that the provider's hosts have no record of a cluster that the
// Terraform state knows and that is not gone, or may not be. Nothing was changed.
type LostError struct {
	Cluster string
	Hosts   []LostHost
	// Have are the hosts and nodes that have the record, in words; Address is the
	// SSH address of one of them.
	Have    []string
	Address string
	// Silent are those that could not be asked.
	Silent []HostFailure
}

// LostHost is a host of the provider without the record.
type LostHost struct {
	Host    string // as configured
	NoAgent bool
	Known   bool // the state knows it as a host or node of the cluster
}

func (h LostHost) String() string {
	has := "has an agent and no record"
	if h.NoAgent {
		has = "has no agent"
	}
	if h.Known {
		return fmt.Sprintf("%s %s now. It was in the cluster: was it reinstalled?", h.Host, has)
	}
	return fmt.Sprintf("%s %s, and the state does not know it as a host or node of the cluster. Is it the wrong host (another inventory or workspace)?", h.Host, has)
}

func (e *LostError) Error() string {
	var b strings.Builder
	if len(e.Have) > 0 {
		fmt.Fprintf(&b, "The cluster %q exists: %s has its record. The provider's hosts do not have it:", e.Cluster, e.Have[0])
	} else {
		fmt.Fprintf(&b, "The provider's hosts do not have the record of the cluster %q:", e.Cluster)
	}
	allKnown := true
	for _, h := range e.Hosts {
		fmt.Fprintf(&b, "\n%s", h)
		allKnown = allKnown && h.Known
	}
	if len(e.Have) == 0 {
		b.WriteString("\nThese belong to the cluster, could not be asked, and may have it:")
		for _, f := range e.Silent {
			fmt.Fprintf(&b, "\n%s: %v", f.Host, f.Err)
		}
	}
	b.WriteString("\nNothing was changed, and the state is kept. ")
	switch {
	case len(e.Have) > 0 && allKnown:
		fmt.Fprintf(&b, "Set hosts = [%q] and apply: that installs the agent again on a reinstalled host that is a node, and gives it the record. Then set hosts back.", e.Address)
	case len(e.Have) > 0:
		fmt.Fprintf(&b, "Name the cluster's own hosts in hosts, for example hosts = [%q].", e.Address)
	case allKnown:
		fmt.Fprintf(&b, "Bring them back, or, if the cluster is gone for good, remove its resources from the state (terraform state rm) and apply.")
	default:
		b.WriteString("Name the cluster's own hosts in hosts, and make sure that they can be reached. " +
			"If the cluster is gone for good, remove its resources from the state (terraform state rm) and apply.")
	}
	return b.String()
}
