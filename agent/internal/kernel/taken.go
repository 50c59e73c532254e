package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Taken says, in sentences, what somebody else has under a name or a number that is the
// mesh's: it would be taken for ours, and changed or removed. What an earlier mesh has left
// is ours, and is none of it. root is Options.Root.
func Taken(ctx context.Context, root string) ([]string, error) {
	space, err := thisSpace()
	if err != nil {
		return nil, err
	}
	defer space.Close()
	var h holdings
	err = errors.Join(
		h.readRouting(space),
		h.readNamespace(filepath.Join("/", root, "run/netns", state.Namespace)),
		h.readSets(space),
		h.readChains(ctx, space),
	)
	return h.taken(), err
}

// thisSpace opens the network namespace that the program runs in.
func thisSpace() (*netns.Space, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, fmt.Errorf("open this network namespace: %w", err)
	}
	return netns.NewSpace(ns)
}

// MarkTaken says, in sentences, which policy rules of others look at the mark that the mesh
// would set: they would lead its packets elsewhere.
func MarkTaken(mark uint32) ([]string, error) {
	space, err := thisSpace()
	if err != nil {
		return nil, err
	}
	defer space.Close()
	rules, err := nlmsg.List("policy rules", func() ([]netlink.Rule, error) { return space.Netlink.RuleList(unix.AF_INET) })
	return marksOfOthers(rules, mark), err
}

// marksOfOthers leaves out rules for all packets without a mark, and those that we set.
func marksOfOthers(rules []netlink.Rule, mark uint32) (texts []string) {
	for _, r := range rules {
		mask := ^uint32(0)
		if r.Mask != nil {
			mask = *r.Mask
		}
		if r.Mark&mask&mark == 0 || ourRule(r) {
			continue
		}
		texts = append(texts, fmt.Sprintf("The policy rule %d of this host is for packets with the mark %#x/%#x, which has the bit %#x that the mesh would set (mark_bit of the cluster). "+
			"Choose another mark_bit (`ip rule show` lists what is used).", r.Priority, r.Mark, mask, mark))
	}
	return texts
}

// OtherOverlays says, in sentences, which other VXLAN devices of this host have the UDP port:
// devices of one port must agree on the flag that networks need, and nobody else's has it. A
// device in another namespace is only met when ours comes up.
func OtherOverlays(port uint16) ([]string, error) {
	space, err := thisSpace()
	if err != nil {
		return nil, err
	}
	defer space.Close()
	links, err := nlmsg.List("links", space.Netlink.LinkList)
	var texts []string
	for _, l := range links {
		if vx, ok := l.(*netlink.Vxlan); ok && uint16(vx.Port) == port && !vx.GBP {
			texts = append(texts, fmt.Sprintf("The VXLAN device %s of this host has UDP port %d too, without the flag gbp that networks need, and devices of one port must agree on it. "+
				"Networks need another vxlan_port of the cluster.", vx.Name, port))
		}
	}
	return texts, err
}

// holdings is what there is under our names and numbers.
type holdings struct {
	rules  []netlink.Rule          // all policy rules
	routes []netlink.Route         // of our table
	names  map[int]string          // of the links, by index
	links  map[string]netlink.Link // those with our names
	inside []string                // links in the namespace of our name
	sets   []state.Set             // with our prefix
	chains []string                // with our prefix, and not ours
}

func (h *holdings) readRouting(space *netns.Space) (err error) {
	links, err := nlmsg.List("links", space.Netlink.LinkList)
	if err != nil {
		return err
	}
	h.names, h.links = map[int]string{}, map[string]netlink.Link{}
	for _, l := range links {
		name := l.Attrs().Name
		h.names[l.Attrs().Index] = name
		if name == state.HostLink || name == state.SelfTestLink {
			h.links[name] = l
		}
	}
	h.rules, err = nlmsg.List("policy rules", func() ([]netlink.Rule, error) { return space.Netlink.RuleList(unix.AF_INET) })
	if err != nil {
		return err
	}
	h.routes, err = nlmsg.List("routes", func() ([]netlink.Route, error) {
		return space.Netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: state.Table}, netlink.RT_FILTER_TABLE)
	})
	return err
}

func (h *holdings) readNamespace(path string) error {
	there, err := netns.IsMounted(path)
	if err != nil || !there {
		return err
	}
	ns, err := netns.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", state.Namespace, err)
	}
	space, err := netns.NewSpace(ns)
	if err != nil {
		return err
	}
	defer space.Close()
	links, err := nlmsg.List("links", space.Netlink.LinkList)
	for _, l := range links {
		h.inside = append(h.inside, l.Attrs().Name)
	}
	return err
}

func (h *holdings) readSets(space *netns.Space) error {
	conn, err := ipset.Open(space.NS, state.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	found := state.State{}
	err = conn.Observe(state.SetPrefix, found, func(state.SetMember) {})
	for _, o := range found {
		if set, ok := o.(state.Set); ok {
			h.sets = append(h.sets, set)
		}
	}
	slices.SortFunc(h.sets, func(a, b state.Set) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func (h *holdings) readChains(ctx context.Context, space *netns.Space) error {
	saved, err := iptables.Save(ctx, &program.Runner{}, space)
	if err != nil {
		return err
	}
	h.chains = saved.Foreign()
	return nil
}

func (h *holdings) taken() (texts []string) {
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	for _, name := range []string{state.HostLink, state.SelfTestLink} {
		if l := h.links[name]; l != nil && !ourLink(l) {
			say("The link %s of this host (%s) is not the mesh's, which makes a link of that name and would replace it. Rename it: `ip link set %[1]s name NAME`.", name, l.Type())
		}
	}
	if i := slices.IndexFunc(h.inside, func(name string) bool { return !ourLinkInside(name) }); i >= 0 {
		say("The network namespace %s of this host is not the mesh's: it has the link %s. The mesh makes a namespace of that name, and would remove what is in it. "+
			"Give it another name, or remove it with `ip netns delete %[1]s`.", state.Namespace, h.inside[i])
	}
	for _, r := range h.rules {
		if (r.Priority == state.RulePriority || r.Table == state.Table) && !ourRule(r) {
			say("The policy rule `%s` of this host is not the mesh's, which has the priority %d and the table %d to itself and would remove what is there. "+
				"Give it another priority and table (`ip rule show` lists them).", strings.TrimPrefix(r.String(), "ip rule "), state.RulePriority, state.Table)
		}
	}
	for _, r := range h.routes {
		if link := h.names[r.LinkIndex]; link != state.HostLink {
			say("The routing table %d of this host has a route that is not the mesh's: %s. The mesh has that table to itself, and would remove it. "+
				"Put it into another table (`ip route show table %[1]d` lists them).", state.Table, describeRoute(r, link))
		}
	}
	for _, set := range h.sets {
		if !ourSet(set) {
			say("The %s of this host is not the mesh's, which has the names %s* to itself and would remove it. Rename it: `ipset rename %s NAME`.", set, state.SetPrefix, set.Name)
		}
	}
	for _, name := range h.chains {
		say("The iptables chain %s of this host is not the mesh's: it has rules, and none that is the mesh's. The mesh has the names %s-* to itself, and would replace it. "+
			"Rename it: `iptables -t TABLE -E CHAIN NAME`.", name, state.ChainPrefix)
	}
	return texts
}

func ourLink(l netlink.Link) bool {
	if l.Attrs().Name == state.SelfTestLink {
		return l.Type() == "tuntap" || l.Type() == "tun"
	}
	return l.Type() == "veth" && l.Attrs().HardwareAddr.String() == state.HostMAC
}

// ourLinkInside also takes what modules make by themselves in every namespace
// (net.core.fb_tunnels_only_for_init_net).
func ourLinkInside(name string) bool {
	return slices.Contains([]string{
		"lo", state.MeshLink, state.OverlayLink,
		"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0",
	}, name)
}

// ourSet also takes the spare of a Replace that was cut.
func ourSet(set state.Set) bool {
	set.Name, set.Fault = strings.TrimSuffix(set.Name, "-new"), ""
	_, byAddress := state.PairOfSet(set.Name)
	return slices.Contains(state.Sets(), set) || byAddress && set.Type == state.HashNetPort && set.Fault == ""
}

// ourRule: whichever block the node has, or had, and whichever mark.
func ourRule(r netlink.Rule) bool {
	ours := r.Priority == state.RulePriority && r.Table == state.Table && r.Dst == nil && r.IifName == "" && r.OifName == "" && !r.Invert
	if r.Src == nil {
		return ours && bits.OnesCount32(r.Mark) == 1 && r.Mask != nil && *r.Mask == r.Mark
	}
	from := nlmsg.ToPrefix(r.Src)
	return ours && r.Mark == 0 && (from.IsSingleIP() || mesh.EntryAddresses.Contains(from.Addr()))
}

func describeRoute(r netlink.Route, link string) string {
	to := "default"
	if dst := nlmsg.ToPrefix(r.Dst); dst.IsValid() && dst.Bits() > 0 {
		to = dst.String()
	}
	if link == "" {
		return to
	}
	return to + " dev " + link
}
