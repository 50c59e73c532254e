package iptables

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
)

// Canary tells whether the tables of a namespace have changed.
type Canary struct {
	ns        netns.Handle // a descriptor of its own
	netfilter *nl.NetlinkSocket
	raw       int
	names     []string
}

// NewCanary returns one that looks at these tables, where they are legacy ones.
func NewCanary(ns netns.Handle, names ...string) (*Canary, error) {
	own, err := unix.FcntlInt(uintptr(ns), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("keep a network namespace open: %w", err)
	}
	c := &Canary{ns: netns.Handle(own), names: names}
	if c.netfilter, err = nlmsg.Socket(ns, unix.NETLINK_NETFILTER); err != nil {
		unix.Close(own)
		return nil, fmt.Errorf("open a netlink socket for nf_tables: %w", err)
	}
	err = netns.Do(ns, func() (err error) {
		c.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		c.netfilter.Close()
		unix.Close(own)
		return nil, fmt.Errorf("open a socket for the state of netfilter: %w", err)
	}
	return c, nil
}

// Close gives back the sockets.
func (c *Canary) Close() {
	c.netfilter.Close()
	unix.Close(c.raw)
	unix.Close(int(c.ns))
}

// Read returns nf_tables' generation, which every change in the namespace raises, or
// the sizes of the legacy tables; "" where it cannot tell.
func (c *Canary) Read(nft bool) string {
	if nft {
		number, err := generation(c.netfilter.GetFd())
		if err != nil {
			return ""
		}
		return strconv.FormatUint(uint64(number), 10)
	}
	return c.legacy()
}

// UsesNFT says which of its two kinds iptables is here: the program that its
// alternatives lead to has it in its name. It takes too many look-ups of paths for
// once a second.
func UsesNFT() bool {
	path, err := program.Find("iptables-restore")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return err == nil && strings.Contains(filepath.Base(path), "nft")
}
