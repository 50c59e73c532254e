package kernel

import (
	"context"
	"strings"
)

// neededModules are those that a node uses all the time. The kernel loads most of
// them when they are first asked for; ip_vs it does not, and a host may keep it
// from loading any by itself.
func neededModules() []string {
	return []string{"veth", "vxlan", "ip_set_bitmap_port", "ip_set_hash_ip", "xt_set", "ip_vs", "ip_vs_rr"}
}

// LoadModules loads what a node needs. An error says what modprobe said, and
// nothing of what the kernel has: what is built in, or loaded by the host of a
// container, needs no module.
func (k *Kernel) LoadModules(ctx context.Context) error {
	_, err := k.programs.Run(ctx, "", "modprobe", append([]string{"-a"}, neededModules()...)...)
	return err
}

// NeededModules names what LoadModules loads.
func NeededModules() string { return strings.Join(neededModules(), ", ") }
