//go:build lab

package faults

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// fault is something that is done to one node.
type fault struct {
	name   string
	node   string
	inject string // a script there, with the words of node.sh
	// limit is how many seconds the agent may take until all is as before.
	limit float64
	// says is what the plan must say of it where the agent only reports: a regular expression.
	says string
	// takesOthers says that the fault takes other people's rules as well, who then load them again.
	takesOthers bool
}

// What the agent sees at once has to be repaired within 2 s; the rest is for asking, in an emulated machine whose cores others use as well: it
// is still less than the timer's period. What nothing but the timer sees has a period of it (30 s), and a bit.
const (
	atOnce = 20
	// While firewalld loads its rules, it lets nothing in: on an emulated host for up to 15 s.
	withFirewalld = 2 * atOnce
	byTimer       = 60
)

// kernelFaults are seen by events. Those that are next but two have nothing to do with each other (see reports), and no object is
// broken three times within a minute on one node: the agent would hold back.
var kernelFaults = []fault{
	{name: "iptables -F", node: "n1", inject: "iptables -F", limit: atOnce, says: `chain filter ROUTINGMESH`, takesOthers: true},
	{name: "iptables -t nat -F", node: "n2", inject: "iptables -t nat -F", limit: atOnce, says: `chain nat ROUTINGMESH`, takesOthers: true},
	{name: "ipvsadm -C", node: "n3", inject: "ip netns exec routingmesh ipvsadm -C", limit: atOnce, says: `IPVS has no service [0-9.]+:8080/tcp`},
	{name: "vx0 down", node: "n3", inject: "ip -n routingmesh link set vx0 down", limit: atOnce, says: `vx0`},
	{name: "nft flush ruleset", node: "n2", inject: "nft flush ruleset", limit: atOnce, says: `chain \S+ ROUTINGMESH`, takesOthers: true},
	{name: "ipset destroy", node: "n3", inject: "iptables -F; iptables -t nat -F; ipset destroy", limit: atOnce, says: `ipset routingmesh-tcp`, takesOthers: true},
	{name: "vx0 deleted", node: "n1", inject: "ip -n routingmesh link del vx0", limit: atOnce, says: `vx0`},
	{name: "namespace deleted", node: "n2", inject: "ip netns del routingmesh", limit: atOnce, says: `namespace`},
	{name: "rmesh0 deleted", node: "n3", inject: "ip link del rmesh0", limit: atOnce, says: `rmesh0`},
	{name: "a jump", node: "n1", inject: "iptables -D FORWARD -j ROUTINGMESH-FWD", limit: atOnce, says: `ROUTINGMESH-FWD .*is not jumped to from FORWARD`},
	{name: "a rule of somebody's in a chain of ours", node: "n2", inject: "iptables -I ROUTINGMESH-FWD -j DROP", limit: atOnce, says: `ROUTINGMESH-FWD .*has a rule that is not ours`},
	{name: "the policy rule", node: "n3", inject: "ip rule del priority 10255", limit: atOnce, says: `rule`},
	{name: "a mesh route", node: "n1", inject: "ip -n routingmesh route del $(ip -n routingmesh route show dev vx0 | awk '{print $1; exit}')", limit: atOnce, says: `route .*vx0`},
	{name: "the host's route", node: "n2", inject: "ip route del $(ip route show dev rmesh0 | awk '/via/ {print $1; exit}') dev rmesh0", limit: atOnce, says: `route .*rmesh0`},
	{name: "an FDB entry", node: "n3", inject: "ip netns exec routingmesh bridge fdb del $(ip netns exec routingmesh bridge fdb show dev vx0 | awk '/dst/ {print $1, \"dst\", $3; exit}') dev vx0", limit: atOnce, says: `fdb entry`},
	{name: "an address", node: "n1", inject: "ip addr flush dev rmesh0", limit: atOnce, says: `address .*rmesh0`},
	{name: "a neighbour", node: "n2", inject: "ip -n routingmesh neigh del $(ip -n routingmesh neigh show dev vx0 nud permanent | awk '{print $1; exit}') dev vx0", limit: atOnce, says: `neighbour`},
	{name: "ipset flush", node: "n1", inject: "ipset flush", limit: atOnce, says: `ipset routingmesh-tcp lacks port 8080`},
	// firewalld lets nobody in while it reloads (ReloadPolicy), which takes it seconds in an emulated machine
	{name: "firewalld reload", node: "n3", inject: "firewall-cmd -q --reload", limit: withFirewalld, says: `chain \S+ ROUTINGMESH`},
}

// interruptingFaults are found by a whole look only, and nobody is served there until then: one for each node.
var interruptingFaults = []fault{
	{name: "a member swapped for another", node: "n2", inject: "ipset del routingmesh-tcp 8080; ipset add routingmesh-tcp 18080", limit: byTimer, says: `ipset routingmesh-tcp lacks port 8080`},
	{name: "net.ipv4.ip_forward=0", node: "n1", inject: "sysctl -qw net.ipv4.ip_forward=0", limit: byTimer, says: `sysctl net.ipv4.ip_forward is 0`},
}

// quietFaults are found by a whole look only as well, and no request fails for them. The agent's link and its program are in one batch of
// reports: with them most voters are without an agent.
var quietFaults = []fault{
	{name: "an IPVS destination", node: "n1", inject: "ip netns exec routingmesh ipvsadm -d -t $(vip tcp) -r $(destination tcp)", limit: byTimer, says: `IPVS [0-9.]+:8080/tcp has no destination [0-9.]+:8085`},
	{name: "a weight of 0", node: "n3", inject: "ip netns exec routingmesh ipvsadm -e -u $(vip udp) -r $(destination udp) -m -w 0", limit: byTimer, says: `with weight 0; it should be 1`},
	{name: "the unit's file", node: "n3", inject: "rm /etc/systemd/system/routingmesh-agent.service", limit: byTimer, says: `unit /etc/systemd/system/routingmesh-agent.service`},
	{name: "the unit disabled", node: "n2", inject: "systemctl -q disable routingmesh-agent", limit: byTimer, says: `unit`},
	{name: "the agent's link", node: "n3", inject: "rm /usr/local/bin/routingmesh-agent", limit: byTimer, says: `no routingmesh-agent is installed there`},
	{name: "the agent's program", node: "n2", inject: "rm $(readlink -f /usr/local/bin/routingmesh-agent)", limit: byTimer, says: `no routingmesh-agent is installed there`},
	{name: "the record's file", node: "n1", inject: "rm /var/lib/routingmesh/record.json", limit: byTimer, says: `/var/lib/routingmesh/record.json`},
}

// repairs does the fault while the probes ask, and waits until the agent has repaired it by itself.
func (w *world) repairs(t *testing.T, f fault, through ...load.Target) {
	t.Helper()
	from := w.mark(t)
	restore := ""
	if f.takesOthers {
		restore = "restore"
	}
	out := w.On(t, f.node, fmt.Sprintf(`r=$(repairs); t=$(now)
%s
well $t %g
[ $(jq .repairs $dir/status) -gt $r ] || { echo 'repaired, but not counted in repairs' >&2; exit 1; }
%s`, f.inject, f.limit, restore))
	to := w.served(t, 30*time.Second)
	outage := w.between(from, to, through...)
	w.note(Row{Fault: f.name, Node: f.node, Outage: outage, Repaired: out + " s"})
	if outage.Seconds > f.limit {
		t.Errorf("for %.1f s requests failed (%s); allowed are %g s", outage.Seconds, outage.First, f.limit)
	}
}

// repairsByTimer does all faults, and then waits for all, so that one period of the timer is waited for. A request counts for the fault whose
// node it went to.
func (w *world) repairsByTimer(t *testing.T, faults []fault) {
	t.Helper()
	from, begun, perNode := w.mark(t), map[string]string{}, map[string]int{}
	w.OnAll(t, "repairs > $dir/repairs")
	for _, f := range faults {
		begun[f.name] = w.On(t, f.node, "now\n"+f.inject)
		perNode[f.node]++
	}
	waits := map[string]string{}
	for _, f := range faults {
		waits[f.node] += fmt.Sprintf("well %s %g\n", begun[f.name], f.limit)
	}
	repaired := w.OnEach(t, waits)
	to := w.served(t, 30*time.Second)
	for _, f := range faults {
		outage := w.between(from, to, load.Through(w.targets, w.Nodes[f.node].Address)...)
		mine, rest, _ := strings.Cut(repaired[f.node], "\n")
		repaired[f.node] = rest
		w.note(Row{Fault: f.name, Node: f.node, Outage: outage, Repaired: mine + " s"})
		if outage.Seconds > f.limit {
			t.Errorf("%s: for %.1f s requests failed (%s); allowed are %g s", f.name, outage.Seconds, outage.First, f.limit)
		}
	}
	for node, n := range perNode {
		w.On(t, node, fmt.Sprintf("[ $(repairs) -ge $(( $(cat $dir/repairs) + %d )) ]; untouched", n))
	}
}

// note keeps a row, or what the plan said in the one that is there.
func (w *world) note(r Row) {
	for i := range w.rows {
		if w.rows[i].Fault == r.Fault {
			w.rows[i].Said = append(w.rows[i].Said, r.Said...)
			return
		}
	}
	r.Firewall = w.hosts.firewalls[r.Node]
	w.rows = append(w.rows, r)
}

// reports does the faults once more where the agents only report: a batch of them is two faults for each node. The plan says each in words,
// nothing repairs it until the apply, and that repairs exactly this.
func (w *world) reports(t *testing.T) {
	t.Run("report", func(t *testing.T) {
		w.apply(t, "repair=report")
		t.Cleanup(func() { w.apply(t, "repair=automatic") })
		for batch := range slices.Chunk(slices.Concat(kernelFaults, interruptingFaults, quietFaults), 2*len(w.Names)) {
			var names []string
			for i := range batch {
				if batch[i].name != "firewalld reload" { // the others are as well at home on any node
					batch[i].node = w.Names[i%len(w.Names)]
				}
				names = append(names, batch[i].name)
			}
			t.Run(strings.Join(names, ", "), func(t *testing.T) { w.reportsBatch(t, batch) })
		}
	})
}

func (w *world) reportsBatch(t *testing.T, batch []fault) {
	t.Helper()
	inject, restore := map[string]string{}, map[string]string{}
	for _, f := range batch {
		inject[f.node] += "(" + f.inject + ")\n"
		if f.takesOthers {
			restore[f.node] = "restore"
		}
	}
	w.OnEach(t, inject)
	said := w.plan(t)
	for _, f := range batch {
		pattern := regexp.MustCompile("^node " + f.node + ": .*(" + f.says + ")")
		own := slices.DeleteFunc(slices.Clone(said), func(s string) bool { return !pattern.MatchString(s) })
		w.note(Row{Fault: f.name, Node: f.node, Said: own})
		if len(own) == 0 {
			t.Errorf("%s on %s: the plan has to say %q of the node; it says %q", f.name, f.node, f.says, said)
		}
	}
	ok(t, w.main.Apply(within(t, 3*time.Minute), func(string) {}))
	w.OnEach(t, restore)
	w.OnAll(t, "repaired $(now) 60; untouched") // nothing but the apply has repaired it
	w.served(t, 30*time.Second)
}
