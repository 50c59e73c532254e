output "cluster_id" {
  description = "Id of the cluster, for resources of your own."
  value       = routingmesh_cluster.this.id
}

output "health_address" {
  description = "Where every node answers `GET /healthz`, null for nowhere: input of the module `haproxy`."
  value       = routingmesh_cluster.this.health_address
}

output "nodes" {
  description = "The nodes by name: `id`, `address`, `mesh_address`, `host_address`, `labels` and `availability`."
  value = {
    for name, node in routingmesh_node.this : name => {
      id           = node.id
      address      = node.address
      mesh_address = node.mesh_address
      host_address = node.host_address
      labels       = node.labels
      availability = node.availability
    }
  }
}

output "node_addresses" {
  description = "Addresses of the nodes by name: input of the module `haproxy` and of the functions `haproxy_backend` and `nginx_upstream`."
  value       = tomap({ for name, node in routingmesh_node.this : name => node.address })
}

output "service_ids" {
  description = "Ids of the services by name, to publish further ports."
  value       = tomap({ for name, service in routingmesh_service.this : name => service.id })
}

output "published_ports" {
  description = "The published ports, by `SERVICE/KEY`: `id`, `service`, `port` and `protocol`."
  value = {
    for key, port in routingmesh_published_port.this : key => {
      id       = port.id
      service  = local.ports[key].service
      port     = port.published_port
      protocol = port.protocol
    }
  }
}

output "resolver" {
  description = "Address at which containers in networks ask for names (`docker run --dns`, `dns:` of a Compose file); null without networks."
  value       = try(values(routingmesh_network.this)[0].resolver, null)
}

output "service_vips" {
  description = "Virtual IPs of the services in networks by name; null for those in none, and with `endpoint_mode = \"dnsrr\"`."
  value       = tomap({ for name, service in routingmesh_service.this : name => service.vip })
}
