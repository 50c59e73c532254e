list "routingmesh_node" "all" {
  provider = routingmesh
  limit    = 1000
}
