# nginx listens on n2 and n3. Referring to the nodes' resources makes Terraform
# join them first.
resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  endpoints  = { for n in ["n2", "n3"] : n => { node = routingmesh_node.this[n].name } }

  # One that does not answer is out within 15 s (interval × fall).
  health_check = { type = "http", path = "/healthz" }

  # When one is removed, its connections have a minute to end; the apply waits.
  drain_timeout = "1m"
}

# Two processes on one node: each endpoint says its own port. One in ten
# connections tries the new one.
resource "routingmesh_service" "api" {
  cluster_id = routingmesh_cluster.main.id
  name       = "api"
  scheduler  = "wrr"
  endpoints = {
    blue  = { node = routingmesh_node.this["n1"].name, port = 9001, weight = 9 }
    green = { node = routingmesh_node.this["n1"].name, port = 9002, weight = 1 }
  }
}

# Containers in two networks: shop is reached from outside, by its published ports, and reaches
# db by name. Members of the network frontend alone do not reach db.
resource "routingmesh_service" "shop" {
  cluster_id = routingmesh_cluster.main.id
  name       = "shop"
  endpoints = {
    for n in ["n1", "n2"] : n => {
      node      = routingmesh_node.this[n].name
      container = { labels = { "com.docker.compose.service" = "shop" }, slots = 2 }
    }
  }
  networks = {
    (routingmesh_network.frontend.name) = {}
    (routingmesh_network.backend.name)  = { aliases = ["store"] }
  }
}
