import {
  to = routingmesh_cluster.main
  identity = {
    name = "demo"
  }
}
