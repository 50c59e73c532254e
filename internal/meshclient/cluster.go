package meshclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// CreateCluster installs the agent on the hosts and commits a first record to
// them. More than half must answer; the others are warnings. It can be run
// again after a failure: a host with an agent and no record is fine. A host
// that has a record is a *ForeignError.
func (c *Client) CreateCluster(ctx context.Context, cl mesh.Cluster) (*Result, error) {
	record, err := mesh.NewRecord(newUID(), cl)
	if err != nil {
		return nil, err
	}
	if err := c.allHosts(ctx); err != nil {
		return nil, err
	}
	failures, installed, err := c.readyHosts(ctx)
	if err != nil {
		return nil, err
	}
	if len(failures)*2 >= len(c.hosts) {
		return nil, &HostsError{"Nothing was created: more than half of the provider's hosts must answer.", failures}
	}
	c.cache.drop()
	result, err := c.queue.submit(ctx, &operation{
		objects: []mesh.Ref{mesh.ClusterRef}, create: record,
		apply: func(r *mesh.Record) error {
			if r.UID != record.UID {
				return &ForeignError{Host: c.hosts[0].Name, Cluster: r.Cluster.Name, UID: r.UID}
			}
			return nil
		},
	})
	if _, twins := errors.AsType[*TwinHostsError](err); twins {
		for _, ep := range installed {
			c.leaveKeeperAsFound(ctx, ep)
		}
	}
	if result != nil {
		for _, f := range failures {
			result.Warnings = append(result.Warnings, notice(mesh.ProblemLagging, mesh.HostRef(f.Host), "host %s does not keep the record: %v", f.Host, f.Err))
		}
		result.Warnings = unique(result.Warnings)
	}
	return result, err
}

// allHosts refuses, under UnreachableFail, to begin while a host cannot be
// asked: no agent is installed on the others then.
func (c *Client) allHosts(ctx context.Context) error {
	if c.cfg.OnUnreachable != UnreachableFail {
		return nil
	}
	c.cache.drop()
	snap, err := c.cache.get(ctx)
	if err != nil {
		return err
	}
	var failures []HostFailure
	for _, entry := range c.cfg.Hosts {
		if v := snap.Hosts[entry]; v.Err != nil && !agentapi.IsNoAgent(v.Err) && !agentapi.IsDown(v.Err) && !c.replaceable(v.NodeView) {
			failures = append(failures, HostFailure{entry, v.Err})
		}
	}
	if len(failures) > 0 {
		return &HostsError{unreachableDetail, failures}
	}
	return nil
}

// readyHosts installs the agent on every host, and returns where there was none;
// a host that has a record ends it.
func (c *Client) readyHosts(ctx context.Context) (failures []HostFailure, installed []*sshdial.Endpoint, err error) {
	errs, bare := make([]error, len(c.hosts)), make([]bool, len(c.hosts))
	var g errgroup.Group
	var oneByOne keyedMutex
	for i, ep := range c.hosts {
		g.Go(func() error {
			s, err := c.agents.Status(ctx, ep, "", c.cfg.SSH.Timeout)
			if s == nil || s.Record == nil {
				// Two names of one host must not install at the same time.
				unlock := oneByOne.lock(c.pool.HostKey(ep.Address()))
				s, bare[i], err = c.agents.Ready(ctx, ep)
				unlock()
				if err == nil && s.Record == nil {
					return nil
				}
			}
			if s != nil && s.Record != nil {
				return &ForeignError{Host: c.cfg.Hosts[i], Cluster: s.Record.Cluster.Name, UID: s.Record.UID}
			}
			errs[i] = err
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, err := range errs {
		if err != nil {
			failures = append(failures, HostFailure{c.cfg.Hosts[i], err})
		}
		if bare[i] {
			installed = append(installed, c.hosts[i])
		}
	}
	return failures, installed, ctx.Err()
}

func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime aborts instead
	return hex.EncodeToString(b[:])
}

// UpdateCluster changes the cluster's settings.
func (c *Client) UpdateCluster(ctx context.Context, cl mesh.Cluster) (*Result, error) {
	return c.updateCluster(ctx, cl.Name, func(r *mesh.Record) error { return r.PutCluster(cl) })
}

func (c *Client) updateCluster(ctx context.Context, name string, apply func(*mesh.Record) error) (*Result, error) {
	if err := c.wakeKeepers(ctx); err != nil {
		return nil, err
	}
	result, err := c.queue.submit(ctx, &operation{
		objects: []mesh.Ref{mesh.ClusterRef}, voters: c.hostsAsVoters,
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, name, mesh.ClusterRef); err != nil {
				return err
			}
			return apply(r)
		},
	})
	if err == nil {
		err = c.settleVoters(ctx, c.hostsAsVoters, result)
	}
	return result, err
}

// wakeKeepers starts the agents that have stopped on hosts that only keep the
// record, and installs those of voters that have lost it; that of a node is started by
// the change of the node.
func (c *Client) wakeKeepers(ctx context.Context) error {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	var stopped []*member
	for _, ep := range c.hosts {
		if v := snap.Hosts[ep.Name]; v.Node == "" && (agentapi.IsDown(v.Err) || (agentapi.IsNoAgent(v.Err) && snap.lostVoter(v))) {
			stopped = append(stopped, &member{ep: ep, host: ep.Name})
		}
	}
	each(stopped, func(_ int, m *member) {
		if _, _, err := c.agents.Ready(ctx, m.ep); err != nil {
			c.log(ctx, "the agent could not be started", map[string]any{"host": m.ep.Address(), "error": err.Error()})
		}
	})
	if len(stopped) > 0 {
		c.cache.drop()
	}
	return nil
}
