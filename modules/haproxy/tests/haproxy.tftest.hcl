mock_provider "routingmesh" {}

variables {
  nodes          = { n2 = "10.0.0.12", n1 = "10.0.0.11" }
  health_address = ":10256"
  frontends      = { web = { service = "web", port = 8080, bind = [":80"] } }
}

run "tcp" {
  command = plan
  assert {
    condition     = output.config == file("tests/tcp.cfg")
    error_message = "The configuration is not that of tests/tcp.cfg:\n${output.config}"
  }
  assert {
    condition     = output.backends == tolist(["web_8080"])
    error_message = "A backend is named SERVICE_PORT."
  }
}

run "tls_http_and_tcp" {
  command = plan
  variables {
    frontends = {
      web = { service = "web", port = 8080, mode = "http", bind = ["192.0.2.1:443", ":8443"], tls = { certificate = "/etc/haproxy/certs/web.pem", redirect_from = [":80"] } }
      app = { service = "web", port = 8080, mode = "http", bind = [":8000"] }
      db  = { service = "db", port = 5432, tls = { certificate = "/etc/haproxy/certs/db.pem", min_version = "TLSv1.3" } }
    }
    max_connections = 500
    timeouts        = { client = "10m", server = "10m" }
    extra_config    = <<-EOT
      listen stats
          bind 127.0.0.1:8404
          mode http
          stats enable
          stats uri /
    EOT
  }
  assert {
    condition     = output.config == file("tests/tls.cfg")
    error_message = "The configuration is not that of tests/tls.cfg:\n${output.config}"
  }
}

run "no_health_address" {
  command = plan
  variables { health_address = null }
  assert {
    condition     = strcontains(output.config, "default-server check inter") && !strcontains(output.config, "healthz")
    error_message = "Without a health address, nodes are checked by connecting."
  }
}

run "no_frontend" {
  command = plan
  variables { frontends = {} }
  expect_failures = [var.frontends]
}

run "breaks_syntax" {
  command = plan
  variables {
    frontends = {
      "a b" = { service = "web", port = 8080 }
      bind  = { service = "web", port = 8080, bind = [":80 ssl"] }
      mode  = { service = "api", port = 8081, mode = "health" }
      cert  = { service = "web", port = 8080, tls = { certificate = "/a b.pem" } }
      tls   = { service = "web", port = 8080, tls = { certificate = "/a.pem", min_version = "SSLv3", redirect_from = [":80"], alpn = ["h2 x"] } }
    }
    max_connections = 0.5
    timeouts        = { client = "forever" }
  }
  expect_failures = [var.frontends, var.max_connections, var.timeouts]
}

run "two_modes_of_one_backend" {
  command = plan
  variables {
    frontends = {
      a = { service = "web", port = 8080 }
      b = { service = "web", port = 8080, mode = "http", bind = [":81"] }
    }
  }
  expect_failures = [var.frontends]
}
