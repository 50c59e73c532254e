package route

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// The neighbour maps another node's mesh address to its overlay MAC, the FDB
// entry that MAC to its underlay address. Both are replaced, never added: an
// entry of another kind in the place of ours would refuse ours (moby#53663).

// ObserveNeighbours reads the permanent neighbours on a link of ours. Others come
// and go by themselves.
func ObserveNeighbours(s *netns.Space, link string, index int, into state.State) error {
	neighs, err := nlmsg.List("neighbours", func() ([]netlink.Neigh, error) { return s.Netlink.NeighList(index, unix.AF_INET) })
	if err != nil {
		return err
	}
	if link == state.OverlayLink {
		link = ""
	}
	for _, n := range neighs {
		if n.State&netlink.NUD_PERMANENT != 0 {
			into.Put(state.Neigh{Link: link, Addr: nlmsg.ToAddr(n.IP), MAC: n.HardwareAddr.String()})
		}
	}
	return nil
}

// ObserveFDB reads the permanent FDB entries of the overlay's device.
func ObserveFDB(mesh *netns.Space, index int, into state.State) error {
	fdb, err := nlmsg.List("FDB entries", func() ([]netlink.Neigh, error) {
		return mesh.Netlink.NeighList(index, unix.AF_BRIDGE)
	})
	if err != nil {
		return err
	}
	for _, n := range fdb {
		if n.State&netlink.NUD_PERMANENT != 0 && n.Flags&netlink.NTF_SELF != 0 {
			into.Put(state.FDB{MAC: n.HardwareAddr.String(), Dst: nlmsg.ToAddr(n.IP)})
		}
	}
	return nil
}

// PutNeigh makes an entry, or what is there into it; RemoveNeigh removes one that may be
// gone. PutFDB and RemoveFDB do the same.
func PutNeigh(s *netns.Space, on netlink.Link, n state.Neigh) error { return put(s, on, neighOf(n)) }

// RemoveNeigh is described with PutNeigh.
func RemoveNeigh(s *netns.Space, on netlink.Link, n state.Neigh) error {
	return remove(s, on, neighOf(n))
}

// PutFDB is described with PutNeigh.
func PutFDB(s *netns.Space, on netlink.Link, f state.FDB) error { return put(s, on, fdbOf(f)) }

// RemoveFDB is described with PutNeigh.
func RemoveFDB(s *netns.Space, on netlink.Link, f state.FDB) error { return remove(s, on, fdbOf(f)) }

func neighOf(n state.Neigh) netlink.Neigh {
	return netlink.Neigh{Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: n.Addr.AsSlice(), HardwareAddr: nlmsg.ParseMAC(n.MAC)}
}

func fdbOf(f state.FDB) netlink.Neigh {
	return netlink.Neigh{
		Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF,
		IP: f.Dst.AsSlice(), HardwareAddr: nlmsg.ParseMAC(f.MAC),
	}
}

func put(s *netns.Space, on netlink.Link, n netlink.Neigh) error {
	n.LinkIndex = on.Attrs().Index
	return s.Netlink.NeighSet(&n)
}

func remove(s *netns.Space, on netlink.Link, n netlink.Neigh) error {
	n.LinkIndex = on.Attrs().Index
	return nlmsg.Ignore(s.Netlink.NeighDel(&n), unix.ENOENT)
}
