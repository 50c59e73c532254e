# One on each node that is not drained, and on each that joins.
resource "routingmesh_service" "collector" {
  cluster_id = routingmesh_cluster.main.id
  name       = "collector"
  task       = { image = "docker.io/timberio/vector:0.43.0-alpine" }
  global     = true
  depends_on = [routingmesh_node.this]
}
