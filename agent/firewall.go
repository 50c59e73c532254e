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

// firewalls looks at what other people's rules do with the mesh's packets.
func (c *checker) firewalls(ctx context.Context) error {
	const check = "firewalls"
	firewalld, err := c.firewalld(ctx, nil)
	if err != nil {
		return err
	}
	firewalld.Keep(c.stored.Record, c.stored.Node)
	foreign := &firewall.Foreign{Firewalld: firewalld, Record: firewalld.Kept}
	var texts []string
	for _, warning := range append(firewalld.Warnings(), foreign.Warnings()...) {
		texts = append(texts, warning.Text)
	}
	if fault := firewalld.Check().Fault; fault != "" && c.status == nil { // else it is one of the problems
		texts = append(texts, "firewalld "+fault+".")
	}
	c.report.failures(check, "no rule of the host drops the mesh's packets", texts)
	for _, note := range foreign.Notes() {
		c.report.add(check, unsure, "%s", note)
	}
	return nil
}
