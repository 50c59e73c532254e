import {
  to = routingmesh_node.this["n1"]
  identity = {
    cluster = "demo"
    name    = "n1"
  }
}
