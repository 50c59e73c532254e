import {
  to = routingmesh_network.backend
  identity = {
    cluster = "demo"
    name    = "backend"
  }
}
