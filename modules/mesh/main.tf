locals {
  # The endpoints of each service: one on each of its nodes, and those that are written out.
  endpoints = {
    for name, service in var.services : name => merge(
      { for node in service.nodes : node => { node = node, port = null, weight = null, container = null } },
      service.endpoints,
    )
  }

  # All published ports, by SERVICE/KEY.
  ports = merge([
    for name, service in var.services : {
      for key, port in service.ports : "${name}/${key}" => merge(port, { service = name })
    }
  ]...)
}

resource "routingmesh_cluster" "this" {
  name                 = var.cluster.name
  address_pool         = var.cluster.address_pool
  node_prefix_length   = var.cluster.node_prefix_length
  vxlan_port           = var.cluster.vxlan_port
  vni                  = var.cluster.vni
  mtu                  = var.cluster.mtu
  published_port_range = var.cluster.published_port_range
  repair               = var.cluster.repair
  firewall             = var.cluster.firewall
  tcp_idle_timeout     = var.cluster.tcp_idle_timeout
  udp_idle_timeout     = var.cluster.udp_idle_timeout
  health_address       = var.cluster.health_address
  metrics_address      = var.cluster.metrics_address
  mark_bit             = var.cluster.mark_bit
  host_dns             = var.cluster.host_dns
  force_remove         = var.cluster.force_remove
  timeouts             = var.cluster.timeouts
}

resource "routingmesh_node" "this" {
  for_each = var.nodes

  cluster_id   = routingmesh_cluster.this.id
  name         = each.key
  address      = each.value.address
  ssh          = each.value.ssh
  labels       = each.value.labels
  availability = each.value.availability
  force_remove = each.value.force_remove
  timeouts     = each.value.timeouts
}

resource "routingmesh_network" "this" {
  for_each = var.networks

  cluster_id = routingmesh_cluster.this.id
  name       = each.key
  # By reference, so that Terraform makes the nodes first; "*" is none of them.
  hosts    = each.value.hosts == null ? null : [for host in each.value.hosts : try(routingmesh_node.this[host].name, host)]
  timeouts = each.value.timeouts
}

resource "routingmesh_service" "this" {
  for_each = var.services

  cluster_id = routingmesh_cluster.this.id
  name       = each.key
  # By reference, so that Terraform makes a node before its endpoints.
  endpoints = {
    for key, endpoint in local.endpoints[each.key] : key => {
      node      = routingmesh_node.this[endpoint.node].name
      port      = endpoint.port
      weight    = endpoint.weight
      container = endpoint.container
    }
  }
  scheduler        = each.value.scheduler
  session_affinity = each.value.session_affinity
  health_check     = each.value.health_check
  drain_timeout    = each.value.drain_timeout
  # By reference, so that Terraform makes a network before the services in it.
  networks      = each.value.networks == null ? null : { for network, member in each.value.networks : routingmesh_network.this[network].name => member }
  endpoint_mode = each.value.endpoint_mode
  vip_ports     = each.value.vip_ports
  timeouts      = each.value.timeouts

  lifecycle {
    precondition {
      condition     = alltrue([for endpoint in local.endpoints[each.key] : contains(keys(var.nodes), endpoint.node)])
      error_message = "services[\"${each.key}\"] has endpoints on ${join(", ", setsubtract([for endpoint in local.endpoints[each.key] : endpoint.node], keys(var.nodes)))}, which var.nodes does not have. Add the node, or take the endpoint out."
    }
    precondition {
      condition     = alltrue([for network in keys(coalesce(each.value.networks, {})) : contains(keys(var.networks), network)])
      error_message = "services[\"${each.key}\"] is in the networks ${join(", ", setsubtract(keys(coalesce(each.value.networks, {})), keys(var.networks)))}, which var.networks does not have. Add the network, or take it out of the service."
    }
  }
}

resource "routingmesh_published_port" "this" {
  for_each = local.ports

  service_id       = routingmesh_service.this[each.value.service].id
  published_port   = each.value.published_port
  last_port        = each.value.last_port
  target_port      = each.value.target_port
  protocol         = each.value.protocol
  mode             = each.value.mode
  locality         = each.value.locality
  one_packet       = each.value.one_packet
  allowed_cidrs    = each.value.allowed_cidrs
  listen_addresses = each.value.listen_addresses
  client_address   = each.value.client_address
  timeouts         = each.value.timeouts
  # A node that has left may stay in the list, as it may in the resource's.
  nodes = each.value.nodes == null ? null : [for node in each.value.nodes : try(routingmesh_node.this[node].name, node)]
}
