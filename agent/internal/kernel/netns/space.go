package netns

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NetlinkTimeout bounds one netlink request. The kernel answers at once; what
// takes this long never comes.
const NetlinkTimeout = 20 * time.Second

// Space is an open network namespace with a netlink socket in it. It keeps the
// namespace alive for as long as it is open.
type Space struct {
	NS      Handle
	Netlink *netlink.Handle
}

// NewSpace takes over ns.
func NewSpace(ns Handle) (*Space, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a netlink socket: %w", err), ns.Close())
	}
	if err := h.SetSocketTimeout(NetlinkTimeout); err != nil {
		h.Close()
		return nil, errors.Join(fmt.Errorf("bound netlink requests: %w", err), ns.Close())
	}
	return &Space{NS: ns, Netlink: h}, nil
}

// Close gives back the socket and the namespace.
func (s *Space) Close() error {
	s.Netlink.Close()
	return s.NS.Close()
}

// Link finds a link by name; nil without an error when there is none.
func (s *Space) Link(name string) (netlink.Link, error) {
	l, err := s.Netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for link %s: %w", name, err)
	}
	return l, nil
}

// LinkIndex is for what is on a link, and so needs one.
func (s *Space) LinkIndex(name string) (int, error) {
	l, err := s.Link(name)
	switch {
	case err != nil:
		return 0, err
	case l == nil:
		return 0, fmt.Errorf("there is no link %s", name)
	}
	return l.Attrs().Index, nil
}

// Do runs fn in the namespace, as the function Do does.
func (s *Space) Do(fn func() error) error { return Do(s.NS, fn) }

// IsUp says whether a link is up.
func IsUp(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_UP != 0 }
