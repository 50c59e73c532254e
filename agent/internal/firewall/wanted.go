package firewall

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// trusted is the zone of firewalld that accepts everything. What comes over rmesh0
// has been let in by the mesh already, at the node where it came in.
const trusted = "trusted"

// richRule is a rule of firewalld's rich language in a zone.
type richRule struct {
	Zone string `json:"zone"`
	Rule string `json:"rule"`
}

// observed is what firewalld says of itself.
type observed struct {
	running     bool
	panics      bool // panic mode: it drops everything
	defaultZone string
	links       map[string]string       // a link's zone
	sources     map[netip.Prefix]string // a source's zone; it goes before the link's
	rules       map[richRule]bool
}

// added is what the agent has told firewalld, so that it takes back that and
// nothing else. It is kept beside the host's settings from before the mesh.
type added struct {
	Rules []richRule `json:"rules,omitempty"`
	// Link says that rmesh0 was put into zone trusted, from zone LinkWas or none.
	Link    bool   `json:"link,omitempty"`
	LinkWas string `json:"link_was,omitempty"`
}

// wanted is what firewalld shall have for the mesh.
type wanted struct {
	rules map[richRule]string // the node behind each
	link  bool
}

// acceptVXLAN is spelled as firewalld prints it.
func acceptVXLAN(peer netip.Addr, port uint16) string {
	return fmt.Sprintf(`rule family="ipv4" source address="%s" port port="%d" protocol="udp" accept`, peer, port)
}

// want says what the named node needs of a firewalld that is so. Underlay is the
// link that the node's address is on.
func want(rec *mesh.Record, node, underlay string, o observed) wanted {
	w := wanted{rules: map[richRule]string{}}
	if rec == nil || rec.Nodes[node] == nil {
		return w
	}
	w.link = true
	for name, peer := range rec.Nodes {
		if name != node {
			w.rules[richRule{o.zoneOf(peer.Address, underlay), acceptVXLAN(peer.Address, rec.Cluster.VXLANPort)}] = name
		}
	}
	return w
}

// zoneOf is the zone in which firewalld sees what a peer sends.
func (o observed) zoneOf(peer netip.Addr, underlay string) string {
	zone, bits := "", -1
	for source, z := range o.sources {
		if source.Contains(peer) && source.Bits() > bits {
			zone, bits = z, source.Bits()
		}
	}
	return cmp.Or(zone, o.links[underlay], o.defaultZone)
}

// lacks lists the rules that are wanted and missing, in a fixed order.
func (w wanted) lacks(o observed) []richRule {
	missing := slices.SortedFunc(maps.Keys(w.rules), compareRules)
	return slices.DeleteFunc(missing, func(r richRule) bool { return o.rules[r] })
}

func (w wanted) lacksLink(o observed) bool { return w.link && o.links[state.HostLink] != trusted }

// stale are the rules that the agent has added and that are not wanted any more.
func (w wanted) stale(o observed, a added) (rules []richRule) {
	for _, r := range a.Rules {
		if _, still := w.rules[r]; !still && o.rules[r] {
			rules = append(rules, r)
		}
	}
	return rules
}

func (w wanted) staleLink(o observed, a added) bool {
	return !w.link && a.Link && o.links[state.HostLink] == trusted
}

func compareRules(a, b richRule) int {
	return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Rule, b.Rule))
}

// fault says what differs, as the rest of a sentence; "" when nothing does.
func (w wanted) fault(o observed, a added) string {
	if !o.running || o.panics {
		return "" // nothing to tell; see Warnings
	}
	missing := w.lacks(o)
	switch {
	case len(missing) == 1:
		return fmt.Sprintf("has no rule in its zone %s that accepts VXLAN from node %s, so that the overlay does not get through", missing[0].Zone, w.rules[missing[0]])
	case len(missing) > 1:
		return fmt.Sprintf("has no rules in its zone %s that accept VXLAN from %s, so that the overlay does not get through", missing[0].Zone, w.nodes(missing))
	case w.lacksLink(o):
		return fmt.Sprintf("does not have %s in its zone %s, so that it drops what comes out of the mesh", state.HostLink, trusted)
	case len(w.stale(o, a)) > 0:
		return fmt.Sprintf("still has a rule in its zone %s that the mesh had added and does not need", w.stale(o, a)[0].Zone)
	case w.staleLink(o, a):
		return fmt.Sprintf("still has %s in its zone %s, where the mesh had put it", state.HostLink, trusted)
	}
	return ""
}

// nodes names the nodes behind rules.
func (w wanted) nodes(rules []richRule) string {
	const most = 5
	var names []string
	for _, r := range rules {
		names = append(names, w.rules[r])
	}
	slices.Sort(names)
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("nodes %s and %d more", strings.Join(names[:most], ", "), more)
	}
	return "nodes " + strings.Join(names, ", ")
}

// commands are what a person types for what is missing, at run time and to last.
func (w wanted) commands(o observed, port uint16) []string {
	const mostRules = 4 // more of them read better as one opened port
	missing := w.lacks(o)
	var settings []string
	if len(missing) <= mostRules {
		for _, r := range missing {
			settings = append(settings, fmt.Sprintf("--zone=%s --add-rich-rule='%s'", r.Zone, r.Rule))
		}
	} else {
		zones := map[string]bool{}
		for _, r := range missing {
			zones[r.Zone] = true
		}
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			settings = append(settings, fmt.Sprintf("--zone=%s --add-port=%d/udp", zone, port))
		}
	}
	if w.lacksLink(o) {
		settings = append(settings, fmt.Sprintf("--zone=%s --change-interface=%s", trusted, state.HostLink))
	}
	var commands []string
	for _, s := range settings {
		commands = append(commands, "firewall-cmd "+s, "firewall-cmd --permanent "+s)
	}
	return commands
}

// warnings is what no apply repairs.
func (w wanted) warnings(o observed, node string, report bool, port uint16) []mesh.Warning {
	object := mesh.NodeRef(node)
	switch {
	case !o.running || !w.link:
		return nil
	case o.panics:
		return []mesh.Warning{{Code: mesh.WarnFirewall, Object: object, AllTraffic: true, Text: "firewalld is in panic mode: it drops every packet of this host, so nothing of the mesh " +
			"gets in or out. The mesh does not override that. End it with `firewall-cmd --panic-off`."}}
	case !report || len(w.lacks(o)) == 0 && !w.lacksLink(o):
		return nil
	}
	var drops []string
	if missing := w.lacks(o); len(missing) > 0 {
		drops = append(drops, fmt.Sprintf("VXLAN from %s in its zone %s", w.nodes(missing), missing[0].Zone))
	}
	if w.lacksLink(o) {
		drops = append(drops, fmt.Sprintf("what comes out of the mesh on %s, which is not in its zone %s", state.HostLink, trusted))
	}
	return []mesh.Warning{{Code: mesh.WarnFirewall, Object: object, Text: fmt.Sprintf("firewalld has no rule for %s, and the cluster's firewall is \"report\", so the agent adds none. Run there: %s.",
		strings.Join(drops, ", and for "), "`"+strings.Join(w.commands(o, port), "`, `")+"`")}}
}
