//go:build lab

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// closed are hosts that let nobody in but SSH, each by another firewall: as far as the guide has something to do, n2's file does that.
func (w *world) closed(t *testing.T) hosts {
	guide := w.guide(t, "```nft\n(table inet filter \\{\n  chain input \\{\n    ip saddr .*?\n\\}\n)```")
	guide = regexp.MustCompile(`\{ 10\.0\.0\.11, .*? \}`).ReplaceAllString(guide, fmt.Sprintf("{ %s, %s, %s }", w.Address("n1"), w.Address("n2"), w.Address("n3")))
	return hosts{
		firewalls: map[string]string{"n1": "ufw", "n2": "nftables", "n3": "firewalld"},
		up: map[string]string{
			"n1": `cp -a /etc/ufw $dir/ufw; ufw allow 22/tcp > /dev/null; ufw default deny routed > /dev/null; ufw --force enable > /dev/null`,
			"n2": fmt.Sprintf("cat > $dir/open.nft <<'END'\n%sEND\ncat > $dir/strict.nft <<'END'\n%sEND\n", closedBase+guide+closedRest, closedBase+closedRest) +
				"cp -a /etc/nftables.conf $dir/nftables.conf; cp $dir/open.nft /etc/nftables.conf; systemctl -q enable --now nftables",
			"n3": "cp -a /etc/firewalld $dir/firewalld; systemctl -q enable --now firewalld" + started,
		},
		down: map[string]string{
			"n1": `ufw disable > /dev/null; [ ! -d $dir/ufw ] || { rm -r /etc/ufw; cp -a $dir/ufw /etc/ufw; }
for ip in iptables ip6tables; do for chain in INPUT FORWARD OUTPUT; do $ip -P $chain ACCEPT; done; $ip -F; $ip -X; done`,
			"n2": "systemctl -q disable --now nftables; [ ! -e $dir/nftables.conf ] || cp -a $dir/nftables.conf /etc/nftables.conf",
			"n3": "systemctl -q disable --now firewalld; " + asInstalled,
		},
	}
}

// Base chains with policy drop, and what a host accepts by itself. What the guide says stands between them.
const (
	closedBase = `#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input { type filter hook input priority filter; policy drop; }
  chain forward { type filter hook forward priority filter; policy drop; }
}
`
	closedRest = `table inet filter {
  chain input {
    ct state established,related accept
    iif lo accept
    ip protocol icmp accept
    tcp dport 22 accept
  }
  chain forward { ct state established,related accept; }
}
`
)

// clientAddress is where the lab's client asks from.
const clientAddress = "192.168.200.100"

// asInstalled gives firewalld its files back, which it does not read again by itself.
const asInstalled = "[ ! -d $dir/firewalld ] || { rm -r /etc/firewalld; cp -a $dir/firewalld /etc/firewalld; }"

// started waits for the end of a start: firewalld flushes everything once systemd counts it as started.
var started = "\n" + rigtest.WaitUntil("firewalld runs", "firewall-cmd -q --state")

// firewallFaults are what people and packages do with the firewalls of closed. Those of ufw leave the mesh's rules where they are.
var firewallFaults = []fault{
	{name: "ufw reload", node: "n1", inject: "ufw reload > /dev/null"},
	{name: "ufw disable", node: "n1", inject: "ufw disable > /dev/null"},
	{name: "ufw enable", node: "n1", inject: "ufw --force enable > /dev/null"},
	{name: "nftables restarts, with flush ruleset", node: "n2", inject: "systemctl restart nftables", limit: atOnce},
	{name: "firewalld: reload", node: "n3", inject: "firewall-cmd -q --reload", limit: withFirewalld},
	{name: "firewalld: complete reload", node: "n3", inject: "firewall-cmd -q --complete-reload", limit: withFirewalld},
	{name: "firewalld: restart", node: "n3", inject: "systemctl restart firewalld" + started, limit: withFirewalld},
	{name: "firewalld: default zone drop", node: "n3", inject: "firewall-cmd -q --permanent --zone=drop --add-service=ssh; firewall-cmd -q --zone=drop --add-service=ssh; firewall-cmd -q --set-default-zone=drop", limit: atOnce},
	{name: "firewalld: default zone public", node: "n3", inject: "firewall-cmd -q --set-default-zone=public; " + asInstalled, limit: atOnce},
	{name: "firewalld: stops", node: "n3", inject: "systemctl stop firewalld", limit: atOnce},
	{name: "firewalld: comes after the mesh", node: "n3", inject: "systemctl start firewalld" + started, limit: withFirewalld},
}

// TestAccLabFirewalls is the fault table of firewalls.
func TestAccLabFirewalls(t *testing.T) {
	w := newWorld(t)
	w.begin(t, w.closed(t), "firewalls.txt")
	mustSay(t, w.plan(t), "^No changes")
	for _, f := range firewallFaults {
		t.Run(f.name, func(t *testing.T) { w.outlives(t, f) })
	}
	w.asSaved(t)
	t.Run("panic", w.panicMode)
	t.Run("a file without the guide's rules", w.dropped)
	w.asSaved(t)
	for _, limit := range limits {
		t.Run("limited with "+limit.name, func(t *testing.T) { w.limited(t, limit) })
	}
	w.whole(t)
}

// guide is what the guide on firewalls says to do: the group of the pattern.
func (w *world) guide(t *testing.T, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Lab.Root, "docs", "guides", "firewalls.md"))
	ok(t, err)
	found := regexp.MustCompile("(?s)" + pattern).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatalf("docs/guides/firewalls.md has nothing like %s", pattern)
	}
	return found[1]
}

// outlives does the fault while the probes ask: everything of the mesh is there again within the limit, and then the plan says nothing of it.
// Without a limit no request may fail.
func (w *world) outlives(t *testing.T, f fault) {
	o := w.during(t, f.name, f.node, func() (string, []string) {
		took := w.On(t, f.node, fmt.Sprintf("t=$(now)\n%s\nrepaired $t %d", f.inject, byTimer))
		w.OnAll(t, "within 60 warns nothing") // the self-test goes on to warn until it has passed again
		said := w.plan(t)
		mustSay(t, said[:1], "^No changes")
		return took + " s", said
	})
	switch {
	case f.limit == 0:
		untroubled(t, o)
	case o.Seconds > f.limit:
		t.Errorf("for %.1f s requests failed (%s); allowed are %g s", o.Seconds, o.First, f.limit)
	}
}

// panicMode: firewalld drops everything, also our login, which outlives it. The agent leaves that as it is, and says so.
func (w *world) panicMode(t *testing.T) {
	w.during(t, "firewalld: panic", "n3", func() (string, []string) {
		w.On(t, "n3", `trap 'firewall-cmd -q --panic-off' EXIT
firewall-cmd -q --panic-on
within 30 warns 'firewalld is in panic mode'
firewall-cmd -q --panic-off
within 60 warns nothing`)
		w.OnAll(t, "within 60 warns nothing")
		return "by --panic-off", w.plan(t)
	})
	w.whole(t)
}

// dropped: what a file of the user's drops is a warning, which names the chains and has the commands that let it pass.
func (w *world) dropped(t *testing.T) {
	w.during(t, "a file without the guide's rules", "n2", func() (string, []string) {
		// connections of before would go on to pass
		w.On(t, "n2", "nft -f $dir/strict.nft; conntrack -F 2>/dev/null; repaired $(now) 60; within 30 warns 'inet filter input'; within 30 warns 'inet filter forward'")
		said := w.plan(t)
		mustSay(t, said, `^Warning: A firewall drops the mesh's packets on node n2`)
		w.On(t, "n2", "commands=$(agent | jq -r '.warnings[] | select(.code == \"firewall\").text' | grep -o 'Run `[^`]*`' | sed 's/^Run .//; s/.$//'); echo \"$commands\" > $dir/commands; . $dir/commands; within 60 warns nothing")
		w.served(t, time.Minute)
		w.OnAll(t, "within 60 warns nothing")
		mustSay(t, w.plan(t), "^No changes")
		return "by the commands of the warning", said
	})
	w.On(t, "n2", "systemctl restart nftables; repaired $(now) 60")
}

// limit is one way of the guide to limit who may reach a published port.
type limit struct {
	name, node string
	pattern    string // of the guide
	load       string // a command on the rule, $rule
	unload     string
}

var limits = []limit{
	{"iptables", "n1", "```sh\n(iptables -I ROUTINGMESH-USER [^\n]*\n)", `eval "$rule"`, `eval "${rule/ -I / -D }"`},
	{"nftables", "n2", "```nft\n(table inet published .*?\n\\}\n)```", `nft "$rule"`, `nft delete table inet published`},
}

// limited: a client of another network is not let in at that node, one of the network is, the node itself is, and the self-test goes on
// to pass there.
func (w *world) limited(t *testing.T, l limit) {
	rule := w.guide(t, l.pattern)
	script := func(rule, command string) string {
		return fmt.Sprintf("rule=$(cat <<'END'\n%sEND\n)\n%s", rule, command)
	}
	set := func(rule, command string) { w.On(t, l.node, script(rule, command)) }
	mine := strings.ReplaceAll(rule, "203.0.113.0/24", clientAddress)
	t.Cleanup(func() {
		for _, r := range []string{rule, mine} {
			_, err := w.Try(within(t, time.Minute), l.node, script(r, l.unload))
			fmt.Fprintf(w.Lab.Log, "it fails where the test has passed: %v\n", err)
		}
	})
	tcp := func(target load.Target) bool { return target.Name() == "tcp/"+w.Address(l.node)+":8080" }

	set(rule, l.load)
	shut := w.whileTested(t, l.node)
	w.On(t, l.node, "exec 3<>/dev/tcp/127.0.0.1/8080")
	// those that began when the window closed have not failed yet
	asked := w.only(tcp)
	if o := shut(asked...); o.Failed == 0 || o.Failed < o.Asked-int(load.Patience/asked[0].Every) {
		t.Errorf("%d of %d requests of a client that may not reach the port failed; all were to", o.Failed, o.Asked)
	}
	untroubled(t, shut(w.only(func(target load.Target) bool { return !tcp(target) })...))
	set(rule, l.unload)
	set(mine, l.load)
	w.served(t, time.Minute)
	open := w.whileTested(t, l.node)(w.targets...)
	set(mine, l.unload)
	w.note(Row{Fault: "a port limited with " + l.name, Node: l.node, Outage: open, Said: w.plan(t)})
	untroubled(t, open)
}

// whileTested is what the probes saw while a node's self-test came round several times, and warned of nothing.
func (w *world) whileTested(t *testing.T, node string) func(through ...load.Target) load.Outage {
	t.Helper()
	from := w.mark(t)
	w.On(t, node, "selftested 10; within 1 warns nothing")
	to := w.mark(t)
	return func(through ...load.Target) load.Outage { return w.between(from, to, through...) }
}

// only are the targets that are so.
func (w *world) only(so func(load.Target) bool) []load.Target {
	return slices.DeleteFunc(slices.Clone(w.targets), func(target load.Target) bool { return !so(target) })
}
