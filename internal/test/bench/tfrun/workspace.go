package tfrun

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Workspace is a Terraform state with its configuration.
type Workspace struct {
	bench *Bench
	dir   string
	env   []string
}

// Shape is how much there is in a configuration.
type Shape struct {
	// Ports are published, each tenth by a service of its own, which has endpoints on up to three nodes.
	Ports int
	// Keepers is how many of the hosts the provider names.
	Keepers int
}

// Workspace writes the configuration of a cluster on the hosts, for one of the Providers.
func (b *Bench) Workspace(provider string, hosts *Hosts, shape Shape) (*Workspace, error) {
	dir, err := os.MkdirTemp(b.dir, provider+"-state-")
	if err != nil {
		return nil, err
	}
	rc := fmt.Sprintf("provider_installation {\n  dev_overrides { \"routingmesh/routingmesh\" = %q }\n  direct {}\n}\n", filepath.Join(b.dir, provider))
	for name, content := range map[string]string{"terraform.rc": rc, "key": hosts.PrivateKey, "main.tf": configuration(hosts, shape)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	// No one's own settings, and no known_hosts.
	env := []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "terraform.rc"),
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1"}
	return &Workspace{b, dir, env}, nil
}

func configuration(hosts *Hosts, shape Shape) string {
	var named, nodes, serving []string
	for i, n := range hosts.All() {
		if i < shape.Keepers {
			named = append(named, fmt.Sprintf("%q", n.Addr()))
		}
		if i < 3 {
			serving = append(serving, fmt.Sprintf("%q", n.Name))
		}
		nodes = append(nodes, fmt.Sprintf("    %s = { address = %q, port = %d }", n.Name, n.Address, n.Port()))
	}
	services := max(1, shape.Ports/10)
	return fmt.Sprintf(`
terraform {
  required_providers {
    routingmesh = { source = "routingmesh/routingmesh" }
  }
}
variable "target" {
  default = 80
}
locals {
  nodes = {
%s
  }
}
provider "routingmesh" {
  hosts = [%s]
  ssh   = { private_key = file("key"), agent = false }
}
resource "routingmesh_cluster" "main" {
  name = "bench"
}
resource "routingmesh_node" "all" {
  for_each   = local.nodes
  cluster_id = routingmesh_cluster.main.id
  name       = each.key
  address    = each.value.address
  ssh        = { host = "127.0.0.1", port = each.value.port }
}
resource "routingmesh_service" "all" {
  count      = %d
  cluster_id = routingmesh_cluster.main.id
  name       = "s${count.index}"
  endpoints  = { for n in [%s] : n => { node = routingmesh_node.all[n].name } }
}
resource "routingmesh_published_port" "all" {
  count          = %d
  service_id     = routingmesh_service.all[count.index %% %d].id
  published_port = 10000 + count.index
  target_port    = count.index == 0 ? var.target : 80
}
`, strings.Join(nodes, "\n"), strings.Join(named, ", "), services, strings.Join(serving, ", "), shape.Ports, services)
}

// Usage is what one command took.
type Usage struct {
	Wall time.Duration
	// PeakRSS in bytes and CPU are those of the provider's process.
	PeakRSS int64
	CPU     time.Duration
}

// Run runs a command of Terraform to its end.
func (w *Workspace) Run(ctx context.Context, args ...string) (Usage, error) {
	var out strings.Builder
	cmd := exec.CommandContext(ctx, w.bench.terraform, append(args, "-no-color", "-input=false")...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, w.env, &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Usage{}, err
	}
	watched := watch(cmd.Process.Pid)
	err := cmd.Wait()
	u := watched()
	u.Wall = time.Since(start)
	if err != nil {
		return u, fmt.Errorf("terraform %s: %w\n%s", strings.Join(args, " "), err, tail(out.String()))
	}
	return u, nil
}

// tail is the end of what a command printed, where its error is.
func tail(text string) string { return text[max(0, len(text)-4000):] }
