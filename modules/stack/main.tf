locals {
  stack = provider::routingmesh::compose(var.file, var.project, var.env)
}

resource "routingmesh_network" "this" {
  for_each = local.stack.networks

  cluster_id = var.cluster_id
  name       = each.value.name
}

resource "routingmesh_service" "this" {
  for_each = local.stack.services

  cluster_id = var.cluster_id
  name       = each.value.name
  # By reference, so that Terraform makes a network before the services in it; one that is "external" is there.
  networks      = length(each.value.networks) == 0 ? null : { for network, member in each.value.networks : try(routingmesh_network.this[network].name, network) => member }
  endpoint_mode = each.value.endpoint_mode
  replicas      = each.value.replicas
  global        = each.value.global
  placement     = each.value.placement
  update        = each.value.update
  task          = each.value.task

  lifecycle {
    precondition {
      condition     = var.accept_unsupported || length(local.stack.unsupported) == 0
      error_message = "The Compose file asks for what the mesh does not have:\n  ${join("\n  ", local.stack.unsupported)}\nChange the file, or go on without with accept_unsupported = true."
    }
  }
}

resource "routingmesh_published_port" "this" {
  for_each = local.stack.ports

  service_id       = routingmesh_service.this[each.value.service].id
  published_port   = each.value.published_port
  target_port      = each.value.target_port
  protocol         = each.value.protocol
  mode             = each.value.mode
  listen_addresses = each.value.listen_addresses
}
