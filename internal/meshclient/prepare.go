package meshclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
)

// each calls f for every member at the same time, and waits for all.
func each(members []*member, f func(int, *member)) {
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for i, m := range members {
		g.Go(func() error {
			f(i, m)
			return nil
		})
	}
	_ = g.Wait()
}

func (r *commitRun) prepareAll(ctx context.Context, p *proposal) {
	p.answers = make([]answer, len(p.members))
	for _, m := range p.members {
		if !m.absent() {
			r.held[m.ep.Key()] = m
		}
	}
	each(p.members, func(i int, m *member) {
		a := answer{member: m, err: cmp.Or(r.uninstalled[m.ep.Key()], m.view.Err)}
		if isUnreachable(a.err) {
			// It may be back, and then its agent may be of any version.
			m.view.Status, a.err = r.agents.Status(ctx, m.ep, "", agentapi.ReadPatience)
			m.back = true
		}
		if a.err == nil {
			a.problems, a.silent, a.err = r.prepare(ctx, m, p)
		}
		p.answers[i] = a
	})
}

// prepare asks one member. One that cannot use the change, or has another record than
// it had when it was asked, is sent the whole record. It is silent, that is without a
// vote, if it has no record, or not the one any more that it was judged by.
func (r *commitRun) prepare(ctx context.Context, m *member, p *proposal) (problems []mesh.Problem, silent bool, err error) {
	req := p.request(m)
	req.Holder = r.holder
	silent = p.snap.Record != nil && m.view.hash() == ""
	problems, err = r.agents.Prepare(ctx, m.ep, req)
	replaces, moved, again := p.asWhole(req, m.view.hash(), err)
	if !again {
		return problems, silent, err
	}
	req = p.whole(m, replaces)
	req.Holder = r.holder
	problems, err = r.agents.Prepare(ctx, m.ep, req)
	return problems, silent || moved, err
}

func refusedAsStale(err error) (*mesh.Refusal, bool) {
	r, ok := errors.AsType[*mesh.Refusal](err)
	return r, ok && r.Code == mesh.Stale
}

// letGo gives back every lease that may be held. It is done even when every
// caller has left: other writers would wait for LeaseTTL.
func (r *commitRun) letGo(ctx context.Context) {
	if len(r.held) == 0 {
		return
	}
	ctx, cancel := r.detach(ctx, agentapi.AbortTimeout)
	defer cancel()
	var held []*member
	for _, m := range r.held {
		held = append(held, m)
	}
	clear(r.held)
	each(held, func(_ int, m *member) {
		if err := r.agents.Abort(ctx, m.ep, r.holder); err != nil {
			r.log(ctx, "the lease could not be given back", map[string]any{"host": m.ep.Address(), "error": err.Error()})
		}
	})
}

// upgrade replaces agents that are not this provider's, and installs those that a
// majority of the voters lacks. true means that it did something, and that the
// snapshot is to be taken again.
func (r *commitRun) upgrade(ctx context.Context, snap *Snapshot, members []*member) bool {
	var old []*member
	for _, m := range members {
		if m.joining == nil && (r.replaceable(m.view) || r.missing(snap, m)) {
			old = append(old, m)
		}
	}
	if r.upgraded || len(old) == 0 {
		return false
	}
	r.upgraded = true
	errs := make([]error, len(old))
	each(old, func(i int, m *member) {
		r.log(ctx, "replacing the agent", map[string]any{"host": m.ep.Address()})
		errs[i] = r.agents.Install(ctx, m.ep)
	})
	for i, err := range errs {
		switch m := old[i]; {
		case err == nil:
		case agentapi.IsNoAgent(m.view.Err):
			r.uninstalled[m.ep.Key()] = fmt.Errorf("%w, and it could not be installed again: %w", m.view.Err, err)
		default:
			r.failures = append(r.failures, notice(mesh.ProblemNotUpgraded, m.ref(), "%s keeps an agent of another version, which could not be replaced: %v", m, err))
		}
	}
	r.cache.drop()
	return true
}

// missing says that the member is a voter whose agent somebody has removed, and that
// without such voters there is no majority. The record may still be on its disk: with
// an agent it votes again. Where there is a majority it is the node's own update that
// installs the agent.
func (r *commitRun) missing(snap *Snapshot, m *member) bool {
	return m.voter != "" && agentapi.IsNoAgent(m.view.Err) && snap.Record != nil && !snap.quorum.majority(func(address string) bool {
		return snap.voters[address].Status != nil
	})
}

// replaceable says that another agent runs there, and not one that is too new.
func (c *Client) replaceable(v NodeView) bool {
	if v.Status != nil {
		return c.agents.Outdated(v.Status)
	}
	if c.agents.TooOld(v.Err) {
		return true
	}
	other, ok := errors.AsType[*agentapi.VersionError](v.Err)
	return ok && other.API < mesh.APIVersion
}
