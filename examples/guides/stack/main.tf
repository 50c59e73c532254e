terraform {
  required_providers {
    routingmesh = { source = "routingmesh/routingmesh" }
  }
}

provider "routingmesh" {
  hosts = [for name, address in var.nodes : address]
}

variable "nodes" {
  type    = map(string)
  default = { n1 = "192.168.200.10", n2 = "192.168.200.11", n3 = "192.168.200.12" }
}

resource "routingmesh_cluster" "main" {
  name = "demo"
}

resource "routingmesh_node" "this" {
  for_each   = var.nodes
  cluster_id = routingmesh_cluster.main.id
  name       = each.key
  address    = each.value
  labels     = each.key == "n3" ? { disk = "ssd" } : {}
}

module "shop" {
  source = "github.com/routingmesh/terraform-provider-routingmesh//modules/stack"

  cluster_id = routingmesh_cluster.main.id
  project    = "shop"
  file       = file("compose.yaml")
  env        = { TAG = "1.27" }
  depends_on = [routingmesh_node.this] # tasks need nodes to run on
}

output "unsupported" {
  value = module.shop.unsupported
}
