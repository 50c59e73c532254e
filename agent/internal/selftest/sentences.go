package selftest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// failure is ports whose packets get lost at one place, for one cause as far as can
// be told.
type failure struct {
	at       place
	rejected string
	node     string // place sent: the endpoint's
	ports    []mesh.PortKey
	to       []netip.AddrPort
}

// warnings puts the ports that fail into one sentence per place.
func (p *path) warnings() []mesh.Warning {
	p.mu.Lock()
	rec, node, off := p.schedule.rec, p.schedule.node, p.off
	ports := p.schedule.ports
	failing, all := p.schedule.failing(time.Now())
	p.mu.Unlock()
	if len(failing) == 0 || off != "" || p.Broken() {
		return nil
	}
	var warnings []mesh.Warning
	for _, f := range failures(rec, failing, p.clean) {
		if all { // not the one of them that happens to be known so far
			f.ports, f.to = ports[:1], nil
		}
		warnings = append(warnings, f.warning(rec, node, all))
	}
	return warnings
}

// failures groups what fails, without what fails because a node is not reached.
func failures(rec *mesh.Record, failing []suspect, clean func(node string) bool) []failure {
	var groups []failure
	for _, s := range failing {
		f := failure{at: s.last.at, rejected: s.last.rejected}
		if s.last.at == sent {
			f.node = nodeOf(rec, s.to.Addr())
			if f.node != "" && !clean(f.node) {
				continue
			}
		}
		i := slices.IndexFunc(groups, func(g failure) bool { return g.at == f.at && g.node == f.node && g.rejected == f.rejected })
		if i < 0 {
			groups, i = append(groups, f), len(groups)
		}
		groups[i].ports = append(groups[i].ports, s.port)
		groups[i].to = append(groups[i].to, s.to)
	}
	for i := range groups {
		slices.SortFunc(groups[i].ports, mesh.PortKey.Compare)
		groups[i].ports = slices.Compact(groups[i].ports)
	}
	return groups
}

// nodeOf is the node whose endpoint has the address.
func nodeOf(rec *mesh.Record, endpoint netip.Addr) string {
	for name, n := range rec.Nodes {
		if n.HasEndpointsAt(endpoint) {
			return name
		}
	}
	return ""
}

// warning says it of the port, of the service when it is all of its ports, of this
// node when it is all ports, or of the endpoints' node when it is several.
func (f failure) warning(rec *mesh.Record, self string, all bool) mesh.Warning {
	w := mesh.Warning{Code: mesh.WarnPath, AllTraffic: all}
	switch {
	case !all && len(f.ports) == 1:
		w.Object = mesh.PortRef(f.ports[0])
	case !all && f.wholeService(rec) != "":
		w.Object = mesh.ServiceRef(f.wholeService(rec))
	case f.at == sent && f.node != "":
		w.Object = mesh.NodeRef(f.node)
	default:
		w.Object = mesh.NodeRef(self)
	}
	w.Text = fmt.Sprintf("A test packet to %s %s", f.what(all), f.story(rec, self))
	if f.rejected != "" {
		w.Text += fmt.Sprintf(" It is rejected with %s.", f.rejected)
	}
	return w
}

// wholeService is the service whose ports these are, all of them and no others, so
// that a load balancer turns away from it; "" when there is none.
func (f failure) wholeService(rec *mesh.Record) string {
	first := rec.Ports[f.ports[0]]
	if first == nil {
		return ""
	}
	var all []mesh.PortKey
	for _, p := range rec.ServicePorts(first.Service) {
		all = append(all, p.Key())
	}
	if !slices.Equal(all, f.ports) {
		return ""
	}
	return first.Service
}

// what names the ports. The words do not change while more and more ports of many
// turn out to fail.
func (f failure) what(all bool) string {
	const few = 3
	switch {
	case all:
		return "any published tcp port"
	case len(f.ports) == 1:
		return "published port " + f.ports[0].String()
	case len(f.ports) <= few:
		var names []string
		for _, key := range f.ports {
			names = append(names, key.String())
		}
		return "the published ports " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return fmt.Sprintf("published port %s, and to others,", f.ports[0])
}

// story says where the packet gets lost, why probably, and what to do.
func (f failure) story(rec *mesh.Record, self string) string {
	trace := fmt.Sprintf("`routingmesh-agent trace %d` on node %s shows the path.", f.ports[0].Port, self)
	as := fmt.Sprintf("(it comes in on the link %s from %s, as a client's would on the host's own links)", state.SelfTestLink, rec.Nodes[self].SelfTestAddress())
	switch f.at {
	case nowhere:
		return fmt.Sprintf("does not get from the host into the mesh on node %s %s: a firewall rule of the host in prerouting or forward drops it, or its reverse-path filter. "+
			"Find the rule with `nft list ruleset`, and let packets to %s pass. %s", self, as, state.HostLink, trace)
	case untranslated:
		return fmt.Sprintf("is not led into the mesh on node %s %s: another nat rule of the host, before the chain %s, takes it. "+
			"Find the rule with `nft list ruleset` or `iptables -t nat -nvL PREROUTING`, and put it after the mesh's. %s", self, as, state.ChainPrefix, trace)
	case hostLink:
		return fmt.Sprintf("leaves the host of node %s on %s, and does not arrive in the mesh: the link does not answer ARP, or a rule drops it there. "+
			"Look at `ip neigh show dev %s` and `ip netns exec %s sysctl -a --pattern arp_`. %s", self, state.HostLink, state.HostLink, state.Namespace, trace)
	case sent:
		return f.sentStory(rec, self, trace)
	case back:
		return fmt.Sprintf("is answered by its endpoint, but the answer gets lost between the mesh and the host of node %s: a firewall rule or reverse-path filter of the host "+
			"drops what comes in on %s. Find the rule with `nft list ruleset`. %s", self, state.HostLink, trace)
	case out:
		return fmt.Sprintf("is answered by its endpoint, but the answer does not leave node %s for the client: a firewall rule of the host in forward or postrouting drops "+
			"what comes from %s, or a route leads it elsewhere. Find the rule with `nft list ruleset`. %s", self, state.HostLink, trace)
	default:
		return fmt.Sprintf("is not answered on node %s %s. Where it gets lost cannot be told, for the kernel does not say what conntrack knows (modprobe nf_conntrack_netlink). %s", self, as, trace)
	}
}

// sentStory is of packets that get no answer from the endpoint.
func (f failure) sentStory(rec *mesh.Record, self, trace string) string {
	target := f.target(rec, self)
	switch f.node {
	case "":
		return fmt.Sprintf("is sent to %s by node %s, and no answer comes back. %s", target, self, trace)
	case self:
		return fmt.Sprintf("reaches the mesh on node %s and is sent to %s on this node, and no answer comes back: a firewall rule of the host drops what comes in on %s, "+
			"or the answer to it. Find the rule with `nft list ruleset`. %s", self, target, state.HostLink, trace)
	}
	return fmt.Sprintf("goes from node %s to %s on node %s, and no answer comes back, though the overlay between the two works: a firewall rule on the host of node %s drops "+
		"what comes in on %s, or the answer to it. Find the rule with `nft list ruleset` on node %s. %s", self, target, f.node, f.node, state.HostLink, f.node, trace)
}

// target names the endpoint, if it is one.
func (f failure) target(rec *mesh.Record, self string) string {
	if len(f.to) != 1 {
		return "the endpoints"
	}
	if name := compile.EndpointNames(rec, self, compile.Published(f.ports[0]))[f.to[0]]; name != "" {
		return fmt.Sprintf("endpoint %s (%s)", name, addressText(f.to[0]))
	}
	return "the address " + addressText(f.to[0])
}

// addressText leaves out the port of a range's destination, which has none.
func addressText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
