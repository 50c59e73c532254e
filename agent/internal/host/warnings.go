package host

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Warner tells what of the host's own routing keeps clients of published ports from
// their answers. None of it is the mesh's to change.
type Warner struct {
	// Node is this host's name in the record, "" while it is no node.
	Node func() string
	// Proc is where procfs is mounted.
	Proc string

	mu   sync.Mutex
	at   time.Time
	seen []string
}

// warningsAge is for how long what was found counts: a status asks often.
const warningsAge = 5 * time.Second

// Warnings never fails: what cannot be read is not warned of.
func (w *Warner) Warnings() []mesh.Warning {
	node := w.Node()
	if node == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at.IsZero() || time.Since(w.at) > warningsAge {
		w.seen, w.at = readRouting(w.Proc).warnings(), time.Now()
	}
	var all []mesh.Warning
	for _, text := range w.seen {
		all = append(all, mesh.Warning{Code: mesh.WarnHost, Object: mesh.NodeRef(node), Text: text})
	}
	return all
}

// policyRule is one of `ip rule`, as far as it matters here.
type policyRule struct {
	from   netip.Prefix
	table  int
	marked bool // it selects by a packet's mark
}

// ownLink is a link with IPv4 addresses that packets of others come in on.
type ownLink struct {
	name       string
	addresses  []netip.Addr
	forwarding bool
	strict     bool // its reverse path filter is
}

// routing is what of the host's routing decides where answers go.
type routing struct {
	rules    []policyRule
	links    []ownLink
	defaults map[int]string // the link of each table's default route
}

// warnings puts into sentences what leads answers astray. What a published port
// answers leaves the mesh with the ingress VIP as its source, and gets the host's
// address only after the kernel has routed it: no rule by source matches it.
func (r *routing) warnings() []string {
	var texts []string
	for _, rule := range r.rules {
		if text := r.astray(rule); text != "" {
			texts = append(texts, text)
		}
	}
	for _, l := range r.links {
		if !l.forwarding {
			texts = append(texts, fmt.Sprintf("Clients that come in by %[1]s get no answer from published ports: net.ipv4.conf.%[1]s.forwarding is 0 on this host. "+
				"Run `sysctl -w net.ipv4.conf.%[1]s.forwarding=1`, and set it in /etc/sysctl.d as well.", l.name))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// astray is what a rule by source does to the answers, "" for nothing. Strict reverse
// path filtering looks for the way back to the client after the redirection, too, so
// that it drops the client's packets already.
func (r *routing) astray(rule policyRule) string {
	via, there := r.defaults[rule.table]
	address, own := r.addressOf(rule.from)
	mainly := r.defaults[state.MainTable]
	if !own || !there || via == mainly {
		return ""
	}
	strict := slices.ContainsFunc(r.links, func(l ownLink) bool { return l.name == via && l.strict })
	marked := slices.ContainsFunc(r.rules, func(o policyRule) bool { return o.marked && o.table == rule.table })
	loosen := fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2", via)
	switch {
	case marked && strict:
		return fmt.Sprintf("Clients behind a router on %[1]s may get no answer from published ports at %[2]s: the strict reverse path filter of %[1]s (rp_filter is 1) drops what they send, "+
			"because the main table has no way back to them by %[1]s. Run `%[3]s`, and set it in /etc/sysctl.d as well.", via, address, loosen)
	case marked:
		return ""
	}
	other, first := "has no default route", ""
	if mainly != "" {
		other = "sends them by " + mainly
	}
	if strict {
		first = loosen + "; "
	}
	return fmt.Sprintf("Clients behind a router on %[1]s may get no answer from published ports at %[2]s: the host's rule `from %[3]s lookup %[4]d` sends its own answers by %[1]s, "+
		"but those of published ports are routed before they have that address, and the main table %[5]s. Have the answers of connections that came in by %[1]s follow the rule: "+
		"`%[7]siptables -t mangle -A PREROUTING -i %[1]s -j CONNMARK --set-mark %[4]d; iptables -t mangle -A PREROUTING -i %[6]s -j CONNMARK --restore-mark; ip rule add fwmark %[4]d lookup %[4]d`, "+
		"or have clients use an address of the main table's link.", via, address, prefixText(rule.from), rule.table, other, state.HostLink, first)
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// addressOf is the first address of the host's own that a rule selects.
func (r *routing) addressOf(from netip.Prefix) (netip.Addr, bool) {
	for _, l := range r.links {
		for _, a := range l.addresses {
			if from.IsValid() && from.Bits() > 0 && from.Contains(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// readRouting leaves out what it cannot read. A host without rules of its own costs
// one list of rules and one of addresses.
func readRouting(proc string) *routing {
	r := &routing{defaults: map[int]string{}}
	names, err := linkNames()
	if err != nil {
		return r
	}
	addrs, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return r
	}
	r.links = linksOf(addrs, names, proc)
	rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(netlink.FAMILY_V4) })
	if err != nil {
		return r
	}
	for i := range rules {
		if rule, ok := ruleOf(&rules[i]); ok {
			r.rules = append(r.rules, rule)
		}
	}
	if len(r.rules) == 0 {
		return r
	}
	routes, err := retry(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return r
	}
	for _, route := range routes {
		if _, known := r.defaults[route.Table]; isDefault(route) && !known {
			r.defaults[route.Table] = names[route.LinkIndex]
		}
	}
	return r
}

// ruleOf leaves out what is not by source or mark, and the mesh's own.
func ruleOf(n *netlink.Rule) (policyRule, bool) {
	if n.Table <= 0 || n.Table == unix.RT_TABLE_LOCAL || n.Table == unix.RT_TABLE_MAIN || n.Table == unix.RT_TABLE_DEFAULT || n.Table == state.Table {
		return policyRule{}, false
	}
	rule := policyRule{table: n.Table, marked: n.Mark != 0}
	if n.Src != nil {
		if from, err := netip.ParsePrefix(n.Src.String()); err == nil {
			rule.from = from
		}
	}
	return rule, rule.marked || rule.from.IsValid()
}

// linksOf are the links that others' packets come in on, with their addresses.
func linksOf(addrs []netlink.Addr, names map[int]string, proc string) []ownLink {
	byName := map[string]*ownLink{}
	var order []string
	for _, a := range addrs {
		name := names[a.LinkIndex]
		ip, ok := netip.AddrFromSlice(a.IP)
		if name == "" || name == state.HostLink || !ok || ip.Unmap().IsLoopback() {
			continue
		}
		l := byName[name]
		if l == nil {
			l = &ownLink{name: name, forwarding: forwards(proc, name), strict: strict(proc, name)}
			byName[name] = l
			order = append(order, name)
		}
		l.addresses = append(l.addresses, ip.Unmap())
	}
	links := make([]ownLink, 0, len(order))
	for _, name := range order {
		links = append(links, *byName[name])
	}
	return links
}

// forwards counts what cannot be read as yes. Where the whole host does not forward,
// that is the mesh's own setting to repair.
func forwards(proc, link string) bool {
	return link == "lo" || cmp.Or(ipv4(proc, "ip_forward"), "1") != "1" || ipv4(proc, "conf", link, "forwarding") != "0"
}

// strict counts what cannot be read as no. The larger of the two settings counts
// (Documentation/networking/ip-sysctl.rst).
func strict(proc, link string) bool {
	return max(ipv4(proc, "conf", "all", "rp_filter"), ipv4(proc, "conf", link, "rp_filter")) == "1"
}

// ipv4 is a setting of one digit below /proc/sys/net/ipv4, "" where it cannot be read.
func ipv4(proc string, path ...string) string {
	value, err := os.ReadFile(filepath.Join(append([]string{proc, "sys/net/ipv4"}, path...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(value))
}
