resource "routingmesh_network" "backend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "backend"
  hosts      = [routingmesh_node.this["n1"].name] # the processes of n1 reach it, too
}

resource "routingmesh_network" "frontend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "frontend"
}

# Containers named "db" on n2 and n3. In the network backend their names are db and database.
resource "routingmesh_service" "db" {
  cluster_id = routingmesh_cluster.main.id
  name       = "db"
  endpoints  = { for n in ["n2", "n3"] : n => { node = routingmesh_node.this[n].name, container = { name = "db" } } }
  networks   = { (routingmesh_network.backend.name) = { aliases = ["database"] } }
}

# For docker run --dns, and dns: of Compose files.
output "resolver" {
  value = routingmesh_network.backend.resolver
}
