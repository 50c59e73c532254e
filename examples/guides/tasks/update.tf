resource "routingmesh_service" "api" {
  cluster_id = routingmesh_cluster.main.id
  name       = "api"
  task       = { image = "registry.example.com/api:2.4.1" }
  replicas   = 6
  placement  = { spread = ["node.labels.zone"], max_per_node = 2 }
  update     = { parallelism = 2, delay = "10s", monitor = "30s", failure_action = "rollback" }
  timeouts   = { update = "30m" }
  depends_on = [routingmesh_node.this]
}
