# In a file that ends in .tfquery.hcl; terraform query shows what it finds.
list "routingmesh_cluster" "main" {
  provider = routingmesh
}
