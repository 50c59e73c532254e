# Read after the resources of this configuration, so that the first apply works, too.
data "routingmesh_cluster" "demo" {
  depends_on = [routingmesh_published_port.http]
}

# Says in every plan and apply what is not as it should be, and fails nothing.
check "mesh_in_sync" {
  assert {
    condition     = length(data.routingmesh_cluster.demo.drift) == 0
    error_message = join("\n", data.routingmesh_cluster.demo.drift)
  }
}

# What no apply can repair: a firewall, a route or a network that loses packets.
check "traffic" {
  assert {
    condition     = length(data.routingmesh_cluster.demo.warnings) == 0
    error_message = join("\n", data.routingmesh_cluster.demo.warnings)
  }
}

check "endpoints_are_healthy" {
  assert {
    condition     = length(data.routingmesh_cluster.demo.unhealthy) == 0
    error_message = join("\n", data.routingmesh_cluster.demo.unhealthy)
  }
}

output "silent_nodes" {
  value = [for name, node in data.routingmesh_cluster.demo.nodes : name if !node.reachable]
}

output "connections" {
  description = "Established now, for each port and endpoint."
  value = {
    for key, port in data.routingmesh_cluster.demo.ports :
    key => { for name, endpoint in port.endpoints : "${name} on ${endpoint.node}" => endpoint.active_connections }
  }
}
