# Somebody else's part of the same cluster, in a state of its own.
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

provider "routingmesh" {
  hosts = [for n in var.nodes : "${n.ssh.host}:${n.ssh.port}"]
  ssh   = { private_key = file(var.private_key_file), agent = false, timeout = "60s" }
}

resource "routingmesh_service" "api" {
  cluster_id = "faults"
  name       = "api"
  endpoints  = { n2 = { node = "n2" } }
}

resource "routingmesh_published_port" "api" {
  for_each       = toset(["9001", "9002", "9003"])
  service_id     = routingmesh_service.api.id
  published_port = tonumber(each.key)
  target_port    = 8085
}
