resource "routingmesh_service" "dns" {
  cluster_id   = routingmesh_cluster.main.id
  name         = "dns"
  endpoints    = { for n in ["n1", "n2"] : n => { node = routingmesh_node.this[n].name } }
  health_check = { port = 53 } # by tcp: udp has no answer that all servers give
}

resource "routingmesh_published_port" "dns" {
  service_id     = routingmesh_service.dns.id
  published_port = 53
  target_port    = 53
  protocol       = "udp"
}

# One way only: nobody answers a log line.
resource "routingmesh_service" "syslog" {
  cluster_id = routingmesh_cluster.main.id
  name       = "syslog"
  endpoints  = { for n in ["n1", "n3"] : n => { node = routingmesh_node.this[n].name } }
}

resource "routingmesh_published_port" "syslog" {
  service_id     = routingmesh_service.syslog.id
  published_port = 514
  target_port    = 5514
  protocol       = "udp"
  one_packet     = true
}
