package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

var web8080 = mesh.PortKey{Port: 8080, Protocol: mesh.TCP}

func TestAddErrorSaysWhatWhereAndWhatToDo(t *testing.T) {
	onPort := mesh.Problem{Object: mesh.PortRef(web8080), Attribute: "published_port", Text: "nginx (pid 77) listens on 8080/tcp"}
	for name, tc := range map[string]struct {
		err       error
		summary   string
		attribute string
		detail    []string
	}{
		"rule": {
			&mesh.Error{Object: mesh.PortRef(web8080), Attribute: "published_port", Detail: "Port 8080/tcp is already published by service \"api\"."},
			"Published port not available", "published_port", []string{`service "api"`, "while creating the published port demo/web/8080/tcp"},
		},
		"rule about something else": {
			&mesh.Error{Object: mesh.NodeRef("n1"), Attribute: "published_port", Detail: "x"}, "Invalid published port of the node", "", nil,
		},
		"ssh port published": {
			&mesh.Error{Object: mesh.NodeRef("n1"), Attribute: "ssh", Summary: "SSH port is published", Detail: "x"}, "SSH port is published", "", nil,
		},
		"another mistake in ssh": {&mesh.Error{Object: mesh.NodeRef("n1"), Attribute: "ssh", Detail: "host_key: x"}, "Invalid ssh of the node", "", nil},
		"no cluster":             {&mesh.Error{Object: mesh.ClusterRef, Attribute: "cluster_id", Summary: "No cluster", Detail: "x"}, "No cluster", "", nil},
		"host listed twice":      {&meshclient.TwinHostsError{First: "a", Second: "b", Node: "n2"}, "One host is listed twice", "", []string{"hosts: a and b are the same host n2.", "list it once"}},
		"refused": {
			&meshclient.ProblemsError{Problems: []meshclient.NodeProblem{{Node: "n2", Problem: onPort}}},
			"Node n2 refused the change", "published_port", []string{"nginx (pid 77) listens on 8080/tcp.", "Nothing was changed"},
		},
		"not taken": {
			&meshclient.ProblemsError{Committed: true, Problems: []meshclient.NodeProblem{{Node: "n2", Problem: onPort}}},
			"Node n2 did not take the change", "published_port", []string{"in the cluster's record", "drift"},
		},
		"not confirmed": {
			&meshclient.ProblemsError{Committed: true, Unknown: true, Problems: []meshclient.NodeProblem{{Node: "n2", Problem: onPort}}},
			"No node confirmed the change", "", []string{"node n2: nginx (pid 77)"},
		},
		"cannot leave": {
			&meshclient.LeaveError{Node: "n2", Err: &sshdial.UnreachableError{Address: "n2:22", Err: errors.New("no route")}},
			"Node n2 cannot be removed", "", []string{"no route", "force_remove = true"},
		},
		"login": {
			fmt.Errorf("asking: %w", &sshdial.AuthError{User: "root", Address: "n2:22", Tried: []string{"publickey SHA256:abc"}, Offered: []string{"password"}}),
			"Cannot log in to n2:22", "", []string{"SHA256:abc", "offers: password"},
		},
		"host key":    {&sshdial.HostKeyError{Address: "n2:22", Fingerprint: "SHA256:new"}, "Host key of n2:22 refused", "", []string{"SHA256:new"}},
		"unreachable": {&sshdial.UnreachableError{Address: "n2:22", Err: errors.New("no route")}, "Cannot reach n2:22", "", []string{"no route", "kept"}},
		"no agent":    {&agentapi.NoAgentError{Address: "n2:22"}, "No agent on n2:22", "", []string{"-replace"}},
		"agent down":  {&agentapi.AgentDownError{Address: "n2:22"}, "Agent does not run on n2:22", "", []string{"journalctl"}},
		"sudo":        {&sshdial.SudoError{Address: "n2:22", User: "ops"}, "Cannot become root on n2:22", "", []string{"sudo"}},
		"no commands": {&sshdial.LoginError{Address: "n2:22", User: "root", Said: `Please login as the user "ubuntu"`}, "Cannot run commands on n2:22", "", []string{"ubuntu", "ssh.user"}},
		"no session":  {&sshdial.SessionsError{Address: "n2:22"}, "No session on n2:22", "", []string{"MaxSessions"}},
		"version":     {&agentapi.VersionError{Address: "n2:22"}, "Agent of another version on n2:22", "", nil},
		"foreign":     {&meshclient.ForeignError{Host: "n2", Cluster: "other"}, "Host belongs to another cluster", "", []string{"other"}},
		"busy":        {&meshclient.BusyError{Waited: time.Second, Text: "held by x"}, "Another change is under way", "", []string{"held by x"}},
		"hosts": {
			&meshclient.HostsError{Detail: "No majority:", Hosts: []meshclient.HostFailure{{Host: "a", Err: errors.New("x")}, {Host: "b", Err: errors.New("y")}}},
			"Too few hosts answer", "", []string{"No majority", "a: x", "b: y"},
		},
		"one host": {
			&meshclient.HostsError{Hosts: []meshclient.HostFailure{{Host: "n2", Err: &sshdial.AuthError{Address: "n2:22"}}}}, "Cannot log in to n2:22", "", nil,
		},
		"other cluster": {&otherClusterError{want: "demo", have: "prod"}, "Hosts of another cluster", "", []string{`"prod"`, `"demo"`, "alias"}},
		"no hosts":      {errNoHosts, "Hosts not known yet", "", nil},
		"timeout":       {context.DeadlineExceeded, "Timed out", "", []string{"timeouts"}},
		"cancelled":     {context.Canceled, "Interrupted", "", []string{"next plan"}},
		"anything":      {errors.New("boom"), "Unexpected error", "", []string{"boom."}},
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			addError(&diags, portSubject("creating", "demo/web", web8080), tc.err)
			if len(diags) != 1 || diags[0].Summary() != tc.summary {
				t.Fatalf("got %v, want one diagnostic %q", diags, tc.summary)
			}
			for _, part := range tc.detail {
				if !strings.Contains(diags[0].Detail(), part) {
					t.Errorf("detail %q lacks %q", diags[0].Detail(), part)
				}
			}
			at, ok := diags[0].(diag.DiagnosticWithPath)
			if ok != (tc.attribute != "") || ok && !at.Path().Equal(path.Root(tc.attribute)) {
				t.Errorf("points at %v, want %q", diags[0], tc.attribute)
			}
		})
	}
}

// TestWarnedOnce: of a node that every commit goes without there is one warning
// in a walk, whatever it is called by; other things are said as often as they
// differ.
func TestWarnedOnce(t *testing.T) {
	b := base{data: &providerData{said: map[string]bool{}}}
	var diags diag.Diagnostics
	b.data.warnSilent(&diags, "n1", &sshdial.HostKeyError{Address: "n1:22"})
	for range 2 {
		b.addWarnings(&diags, &meshclient.Result{Warnings: []meshclient.Notice{
			{Code: mesh.ProblemUnreachable, About: mesh.NodeRef("n1"), Text: "node n1 cannot be reached (n1:22: no route); it keeps serving generation 4 and catches up with the next apply."},
			{Code: mesh.ProblemUnreachable, About: mesh.NodeRef("n2"), Text: "node n2 cannot be reached (n2:22: EOF); it keeps serving generation 4 and catches up with the next apply."},
			{Code: mesh.ProblemLagging, About: mesh.NodeRef("n2"), Text: "node n2 did not take generation 5 (n2:22: closed); it keeps serving generation 4 and catches up with the next apply."},
			{Code: mesh.ProblemSilent, About: mesh.NodeRef("n3"), Text: "Node n3 does not reach n1 over the overlay."},
		}})
	}
	b.data.warnSilent(&diags, "n2", &sshdial.UnreachableError{Address: "n2:22"})
	b.data.warnSilent(&diags, "n4", &agentapi.NoAgentError{Address: "n4:22"}) // an apply repairs that
	var got []string
	for _, d := range diags {
		got = append(got, d.Detail()[:7])
	}
	if want := "n1:22 i node n2 Node n3"; strings.Join(got, " ") != want {
		t.Errorf("got warnings %q, want %q", strings.Join(got, " "), want)
	}
}

func TestEveryProblemIsShown(t *testing.T) {
	var diags diag.Diagnostics
	addError(&diags, nodeSubject("creating", "demo/n1"), &meshclient.ProblemsError{Problems: []meshclient.NodeProblem{
		{Node: "n1", Problem: mesh.Problem{Object: mesh.NodeRef("n1"), Text: "module ip_vs is missing"}},
		{Node: "n2", Problem: mesh.Problem{Object: mesh.ClusterRef, Attribute: "address_pool", Text: "overlaps eth1"}},
	}})
	if diags.ErrorsCount() != 2 {
		t.Fatalf("got %v, want both problems", diags)
	}
	if _, ok := diags[1].(diag.DiagnosticWithPath); ok {
		t.Error("a problem of the cluster points at an attribute of the node")
	}
}

func TestConfigErrorsPointAtTheProviderBlock(t *testing.T) {
	for attribute, want := range map[string]path.Path{
		"hosts":               path.Root("hosts"),
		"private_key":         path.Root("ssh").AtName("private_key"),
		"bastion.private_key": path.Root("ssh").AtName("bastion_private_key"),
	} {
		var diags diag.Diagnostics
		addConfigError(&diags, &sshdial.ConfigError{Attribute: attribute, Detail: "no PEM"})
		at, ok := diags[0].(diag.DiagnosticWithPath)
		if !ok || !at.Path().Equal(want) {
			t.Errorf("%s: %v", attribute, diags)
		}
	}
}
