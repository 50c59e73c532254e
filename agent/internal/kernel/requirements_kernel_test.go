//go:build kernel

package kernel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func TestThisHostLacksNothing(t *testing.T) {
	m := newMachine(t, "a")
	before := m.snapshot()
	ctx := context.Background()
	for _, missing := range slices.Concat(kernel.Requirements(ctx), kernel.PreserveRequirements(ctx), kernel.RangeRequirements(ctx), kernel.NetworkRequirements(ctx)) {
		t.Errorf("%+v", missing)
	}
	if after := m.snapshot(); after != before {
		t.Error("looking changed the host")
	}
}

// Another overlay at the mesh's port, with other flags, is told of before ours could not come up.
func TestOtherOverlays(t *testing.T) {
	m := newMachine(t, "a")
	read := func() (texts []string) {
		t.Helper()
		m.in(func() (err error) {
			texts, err = kernel.OtherOverlays(4789)
			return err
		})
		return texts
	}
	m.run("ip link add other type vxlan id 7 dstport 4790; ip link add same type vxlan id 8 dstport 4789 gbp")
	if got := read(); len(got) > 0 {
		t.Errorf("beside nobody: %q", got)
	}
	m.run("ip link del same; ip link add flannel.1 type vxlan id 9 dstport 4789")
	if got := read(); len(got) != 1 || !strings.Contains(got[0], "flannel.1") {
		t.Errorf("beside flannel: %q", got)
	}
	m.run("ip link set flannel.1 up")
	networked := desired(t, 1, 2)
	vx := networked[state.VXLAN{}.Key()].(state.VXLAN)
	vx.GBP = true
	networked.Put(vx)
	failed := m.Apply(t.Context(), m.plan(networked))
	if len(failed) == 0 || !strings.Contains(fmt.Sprint(failed[0].Err), "vxlan_port") {
		t.Errorf("with flannel up: %v", failed)
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
