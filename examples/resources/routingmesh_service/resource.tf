# nginx listens on n2 and n3. Referring to the nodes' resources makes Terraform
# join them first.
resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  endpoints  = { for n in ["n2", "n3"] : n => { node = routingmesh_node.this[n].name } }
}

# Two processes on one node: each endpoint says its own port.
resource "routingmesh_service" "api" {
  cluster_id = routingmesh_cluster.main.id
  name       = "api"
  endpoints = {
    blue  = { node = routingmesh_node.this["n1"].name, port = 9001 }
    green = { node = routingmesh_node.this["n1"].name, port = 9002 }
  }
}
