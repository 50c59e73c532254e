// Package datapath measures what the mesh costs a client: requests over kept connections, new connections, one large
// download, and the slowest hundredth, for every way through the mesh against a client that goes to the endpoint itself.
// All ways ask the same nginx with one worker, in turns, in the same run. Only the ratios say something: the hosts of the
// lab share one kernel and its CPUs. In a lab that counts instructions (LAB_ICOUNT=1) a rate is a cost, and the ratios are
// the same in each run; elsewhere they vary with what else the machine does.
// The limit is what the other node gives as a plain router, without a mesh: nothing that leads through a node costs less.
package datapath

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// What is asked.
const (
	Entry    = "n1" // a node that the client enters by, to an endpoint elsewhere
	Endpoint = "n2"
	Target   = 8000
)

// Names of ways, as figures have them.
const (
	Direct    = "direct"
	Local     = "local endpoint"
	OtherNode = "other node"
	Router    = "plain router" // the limit: the other node forwards, there and back

	bare        = "direct, no mesh"
	routerThere = "plain router, there only" // the answer goes straight to the client

	directHost  = "direct, a host-mode port open"
	hostMode    = "host mode"
	preferLocal = "prefer_local"
)

// A Way is what the client asks: a port of a node.
type Way struct {
	Name, Node string
	Port       int
	routes     []string // hosts that reach each other through the entry node meanwhile
}

// A phase is what stands while its ways are measured. A host-mode tcp port brings a policy rule to its node, which
// costs every packet there, those of the other ways too: so it has a phase of its own.
type phase struct {
	mesh     bool
	hostMode bool
	ways     []Way // the first one is what the others are compared with
}

// phases are what is measured; a gate looks at less.
func phases(gate bool) []phase {
	direct := func(name string) Way { return Way{Name: name, Node: Endpoint, Port: Target} }
	standing := []Way{direct(Direct), {Name: Local, Node: Endpoint, Port: 8080}, {Name: OtherNode, Node: Entry, Port: 8080}}
	if gate {
		return []phase{{mesh: true, ways: standing}}
	}
	router, there := direct(Router), direct(routerThere)
	router.routes, there.routes = []string{client, Endpoint}, []string{client}
	return []phase{
		{ways: []Way{direct(bare), router, there}},
		{mesh: true, ways: append(standing, Way{Name: preferLocal, Node: Endpoint, Port: 8081})},
		{mesh: true, hostMode: true, ways: []Way{direct(directHost), {Name: hostMode, Node: Endpoint, Port: 8082}}},
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
// Gate measures only what a gate looks at, and for a shorter time.
func Run(ctx context.Context, lab *rig.Lab, gate bool, rounds int, emit figure.Emit) (err error) {
	if err := Serve(ctx, lab); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, StopServing(context.WithoutCancel(ctx), lab)) }()
	tf, err := lab.Terraform("bench-datapath")
	if err != nil {
		return err
	}
	if err := tf.Put("datapath.tf", fmt.Sprintf(more, Entry, Endpoint)); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, tf.Destroy(context.WithoutCancel(ctx), say)) }()
	var all []figure.Figure
	seconds := long
	if gate {
		seconds = short
	}
	for _, p := range phases(gate) {
		if p.mesh {
			tf.Set(fmt.Sprintf("endpoint_nodes=[%q]", Endpoint), "published_port=8080", fmt.Sprintf("target_port=%d", Target), fmt.Sprintf("host_mode=%t", p.hostMode))
			if err := tf.Apply(ctx, say); err != nil {
				return err
			}
		}
		runs, err := measure(ctx, lab, p.ways, loads(seconds), rounds)
		if err != nil {
			return err
		}
		all = append(all, figures(runs, p.ways)...)
	}
	return emit(append(all, ofTheLimit(all)...)...)
}

func addresses(lab *rig.Lab) (map[string]string, error) {
	nodes, err := lab.Nodes()
	byName := map[string]string{}
	for _, n := range nodes {
		byName[n.Name] = n.Address
	}
	if err == nil && (byName[Entry] == "" || byName[Endpoint] == "") {
		err = fmt.Errorf("the lab has no %s and %s", Entry, Endpoint)
	}
	return byName, err
}

// measure runs every load over every way, rounds times, each round in the other's reverse order. Requests that failed are
// an error.
func measure(ctx context.Context, lab *rig.Lab, ways []Way, loads []load, rounds int) ([]run, error) {
	addresses, err := addresses(lab)
	if err != nil {
		return nil, err
	}
	var runs []run
	for round := range rounds {
		order := slices.Clone(ways)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, l := range loads {
			for _, w := range order {
				r, err := w.run(ctx, lab, l, addresses)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", l.name, w.Name, err)
				}
				r.load, r.way = l.name, w.Name
				runs = append(runs, r)
			}
		}
	}
	return runs, nil
}

// run runs a load over the way.
func (w Way) run(ctx context.Context, lab *rig.Lab, l load, addresses map[string]string) (r run, err error) {
	takeBack, err := w.route(ctx, lab, addresses)
	defer func() { err = cmp.Or(err, takeBack(context.WithoutCancel(ctx))) }()
	if err != nil {
		return run{}, err
	}
	r, err = l.run(ctx, lab, fmt.Sprintf("http://%s:%d", addresses[w.Node], w.Port))
	if err == nil && r.Errors > 0 {
		err = fmt.Errorf("%d requests failed", r.Errors)
	}
	return r, err
}

// Settings are the nginx's, and Bulk is what it serves beside its page: a file of 256 MiB in memory.
const (
	Settings = "/run/bench-nginx.conf"
	Bulk     = "/run/bench-bulk"
)

// Serve starts the nginx on the nodes that have an endpoint: one worker that never closes a connection by itself.
func Serve(ctx context.Context, lab *rig.Lab) error {
	_, err := lab.OnAll(ctx, []string{Entry, Endpoint}, fmt.Sprintf(`set -e
cat > %[1]s <<'EOF'
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
    listen %[2]d backlog=4096;
    root /usr/share/nginx/html;
    location = %[3]s { alias %[4]s; }
  }
}
EOF
truncate -s %[5]d %[4]s
[ ! -e /run/bench-nginx.pid ] || nginx -c %[1]s -s stop || true
nginx -c %[1]s`, Settings, Target, bulkPath, Bulk, bulkBytes))
	return err
}

// StopServing ends it.
func StopServing(ctx context.Context, lab *rig.Lab) error {
	_, err := lab.OnAll(ctx, []string{Entry, Endpoint}, "nginx -c "+Settings+" -s stop; rm -f /run/bench-nginx.* "+Bulk)
	if err != nil {
		return fmt.Errorf("the nginx of the measurement stays: %w", err)
	}
	return nil
}
