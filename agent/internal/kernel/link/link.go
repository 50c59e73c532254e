package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Ours finds a link that is ours: in the mesh's namespace all are; in the host's, rmesh0 is
// when its other end is in the mesh. Nothing is put on somebody else's link that only has
// its name. Without the mesh's namespace, which is nil then, there is none.
func Ours(host, mesh *netns.Space, ns state.NS, name string) (*netns.Space, netlink.Link, error) {
	if mesh == nil {
		return host, nil, nil
	}
	if ns == state.Mesh {
		l, err := mesh.Link(name)
		return mesh, l, err
	}
	v, err := FindVeth(host, mesh)
	if err != nil || v.Peer == nil || name != state.HostLink {
		return host, nil, err
	}
	return host, v.Host, nil
}

// Names are the names of all links in a namespace by index.
func Names(s *netns.Space) (map[int]string, error) {
	links, err := nlmsg.List("links", s.Netlink.LinkList)
	if err != nil {
		return nil, err
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

// Counters is what has gone through a link since it was made.
type Counters struct {
	RxPackets, TxPackets, RxBytes, TxBytes uint64
	// Dropped and Errors are of both directions.
	Dropped, Errors uint64
}

// Count reads the counters of a link; ok is false when it is not there.
func Count(space *netns.Space, name string) (c Counters, ok bool, err error) {
	l, err := space.Link(name)
	if err != nil || l == nil || l.Attrs().Statistics == nil {
		return c, false, err
	}
	st := l.Attrs().Statistics
	return Counters{
		RxPackets: st.RxPackets, TxPackets: st.TxPackets, RxBytes: st.RxBytes, TxBytes: st.TxBytes,
		Dropped: st.RxDropped + st.TxDropped, Errors: st.RxErrors + st.TxErrors,
	}, true, nil
}

// dyingLinks is how long a deleted namespace may take to let go of its links:
// the kernel does that after the deletion (cleanup_net). Seen: below 0.2 s.
const dyingLinks = 5 * time.Second

// whileDying makes a link, and again for a while when the kernel says that it
// exists: the one from a deleted namespace may still be going.
func whileDying(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(dyingLinks)
	for {
		err := try()
		if !errors.Is(err, unix.EEXIST) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fitMAC gives a link its address, as agents before 0.2 chose one at random.
func fitMAC(s *netns.Space, l netlink.Link, mac string) error {
	if l.Attrs().HardwareAddr.String() == mac {
		return nil
	}
	if err := s.Netlink.LinkSetHardwareAddr(l, nlmsg.ParseMAC(mac)); err != nil {
		return fmt.Errorf("set MAC address %s on %s: %w", mac, l.Attrs().Name, err)
	}
	return nil
}

// fitLink gives a link its MTU and sets it up.
func fitLink(s *netns.Space, l netlink.Link, mtu int) error {
	if l.Attrs().MTU != mtu {
		if err := s.Netlink.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set mtu %d on %s: %w", mtu, l.Attrs().Name, err)
		}
	}
	if !netns.IsUp(l) {
		if err := s.Netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// remove removes a link by name if there is one.
func remove(s *netns.Space, name string) error {
	l, err := s.Link(name)
	if err != nil || l == nil {
		return err
	}
	if err := nlmsg.Ignore(s.Netlink.LinkDel(l), unix.ENODEV); err != nil {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}
