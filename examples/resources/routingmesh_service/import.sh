# The id of a service is CLUSTER/NAME.
terraform import routingmesh_service.web demo/web
