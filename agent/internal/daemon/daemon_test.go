package daemon

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func newDaemon(t *testing.T) *Daemon {
	t.Helper()
	return &Daemon{Layout: layout.Layout{Root: t.TempDir()}, Version: "dev", Log: slog.New(slog.DiscardHandler)}
}

func TestASecondAgentIsKeptOut(t *testing.T) {
	d := newDaemon(t)
	agenttest.Must(t, os.MkdirAll(d.RunDir(), 0o700))
	release, err := d.HoldAgent()
	agenttest.Must(t, err)
	if _, err := d.HoldAgent(); err == nil || !strings.Contains(err.Error(), "another routingmesh-agent") {
		t.Errorf("a second one got: %v", err)
	}
	release()
	release, err = d.HoldAgent()
	agenttest.Must(t, err)
	release()
}

func TestSystemdIsToldOnlyIfItAsks(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	agenttest.Must(t, notifySystemd(t.Context(), "READY=1"))
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	agenttest.Must(t, err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	agenttest.Must(t, notifySystemd(t.Context(), "READY=1"))
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("systemd heard %q, %v", buf[:n], err)
	}
}

func TestASocketWithoutAListenerIsAnAgentThatDoesNotRun(t *testing.T) {
	d := newDaemon(t)
	agenttest.Must(t, os.MkdirAll(d.RunDir(), 0o700))
	l, err := d.listen(t.Context())
	agenttest.Must(t, err)
	crashed, ok := l.(*net.UnixListener)
	if !ok {
		t.Fatalf("listening on %T", l)
	}
	crashed.SetUnlinkOnClose(false)
	crashed.Close()
	var absent *client.NotRunningError
	if _, err := client.New(d.Socket()).Status(t.Context()); !errors.As(err, &absent) {
		t.Error(err)
	}
	l, err = d.listen(t.Context()) // and a new agent takes its place
	agenttest.Must(t, err)
	defer l.Close()
	if info, err := os.Stat(d.Socket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
}

// TestWhatRunsIsWiredTogether: verdicts and drains are kept where the next agent
// finds them, and the socket has the metrics.
func TestWhatRunsIsWiredTogether(t *testing.T) {
	d := newDaemon(t)
	agenttest.Must(t, os.MkdirAll(d.RunDir(), 0o700))
	agenttest.Must(t, os.WriteFile(d.Health(), []byte(`{"failing":[{"service":"web","address":"10.255.0.2:80","reason":"connection refused"}]}`), 0o600))
	firewalld, err := node.Firewalld(t.Context(), d.Layout, nil, d.Log)
	agenttest.Must(t, err)
	a, err := d.newAgent(&kernel.Kernel{}, nil, firewalld) // nobody asks it here
	agenttest.Must(t, err)
	rec := agenttest.ServingStatus(t).Record
	a.health.Keep(rec, "n1")
	if down := (compile.Check{Service: "web", Addr: netip.MustParseAddrPort("10.255.0.2:80")}); !a.reconciler.Health.Failing()[down] {
		t.Error("an endpoint that was down before counts as healthy")
	}
	if a.reconciler.Options.Drains != d.Drains() {
		t.Errorf("drains are kept in %q", a.reconciler.Options.Drains)
	}
	w := httptest.NewRecorder()
	a.server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, mesh.PathMetrics, nil))
	if want := `routingmesh_agent_info{cluster="",node="",version="dev"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("metrics of the socket: %d\n%s", w.Code, w.Body)
	}
	a.server.Options.Warnings = []func() []mesh.Warning{func() []mesh.Warning { return []mesh.Warning{{Code: mesh.WarnHost, Text: "Lost."}} }}
	w = httptest.NewRecorder()
	a.server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, mesh.PathMetrics, nil))
	if want := `routingmesh_warnings{code="host"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("what the server warns of is not in the metrics:\n%s", w.Body)
	}
	rec.Cluster.HealthAddress = "192.0.2.200:10256" // not this host's
	a.front.Follow(rec, "n1")
	t.Cleanup(func() { a.front.Follow(nil, "") })
	if problems := a.server.Front.Problems(); len(problems) != 1 || problems[0].Attribute != "health_address" {
		t.Errorf("problems of the addresses: %v", problems)
	}
}

// TestClone_IsWiredIn: the agent of a host that does not have its node's address
// says so, and a balancer turns away from it.
func TestClone_IsWiredIn(t *testing.T) {
	d := newDaemon(t)
	agenttest.Must(t, os.MkdirAll(d.StateDir(), 0o700))
	rec := agenttest.Status(t).Record // 192.0.2.1 is not this host's
	agenttest.Must(t, server.NewStore(d.StateDir()).Save(server.Stored{Node: "n1", Record: rec}))
	firewalld, err := node.Firewalld(t.Context(), d.Layout, nil, d.Log)
	agenttest.Must(t, err)
	a, err := d.newAgent(&kernel.Kernel{}, nil, firewalld)
	agenttest.Must(t, err)
	got := a.server.Warned()
	if len(got) != 1 || got[0].Code != mesh.WarnHost || !got[0].AllTraffic || !strings.Contains(got[0].Text, "routingmesh-agent uninstall") {
		t.Errorf("%+v", got)
	}
}
