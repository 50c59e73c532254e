package meshclient

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// member is one agent that a commit goes to: a host of the provider block, a
// node, or both in one.
type member struct {
	ep      *sshdial.Endpoint
	host    string // its entry in Config.Hosts, "" for none
	node    string // its name in the next record, "" when it only keeps it
	voter   string // its address among the voters of now or next, "" for none
	back    bool   // the snapshot had not reached it, and view is newer
	view    NodeView
	joining *operation // that brings it in or changes it
}

func (m *member) String() string { return m.ref().Words() }

func (m *member) ref() mesh.Ref {
	if m.node != "" {
		return mesh.NodeRef(m.node)
	}
	return mesh.HostRef(cmp.Or(m.host, m.voter))
}

// name is what a NodeProblem calls it.
func (m *member) name() string { return cmp.Or(m.node, m.ep.Address()) }

// absent says that there is no agent to send anything to. Only what could not
// be reached a moment ago is tried again.
func (m *member) absent() bool {
	return m.view.Err != nil && !isUnreachable(m.view.Err)
}

// members lists whom the next record goes to, each machine once.
func (c *Client) members(snap *Snapshot, next *mesh.Record, ops []*operation) []*member {
	var list []*member
	for i, ep := range c.hosts {
		entry := c.cfg.Hosts[i]
		list = append(list, &member{ep: ep, host: entry, view: snap.Hosts[entry].NodeView})
	}
	hosts := list
	joins := map[string]*operation{}
	for _, op := range ops {
		if op.join != nil {
			joins[op.join.node] = op
		}
	}
	for _, name := range next.NodeNames() {
		m := c.nodeMember(snap, next.Nodes[name], joins[name])
		if h := c.hostMember(hosts, next, m); h != nil {
			if h.ep.Key() == m.ep.Key() {
				h.ep = m.ep // it knows the host key of the record
			}
			if h.node, h.joining = name, m.joining; m.joining != nil {
				h.view = m.view
			}
			continue
		}
		list = append(list, m)
	}
	return c.withVoters(list, snap, next)
}

// withVoters says which members are voters, and adds those that are neither hosts of
// this provider nor nodes.
func (c *Client) withVoters(list []*member, snap *Snapshot, next *mesh.Record) []*member {
	for _, address := range quorum(slices.Concat(snap.quorum, next.Voters.Sets())).voters() {
		name := c.nodeAtAddress(next, address)
		i := slices.IndexFunc(list, func(m *member) bool {
			return m.voter == "" && (m.ep.CanonicalAddress() == address || (name != "" && m.node == name))
		})
		if i >= 0 {
			list[i].voter = address
			continue
		}
		ep, err := c.voterEndpoint(snap.Record, address)
		view := snap.voters[address]
		if err != nil {
			ep, view = sshdial.Unroutable(address, address), NodeView{Err: err}
		}
		list = append(list, &member{ep: ep, voter: address, view: view})
	}
	return list
}

func (c *Client) nodeMember(snap *Snapshot, n *mesh.Node, op *operation) *member {
	if op != nil {
		return &member{ep: op.join.ep, node: n.Name, view: NodeView{Status: op.join.status}, joining: op}
	}
	m := &member{node: n.Name, view: snap.Nodes[n.Name]}
	ep, err := c.nodeEndpoint(n)
	if err != nil {
		ep, m.view = sshdial.Unroutable(n.Name, n.Address.String()), NodeView{Err: err}
	}
	m.ep = ep
	return m
}

// hostMember finds the provider's host that is the same machine as node m.
func (c *Client) hostMember(hosts []*member, next *mesh.Record, m *member) *member {
	if m.joining == nil {
		ep := c.hostOf(next, m.node, func(ep *sshdial.Endpoint) *mesh.Status {
			return hosts[slices.Index(c.hosts, ep)].view.Status
		})
		if ep == nil {
			return nil
		}
		return hosts[slices.Index(c.hosts, ep)]
	}
	for _, h := range hosts {
		if h.ep.Key() == m.ep.Key() || c.sameMachine(h.ep, h.view.Status, m.ep, m.view.Status) {
			return h
		}
	}
	return nil
}

// sameMachine recognises a host that is reached by two names: it would be sent
// the record twice at once. Two answers of one start of the agent are of one
// host; an agent that was restarted in between, or is too old to say, is told by
// the rest. Clones may share a host key or addresses behind NAT; that they share
// both and the host name is left out of account.
func (c *Client) sameMachine(a *sshdial.Endpoint, as *mesh.Status, b *sshdial.Endpoint, bs *mesh.Status) bool {
	if as != nil && bs != nil && as.Instance != "" && as.Instance == bs.Instance {
		return true
	}
	ka, kb := c.pool.Seen(a), c.pool.Seen(b)
	return as != nil && bs != nil && ka != "" && ka == kb &&
		as.Host.Hostname == bs.Host.Hostname && slices.Equal(addressesOf(&as.Host), addressesOf(&bs.Host))
}

// addressesOf lists the host's addresses, sorted.
func addressesOf(h *mesh.HostFacts) []string {
	set := map[string]bool{}
	for _, i := range h.Interfaces {
		for _, a := range i.Addresses {
			if !a.Addr().IsLoopback() {
				set[a.Addr().String()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// lag is why a member does not have the next record: a sentence without its subject.
func (m *member) lag(next *mesh.Record, err error) (code mesh.ProblemCode, predicate string) {
	keeps := "keeps what it has"
	if s := m.view.Status; s != nil && s.Generation > 0 {
		keeps = fmt.Sprintf("keeps serving generation %d", s.Generation)
	}
	switch u, unreachable := asUnreachable(err); {
	case unreachable:
		return mesh.ProblemUnreachable, fmt.Sprintf("cannot be reached (%s: %v); it %s and is brought level by the next apply.", u.Address, u.Err, keeps)
	case agentapi.IsNoAgent(err):
		return mesh.ProblemNoAgent, fmt.Sprintf("has no agent any more (%v); it takes no part in the mesh until an apply joins it again.", err)
	}
	return mesh.ProblemLagging, fmt.Sprintf("did not take generation %d (%v); it %s and is brought level by the next apply.", next.Generation, err, keeps)
}
