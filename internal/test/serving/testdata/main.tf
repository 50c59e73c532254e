# The cluster of the tests that ask a mesh while it changes. The lab's lab.auto.tfvars.json has the nodes.
terraform {
  required_providers {
    routingmesh = { source = "routingmesh/routingmesh" }
  }
}

variable "nodes" {
  type = map(object({
    address = string
    ssh     = object({ host = string, port = number })
  }))
}

variable "private_key_file" {
  type = string
}

variable "away" {
  description = "Nodes that are not in the cluster."
  type        = set(string)
  default     = []
}

variable "drained" {
  description = "Nodes that drain."
  type        = set(string)
  default     = []
}

variable "services" {
  description = "What each service has. An endpoint names its node as text: it stays when its node leaves."
  type = map(object({
    endpoints = map(object({
      node   = string
      port   = optional(number)
      weight = optional(number)
    }))
    scheduler        = optional(string)
    session_affinity = optional(object({ timeout = string }))
    on_unhealthy     = optional(string)
    drain_timeout    = optional(string, "30s")
  }))
}

variable "check" {
  description = "How endpoints are checked: interval and timeout."
  type        = object({ interval = string, timeout = string, fall = number, rise = number })
  # an emulated machine stands still for a second at times
  default = { interval = "3s", timeout = "2s", fall = 2, rise = 1 }
}

variable "ports" {
  description = "What is published, by PORT/PROTOCOL."
  type = map(object({
    service     = string
    target_port = number
  }))
}

variable "health_address" {
  type    = string
  default = null
}

provider "routingmesh" {
  hosts = [for n in var.nodes : "${n.ssh.host}:${n.ssh.port}"]
  ssh = {
    private_key = file(var.private_key_file)
    agent       = false
    timeout     = "60s" # a login takes seconds on an emulated host with a load on it
  }
}

resource "routingmesh_cluster" "main" {
  name           = "serving"
  health_address = var.health_address
}

resource "routingmesh_node" "this" {
  for_each     = { for name, n in var.nodes : name => n if !contains(var.away, name) }
  cluster_id   = routingmesh_cluster.main.id
  name         = each.key
  address      = each.value.address
  ssh          = each.value.ssh
  availability = contains(var.drained, each.key) ? "drain" : "active"
}

resource "routingmesh_service" "this" {
  for_each         = var.services
  cluster_id       = routingmesh_cluster.main.id
  name             = each.key
  endpoints        = { for key, e in each.value.endpoints : key => e if !contains(var.away, e.node) }
  scheduler        = each.value.scheduler
  session_affinity = each.value.session_affinity
  health_check     = merge(var.check, { on_unhealthy = each.value.on_unhealthy })
  drain_timeout    = each.value.drain_timeout
  depends_on       = [routingmesh_node.this]
}

resource "routingmesh_published_port" "this" {
  for_each       = var.ports
  service_id     = routingmesh_service.this[each.value.service].id
  published_port = tonumber(split("/", each.key)[0])
  protocol       = split("/", each.key)[1]
  target_port    = each.value.target_port
}
