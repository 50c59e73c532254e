package meshclient

import (
	"errors"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
)

// proposal is a next record on its way through the members.
type proposal struct {
	snap    *Snapshot
	next    *mesh.Record
	hash    string       // of next
	change  *mesh.Change // from snap's record to next; nil for the first record
	ops     []*operation
	members []*member
	answers []answer
}

func newProposal(snap *Snapshot, next *mesh.Record, ops []*operation, members []*member) *proposal {
	p := &proposal{snap: snap, next: next, hash: next.Hash(), ops: ops, members: members}
	if snap.Record != nil {
		p.change = mesh.Diff(snap.Record, next)
		p.change.Base, p.change.Hash = snap.hash, p.hash
	}
	return p
}

// request is what the member is asked to prepare: a change where it is known to
// have what that changes. It has the whole record where it refuses the change,
// see asWhole.
func (p *proposal) request(m *member) mesh.PrepareRequest {
	if s := m.view.Status; p.change != nil && s != nil && s.Hash == p.change.Base {
		return mesh.PrepareRequest{Node: m.node, Change: p.change}
	}
	return mesh.PrepareRequest{Node: m.node, Record: p.next}
}

// asWhole says that a member which was sent the change, and answered err, is to
// be sent the whole record: it has another than it had a moment ago, or an agent
// that makes another record of the change, or knows none.
func (p *proposal) asWhole(sent mesh.PrepareRequest, err error) bool {
	r, refused := errors.AsType[*mesh.Refusal](err)
	return refused && sent.Record == nil && r.Code != mesh.Busy && r.Code != mesh.Foreign
}

// answer is what one member said; err nil means that it agreed, perhaps with
// problems.
type answer struct {
	*member
	problems []mesh.Problem
	warnings []mesh.Warning
	err      error
	drains   bool // it may be draining destinations
	unknown  bool // err, and whether it took the record cannot be said
}

// refusal returns what the agent itself refused, nil for other errors.
func (a *answer) refusal(code mesh.RefusalCode) *mesh.Refusal {
	if r, ok := errors.AsType[*mesh.Refusal](a.err); ok && r.Code == code {
		return r
	}
	return nil
}

// ahead says that a member has a newer record than the one that the proposal
// was made of. One that has another record of the same generation is a fork
// instead: it lags, and takes the commit after this one.
func (p *proposal) ahead() bool {
	var base uint64
	if p.snap.Record != nil {
		base = p.snap.Record.Generation
	}
	for i := range p.answers {
		if s := p.answers[i].refusal(mesh.Stale); s != nil && s.Generation > base {
			return true
		}
	}
	return false
}

func (p *proposal) busy() *mesh.Refusal {
	for i := range p.answers {
		if b := p.answers[i].refusal(mesh.Busy); b != nil {
			return b
		}
	}
	return nil
}

// majority counts the leases of the provider's hosts. A host without an agent
// has no vote, except in the founding of the cluster; one that cannot be heard
// counts against.
func (p *proposal) majority() (bool, error) {
	granted, all := 0, 0
	refused := &HostsError{}
	for _, a := range p.answers {
		switch {
		case a.host == "" || (agentapi.IsNoAgent(a.err) && p.snap.Record != nil):
			continue
		case a.err == nil:
			granted++
		default:
			refused.Hosts = append(refused.Hosts, HostFailure{a.host, a.err})
		}
		all++
	}
	refused.Detail = fmt.Sprintf("Nothing was changed: a change needs the agreement of more than half of the provider's %s (so that two writers cannot "+
		"both succeed), and %d agreed:", counted(all, "host"), granted)
	if all == 0 {
		refused.Detail = "Nothing was changed: none of the provider's hosts has an agent any more, so that nobody can keep the writers apart. " +
			"Name other nodes of the cluster in hosts."
	}
	return granted*2 > all, refused
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// unchanged says that the next record has nothing that the snapshot's has not.
func (p *proposal) unchanged() bool { return p.change != nil && p.change.Unchanged(p.snap.Record) }

func firstCreate(ops []*operation) *mesh.Record {
	for _, op := range ops {
		if op.create != nil {
			return op.create
		}
	}
	return nil
}

func statuses(snap *Snapshot) map[string]*mesh.Status {
	all := map[string]*mesh.Status{}
	for name, v := range snap.Nodes {
		if v.Status != nil {
			all[name] = v.Status
		}
	}
	return all
}

// draining is what the members drain once the proposal is committed.
func (p *proposal) draining(sent []answer) *draining {
	d := &draining{before: p.snap.Record, after: p.next}
	for _, a := range sent {
		if a.err == nil && a.node != "" && a.drains {
			d.members = append(d.members, a.member)
		}
	}
	return d
}
