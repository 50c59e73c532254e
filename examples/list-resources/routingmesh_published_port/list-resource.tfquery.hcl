list "routingmesh_published_port" "all" {
  provider = routingmesh
  limit    = 1000
}

# Only those of one service, with all attributes.
list "routingmesh_published_port" "web" {
  provider         = routingmesh
  include_resource = true

  config {
    service_id = "demo/web"
  }
}
