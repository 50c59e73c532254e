//go:build lab

package faults

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestAccLabHalfInstalled cuts an install as soon as it has done so much, and has the host as found after uninstall.
func TestAccLabHalfInstalled(t *testing.T) {
	w := newWorld(t)
	const node, agent = "n1", "/var/tmp/routingmesh-agent"
	w.Names = []string{node}
	w.Put(t, "testdata/node.sh", nodeDir+"/node.sh", node)
	w.Put(t, filepath.Join(w.Lab.Root, "bin", "agent", "routingmesh-agent_linux_amd64"), agent, node)
	t.Cleanup(func() { w.OnAll(t, "rm -rf "+nodeDir+" "+agent) })
	before := w.look(t)
	for _, until := range []string{
		"/usr/local/lib/routingmesh", "/usr/local/bin/routingmesh-agent", "/etc/systemd/system/routingmesh-agent.service",
		"/etc/systemd/system/multi-user.target.wants/routingmesh-agent.service", "/run/routingmesh/agent.sock",
	} {
		t.Run("killed once there is "+until, func(t *testing.T) {
			out := w.On(t, node, fmt.Sprintf(`%[1]s install >/dev/null 2>&1 & p=$!
until [ -e %[2]s ] || ! kill -0 $p 2> /dev/null; do :; done
[ -e %[2]s ]; kill -9 $p 2> /dev/null || true; wait $p || true
%[1]s uninstall > /dev/null
find / -xdev \( -path /proc -o -path /sys -o -path /var/log -o -path /var/tmp \) -prune -o -iname '*routingmesh*' -print
systemctl list-units --all --no-legend 'routingmesh*'; pgrep -ax routingmesh-age || true`, agent, until))
			if out != "" {
				t.Errorf("uninstall left:\n%s", out)
			}
		})
	}
	w.asFound(t, before)
}
