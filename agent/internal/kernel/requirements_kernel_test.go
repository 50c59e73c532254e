//go:build kernel

package kernel_test

import (
	"context"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
)

func TestThisHostLacksNothing(t *testing.T) {
	m := newMachine(t, "a")
	before := m.snapshot()
	ctx := context.Background()
	for _, missing := range slices.Concat(kernel.Requirements(ctx), kernel.PreserveRequirements(ctx), kernel.RangeRequirements(ctx), kernel.HairpinRequirements(ctx)) {
		t.Errorf("%+v", missing)
	}
	if after := m.snapshot(); after != before {
		t.Error("looking changed the host")
	}
}

// Rules of both kinds are seen; a kind that is not there is not made by looking.
func TestBothKindsOfIptables(t *testing.T) {
	m := newMachine(t, "a")
	read := func() (b kernel.Backends) {
		t.Helper()
		m.in(func() (err error) {
			b, err = kernel.ReadBackends(context.Background())
			return err
		})
		return b
	}
	before := m.run("cat /proc/net/ip_tables_names; nft list tables")
	if b := read(); b.Mixed() != "" {
		t.Errorf("an empty host: %+v", b)
	}
	if after := m.run("cat /proc/net/ip_tables_names; nft list tables"); after != before {
		t.Errorf("looking made tables: %s", after)
	}
	m.run("iptables-nft -A INPUT -p tcp --dport 1 -j DROP; iptables-nft -t nat -A OUTPUT -p tcp --dport 1 -j RETURN")
	if b := read(); b.Used != "nf_tables" || b.Mixed() != "" || b.NFTables["filter"] != 1 || b.NFTables["nat"] != 1 {
		t.Errorf("nf_tables: %+v", b)
	}
	m.run("iptables-legacy -A INPUT -p tcp --dport 1 -j DROP; iptables-legacy -A INPUT -p tcp --dport 2 -j DROP")
	defer m.run("iptables-legacy -F INPUT")
	if b := read(); b.Legacy["filter"] != 2 || b.Mixed() == "" {
		t.Errorf("both: %+v", b)
	}
}
