package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Host looks at the machine that the agent runs on.
type Host struct {
	// Proc is where procfs is mounted.
	Proc string
	// Root is the folder that /etc and /run are in; "" is "/".
	Root string
	// Requirements lists what the kernel and its tools lack, and what the mesh
	// cannot work beside, one sentence each.
	Requirements func(context.Context) []string
	// Preserving lists what the host lacks for ports that preserve clients' addresses, and
	// what uses the mark already, one sentence each; nil knows of nothing.
	Preserving func(ctx context.Context, mark uint32) []string
	// Ranging lists what the host lacks for ranges of ports, one sentence each; nil knows of
	// nothing.
	Ranging func(context.Context) []string
	// Networking lists what the host lacks for networks, and what they cannot work beside at
	// the overlay's port, one sentence each; nil knows of nothing.
	Networking func(ctx context.Context, vxlanPort uint16) []string
	// Taken lists what somebody else has under a name or a number that is the mesh's, one
	// sentence each; nil knows of none.
	Taken func(context.Context) ([]string, error)
	// Translated says which of the ports the host's own rules send elsewhere, and where
	// they do; nil knows of none.
	Translated func(ports []mesh.PortKey, address netip.Addr) (map[mesh.PortKey]string, error)
}

// check is one run of the checks of a node.
type check struct {
	current, next *mesh.Record // current is nil when the host has none
	self          *mesh.Node   // as in next
	before        *mesh.Node   // as in current; nil when it joins
	problems      []mesh.Problem
	notes         []string // what is worth knowing and harms nothing
}

// Preflight returns what speaks against next on this host as the named node of
// it: sorted by object and text, empty when nothing does. What current has
// already applied here is not checked again.
func (h *Host) Preflight(ctx context.Context, current, next *mesh.Record, node string) []mesh.Problem {
	c := &check{current: current, next: next, self: next.Nodes[node]}
	if c.self == nil {
		return nil
	}
	if current != nil {
		c.before = current.Nodes[node]
	}
	if c.before == nil {
		h.checkRequirements(ctx, c)
		h.checkTaken(ctx, c)
	}
	if h.Preserving != nil && c.preservingIsNew() {
		for _, text := range h.Preserving(ctx, next.Cluster.Mark()) {
			c.node(mesh.ProblemHostLacks, "", "%s", text)
		}
	}
	if h.Ranging != nil && len(c.next.Ranges()) > 0 && (c.before == nil || len(c.current.Ranges()) == 0) {
		for _, text := range h.Ranging(ctx) {
			c.node(mesh.ProblemHostLacks, "", "%s", text)
		}
	}
	if h.Networking != nil && c.next.HasNetworks() && (c.before == nil || !c.current.HasNetworks()) {
		for _, text := range h.Networking(ctx, next.Cluster.VXLANPort) {
			c.node(mesh.ProblemHostLacks, "", "%s", text)
		}
	}
	h.checkAddress(c)
	if c.placeIsNew() {
		h.checkPool(c)
	}
	if c.overlayIsNew() {
		h.checkOverlay(c)
	}
	h.checkListeners(c)
	h.checkAgentAddresses(c)
	mesh.SortProblems(c.problems)
	return c.problems
}

func (h *Host) checkRequirements(ctx context.Context, c *check) {
	if h.Requirements == nil {
		return
	}
	for _, text := range h.Requirements(ctx) {
		c.node(mesh.ProblemHostLacks, "", "%s", text)
	}
}

// checkTaken finds what would be taken for the mesh's own. What cannot be read where a
// program is missing has been said.
func (h *Host) checkTaken(ctx context.Context, c *check) {
	if h.Taken == nil {
		return
	}
	texts, err := h.Taken(ctx)
	for _, text := range texts {
		c.node(mesh.ProblemNameTaken, "", "%s", text)
	}
	if err != nil && len(c.problems) == 0 {
		c.node(mesh.ProblemHostUnread, "", "Whether somebody else uses the mesh's names on this host cannot be read: %v.", err)
	}
}

func (c *check) preservingIsNew() bool {
	return c.next.PreservesAddresses() && (c.before == nil || !c.current.PreservesAddresses() || c.current.Cluster.Mark() != c.next.Cluster.Mark())
}

func (c *check) placeIsNew() bool {
	return c.before == nil || c.before.Block != c.self.Block || c.current.Cluster.AddressPool != c.next.Cluster.AddressPool
}

func (c *check) overlayIsNew() bool {
	return c.before == nil || c.current.Cluster.VNI != c.next.Cluster.VNI || c.current.Cluster.VXLANPort != c.next.Cluster.VXLANPort
}

func (c *check) node(code mesh.ProblemCode, attribute, format string, args ...any) {
	c.add(code, mesh.NodeRef(c.self.Name), attribute, format, args...)
}

func (c *check) add(code mesh.ProblemCode, o mesh.Ref, attribute, format string, args ...any) {
	c.problems = append(c.problems, mesh.Problem{Code: code, Object: o, Attribute: attribute, Text: fmt.Sprintf(format, args...)})
}

func (h *Host) checkAddress(c *check) {
	if c.before != nil && c.before.Address == c.self.Address {
		return
	}
	facts, err := h.Facts()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The host's addresses cannot be read: %v.", err)
		return
	}
	if _, ok := facts.LinkOf(c.self.Address); ok {
		return
	}
	var has []string
	for _, link := range facts.Interfaces {
		for _, a := range link.Addresses {
			has = append(has, fmt.Sprintf("%s (%s)", a.Addr(), link.Name))
		}
	}
	c.node(mesh.ProblemAddress, "address", "The host has no address %s; it has %s. The overlay sends from the node's address, so it must be one of the host's own "+
		"(not one that a router translates to it).", c.self.Address, cmp.Or(strings.Join(has, ", "), "no IPv4 address"))
}

// opening is a number that a published port opens here.
type opening struct {
	port   *mesh.PublishedPort
	number uint16
}

// key is the number as a listener has it.
func (o opening) key() mesh.PortKey { return mesh.PortKey{Port: o.number, Protocol: o.port.Protocol} }

// name is what a sentence about the number begins with.
func (o opening) name() string {
	if o.port.IsRange() {
		return fmt.Sprintf("Port %s of %s", o.key(), o.port.Range())
	}
	return "Port " + o.key().String()
}

// mostOfRange is how many ports of one range are told of that somebody else has.
const mostOfRange = 5

// checkListeners finds processes that listen on a port which the commit opens
// here: the mesh would take their traffic away. The endpoint that the port's
// own service has on this node is none of them, nor the agent, which leaves a port
// where it answers before it opens it.
func (h *Host) checkListeners(c *check) {
	opened := c.opened()
	if len(opened) == 0 {
		return
	}
	h.checkTranslated(c, opened)
	byPort, err := h.listeners()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The agent cannot see which ports are in use: %v.", err)
		return
	}
	type hit struct {
		opening
		listener
	}
	var hits []hit
	inodes := map[uint64]bool{}
	for _, o := range opened {
		ls := byPort[o.key()]
		if i := slices.IndexFunc(ls, func(l listener) bool { return c.takes(o, l.local.Addr()) }); i >= 0 {
			hits = append(hits, hit{o, ls[i]})
			inodes[ls[i].inode] = true
		}
	}
	if len(hits) == 0 {
		return
	}
	owners, told := h.owners(inodes), map[*mesh.PublishedPort]int{}
	for _, l := range hits {
		if h.isAgent(owners[l.inode]) || told[l.port] == mostOfRange {
			continue
		}
		told[l.port]++
		c.add(mesh.ProblemPortTaken, mesh.PortRef(l.port.Key()), "published_port",
			"%s: %s already listens on %s on this node; the mesh would take its traffic away. Stop it or move it to another port, "+
				"choose another published_port, or, if it is what should answer, make it an endpoint of service %q with this target port.",
			l.name(), owners[l.inode], l.local, l.port.Service)
	}
}

// opened are the numbers that the commit opens here, sorted.
func (c *check) opened() (opened []opening) {
	ports := slices.SortedFunc(maps.Values(c.next.Ports), func(a, b *mesh.PublishedPort) int { return a.Key().Compare(b.Key()) })
	for _, p := range ports {
		if !compile.Opens(c.next, c.self.Name, p) {
			continue
		}
		numbers := p.Range()
		if c.isOpen(opening{p, numbers.Last}) {
			continue
		}
		for n := int(numbers.First); n <= int(numbers.Last); n++ {
			if o := (opening{p, uint16(n)}); !c.isOpen(o) && !compile.AnswersItself(c.next, c.self.Name, p, o.number) {
				opened = append(opened, o)
			}
		}
	}
	return opened
}

// checkTranslated finds ports that a container, or something else, has by DNAT alone:
// nothing listens on them here.
func (h *Host) checkTranslated(c *check, opened []opening) {
	if h.Translated == nil {
		return
	}
	found := map[opening]string{}
	for address, openings := range c.entrances(opened) {
		var numbers []mesh.PortKey
		for _, o := range openings {
			numbers = append(numbers, o.key())
		}
		there, err := h.Translated(numbers, address)
		if err != nil {
			return // they are the rules of a firewall that the mesh does not need
		}
		for _, o := range openings {
			if by := there[o.key()]; by != "" {
				found[o] = by
			}
		}
	}
	told := map[*mesh.PublishedPort]int{}
	for _, o := range opened {
		if found[o] == "" || told[o.port] == mostOfRange {
			continue
		}
		told[o.port]++
		c.add(mesh.ProblemPortTaken, mesh.PortRef(o.port.Key()), "published_port",
			"%s: %s sends it elsewhere by DNAT on this node, as a container's published port does; the mesh would take its traffic away. "+
				"Stop the container or give it another port, or choose another published_port.", o.name(), found[o])
	}
}

// entrances are the ports by the addresses of the host that they are open at: the node's own
// stands for all of a port that is open at all.
func (c *check) entrances(opened []opening) map[netip.Addr][]opening {
	all := map[netip.Addr][]opening{}
	var own []netip.Addr
	for _, o := range opened {
		if o.port.Listen == "" {
			all[c.self.Address] = append(all[c.self.Address], o)
			continue
		}
		if own == nil {
			own, _ = Addresses() // without them nothing is found there
		}
		for _, a := range own {
			if c.takes(o, a) {
				all[a] = append(all[a], o)
			}
		}
	}
	return all
}

// takes says that the number takes what comes to a socket at the address, and did not before.
func (c *check) takes(o opening, at netip.Addr) bool {
	if was := c.was(o); was != nil && (at.IsUnspecified() || was.Listen.Has(at)) {
		return false
	}
	return at.IsUnspecified() || o.port.Listen.Has(at)
}

// was is the port of the number as it is open here already, nil where it is not.
func (c *check) was(o opening) *mesh.PublishedPort {
	if c.before == nil {
		return nil
	}
	was := c.current.Ports[o.port.Key()]
	if was == nil || !was.Range().Has(o.number) || !compile.Opens(c.current, c.self.Name, was) {
		return nil
	}
	return was
}

// isOpen reports whether the number is open here already, at all addresses that it is to be.
func (c *check) isOpen(o opening) bool {
	was := c.was(o)
	return was != nil && (was.Listen == "" || was.Listen == o.port.Listen)
}
