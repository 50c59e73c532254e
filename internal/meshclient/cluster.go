package meshclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
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
	failures, err := c.readyHosts(ctx)
	if err != nil {
		return nil, err
	}
	if len(failures)*2 >= len(c.router.hosts) {
		return nil, &HostsError{"Nothing was created: more than half of the provider's hosts must answer.", failures}
	}
	c.cache.drop()
	result, err := c.queue.submit(ctx, &operation{
		objects: []mesh.Object{mesh.ClusterObject}, create: record,
		apply: func(r *mesh.Record) error {
			if r.UID != record.UID {
				return &ForeignError{Host: c.router.hosts[0].name, Cluster: r.Cluster.Name, UID: r.UID}
			}
			return nil
		},
	})
	if result != nil {
		for _, f := range failures {
			result.Warnings = append(result.Warnings, fmt.Sprintf("host %s does not keep the record: %v", f.Host, f.Err))
		}
		result.Warnings = unique(result.Warnings)
	}
	return result, err
}

// readyHosts installs the agent on every host; a host that has a record ends it.
func (c *Client) readyHosts(ctx context.Context) ([]HostFailure, error) {
	errs := make([]error, len(c.router.hosts))
	var g errgroup.Group
	for i, ep := range c.router.hosts {
		g.Go(func() error {
			s, err := c.status(ctx, ep, "", c.cfg.SSH.Timeout)
			if s == nil || s.Record == nil {
				if s, _, err = c.ready(ctx, ep); err == nil && s.Record == nil {
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
		return nil, err
	}
	var failures []HostFailure
	for i, err := range errs {
		if err != nil {
			failures = append(failures, HostFailure{c.cfg.Hosts[i], err})
		}
	}
	return failures, ctx.Err()
}

func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime aborts instead
	return hex.EncodeToString(b[:])
}

// UpdateCluster changes the cluster's settings.
func (c *Client) UpdateCluster(ctx context.Context, cl mesh.Cluster) (*Result, error) {
	return c.queue.submit(ctx, &operation{
		objects: []mesh.Object{mesh.ClusterObject},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, cl.Name, mesh.ClusterObject); err != nil {
				return err
			}
			return r.PutCluster(cl)
		},
	})
}

// DestroyCluster uninstalls the agent from every host that still has one. It
// refuses while there are nodes or services, and does nothing to hosts that
// belong to a cluster of another name. Every host must answer, so that none
// stays behind with an old record.
func (c *Client) DestroyCluster(ctx context.Context, name string) error {
	c.cache.drop()
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if r := snap.Record; r != nil {
		if r.Cluster.Name != name {
			return nil
		}
		if n, s := len(r.Nodes), len(r.Services); n+s > 0 {
			return &mesh.Error{Object: mesh.ClusterObject, Detail: fmt.Sprintf(
				"The cluster %s still has %s and %s (perhaps from another Terraform state): remove them first.",
				name, counted(n, "node"), counted(s, "service"))}
		}
	}
	failed := &HostsError{Detail: "Nothing was removed: these hosts may still have the agent and the record, and cannot be asked."}
	for _, entry := range c.cfg.Hosts {
		err := snap.Hosts[entry].Err
		if _, foreign := errors.AsType[*ForeignError](err); err != nil && !foreign && !isNoAgent(err) {
			failed.Hosts = append(failed.Hosts, HostFailure{entry, err})
		}
	}
	if len(failed.Hosts) > 0 {
		return failed
	}
	defer c.cache.drop()
	return c.uninstallHosts(ctx, snap)
}

func (c *Client) uninstallHosts(ctx context.Context, snap *Snapshot) error {
	errs := make([]error, len(c.router.hosts))
	var g errgroup.Group
	for i, ep := range c.router.hosts {
		if snap.Hosts[c.cfg.Hosts[i]].Status == nil {
			continue
		}
		g.Go(func() error {
			errs[i] = c.uninstall(ctx, ep)
			return nil
		})
	}
	_ = g.Wait()
	failed := &HostsError{Detail: "The agent could not be removed from every host; destroying again goes on."}
	for i, err := range errs {
		if err != nil {
			failed.Hosts = append(failed.Hosts, HostFailure{c.cfg.Hosts[i], err})
		}
	}
	if len(failed.Hosts) > 0 {
		return failed
	}
	return nil
}
