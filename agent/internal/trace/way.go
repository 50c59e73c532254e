package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// repair is what to do about something of ours that is missing.
const repair = "The agent repairs it (see `routingmesh-agent status`), or terraform apply does."

func (t *tracer) member() {
	key := t.trace.Port
	if !t.hasPort(t.set) {
		t.broken(hostSpace, "ipset "+t.set, "No member %d in %s: nothing gets in. %s", key.Port, t.set, repair)
		return
	}
	s := t.step(hostSpace, fmt.Sprintf("ipset %s has port %d", t.set, key.Port))
	if at := t.networksOf(t.set); state.IsListenSet(t.set) {
		s.Text += " at " + listed(at)
		s.Details = t.ownAddresses(at)
	}
	if t.Record != nil && t.port == nil {
		s.Broken = fmt.Sprintf("The record has no port %s: the member is left from before, or somebody has added it. %s", key, repair)
	}
}

// ownAddresses says at which of the host's addresses the port is.
func (t *tracer) ownAddresses(at []netip.Prefix) []string {
	var own []string
	for _, a := range t.Addresses {
		if slices.ContainsFunc(at, func(n netip.Prefix) bool { return n.Contains(a) }) {
			own = append(own, a.String())
		}
	}
	switch {
	case len(own) > 0:
		return []string{"addresses of this host among them: " + strings.Join(own, ", ")}
	case t.Addresses != nil && !slices.ContainsFunc(at, func(n netip.Prefix) bool { return n.Addr().IsLoopback() }):
		return []string{"this host has no such address, so no client gets in"}
	}
	return nil
}

// jumps are from where packets come in: from outside, and from this host.
func (t *tracer) jumps() {
	const chain = state.ChainPrefix
	s := t.step(hostSpace, "")
	var texts []string
	for _, hook := range []struct{ name, who string }{{"PREROUTING", "other hosts"}, {"OUTPUT", "this host"}} {
		rule, place, ok := find(t.HostChains, "nat", hook.name, "-j "+chain)
		if !ok {
			s.Text = "nat " + hook.name
			s.Broken = fmt.Sprintf("No rule of nat %s jumps to %s: what comes from %s does not get in. %s", hook.name, chain, hook.who, repair)
			return
		}
		texts = append(texts, fmt.Sprintf("%s (rule %d)", hook.name, place))
		s.Counted = append(s.Counted, Count{"packets from " + hook.who, rule.Packets})
		s.Details = append(s.Details, t.before("nat", hook.name, place)...)
	}
	s.Text = "nat " + strings.Join(texts, ", ") + " → " + chain
}

// before names the rules in front of our jump: they may take the packet first.
func (t *tracer) before(table, hook string, place int) []string {
	const most = 3
	c := chainOf(t.HostChains, table, hook)
	var lines []string
	for i, r := range c.Rules[:min(place-1, most)] {
		lines = append(lines, fmt.Sprintf("before it, %s rule %d: %s", hook, i+1, r.Text))
	}
	return lines
}

// translation is the rule that sends the packet to the virtual address, read
// from the rule itself.
func (t *tracer) translation() {
	if t.rangeTranslation() {
		return
	}
	match := []string{"-p " + string(t.trace.Port.Protocol), "--match-set " + t.set + " dst", "-j DNAT"}
	if state.IsListenSet(t.set) {
		match = []string{"--match-set " + t.set + " dst,dst", "-j DNAT"}
	}
	rule, _, ok := find(t.HostChains, "nat", state.ChainPrefix, match...)
	_, to, named := strings.Cut(rule.Text, "--to-destination ")
	vip, err := netip.ParseAddr(strings.TrimSpace(to))
	if !ok || !named || err != nil {
		t.broken(hostSpace, "nat "+state.ChainPrefix, "No rule sends what is for the ports of %s into the mesh. %s", t.set, repair)
		return
	}
	t.vip = vip
	t.step(hostSpace, fmt.Sprintf("nat %s: DNAT to %s, the port stays %d", state.ChainPrefix, vip, t.trace.Port.Port), Count{"packets of all ports in the set", rule.Packets})
}

func (t *tracer) forward() {
	const chain = state.ForwardChain
	forward := chainOf(t.HostChains, "filter", "FORWARD")
	text := fmt.Sprintf("filter FORWARD (policy %s)", forward.Policy)
	if t.isOff(state.Host, "net.ipv4.ip_forward") {
		t.broken(hostSpace, text, "The sysctl net.ipv4.ip_forward is not 1 on this host: only what it sends itself gets in. %s", repair)
		return
	}
	_, place, ok := find(t.HostChains, "filter", "FORWARD", "-j "+chain)
	in, _, accepts := find(t.HostChains, "filter", chain, "-o "+state.HostLink, "-j ACCEPT")
	out, _, answers := find(t.HostChains, "filter", chain, "-i "+state.HostLink, "-j ACCEPT")
	if !ok || !accepts || !answers {
		if forward.Policy == "ACCEPT" && len(forward.Rules) == 0 {
			t.step(hostSpace, text+" accepts it, without our rules")
			return
		}
		t.broken(hostSpace, text, "%s does not accept the mesh's packets there, so another rule or the policy may drop them. %s", chain, repair)
		return
	}
	s := t.step(hostSpace, fmt.Sprintf("%s, rule %d → %s accepts it", text, place, chain), Count{"packets in", in.Packets}, Count{"packets out", out.Packets})
	s.Details = append(t.before("filter", "FORWARD", place), t.userRules()...)
}

func (t *tracer) link() {
	veth, ok := has(t.Facts, state.Veth{})
	switch r, routed := t.route(state.Host, t.vip); {
	case !ok:
		t.broken(hostSpace, "link "+state.HostLink, "There is no link %s: the packet cannot leave the host for the mesh. %s", state.HostLink, repair)
	case veth.Fault != "":
		t.broken(hostSpace, "link "+state.HostLink, "%s is not as it should be: %s. %s", state.HostLink, veth.Fault, repair)
	case !routed || r.Dev != state.HostLink:
		t.broken(hostSpace, "route to "+t.vip.String(), "There is no route to %s over %s: the packet goes elsewhere. %s", t.vip, state.HostLink, repair)
	default:
		t.step(hostSpace, fmt.Sprintf("%s is up, mtu %d, and has the route to %s", state.HostLink, veth.MTU, t.vip), linkCounts(t.Links[state.HostLink])...)
	}
}

// linkCounts are as the host sees them: what a link sends goes into the mesh.
func linkCounts(c kernel.LinkCounters) []Count {
	counts := []Count{{"packets in", c.TxPackets}, {"packets out", c.RxPackets}}
	if c.Dropped > 0 {
		counts = append(counts, Count{"dropped", c.Dropped})
	}
	if c.Errors > 0 {
		counts = append(counts, Count{"errors", c.Errors})
	}
	return counts
}

func (t *tracer) namespace() {
	ns, ok := has(t.Facts, state.NetNS{})
	_, vip := has(t.Facts, state.Addr{NS: state.Mesh, Link: "lo", Prefix: netip.PrefixFrom(t.vip, t.vip.BitLen())})
	if t.toRange() {
		_, vip = has(t.Facts, state.Route{NS: state.Mesh, Table: state.LocalTable, Dst: mesh.RangeVIPs})
	}
	text := "network namespace " + state.Namespace
	switch {
	case !ok:
		t.broken(meshSpace, text, "There is no network namespace %s. %s", state.Namespace, repair)
	case ns.Fault != "":
		t.broken(meshSpace, text, "The mesh's namespace is not as it should be: %s. %s", ns.Fault, repair)
	case !vip:
		t.broken(meshSpace, text, "It does not have the address %s, so the packet is not for it. %s", t.vip, repair)
	case t.isOff(state.Mesh, "net.ipv4.ip_forward"):
		t.broken(meshSpace, text, "The sysctl net.ipv4.ip_forward is not 1 in it: IPVS hands nothing on. %s", repair)
	case t.isOff(state.Mesh, "net.ipv4.vs.conntrack"):
		t.broken(meshSpace, text, "The sysctl net.ipv4.vs.conntrack is not 1 in it: endpoints answer the client past the mesh. %s", repair)
	default:
		t.step(meshSpace, fmt.Sprintf("%s has %s", text, t.vip))
	}
}

func (t *tracer) ipvs() (kernel.Server, bool) {
	for _, s := range t.Servers {
		if s.Proto == t.trace.Port.Protocol && s.Addr == mesh.RangeServer(netip.AddrPortFrom(t.vip, t.trace.Port.Port)) {
			return s, true
		}
	}
	return kernel.Server{}, false
}

func (t *tracer) server() {
	name := fmt.Sprintf("%s:%s", t.vip, t.trace.Port.Plain())
	if mark, ok := mesh.RangeMark(t.vip); ok {
		name = fmt.Sprintf("by mark %#x", mark)
	}
	s, ok := t.ipvs()
	missing := fmt.Sprintf("There is no IPVS service %s: the client is refused. %s", name, repair)
	name = "IPVS " + name
	switch {
	case !ok:
		t.broken(meshSpace, name, "%s", missing)
	case len(s.Destinations) == 0:
		why := repair
		if t.port != nil && len(t.Record.LiveEndpoints(t.Record.Services[t.port.Service])) == 0 {
			why = fmt.Sprintf("Service %s has no endpoint in the cluster: add one.", t.port.Service)
		}
		t.broken(meshSpace, name+" "+s.Scheduler, "It has no destination: the client is refused. %s", why)
	case !slices.ContainsFunc(s.Destinations, func(d kernel.Destination) bool { return d.Weight > 0 }):
		t.step(meshSpace, name+", "+t.scheduling(s), trafficCounts(s.Traffic)...).Details = []string{"no destination has a weight: new clients are refused"}
	default:
		t.step(meshSpace, name+", "+t.scheduling(s), trafficCounts(s.Traffic)...)
	}
}

// scheduling is how a client gets its destination.
func (t *tracer) scheduling(s kernel.Server) string {
	text := "scheduler " + s.Scheduler
	v, _ := has(t.Facts, state.VirtualServer{Proto: string(s.Proto), Addr: s.Addr})
	if v.AffinitySeconds > 0 {
		text += fmt.Sprintf(", a client (/%d) stays for %d s", v.AffinityBits, v.AffinitySeconds)
	}
	if v.OnePacket {
		text += ", each packet by itself"
	}
	if v.Fault != "" {
		text += ", " + v.Fault
	}
	return text
}

func trafficCounts(c mesh.Traffic) []Count {
	return []Count{{"connections", c.Connections}, {"packets in", c.PacketsIn}, {"packets out", c.PacketsOut}, {"bytes in", c.BytesIn}, {"bytes out", c.BytesOut}}
}

// source is the rule that makes S the client of the endpoints; some ports keep the
// client, but for one on this node or, where its address is preserved, on any.
func (t *tracer) source() {
	match := "--ctorigdst " + t.vip.String()
	if t.toRange() {
		match = "--ctorigdst " + rangeNetwork(t.vip).String()
	}
	rule, _, ok := find(t.MeshChains, "nat", "POSTROUTING", match, "-j SNAT")
	if !ok {
		rule, _, ok = find(t.MeshChains, "nat", "POSTROUTING", match+"/32", "-j SNAT")
	}
	_, to, _ := strings.Cut(rule.Text, "--to-source ")
	switch {
	case !ok:
		t.broken(meshSpace, "nat POSTROUTING", "No rule gives what was for %s a source address of the mesh: endpoints answer the client past it. %s", t.vip, repair)
	case strings.HasPrefix(t.set, state.SetPrefix+"keep-"):
		t.step(meshSpace, fmt.Sprintf("nat POSTROUTING: the client's address stays; SNAT to %s for one on a node", to), Count{"packets", rule.Packets})
	case toHostMode(t.set):
		t.step(meshSpace, fmt.Sprintf("nat POSTROUTING: the client's address stays; SNAT to %s for one on this node", to), Count{"packets", rule.Packets})
	default:
		t.step(meshSpace, "nat POSTROUTING: SNAT to "+to, Count{"packets of all ports", rule.Packets})
	}
}
