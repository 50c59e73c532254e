package provider

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// outcome is what an action has said.
type outcome struct {
	progress []string
	diags    []string // "ERROR summary: detail"
}

func (o *outcome) failed() bool {
	return slices.ContainsFunc(o.diags, func(d string) bool { return strings.HasPrefix(d, "ERROR") })
}

func (o *outcome) String() string {
	return fmt.Sprintf("progress %q, diagnostics %q", o.progress, o.diags)
}

// says fails the test where what was said lacks a part.
func (o *outcome) says(t *testing.T, parts ...string) {
	t.Helper()
	says(t, strings.Join(append(slices.Clone(o.progress), o.diags...), "\n"), parts...)
}

// invoke validates, plans and invokes an action as Terraform does. seen gets every message when it is sent; it may be nil.
func (r *rpc) invoke(kind string, config map[string]tftypes.Value, seen func(message string)) *outcome {
	r.t.Helper()
	actions, ok := r.server.(tfprotov6.ActionServer)
	s := r.schemas().ActionSchemas[kind]
	if !ok || s == nil {
		r.t.Fatalf("the provider has no action %s", kind)
	}
	typ := object(r.t, s.Schema.ValueType())
	d := r.dynamic(typ, tftypes.NewValue(typ, nil)) // as of an action without a config block
	if config != nil {
		d = r.dynamic(typ, fill(typ, config))
	}
	valid, err := actions.ValidateActionConfig(r.t.Context(), &tfprotov6.ValidateActionConfigRequest{ActionType: kind, Config: d})
	r.ok(err, valid.Diagnostics)
	planned, err := actions.PlanAction(r.t.Context(), &tfprotov6.PlanActionRequest{ActionType: kind, Config: d})
	r.ok(err, planned.Diagnostics)
	stream, err := actions.InvokeAction(r.t.Context(), &tfprotov6.InvokeActionRequest{ActionType: kind, Config: d})
	r.ok(err, nil)
	o := &outcome{}
	for event := range stream.Events {
		switch e := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			o.progress = append(o.progress, e.Message)
			if seen != nil {
				seen(e.Message)
			}
		case tfprotov6.CompletedInvokeActionEventType:
			for _, d := range e.Diagnostics {
				o.diags = append(o.diags, d.Severity.String()+" "+d.Summary+": "+d.Detail)
			}
		}
	}
	return o
}

var missingRoute = mesh.Problem{Object: mesh.ServiceRef("web"), Text: "A route is missing."}

func TestCheck_Broken(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	r := m.rpc()
	const check = "routingmesh_check"
	if o := r.invoke(check, nil, nil); len(o.diags) > 0 {
		t.Errorf("a mesh that is well: %s", o)
	} else {
		o.says(t, "The cluster demo is well (nodes: 3, generation")
	}

	// What is asked again: the snapshot of this walk says that all is well.
	m.Node("n2").Break(missingRoute, missingRoute)
	m.Node("n3").SetWarnings(mesh.Warning{Code: mesh.WarnFirewall, Text: "The firewall drops VXLAN."})
	m.Node("n1").SetUnhealthy(mesh.EndpointHealth{Service: "web", Endpoint: "n2", Health: mesh.Unhealthy, Reason: "connection refused"})
	o := r.invoke(check, map[string]tftypes.Value{"cluster_id": str("demo")}, nil)
	want := []string{
		"ERROR Drift in the cluster demo: node n2: A route is missing.",
		"ERROR Traffic does not flow in the cluster demo: node n3: The firewall drops VXLAN.",
		"ERROR Endpoints fail their health checks in the cluster demo: endpoint n2 of service web fails the checks of n1 (connection refused); it works from n2 and n3.",
	}
	if !slices.EqualFunc(o.diags, want, strings.HasPrefix) {
		t.Errorf("%s, want %q", o, want)
	}
	if strings.Count(o.diags[0], "A route is missing.") != 1 {
		t.Errorf("said twice: %s", o)
	}
	if o = r.invoke(check, map[string]tftypes.Value{"endpoints": tftypes.NewValue(tftypes.Bool, false)}, nil); len(o.diags) != 2 {
		t.Errorf("without endpoints: %s", o)
	}

	m.Node("n3").SetDown(true)
	m.rpc().invoke(check, nil, nil).says(t, "ERROR Drift in the cluster demo", "node n3: cannot be reached over SSH")
	r.invoke(check, map[string]tftypes.Value{"cluster_id": str("prod")}, nil).says(t, `ERROR Hosts of another cluster: The provider's hosts hold the cluster "demo", not "prod"`)
	newMesh(t).rpc().invoke(check, nil, nil).says(t, "ERROR No cluster there")
}

// TestCheck_ThousandPorts: what is said stays readable.
func TestCheck_ThousandPorts(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	var problems []mesh.Problem
	for i := range 1000 {
		problems = append(problems, mesh.Problem{Object: mesh.ServiceRef("web"), Text: fmt.Sprintf("The route of port %d is missing.", i)})
	}
	m.Node("n2").Break(problems...)
	o := m.rpc().invoke("routingmesh_check", nil, nil)
	if len(o.diags) != 1 || strings.Count(o.diags[0], "\n") != maxBroken-1 {
		t.Errorf("%s", o)
	}
	o.says(t, "… and 981 more: the data source routingmesh_cluster has all of them.")
}

func TestRepair_Cluster(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	generation := m.record().Generation
	m.Node("n1").Break(missingRoute)
	m.Node("n2").Break(missingRoute, mesh.Problem{Object: mesh.NodeRef("n3"), Text: "A neighbour is missing."})
	m.ResetRequests()
	r := m.rpc()
	o := r.invoke("routingmesh_repair", nil, nil)
	if len(o.diags) > 0 {
		t.Errorf("%s", o)
	}
	o.says(t, "Repairing node n3, service web.", "Repaired node n3, service web.")
	if n := m.TotalRequests(mesh.PathPrepare); n != 0 || m.record().Generation != generation {
		t.Errorf("%d prepares: the record was to stay as it is", n)
	}
	if asked := m.TotalRequests(mesh.PathRepair); asked < 2 || asked > 3 {
		t.Errorf("%d repairs were asked for, want one of n1 and at most two of n2", asked)
	}
	if o = r.invoke("routingmesh_repair", nil, nil); len(o.diags) > 0 || o.progress[0] != fmt.Sprintf("Nothing to repair at generation %d.", generation) {
		t.Errorf("%s", o)
	}
}

// TestRepair_Node: what another node lacks of something else stays.
func TestRepair_Node(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n1").Break(mesh.Problem{Object: mesh.ServiceRef("api"), Text: "A rule is missing."})
	m.Node("n2").SetInstalled(false)
	node := map[string]tftypes.Value{"node": str("n2")}
	o := m.rpc().invoke("routingmesh_repair", node, nil)
	if len(o.diags) > 0 || !m.Node("n2").Installed() {
		t.Errorf("the agent of n2 was not installed: %s", o)
	}
	o.says(t, "Repaired node n2.")
	if m.TotalRequests(mesh.PathRepair) != 0 {
		t.Error("n1 was asked to repair something")
	}
	m.Node("n2").Break(missingRoute)
	m.rpc().invoke("routingmesh_repair", node, nil).says(t, "Repaired service web.")
	o = m.rpc().invoke("routingmesh_repair", map[string]tftypes.Value{"node": str("n9")}, nil)
	o.says(t, "ERROR No such node: The cluster demo has no node n9. It has n1, n2, n3.")
}

func TestRepair_InVain(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	stuck := mesh.Problem{Object: mesh.ServiceRef("web"), Text: "The kernel refused the route."}
	m.Node("n1").SetProblems(nil, func(*mesh.Record) []mesh.Problem { return []mesh.Problem{stuck} })
	o := m.rpc().invoke("routingmesh_repair", nil, nil)
	if !o.failed() {
		t.Errorf("%s", o)
	}
	o.says(t, "ERROR Node n1 could not be repaired: The kernel refused the route.")
	m.Node("n1").SetProblems(nil, nil)

	// A node that is down is a warning, but an error where it is what was asked for.
	m.Node("n3").SetDown(true)
	m.Node("n2").Break(missingRoute)
	if o = m.rpc().invoke("routingmesh_repair", nil, nil); o.failed() {
		t.Errorf("%s", o)
	}
	o.says(t, "WARNING Node n3 cannot be read", "Repaired")
	if o = m.rpc().invoke("routingmesh_repair", map[string]tftypes.Value{"node": str("n3")}, nil); !o.failed() {
		t.Errorf("%s", o)
	}
	o.says(t, "ERROR Cannot reach 127.0.0.1")
}

// drains has n connections to n2's endpoint of web, which may last a minute.
func (m *testMesh) drains(n uint32) mesh.Drains {
	return mesh.Drains{Drains: []mesh.Drain{meshtest.DrainOf(m.Node("n1").Record(), web8080, "n2", n, 60_000)}}
}

func TestDrain_Progress(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n1").SetDrains(m.drains(3), 0)
	o := m.rpc().invoke("routingmesh_drain", map[string]tftypes.Value{"node": str("n2")}, func(message string) {
		if strings.HasPrefix(message, "Node n2 drains.") { // then they end
			m.Node("n1").SetDrains(mesh.Drains{}, 0)
		}
	})
	if len(o.diags) > 0 || m.record().Nodes["n2"].Serving() {
		t.Errorf("%s", o)
	}
	o.says(t, "Node n2 drains. Connections to its endpoints: 3.", "Node n2 is drained: no connection leads to its endpoints.")

	// It drains already.
	generation := m.record().Generation
	o = m.rpc().invoke("routingmesh_drain", map[string]tftypes.Value{"node": str("n2"), "cluster_id": str("demo")}, nil)
	if len(o.diags) > 0 || m.record().Generation != generation {
		t.Errorf("%s", o)
	}
}

func TestDrain_Timeout(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n1").SetDrains(m.drains(2), 0)
	o := m.rpc().invoke("routingmesh_drain", map[string]tftypes.Value{"node": str("n2"), "timeout": str("2s")}, nil)
	if !o.failed() {
		t.Errorf("%s", o)
	}
	o.says(t, "ERROR Node n2 still has connections", "2 connections of endpoint n2 of service web (node n2): still open, and given until", "Do not stop the process before.")
	o = m.rpc().invoke("routingmesh_drain", map[string]tftypes.Value{"node": str("n9")}, nil)
	o.says(t, "ERROR No such node: The cluster demo has no node n9.")
}

// TestDrain_NodeDown: the others stop sending to a node that does not answer.
func TestDrain_NodeDown(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n3").SetDown(true)
	o := m.rpc().invoke("routingmesh_drain", map[string]tftypes.Value{"node": str("n3")}, nil)
	if o.failed() || m.record().Nodes["n3"].Serving() {
		t.Errorf("%s", o)
	}
	o.says(t, "WARNING Applied; node n3 is behind", "Node n3 is drained")
}
