locals {
  # One, three or five nodes hold the writer's lease: as many as there are, of those.
  names = sort(keys(var.nodes))
  held  = slice(local.names, 0, length(local.names) >= 5 ? 5 : length(local.names) >= 3 ? 3 : 1)
}

provider "routingmesh" {
  hosts = [for name in local.held : var.nodes[name].address]
  ssh = {
    user        = var.ssh_user
    private_key = file(pathexpand(var.private_key_file))
  }
}

module "mesh" {
  source = "../../modules/mesh" # elsewhere: github.com/routingmesh/terraform-provider-routingmesh//modules/mesh

  cluster = { name = "demo", health_address = ":10256" }
  nodes   = var.nodes

  services = {
    web = {
      nodes         = var.web_nodes
      health_check  = { type = "http", path = "/healthz" }
      drain_timeout = "1m"
      ports         = { http = { published_port = 8080, target_port = 80 } }
    }
  }
}

module "haproxy" {
  source = "../../modules/haproxy"

  nodes          = module.mesh.node_addresses
  health_address = module.mesh.health_address

  frontends = {
    web = {
      service = "web"
      port    = module.mesh.published_ports["web/http"].port
      mode    = "http"
      bind    = [":443"]
      tls     = { certificate = "/etc/haproxy/certs/web.pem", redirect_from = [":80"] }
    }
  }
}
