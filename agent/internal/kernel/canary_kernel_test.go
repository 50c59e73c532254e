//go:build kernel

package kernel_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
)

// useLegacy makes iptables-legacy what iptables is.
func useLegacy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore"} {
		must(t, os.Symlink("/usr/sbin/xtables-legacy-multi", filepath.Join(dir, name)))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Where iptables is the legacy one, the canary sees it by the tables' sizes, and
// does not make a table by asking for it.
func TestTheCanarySeesLegacyTables(t *testing.T) {
	useLegacy(t)
	m := newMachine(t, "a")
	w := m.watch(t)
	w.Cover(kernel.Full)
	if !w.ChainsUntouched() {
		t.Error("tables that are not there have changed")
	}
	if names := m.run("cat /proc/thread-self/net/ip_tables_names"); names != "" {
		t.Errorf("looking at the tables has made them: %s", names)
	}
	want := full(t)
	m.reach(want, 1)
	w.Cover(kernel.Full)
	if w.ChainsCertain() {
		t.Error("sizes of tables are no certainty")
	}
	if ops := m.plan(want); len(ops) > 0 || !w.ChainsUntouched() {
		t.Errorf("after an apply: untouched %t, to do\n%s", w.ChainsUntouched(), text(ops))
	}
	for name, command := range map[string]string{
		"flush":       "/usr/sbin/iptables-legacy -t nat -F",
		"a rule less": "/usr/sbin/iptables-legacy -D ROUTINGMESH-IN 1",
	} {
		m.run(command)
		if w.ChainsUntouched() {
			t.Errorf("%s was not seen", name)
		}
		until(t, repairedWithin, name+" wakes", w.Pending)
		m.reach(want, 1)
		w.Cover(kernel.Full)
	}
	m.mesh("/usr/sbin/iptables-legacy -t raw -F")
	until(t, repairedWithin, "a flush in the mesh wakes", w.Pending)
}

// What the canary costs, once a second.
func TestTheCanaryCostsNextToNothing(t *testing.T) {
	m := newMachine(t, "a")
	w := m.watch(t)
	m.reach(full(t), 1)
	w.Cover(kernel.Full)
	execs, begin := m.Execs(), time.Now()
	const looks = 200
	for range looks {
		w.ChainsUntouched() // reads the whole canary
	}
	each := time.Since(begin) / looks
	t.Logf("one look takes %s", each)
	if m.Execs() != execs {
		t.Error("it ran a program")
	}
	if each > 50*time.Millisecond { // the lab emulates a processor, and shares it
		t.Errorf("one look takes %s", each)
	}
}

// Events that did not fit into the queue may have been about anything.
func TestLostEventsAreAReasonToLook(t *testing.T) {
	m := newMachine(t, "a")
	w := m.watch(t)
	m.reach(full(t), 1)
	w.Cover(kernel.Full)
	if _, err := m.Observe(context.Background(), kernel.Full); err != nil {
		t.Fatal(err)
	}
	must(t, w.HoldUp(func() { // nobody reads meanwhile
		m.run(`ip link add d0 type dummy; ip link set d0 up
seq 1 300 | sed 's|.*|route add 198.18.0.0/32 dev d0 metric &|' | ip -batch -`)
	}))
	until(t, repairedWithin, "the watch wakes", w.Pending)
}
