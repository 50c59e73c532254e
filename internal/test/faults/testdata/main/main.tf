# The cluster of the fault table. The lab's lab.auto.tfvars.json has the nodes.
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

variable "ssh_timeout" {
  description = "Long, as a login takes seconds on an emulated host that others use as well; short where a host is to be silent."
  type        = string
  default     = "60s"
}

variable "repair" {
  type    = string
  default = "automatic"
}

variable "more" {
  description = "Ports to publish besides."
  type        = set(string)
  default     = []
}

variable "forced" {
  description = "Nodes that may be removed without an answer of theirs."
  type        = set(string)
  default     = []
}

provider "routingmesh" {
  hosts = [for n in var.nodes : "${n.ssh.host}:${n.ssh.port}"]
  ssh = {
    private_key = file(var.private_key_file)
    agent       = false
    timeout     = var.ssh_timeout
  }
}

resource "routingmesh_cluster" "main" {
  name   = "faults"
  repair = var.repair
}

resource "routingmesh_node" "this" {
  for_each     = var.nodes
  cluster_id   = routingmesh_cluster.main.id
  name         = each.key
  address      = each.value.address
  ssh          = each.value.ssh
  force_remove = contains(var.forced, each.key)
}

resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  endpoints  = { for n in ["n2", "n3"] : n => { node = routingmesh_node.this[n].name } }
}

locals {
  ports = merge({
    tcp  = { port = 8080, protocol = "tcp", mode = "ingress" }
    udp  = { port = 8080, protocol = "udp", mode = "ingress" }
    host = { port = 8081, protocol = "tcp", mode = "host" }
  }, { for p in var.more : p => { port = tonumber(p), protocol = "tcp", mode = "ingress" } })
}

resource "routingmesh_published_port" "this" {
  for_each       = local.ports
  service_id     = routingmesh_service.web.id
  published_port = each.value.port
  protocol       = each.value.protocol
  mode           = each.value.mode
  target_port    = 8085
}
