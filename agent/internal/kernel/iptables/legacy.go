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

// legacy is the number of rules and the size in bytes of each table.
func (c *Canary) legacy(host *netns.Space) string {
	names := c.names
	if host != nil {
		there, err := legacyTables(host)
		if err != nil {
			return ""
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(there, name) })
	}
	var b strings.Builder
	b.WriteString("legacy")
	for _, name := range names {
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
func legacyTables(s *netns.Space) (names []string, err error) {
	err = s.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		names = strings.Fields(string(text))
		if os.IsNotExist(err) { // the kernel has none of them
			return nil
		}
		return err
	})
	return names, err
}
