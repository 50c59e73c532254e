//go:build kernel

package kernel_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// dying is a kernel whose process is killed after so many writes.
type dying struct {
	*kernel.Kernel
	writes int
	last   *state.Key // of the last write
}

type killed struct{}

func (d *dying) Apply(ctx context.Context, ops []state.Op) []kernel.OpError {
	n := min(d.writes, len(ops))
	*d.last = ops[n-1].Object().Key()
	failed := d.Kernel.Apply(ctx, ops[:n])
	if d.writes -= n; d.writes == 0 {
		panic(killed{})
	}
	return failed
}

// agentDies starts an agent with the record, which is killed after so many writes,
// and tells the last; false when it had fewer to do. The next one is a new process.
func (m *machine) agentDies(rec *mesh.Record, name string, writes int) (last state.Key, died bool) {
	m.t.Helper()
	m.restart()
	defer func() {
		if p := recover(); p != nil {
			if _, died = p.(killed); !died {
				panic(p)
			}
		}
	}()
	r := reconcile.New(reconcile.Options{Kernel: &dying{m.Kernel, writes, &last}, Version: runningKernel(m.t), Log: slog.New(slog.DiscardHandler)})
	if problems := r.Resume(context.Background(), rec, name); len(problems) > 0 {
		m.t.Errorf("%s: %v", m.name, problems)
	}
	return last, false
}

// agentRuns starts an agent that has all the time it needs.
func (m *machine) agentRuns(rec *mesh.Record, name string) {
	m.t.Helper()
	m.restart()
	if problems := m.reconciler(nil).Resume(context.Background(), rec, name); len(problems) > 0 {
		m.t.Errorf("%s: %v", m.name, problems)
	}
}

// restart gives the machine a Kernel that knows nothing of what another has done.
func (m *machine) restart() {
	m.t.Helper()
	must(m.t, m.Close())
	m.in(func() (err error) {
		m.Kernel, err = kernel.New(kernel.Options{Root: m.root, Originals: m.originals})
		return err
	})
}

// client asks one port again and again, with a new connection each time.
type client struct {
	ended   chan struct{}
	stop    context.CancelFunc
	mu      sync.Mutex
	answers int
	failed  []string
}

func (m *machine) keepAsking(to, want string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.ended)
		_ = within(m.ns, func() error {
			for ctx.Err() == nil {
				answer, err := shortAnswer(to)
				c.mu.Lock()
				if err != nil || answer != want {
					c.failed = append(c.failed, fmt.Sprintf("%q, %v", answer, err))
				}
				c.answers++
				c.mu.Unlock()
			}
			return nil
		})
	}()
	return c
}

func shortAnswer(to string) (string, error) {
	c, err := net.DialTimeout("tcp4", to, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(answer), err
}

// next waits for whole requests that began after now.
func (c *client) next(t *testing.T) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.answers
	}
	begin := count()
	until(t, 15*time.Second, "a request is answered", func() bool { return count() >= begin+2 })
}

func (c *client) end(t *testing.T) {
	t.Helper()
	c.stop()
	<-c.ended
	for _, f := range c.failed {
		t.Errorf("one of %d requests: %s", c.answers, f)
	}
}

// crashMesh is a mesh of two nodes and a client: b serves, and the agent of a is killed after
// each of its writes. The next agent ends what it has begun, and no request through a port
// that the change does not touch is lost. Each kind of apply is a test of its own: they take
// long, and shards of the tests take them apart.
type crashMesh struct {
	t       *testing.T
	a, b, c *machine
	record  *mesh.Record
}

// newCrashMesh has the record in the kernel of a already, if it is standing.
func newCrashMesh(t *testing.T, standing bool) *crashMesh {
	t.Helper()
	w := newWire(t)
	k := &crashMesh{t, newMachine(t, "a"), newMachine(t, "b"), newMachine(t, "c"), crashRecord(t)}
	w.plug(k.a, node(1).underlay())
	w.plug(k.b, node(2).underlay())
	w.plug(k.c, netip.MustParseAddr("192.168.77.100"))
	k.b.answers("tcp", ":80")
	k.b.agentRuns(k.record, "n2")
	if standing {
		k.a.agentRuns(k.record, "n1")
	}
	return k
}

// next is the record after a change.
func (k *crashMesh) next(change func(*mesh.Record) error) *mesh.Record {
	k.t.Helper()
	next := k.record.Next()
	must(k.t, change(next))
	return next
}

func (k *crashMesh) throughB() *client {
	return k.c.keepAsking("192.168.77.2:8080", "b sees 10.255.1.1")
}
func (k *crashMesh) throughA() *client {
	return k.c.keepAsking("192.168.77.1:8080", "b sees 10.255.0.1")
}

// oneAfterTheOther makes the change one write after the other.
func (k *crashMesh) oneAfterTheOther(change func(*mesh.Record) error) {
	k.t.Helper()
	next := k.next(change)
	dieAtEachWrite(k.t, k.a, next, "n1", k.throughA())
	k.record = next
}

// thereAndBack makes the change, and takes it back, from the start each time. It asks for four
// agents at each write, oneAfterTheOther for one, which passes through the same states.
func (k *crashMesh) thereAndBack(change func(*mesh.Record) error) {
	k.t.Helper()
	dieOnceAtEachWrite(k.t, k.a, k.record, k.next(change), k.throughA())
}

func TestKilled_AtAnyWriteOfTheFirstApply(t *testing.T) {
	k := newCrashMesh(t, false)
	dieAtEachWrite(t, k.a, k.record, "n1", k.throughB())
}

func TestKilled_AtAnyWriteOfAPortWithEndpoints(t *testing.T) {
	newCrashMesh(t, true).thereAndBack(putMore(map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}}))
}

func TestKilled_AtAnyWriteOfScaling(t *testing.T) {
	k := newCrashMesh(t, false)
	k.record = k.next(putMore(map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}}))
	k.a.agentRuns(k.record, "n1")
	k.thereAndBack(func(r *mesh.Record) error {
		return r.PutService(&mesh.Service{Name: "more", Endpoints: map[string]mesh.Endpoint{"b": {Node: "n2"}, "c": {Node: "n2", Port: 82}}})
	})
}

// putMore publishes a second service.
func putMore(endpoints map[string]mesh.Endpoint) func(*mesh.Record) error {
	return func(r *mesh.Record) error {
		if err := r.PutService(&mesh.Service{Name: "more", Endpoints: endpoints}); err != nil {
			return err
		}
		return r.PutPort(&mesh.PublishedPort{Service: "more", Published: 8081, Target: 81, Protocol: mesh.TCP, Mode: mesh.Ingress})
	}
}

func TestKilled_AtAnyWriteOfAHostModePort(t *testing.T) {
	k := newCrashMesh(t, true)
	k.oneAfterTheOther(func(r *mesh.Record) error {
		if err := r.PutService(&mesh.Service{Name: "here", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}); err != nil {
			return err
		}
		return r.PutPort(&mesh.PublishedPort{Service: "here", Published: 9090, Target: 90, Protocol: mesh.TCP, Mode: mesh.Host})
	})
	k.oneAfterTheOther(func(r *mesh.Record) error {
		r.RemovePort(mesh.PortKey{Port: 9090, Protocol: mesh.TCP})
		return nil
	})
}

// The first port that preserves the client's address brings what all of them need, and
// the last one takes it away.
func TestKilled_AtAnyWriteOfAPreservedClientAddress(t *testing.T) {
	k := newCrashMesh(t, true)
	k.oneAfterTheOther(func(r *mesh.Record) error {
		if err := putMore(map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}})(r); err != nil {
			return err
		}
		p := *r.Ports[mesh.PortKey{Port: 8081, Protocol: mesh.TCP}]
		p.ClientAddress = mesh.Preserve
		return r.PutPort(&p)
	})
	k.oneAfterTheOther(func(r *mesh.Record) error {
		r.RemovePort(mesh.PortKey{Port: 8081, Protocol: mesh.TCP})
		return nil
	})
}

func TestKilled_AtAnyWriteOfAJoinAndOfLeaving(t *testing.T) {
	k := newCrashMesh(t, true)
	k.oneAfterTheOther(func(r *mesh.Record) error {
		return r.PutNode(&mesh.Node{Name: "n3", Address: node(3).underlay(), UnderlayMTU: 1500})
	})
	left := k.next(func(r *mesh.Record) error {
		r.RemoveNode("n1")
		return nil
	})
	dieAtEachWrite(t, k.a, left, "", k.throughB())
	k.a.reach(state.State{}, 0)
}

// dieAtEachWrite lets one agent after the other do a single write: every state on
// the way is one that an agent was left in, and one that an agent starts from.
func dieAtEachWrite(t *testing.T, m *machine, rec *mesh.Record, name string, traffic *client) {
	m.t = t
	defer traffic.end(t)
	traffic.next(t)
	deaths, writes := 0, 1
	for seen := map[state.Key]bool{}; ; deaths++ {
		last, died := m.agentDies(rec, name, writes)
		if !died {
			break
		}
		if seen[last] { // a setting goes with its link: to remove it was no write
			writes++
		} else {
			writes = 1
		}
		seen[last] = true
		if deaths > 200 {
			t.Fatal("it does not end")
		}
	}
	traffic.next(t)
	t.Logf("%d deaths, %d requests", deaths, traffic.answers)
	if ops := m.plan(compile.Compile(rec, name, runningKernel(t), m.conditions())); len(ops) > 0 {
		t.Errorf("left:\n%s", text(ops))
	}
}

// dieOnceAtEachWrite kills an agent after its first, second, … write of the change, and has the
// next one do the rest; then the same of the way back.
func dieOnceAtEachWrite(t *testing.T, m *machine, from, to *mesh.Record, traffic *client) {
	m.t = t
	defer traffic.end(t)
	traffic.next(t)
	there, back := 0, 0
	for writes, more := 1, true; more; writes++ {
		more = false
		for _, way := range []struct {
			to    *mesh.Record
			count *int
		}{{to, &there}, {from, &back}} {
			if _, died := m.agentDies(way.to, "n1", writes); died {
				*way.count, more = writes, true
				traffic.next(t)
				m.agentRuns(way.to, "n1") // which reads back
			}
		}
		traffic.next(t)
	}
	if min(there, back) < 3 {
		t.Errorf("the change is none: %d writes, and %d to take it back", there, back)
	}
	t.Logf("%d writes, %d back, %d requests", there, back, traffic.answers)
}

func crashRecord(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	rec.Generation = 1
	for n := range 2 {
		must(t, rec.PutNode(&mesh.Node{Name: fmt.Sprintf("n%d", n+1), Address: node(n + 1).underlay(), UnderlayMTU: 1500}))
	}
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"b": {Node: "n2"}}}))
	must(t, rec.PutPort(publishedPort(8080)))
	return rec
}

// A port gets addresses, a second one its number, and both go: b's of the same number is open
// at an address of a that the other ports do not have.
func TestKilled_AtAnyWriteOfPortsByAddress(t *testing.T) {
	k := newCrashMesh(t, true)
	k.record = k.next(func(r *mesh.Record) error {
		p := publishedPort(8080)
		p.Listen = "192.168.77.0/24"
		return r.PutPort(p)
	})
	k.a.agentRuns(k.record, "n1")
	k.oneAfterTheOther(func(r *mesh.Record) error {
		if err := r.PutService(&mesh.Service{Name: "more", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}}}); err != nil {
			return err
		}
		return r.PutPort(&mesh.PublishedPort{Service: "more", Published: 8080, Target: 81, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "127.0.0.0/8"})
	})
	k.oneAfterTheOther(func(r *mesh.Record) error {
		r.RemovePort(mesh.PortKey{Port: 8080, Protocol: mesh.TCP, VIP: 1})
		return r.PutPort(publishedPort(8080))
	})
}

// The first network makes the overlay again, and the last one too: what does not go over it
// works all the time, and each state on the way is one to go on from.
func TestKilled_AtAnyWriteOfTheFirstNetworkAndTheLast(t *testing.T) {
	k := newCrashMesh(t, false)
	k.a.answers("tcp", ":80")
	k.record = k.next(func(r *mesh.Record) error {
		return r.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}})
	})
	k.a.agentRuns(k.record, "n1")
	local := func() *client { return k.c.keepAsking("192.168.77.1:8080", "a sees 10.255.0.1") }
	with := k.next(func(r *mesh.Record) error {
		if err := r.PutNetwork(&mesh.Network{Name: "front", Hosts: []string{"n1"}}); err != nil {
			return err
		}
		return r.PutService(&mesh.Service{Name: "api", Networks: map[string]mesh.Membership{"front": {}},
			VIPPorts: map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080}, Endpoints: map[string]mesh.Endpoint{"b": {Node: "n2"}}})
	})
	dieAtEachWrite(t, k.a, with, "n1", local())
	dieAtEachWrite(t, k.a, k.record, "n1", local())
}
