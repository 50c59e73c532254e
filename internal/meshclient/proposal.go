package meshclient

import (
	"errors"
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
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
	quorum  quorum // that has to agree: the voters of now, and those of next
}

// newProposal is what a commit asks for. The snapshot's voters decide on it, and those
// of the next record.
func newProposal(snap *Snapshot, next *mesh.Record, ops []*operation, members []*member) *proposal {
	p := &proposal{snap: snap, next: next, hash: next.Hash(), ops: ops, members: members, quorum: slices.Clone(snap.quorum)}
	for _, set := range next.Voters.Sets() {
		if !slices.ContainsFunc(p.quorum, func(other []string) bool { return slices.Equal(set, other) }) {
			p.quorum = append(p.quorum, set)
		}
	}
	if snap.Record != nil {
		p.change = mesh.Diff(snap.Record, next)
		p.change.Base, p.change.Hash = snap.hash, p.hash
	}
	return p
}

// request is what the member is asked to prepare: a change where it is known to
// have what that changes, else the whole record.
func (p *proposal) request(m *member) mesh.PrepareRequest {
	if s := m.view.Status; p.change != nil && s != nil && s.Hash == p.change.Base {
		return mesh.PrepareRequest{Node: m.node, Vote: m.voter != "", Change: p.change}
	}
	return p.whole(m, m.view.hash())
}

// whole is the request with the whole record, to a member that has the record of
// the hash replaces.
func (p *proposal) whole(m *member, replaces string) mesh.PrepareRequest {
	return mesh.PrepareRequest{Node: m.node, Vote: m.voter != "", Replaces: replaces, Record: p.next}
}

// asWhole says that a member which was sent a request, and answered err, is to be sent
// the whole record: it has an agent that makes another record of a change, or knows none,
// or it has moved, that is it has another record, replaces, than it had a moment ago. A
// record that was not judged, neither older than the snapshot's nor that one itself, is
// not replaced.
func (p *proposal) asWhole(sent mesh.PrepareRequest, had string, err error) (replaces string, moved, again bool) {
	if has, stale := refusedAsStale(err); stale {
		judged := p.snap.Record != nil && (has.Generation < p.snap.Record.Generation || has.Hash == p.snap.hash)
		return has.Hash, true, judged && has.Hash != had
	}
	r, refused := errors.AsType[*mesh.Refusal](err)
	return had, false, refused && sent.Record == nil && r.Code != mesh.Busy && r.Code != mesh.Foreign
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
	// silent is a voter's that agreed and has no vote: it has lost its record, or did
	// just before.
	silent bool
}

// refusal returns what the agent itself refused, nil for other errors.
func (a *answer) refusal(code mesh.RefusalCode) *mesh.Refusal {
	if r, ok := errors.AsType[*mesh.Refusal](a.err); ok && r.Code == code {
		return r
	}
	return nil
}

// ahead says that a member has a newer record than the one that the proposal was
// made of, or a voter another one than was judged, or a promise to a newer writer.
func (p *proposal) ahead() bool {
	var base uint64
	if p.snap.Record != nil {
		base = p.snap.Record.Generation
	}
	for i := range p.answers {
		a := &p.answers[i]
		if s := a.refusal(mesh.Stale); s != nil && p.honest(s.Generation) && p.honest(s.Promised) {
			if s.Generation > base || (a.voter != "" && (s.Promised >= p.next.Generation || (s.Generation == base && s.Hash != a.view.hash()))) {
				return true
			}
		}
		if st := a.view.Status; a.back && a.voter != "" && st != nil && st.Generation >= base && st.Hash != p.snap.hash {
			return true
		}
	}
	return false
}

// honest is false for a generation that is further ahead than commits can have brought
// it: to look again would not help.
func (p *proposal) honest(generation uint64) bool {
	return generation <= p.next.Generation+mesh.MaxGenerationJump
}

// superseded decides again which record counts, with what the voters have that have
// granted a lease: they keep it until the commit. The snapshot's answers are of
// different moments, and what the others have is not known any more.
func (p *proposal) superseded() bool {
	if p.snap.Record == nil {
		return false
	}
	b := ballot{p.snap.quorum, map[string]vote{}}
	for i := range p.answers {
		if a := &p.answers[i]; a.voter != "" && a.err == nil && !a.silent {
			b.votes[a.voter] = vote{a.view.Status.Generation, a.view.Status.Hash}
		}
	}
	return slices.ContainsFunc(b.quorum, func(set []string) bool {
		r := ballot{quorum{set}, b.votes}.decide()
		for _, v := range b.votes {
			if v.hash == r.hash && r.heard {
				return v.hash != p.snap.hash && v.generation >= p.snap.Record.Generation
			}
		}
		return false
	})
}

func (p *proposal) busy() *mesh.Refusal {
	for i := range p.answers {
		if b := p.answers[i].refusal(mesh.Busy); b != nil {
			return b
		}
	}
	return nil
}

// majority counts the leases of the voters: more than half of each of their sets
// must have agreed. A voter that cannot be heard, or has no record, counts against,
// except in the founding of the cluster, when none has one.
func (p *proposal) majority() (bool, error) {
	granted := map[string]bool{}
	refused := &HostsError{}
	for _, a := range p.answers {
		switch {
		case a.voter == "":
		case a.err != nil:
			refused.Hosts = append(refused.Hosts, HostFailure{a.voter, a.err})
		case a.silent:
			refused.Hosts = append(refused.Hosts, HostFailure{a.voter, errNoRecord})
		default:
			granted[a.voter] = true
		}
	}
	all := len(p.quorum.voters())
	refused.Detail = fmt.Sprintf("Nothing was changed: a change needs the agreement of more than half of the cluster's %s (so that two writers cannot "+
		"both succeed), and %d agreed:", counted(all, "voter"), len(granted))
	if all == 0 {
		refused.Detail = "Nothing was changed: none of the provider's hosts has an agent any more, so that nobody can keep the writers apart. " +
			"Name other nodes of the cluster in hosts."
	}
	return all > 0 && p.quorum.majority(func(address string) bool { return granted[address] }), refused
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
