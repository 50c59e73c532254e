package report

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func testChecker(t *testing.T) *checker {
	t.Helper()
	r, _, _ := newReporter(t)
	return newChecker(r, nil)
}

func (r *report) text(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	agenttest.Must(t, r.write(&b))
	return b.String()
}

func TestCheckForPeople(t *testing.T) {
	c := testChecker(t)
	st := agenttest.Status(t)
	agenttest.Serve(t, c.Socket(), map[string]any{
		"GET " + mesh.PathStatus: st,
		"POST " + mesh.PathProbe: mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n2": {Wire: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, Underlay: true}}},
	})
	agenttest.Must(t, c.agent(t.Context()))
	c.record()
	c.found(host.Finding{Check: "requirements", Good: "all there", Notes: []string{"The VXLAN device flannel.1 shares the port."}})
	c.forwarding([]kernel.Chain{{Table: "filter", Name: "FORWARD", Policy: "DROP", Rules: []kernel.Rule{{Text: "-j DOCKER-USER"}, {Text: "-j ROUTINGMESH-FWD"}}}}, nil)
	agenttest.Must(t, c.inKernel(t.Context()))
	c.overlay(t.Context())
	golden(t, "check.golden", c.report.text(t))
}

func TestCheckOfANodeThatIsWell(t *testing.T) {
	c := testChecker(t)
	st := agenttest.Status(t)
	st.Problems = nil
	agenttest.Serve(t, c.Socket(), map[string]any{
		"GET " + mesh.PathStatus: st,
		"POST " + mesh.PathProbe: mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n2": {Answered: 1450, Underlay: true}}},
	})
	agenttest.Must(t, c.agent(t.Context()))
	c.forwarding(nil, nil)
	agenttest.Must(t, c.inKernel(t.Context()))
	c.overlay(t.Context())
	got := c.report.text(t)
	if c.report.failed() != 0 || !strings.Contains(got, "the other node answers, and packets of 1450 bytes pass") || !strings.HasSuffix(got, "All is well.\n") {
		t.Error(got)
	}
}

// TestCheckNames: a container of a service in networks that asks somebody else for names is
// told of; one in no network, and one that cannot be looked at, are not.
func TestCheckNames(t *testing.T) {
	c := testChecker(t)
	rec := agenttest.Status(t).Record
	c.stored = server.Stored{Node: "n1", Record: rec}
	in := map[netip.Addr]state.Process{}
	container := func(service string, pid int, resolvConf string) {
		for slot := range rec.Services[service].Endpoints["c"].SlotAddresses(rec.Nodes["n1"]) {
			in[slot] = state.Process{PID: pid, Start: 7}
		}
		at := c.Path("proc", strconv.Itoa(pid))
		agenttest.Must(t, os.MkdirAll(filepath.Join(at, "root/etc"), 0o755))
		agenttest.Must(t, os.WriteFile(filepath.Join(at, "stat"), []byte("1 (a) S"+strings.Repeat(" 1", 18)+" 7 1\n"), 0o644))
		if resolvConf != "" {
			agenttest.Must(t, os.WriteFile(filepath.Join(at, "root/etc/resolv.conf"), []byte(resolvConf), 0o644))
		}
	}
	put := func(name string, networks ...string) {
		s := &mesh.Service{Name: name, Networks: map[string]mesh.Membership{}, Endpoints: map[string]mesh.Endpoint{
			"c": {Node: "n1", Container: &mesh.Container{Name: name}, Slots: make([]uint16, 1)},
		}}
		for _, n := range networks {
			s.Networks[n] = mesh.Membership{}
		}
		agenttest.Must(t, rec.PutService(s))
	}
	if c.names(t.Context(), in, nil); len(c.report.Findings) != 0 {
		t.Errorf("a cluster without networks:\n%s", c.report.text(t))
	}
	agenttest.Must(t, rec.PutNetwork(&mesh.Network{Name: "back"}))
	for name, networks := range map[string][]string{"asks": {"back"}, "docker": {"back"}, "other": {"back"}, "none": {"back"}, "gone": {"back"}, "alone": nil} {
		put(name, networks...)
	}
	container("asks", 11, "nameserver 10.255.255.1\n")
	container("docker", 12, "nameserver 127.0.0.11\n")
	container("other", 13, "nameserver 192.0.2.53\nnameserver 10.255.255.1\n")
	container("none", 14, "search example.com\n")
	container("gone", 15, "")
	container("alone", 16, "nameserver 192.0.2.53\n")
	c.names(t.Context(), in, nil)
	got := c.report.text(t)
	for _, want := range []string{
		"The container of service other at 10.255.0.", "leads to 192.0.2.53, 10.255.255.1, and not", "service none at 10.255.0.", "leads to no nameserver", "--dns 10.255.255.1",
		"ok    names            2 containers of this node ask",
	} {
		if !strings.Contains(strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "alone") || strings.Contains(got, "gone") || c.report.failed() != 0 {
		t.Errorf("it says too much:\n%s", got)
	}
}

func TestCheckWithoutAnAgent(t *testing.T) {
	c := testChecker(t)
	agenttest.Must(t, c.agent(t.Context()))
	if c.record(); c.report.failed() != 0 || !strings.Contains(c.report.text(t), "not installed on this host") {
		t.Errorf("a host that has nothing of ours:\n%s", c.report.text(t))
	}
	c.report = &report{}
	agenttest.Must(t, os.MkdirAll(c.StateDir(), 0o700))
	st := agenttest.Status(t)
	agenttest.Must(t, server.NewStore(c.StateDir()).Save(server.Stored{Node: "n1", Record: st.Record}))
	agenttest.Must(t, c.agent(t.Context()))
	if c.record(); c.report.failed() != 1 || c.stored.Node != "n1" || !strings.Contains(c.report.text(t), "It does not run: traffic goes on") {
		t.Errorf("a node whose agent is stopped:\n%s", c.report.text(t))
	}
	c.report = &report{}
	agenttest.Must(t, os.WriteFile(c.Path("var/lib/routingmesh/record.json"), []byte("{"), 0o600))
	agenttest.Must(t, c.agent(t.Context()))
	if c.report.failed() != 2 {
		t.Errorf("a torn record:\n%s", c.report.text(t))
	}
}

func TestCheckSaysWhatItCannotFindOut(t *testing.T) {
	c := testChecker(t)
	agenttest.Serve(t, c.Socket(), map[string]any{"GET " + mesh.PathStatus: agenttest.Status(t), "POST " + mesh.PathProbe: "The agent could not try the overlay: no."})
	agenttest.Must(t, c.agent(t.Context()))
	c.forwarding(nil, errors.New("no iptables-save"))
	c.overlay(t.Context())
	got := c.report.text(t)
	for _, want := range []string{"The host's iptables cannot be read: no iptables-save.", "The overlay could not be tried: The agent could not try"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	many := make([]string, 30)
	if c.report.failures("kernel", "", many); c.report.Findings[len(c.report.Findings)-1].Text != "… and 10 more of this kind." {
		t.Error(c.report.Findings)
	}
}

func TestPortToTrace(t *testing.T) {
	rec := agenttest.Status(t).Record // publishes 8080/tcp and 53/udp
	for arg, want := range map[string]string{"8080": "8080/tcp", "8080/udp": "8080/udp", "53": "53/udp", "53/tcp": "53/tcp", "7": "7/tcp"} {
		if key, _, err := portToTrace(rec, arg); err != nil || key.String() != want {
			t.Errorf("%s: %s, %v", arg, key, err)
		}
	}
	agenttest.Must(t, rec.PutPort(&mesh.PublishedPort{Service: "later", Published: 6000, Last: 6999, Target: 7000, Protocol: mesh.UDP, Mode: mesh.Ingress}))
	for arg, want := range map[string]string{"6000": "6000/udp", "6500": "6500/udp", "7000": "7000/tcp", "192.0.2.1:6500": "6500/udp"} {
		if key, _, err := portToTrace(rec, arg); err != nil || key.String() != want {
			t.Errorf("%s: %s, %v", arg, key, err)
		}
	}
	for service, list := range map[string]mesh.PrefixList{"web": "203.0.113.0/24", "dns": "10.0.0.0/8,127.0.0.0/8"} {
		agenttest.Must(t, rec.PutService(&mesh.Service{Name: service}))
		agenttest.Must(t, rec.PutPort(&mesh.PublishedPort{Service: service, Published: 443, Target: 443, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: list}))
	}
	for arg, want := range map[string]string{"203.0.113.7:443": "web", "10.1.2.3:443/tcp": "dns", "127.0.0.1:443": "dns"} {
		if key, at, err := portToTrace(rec, arg); err != nil || rec.Ports[key].Service != want || !rec.Ports[key].Listen.Has(at) {
			t.Errorf("%s: %s at %s, %v", arg, key, at, err)
		}
	}
	if key, at, err := portToTrace(rec, "192.0.2.1:443"); err != nil || key.Port != 443 || at != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("an address where nothing is open: %s at %s, %v", key, at, err)
	}
	if _, _, err := portToTrace(rec, "443"); err == nil || !strings.Contains(err.Error(), "at 203.0.113.0/24") || !strings.Contains(err.Error(), "trace ADDRESS:443") {
		t.Errorf("several ports: %v", err)
	}
	for _, arg := range []string{"", "web", "0", "70000", "8080/sctp", "8080/", "-1", "8080/tcp/1", "host:80", "::1:80", "192.0.2.1:", ":80"} {
		if key, _, err := portToTrace(nil, arg); err == nil {
			t.Errorf("%q: %s", arg, key)
		}
	}
}

func TestCheckSelfTest_SaysWhatIsCovered(t *testing.T) {
	for path, want := range map[mesh.PathTest]finding{
		mesh.PathOff:    {"self-test", unsure, "The path of published ports is not tested: there is no TUN."},
		mesh.PathFails:  {"self-test", failed, "The path of published ports fails: see the warnings of `routingmesh-agent status`."},
		mesh.PathPasses: {"self-test", fine, "test packets pass through the published ports (3 are tested); 1 of 2 other nodes answer over the overlay"},
	} {
		c := &checker{report: &report{}, status: &mesh.Status{SelfTest: &mesh.SelfTest{Peers: 2, Answering: 1, Ports: 3, Path: path, Off: "there is no TUN"}}}
		c.selfTest()
		if got := c.report.Findings; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
}
