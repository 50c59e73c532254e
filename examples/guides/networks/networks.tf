resource "routingmesh_network" "frontend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "frontend"
}

resource "routingmesh_network" "backend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "backend"
}

# In both: it is reached by members of the network frontend, and reaches db.
resource "routingmesh_service" "shop" {
  cluster_id = routingmesh_cluster.main.id
  name       = "shop"
  endpoints  = { for n in ["n1", "n2"] : n => { node = routingmesh_node.this[n].name, container = { name = "shop" } } }
  networks = {
    (routingmesh_network.frontend.name) = {}
    (routingmesh_network.backend.name)  = {}
  }
}

resource "routingmesh_service" "db" {
  cluster_id = routingmesh_cluster.main.id
  name       = "db"
  endpoints  = { n3 = { node = routingmesh_node.this["n3"].name, container = { name = "postgres" } } }
  networks   = { (routingmesh_network.backend.name) = { aliases = ["database"] } }
}

output "resolver" {
  value = routingmesh_network.backend.resolver
}
