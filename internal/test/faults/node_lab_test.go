//go:build lab

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// bootTime is how long a node may take from power to a mesh that serves; the lab is emulated.
const bootTime = 6 * time.Minute

// does what hands do to a node: its shared login ends with it.
func (w *world) does(t *testing.T, what, node string) {
	t.Helper()
	w.Lab.Forget(within(t, time.Minute), node)
	ok(t, w.Lab.Node(within(t, time.Minute), what, node))
}

// nodeFaults take a node away.
func (w *world) nodeFaults(t *testing.T) {
	t.Run("underlay down", w.underlayDown)
	t.Run("down during changes", w.downDuringChanges)
	t.Run("reboot", w.reboot)
	t.Run("rebuilt from scratch", w.rebuilt)
}

// silent has Terraform wait for no longer than it must in a test where a host says nothing.
func silent(t *testing.T) {
	t.Helper()
	t.Setenv("TF_VAR_ssh_timeout", "10s")
}

// heard ends that: all hosts are to answer again, however slow.
func heard(t *testing.T) {
	t.Helper()
	t.Setenv("TF_VAR_ssh_timeout", "60s")
}

// underlayDown: seconds to serve are counted from when the wire is back.
func (w *world) underlayDown(t *testing.T) {
	silent(t)
	from := w.mark(t)
	w.does(t, "wire-down", "n3")
	said := w.plan(t)
	mustSay(t, said, `node n3: cannot be reached`)
	w.does(t, "wire-up", "n3")
	back := w.mark(t)
	to := w.served(t, 30*time.Second)
	o := w.between(from, to, w.targets...)
	o.Seconds = w.between(back, to, w.targets...).Seconds
	w.note(Row{Fault: "underlay down", Node: "n3", Outage: o, Said: said})
	if o.Seconds > atOnce {
		t.Errorf("it took %.1f s until everything was served after the wire was back (%s)", o.Seconds, o.First)
	}
	w.whole(t)
}

// downDuringChanges: a node that was off serves its old record when it is back, says that it lags, and it catches up with the next apply.
func (w *world) downDuringChanges(t *testing.T) {
	silent(t)
	from := w.mark(t)
	w.does(t, "node-off", "n2")
	warnings, err := w.tryApply(t, more(8096))
	ok(t, err)
	if !strings.Contains(warnings, "n2") {
		t.Errorf("the apply has to warn that n2 was not reached; it says:\n%s", warnings)
	}
	on := w.mark(t)
	w.does(t, "node-on", "n2")
	heard(t)
	to := w.served(t, bootTime)
	o := w.between(from, to, w.targets...)
	o.Seconds = w.between(on, to, w.targets...).Seconds
	w.On(t, "n2", "nft -f $dir/nft")
	said := w.plan(t)
	mustSay(t, said, `node n2: has an older configuration \(generation \d+, the cluster has \d+\)`)
	w.note(Row{Fault: "down during changes", Node: "n2", Outage: o, Said: said})
	w.apply(t, more(8096))
	w.apply(t)
}

// reboot: the mesh is there before anybody runs Terraform.
func (w *world) reboot(t *testing.T) {
	o := w.during(t, "reboot", "n3", func() (string, []string) {
		w.restart(t, "n3")
		w.served(t, bootTime)
		said := w.plan(t)
		mustSay(t, said, `No changes`)
		return "at boot", said
	})
	if o.Failed == 0 {
		t.Error("no request failed: was it a reboot?")
	}
	w.whole(t)
}

// restart reboots a node, and returns when it is down.
func (w *world) restart(t *testing.T, node string) {
	t.Helper()
	_, err := w.Try(within(t, time.Minute), node, "systemctl reboot")
	fmt.Fprintf(w.Lab.Log, "the login ends with the node: %v\n", err)
	w.Lab.Forget(within(t, time.Minute), node)
	w.awaitDown(t, node)
}

// awaitDown waits until the probes are not served by a node.
func (w *world) awaitDown(t *testing.T, node string) {
	t.Helper()
	from := w.mark(t)
	through := load.Through(w.targets, w.Nodes[node].Address)
	err := w.probes.Await(within(t, time.Minute), func(all []load.Request) bool {
		return load.Between(from, load.Report{At: from.At + 1e9}, all, through...).Failed > 0
	})
	if err != nil {
		t.Fatalf("%s goes on serving: %v", node, err)
	}
}

// rebuilt: the host of a node is set up anew, with other host keys, and nobody has told the mesh.
func (w *world) rebuilt(t *testing.T) {
	known := filepath.Join(w.Lab.Dir, "known_hosts")
	old, err := os.ReadFile(known)
	ok(t, err)
	from := w.mark(t)
	w.On(t, "n2", `systemctl stop routingmesh-agent
rm -rf /etc/systemd/system/routingmesh-agent.service /etc/systemd/system/*/routingmesh-agent.service /usr/local/bin/routingmesh-agent /usr/local/lib/routingmesh /var/lib/routingmesh
mkdir $dir/keys; cp -a /etc/ssh/ssh_host_* $dir/keys; rm /etc/ssh/ssh_host_*; ssh-keygen -qA
cat /etc/ssh/ssh_host_*.pub > $dir/pub`)
	keys := w.On(t, "n2", "cat $dir/pub")
	w.restart(t, "n2")
	// as it was, keys too, for the tests after this one
	t.Cleanup(func() {
		ok(t, os.WriteFile(known, old, 0o644))
		w.oldKeys(t, "n2")
	})
	// the user trusts the new host
	ok(t, os.WriteFile(known, newKeys(t, string(old), w.sshPort(t, "n2"), keys), 0o644))
	w.awaitSSH(t, "n2")
	said := w.plan(t)
	mustSay(t, said, `node n2: no routingmesh-agent is installed there`) // its key is right: known_hosts counts more than the record
	w.main.Set(`forced=["n2"]`)
	ok(t, w.main.Apply(within(t, 4*time.Minute), func(string) {}))
	again := `-replace=routingmesh_node.this["n2"]`
	ok(t, w.main.Apply(within(t, 4*time.Minute), func(string) {}, again))
	to := w.served(t, time.Minute)
	w.note(Row{Fault: "rebuilt from scratch", Node: "n2", Outage: w.between(from, to, w.targets...), Repaired: "by apply -replace", Said: said})
	w.On(t, "n2", "nft -f $dir/nft")
	w.apply(t, `forced=["n2"]`)
	w.oldKeys(t, "n2")
	ok(t, os.WriteFile(known, old, 0o644))
	ok(t, w.main.Apply(within(t, 4*time.Minute), func(string) {}, again))
	w.apply(t)
}

// oldKeys gives a node its host keys back, and no others, whichever it has.
func (w *world) oldKeys(t *testing.T, node string) {
	t.Helper()
	w.Lab.Forget(within(t, time.Minute), node)
	ok(t, w.Lab.Unchecked(within(t, bootTime), node, fmt.Sprintf(`cd %s; [ ! -d keys ] || { rm /etc/ssh/ssh_host_* && cp -a keys/. /etc/ssh && rm -r keys pub && systemctl restart ssh; }`, nodeDir)))
}

func (w *world) sshPort(t *testing.T, node string) string {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(w.Lab.Dir, "ssh_config"))
	ok(t, err)
	_, rest, _ := strings.Cut(string(config), "Host "+node+"\n")
	_, rest, _ = strings.Cut(rest, "Port ")
	port, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(port)
}

// newKeys is a known_hosts file with other keys for one port.
func newKeys(t *testing.T, known, port, keys string) []byte {
	t.Helper()
	var b strings.Builder
	host := fmt.Sprintf("[127.0.0.1]:%s ", port)
	for line := range strings.Lines(known) {
		if !strings.HasPrefix(line, host) {
			b.WriteString(line)
		}
	}
	for line := range strings.Lines(keys) {
		if f := strings.Fields(line); len(f) >= 2 {
			b.WriteString(host + f[0] + " " + f[1] + "\n")
		}
	}
	return []byte(b.String())
}

// awaitSSH waits until a node lets us in.
func (w *world) awaitSSH(t *testing.T, node string) {
	t.Helper()
	ctx := within(t, bootTime)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := w.Lab.SSH(ctx, node, "systemctl is-system-running --wait >/dev/null; true"); err == nil {
			return
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
}
