import {
  to = routingmesh_network.backend
  id = "demo/backend"
}
