package meshclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// DestroyCluster uninstalls the agent from every host that still has one. It
// refuses while there are nodes, services or networks, and does nothing to hosts that
// belong to a cluster of another name. Every host must answer, so that none
// stays behind with an old record; with force those that do not are left as
// they are, and the result's warnings say what stays there.
func (c *Client) DestroyCluster(ctx context.Context, name string, force bool) (*Result, error) {
	c.cache.drop()
	snap, err := c.cache.get(ctx)
	if err != nil {
		return nil, err
	}
	if snap.verdict() == nil {
		if err := c.elsewhere(ctx, snap, force); err != nil {
			return nil, err
		}
	}
	result := &Result{Record: snap.Record, Status: statuses(snap)}
	if r := snap.Record; r != nil {
		if r.Cluster.Name != name {
			return result, nil
		}
		if n, s, networks := len(r.Nodes), len(r.Services), len(r.Networks); n+s+networks > 0 {
			return nil, &mesh.Error{Object: mesh.ClusterRef, Detail: fmt.Sprintf(
				"The cluster %s still has %s, %s and %s (perhaps from another Terraform state): remove them first.",
				name, counted(n, "node"), counted(s, "service"), counted(networks, "network"))}
		}
	}
	left := c.silentHosts(snap)
	if len(left) > 0 && !force {
		return nil, &HostsError{"Nothing was removed: these hosts may still have the agent and the record, and cannot be asked. Bring them back, or, if they " +
			"are gone for good, set force_remove = true on the cluster, apply that, and destroy it again: they are then left as they are.", left}
	}
	defer c.cache.drop()
	failed := c.uninstallHosts(ctx, snap)
	if len(failed) > 0 && (!force || ctx.Err() != nil) {
		return nil, &HostsError{"The agent could not be removed from every host; destroying again goes on.", failed}
	}
	for _, f := range append(left, failed...) {
		result.Warnings = append(result.Warnings, notice(mesh.ProblemNotCleaned, mesh.HostRef(f.Host), "Host %s was not cleaned (%s). %s", f.Host, whyNotCleaned(f.Err), leftBehind))
	}
	for i, ep := range c.hosts {
		if slices.ContainsFunc(left, func(f HostFailure) bool { return f.Host == c.cfg.Hosts[i] }) {
			c.forget(ep)
		}
	}
	return result, nil
}

// silentHosts lists the hosts that may have the record and cannot be asked.
func (c *Client) silentHosts(snap *Snapshot) []HostFailure {
	var silent []HostFailure
	hosts := map[string]error{}
	for _, entry := range c.cfg.Hosts {
		hosts[entry] = snap.Hosts[entry].Err
	}
	for address := range c.votersElsewhere(snap) {
		hosts[address] = snap.voters[address].Err
	}
	for _, entry := range slices.Sorted(maps.Keys(hosts)) {
		err := hosts[entry]
		if _, foreign := errors.AsType[*ForeignError](err); err != nil && !foreign && !agentapi.IsNoAgent(err) {
			silent = append(silent, HostFailure{entry, err})
		}
	}
	return silent
}

func (c *Client) uninstallHosts(ctx context.Context, snap *Snapshot) []HostFailure {
	errs := make([]error, len(c.hosts))
	var g errgroup.Group
	for i, ep := range c.hosts {
		if snap.Hosts[c.cfg.Hosts[i]].Status == nil {
			continue
		}
		g.Go(func() error {
			errs[i] = c.agents.Uninstall(ctx, ep)
			return nil
		})
	}
	_ = g.Wait() // every error is in errs
	var failed []HostFailure
	for i, err := range errs {
		if err != nil {
			failed = append(failed, HostFailure{c.cfg.Hosts[i], err})
		}
	}
	for address, ep := range c.votersElsewhere(snap) {
		if snap.voters[address].Status == nil {
			continue
		}
		if err := c.agents.Uninstall(ctx, ep); err != nil {
			failed = append(failed, HostFailure{address, err})
		}
	}
	return failed
}

// votersElsewhere are voters that are none of the provider's hosts: those of before
// hosts was changed.
func (c *Client) votersElsewhere(snap *Snapshot) map[string]*sshdial.Endpoint {
	others := map[string]*sshdial.Endpoint{}
	for address := range snap.voters {
		if slices.ContainsFunc(c.hosts, func(ep *sshdial.Endpoint) bool { return ep.CanonicalAddress() == address }) {
			continue
		}
		if ep, err := c.voterEndpoint(snap.Record, address); err == nil {
			others[address] = ep
		}
	}
	return others
}
