import {
  to = routingmesh_node.this["n1"]
  id = "demo/n1"
}
