package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

const (
	image = "routingmesh-bench"
	units = "docker.service docker.socket containerd.service"
)

// docker is a Swarm of all nodes, with the entry node as its manager.
type docker struct {
	lab        *rig.Lab
	nodes      []rig.Node
	forwarding bool // is the virtual machine's, by us
}

// create is a service whose replica is the nginx that Serve has set up on its host: the same settings, page and file.
func create(name string, port int) string {
	mount := func(path string) string { return fmt.Sprintf("--mount type=bind,src=%[1]s,dst=%[1]s", path) }
	return fmt.Sprintf(`docker service create -d -q --no-resolve-image --name %s --replicas 1 --constraint node.hostname==%s --publish published=%d,target=%d %s %s %s /usr/sbin/nginx -c %s -g "daemon off;"`,
		name, datapath.Endpoint, port, datapath.Target, mount(datapath.Settings), mount(datapath.Bulk), image, datapath.Settings)
}

// change logs in first: a person who works with Swarm has a shell on a manager.
func (d *docker) change(ctx context.Context, ports ...int) (func(context.Context) error, error) {
	switch len(ports) {
	case 0:
		return d.prompt(ctx, "docker service rm more")
	case 1:
		return d.prompt(ctx, create("more", ports[0]))
	}
	return d.prompt(ctx, fmt.Sprintf("docker service update -d -q --no-resolve-image --publish-add published=%d,target=%d more", ports[len(ports)-1], datapath.Target))
}

// saved is nothing that Swarm has.
func (d *docker) saved(context.Context, ...int) (func(context.Context) error, error) {
	return nil, nil
}

// prompt returns what runs the command in a shell on the manager that waits for it.
func (d *docker) prompt(ctx context.Context, command string) (func(context.Context) error, error) {
	cmd := d.lab.Command(ctx, datapath.Entry, "echo ready; read -r _; exec 2>&1; "+command)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("no shell on %s: %w: %q", datapath.Entry, errors.Join(err, cmd.Wait()), line)
	}
	return func(context.Context) error {
		_, failed := io.WriteString(in, "\n")
		said, err := io.ReadAll(lines)
		fmt.Fprintf(d.lab.Log, "\n$ ssh %s %s\n%s", datapath.Entry, command, said)
		if err := errors.Join(failed, err, cmd.Wait()); err != nil {
			return fmt.Errorf("on %s: %s: %w: %s", datapath.Entry, command, err, strings.TrimSpace(string(said)))
		}
		return nil
	}, nil
}

func (d *docker) rss(ctx context.Context) (float64, error) {
	return residentOf(ctx, d.lab, "docker.service containerd.service")
}

func (d *docker) names() []string {
	var names []string
	for _, n := range d.nodes {
		names = append(names, n.Name)
	}
	return names
}
