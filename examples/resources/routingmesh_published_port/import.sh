# The id of a published port is CLUSTER/SERVICE/PORT/PROTOCOL.
terraform import routingmesh_published_port.http demo/web/8080/tcp
