// Package rigtest is what the tests on the lab stand on: the lab for one test alone, scripts on its hosts, programs brought there,
// Terraform with a configuration of the test's own.
package rigtest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// ClientHost is the host of the lab that is no node.
const ClientHost = "client"

// World is the lab while a test has it.
type World struct {
	Lab   *rig.Lab
	Nodes map[string]rig.Node
	Names []string // of the nodes, sorted
	// Prelude goes before every script on a host.
	Prelude string

	name string // the folder of the lab's that logs and states are in
}

// New takes the lab for the test. What runs is logged to NAME/TEST.log in the lab's folder.
func New(t *testing.T, name string) *World {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Fatal("acceptance tests change real hosts: set TF_ACC=1, as make testacc does")
	}
	lab, err := rig.Open(nil)
	OK(t, err)
	w := &World{Lab: lab, Nodes: map[string]rig.Node{}, name: name}
	OK(t, os.MkdirAll(w.Path(), 0o755))
	log, err := os.Create(w.Path(t.Name() + ".log"))
	OK(t, err)
	t.Cleanup(func() { log.Close() })
	lab.Log = log
	release, err := lab.Take()
	OK(t, err)
	t.Cleanup(release)
	lab.Logins, err = os.MkdirTemp("", "logins") //nolint:usetesting // its paths are too long for sockets
	OK(t, err)
	nodes, err := lab.Nodes()
	OK(t, err)
	for _, n := range nodes {
		w.Nodes[n.Name] = n
		w.Names = append(w.Names, n.Name)
	}
	all := append(slices.Clone(w.Names), ClientHost)
	t.Cleanup(func() {
		lab.Forget(Within(t, time.Minute), all...)
		OK(t, os.RemoveAll(lab.Logins))
	})
	return w
}

// Path is a file in the test's folder of the lab's.
func (w *World) Path(elem ...string) string {
	return filepath.Join(append([]string{w.Lab.Dir, w.name}, elem...)...)
}

// OK ends the test on an error.
func OK(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Patience is the shortest deadline that there is, for whatever happens in a lab: an emulated machine with another
// program on its cores takes ten times as long as an idle one. A deadline is for what hangs; how fast something has
// to be, a test measures.
const Patience = 3 * time.Minute

// Within is a context for something that ends by itself, and for Patience at least; cleanups may use it, too.
func Within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), max(d, Patience))
	t.Cleanup(cancel)
	return ctx
}

// waitWord is for scripts: wait_until WHAT COMMAND waits for the command, a line for eval, to succeed, for less time
// than On and OnEach give the script, so that it is this that says what did not happen. It looks at the time since
// the boot, as tests set the clock, and does not count its tries, as nobody knows how long one takes.
const waitWord = `wait_until() {
  local up end rest out
  read -r up rest < /proc/uptime; end=$((${up%.*} + 120))
  until out=$(eval "$2" 2>&1); do
    read -r up rest < /proc/uptime
    [ ${up%.*} -lt $end ] || { echo "not within 120 s: $1; the last try said: $out" >&2; return 1; }
    sleep 0.3
  done
}
`

// WaitUntil is a line of a script that waits until the command succeeds.
func WaitUntil(what, command string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return "wait_until " + quote(what) + " " + quote(command) + "\n"
}

// Try runs a script on a host and returns what it prints.
func (w *World) Try(ctx context.Context, host, script string) (string, error) {
	out, err := w.Lab.SSH(ctx, host, waitWord+w.Prelude+"set -e\n"+script)
	return strings.TrimSpace(out), err
}

// scriptTime is more than two waits of a script take.
const scriptTime = 6 * time.Minute

// On is Try where it must go well.
func (w *World) On(t *testing.T, host, script string) string {
	t.Helper()
	out, err := w.Try(Within(t, scriptTime), host, script)
	OK(t, err)
	return out
}

// OnEach runs a script of its own on each host, at the same time, and returns what they print.
func (w *World) OnEach(t *testing.T, scripts map[string]string) map[string]string {
	t.Helper()
	var g errgroup.Group
	var mu sync.Mutex
	out := map[string]string{}
	for host, script := range scripts {
		g.Go(func() error {
			printed, err := w.Try(Within(t, scriptTime), host, script)
			mu.Lock()
			defer mu.Unlock()
			out[host] = printed
			return err
		})
	}
	OK(t, g.Wait())
	return out
}

// OnAll runs one script on all nodes at the same time.
func (w *World) OnAll(t *testing.T, script string) {
	t.Helper()
	scripts := map[string]string{}
	for _, n := range w.Names {
		scripts[n] = script
	}
	w.OnEach(t, scripts)
}

// Put copies a file of this machine to hosts.
func (w *World) Put(t *testing.T, file, to string, hosts ...string) {
	t.Helper()
	OK(t, w.Lab.Put(Within(t, 3*time.Minute), file, to, hosts...))
}

// Build builds a command of this checkout for the lab's hosts, and returns the program's path.
func (w *World) Build(t *testing.T, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(pkg))
	OK(t, w.Lab.BuildFor(Within(t, 5*time.Minute), pkg, program))
	return program
}

// Terraform prepares the folder name with a configuration of the test's own: contents by file name.
func (w *World) Terraform(t *testing.T, name string, configuration map[string]string, vars ...string) *rig.Terraform {
	t.Helper()
	tf, err := w.Lab.TerraformOf(filepath.Join(w.name, name), configuration, vars...)
	OK(t, err)
	return tf
}

// Testdata reads files of the test's testdata, to be a configuration.
func Testdata(t *testing.T, files ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("testdata", f))
		OK(t, err)
		all[filepath.Base(f)] = string(b)
	}
	return all
}

// Apply makes what the state describes so, with these variables.
func Apply(t *testing.T, tf *rig.Terraform, vars ...string) {
	t.Helper()
	tf.Set(vars...)
	OK(t, tf.Apply(Within(t, 5*time.Minute), func(string) {}))
}

// Bare destroys what the state describes, if anything. Where that fails, or a run that was cut has left more than its state says, the nodes
// have no agent all the same: the next test begins with bare hosts.
func (w *World) Bare(t *testing.T, tf *rig.Terraform) {
	t.Helper()
	if tf.Standing() {
		if err := tf.Destroy(Within(t, 5*time.Minute), func(string) {}); err != nil {
			t.Errorf("the destroy failed; the agents are uninstalled by hand: %v", err)
		}
	}
	var g errgroup.Group
	for _, n := range w.Names {
		g.Go(func() error {
			_, err := w.Lab.SSH(Within(t, 3*time.Minute), n, "! command -v routingmesh-agent > /dev/null || routingmesh-agent uninstall")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	OK(t, tf.Forget())
}

// InSync wants a plan without changes.
func InSync(t *testing.T, tf *rig.Terraform) {
	t.Helper()
	text, changes, err := tf.Plan(Within(t, 2*time.Minute))
	OK(t, err)
	if changes {
		t.Errorf("the plan is not empty:\n%s", text)
	}
}

// Address is a node's on the wire.
func (w *World) Address(node string) string { return w.Nodes[node].Address }
