package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const healthAt, metricsAt = "127.0.0.1:10256", "127.0.0.1:10257"

// record has n1 and n2, with an endpoint of web on each.
func record(t *testing.T, change func(rec *mesh.Record)) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
		HealthAddress: healthAt,
	})
	must(t, err)
	rec.Generation = 7
	for i, name := range []string{"n1", "n2"} {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}))
	}
	check := mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}}, HealthCheck: &check}))
	must(t, rec.PutService(&mesh.Service{Name: "unpublished", Endpoints: map[string]mesh.Endpoint{"c": {Node: "n1", Port: 9}}}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	if change != nil {
		change(rec)
	}
	return rec
}

func checkOf(address string) compile.Check {
	return compile.Check{Service: "web", Addr: netip.MustParseAddrPort(address)}
}

// world is what a Front asks.
type world struct {
	conditions compile.Conditions
	stats      reconcile.Stats
	results    map[compile.Check]health.Result
	counters   mesh.Counters
	deaf       error
	warnings   []mesh.Warning
}

func (w *world) Conditions() compile.Conditions           { return w.conditions }
func (w *world) Stats() reconcile.Stats                   { return w.stats }
func (w *world) Results() map[compile.Check]health.Result { return w.results }

// applied is a node whose record reached the kernel.
func applied() *world { return &world{stats: reconcile.Stats{Generation: 7, Applied: 7}} }

// listeners stands in for the host's ports: each address that is listened on gets a
// free one of the loopback.
type listeners struct {
	mu   sync.Mutex
	open map[string]net.Listener
	all  []net.Listener
}

func (d *listeners) listen(address netip.AddrPort) (net.Listener, error) {
	l, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.open[address.String()] = l
		d.all = append(d.all, l)
	}
	return l, err
}

func (d *listeners) address(t *testing.T, at string) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[at] == nil {
		t.Fatalf("nobody listens on %s", at)
	}
	return d.open[at].Addr().String()
}

func newFront(t *testing.T, w *world) (*Front, *listeners) {
	t.Helper()
	f := New(Options{
		State: w, Health: w, Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
		Counters: func(context.Context) (mesh.Counters, error) { return w.counters, w.deaf },
		Warnings: func() []mesh.Warning { return w.warnings },
	})
	d := &listeners{open: map[string]net.Listener{}}
	f.listen = d.listen
	t.Cleanup(func() { f.Follow(nil, "") })
	return f, d
}

// get asks and returns the status and the body.
func get(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, strings.TrimSpace(string(data))
}

// TestOldAndCarelessCheckers: what load balancers send, and what they may do.
func TestOldAndCarelessCheckers(t *testing.T) {
	f, d := newFront(t, applied())
	f.Follow(record(t, nil), "n1")
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                                                "HTTP/1.0 200 OK",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n":           "HTTP/1.1 200 OK",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\n": "HTTP/1.1 431 Request Header Fields Too Large",
	} {
		c, err := net.Dial("tcp", d.address(t, healthAt))
		must(t, err)
		go func() { _, _ = io.WriteString(c, request) }() // it may not be read to its end
		must(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		if strings.TrimSpace(line) != want {
			t.Errorf("%.40q: %q, want %q", request, line, want)
		}
		if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.40q: the connection stays open", request)
		}
		c.Close()
	}
}

func TestTheDoorsFollowTheRecord(t *testing.T) {
	f, d := newFront(t, applied())
	f.Follow(record(t, nil), "n1")
	first := d.address(t, healthAt)
	f.Follow(record(t, drained), "n1")
	if now := d.address(t, healthAt); now != first || len(d.all) != 1 {
		t.Errorf("the listener has changed from %s to %s", first, now)
	}
	f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.HealthAddress, rec.Cluster.MetricsAddress = ":10256", healthAt }), "n1")
	if status, body := get(t, "GET", "http://"+d.address(t, healthAt)+"/metrics"); status != 200 {
		t.Errorf("the address is the metrics' now: %d %s", status, body)
	}
	if status, _ := get(t, "GET", "http://"+d.address(t, "192.0.2.1:10256")+"/healthz"); status != 200 {
		t.Errorf("the health address is the node's own: %d", status)
	}
	for name, leave := range map[string]func(){
		"no record":     func() { f.Follow(nil, "") },
		"no node":       func() { f.Follow(record(t, nil), "") },
		"no node of it": func() { f.Follow(record(t, nil), "n9") },
		"no addresses":  func() { f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.HealthAddress = "" }), "n1") },
	} {
		f.Follow(record(t, nil), "n1")
		at := d.address(t, healthAt)
		leave()
		if c, err := net.Dial("tcp", at); err == nil {
			c.Close()
			t.Errorf("%s: somebody still listens", name)
		}
	}
}

// chanListener never has a connection. As a socket, it may be closed again.
type chanListener struct {
	closed chan struct{}
	end    func() // closes it, once
}

func newChanListener() chanListener {
	closed := make(chan struct{})
	return chanListener{closed, sync.OnceFunc(func() { close(closed) })}
}

func (l chanListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l chanListener) Close() error {
	l.end()
	return nil
}

func (l chanListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestADoorThatDoesNotOpenIsAProblemUntilItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFront(t, applied())
		var tries atomic.Int32
		var fails atomic.Value
		fails.Store(unix.EADDRINUSE)
		f.listen = func(netip.AddrPort) (net.Listener, error) {
			tries.Add(1)
			if code, ok := fails.Load().(unix.Errno); ok && code != 0 {
				return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", code)}
			}
			return newChanListener(), nil
		}
		f.Follow(record(t, nil), "n1")
		want := []mesh.Problem{{Code: mesh.ProblemListener, Object: mesh.NodeRef("n1"), Attribute: "health_address", Text: "The agent cannot listen on 127.0.0.1:10256, its health_address: " +
			"another program listens there. So a load balancer takes this node for dead. Stop it (`ss -ltnp` shows which one), or choose another health_address for the cluster."}}
		if got := f.Problems(); !slices.Equal(got, want) {
			t.Errorf("problems: %+v", got)
		}
		f.Follow(record(t, nil), "n1") // another commit
		time.Sleep(3*retryAfter + time.Second)
		synctest.Wait()
		if tries.Load() != 4 || !slices.Equal(f.Problems(), want) {
			t.Errorf("%d tries, problems %v", tries.Load(), f.Problems())
		}
		fails.Store(unix.Errno(0))
		time.Sleep(retryAfter)
		synctest.Wait()
		if tries.Load() != 5 || f.Problems() != nil {
			t.Errorf("%d tries, problems %v", tries.Load(), f.Problems())
		}
		fails.Store(unix.EADDRNOTAVAIL)
		f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.HealthAddress, rec.Cluster.MetricsAddress = "", "192.0.2.9:99" }), "n1")
		if p := f.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "metrics_address: the host has no such address. So its metrics cannot be read there.") {
			t.Errorf("problems: %v", p)
		}
		f.Follow(nil, "")
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries.Load() != 6 || f.Problems() != nil {
			t.Errorf("tried on after it was not wanted any more: %d, %v", tries.Load(), f.Problems())
		}
	})
}

// TestARealPortThatIsTaken: the kernel's own refusal is understood.
func TestARealPortThatIsTaken(t *testing.T) {
	taken, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	must(t, err)
	defer taken.Close()
	f, _ := newFront(t, applied())
	f.listen = listen
	f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.HealthAddress = taken.Addr().String() }), "n1")
	if p := f.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "another program listens there") {
		t.Errorf("problems: %v", p)
	}
}
