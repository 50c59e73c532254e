package meshclient

import (
	"context"
	"fmt"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// send commits the proposal to everyone who prepared it. From here on no
// caller can stop it: half a commit helps nobody.
func (r *commitRun) send(ctx context.Context, p *proposal) (again bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	hash, start := p.next.Hash(), time.Now()
	var prepared []*member
	for _, a := range p.answers {
		if a.err == nil {
			prepared = append(prepared, a.member)
		}
	}
	sent := make([]answer, len(prepared))
	each(prepared, func(i int, m *member) { sent[i] = r.commitOne(ctx, m, p.next.Generation, hash) })
	r.cache.drop()
	taken, unknown := 0, &HostsError{Detail: fmt.Sprintf("The commit of generation %d was sent, and no node could say whether it took it. "+
		"Run the apply again: it starts from what the nodes then have.", p.next.Generation)}
	for _, a := range sent {
		switch {
		case a.err == nil:
			taken++
			delete(r.held, a.ep.key())
		case a.unknown:
			unknown.Hosts = append(unknown.Hosts, HostFailure{a.String(), a.err})
		}
	}
	switch {
	case taken == 0 && len(unknown.Hosts) > 0:
		return r.fail(ctx, p.ops, unknown)
	case taken == 0:
		// Nobody has it: every lease had run out, as when this machine slept.
		if r.redone++; r.redone > maxRedo {
			return r.fail(ctx, p.ops, &BusyError{time.Since(r.began), "The leases ran out before the commit, again and again."})
		}
		r.batch.again(p.ops)
		return true
	}
	r.log(ctx, "committed", map[string]any{
		"generation": p.next.Generation, "operations": len(p.ops), "nodes": taken, "of": len(p.members), "took": time.Since(start).String(),
	})
	r.deliver(p, sent)
	return false
}

// commitOne sends the commit to one member. If the connection breaks, what the
// member has is what counts; only if that is the old record is it sent again.
func (r *commitRun) commitOne(ctx context.Context, m *member, generation uint64, hash string) answer {
	for try := 0; ; try++ {
		var got mesh.CommitResponse
		err := r.do(ctx, m.ep, call{
			path: mesh.PathCommit, body: mesh.CommitRequest{Holder: r.holder, Generation: generation, Hash: hash}, answer: &got,
			timeout: commitTimeout, patience: readPatience,
		})
		if err == nil {
			return answer{member: m, problems: got.Problems}
		}
		if isRefusal(err) && try == 0 {
			return answer{member: m, err: err}
		}
		s, statusErr := r.settled(ctx, m.ep, hash)
		switch {
		case statusErr != nil:
			return answer{member: m, err: err, unknown: true}
		case s.Hash == hash || s.Generation > generation:
			return answer{member: m, problems: s.Problems}
		case try > 0:
			return answer{member: m, err: err}
		}
	}
}

// settled asks for a member's state, and again while it is still applying the
// record that it has taken.
func (r *commitRun) settled(ctx context.Context, ep *endpoint, hash string) (*mesh.Status, error) {
	for {
		s, err := r.status(ctx, ep, hash, readPatience)
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
func (r *commitRun) deliver(p *proposal, sent []answer) {
	outcome := map[*operation]*ProblemsError{}
	blame := func(op *operation, n NodeProblem) {
		if outcome[op] == nil {
			outcome[op] = &ProblemsError{Committed: true}
		}
		outcome[op].Problems = append(outcome[op].Problems, n)
	}
	warnings := append(append([]string{}, p.snap.Warnings...), r.failures...)
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
		if a.err != nil && a.node == "" && (isNoAgent(a.err) || p.snap.Record == nil) {
			continue // a host that keeps no record; CreateCluster says why
		}
		if a.err != nil {
			text := a.lag(p.next, a.err)
			if a.joining != nil {
				blame(a.joining, NodeProblem{a.name(), mesh.Problem{Object: mesh.NodeObject(a.node), Text: text}})
			} else {
				warnings = append(warnings, text)
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
	for _, op := range p.ops {
		result := &Result{Record: p.next, Status: p.statuses(), Warnings: unique(warnings)}
		if e := outcome[op]; e != nil {
			r.batch.end(op, result, e)
		} else {
			r.batch.end(op, result, nil)
		}
	}
}
