package host

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeProc is a procfs in which nginx listens on 0.0.0.0:8080, and named on
// port 53/udp.
func fakeProc(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("thread-self/net/tcp", procTCP)
	write("thread-self/net/udp", procUDP)
	write("thread-self/net/udp6", "")
	for pid, p := range map[string]struct{ comm, cmdline, socket string }{
		"812": {"nginx\n", "nginx: master process\x00/usr/sbin/nginx\x00", "socket:[1004]"},
		"813": {"nginx\n", "nginx: worker\x1b[31m\x00", "socket:[1004]"},
		"90":  {"named\n", "", "socket:[1008]"},
	} {
		write(pid+"/comm", p.comm)
		write(pid+"/cmdline", p.cmdline)
		if err := os.Mkdir(filepath.Join(dir, pid, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(p.socket, filepath.Join(dir, pid, "fd", "3")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ownAddress is an IPv4 address of the machine that the test runs on.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	links, err := interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) == 0 {
		t.Fatal("this test needs a link with an IPv4 address other than 127.0.0.1")
	}
	return links[0].Addresses[0].Addr()
}

// cluster has n1, which is this machine, and n2.
func cluster(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: netip.MustParsePrefix("198.18.0.0/16"), NodePrefixLength: 24,
		VXLANPort: 4788, VNI: 5_000_001, PublishedPortRange: mesh.DefaultPortRange,
	})
	put(t, err)
	put(t, rec.PutNode(&mesh.Node{Name: "n1", Address: ownAddress(t)}))
	put(t, rec.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.77")}))
	put(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n2"}}}))
	return rec
}

func put(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPreflightOfPorts(t *testing.T) {
	const nginx = "Port 8080/tcp: nginx (pid 812, nginx: master process /usr/sbin/nginx) already listens on 192.168.200.10:8080 on this node; "
	type ports = []mesh.PublishedPort
	tests := []struct {
		name          string
		before, after ports
		endpoint      string // the node of web's endpoint after, "" for n2
		want          []string
	}{
		{name: "a free port", after: ports{{Published: 8090, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}}},
		{
			name:  "a port that a process has",
			after: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			want:  []string{nginx},
		},
		{
			name:  "a process on 127.0.0.1 counts",
			after: ports{{Published: 631, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			want:  []string{"Port 631/tcp: the kernel itself (a tunnel or an in-kernel server) already listens on 127.0.0.1:631"},
		},
		{
			name:  "a process at another address",
			after: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "10.0.0.0/8,127.0.0.0/8"}},
		},
		{
			name:  "a process at an address of the port",
			after: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "192.168.200.0/24"}},
			want:  []string{nginx},
		},
		{
			name:   "an address more, which a process has",
			before: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "10.0.0.0/8"}},
			after:  ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "10.0.0.0/8,192.168.200.10/32"}},
			want:   []string{nginx},
		},
		{
			name:   "an address less",
			before: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			after:  ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "192.168.200.0/24"}},
		},
		{
			name:  "a process at every address",
			after: ports{{Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, Listen: "203.0.113.0/24"}},
			want:  []string{"Port 53/udp: named (pid 90, named) already listens on 0.0.0.0:53"},
		},
		{
			name: "UDP is apart from TCP",
			after: ports{
				{Published: 8080, Target: 80, Protocol: mesh.UDP, Mode: mesh.Ingress},
				{Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress},
			},
			want: []string{"Port 53/udp: named (pid 90, named) already listens on 0.0.0.0:53"},
		},
		{
			name:   "a port that is open here already",
			before: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			after:  ports{{Published: 8080, Target: 81, Protocol: mesh.TCP, Mode: mesh.Ingress}},
		},
		{name: "host mode without an endpoint here opens nothing", after: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host}}},
		{
			name:   "host mode that becomes ingress opens it here",
			before: ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host}},
			after:  ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			want:   []string{nginx},
		},
		{
			name:     "the service's own endpoint here",
			after:    ports{{Published: 8080, Target: 8080, Protocol: mesh.TCP, Mode: mesh.Ingress}},
			endpoint: "n1",
		},
		{
			name:     "an endpoint here on another port",
			after:    ports{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host}},
			endpoint: "n1",
			want:     []string{nginx},
		},
	}
	h := &Host{Proc: fakeProc(t)}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			current := withPorts(t, "n2", tt.before)
			next := withPorts(t, cmp.Or(tt.endpoint, "n2"), tt.after)
			problems := h.Preflight(t.Context(), current, next, "n1")
			if len(problems) != len(tt.want) {
				t.Fatalf("problems %+v, want %q", problems, tt.want)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.Text, tt.want[i]) || p.Attribute != "published_port" || p.Object.Kind != mesh.KindPort {
					t.Errorf("problem %+v, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// withPorts is the cluster with web's endpoint on the node, and its ports.
func withPorts(t *testing.T, endpoint string, ports []mesh.PublishedPort) *mesh.Record {
	t.Helper()
	rec := cluster(t)
	put(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: endpoint}}}))
	for _, p := range ports {
		p.Service = "web"
		put(t, rec.PutPort(&p))
	}
	return rec
}

func TestPreflightOfANodeThatJoins(t *testing.T) {
	h := &Host{Proc: fakeProc(t), Requirements: func(context.Context) []string { return []string{"The host lacks ip_vs."} }}
	rec := cluster(t)
	if got := fmt.Sprint(h.Preflight(t.Context(), nil, rec, "n1")); got != "[{host-lacks node/n1   The host lacks ip_vs.}]" {
		t.Errorf("problems %s", got)
	}
	if problems := h.Preflight(t.Context(), rec, rec, "n1"); len(problems) != 0 {
		t.Errorf("checked again: %+v", problems)
	}
	if problems := h.Preflight(t.Context(), nil, rec, ""); len(problems) != 0 {
		t.Errorf("no node, yet %+v", problems)
	}
}

// TestPreflight_Preserving: what ports need that preserve clients' addresses is checked with
// the first of them, and with another mark.
func TestPreflight_Preserving(t *testing.T) {
	h := &Host{Proc: fakeProc(t), Preserving: func(_ context.Context, mark uint32) []string { return []string{fmt.Sprintf("Taken: %#x.", mark)} }}
	port := mesh.PublishedPort{Published: 18080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
	plain := withPorts(t, "n1", []mesh.PublishedPort{port})
	port.ClientAddress = mesh.Preserve
	preserving := withPorts(t, "n1", []mesh.PublishedPort{port})
	marked := preserving.Clone()
	marked.Cluster.MarkBit = 20
	for _, tt := range []struct {
		name        string
		current, to *mesh.Record
		want        string
	}{
		{"the first one", plain, preserving, "Taken: 0x1000."},
		{"one more apply", preserving, preserving, ""},
		{"another mark", preserving, marked, "Taken: 0x100000."},
		{"none", nil, plain, ""},
		{"a node that joins", nil, preserving, "Taken: 0x1000."},
	} {
		var got []string
		for _, p := range h.Preflight(t.Context(), tt.current, tt.to, "n1") {
			got = append(got, p.Text)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}

// TestPreflight_Ranges: a range opens each of its numbers, and what it had before is not
// looked at again. nginx listens on 8080.
func TestPreflight_Ranges(t *testing.T) {
	h := &Host{Proc: fakeProc(t), Ranging: func(context.Context) []string { return []string{"No ranges here."} }}
	ranging := func(first, last, target uint16) *mesh.Record {
		return withPorts(t, "n1", []mesh.PublishedPort{{Published: first, Last: last, Target: target, Protocol: mesh.TCP, Mode: mesh.Ingress}})
	}
	translated := func(ports []mesh.PortKey, _ netip.Addr) (map[mesh.PortKey]string, error) {
		found := map[mesh.PortKey]string{}
		for _, key := range ports {
			if key.Port%100 == 7 {
				found[key] = "rule 1"
			}
		}
		return found, nil
	}
	for _, tt := range []struct {
		name        string
		current, to *mesh.Record
		translated  func([]mesh.PortKey, netip.Addr) (map[mesh.PortKey]string, error)
		want        []string
	}{
		{"beside it", nil, ranging(8081, 9000, 80), nil, []string{"No ranges here."}},
		{"over it", nil, ranging(8000, 9000, 80), nil, []string{"No ranges here.", "Port 8080/tcp of 8000-9000: nginx"}},
		{"over it already", ranging(8000, 9000, 80), ranging(8000, 9500, 80), nil, nil},
		{"grows over it", ranging(8000, 8079, 80), ranging(8000, 9000, 80), nil, []string{"Port 8080/tcp of 8000-9000: nginx"}},
		{"a container's", ranging(8081, 8100, 80), ranging(8081, 8300, 80), translated, []string{"Port 8107/tcp of 8081-8300: rule 1", "Port 8207/tcp of 8081-8300: rule 1"}},
	} {
		h.Translated = tt.translated
		var got []string
		for _, p := range h.Preflight(t.Context(), tt.current, tt.to, "n1") {
			got = append(got, p.Text)
		}
		ok := len(got) == len(tt.want)
		for i := range min(len(got), len(tt.want)) {
			ok = ok && strings.HasPrefix(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestPreflight_Networks: the first network asks what the host lacks, others do not.
func TestPreflight_Networks(t *testing.T) {
	h := &Host{Proc: fakeProc(t), Networking: func(_ context.Context, port uint16) []string {
		return []string{fmt.Sprintf("No networks at %d.", port)}
	}}
	with := func(names ...string) *mesh.Record {
		rec := withPorts(t, "n1", nil)
		for _, name := range names {
			if err := rec.PutNetwork(&mesh.Network{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		return rec
	}
	for _, tt := range []struct {
		name        string
		current, to *mesh.Record
		want        string
	}{
		{"none", nil, with(), "[]"},
		{"a node that joins", nil, with("a"), "[No networks at 4788.]"},
		{"the first", with(), with("a"), "[No networks at 4788.]"},
		{"another one", with("a"), with("a", "b"), "[]"},
		{"the last one goes", with("a"), with(), "[]"},
	} {
		got := []string{}
		for _, p := range h.Preflight(t.Context(), tt.current, tt.to, "n1") {
			got = append(got, p.Text)
		}
		if text := fmt.Sprint(got); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
	}
}

func TestPreflightOfAnAddressThatIsNotTheHosts(t *testing.T) {
	h := &Host{Proc: fakeProc(t)}
	problems := h.Preflight(t.Context(), nil, cluster(t), "n2")
	if len(problems) != 1 || problems[0].Object != mesh.NodeRef("n2") || problems[0].Attribute != "address" ||
		!strings.Contains(problems[0].Text, "no address 192.0.2.77; it has "+ownAddress(t).String()) {
		t.Errorf("problems %+v", problems)
	}
}

func TestPreflightOfAVXLANPortInUse(t *testing.T) {
	h := &Host{Proc: fakeProc(t)}
	for port, want := range map[uint16]string{53: "named (pid 90, named) already listens on 0.0.0.0:53", 4789: ""} {
		rec := cluster(t)
		rec.Cluster.VXLANPort = port
		problems := h.Preflight(t.Context(), nil, rec, "n1")
		if want == "" && len(problems) != 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, want)) {
			t.Errorf("port %d: %+v, want %q", port, problems, want)
		}
	}
}

func TestPreflightOfAPoolThatTheHostRoutes(t *testing.T) {
	rec := cluster(t)
	own := ownAddress(t)
	rec.Cluster.AddressPool = netip.PrefixFrom(own, 24).Masked()
	problems := (&Host{Proc: fakeProc(t)}).Preflight(t.Context(), nil, rec, "n1")
	if len(problems) != 1 || !strings.Contains(problems[0].Text, "address_pool "+rec.Cluster.AddressPool.String()+" overlaps the ") {
		t.Errorf("problems %+v", problems)
	}
}

func TestWhatOverlapsAPool(t *testing.T) {
	pool := netip.MustParsePrefix("10.255.0.0/16")
	for dst, want := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/1": false, "10.0.0.0/8": true, "10.255.3.0/24": true, "10.255.3.7/32": true,
		"10.254.0.0/16": false, "192.168.0.0/16": false,
	} {
		if got := overlaps(pool, netip.MustParsePrefix(dst)); got != want {
			t.Errorf("%s overlaps %s: %v", dst, pool, got)
		}
	}
}

func TestFactsAreOfThisMachine(t *testing.T) {
	facts, err := (&Host{}).Facts()
	if err != nil || facts.KernelRelease == "" || facts.Hostname == "" {
		t.Errorf("facts %+v, %v", facts, err)
	}
	if _, ok := reachable(&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}); ok {
		t.Error("127.0.0.1 counts as reachable")
	}
}

func TestOriginalsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.json")
	open := func() *Originals {
		t.Helper()
		o, err := OpenOriginals(path, slog.New(slog.DiscardHandler))
		put(t, err)
		return o
	}
	o := open()
	put(t, o.Set("net.ipv4.ip_forward", "0"))
	put(t, o.Set("net.ipv4.other", "7"))
	put(t, open().Delete("net.ipv4.other"))
	o = open()
	if v, ok := o.Get("net.ipv4.ip_forward"); v != "0" || !ok {
		t.Errorf("ip_forward was %q, %v", v, ok)
	}
	if _, ok := o.Get("net.ipv4.other"); ok {
		t.Error("a setting that was put back is still there")
	}
	o.path = filepath.Join(t.TempDir(), "no such folder", "host.json") // as good as a full disk
	put(t, o.Set("net.ipv4.ip_forward", "0"))
	if o.Set("net.ipv4.ip_forward", "1") == nil {
		t.Error("a value that could not be kept was no error")
	}
	put(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, ok := open().Get("net.ipv4.ip_forward"); ok {
		t.Error("a torn file gave a value")
	}
	if _, err := os.Stat(path + ".bad"); err != nil {
		t.Error(err)
	}
}

func TestAFileThatCannotBeReplacedIsAsItWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub")
	put(t, os.MkdirAll(filepath.Join(path, "not-empty"), 0o755)) // a rename over it fails
	if err := WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(dir)
	put(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestPreflight_TranslatedPort: a port that a container holds by DNAT is refused like
// one that a process listens on, and only when it is opened here.
func TestPreflight_TranslatedPort(t *testing.T) {
	rec := withPorts(t, "n2", []mesh.PublishedPort{{Published: 8088, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}})
	var asked []mesh.PortKey
	h := &Host{Proc: fakeProc(t), Translated: func(ports []mesh.PortKey, _ netip.Addr) (map[mesh.PortKey]string, error) {
		asked = ports
		return map[mesh.PortKey]string{{Port: 8088, Protocol: mesh.TCP}: "rule 2 of chain DOCKER in table ip nat"}, nil
	}}
	problems := h.Preflight(t.Context(), cluster(t), rec, "n1")
	want := "Port 8088/tcp: rule 2 of chain DOCKER in table ip nat sends it elsewhere by DNAT on this node, as a container's published port does; the mesh would take its traffic away. " +
		"Stop the container or give it another port, or choose another published_port."
	if len(problems) != 1 || problems[0].Text != want || problems[0].Attribute != "published_port" {
		t.Errorf("problems %+v, want %s", problems, want)
	}
	at := withPorts(t, "n2", []mesh.PublishedPort{{Published: 8088, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "203.0.113.99/32"}})
	asked = nil
	if problems := h.Preflight(t.Context(), cluster(t), at, "n1"); len(problems) != 0 || asked != nil {
		t.Errorf("at an address that the host does not have: %+v, asked %v", problems, asked)
	}
	at.Ports[mesh.PortKey{Port: 8088, Protocol: mesh.TCP}].Listen = "127.0.0.0/8"
	if problems := h.Preflight(t.Context(), cluster(t), at, "n1"); len(problems) != 1 || asked == nil {
		t.Errorf("at an address that it has: %+v, asked %v", problems, asked)
	}
	asked = nil
	if problems := h.Preflight(t.Context(), rec, rec, "n1"); len(problems) != 0 || asked != nil {
		t.Errorf("a port that is open already: %+v, asked %v", problems, asked)
	}
}

// What somebody else has under the mesh's names refuses the join, and nothing later.
func TestPreflight_TakenNames(t *testing.T) {
	rec := cluster(t)
	for name, tt := range map[string]struct {
		texts []string
		err   error
		want  string
	}{
		"nothing": {},
		"taken":   {texts: []string{"The link rmesh0 is not the mesh's."}, want: "name-taken: The link rmesh0 is not the mesh's."},
		"unread":  {err: fmt.Errorf("no netlink"), want: "host-unread: Whether somebody else uses the mesh's names on this host cannot be read: no netlink."},
	} {
		h := &Host{Proc: fakeProc(t), Root: t.TempDir(), Taken: func(context.Context) ([]string, error) { return tt.texts, tt.err }}
		var got string
		for _, p := range h.Preflight(t.Context(), nil, rec, "n1") {
			got += string(p.Code) + ": " + p.Text
		}
		if got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
		if got := h.Preflight(t.Context(), rec, rec, "n1"); len(got) > 0 {
			t.Errorf("%s: a node is refused: %v", name, got)
		}
	}
}
