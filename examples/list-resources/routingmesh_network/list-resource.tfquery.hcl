list "routingmesh_network" "all" {
  provider = routingmesh
  limit    = 1000
}
