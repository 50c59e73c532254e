//go:build kernel

package watch

import "golang.org/x/sys/unix"

// HoldUp is for a test of package kernel: it runs do while no event of the host is read, with a queue that holds few.
func (w *Watch) HoldUp(do func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := unix.SetsockoptInt(w.host.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4096); err != nil {
		return err
	}
	do()
	return nil
}
