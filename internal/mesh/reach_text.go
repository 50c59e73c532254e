package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// sentence tells a group: which nodes and direction, the likely cause, what to do.
func (r *reach) sentence(g group) string {
	node, peers := g.object, someOf(g.peers)
	port := r.rec.Cluster.VXLANPort
	var address netip.Addr
	if n := r.rec.Nodes[node]; n != nil { // nil when it is about everyone
		address = n.Address
	}
	switch g.cause {
	case notSent:
		return fmt.Sprintf("Node %s can send nothing to %s over the overlay: %s. Its mesh is not up; run terraform apply, and `routingmesh-agent check` on %s if it stays so.",
			node, peers, strings.TrimSuffix(g.detail, "."), node)
	case underlay:
		return r.underlaySentence(g, peers)
	case source:
		return fmt.Sprintf("Overlay packets of node %s arrive at %s from %s, not from its address %s, and are not let in: something on the way translates them (NAT), "+
			"or the host sends from another address of its own. Leave UDP port %d untranslated, or set the node's address to the one that the other nodes see.",
			node, peers, g.detail, address, port)
	case firewall:
		return fmt.Sprintf("Node %s does not let in the overlay packets of %s: they arrive on its links (UDP port %d), but not in its mesh. A firewall of this host drops them, "+
			"in spite of the accept in the chain ROUTINGMESH-IN: find the rule with `nft list ruleset`, and let UDP port %d of the other nodes pass.",
			node, peers, port, port)
	case filtered:
		return filteredSentence(g, peers, address, port)
	case silent:
		return r.silentSentence(g, peers, port)
	default:
		return r.tooLargeSentence(g, peers)
	}
}

func (r *reach) underlaySentence(g group, peers string) string {
	if g.role == everyone {
		return "No node reaches any other, neither over the overlay nor by a ping to its own address. Check that the nodes' addresses are those at which " +
			"they reach each other, the routes to them, and the firewalls."
	}
	up := "Is the host up"
	if r.reports[g.object] != nil {
		up = "Its agent answers, so the host is up"
	}
	return fmt.Sprintf("Node %s is cut off from %s: neither the overlay's packets nor a ping to each other's own address get through. "+
		"%s; is %s the address at which the other nodes reach it, with a route to it and no firewall that drops everything?",
		g.object, peers, up, r.rec.Nodes[g.object].Address)
}

func filteredSentence(g group, peers string, address netip.Addr, port uint16) string {
	const pings = "never arrives there, though a ping does"
	todo := fmt.Sprintf("Allow UDP port %d from every node to every other.", port)
	switch g.role {
	case receives:
		return fmt.Sprintf("Node %s is not reached over the overlay by %s: what is sent to UDP port %d of %s %s. A firewall or security group on the way, "+
			"or output rules of the senders, drop it. %s", g.object, peers, port, address, pings, todo)
	case sends:
		return fmt.Sprintf("Node %s does not reach %s over the overlay: what it sends to UDP port %d there %s. Output rules of this host, "+
			"or a firewall or security group on the way, drop it. %s", g.object, peers, port, strings.ReplaceAll(pings, " there", ""), todo)
	default:
		return fmt.Sprintf("Nothing passes over the overlay %s: what is sent to UDP port %d %s. "+
			"A firewall or security group between them drops it. %s", sides(g, peers), port, pings, todo)
	}
}

// silentSentence is of what only one end was asked about: it says less.
func (r *reach) silentSentence(g group, peers string, port uint16) string {
	what, pinged, ask := fmt.Sprintf("Node %s does not answer %s over the overlay", g.object, peers), "a ping to its own address is answered", g.object
	if r.reports[g.object] != nil {
		what, pinged, ask = fmt.Sprintf("Node %s gets no answer over the overlay from %s", g.object, peers), "a ping to their own addresses is answered", someOf(g.peers)
	}
	though := []string{}
	if g.pinged {
		though = append(though, pinged)
	}
	lost := fmt.Sprintf("UDP port %d is filtered on the way or on one of the hosts, or the mesh is not up there. ", port)
	if len(g.heard) > 0 {
		though = append(though, "overlay packets of "+someOf(g.heard)+" arrive")
		lost = fmt.Sprintf("What is sent that way is lost: output rules of the sender, a firewall on the way, or the other host's, drop UDP port %d. ", port)
	}
	if len(though) > 0 {
		what += ", though " + strings.Join(though, " and ")
	}
	return what + ". " + lost + fmt.Sprintf("terraform apply asks all nodes at once, and can tell; or run `routingmesh-agent check` on %s as well.", ask)
}

func (r *reach) tooLargeSentence(g group, peers string) string {
	way := map[role]string{
		receives: fmt.Sprintf("from %s to node %s", peers, g.object),
		sends:    fmt.Sprintf("from node %s to %s", g.object, peers),
	}[g.role]
	if way == "" {
		way = sides(g, peers)
	}
	text := fmt.Sprintf("Large packets %s are lost on the overlay: %d bytes pass, the overlay's %d do not. A link on the way carries less than the nodes' own links. ",
		way, g.size, r.full)
	if g.cause == pieces {
		text = fmt.Sprintf("Large packets %s arrive in pieces: the links between them carry overlay packets of %d bytes whole, the overlay's have up to %d. "+
			"That is slow, and a firewall that drops pieces ends it. ", way, g.size, r.full)
	}
	if mtu := r.fittingMTU(); mtu >= int(MTUs.First) {
		return text + fmt.Sprintf("Set mtu = %d on the cluster, or raise the MTU on the way to %d.", mtu, r.full+VXLANOverhead)
	}
	return text + fmt.Sprintf("That is less than any mtu that a cluster can have (%d): raise the MTU on the way to %d.", MTUs.First, r.full+VXLANOverhead)
}

// sides are the two ends of what fails both ways.
func sides(g group, peers string) string {
	if g.role == everyone {
		return "between any two nodes"
	}
	return fmt.Sprintf("between node %s and %s", g.object, peers)
}

// fittingMTU is what passes everywhere that something passes, rounded down: many
// links take a few bytes more than their MTU says (room for a VLAN tag), which is
// nothing to rely on.
func (r *reach) fittingMTU() int {
	const step = 10
	mtu := r.full
	for _, f := range r.failures {
		if f.cause == tooLarge || f.cause == pieces {
			mtu = min(mtu, f.size)
		}
	}
	return mtu - mtu%step
}

// maxNamed is how many nodes a sentence names when there are more.
const maxNamed = 4

// someOf is "n1", "n1 and n2", or "n1, n2 and 15 more".
func someOf(names []string) string {
	if n := len(names); n > maxNamed {
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], n-2)
	} else if n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

func addresses(all []netip.Addr) string {
	sorted := slices.SortedFunc(slices.Values(all), netip.Addr.Compare)
	var texts []string
	for _, a := range slices.Compact(sorted) {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " and ")
}
