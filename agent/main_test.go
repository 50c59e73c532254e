package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newProgram returns a program below a root of its own.
func newProgram(t *testing.T, stdin string) (p *program, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	p = &program{
		layout: layout{root: t.TempDir()}, stdin: io.NopCloser(strings.NewReader(stdin)),
		stdout: stdout, stderr: stderr, log: slog.New(slog.DiscardHandler),
	}
	return p, stdout, stderr
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listenOn makes the program's socket.
func listenOn(t *testing.T, p *program) net.Listener {
	t.Helper()
	must(t, os.MkdirAll(p.runDir(), 0o700))
	l, err := p.listen(t.Context())
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		args   string
		want   int
		stderr string
	}{
		{"no subcommand", "", exitUsage, "uninstall"},
		{"an unknown subcommand", "start", exitUsage, `no subcommand "start"`},
		{"an argument too many", "run now", exitUsage, "takes no arguments"},
		{"an unknown flag", "status --yaml", exitUsage, "yaml"},
		{"help", "help", exitOK, ""},
		{"help of a subcommand", "status -h", exitOK, "json"},
		{"version", "version", exitOK, ""},
		{"dial-stdio without an agent", "dial-stdio", exitNotRunning, "systemctl status routingmesh-agent"},
		{"trace without a port", "trace", exitUsage, "takes one argument"},
		{"trace of two ports", "trace 80 81", exitUsage, "takes one argument"},
		{"trace of no port", "trace web --json", exitFailed, "want PORT or PORT/PROTOCOL"},
		{"check with an argument", "check now", exitUsage, "takes no arguments"},
		{"help of trace", "trace --help", exitOK, "json"},
		{"status without an agent", "status", exitNotRunning, "not running"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, stderr := newProgram(t, "")
			if code := p.main(t.Context(), strings.Fields(tt.args)); code != tt.want || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit code %d, stderr %q; want %d, %q", code, stderr, tt.want, tt.stderr)
			}
		})
	}
}

func TestASocketWithoutAListenerIsAnAgentThatDoesNotRun(t *testing.T) {
	p, _, _ := newProgram(t, "")
	l := listenOn(t, p)
	crashed, ok := l.(*net.UnixListener)
	if !ok {
		t.Fatalf("listening on %T", l)
	}
	crashed.SetUnlinkOnClose(false)
	crashed.Close()
	if code := p.main(t.Context(), []string{"dial-stdio"}); code != exitNotRunning {
		t.Errorf("exit code %d", code)
	}
	listenOn(t, p) // and a new agent takes its place
	if info, err := os.Stat(p.socket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
}

func TestDialStdioPassesTheEndOfInputOnAndTheAnswerBack(t *testing.T) {
	p, stdout, stderr := newProgram(t, "question")
	l := listenOn(t, p)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		question, _ := io.ReadAll(conn) // ends only by the half-close
		_, _ = conn.Write(append([]byte("answer to "), question...))
		conn.Close()
	}()
	if code := p.main(t.Context(), []string{"dial-stdio"}); code != exitOK || stdout.String() != "answer to question" {
		t.Errorf("exit code %d, %q %q", code, stdout, stderr)
	}
}

func TestDialStdioEndsWhenTheAgentClosesThoughStdinIsOpen(t *testing.T) {
	p, stdout, _ := newProgram(t, "")
	r, w := io.Pipe() // nobody writes or closes it before the end
	defer w.Close()
	p.stdin = r
	l := listenOn(t, p)
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Write([]byte("bye"))
			conn.Close()
		}
	}()
	if code := p.main(t.Context(), []string{"dial-stdio"}); code != exitOK || stdout.String() != "bye" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

// sampleStatus is of a node with a port and a problem.
func sampleStatus(t *testing.T) *mesh.Status {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	rec.Generation = 7
	must(t, rec.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1")}))
	must(t, rec.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.2")}))
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2", Port: 81}}}))
	must(t, rec.PutService(&mesh.Service{Name: "later", Endpoints: map[string]mesh.Endpoint{}}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "later", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Host}))
	return &mesh.Status{
		API: 1, Version: "1.2.3", BinarySHA256: "0123456789abcdef", Node: "n1", Generation: 7, Hash: "fedcba9876543210",
		Host:   mesh.HostFacts{KernelRelease: "6.1.0", Arch: "amd64"},
		Record: rec, AppliedGeneration: 6,
		Problems: []mesh.Problem{
			{Object: "node/n1", Text: "Link rmesh0 is down."},
			{Object: "port/8080/tcp", Text: "IPVS has no service 10.255.0.1:8080/tcp."},
			{Object: "port/8080/tcp", Text: "No member 8080 in routingmesh-tcp."},
		},
		Repairs: 12,
	}
}

func TestStatusForPeople(t *testing.T) {
	p, stdout, stderr := newProgram(t, "")
	l := listenOn(t, p)
	st := sampleStatus(t)
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(st); err != nil {
			t.Error(err)
		}
	})}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { hs.Close() })
	if code := p.main(t.Context(), []string{"status"}); code != exitFailed || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := `Agent       1.2.3 (0123456789ab), Linux 6.1.0 amd64
Cluster     demo (4f6e), 2 nodes
Node        n1, 192.0.2.1, overlay 10.255.0.0/24
Generation  7 (fedcba987654), last applied whole: 6
Repair      automatic: what something else breaks is mended at once
Repairs     12 since the agent was installed

PROBLEMS (3)
node/n1
  - Link rmesh0 is down.
port/8080/tcp
  - IPVS has no service 10.255.0.1:8080/tcp.
  - No member 8080 in routingmesh-tcp.

PORT      MODE     SERVICE  ENDPOINTS
53/udp    host     later    none: connections are refused
8080/tcp  ingress  web      n1:80 n2:81

Not all is well: 3 problems.
`
	if stdout.String() != want {
		t.Errorf("status:\n%s\nwant:\n%s", stdout, want)
	}
	stdout.Reset()
	p.main(t.Context(), []string{"status", "--json"})
	var back mesh.Status
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || back.Record.Hash() != st.Record.Hash() {
		t.Errorf("status --json: %v\n%s", err, stdout)
	}
}

func TestTheBinaryIsPlacedOnceAndOtherVersionsGo(t *testing.T) {
	p, _, _ := newProgram(t, "")
	digest, err := fileDigest(ownExecutable)
	must(t, err)
	old := filepath.Join(p.libDir(), "000000000000", "routingmesh-agent")
	must(t, os.MkdirAll(filepath.Dir(old), 0o755))
	must(t, os.WriteFile(old, []byte("old"), 0o755))
	must(t, os.MkdirAll(filepath.Dir(p.link()), 0o755))
	must(t, os.Symlink(old, p.link()))
	for range 2 {
		must(t, p.placeBinary(digest))
		must(t, p.removeOtherVersions(digest))
		if got, err := fileDigest(p.link()); got != digest {
			t.Errorf("the link leads to %s, %v", got, err)
		}
	}
	entries, err := os.ReadDir(p.libDir())
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != digest[:12] {
		t.Errorf("versions %v", entries)
	}
	must(t, os.WriteFile(p.binary(digest), []byte("half a copy"), 0o755))
	must(t, p.placeBinary(digest))
	if got, _ := fileDigest(p.binary(digest)); got != digest {
		t.Error("a broken copy was not mended")
	}
}

func TestFilesAreRemovedAndALinkThatIsNotOursStays(t *testing.T) {
	p, stdout, _ := newProgram(t, "")
	for _, file := range []string{p.unit(), p.setsUnit(), p.originals(), p.socket(), p.binary("0123456789abcdef")} {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, nil, 0o600))
	}
	must(t, os.MkdirAll(filepath.Dir(p.link()), 0o755))
	must(t, os.Symlink("/opt/other/agent", p.link()))
	must(t, p.removeFiles())
	if _, err := os.Lstat(p.link()); err != nil {
		t.Error("a link that is not ours was removed")
	}
	must(t, os.Remove(p.link()))
	must(t, os.Symlink(p.binary("0123456789abcdef"), p.link()))
	must(t, p.removeFiles())
	if _, err := os.Lstat(p.link()); err == nil {
		t.Error("our link was not removed")
	}
	stdout.Reset()
	must(t, p.removeFiles())
	if stdout.String() != "" {
		t.Errorf("there was nothing left to remove: %s", stdout)
	}
}

// TestHalfWrittenFilesAreRemoved: what an install leaves that is killed before
// it renames.
func TestHalfWrittenFilesAreRemoved(t *testing.T) {
	p, _, _ := newProgram(t, "")
	unit := filepath.Join(filepath.Dir(p.unit()), "."+unitName+".2703054140")
	must(t, os.MkdirAll(filepath.Dir(unit), 0o755))
	must(t, os.WriteFile(unit, nil, 0o600))
	must(t, os.MkdirAll(filepath.Dir(p.link()), 0o755))
	ours, other := p.link()+".4711", p.link()+".old"
	must(t, os.Symlink(p.binary("0123456789abcdef"), ours))
	must(t, os.Symlink("/opt/other/agent", other))
	must(t, p.removeFiles())
	for path, stays := range map[string]bool{unit: false, ours: false, other: true} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOnlyAnAgentOfOursIsEnded(t *testing.T) {
	p, _, _ := newProgram(t, "")
	d := &detached{layout: p.layout}
	must(t, os.MkdirAll(p.runDir(), 0o700))
	for name, content := range map[string]string{"this test": strconv.Itoa(os.Getpid()), "init": "1", "torn": "12x", "empty": ""} {
		must(t, os.WriteFile(p.pidFile(), []byte(content), 0o600))
		if err := d.stop(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASecondAgentIsKeptOut(t *testing.T) {
	p, _, _ := newProgram(t, "")
	must(t, os.MkdirAll(p.runDir(), 0o700))
	release, err := p.acquire()
	must(t, err)
	if _, err := p.acquire(); err == nil || !strings.Contains(err.Error(), "another routingmesh-agent") {
		t.Errorf("a second one got: %v", err)
	}
	release()
	release, err = p.acquire()
	must(t, err)
	release()
}

func TestSystemdIsToldOnlyIfItAsks(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	must(t, notifySystemd(t.Context(), "READY=1"))
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	must(t, notifySystemd(t.Context(), "READY=1"))
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("systemd heard %q, %v", buf[:n], err)
	}
}
