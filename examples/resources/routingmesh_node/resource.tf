resource "routingmesh_cluster" "main" {
  name = "demo"
}

variable "nodes" {
  type = map(object({
    address = string
    ssh     = optional(object({ host = optional(string), port = optional(number), user = optional(string) }))
  }))
  default = {
    n1 = { address = "192.168.200.10" }
    n2 = { address = "192.168.200.11" }
    n3 = { address = "192.168.200.12", ssh = { host = "n3.example.com", port = 2222 } }
  }
}

resource "routingmesh_node" "this" {
  for_each   = var.nodes
  cluster_id = routingmesh_cluster.main.id
  name       = each.key
  address    = each.value.address
  ssh        = each.value.ssh
}
