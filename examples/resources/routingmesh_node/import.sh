# The id of a node is CLUSTER/NAME.
terraform import 'routingmesh_node.this["n1"]' demo/n1
