//go:build lab

// The agent on real nodes, by itself: installed from the built binary, given a
// record with curl and dial-stdio, asked for pages by the client, broken,
// restarted, and uninstalled without a trace. It needs the lab (make lab-up).
package main

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// labDir is where the lab's contract is: LAB_DIR as for make, or ../.lab.
func labDir() string { return cmp.Or(os.Getenv("LAB_DIR"), "../.lab") }

// logins is a folder for the sockets of logins that are shared, while a test has
// the lab: a login is what takes the time in an emulated lab.
var logins string

// shareLogins shares them until the end of the test.
func shareLogins(t *testing.T) {
	t.Helper()
	var err error
	if logins, err = os.MkdirTemp("", "logins"); err != nil { //nolint:usetesting // its paths are too long for sockets
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, h := range append(slices.Clone(labNodes), labClient) {
			if _, err := os.Stat(filepath.Join(logins, string(h))); err == nil {
				_ = exec.Command("ssh", "-F", filepath.Join(labDir(), "ssh_config"), "-o", "ControlPath="+filepath.Join(logins, "%n"), "-O", "exit", string(h)).Run() // it may have ended by itself
			}
		}
		os.RemoveAll(logins)
	})
}

// labHost is a host of the lab, reached over SSH as root.
type labHost string

func (h labHost) command(stdin, script string) *exec.Cmd {
	cmd := exec.Command("ssh", "-F", filepath.Join(labDir(), "ssh_config"),
		"-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", "ControlPath="+filepath.Join(logins, "%n"), string(h), script)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

func (h labHost) run(t *testing.T, script string) string {
	t.Helper()
	return h.runWith(t, "", script)
}

func (h labHost) runWith(t *testing.T, stdin, script string) string {
	t.Helper()
	out, ok := h.try(t, stdin, script)
	if !ok {
		t.FailNow()
	}
	return out
}

// try is runWith for a goroutine that is not the test's own.
func (h labHost) try(t *testing.T, stdin, script string) (out string, ok bool) {
	t.Helper()
	b, err := h.command(stdin, script).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s: %v\n%s", h, script, err, b)
	}
	return strings.TrimSpace(string(b)), err == nil
}

// call posts body to the agent's API and reads the answer into into.
func (h labHost) call(t *testing.T, path string, body, into any) {
	t.Helper()
	if err := h.tryCall(path, body, into); err != nil {
		t.Fatalf("%s: %v", h, err)
	}
}

func (h labHost) tryCall(path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	out, err := h.command(string(data), "curl -sS --fail-with-body --unix-socket /run/routingmesh/agent.sock --data-binary @- http://agent"+path).Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, out)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(out, into)
}

func (h labHost) status(t *testing.T) *mesh.Status {
	t.Helper()
	var st mesh.Status
	if err := json.Unmarshal([]byte(h.run(t, "routingmesh-agent status --json")), &st); err != nil {
		t.Fatal(err)
	}
	return &st
}

// footprint is what an uninstalled agent must have left as it was.
func (h labHost) footprint(t *testing.T) string {
	t.Helper()
	out, _ := h.try(t, "", `
		iptables-save 2>/dev/null | grep -v '^[#:]\|^COMMIT\|^\*'; iptables-save | grep -i routingmesh
		ip -o link | sed 's/^[0-9]*: //'; ip rule; ip route show table all | sort; ip netns
		ipset list -n; sysctl net.ipv4.ip_forward
		find / -xdev -iname '*routingmesh*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/tmp/*' -not -path '/var/log/*' 2>/dev/null | sort
		systemctl list-unit-files --no-legend 'routingmesh*'; systemctl list-units --all --no-legend 'routingmesh*'; pgrep -a routingmesh; true`)
	return out
}

var labNodes = []labHost{"n1", "n2", "n3"}

const labClient = labHost("client")

// borrowLab keeps other tests out of the shared lab until this one is done.
func borrowLab(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(labDir(), "ssh_config")); err != nil {
		t.Fatalf("there is no lab: run make lab-up (%v)", err)
	}
	f, err := os.OpenFile(filepath.Join(labDir(), "use.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	shareLogins(t)
}

// buildAgent returns the agent, packed with gzip.
func buildAgent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routingmesh-agent")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=lab", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if limit := 16 << 20; len(data) > limit {
		t.Errorf("the agent has %d bytes, more than %d", len(data), limit)
	}
	var packed strings.Builder // it is sent to each node
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// labAddresses reads the nodes' underlay addresses from the lab's contract.
func labAddresses(t *testing.T) map[string]netip.Addr {
	t.Helper()
	var file struct {
		Nodes map[string]struct {
			Address netip.Addr `json:"address"`
		} `json:"nodes"`
	}
	data, err := os.ReadFile(filepath.Join(labDir(), "lab.auto.tfvars.json"))
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]netip.Addr{}
	for name, n := range file.Nodes {
		addresses[name] = n.Address
	}
	return addresses
}

// labRecord: web on n2 and n3 behind 8080 (ingress) and 8081 (host mode), and
// a service without an endpoint behind 8082.
func labRecord(t *testing.T, addresses map[string]netip.Addr) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord(fmt.Sprintf("lab-%d", time.Now().UnixNano()), mesh.Cluster{
		Name: "lab", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("lab"), PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		t.Fatal(err)
	}
	rec = rec.Next()
	for _, h := range labNodes {
		if err := rec.PutNode(&mesh.Node{Name: string(h), Address: addresses[string(h)], UnderlayMTU: 1500}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put(rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}}}))
	put(rec.PutService(&mesh.Service{Name: "none", Endpoints: map[string]mesh.Endpoint{}}))
	put(rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	put(rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8081, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host}))
	put(rec.PutPort(&mesh.PublishedPort{Service: "none", Published: 8082, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	return rec
}

// commitRecord prepares rec on every host, as the node of its name, then
// commits it; both must go without a problem.
func commitRecord(t *testing.T, rec *mesh.Record, hosts []labHost) {
	t.Helper()
	onEach(t, hosts, func(h labHost) error {
		var prepared mesh.PrepareResponse
		err := h.tryCall(mesh.PathPrepare, mesh.PrepareRequest{Holder: "lab", Node: string(h), Record: rec}, &prepared)
		if len(prepared.Problems) > 0 {
			err = fmt.Errorf("prepare: %+v", prepared.Problems)
		}
		return err
	})
	onEach(t, hosts, func(h labHost) error {
		var committed mesh.CommitResponse
		err := h.tryCall(mesh.PathCommit, mesh.CommitRequest{Holder: "lab", Generation: rec.Generation, Hash: rec.Hash()}, &committed)
		if len(committed.Problems) > 0 {
			err = fmt.Errorf("commit: %+v", committed.Problems)
		}
		return err
	})
}

// onEach does something on all hosts at once, as a commit does: the lease of
// the first must not run out while a slow lab is at the last.
func onEach(t *testing.T, hosts []labHost, do func(labHost) error) {
	t.Helper()
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			if err := do(h); err != nil {
				errs[i] = fmt.Errorf("%s: %w", h, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// nginxConfig answers with the host's name and the client's address.
const nginxConfig = `pid /tmp/rm-nginx.pid; error_log /dev/null; events {} http { access_log off;
server { listen 80; return 200 "$hostname $remote_addr\n"; } }`

func startWeb(t *testing.T, h labHost) {
	t.Helper()
	h.runWith(t, nginxConfig, "cat > /tmp/rm-nginx.conf && nginx -c /tmp/rm-nginx.conf")
	t.Cleanup(func() { h.run(t, "nginx -c /tmp/rm-nginx.conf -s stop; rm -f /tmp/rm-nginx.conf") })
}

// answers asks each URL four times from h and returns the distinct answers, as
// "URL ANSWER" and sorted.
func answers(t *testing.T, h labHost, urls ...string) []string {
	t.Helper()
	out := h.run(t, "for u in "+strings.Join(urls, " ")+"; do for i in 1 2 3 4; do echo $u $(curl -sS -m 5 $u 2>&1); done; done")
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestAgentOnTheLabsNodes(t *testing.T) {
	borrowLab(t)
	binary := buildAgent(t)
	addresses := labAddresses(t)
	installEverywhere(t, binary)
	startWeb(t, "n2")
	startWeb(t, "n3")
	rec := labRecord(t, addresses)
	commitRecord(t, rec, labNodes)

	t.Run("the status of every node is in sync", func(t *testing.T) { expectInSync(t, rec) })
	t.Run("a port answers on every node, from every endpoint", func(t *testing.T) { expectIngress(t, rec, addresses) })
	t.Run("a host-mode port answers on its own nodes only, and shows the client", func(t *testing.T) { expectHostMode(t, addresses) })
	t.Run("a port without an endpoint refuses at once", func(t *testing.T) {
		out := labClient.run(t, fmt.Sprintf("curl -sS -m 5 -w '%%{exitcode} %%{time_total}' http://%s:8082/ 2>&1 || true", addresses["n1"]))
		if !strings.Contains(out, "\n7 ") { // CURLE_COULDNT_CONNECT; 28 would be a timeout
			t.Errorf("8082 answered %q", out)
		}
		t.Logf("%s", out)
	})
	t.Run("dial-stdio passes a request on and ends with it", func(t *testing.T) {
		out := labHost("n1").runWith(t, "GET /v1/status?known="+rec.Hash()+" HTTP/1.0\r\n\r\n", "routingmesh-agent dial-stdio")
		if !strings.Contains(out, "200 OK") || strings.Contains(out, `"record"`) {
			t.Errorf("dial-stdio answered %s", out)
		}
	})
	t.Run("a listener on a new port is named", func(t *testing.T) { expectListenerNamed(t, rec) })
	t.Run("what is broken shows, and a restart repairs it", func(t *testing.T) { expectRepair(t, rec, addresses) })
	t.Run("a host that leaves is empty and keeps the record", func(t *testing.T) { expectLeave(t, rec) })
}

// installEverywhere installs the agent, twice, on every node; after the test
// each is as it was before.
func installEverywhere(t *testing.T, binary string) {
	t.Helper()
	before := make([]string, len(labNodes))
	everywhere := func(do func(i int, h labHost)) {
		var all sync.WaitGroup
		for i, h := range labNodes {
			all.Go(func() { do(i, h) })
		}
		all.Wait()
	}
	t.Cleanup(func() {
		everywhere(func(i int, h labHost) {
			h.try(t, "", "! command -v routingmesh-agent || routingmesh-agent uninstall")
			if after := h.footprint(t); after != before[i] {
				t.Errorf("%s is not as before after the uninstall:\n--- before\n%s\n--- after\n%s", h, before[i], after)
			}
		})
	})
	everywhere(func(i int, h labHost) {
		h.try(t, "", "! command -v routingmesh-agent || routingmesh-agent uninstall") // what a test that was cut has left
		before[i] = h.footprint(t)
		h.try(t, binary, "gzip -dc > /tmp/rm-agent && chmod +x /tmp/rm-agent && /tmp/rm-agent install && /tmp/rm-agent install && rm /tmp/rm-agent")
	})
	if t.Failed() {
		t.FailNow()
	}
}

func expectInSync(t *testing.T, rec *mesh.Record) {
	t.Helper()
	for _, h := range labNodes {
		st := h.status(t)
		if len(st.Problems) > 0 || st.AppliedGeneration != rec.Generation || st.Hash != rec.Hash() || st.Node != string(h) {
			t.Errorf("%s: node %q generation %d applied %d problems %+v", h, st.Node, st.Generation, st.AppliedGeneration, st.Problems)
		}
	}
}

func expectIngress(t *testing.T, rec *mesh.Record, addresses map[string]netip.Addr) {
	t.Helper()
	var urls, want []string
	both := func(url string, entry labHost) []string { // what the endpoints see is the entry node
		seen := rec.Nodes[string(entry)].MeshAddress()
		return []string{fmt.Sprintf("%s n2 %s", url, seen), fmt.Sprintf("%s n3 %s", url, seen)}
	}
	for _, h := range labNodes {
		url := fmt.Sprintf("http://%s:8080/", addresses[string(h)])
		urls = append(urls, url)
		want = append(want, both(url, h)...)
	}
	if got := answers(t, labClient, urls...); !slices.Equal(got, want) {
		t.Errorf("the client got %q, want %q", got, want)
	}
	const local = "http://127.0.0.1:8080/"
	for _, h := range labNodes { // its own address is one of the three
		if got, want := answers(t, h, append(urls, local)...), slices.Concat(both(local, h), want); !slices.Equal(got, want) {
			t.Errorf("%s got %q, want %q", h, got, want)
		}
	}
}

func expectHostMode(t *testing.T, addresses map[string]netip.Addr) {
	t.Helper()
	client := labClient.run(t, fmt.Sprintf("ip -o route get %s | grep -o 'src [0-9.]*' | cut -d' ' -f2", addresses["n2"]))
	url := fmt.Sprintf("http://%s:8081/", addresses["n2"])
	if got := answers(t, labClient, url); !slices.Equal(got, []string{url + " n2 " + client}) {
		t.Errorf("n2:8081 answered %q, want n2 and the client's own address %s", got, client)
	}
	for _, from := range []string{url, "http://127.0.0.1:8081/"} {
		if got := answers(t, "n2", from); len(got) != 1 || !strings.HasPrefix(got[0], from+" n2 ") {
			t.Errorf("%s on n2 answered %q", from, got)
		}
	}
	if out := labClient.run(t, fmt.Sprintf("curl -s -m 5 http://%s:8081/ || true", addresses["n1"])); out != "" {
		t.Errorf("n1 has no endpoint, yet its 8081 answered %q", out)
	}
}

func expectListenerNamed(t *testing.T, rec *mesh.Record) {
	t.Helper()
	n1 := labHost("n1")
	n1.run(t, "systemd-run --quiet --unit rm-squatter socat TCP-LISTEN:9999,bind=127.0.0.1,fork EXEC:cat && timeout 120 sh -c 'until ss -ltn | grep -q :9999; do sleep 0.1; done'")
	defer n1.run(t, "systemctl stop rm-squatter; systemctl reset-failed rm-squatter 2>/dev/null; true")
	next := rec.Next()
	if err := next.PutPort(&mesh.PublishedPort{Service: "web", Published: 9999, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}); err != nil {
		t.Fatal(err)
	}
	var prepared mesh.PrepareResponse
	n1.call(t, mesh.PathPrepare, mesh.PrepareRequest{Holder: "lab", Node: "n1", Record: next}, &prepared)
	n1.call(t, mesh.PathAbort, mesh.AbortRequest{Holder: "lab"}, nil)
	if len(prepared.Problems) != 1 || prepared.Problems[0].Object != mesh.MustParseRef("port/9999/tcp") ||
		!strings.Contains(prepared.Problems[0].Text, "socat TCP-LISTEN:9999") {
		t.Errorf("prepare said %+v", prepared.Problems)
	}
}

func expectRepair(t *testing.T, rec *mesh.Record, addresses map[string]netip.Addr) {
	t.Helper()
	n1 := labHost("n1")
	since := strings.TrimSpace(n1.run(t, "date +%s.%N"))
	n1.run(t, "iptables -t nat -F ROUTINGMESH && ipset del routingmesh-tcp 8080 && ip netns exec routingmesh ip link del vx0")
	// Either the status says it, or the slow timer was faster, and the log does.
	if st := n1.status(t); len(st.Problems) > 0 {
		t.Logf("drift: %+v", st.Problems)
	} else if log := n1.run(t, "journalctl -u routingmesh-agent -o cat --since @"+since); strings.Contains(log, "repaired") {
		t.Logf("repaired by the timer meanwhile:\n%s", log)
	} else {
		t.Errorf("neither the status nor the log shows what was broken:\n%s", log)
	}
	start := time.Now()
	n1.run(t, "systemctl restart routingmesh-agent")
	if st := n1.status(t); len(st.Problems) > 0 {
		t.Errorf("after the restart: %+v", st.Problems)
	}
	t.Logf("restart and repair took %s", time.Since(start).Round(time.Millisecond))
	expectIngress(t, rec, addresses)
}

func expectLeave(t *testing.T, rec *mesh.Record) {
	t.Helper()
	next := rec.Next()
	next.RemoveNode("n3")
	commitRecord(t, next, labNodes)
	n3 := labHost("n3")
	if st := n3.status(t); st.Node != "" || st.Generation != next.Generation || len(st.Problems) > 0 {
		t.Errorf("n3 says node %q generation %d problems %+v", st.Node, st.Generation, st.Problems)
	}
	if left := n3.run(t, "iptables-save | grep -i routingmesh; ip netns; ipset list -n; ip -o link show rmesh0 2>/dev/null; true"); left != "" {
		t.Errorf("n3 still has %s", left)
	}
}

// hidden runs a script on the host where it finds no systemd.
func (h labHost) hidden(t *testing.T, script string) string {
	t.Helper()
	return h.run(t, "unshare --mount sh -ec 'mount -t tmpfs none /run/systemd; "+script+"'")
}

func TestAgentOnAHostWithoutSystemd(t *testing.T) {
	borrowLab(t)
	binary := buildAgent(t)
	n1 := labHost("n1")
	before := n1.footprint(t)
	n1.runWith(t, binary, "gzip -dc > /tmp/rm-agent && chmod +x /tmp/rm-agent")
	t.Cleanup(func() {
		n1.hidden(t, "/tmp/rm-agent uninstall; /tmp/rm-agent uninstall; rm /tmp/rm-agent")
		if after := n1.footprint(t); after != before {
			t.Errorf("not as before after the uninstall:\n--- before\n%s\n--- after\n%s", before, after)
		}
	})
	n1.hidden(t, "/tmp/rm-agent install")
	pid := n1.run(t, "cat /run/routingmesh/agent.pid")
	if out := n1.hidden(t, "/tmp/rm-agent install; cat /run/routingmesh/agent.pid"); !strings.HasSuffix(out, pid) || !strings.Contains(out, "already") {
		t.Errorf("a second install is not idle: pid %s, then %s", pid, out)
	}
	n1.run(t, "kill -9 "+pid)
	if out := n1.hidden(t, "/tmp/rm-agent install; routingmesh-agent status"); !strings.Contains(out, "has no record") {
		t.Errorf("after a crash: %s", out)
	}
	// the same program in another file is another version: the running one is ended
	n1.run(t, "cp /tmp/rm-agent /tmp/rm-agent2 && printf x >> /tmp/rm-agent2 && unshare --mount sh -ec 'mount -t tmpfs none /run/systemd; /tmp/rm-agent2 install; rm /tmp/rm-agent2'")
	if n := n1.run(t, "ls /usr/local/lib/routingmesh | wc -l; pgrep -c routingmesh"); n != "1\n1" {
		t.Errorf("versions and agents after an update: %s", n)
	}
}
