# Peers that find each other: cache leads to the healthy ones, tasks.cache to all that run.
resource "routingmesh_service" "cache" {
  cluster_id    = routingmesh_cluster.main.id
  name          = "cache"
  endpoints     = { for n in ["n1", "n2", "n3"] : n => { node = routingmesh_node.this[n].name, container = { name = "cache" } } }
  networks      = { (routingmesh_network.backend.name) = {} }
  endpoint_mode = "dnsrr"
}
