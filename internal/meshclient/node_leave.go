package meshclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// RemoveNode drains a node, takes it out of the record, so that the others stop
// sending to it, and then removes the agent from its host. A node that is not
// in the record is no error. One that is drained and then not removed is a
// *DrainedError; calling again goes on.
//
// The host must answer, or nothing is changed and the error is a *LeaveError:
// its kernel would keep what nobody remembers. With force it need not: the node
// goes out of the record all the same, a warning says what stays on the host,
// and its host key is forgotten, so that a host that is set up anew can join
// under the same name and address.
func (c *Client) RemoveNode(ctx context.Context, cluster, name string, force bool) (*Result, error) {
	defer c.removals.begin(mesh.NodeRef(name), "")()
	snap, err := c.startingPoint(ctx, force)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return &Result{Warnings: snap.forkNotices()}, nil
	}
	if err := inCluster(snap.Record, cluster, mesh.NodeRef(name)); err != nil {
		return nil, err
	}
	l := &leaving{Client: c, name: name, force: force, host: c.hostOf(snap.Record, name, snap.statusAt)}
	found := l.find(snap.Record)
	if l.ep != nil {
		defer c.removals.begin(mesh.Ref{}, l.ep.Route())()
	}
	if !found {
		return l.commit(ctx, cluster) // it has gone; who has not heard of it yet is told
	}
	if err := l.ask(ctx, snap); err != nil {
		return nil, err
	}
	drained, err := l.drain(ctx, cluster, snap)
	if err != nil {
		return nil, err
	}
	result, err := l.commit(ctx, cluster)
	if result == nil && drained {
		return nil, &DrainedError{name, err}
	}
	if result == nil || outcomeUnknown(err) {
		return result, err
	}
	cleanErr := l.clean(ctx, result)
	if err == nil {
		err = cleanErr
	}
	return result, err
}

// leaving is a node on its way out.
type leaving struct {
	*Client
	name  string
	force bool
	ep    *sshdial.Endpoint // as the record has it; else as the provider has it
	host  *sshdial.Endpoint // the provider's host that it is, nil for none
	// silent is why the host cannot be asked, elsewhere whose it is by now.
	silent    error
	elsewhere string
	answers   bool // its agent does, and has the record as this node
	// entered is told who still comes in through the node; nil for nobody.
	entered func(*mesh.Drains)
}

// find tells whether there is anything to remove.
func (l *leaving) find(r *mesh.Record) bool {
	l.ep = l.host
	n := r.Nodes[l.name]
	if n == nil {
		return l.ep != nil
	}
	ep, err := l.nodeEndpoint(n)
	if err != nil {
		// No way leads there; the name is enough to take it out.
		ep, l.silent = sshdial.Unroutable(l.name, n.Address.String()), err
	}
	l.ep = ep
	return true
}

// ask makes sure that the host can be cleaned after the commit.
func (l *leaving) ask(ctx context.Context, snap *Snapshot) error {
	var s *mesh.Status
	r := snap.Record
	if l.silent == nil {
		s, l.silent = l.agents.Status(ctx, l.ep, snap.hash, l.cfg.SSH.Timeout)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case agentapi.IsNoAgent(l.silent), agentapi.IsDown(l.silent):
		l.silent = nil // an agent that does not run can still be uninstalled
	case l.silent != nil && !l.force:
		return &LeaveError{Node: l.name, Err: l.silent}
	case s == nil:
	case s.Record != nil && s.Record.UID != r.UID:
		l.elsewhere = fmt.Sprintf("the cluster %q", s.Record.Cluster.Name)
	case s.Node != "" && s.Node != l.name && r.Nodes[s.Node] != nil:
		l.elsewhere = fmt.Sprintf("the node %q", s.Node)
	default:
		l.answers = s.Generation > 0 && s.Node == l.name
	}
	return nil
}

func (l *leaving) commit(ctx context.Context, cluster string) (*Result, error) {
	object := mesh.NodeRef(l.name)
	op := &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, cluster, object); err != nil {
				return err
			}
			r.RemoveNode(l.name)
			return nil
		},
	}
	switch {
	case l.silent != nil:
		op.gone = l.ep
	case l.elsewhere == "" && l.ep != nil:
		op.voters = notVoter(addressesOfHost(l.ep, l.host)...) // its agent is uninstalled then
	}
	return l.queue.submit(ctx, op)
}

// clean removes the agent from the host, and says so in the result's warnings
// where it cannot or may not.
func (l *leaving) clean(ctx context.Context, result *Result) error {
	warn := func(code mesh.ProblemCode, format string, args ...any) {
		result.Warnings = append(result.Warnings, notice(code, mesh.NodeRef(l.name), format, args...))
	}
	if l.elsewhere != "" {
		warn(mesh.ProblemNotCleaned, "The host of node %s at %s belongs to %s by now, and was left as it is.", l.name, l.ep.Address(), l.elsewhere)
		return nil
	}
	err := l.silent
	if err == nil {
		var kept string
		if kept, err = l.cleanHost(ctx, l.ep, l.host, result.Record); kept != "" {
			warn(mesh.ProblemKeepsAgent, "%s", kept)
		}
	}
	if err == nil || !l.force || ctx.Err() != nil {
		return err
	}
	l.forget(l.ep)
	warn(mesh.ProblemNotCleaned, "Node %s was taken out of the cluster, and its host at %s was not cleaned (%s). %s", l.name, l.ep.Address(), whyNotCleaned(err), leftBehind)
	return nil
}

// leftBehind is what a host keeps that could not be cleaned.
const leftBehind = "What was set up there stays: the agent, which goes on with the record that it has, and with it the network namespace routingmesh and the " +
	"chains and sets of that name. Before the host is used for anything else, run `routingmesh-agent uninstall` on it."

// whyNotCleaned is what a failed command said, or why none could be given.
func whyNotCleaned(err error) string {
	if failed, ok := errors.AsType[*sshdial.CommandError](err); ok {
		return prose.Clean(failed.Error())
	}
	return silence(err)
}

// forget drops what is known of a host that is given up: one that is set up
// anew at the same address has another host key, and is worth waiting for.
func (c *Client) forget(ep *sshdial.Endpoint) { c.pool.Forget(ep) }
