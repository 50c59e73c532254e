package presence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spaces has every socket in the test's own namespace.
type spaces struct {
	id    atomic.Uint64
	opens atomic.Int32
	fails atomic.Bool
}

func (s *spaces) MeshID() uint64 { return s.id.Load() }

func (s *spaces) InMesh(fn func() error) error {
	if s.fails.Load() {
		return errors.New("the mesh is not up")
	}
	s.opens.Add(1)
	return fn()
}

// node is a Presence on 127.0.i.6.
type node struct {
	*Presence
	spaces *spaces
	stop   func()
}

// loopback is rollOf's on 127.0.0.0/8.
func loopback(nodes int, self string) Roll {
	r := rollOf(nodes, self)
	for name, m := range r.Nodes {
		on := func(a netip.Addr) netip.Addr {
			b := a.As4()
			b[0] = 127
			return netip.AddrFrom4(b)
		}
		for i, a := range m.Slots {
			m.Slots[i] = on(a)
		}
		r.Nodes[name] = Member{Address: on(m.Address), Block: netip.PrefixFrom(on(m.Block.Addr()), m.Block.Bits()), Slots: m.Slots}
	}
	return r
}

// ports are those that tests of this process have.
var ports sync.Map

// freePort is one that no other test has on 127.0.1.6.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for {
		c, err := net.ListenPacket("udp4", "127.0.1.6:0")
		if err != nil {
			t.Fatal(err)
		}
		port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		c.Close()
		if _, taken := ports.LoadOrStore(port, true); !taken {
			return port
		}
	}
}

func run(t *testing.T, port uint16, log *slog.Logger) *node {
	t.Helper()
	n := &node{spaces: &spaces{}}
	n.spaces.id.Store(1)
	n.Presence = New(Options{Kernel: n.spaces, Log: log})
	n.link, n.port = "", port
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	n.stop = func() { cancel(); <-done }
	t.Cleanup(n.stop)
	return n
}

// eventually waits for a condition, which may come without a signal.
func eventually(t *testing.T, what string, signals <-chan struct{}, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-signals:
		case <-poll.C:
		case <-deadline:
			t.Fatal("not in time: " + what)
		}
	}
}

func (n *node) eventuallyAbsent(t *testing.T, slots ...string) {
	t.Helper()
	var last string
	eventually(t, fmt.Sprintf("absent %v", slots), n.Changed(), func() bool {
		last = diff(filled(slots...), n.Absent())
		return last == ""
	})
}

func TestPresence_TwoNodes(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	n1, n2 := run(t, port, nil), run(t, port, nil)
	n1.Keep(loopback(2, "n1"))
	n2.Keep(loopback(2, "n2"))
	n1.Fill(filled("127.0.1.16"))
	n2.Fill(filled("127.0.2.16", "127.0.2.17"))
	n1.eventuallyAbsent(t, "127.0.1.17")
	n2.eventuallyAbsent(t, "127.0.1.17")
	n2.Fill(filled("127.0.2.17"))
	n1.eventuallyAbsent(t, "127.0.1.17", "127.0.2.16")
	want := map[string]Heard{
		"n1": {Filled: []netip.Addr{addr("127.0.1.16")}, Known: true},
		"n2": {Filled: []netip.Addr{addr("127.0.2.17")}, Known: true},
	}
	for _, n := range []*node{n1, n2} {
		eventually(t, "both have heard the same", n.Changed(), func() bool { return diff(want, n.Heard()) == "" })
	}
}

func TestPresence_Silence_AndBack(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	n1, n2 := run(t, port, nil), run(t, port, nil)
	n1.Keep(loopback(2, "n1"))
	n2.Keep(loopback(2, "n2"))
	n2.Fill(filled("127.0.2.16"))
	n1.eventuallyAbsent(t, "127.0.2.17")
	n2.stop()
	n1.eventuallyAbsent(t, "127.0.2.16", "127.0.2.17")
	again := run(t, port, nil) // another instance, whose sequence starts again
	again.Keep(loopback(2, "n2"))
	again.Fill(filled("127.0.2.17"))
	n1.eventuallyAbsent(t, "127.0.2.16")
}

// A socket keeps a namespace alive, and hears nothing in the next one.
func TestPresence_FollowsTheNamespace(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	n := run(t, port, nil)
	n.Keep(loopback(2, "n1"))
	opened := func(times int32) {
		t.Helper()
		eventually(t, fmt.Sprintf("opened %d times", times), nil, func() bool { return n.listens() && n.spaces.opens.Load() == times })
	}
	opened(1)
	n.spaces.id.Store(2)
	opened(2)
	n.spaces.id.Store(0)
	eventually(t, "closed without a namespace", nil, func() bool { return free(port) })
	n.spaces.id.Store(3)
	opened(3)
	n.Keep(Roll{})
	eventually(t, "closed without slots", nil, func() bool { return free(port) })
	n.Keep(loopback(2, "n1"))
	opened(4)
	n.stop()
	if !free(port) {
		t.Error("the socket is still open")
	}
}

func (n *node) listens() bool {
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	return n.table.listening
}

// free says that n1 has no socket. It holds the port for a moment, so it is not asked
// while a socket is to be opened.
func free(port uint16) bool {
	c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.1.6:%d", port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestPresence_FollowsItsAddress(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	n := run(t, port, nil)
	n.Keep(loopback(2, "n1"))
	eventually(t, "opened", nil, n.listens)
	n.Keep(loopback(2, "n2"))
	eventually(t, "closed", nil, func() bool { return free(port) && n.spaces.opens.Load() == 2 })
}

// Until the mesh is up there is one line in the log, and then it works.
func TestPresence_MeshComesUpLater(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	log := &buffer{}
	n1, n2 := run(t, port, slog.New(slog.NewTextHandler(log, nil))), run(t, port, nil)
	n1.spaces.fails.Store(true)
	n1.Keep(loopback(2, "n1"))
	n2.Keep(loopback(2, "n2"))
	n2.Fill(filled())
	eventually(t, "logged", nil, func() bool { return strings.Contains(log.String(), "the mesh is not up") })
	for range 5 {
		n1.wakeUp(t)
	}
	n1.spaces.fails.Store(false)
	n1.eventuallyAbsent(t, "127.0.2.16", "127.0.2.17")
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines:\n%s", lines, log)
	}
}

// wakeUp has Run go around once more.
func (n *node) wakeUp(t *testing.T) {
	t.Helper()
	signal(n.wake)
	eventually(t, "taken", nil, func() bool { return len(n.wake) == 0 })
}

func TestPresence_Malformed_IsLoggedOnce(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	log := &buffer{}
	n1, n2 := run(t, port, slog.New(slog.NewTextHandler(log, nil))), run(t, port, nil)
	n1.Keep(loopback(2, "n1"))
	eventually(t, "opened", nil, n1.listens)
	c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.2.6:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr("127.0.1.6"), port))
	for i := range 50 {
		if _, err := c.WriteTo(bytes.Repeat([]byte{byte(i)}, 30*i), to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are counted", nil, func() bool { return n1.table.refused().Malformed == 50 })
	c.Close()
	n2.Keep(loopback(2, "n2"))
	n2.Fill(filled("127.0.2.17"))
	n1.eventuallyAbsent(t, "127.0.2.16")
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines:\n%s", lines, log)
	}
}

// buffer is a log that tests read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
