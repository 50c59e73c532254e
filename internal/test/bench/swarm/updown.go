package swarm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
)

// makeImage makes an image of the endpoint's own nginx, so that the direct client and the mesh's ask the same program.
const makeImage = `set -e
dir=$(mktemp -d)
cd "$dir"
mkdir -p etc run tmp dev var/log/nginx var/lib/nginx usr/sbin usr/share/nginx/html
cp /usr/sbin/nginx usr/sbin/
cp /etc/passwd /etc/group /etc/nsswitch.conf etc/
cp -r /usr/share/nginx/html/. usr/share/nginx/html/
for l in $(ldd /usr/sbin/nginx | grep -o '/[^ ]*'); do mkdir -p ".$(dirname "$l")"; cp -L "$l" ".$l"; done
tar -c . | docker import - ` + image + `
rm -r "$dir"`

// up makes the Swarm, with the service that stands all the time.
func (d *docker) up(ctx context.Context) error {
	if err := d.forward(ctx); err != nil {
		return err
	}
	if _, err := d.lab.OnAll(ctx, d.names(), "set -e; systemctl unmask -q "+units+"; systemctl start containerd docker; docker swarm leave --force 2>/dev/null || true"); err != nil {
		return err
	}
	if _, err := d.lab.SSH(ctx, datapath.Endpoint, makeImage); err != nil {
		return err
	}
	var manager string
	var workers []string
	for _, n := range d.nodes {
		if n.Name == datapath.Entry {
			manager = n.Address
		} else {
			workers = append(workers, n.Name)
		}
	}
	token, err := d.lab.SSH(ctx, datapath.Entry, fmt.Sprintf("set -e; docker swarm init --advertise-addr %s >&2; docker swarm join-token -q worker", manager))
	if err != nil {
		return err
	}
	if _, err := d.lab.OnAll(ctx, workers, fmt.Sprintf("docker swarm join --token %s %s:2377", strings.TrimSpace(token), manager)); err != nil {
		return err
	}
	_, err = d.lab.SSH(ctx, datapath.Entry, create("web", standing))
	return err
}

// forward has new network namespaces forward packets. They inherit that from the machine's first one: on a real host that
// is where dockerd itself switches it on, but a node of the lab is in one of its own, and so Swarm's, which pass packets
// on, would not. Setting it in the first one before Swarm is up is closest to a real host: it costs nothing afterwards.
func (d *docker) forward(ctx context.Context) error {
	const key, ask = "net.ipv4.ip_forward", "unshare -n cat /proc/sys/net/ipv4/ip_forward"
	out, err := d.lab.SSH(ctx, datapath.Entry, ask)
	if err != nil || strings.TrimSpace(out) == "1" {
		return err
	}
	if _, err := d.lab.SSH(ctx, "vm", "sysctl -qw "+key+"=1"); err != nil {
		return fmt.Errorf("a new network namespace on %s has %s=0, and Swarm does not work so; the lab's virtual machine cannot change that. Where the lab runs without one, run `sysctl -w %s=1` on this machine: %w", datapath.Entry, key, key, err)
	}
	d.forwarding = true
	out, err = d.lab.SSH(ctx, datapath.Entry, ask)
	if err == nil && strings.TrimSpace(out) != "1" {
		err = fmt.Errorf("a new network namespace on %s has %s=%s although the virtual machine's first one has 1: Swarm would not pass packets on", datapath.Entry, key, strings.TrimSpace(out))
	}
	return err
}

// before is a file of a boot: /run is empty after the next one. The nodes share a kernel, and so its boot_id.
const before = "/run/bench-before"

// down ends the Swarm and reboots the nodes, so that no rule, setting or interface of Docker's is left; and keeps Docker
// from starting again, until allow. It goes on after a failure: the rest may still come off.
func (d *docker) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	_, err := d.lab.OnAll(ctx, d.names(), fmt.Sprintf(`docker swarm leave --force
docker ps -aq --filter ancestor=%[1]s | xargs -r docker rm -f
docker rmi -f %[1]s 2>/dev/null
set -e
systemctl mask -q %[2]s
systemctl stop -q docker.socket docker containerd
touch %[3]s`, image, units, before))
	if err != nil {
		err = fmt.Errorf("docker may go on running, or start again with its host: %w", err)
	}
	if d.forwarding {
		_, failed := d.lab.SSH(ctx, "vm", "sysctl -qw net.ipv4.ip_forward=0")
		err = errors.Join(err, failed)
	}
	if _, err := d.lab.OnAll(ctx, d.names(), "systemctl reboot"); err != nil {
		fmt.Fprintf(d.lab.Log, "the login ends with the node: %v\n", err)
	}
	for _, name := range d.names() {
		err = errors.Join(err, d.rebooted(ctx, name))
	}
	return err
}

// rebooted waits until a node has booted again.
func (d *docker) rebooted(ctx context.Context, node string) error {
	const deadline = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		try, end := context.WithTimeout(ctx, 30*time.Second)
		_, err := d.lab.SSH(try, node, "set -e; test ! -e "+before+"; systemctl is-system-running --wait || true")
		end()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not back %s after its reboot; `make lab-down` and `make lab-up` make it new: %w", node, deadline, err)
		}
	}
}

// allow lets Docker start as it did before.
func (d *docker) allow(ctx context.Context) error {
	_, err := d.lab.OnAll(ctx, d.names(), "systemctl unmask -q "+units)
	return err
}
