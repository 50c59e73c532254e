package kernel

import (
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func network(t *testing.T, text string) *net.IPNet {
	t.Helper()
	_, n, err := net.ParseCIDR(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// leftovers is what an earlier mesh may have left: all of it is ours.
func leftovers(t *testing.T) *holdings {
	t.Helper()
	mac, err := net.ParseMAC(state.HostMAC)
	if err != nil {
		t.Fatal(err)
	}
	mark := uint32(0x1000)
	sets := append(state.Sets(), state.Set{Name: "routingmesh-tcp-new", Type: state.BitmapPort}, state.Set{Name: "routingmesh-udp", Type: state.BitmapPort, Fault: "too small"})
	return &holdings{
		rules: []netlink.Rule{
			{Priority: 0, Table: 255}, {Priority: 32766, Table: 254},
			{Priority: state.RulePriority, Table: state.Table, Src: network(t, "10.255.3.2/32")},
			{Priority: state.RulePriority, Table: state.Table, Src: network(t, "240.0.96.0/19")},
			{Priority: state.RulePriority, Table: state.Table, Mark: mark, Mask: &mark},
		},
		routes: []netlink.Route{{Table: state.Table, LinkIndex: 7}},
		names:  map[int]string{2: "eth0", 7: state.HostLink},
		links:  map[string]netlink.Link{state.HostLink: &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: state.HostLink, HardwareAddr: mac}}},
		inside: []string{"lo", "tunl0", state.MeshLink, state.OverlayLink},
		sets:   sets,
	}
}

// What is under the mesh's names and is not the mesh's is named, with what to do; what an
// earlier mesh has left is not.
func TestTaken(t *testing.T) {
	if texts := leftovers(t).taken(); len(texts) > 0 {
		t.Errorf("our own: %q", texts)
	}
	for name, tt := range map[string]struct {
		spoil func(h *holdings)
		want  string
	}{
		"link": {func(h *holdings) {
			h.links[state.HostLink] = &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: state.HostLink}}
		}, "The link rmesh0 of this host (dummy) is not the mesh's"},
		"veth of somebody": {func(h *holdings) {
			h.links[state.HostLink] = &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: state.HostLink, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}}
		}, "The link rmesh0 of this host (veth) is not the mesh's"},
		"namespace": {func(h *holdings) { h.inside = append(h.inside, "eth0") }, "it has the link eth0"},
		"rule": {func(h *holdings) {
			h.rules = append(h.rules, netlink.Rule{Priority: state.RulePriority, Table: 100, Src: network(t, "10.0.0.0/8")})
		}, "The policy rule `10255: from 10.0.0.0/8 to all table 100"},
		"rule of the table": {func(h *holdings) { h.rules = append(h.rules, netlink.Rule{Priority: 99, Table: state.Table}) }, "The policy rule `99: from all"},
		"rule with a mark": {func(h *holdings) {
			h.rules = append(h.rules, netlink.Rule{Priority: state.RulePriority, Table: state.Table, Src: network(t, "10.255.3.2/32"), Mark: 1})
		}, "The policy rule"},
		"route": {func(h *holdings) {
			h.routes = append(h.routes, netlink.Route{LinkIndex: 2, Dst: network(t, "192.0.2.0/24")})
		}, "192.0.2.0/24 dev eth0"},
		"default":     {func(h *holdings) { h.routes = append(h.routes, netlink.Route{LinkIndex: 2}) }, "default dev eth0"},
		"set":         {func(h *holdings) { h.sets = append(h.sets, state.Set{Name: "routingmesh-mine", Type: "hash:net"}) }, "`ipset rename routingmesh-mine NAME`"},
		"type of set": {func(h *holdings) { h.sets = append(h.sets, state.Set{Name: "routingmesh-tcp", Type: "hash:ip"}) }, "routingmesh-tcp (hash:ip)"},
		"chain":       {func(h *holdings) { h.chains = []string{"filter/ROUTINGMESH-X"} }, "The iptables chain filter/ROUTINGMESH-X"},
	} {
		t.Run(name, func(t *testing.T) {
			h := leftovers(t)
			tt.spoil(h)
			if texts := h.taken(); len(texts) != 1 || !strings.Contains(texts[0], tt.want) {
				t.Errorf("%q, want %q", texts, tt.want)
			}
		})
	}
}

// TestMarksOfOthers: a rule of somebody else that asks for our bit is named, one that asks
// for others, or for none, is not.
func TestMarksOfOthers(t *testing.T) {
	const bit = uint32(0x1000)
	mask := func(m uint32) *uint32 { return &m }
	for name, tt := range map[string]struct {
		rule netlink.Rule
		want bool
	}{
		"the bit":          {netlink.Rule{Priority: 100, Table: 7, Mark: bit, Mask: mask(bit)}, true},
		"one of its bits":  {netlink.Rule{Priority: 100, Table: 7, Mark: 0xff00, Mask: mask(0xff00)}, true},
		"the whole mark":   {netlink.Rule{Priority: 100, Table: 7, Mark: 0x1234}, true},
		"another bit":      {netlink.Rule{Priority: 100, Table: 7, Mark: 0x80000, Mask: mask(0xff0000)}, false},
		"without the bit":  {netlink.Rule{Priority: 100, Table: 7, Mark: 0, Mask: mask(0xffff)}, false},
		"no mark":          {netlink.Rule{Priority: 32766, Table: 254}, false},
		"ours from before": {netlink.Rule{Priority: state.RulePriority, Table: state.Table, Mark: bit, Mask: mask(bit)}, false},
	} {
		texts := marksOfOthers([]netlink.Rule{tt.rule}, bit)
		if got := len(texts) == 1 && strings.Contains(texts[0], "another mark_bit"); got != tt.want {
			t.Errorf("%s: %q", name, texts)
		}
	}
}
