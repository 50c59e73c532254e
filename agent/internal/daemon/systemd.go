package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// notifySystemd sends a message to the service manager, if there is one that
// asked for it (sd_notify(3)).
func notifySystemd(_ context.Context, message string) error { return notifyWith(message, nil) }

// notifyWith sends descriptors along (SCM_RIGHTS). They need a socket that is not connected:
// Go refuses them on one that is.
func notifyWith(message string, rights []byte) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Sendmsg(fd, []byte(message), rights, &unix.SockaddrUnix{Name: name}, 0) // a leading @ is the abstract namespace
	return errors.Join(err, unix.Close(fd))
}

// fdStore has the service manager keep sockets over a restart of the agent
// (sd_pid_notify_with_fds(3)). It keeps none that the unit has no room for, and without a
// service manager there is nothing to keep.
type fdStore struct{}

// Keep implements resolver.Store.
func (fdStore) Keep(name string, socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	control := raw.Control(func(fd uintptr) {
		// Without FDPOLL=0 systemd would close a socket that has an error to report.
		err = notifyWith(fdMessage("FDSTORE=1", "FDNAME="+name, "FDPOLL=0"), unix.UnixRights(int(fd)))
	})
	if err := errors.Join(control, err); err != nil {
		return fmt.Errorf("store the socket %s: %w", name, err)
	}
	return nil
}

// Drop implements resolver.Store.
func (fdStore) Drop(name string) error {
	return notifyWith(fdMessage("FDSTOREREMOVE=1", "FDNAME="+name), nil)
}

func fdMessage(lines ...string) string { return strings.Join(lines, "\n") }
