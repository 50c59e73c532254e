# terraform apply -invoke='action.routingmesh_drain.node["n1"]'
action "routingmesh_drain" "node" {
  for_each = toset(["n1", "n2", "n3"])

  config {
    node    = each.key
    timeout = "5m"
  }
}
