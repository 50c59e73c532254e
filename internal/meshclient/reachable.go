package meshclient

import (
	"context"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
)

// silent lists who would not take the change, where the provider is to refuse
// it then. They are asked anew first: the snapshot may be from before they came
// back.
func (r *commitRun) silent(p *proposal) []HostFailure {
	var failures []HostFailure
	for _, m := range p.members {
		if !r.replaceable(m.view) && (r.upgraded || !r.missing(p.snap, m)) {
			failures = append(failures, r.missed(p, m, m.view.Err)...)
		}
	}
	return failures
}

// unprepared is silent for those who were asked to prepare.
func (r *commitRun) unprepared(p *proposal) []HostFailure {
	var failures []HostFailure
	for _, a := range p.answers {
		failures = append(failures, r.missed(p, a.member, a.err)...)
	}
	return failures
}

// missed is the failure of a member that the change must not go without. It may
// go without a host that has no agent, which keeps no record, and without one
// that a forced removal gives up.
func (r *commitRun) missed(p *proposal, m *member, err error) []HostFailure {
	all := r.cfg.OnUnreachable == UnreachableFail && slices.ContainsFunc(p.ops, func(op *operation) bool { return op.gone == nil })
	if !all || err == nil || (m.node == "" && agentapi.IsNoAgent(err)) {
		return nil
	}
	for _, op := range p.ops {
		if op.gone != nil && op.gone.Route() == m.ep.Route() {
			return nil
		}
	}
	return []HostFailure{{m.String(), err}}
}

// refuse ends what must not go without the silent ones. The forced removal of a
// node whose host is gone goes on by itself: of two such nodes neither could be
// removed otherwise.
func (r *commitRun) refuse(ctx context.Context, p *proposal, failures []HostFailure) (again bool) {
	var forced, rest []*operation
	for _, op := range p.ops {
		if op.gone != nil {
			forced = append(forced, op)
		} else {
			rest = append(rest, op)
		}
	}
	if !r.asked {
		r.asked = true
		r.cache.drop()
		return true
	}
	r.letGo(ctx)
	for _, op := range rest {
		r.batch.end(op, nil, &HostsError{unreachableDetail, failures})
	}
	return len(forced) > 0
}

const unreachableDetail = `Nothing was changed: on_unreachable is "fail", and these cannot take the change now. ` +
	`Bring them back, remove them from the cluster, or set on_unreachable = "warn", which changes the others and lets these catch up later:`
