package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// installPatience is how long an install or uninstall waits for another one, or
// for an agent that repairs its own files.
const installPatience = 30 * time.Second

// HoldInstall keeps everybody else from changing the agent's files: another
// install or uninstall, and an agent that would put its own version back while it
// is replaced. The lock is the process's, so a crash gives it back.
func (l Layout) HoldInstall(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, installPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err := l.TryHoldInstall()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another install or uninstall of the agent is under way on this host (it holds %s): wait for its end: %w", l.InstallLock(), err)
		case <-tick.C:
		}
	}
}

// TryHoldInstall returns EWOULDBLOCK when somebody has the lock.
func (l Layout) TryHoldInstall() (release func(), err error) {
	f, err := os.OpenFile(l.InstallLock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// HoldAgent takes the lock that keeps a second agent out; it is the process's,
// so a crash gives it back.
func (l Layout) HoldAgent() (release func(), err error) {
	f, err := os.OpenFile(l.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another routingmesh-agent runs on this host (it holds %s): %w", l.Lock(), err)
	}
	return func() { f.Close() }, nil
}
