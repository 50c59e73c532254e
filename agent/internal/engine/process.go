package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/procstat"
)

var (
	// errEnded says that a process has ended: the engine has yet to find out.
	errEnded = errors.New("its process has ended")
	// errForeign says that a process is not one of the user whose engine claims it.
	errForeign = errors.New("its process is in no user namespace of the engine's user")
)

// opened is a process that was found running. Its fd is a pidfd, -1 where there is none.
type opened struct {
	process     Process
	fd          int
	hostNetwork bool
}

func (o opened) close() {
	if o.fd >= 0 {
		_ = unix.Close(o.fd)
	}
}

// open finds the process with this PID. The pidfd comes first, and lives when all has been
// read: so all that was read is of one process. uid is that of the engine.
func (e *Engines) open(pid, uid int) (opened, error) {
	fd, err := e.pidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return opened{}, errEnded
	case err != nil: // ENOSYS before Linux 5.3, or no fd is free
		fd = -1
	}
	o := opened{process: Process{PID: pid}, fd: fd}
	if err = e.read(&o, uid); err == nil && fd >= 0 && hasEnded(fd) {
		err = errEnded
	}
	if err != nil {
		o.close()
		return opened{}, err
	}
	return o, nil
}

// read fills in what /proc says.
func (e *Engines) read(o *opened, uid int) error {
	start, err := e.startTime(o.process.PID)
	if err != nil {
		return err
	}
	o.process.Start = start
	if uid > 0 {
		owner, err := e.namespaceOwner(o.process.PID)
		if err != nil {
			return err
		}
		if owner != uid {
			return errForeign
		}
	}
	own, err := os.Stat(e.proc(o.process.PID, "ns/net"))
	if err != nil {
		return procError(err)
	}
	hosts, err := os.Stat(e.proc(1, "ns/net"))
	if err != nil {
		return err
	}
	o.hostNetwork = os.SameFile(own, hosts)
	return nil
}

// lives says whether the process that has this PID is p, and not a zombie's or another.
func (e *Engines) lives(p Process) bool {
	start, err := e.startTime(p.PID)
	return err == nil && start == p.Start
}

func (e *Engines) proc(pid int, name string) string {
	return filepath.Join(e.root, "/proc", strconv.Itoa(pid), name)
}

func (e *Engines) startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(e.proc(pid, "stat"))
	if err != nil {
		return 0, procError(err)
	}
	state, start, err := procstat.Parse(data)
	if err == nil && procstat.Ended(state) {
		err = errEnded
	}
	return start, err
}

// namespaceOwner is the user that made the process's user namespace. All processes of a
// rootless container are in one that its user has made.
func (e *Engines) namespaceOwner(pid int) (int, error) {
	file, err := os.Open(e.proc(pid, "ns/user"))
	if err != nil {
		return 0, procError(err)
	}
	defer file.Close()
	owner, err := unix.IoctlGetUint32(int(file.Fd()), unix.NS_GET_OWNER_UID)
	if err != nil {
		return 0, fmt.Errorf("ask for the owner of a user namespace: %w", err)
	}
	return int(owner), nil
}

// procError tells a process that has ended from what else is wrong. A file of it that is open
// says ESRCH, and so do the namespaces of a zombie.
func procError(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return errEnded
	}
	return err
}

// hasEnded says whether a pidfd's process has.
func hasEnded(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}
