package nlmsg

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// List runs a netlink dump, and again when the kernel says that it changed on
// the way: what such a dump returns may lack objects (netlink#1018, moby nlwrap).
func List[T any](what string, dump func() ([]T, error)) ([]T, error) {
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

// Ignore takes the errors that say that what was asked for is so.
func Ignore(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}
