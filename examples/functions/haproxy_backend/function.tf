locals {
  haproxy_backend = provider::routingmesh::haproxy_backend(
    routingmesh_service.web.name,
    routingmesh_published_port.http.published_port,
    { for name, node in routingmesh_node.this : name => node.address },
    routingmesh_cluster.main.health_address,
  )
}

# global, defaults and frontend are yours.
output "haproxy_cfg" {
  value = <<-EOT
    defaults
        mode tcp
        timeout connect 3s
        timeout client  1h
        timeout server  1h

    frontend web
        bind :80
        default_backend web_8080

    ${local.haproxy_backend}
  EOT
}
