# The id of a network is CLUSTER/NAME.
terraform import routingmesh_network.backend demo/backend
