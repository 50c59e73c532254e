package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds one netlink request. The kernel answers at once; what
// takes this long never comes.
const netlinkTimeout = 20 * time.Second

// netspace is an open network namespace with a netlink socket in it. It keeps
// the namespace alive for as long as it is open.
type netspace struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

// newNetspace takes over ns.
func newNetspace(ns netns.NsHandle) (*netspace, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a netlink socket: %w", err), ns.Close())
	}
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		h.Close()
		return nil, errors.Join(fmt.Errorf("bound netlink requests: %w", err), ns.Close())
	}
	return &netspace{ns: ns, nl: h}, nil
}

func (s *netspace) close() error {
	s.nl.Close()
	return s.ns.Close()
}

// link finds a link by name; nil without an error when there is none.
func (s *netspace) link(name string) (netlink.Link, error) {
	l, err := s.nl.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for link %s: %w", name, err)
	}
	return l, nil
}

// linkIndex is for what is on a link, and so needs one.
func (s *netspace) linkIndex(name string) (int, error) {
	l, err := s.link(name)
	switch {
	case err != nil:
		return 0, err
	case l == nil:
		return 0, fmt.Errorf("there is no link %s", name)
	}
	return l.Attrs().Index, nil
}

// do runs fn on a thread that is in the namespace for as long; a program that fn
// starts is in it too.
func (s *netspace) do(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- inNamespace(s.ns, fn) }()
	return <-done
}

// inNamespace runs fn in a namespace. It wants a goroutine of its own, as away does.
func inNamespace(ns netns.NsHandle, fn func() error) error {
	return away(func() error { return netns.Set(ns) }, fn)
}

// inNewNamespace runs fn in a network namespace that is made for it, and is gone
// after it unless fn has kept it. It wants a goroutine of its own, as away does.
func inNewNamespace(fn func() error) error {
	return away(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, fn)
}

// away runs fn on a thread that enter has taken to another network namespace, and
// brings the thread back. It wants a goroutine of its own: a thread that cannot go
// back stays locked to it and so ends with it, instead of running others in the
// wrong place. To let it end so each time would do for all threads but the
// process's first one: Go never ends that, and parks it where it is, so that the
// namespace would live, and its links be in the way, until the process ends.
func away(enter, fn func() error) error {
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the thread's network namespace: %w", err)
	}
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return errors.Join(fmt.Errorf("enter a network namespace: %w", err), origin.Close())
	}
	err = fn()
	if netns.Set(origin) == nil {
		runtime.UnlockOSThread()
	}
	return errors.Join(err, origin.Close())
}

// list runs a netlink dump, and again when the kernel says that it changed on
// the way: what such a dump returns may lack objects (netlink#1018, moby nlwrap).
func list[T any](what string, dump func() ([]T, error)) ([]T, error) {
	const tries = 20
	var err error
	for range tries {
		var got []T
		if got, err = dump(); err == nil {
			return got, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, fmt.Errorf("list %s: %w", what, err)
}

// already takes the errors that say that what was asked for is so.
func already(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}
