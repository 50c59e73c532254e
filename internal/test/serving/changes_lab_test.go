//go:build lab

package serving

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// The load of TestAccLabServing: some 40 requests/s. An emulated lab of two cores carries more, but everything else then takes twice as long,
// and what a change breaks it breaks for seconds. A connection that is kept would last for minutes: servers that are about to go end it with their next answer, as good servers
// do that are told so, and a drain waits for that.
const (
	changesLoad  = "-new 40 -keep 40 -each 100"
	changesThink = 2 * time.Second
)

// TestAccLabServing changes everything about a mesh while 80 clients ask it. No request may fail.
func TestAccLabServing(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() { w.print(t, "table.txt") })
	w.serve(t, "n2:9001", "n3:9001", "n1:9101")
	rigtest.OK(t, w.tf.Provide(w.previousProvider(t)))
	w.apply(t, Cluster{
		Services: map[string]Service{
			"web": {Endpoints: map[string]Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}}},
			"api": {Endpoints: map[string]Endpoint{"a": {Node: "n1"}}},
		},
		Ports: map[string]Port{"8080/tcp": {"web", 9001}, "8081/tcp": {"api", 9101}},
	})
	w.askInEarnest(t, changesLoad, changesThink, w.entries(w.Names...)...)
	for _, c := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"nothing", func(t *testing.T) { w.asked(t, 400) }},
		{"upgraded from the previous version", w.upgrade},
		{"every endpoint replaced, one by one", w.replaceAll},
		{"a node drains", w.drainNode},
		{"the node is active again", w.activateNode},
		{"scale 2 to 6", w.scaleTo6},
		{"scale 6 to 1", w.scaleTo1},
		{"target port", w.retarget},
		{"weights", w.reweigh},
		{"another port published and removed", w.anotherPort},
		{"another service scaled", w.anotherService},
		{"agents restarted", w.restartAgents},
		{"a node leaves", w.leave},
		{"the node joins", w.join},
		{"scheduler", w.reschedule},
	} {
		t.Run(c.name, func(t *testing.T) { w.untroubled(t, c.name, c.do) })
	}
	rigtest.InSync(t, w.tf)
}

// untroubled does something under load, goes on asking for a while, and notes what became of the requests: all have to be answered.
func (w *world) untroubled(t *testing.T, name string, do func(*testing.T)) {
	t.Helper()
	begin := w.mark(t)
	w.sum = load.Report{}
	do(t)
	w.asked(t, 100)
	r := w.sum
	w.rows = append(w.rows, Row{Change: name, Seconds: r.At - begin.At, Report: r})
	if r.Failed() > 0 {
		t.Errorf("%d of %d requests failed, the first of them: %+v", r.Failed(), r.Requests(), r.Failures[0])
	}
	if r.New.Requests == 0 || r.Keep.Requests == 0 {
		t.Error("nobody asked")
	}
}

// reschedule changes the scheduler, for which the kernel is without one for some milliseconds.
func (w *world) reschedule(t *testing.T) {
	for _, scheduler := range []string{"wlc", "mh", ""} {
		w.apply(t, w.have.With("web", func(s *Service) { s.Scheduler = scheduler }))
		w.asked(t, 100)
	}
}

// servedBy wants requests of now to be answered by exactly these servers.
func (w *world) servedBy(t *testing.T, names ...string) {
	t.Helper()
	w.mark(t)
	r := w.asked(t, 40*len(names))
	for _, name := range names {
		if r.Servers[name] == 0 {
			t.Errorf("%s answered nobody; answers: %v", name, r.Servers)
		}
	}
	if len(r.Servers) != len(names) {
		t.Errorf("want the answers of %v, got %v", names, r.Servers)
	}
}

// replaceAll is what a deployment does, for one endpoint after the other: a new process, an apply that adds it, an apply without the old
// one. When that has ended, the old one may be stopped.
func (w *world) replaceAll(t *testing.T) {
	for old, to := range map[string]string{"a": "a2", "b": "b2"} {
		next := Endpoint{Node: w.have.Services["web"].Endpoints[old].Node, Port: 9002}
		w.serve(t, next.Name(0))
		w.apply(t, w.have.With("web", func(s *Service) { s.Endpoints[to] = next }))
		name := w.have.Services["web"].Endpoints[old].Name(9001)
		w.drains(t, name)
		w.apply(t, w.have.With("web", func(s *Service) { delete(s.Endpoints, old) }))
		w.stop(t, name)
	}
	w.servedBy(t, "n2:9002", "n3:9002")
}

// drainNode takes a node's endpoints out for a while; then its process may be stopped.
func (w *world) drainNode(t *testing.T) {
	w.drains(t, "n3:9002")
	next := w.have
	next.Drained = []string{"n3"}
	w.apply(t, next)
	w.stop(t, "n3:9002")
	w.servedBy(t, "n2:9002")
}

func (w *world) activateNode(t *testing.T) {
	w.serve(t, "n3:9002")
	next := w.have
	next.Drained = nil
	w.apply(t, next)
	w.servedBy(t, "n2:9002", "n3:9002")
}

func (w *world) scaleTo6(t *testing.T) {
	w.serve(t, "n1:9001", "n1:9002", "n2:9001", "n3:9001")
	w.apply(t, w.have.With("web", func(s *Service) {
		s.Endpoints["c"], s.Endpoints["d"] = Endpoint{Node: "n1", Port: 9001}, Endpoint{Node: "n1", Port: 9002}
		s.Endpoints["e"], s.Endpoints["f"] = Endpoint{Node: "n2", Port: 9001}, Endpoint{Node: "n3", Port: 9001}
	}))
	w.servedBy(t, "n1:9001", "n1:9002", "n2:9001", "n2:9002", "n3:9001", "n3:9002")
}

func (w *world) scaleTo1(t *testing.T) {
	w.drains(t, "n1:9001", "n1:9002", "n2:9002", "n3:9001", "n3:9002")
	w.apply(t, w.have.With("web", func(s *Service) { s.Endpoints = map[string]Endpoint{"e": {Node: "n2"}} }))
	w.stop(t, "n1:9001", "n1:9002", "n2:9002", "n3:9001", "n3:9002")
	w.servedBy(t, "n2:9001")
}

// retarget has the endpoint listen on another port, at the same time as it gets a second one.
func (w *world) retarget(t *testing.T) {
	w.serve(t, "n2:9003", "n3:9003")
	w.drains(t, "n2:9001")
	w.apply(t, w.have.With("web", func(s *Service) { s.Endpoints["b"] = Endpoint{Node: "n3", Port: 9003} }).WithPort("8080/tcp", Port{"web", 9003}))
	w.stop(t, "n2:9001")
	w.servedBy(t, "n2:9003", "n3:9003")
}

func (w *world) reweigh(t *testing.T) {
	three, one := 3, 1
	w.apply(t, w.have.With("web", func(s *Service) { s.Endpoints["b"] = Endpoint{Node: "n3", Port: 9003, Weight: &three} }))
	w.asked(t, 100)
	w.apply(t, w.have.With("web", func(s *Service) { s.Endpoints["b"] = Endpoint{Node: "n3", Port: 9003, Weight: &one} }))
	w.servedBy(t, "n2:9003", "n3:9003")
}

func (w *world) anotherPort(t *testing.T) {
	before := w.have
	w.apply(t, before.WithPort("8090/tcp", Port{"web", 9003}))
	w.apply(t, before)
}

func (w *world) anotherService(t *testing.T) {
	before := w.have
	w.serve(t, "n2:9101", "n3:9101")
	w.apply(t, before.With("api", func(s *Service) { s.Endpoints["b"], s.Endpoints["c"] = Endpoint{Node: "n2"}, Endpoint{Node: "n3"} }))
	w.apply(t, before)
	w.stop(t, "n2:9101", "n3:9101")
}

// restartAgents restarts them once as systemd does, and once as a crash does.
func (w *world) restartAgents(t *testing.T) {
	w.OnAll(t, "systemctl restart routingmesh-agent; systemctl kill -s KILL routingmesh-agent\n"+agentAnswers)
}

// agentAnswers waits until the agent has its record in the kernel.
var agentAnswers = rigtest.WaitUntil("the agent has its record in the kernel",
	`s=$(curl -sS -m 20 --unix-socket /run/routingmesh/agent.sock http://agent/v1/status | jq -c .problems); echo "$s"; [ "$s" = '[]' ]`)

// upgrade takes over a mesh of the previous version. Today's provider reads what the old agents have, and its first
// change brings today's to every node, which go on with the files of the old ones.
func (w *world) upgrade(t *testing.T) {
	rigtest.OK(t, w.tf.Provide(filepath.Join(w.Lab.Root, "bin")))
	rigtest.InSync(t, w.tf)
	const program = "readlink /usr/local/bin/routingmesh-agent"
	everywhere := map[string]string{"n1": program, "n2": program, "n3": program}
	old := w.OnEach(t, everywhere)
	before := w.have
	w.apply(t, before.WithPort("8091/tcp", Port{"web", 9001}))
	w.apply(t, before)
	for node, now := range w.OnEach(t, everywhere) {
		if now == old[node] {
			t.Errorf("%s still runs the previous agent, %s", node, now)
		}
	}
	w.OnAll(t, agentAnswers)
	w.servedBy(t, "n2:9001", "n3:9001")
}

// previousProvider is the folder of the previous version's provider, which has its agent in it.
func (w *world) previousProvider(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(rigtest.Within(t, 10*time.Minute), filepath.Join(w.Lab.Root, "scripts", "previous.sh"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the previous provider: %v\n%s", err, out)
	}
	return filepath.Join(w.Lab.Root, "bin", "previous")
}

// leave takes a node out that has an endpoint; those in front of the mesh have been told.
func (w *world) leave(t *testing.T) {
	stay := slices.DeleteFunc(slices.Clone(w.Names), func(n string) bool { return n == "n3" })
	w.say(t, append([]string{load.WordTo}, w.entries(stay...)...)...)
	w.drains(t, "n3:9003")
	next := w.have
	next.Away = []string{"n3"}
	w.apply(t, next)
	w.stop(t, "n3:9003")
	w.servedBy(t, "n2:9003")
}

// join brings it back.
func (w *world) join(t *testing.T) {
	w.serve(t, "n3:9003")
	next := w.have
	next.Away = nil
	w.apply(t, next)
	w.say(t, append([]string{load.WordTo}, w.entries(w.Names...)...)...)
	w.servedBy(t, "n2:9003", "n3:9003")
}
