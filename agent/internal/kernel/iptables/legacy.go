package iptables

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// legacyInfo is struct ipt_getinfo of include/uapi/linux/netfilter_ipv4/ip_tables.h.
type legacyInfo struct {
	name    [32]byte
	_       uint32    // valid_hooks
	_       [5]uint32 // hook_entry
	_       [5]uint32 // underflow
	entries uint32
	size    uint32
}

const getLegacyInfo = 64 // IPT_SO_GET_INFO

// legacy is the number of rules and the size in bytes of each table. Asking for a table makes
// it, so only those are asked for that are there.
func (c *Canary) legacy() string {
	there, err := legacyTables(c.ns)
	if err != nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("legacy")
	for _, name := range c.names {
		if !slices.Contains(there, name) {
			continue
		}
		var info legacyInfo
		copy(info.name[:], name)
		if err := nlmsg.GetSockopt(c.raw, getLegacyInfo, &info); err != nil {
			return ""
		}
		b.WriteString(" " + name + " " + strconv.FormatUint(uint64(info.entries), 10) + " " + strconv.FormatUint(uint64(info.size), 10))
	}
	return b.String()
}

// legacyTables lists the tables that are there in a namespace.
func legacyTables(ns netns.Handle) (names []string, err error) {
	err = netns.Do(ns, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		names = strings.Fields(string(text))
		if os.IsNotExist(err) { // the kernel has none of them
			return nil
		}
		return err
	})
	return names, err
}
