package provider

import (
	"os"
	"path/filepath"
	"testing"
)

// file puts another file into the workspace.
func (w *workspace) file(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// allLists lists all that a cluster has.
const allLists = `
list "routingmesh_cluster" "all" {
  provider = routingmesh
}
list "routingmesh_node" "all" {
  provider = routingmesh
}
list "routingmesh_service" "all" {
  provider = routingmesh
}
list "routingmesh_published_port" "all" {
  provider = routingmesh
  limit    = 1000
}
`

// TestQuery_AdoptsCluster: what terraform query generates for a cluster that another state
// has made is applied, imports everything and changes nothing.
func TestQuery_AdoptsCluster(t *testing.T) {
	t.Parallel()
	needs(t, "1.14", never)
	m := listMesh(t)
	generation := m.record().Generation
	w := m.workspace()
	w.write(m.provider())
	w.file("mesh.tfquery.hcl", allLists)
	out, code := w.run("query", "-generate-config-out=adopted.tf")
	if code != 0 {
		t.Fatal(out)
	}
	says(t, out, "list.routingmesh_cluster.all name=demo demo", "list.routingmesh_node.all cluster=demo,name=n3 demo/n3",
		"list.routingmesh_published_port.all cluster=demo,protocol=tcp,published_port=8081,service=web demo/web/8081/tcp")
	says(t, w.apply(), "Apply complete! Resources: 9 imported, 0 added, 0 changed, 0 destroyed.")
	w.settled()
	if m.record().Generation != generation {
		t.Error("adopting has changed the cluster")
	}
}

// TestActions_CLI: what people see of actions, run by themselves and triggered by a change.
func TestActions_CLI(t *testing.T) {
	t.Parallel()
	needs(t, "1.14", never)
	m := listMesh(t)
	w := m.workspace()
	w.write(m.provider(`
action "routingmesh_check" "all" {}

action "routingmesh_drain" "n2" {
  config {
    node = "n2"
  }
}

action "routingmesh_repair" "all" {
  config {
    cluster_id = "demo"
    timeout    = "2m"
  }
}

resource "terraform_data" "before" {
  lifecycle {
    action_trigger {
      events  = [before_create]
      actions = [action.routingmesh_check.all]
    }
  }
}
`))
	m.Node("n2").Break(missingRoute)
	says(t, w.fails("apply", "-auto-approve"), "Drift in the cluster demo", "node n2: A route is missing.")
	says(t, w.apply("-invoke=action.routingmesh_repair.all"), "Action started: action.routingmesh_repair.all", "Repaired service web.", "Action complete: action.routingmesh_repair.all")
	says(t, w.apply(), "The cluster demo is well (nodes: 3, generation", "1 added, 0 changed, 0 destroyed. Actions: 1 invoked.")
	says(t, w.apply("-invoke=action.routingmesh_drain.n2"), "Node n2 is drained: no connection leads to its endpoints.")
	if m.record().Nodes["n2"].Serving() {
		t.Error("n2 is not drained")
	}
}
