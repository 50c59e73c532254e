resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  endpoints  = { for n in ["n2", "n3"] : n => { node = routingmesh_node.this[n].name } }

  health_check = {
    type            = "http"
    path            = "/healthz"
    expected_status = "200-299"
    interval        = "2s"
    timeout         = "1s"
    fall            = 3 # out within 6 s
    rise            = 2
  }
}

resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.web.id
  published_port = 8080
  target_port    = 80
}
