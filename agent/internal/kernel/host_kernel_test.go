//go:build kernel

package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// machine is a network namespace that plays a host, with a Kernel for it.
type machine struct {
	*kernel.Kernel
	t         *testing.T
	name      string
	root      string
	ns        netns.NsHandle
	originals *originals
}

func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	return newMachineAt(t, name, t.TempDir())
}

func newMachineAt(t *testing.T, name, root string) *machine {
	t.Helper()
	m := &machine{t: t, name: name, root: root, ns: newNamespace(t), originals: &originals{values: map[string]string{}}}
	m.in(func() (err error) {
		m.Kernel, err = kernel.New(kernel.Options{Root: m.root, Originals: m.originals})
		return err
	})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		_ = unix.Unmount(m.namespaceFile(), unix.MNT_DETACH) // where there is one
		if m.root != "/" {
			_ = unix.Unmount(filepath.Dir(m.namespaceFile()), unix.MNT_DETACH)
		}
	})
	m.run("ip link set lo up")
	return m
}

func (m *machine) namespaceFile() string { return filepath.Join(m.root, "run/netns", state.Namespace) }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	err := away(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		ns, err = netns.Get()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// in runs fn on a thread in the machine's namespace.
func (m *machine) in(fn func() error) {
	m.t.Helper()
	if err := within(m.ns, fn); err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
}

func within(ns netns.NsHandle, fn func() error) error {
	return away(func() error { return netns.Set(ns) }, fn)
}

// away runs fn on a thread that enter takes elsewhere, and brings it back: the
// process's first thread would not end with its goroutine.
func away(enter, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err == nil {
			err = enter()
		}
		if err == nil {
			err = fn()
		}
		if back := netns.Set(origin); back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, origin.Close())
	}()
	return <-done
}

// run runs commands, one per line, in the machine's namespace.
func (m *machine) run(commands string) string {
	m.t.Helper()
	return m.shell(m.ns, commands)
}

// mesh runs commands in the mesh's namespace of the machine.
func (m *machine) mesh(commands string) string {
	m.t.Helper()
	ns, err := netns.GetFromPath(m.namespaceFile())
	if err != nil {
		m.t.Fatal(err)
	}
	defer ns.Close()
	return m.shell(ns, commands)
}

func (m *machine) shell(ns netns.NsHandle, commands string) string {
	m.t.Helper()
	var out bytes.Buffer
	err := within(ns, func() error {
		cmd := exec.Command("sh", "-ec", commands)
		cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:/usr/bin:/bin")
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		m.t.Fatalf("%s: %s: %v\n%s", m.name, commands, err, &out)
	}
	return out.String()
}

func (m *machine) observe() state.State {
	m.t.Helper()
	s, err := m.Observe(context.Background(), kernel.Full)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *machine) plan(desired state.State) []state.Op {
	m.t.Helper()
	return state.Plan(desired, m.observe())
}

func (m *machine) apply(ops []state.Op) {
	m.t.Helper()
	for _, e := range m.Apply(context.Background(), ops) {
		m.t.Error(e.Err)
	}
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// reach applies until the plan is empty, and fails if that takes more than rounds.
func (m *machine) reach(desired state.State, rounds int) {
	m.t.Helper()
	ops := m.plan(desired)
	for range rounds {
		if len(ops) == 0 {
			return
		}
		m.apply(ops)
		ops = m.plan(desired)
	}
	if len(ops) > 0 {
		m.t.Fatalf("%s: still to do after %d rounds:\n%s", m.name, rounds, text(ops))
	}
}

func text(ops []state.Op) string {
	var lines []string
	for _, op := range ops {
		line := op.String()
		if c, ok := op.New.(state.Chain); ok && op.Action == state.Change {
			line += "\n" + cmp.Diff(op.Old, state.Object(c))
		} else if op.Action == state.Change {
			line += ", was " + op.Old.String()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// snapshot is everything about the host that we could have an influence on.
func (m *machine) snapshot() string {
	m.t.Helper()
	var b strings.Builder
	for _, command := range []string{
		"ip -d link", "ip addr", "ip rule", "ip route show table all", "ip neigh", "ipset list", "iptables-save",
		"sysctl -ae --pattern '^net.ipv4'",
	} {
		fmt.Fprintf(&b, "# %s\n%s", command, stable(command, m.run(command)))
	}
	return b.String()
}

// stable leaves out what says nothing: comments with the time, and counters.
func stable(command, out string) string {
	if command == "iptables-save" {
		out = counters.ReplaceAllString(out, "")
	}
	lines := strings.SplitAfter(out, "\n")
	volatile := []string{"fib_", "conntrack", "netdev_rss_key", "inet_peer", "tcp_fastopen_key", "vs."}
	lines = slices.DeleteFunc(lines, func(line string) bool {
		if command == "iptables-save" {
			return strings.HasPrefix(line, "#")
		}
		return strings.HasPrefix(command, "sysctl") && slices.ContainsFunc(volatile, func(v string) bool { return strings.Contains(line, v) })
	})
	return strings.Join(lines, "")
}

var counters = regexp.MustCompile(` \[\d+:\d+\]`)

// originals keeps settings in memory.
type originals struct {
	mu     sync.Mutex
	values map[string]string
	full   bool // the disk is
}

func (o *originals) Get(name string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.values[name]
	return v, ok
}

func (o *originals) Set(name, value string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full {
		return unix.ENOSPC
	}
	o.values[name] = value
	return nil
}

func (o *originals) Delete(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.values, name)
	return nil
}
