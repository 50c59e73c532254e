import {
  to = routingmesh_published_port.http
  id = "demo/web/8080/tcp"
}
