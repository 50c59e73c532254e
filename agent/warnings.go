package main

import (
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// hostWarnings tells what of the host's own routing leads answers astray.
func (p *program) hostWarnings(node func() string) func() []mesh.Warning {
	w := &host.Warner{Node: node, Proc: p.path("proc")}
	return w.Warnings
}
