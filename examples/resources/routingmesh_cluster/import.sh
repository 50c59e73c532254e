# The id of a cluster is its name.
terraform import routingmesh_cluster.main demo
