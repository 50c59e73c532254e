# http://ANY-NODE:8080 is answered by port 80 of one of the endpoints.
resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.web.id
  published_port = 8080
  target_port    = 80
}

# Without published_port: the next free one of the cluster's range.
resource "routingmesh_published_port" "api" {
  service_id  = routingmesh_service.api.id
  target_port = 9001
}

# A range: 10000 leads to port 20000 of an endpoint, 10001 to 20001, and so on.
resource "routingmesh_published_port" "media" {
  service_id     = routingmesh_service.web.id
  published_port = 10000
  last_port      = 10999
  target_port    = 20000
  protocol       = "udp"
}

# Open on one node only, whose clients are in one network. The endpoints may be on any node.
resource "routingmesh_published_port" "admin" {
  service_id     = routingmesh_service.api.id
  published_port = 8443
  target_port    = 8443
  nodes          = ["n1"]
  allowed_cidrs  = ["192.0.2.0/24"]
}

# One port number, two services: customers on the public addresses of the nodes, staff on the
# private ones, and the nodes themselves.
resource "routingmesh_published_port" "shop" {
  service_id       = routingmesh_service.web.id
  published_port   = 443
  target_port      = 8443
  listen_addresses = ["203.0.113.0/24"]
}

resource "routingmesh_published_port" "office" {
  service_id       = routingmesh_service.api.id
  published_port   = 443
  target_port      = 9443
  listen_addresses = ["192.168.200.0/24", "127.0.0.0/8"]
}

# The endpoints see the client's own address, whichever node it comes in by.
resource "routingmesh_published_port" "log" {
  service_id     = routingmesh_service.web.id
  published_port = 8081
  target_port    = 80
  client_address = "preserve"
}

# Only on the nodes that run the endpoints, which see the client's own address.
resource "routingmesh_published_port" "syslog" {
  service_id     = routingmesh_service.web.id
  published_port = 514
  target_port    = 5514
  protocol       = "udp"
  mode           = "host"
}

output "api" {
  value = "http://192.168.200.10:${routingmesh_published_port.api.published_port}"
}
