//go:build kernel

package health

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
)

// meshFile stands for /run/netns/routingmesh: a namespace that can vanish and
// come back.
type meshFile struct{ root string }

func (m meshFile) path() string { return filepath.Join(m.root, "run/netns/routingmesh") }

// add makes a namespace that has the addresses, on lo.
func (m meshFile) add(t *testing.T, addresses ...string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(m.path()), 0o755))
	must(t, os.WriteFile(m.path(), nil, 0o600))
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		err = func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			for _, a := range addresses {
				addr, err := netlink.ParseAddr(a + "/32")
				if err != nil {
					return err
				}
				if err := netlink.AddrAdd(lo, addr); err != nil {
					return err
				}
			}
			if err := netlink.LinkSetUp(lo); err != nil {
				return err
			}
			return unix.Mount("/proc/thread-self/ns/net", m.path(), "", unix.MS_BIND, "")
		}()
		if netns.Set(origin) == nil { // the process's first thread would not end here
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, origin.Close())
	}()
	must(t, <-done)
	t.Cleanup(func() { _ = unix.Unmount(m.path(), unix.MNT_DETACH) })
}

func (m meshFile) remove(t *testing.T) {
	t.Helper()
	must(t, unix.Unmount(m.path(), unix.MNT_DETACH))
	must(t, os.Remove(m.path()))
}

type noOriginals struct{}

func (noOriginals) Get(string) (string, bool) { return "", false }
func (noOriginals) Set(string, string) error  { return nil }
func (noOriginals) Delete(string) error       { return nil }

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestChecksAreMadeInTheMeshesNamespace: from S, and none that counts while the
// namespace is gone, or is being made and has no addresses yet.
func TestChecksAreMadeInTheMeshesNamespace(t *testing.T) {
	const s, h = "10.255.0.1", "10.255.0.2"
	m := meshFile{t.TempDir()}
	k, err := kernel.New(kernel.Options{Root: m.root, Originals: noOriginals{}})
	must(t, err)
	defer k.Close()
	m.add(t, s, h)
	var l net.Listener
	must(t, k.InMesh(func() (err error) {
		l, err = net.Listen("tcp", endpoint(0).Addr.String())
		return err
	}))
	defer l.Close()
	var client atomic.Pointer[netip.Addr]
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr()
			client.Store(&from)
			c.Close()
		}
	}()

	how := standard()
	how.IntervalMillis, how.TimeoutMillis, how.Rise, how.Fall = 200, 100, 1, 1
	log := &lockedBuffer{}
	c := New(Options{Spaces: k, Log: slog.New(slog.NewTextHandler(log, nil))})
	c.Keep(record(t, how, 1), "n1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	attempts := func() uint64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.targets[endpoint(0)].attempts
	}
	severalMore := func() {
		t.Helper()
		before := attempts()
		until(t, "more checks", func() bool { return attempts() > before+5 })
	}
	until(t, "a check", func() bool { return client.Load() != nil })
	if from := client.Load(); from.String() != s {
		t.Errorf("the check comes from %s", from)
	}

	m.remove(t)
	severalMore()
	m.add(t)
	severalMore()
	if r := c.Results()[endpoint(0)]; r.Failing || log.count("cannot be made") != 1 {
		t.Errorf("without a namespace: %+v", r)
	}
	m.remove(t)
	m.add(t, s, h) // where nobody listens
	until(t, "a verdict in the new namespace", func() bool { return c.Failing()[endpoint(0)] })
	if r := c.Results()[endpoint(0)]; r.Reason != "connection refused" {
		t.Errorf("%+v", r)
	}
}
