# Three hosts with Docker Compose: shop on each of them, and db on the first. Compose starts the
# containers; the mesh connects them, gives them names, and publishes shop on every host.
terraform {
  required_providers {
    routingmesh = { source = "routingmesh/routingmesh" }
  }
}

variable "hosts" {
  description = "Addresses of the hosts by name."
  type        = map(string)
  default     = { n1 = "192.168.200.10", n2 = "192.168.200.11", n3 = "192.168.200.12" }
}

variable "private_key_file" {
  description = "The SSH key that root of the hosts takes."
  type        = string
  default     = "~/.ssh/id_ed25519"
}

provider "routingmesh" {
  hosts = values(var.hosts)
  ssh   = { user = "root", private_key = file(pathexpand(var.private_key_file)) }
}

resource "routingmesh_cluster" "main" {
  name = "demo"
}

resource "routingmesh_node" "this" {
  for_each   = var.hosts
  cluster_id = routingmesh_cluster.main.id
  name       = each.key
  address    = each.value
}

resource "routingmesh_network" "backend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "backend"
}

# Compose labels each container with its project and its service.
resource "routingmesh_service" "shop" {
  cluster_id = routingmesh_cluster.main.id
  name       = "shop"
  endpoints = {
    for name, node in routingmesh_node.this : name => {
      node      = node.name
      container = { labels = { "com.docker.compose.project" = "demo", "com.docker.compose.service" = "shop" }, slots = 2 }
    }
  }
  networks     = { (routingmesh_network.backend.name) = {} }
  health_check = { type = "http", port = 80 }
}

resource "routingmesh_service" "db" {
  cluster_id = routingmesh_cluster.main.id
  name       = "db"
  endpoints = {
    n1 = {
      node      = routingmesh_node.this["n1"].name
      container = { labels = { "com.docker.compose.project" = "demo-db", "com.docker.compose.service" = "postgres" } }
    }
  }
  networks = { (routingmesh_network.backend.name) = { aliases = ["database"] } }
}

resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.shop.id
  published_port = 8080
  target_port    = 80
}

# The line of the .env files beside the Compose files.
output "env" {
  value = "RESOLVER=${routingmesh_network.backend.resolver}"
}
