# Long requests on machines of two sizes: by connections, heeding weights.
resource "routingmesh_service" "reports" {
  cluster_id = routingmesh_cluster.main.id
  name       = "reports"
  scheduler  = "wlc"
  endpoints = {
    small = { node = routingmesh_node.this["n1"].name }
    large = { node = routingmesh_node.this["n2"].name, weight = 4 }
  }
}

# Each client at one endpoint, whichever node it comes in through.
resource "routingmesh_service" "cache" {
  cluster_id = routingmesh_cluster.main.id
  name       = "cache"
  scheduler  = "mh"
  endpoints  = { for name, node in routingmesh_node.this : name => { node = node.name } }
}

# Sessions in the memory of the process; all of a client's connections come in
# through one node.
resource "routingmesh_service" "legacy" {
  cluster_id       = routingmesh_cluster.main.id
  name             = "legacy"
  session_affinity = { timeout = "30m" }
  endpoints        = { for name, node in routingmesh_node.this : name => { node = node.name } }
}
