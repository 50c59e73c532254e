import {
  to = routingmesh_cluster.main
  id = "demo"
}
