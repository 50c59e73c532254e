//go:build kernel

package resolver

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
)

// namespace is a mesh namespace of its own.
type namespace struct{ ns netns.NsHandle }

func (n namespace) MeshID() uint64 {
	var st unix.Stat_t
	if unix.Fstat(int(n.ns), &st) != nil {
		return 0
	}
	return st.Ino
}

// InMesh is as the agent's: what fn opens stays in the namespace.
func (n namespace) InMesh(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err == nil {
			err = netns.Set(n.ns)
		}
		if err == nil {
			err = fn()
		}
		if netns.Set(origin) == nil { // the process's first thread would not end here
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, origin.Close())
	}()
	return <-done
}

// newNamespace has the addresses of slots, and R by AnyIP once anyIP was called.
func newNamespace(t *testing.T) (n namespace) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	must(t, namespace{here}.InMesh(func() (err error) {
		n.ns, err = netns.New()
		return err
	}))
	t.Cleanup(func() { n.ns.Close() })
	must(t, n.InMesh(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		address, err := netlink.ParseAddr(slotA.String() + "/32")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(lo), netlink.AddrAdd(lo, address))
	}))
	return n
}

// askIn asks from the slot within the namespace.
func (w *world) askIn(n namespace, network string) string {
	w.t.Helper()
	var conn net.Conn
	must(w.t, n.InMesh(func() error {
		conn = w.dial(network, slotA)
		return nil
	}))
	raw := request(w.t, 7, "web.", dnsmessage.TypeA, 0)
	var answer []byte
	var err error
	if network == "tcp" {
		must(w.t, writeStream(conn, raw))
		answer, err = readStream(conn)
	} else {
		_, err = conn.Write(raw)
		must(w.t, err)
		answer = make([]byte, maxMessage)
		var size int
		size, err = conn.Read(answer)
		answer = answer[:size]
	}
	must(w.t, err)
	return show(w.t, answer)
}

// TestResolver_Namespaces: R is answered at by AnyIP as soon as there is the route, a socket
// that was kept is taken up in its namespace and nowhere else, and those of the namespace of
// before are forgotten.
func TestResolver_Namespaces(t *testing.T) {
	// On 127.0.0.0/8 every address would be local.
	slot, at := slotA, resolverAt
	t.Cleanup(func() { slotA, resolverAt = slot, at }) // the parallel tests come after this one
	slotA, resolverAt = addr("10.255.0.128"), addr("10.255.255.1")
	w := newWorld(t)
	w.rec.Cluster.AddressPool = netip.MustParsePrefix("10.255.0.0/16")
	w.rec.Nodes["n1"].Block = netip.MustParsePrefix("10.255.0.0/24")
	w.rec.Addressing.VIPBlocks[0] = netip.MustParsePrefix("10.255.255.0/24")
	w.at = netip.AddrPortFrom(resolverAt, dnsPort)
	a, b := newNamespace(t), newNamespace(t)
	start := func(n namespace, inherit bool) {
		t.Helper()
		if w.start(nil); inherit {
			w.inherited = w.store.handOut(t)
		}
		w.kernel, w.port, w.spaceOf = n, dnsPort, spaceOf
		w.Follow(w.rec, "n1", compile.Conditions{})
	}
	anyIP := func(n namespace) {
		t.Helper()
		must(t, n.InMesh(func() error {
			return netlink.RouteAdd(&netlink.Route{
				LinkIndex: 1, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
				Dst: &net.IPNet{IP: net.IPv4(10, 255, 255, 0), Mask: net.CIDRMask(24, 32)},
			})
		}))
	}
	start(a, false)
	eventually(t, "there is no R yet", func() bool { return errors.Is(w.fault.lasting(w.now().Add(brokenFor)), unix.EADDRNOTAVAIL) })
	anyIP(a)
	anyIP(b)
	w.open()
	for _, network := range []string{"udp", "tcp"} {
		if got := w.askIn(a, network); got != "Success 127.255.255.2" {
			t.Errorf("%s: %q", network, got)
		}
	}
	puts := w.store.puts.Load()
	w.Close(t.Context())
	start(a, true)
	if got := w.askIn(a, "udp"); got != "Success 127.255.255.2" || w.store.puts.Load() != puts {
		t.Errorf("the kept socket was not taken up: %q", got)
	}
	w.Close(t.Context())
	start(b, true)
	eventually(t, "opened again", func() bool { return w.store.puts.Load() == puts+2 })
	if got := w.askIn(b, "tcp"); got != "Success 127.255.255.2" || !slices.Equal(w.store.names(), bothSockets) {
		t.Errorf("%q; stored are %v", got, w.store.names())
	}
	for _, files := range w.store.handOut(t) {
		c, err := net.FileListener(files[0])
		if err != nil {
			continue
		}
		if s, ok := c.(syscall.Conn); !ok || spaceOf(s) != b.MeshID() {
			t.Error("a socket of the namespace of before is kept")
		}
		c.Close()
	}
}
