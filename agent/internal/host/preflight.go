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

// checkListeners finds processes that listen on a port which the commit opens
// here: the mesh would take their traffic away. The endpoint that the port's
// own service has on this node is none of them, nor the agent, which leaves a port
// where it answers before it opens it.
func (h *Host) checkListeners(c *check) {
	var opened []mesh.PortKey
	for key, p := range c.next.Ports {
		if compile.Opens(c.next, c.self.Name, p) && !c.isOpen(p) && !compile.AnswersItself(c.next, c.self.Name, p) {
			opened = append(opened, key)
		}
	}
	if len(opened) == 0 {
		return
	}
	slices.SortFunc(opened, mesh.PortKey.Compare)
	h.checkTranslated(c, opened)
	byPort, err := h.listeners()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The agent cannot see which ports are in use: %v.", err)
		return
	}
	hits := map[mesh.PortKey]listener{}
	inodes := map[uint64]bool{}
	for _, key := range opened {
		ls := byPort[key.Plain()]
		if i := slices.IndexFunc(ls, func(l listener) bool { return c.takes(key, l.local.Addr()) }); i >= 0 {
			hits[key] = ls[i]
			inodes[ls[i].inode] = true
		}
	}
	if len(hits) == 0 {
		return
	}
	owners := h.owners(inodes)
	for _, key := range slices.SortedFunc(maps.Keys(hits), mesh.PortKey.Compare) {
		l := hits[key]
		if h.isAgent(owners[l.inode]) {
			continue
		}
		c.add(mesh.ProblemPortTaken, mesh.PortRef(key), "published_port",
			"Port %s: %s already listens on %s on this node; the mesh would take its traffic away. Stop it or move it to another port, "+
				"choose another published_port, or, if it is what should answer, make it an endpoint of service %q with this target port.",
			key.Plain(), owners[l.inode], l.local, c.next.Ports[key].Service)
	}
}

// checkTranslated finds ports that a container, or something else, has by DNAT alone:
// nothing listens on them here.
func (h *Host) checkTranslated(c *check, opened []mesh.PortKey) {
	if h.Translated == nil {
		return
	}
	found := map[mesh.PortKey]string{}
	for address, ports := range c.entrances(opened) {
		there, err := h.Translated(ports, address)
		if err != nil {
			return // they are the rules of a firewall that the mesh does not need
		}
		maps.Copy(found, there)
	}
	for _, key := range slices.SortedFunc(maps.Keys(found), mesh.PortKey.Compare) {
		c.add(mesh.ProblemPortTaken, mesh.PortRef(key), "published_port",
			"Port %s: %s sends it elsewhere by DNAT on this node, as a container's published port does; the mesh would take its traffic away. "+
				"Stop the container or give it another port, or choose another published_port.", key.Plain(), found[key])
	}
}

// entrances are the ports by the addresses of the host that they are open at: the node's own
// stands for all of a port that is open at all.
func (c *check) entrances(opened []mesh.PortKey) map[netip.Addr][]mesh.PortKey {
	all := map[netip.Addr][]mesh.PortKey{}
	var own []netip.Addr
	for _, key := range opened {
		if c.next.Ports[key].Listen == "" {
			all[c.self.Address] = append(all[c.self.Address], key)
			continue
		}
		if own == nil {
			own, _ = Addresses() // without them nothing is found there
		}
		for _, a := range own {
			if c.takes(key, a) {
				all[a] = append(all[a], key)
			}
		}
	}
	return all
}

// takes says that the port takes what comes to a socket at the address, and did not before.
func (c *check) takes(key mesh.PortKey, at netip.Addr) bool {
	port := c.next.Ports[key]
	if was := c.was(port); was != nil && (at.IsUnspecified() || was.Listen.Has(at)) {
		return false
	}
	return at.IsUnspecified() || port.Listen.Has(at)
}

// was is the port as it is open here already, nil where it is not.
func (c *check) was(port *mesh.PublishedPort) *mesh.PublishedPort {
	if c.before == nil {
		return nil
	}
	was := c.current.Ports[port.Key()]
	if was == nil || !compile.Opens(c.current, c.self.Name, was) {
		return nil
	}
	return was
}

// isOpen reports whether the port is open here already, at all addresses that it is to be.
func (c *check) isOpen(port *mesh.PublishedPort) bool {
	was := c.was(port)
	return was != nil && (was.Listen == "" || was.Listen == port.Listen)
}
