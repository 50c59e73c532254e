package installer

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
)

// setsUnitFormat: rules that were saved while the mesh was up name its sets, and
// iptables-restore loads nothing of a file with a set that does not exist, not even
// the user's own rules. So the empty sets are made first, as early as those programs
// start (netfilter-persistent, nftables and iptables-services have no default
// dependencies). What the saved rules say of the mesh is harmless while the sets are
// empty; the agent corrects it. A failure does not hold up the boot.
const setsUnitFormat = `[Unit]
Description=Routing mesh: empty IP sets for saved firewall rules
Documentation=https://github.com/routingmesh/terraform-provider-routingmesh
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service
Before=network-pre.target netfilter-persistent.service iptables.service ip6tables.service ipset.service nftables.service ufw.service firewalld.service
Before=shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%s sets
` + sandbox + `
[Install]
WantedBy=sysinit.target
`

func setsUnitText(l layout.Layout) string { return fmt.Sprintf(setsUnitFormat, l.Link()) }

// MakeSets makes the empty sets of a node. A host that is not one needs none, nor does
// one whose record cannot be read: the agent says so.
func (i *Installer) MakeSets(ctx context.Context) error {
	if err := i.NeedRoot("making the sets"); err != nil {
		return err
	}
	stored, err := server.NewStore(i.StateDir()).Read()
	if err != nil {
		return err
	}
	if stored.Record == nil || stored.Record.Nodes[stored.Node] == nil {
		return nil
	}
	k, err := node.OpenKernel(i.Layout, i.Log)
	if err != nil {
		return err
	}
	defer k.Close()
	return k.MakeSets(ctx, stored.Record.PairsInUse())
}
