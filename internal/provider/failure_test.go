package provider

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// level checks that all hosts have one record with the ports, and no others.
func (m *testMesh) level(ports ...string) {
	m.t.Helper()
	for _, n := range m.All() {
		r := n.Record()
		if r == nil || r.Hash() != m.record().Hash() {
			m.t.Errorf("%s does not have the record of the others", n.Name)
			continue
		}
		var got []string
		for _, p := range r.ServicePorts("web") {
			got = append(got, p.Key().String())
		}
		if strings.Join(got, " ") != strings.Join(ports, " ") {
			m.t.Errorf("%s has the ports %v, want %v", n.Name, got, ports)
		}
	}
}

// back brings hosts back after a while: a lease that one of them had given to a
// writer that is no more has run out.
func (m *testMesh) back(names ...string) {
	for _, name := range names {
		m.Node(name).DropLease()
		m.Node(name).SetDown(false)
	}
}

// TestApplyThatIsBroken: whatever befalls a node in the middle of an apply, the
// next one converges, with nothing replaced and nothing orphaned.
func TestApplyThatIsBroken(t *testing.T) {
	t.Parallel()
	for path, faults := range map[string][]meshtest.Fault{
		mesh.PathPrepare: {meshtest.CutBefore, meshtest.CutAfter, meshtest.DownAfter},
		mesh.PathCommit:  {meshtest.CutBefore, meshtest.CutAfter, meshtest.KillHalfway, meshtest.DownBefore, meshtest.DownAfter, meshtest.FullDisk},
	} {
		for _, fault := range faults {
			t.Run(fmt.Sprintf("%s %s", path[len("/v1/"):], fault), func(t *testing.T) {
				t.Parallel()
				m := newMesh(t)
				m.ssh = `, timeout = "2s"`
				w := m.workspace()
				w.write(m.provider(cluster(), m.nodes(), service("web", "n1", "n2")))
				w.apply()
				m.Node("n2").FaultAt(path, 1, fault)
				w.write(m.all())
				w.run("apply", "-auto-approve") // may fail, and may not
				m.back("n2")
				m.Node("n2").SetDiskFull(false)
				if out := w.apply(); strings.Contains(out, "replaced") || strings.Contains(out, "tainted") {
					t.Errorf("something is replaced:\n%s", out)
				}
				w.settled()
				m.level("8080/tcp")
			})
		}
	}
}

// TestJoinIsBroken: a node that goes down while it joins is in the state, and
// made whole later, neither tainted nor forgotten.
func TestJoinIsBroken(t *testing.T) {
	t.Parallel()
	for _, fault := range []meshtest.Fault{meshtest.DownBefore, meshtest.KillHalfway, meshtest.FullDisk} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, "n1", "n2", "n3", "n4")
			m.ssh = `, timeout = "2s"`
			w := m.workspace()
			w.write(m.provider(cluster(), m.node("n1"), m.node("n2"), m.node("n3")))
			w.apply()
			m.Node("n4").FaultAt(mesh.PathCommit, 1, fault)
			w.write(m.provider(cluster(), m.nodes()))
			out, code := w.run("apply", "-auto-approve")
			if fault == meshtest.DownBefore {
				says(t, out, "Warning: Node n4 has joined, but not whole", "It cannot be reached", "1 added")
			}
			if code != 0 {
				t.Errorf("the apply failed:\n%s", out)
			}
			m.back("n4")
			m.Node("n4").SetDiskFull(false)
			if out := w.apply(); strings.Contains(out, "replaced") || strings.Contains(out, "tainted") {
				t.Errorf("something is replaced:\n%s", out)
			}
			w.settled()
			m.level()
		})
	}
}

// TestNobodyConfirms: the commit is sent and everybody goes down. What was being
// created is kept in the state, and the next apply goes on from what the nodes
// have: the change, or none of it.
func TestNobodyConfirms(t *testing.T) {
	t.Parallel()
	for _, fault := range []meshtest.Fault{meshtest.DownBefore, meshtest.DownAfter} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			m.ssh = `, timeout = "2s"`
			w := m.workspace()
			w.write(m.provider(cluster(), m.nodes(), service("web", "n1", "n2")))
			w.apply()
			for _, n := range m.All() {
				n.FaultAt(mesh.PathCommit, 1, fault)
			}
			w.write(m.all())
			says(t, w.apply(), "Warning: No node confirmed the published port demo/web/8080/tcp", "node n1: generation", "node n3: generation", "It is kept in the state as created: the next plan shows what came of it.")
			says(t, w.fails("plan"), "Error: Too few hosts answer")
			m.back("n1", "n2", "n3")
			w.apply()
			w.settled()
			m.level("8080/tcp")
		})
	}
}

// TestNodeDown: one warning in a walk, one sentence on the node, nothing on
// what is well without it; changes go on, and it catches up.
func TestNodeDown(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	w := m.workspace()
	w.write(m.all())
	w.apply()
	m.Node("n3").SetDown(true)
	generation := m.record().Generation
	w.apply("-refresh-only")
	const sentence = `- "node n3: cannot be reached over SSH; it serves what it last had."`
	for _, more := range []string{"", published("more", "web", 8081), published("more", "web", 8081) + published("third", "web", 8082)} {
		w.write(m.all(more))
		out, _ := w.plan()
		says(t, out, "1 to change", sentence)
		if n := strings.Count(out, "node n3: "); n != 1 {
			t.Errorf("%d sentences about n3, want one:\n%s", n, out)
		}
		out, code := w.run("apply", "-auto-approve", "-refresh=false") // so that only one of its walks asks
		if n := strings.Count(out, "Warning: "); code != 0 || n != 1 || strings.Contains(out, "more similar") {
			t.Errorf("exit code %d, %d warnings, want one:\n%s", code, n, out)
		}
	}
	if got := m.record().Generation - generation; got != 2 {
		t.Errorf("three applies, of which two changed something, made %d generations", got)
	}
	m.Node("n3").SetDown(false)
	out, _ := w.plan()
	says(t, out, fmt.Sprintf(`- "node n3: has an older configuration (generation %d, the cluster has %d); the next apply updates it."`, generation, generation+2), "0 to add, 1 to change")
	w.apply()
	w.settled()
	m.level("8080/tcp", "8081/tcp", "8082/tcp")
}

// TestKeeperDown: a host of the provider that is no node is the cluster's own.
func TestKeeperDown(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	w := m.workspace()
	w.write(m.provider(cluster(), m.node("n1"), `output "drift" { value = routingmesh_cluster.main.drift }`))
	w.apply()
	m.Node("n3").SetDown(true)
	generation := m.record().Generation
	out, _ := w.plan()
	host := m.Node("n3").Addr()
	sentence := "host " + host + ": cannot be reached over SSH; it keeps the record that it last had."
	says(t, out, "Warning: Host "+host+" cannot be read", `- "`+sentence+`"`, "0 to add, 1 to change")
	w.apply()
	if out, _ := w.run("output", "drift"); !strings.Contains(out, sentence) || m.record().Generation != generation {
		t.Errorf("generation %d, was %d; drift %s", m.record().Generation, generation, out)
	}
	m.Node("n3").SetDown(false)
	w.apply() // the output
	w.settled()
}

// TestOnUnreachableFail refuses what not every node can take, and reads on.
func TestOnUnreachableFail(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	config := func(parts ...string) string {
		return strings.Replace(m.all(parts...), "provider \"routingmesh\" {", "provider \"routingmesh\" {\n  on_unreachable = \"fail\"", 1)
	}
	w := m.workspace()
	w.write(config())
	w.apply()
	m.Node("n3").SetDown(true)
	before := m.record().Hash()
	w.write(config(published("more", "web", 8081)))
	says(t, w.fails("apply", "-auto-approve"), `on_unreachable is "fail", and these cannot take the change now`, "node n3")
	if m.Node("n1").Record().Hash() != before {
		t.Error("something was changed")
	}
	w.write(config())
	out, _ := w.plan()
	says(t, out, "1 to change", "Warning: Node n3 cannot be read")
	w.fails("apply", "-auto-approve") // its drift cannot be repaired now
	m.Node("n3").SetDown(false)
	w.settled()
}

// TestTwoStates: one cluster, and two states that each have a part of it, applied
// at the same time, again and again. Each sees only its own, and nothing is lost.
func TestTwoStates(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	infra := m.workspace()
	infra.write(m.provider(cluster(), m.nodes(), service("web", "n1", "n2")))
	infra.apply()
	own := func(name string, first, count, target int) string {
		return m.provider(block("routingmesh_service", "own", []string{`cluster_id = "demo"`, fmt.Sprintf("name = %q", name), `endpoints = { a = { node = "n1" } }`}),
			published("many", "own", 0, fmt.Sprintf("count = %d", count), fmt.Sprintf("published_port = %d + count.index", first), fmt.Sprintf("target_port = %d", target)))
	}
	states := map[string]*workspace{"one": m.workspace(), "two": m.workspace()}
	first := map[string]int{"one": 9000, "two": 9100}
	for _, step := range []struct{ count, target int }{{8, 80}, {8, 81}, {3, 81}, {0, 81}} {
		var all sync.WaitGroup
		for name, w := range states {
			w.write(own(name, first[name], step.count, step.target))
			all.Go(func() { w.apply() })
		}
		all.Wait()
		for name, w := range states {
			w.settled()
			ports := m.record().ServicePorts(name)
			if len(ports) != step.count {
				t.Errorf("%s has %d ports, want %d", name, len(ports), step.count)
			}
			for _, p := range ports {
				if int(p.Target) != step.target {
					t.Errorf("%s of %s leads to %d, want %d", p.Key(), name, p.Target, step.target)
				}
			}
		}
		infra.settled()
	}
	m.level()
	// What the other has is refused, by name, and stays.
	states["one"].write(own("two", 9100, 1, 80))
	says(t, states["one"].fails("apply", "-auto-approve"), "There already is a service demo/two, made by another resource or by another Terraform state")
	states["two"].settled()
}

// TestUncertainRemoval: one voter has a record without the port, one has the record before
// it, and the third is down. Terraform does not forget the port, which the third brings
// back.
func TestUncertainRemoval(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	w := m.workspace()
	w.write(m.all())
	w.apply()
	next := m.Node("n1").Record().Next()
	next.RemovePort(mesh.PortKey{Port: 8080, Protocol: mesh.TCP})
	m.Node("n1").SetRecord(next, "n1")
	m.Node("n3").SetDown(true)
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1", "n2")))
	out, _ := w.plan()
	says(t, out, "will be destroyed", "Warning: It is not certain what is gone", "does not have published port 8080/tcp", "An apply settles it")
	m.back("n3")
	w.apply()
	w.settled()
	m.level()
}
