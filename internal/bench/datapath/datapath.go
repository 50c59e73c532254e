// Package datapath measures what the mesh costs a client: requests over kept connections, new connections, one large
// download, and the slowest hundredth, for every way through the mesh against a client that goes to the endpoint itself.
// All ways ask the same nginx with one worker, in turns, in the same run. Only the ratios say something: the lab is
// software emulation where there is no IPVS on the machine, and then all its hosts share one kernel and its two CPUs.
package datapath

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/rig"
)

const (
	entry    = "n1" // a node that the client enters by, to an endpoint elsewhere
	endpoint = "n2"
	target   = 8000
)

// Names of ways, as figures have them.
const (
	direct      = "direct"
	directHost  = "direct, a host-mode port open"
	hostMode    = "host mode"
	local       = "local endpoint"
	otherNode   = "other node"
	preferLocal = "prefer_local"
)

// A way is what the client asks: a port of a node.
type way struct {
	name, node string
	port       int
}

// A phase is what stands while its ways are measured. A host-mode tcp port brings a policy rule to its node, which
// costs every packet there, those of the other ways too: so it has a phase of its own.
type phase struct {
	hostMode bool
	ways     []way // the first one is what the others are compared with
}

func phases() []phase {
	return []phase{
		{false, []way{{direct, endpoint, target}, {local, endpoint, 8080}, {otherNode, entry, 8080}, {preferLocal, endpoint, 8081}}},
		{true, []way{{directHost, endpoint, target}, {hostMode, endpoint, 8082}}},
	}
}

// more is what the quickstart lacks: a service with an endpoint on the entry node too, and a port in host mode.
const more = `
variable "host_mode" {
  type = bool
}

resource "routingmesh_service" "both" {
  cluster_id = routingmesh_cluster.main.id
  name       = "both"
  endpoints  = { for n in [%q, %q] : n => { node = routingmesh_node.this[n].name } }
}

resource "routingmesh_published_port" "prefer_local" {
  service_id     = routingmesh_service.both.id
  published_port = 8081
  target_port    = var.target_port
  locality       = "prefer_local"
}

resource "routingmesh_published_port" "host" {
  count          = var.host_mode ? 1 : 0
  service_id     = routingmesh_service.web.id
  published_port = 8082
  target_port    = var.target_port
  mode           = "host"
}
`

func say(text string) { fmt.Fprintln(os.Stderr, "bench:", text) }

// Run measures on a lab that is up, whose provider is built, and leaves its hosts as they were. Each load runs rounds
// times per way; emit gets the medians. Requests that failed are an error: numbers with those in them compare nothing.
func Run(ctx context.Context, lab *rig.Lab, rounds int, emit figure.Emit) (err error) {
	addresses, err := addresses(lab)
	if err != nil {
		return err
	}
	if err := serve(ctx, lab); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, stopServing(context.WithoutCancel(ctx), lab)) }()
	tf, err := lab.Terraform("bench-datapath")
	if err != nil {
		return err
	}
	if err := tf.Put("datapath.tf", fmt.Sprintf(more, entry, endpoint)); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, tf.Destroy(context.WithoutCancel(ctx), say)) }()
	for _, p := range phases() {
		tf.Set(fmt.Sprintf("endpoint_nodes=[%q]", endpoint), "published_port=8080", fmt.Sprintf("target_port=%d", target), fmt.Sprintf("host_mode=%t", p.hostMode))
		if err := tf.Apply(ctx, say); err != nil {
			return err
		}
		runs, err := measure(ctx, lab, p.ways, addresses, rounds)
		if err != nil {
			return err
		}
		if err := emit(figures(runs, p.ways)...); err != nil {
			return err
		}
	}
	return nil
}

func addresses(lab *rig.Lab) (map[string]string, error) {
	nodes, err := lab.Nodes()
	byName := map[string]string{}
	for _, n := range nodes {
		byName[n.Name] = n.Address
	}
	if err == nil && (byName[entry] == "" || byName[endpoint] == "") {
		err = fmt.Errorf("the lab has no %s and %s", entry, endpoint)
	}
	return byName, err
}

// measure runs every load over every way, rounds times, each round in the other's reverse order.
func measure(ctx context.Context, lab *rig.Lab, ways []way, addresses map[string]string, rounds int) ([]run, error) {
	var runs []run
	for round := range rounds {
		order := slices.Clone(ways)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, l := range loads() {
			for _, w := range order {
				r, err := l.run(ctx, lab, fmt.Sprintf("http://%s:%d", addresses[w.node], w.port))
				if err == nil && r.Errors > 0 {
					err = fmt.Errorf("%d requests failed", r.Errors)
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", l.name, w.name, err)
				}
				r.load, r.way = l.name, w.name
				runs = append(runs, r)
			}
		}
	}
	return runs, nil
}

// serve starts the nginx on the nodes that have an endpoint: one worker that never closes a connection by itself, and a
// file of 256 MiB in memory.
func serve(ctx context.Context, lab *rig.Lab) error {
	_, err := lab.OnAll(ctx, []string{entry, endpoint}, fmt.Sprintf(`set -e
cat > /run/bench-nginx.conf <<'EOF'
worker_processes 1;
pid /run/bench-nginx.pid;
error_log /run/bench-nginx.log;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  server {
    listen %d backlog=4096;
    root /usr/share/nginx/html;
    location = %s { alias /run/bench-bulk; }
  }
}
EOF
truncate -s %d /run/bench-bulk
[ ! -e /run/bench-nginx.pid ] || nginx -c /run/bench-nginx.conf -s stop || true
nginx -c /run/bench-nginx.conf`, target, bulkPath, bulkBytes))
	return err
}

func stopServing(ctx context.Context, lab *rig.Lab) error {
	_, err := lab.OnAll(ctx, []string{entry, endpoint}, "nginx -c /run/bench-nginx.conf -s stop; rm -f /run/bench-nginx.* /run/bench-bulk")
	if err != nil {
		return fmt.Errorf("the nginx of the measurement stays: %w", err)
	}
	return nil
}
