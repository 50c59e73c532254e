import {
  to = routingmesh_service.web
  id = "demo/web"
}
