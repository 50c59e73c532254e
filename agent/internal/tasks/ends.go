package tasks

import (
	"os"

	"golang.org/x/sys/unix"
)

// endOf returns a channel that is closed when a process has ended, nil where that cannot be told:
// then the next look does. A PID that is another process's by now does no harm: the engine is
// asked before anything is done.
func endOf(pid int) <-chan struct{} {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the runtime would not wait for it
		_ = unix.Close(fd)
		return nil
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer f.Close()
		defer close(ended)
		_ = raw.Read(func(fd uintptr) bool { return isReadable(int(fd)) })
	}()
	return ended
}

// isReadable says that a pidfd's process has ended.
func isReadable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
