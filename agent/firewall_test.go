package main

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
)

func mustFirewalld(t *testing.T, p *program) *firewall.Firewalld {
	t.Helper()
	f, err := p.firewalld(t.Context(), nil)
	must(t, err)
	return f
}
