package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// reading is what the canary says of what has no events. Two that are equal mean
// that nothing was added or removed; what could not be told is "" or unknown.
type reading struct {
	chains string          // of both namespaces
	sets   [maxSets]uint32 // the number of members of each of state.SetNames
	ipvs   uint32          // the number of services
	inode  uint64          // of the mesh's namespace
}

const (
	maxSets = 8
	unknown = ^uint32(0)
)

// read asks the kernel. The lock is held.
func (w *Watch) read() reading {
	r := reading{sets: w.canary.members(), ipvs: unknown}
	host := w.canary.tables(w.nft, w.kernel.host)
	if w.mesh == nil {
		r.chains = host
		return r
	}
	r.inode = w.mesh.inode
	r.ipvs = w.mesh.canary.services()
	if mesh := w.mesh.canary.tables(w.nft, nil); host != "" && mesh != "" {
		r.chains = host + "/" + mesh
	}
	return r
}

// after is what the canary says when these ops were done, and nothing else.
func (r reading) after(ops []state.Op) reading {
	for _, op := range ops {
		one := uint32(1)
		if op.Action == state.Remove {
			one = ^uint32(0) // -1
		}
		switch o := op.Object().(type) {
		case state.VirtualServer:
			if op.Action != state.Change {
				r.ipvs += one
			}
		case state.SetMember:
			if i := slices.Index(setNames, o.Set); i >= 0 && op.Action != state.Change {
				r.sets[i] += one
			}
		}
	}
	return r
}

// told says that everything could be told.
func (r reading) told() bool {
	return r.chains != "" && r.ipvs != unknown && !slices.Contains(r.sets[:len(setNames)], unknown)
}

var setNames = state.SetNames()

// iptablesIsNFT says which of its two kinds iptables is here: the program that its
// alternatives lead to has it in its name. It takes too many look-ups of paths for
// once a second.
func iptablesIsNFT() bool {
	path, err := program.Find("iptables-restore")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return err == nil && strings.Contains(filepath.Base(path), "nft")
}

// canary asks in the host's namespace.
type canary struct {
	tableCanary
	sets *ipset.Conn
}

func newCanary(ns netns.Handle) (*canary, error) {
	sets, err := ipset.Open(ns)
	if err != nil {
		return nil, err
	}
	tables, err := newTableCanary(ns, "nat", "filter")
	if err != nil {
		sets.Close()
		return nil, err
	}
	return &canary{tableCanary: tables, sets: sets}, nil
}

func (c *canary) close() {
	c.tableCanary.close()
	c.sets.Close()
}

func (c *canary) members() (sizes [maxSets]uint32) {
	for i, name := range setNames {
		n, err := c.sets.Size(name)
		if err != nil {
			n = unknown
		}
		sizes[i] = n
	}
	return sizes
}

// meshCanary asks in the mesh's namespace.
type meshCanary struct{ tableCanary }

func newMeshCanary(ns netns.Handle) (*meshCanary, error) {
	tables, err := newTableCanary(ns, "nat", "raw")
	return &meshCanary{tables}, err
}

func (c *meshCanary) services() uint32 {
	info, err := ipvsInfo(c.raw)
	if err != nil {
		return unknown
	}
	return info.services
}

// tableCanary tells whether a namespace's tables have changed.
type tableCanary struct {
	netfilter *nl.NetlinkSocket
	raw       int
	names     []string
}

func newTableCanary(ns netns.Handle, names ...string) (c tableCanary, err error) {
	c.names = names
	if c.netfilter, err = nlmsg.Socket(ns, unix.NETLINK_NETFILTER); err != nil {
		return c, fmt.Errorf("open a netlink socket for nf_tables: %w", err)
	}
	err = netns.Do(ns, func() (err error) {
		c.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		c.netfilter.Close()
		return c, fmt.Errorf("open a socket for the state of netfilter: %w", err)
	}
	return c, nil
}

func (c *tableCanary) close() {
	c.netfilter.Close()
	unix.Close(c.raw)
}

// tables is nf_tables' generation, which every change in the namespace raises,
// or the sizes of the legacy tables. host is set for the host's namespace: asking
// for a legacy table makes it, so only those are asked for that are there.
func (c *tableCanary) tables(nft bool, host *netns.Space) string {
	if nft {
		generation, err := nftGeneration(c.netfilter.GetFd())
		if err != nil {
			return ""
		}
		return strconv.FormatUint(uint64(generation), 10)
	}
	return c.legacy(host)
}

const nftGetGeneration, nftGenerationID = 16, 1

func nftGeneration(fd int) (generation uint32, err error) {
	request := nftMessage(nftSubsystem<<8|nftGetGeneration, 0, unix.AF_UNSPEC, 0, nil)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var buf [512]byte
	n, _, err := unix.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return 0, err
	}
	for m := range nlmsg.Messages(buf[:n]) {
		if m.Type == unix.NLMSG_ERROR || len(m.Body) < nl.SizeofNfgenmsg {
			break
		}
		for typ, value := range nlmsg.Attrs(m.Body[nl.SizeofNfgenmsg:]) {
			if typ == nftGenerationID && len(value) == 4 {
				return binary.BigEndian.Uint32(value), nil
			}
		}
	}
	return 0, errors.New("the kernel did not tell nf_tables' generation")
}
