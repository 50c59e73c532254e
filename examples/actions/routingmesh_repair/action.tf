# terraform apply -invoke=action.routingmesh_repair.all
action "routingmesh_repair" "all" {}

action "routingmesh_repair" "n1" {
  config {
    node = "n1"
  }
}
