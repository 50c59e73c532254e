import {
  to = routingmesh_published_port.http
  identity = {
    cluster        = "demo"
    service        = "web"
    published_port = 8080
    protocol       = "tcp"
  }
}
