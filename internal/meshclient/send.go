package meshclient

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// send commits the proposal to everyone who prepared it. From here on no
// caller can stop it: half a commit helps nobody.
func (r *commitRun) send(ctx context.Context, p *proposal) (again bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	start := time.Now()
	var prepared []*member
	for _, a := range p.answers {
		if a.err == nil {
			prepared = append(prepared, a.member)
		}
	}
	sent := make([]answer, len(prepared))
	each(prepared, func(i int, m *member) { sent[i] = r.commitOne(ctx, m, p.next.Generation, p.hash) })
	r.sendAgain(ctx, p, sent)
	r.cache.committed(p.left(r.Client, sent))
	taken := 0
	for _, a := range sent {
		if a.err == nil {
			taken++
			delete(r.held, a.ep.Key())
		}
	}
	switch {
	case taken == 0:
		return r.notTaken(ctx, p, sent)
	case !p.taken(sent):
		r.endAll(ctx, p, p.notTakenBy(sent), ProblemsError{Committed: true, Unknown: true})
		return false
	}
	r.log(ctx, "committed", map[string]any{
		"generation": p.next.Generation, "operations": len(p.ops), "nodes": taken, "of": len(p.members), "took": time.Since(start).String(),
	})
	r.deliver(p, sent, r.reach(ctx, p, sent))
	return false
}

// taken says that more than half of the voters have the record, of each of their
// sets. One that had no vote does not count: it has forgotten what it promised.
func (p *proposal) taken(sent []answer) bool {
	has := map[string]bool{}
	for _, a := range sent {
		has[a.voter] = a.err == nil && !p.isSilent(a.member)
	}
	return p.quorum.majority(func(address string) bool { return has[address] })
}

func (p *proposal) isSilent(m *member) bool {
	return slices.ContainsFunc(p.answers, func(a answer) bool { return a.member == m && a.silent })
}

// notTakenBy are the voters that are not known to have it.
func (p *proposal) notTakenBy(sent []answer) (list []answer) {
	for _, a := range slices.Concat(sent, p.answers) {
		if a.voter != "" && a.err != nil {
			list = append(list, a)
		}
	}
	return list
}

// maxSendAgain is how often a commit is sent again to voters that have lost the lease.
const maxSendAgain = 3

// sendAgain sends a commit that some voter has taken, and too few of them, to those
// that have lost the lease in between, as agents do that are restarted.
func (r *commitRun) sendAgain(ctx context.Context, p *proposal, sent []answer) {
	some := slices.ContainsFunc(sent, func(a answer) bool { return a.err == nil || a.unknown })
	for try := 0; some && try < maxSendAgain && !p.taken(sent); try++ {
		var lost []*member
		var at []int
		for i := range sent {
			if sent[i].voter != "" && sent[i].refusal(mesh.NotPrepared) != nil {
				lost, at = append(lost, sent[i].member), append(at, i)
			}
		}
		each(lost, func(i int, m *member) {
			if _, silent, err := r.prepare(ctx, m, p); err == nil && !silent {
				sent[at[i]] = r.commitOne(ctx, m, p.next.Generation, p.hash)
			}
		})
	}
}

// notTaken ends a commit that nobody is known to have.
func (r *commitRun) notTaken(ctx context.Context, p *proposal, sent []answer) (again bool) {
	var unknown, refused []answer
	for _, a := range sent {
		switch {
		case a.unknown:
			unknown = append(unknown, a)
		case a.refusal(mesh.NotPrepared) == nil:
			refused = append(refused, a)
		}
	}
	switch {
	case len(unknown) > 0:
		r.endAll(ctx, p, unknown, ProblemsError{Committed: true, Unknown: true})
		return false
	case len(refused) > 0:
		r.endAll(ctx, p, refused, ProblemsError{})
		return false
	}
	// Every lease had run out, as when this machine slept.
	if r.redone++; r.redone > maxRedo {
		return r.fail(ctx, p.ops, &BusyError{time.Since(r.began), "The leases ran out before the commit, again and again."})
	}
	r.batch.again(p.ops)
	return true
}

// endAll ends every operation with what the members said, in an error of the
// given kind.
func (r *commitRun) endAll(ctx context.Context, p *proposal, said []answer, kind ProblemsError) {
	r.letGo(ctx)
	for _, op := range p.ops {
		e := kind
		for _, a := range said {
			code, text := mesh.ProblemRefused, a.err.Error()
			switch {
			case kind.Unknown && !a.unknown:
				code, text = mesh.ProblemUnconfirmed, fmt.Sprintf("too few of the cluster's voters have taken generation %d, and this one has not (%s). Run the apply again: "+
					"it starts from what the voters then have", p.next.Generation, strings.TrimSuffix(text, "."))
			case kind.Unknown:
				code, text = mesh.ProblemUnconfirmed, fmt.Sprintf("generation %d was sent, and whether the node took it could not be learned (%s). Run the apply again: "+
					"it starts from what the nodes then have", p.next.Generation, strings.TrimSuffix(text, "."))
			}
			e.Problems = append(e.Problems, NodeProblem{a.name(), mesh.Problem{Code: code, Object: op.objects[0], Text: prose.Sentence(text)}})
		}
		var result *Result
		if kind.Committed {
			result = &Result{Record: p.next, Status: p.statuses(), Warnings: p.snap.forkNotices()}
		}
		r.batch.end(op, result, &e)
	}
}

// commitOne sends the commit to one member. If the connection breaks, what the
// member has is what counts; only if that is the old record is it sent again.
func (r *commitRun) commitOne(ctx context.Context, m *member, generation uint64, hash string) answer {
	for try := 0; ; try++ {
		got, err := r.agents.Commit(ctx, m.ep, mesh.CommitRequest{Holder: r.holder, Generation: generation, Hash: hash})
		if err == nil {
			return answer{member: m, problems: got.Problems, warnings: got.Warnings, drains: got.Drains > 0}
		}
		if agentapi.IsRefusal(err) && try == 0 {
			return answer{member: m, err: err}
		}
		s, statusErr := r.settled(ctx, m.ep, hash)
		switch {
		case statusErr != nil:
			return answer{member: m, err: err, unknown: true}
		case s.Hash == hash || (s.Generation > generation && (m.voter == "" || (s.Record != nil && s.Record.Parent == hash))):
			return answer{member: m, problems: s.Problems, warnings: s.Warnings, drains: true} // the answer that would have said it is lost
		case s.Generation > generation:
			return answer{member: m, err: err, unknown: true} // another writer's, made of ours or not
		case try > 0:
			return answer{member: m, err: err}
		}
	}
}

// settled asks for a member's state, and again while it is still applying the
// record that it has taken.
func (r *commitRun) settled(ctx context.Context, ep *sshdial.Endpoint, hash string) (*mesh.Status, error) {
	for {
		s, err := r.agents.Status(ctx, ep, hash, agentapi.ReadPatience)
		if err != nil || s.Hash != hash || s.AppliedGeneration == s.Generation || len(s.Problems) > 0 {
			return s, err
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return s, nil
		}
	}
}

// deliver tells every operation what came of it.
func (r *commitRun) deliver(p *proposal, sent []answer, reach []Notice) {
	outcome := map[*operation]*ProblemsError{}
	blame := func(op *operation, n NodeProblem) {
		if outcome[op] == nil {
			outcome[op] = &ProblemsError{Committed: true}
		}
		outcome[op].Problems = append(outcome[op].Problems, n)
	}
	warnings := append(p.snap.forkNotices(), r.failures...)
	for _, a := range p.answers {
		warnings = append(warnings, p.unowned(a)...)
	}
	all := append([]answer{}, sent...)
	for _, a := range p.answers {
		if a.err != nil {
			all = append(all, a)
		}
	}
	for _, a := range all {
		if a.err != nil && a.node == "" && (agentapi.IsNoAgent(a.err) || p.snap.Record == nil) {
			continue // a host that keeps no record; CreateCluster says why
		}
		if a.err != nil {
			code, predicate := a.lag(p.next, a.err)
			if a.joining != nil {
				blame(a.joining, NodeProblem{a.name(), mesh.Problem{Code: code, Object: mesh.NodeRef(a.node), Text: "It " + predicate}})
			} else {
				warnings = append(warnings, notice(code, a.ref(), "%s %s", a.member, predicate))
			}
			continue
		}
		for _, problem := range a.problems {
			owners := p.owners(a.member, problem)
			for _, op := range owners {
				blame(op, NodeProblem{a.name(), problem})
			}
			if len(owners) == 0 {
				warnings = append(warnings, otherProblem(a.member, problem))
			}
		}
	}
	drains, fresh, joining := p.draining(sent), newWarnings(sent, reach), p.joining()
	for _, op := range p.ops {
		result := &Result{Record: p.next, Status: p.statuses(), Warnings: unique(warnings), Traffic: warningsFor(op, fresh, joining), draining: drains}
		if op.join != nil {
			result.Warnings = unique(append(result.Warnings, reach...))
		}
		if e := outcome[op]; e != nil {
			r.batch.end(op, result, e)
		} else {
			r.batch.end(op, result, nil)
		}
	}
}
