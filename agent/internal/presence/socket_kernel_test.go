//go:build kernel

package presence

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// namespace is a mesh namespace of its own.
type namespace struct{ ns netns.NsHandle }

func (n namespace) MeshID() uint64 { return 1 }

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
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect makes a pair of links that have the overlay's name, one in each namespace,
// with the N of n1 and n2.
func connect(t *testing.T, a, b namespace) {
	t.Helper()
	must(t, a.InMesh(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: state.OverlayLink}, PeerName: state.OverlayLink, PeerNamespace: netlink.NsFd(b.ns),
		})
	}))
	for n, address := range map[namespace]string{a: "10.0.1.6/8", b: "10.0.2.6/8"} {
		must(t, n.InMesh(func() error {
			link, err := netlink.LinkByName(state.OverlayLink)
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr(address)
			if err != nil {
				return err
			}
			return errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
		}))
	}
}

func disconnect(t *testing.T, a namespace) {
	t.Helper()
	must(t, a.InMesh(func() error {
		link, err := netlink.LinkByName(state.OverlayLink)
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	}))
}

// Two nodes hear each other over the overlay's link, also after it was recreated
// within the namespaces, and within less than the silence time.
func TestPresence_OverlayLink_Recreated(t *testing.T) {
	a, b := newNamespace(t), newNamespace(t)
	connect(t, a, b)
	n1, n2 := New(Options{Kernel: a}), New(Options{Kernel: b})
	n1.Keep(rollOf(2, "n1"))
	n2.Keep(rollOf(2, "n2"))
	n2.Fill(filled("10.0.2.16"))
	for _, n := range []*Presence{n1, n2} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	absent := func(slots ...string) {
		t.Helper()
		eventually(t, "absent", n1.Changed(), func() bool { return diff(filled(slots...), n1.Absent()) == "" })
	}
	absent("10.0.2.17")
	disconnect(t, a)
	connect(t, a, b)
	begin := time.Now()
	n2.Fill(filled("10.0.2.17"))
	absent("10.0.2.16")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("heard again after %s", took)
	}
	if h := n1.Heard()["n2"]; h.Silent || diff([]netip.Addr{addr("10.0.2.17")}, h.Filled) != "" {
		t.Errorf("%+v", h)
	}
}
