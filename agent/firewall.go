package main

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
)

// firewalld is that of this host, which may have none. Without a watch nobody is
// told that it may have flushed the host's rules.
func (p *program) firewalld(ctx context.Context, watch *kernel.Watch) (*firewall.Firewalld, error) {
	told, err := host.OpenOriginals(p.toldFirewalld(), p.log)
	if err != nil {
		return nil, err
	}
	options := firewall.Options{Originals: told, Log: p.log}
	if watch != nil {
		options.Changed = watch.Reloaded
	}
	return firewall.New(ctx, options), nil
}
