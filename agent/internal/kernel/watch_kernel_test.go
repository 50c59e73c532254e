//go:build kernel

package kernel_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// repairedWithin is the promise for links, routes, sets and chains.
const repairedWithin = 2 * time.Second

// watch starts a Watch that runs until the test ends.
func (m *machine) watch(t *testing.T) *kernel.Watch {
	t.Helper()
	w, err := m.NewWatch()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		w.Close()
	})
	return w
}

// patience is how much slower than promised an emulated machine with other programs on its cores may be: less than
// the 30 s after which the agent finds everything by its timer.
const patience = 20 * time.Second

// until waits for a condition and says how long it took: limit on a machine of its own, patience in any case.
func until(t *testing.T, limit time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	limit = max(limit, patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		<-tick.C
	}
	return time.Since(begin)
}

// stays fails if the condition becomes false within the time.
func stays(t *testing.T, long time.Duration, what string, so func() bool) {
	t.Helper()
	end := time.After(long)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
			if !so() {
				t.Fatal(what)
			}
		}
	}
}

func (m *machine) reconciler(w reconcile.Watch) *reconcile.Reconciler {
	version := runningKernel(m.t)
	return reconcile.New(reconcile.Options{Kernel: m.Kernel, Version: version, Log: slog.New(slog.DiscardHandler), Watch: w})
}

// Each source of events, and each part of the canary, with the reconciler behind
// it: what somebody breaks is whole again in time.
func TestRepair_InTime(t *testing.T) {
	tests := []struct{ name, host, mesh string }{
		{name: "veth down", host: "ip link set rmesh0 down"},
		{name: "veth deleted", host: "ip link del rmesh0"},
		{name: "veth renamed", host: "ip link set rmesh0 down; ip link set rmesh0 name other0"},
		{name: "overlay deleted", mesh: "ip link del vx0"},
		{name: "host's address", host: "ip addr del 10.255.0.2/32 dev rmesh0"},
		{name: "virtual address", mesh: "ip addr del 10.255.0.1/32 dev lo"},
		{name: "forwarding", host: "sysctl -qw net.ipv4.ip_forward=0"},
		{name: "forwarding of the mesh", mesh: "sysctl -qw net.ipv4.ip_forward=0"},
		{name: "route to the pool", host: "ip route del 10.255.0.0/16"},
		{name: "route to S over another link", host: "ip link add d0 type dummy; ip link set d0 up; ip route replace 10.255.0.1/32 dev d0"},
		{name: "route to a node", mesh: "ip route del 10.255.1.0/24"},
		{name: "an unwanted policy rule", host: "ip rule add from 10.255.0.9 lookup 10255 priority 10255"},
		{name: "neighbour", mesh: "ip neigh del 10.255.1.1 dev vx0"},
		{name: "FDB entry", mesh: "bridge fdb del 02:52:0a:ff:01:01 dev vx0 dst 192.0.2.2"},
		{name: "namespace deleted", host: "umount -l /run/netns/routingmesh; rm /run/netns/routingmesh"},
		{name: "namespace unmounted", host: "umount -l /run/netns/routingmesh"},
		{name: "chains of nat", host: "iptables -t nat -F"},
		{name: "a jump", host: "iptables -D INPUT -j ROUTINGMESH-IN"},
		{name: "all of nftables", host: "nft flush ruleset"},
		{name: "chains of the mesh", mesh: "iptables -t nat -F; iptables -t raw -F"},
		{name: "members of a set", host: "ipset flush routingmesh-tcp"},
		{name: "a set", host: "iptables -F ROUTINGMESH-IN; iptables -F ROUTINGMESH-FWD; ipset destroy routingmesh-peers"},
		{name: "a set renamed", host: "iptables -F ROUTINGMESH-IN; iptables -F ROUTINGMESH-FWD; ipset rename routingmesh-peers routingmesh-gone"},
		{name: "all of IPVS", mesh: "ipvsadm -C"},
	}
	m := newMachineAt(t, "a", "/")
	w := m.watch(t)
	rec := record(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m.t = t
			r := m.reconciler(w) // a new one: no object of it has been fought for
			if problems := r.Resume(context.Background(), rec, "n1"); len(problems) > 0 {
				t.Fatal(problems)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.Run(ctx)
			}()
			defer func() {
				cancel()
				<-ended
			}()
			before := r.Repairs()
			if test.host != "" {
				m.run(test.host)
			}
			if test.mesh != "" {
				m.mesh(test.mesh)
			}
			took := until(t, repairedWithin, "repair", func() bool { return r.Repairs() > before })
			t.Logf("repaired after %s", took.Round(time.Millisecond))
			if _, problems := r.Status(context.Background()); len(problems) > 0 {
				t.Errorf("left: %v", problems)
			}
		})
	}
}

// What others do with their own wakes nobody; a change of their own rules wakes,
// but nothing is written and their rules stay as they are. The host forwards for them: on
// one that did not, a new link may change that.
func TestWhatOthersDoWithTheirOwnRepairsNothing(t *testing.T) {
	m := newMachine(t, "a")
	m.run("sysctl -qw net.ipv4.ip_forward=1; iptables -N OTHERS; iptables -A OTHERS -s 203.0.113.0/24 -j DROP; iptables -A FORWARD -j OTHERS")
	counted := &writes{Kernel: m.Kernel}
	w := m.watch(t)
	r := reconcile.New(reconcile.Options{Kernel: counted, Version: runningKernel(t), Log: slog.New(slog.DiscardHandler), Watch: w})
	if problems := r.Resume(context.Background(), record(t), "n1"); len(problems) > 0 {
		t.Fatal(problems)
	}
	linksComeUp(t, w, r)
	counted.ops = 0
	m.run(`
ip link add d0 type dummy; ip addr add 203.0.113.1/24 dev d0; ip link set d0 up
ip route add 198.51.100.0/24 dev d0; ip route add 198.51.100.0/24 dev d0 table 77; ip rule add from 198.51.100.1 lookup 77 priority 77
ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev d0
ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
ipset create others hash:ip; ipset add others 203.0.113.7`)
	m.mesh("ping -c1 -W1 10.255.0.2 >/dev/null") // the kernel finds a neighbour on the veth
	stays(t, 1500*time.Millisecond, "others' links, routes, rules, neighbours or sets woke the watch", func() bool { return !w.Pending() })
	before := theirs(m)
	m.run("iptables -I OTHERS 1 -s 198.51.100.0/24 -j DROP; iptables -t mangle -A PREROUTING -j ACCEPT")
	changed := theirs(m)
	if before == changed {
		t.Fatal("the test changed nothing")
	}
	until(t, repairedWithin, "the canary sees other rules", w.Pending)
	r.Repair(context.Background())
	if w.Pending() || !w.ChainsUntouched() {
		t.Error("a pass that found nothing to do left something to look at")
	}
	if diff := cmp.Diff(changed, theirs(m)); diff != "" {
		t.Errorf("somebody else's rules were changed:\n%s", diff)
	}
	if n := counted.count(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// linksComeUp waits for what the kernel tells of new links a second later
// (linkwatch), which is one pass more.
func linksComeUp(t *testing.T, w *kernel.Watch, r *reconcile.Reconciler) {
	t.Helper()
	var since time.Time
	until(t, 10*time.Second, "the links come to rest", func() bool {
		if w.Pending() || since.IsZero() {
			r.Repair(context.Background())
			since = time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
}

// theirs is iptables-save without what is ours.
func theirs(m *machine) string {
	m.t.Helper()
	var kept []string
	for line := range strings.SplitSeq(stable("iptables-save", m.run("iptables-save")), "\n") {
		if !strings.Contains(line, state.ChainPrefix) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// A commit's own writes are no reason for another pass.
func TestOwnWritesWakeNobody(t *testing.T) {
	m := newMachine(t, "a")
	w := m.watch(t)
	r := m.reconciler(w)
	rec := record(t)
	r.Resume(context.Background(), rec, "n1")
	linksComeUp(t, w, r)
	execs := m.Execs()
	next := rec.Next()
	must(t, next.PutPort(publishedPort(9000)))
	if problems := r.Commit(context.Background(), next, "n1"); len(problems) > 0 {
		t.Fatal(problems)
	}
	if n := m.Execs() - execs; n != 0 {
		t.Errorf("publishing a port ran %d programs", n)
	}
	stays(t, 2500*time.Millisecond, "our own writes woke the watch", func() bool { return !w.Pending() })
	m.run("iptables -t nat -F ROUTINGMESH")
	more := next.Next()
	must(t, more.PutPort(publishedPort(9001)))
	if problems := r.Commit(context.Background(), more, "n1"); len(problems) > 0 {
		t.Fatal(problems)
	}
	if ops := m.plan(compile.Compile(more, "n1", runningKernel(t), m.conditions())); len(ops) > 0 {
		t.Errorf("a commit after a flush left:\n%s", text(ops))
	}
}
