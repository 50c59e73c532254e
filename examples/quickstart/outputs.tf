output "urls" {
  description = "The service, on every node."
  value = {
    for name, node in routingmesh_node.this :
    name => "http://${node.address}:${routingmesh_published_port.http.published_port}"
  }
}
