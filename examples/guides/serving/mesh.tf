resource "routingmesh_cluster" "main" {
  name             = "demo"
  health_address   = ":10256" # GET /healthz on each node's own address
  metrics_address  = ":9096"  # GET /metrics
  tcp_idle_timeout = "2h10m"
  udp_idle_timeout = "5m"
}

variable "nodes" {
  type    = map(string)
  default = { n1 = "192.168.200.10", n2 = "192.168.200.11", n3 = "192.168.200.12" }
}

# terraform apply -var 'maintenance=["n2"]'
variable "maintenance" {
  description = "Nodes whose endpoints are to get no connections."
  type        = set(string)
  default     = []
}

resource "routingmesh_node" "this" {
  for_each     = var.nodes
  cluster_id   = routingmesh_cluster.main.id
  name         = each.key
  address      = each.value
  availability = contains(var.maintenance, each.key) ? "drain" : "active"
}
