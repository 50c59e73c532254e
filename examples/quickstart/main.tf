locals {
  # One, three or five nodes hold the writer's lease: as many as there are, of those.
  names = sort(keys(var.nodes))
  held  = slice(local.names, 0, length(local.names) >= 5 ? 5 : length(local.names) >= 3 ? 3 : 1)
}

provider "routingmesh" {
  hosts = [
    for n in local.held : format("%s:%d",
      try(coalesce(var.nodes[n].ssh.host), var.nodes[n].address),
      try(coalesce(var.nodes[n].ssh.port), 22),
    )
  ]
  ssh = {
    user        = var.ssh_user
    private_key = file(pathexpand(var.private_key_file))
  }
}

resource "routingmesh_cluster" "main" {
  name = "demo"
}

resource "routingmesh_node" "this" {
  for_each   = var.nodes
  cluster_id = routingmesh_cluster.main.id
  name       = each.key
  address    = each.value.address
  ssh        = each.value.ssh
}

# What answers: a process on each of these nodes that listens on the target port, here nginx.
resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  endpoints  = { for n in var.endpoint_nodes : n => { node = routingmesh_node.this[n].name } }
}

# Where it answers: on this port of every node, whether it has an endpoint or not.
resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.web.id
  published_port = var.published_port
  target_port    = var.target_port
}
