//go:build lab

package serving

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

const (
	hostDir = "/var/cache/serving" // on every host
	front   = 8080                 // the published port that is asked
)

// world is the lab with a cluster on it and programs behind it.
type world struct {
	*rigtest.World
	tf   *rig.Terraform
	have Cluster
	load *load.Generator
	sum  load.Report // of all marks since somebody set it to zero
	rows []Row
	dir  string // for the length of the whole test, on this machine
}

// newWorld has the load's program on every host, and no cluster standing; both are as before when the test is over.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: rigtest.New(t, "serving"), dir: t.TempDir()}
	w.tf = w.Terraform(t, "main", rigtest.Testdata(t, "main.tf"))
	hosts := append([]string{rigtest.ClientHost}, w.Names...)
	clean := map[string]string{}
	for _, h := range hosts {
		clean[h] = fmt.Sprintf(`systemctl stop 'serving-*' || true; systemctl reset-failed 'serving-*' 2>/dev/null || true; rm -rf %s`, hostDir)
	}
	w.OnEach(t, clean) // what a run that was cut has left
	t.Cleanup(func() { w.OnEach(t, clean) })
	w.Bare(t, w.tf)
	t.Cleanup(func() { w.Bare(t, w.tf) })
	w.Put(t, w.Build(t, load.Program), hostDir+"/load", hosts...)
	return w
}

// set is what the next apply makes.
func (w *world) set(t *testing.T, c Cluster) {
	t.Helper()
	text, err := c.Variables()
	rigtest.OK(t, err)
	rigtest.OK(t, w.tf.Put("cluster.auto.tfvars.json", text))
	w.have = c
}

// apply makes the cluster so.
func (w *world) apply(t *testing.T, c Cluster) {
	t.Helper()
	w.set(t, c)
	rigtest.Apply(t, w.tf)
}

// start starts programs on nodes: by node, the arguments of systemd-run for each unit.
func (w *world) start(t *testing.T, programs map[string][]string) {
	t.Helper()
	scripts := map[string]string{}
	for node, all := range programs {
		for _, p := range all {
			scripts[node] += "systemd-run -q --collect " + p + "\n"
		}
	}
	w.OnEach(t, scripts)
}

// serve starts the load's servers, named as they name themselves: n2:9001.
func (w *world) serve(t *testing.T, names ...string) {
	t.Helper()
	programs := map[string][]string{}
	scripts := map[string]string{}
	for _, name := range names {
		node, port, _ := strings.Cut(name, ":")
		programs[node] = append(programs[node], fmt.Sprintf("--unit %s %s/load serve http 0.0.0.0:%s", unit(name), hostDir, port))
		scripts[node] += listens(port)
	}
	w.start(t, programs)
	w.OnEach(t, scripts)
}

// listens waits on a host until something listens on a port.
func listens(port string) string {
	return rigtest.WaitUntil("something listens on port "+port, "ss -Hltn | grep -q :"+port)
}

// stop ends servers as systemd does: politely.
func (w *world) stop(t *testing.T, names ...string) { w.kill(t, "systemctl stop", names...) }

// kill does something to the units of servers.
func (w *world) kill(t *testing.T, command string, names ...string) {
	t.Helper()
	scripts := map[string]string{}
	for _, name := range names {
		node, _, _ := strings.Cut(name, ":")
		scripts[node] += command + " " + unit(name) + "\n"
	}
	w.OnEach(t, scripts)
}

// drains tells servers that they are about to be taken out: they end kept connections with the next answer.
func (w *world) drains(t *testing.T, names ...string) { w.kill(t, "systemctl kill -s USR1", names...) }

func unit(name string) string { return "serving-" + strings.ReplaceAll(name, ":", "-") }

// entries are the addresses of nodes with the port that is asked.
func (w *world) entries(nodes ...string) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, net.JoinHostPort(w.Address(n), strconv.Itoa(front)))
	}
	return all
}

// ask starts the load on the client.
func (w *world) ask(t *testing.T, options string, targets ...string) {
	t.Helper()
	generator, err := load.Start(w.Lab.Command(rigtest.Within(t, time.Hour), rigtest.ClientHost, strings.Join(append([]string{hostDir + "/load clients", options}, targets...), " ")))
	rigtest.OK(t, err)
	w.load = generator
	t.Cleanup(generator.Stop)
}

// askInEarnest starts the load on the client, and has it ask as often as this machine can carry: clients think for longer until the slowest
// hundredth of the answers takes less than half a second.
func (w *world) askInEarnest(t *testing.T, options string, think time.Duration, targets ...string) {
	t.Helper()
	w.ask(t, fmt.Sprintf("%s -think %s", options, think), targets...)
	for range 4 {
		w.asked(t, 200) // the first ones are slow
		if r := w.asked(t, 400); max(r.New.P99, r.Keep.P99) < 500 && r.Failed() == 0 {
			break
		}
		think *= 2
		w.say(t, load.WordThink, think.String())
	}
	t.Logf("a client thinks for %s between two requests", think)
	w.mark(t)
	w.sum = load.Report{}
}

// mark is what was asked since the last one.
func (w *world) mark(t *testing.T) load.Report {
	t.Helper()
	r := w.say(t, load.WordMark)
	for _, f := range r.Failures {
		fmt.Fprintf(w.Lab.Log, "failed at %.1f s after %.2f s: %s (kept: %v): %s\n", f.At, f.Took, f.Target, f.Keep, f.Error)
	}
	w.sum = w.sum.Plus(r)
	return r
}

// asked waits until there were so many more requests, and is what became of them.
func (w *world) asked(t *testing.T, requests int) load.Report {
	t.Helper()
	deadline := rigtest.Within(t, 2*time.Minute)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	var sum load.Report
	for sum.Requests() < requests {
		select {
		case <-tick.C:
			sum = sum.Plus(w.mark(t))
		case <-deadline.Done():
			t.Fatalf("only %d of %d requests within %s", sum.Requests(), requests, rigtest.Patience)
		}
	}
	return sum
}

func (w *world) say(t *testing.T, words ...string) load.Report {
	t.Helper()
	r, err := w.load.Say(rigtest.Within(t, 30*time.Second), words...)
	rigtest.OK(t, err)
	return r
}

// print shows the table, and keeps it beside the lab.
func (w *world) print(t *testing.T, file string) {
	t.Helper()
	if len(w.rows) == 0 {
		return
	}
	table := Table(w.rows)
	t.Log("\n" + table)
	rigtest.OK(t, os.WriteFile(w.Path(file), []byte(table), 0o644))
}
