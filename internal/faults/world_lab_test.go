//go:build lab

package faults

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/rig"
)

const (
	clientHost = "client"
	backend    = 8085                // where the endpoints listen
	nodeDir    = "/var/cache/faults" // on every host; nothing that a look at a host looks at
)

// world is the lab with a cluster on it: n2 and n3 have the endpoints, n1 has Docker's rules, n3 runs firewalld.
type world struct {
	lab     *rig.Lab
	nodes   map[string]rig.Node
	names   []string
	main    *rig.Terraform
	client  *Client
	targets []Target
	rows    []Row
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Fatal("acceptance tests change real hosts: set TF_ACC=1, as make testacc does")
	}
	lab, err := rig.Open(nil)
	ok(t, err)
	ok(t, os.MkdirAll(filepath.Join(lab.Dir, "faults"), 0o755))
	log, err := os.Create(filepath.Join(lab.Dir, "faults", t.Name()+".log"))
	ok(t, err)
	t.Cleanup(func() { log.Close() })
	lab.Log = log
	release, err := lab.Take()
	ok(t, err)
	t.Cleanup(release)
	lab.Logins, err = os.MkdirTemp("", "logins") //nolint:usetesting // its paths are too long for sockets
	ok(t, err)
	w := &world{lab: lab, nodes: map[string]rig.Node{}}
	nodes, err := lab.Nodes()
	ok(t, err)
	for _, n := range nodes {
		w.nodes[n.Name] = n
		w.names = append(w.names, n.Name)
	}
	t.Cleanup(func() {
		lab.Forget(within(t, time.Minute), append(w.names, clientHost)...)
		ok(t, os.RemoveAll(lab.Logins))
	})
	return w
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is a context for something that must not take longer.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

// on runs a script on a node, with the words of node.sh, and returns what it prints.
func (w *world) on(t *testing.T, node, script string) string {
	t.Helper()
	out, err := w.try(within(t, 3*time.Minute), node, script)
	ok(t, err)
	return out
}

func (w *world) try(ctx context.Context, node, script string) (string, error) {
	out, err := w.lab.SSH(ctx, node, ". "+nodeDir+"/node.sh\nset -e\n"+script)
	return strings.TrimSpace(out), err
}

// onEach runs a script of its own on each node, at the same time, and returns what they print.
func (w *world) onEach(t *testing.T, scripts map[string]string) map[string]string {
	t.Helper()
	var g errgroup.Group
	var mu sync.Mutex
	out := map[string]string{}
	for node, script := range scripts {
		g.Go(func() error {
			printed, err := w.try(within(t, 3*time.Minute), node, script)
			mu.Lock()
			defer mu.Unlock()
			out[node] = printed
			return err
		})
	}
	ok(t, g.Wait())
	return out
}

func (w *world) onAll(t *testing.T, script string) {
	t.Helper()
	scripts := map[string]string{}
	for _, n := range w.names {
		scripts[n] = script
	}
	w.onEach(t, scripts)
}

// put copies a file of this machine to hosts, also over a program that a run which was cut has left running.
func (w *world) put(t *testing.T, file, to string, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		data, err := os.Open(file)
		ok(t, err)
		cmd := w.lab.Command(within(t, time.Minute), h, fmt.Sprintf("mkdir -p $(dirname %[1]s) && gzip -dc > %[1]s.new && chmod 755 %[1]s.new && mv %[1]s.new %[1]s", to))
		pack := exec.CommandContext(t.Context(), "gzip", "-1c")
		pack.Stdin = data
		cmd.Stdin, err = pack.StdoutPipe()
		ok(t, err)
		ok(t, pack.Start())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("copy %s to %s: %v\n%s", file, h, err, out)
		}
		ok(t, pack.Wait())
		data.Close()
	}
}

// equip brings what is on the hosts besides the mesh: the servers, other people's firewalls, and the means to look.
func (w *world) equip(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "steady")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./steady")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the steady client: %v\n%s", err, out)
	}
	w.put(t, "testdata/node.sh", nodeDir+"/node.sh", w.names...)
	w.put(t, program, nodeDir+"/steady", clientHost, "n2", "n3")
	w.put(t, "testdata/docker.rules", nodeDir+"/docker.rules", "n1")
	t.Cleanup(func() { w.unequip(t) })
	unit := fmt.Sprintf("[Service]\nExecStart=%s/steady serve 0.0.0.0:%d\nRestart=always\n[Install]\nWantedBy=multi-user.target\n", nodeDir, backend)
	serve := fmt.Sprintf("printf '%s' > /etc/systemd/system/steady.service; systemctl -q enable --now steady\n", strings.ReplaceAll(unit, "\n", `\n`))
	w.onEach(t, map[string]string{
		"n1": "ip link add docker0 type bridge; sysctl -qw net.ipv4.ip_forward=1; iptables-restore --noflush < $dir/docker.rules",
		"n2": serve + "nft add table inet somebody; nft add chain inet somebody input '{ type filter hook input priority 5; }'; nft add rule inet somebody input tcp dport 9999 drop",
		// with iptables, a reload of firewalld takes everybody's rules with it
		"n3": serve + `sed -i s/^FirewallBackend=.*/FirewallBackend=iptables/ /etc/firewalld/firewalld.conf; systemctl -q enable --now firewalld
until ip6tables-save | grep -q -- '^-A IN_public_allow .*--dport 22' && firewall-cmd -q --state; do sleep 0.2; done`,
	})
}

func (w *world) unequip(t *testing.T) {
	t.Helper()
	silent := "systemctl -q disable --now steady; rm -f /etc/systemd/system/steady.service; systemctl daemon-reload\n"
	w.onEach(t, map[string]string{
		"n1": "iptables -P FORWARD ACCEPT; iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; ip link del docker0 || true; sysctl -qw net.ipv4.ip_forward=0",
		"n2": silent + "nft delete table inet somebody 2>/dev/null || true",
		"n3": silent + "systemctl -q disable --now firewalld; sed -i s/^FirewallBackend=.*/FirewallBackend=nftables/ /etc/firewalld/firewalld.conf",
	})
	w.onAll(t, "rm -rf $dir")
}

// terraform prepares a folder of the lab's with a configuration of testdata.
func (w *world) terraform(t *testing.T, name string, vars ...string) *rig.Terraform {
	t.Helper()
	hcl, err := os.ReadFile(filepath.Join("testdata", name, "main.tf"))
	ok(t, err)
	tf, err := w.lab.TerraformOf(filepath.Join("faults", name), map[string]string{"main.tf": string(hcl)}, vars...)
	ok(t, err)
	return tf
}

// apply makes the main state so, and takes what the nodes have then as the measure.
func (w *world) apply(t *testing.T, vars ...string) {
	t.Helper()
	w.main.Set(vars...)
	ok(t, w.main.Apply(within(t, 5*time.Minute), func(string) {}))
	w.inSync(t)
	w.onAll(t, "save")
}

// inSync wants a plan without changes.
func (w *world) inSync(t *testing.T) {
	t.Helper()
	text, changes, err := w.main.Plan(within(t, 2*time.Minute))
	ok(t, err)
	if changes {
		t.Errorf("the plan is not empty:\n%s", text)
	}
}

// plan is what plan says of a mesh that is not whole: its sentences of drift, its warnings, or that there is nothing to change.
func (w *world) plan(t *testing.T) []string {
	t.Helper()
	text, _, err := w.main.Plan(within(t, 2*time.Minute))
	ok(t, err)
	said := Sentences(text)
	for _, m := range regexp.MustCompile(`(?m)^. Warning: (.*)$`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "development overrides") {
			said = append(said, "Warning: "+m[1])
		}
	}
	if m := regexp.MustCompile(`(?m)^(No changes\.|Plan: .*)`).FindString(text); m != "" {
		said = append(said, m)
	}
	return said
}

// askAlways starts the steady client: every port through every node that has it, so that each node is asked some 10 times a second. It is
// the emulation that sets this limit.
func (w *world) askAlways(t *testing.T) {
	t.Helper()
	for _, name := range w.names {
		at := func(network string, port uint16, every time.Duration) Target {
			return Target{network, netip.AddrPortFrom(netip.MustParseAddr(w.nodes[name].Address), port), every}
		}
		w.targets = append(w.targets, at("tcp", 8080, 250*time.Millisecond), at("udp", 8080, 250*time.Millisecond))
		if name != "n1" {
			w.targets = append(w.targets, at("tcp", 8081, 400*time.Millisecond))
		}
	}
	client, err := StartClient(w.lab.Command(context.WithoutCancel(t.Context()), clientHost, nodeDir+"/steady ask"), w.targets)
	ok(t, err)
	w.client = client
	t.Cleanup(client.Stop)
	w.served(t, time.Minute)
}

func (w *world) mark(t *testing.T) Report {
	t.Helper()
	r, err := w.client.Say(within(t, 10*time.Second), WordMark)
	ok(t, err)
	return r
}

// served waits until the client is answered by everyone.
func (w *world) served(t *testing.T, limit time.Duration) Report {
	t.Helper()
	r, err := w.client.Say(within(t, limit), WordServed)
	ok(t, err)
	return r
}

// whole is what every node must be after everything: the record's, and other people's rules untouched.
func (w *world) whole(t *testing.T) {
	t.Helper()
	w.inSync(t)
	w.asSaved(t)
}

// asSaved wants every node to have of the mesh, and of others, what it had.
func (w *world) asSaved(t *testing.T) {
	t.Helper()
	w.onAll(t, "mended $(now) 40 >/dev/null; untouched")
}

// between is what the client saw between two marks of it; each request that failed goes to the log.
func (w *world) between(from, to Report, through ...Target) Outage {
	for _, r := range w.client.Reports() {
		if r.At >= from.At && r.At < to.At {
			fmt.Fprintf(w.lab.Log, "failed after %5.1f of %.1f s: %s: %s\n", r.At-from.At, to.At-from.At, r.Target, r.Error)
		}
	}
	return Between(from, to, w.client.Reports(), through...)
}
