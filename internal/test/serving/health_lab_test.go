//go:build lab

package serving

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// quickCheck finds a dead endpoint within interval × fall = 2 s.
var quickCheck = &Check{Interval: "1s", Timeout: "500ms", Fall: 2, Rise: 2}

const (
	found = 2.0 // seconds: interval × fall of quickCheck
	// written is how long a verdict may take to get from the check to IPVS: agents gather verdicts for 0.1 s, and in an emulated machine with
	// a load on it, and with others on its cores, a process that has something to do waits for its turn for up to a second, each time.
	written = 4.0
	back    = 2.0 // seconds: interval × rise of quickCheck, and a check's pause before the first of them
)

// healthLoad is lighter than changesLoad, so that checks with a timeout of half a second tell the dead from the slow.
const (
	healthLoad  = "-new 30 -keep 30 -each 20"
	healthThink = 600 * time.Millisecond
)

// TestAccLabHealth takes endpoints away without telling anybody: requests fail until the nodes have found out, and no longer.
func TestAccLabHealth(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() { w.print(t, "health.txt") })
	site := w.Names[len(w.Names)-max(1, len(w.Names)*2/5):] // two of five nodes
	endpoints := map[string]Endpoint{}
	for _, n := range w.Names {
		endpoints[n] = Endpoint{Node: n, Port: 9001}
	}
	for _, n := range site {
		endpoints[n+"-more"] = Endpoint{Node: n, Port: 9002}
	}
	var all []string
	for _, e := range endpoints {
		all = append(all, e.Name(0))
	}
	w.serve(t, all...)
	w.apply(t, Cluster{
		Check:    quickCheck,
		Services: map[string]Service{"web": {Endpoints: endpoints}},
		Ports:    map[string]Port{"8080/tcp": {"web", 9001}},
	})
	w.askInEarnest(t, healthLoad, healthThink, w.entries(w.Names...)...)
	t.Run("a process is killed", func(t *testing.T) {
		w.lose(t, "a process killed (kill -9)", []string{"n2:9001"}, func() { w.kill(t, "systemctl kill -s KILL", "n2:9001") })
		w.regain(t, "the process is back", []string{"n2:9001"}, func() { w.serve(t, "n2:9001") })
	})
	t.Run("a node is cut off", func(t *testing.T) { w.cut(t, "a node cut off the wire", all, "n2") })
	t.Run("a site is cut off", func(t *testing.T) {
		w.cut(t, fmt.Sprintf("a site cut off (%d of %d nodes)", len(site), len(w.Names)), all, site...)
	})
	t.Run("all fail", func(t *testing.T) { w.allFail(t, all) })
	rigtest.InSync(t, w.tf)
}

// calm waits until there are 100 requests in a row of which none fails.
func (w *world) calm(t *testing.T) {
	t.Helper()
	for range 60 {
		if w.asked(t, 100).Failed() == 0 {
			return
		}
	}
	t.Fatalf("requests go on failing; the last of them: %+v", w.sum.Failures[len(w.sum.Failures)-1])
}

// lose takes servers away. Requests may fail for as long as it takes to find out.
func (w *world) lose(t *testing.T, what string, gone []string, do func()) {
	t.Helper()
	begin := w.mark(t)
	w.sum = load.Report{}
	do()
	w.calm(t)
	r := w.sum
	failing := r.Failing()
	w.rows = append(w.rows, Row{Change: what, Seconds: r.At - begin.At, Report: r, Note: fmt.Sprintf("failing for %.1f s; %.1f s to find out", failing, found)})
	if r.Failed() == 0 {
		t.Errorf("no request failed: was anything lost?")
	}
	if failing > found+written {
		t.Errorf("requests failed over %.1f s; allowed are %.1f s to find out and %.1f s to write it", failing, found, written)
	}
	w.mark(t)
	for _, name := range gone {
		if n := w.asked(t, 100).Servers[name]; n > 0 {
			t.Errorf("%s is gone and answered %d times", name, n)
		}
	}
}

// regain brings servers back, which no request may notice, and waits until they answer.
func (w *world) regain(t *testing.T, what string, names []string, do func()) {
	t.Helper()
	begin := w.mark(t)
	w.sum = load.Report{}
	do()
	up := w.mark(t)
	limit := rigtest.Within(t, rigtest.Patience)
	missing := func(servers map[string]int) (all []string) {
		for _, name := range names {
			if servers[name] == 0 {
				all = append(all, name)
			}
		}
		return all
	}
	for len(missing(w.sum.Servers)) > 0 {
		select {
		case <-limit.Done():
			t.Fatalf("%v do not answer again", missing(w.sum.Servers))
		default:
			w.asked(t, 20)
		}
	}
	r := w.sum
	took := r.At - up.At
	w.rows = append(w.rows, Row{Change: what, Seconds: r.At - begin.At, Report: r, Note: fmt.Sprintf("answers %.1f s after it was back; %.1f s to find out", took, back)})
	if r.Failed() > 0 {
		t.Errorf("%d requests failed, the first of them: %+v", r.Failed(), r.Failures[0])
	}
}

// cut takes nodes off the wire and puts them back. What asks them as entries has been told before.
func (w *world) cut(t *testing.T, what string, servers []string, nodes ...string) {
	t.Helper()
	isCut := func(node string) bool { return strings.Contains(" "+strings.Join(nodes, " ")+" ", " "+node+" ") }
	var entries, gone []string
	for _, n := range w.Names {
		if !isCut(n) {
			entries = append(entries, n)
		}
	}
	for _, s := range servers {
		if node, _, _ := strings.Cut(s, ":"); isCut(node) {
			gone = append(gone, s)
		}
	}
	wire := func(state string) func() {
		return func() {
			w.Lab.Forget(rigtest.Within(t, time.Minute), nodes...)
			for _, n := range nodes {
				rigtest.OK(t, w.Lab.Node(rigtest.Within(t, time.Minute), "wire-"+state, n))
			}
		}
	}
	t.Cleanup(wire("up"))
	w.say(t, append([]string{load.WordTo}, w.entries(entries...)...)...)
	w.lose(t, what, gone, wire("down"))
	w.regain(t, strings.Replace(what, "cut off", "back on", 1), gone, wire("up"))
	w.say(t, append([]string{load.WordTo}, w.entries(w.Names...)...)...)
	w.calm(t)
}

// allFail has every endpoint fail: the nodes keep them all, so that the client is refused by them and by nobody else, and the first that is
// back serves before any check has said so.
func (w *world) allFail(t *testing.T, all []string) {
	w.kill(t, "systemctl kill -s KILL", all...)
	for _, n := range w.Names {
		w.await(t, n, fmt.Sprintf(`[.unhealthy[]? | select(.health == "unhealthy_kept")] | length == %d`, len(all)))
	}
	weights := w.On(t, "n1", "ip netns exec routingmesh ipvsadm -Sn | awk '$1 == \"-a\" {print $NF}' | sort | uniq -c | awk '{print $1 \"*\" $2}'")
	if weights != fmt.Sprintf("%d*1", len(all)) {
		t.Errorf("all endpoints fail, and have the weights %s; they have to keep them", weights)
	}
	w.serve(t, all...)
	w.calm(t)
	for _, n := range w.Names {
		w.await(t, n, `(.unhealthy // []) == []`)
	}
	w.servedBy(t, all...)
}

// await waits until the agent's status on a node is so, which is an expression of jq's.
func (w *world) await(t *testing.T, node, met string) {
	t.Helper()
	w.On(t, node, rigtest.WaitUntil(met, fmt.Sprintf(`s=$(curl -sS -m 20 --unix-socket /run/routingmesh/agent.sock http://agent/v1/status) && echo "$s" && jq -e '%s' <<< "$s" > /dev/null`, met)))
}
