package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// agentAddress is where the agent itself answers on a node.
type agentAddress struct {
	attribute string
	at        netip.AddrPort
}

// agentAddresses is none for a record or a node that is nil.
func agentAddresses(rec *mesh.Record, self *mesh.Node) []agentAddress {
	if rec == nil || self == nil {
		return nil
	}
	var own []agentAddress
	for _, a := range []struct{ attribute, text string }{
		{"health_address", rec.Cluster.HealthAddress}, {"metrics_address", rec.Cluster.MetricsAddress},
	} {
		if at, err := mesh.ListenAddress(a.text, self.Address); err == nil {
			own = append(own, agentAddress{a.attribute, at})
		}
	}
	return own
}

// checkAgentAddresses finds processes that listen where the agent is to answer from
// this commit on.
func (h *Host) checkAgentAddresses(c *check) {
	var opened []agentAddress
	before := map[netip.AddrPort]bool{}
	for _, own := range agentAddresses(c.current, c.before) {
		before[own.at] = true
	}
	for _, own := range agentAddresses(c.next, c.self) {
		if !before[own.at] {
			opened = append(opened, own)
		}
	}
	if len(opened) == 0 {
		return
	}
	byPort, err := h.listeners()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The agent cannot see which ports are in use: %v.", err)
		return
	}
	for _, own := range opened {
		for _, l := range byPort[mesh.PortKey{Port: own.at.Port(), Protocol: mesh.TCP}] {
			if !keepsOut(l.local.Addr(), own.at.Addr()) {
				continue
			}
			owner := h.owners(map[uint64]bool{l.inode: true})[l.inode]
			if h.isAgent(owner) {
				continue // it moves
			}
			c.add(mesh.ProblemListenerTaken, mesh.ClusterRef, own.attribute, "The cluster's %s is %s on this node, and %s already listens on %s. Stop it or move it to another port, or choose another %s.",
				own.attribute, own.at, owner, l.local, own.attribute)
			break
		}
	}
}

// keepsOut says that who listens on one address keeps another listener from the
// other one, both on the same port.
func keepsOut(one, other netip.Addr) bool {
	return one == other || one.IsUnspecified() || other.IsUnspecified()
}

// isAgent says that the process is the agent of this host, also when another
// program asks.
func (h *Host) isAgent(p process) bool {
	if p.isKernel() {
		return false
	}
	exe, err := os.Readlink(filepath.Join(h.Proc, strconv.Itoa(p.pid), "exe"))
	return p.pid == os.Getpid() || err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "routingmesh-agent"
}
