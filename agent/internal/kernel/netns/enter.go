package netns

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Handle is an open network namespace. It keeps the namespace alive.
type Handle = netns.NsHandle

// Current opens the namespace of the calling thread.
func Current() (Handle, error) { return netns.Get() }

// Do runs fn on a thread that is in the namespace for as long; a program that fn
// starts is in it too.
func Do(ns Handle, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- away(func() error { return netns.Set(ns) }, fn) }()
	return <-done
}

// DoInNew runs fn in a network namespace that is made for it, and is gone after it
// unless fn has kept it.
func DoInNew(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- away(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, fn) }()
	return <-done
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
