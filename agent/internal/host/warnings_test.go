package host

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A rule by source sends a host's own answers by another link; those of published
// ports do not match it.
func TestRouting_Warnings(t *testing.T) {
	eth0 := ownLink{"eth0", []netip.Addr{netip.MustParseAddr("192.0.2.10")}, true, true}
	eth1 := ownLink{"eth1", []netip.Addr{netip.MustParseAddr("198.51.100.10")}, true, false}
	tight := ownLink{"eth1", eth1.addresses, true, true}
	deaf := ownLink{"eth2", []netip.Addr{netip.MustParseAddr("203.0.113.1")}, false, false}
	from := func(prefix string, table int) policyRule {
		return policyRule{from: netip.MustParsePrefix(prefix), table: table}
	}
	uplinks := map[int]string{254: "eth0", 200: "eth1", 201: "eth0"}
	for name, tt := range map[string]struct {
		rules    []policyRule
		links    []ownLink
		defaults map[int]string
		want     string
	}{
		"no rules":                     {nil, []ownLink{eth0, eth1}, uplinks, ""},
		"another uplink":               {[]policyRule{from("198.51.100.10/32", 200)}, []ownLink{eth0, eth1}, uplinks, "Clients behind a router on eth1 may get no answer from published ports at 198.51.100.10: the host's rule `from 198.51.100.10 lookup 200`"},
		"another uplink, by prefix":    {[]policyRule{from("198.51.100.0/24", 200)}, []ownLink{eth0, eth1}, uplinks, "`from 198.51.100.0/24 lookup 200`"},
		"no default route otherwise":   {[]policyRule{from("198.51.100.10/32", 200)}, []ownLink{eth0, eth1}, map[int]string{200: "eth1"}, "the main table has no default route"},
		"the same uplink":              {[]policyRule{from("192.0.2.10/32", 201)}, []ownLink{eth0, eth1}, uplinks, ""},
		"not an address of the host":   {[]policyRule{from("172.16.0.0/12", 200)}, []ownLink{eth0, eth1}, uplinks, ""},
		"a table without a default":    {[]policyRule{from("198.51.100.10/32", 300)}, []ownLink{eth0, eth1}, uplinks, ""},
		"the user has marks for it":    {[]policyRule{from("198.51.100.10/32", 200), {table: 200, marked: true}}, []ownLink{eth0, eth1}, uplinks, ""},
		"marks and a strict filter":    {[]policyRule{from("198.51.100.10/32", 200), {table: 200, marked: true}}, []ownLink{eth0, tight}, uplinks, "Run `sysctl -w net.ipv4.conf.eth1.rp_filter=2`"},
		"no marks, a strict filter":    {[]policyRule{from("198.51.100.10/32", 200)}, []ownLink{eth0, tight}, uplinks, "`sysctl -w net.ipv4.conf.eth1.rp_filter=2; iptables -t mangle"},
		"every source":                 {[]policyRule{from("0.0.0.0/0", 200)}, []ownLink{eth0, eth1}, uplinks, ""},
		"a link that does not forward": {nil, []ownLink{eth0, deaf}, uplinks, "net.ipv4.conf.eth2.forwarding is 0"},
	} {
		r := &routing{tt.rules, tt.links, tt.defaults}
		got := r.warnings()
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRuleOf(t *testing.T) {
	_, src, _ := net.ParseCIDR("198.51.100.10/32")
	for _, tt := range []struct {
		rule netlink.Rule
		want bool
	}{
		{netlink.Rule{Src: src, Table: 200}, true},
		{netlink.Rule{Mark: 7, Table: 200}, true},
		{netlink.Rule{Table: 200}, false},
		{netlink.Rule{Src: src, Table: state.Table}, false},
		{netlink.Rule{Src: src, Table: unix.RT_TABLE_MAIN}, false},
	} {
		if _, ok := ruleOf(&tt.rule); ok != tt.want {
			t.Errorf("%+v: %t", tt.rule, ok)
		}
	}
}

// Where the host as a whole does not forward, that is drift, not a warning.
func TestForwards(t *testing.T) {
	proc := t.TempDir()
	write := func(path, value string) {
		t.Helper()
		path = filepath.Join(proc, "sys/net/ipv4", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ip_forward", "1")
	write("conf/eth0/forwarding", "1")
	write("conf/eth1/forwarding", "0")
	if !forwards(proc, "eth0") || forwards(proc, "eth1") || !forwards(proc, "eth2") {
		t.Error(forwards(proc, "eth0"), forwards(proc, "eth1"), forwards(proc, "eth2"))
	}
	write("ip_forward", "0")
	if !forwards(proc, "eth1") {
		t.Error("a host that does not forward at all has a warning for each link")
	}
}

// The larger of the two settings counts.
func TestStrict(t *testing.T) {
	for settings, want := range map[[2]string]bool{{"0", "0"}: false, {"1", "0"}: true, {"0", "1"}: true, {"2", "1"}: false, {"1", "2"}: false, {"1", "1"}: true} {
		proc := t.TempDir()
		for i, conf := range []string{"all", "eth0"} {
			folder := filepath.Join(proc, "sys/net/ipv4/conf", conf)
			if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "rp_filter"), []byte(settings[i]+"\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if strict(proc, "eth0") != want || strict(proc, "eth1") != (settings[0] == "1") {
			t.Errorf("all %s, eth0 %s: %t, a link without a setting %t", settings[0], settings[1], !want, strict(proc, "eth1"))
		}
	}
}

func TestWarner_NoNode_Silent(t *testing.T) {
	name := ""
	w := &Warner{Node: func() string { return name }, Proc: t.TempDir()}
	if got := w.Warnings(); got != nil {
		t.Errorf("%+v", got)
	}
	name = "n1"
	for _, warning := range w.Warnings() { // of the machine that runs the test
		if warning.Code != mesh.WarnHost || warning.Object != mesh.NodeRef("n1") {
			t.Errorf("%+v", warning)
		}
	}
}
