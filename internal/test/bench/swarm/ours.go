package swarm

import (
	"context"
	"fmt"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// more is what the quickstart lacks: the service that comes and goes.
const more = `
variable "more_ports" {
  type = set(string)
}

resource "routingmesh_service" "more" {
  count      = length(var.more_ports) > 0 ? 1 : 0
  cluster_id = routingmesh_cluster.main.id
  name       = "more"
  endpoints  = { for n in var.endpoint_nodes : n => { node = routingmesh_node.this[n].name } }
}

resource "routingmesh_published_port" "more" {
  for_each       = var.more_ports
  service_id     = routingmesh_service.more[0].id
  published_port = tonumber(each.key)
  target_port    = var.target_port
}
`

// ours is our mesh, by Terraform as a person runs it: its time has the refresh and the logins in it.
type ours struct {
	lab *rig.Lab
	tf  *rig.Terraform
}

func newOurs(lab *rig.Lab) (*ours, error) {
	tf, err := lab.Terraform("bench-swarm")
	if err != nil {
		return nil, err
	}
	o := &ours{lab, tf}
	o.set()
	return o, tf.Put("more.tf", more)
}

func (o *ours) set(ports ...int) {
	var quoted []string
	for _, p := range ports {
		quoted = append(quoted, fmt.Sprintf(`"%d"`, p))
	}
	o.tf.Set(fmt.Sprintf("endpoint_nodes=[%q]", datapath.Endpoint), fmt.Sprintf("published_port=%d", standing),
		fmt.Sprintf("target_port=%d", datapath.Target), "more_ports=["+strings.Join(quoted, ",")+"]")
}

func (o *ours) up(ctx context.Context) error { return o.tf.Apply(ctx, say) }

func (o *ours) change(_ context.Context, ports ...int) (func(context.Context) error, error) {
	o.set(ports...)
	return func(ctx context.Context) error { return o.tf.Apply(ctx, quiet) }, nil
}

// saved has the plan in a file. A saved plan has its variables in it, and Terraform takes no others.
func (o *ours) saved(ctx context.Context, ports ...int) (func(context.Context) error, error) {
	o.set(ports...)
	if _, _, err := o.tf.Plan(ctx, "-out=saved.plan"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		o.tf.Set()
		defer o.set(ports...)
		return o.tf.Apply(ctx, quiet, "saved.plan")
	}, nil
}

func (o *ours) rss(ctx context.Context) (float64, error) {
	return residentOf(ctx, o.lab, "routingmesh-agent")
}

func quiet(string) {}
