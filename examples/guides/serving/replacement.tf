variable "release" {
  type    = string
  default = "v2"
}

variable "release_ports" {
  type    = map(number)
  default = { v1 = 9001, v2 = 9002 }
}

# Starts a release beside the old one, and stops it when it has been replaced.
resource "terraform_data" "release" {
  triggers_replace = var.release
  input            = { node = "192.168.200.11", port = var.release_ports[var.release] }

  lifecycle {
    create_before_destroy = true
  }
  provisioner "local-exec" {
    command = "ssh root@${self.input.node} systemctl start shop@${self.input.port}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "ssh root@${self.output.node} systemctl stop shop@${self.output.port}"
  }
}

resource "routingmesh_service" "shop" {
  cluster_id    = routingmesh_cluster.main.id
  name          = "shop"
  endpoints     = { (var.release) = { node = routingmesh_node.this["n2"].name, port = terraform_data.release.output.port } }
  drain_timeout = "5m"
  timeouts      = { update = "10m" } # longer than drain_timeout
}

resource "routingmesh_published_port" "shop" {
  service_id     = routingmesh_service.shop.id
  published_port = 8081
  target_port    = 9001
}
