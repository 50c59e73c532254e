package resolver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var must = agenttest.Must

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// On 127.0.0.0/8, instead of 10.0.0.0/8: the slots of web and R.
var (
	slotA, slotB = addr("127.255.0.128"), addr("127.255.0.129")
	hostAddress  = addr("127.255.0.2")
	resolverAt   = addr("127.255.255.1")
)

// record has the service web with two slots and "many" with 64, all on n1 and in one network.
func record(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	must(t, rec.PutNode(&mesh.Node{Name: "n1", Address: addr("192.0.2.1")}))
	must(t, rec.PutNetwork(&mesh.Network{Name: "back"}))
	put := func(name string, mode mesh.EndpointMode, slots int) {
		must(t, rec.PutService(&mesh.Service{Name: name, EndpointMode: mode, Networks: map[string]mesh.Membership{"back": {}}, Endpoints: map[string]mesh.Endpoint{
			"a": {Node: "n1", Container: &mesh.Container{Name: name}, Slots: make([]uint16, slots)},
		}}))
	}
	put("web", mesh.EndpointVIP, 2)
	put("many", mesh.EndpointDNSRR, mesh.MaxSlots)
	return onLoopback(rec)
}

func onLoopback(rec *mesh.Record) *mesh.Record {
	on := func(a netip.Addr) netip.Addr {
		b := a.As4()
		b[0] = 127
		return netip.AddrFrom4(b)
	}
	prefix := func(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(on(p.Addr()), p.Bits()) }
	rec.Cluster.AddressPool = prefix(rec.Cluster.AddressPool)
	for _, n := range rec.Nodes {
		n.Block = prefix(n.Block)
	}
	for i, b := range rec.Addressing.VIPBlocks {
		rec.Addressing.VIPBlocks[i] = prefix(b)
	}
	for _, s := range rec.Services {
		if s.VIP.IsValid() {
			s.VIP = on(s.VIP)
		}
	}
	return rec
}

// spaces has every socket in the test's own namespace.
type spaces struct {
	id   atomic.Uint64
	fail atomic.Bool
}

func (s *spaces) MeshID() uint64 { return s.id.Load() }

func (s *spaces) InMesh(fn func() error) error {
	if s.fail.Load() {
		return fmt.Errorf("listen: %w", unix.EADDRNOTAVAIL)
	}
	return fn()
}

// store is the service manager's.
type store struct {
	mu   sync.Mutex
	kept map[string][]*os.File
	puts atomic.Int32
}

func (s *store) Keep(name string, socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.puts.Add(1)
	return raw.Control(func(fd uintptr) {
		if dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			s.kept[name] = append(s.kept[name], os.NewFile(uintptr(dup), name))
		}
	})
}

func (s *store) Drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.kept[name] {
		f.Close()
	}
	delete(s.kept, name)
	return nil
}

// handOut is what the next start inherits.
func (s *store) handOut(t *testing.T) map[string][]*os.File {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]*os.File{}
	for name, files := range s.kept {
		for _, f := range files {
			dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			must(t, err)
			out[name] = append(out[name], os.NewFile(uintptr(dup), name))
		}
	}
	return out
}

func (s *store) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, files := range s.kept {
		for range files {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// world is a Resolver at 127.255.255.1, on a port of its own.
type world struct {
	*Resolver
	t      *testing.T
	spaces *spaces
	store  *store
	rec    *mesh.Record
	resolv string
	clock  atomic.Int64 // what the Resolver's clock is ahead
	at     netip.AddrPort
}

// taken are the ports that tests of this process have.
var taken sync.Map

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, spaces: &spaces{}, store: &store{kept: map[string][]*os.File{}}, rec: record(t), resolv: filepath.Join(t.TempDir(), "resolv.conf")}
	w.spaces.id.Store(1)
	for {
		c, err := net.ListenPacket("udp4", "127.255.255.1:0")
		must(t, err)
		w.at = netip.MustParseAddrPort(c.LocalAddr().String())
		c.Close()
		if _, is := taken.LoadOrStore(w.at.Port(), true); !is {
			break
		}
	}
	w.start(nil)
	t.Cleanup(func() {
		for name := range w.store.kept {
			_ = w.store.Drop(name)
		}
	})
	return w
}

// start makes the Resolver of the next start of the agent.
func (w *world) start(inherited map[string][]*os.File) {
	w.Resolver = New(Options{
		Kernel: w.spaces, Store: w.store, Resolv: w.resolv, Inherited: inherited,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) },
	})
	r := w.Resolver
	r.port, r.forwarder.upstream.port, r.forwarder.attempt = w.at.Port(), w.at.Port(), 300*time.Millisecond
	r.spaceOf = func(syscall.Conn) uint64 { return 1 }
	w.t.Cleanup(func() { r.Close(ended()) })
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// follow has the record answered.
func (w *world) follow() {
	w.Follow(w.rec, "n1", compile.Conditions{})
}

// upstreams puts nameservers into resolv.conf.
func (w *world) upstreams(addresses ...string) {
	w.t.Helper()
	var b strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	must(w.t, os.WriteFile(w.resolv, []byte(b.String()), 0o644))
}

// waitFor is how long tests wait for what must come.
const waitFor = 20 * time.Second

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, poll := time.After(waitFor), time.NewTicker(10*time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("not in time: " + what)
		}
	}
}

func (w *world) open() {
	w.t.Helper()
	eventually(w.t, "open", func() bool { return len(w.store.names()) == 2 })
}

// request is a query; a size of 0 is one without EDNS.
func request(t *testing.T, id uint16, name string, kind dnsmessage.Type, size int) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	must(t, b.StartQuestions())
	must(t, b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}))
	if size != 0 {
		must(t, b.StartAdditionals())
		var h dnsmessage.ResourceHeader
		must(t, h.SetEDNS0(size, 0, false))
		must(t, b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	raw, err := b.Finish()
	must(t, err)
	return raw
}

// dial connects an asker to R.
func (w *world) dial(network string, from netip.Addr) net.Conn {
	w.t.Helper()
	d := net.Dialer{Timeout: waitFor}
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := d.DialContext(w.t.Context(), network, w.at.String())
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	must(w.t, conn.SetDeadline(time.Now().Add(waitFor)))
	return conn
}

// exchange sends a request and returns the answer.
func (w *world) exchange(network string, from netip.Addr, raw []byte) []byte {
	w.t.Helper()
	conn := w.dial(network, from)
	if network == "tcp" {
		must(w.t, writeStream(conn, raw))
		answer, err := readStream(conn)
		must(w.t, err)
		return answer
	}
	_, err := conn.Write(raw)
	must(w.t, err)
	buf := make([]byte, maxMessage)
	n, err := conn.Read(buf)
	must(w.t, err)
	return buf[:n]
}

// ask asks for an address over UDP and shows the answer.
func (w *world) ask(from netip.Addr, name string) string {
	w.t.Helper()
	return show(w.t, w.exchange("udp", from, request(w.t, 7, name, dnsmessage.TypeA, 0)))
}

// show is the answer's code, then its records.
func show(t *testing.T, raw []byte) string {
	t.Helper()
	var m dnsmessage.Message
	must(t, m.Unpack(raw))
	text := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.ID != 7 || !m.Response {
		t.Errorf("id %d, response %t", m.ID, m.Response)
	}
	if m.Truncated {
		text = append(text, "truncated")
	}
	for _, r := range append(m.Answers, m.Authorities...) {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			text = append(text, netip.AddrFrom4(b.A).String())
		case *dnsmessage.PTRResource:
			text = append(text, b.PTR.String())
		case *dnsmessage.SOAResource:
			text = append(text, fmt.Sprintf("SOA %s %d", r.Header.Name, b.MinTTL))
		case *dnsmessage.TXTResource:
			text = append(text, b.TXT...)
		}
	}
	return strings.Join(text, " ")
}
