mock_provider "routingmesh" {}

variables {
  cluster = { name = "demo", health_address = ":10256" }
  nodes = {
    n1 = { address = "10.0.0.11", labels = { side = "public" } }
    n2 = { address = "10.0.0.12" }
    n3 = { address = "10.0.0.13", ssh = { host = "n3.example.com", port = 2222 }, availability = "drain" }
  }
  services = {
    web = {
      nodes        = ["n2", "n3"]
      scheduler    = "wlc"
      health_check = { type = "http", path = "/healthz" }
      ports = {
        http    = { published_port = 8080, target_port = 80, nodes = ["n1", "left-long-ago"] }
        metrics = { target_port = 9100, allowed_cidrs = ["10.0.0.0/8"] }
      }
    }
    dns = {
      endpoints = { a = { node = "n1", port = 5353 }, b = { node = "n1", port = 5354, weight = 2 } }
      ports     = { dns = { published_port = 53, target_port = 53, protocol = "udp" } }
    }
    db = {
      endpoints     = { c = { node = "n2", container = { name = "db" } } }
      networks      = { back = { aliases = ["database"] } }
      endpoint_mode = "dnsrr"
    }
  }
  networks = { front = { hosts = ["*"] }, back = { hosts = ["n1"] } }
}

run "whole_mesh" {
  assert {
    condition     = routingmesh_cluster.this.name == "demo" && output.health_address == ":10256" && output.cluster_id == routingmesh_cluster.this.id
    error_message = "The cluster is not as asked for."
  }
  assert {
    condition     = alltrue([for node in routingmesh_node.this : node.cluster_id == routingmesh_cluster.this.id])
    error_message = "A node is not in the cluster."
  }
  assert {
    condition     = routingmesh_node.this["n3"].ssh.port == 2222 && routingmesh_node.this["n3"].availability == "drain" && routingmesh_node.this["n1"].labels.side == "public"
    error_message = "Attributes of nodes are lost."
  }
  assert {
    condition     = { for key, e in routingmesh_service.this["web"].endpoints : key => e.node } == { n2 = "n2", n3 = "n3" }
    error_message = "nodes of a service must become an endpoint each."
  }
  assert {
    condition     = routingmesh_service.this["dns"].endpoints["b"].port == 5354 && routingmesh_service.this["dns"].endpoints["b"].weight == 2
    error_message = "endpoints must keep port and weight."
  }
  assert {
    condition     = routingmesh_service.this["web"].health_check.path == "/healthz" && routingmesh_service.this["dns"].health_check == null
    error_message = "Health checks are not as asked for."
  }
  assert {
    condition     = toset(keys(output.published_ports)) == toset(["web/http", "web/metrics", "dns/dns"])
    error_message = "Published ports are those of all services, by SERVICE/KEY."
  }
  assert {
    condition     = alltrue([for key, port in routingmesh_published_port.this : port.service_id == output.service_ids[split("/", key)[0]]])
    error_message = "A port is published for another service."
  }
  assert {
    condition     = output.published_ports["dns/dns"].port == 53 && output.published_ports["dns/dns"].protocol == "udp" && output.published_ports["web/http"].service == "web"
    error_message = "Outputs of ports are wrong."
  }
  assert {
    condition     = routingmesh_published_port.this["web/http"].nodes == toset(["n1", "left-long-ago"]) && routingmesh_published_port.this["web/metrics"].nodes == null
    error_message = "nodes of a port must be kept, one that has left among them."
  }
  assert {
    condition     = output.node_addresses == tomap({ n1 = "10.0.0.11", n2 = "10.0.0.12", n3 = "10.0.0.13" }) && output.nodes["n2"].id == routingmesh_node.this["n2"].id
    error_message = "Outputs of nodes are wrong."
  }
}

run "networks" {
  assert {
    condition     = routingmesh_network.this["back"].hosts == toset(["n1"]) && routingmesh_network.this["front"].hosts == toset(["*"]) && length(output.resolver) > 0
    error_message = "Networks are not as asked for."
  }
  assert {
    condition     = routingmesh_service.this["db"].networks["back"].aliases == toset(["database"]) && routingmesh_service.this["db"].endpoint_mode == "dnsrr" && routingmesh_service.this["web"].networks == null
    error_message = "Services are not in their networks."
  }
  assert {
    condition     = toset(keys(output.service_vips)) == toset(["web", "dns", "db"])
    error_message = "VIPs are those of all services."
  }
}

run "unknown_network" {
  command = plan
  variables { services = { web = { nodes = ["n1"], networks = { middle = {} } } } }
  expect_failures = [routingmesh_service.this["web"]]
}

run "nodes_only" {
  command = plan
  variables {
    services = {}
    networks = {}
  }
  assert {
    condition     = length(routingmesh_service.this) + length(routingmesh_published_port.this) == 0
    error_message = "There is nothing to serve."
  }
}

run "no_node" {
  command = plan
  variables { nodes = {} }
  expect_failures = [var.nodes]
}

run "bad_names" {
  command = plan
  variables {
    cluster  = { name = "Demo" }
    nodes    = { n_1 = { address = "10.0.0.11" }, n2 = { address = "10.0.0.11" } }
    services = { Web = {} }
    networks = { Back = {} }
  }
  expect_failures = [var.cluster, var.nodes, var.services, var.networks]
}

run "bad_ports" {
  command = plan
  variables { services = { web = { ports = { http = { target_port = 80, published_port = 70000 } } } } }
  expect_failures = [var.services]
}

run "endpoint_twice" {
  command = plan
  variables { services = { web = { nodes = ["n1"], endpoints = { n1 = { node = "n2" } } } } }
  expect_failures = [var.services]
}

run "unknown_node" {
  command = plan
  variables { services = { web = { nodes = ["n1", "n9"] } } }
  expect_failures = [routingmesh_service.this["web"]]
}
