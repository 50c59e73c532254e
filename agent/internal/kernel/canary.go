package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// reading is what the canary says of what has no events. Two that are equal mean
// that nothing was added or removed, "" that it could not be told.
type reading struct {
	chains string // of both namespaces
	sets   string // the number of members of each set
	ipvs   string // the number of services
	inode  uint64 // of the mesh's namespace
}

// read asks the kernel. The lock is held.
func (w *Watch) read() reading {
	r := reading{sets: w.canary.members()}
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

// iptablesIsNFT says which of its two kinds iptables is here: the program that its
// alternatives lead to has it in its name. It takes too many look-ups of paths for
// once a second.
func iptablesIsNFT() bool {
	path, err := find("iptables-restore")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return err == nil && strings.Contains(filepath.Base(path), "nft")
}

// canary asks in the host's namespace.
type canary struct {
	tableCanary
	sets *ipset
}

func newCanary(ns netns.NsHandle) (*canary, error) {
	sets, err := newIPSet(ns)
	if err != nil {
		return nil, err
	}
	tables, err := newTableCanary(ns, "nat", "filter")
	if err != nil {
		sets.close()
		return nil, err
	}
	return &canary{tableCanary: tables, sets: sets}, nil
}

func (c *canary) close() {
	c.tableCanary.close()
	c.sets.close()
}

func (c *canary) members() string {
	var b strings.Builder
	for _, name := range state.SetNames() {
		n, err := c.sets.size(name)
		if err != nil {
			b.WriteString("- ")
			continue
		}
		b.WriteString(strconv.FormatUint(uint64(n), 10))
		b.WriteByte(' ')
	}
	return b.String()
}

// meshCanary asks in the mesh's namespace.
type meshCanary struct{ tableCanary }

func newMeshCanary(ns netns.NsHandle) (*meshCanary, error) {
	tables, err := newTableCanary(ns, "nat", "raw")
	return &meshCanary{tables}, err
}

func (c *meshCanary) services() string {
	info, err := ipvsInfo(c.raw)
	if err != nil {
		return err.Error()
	}
	return strconv.FormatUint(uint64(info.services), 10)
}

// tableCanary tells whether a namespace's tables have changed.
type tableCanary struct {
	netfilter *nl.NetlinkSocket
	raw       int
	names     []string
}

func newTableCanary(ns netns.NsHandle, names ...string) (c tableCanary, err error) {
	c.names = names
	if c.netfilter, err = nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_NETFILTER); err != nil {
		return c, fmt.Errorf("open a netlink socket for nf_tables: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	err = errors.Join(c.netfilter.SetSendTimeout(&timeout), c.netfilter.SetReceiveTimeout(&timeout))
	if err == nil {
		err = (&netspace{ns: ns}).do(func() (err error) {
			c.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			return err
		})
	}
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
func (c *tableCanary) tables(nft bool, host *netspace) string {
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
	for m := range netlinkMessages(buf[:n]) {
		if m.typ == unix.NLMSG_ERROR || len(m.body) < nl.SizeofNfgenmsg {
			break
		}
		for typ, value := range attrs(m.body[nl.SizeofNfgenmsg:]) {
			if typ == nftGenerationID && len(value) == 4 {
				return binary.BigEndian.Uint32(value), nil
			}
		}
	}
	return 0, errors.New("the kernel did not tell nf_tables' generation")
}
