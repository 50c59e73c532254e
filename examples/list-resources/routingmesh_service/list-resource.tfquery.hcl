list "routingmesh_service" "all" {
  provider = routingmesh
  limit    = 1000

  config {
    cluster_id = "demo"
  }
}
