//go:build lab

package faults

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

const (
	backend = 8085                // where the endpoints listen
	nodeDir = "/var/cache/faults" // on every host; nothing that a look at a host looks at
)

// ok ends the test on an error.
var ok = rigtest.OK

// within is a context for something that must not take longer.
var within = rigtest.Within

// hosts is what else is on the nodes: other people's firewalls.
type hosts struct {
	firewalls map[string]string // by node, as the table names it
	up, down  map[string]string // scripts by node that bring it and take it away
}

// mixed are hosts as a cluster has them that has grown: n1 has Docker's rules, n2 a table of somebody's, n3 runs firewalld.
var mixed = hosts{
	firewalls: map[string]string{"n1": "Docker's", "n2": "a table", "n3": "firewalld, iptables"},
	up: map[string]string{
		"n1": "ip link add docker0 type bridge; sysctl -qw net.ipv4.ip_forward=1; iptables-restore --noflush < $dir/docker.rules",
		"n2": "nft add table inet somebody; nft add chain inet somebody input '{ type filter hook input priority 5; }'; nft add rule inet somebody input tcp dport 9999 drop",
		// with iptables, a reload of firewalld takes everybody's rules with it
		"n3": "sed -i s/^FirewallBackend=.*/FirewallBackend=iptables/ /etc/firewalld/firewalld.conf; systemctl -q enable --now firewalld\n" +
			rigtest.WaitUntil("firewalld has its rules", "ip6tables-save | grep -q -- '^-A IN_public_allow .*--dport 22' && firewall-cmd -q --state"),
	},
	down: map[string]string{
		"n1": "iptables -P FORWARD ACCEPT; iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; ip link del docker0 || true; sysctl -qw net.ipv4.ip_forward=0",
		"n2": "nft delete table inet somebody 2>/dev/null || true",
		"n3": "systemctl -q disable --now firewalld; sed -i s/^FirewallBackend=.*/FirewallBackend=nftables/ /etc/firewalld/firewalld.conf",
	},
}

// world is the lab with a cluster on it: n2 and n3 have the endpoints. Scripts on its hosts have the words of node.sh.
type world struct {
	*rigtest.World
	hosts   hosts
	main    *rig.Terraform
	probes  *load.Generator
	targets []load.Target
	rows    []Row
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: rigtest.New(t, "faults")}
	w.Prelude = ". " + nodeDir + "/node.sh\n"
	return w
}

// equip brings what is on the hosts besides the mesh: the servers, other people's firewalls, and the means to look.
func (w *world) equip(t *testing.T, h hosts) {
	t.Helper()
	w.hosts = h
	program := w.Build(t, load.Program)
	w.Put(t, "testdata/node.sh", nodeDir+"/node.sh", w.Names...)
	w.Put(t, program, nodeDir+"/load", rigtest.ClientHost, "n2", "n3")
	w.Put(t, "testdata/docker.rules", nodeDir+"/docker.rules", "n1")
	t.Cleanup(func() { w.unequip(t) })
	unit := fmt.Sprintf("[Service]\nExecStart=%s/load serve name 0.0.0.0:%d\nRestart=always\n[Install]\nWantedBy=multi-user.target\n", nodeDir, backend)
	serve := fmt.Sprintf("printf '%s' > /etc/systemd/system/faults-server.service; systemctl -q enable --now faults-server\n", strings.ReplaceAll(unit, "\n", `\n`))
	w.OnEach(t, map[string]string{"n1": h.up["n1"], "n2": serve + h.up["n2"], "n3": serve + h.up["n3"]})
}

func (w *world) unequip(t *testing.T) {
	t.Helper()
	silent := "systemctl -q disable --now faults-server; rm -f /etc/systemd/system/faults-server.service; systemctl daemon-reload\n"
	w.OnEach(t, map[string]string{"n1": w.hosts.down["n1"], "n2": silent + w.hosts.down["n2"], "n3": silent + w.hosts.down["n3"]})
	w.OnAll(t, "rm -rf $dir")
}

// terraform prepares a folder of the lab's with a configuration of testdata.
func (w *world) terraform(t *testing.T, name string) *rig.Terraform {
	t.Helper()
	return w.Terraform(t, name, rigtest.Testdata(t, filepath.Join(name, "main.tf")))
}

// apply makes the main state so, and takes what the nodes have then as the measure.
func (w *world) apply(t *testing.T, vars ...string) {
	t.Helper()
	rigtest.Apply(t, w.main, vars...)
	w.inSync(t)
	w.OnAll(t, "save")
}

// inSync wants a plan without changes.
func (w *world) inSync(t *testing.T) {
	t.Helper()
	rigtest.InSync(t, w.main)
}

// plan is what plan says of a mesh that is not whole: its sentences of drift, its warnings, or that there is nothing to change.
func (w *world) plan(t *testing.T) []string {
	t.Helper()
	text, _, err := w.main.Plan(within(t, 2*time.Minute))
	ok(t, err)
	said := Sentences(text)
	for _, m := range regexp.MustCompile(`(?m)^(?:. )?Warning: (.*)$`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "development overrides") {
			said = append(said, "Warning: "+m[1])
		}
	}
	if m := regexp.MustCompile(`(?m)^(No changes\.|Plan: .*)`).FindString(text); m != "" {
		said = append(said, m)
	}
	return said
}

// askAlways starts the probes: every port through every node that has it, so that each node is asked some 10 times a second. It is
// the emulation that sets this limit.
func (w *world) askAlways(t *testing.T) {
	t.Helper()
	for _, name := range w.Names {
		at := func(network string, port uint16, every time.Duration) load.Target {
			return load.Target{Network: network, Address: netip.AddrPortFrom(netip.MustParseAddr(w.Nodes[name].Address), port), Every: every}
		}
		w.targets = append(w.targets, at("tcp", 8080, 250*time.Millisecond), at("udp", 8080, 250*time.Millisecond))
		if name != "n1" {
			w.targets = append(w.targets, at("tcp", 8081, 400*time.Millisecond))
		}
	}
	probes, err := load.Start(w.Lab.Command(context.WithoutCancel(t.Context()), rigtest.ClientHost, load.Command(nodeDir+"/load", false, w.targets...)))
	ok(t, err)
	w.probes = probes
	t.Cleanup(probes.Stop)
	w.served(t, time.Minute)
}

func (w *world) mark(t *testing.T) load.Report {
	t.Helper()
	r, err := w.probes.Say(within(t, 10*time.Second), load.WordMark)
	ok(t, err)
	return r
}

// served waits until everyone answers the probes.
func (w *world) served(t *testing.T, limit time.Duration) load.Report {
	t.Helper()
	r, err := w.probes.Say(within(t, limit), load.WordServed)
	ok(t, err)
	return r
}

// whole is what every node must be after everything: the record's, and other people's rules untouched.
func (w *world) whole(t *testing.T) {
	t.Helper()
	w.inSync(t)
	w.asSaved(t)
}

// asSaved wants every node to have of the mesh, and of others, what it had.
func (w *world) asSaved(t *testing.T) {
	t.Helper()
	w.OnAll(t, "repaired $(now) 60 >/dev/null; untouched")
}

// between is what the probes saw between two marks; each request that failed goes to the log.
func (w *world) between(from, to load.Report, through ...load.Target) load.Outage {
	for _, r := range w.probes.Requests() {
		if r.At >= from.At && r.At < to.At {
			fmt.Fprintf(w.Lab.Log, "failed after %5.1f of %.1f s: %s: %s\n", r.At-from.At, to.At-from.At, r.Target, r.Error)
		}
	}
	return load.Between(from, to, w.probes.Requests(), through...)
}
