# A process of the host n1, on its port 9000, is metrics:80 in the network backend.
resource "routingmesh_service" "metrics" {
  cluster_id = routingmesh_cluster.main.id
  name       = "metrics"
  endpoints  = { n1 = { node = routingmesh_node.this["n1"].name } }
  networks   = { (routingmesh_network.backend.name) = {} }
  vip_ports  = { "80/tcp" = 9000 }
}
