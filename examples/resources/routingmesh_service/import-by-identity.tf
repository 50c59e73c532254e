import {
  to = routingmesh_service.web
  identity = {
    cluster = "demo"
    name    = "web"
  }
}
