package nlmsg

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// GetSockopt asks for an option of level IP.
func GetSockopt[T any](fd, option int, into *T) error {
	length := uint32(unsafe.Sizeof(*into))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, uintptr(option),
		uintptr(unsafe.Pointer(into)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
