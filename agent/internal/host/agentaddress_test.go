package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestPreflightOfTheAgentsOwnAddresses: nginx listens on 192.168.200.10:8080, see
// fakeProc, and somebody on 127.0.0.1:631.
func TestPreflightOfTheAgentsOwnAddresses(t *testing.T) {
	const nginx = "The cluster's health_address is 0.0.0.0:8080 on this node, and nginx (pid 812, nginx: master process /usr/sbin/nginx) " +
		"already listens on 192.168.200.10:8080. Stop it or move it to another port, or choose another health_address."
	tests := []struct {
		name                   string
		before, health, metric string
		joins                  bool
		exe                    string // of nginx's process
		want                   string
	}{
		{name: "free", health: "0.0.0.0:8090", metric: ":8091"},
		{name: "taken", health: "0.0.0.0:8080", want: nginx},
		{name: "taken where a node joins", before: "0.0.0.0:8080", health: "0.0.0.0:8080", joins: true, want: nginx},
		{name: "on another address", health: "127.0.0.1:8080", metric: ":631"},
		{name: "on the same address", metric: "127.0.0.1:631", want: "metrics_address is 127.0.0.1:631 on this node, and the kernel itself"},
		{name: "as it was", before: "0.0.0.0:8080", health: "0.0.0.0:8080"},
		{name: "udp is none of its business", health: "0.0.0.0:53"},
		{name: "the agent itself moves", before: "192.168.200.10:8080", health: "0.0.0.0:8080", exe: "/usr/local/lib/routingmesh/0123456789ab/routingmesh-agent (deleted)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &Host{Proc: fakeProc(t)}
			if tt.exe != "" {
				for _, pid := range []string{"812", "813"} {
					put(t, os.Symlink(tt.exe, filepath.Join(h.Proc, pid, "exe")))
				}
			}
			current, next := cluster(t), cluster(t)
			current.Cluster.HealthAddress = tt.before
			next.Cluster.HealthAddress, next.Cluster.MetricsAddress = tt.health, tt.metric
			if tt.joins {
				delete(current.Nodes, "n1")
			}
			problems := h.Preflight(t.Context(), current, next, "n1")
			if tt.want == "" && len(problems) != 0 || tt.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, tt.want)) {
				t.Fatalf("problems %+v, want %q", problems, tt.want)
			}
			for _, p := range problems {
				if p.Object != mesh.ClusterRef || !strings.Contains(p.Text, p.Attribute) || !strings.HasSuffix(p.Attribute, "_address") {
					t.Errorf("problem %+v", p)
				}
			}
		})
	}
}

// TestAPortThatTheAgentLeavesMayBePublished: its health address moves away in the
// same commit.
func TestAPortThatTheAgentLeavesMayBePublished(t *testing.T) {
	h := &Host{Proc: fakeProc(t)}
	next := withPorts(t, "n2", []mesh.PublishedPort{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}})
	if problems := h.Preflight(t.Context(), cluster(t), next, "n1"); len(problems) != 1 {
		t.Fatalf("problems %+v", problems)
	}
	for _, pid := range []string{"812", "813"} {
		put(t, os.Symlink("/usr/local/lib/routingmesh/0123456789ab/routingmesh-agent", filepath.Join(h.Proc, pid, "exe")))
	}
	if problems := h.Preflight(t.Context(), cluster(t), next, "n1"); len(problems) != 0 {
		t.Errorf("problems %+v", problems)
	}
}

func TestExamineLooksAtTheAgentsAddresses(t *testing.T) {
	rec := cluster(t)
	rec.Cluster.HealthAddress = "0.0.0.0:8080"
	findings := (&Host{Proc: fakeProc(t)}).Examine(t.Context(), rec, "n1")
	if last := findings[len(findings)-1]; last.Check != "own addresses" || len(last.Problems) != 1 {
		t.Error(fmt.Sprint(findings))
	}
}
