resource "routingmesh_service" "web" {
  cluster_id = routingmesh_cluster.main.id
  name       = "web"
  task       = { image = "docker.io/library/nginx:1.27" }
  replicas   = 3
  depends_on = [routingmesh_node.this]
}

resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.web.id
  published_port = 8080
  target_port    = 80 # inside of the containers
}
