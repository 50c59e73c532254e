package report

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// endpoints tells which ones fail the running agent's checks. One that does is the
// service's matter; a port all of whose endpoints do is not served from here.
func (c *checker) endpoints() {
	const check = "endpoints"
	checked := len(compile.Checks(c.stored.Record, c.stored.Node))
	if c.status == nil || checked == 0 {
		return
	}
	for _, e := range c.status.Unhealthy {
		outcome, consequence := unsure, "It gets no new connections from here"
		if e.Health == mesh.UnhealthyKept {
			outcome, consequence = failed, "So do all others of a port of the service, so all are used as if they did not"
		}
		c.report.add(check, outcome, "Service %s: endpoint %s (%s) fails this node's health check: %s. %s.", e.Service, e.Endpoint, e.Address, e.Reason, consequence)
	}
	if len(c.status.Unhealthy) == 0 {
		c.report.add(check, fine, "%d are checked from here, and none fails", checked)
	}
}

// idleConnections compares how long the host itself keeps a tcp connection that
// nothing is sent on with what the cluster promises: packets to a published port
// pass the host's connection tracking first.
func (c *checker) idleConnections() {
	const check, setting = "idle connections", "net.netfilter.nf_conntrack_tcp_timeout_established"
	text, err := os.ReadFile(c.Path("proc/sys", strings.ReplaceAll(setting, ".", "/")))
	if err != nil {
		return // the kernel tracks nothing yet
	}
	seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return // no kernel writes such
	}
	host, promised := time.Duration(seconds)*time.Second, c.stored.Record.Cluster.TCPIdle()
	if host < promised {
		c.report.add(check, unsure, "The host forgets a tcp connection after %s without a packet, sooner than the cluster's tcp_idle_timeout of %s: "+
			"connections to published ports that are idle for longer break here. Set %s = %d or more (sysctl), or lower the cluster's.",
			host, promised, setting, int(promised.Seconds()))
		return
	}
	c.report.add(check, fine, "the host keeps one for %s, and the cluster for %s", host, promised)
}
