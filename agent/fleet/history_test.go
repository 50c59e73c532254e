package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// A random history of the real client and the real agents: writers publish and
// withdraw ports of their own, readers look, the voters change, and meanwhile agents
// are restarted, calls are cut off before and after they are carried out, hosts go down,
// and one at a time loses its record. What was acknowledged must be in every record that
// is read later, and what was withdrawn or refused in none.
//
// HISTORY_SEED repeats the choices of a run (not its timing), HISTORY_COMMITS its length.
func TestRandomHistory(t *testing.T) {
	t.Parallel()
	seed, want := uint64(time.Now().UnixNano()), 1000
	if underRace {
		want = 200
	}
	if s, err := strconv.ParseUint(os.Getenv("HISTORY_SEED"), 10, 64); err == nil {
		seed = s
	}
	if n, err := strconv.Atoi(os.Getenv("HISTORY_COMMITS")); err == nil {
		want = n
	}
	t.Logf("HISTORY_SEED=%d", seed)
	h := newHistory(t, seed, want)
	began := time.Now()
	h.run(t)
	t.Logf("%d changes acknowledged, %d refused, %d of unknown outcome, %d reads of which %d were refused, %d calls disturbed, %d hosts down, %d records lost, %d changes of voters, in %s",
		h.done.Load(), h.refused.Load(), h.unknown.Load(), h.reads.Load(), h.unread.Load(), h.disturbed.Load(), h.downs.Load(), h.lost.Load(), h.moves.Load(),
		time.Since(began).Round(time.Second))
	h.settle(t)
}

const (
	historyWriters = 3
	portsOfWriter  = 6
	historyLimit   = 8 * time.Minute
)

var (
	historyHosts = []string{"n1", "n2", "n3", "n4", "n5"}
	// Voters are the first three, and at times the other three.
	voterSets = [][]string{{"n1", "n2", "n3"}, {"n2", "n3", "n4"}}
)

// expectation is what the last change of a port should have come to.
type expectation struct {
	version        int // +1 when a change begins, and when it ends
	known, present bool
	busy           bool
	last           string
}

type history struct {
	fleet  *meshtest.Fleet
	agents *unruly
	seed   uint64
	want   int64
	over   chan struct{}

	mu    sync.Mutex
	ports map[uint16]expectation

	done, refused, unknown, reads, unread, disturbed, downs, lost, moves atomic.Int64
}

func newHistory(t *testing.T, seed uint64, want int) *history {
	t.Helper()
	h := &history{seed: seed, want: int64(want), over: make(chan struct{}), ports: map[uint16]expectation{}}
	h.agents = newUnruly(t, h)
	h.fleet = meshtest.NewWith(t, h.agents, historyHosts...)
	c := h.client(t, "n1", "n2", "n3")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(_ *meshclient.Result, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c.CreateCluster(ctx, historyCluster(0)))
	for _, n := range h.fleet.All() {
		check(c.PutNode(ctx, "demo", n.MeshNode(), true))
	}
	check(c.PutService(ctx, "demo", mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}, true))
	return h
}

func historyCluster(mtu int) mesh.Cluster {
	return mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange, MTU: mtu,
	}
}

func (h *history) client(t *testing.T, hosts ...string) *meshclient.Client {
	t.Helper()
	cfg := h.fleet.ClientConfig(hosts...)
	cfg.SSH.Timeout = 700 * time.Millisecond // no longer than hosts are down
	c, err := meshclient.New(cfg)
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (h *history) run(t *testing.T) {
	t.Helper()
	h.agents.unruly.Store(true)
	var wg sync.WaitGroup
	for w := range historyWriters {
		wg.Go(func() { h.write(t, w) })
	}
	wg.Go(func() { h.read(t) })
	wg.Go(func() { h.move(t) })
	wg.Go(h.disturb)
	timer := time.AfterFunc(historyLimit, func() { t.Errorf("after %s only %d changes were acknowledged", historyLimit, h.done.Load()); h.end() })
	wg.Wait()
	timer.Stop()
	h.agents.unruly.Store(false)
	for _, n := range h.fleet.All() {
		n.SetDown(false)
	}
}

func (h *history) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.over:
	default:
		close(h.over)
	}
}

func (h *history) going() bool {
	select {
	case <-h.over:
		return false
	default:
		return true
	}
}

// write is one Terraform state after the other: each process makes a few changes.
func (h *history) write(t *testing.T, w int) {
	t.Helper()
	random := rand.New(rand.NewPCG(h.seed, uint64(w)))
	var c *meshclient.Client
	for i := 0; h.going(); i++ {
		if i%5 == 0 {
			if c != nil {
				c.Close()
			}
			if c = h.client(t, voterSets[random.IntN(len(voterSets))]...); c == nil {
				return
			}
		}
		port := uint16(10000 + 100*w + random.IntN(portsOfWriter))
		h.change(t, c, port, random.IntN(2) == 0)
	}
}

func (h *history) change(t *testing.T, c *meshclient.Client, port uint16, present bool) {
	t.Helper()
	before := h.begin(port)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	var r *meshclient.Result
	if present {
		r, err = c.PutPort(ctx, "demo", mesh.PublishedPort{Service: "web", Published: port, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}, false)
	} else {
		r, err = c.RemovePort(ctx, "demo", "web", mesh.PortKey{Port: port, Protocol: mesh.TCP})
	}
	now := before
	problems, ok := errors.AsType[*meshclient.ProblemsError](err)
	switch {
	case err == nil || (ok && problems.Committed && !problems.Unknown):
		h.done.Add(1)
		now.known, now.present, now.last = true, present, fmt.Sprintf("acknowledged with generation %d", r.Record.Generation)
	case ok && problems.Unknown:
		h.unknown.Add(1)
		now.known = before.known && before.present == present
	default:
		h.refused.Add(1)
		now.last += ", then refused: " + fmt.Sprintf("%.200v", err)
	}
	h.finish(port, now)
	if h.done.Load() >= h.want {
		h.end()
	}
}

func (h *history) begin(port uint16) expectation {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.ports[port]
	e.known = e.known || !ok
	e.version, e.busy = e.version+1, true
	h.ports[port] = e
	return e
}

func (h *history) finish(port uint16, e expectation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.version, e.busy = e.version+1, false
	h.ports[port] = e
}

func (h *history) expected() map[uint16]expectation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ports)
}

// read compares what a plan would see with what was known before and after it.
func (h *history) read(t *testing.T) {
	t.Helper()
	random := rand.New(rand.NewPCG(h.seed, 99))
	for h.going() {
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		c := h.client(t, voterSets[random.IntN(len(voterSets))]...)
		if c == nil {
			return
		}
		h.look(t, c)
		c.Close()
	}
}

func (h *history) look(t *testing.T, c *meshclient.Client) {
	t.Helper()
	before := h.expected()
	snap, err := c.Snapshot(t.Context())
	h.reads.Add(1)
	if err != nil || !snap.Quorate() {
		h.unread.Add(1)
		return
	}
	after := h.expected()
	for port, e := range before {
		if e != after[port] || e.busy || !e.known {
			continue
		}
		if has := snap.Record.Ports[mesh.PortKey{Port: port, Protocol: mesh.TCP}] != nil; has != e.present {
			t.Errorf("port %d: published %v at generation %d, want %v (%s); %q", port, has, snap.Record.Generation, e.present, e.last, snap.Warnings)
			h.end()
		}
	}
}

// move changes the voters to and fro.
func (h *history) move(t *testing.T) {
	t.Helper()
	for i := 1; h.going(); i++ {
		time.Sleep(2 * time.Second)
		c := h.client(t, voterSets[i%len(voterSets)]...)
		if c == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := c.UpdateCluster(ctx, historyCluster(0)); err == nil {
			h.moves.Add(1)
		}
		cancel()
		c.Close()
	}
}

// disturb takes hosts off the network, and loses the record of one that is or becomes a
// voter while all the others have theirs.
func (h *history) disturb() {
	random := rand.New(rand.NewPCG(h.seed, 100))
	for h.going() {
		time.Sleep(time.Duration(100+random.IntN(500)) * time.Millisecond)
		name := historyHosts[random.IntN(len(historyHosts))]
		if random.IntN(3) == 0 {
			if h.agents.loseRecord(name) {
				h.lost.Add(1)
			}
			continue
		}
		h.downs.Add(1)
		h.fleet.Node(name).SetDown(true)
		time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
		h.fleet.Node(name).SetDown(false)
	}
}

// settle lets a last change reach all hosts: they agree then, and have what was
// acknowledged.
func (h *history) settle(t *testing.T) {
	t.Helper()
	c := h.client(t, "n2", "n3", "n1")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a lease may still run
	defer cancel()
	if _, err := c.PutPort(ctx, "demo", mesh.PublishedPort{Service: "web", Published: 9, Target: 9, Protocol: mesh.TCP, Mode: mesh.Ingress}, true); err != nil {
		t.Fatal(err)
	}
	h.look(t, c)
	hashes := map[string]bool{}
	for _, name := range historyHosts {
		rec, _ := h.agents.byName[name].current().Current()
		hashes[rec.Hash()] = true
	}
	if len(hashes) != 1 {
		t.Errorf("the hosts have %d records", len(hashes))
	}
}

// unruly are real agents whose calls are cut off, and which are restarted, at random.
type unruly struct {
	h      *history
	byName map[string]*unrulyAgent
	unruly atomic.Bool
	losing sync.Mutex
}

type unrulyAgent struct {
	*agent
	all    *unruly
	socket string
	life   sync.RWMutex // read by calls: a process that is killed does not go on with one
	mu     sync.Mutex
	random *rand.Rand
}

// again is a new process, on an empty disk or on that of before.
func (a *unrulyAgent) again(start func() error) error {
	a.life.Lock()
	defer a.life.Unlock()
	return start()
}

func (a *unrulyAgent) carryOut(w http.ResponseWriter, r *http.Request) {
	a.life.RLock()
	defer a.life.RUnlock()
	a.agent.ServeHTTP(w, r)
}

func newUnruly(t *testing.T, h *history) *unruly {
	t.Helper()
	all := &unruly{h: h, byName: map[string]*unrulyAgent{}}
	dir := t.TempDir()
	_, sum, _ := meshtest.AgentBinary("this version")("amd64")
	for i, name := range historyHosts {
		a := &unrulyAgent{
			agent:  &agent{dir: filepath.Join(dir, name), address: addressOf(i), sha256: sum, calls: &calls{byPath: map[string]int{}}},
			all:    all,
			socket: filepath.Join(dir, name+".sock"), random: rand.New(rand.NewPCG(h.seed, uint64(200+i))),
		}
		if err := a.forget(); err != nil {
			t.Fatal(err)
		}
		listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", a.socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
		t.Cleanup(func() { server.Close() })
		go server.Serve(listener) //nolint:errcheck // that the server was closed
		all.byName[name] = a
	}
	return all
}

// addressOf is meshtest's address of the i-th host.
func addressOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)}) }

// Dial implements meshtest.Agents.
func (u *unruly) Dial(name string) (net.Conn, error) {
	return new(net.Dialer).DialContext(context.Background(), "unix", u.byName[name].socket)
}

// Forget implements meshtest.Agents.
func (u *unruly) Forget(name string) {
	_ = u.byName[name].again(u.byName[name].forget) // what is left shows in the next call
}

// loseRecord makes the host one without a record, if all the others have one.
func (u *unruly) loseRecord(name string) bool {
	u.losing.Lock()
	defer u.losing.Unlock()
	for _, a := range u.byName {
		if rec, _ := a.current().Current(); rec == nil {
			return false
		}
	}
	return u.byName[name].again(u.byName[name].forget) == nil
}

// ServeHTTP disturbs one call in 25.
func (a *unrulyAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	what := a.random.IntN(100)
	a.mu.Unlock()
	if what >= 4 || !a.all.unruly.Load() {
		a.carryOut(w, r)
		return
	}
	a.all.h.disturbed.Add(1)
	if what == 0 || what == 1 { // restarted, or cut off, before the call
		if what == 0 {
			_ = a.again(a.restart) // what is left shows in the next call
		}
		panic(http.ErrAbortHandler)
	}
	a.carryOut(httptest.NewRecorder(), r)
	if what == 2 {
		_ = a.again(a.restart)
	}
	panic(http.ErrAbortHandler)
}
