data "routingmesh_cluster" "main" {
  depends_on = [routingmesh_published_port.http]
}

# A warning in every plan and apply, which fails nothing.
check "endpoints_are_healthy" {
  assert {
    condition     = length(data.routingmesh_cluster.main.unhealthy) == 0
    error_message = join("\n", data.routingmesh_cluster.main.unhealthy)
  }
}
