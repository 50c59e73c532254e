package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deafListener takes no connection: what comes once its queue is full gets no
// answer, as from a host that is gone.
func deafListener(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrInet4{}))
	must(t, unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	must(t, err)
	bound, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to %T", name)
	}
	addr := netip.AddrPortFrom(loopback, uint16(bound.Port))
	for { // until nobody is let in any more
		c, err := net.DialTimeout("tcp", addr.String(), 300*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
}

// TestWaitingTakesNoThread: a thousand endpoints that do not answer.
func TestWaitingTakesNoThread(t *testing.T) {
	const endpoints = 1000
	deaf := deafListener(t)
	p := newProber(Options{Spaces: spacesFunc(onAThread), Version: "1.2.3"})
	how := standard()
	ctx, cancel := context.WithTimeout(t.Context(), how.Timeout())
	defer cancel()
	var all sync.WaitGroup
	var silent atomic.Int32
	for i := range endpoints {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), deaf.Port())
		all.Go(func() {
			if err := p.try(ctx, attemptOf(how, addr)); reason(err, how.Timeout()) == "no answer within 2s" {
				silent.Add(1)
			}
		})
	}
	most := 0
	for ctx.Err() == nil {
		tasks, err := os.ReadDir("/proc/self/task")
		must(t, err)
		most = max(most, len(tasks))
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	all.Wait()
	if silent.Load() != endpoints || most >= 40 {
		t.Errorf("%d of %d without an answer, %d threads at most", silent.Load(), endpoints, most)
	}
	t.Logf("%d threads at most", most)
}

// onAThread is how kernel.InMesh works.
func onAThread(fn func() error) error {
	done := make(chan error)
	go func() { done <- fn() }()
	return <-done
}

func TestWhatIsOfThisNodeIsNotTried(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	gone := errors.New("there is no network namespace routingmesh")
	calls := 0
	tests := []struct {
		name   string
		spaces Spaces
		from   string
		to     netip.AddrPort
	}{
		{"no namespace", spacesFunc(func(func() error) error { return gone }), "127.0.0.1", addressOf(l)},
		{"no such address", here{}, "192.0.2.77", addressOf(l)},
		{"a namespace that goes meanwhile", spacesFunc(func(fn func() error) error {
			if calls++; calls > 1 {
				return gone
			}
			return fn()
		}), "127.0.0.1", netip.AddrPortFrom(loopback, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := attemptOf(standard(), tt.to)
			a.from = netip.MustParseAddr(tt.from)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := newProber(Options{Spaces: tt.spaces}).try(ctx, a)
			if _, ok := errors.AsType[*notTriedError](err); !ok {
				t.Errorf("%v", err)
			}
		})
	}
	for _, err := range []error{unix.EMFILE, fmt.Errorf("x: %w", unix.ENOBUFS), &os.SyscallError{Syscall: "connect", Err: unix.EADDRNOTAVAIL}} {
		if !isLocal(err) {
			t.Errorf("%v is of this node", err)
		}
	}
}

// TestSocketsAreGivenBack: none is left, whatever comes of a check.
func TestSocketsAreGivenBack(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	deaf := deafListener(t)
	short := web("/")
	short.TimeoutMillis = 50
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	var before int
	for i := range 20 {
		if i == 1 {
			before = open()
		}
		_, _ = outcome(t, here{}, short, addressOf(s.Listener))
		_, _ = outcome(t, here{}, short, netip.AddrPortFrom(loopback, 1))
		_, _ = outcome(t, here{}, short, deaf)
	}
	s.CloseClientConnections()
	for deadline := time.Now().Add(5 * time.Second); open() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d files were open, now %d", before, open())
		}
	}
}
