package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// TestForceRemoveChangesNothing on any host: it is set in place, and without a
// commit.
func TestForceRemoveChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.test(
		resource.TestStep{
			Config:            m.provider(cluster(), m.node("n1")),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "force_remove", false), is(node1, "force_remove", false)},
		},
		resource.TestStep{
			PreConfig:         m.ResetRequests,
			Config:            m.provider(cluster("force_remove = true"), m.node("n1", "force_remove = true")),
			ConfigPlanChecks:  actions(theCluster, update, node1, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "force_remove", true), is(node1, "force_remove", true)},
		},
		resource.TestStep{
			PreConfig: func() {
				if n := m.TotalRequests(mesh.PathCommit); n != 0 {
					t.Errorf("%d commits", n)
				}
			},
			Config: m.provider(cluster("force_remove = true"), m.node("n1", "force_remove = true")), ConfigPlanChecks: actions(node1, noop),
		},
	)
}

// TestNodeGone: its destroy says what to do, and that works, whatever
// on_unreachable is.
func TestNodeGone(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"warn", "fail"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, "n1", "n2", "n3", "n4")
			m.ssh = `, timeout = "2s"`
			config := func(n4 string) string {
				parts := m.provider(cluster(), m.node("n1"), m.node("n2"), m.node("n3"), n4, service("web", "n1"), published("http", "web", 8080))
				return strings.Replace(parts, "provider \"routingmesh\" {", fmt.Sprintf("provider \"routingmesh\" {\n  on_unreachable = %q", policy), 1)
			}
			w := m.workspace()
			w.write(config(m.node("n4")))
			w.apply()
			m.Node("n4").SetDown(true)
			generation := m.record().Generation

			w.write(config(""))
			says(t, w.fails("apply", "-auto-approve"), "Error: Node n4 cannot be removed", "set force_remove = true on the node, apply that, and remove it again",
				"This happened while destroying the node demo/n4.")
			w.write(config(m.node("n4", "force_remove = true")))
			says(t, w.apply(), "~ force_remove   = false -> true", "0 added, 1 changed, 0 destroyed")
			if m.record().Generation != generation {
				t.Error("force_remove made a commit")
			}
			w.write(config(""))
			says(t, w.apply(), "0 added, 0 changed, 1 destroyed", "Warning: Applied; something needs attention",
				"Node n4 was taken out of the cluster, and its host at", "run `routingmesh-agent uninstall` on it")
			if m.record().Nodes["n4"] != nil {
				t.Error("n4 is in the record")
			}
			w.settled()
		})
	}
}

// TestHostRebuilt: set up from scratch, under the same name and address, with
// another host key. Reading refuses it and says so; replacing the node with
// force_remove takes it in again, be it one of the provider's hosts or not.
func TestHostRebuilt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"n3", "n4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, "n1", "n2", "n3", "n4")
			w := m.workspace()
			config := func(attributes ...string) string {
				parts := []string{cluster(), service("web", "n1", name), published("http", "web", 8080), m.node(name, attributes...)}
				for _, n := range m.All() {
					if n.Name != name {
						parts = append(parts, m.node(n.Name))
					}
				}
				return m.provider(parts...)
			}
			w.write(config())
			w.apply()
			m.Node(name).Rebuild()
			out, _ := w.plan()
			says(t, out, fmt.Sprintf(`- "node %s: shows another SSH host key than the known one; it serves what it last had."`, name), "1 to change",
				"Warning: Node "+name+" cannot be read", "shows another host key than the known one")

			w.apply()
			if m.Node(name).Installed() {
				t.Error("an apply took the host in, whose key is not the known one")
			}
			w.write(config("force_remove = true"))
			says(t, w.apply(), "0 added, 1 changed, 0 destroyed")
			out = w.apply("-replace=routingmesh_node." + name)
			says(t, out, "1 added,", "1 destroyed")
			w.settled()
			if n := m.Node(name); !n.Installed() || n.Record().Hash() != m.Node("n1").Record().Hash() || m.record().Nodes[name].SSH.HostKey != n.HostKey {
				t.Errorf("%s is not what it was", name)
			}
			w.write(config())
			w.apply()
			w.settled()
		})
	}
}

// TestHostRebuiltWithKnownHosts: the same, where the user keeps known_hosts and
// has put the new keys there, of both types: what the state of the cluster still
// has of the old one must not win over the record.
func TestHostRebuiltWithKnownHosts(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	trust := func(more ...string) {
		var lines strings.Builder
		for _, name := range []string{"n1", "n2", "n3"} {
			n := m.Node(name)
			fmt.Fprintf(&lines, "[127.0.0.1]:%d %s\n", n.Port(), n.HostKey)
		}
		for _, key := range more {
			fmt.Fprintf(&lines, "[127.0.0.1]:%d %s\n", m.Node("n3").Port(), key)
		}
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust()
	m.ssh = fmt.Sprintf(`, known_hosts = [%q], host_key_policy = "strict"`, file)
	w := m.workspace()
	config := func(attributes ...string) string {
		return m.provider(cluster(), m.node("n1"), m.node("n2"), m.node("n3", attributes...), service("web", "n1", "n3"), published("http", "web", 8080))
	}
	w.write(config())
	w.apply()
	n3 := m.Node("n3")
	n3.Rebuild()
	_, second := meshtest.NewKey(t)
	n3.SetHostKeys(second)
	known := n3.HostKey
	n3.SetHostKeys(meshtest.NewECDSAKey(t), second)
	trust(known)
	w.write(config("force_remove = true"))
	says(t, w.apply(), "0 added, 1 changed")
	says(t, w.apply("-replace=routingmesh_node.n3"), "1 added,", "1 destroyed")
	if got := m.record().Nodes["n3"].SSH.HostKey; got != n3.HostKey {
		t.Errorf("the record has the host key %q, want %q", got, n3.HostKey)
	}
	w.settled()
}

// TestClusterGone: hosts that are gone do not keep the cluster from being
// destroyed with force_remove.
func TestClusterGone(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	w := m.workspace()
	w.write(m.provider(cluster()))
	w.apply()
	m.Node("n3").SetDown(true)
	says(t, w.fails("apply", "-auto-approve", "-destroy"), "set force_remove = true on the cluster, apply that, and destroy it again", "while destroying the cluster demo")
	w.write(m.provider(cluster("force_remove = true")))
	says(t, w.apply(), "0 added, 1 changed, 0 destroyed")
	says(t, w.apply("-destroy"), "1 destroyed", "was not cleaned", "routingmesh-agent uninstall")
	for _, n := range m.All() {
		if n.Installed() != (n.Name == "n3") {
			t.Errorf("%s: the agent is installed: %v", n.Name, n.Installed())
		}
	}
}
