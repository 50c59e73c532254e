resource "routingmesh_cluster" "main" {
  name = "demo"
}
